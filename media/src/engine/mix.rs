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
//!             A leg alone hears what is played to it, and silence else.
//! Limits      [`GUESTS_MAX`](crate::GUESTS_MAX); PRIMING_MAX.
//! Not here    Sums (mixer), buffers (jitter), numbers (trail), keys, what is played and tapped (the files beside this).
//! Spec        RFC 3550 §6.4.1, RFC 4733 §2.5, RFC 7667 §3.6.

use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use super::{Leg, Notes, Stream, Work, target};
use crate::Voice;
use crate::clip::TapId;
use crate::codec::{Codec, Coders, Encoder, FRAME_MAX, PAYLOAD_MAX, Rate, Sound};
use crate::g711::Law;
use crate::gauge::energy;
use crate::mixer::{self, Mixer};
use crate::play::{Clips, Press as Played};
use crate::rtp::{HEADER_MIN, Kind, Packet};
use crate::tap::Takes;
use crate::vad::Speech;
use crate::words::Seat;

mod ear;
mod keys;
mod shared;
mod sounds;
mod taps;

use ear::{Ear, Mouth};
use keys::{Keys, Press};
use shared::Shared;
use sounds::{Announced, Sounds};
use taps::{Tap, Taps};

/// How often each hearer gets a sender report.
///
/// Spec: RFC 3550 §6.2
pub const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long packets pass on while the buffers of the sides fill, when one of them says nothing.
const PRIMING_MAX: Duration = Duration::from_millis(60);

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
    keys: Keys,
    sounds: Sounds,
    taps: Taps,
    /// How often it shall be told how loud each is.
    gauged: Option<Duration>,
}

/// A guest on its way to another stream.
#[derive(Debug)]
pub(super) struct Lifted {
    leg: Leg,
    ear: Option<Ear>,
    mouth: Mouth,
    taps: Vec<Tap>,
}

impl Lifted {
    /// The taps that go with it.
    pub(super) fn taps(&self) -> impl Iterator<Item = TapId> {
        self.taps.iter().map(Tap::id)
    }
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

    /// The one leg that is there, where it is spoken to in G.711.
    fn solo(&self) -> Option<(u16, Law)> {
        let mut guests = self.guests.iter().zip(2..);
        let (leg, seat) = guests.find_map(|(leg, seat)| Some((leg.as_ref()?, seat)))?;
        let alone = !self.has_sides() && guests.all(|(leg, _)| leg.is_none());
        match leg.sound.filter(|_| alone)?.sent.codec {
            Codec::G711(law) => Some((seat, law)),
            Codec::Amr(_) | Codec::G722 | Codec::L16(_) | Codec::Opus => None,
        }
    }

