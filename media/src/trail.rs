//! The numbers of what one leg was sent: they go on without a break, whoever its sound comes from.
//!
//! Picture     Passing --a mix begins--> Ours --it ends--> Shifted (passing, with our source and numbers)
//! Rules       As long as a leg has only heard its far side, packets pass with the numbers that they have. Once it
//!             heard a mix, its source (SSRC) stays for good, the sequence has no gap that the network did not make,
//!             and timestamps go on with the time that passed.
//! Not here    What the packets hold.
//! Spec        RFC 3550 §5.1, RFC 7667 §3.7 (a translator that keeps numbers in order).

use types::{Instant, Rng};

use crate::codec;
use crate::rtp::{self, Header};

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trail {
    last: Option<Last>,
    state: State,
    /// Packets and octets that were ours, for a sender report.
    sent: (u32, u32),
    /// Ticks of 20 ms; 0 is 160, until somebody says what the leg is sent.
    pace: u32,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// When; `None` before anything was sent.
    at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Untouched packets of the far side.
    #[default]
    Passing,
    /// Packets of ours.
    Ours,
    /// Packets of the far side under our source; `None`: none has come yet.
    Shifted(Option<Shift>),
}

/// What is added to the numbers of one source.
#[derive(Clone, Copy, Debug)]
struct Shift {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    newest: u16,
}

impl Trail {
    /// Ticks that 20 ms of what the leg is sent have.
    pub(crate) fn pace(&mut self, ticks: u32) {
        self.pace = ticks;
    }

    /// A packet of the far side goes to the leg: the numbers that it gets instead of its own, if any.
    pub(crate) fn pass(&mut self, header: Header, now: Instant) -> Option<Header> {
        let State::Shifted(known) = self.state else {
            self.note(header, now);
            return None;
        };
        let known = known.filter(|shift| {
            /// A jump beyond this is a sender that began anew.
            ///
            /// Spec: RFC 3550 §A.1 (MAX_DROPOUT)
            const DROPOUT_MAX: u16 = 3000;
            let far = rtp::ahead(header.sequence, shift.newest).unsigned_abs();
            shift.ssrc == header.ssrc && far <= DROPOUT_MAX
        });
        let mut shift = known.unwrap_or_else(|| {
            let (sequence, timestamp) = self.following(now);
            Shift {
                ssrc: header.ssrc,
                sequence: sequence.wrapping_sub(header.sequence),
                timestamp: timestamp.wrapping_sub(header.timestamp),
                newest: header.sequence,
            }
        });
        if rtp::ahead(header.sequence, shift.newest) > 0 {
            shift.newest = header.sequence;
        }
        self.state = State::Shifted(Some(shift));
        let header = Header {
            ssrc: self.last.map_or(header.ssrc, |last| last.ssrc),
            sequence: header.sequence.wrapping_add(shift.sequence),
            timestamp: header.timestamp.wrapping_add(shift.timestamp),
            ..header
        };
        self.note(header, now);
        Some(header)
    }

    /// The leg hears packets of ours from now on. `chance` begins the numbers where it never heard any.
    pub(crate) fn begin(&mut self, chance: &mut Rng) {
        self.state = State::Ours;
        if self.last.is_none() {
            let (start, ssrc) = (chance.next_u64(), chance.next_u64() as u32);
            let (sequence, timestamp) = (start as u16, (start >> 16) as u32);
            self.last = Some(Last { ssrc, sequence, timestamp, at: None });
        }
    }

    /// The leg hears its far side again.
    pub(crate) fn end(&mut self) {
        if matches!(self.state, State::Ours) {
            self.state = State::Shifted(None);
        }
    }

    /// Packets pass under one source of ours from now on, whoever they come from.
    pub(crate) fn own_source(&mut self, chance: &mut Rng) {
        if matches!(self.state, State::Passing) {
            self.begin(chance);
            self.end();
        }
    }

    /// The same for a leg that must not hear a source that it may have heard before.
    pub(crate) fn other_source(&mut self, chance: &mut Rng) {
        let ours = matches!(self.state, State::Ours);
        self.last = None;
        self.begin(chance);
        if !ours {
            self.end();
        }
    }

    /// Whether packets of the far side pass under other numbers.
    pub(crate) fn is_shifted(&self) -> bool {
        matches!(self.state, State::Shifted(Some(_)))
    }

    /// A source of the far side as the leg hears it: its name, and what is added to its time.
    pub(crate) fn outward(&self, source: u32) -> Option<(u32, u32)> {
        let State::Shifted(Some(shift)) = self.state else { return None };
        let own = self.last.filter(|_| shift.ssrc == source)?;
        Some((own.ssrc, shift.timestamp))
    }

    /// A source that the leg heard as the far side knows it: its name, and what was added to its numbers.
    pub(crate) fn inward(&self, source: u32) -> Option<(u32, u16)> {
        let State::Shifted(Some(shift)) = self.state else { return None };
        self.last.filter(|last| last.ssrc == source).map(|_| (shift.ssrc, shift.sequence))
    }

    /// The same trail for a leg that goes over to another far side.
    pub(crate) fn led_on(self) -> Self {
        Self { state: State::Shifted(None), ..self }
    }

    /// The numbers of the next frame of ours, due at `now`.
    pub(crate) fn frame(&mut self, payload_type: u8, octets: usize, now: Instant) -> Header {
        let first = self.last.is_none_or(|last| last.at.is_none());
        let (sequence, timestamp) = self.following(now);
        self.own((sequence, timestamp), payload_type, first, octets, Some(now))
    }

