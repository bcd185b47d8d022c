//! A stream with more than two legs: what each says is taken apart, and put together anew for each.
//!
//! Picture     Passing --somebody shall hear something else than what passes--> Priming --both sides heard--> Mixing
//!             Mixing --nobody does any more--> Passing
//! Rules       Guests who only listen change nothing for the sides: their packets still pass. While the buffers of
//!             the sides fill, packets pass on, so that the change makes no gap. Every hearer gets one packet a tick,
//!             silence too. Keys that somebody presses go to all who are heard and know events. Control of others
//!             ends here: in a mix the reports are ours.
//! Limits      [`GUESTS_MAX`](crate::GUESTS_MAX); PRIMING_MAX; KEYS_MAX reports of keys per tick, the others are lost.
//! Not here    Sums (mixer), buffers (jitter), numbers (trail).
//! Spec        RFC 3550 §6.4.1, RFC 4733 §2.5, RFC 7667 §3.6.

use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use super::{Leg, Stream, target};
use crate::Voice;
use crate::codec::{Decoder, Encoder, FRAME, PACKET_MAX};
use crate::jitter::Jitter;
use crate::mixer::{self, Mixer};
use crate::rtp::{HEADER_MIN, Kind, Packet};
use crate::words::Seat;

/// How often each hearer gets a sender report.
///
/// Spec: RFC 3550 §6.2
pub const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long packets pass on while the buffers of the sides fill, when one of them says nothing.
const PRIMING_MAX: Duration = Duration::from_millis(60);

/// Reports of pressed keys that wait for a tick.
const KEYS_MAX: usize = 32;

/// Comfort noise: silence that is said.
///
/// Spec: RFC 3389 §4
const COMFORT_NOISE: u8 = 13;

/// The mixing part of a stream.
#[derive(Debug, Default)]
pub(super) struct Mix {
    /// By seat, less the two sides.
    pub(super) guests: Vec<Option<Leg>>,
    pub(super) desk: Desk,
}

/// What is to be mixed.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: State,
    /// By seat: what it says.
    ears: Vec<Option<Ear>>,
    keys: Vec<Key>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Passing,
    Priming {
        since: Instant,
    },
    Mixing,
}

/// What one leg says, and what was done with it.
#[derive(Debug)]
struct Ear {
    jitter: Jitter,
    pcm: [i16; FRAME],
    /// Mean of the samples without their sign, falling slowly.
    level: u32,
    /// It is in the sum of this tick.
    chosen: bool,
    reported: Option<Instant>,
    /// The key that it presses: its own time, and when it began here.
    pressing: Option<(u32, Instant)>,
}

/// A report of a pressed key on its way to the others.
#[derive(Clone, Copy, Debug)]
struct Key {
    seat: u16,
    marker: bool,
    began: Instant,
    payload: [u8; 4],
}

impl Ear {
    fn new() -> Self {
        Self {
            jitter: Jitter::new(),
            pcm: [0; FRAME],
            level: 0,
            chosen: false,
            reported: None,
            pressing: None,
        }
    }
}

/// All legs of a stream, by seat.
struct Legs<'a> {
    a: &'a mut Leg,
    b: &'a mut Leg,
    guests: &'a mut [Option<Leg>],
}

impl Legs<'_> {
    fn get(&self, seat: u16) -> Option<&Leg> {
        match seat {
            0 => Some(self.a),
            1 => Some(self.b),
            _ => self.guests.get(usize::from(seat) - 2)?.as_ref(),
        }
    }

    fn get_mut(&mut self, seat: u16) -> Option<&mut Leg> {
        match seat {
            0 => Some(self.a),
            1 => Some(self.b),
            _ => self.guests.get_mut(usize::from(seat) - 2)?.as_mut(),
        }
    }

    /// Who may say what: `None` for an empty seat.
    fn voice(&self, seat: u16) -> Option<Voice> {
        self.get(seat).filter(|leg| leg.port != 0).map(|leg| leg.voice)
    }

    /// Whether somebody shall hear something else than what passes between the sides.
    fn want_mixing(&self) -> bool {
        let sides = [&*self.a, &*self.b];
        // What cannot be taken apart passes.
        let mixable = sides.iter().all(|leg| leg.port == 0 || leg.sound.is_some());
        mixable
            && (sides.iter().any(|leg| leg.voice != Voice::All)
                || self.guests.iter().flatten().any(|leg| leg.voice != Voice::Nobody))
    }
}

