//! One call that a program answers: its leg, what apps are told of it, what lasts of it.

use std::net::SocketAddr;

use media::{StreamKey, TapId};
use sip::{Message, Name};
use switchboard::notice::CallFacts;
use switchboard::route::Number;
use switchboard::seat::Seat;
use switchboard::{Caller, Effects, Ticket};
use twiml::{Hook, Method, Stream};
use types::{Instant, LegId, SessionId, UnixTime, tagged};

use crate::aside::Aside;
use crate::cookies::Jar;
use crate::dial::{Dialling, Tape};
use crate::hook::{Answer, Asking, Question};
use crate::listen::Listening;
use crate::machine::Judging;
use crate::meeting::Meeting;
use crate::program::{Ask, Program, Saved};
use crate::reel::Reel;
use crate::refer::Referring;
use crate::rest::events::Events;
use crate::rest::legs::Legs;
use crate::rest::outgoing::Outgoing;
use crate::rest::progress::Progress;
use crate::siprec::Recorder;
use crate::socket::{Beside, Kind};
use crate::stream::Streaming;

/// The version of the documents and of what apps are told.
pub(crate) const VERSION: &str = "2010-04-01";
/// Header fields of the caller's INVITE that apps are told.
const HEADERS_TOLD: usize = 20;

/// See the head of this file.
#[derive(Debug)]
pub struct Call {
    pub session: SessionId,
    pub facts: CallFacts,
    pub leg: LegId,
    pub seat: Seat,
    pub stream: StreamKey,
    /// The answer to his offer, until he got it; or our offer, when he made none.
    pub answer: Option<Vec<u8>>,
    /// He owes the answer to our offer.
    pub late: bool,
    /// His ACK has come, so that his phone may be asked things.
    pub acked: bool,
    /// His phone was asked to call somebody else.
    pub referring: Option<Referring>,
    /// Who answered is being found out.
    pub judging: Vec<Judging>,
    pub program: Program,
    pub hooks: Hooks,
    /// What every question says.
    pub said: Vec<(String, String)>,
    pub jar: Jar,
    /// What an app hears of it, and does to it, beside its program.
    pub beside: Beside,
    pub asking: Option<(Ticket, Asking, Ask)>,
    pub timer: Option<(Instant, Ticket)>,
    /// Numbers what is played.
    pub sounds: u64,
    pub playing: Playing,
    /// Of a `<Record>`, with its name.
    pub recording: Option<(Ticket, TapId, String)>,
    pub dialling: Option<Dialling>,
    /// What is told of it, and for how long it may last.
    pub progress: Progress,
    /// Nobody has answered yet; an app made it.
    pub outgoing: Option<Box<Outgoing>>,
    /// The timer that ends it.
    pub limit: Option<Ticket>,
    /// Where it is beside its own stream.
    pub meeting: Option<Meeting>,
    /// What it hears there, or until it is there.
    pub aside: Option<Aside>,
    /// Of a `<Dial>`.
    pub tape: Option<Tape>,
    pub streams: Vec<Streaming>,
    pub ears: Vec<Listening>,
    /// Those whom its program dialled and who are gone.
    pub legs: Legs,
    /// What its apps were asked and what they said.
    pub events: Events,
    /// Recordings that go on beside all else.
    pub reels: Vec<Reel>,
    pub recorders: Vec<Recorder>,
}

/// What the caller hears of us.
#[derive(Debug, Default)]
pub enum Playing {
    /// Nothing that the program waits for.
    #[default]
    Nothing,
    /// A clip is being made.
    Making(Ticket, u32),
    /// The engine plays this.
    Sound(u64),
}

/// Where the number of a call sends its questions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    pub first: Hook,
    pub fallback: Option<Hook>,
    pub status: Option<Hook>,
}

impl Hooks {
    pub fn of(number: &Number) -> Self {
        let method = if number.voice_method == "GET" { Method::Get } else { Method::Post };
        let hook = |url: &String, method| Hook { url: url.clone(), method };
        let some = |url: &String| (!url.is_empty()).then(|| hook(url, Method::Post));
        let first = hook(&number.voice_url, method);
        // An app on a socket needs no second address to hear that a call is over.
        let first_too = || first.is_socket().then(|| first.clone());
        Self {
            fallback: some(&number.voice_fallback_url),
            status: some(&number.status_callback).or_else(first_too),
            first,
        }
    }
}

/// How apps name a call.
pub fn call_sid(id: u128) -> String {
    format!("CA{id:032x}")
}

