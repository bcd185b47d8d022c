//! One call and where it stands.

use sip::dialog::Dialog;
use sip::{Framing, Message};
use types::Instant;

use crate::wire::{self, Caller};
use crate::words::{Kept, Standing};

/// One call.
#[derive(Debug)]
pub struct Call {
    pub id: String,
    pub stage: Stage,
}

/// How far a call is.
#[derive(Debug)]
pub enum Stage {
    /// We call; the page has not heard the end of it.
    Calling(Calling),
    /// An INVITE rings here until `until`.
    Ringing { invite: Vec<u8>, tag: Vec<u8>, until: Instant },
    /// Both talk.
    Talking(Box<Talk>),
}

/// An INVITE of ours that begins a call.
#[derive(Debug)]
pub struct Calling {
    pub sent: Sent,
    pub until: Instant,
    /// A provisional answer came: a CANCEL may follow.
    pub heard: bool,
    pub leaving: Leaving,
}

/// Whether we gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    Cancelled,
    No,
    /// Nothing was heard yet: a CANCEL might overtake its INVITE.
    Wanted,
}

/// An INVITE as it left.
#[derive(Clone, Debug)]
pub struct Sent {
    pub branch: Vec<u8>,
    pub tag: Vec<u8>,
    pub wire: Vec<u8>,
}

/// Two who talk.
#[derive(Debug)]
pub struct Talk {
    pub dialog: Dialog,
    pub change: Change,
    /// The ACK of our last INVITE with its branch: a success that comes again gets it again.
    pub acked: Option<(Vec<u8>, Vec<u8>)>,
    /// Number of an INVITE of theirs whose ACK brings the answer to our offer.
    pub owed: Option<u32>,
}

/// A change of the session that is under way.
#[derive(Debug)]
pub enum Change {
    None,
    /// We offered, or asked for their offer.
    Ours {
        sent: Sent,
        until: Instant,
    },
    /// They did; the page is asked.
    Theirs {
        invite: Vec<u8>,
        until: Instant,
    },
}

impl Call {
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Calling(calling) => Some(calling.until),
            Stage::Ringing { until, .. } => Some(*until),
            Stage::Talking(talk) => match &talk.change {
                Change::None => None,
                Change::Ours { until, .. } | Change::Theirs { until, .. } => Some(*until),
            },
        }
    }

    /// It, as a page finds it.
    pub fn kept(&self) -> Kept {
        let kept = |standing, peer| Kept {
            call: self.id.clone(),
            standing,
            peer,
            name: String::new(),
            picture: None,
            sdp: None,
        };
        match &self.stage {
            Stage::Calling(calling) => {
                let invite = Message::decode(&calling.sent.wire, Framing::Datagram);
                let to = invite.ok().and_then(|invite| Some(wire::text(invite.to().ok()?.uri)));
                kept(Standing::Calling, to.unwrap_or_default())
            }
            Stage::Ringing { invite, .. } => {
                let Ok(invite) = Message::decode(invite, Framing::Datagram) else {
                    return kept(Standing::Incoming, String::new());
                };
                let Caller { from, name, picture } = Caller::of(&invite);
                let sdp = wire::description(&invite);
                Kept { name, picture, sdp, ..kept(Standing::Incoming, from) }
            }
            Stage::Talking(talk) => kept(Standing::Talking, wire::text(talk.dialog.remote_uri())),
        }
    }

    /// Whether the page knows nothing of it any more.
    pub fn is_left(&self) -> bool {
        matches!(&self.stage, Stage::Calling(calling) if calling.leaving != Leaving::No)
    }
}