impl Mix {
    /// Makes room for a guest; nothing when the seat is taken.
    pub(super) fn seat(&mut self, seat: Seat, leg: Leg) {
        let place = usize::from(seat.0);
        if self.guests.len() < place - 1 {
            self.guests.resize_with(place - 1, || None);
        }
        if let Some(guest) = self.guests.get_mut(place - 2) {
            *guest = Some(leg);
        }
    }

    pub(super) fn guest_mut(&mut self, seat: u16) -> Option<&mut Leg> {
        self.guests.get_mut(usize::from(seat).checked_sub(2)?)?.as_mut()
    }

    /// Takes a guest away.
    pub(super) fn leave(&mut self, seat: Seat) -> Option<Leg> {
        if let Some(ear) = self.desk.ears.get_mut(usize::from(seat.0)) {
            *ear = None;
        }
        self.guests.get_mut(usize::from(seat.0).checked_sub(2)?)?.take()
    }
}

impl Desk {
    /// Whether packets pass between the sides as they are.
    pub(super) const fn passes(&self) -> bool {
        matches!(self.state, State::Passing | State::Priming { .. })
    }

    /// Takes the packet of a leg apart; false when it is nothing that belongs here.
    pub(super) fn hear(
        &mut self,
        seat: u16,
        events: Option<u8>,
        bytes: &[u8],
        room: &mut [i16; PACKET_MAX],
        now: Instant,
    ) -> bool {
        let Ok(Packet { header, payload }) = Packet::decode(bytes) else { return false };
        let place = usize::from(seat);
        if self.ears.len() <= place {
            self.ears.resize_with(place + 1, || None);
        }
        let Some(slot) = self.ears.get_mut(place) else { return false };
        let ear = slot.get_or_insert_with(Ear::new);
        if Some(header.payload_type) == events {
            let Some(payload) = payload.first_chunk::<4>().copied() else { return false };
            // A new time is a new key; reports of an older one that come late change nothing.
            let (time, began) = match ear.pressing {
                Some((time, began)) if time == header.timestamp => (time, began),
                Some(_) | None => (header.timestamp, now),
            };
            ear.pressing = Some((time, began));
            if self.keys.len() < KEYS_MAX {
                self.keys.push(Key { seat, marker: header.marker, began, payload });
            }
            return true;
        }
        let Some(mut decoder) = Decoder::of(header.payload_type) else {
            return header.payload_type == COMFORT_NOISE;
        };
        let Some(pcm) = decoder.decode(payload, room) else { return false };
        ear.jitter.put(header.ssrc, header.timestamp, pcm);
        true
    }
}

impl Stream {
    /// Whether its mix may go: no guest, and nobody muted.
    pub(super) fn is_plain(&self) -> bool {
        let sides = [&self.a, &self.b].iter().all(|leg| leg.voice == Voice::All);
        let guests = self.mix.as_ref().map(|mix| mix.guests.iter().flatten().count());
        sides && guests.unwrap_or(0) == 0
    }

