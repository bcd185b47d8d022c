//! One question to an app: asked, tried again, followed to where it leads.
//!
//! Picture     Question --request--> Fetch --answer--> Again (a hop, or another try) | Done | Failed
//! Rules       The fragment of an address says how patiently to ask and is never sent. A hop is followed as a browser
//!             would: after 303, and after 301 and 302 to a POST, by GET and without the parameters. A try more has the
//!             same token. What an app sets as a cookie is heard of every answer, hops too.
//! Limits      [`HOPS_MAX`]; [`HARD_LIMIT`] for everything together, whatever the fragment says.
//! Not here    Sending (shell), which question and when (program), what an answer says (program).
//! Spec        programmable-voice §3

use std::time::Duration;

use switchboard::Effects;
use switchboard::fetch::{Fetch, FetchFault, FetchLimits, Fetched};
use switchboard::ladder::Lane;
use twiml::Method;
use types::{CallId, Instant, UnixTime};

use crate::address::{Address, form};
use crate::cookies::Jar;
use crate::sign;
use crate::socket::{self, Kind};

/// Hops of one question.
pub const HOPS_MAX: u32 = 10;
/// The longest that a question may take, tries and hops together.
pub const HARD_LIMIT: Duration = Duration::from_secs(15);
/// Octets of an answer that are looked at.
pub const ANSWER_MAX: usize = twiml::DOCUMENT_MAX;

/// What is asked of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub url: String,
    /// How.
    pub method: Method,
    /// What is said.
    pub parameters: Vec<(String, String)>,
    /// What it is called on the socket of an app.
    pub kind: Kind,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub struct Asking {
    address: Address,
    method: Method,
    parameters: Vec<(String, String)>,
    kind: Kind,
    policy: Policy,
    /// The same with each try.
    token: String,
    tries: u32,
    hops: u32,
    until: Instant,
}

/// How patiently an address wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    connect: Duration,
    read: Duration,
    total: Duration,
    retries: u32,
    on: Retry,
}

/// What is worth another try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Retry {
    refused: bool,
    broken: bool,
    connect: bool,
    silent: bool,
}

/// What an app said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Content-Type as it came.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// The address that said it.
    pub url: String,
}

/// Why an app said nothing that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The vendor's number.
    pub code: u16,
    /// For people.
    pub sentence: String,
    /// Who was asked.
    pub url: String,
}

/// What follows an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask again: [`Asking::request`].
    Again,
    /// It is answered.
    Done(Answer),
    /// It is not.
    Failed(Failure),
}

/// Who signs.
#[derive(Clone, Debug)]
pub struct Signer<'a> {
    /// Its key for signatures.
    pub token: &'a str,
}

impl Asking {
    /// A question that nobody heard yet. `token`: one that no other question has.
    pub fn new(question: Question, token: String, now: Instant) -> Result<Self, Failure> {
        let failure = |code, sentence: &str| Failure {
            code,
            sentence: sentence.to_owned(),
            url: question.url.clone(),
        };
        let address = Address::parse(&question.url)
            .ok_or_else(|| failure(11100, "the address is none of http, https, ws or wss"))?;
        let policy = Policy::read(&address.fragment)
            .ok_or_else(|| failure(11243, "the address says behind # how to ask, but not so"))?;
        let Question { method, parameters, kind, .. } = question;
        let (tries, hops, until) = (policy.retries, 0, now + policy.total);
        Ok(Self { address, method, parameters, kind, policy, token, tries, hops, until })
    }

    /// Who is asked.
    pub fn url(&self) -> String {
        self.address.sent()
    }

    /// What is asked: how, where, and what is said.
    pub fn asked(&self) -> (&'static str, String, &[(String, String)]) {
        let method = if self.method == Method::Get { "GET" } else { "POST" };
        (method, self.address.sent(), &self.parameters)
    }

    /// It as it leaves: signed, with these cookies; the ladder of the call shows it.
    pub fn put(&self, jar: &Jar, call: CallId, effects: &mut Effects<'_>) -> Fetch {
        let token = effects.apps().token.clone();
        let signer = Signer { token: token.reveal() };
        let fetch = self.request(&signer, jar, effects.unix(), effects.now());
        let words = format!("{} {}", fetch.method, self.url());
        effects.ladder(call, Lane::Web, &words);
        fetch
    }

