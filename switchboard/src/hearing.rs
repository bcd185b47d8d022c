//! Words that callers say: what a room asks of the door that turns speech into text.
//!
//! Picture     judge(plan) -> ticket -> Reply::Heard: Answered
//!             open_ear(plan); hear(tap) -> ticket -> Reply::Heard: Began, then Words or Failed, and so on until close_ear
//!             read_words(recording) -> ticket -> Reply::Heard
//! Rules       Sound never comes by here: a tap gives it to the ear. Each question is answered once; what is heard while
//!             nobody asks waits. A closed ear, or one that was never open, is `Over`.
//! Limits      [`HEARD_MAX`] waits for questions; those of the door.
//! Not here    Finding words (shell), taps (media).
//! Spec        None.

use std::time::Duration;

use media::machine::{Answerer, Terms};
use media::{Direction, TapId};
use serde::{Deserialize, Serialize};

use crate::clip::SoundFault;
use crate::input::Ticket;

/// What one ear has heard and nobody asked for yet; the oldest are lost.
pub const HEARD_MAX: usize = 64;

/// Somebody is to be listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarPlan {
    /// Where he is heard; the room opens and closes it, at 8 kHz.
    pub tap: TapId,
    /// Which of its channels.
    pub direction: Direction,
    /// So long a silence ends what he says.
    pub silence: Duration,
    /// The longest that he may speak at a time; then it is cut.
    pub length_max: Duration,
    /// How his words are found.
    pub tongue: Tongue,
}

/// What is known of the words to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tongue {
    /// As in BCP 47; empty: not known.
    pub language: String,
    /// Words and names that are likely, with commas between them.
    pub hints: String,
}

/// Somebody is to be told from a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgePlan {
    /// Where he is heard; the room opens and closes it, at 8 kHz.
    pub tap: TapId,
    /// What tells them apart.
    pub terms: Terms,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hearing {
    /// It is known who answered: what a [`JudgePlan`] comes to.
    Answered {
        /// Who.
        by: Answerer,
        /// How long he was heard until then.
        after: Duration,
    },
    /// He begins to speak.
    Began {
        /// 0: what the leg says; 1: what it hears.
        channel: u8,
    },
    /// He has spoken, and his words could not be found.
    Failed(SoundFault),
    /// Nobody listens.
    Over,
    /// He has spoken.
    Words {
        /// 0: what the leg says; 1: what it hears.
        channel: u8,
        /// How long.
        length: Duration,
        /// What he said; empty: nothing that could be understood.
        text: String,
        /// How sure that is, of 100.
        confidence: u8,
    },
}

/// What the rest of the house is to do about words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarOrder {
    /// Nobody listens any more; who asked hears `Over`.
    Close(TapId),
    /// Tells a person from a machine; answered once by `Reply::Heard`, with `Over` when the tap ends before.
    Judge {
        /// Names the answer.
        ticket: Ticket,
        /// How.
        plan: JudgePlan,
    },
    /// The next thing that an ear hears; answered by `Reply::Heard`.
    Next {
        /// Names the answer.
        ticket: Ticket,
        /// Which ear.
        tap: TapId,
    },
    /// Listens.
    Open(Box<EarPlan>),
    /// The words of a recording that is kept; answered by `Reply::Heard`.
    Read {
        /// Names the answer.
        ticket: Ticket,
        /// The SHA-256 of its file.
        hash: String,
        /// How its words are found.
        tongue: Tongue,
    },
}
