//! The answering side of the load: rings and answers at once, and says 200 to BYE.
//!
//! Picture     INVITE -> 180, 200 -> Answered --ACK--> Confirmed --BYE--> 200, (free)
//! Rules       The leg that arrives may be another one than the caller's (a back-to-back server), so nothing is
//!             shared with the caller: its own tag finds the place again.
//! Limits      GIVE_UP.
//! Not here    Sockets (generator).
//! Spec        RFC 3261 §13.3.1.4 (200 is repeated until its ACK), §12.1.1 (Record-Route is copied).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::SocketAddr;

use types::Instant;

use crate::caller::{GIVE_UP, sdp};
use crate::generator::Wires;
use crate::timers::{T1, Timers, pause};
use crate::wire::{Key, Seen, param};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Answered,
    Confirmed,
    Free,
}

struct Leg {
    turn: u32,
    state: State,
    socket: usize,
    peer: SocketAddr,
    /// Of (Call-ID, branch): finds the leg of a repeated INVITE.
    hash: u64,
    /// The 200, to be sent again.
    answer: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Timer {
    GiveUp,
    Retransmit(u8),
}

/// All legs of the answering side.
pub struct Callee {
    run: String,
    legs: Vec<Leg>,
    free: Vec<u32>,
    by_hash: HashMap<u64, u32>,
    hasher: RandomState,
    timers: Timers<(Key, Timer)>,
    body: String,
    /// 200s that were sent again.
    pub retransmitted: u64,
    /// Requests that came again.
    pub repeated: u64,
    /// Requests that break the protocol, and the first of them.
    pub wrong: u64,
    pub wrong_first: Option<String>,
}

impl Callee {
    /// No legs. `run` makes tags differ between runs.
    pub fn new(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            legs: Vec::new(),
            free: Vec::new(),
            by_hash: HashMap::new(),
            hasher: RandomState::new(),
            timers: Timers::default(),
            body: sdp(41_000),
            retransmitted: 0,
            repeated: 0,
            wrong: 0,
            wrong_first: None,
        }
    }