/// What every question about a call says, but for its status.
///
/// Spec: programmable-voice §2
pub fn said(
    session: SessionId,
    (from, to): (&str, &str),
    (caller, message, remote): (&Caller, &Message<'_>, Option<SocketAddr>),
    effects: &Effects<'_>,
) -> Vec<(String, String)> {
    let mut said: Vec<(String, String)> = Vec::new();
    let mut say = |name: &str, value: String| said.push((name.to_owned(), value));
    say("CallSid", call_sid(session.0));
    say("AccountSid", effects.apps().sid.clone());
    say("ApiVersion", VERSION.to_owned());
    say("Direction", "inbound".to_owned());
    for (name, value) in [("From", from), ("Caller", from), ("To", to), ("Called", to)] {
        say(name, value.to_owned());
    }
    let name = message.from().ok().map(|from| from.display_text());
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        say("CallerName", name);
    }
    if let Some(diversion) = message.first_named("Diversion") {
        let uri = sip::Uri::decode(
            diversion.split(|octet| *octet == b'<' || *octet == b'>').nth(1).unwrap_or(diversion),
        );
        let user = uri.ok().and_then(|uri| uri.user_unescaped().map(|user| user.into_owned()));
        say("ForwardedFrom", String::from_utf8_lossy(&user.unwrap_or_default()).into_owned());
    }
    if !matches!(caller, Caller::Trunk(_)) {
        say("SipDomain", effects.domain().to_owned());
        say("SipCallId", String::from_utf8_lossy(message.call_id()).into_owned());
        if let Some(remote) = remote {
            say("SipSourceIp", remote.ip().to_string());
        }
    }
    for (name, value) in own_headers(message) {
        say(&format!("SipHeader_{name}"), value);
    }
    said
}

/// Header fields of the caller's own invention.
fn own_headers(message: &Message<'_>) -> Vec<(String, String)> {
    let extensions = message.headers().filter_map(|header| {
        let name = String::from_utf8_lossy(header.raw_name).into_owned();
        let own = name.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("x-"));
        let value = String::from_utf8_lossy(&sip::write::unfold(header.value)).into_owned();
        (own && !name.eq_ignore_ascii_case("X-Carillon-Been-Here")).then_some((name, value))
    });
    extensions.take(HEADERS_TOLD).collect()
}

/// Who calls, as apps know him: by his number where he has one.
pub fn caller_of(
    caller: &Caller,
    message: &Message<'_>,
    effects: &Effects<'_>,
) -> (String, String) {
    let shown = match caller {
        Caller::Trunk(name)
            if effects
                .directory()
                .routing()
                .trunks
                .get(name)
                .is_some_and(|known| known.asserts) =>
        {
            message.name_addr(Name::PAssertedIdentity).ok().or_else(|| message.from().ok())
        }
        Caller::Claimed(_) | Caller::Trunk(_) | Caller::User(_) => message.from().ok(),
    };
    let uri = match caller {
        Caller::User(user) => {
            format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
        }
        Caller::Claimed(uri) => uri.chars().filter(|c| !matches!(c, '<' | '>' | '"')).collect(),
        Caller::Trunk(_) => {
            let uri = shown.as_ref().map(|shown| String::from_utf8_lossy(shown.uri).into_owned());
            uri.unwrap_or_else(|| "sip:anonymous@anonymous.invalid".to_owned())
        }
    };
    let user = sip::Uri::decode(uri.as_bytes())
        .ok()
        .and_then(|uri| Some(String::from_utf8_lossy(&uri.user_unescaped()?).into_owned()));
    let told = match (caller, user) {
        (Caller::Trunk(name), Some(user)) => {
            let routing = effects.directory().routing();
            let format = routing.trunks.get(name).map(|known| known.numbers_format);
            let number = routing.plan.understand_from(format.unwrap_or_default(), &user);
            if number.international { number.text } else { user }
        }
        (_, Some(user)) if user.starts_with('+') => user,
        (_, _) => uri.clone(),
    };
    (uri, told)
}