    /// What goes out.
    pub fn request(&self, signer: &Signer<'_>, jar: &Jar, unix: UnixTime, now: Instant) -> Fetch {
        if self.address.is_socket() {
            let (app, query) = (self.address.app(), self.address.query.as_deref());
            let body = socket::question(self.kind, &self.token, query, &self.parameters);
            return socket::fetch(app, self.limits(now), body, signer);
        }
        let mut url = self.address.sent();
        let (mut body, mut signed): (_, &[(String, String)]) = (Vec::new(), &[]);
        let mut headers = vec![
            ("user-agent".to_owned(), "TwilioProxy/1.1".to_owned()),
            ("accept".to_owned(), "*/*".to_owned()),
            ("i-twilio-idempotency-token".to_owned(), self.token.clone()),
        ];
        match self.method {
            Method::Get if self.parameters.is_empty() => {}
            Method::Get => {
                let join = if self.address.query.is_some() { '&' } else { '?' };
                url = format!("{url}{join}{}", form(&self.parameters));
            }
            Method::Post => {
                body = form(&self.parameters).into_bytes();
                signed = &self.parameters;
                let kind = "application/x-www-form-urlencoded; charset=UTF-8";
                headers.push(("content-type".to_owned(), kind.to_owned()));
            }
        }
        let signature = sign::signature(signer.token, &url, signed);
        headers.push((sign::HEADER.to_owned(), signature));
        headers.extend(jar.give(&self.address, unix).map(|value| ("cookie".to_owned(), value)));
        let method = if self.method == Method::Get { "GET" } else { "POST" }.to_owned();
        Fetch { method, url, headers, body, limits: self.limits(now) }
    }

    fn limits(&self, now: Instant) -> FetchLimits {
        FetchLimits {
            connect: self.policy.connect,
            read: self.policy.read,
            total: self.until.since(now).max(Duration::from_millis(1)),
            body: ANSWER_MAX,
            redirects: 0,
        }
    }

    /// What came back.
    pub fn answered(
        &mut self,
        fetched: Result<Fetched, FetchFault>,
        jar: &mut Jar,
        unix: UnixTime,
        now: Instant,
    ) -> Turn {
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(fault) => return self.missed(fault, now),
        };
        for (_, value) in fetched.headers.iter().filter(|(name, _)| name == "set-cookie") {
            if jar.take(value, &self.address, unix).is_err() {
                return self.failed(11206, "it sets a cookie that cannot be read");
            }
        }
        match fetched.status {
            301 | 302 | 303 | 307 | 308 => self.hop(&fetched),
            200..=299 => Turn::Done(Answer {
                content_type: fetched.header("content-type").unwrap_or("").to_owned(),
                body: fetched.body,
                url: self.address.sent(),
            }),
            status => {
                let again = match status {
                    400..=499 => self.policy.on.refused,
                    500..=599 => self.policy.on.broken,
                    _ => false,
                };
                let sentence = format!("it answered {status}");
                if again {
                    self.again(11200, &sentence, now)
                } else {
                    self.failed(11200, &sentence)
                }
            }
        }
    }

    fn hop(&mut self, fetched: &Fetched) -> Turn {
        let next = fetched.header("location").and_then(|to| self.address.join(to));
        let Some(next) = next else {
            return self.failed(11100, "it leads to an address that is none");
        };
        if self.hops == HOPS_MAX {
            return self.failed(11215, "it leads on and on");
        }
        self.hops += 1;
        if !matches!(fetched.status, 307 | 308) {
            // As browsers do: what was said is lost.
            self.method = Method::Get;
            self.parameters.clear();
        }
        self.address = next;
        Turn::Again
    }

    fn missed(&mut self, fault: FetchFault, now: Instant) -> Turn {
        let on = self.policy.on;
        let (code, again) = match fault {
            FetchFault::Busy | FetchFault::Stalled | FetchFault::Target => (11200, false),
            FetchFault::Connection => (11205, on.connect),
            FetchFault::ConnectTimeout => (11201, on.connect),
            FetchFault::Long => (11750, false),
            FetchFault::ReadTimeout => (11200, on.silent),
            FetchFault::Redirects => (11215, false),
            FetchFault::Refused => (11202, on.connect),
            FetchFault::Resolve => (11210, on.connect),
            FetchFault::Syntax => (11206, false),
            FetchFault::Tls => (11220, on.connect),
            FetchFault::TotalTimeout => (11203, false),
            FetchFault::Url => (11100, false),
        };
        let sentence = fault.to_string();
        if again { self.again(code, &sentence, now) } else { self.failed(code, &sentence) }
    }

    fn again(&mut self, code: u16, sentence: &str, now: Instant) -> Turn {
        if self.tries == 0 || now >= self.until {
            return self.failed(code, sentence);
        }
        self.tries -= 1;
        Turn::Again
    }

    fn failed(&self, code: u16, sentence: &str) -> Turn {
        let sentence = format!("{}: {sentence}", self.address.sent());
        Turn::Failed(Failure { code, sentence, url: self.address.sent() })
    }
}

