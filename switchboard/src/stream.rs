//! Sound that goes to an app and comes back from it while a call lasts: what a room asks for, and what becomes of it.
//!
//! Picture     open_stream(plan) -> Reply::StreamBegan -> key, mark -> Reply::StreamEnded
//!             tap --frames--> the stream's task --socket--> the app --samples--> feed
//! Rules       Sound never comes by here: a tap gives it to the task of the stream, and the task feeds what comes back. Both
//!             tickets are answered once, whatever happens; a stream that never began ends as well. The end of its tap
//!             ends it.
//! Limits      Those of the door.
//! Not here    The socket (shell), what is said on it (the room's own words), taps and feeds (media).
//! Spec        None.

use std::time::Duration;

use media::{Direction, FeedId, TapId};
use serde::{Deserialize, Serialize};

use crate::input::Ticket;

/// A stream of sound to an app.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPlan {
    /// `ws://` or `wss://`, without a fragment.
    pub url: String,
    /// Header fields of the handshake.
    pub headers: Vec<(String, String)>,
    /// How long connecting and shaking hands may take.
    pub patience: Duration,
    /// What the app hears; the room opens and closes it, at 8 kHz.
    pub tap: TapId,
    /// Which of its channels.
    pub direction: Direction,
    /// What the app says goes here, at 8 kHz; `None`: nobody hears it.
    pub feed: Option<FeedId>,
    /// How the app knows the account, the call and the stream.
    pub names: [String; 3],
    /// What the app is told at the beginning.
    pub parameters: Vec<(String, String)>,
}

/// Addresses and what stands beside them may be about callers: they stay out of logs.
impl std::fmt::Debug for StreamPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamPlan").field("tap", &self.tap).field("feed", &self.feed).finish()
    }
}

/// What the rest of the house is to do about streams.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamOrder {
    /// Ends one.
    Close(TapId),
    /// The caller pressed a key.
    Key {
        /// The tap of which stream.
        tap: TapId,
        /// In ASCII.
        key: char,
    },
    /// What was fed before this mark has been heard.
    Mark {
        /// The tap of which stream.
        tap: TapId,
        /// The mark, as the door named it.
        mark: u64,
    },
    /// Begins one.
    Open {
        /// Answered by `Reply::StreamBegan`.
        began: Ticket,
        /// Answered by `Reply::StreamEnded`.
        ended: Ticket,
        /// Which.
        plan: Box<StreamPlan>,
    },
}

/// Why a stream did not begin, or did not end as it should.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
pub enum StreamFault {
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// More streams go on than may.
    #[error("too many streams go on")]
    Busy,
    /// The app ended it with a code that is no good end.
    #[error("the app closed it with an error")]
    Closed,
    /// The app refused the handshake.
    #[error("the app did not shake hands as a web socket does")]
    Handshake,
    /// What came is not the protocol of web sockets.
    #[error("the app broke the protocol of web sockets")]
    Protocol,
    /// The app took no connection.
    #[error("the connection was refused")]
    Refused,
    /// The address leads nowhere, or may not be asked: `guard.http_targets`.
    #[error("the address cannot be reached")]
    Target,
    /// No connection in time.
    #[error("no connection in time")]
    Timeout,
    /// The certificate, or the handshake before it.
    #[error("no safe connection")]
    Tls,
    /// Not an address of ws or wss.
    #[error("not an address")]
    Url,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Why, when it was not our end or the app's wish.
    pub fault: Option<StreamFault>,
    /// Frames of 20 ms that the app was too slow for.
    pub lost: u64,
    /// Messages of the app that could not be read.
    pub malformed: u64,
}