impl Call {
    /// How the call stands, for apps.
    pub fn status(&self) -> &'static str {
        match (&self.facts.answered, &self.facts.ended) {
            (None, None) if self.progress.made && !self.progress.rang => "queued",
            (None, None) => "ringing",
            (Some(_), None) => "in-progress",
            (Some(_), Some(_)) => "completed",
            (None, Some(_)) => match self.facts.outcome.as_str() {
                "busy" => "busy",
                "cancelled" => "canceled",
                "refused" => "failed",
                "failed" if self.progress.made => "failed",
                _ => "no-answer",
            },
        }
    }

    /// What every question says of the call as it stands.
    pub fn said_now(&self) -> Vec<(String, String)> {
        let mut said = self.said.clone();
        // Apps that are called hear another word for it than those that ask.
        let status = if self.status() == "queued" { "initiated" } else { self.status() };
        said.push(("CallStatus".to_owned(), status.to_owned()));
        let told = self.program.told().map(|told| ("State".to_owned(), told.to_owned()));
        said.extend(told);
        said
    }

    /// A question as it goes out.
    pub fn question(&self, ask: &Ask) -> Question {
        let mut parameters = self.said_now();
        parameters.extend(ask.more.iter().cloned());
        let (source, ..) = self.program.position();
        let begins = source.url.is_empty() && source.body.is_empty();
        let kind = if begins { Kind::New } else { Kind::Next };
        Question { url: ask.url.clone(), method: ask.method, parameters, kind }
    }

    /// As tagged fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(1_024));
        writer.nested(1, |writer| self.facts.write(writer)).number(2, self.leg.0);
        // After a restart it comes back to its own stream, and goes where it was from there.
        writer.bytes(3, &self.seat.encode_at(self.stream, media::Seat::FIRST_GUEST));
        writer.number(4, self.stream.bridge.0);
        writer.nested(5, |writer| {
            let (source, at, digits) = self.program.position();
            writer.text(1, &source.url).text(2, &source.content_type).bytes(3, &source.body);
            writer.number(4, at as u128).text(5, digits);
            writer.number(6, self.program.is_talking().into());
            if let Some((_, _, ask)) = &self.asking {
                writer.nested(7, |writer| write_ask(ask, writer));
            }
            if let Some(told) = self.program.told() {
                writer.text(8, told);
            }
        });
        for hook in
            [Some(&self.hooks.first), self.hooks.fallback.as_ref(), self.hooks.status.as_ref()]
                .iter()
                .zip([6, 7, 8])
        {
            if let (Some(hook), tag) = hook {
                writer.nested(tag, |writer| write_hook(hook, writer));
            }
        }
        write_pairs(9, &self.said, &mut writer);
        writer.nested(10, |writer| self.jar.encode(writer));
        if let Some(dialling) = &self.dialling {
            writer.nested(11, |writer| dialling.encode(writer));
        }
        writer.nested(12, |writer| self.progress.encode(writer));
        if let Some((.., sid)) = &self.recording {
            writer.text(13, sid);
        }
        if let Some(tape) = &self.tape {
            writer.nested(14, |writer| tape.write(writer));
        }
        Judging::write(&self.judging, 16, &mut writer);
        for reel in &self.reels {
            writer.nested(15, |writer| reel.write(writer));
        }
        if let Some(meeting) = &self.meeting {
            writer.nested(30, |writer| meeting.encode(writer));
        }
        Streaming::encode(&self.streams, 20, &mut writer);
        self.legs.encode(40, &mut writer);
        for recorder in &self.recorders {
            writer.nested(50, |writer| recorder.encode(writer));
        }
        writer.finish()
    }

    /// What is kept of it when it is over: for records, and for what apps ask.
    pub fn record(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(self.facts.encode());
        writer.nested(crate::store::ROW, |writer| self.row().encode(writer));
        self.legs.encode(crate::store::ROW, &mut writer);
        writer.finish()
    }
}

/// A call as the keeper had it.
#[derive(Debug)]
pub struct Kept {
    pub facts: CallFacts,
    pub leg: LegId,
    pub seat: Vec<u8>,
    pub bridge: u128,
    pub program: Saved,
    pub hooks: Hooks,
    pub said: Vec<(String, String)>,
    pub jar: Jar,
    pub dialling: Option<Vec<u8>>,
    pub progress: Progress,
    pub meeting: Option<Meeting>,
    pub tape: Option<Tape>,
    /// The recording that ran.
    pub recording: Option<String>,
    pub streams: Vec<(String, Stream)>,
    pub legs: Legs,
    pub reels: Vec<Reel>,
    pub recorders: Vec<Vec<u8>>,
    /// It was being found out who answered.
    pub judging: Option<Judging>,
}

