//! What is played at one stream: one sound for each seat, and one for all.
//!
//! Picture     Play --begin--> waits until it can be heard --tick--> heard --> Event::Played
//! Rules       A sound takes the place of the one that was played to the same seat, or to all. To a leg on hold nothing
//!             is played: it hears the rest later. What is played to all goes on.
//! Limits      One for each seat, one for all.
//! Not here    What is played (play), the sum (mixer).
//! Spec        none.

use types::Instant;

use crate::codec::{FRAME_MAX, Rate};
use crate::engine::Notes;
use crate::feed::{Feed, FeedId};
use crate::mixer::Mixer;
use crate::play::{Clips, Ending, Playing, Press, Step};
use crate::words::Seat;

/// See the head of this file.
#[derive(Debug, Default)]
pub(in crate::engine) struct Sounds {
    /// By seat.
    seats: Vec<Option<Playing>>,
    all: Option<Playing>,
}

/// What all hear in one tick.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// Nothing else is heard: nobody's own voice is in the sum.
    pub(super) alone: bool,
    /// A key, and its tones for who knows no events.
    pub(super) key: Option<(Press, [i16; FRAME_MAX])>,
}

impl Sounds {
    /// Begins something, to one or to all.
    pub(in crate::engine) fn begin(
        &mut self,
        seat: Option<Seat>,
        playing: Playing,
        note: &mut Notes<'_>,
    ) {
        self.stop(seat, None, note);
        let Some(place) = seat.map(|seat| usize::from(seat.0)) else {
            self.all = Some(playing);
            return;
        };
        if self.seats.len() <= place {
            self.seats.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.seats.get_mut(place) {
            *slot = Some(playing);
        }
    }

    /// Ends what is played to one or to all; where `sound` says which, only that one.
    pub(in crate::engine) fn stop(
        &mut self,
        seat: Option<Seat>,
        sound: Option<u64>,
        note: &mut Notes<'_>,
    ) {
        let slot = match seat {
            Some(seat) => self.seats.get_mut(usize::from(seat.0)),
            None => Some(&mut self.all),
        };
        let meant = |playing: &mut Playing| sound.is_none_or(|sound| sound == playing.sound);
        if let Some(playing) = slot.and_then(|slot| slot.take_if(meant)) {
            note.played(seat, &playing, Ending::Stopped);
        }
    }

    /// Somebody leaves: nobody asks any more what was played to him.
    pub(super) fn leave(&mut self, seat: Seat) {
        if let Some(slot) = self.seats.get_mut(usize::from(seat.0)) {
            *slot = None;
        }
    }

    /// What feeds a seat, or all.
    pub(in crate::engine) fn feed(&mut self, seat: Option<Seat>, id: FeedId) -> Option<&mut Feed> {
        let playing = match seat {
            Some(seat) => self.seats.get_mut(usize::from(seat.0))?.as_mut()?,
            None => self.all.as_mut()?,
        };
        playing.feed().filter(|feed| feed.id == id)
    }

    /// Whether anything is played.
    pub(super) fn any(&self) -> bool {
        self.all.is_some() || self.seats.iter().any(Option::is_some)
    }

    /// Whether anything is played that a side of the stream shall hear.
    pub(super) fn any_for_sides(&self) -> bool {
        self.all.is_some() || self.seats.iter().take(2).any(Option::is_some)
    }

    /// The next frame of what all hear goes into the sum.
    pub(super) fn announce(
        &mut self,
        (clips, rate, due): (&Clips, Rate, Instant),
        mixer: &mut Mixer,
        note: &mut Notes<'_>,
    ) -> Announced {
        let mut announced = Announced::default();
        let Some(playing) = &mut self.all else { return announced };
        let mut frame = [0; FRAME_MAX];
        let out = frame.get_mut(..rate.frame()).unwrap_or_default();
        let step = playing.next(clips, rate, due, out);
        if let Step::Over(how) = step {
            note.played(None, playing, how);
            self.all = None;
            return announced;
        }
        note.fed(None, playing);
        announced.alone = playing.alone;
        if playing.alone {
            mixer.begin();
        }
        match step {
            Step::Key(press) => announced.key = Some((press, frame)),
            Step::Sound | Step::Over(_) => mixer.add(out),
        }
        announced
    }

    /// Adds the next frame of what one seat hears: whether it is heard alone, or nothing when there is none. `tell`
    /// takes keys; false where they must be heard as tones.
    pub(super) fn fill(
        &mut self,
        seat: u16,
        (clips, rate, due): (&Clips, Rate, Instant),
        sum: &mut [i32; FRAME_MAX],
        note: &mut Notes<'_>,
        tell: impl FnOnce(&Press) -> bool,
    ) -> Option<bool> {
        self.seats.get(usize::from(seat))?.as_ref()?;
        let mut frame = [0; FRAME_MAX];
        let out = frame.get_mut(..rate.frame()).unwrap_or_default();
        let alone = self.next(seat, (clips, rate, due), out, note, tell)?;
        for (sum, sample) in sum.iter_mut().zip(out) {
            *sum += i32::from(*sample);
        }
        Some(alone)
    }

    /// The same for who hears nothing else: `out` is silence at first.
    pub(super) fn next(
        &mut self,
        seat: u16,
        (clips, rate, due): (&Clips, Rate, Instant),
        out: &mut [i16],
        note: &mut Notes<'_>,
        tell: impl FnOnce(&Press) -> bool,
    ) -> Option<bool> {
        let slot = self.seats.get_mut(usize::from(seat))?;
        let playing = slot.as_mut()?;
        let alone = playing.alone;
        let step = playing.next(clips, rate, due, out);
        note.fed(Some(Seat(seat)), playing);
        match step {
            Step::Key(press) => {
                if tell(&press) {
                    out.fill(0);
                }
            }
            Step::Sound => (),
            Step::Over(how) => {
                note.played(Some(Seat(seat)), playing, how);
                *slot = None;
                return None;
            }
        }
        Some(alone)
    }

    /// Whether something is played to this seat.
    pub(super) fn plays_to(&self, seat: u16) -> bool {
        self.seats.get(usize::from(seat)).is_some_and(Option::is_some)
    }

    /// Whether all hear something.
    pub(super) fn announces(&self) -> bool {
        self.all.is_some()
    }

    /// A leg that can hear nothing of ours is done with what is played to it.
    pub(super) fn refuse(&mut self, seat: u16, note: &mut Notes<'_>) {
        let slot = self.seats.get_mut(usize::from(seat));
        if let Some(playing) = slot.and_then(Option::take) {
            note.played(Some(Seat(seat)), &playing, Ending::Missing);
        }
    }
}
