//! One call: its two sides, and what may come next.

use media::Side;
use switchboard::hunt::Hunt;
use switchboard::lines::Line;
use switchboard::notice::CallFacts;
use switchboard::pair::Pair;
use types::{LegId, SessionId, tagged};

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
    /// A re-INVITE of this side is on its way to the other.
    pub changing: Option<Side>,
    /// Lines that it holds, from the answer on: after a restart it takes them again.
    pub lines: Vec<Line>,
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
    /// Which side a leg is.
    pub fn side(&self, leg: LegId) -> Option<Side> {
        if leg == self.a {
            return Some(Side::A);
        }
        match &self.state {
            State::Talking { b } if *b == leg => Some(Side::B),
            State::Talking { .. } | State::Ringing(_) | State::TalkingAhead(_) => None,
        }
    }

    /// The leg of a side, when there is one.
    pub fn leg(&self, side: Side) -> Option<LegId> {
        match (side, &self.state) {
            (Side::A, _) => Some(self.a),
            (Side::B, State::Talking { b }) => Some(*b),
            (Side::B, State::Ringing(_) | State::TalkingAhead(_)) => None,
        }
    }

    /// As tagged fields. A ringing call is kept only to be ended in order after a restart.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.bytes(1, &self.facts.encode()).number(2, self.a.0);
        writer.bytes(3, &self.pair.encode());
        if let State::Talking { b } = self.state {
            writer.number(4, b.0);
        }
        for line in &self.lines {
            writer.text(5, &line.to_string());
        }
        writer.finish()
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
                _ => (), // A field of a newer version.
            }
        }
        saved.facts.session = session;
        saved
    }
}
