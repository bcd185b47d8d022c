//! Callers of a program: one presses a key and waits until it is hung up, another listens and hangs up by itself.
//!
//! Picture     Inviting --200--> ACK, INFO --> Talking --BYE of the server--> 200, (free)
//!             Listen: Talking --hold--> BYE --200--> (free)
//! Rules       As those of plain calls (caller): every call ends by its answer or by GIVE_UP.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use crate::caller::{DOMAIN, GIVE_UP, sdp};
use crate::generator::{Door, Scenario, Wires};
use crate::tally::Tally;
use crate::timers::{T1, Timers, pause};
use crate::wire::{Key, Seen, scan, uri};

/// What a caller does.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Listens for so long.
    Listen(Duration),
    /// Presses one key.
    Menu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ending,
    Free,
    Inviting,
    Proceeding,
    Talking,
}

struct Call {
    turn: u32,
    state: State,
    begun: Instant,
    target: Vec<u8>,
    to: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Timer {
    GiveUp,
    HangUp,
    Retransmit(u8),
}

/// All callers.
pub struct Programs {
    run: String,
    server: SocketAddr,
    number: String,
    script: Script,
    body: String,
    calls: Vec<Call>,
    free: Vec<u32>,
    timers: Timers<(Key, Timer)>,
    tally: Tally,
}

impl Programs {
    /// Calls to this number; what they hear goes to `port`.
    pub fn new(run: &str, server: SocketAddr, number: &str, script: Script, port: u16) -> Self {
        Self {
            run: run.to_owned(),
            server,
            number: number.to_owned(),
            script,
            // One codec that costs little to make, and keys.
            body: sdp(port).replace("RTP/AVP 96 9 8 0 101", "RTP/AVP 0 101"),
            calls: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            tally: Tally::default(),
        }
    }

    fn key_of(&self, seen: &Seen<'_>) -> Option<Key> {
        let key = Key::parse_of(seen.call_id, "c", &self.run)?;
        let call = self.calls.get(key.place as usize)?;
        (call.turn == key.turn && call.state != State::Free).then_some(key)
    }

    fn answered(&mut self, key: Key, seen: &Seen<'_>, now: Instant, wires: &mut Wires) {
        let call = &mut self.calls[key.place as usize];
        call.state = State::Talking;
        call.target = uri(seen.contact).to_vec();
        call.to = seen.to.to_vec();
        let took = now.since(call.begun).as_micros();
        self.tally.setup.push(u32::try_from(took).unwrap_or(u32::MAX));
        self.in_dialog(key, ("ACK", 1, ""), wires);
        match self.script {
            Script::Menu => self.in_dialog(key, ("INFO", 2, "Signal=1\r\nDuration=100\r\n"), wires),
            Script::Listen(hold) => self.timers.set(hold, (key, Timer::HangUp), now),
        }
    }

    fn over(&mut self, key: Key) {
        let call = &mut self.calls[key.place as usize];
        call.state = State::Free;
        call.turn += 1; // Late answers meet nothing.
        self.free.push(key.place);
    }

    fn from(&self, key: Key) -> String {
        format!("<sip:u{}@{DOMAIN}>;tag=f{key}", key.place % 200)
    }

    fn invite(&self, key: Key, wires: &mut Wires) {
        let (number, run, from) = (&self.number, &self.run, self.from(key));
        let script = if matches!(self.script, Script::Menu) { "menu" } else { "listen" };
        let (socket, own) = wires.caller(key.place);
        wires.send(socket, self.server, |out| {
            let _ = write!(
                out,
                "INVITE sip:{number}@{DOMAIN} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {own};branch=z9hG4bKc{key}-i{run};rport\r\nMax-Forwards: 70\r\n\
                 From: {from}\r\nTo: <sip:{number}@{DOMAIN}>\r\nCall-ID: c{key}-{run}\r\nCSeq: 1 INVITE\r\n\
                 Contact: <sip:caller@{own}>\r\nX-Script: {script}\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{}",
                self.body.len(),
                self.body
            );
        });
    }