    /// The time of a frame that would leave now.
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        self.following(now).1
    }

    /// The numbers of a packet of ours that stands beside the sound and tells of another time.
    pub(crate) fn beside(
        &mut self,
        timestamp: u32,
        payload_type: u8,
        marker: bool,
        octets: usize,
    ) -> Header {
        let (sequence, kept, at) = self.last.map_or((0, timestamp, None), |last| {
            (last.sequence.wrapping_add(1), last.timestamp, last.at)
        });
        let header = self.own((sequence, timestamp), payload_type, marker, octets, at);
        if let Some(last) = &mut self.last {
            last.timestamp = kept; // The sound goes on from where it was.
        }
        header
    }

    /// Source, time, packets and octets, as a sender report tells them.
    pub(crate) fn report(&self) -> (u32, u32, u32, u32) {
        let (ssrc, timestamp) = self.last.map_or((0, 0), |last| (last.ssrc, last.timestamp));
        (ssrc, timestamp, self.sent.0, self.sent.1)
    }

    fn own(
        &mut self,
        (sequence, timestamp): (u16, u32),
        payload_type: u8,
        marker: bool,
        octets: usize,
        at: Option<Instant>,
    ) -> Header {
        let ssrc = self.last.map_or(0, |last| last.ssrc);
        self.last = Some(Last { ssrc, sequence, timestamp, at });
        self.sent = (self.sent.0.wrapping_add(1), self.sent.1.wrapping_add(octets as u32));
        Header { marker, payload_type, sequence, timestamp, ssrc }
    }

    /// Number and time of a packet that follows the last one now.
    fn following(&self, now: Instant) -> (u16, u32) {
        let Some(last) = self.last else { return (0, 0) };
        let frames = last.at.map_or(1, |at| codec::frames(now.since(at)).max(1));
        let pace = if self.pace == 0 { 160 } else { self.pace };
        let timestamp = last.timestamp.wrapping_add(frames.wrapping_mul(pace));
        (last.sequence.wrapping_add(1), timestamp)
    }

    fn note(&mut self, header: Header, at: Instant) {
        let newer = self.last.is_none_or(|last| {
            last.ssrc != header.ssrc || rtp::ahead(header.sequence, last.sequence) > 0
        });
        if newer {
            let Header { ssrc, sequence, timestamp, .. } = header;
            self.last = Some(Last { ssrc, sequence, timestamp, at: Some(at) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, timestamp: u32, ssrc: u32) -> Header {
        Header { marker: false, payload_type: 8, sequence, timestamp, ssrc }
    }

    fn shown(header: Header) -> (u32, u16, u32) {
        (header.ssrc, header.sequence, header.timestamp)
    }

    #[test]
    fn numbers_go_on_from_side_to_mix_and_back() {
        let mut trail = Trail::default();
        let ms = |n: u64| Instant::millis(1000 + n);
        assert_eq!(trail.pass(header(u16::MAX - 1, 1000, 5), ms(0)), None);
        assert_eq!(trail.pass(header(u16::MAX, 1160, 5), ms(20)), None);
        trail.begin(&mut Rng::from_number(1));
        assert_eq!(shown(trail.frame(8, 160, ms(47))), (5, 0, 1320));
        assert_eq!(shown(trail.frame(8, 160, ms(67))), (5, 1, 1480));
        assert_eq!(shown(trail.frame(8, 160, ms(107))), (5, 2, 1800)); // A tick was missed.
        trail.end();
        assert_eq!(trail.pass(header(9, 90, 5), ms(110)).map(shown), Some((5, 3, 1960)));
        assert_eq!(trail.pass(header(11, 410, 5), ms(150)).map(shown), Some((5, 5, 2280)));
        assert_eq!(trail.pass(header(10, 250, 5), ms(151)).map(shown), Some((5, 4, 2120)));
        // Another sender takes over: still one stream.
        assert_eq!(trail.pass(header(700, 5, 6), ms(170)).map(shown), Some((5, 6, 2440)));
        trail.begin(&mut Rng::from_number(1));
        assert_eq!(shown(trail.frame(8, 160, ms(190))), (5, 7, 2600));
    }

    #[test]
    fn who_never_heard_anything_begins_anywhere() {
        let mut trail = Trail::default();
        trail.begin(&mut Rng::from_number(1));
        let first = trail.frame(0, 160, Instant::millis(20));
        let second = trail.frame(0, 160, Instant::millis(40));
        assert!(first.marker && !second.marker && first.ssrc != 0);
        assert_eq!(second.sequence, first.sequence.wrapping_add(1));
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
        assert_eq!(trail.report(), (first.ssrc, second.timestamp, 2, 320));
    }

    #[test]
    fn time_runs_at_the_clock_of_what_is_sent() {
        let mut trail = Trail::default();
        trail.pace(960);
        trail.begin(&mut Rng::from_number(1));
        let first = trail.frame(111, 60, Instant::millis(20));
        let second = trail.frame(111, 60, Instant::millis(40));
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(960));
    }

    #[test]
    fn events_stand_beside_the_sound() {
        let mut trail = Trail::default();
        trail.begin(&mut Rng::from_number(1));
        let sound = trail.frame(0, 160, Instant::millis(20));
        let time = trail.timestamp(Instant::millis(40));
        let event = trail.beside(time, 101, true, 4);
        let again = trail.beside(time, 101, false, 4);
        let next = trail.frame(0, 160, Instant::millis(40));
        assert_eq!(event.timestamp, again.timestamp);
        assert_eq!(next.timestamp, sound.timestamp.wrapping_add(160));
        assert_eq!(next.sequence, sound.sequence.wrapping_add(3));
    }
}
