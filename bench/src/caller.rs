//! The calling side of the load: one place per call in flight.
//!
//! Picture     Inviting --1xx--> Proceeding --200--> Talking --hold--> Ending --200--> (free)
//! Rules       Requests are written anew for each retransmission from what the place holds. A late answer meets a
//!             place whose turn is over and is ignored. Every call ends: by its answer or by GIVE_UP.
//! Limits      GIVE_UP.
//! Not here    Sockets and pacing (generator), the answering side (callee).
//! Spec        RFC 3261 §12.2.1.1 (route set), §13.2.2.4 (ACK), §17.1 (timers).

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use crate::generator::Wires;
use crate::tally::Tally;
use crate::timers::{T1, Timers, pause};
use crate::wire::{Key, Seen, param, uri};

/// How long a unit of load waits for an answer. Shorter than RFC 3261's 32 s, so that a step's tail is bounded; a unit
/// given up is lost all the same.
pub const GIVE_UP: Duration = Duration::from_secs(8);

/// The domain of all people of the load. Spec: RFC 6761 reserves it.
pub const DOMAIN: &str = "bench.test";

/// The offer and the answer, of the length that phones send.
pub fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 3841021 3841021 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 96 9 8 0 101\r\na=rtpmap:96 opus/48000/2\r\n\
         a=fmtp:96 useinbandfec=1;minptime=10\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
         a=ptime:20\r\na=maxptime:150\r\na=rtcp:{}\r\na=sendrecv\r\n",
        port + 1
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ending,
    Free,
    Inviting,
    Proceeding,
    Talking,
}

#[derive(Debug)]
struct Call {
    turn: u32,
    state: State,
    begun: Instant,
    user: usize,
    /// From the 200: where requests within the dialog go, by whom, and to whom.
    target: Vec<u8>,
    routes: Vec<u8>,
    to: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    GiveUp,
    HangUp,
    Retransmit { state: State, attempt: u8 },
}

/// All calls of the calling side.
pub struct Caller {
    run: String,
    server: SocketAddr,
    users: usize,
    hold: Duration,
    calls: Vec<Call>,
    free: Vec<u32>,
    timers: Timers<(Key, Timer)>,
    next_user: usize,
    body: String,
    pub tally: Tally,
}

impl Caller {
    /// Calls go to `u0` … of `users`, through `server`. `run` makes Call-IDs differ between runs.
    pub fn new(run: &str, server: SocketAddr, users: usize, hold: Duration) -> Self {
        Self {
            run: run.to_owned(),
            server,
            users,
            hold,
            calls: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            next_user: 0,
            body: sdp(40_000),
            tally: Tally::default(),
        }
    }

    /// Calls that have not ended.
    pub fn in_flight(&self) -> usize {
        self.calls.len() - self.free.len()
    }

    /// When `tick` is next of use.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Begins one call.
    pub fn start(&mut self, now: Instant, wires: &mut Wires) {
        let user = self.next_user;
        self.next_user = (self.next_user + 1) % self.users;
        let place = self.free.pop().unwrap_or_else(|| {
            self.calls.push(Call {
                turn: 0,
                state: State::Free,
                begun: now,
                user,
                target: Vec::new(),
                routes: Vec::new(),
                to: Vec::new(),
            });
            self.calls.len() as u32 - 1
        });
        let call = &mut self.calls[place as usize];
        (call.turn, call.state, call.begun, call.user) =
            (call.turn + 1, State::Inviting, now, user);
        let key = Key { place, turn: call.turn };
        self.tally.offered += 1;
        self.invite(key, wires);
        self.timers.set(T1, (key, Timer::Retransmit { state: State::Inviting, attempt: 0 }), now);
        self.timers.set(GIVE_UP, (key, Timer::GiveUp), now);
    }

