//! Registrations as a load: REGISTER, 401, REGISTER with digest, 200.
//!
//! Picture     Idle --start--> Asking --401--> Proving --200--> Idle
//! Rules       One binding at a time per place; its Call-ID stays, its CSeq grows. Every answer to a challenge is
//!             fresh: the load is two transactions a registration, for every server alike.
//! Limits      GIVE_UP.
//! Not here    Sockets and pacing (generator).
//! Spec        RFC 3261 §10.2, §22.

use std::io::Write;
use std::net::SocketAddr;

use types::Instant;

use crate::caller::{DOMAIN, GIVE_UP};
use crate::digest::Challenge;
use crate::generator::{Door, Scenario, Wires};
use crate::tally::Tally;
use crate::timers::{T1, Timers, pause};
use crate::wire::{Key, param, scan};

/// The password of all people of the load.
pub const PASSWORD: &str = "bench-secret";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asking,
    Idle,
    Proving,
}

#[derive(Clone)]
struct Binding {
    /// Counts requests: the CSeq, and what tells a late answer.
    cseq: u32,
    state: State,
    begun: Instant,
    /// The Authorization line, kept for a retransmission only.
    proof: Option<Box<str>>,
}

enum Timer {
    GiveUp { begun: Instant },
    Retransmit { cseq: u32, attempt: u8 },
}

/// Who registers.
#[derive(Clone, Debug)]
pub struct People {
    /// Names are this and a number.
    pub prefix: &'static str,
    /// How many users.
    pub users: usize,
    /// Bindings of each.
    pub contacts: usize,
}

impl People {
    /// Bindings of all.
    pub fn bindings(&self) -> usize {
        self.users * self.contacts
    }
}

/// REGISTER with digest, again and again over all bindings.
pub struct Registers {
    run: String,
    server: SocketAddr,
    people: People,
    bindings: Vec<Binding>,
    next: usize,
    busy: usize,
    timers: Timers<(u32, Timer)>,
    tally: Tally,
}

impl Registers {
    /// Nobody is registered yet. `run` makes Call-IDs differ between runs.
    pub fn new(run: &str, server: SocketAddr, people: People) -> Self {
        let idle = Binding { cseq: 0, state: State::Idle, begun: Instant(0), proof: None };
        Self {
            run: run.to_owned(),
            server,
            bindings: vec![idle; people.bindings()],
            people,
            next: 0,
            busy: 0,
            timers: Timers::default(),
            tally: Tally::default(),
        }
    }

    fn request(&mut self, place: u32, now: Instant, wires: &mut Wires) {
        self.bindings[place as usize].cseq += 1;
        let cseq = self.bindings[place as usize].cseq;
        self.write(place, wires);
        self.timers.set(T1, (place, Timer::Retransmit { cseq, attempt: 0 }), now);
    }

    fn write(&self, place: u32, wires: &mut Wires) {
        let (binding, prefix, run) =
            (&self.bindings[place as usize], self.people.prefix, &self.run);
        let (user, contact) =
            (place as usize / self.people.contacts, place as usize % self.people.contacts);
        let key = Key { place, turn: binding.cseq };
        let cseq = binding.cseq;
        let (socket, own) = wires.caller(place);
        let at = wires.callee_addr(user % wires.callees());
        wires.send(socket, self.server, |out| {
            let _ = write!(
                out,
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKr{key}-{run};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{prefix}{user}@{DOMAIN}>;tag=r{place:x}\r\n\
                 To: <sip:{prefix}{user}@{DOMAIN}>\r\nCall-ID: r{place:x}-{run}\r\nCSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:{prefix}{user}-{contact}@{at}>;expires=3600\r\n"
            );
            if let Some(proof) = &binding.proof {
                let _ = write!(out, "Authorization: {proof}\r\n");
            }
            let _ = write!(out, "User-Agent: Load generator\r\nContent-Length: 0\r\n\r\n");
        });
    }