    fn in_dialog(&self, key: Key, (method, cseq, body): (&str, u8, &str), wires: &mut Wires) {
        let (call, run, from) = (&self.calls[key.place as usize], &self.run, self.from(key));
        let (socket, own) = wires.caller(key.place);
        wires.send(socket, self.server, |out| {
            let _ = write!(out, "{method} ");
            out.extend_from_slice(&call.target);
            let _ = write!(
                out,
                " SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKc{key}-{cseq}{method}{run};rport\r\n\
                 Max-Forwards: 70\r\nFrom: {from}\r\nTo: "
            );
            out.extend_from_slice(&call.to);
            let kind = if body.is_empty() { "" } else { "Content-Type: application/dtmf-relay\r\n" };
            let _ = write!(
                out,
                "\r\nCall-ID: c{key}-{run}\r\nCSeq: {cseq} {method}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
        });
    }

    fn ack_refusal(&self, key: Key, to: &[u8], wires: &mut Wires) {
        let (number, run, from) = (&self.number, &self.run, self.from(key));
        let (socket, own) = wires.caller(key.place);
        wires.send(socket, self.server, |out| {
            let _ = write!(
                out,
                "ACK sip:{number}@{DOMAIN} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {own};branch=z9hG4bKc{key}-i{run};rport\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: "
            );
            out.extend_from_slice(to);
            let _ = write!(out, "\r\nCall-ID: c{key}-{run}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
        });
    }
}

/// Spec: RFC 3261 §8.2.6.2.
fn fine(out: &mut Vec<u8>, seen: &Seen<'_>) {
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for via in &seen.vias {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(via);
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in
        [("From", seen.from), ("To", seen.to), ("Call-ID", seen.call_id), ("CSeq", seen.cseq)]
    {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

impl Scenario for Programs {
    fn start(&mut self, now: Instant, wires: &mut Wires) {
        let place = self.free.pop().unwrap_or_else(|| {
            let (target, to) = (Vec::new(), Vec::new());
            self.calls.push(Call { turn: 0, state: State::Free, begun: now, target, to });
            self.calls.len() as u32 - 1
        });
        let call = &mut self.calls[place as usize];
        (call.turn, call.state, call.begun) = (call.turn + 1, State::Inviting, now);
        let key = Key { place, turn: call.turn };
        self.tally.offered += 1;
        self.invite(key, wires);
        self.timers.set(T1, (key, Timer::Retransmit(0)), now);
        self.timers.set(GIVE_UP, (key, Timer::GiveUp), now);
    }

    fn receive(
        &mut self,
        door: Door,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    ) {
        let (Some(seen), Door::Caller) = (scan(bytes), door) else {
            return self.tally.note_wrong("a message that is none, or at the wrong door", bytes);
        };
        let Some(key) = self.key_of(&seen) else {
            if seen.status == 0 && seen.method == b"BYE" {
                // Our answer was overtaken.
                let place = Key::parse_of(seen.call_id, "c", &self.run).map_or(0, |key| key.place);
                wires.send(wires.caller(place).0, from, |out| fine(out, &seen));
            }
            return self.tally.repeated += 1;
        };
        let state = self.calls[key.place as usize].state;
        match (state, seen.method, seen.status) {
            (_, b"BYE", 0) => {
                wires.send(wires.caller(key.place).0, from, |out| fine(out, &seen));
                self.tally.completed += 1;
                self.over(key);
            }
            (State::Inviting, b"INVITE", 100..=199) => {
                self.calls[key.place as usize].state = State::Proceeding;
            }
            (State::Inviting | State::Proceeding, b"INVITE", 200..=299) => {
                self.answered(key, &seen, now, wires);
            }
            (State::Inviting | State::Proceeding, b"INVITE", 300..) => {
                self.ack_refusal(key, seen.to, wires);
                *self.tally.refused.entry(seen.status).or_default() += 1;
                self.over(key);
            }
            (State::Talking, b"INVITE", 200..=299) => {
                self.tally.repeated += 1;
                self.in_dialog(key, ("ACK", 1, ""), wires); // Ours was lost.
            }
            (State::Ending, b"BYE", 200..) => {
                self.tally.completed += 1;
                self.over(key);
            }
            // Answers to INFO, and those that were overtaken.
            _ => (),
        }
    }

    fn tick(&mut self, now: Instant, wires: &mut Wires) {
        while let Some((key, timer)) = self.timers.due(now) {
            let call = &self.calls[key.place as usize];
            if call.turn != key.turn || call.state == State::Free {
                continue;
            }
            let state = call.state;
            match timer {
                // Who listens does so as long as he likes.
                Timer::GiveUp
                    if state == State::Talking && matches!(self.script, Script::Listen(_)) => {}
                Timer::GiveUp => {
                    self.tally.lost += 1;
                    self.over(key);
                }
                Timer::HangUp => {
                    self.calls[key.place as usize].state = State::Ending;
                    self.in_dialog(key, ("BYE", 3, ""), wires);
                    self.timers.set(GIVE_UP, (key, Timer::GiveUp), now);
                }
                Timer::Retransmit(attempt) if state == State::Inviting => {
                    self.tally.retransmitted += 1;
                    self.invite(key, wires);
                    let again = Timer::Retransmit(attempt + 1);
                    self.timers.set(pause(attempt + 1, false), (key, again), now);
                }
                Timer::Retransmit(_) => (),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    fn in_flight(&self) -> usize {
        self.calls.len() - self.free.len()
    }

    fn finish(self: Box<Self>) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 5_060);

    #[test]
    fn a_caller_presses_a_key_and_is_hung_up() {
        let mut calls = Programs::new("77v1", SERVER.into(), "+15550100", Script::Menu, 4_000);
        let mut wires = Wires::detached();
        calls.start(Instant(0), &mut wires);
        let invite = wires.take().remove(0);
        let seen = scan(&invite).unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let ok = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:b@[::1]:9>\r\nContent-Length: 0\r\n\r\n",
            text(seen.via),
            text(seen.from),
            text(seen.to),
            text(seen.call_id),
            text(seen.cseq)
        );
        let at = Instant::millis(4);
        calls.receive(Door::Caller, SERVER.into(), ok.as_bytes(), at, &mut wires);
        let sent = wires.take();
        assert!(sent[0].starts_with(b"ACK sip:b@[::1]:9 SIP/2.0\r\n"));
        assert!(sent[1].starts_with(b"INFO sip:b@[::1]:9 SIP/2.0\r\n"));
        let bye = format!(
            "BYE sip:caller@x SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:b@b>;tag=b\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: 9 BYE\r\nContent-Length: 0\r\n\r\n",
            text(seen.from),
            text(seen.call_id)
        );
        calls.receive(Door::Caller, SERVER.into(), bye.as_bytes(), at, &mut wires);
        assert!(wires.take()[0].starts_with(b"SIP/2.0 200 OK\r\n"));
        assert_eq!((calls.tally.completed, calls.in_flight()), (1, 0));
        assert_eq!(calls.tally.setup, [4_000]);
    }
}
