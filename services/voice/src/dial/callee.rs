//! One target of a `<Dial>`: a call of its own for apps, and what is said of it.
//!
//! Limits      [`HEADERS_MAX`] header fields for his phone, [`HEADERS_OCTETS`] octets together; others are left out.
//! Spec        programmable-voice §1.3 (Sip), §2 (Call statusCallback)

use twiml::{Hook, Target, Who};
use types::{Rng, Slot, UnixTime, tagged};

use crate::call::{read_hook, write_hook};
use crate::rest::row::Row;

/// Header fields that a document may add to an INVITE.
pub const HEADERS_MAX: usize = 20;
/// Their octets together.
pub const HEADERS_OCTETS: usize = 1_024;
/// Those that are no inventions of the app's own.
const HEADERS_KNOWN: &[&str] =
    &["User-to-User", "Remote-Party-ID", "P-Preferred-Identity", "P-Called-Party-ID"];

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Callee {
    pub target: Target,
    /// How apps name the call to him.
    pub sid: String,
    /// Who calls and who is called, as apps know them.
    from: String,
    to: String,
    /// Numbers what apps are told.
    sequence: u32,
    /// Whether a machine answered, in the vendor's word; empty: nobody listened for that.
    pub answered_by: String,
    /// A phone of his rang.
    pub rang: bool,
    /// It is over, and that was told.
    over: bool,
    /// How it stands, in the word that apps hear; empty: nobody has been called yet.
    status: &'static str,
    /// When he was called, when he answered, when it was over.
    times: [Option<UnixTime>; 3],
    /// Whoever keeps calls that are over has it.
    kept: bool,
}

/// Something that an app is told of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Which of the targets.
    pub place: usize,
    pub hook: Hook,
    pub more: Vec<(String, String)>,
}

impl Callee {
    /// One who is to be called. His call has its name on the slot of the caller's, where it is found.
    pub fn new(target: Target, from: &str, slot: Slot, rng: &mut Rng) -> Self {
        let high = rng.next_u64() & (u64::MAX >> 8) | u64::from(slot.0) << 56;
        let sid = format!("CA{high:016x}{:016x}", rng.next_u64());
        let to = match &target.who {
            Who::Client(name) => format!("client:{name}"),
            Who::Number(number) => number.clone(),
            Who::Sip(text) => bare(text).to_owned(),
        };
        Self { target, sid, from: from.to_owned(), to, ..Self::default() }
    }

    pub fn is_sip(&self) -> bool {
        matches!(self.target.who, Who::Sip(_))
    }

    /// What questions about this call say: those of its parent, in his name.
    pub fn said(&self, parent: &[(String, String)]) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for (name, value) in parent {
            let own = match name.as_str() {
                "AccountSid" | "ApiVersion" => value.clone(),
                "CallSid" => {
                    said.push(("ParentCallSid".to_owned(), value.clone()));
                    self.sid.clone()
                }
                "Direction" => "outbound-dial".to_owned(),
                "From" | "Caller" => self.from.clone(),
                "To" | "Called" => self.to.clone(),
                _ => continue,
            };
            said.push((name.clone(), own));
        }
        said
    }

    /// How it stands now: what the app that wants to know of that is told. `seconds`: how long it lasted.
    pub fn is_now(
        &mut self,
        status: &'static str,
        seconds: Option<u64>,
    ) -> Option<(Hook, Vec<(String, String)>)> {
        if self.over {
            return None;
        }
        let event = match status {
            "initiated" | "ringing" => status,
            "in-progress" => "answered",
            _ => "completed",
        };
        self.over = event == "completed";
        self.status = status;
        let (hook, events) = self.target.status.as_ref()?;
        if !events.iter().any(|wanted| wanted == event) {
            return None;
        }
        let mut more = vec![
            ("CallStatus".to_owned(), status.to_owned()),
            ("CallbackSource".to_owned(), "call-progress-events".to_owned()),
            ("SequenceNumber".to_owned(), self.sequence.to_string()),
        ];
        if self.over {
            more.push(("CallDuration".to_owned(), seconds.unwrap_or(0).to_string()));
        }
        self.sequence += 1;
        Some((hook.clone(), more))
    }

    /// Notes when it came to stand as it does.
    pub fn stamp(&mut self, now: UnixTime) {
        let [called, answered, ended] = &mut self.times;
        if !self.status.is_empty() {
            called.get_or_insert(now);
        }
        if self.status == "in-progress" {
            answered.get_or_insert(now);
        }
        if self.over {
            ended.get_or_insert(now);
        }
    }

    /// As the API shows it; `None`: he was not called yet.
    ///
    /// Spec: programmable-voice §6.3 (Call)
    pub fn row(&self, parent: &str) -> Option<Row> {
        let [called, answered, ended] = self.times;
        Some(Row {
            sid: self.sid.clone(),
            parent: parent.to_owned(),
            from: self.from.clone(),
            to: self.to.clone(),
            status: if self.status == "initiated" { "queued" } else { self.status }.to_owned(),
            direction: "outbound-dial".to_owned(),
            answered_by: self.answered_by.clone(),
            began: called?,
            answered,
            ended,
            ..Row::default()
        })
    }

    /// The same when it is over, once.
    pub fn over(&mut self, parent: &str) -> Option<Row> {
        let over = self.over && !std::mem::replace(&mut self.kept, self.over);
        over.then(|| self.row(parent)).flatten()
    }

    pub fn write(&self, writer: &mut tagged::Writer) {
        writer.text(1, &self.sid).text(2, &self.from).text(3, &self.to);
        writer.number(4, self.sequence.into()).number(5, self.is_sip().into());
        if let Some((hook, events)) = &self.target.status {
            writer.nested(6, |writer| write_hook(hook, writer)).text(7, &events.join(" "));
        }
        if !self.answered_by.is_empty() {
            writer.text(11, &self.answered_by);
        }
        for (tag, time) in (8..).zip(self.times) {
            if let Some(time) = time {
                writer.time(tag, time);
            }
        }
    }

    pub fn read(bytes: &[u8]) -> Self {
        let mut callee = Self::default();
        let (mut hook, mut events) = (None, Vec::new());
        for (tag, field) in tagged::Reader::new(bytes) {
            let string = || field.string().unwrap_or_default();
            match tag {
                1 => callee.sid = string(),
                2 => callee.from = string(),
                3 => callee.to = string(),
                4 => {
                    let number = field.number().and_then(|number| u32::try_from(number).ok());
                    callee.sequence = number.unwrap_or(0);
                }
                5 if field.number() == Some(1) => callee.target.who = Who::Sip(callee.to.clone()),
                6 => hook = Some(read_hook(field.0)),
                7 => events = string().split_whitespace().map(str::to_owned).collect(),
                8 => callee.times[0] = field.time(),
                9 => callee.times[1] = field.time(),
                10 => callee.times[2] = field.time(),
                11 => callee.answered_by = string(),
                _ => (), // A field of a newer version.
            }
        }
        callee.target.status = hook.map(|hook| (hook, events));
        // Only one who talks outlives a restart.
        callee.status = "in-progress";
        callee
    }
}

