//! The taps of one stream.
//!
//! Picture     tick --said, heard--> each tap, at its own rate --> Takes
//! Rules       Every tap gets a frame for each of its channels every tick, silence where there is nothing. A side that
//!             hears what passes hears the other side.
//! Limits      [`TAPS_MAX`](crate::TAPS_MAX) at one stream, beside those that come with a leg from another one.
//! Not here    Who fetches it (Takes).
//! Spec        none.

use types::Instant;

use crate::clip::TapId;
use crate::codec::{self, FRAME_MAX, Rate};
use crate::resample::{Resampler, resampled};
use crate::tap::{self, Direction, TAPS_MAX, Takes};
use crate::words::Seat;

/// One tap.
#[derive(Debug)]
pub(super) struct Tap {
    id: TapId,
    /// `None`: the mix.
    seat: Option<Seat>,
    rate: Rate,
    direction: Direction,
    /// The first tick that it heard.
    began: Option<Instant>,
    /// By channel.
    resamplers: [Option<Resampler>; 2],
    /// Channels that this tick has filled.
    filled: [bool; 2],
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(in crate::engine) struct Taps(Vec<Tap>);

impl Taps {
    /// Begins a tap; false when there are too many. One of the same name is replaced.
    pub(in crate::engine) fn begin(
        &mut self,
        id: TapId,
        seat: Option<Seat>,
        rate: Rate,
        direction: Direction,
    ) -> bool {
        self.end(id);
        // The mix has one sound alone.
        let direction = if seat.is_none() { Direction::In } else { direction };
        let (resamplers, filled) = ([None, None], [false; 2]);
        let tap = Tap { id, seat, rate, direction, began: None, resamplers, filled };
        let fits = self.0.len() < TAPS_MAX;
        if fits {
            self.0.push(tap);
        }
        fits
    }

    /// Ends a tap; whether it was there.
    pub(in crate::engine) fn end(&mut self, id: TapId) -> bool {
        let count = self.0.len();
        self.0.retain(|tap| tap.id != id);
        self.0.len() < count
    }

    /// Ends those of one seat, or all.
    pub(in crate::engine) fn leave(&mut self, seat: Option<Seat>) -> Vec<TapId> {
        let gone = |tap: &mut Tap| seat.is_none() || tap.seat == seat;
        self.0.extract_if(.., gone).map(|tap| tap.id).collect()
    }

    /// Takes those of one seat away.
    pub(super) fn lift(&mut self, seat: Seat) -> Vec<Tap> {
        self.0.extract_if(.., |tap| tap.seat == Some(seat)).collect()
    }

    /// They go on at another one.
    pub(super) fn set(&mut self, seat: Seat, taps: Vec<Tap>) {
        let taps = taps.into_iter().map(|tap| Tap { seat: Some(seat), ..tap });
        self.0.extend(taps);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether somebody wants to know what a leg says.
    pub(super) fn listen_to(&self, seat: u16) -> bool {
        self.0.iter().any(|tap| tap.seat == Some(Seat(seat)) && tap.direction.has(0))
    }

    /// Whether somebody wants to know what a leg hears.
    pub(super) fn follows(&self, seat: u16) -> bool {
        self.0.iter().any(|tap| tap.seat == Some(Seat(seat)) && tap.direction.has(1))
    }

    /// A new tick.
    pub(super) fn tick(&mut self) {
        for tap in &mut self.0 {
            tap.filled = [false; 2];
        }
    }

    /// What a leg said, or what it heard; `None` is the mix.
    pub(super) fn fill(
        &mut self,
        (seat, channel): (Option<u16>, u8),
        (rate, pcm): (Rate, &[i16]),
        due: Instant,
        takes: &mut Takes,
    ) {
        let of = |tap: &&mut Tap| tap.seat.map(|seat| seat.0) == seat && tap.direction.has(channel);
        for tap in self.0.iter_mut().filter(of) {
            tap.take(channel, (rate, pcm), due, takes);
        }
    }

    /// Silence for what nobody filled.
    pub(super) fn rest(&mut self, rate: Rate, due: Instant, takes: &mut Takes) {
        let silence = [0; FRAME_MAX];
        let silence = silence.get(..rate.frame()).unwrap_or_default();
        for tap in &mut self.0 {
            for channel in [0, 1] {
                if tap.direction.has(channel)
                    && tap.filled.get(usize::from(channel)) == Some(&false)
                {
                    tap.take(channel, (rate, silence), due, takes);
                }
            }
        }
    }
}

impl Tap {
    pub(super) fn id(&self) -> TapId {
        self.id
    }

    fn take(&mut self, channel: u8, (from, pcm): (Rate, &[i16]), due: Instant, takes: &mut Takes) {
        let began = *self.began.get_or_insert(due);
        let at = tap::at(self.rate, codec::frames(due.since(began)));
        let place = usize::from(channel);
        if let (Some(filled), Some(kept)) =
            (self.filled.get_mut(place), self.resamplers.get_mut(place))
        {
            *filled = true;
            let mut room = [0; FRAME_MAX];
            let pcm = resampled(kept, (from, pcm), self.rate, &mut room);
            takes.push(self.id, channel, at, pcm);
        }
    }
}
