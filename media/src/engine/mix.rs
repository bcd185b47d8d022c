//! A stream with more than two legs: what each says is taken apart, and put together anew for each.
//!
//! Picture     Passing --somebody shall hear something else than what passes--> Priming --both sides heard--> Mixing
//!             Mixing --nobody does any more--> Passing
//!             packet --jitter, decode, resample--> rate of the mix --sum--> resample, encode --> packet
//! Rules       Each leg has its own codec. The mix runs at the highest rate that two of them have, since what only one
//!             could say or hear is no gain. Two sides that share no codec are a mix of two, from their first packet.
//!                  Guests who only listen change nothing for the sides: their packets still pass. While the buffers of
//!             the sides fill, packets pass on, so that the change makes no gap. Every hearer gets one packet a tick,
//!             silence too. Keys that somebody presses go to all who are heard and know events. Control of others
//!             ends here: in a mix the reports are ours. Who knows no events and presses keys in his sound is heard, too.
//! Limits      [`GUESTS_MAX`](crate::GUESTS_MAX); PRIMING_MAX; KEYS_MAX reports of keys per tick, the others are lost.
//! Not here    Sums (mixer), buffers (jitter), numbers (trail).
//! Spec        RFC 3550 §6.4.1, RFC 4733 §2.5, RFC 7667 §3.6.

use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use super::{Leg, Stream, target};
use crate::Voice;
use crate::codec::{Codec, Encoder, FRAME_MAX, PAYLOAD_MAX, Rate, Sound};
use crate::dtmf::Detector;
use crate::events::{self, Tone};
use crate::jitter::Jitter;
use crate::mixer::{self, Mixer};
use crate::resample::Resampler;
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
    /// Samples a second of the sum.
    rate: Rate,
    /// By seat: what it says.
    ears: Vec<Option<Ear>>,
    /// By seat: how it is spoken to.
    mouths: Vec<Mouth>,
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
    resampler: Option<Resampler>,
    /// One frame at the rate of the mix.
    pcm: Box<[i16; FRAME_MAX]>,
    /// Mean of the samples without their sign, falling slowly.
    level: u32,
    /// It is in the sum of this tick.
    chosen: bool,
    reported: Option<Instant>,
    /// The key that it presses: its own time, and when it began here.
    pressing: Option<(u32, Instant)>,
    /// Keys in its sound, for a leg without telephone events.
    detector: Detector,
    /// The key that it plays now, by its code, and since when.
    dialing: Option<(u8, Instant)>,
}

/// What makes the payloads of one leg.
#[derive(Debug, Default)]
struct Mouth {
    encoder: Option<Encoder>,
    resampler: Option<Resampler>,
}

impl Mouth {
    /// An encoder for this codec, fed from a mix of this rate.
    fn ready(&mut self, codec: Codec, rate: Rate) -> Option<&mut Encoder> {
        let fits = |known: &Encoder| known.codec() == codec && known.rate() == codec.works_at(rate);
        if !self.encoder.as_ref().is_some_and(fits) {
            self.encoder = Encoder::new(codec, rate);
        }
        self.encoder.as_mut()
    }

    /// The payload of one frame of the mix; its octets.
    fn speak(
        &mut self,
        codec: Codec,
        (rate, pcm): (Rate, &[i16]),
        payload: &mut [u8; PAYLOAD_MAX],
    ) -> usize {
        let mut room = [0; FRAME_MAX];
        let to = codec.works_at(rate);
        let pcm = resampled(&mut self.resampler, (rate, pcm), to, &mut room);
        self.ready(codec, rate).map_or(0, |encoder| encoder.encode(pcm, payload))
    }
}

/// A frame at another rate, by the resampler that is kept for it.
fn resampled<'a>(
    kept: &mut Option<Resampler>,
    (from, pcm): (Rate, &'a [i16]),
    to: Rate,
    room: &'a mut [i16; FRAME_MAX],
) -> &'a [i16] {
    if from == to {
        *kept = None;
        return pcm;
    }
    if !kept.as_ref().is_some_and(|kept| kept.is(from, to)) {
        *kept = Some(Resampler::new(from, to));
    }
    kept.as_mut().map_or(&[], |kept| kept.frame(pcm, room))
}

/// A report of a pressed key on its way to the others.
#[derive(Clone, Copy, Debug)]
struct Key {
    seat: u16,
    marker: bool,
    began: Instant,
    payload: [u8; 4],
    /// Ticks per second of its duration.
    clock: u32,
}

