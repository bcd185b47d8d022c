//! Keys that somebody presses: told to whoever hears him, and to the room.
//!
//! Picture     report of a key --hear--> the others, at their clock;  its end, or its silence --> Event::Key
//! Rules       A key is told to the room once, when it is over. A new time is a new key; reports of an older one that
//!             come late change nothing. Who does not say the end of a key has let it go after [`RELEASE`].
//! Limits      [`KEYS_MAX`] reports per tick, the others are lost.
//! Not here    Tones in the sound (dtmf), keys that we send (play).
//! Spec        RFC 4733 §2.5.

use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use super::{Legs, Voice, write};
use crate::codec;
use crate::engine::{Leg, target};
use crate::events::Tone;
use crate::play;
use crate::rtp::{HEADER_MIN, Header, Kind};

/// Reports of pressed keys that wait for a tick.
const KEYS_MAX: usize = 32;

/// How long after its last report a key counts as let go.
///
/// Spec: RFC 4733 §2.5.2.2 (three packet intervals, of up to 50 ms)
const RELEASE: Duration = Duration::from_millis(150);

/// Reports on their way to the others.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) fn push(&mut self, key: Key) {
        if self.0.len() < KEYS_MAX {
            self.0.push(key);
        }
    }
}

/// A report of a pressed key on its way to the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) seat: u16,
    pub(super) marker: bool,
    pub(super) began: Instant,
    pub(super) payload: [u8; 4],
    /// Ticks per second of its duration.
    pub(super) clock: u32,
}

impl Key {
    /// A key of our own.
    fn ours(press: &play::Press) -> Self {
        let play::Press { began, payload, first: marker, .. } = *press;
        Self { seat: u16::MAX, marker, began, payload, clock: codec::Rate::Narrow.hertz() }
    }

    /// The report in ticks of another clock.
    fn at(&self, clock: u32) -> [u8; 4] {
        let [event, flags, d0, d1] = self.payload;
        let ticks = u64::from(u16::from_be_bytes([d0, d1])) * u64::from(clock);
        let ticks = ticks / u64::from(self.clock.max(1));
        let [d0, d1] = u16::try_from(ticks).unwrap_or(u16::MAX).to_be_bytes();
        [event, flags, d0, d1]
    }
}

/// A key that a leg presses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Press {
    /// Its own time, which names it.
    time: u32,
    /// When it began here, and when it was last heard of.
    pub(super) began: Instant,
    heard: Instant,
    event: u8,
    /// How long it has lasted.
    lasted: Duration,
    /// The room knows of it.
    told: bool,
}

impl Press {
    /// Takes a report; the key that is over by it, and how long it was held.
    pub(super) fn hear(
        known: &mut Option<Self>,
        header: Header,
        (payload, clock): ([u8; 4], u32),
        now: Instant,
    ) -> Option<(u8, Duration)> {
        let tone = Tone::decode(&payload).ok()?;
        let same = known.as_ref().is_some_and(|press| press.time == header.timestamp);
        let before = if same { None } else { known.as_mut().and_then(Self::over) };
        let fresh = Self {
            time: header.timestamp,
            began: now,
            heard: now,
            event: tone.event,
            lasted: Duration::ZERO,
            told: false,
        };
        let press = match known {
            Some(press) if same => press,
            Some(_) | None => known.insert(fresh),
        };
        press.heard = now;
        let micros = u64::from(tone.duration) * 1_000_000 / u64::from(clock.max(1));
        press.lasted = press.lasted.max(Duration::from_micros(micros));
        let ended = if tone.end { press.over() } else { None };
        before.or(ended)
    }

    /// The key when nothing more was heard of it.
    pub(super) fn release(&mut self, now: Instant) -> Option<(u8, Duration)> {
        if now.since(self.heard) >= RELEASE { self.over() } else { None }
    }

    fn over(&mut self) -> Option<(u8, Duration)> {
        let told = std::mem::replace(&mut self.told, true);
        (!told).then_some((self.event, self.lasted))
    }
}

/// Keys go to all others who are heard and know events: those who listen have no use for them.
pub(super) fn pass(
    legs: &mut Legs<'_>,
    keys: &mut Keys,
    (first, end): (u16, u16),
    due: Instant,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) {
    for key in keys.0.drain(..) {
        if legs.voice(key.seat) != Some(Voice::All) {
            continue;
        }
        for seat in first..end {
            // What one side of a stream that passes presses has passed.
            let heard = seat != key.seat && legs.voice(seat) == Some(Voice::All);
            if let Some(leg) = legs.get_mut(seat).filter(|_| heard) {
                tell(leg, &key, due, send);
            }
        }
    }
}

/// A key of ours to one leg; whether it knows what that is.
pub(super) fn tell_ours(
    leg: &mut Leg,
    press: &play::Press,
    due: Instant,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) -> bool {
    let key = Key::ours(press);
    (0..press.repeats).all(|_| tell(leg, &key, due, send))
}

/// One report to one leg; whether it knows what that is.
fn tell(
    leg: &mut Leg,
    key: &Key,
    due: Instant,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) -> bool {
    let events = leg.sound.and_then(|sound| sound.events);
    let Some(crate::Events { payload_type, clock }) = events else { return false };
    if let Some((port, to)) = target(leg, Kind::Rtp) {
        let pace = leg.sound.map_or(0, |sound| sound.sent.codec.pace());
        let back = codec::frames(due.since(key.began)).wrapping_mul(pace);
        let timestamp = leg.trail.timestamp(due).wrapping_sub(back);
        let header = leg.trail.beside(timestamp, payload_type, key.marker, 4);
        let mut wire = [0; HEADER_MIN + 4];
        write(header, &key.at(clock), &mut wire);
        send(port, to, &wire);
    }
    true
}