    /// One tick of this stream's mix: each hearer gets its packet through `send`.
    pub(super) fn tick(
        &mut self,
        mixer: &mut Mixer,
        due: Instant,
        send: &mut impl FnMut(u16, SocketAddr, &[u8]),
    ) {
        let Self { a, b, mix: Some(mix), .. } = self else { return };
        let Mix { guests, desk: Desk { state, ears, keys } } = &mut **mix;
        let mut legs = Legs { a, b, guests };
        listen(&legs, ears, mixer);
        step(state, &mut legs, ears, due);
        let first_hearer = if matches!(state, State::Mixing) { 0 } else { 2 };
        let seats = 2 + legs.guests.len() as u16;
        pass_keys(&mut legs, keys, (first_hearer, seats), due, send);
        let whispers = (0..seats).any(|seat| matches!(legs.voice(seat), Some(Voice::One(_))));
        let mut shared: [Option<(Encoder, [u8; FRAME])>; 2] = [None; 2];
        for seat in first_hearer..seats {
            let own = ears.get(usize::from(seat)).and_then(Option::as_ref);
            let own = own.filter(|ear| ear.chosen).map(|ear| &ear.pcm);
            let mut whispered = [0; FRAME];
            let aside = whispers && gather(&legs, ears, seat, &mut whispered);
            let Some(leg) = legs.get_mut(seat) else { continue };
            let (Some(sound), Some((port, to))) = (leg.sound, target(leg, Kind::Rtp)) else {
                continue;
            };
            let mut encoder = Encoder::of(sound);
            let mut payload = [0; FRAME];
            let common = own.is_none() && !aside;
            let ready = shared.iter().flatten().find(|(other, _)| common && encoder.shares(*other));
            if let Some((_, octets)) = ready {
                payload = *octets;
            } else {
                encoder.encode(&mixer.heard(own, &whispered), &mut payload);
                if common && let Some(free) = shared.iter_mut().find(|known| known.is_none()) {
                    *free = Some((encoder, payload));
                }
            }
            let header = leg.trail.frame(encoder.payload_type(), FRAME, due);
            let mut wire = [0; HEADER_MIN + FRAME];
            write(header, &payload, &mut wire);
            send(port, to, &wire);
        }
        for seat in first_hearer..seats {
            let Some(Some(ear)) = ears.get_mut(usize::from(seat)) else { continue };
            let due_for = *ear.reported.get_or_insert(due);
            if due.since(due_for) >= REPORT_EVERY {
                ear.reported = Some(due);
                report(legs.get(seat), due, send);
            }
        }
    }
}

/// Takes one frame of everybody, and adds up those who are heard by all.
fn listen(legs: &Legs<'_>, ears: &mut [Option<Ear>], mixer: &mut Mixer) {
    mixer.begin();
    for (seat, ear) in ears.iter_mut().enumerate() {
        let (seat, Some(ear)) = (seat as u16, ear) else { continue };
        ear.jitter.take(&mut ear.pcm);
        let fading = ear.level - ear.level.div_ceil(8);
        ear.level = mixer::level(&ear.pcm).max(fading);
        let was_chosen = std::mem::take(&mut ear.chosen);
        if legs.voice(seat) == Some(Voice::All) && ear.jitter.speaks() {
            mixer.offer(seat, ear.level, was_chosen);
        }
    }
    mixer.choose();
    let mut place = 0;
    while let Some(seat) = mixer.chosen(place) {
        place += 1;
        if let Some(Some(ear)) = ears.get_mut(usize::from(seat)) {
            ear.chosen = true;
            mixer.add(&ear.pcm);
        }
    }
}

/// Begins and ends the mixing of what the sides hear.
fn step(state: &mut State, legs: &mut Legs<'_>, ears: &[Option<Ear>], due: Instant) {
    let wanted = legs.want_mixing();
    let heard = |seat: usize| {
        let ear = ears.get(seat).and_then(Option::as_ref);
        ear.is_some_and(|ear| ear.jitter.speaks())
    };
    *state = match *state {
        State::Passing if wanted => State::Priming { since: due },
        State::Passing | State::Mixing if !wanted => {
            legs.a.trail.end();
            legs.b.trail.end();
            State::Passing
        }
        State::Priming { .. } if !wanted => State::Passing,
        State::Priming { since } => {
            if (heard(0) && heard(1)) || due.since(since) >= PRIMING_MAX {
                for leg in [&mut legs.a, &mut legs.b] {
                    let mut chance = types::Rng::from_number(leg.chance);
                    leg.trail.begin(&mut chance);
                }
                State::Mixing
            } else {
                State::Priming { since }
            }
        }
        State::Passing => State::Passing,
        State::Mixing => State::Mixing,
    };
}