    /// When `tick` is next of use.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// A request came to the answering socket number `socket`.
    pub fn on_request(
        &mut self,
        seen: &Seen<'_>,
        (socket, from): (usize, SocketAddr),
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    ) {
        let own = param(seen.to, "tag").map(|tag| Key::parse_of(tag, "s", &self.run));
        match (seen.method, own) {
            (b"INVITE", None) => self.invited(seen, (socket, from), bytes, now, wires),
            (b"ACK", Some(Some(key))) => {
                if let Some(leg) = self.leg(key) {
                    leg.state = State::Confirmed;
                    leg.answer.clear();
                }
            }
            (b"BYE", Some(Some(key))) => {
                wires.send(socket, from, |out| respond(out, "200 OK", seen, None, &[]));
                match self.leg(key) {
                    Some(_) => self.forget(key),
                    None => self.repeated += 1,
                }
            }
            (b"ACK" | b"BYE", Some(None)) => self.repeated += 1, // Of an earlier run.
            _ => self.note_wrong("a request out of place", bytes),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, wires: &mut Wires) {
        while let Some((key, timer)) = self.timers.due(now) {
            let Some(leg) = self.leg(key) else { continue };
            match (leg.state, timer) {
                (State::Answered, Timer::Retransmit(attempt)) => {
                    wires.send(leg.socket, leg.peer, |out| out.extend_from_slice(&leg.answer));
                    self.retransmitted += 1;
                    let span = pause(attempt + 1, true);
                    self.timers.set(span, (key, Timer::Retransmit(attempt + 1)), now);
                }
                (State::Answered, Timer::GiveUp) => {
                    self.forget(key);
                }
                // Talking as long as the caller likes.
                (State::Confirmed | State::Free, _) => (),
            }
        }
    }

    fn invited(
        &mut self,
        seen: &Seen<'_>,
        (socket, from): (usize, SocketAddr),
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    ) {
        let hash = self.hasher.hash_one((seen.call_id, param(seen.via, "branch")));
        if let Some(place) = self.by_hash.get(&hash) {
            let leg = &self.legs[*place as usize];
            self.repeated += 1;
            return wires.send(socket, from, |out| out.extend_from_slice(&leg.answer));
        }
        if !seen.body.starts_with(b"v=0") || seen.contact.is_empty() {
            self.note_wrong("an INVITE without offer or Contact", bytes);
        }
        let fresh =
            Leg { turn: 0, state: State::Free, socket, peer: from, hash, answer: Vec::new() };
        let place = self.free.pop().unwrap_or_else(|| {
            self.legs.push(fresh);
            self.legs.len() as u32 - 1
        });
        let leg = &mut self.legs[place as usize];
        let key = Key { place, turn: leg.turn + 1 };
        (leg.turn, leg.state, leg.socket, leg.peer, leg.hash) =
            (key.turn, State::Answered, socket, from, hash);
        let dialog = Some((key, self.run.as_str(), wires.callee_addr(socket)));
        leg.answer.clear();
        respond(&mut leg.answer, "200 OK", seen, dialog, self.body.as_bytes());
        wires.send(socket, from, |out| respond(out, "180 Ringing", seen, dialog, &[]));
        wires.send(socket, from, |out| out.extend_from_slice(&leg.answer));
        self.by_hash.insert(hash, place);
        self.timers.set(T1, (key, Timer::Retransmit(0)), now);
        self.timers.set(GIVE_UP, (key, Timer::GiveUp), now);
    }

    fn leg(&mut self, key: Key) -> Option<&mut Leg> {
        let leg = self.legs.get_mut(key.place as usize)?;
        (leg.turn == key.turn && leg.state != State::Free).then_some(leg)
    }

    fn forget(&mut self, key: Key) {
        let leg = &mut self.legs[key.place as usize];
        leg.state = State::Free;
        self.by_hash.remove(&leg.hash);
        self.free.push(key.place);
    }

    fn note_wrong(&mut self, why: &str, bytes: &[u8]) {
        self.wrong += 1;
        if self.wrong_first.is_none() {
            let head = bytes.get(..bytes.len().min(400)).unwrap_or_default();
            self.wrong_first = Some(format!("{why}: {}", String::from_utf8_lossy(head)));
        }
    }
}

/// Spec: RFC 3261 §8.2.6.2.
fn respond(
    out: &mut Vec<u8>,
    status: &str,
    seen: &Seen<'_>,
    dialog: Option<(Key, &str, SocketAddr)>,
    body: &[u8],
) {
    let mut row = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    row("SIP/2.0 ", status.as_bytes());
    seen.vias.iter().for_each(|via| row("Via: ", via));
    if dialog.is_some() {
        seen.record_routes.iter().for_each(|route| row("Record-Route: ", route));
    }
    row("From: ", seen.from);
    row("Call-ID: ", seen.call_id);
    row("CSeq: ", seen.cseq);
    out.extend_from_slice(b"To: ");
    out.extend_from_slice(seen.to);
    if let Some((key, run, own)) = dialog {
        let _ = write!(out, ";tag=s{key}-{run}\r\nContact: <sip:callee@{own}>");
    }
    if !body.is_empty() {
        out.extend_from_slice(b"\r\nContent-Type: application/sdp");
    }
    let _ = write!(out, "\r\nContent-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::scan;

    const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 5_060);

    fn request(method: &str, to_tag: &str) -> Vec<u8> {
        format!(
            "{method} sip:u1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
             Record-Route: <sip:p;lr>\r\nFrom: <sip:a@b>;tag=a\r\nTo: <sip:b@b>{to_tag}\r\nCall-ID: x\r\n\
             CSeq: 1 {method}\r\nContact: <sip:a@b>\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        )
        .into_bytes()
    }

    fn give(callee: &mut Callee, wires: &mut Wires, bytes: &[u8]) -> Vec<Vec<u8>> {
        callee.on_request(&scan(bytes).unwrap(), (1, FROM.into()), bytes, Instant(0), wires);
        wires.take()
    }

    #[test]
    fn the_answer_is_repeated_until_its_own_ack_comes() {
        let (mut callee, mut wires) = (Callee::new("77v1"), Wires::detached());
        let invite = request("INVITE", "");
        let answers = give(&mut callee, &mut wires, &invite);
        assert_eq!(answers.len(), 2);
        let answer = scan(&answers[1]).unwrap();
        assert_eq!((answer.status, answer.record_routes.len()), (200, 1));
        assert_eq!(give(&mut callee, &mut wires, &invite), answers[1..], "asked again, said again");
        callee.tick(Instant::millis(500), &mut wires);
        assert_eq!(wires.take(), answers[1..]);
        give(&mut callee, &mut wires, &request("ACK", ";tag=s0.1-77v0"));
        callee.tick(Instant::millis(1_500), &mut wires);
        assert_eq!(wires.take(), answers[1..], "the ACK of an earlier run does not count");
        let tag = format!(";tag={}", String::from_utf8_lossy(param(answer.to, "tag").unwrap()));
        give(&mut callee, &mut wires, &request("ACK", &tag));
        callee.tick(Instant::seconds(9), &mut wires);
        assert_eq!(wires.take(), Vec::<Vec<u8>>::new());
        assert_eq!(give(&mut callee, &mut wires, &request("BYE", &tag)).len(), 1);
        assert_eq!(give(&mut callee, &mut wires, &request("BYE", &tag)).len(), 1);
        assert_eq!((callee.retransmitted, callee.wrong), (2, 0));
    }
}