    /// A response came to one of the callers' sockets.
    pub fn on_response(&mut self, seen: &Seen<'_>, bytes: &[u8], now: Instant, wires: &mut Wires) {
        let Some(key) = Key::parse_of(seen.call_id, "c", &self.run) else {
            return self.tally.repeated += 1; // Of an earlier run.
        };
        let Some(call) = self.calls.get(key.place as usize).filter(|call| call.turn == key.turn)
        else {
            return self.tally.repeated += 1; // Of a call that is over.
        };
        if seen.vias.len() != 1
            || Key::parse(param(seen.via, "branch").unwrap_or_default(), "z9hG4bKc") != Some(key)
        {
            return self.tally.note_wrong("a response with a Via that is not ours", bytes);
        }
        match (call.state, seen.method, seen.status) {
            (State::Inviting, b"INVITE", 100..=199) => {
                self.calls[key.place as usize].state = State::Proceeding
            }
            (State::Inviting | State::Proceeding, b"INVITE", 200..=299) => {
                self.answered(key, seen, bytes, now, wires)
            }
            (State::Inviting | State::Proceeding, b"INVITE", 300..) => {
                self.ack_refusal(key, seen.to, wires);
                self.over(key, Some(seen.status));
            }
            (State::Ending, b"BYE", 200..=299) => self.over(key, None),
            (State::Ending, b"BYE", 300..) => self.over(key, Some(seen.status)),
            (State::Talking | State::Ending, b"INVITE", 200..=299) => {
                self.tally.repeated += 1;
                self.in_dialog(key, "ACK", wires); // Ours was lost.
            }
            // Ringing, and answers that were overtaken.
            _ => (),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, wires: &mut Wires) {
        while let Some((key, timer)) = self.timers.due(now) {
            let call = &self.calls[key.place as usize];
            if call.turn != key.turn || call.state == State::Free {
                continue;
            }
            match timer {
                Timer::GiveUp if self.hold.is_zero() || call.state != State::Talking => {
                    self.tally.lost += 1;
                    self.forget(key);
                }
                Timer::GiveUp => (), // It was answered; BYE has a limit of its own.
                Timer::HangUp => self.hang_up(key, now, wires),
                Timer::Retransmit { state, attempt } if state == call.state => {
                    self.tally.retransmitted += 1;
                    match state {
                        State::Inviting => self.invite(key, wires),
                        _ => self.in_dialog(key, "BYE", wires),
                    }
                    let again = Timer::Retransmit { state, attempt: attempt + 1 };
                    self.timers.set(
                        pause(attempt + 1, state != State::Inviting),
                        (key, again),
                        now,
                    );
                }
                Timer::Retransmit { .. } => (),
            }
        }
    }

    fn answered(
        &mut self,
        key: Key,
        seen: &Seen<'_>,
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    ) {
        if param(seen.to, "tag").is_none()
            || seen.contact.is_empty()
            || !seen.body.starts_with(b"v=0")
        {
            self.tally.note_wrong("a 200 without tag, Contact or answer", bytes);
        }
        let call = &mut self.calls[key.place as usize];
        call.state = State::Talking;
        call.target.clear();
        call.target.extend_from_slice(uri(seen.contact));
        call.to.clear();
        call.to.extend_from_slice(seen.to);
        call.routes.clear();
        for route in seen.record_routes.iter().rev() {
            call.routes.extend_from_slice(b"Route: ");
            call.routes.extend_from_slice(route);
            call.routes.extend_from_slice(b"\r\n");
        }
        let took = now.since(call.begun).as_micros();
        self.tally.setup.push(u32::try_from(took).unwrap_or(u32::MAX));
        self.in_dialog(key, "ACK", wires);
        if self.hold.is_zero() {
            self.hang_up(key, now, wires);
        } else {
            self.timers.set(self.hold, (key, Timer::HangUp), now);
        }
    }

    fn hang_up(&mut self, key: Key, now: Instant, wires: &mut Wires) {
        self.calls[key.place as usize].state = State::Ending;
        self.in_dialog(key, "BYE", wires);
        self.timers.set(T1, (key, Timer::Retransmit { state: State::Ending, attempt: 0 }), now);
        if !self.hold.is_zero() {
            self.timers.set(GIVE_UP, (key, Timer::GiveUp), now);
        }
    }

    fn over(&mut self, key: Key, refused: Option<u16>) {
        match refused {
            Some(status) => *self.tally.refused.entry(status).or_default() += 1,
            None => self.tally.completed += 1,
        }
        self.forget(key);
    }

    fn forget(&mut self, key: Key) {
        self.calls[key.place as usize].state = State::Free;
        self.calls[key.place as usize].turn += 1; // Late answers meet nothing.
        self.free.push(key.place);
    }

    fn invite(&self, key: Key, wires: &mut Wires) {
        let (user, from, run) = (self.calls[key.place as usize].user, self.from(key), &self.run);
        let (socket, own) = wires.caller(key.place);
        wires.send(socket, self.server, |out| {
            let _ = write!(
                out,
                "INVITE sip:u{user}@{DOMAIN} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {own};branch=z9hG4bKc{key}-i{run};rport\r\nMax-Forwards: 70\r\n\
                 From: {from}\r\nTo: <sip:u{user}@{DOMAIN}>\r\nCall-ID: c{key}-{run}\r\nCSeq: 1 INVITE\r\n\
                 Contact: <sip:caller@{own}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY\r\n\
                 Accept: application/sdp\r\nAllow-Events: talk, hold, refer\r\nSupported: replaces\r\nUser-Agent: Load generator\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{}",
                self.body.len(),
                self.body
            );
        });
    }

    /// Another of our people calls: a server may refuse a stranger who wears our domain.
    fn from(&self, key: Key) -> String {
        let user = (self.calls[key.place as usize].user + 1) % self.users;
        format!("\"Load Caller\" <sip:u{user}@{DOMAIN}>;tag=f{key}")
    }

    fn ack_refusal(&self, key: Key, to: &[u8], wires: &mut Wires) {
        let (user, from, run) = (self.calls[key.place as usize].user, self.from(key), &self.run);
        let (socket, own) = wires.caller(key.place);
        wires.send(socket, self.server, |out| {
            let _ = write!(
                out,
                "ACK sip:u{user}@{DOMAIN} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {own};branch=z9hG4bKc{key}-i{run};rport\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: "
            );
            out.extend_from_slice(to);
            let _ = write!(out, "\r\nCall-ID: c{key}-{run}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
        });
    }

    /// ACK to a 200, or BYE.
    fn in_dialog(&self, key: Key, method: &str, wires: &mut Wires) {
        let (call, from, run) = (&self.calls[key.place as usize], self.from(key), &self.run);
        let (socket, own) = wires.caller(key.place);
        let (cseq, mark) = if method == "ACK" { (1, 'a') } else { (2, 'b') };
        wires.send(socket, self.server, |out| {
            let _ = write!(out, "{method} ");
            out.extend_from_slice(&call.target);
            let _ = write!(
                out,
                " SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKc{key}-{mark}{run};rport\r\nMax-Forwards: 70\r\n"
            );
            out.extend_from_slice(&call.routes);
            let _ = write!(out, "From: {from}\r\nTo: ");
            out.extend_from_slice(&call.to);
            let _ = write!(
                out,
                "\r\nCall-ID: c{key}-{run}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::scan;

    const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 5_060);

    fn open() -> (Caller, Wires) {
        (Caller::new("77v1", SERVER.into(), 10, Duration::ZERO), Wires::detached())
    }

    fn respond(
        caller: &mut Caller,
        wires: &mut Wires,
        request: &[u8],
        status: &str,
        more: &str,
        at: u64,
    ) {
        let seen = scan(request).unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let response = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}",
            text(seen.via),
            text(seen.from),
            text(seen.to),
            text(seen.call_id),
            text(seen.cseq)
        );
        let bytes = response.as_bytes();
        caller.on_response(&scan(bytes).unwrap(), bytes, Instant::millis(at), wires);
    }

    const ANSWER: &str = "Contact: <sip:b@[::1]:9>\r\nRecord-Route: <sip:last;lr>\r\n\
        Record-Route: <sip:first;lr>\r\nContent-Length: 5\r\n\r\nv=0\r\n";

    #[test]
    fn a_silent_server_gets_the_timers_of_the_rfc_and_the_call_is_lost() {
        let (mut caller, mut wires) = open();
        caller.start(Instant(0), &mut wires);
        let mut sent_at = vec![];
        for tenth in 0..100 {
            caller.tick(Instant::millis(tenth * 100), &mut wires);
            sent_at.extend(wires.take().iter().map(|_| tenth * 100));
        }
        assert_eq!(sent_at, [0, 500, 1_500, 3_500, 7_500]);
        assert_eq!((caller.tally.lost, caller.in_flight(), caller.tally.retransmitted), (1, 0, 4));
    }

    #[test]
    fn a_call_goes_by_its_route_set_and_repeats_its_ack() {
        let (mut caller, mut wires) = open();
        caller.start(Instant(0), &mut wires);
        let invite = wires.take().remove(0);
        assert!((800..1_000).contains(&invite.len()), "of a usual length: {}", invite.len());
        respond(&mut caller, &mut wires, &invite, "180 Ringing", "\r\n", 1);
        respond(&mut caller, &mut wires, &invite, "200 OK", ANSWER, 7);
        let sent = wires.take();
        let ack = String::from_utf8(sent[0].clone()).unwrap();
        assert!(ack.starts_with("ACK sip:b@[::1]:9 SIP/2.0\r\n"), "{ack}");
        assert!(ack.contains("Route: <sip:first;lr>\r\nRoute: <sip:last;lr>\r\n"), "{ack}");
        assert!(sent[1].starts_with(b"BYE sip:b@[::1]:9 SIP/2.0\r\n"));
        respond(&mut caller, &mut wires, &invite, "200 OK", ANSWER, 8);
        assert!(wires.take()[0].starts_with(b"ACK "));
        respond(&mut caller, &mut wires, &sent[1], "200 OK", "\r\n", 9);
        assert_eq!((caller.tally.completed, caller.tally.wrong, caller.in_flight()), (1, 0, 0));
        assert_eq!(caller.tally.setup, [7_000]);
    }

    #[test]
    fn a_refusal_is_acknowledged_and_counted() {
        let (mut caller, mut wires) = open();
        caller.start(Instant(0), &mut wires);
        let invite = wires.take().remove(0);
        respond(&mut caller, &mut wires, &invite, "503 Full", "\r\n", 1);
        let ack = wires.take().remove(0);
        assert!(ack.starts_with(b"ACK sip:u0@bench.test SIP/2.0\r\n"));
        assert_eq!(scan(&ack).unwrap().via, scan(&invite).unwrap().via);
        assert_eq!(caller.tally.refused.get(&503), Some(&1));
    }

    #[test]
    fn an_earlier_run_and_a_bad_answer_are_told_apart() {
        let (mut earlier, mut wires) = open();
        earlier.run = "77v0".to_owned();
        earlier.start(Instant(0), &mut wires);
        let old = wires.take().remove(0);
        let (mut caller, mut wires) = open();
        caller.start(Instant(0), &mut wires);
        let new = wires.take().remove(0);
        respond(&mut caller, &mut wires, &old, "200 OK", ANSWER, 1);
        assert_eq!((caller.tally.repeated, caller.tally.setup.len()), (1, 0));
        respond(&mut caller, &mut wires, &new, "200 OK", "\r\n", 2);
        assert_eq!(caller.tally.wrong, 1, "no Contact and no answer");
    }
}