/// Adds what is whispered to one hearer; whether anything is.
fn gather(legs: &Legs<'_>, ears: &[Option<Ear>], to: u16, sum: &mut [i32; FRAME]) -> bool {
    let mut any = false;
    for (seat, ear) in ears.iter().enumerate() {
        let whispers = legs.voice(seat as u16) == Some(Voice::One(Seat(to)));
        let Some(ear) = ear.as_ref().filter(|ear| whispers && ear.jitter.speaks()) else {
            continue;
        };
        any = true;
        for (sum, sample) in sum.iter_mut().zip(&ear.pcm) {
            *sum += i32::from(*sample);
        }
    }
    any
}

/// Keys go to all others who are heard and know events: those who listen have no use for them.
fn pass_keys(
    legs: &mut Legs<'_>,
    keys: &mut Vec<Key>,
    (first, end): (u16, u16),
    due: Instant,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) {
    for key in keys.drain(..) {
        if legs.voice(key.seat) != Some(Voice::All) {
            continue;
        }
        for seat in first..end {
            // What one side of a stream that passes presses has passed.
            let heard = seat != key.seat && legs.voice(seat) == Some(Voice::All);
            let Some(leg) = legs.get_mut(seat).filter(|_| heard) else { continue };
            let events = leg.sound.and_then(|sound| sound.events);
            let (Some(events), Some((port, to))) = (events, target(leg, Kind::Rtp)) else {
                continue;
            };
            let back = crate::codec::frames(due.since(key.began)) * FRAME as u32;
            let timestamp = leg.trail.timestamp(due).wrapping_sub(back);
            let header = leg.trail.beside(timestamp, events, key.marker, 4);
            let mut wire = [0; HEADER_MIN + 4];
            write(header, &key.payload, &mut wire);
            send(port, to, &wire);
        }
    }
}

/// A sender report with a name, to one hearer.
fn report(leg: Option<&Leg>, due: Instant, send: &mut impl FnMut(u16, SocketAddr, &[u8])) {
    let Some((leg, (port, to))) = leg.and_then(|leg| Some((leg, target(leg, Kind::Rtcp)?))) else {
        return;
    };
    let (ssrc, timestamp, packets, octets) = leg.trail.report();
    // Who knows no wall clock may count from its own beginning.
    let ntp = ((due.0 / 1_000_000) << 32) | (((due.0 % 1_000_000) << 32) / 1_000_000);
    let mut wire = [0; 48];
    let mut name = [0; 8];
    for (place, letter) in name.iter_mut().enumerate() {
        let digit = (ssrc >> (28 - 4 * place)) & 0xf;
        *letter = char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8);
    }
    let parts: [&[u8]; 11] = [
        &[0x80, 200, 0, 6],
        &ssrc.to_be_bytes(),
        &ntp.to_be_bytes(),
        &timestamp.to_be_bytes(),
        &packets.to_be_bytes(),
        &octets.to_be_bytes(),
        &[0x81, 202, 0, 4],
        &ssrc.to_be_bytes(),
        &[1, 8],
        &name,
        &[0, 0],
    ];
    for (octet, value) in wire.iter_mut().zip(parts.iter().copied().flatten()) {
        *octet = *value;
    }
    send(port, to, &wire);
}

/// A packet as octets.
fn write(header: crate::rtp::Header, payload: &[u8], wire: &mut [u8]) {
    header.write(wire);
    for (octet, value) in wire.iter_mut().skip(HEADER_MIN).zip(payload) {
        *octet = *value;
    }
}
