//! The flight recorder's ring: the newest inputs of a shard, for the report of a panic.
//!
//! Picture     input --note--> ring <--touch-- the sessions whose room it reached; panic --> report
//! Rules       The ring's memory is taken once and never grows. A report has what was saved of the session, then the
//!             inputs since that reached it or no session at all, and last the one that broke the room. Proofs,
//!             passwords, tokens of the API and rows of the database are taken out of it; addresses, descriptions and push tokens
//!             stay.
//! Limits      INPUTS_MAX, OCTETS_MAX, INPUT_OCTETS_MAX.
//! Not here    The file (shell); recordings of whole shards (record).
//! Spec        none

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{Flow, SessionId};

use crate::input::{Clock, Input, Mail, Reply};
use crate::notice::Notice;
use crate::record::Frames;
use crate::store::Entry;

/// Inputs that are remembered.
pub const INPUTS_MAX: usize = 1_024;
/// Octets of them together.
pub const OCTETS_MAX: usize = 512 << 10;
/// A longer input is left out and counted as missing.
pub const INPUT_OCTETS_MAX: usize = 64 << 10;
/// Sessions of one input that are remembered; one that reached more counts for all.
const TOUCHED_MAX: usize = 2;
/// What stands for something secret.
const SECRET: &[u8] = b"(left out)";

/// What a report begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// The room that panicked.
    pub room: String,
    /// The session that it served, if it served one.
    pub session: Option<SessionId>,
    /// The panic's words.
    pub why: String,
    /// Inputs since the save that the ring did not have any more, of all sessions.
    pub missing: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Flight {
    items: VecDeque<Item>,
    /// The octets of all items, one behind the other, around the end.
    octets: Box<[u8]>,
    /// Where the next one begins.
    next: usize,
    free: usize,
    scratch: Vec<u8>,
    /// Inputs since the start.
    count: u64,
}

#[derive(Debug)]
struct Item {
    number: u64,
    clock: Clock,
    kind: Kind,
    start: usize,
    length: usize,
    touched: [SessionId; TOUCHED_MAX],
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The octets are a SIP message.
    Message(Flow),
    /// The octets are an input as the recorder writes it.
    Other,
    Tick,
}

impl Item {
    fn reached(&self, session: SessionId) -> bool {
        self.count > TOUCHED_MAX || self.touched.iter().take(self.count).any(|id| *id == session)
    }
}

impl Flight {
    pub(crate) fn new() -> Self {
        Self {
            items: VecDeque::with_capacity(INPUTS_MAX),
            octets: vec![0; OCTETS_MAX].into_boxed_slice(),
            next: 0,
            free: OCTETS_MAX,
            scratch: Vec::new(),
            count: 0,
        }
    }

    /// The number of the input at hand.
    pub(crate) fn number(&self) -> u64 {
        self.count
    }