impl Default for Callee {
    fn default() -> Self {
        let target = Target::of(Who::Number(String::new()));
        let (sid, from, to) = (String::new(), String::new(), String::new());
        let (sequence, rang, over, kept) = (0, false, false, false);
        let (answered_by, status, times) = (String::new(), "", [None; 3]);
        Self { target, sid, from, to, sequence, answered_by, rang, over, status, times, kept }
    }
}

/// A SIP address without what follows its question mark.
pub fn bare(text: &str) -> &str {
    text.split_once('?').map_or(text, |(bare, _)| bare)
}

/// The header fields that a document adds to the INVITE of a target: of its address, and of its own list.
pub fn headers(target: &Target) -> Vec<(String, String)> {
    let text = match &target.who {
        Who::Sip(text) => text.as_str(),
        Who::Client(_) | Who::Number(_) => "",
    };
    let written = text.split_once('?').map_or("", |(_, headers)| headers);
    let of_address = written.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let plain =
            |text: &str| String::from_utf8_lossy(&sip::uri::unescape(text.as_bytes())).into_owned();
        Some((plain(name), plain(value)))
    });
    let mut octets = 0;
    let fits = |(name, value): &(String, String)| {
        let own = name.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("x-"))
            && !name.to_ascii_lowercase().starts_with("x-carillon-");
        let known = HEADERS_KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known));
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        octets += name.len() + value.len() + 4;
        (own || known)
            && name.chars().all(letters)
            && !value.chars().any(char::is_control)
            && octets <= HEADERS_OCTETS
    };
    of_address.chain(target.headers.iter().cloned()).filter(fits).take(HEADERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_that_documents_may_add() {
        let text = "sip:a@b.example?x-shop=7%208&Via=SIP/2.0&User-to-User=00;e=hex&x-odd=a%0d%0ab";
        let mut target = Target::of(Who::Sip(text.to_owned()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        target.headers = vec![
            pair("X-Two", "2"),
            pair("From", "<sip:x@y>"),
            pair("X-Carillon-Been-Here", "1"),
            pair("X-Long", &"a".repeat(HEADERS_OCTETS)),
            pair("X-Li ne", "1"),
        ];
        let found = headers(&target);
        assert_eq!(
            found,
            [pair("x-shop", "7 8"), pair("User-to-User", "00;e=hex"), pair("X-Two", "2")]
        );
        assert!(headers(&Target::of(Who::Number("1".to_owned()))).is_empty());
    }

    #[test]
    fn apps_hear_what_they_want_to_hear_once() {
        let mut target = Target::of(Who::Client("bob".to_owned()));
        let hook = Hook { url: "http://a.example/s".to_owned(), ..Hook::default() };
        let events = ["ringing", "completed"].map(str::to_owned).to_vec();
        target.status = Some((hook, events));
        let mut callee = Callee::new(target, "+1555", Slot(7), &mut Rng::from_number(1));
        assert!(callee.sid.starts_with("CA07") && callee.row("CA1").is_none());
        assert_eq!(callee.is_now("initiated", None), None);
        let first = callee.is_now("ringing", None).unwrap();
        assert!(first.1.contains(&("SequenceNumber".to_owned(), "0".to_owned())));
        let mut writer = tagged::Writer::new();
        callee.write(&mut writer);
        let mut callee = Callee::read(&writer.finish());
        assert_eq!(callee.is_now("in-progress", None), None);
        let last = callee.is_now("busy", None).unwrap();
        for pair in [("CallStatus", "busy"), ("SequenceNumber", "1"), ("CallDuration", "0")] {
            assert!(last.1.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{pair:?}");
        }
        assert_eq!(callee.is_now("completed", None), None);
        callee.stamp(UnixTime(9));
        let row = callee.over("CA1").unwrap();
        assert_eq!((&*row.status, &*row.parent, row.ended), ("busy", "CA1", Some(UnixTime(9))));
        assert_eq!(callee.over("CA1"), None);
        let parent = [("CallSid", "CA1"), ("To", "+1"), ("SipCallId", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let said = callee.said(&parent);
        assert!(said.contains(&("ParentCallSid".to_owned(), "CA1".to_owned())));
        assert!(said.contains(&("To".to_owned(), "client:bob".to_owned())));
        assert_eq!(said.len(), 3);
    }
}