/// How long a connection to this address may take; `None`: what stands behind its # cannot be obeyed.
pub fn patience(address: &Address) -> Option<Duration> {
    let Policy { connect, read, total, .. } = Policy::read(&address.fragment)?;
    Some((connect + read).min(total))
}

impl Policy {
    /// What stands behind the number sign; `None`: something that cannot be obeyed.
    fn read(fragment: &str) -> Option<Self> {
        let mut policy = Self {
            connect: Duration::from_millis(5_000),
            read: HARD_LIMIT,
            total: HARD_LIMIT,
            retries: 1,
            on: Retry { connect: true, ..Retry::default() },
        };
        // A mark within a page says nothing about how to ask.
        for pair in fragment.split('&').filter(|pair| pair.contains('=')) {
            let (key, value) = pair.split_once('=')?;
            let millis = |low: u64, high: u64| {
                let value: u64 = value.parse().ok()?;
                (low..=high).contains(&value).then(|| Duration::from_millis(value))
            };
            match key {
                "ct" => policy.connect = millis(100, 10_000)?,
                "rt" => policy.read = millis(100, 15_000)?,
                "tt" => policy.total = millis(100, 15_000)?,
                "rc" => policy.retries = value.parse().ok().filter(|count| *count <= 5)?,
                "rp" => policy.on = Retry::read(value)?,
                // Where from, and with which name in the handshake: there is one way out here.
                "e" | "sni" => {}
                _ => return None,
            }
        }
        Some(policy)
    }
}

