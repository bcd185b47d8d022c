//! One call: its two sides, and what may come next.

use media::Side;
use switchboard::hunt::Hunt;
use switchboard::lines::Line;
use switchboard::notice::CallFacts;
use switchboard::pair::Pair;
use types::{LegId, SessionId, tagged};

use crate::guest::Guest;
use crate::hold::Hold;
use crate::tape::{Piece, Tape};
use crate::transfer::Moving;

/// A call from INVITE to BYE.
#[derive(Debug)]
pub struct Call {
    pub facts: CallFacts,
    /// The caller's leg.
    pub a: LegId,
    pub pair: Pair,
    pub state: State,
    /// Who asked the other side for an offer, or owes an answer to one.
    pub late: Option<Side>,
    /// A re-INVITE or UPDATE of this side is on its way to the other.
    pub changing: Option<Side>,
    /// Lines that it holds, from the answer on: after a restart it takes them again.
    pub lines: Vec<Line>,
    /// What the caller was told of the callee's media before the answer.
    pub early: Option<Box<Early>>,
    /// Why the far end did what comes next, in its own words.
    pub reason: Option<String>,
    /// A transfer that is under way.
    pub moving: Option<Box<Moving>>,
    /// Transfers that were asked for so far.
    pub transfers: u32,
    /// Others who listen in or joined.
    pub guests: Vec<Guest>,
    /// Somebody is kept waiting.
    pub hold: Option<Box<Hold>>,
    /// It is recorded.
    pub tape: Option<Box<Tape>>,
    /// Files of it that are not finished yet.
    pub pieces: Vec<Piece>,
}

/// Early media.
#[derive(Debug)]
pub struct Early {
    /// The phone whose media it is.
    pub leg: LegId,
    /// The answer that the caller got, to be said again with the final one.
    pub answer: Option<Vec<u8>>,
    /// The caller acknowledged it: to him it is settled.
    pub told: bool,
}

/// Where a call stands.
#[derive(Debug)]
pub enum State {
    /// The callee is sought.
    Ringing(Box<Hunt>),
    /// Both talk.
    Talking {
        /// The callee's leg.
        b: LegId,
    },
    /// The callee answered the push with a description; his phone has not registered yet, or never will.
    TalkingAhead(Box<Hunt>),
}

impl Call {
    /// A call as it begins.
    pub fn new(facts: CallFacts, a: LegId, pair: Pair, state: State) -> Self {
        Self {
            facts,
            a,
            pair,
            state,
            late: None,
            changing: None,
            lines: Vec::new(),
            early: None,
            reason: None,
            moving: None,
            transfers: 0,
            guests: Vec::new(),
            hold: None,
            tape: None,
            pieces: Vec::new(),
        }
    }

    /// The ring that is under way: of the callee, or of somebody to whom the call is transferred.
    pub fn ring_mut(&mut self) -> Option<&mut Hunt> {
        match (&mut self.state, self.moving.as_deref_mut()) {
            (State::Ringing(hunt) | State::TalkingAhead(hunt), _) => Some(hunt),
            (State::Talking { .. }, Some(Moving::Calling(calling))) => Some(&mut calling.ring),
            (State::Talking { .. }, _) => None,
        }
    }

    /// The same, to look at.
    pub fn ring(&self) -> Option<&Hunt> {
        match (&self.state, self.moving.as_deref()) {
            (State::Ringing(hunt) | State::TalkingAhead(hunt), _) => Some(hunt),
            (State::Talking { .. }, Some(Moving::Calling(calling))) => Some(&calling.ring),
            (State::Talking { .. }, _) => None,
        }
    }

    /// Puts a leg into the place of a side.
    pub fn set_leg(&mut self, side: Side, leg: LegId) {
        match side {
            Side::A => self.a = leg,
            Side::B => self.state = State::Talking { b: leg },
        }
    }

    /// Which side a leg is.
    pub fn side(&self, leg: LegId) -> Option<Side> {
        if leg == self.a {
            return Some(Side::A);
        }
        match &self.state {
            State::Talking { b } if *b == leg => Some(Side::B),
            State::Ringing(_) if self.early_leg() == Some(leg) => Some(Side::B),
            State::Talking { .. } | State::Ringing(_) | State::TalkingAhead(_) => None,
        }
    }

    /// The leg of a side, when there is one.
    pub fn leg(&self, side: Side) -> Option<LegId> {
        match (side, &self.state) {
            (Side::A, _) => Some(self.a),
            (Side::B, State::Talking { b }) => Some(*b),
            (Side::B, State::Ringing(_)) => self.early_leg(),
            (Side::B, State::TalkingAhead(_)) => None,
        }
    }

    /// The phone that rings and whose media the caller has settled with.
    pub fn early_leg(&self) -> Option<LegId> {
        self.early.as_ref().filter(|early| early.told).map(|early| early.leg)
    }

    /// As tagged fields. A ringing call is kept only to be ended in order after a restart.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(512));
        writer.nested(1, |writer| self.facts.write(writer)).number(2, self.a.0);
        writer.nested(3, |writer| self.pair.encode(writer));
        if let State::Talking { b } = self.state {
            writer.number(4, b.0);
        }
        for line in &self.lines {
            writer.text(5, &line.to_string());
        }
        for guest in &self.guests {
            writer.bytes(6, &guest.encode());
        }
        self.write_pieces(&mut writer);
        if let Some(tape) = &self.tape {
            writer.nested(8, |writer| tape.write(writer));
        }
        writer.finish()
    }

    /// A call that is over, as it is kept until its files are finished.
    pub fn encode_over(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.nested(1, |writer| self.facts.write(writer)).number(9, 1);
        self.write_pieces(&mut writer);
        writer.finish()
    }

    fn write_pieces(&self, writer: &mut tagged::Writer) {
        for piece in &self.pieces {
            writer.nested(7, |writer| piece.write(writer));
        }
    }
}

/// A call as the keeper had it.
#[derive(Debug, Default)]
pub struct Saved {
    pub facts: CallFacts,
    pub a: LegId,
    pub pair: Vec<u8>,
    pub b: Option<LegId>,
    pub lines: Vec<Line>,
    pub guests: Vec<Vec<u8>>,
    pub pieces: Vec<Vec<u8>>,
    pub tape: Option<Box<Tape>>,
    /// Only files are waited for.
    pub is_over: bool,
}

impl Saved {
    pub fn decode(bytes: &[u8], session: SessionId) -> Self {
        let mut saved = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => saved.facts = CallFacts::decode(field.0).unwrap_or_default(),
                2 => saved.a = LegId(field.number().unwrap_or(0)),
                3 => saved.pair = field.0.to_vec(),
                4 => saved.b = field.number().map(LegId),
                5 => saved.lines.extend(field.text().and_then(Line::parse)),
                6 => saved.guests.push(field.0.to_vec()),
                7 => saved.pieces.push(field.0.to_vec()),
                8 => saved.tape = Some(Box::new(Tape::read(field.0))),
                9 => saved.is_over = field.number().is_some_and(|over| over != 0),
                _ => (), // A field of a newer version.
            }
        }
        saved.facts.session = session;
        saved
    }
}
