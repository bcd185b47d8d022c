//! What we do to the sound of a pair ourselves: who is kept waiting and is played to, whose keys are used by us, too.

use media::Side;
use sdp::Direction;
use types::LegId;

use super::{Aim, Pair, of_both};
use crate::browser::Turn;
use crate::effects::Effects;
use crate::{keyring, sound};

impl Pair {
    /// Who is kept waiting shall hear something of ours from now on: he is told that he will be sent to, though the other
    /// side takes and sends nothing.
    pub fn entertain(&mut self) {
        self.entertains = true;
    }

    /// Who is kept waiting: he wants to hear, and the other side takes nothing. `None` while both talk, while both keep each
    /// other waiting, and where the sound of the two is not ours to take apart.
    ///
    /// Spec: RFC 3264 §8.4
    pub fn waiting(&self) -> Option<Side> {
        let place = self.hearable()?;
        let receives =
            |side: Side| self.aims[side.index()].get(place).is_some_and(|aim| aim.receives);
        Side::BOTH.into_iter().find(|side| receives(*side) && !receives(side.other()))
    }

    /// The rate at which its sound is kept: 16 kHz where both sides have more than the narrow one.
    pub fn rate(&self) -> media::Rate {
        let wide = |aim: &Aim| {
            let first = aim.sound.as_ref().and_then(|sound| sound.sounds().next());
            first.and_then(sound::format).is_some_and(|f| f.codec.rate() > media::Rate::Narrow)
        };
        let place = self.hearable().unwrap_or(0);
        let both = self.aims.iter().all(|aims| aims.get(place).is_some_and(wide));
        if both { media::Rate::Wide } else { media::Rate::Narrow }
    }

    /// The first section whose sound we understand.
    pub(super) fn hearable(&self) -> Option<usize> {
        self.place_of(|sound| sound.leads)
    }

    /// The first section that is open, and whose sound is such a one on both sides.
    pub(super) fn place_of(&self, is_it: impl Fn(&sdp::PlainSound) -> bool) -> Option<usize> {
        let [a, b] = &self.aims;
        a.iter().zip(b).zip(&self.open).position(|((a, b), open)| {
            let known = |aim: &Aim| aim.sound.as_ref().is_some_and(&is_it);
            *open && !a.rejected && !b.rejected && known(a) && known(b)
        })
    }

    /// Whether a side may be asked a second time, with keys, when it takes no plain media: it has said nothing yet, and the
    /// other side has none.
    pub fn may_be_keyed(&self, to: Side) -> bool {
        let (to, from) = (to.index(), to.other().index());
        self.paths[to].is_none() && self.rings[to].may_be_asked(&self.rings[from])
    }

    /// What a side answers next is said by this leg.
    pub fn speaks(&mut self, side: Side, leg: LegId) {
        self.rings[side.index()].speaks(leg);
    }

    /// Keys that pass between the two are used by us, too, so that their sound can be heard. False where they cannot.
    pub(super) fn open_keys(&mut self, effects: &mut Effects<'_>) -> bool {
        let (a, b) = of_both(&mut self.rings, Side::A);
        let passed = |ring: &keyring::Ring| (0..self.open.len()).all(|n| ring.agreed(n).is_none());
        let passed = passed(a) && passed(b);
        if !keyring::open(a, b) {
            return false;
        }
        let newly = passed && (0..self.open.len()).any(|place| a.agreed(place).is_some());
        if newly && !self.opened {
            self.opened = true;
            self.aim(effects);
        }
        true
    }

    /// What the directions of sections come to for one side, where they are others than the other side said.
    pub(super) fn directions(
        &self,
        to: Side,
        turn: Turn,
        session: &sdp::Session<'_>,
    ) -> Option<Vec<Option<Direction>>> {
        if !self.entertains {
            return None;
        }
        let [from, to] = [to.other(), to].map(|side| &self.aims[side.index()]);
        let turned = session.media.iter().enumerate().map(|(place, section)| {
            let (Some(from), Some(to)) = (from.get(place), to.get(place)) else { return None };
            let known = |aim: &Aim| aim.sound.is_some_and(|sound| sound.leads);
            if from.rejected || to.rejected || !known(from) || !known(to) {
                return None;
            }
            // He goes on to hear: what he hears is ours.
            if section.direction == Direction::Inactive && to.receives {
                return Some(Direction::SendOnly);
            }
            // Who said that nothing shall pass is answered so (RFC 3264 §6.1).
            let nothing = turn == Turn::Answer && to.is_mute && !to.receives;
            (nothing && section.direction != Direction::Inactive).then_some(Direction::Inactive)
        });
        let turned: Vec<Option<Direction>> = turned.collect();
        turned.iter().any(Option::is_some).then_some(turned)
    }
}