impl Retry {
    fn read(value: &str) -> Option<Self> {
        let mut retry = Self::default();
        for word in value.split(',') {
            match word {
                "4xx" => retry.refused = true,
                "5xx" => retry.broken = true,
                "ct" => retry.connect = true,
                "rt" => retry.silent = true,
                "all" => {
                    retry = Self { refused: true, broken: true, connect: true, silent: true };
                }
                _ => return None,
            }
        }
        Some(retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: UnixTime = UnixTime(1_800_000_000_000_000);
    const SIGNER: Signer<'static> = Signer { token: "12345" };

    fn asking(url: &str, method: Method) -> Asking {
        let parameters = vec![("Digits".to_owned(), "1".to_owned())];
        let question = Question { url: url.to_owned(), method, parameters, ..Question::default() };
        Asking::new(question, "t".to_owned(), Instant::default()).unwrap()
    }

    fn status(status: u16, headers: &[(&str, &str)]) -> Result<Fetched, FetchFault> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Ok(Fetched {
            status,
            headers: headers.iter().map(own).collect(),
            body: b"x".to_vec(),
            url: String::new(),
            took: Duration::ZERO,
        })
    }

    fn sent(asking: &Asking, jar: &Jar) -> Fetch {
        asking.request(&SIGNER, jar, UNIX, Instant::default())
    }

    fn code(turn: Turn) -> u16 {
        match turn {
            Turn::Failed(failure) => failure.code,
            Turn::Again | Turn::Done(_) => 0,
        }
    }

    #[test]
    fn requests_say_what_is_said() {
        let mut jar = Jar::default();
        let mut post = asking("https://a.example/x?y=1#rc=2&rp=5xx", Method::Post);
        let fetch = sent(&post, &jar);
        assert_eq!((&*fetch.url, &*fetch.body), ("https://a.example/x?y=1", &b"Digits=1"[..]));
        let get = asking("https://a.example/x?y=1", Method::Get);
        let fetch = sent(&get, &jar);
        assert_eq!((&*fetch.url, fetch.body.len()), ("https://a.example/x?y=1&Digits=1", 0));
        let signature = sign::signature("12345", &fetch.url, &[]);
        assert!(fetch.headers.contains(&("x-twilio-signature".to_owned(), signature)));
        // Cookies come back with the next one, each try has the same token.
        let now = Instant::default();
        let cookie = [("set-cookie", "s=1")];
        assert_eq!(post.answered(status(500, &cookie), &mut jar, UNIX, now), Turn::Again);
        let fetch = sent(&post, &jar);
        assert!(fetch.headers.contains(&("cookie".to_owned(), "s=1".to_owned())));
        assert!(fetch.headers.contains(&("i-twilio-idempotency-token".to_owned(), "t".to_owned())));
        assert_eq!(post.answered(status(500, &[]), &mut jar, UNIX, now), Turn::Again);
        assert_eq!(code(post.answered(status(500, &[]), &mut jar, UNIX, now)), 11200);
        let odd = [("set-cookie", "=")];
        assert_eq!(code(post.answered(status(200, &odd), &mut jar, UNIX, now)), 11206);
    }

    #[test]
    fn hops_lose_what_was_said() {
        let (mut jar, now) = (Jar::default(), Instant::default());
        let mut asking = asking("http://a.example/x/y", Method::Post);
        let to = [("location", "z?w=1")];
        assert_eq!(asking.answered(status(307, &to), &mut jar, UNIX, now), Turn::Again);
        let fetch = sent(&asking, &jar);
        assert_eq!((&*fetch.method, &*fetch.body), ("POST", &b"Digits=1"[..]));
        assert_eq!(asking.answered(status(302, &to), &mut jar, UNIX, now), Turn::Again);
        let fetch = sent(&asking, &jar);
        assert_eq!((&*fetch.method, &*fetch.url), ("GET", "http://a.example/x/z?w=1"));
        for _ in 2..HOPS_MAX {
            assert_eq!(asking.answered(status(301, &to), &mut jar, UNIX, now), Turn::Again);
        }
        assert_eq!(code(asking.answered(status(301, &to), &mut jar, UNIX, now)), 11215);
        let nowhere = [("location", "ftp://a/")];
        assert_eq!(code(asking.answered(status(301, &nowhere), &mut jar, UNIX, now)), 11100);
    }

    #[test]
    fn patience_is_read_from_the_fragment() {
        let question = |url: &str| Question {
            url: url.to_owned(),
            method: Method::Get,
            ..Question::default()
        };
        let new = |url: &str| Asking::new(question(url), String::new(), Instant::default());
        for odd in ["#rc=6", "#ct=1", "#rp=never", "#x=1", "#tt=99999"] {
            let code = new(&format!("http://a.example/{odd}")).unwrap_err().code;
            assert_eq!(code, 11243, "{odd}");
        }
        assert_eq!(new("nonsense").unwrap_err().code, 11100);
        let (mut jar, now) = (Jar::default(), Instant::default());
        let mut patient =
            new("http://a.example/#rp=ct,rt&rc=1&rt=700&ct=300&tt=900&e=dublin").unwrap();
        let limits = sent(&patient, &jar).limits;
        let millis = |duration: Duration| duration.as_millis();
        let found = (millis(limits.connect), millis(limits.read), millis(limits.total));
        assert_eq!(found, (300, 700, 900));
        let late = now + Duration::from_millis(600);
        let turn = patient.answered(Err(FetchFault::ReadTimeout), &mut jar, UNIX, late);
        assert_eq!(turn, Turn::Again);
        let left = patient.request(&SIGNER, &jar, UNIX, late).limits.total;
        assert_eq!(millis(left), 300);
        let turn = patient.answered(Err(FetchFault::Refused), &mut jar, UNIX, late);
        assert_eq!(code(turn), 11202);
        // By default only what did not connect is tried again, once.
        let mut plain = new("http://a.example/").unwrap();
        assert_eq!(code(plain.answered(Err(FetchFault::ReadTimeout), &mut jar, UNIX, now)), 11200);
        let turn = plain.answered(Err(FetchFault::ConnectTimeout), &mut jar, UNIX, now);
        assert_eq!(turn, Turn::Again);
    }
}