    /// Remembers an input before it is handled.
    pub(crate) fn note(&mut self, input: &Input<'_>, clock: Clock) {
        self.count += 1;
        match input {
            // The log has it.
            Input::Adopt(_) => (),
            Input::Message { flow, bytes } => self.push(clock, Kind::Message(*flow), bytes),
            Input::Tick => {
                // One that reached nobody stands for those before it.
                if self.items.back().is_some_and(|item| item.kind == Kind::Tick && item.count == 0)
                {
                    self.items.pop_back();
                }
                self.push(clock, Kind::Tick, &[]);
            }
            other @ (Input::Api(_)
            | Input::Begin
            | Input::Crowded(_)
            | Input::Drain
            | Input::FlowClosed { .. }
            | Input::LogBack
            | Input::LogFailed
            | Input::LogPaused { .. }
            | Input::Mail(_)
            | Input::Media(_)
            | Input::Reply { .. }
            | Input::Undelivered { .. }) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                scratch = postcard::to_extend(other, scratch).unwrap_or_default();
                self.push(clock, Kind::Other, &scratch);
                if scratch.capacity() <= INPUT_OCTETS_MAX {
                    self.scratch = scratch;
                }
            }
        }
    }

    /// The input at hand reached a session.
    pub(crate) fn touch(&mut self, session: SessionId) {
        let number = self.count;
        let Some(item) = self.items.back_mut().filter(|item| item.number == number) else { return };
        if item.reached(session) {
            return;
        }
        if let Some(place) = item.touched.get_mut(item.count) {
            *place = session;
        }
        item.count += 1;
    }

    fn push(&mut self, clock: Clock, kind: Kind, octets: &[u8]) {
        if octets.len() > INPUT_OCTETS_MAX {
            return;
        }
        while self.items.len() >= INPUTS_MAX || self.free < octets.len() {
            let Some(gone) = self.items.pop_front() else { break };
            self.free += gone.length;
        }
        let start = self.next;
        let (first, rest) = octets.split_at(octets.len().min(OCTETS_MAX - start));
        self.octets[start..start + first.len()].copy_from_slice(first);
        self.octets[..rest.len()].copy_from_slice(rest);
        self.next = (start + octets.len()) % OCTETS_MAX;
        self.free -= octets.len();
        let (number, length) = (self.count, octets.len());
        let touched = [SessionId::default(); TOUCHED_MAX];
        self.items.push_back(Item { number, clock, kind, start, length, touched, count: 0 });
    }

    fn read(&self, item: &Item) -> Vec<u8> {
        let end = item.start + item.length;
        let mut octets = self.octets[item.start..end.min(OCTETS_MAX)].to_vec();
        octets.extend_from_slice(&self.octets[..end.saturating_sub(OCTETS_MAX)]);
        octets
    }

    /// What is known of a panic, as frames of a recording. `saved`: the session as it was saved, by which input.
    pub(crate) fn report(
        &self,
        shard: usize,
        mut crash: Crash,
        saved: Option<(Entry, u64)>,
        clock: Clock,
    ) -> Vec<u8> {
        let since = saved.as_ref().map_or(0, |(_, number)| *number);
        let oldest = self.items.front().map_or(self.count, |item| item.number);
        crash.missing = if saved.is_some() { oldest.saturating_sub(since + 1) } else { 0 };
        let mut frames = Frames::new(shard);
        frames.crash(&crash);
        if let Some((entry, _)) = saved {
            frames.step(clock, &Input::Adopt(entry));
        }
        for item in &self.items {
            let last = item.number == self.count;
            let own = crash.session.is_some_and(|session| item.reached(session));
            let general = item.count == 0 && !matches!(item.kind, Kind::Message(_));
            if item.number > since && (own || general) || last {
                let octets = self.read(item);
                match item.kind {
                    Kind::Message(flow) => {
                        let bytes = without_proofs(&octets);
                        frames.step(item.clock, &Input::Message { flow, bytes: &bytes });
                    }
                    Kind::Other => {
                        if let Ok(input) = postcard::from_bytes(&octets) {
                            frames.step(item.clock, &without_secrets(input));
                        }
                    }
                    Kind::Tick => frames.step(item.clock, &Input::Tick),
                }
            }
        }
        frames.finish()
    }
}

/// A message whose proofs are left out, and what people write to each other: as many letters stand in its place.
fn without_proofs(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let written = message.starts_with(b"MESSAGE ");
    let (mut in_head, mut in_proof) = (true, false);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if in_head && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii();
            in_proof = name.eq_ignore_ascii_case(b"authorization")
                || name.eq_ignore_ascii_case(b"proxy-authorization");
            in_head = !line.trim_ascii().is_empty();
            if in_proof {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(SECRET);
                out.extend_from_slice(b"\r\n");
            }
        }
        if !in_head && written && !line.trim_ascii().is_empty() {
            out.extend(
                line.iter().map(|octet| if octet.is_ascii_control() { *octet } else { b'x' }),
            );
        } else if !in_proof || !in_head {
            out.extend_from_slice(line);
        }
    }
    out
}