impl Kept {
    pub fn decode(bytes: &[u8], session: SessionId) -> Self {
        let source = Answer { content_type: String::new(), body: Vec::new(), url: String::new() };
        let program =
            Saved { source, at: 0, digits: String::new(), ask: None, talking: false, told: None };
        let mut kept = Self {
            facts: CallFacts::default(),
            leg: LegId(0),
            seat: Vec::new(),
            bridge: 0,
            program,
            hooks: Hooks::default(),
            said: Vec::new(),
            jar: Jar::default(),
            dialling: None,
            progress: Progress::default(),
            meeting: None,
            tape: None,
            recording: None,
            streams: Vec::new(),
            legs: Legs::default(),
            reels: Vec::new(),
            judging: None,
            recorders: Vec::new(),
        };
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => kept.facts = CallFacts::decode(field.0).unwrap_or_default(),
                2 => kept.leg = LegId(field.number().unwrap_or(0)),
                3 => kept.seat = field.0.to_vec(),
                4 => kept.bridge = field.number().unwrap_or(0),
                5 => read_program(field.0, &mut kept.program),
                6 => kept.hooks.first = read_hook(field.0),
                7 => kept.hooks.fallback = Some(read_hook(field.0)),
                8 => kept.hooks.status = Some(read_hook(field.0)),
                9 => kept.said.push(read_pair(field.0)),
                10 => kept.jar = Jar::decode(field.0),
                11 => kept.dialling = Some(field.0.to_vec()),
                12 => kept.progress = Progress::decode(field.0),
                13 => kept.recording = field.string(),
                16 => kept.judging = Some(Judging::read(field.0)),
                15 => kept.reels.push(Reel::read(field.0)),
                14 => kept.tape = Some(Tape::read(field.0)),
                30 => kept.meeting = Meeting::decode(field.0),
                40 => kept.legs.keep(crate::rest::row::Row::decode(field.0)),
                50 => kept.recorders.push(field.0.to_vec()),
                20 => kept.streams.push(Streaming::decode(field.0)),
                _ => (), // A field of a newer version.
            }
        }
        kept.facts.session = session;
        kept
    }
}

fn read_program(bytes: &[u8], saved: &mut Saved) {
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => saved.source.url = field.string().unwrap_or_default(),
            2 => saved.source.content_type = field.string().unwrap_or_default(),
            3 => saved.source.body = field.0.to_vec(),
            4 => saved.at = field.number().and_then(|at| usize::try_from(at).ok()).unwrap_or(0),
            5 => saved.digits = field.string().unwrap_or_default(),
            6 => saved.talking = field.number() == Some(1),
            7 => saved.ask = Some(read_ask(field.0)),
            8 => saved.told = field.string(),
            _ => (), // A field of a newer version.
        }
    }
}

fn write_ask(ask: &Ask, writer: &mut tagged::Writer) {
    writer.text(1, &ask.url).number(2, (ask.method == Method::Get).into());
    write_pairs(3, &ask.more, writer);
}

pub fn write_question(question: &Question, writer: &mut tagged::Writer) {
    writer.text(1, &question.url).number(2, (question.method == Method::Get).into());
    write_pairs(3, &question.parameters, writer);
}

pub fn read_question(bytes: &[u8]) -> Question {
    let Ask { url, method, more: parameters } = read_ask(bytes);
    // Those alone that are told are kept.
    Question { url, method, parameters, kind: Kind::Status }
}

pub fn write_pairs(tag: u8, pairs: &[(String, String)], writer: &mut tagged::Writer) {
    for (name, value) in pairs {
        writer.nested(tag, |writer| {
            writer.text(1, name).text(2, value);
        });
    }
}

fn read_ask(bytes: &[u8]) -> Ask {
    let mut ask = Ask::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => ask.url = field.string().unwrap_or_default(),
            2 if field.number() == Some(1) => ask.method = Method::Get,
            3 => ask.more.push(read_pair(field.0)),
            _ => (), // A field of a newer version.
        }
    }
    ask
}

pub fn write_hook(hook: &Hook, writer: &mut tagged::Writer) {
    writer.text(1, &hook.url).number(2, (hook.method == Method::Get).into());
}

pub fn read_hook(bytes: &[u8]) -> Hook {
    let Ask { url, method, .. } = read_ask(bytes);
    Hook { url, method }
}

pub(crate) fn read_pair(bytes: &[u8]) -> (String, String) {
    let mut pair = (String::new(), String::new());
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => pair.0 = field.string().unwrap_or_default(),
            2 => pair.1 = field.string().unwrap_or_default(),
            _ => (), // A field of a newer version.
        }
    }
    pair
}

/// A moment as apps read it.
///
/// Spec: RFC 2822 §3.3
pub fn date(unix: UnixTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // `2026-11-22T10:00:00.000Z`
    let text = unix.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("00");
    let month = part(5..7).parse::<usize>().unwrap_or(1);
    let month = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"Jan");
    let days = unix.0 / 86_400_000_000;
    let day = DAYS.get(usize::try_from(days % 7).unwrap_or(0)).unwrap_or(&"Thu");
    format!("{day}, {} {month} {} {} +0000", part(8..10), part(0..4), part(11..19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let unix = UnixTime::parse("2011-02-18T19:26:50Z").unwrap();
        assert_eq!(date(unix), "Fri, 18 Feb 2011 19:26:50 +0000");
    }
}