impl Key {
    /// The report in ticks of another clock.
    fn at(&self, clock: u32) -> [u8; 4] {
        let [event, flags, d0, d1] = self.payload;
        let ticks = u64::from(u16::from_be_bytes([d0, d1])) * u64::from(clock);
        let ticks = ticks / u64::from(self.clock.max(1));
        let [d0, d1] = u16::try_from(ticks).unwrap_or(u16::MAX).to_be_bytes();
        [event, flags, d0, d1]
    }
}

impl Ear {
    fn new() -> Self {
        Self {
            jitter: Jitter::new(),
            resampler: None,
            pcm: Box::new([0; FRAME_MAX]),
            level: 0,
            chosen: false,
            reported: None,
            pressing: None,
            detector: Detector::default(),
            dialing: None,
        }
    }
}

impl Ear {
    /// Takes the next frame, at the rate of the mix.
    fn listen(&mut self, rate: Rate) {
        let (mut room, mut turned) = ([0; FRAME_MAX], [0; FRAME_MAX]);
        self.jitter.want(rate);
        let (from, pcm, _) = self.jitter.take(&mut room);
        let pcm = resampled(&mut self.resampler, (from, pcm), rate, &mut turned);
        for (place, sample) in self.pcm.iter_mut().zip(pcm) {
            *place = *sample;
        }
    }

    /// Looks for keys in its sound: they go on as telephone events, and their tones do not.
    ///
    /// Spec: RFC 4733 §2.5.1
    fn detect(&mut self, seat: u16, rate: Rate, due: Instant, keys: &mut Vec<Key>) {
        let frame = self.pcm.get(..rate.frame()).unwrap_or_default();
        let pressed = self.detector.hear(rate, frame).and_then(events::code);
        if let Some(code) = pressed {
            self.dialing = Some((code, due));
        }
        let Some((event, began)) = self.dialing else { return };
        let end = self.detector.held().is_none();
        let frames = crate::codec::frames(due.since(began)) + u32::from(!end);
        let clock = Rate::Narrow.hertz();
        let duration = u16::try_from(frames * clock / 50).unwrap_or(u16::MAX);
        let payload = Tone { event, end, volume: events::VOLUME, duration }.encode();
        for _ in 0..if end { events::END_REPEATS } else { 1 } {
            if keys.len() < KEYS_MAX {
                keys.push(Key { seat, marker: pressed.is_some(), began, payload, clock });
            }
        }
        if end {
            self.dialing = None;
        } else {
            self.pcm.fill(0);
        }
    }