fn without_secrets(mut input: Input<'_>) -> Input<'_> {
    match &mut input {
        Input::Api(request) | Input::Mail(Mail::Api(request)) => {
            request.bearer.clear();
            // A new user's body has his password.
            request.body = SECRET.to_vec();
        }
        Input::Mail(Mail::Notice(Notice::LetterWanted(plan))) => plan.body = SECRET.to_vec(),
        Input::Mail(Mail::Notice(Notice::MessageSent(facts))) => facts.body = SECRET.to_vec(),
        Input::Mail(Mail::Notice(Notice::UserChanged(user))) => user.verifiers.clear(),
        Input::Reply { reply: Reply::Rows(Ok(rows)), .. } => rows.clear(),
        Input::Undelivered { bytes, .. } => *bytes = without_proofs(bytes),
        Input::Adopt(_)
        | Input::Begin
        | Input::Crowded(_)
        | Input::Drain
        | Input::FlowClosed { .. }
        | Input::LogBack
        | Input::LogFailed
        | Input::LogPaused { .. }
        | Input::Mail(_)
        | Input::Media(_)
        | Input::Message { .. }
        | Input::Reply { .. }
        | Input::Tick => (),
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ApiRequest;
    use crate::record::{Frame, MAGIC, Replay};
    use types::{Instant, UnixTime};

    fn at(second: u64) -> Clock {
        Clock { now: Instant::seconds(second), unix: UnixTime::seconds(1_000 + second) }
    }

    fn crash(session: Option<SessionId>) -> Crash {
        Crash { room: "odd".into(), session, why: "on purpose".into(), missing: 0 }
    }

    #[test]
    fn what_people_write_is_left_out_of_a_report() {
        let text =
            b"MESSAGE sip:a SIP/2.0\r\nSubject: tea\r\nContent-Length: 9\r\n\r\nhow\r\n\xc3\xa4!x";
        let shown = without_proofs(text);
        assert!(
            shown.ends_with(b"Content-Length: 9\r\n\r\nxxx\r\nxxxx"),
            "{}",
            shown.escape_ascii()
        );
        assert_eq!(shown.len(), text.len());
        let offer = b"INVITE sip:a SIP/2.0\r\n\r\nv=0\r\n";
        assert_eq!(without_proofs(offer), offer);
    }

    fn words(report: &[u8]) -> Vec<String> {
        let file = [MAGIC.as_slice(), report].concat();
        let mut found = Vec::new();
        for (_, frame) in Replay::new(&file).unwrap() {
            found.push(match frame {
                Frame::Crash(crash) => format!("crash missing {}", crash.missing),
                Frame::Step { input: Input::Message { bytes, .. }, .. } => {
                    String::from_utf8_lossy(bytes).into_owned()
                }
                Frame::Step { input, .. } => format!("{input:?}"),
                Frame::Start(_) => "start".into(),
            });
        }
        found
    }

    #[test]
    fn a_report_has_what_reached_the_session_and_no_secrets() {
        let mut flight = Flight::new();
        let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
        let (own, other) = (SessionId(7), SessionId(8));
        let proof = b"INVITE sip:b@home.test SIP/2.0\r\nauthorization: Digest response=\"abc\",\r\n more=\"abc\"\r\nTo: b\r\n\r\nAuthorization: body";
        for (second, bytes, session) in
            [(1, proof.as_slice(), own), (2, b"BYE other", other), (3, b"BYE own", own)]
        {
            flight.note(&Input::Message { flow, bytes }, at(second));
            flight.touch(session);
            flight.touch(session);
        }
        let body = b"{\"password\":\"abc\"}".to_vec();
        let request =
            ApiRequest { bearer: "abc".into(), body, room: "odd".into(), ..ApiRequest::default() };
        flight.note(&Input::Api(request), at(4));
        flight.note(&Input::Tick, at(5));
        flight.note(&Input::Tick, at(6));
        flight.note(&Input::Message { flow, bytes: b"OPTIONS the last" }, at(7));
        let found = words(&flight.report(0, crash(Some(own)), None, at(7)));
        let begins = ["crash missing 0", "INVITE", "BYE own", "Api", "Tick", "OPTIONS the last"];
        assert_eq!(found.len(), begins.len(), "{found:#?}");
        for (line, begin) in found.iter().zip(begins) {
            assert!(line.starts_with(begin), "{found:#?}");
            assert!(!line.contains("abc"), "{found:#?}");
        }
        assert!(found[1].ends_with("To: b\r\n\r\nAuthorization: body"), "{}", found[1]);
        let entry = Entry { slot: types::Slot(0), kind: 2, key: 7, body: Vec::new(), last: false };
        let found = words(&flight.report(0, crash(Some(own)), Some((entry, 1)), at(7)));
        assert!(found[1].starts_with("Adopt") && found[2] == "BYE own", "{found:#?}");
    }

    #[test]
    fn the_ring_keeps_the_newest_and_says_what_it_lost() {
        let mut flight = Flight::new();
        let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
        let mut rng = types::Rng::from_number(3);
        let mut made: Vec<Vec<u8>> = Vec::new();
        for number in 0..5_000u64 {
            let mut bytes = number.to_be_bytes().to_vec();
            bytes.resize(8 + rng.below(1_500) as usize, number as u8);
            flight.note(&Input::Message { flow, bytes: &bytes }, at(number));
            flight.touch(SessionId(1));
            made.push(bytes);
            let used: usize = flight.items.iter().map(|item| item.length).sum();
            assert!(flight.items.len() <= INPUTS_MAX && used + flight.free == OCTETS_MAX);
        }
        let kept: Vec<_> = flight.items.iter().map(|item| flight.read(item)).collect();
        assert!(kept.len() > 300);
        assert_eq!(kept, made[made.len() - kept.len()..]);
        let entry = Entry { slot: types::Slot(0), kind: 2, key: 1, body: Vec::new(), last: false };
        let report = flight.report(0, crash(Some(SessionId(1))), Some((entry, 1)), at(1));
        let missing = 5_000 - kept.len() as u64 - 1;
        assert_eq!(words(&report)[0], format!("crash missing {missing}"));
        flight.note(&Input::Message { flow, bytes: &vec![0; INPUT_OCTETS_MAX + 1] }, at(1));
        flight.touch(SessionId(2));
        assert!(flight.items.iter().all(|item| !item.reached(SessionId(2))));
    }
}