    fn over(&mut self, place: u32) {
        let binding = &mut self.bindings[place as usize];
        (binding.state, binding.proof) = (State::Idle, None);
        self.busy -= 1;
    }
}

impl Scenario for Registers {
    fn start(&mut self, now: Instant, wires: &mut Wires) {
        self.tally.offered += 1;
        // One that is idle; with every one busy the load is more than its people can make.
        let count = self.bindings.len();
        let idle = (0..count).map(|step| (self.next + step) % count);
        let Some(place) = idle.into_iter().find(|place| self.bindings[*place].state == State::Idle)
        else {
            self.tally.lost += 1;
            return;
        };
        self.next = (place + 1) % count;
        let binding = &mut self.bindings[place];
        (binding.state, binding.begun) = (State::Asking, now);
        self.busy += 1;
        self.timers.set(GIVE_UP, (place as u32, Timer::GiveUp { begun: now }), now);
        self.request(place as u32, now, wires);
    }

    fn receive(&mut self, _: Door, _: SocketAddr, bytes: &[u8], now: Instant, wires: &mut Wires) {
        let Some(seen) = scan(bytes).filter(|seen| seen.status > 0) else {
            return self.tally.note_wrong("not a response", bytes);
        };
        let branch = param(seen.via, "branch").unwrap_or_default();
        let Some(key) = Key::parse_of(branch, "z9hG4bKr", &self.run) else {
            return self.tally.repeated += 1; // Of an earlier run.
        };
        let Some(binding) = self.bindings.get(key.place as usize) else {
            return self.tally.note_wrong("a response to nothing", bytes);
        };
        if binding.cseq != key.turn {
            return self.tally.repeated += 1;
        }
        match (binding.state, seen.status) {
            (State::Asking, 401 | 407) => {
                let Some(challenge) =
                    seen.challenges.iter().find_map(|value| Challenge::decode(value))
                else {
                    return self.tally.note_wrong("no MD5 challenge", bytes);
                };
                let user = key.place as usize / self.people.contacts;
                let user = format!("{}{user}", self.people.prefix);
                let cnonce = format!("{:x}{:x}", key.place, key.turn);
                let uri = format!("sip:{DOMAIN}");
                let proof = challenge.answer(&user, PASSWORD, "REGISTER", &uri, &cnonce);
                let binding = &mut self.bindings[key.place as usize];
                (binding.state, binding.proof) = (State::Proving, Some(proof.into()));
                self.request(key.place, now, wires);
            }
            (State::Asking | State::Proving, 200..=299) => {
                if seen.contact.is_empty() {
                    self.tally.note_wrong("a 200 without Contact", bytes);
                }
                let took = now.since(binding.begun).as_micros();
                self.tally.setup.push(u32::try_from(took).unwrap_or(u32::MAX));
                self.tally.completed += 1;
                self.over(key.place);
            }
            (State::Asking | State::Proving, 300..) => {
                *self.tally.refused.entry(seen.status).or_default() += 1;
                self.over(key.place);
            }
            (State::Idle, _) => self.tally.repeated += 1,
            (State::Asking | State::Proving, _) => (), // 100.
        }
    }

    fn tick(&mut self, now: Instant, wires: &mut Wires) {
        while let Some((place, timer)) = self.timers.due(now) {
            let binding = &self.bindings[place as usize];
            match timer {
                _ if binding.state == State::Idle => (),
                Timer::GiveUp { begun } if begun == binding.begun => {
                    self.tally.lost += 1;
                    self.over(place);
                }
                Timer::Retransmit { cseq, attempt } if cseq == binding.cseq => {
                    self.tally.retransmitted += 1;
                    self.write(place, wires);
                    let again = Timer::Retransmit { cseq, attempt: attempt + 1 };
                    self.timers.set(pause(attempt + 1, true), (place, again), now);
                }
                Timer::GiveUp { .. } | Timer::Retransmit { .. } => (), // Of an earlier one.
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    fn in_flight(&self) -> usize {
        self.busy
    }

    fn finish(self: Box<Self>) -> Tally {
        self.tally
    }
}