    fn frame(&self, rate: Rate) -> &[i16] {
        self.pcm.get(..rate.frame()).unwrap_or_default()
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

    /// From now on the sides hear packets of ours.
    fn begin(&mut self) -> State {
        for leg in [&mut *self.a, &mut *self.b] {
            leg.trail.begin(&mut types::Rng::from_number(leg.chance));
        }
        State::Mixing
    }

    /// Who may say what: `None` for an empty seat.
    fn voice(&self, seat: u16) -> Option<Voice> {
        self.get(seat).filter(|leg| leg.port != 0).map(|leg| leg.voice)
    }

    /// Whether the two sides share no codec.
    fn are_turned(&self) -> bool {
        self.a.is_turned() && self.b.is_turned()
    }

    /// The highest rate that two legs have.
    fn rate(&self) -> Rate {
        let sides = [&*self.a, &*self.b].into_iter().filter(|leg| leg.port != 0);
        let legs = sides.chain(self.guests.iter().flatten());
        let rates = legs.filter_map(|leg| Some(leg.sound?.sent.codec.rate()));
        let (mut first, mut second) = (Rate::Narrow, Rate::Narrow);
        for rate in rates {
            second = second.max(rate.min(first));
            first = first.max(rate);
        }
        second
    }

    /// Whether somebody shall hear something else than what passes between the sides.
    fn want_mixing(&self) -> bool {
        let sides = [&*self.a, &*self.b];
        // What cannot be taken apart passes.
        let mixable = sides.iter().all(|leg| leg.port == 0 || leg.sound.is_some());
        mixable
            && (self.are_turned()
                || sides.iter().any(|leg| leg.voice != Voice::All)
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
        if let Some(mouth) = self.desk.mouths.get_mut(usize::from(seat.0)) {
            *mouth = Mouth::default();
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
        sound: Option<&Sound>,
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        let Ok(Packet { header, payload }) = Packet::decode(bytes) else { return false };
        let place = usize::from(seat);
        if self.ears.len() <= place {
            self.ears.resize_with(place + 1, || None);
        }
        let Some(slot) = self.ears.get_mut(place) else { return false };
        let ear = slot.get_or_insert_with(Ear::new);
        let events = sound.and_then(|sound| sound.events);
        if let Some(events) = events.filter(|known| known.payload_type == header.payload_type) {
            let Some(payload) = payload.first_chunk::<4>().copied() else { return false };
            // A new time is a new key; reports of an older one that come late change nothing.
            let (time, began) = match ear.pressing {
                Some((time, began)) if time == header.timestamp => (time, began),
                Some(_) | None => (header.timestamp, now),
            };
            ear.pressing = Some((time, began));
            if self.keys.len() < KEYS_MAX {
                let (marker, clock) = (header.marker, events.clock);
                self.keys.push(Key { seat, marker, began, payload, clock });
            }
            return true;
        }
        let known = sound.map(|sound| sound.codec(header.payload_type));
        match known.unwrap_or_else(|| Codec::of(header.payload_type)) {
            Some(codec) => ear.jitter.put(header.ssrc, header.timestamp, codec, payload),
            None if header.payload_type == COMFORT_NOISE => {
                ear.jitter.hush(payload);
                true
            }
            None => false,
        }
    }
}

impl Stream {
    /// Whether its mix may go: no guest, and nobody muted.
    pub(super) fn is_plain(&self) -> bool {
        let sides = [&self.a, &self.b].iter().all(|leg| leg.voice == Voice::All);
        let guests = self.mix.as_ref().map(|mix| mix.guests.iter().flatten().count());
        let turned = self.a.is_turned() && self.b.is_turned();
        sides && !turned && guests.unwrap_or(0) == 0
    }

    /// One tick of this stream's mix: each hearer gets its packet through `send`.
    pub(super) fn tick(
        &mut self,
        mixer: &mut Mixer,
        due: Instant,
        send: &mut impl FnMut(u16, SocketAddr, &[u8]),
    ) {
        let Self { a, b, mix: Some(mix), .. } = self else { return };
        let Mix { guests, desk } = &mut **mix;
        let mut legs = Legs { a, b, guests };
        let seats = 2 + legs.guests.len() as u16;
        desk.rate = legs.rate();
        if desk.mouths.len() < usize::from(seats) {
            desk.mouths.resize_with(seats.into(), Mouth::default);
        }
        let Desk { state, rate, ears, mouths, keys } = desk;
        listen(&legs, ears, keys, (*rate, due), mixer);
        step(state, &mut legs, ears, due);
        let first_hearer = if matches!(state, State::Mixing) { 0 } else { 2 };
        pass_keys(&mut legs, keys, (first_hearer, seats), due, send);
        let whispers = (0..seats).any(|seat| matches!(legs.voice(seat), Some(Voice::One(_))));
        let mut shared = Shared::default();
        for (seat, mouth) in (0..seats).zip(mouths).skip(first_hearer.into()) {
            let own = ears.get(usize::from(seat)).and_then(Option::as_ref);
            let own = own.filter(|ear| ear.chosen);
            let own = own.map(|ear| ear.frame(*rate));
            let mut whispered = [0; FRAME_MAX];
            let aside = whispers && gather(&legs, ears, seat, &mut whispered);
            let Some(leg) = legs.get_mut(seat) else { continue };
            let (Some(sound), Some((port, to))) = (leg.sound, target(leg, Kind::Rtp)) else {
                continue;
            };
            let codec = sound.sent.codec;
            let common = own.is_none() && !aside && codec.works_at(*rate) == *rate;
            let mut payload = [0; PAYLOAD_MAX];
            let said = match shared.of(codec).filter(|_| common) {
                Some(said) => said,
                None => {
                    let mut heard = [0; FRAME_MAX];
                    let whispered = aside.then_some(&whispered);
                    let pcm = mixer.heard(*rate, own, whispered, &mut heard);
                    let octets = mouth.speak(codec, (*rate, pcm), &mut payload);
                    let said = payload.get(..octets).unwrap_or_default();
                    if common && mouth.encoder.as_ref().is_some_and(Encoder::is_plain) {
                        shared.keep(codec, said);
                    }
                    said
                }
            };
            if said.is_empty() {
                continue; // The codec's library gave up: nothing is sent, which the hearer conceals.
            }
            let header = leg.trail.frame(sound.sent.payload_type, said.len(), due);
            let mut wire = [0; HEADER_MIN + PAYLOAD_MAX];
            write(header, said, &mut wire);
            send(port, to, wire.get(..HEADER_MIN + said.len()).unwrap_or_default());
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

/// What all who are not in the sum hear: written once for each codec that keeps nothing.
#[derive(Debug)]
struct Shared {
    codecs: [Option<Codec>; SHARED],
    payloads: [[u8; PAYLOAD_MAX]; SHARED],
    octets: [usize; SHARED],
}

/// Codecs whose payload is shared in one tick: the two laws.
const SHARED: usize = 2;

impl Default for Shared {
    fn default() -> Self {
        Self { codecs: [None; SHARED], payloads: [[0; PAYLOAD_MAX]; SHARED], octets: [0; SHARED] }
    }
}

impl Shared {
    fn of(&self, codec: Codec) -> Option<&[u8]> {
        let place = self.codecs.iter().position(|known| *known == Some(codec))?;
        self.payloads.get(place)?.get(..*self.octets.get(place)?)
    }

    fn keep(&mut self, codec: Codec, payload: &[u8]) {
        let free = self.codecs.iter().position(Option::is_none);
        let Some(place) = free else { return };
        let slots = (self.codecs.get_mut(place), self.payloads.get_mut(place));
        if let ((Some(known), Some(octets)), Some(count)) = (slots, self.octets.get_mut(place)) {
            (*known, *count) = (Some(codec), payload.len());
            for (octet, value) in octets.iter_mut().zip(payload) {
                *octet = *value;
            }
        }
    }
}

/// Takes one frame of everybody, and adds up those who are heard by all.
fn listen(
    legs: &Legs<'_>,
    ears: &mut [Option<Ear>],
    keys: &mut Vec<Key>,
    (rate, due): (Rate, Instant),
    mixer: &mut Mixer,
) {
    mixer.begin();
    for (seat, ear) in ears.iter_mut().enumerate() {
        let (seat, Some(ear)) = (seat as u16, ear) else { continue };
        ear.listen(rate);
        let sound = legs.get(seat).and_then(|leg| leg.sound);
        if sound.is_some_and(|sound| sound.events.is_none()) {
            ear.detect(seat, rate, due, keys);
        }
        let fading = ear.level - ear.level.div_ceil(8);
        ear.level = mixer::level(ear.frame(rate)).max(fading);
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
            mixer.add(ear.frame(rate));
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
        // Nothing can pass: there is no need to wait.
        State::Passing if wanted && legs.are_turned() => legs.begin(),
        State::Passing if wanted => State::Priming { since: due },
        State::Passing | State::Mixing if !wanted => {
            legs.a.trail.end();
            legs.b.trail.end();
            State::Passing
        }
        State::Priming { .. } if !wanted => State::Passing,
        State::Priming { since } => {
            if (heard(0) && heard(1)) || due.since(since) >= PRIMING_MAX {
                legs.begin()
            } else {
                State::Priming { since }
            }
        }
        State::Passing => State::Passing,
        State::Mixing => State::Mixing,
    };
}

/// Adds what is whispered to one hearer; whether anything is.
fn gather(legs: &Legs<'_>, ears: &[Option<Ear>], to: u16, sum: &mut [i32; FRAME_MAX]) -> bool {
    let mut any = false;
    for (seat, ear) in ears.iter().enumerate() {
        let whispers = legs.voice(seat as u16) == Some(Voice::One(Seat(to)));
        let Some(ear) = ear.as_ref().filter(|ear| whispers && ear.jitter.speaks()) else {
            continue;
        };
        any = true;
        for (sum, sample) in sum.iter_mut().zip(ear.pcm.iter()) {
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
            let pace = leg.sound.map_or(0, |sound| sound.sent.codec.pace());
            let back = crate::codec::frames(due.since(key.began)).wrapping_mul(pace);
            let timestamp = leg.trail.timestamp(due).wrapping_sub(back);
            let header = leg.trail.beside(timestamp, events.payload_type, key.marker, 4);
            let mut wire = [0; HEADER_MIN + 4];
            write(header, &key.at(events.clock), &mut wire);
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