    /// Whether it is more than guests.
    fn has_sides(&self) -> bool {
        self.a.port != 0 || self.b.port != 0
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
    fn want_mixing(&self, played: bool) -> bool {
        let sides = [&*self.a, &*self.b];
        // What cannot be taken apart passes; who is not there yet says nothing.
        let silent = |leg: &Leg| leg.port == 0 || leg.aim.is_none();
        let mixable = sides.iter().all(|leg| silent(leg) || leg.sound.is_some());
        mixable
            && (played
                || self.are_turned()
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
        self.desk.sounds.leave(seat);
        self.guests.get_mut(usize::from(seat.0).checked_sub(2)?)?.take()
    }

    /// Takes a guest away with all that is its own.
    pub(super) fn lift(&mut self, seat: Seat) -> Option<Lifted> {
        let place = usize::from(seat.0);
        let leg = self.guests.get_mut(place.checked_sub(2)?)?.take()?;
        let ear = self.desk.ears.get_mut(place).and_then(Option::take);
        let mouth = self.desk.mouths.get_mut(place).map(std::mem::take).unwrap_or_default();
        let taps = self.desk.taps.lift(seat);
        Some(Lifted { leg, ear, mouth, taps })
    }

    /// Lets one who was taken away sit down.
    pub(super) fn set(&mut self, seat: Seat, lifted: Lifted) {
        let Lifted { leg, ear, mouth, taps } = lifted;
        let place = usize::from(seat.0);
        self.seat(seat, leg);
        let Desk { ears, mouths, .. } = &mut self.desk;
        ears.resize_with(ears.len().max(place + 1), || None);
        mouths.resize_with(mouths.len().max(place + 1), Mouth::default);
        if let (Some(known), Some(fed)) = (ears.get_mut(place), mouths.get_mut(place)) {
            (*known, *fed) = (ear, mouth);
        }
        self.desk.taps.set(seat, taps);
    }

    /// Whether a leg speaks matters from now on, or not any more.
    pub(super) fn listen(&mut self, seat: Seat, speech: Option<Speech>) {
        if let Some(ear) = self.desk.ear(seat.0) {
            ear.speech = speech;
        }
    }

    /// How often it shall be told how loud one is, or all are.
    pub(super) fn gauge(&mut self, seat: Option<Seat>, every: Option<Duration>) {
        match seat {
            Some(seat) => {
                if let Some(ear) = self.desk.ear(seat.0) {
                    ear.gauged = every;
                }
            }
            None => self.desk.gauged = every,
        }
    }

    /// What is played at it.
    pub(super) fn sounds(&mut self) -> &mut Sounds {
        &mut self.desk.sounds
    }

    /// Who taps it.
    pub(super) fn taps(&mut self) -> &mut Taps {
        &mut self.desk.taps
    }

    /// Whether something is played, or somebody taps it or wants to know who speaks, or how loudly.
    fn is_busy(&self) -> bool {
        self.desk.sounds.any()
            || !self.desk.taps.is_empty()
            || self.desk.gauged.is_some()
            || self.desk.ears.iter().flatten().any(Ear::matters)
    }
}

impl Desk {
    /// Whether packets pass between the sides as they are.
    pub(super) const fn passes(&self) -> bool {
        matches!(self.state, State::Passing | State::Priming { .. })
    }

    /// The ear for one leg.
    fn ear(&mut self, seat: u16) -> Option<&mut Ear> {
        let place = usize::from(seat);
        if self.ears.len() <= place {
            self.ears.resize_with(place + 1, || None);
        }
        Some(self.ears.get_mut(place)?.get_or_insert_with(Ear::new))
    }

    /// Whether what a leg says matters though nobody hears it.
    fn matters(&self, seat: u16) -> bool {
        let ear = self.ears.get(usize::from(seat)).and_then(Option::as_ref);
        ear.is_some_and(Ear::matters) || self.gauged.is_some() || self.taps.listen_to(seat)
    }

    /// Takes the packet of a leg apart; false when it is nothing that belongs here. Of who is heard by nobody only
    /// the keys matter, unless somebody taps him.
    pub(super) fn hear(
        &mut self,
        (seat, only_keys): (u16, bool),
        sound: Option<&Sound>,
        bytes: &[u8],
        now: Instant,
        note: impl FnOnce(u8, Duration),
    ) -> bool {
        let Ok(Packet { header, payload }) = Packet::decode(bytes) else { return false };
        let events = sound.and_then(|sound| sound.events);
        let events = events.filter(|known| known.payload_type == header.payload_type);
        if only_keys && events.is_none() && !self.matters(seat) {
            return true;
        }
        let Some(ear) = self.ear(seat) else { return false };
        if let Some(events) = events {
            let Some(payload) = payload.first_chunk::<4>().copied() else { return false };
            if let Some((key, held)) =
                Press::hear(&mut ear.pressing, header, (payload, events.clock), now)
            {
                note(key, held);
            }
            if let Some(press) = &ear.pressing {
                let (marker, clock, began) = (header.marker, events.clock, press.began);
                self.keys.push(keys::Key { seat, marker, began, payload, clock });
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
    /// Whether its mix may go: no guest, nobody muted, nothing played, no tap.
    pub(super) fn is_plain(&self) -> bool {
        let sides = [&self.a, &self.b].iter().all(|leg| leg.voice == Voice::All);
        let guests = self.mix.as_ref().map(|mix| mix.guests.iter().flatten().count());
        let turned = self.a.is_turned() && self.b.is_turned();
        let busy = self.mix.as_ref().is_some_and(|mix| mix.is_busy());
        sides && !turned && !busy && guests.unwrap_or(0) == 0
    }

    /// One tick of this stream's mix: each hearer gets its packet through `send`.
    pub(super) fn tick(
        &mut self,
        work: &mut Work<'_>,
        due: Instant,
        send: &mut impl FnMut(u16, SocketAddr, &[u8]),
    ) {
        let Self { key, a, b, mix: Some(mix), .. } = self else { return };
        let Mix { guests, desk } = &mut **mix;
        let mut legs = Legs { a, b, guests };
        let seats = 2 + legs.guests.len() as u16;
        desk.rate = legs.rate();
        if desk.mouths.len() < usize::from(seats) {
            desk.mouths.resize_with(seats.into(), Mouth::default);
        }
        let Desk { state, rate, ears, mouths, keys, sounds, taps, gauged } = desk;
        let (rate, gauged) = (*rate, *gauged);
        let mut note = Notes { stream: *key, events: work.events, ended: work.ended };
        listen(&legs, ears, keys, (rate, due, gauged), (work.mixer, work.coders), &mut note);
        step(state, &mut legs, (ears, sounds.any_for_sides()), due);
        let sides_hear = matches!(state, State::Mixing);
        let first_hearer = if sides_hear { 0 } else { 2 };
        keys::pass(&mut legs, keys, (first_hearer, seats), due, send);
        if !sounds.announces()
            && taps.is_empty()
            && let Some((seat, law)) = legs.solo()
        {
            let shelf = (work.clips, due);
            if let Some(leg) = legs.get_mut(seat) {
                speak_alone((seat, law), leg, sounds, shelf, &mut note, send);
            }
            return report_all(&legs, ears, (first_hearer, seats), due, send);
        }
        let announced = if sides_hear || !legs.has_sides() {
            sounds.announce((work.clips, rate, due), work.mixer, &mut note)
        } else {
            Announced::default()
        };
        let whispers = (0..seats).any(|seat| matches!(legs.voice(seat), Some(Voice::One(_))));
        let mut round = Round {
            rate,
            due,
            mixer: work.mixer,
            clips: work.clips,
            coders: work.coders,
            takes: work.takes,
            whispers,
            announced,
            shared: Shared::default(),
        };
        taps.tick();
        for (seat, mouth) in (0..seats).zip(mouths).skip(first_hearer.into()) {
            round.speak_to((seat, mouth), &mut legs, ears, (sounds, taps), &mut note, send);
        }
        round.tap(&legs, ears, taps, sides_hear);
        report_all(&legs, ears, (first_hearer, seats), due, send);
    }
}

/// One payload to one leg; nothing when the codec's library gave up, which the hearer conceals.
fn emit(
    leg: &mut Leg,
    payload_type: u8,
    said: &[u8],
    due: Instant,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) {
    /// Octets of most payloads.
    const SMALL: usize = 320;
    let Some((port, to)) = target(leg, Kind::Rtp).filter(|_| !said.is_empty()) else { return };
    let header = leg.trail.frame(payload_type, said.len(), due);
    let length = HEADER_MIN + said.len();
    if said.len() <= SMALL {
        let mut wire = [0; HEADER_MIN + SMALL];
        write(header, said, &mut wire);
        send(port, to, wire.get(..length).unwrap_or_default());
    } else {
        let mut wire = [0; HEADER_MIN + PAYLOAD_MAX];
        write(header, said, &mut wire);
        send(port, to, wire.get(..length).unwrap_or_default());
    }
}

/// One packet of G.711 to a leg that is alone at its stream: what is played to it, or silence.
fn speak_alone(
    (seat, law): (u16, Law),
    leg: &mut Leg,
    sounds: &mut Sounds,
    (clips, due): (&Clips, Instant),
    note: &mut Notes<'_>,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) {
    const FRAME: usize = Rate::Narrow.frame();
    let (Some(sound), Some((port, to))) = (leg.sound, target(leg, Kind::Rtp)) else { return };
    let mut pcm = [0; FRAME];
    let tell = |press: &Played| keys::tell_ours(leg, press, due, send);
    sounds.next(seat, (clips, Rate::Narrow, due), &mut pcm, note, tell);
    let header = leg.trail.frame(sound.sent.payload_type, FRAME, due);
    let mut wire = [0; HEADER_MIN + FRAME];
    header.write(&mut wire);
    law.encode_into(&pcm, wire.get_mut(HEADER_MIN..).unwrap_or_default());
    send(port, to, &wire);
}

/// Sender reports where they are due.
fn report_all(
    legs: &Legs<'_>,
    ears: &mut [Option<Ear>],
    (first, end): (u16, u16),
    due: Instant,
    send: &mut impl FnMut(u16, SocketAddr, &[u8]),
) {
    for seat in first..end {
        let Some(Some(ear)) = ears.get_mut(usize::from(seat)) else { continue };
        let due_for = *ear.reported.get_or_insert(due);
        if due.since(due_for) >= REPORT_EVERY {
            ear.reported = Some(due);
            report(legs.get(seat), due, send);
        }
    }
}

/// What is the same for all hearers of one tick.
struct Round<'a> {
    rate: Rate,
    due: Instant,
    mixer: &'a Mixer,
    clips: &'a Clips,
    coders: &'a Coders,
    takes: &'a mut Takes,
    whispers: bool,
    announced: Announced,
    shared: Shared,
}

impl Round<'_> {
    /// One packet to one leg.
    fn speak_to(
        &mut self,
        (seat, mouth): (u16, &mut Mouth),
        legs: &mut Legs<'_>,
        ears: &[Option<Ear>],
        (sounds, taps): (&mut Sounds, &mut Taps),
        note: &mut Notes<'_>,
        send: &mut impl FnMut(u16, SocketAddr, &[u8]),
    ) {
        let (rate, due) = (self.rate, self.due);
        let own = ears.get(usize::from(seat)).and_then(Option::as_ref);
        let wish = own.and_then(|ear| ear.jitter.wish());
        let own = own.filter(|ear| ear.chosen && !self.announced.alone);
        let own = own.map(|ear| ear.frame(rate));
        let as_all = own.is_none() && !self.whispers && !sounds.plays_to(seat);
        if as_all && self.announced.key.is_none() && !taps.follows(seat) {
            // Most of a large room: what the first of them was written is copied.
            if let Some(leg) = legs.get_mut(seat)
                && let Some(sound) = leg.sound
                && let Some(said) = self.shared.of(sound.sent.codec)
            {
                return emit(leg, sound.sent.payload_type, said, due, send);
            }
        }
        let mut extra = [0; FRAME_MAX];
        let mut aside = self.whispers && gather(legs, ears, seat, &mut extra);
        let Some(leg) = legs.get_mut(seat) else { return };
        let Some(sound) = leg.sound.filter(|_| target(leg, Kind::Rtp).is_some()) else {
            if leg.sound.is_none() && leg.taken {
                sounds.refuse(seat, note);
            }
            return;
        };
        let mut alone = false;
        let tell = |press: &Played| keys::tell_ours(leg, press, due, send);
        let mut played = [0; FRAME_MAX];
        if let Some(only) = sounds.fill(seat, (self.clips, rate, due), &mut played, note, tell) {
            (alone, aside) = (only, true);
            for (sum, sample) in extra.iter_mut().zip(&played) {
                *sum = if only { *sample } else { *sum + *sample };
            }
        } else if let Some((press, tones)) = &self.announced.key
            && !keys::tell_ours(leg, press, due, send)
        {
            aside = true;
            for (sum, sample) in extra.iter_mut().zip(tones) {
                *sum += i32::from(*sample);
            }
        }
        let codec = sound.sent.codec;
        let follows = taps.follows(seat);
        let common = own.is_none() && !aside && !follows && codec.works_at(rate) == rate;
        let mut payload = [0; PAYLOAD_MAX];
        let said = match self.shared.of(codec).filter(|_| common) {
            Some(said) => said,
            None => {
                let mut heard = [0; FRAME_MAX];
                let extra = aside.then_some(&extra);
                let pcm = match extra.filter(|_| alone) {
                    Some(played) => mixer::cut_all(rate, played, &mut heard),
                    None => self.mixer.heard(rate, own, extra, &mut heard),
                };
                if follows {
                    taps.fill((Some(seat), 1), (rate, pcm), due, self.takes);
                }
                let octets = mouth.speak((codec, wish), (rate, pcm), self.coders, &mut payload);
                let said = payload.get(..octets).unwrap_or_default();
                if common && mouth.encoder.as_ref().is_some_and(Encoder::is_plain) {
                    self.shared.keep(codec, said);
                }
                said
            }
        };
        emit(leg, sound.sent.payload_type, said, due, send);
    }

    /// What was said, and what sides hear while packets pass between them.
    fn tap(&mut self, legs: &Legs<'_>, ears: &[Option<Ear>], taps: &mut Taps, sides_hear: bool) {
        if taps.is_empty() {
            return;
        }
        let (rate, due) = (self.rate, self.due);
        let mut heard = [0; FRAME_MAX];
        let mix = self.mixer.heard(rate, None, None, &mut heard);
        taps.fill((None, 0), (rate, mix), due, self.takes);
        for (seat, ear) in ears.iter().enumerate() {
            let (seat, Some(ear)) = (seat as u16, ear) else { continue };
            if legs.get(seat).is_none() {
                continue;
            }
            let pcm = ear.frame(rate);
            taps.fill((Some(seat), 0), (rate, pcm), due, self.takes);
            if !sides_hear && seat < 2 {
                taps.fill((Some(1 - seat), 1), (rate, pcm), due, self.takes);
            }
        }
        taps.rest(rate, due, self.takes);
    }
}

/// Takes one frame of everybody, and adds up those who are heard by all.
fn listen(
    legs: &Legs<'_>,
    ears: &mut [Option<Ear>],
    keys: &mut Keys,
    (rate, due, gauged): (Rate, Instant, Option<Duration>),
    (mixer, coders): (&mut Mixer, &Coders),
    note: &mut Notes<'_>,
) {
    mixer.begin();
    for (seat, ear) in ears.iter_mut().enumerate() {
        let (seat, Some(ear)) = (seat as u16, ear) else { continue };
        let sound = legs.get(seat).and_then(|leg| leg.sound);
        let let_go = match sound {
            // It has said nothing yet: its frame is silence.
            _ if !ear.jitter.has_heard() && ear.pressing.is_none() => None,
            Some(sound) if sound.events.is_none() => {
                ear.listen(rate, coders);
                ear.detect(seat, rate, due, keys)
            }
            _ => {
                ear.listen(rate, coders);
                ear.pressing.as_mut().and_then(|press| press.release(due))
            }
        };
        if let Some((key, held)) = let_go {
            note.key(Seat(seat), key, held);
        }
        let fading = ear.level - ear.level.div_ceil(8);
        let level = mixer::level(ear.frame(rate));
        ear.level = level.max(fading);
        if let Some(change) = ear.speech.as_mut().and_then(|speech| speech.hear(level, due)) {
            note.speech(Seat(seat), change);
        }
        if let Some(every) = ear.gauged.or(gauged)
            && let Some(level) = ear.gauge.hear(energy(ear.frame(rate)), every, due)
        {
            note.level(Seat(seat), level);
        }
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
fn step(
    state: &mut State,
    legs: &mut Legs<'_>,
    (ears, played): (&[Option<Ear>], bool),
    due: Instant,
) {
    let wanted = legs.want_mixing(played);
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
