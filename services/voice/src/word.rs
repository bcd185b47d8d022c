//! What sessions of this room tell each other: calls, conferences, queues, on any shard.
//!
//! Rules       Words come in the order in which they were said. Who is told something and is not there (any more) says
//!             [`Word::Nobody`], once, so that nobody waits for an answer that cannot come. They live as long as the
//!             process and are never kept.

use media::{StreamKey, Voice};
use serde::{Deserialize, Serialize};
use switchboard::Effects;
use switchboard::notice::Notice;
use twiml::{Hook, Method};
use types::{SessionId, UnixTime};

use crate::program::Ask;

/// Where to ask an app, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The address.
    pub url: String,
    /// By GET; otherwise by POST.
    pub get: bool,
}

impl Link {
    /// As a question that says this beside the usual.
    pub fn ask(&self, more: Vec<(String, String)>) -> Ask {
        let method = if self.get { Method::Get } else { Method::Post };
        Ask { url: self.url.clone(), method, more }
    }
}

impl From<Hook> for Link {
    fn from(hook: Hook) -> Self {
        Self { url: hook.url, get: hook.method == Method::Get }
    }
}

/// What somebody brings who comes into a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// How he is called in it; may be empty.
    pub label: String,
    /// He is heard by nobody.
    pub muted: bool,
    /// With him, and another one, it begins.
    pub starts: bool,
    /// It ends when he goes.
    pub ends: bool,
    /// All hear that he comes.
    pub beep_on_enter: bool,
    /// All hear that he goes.
    pub beep_on_exit: bool,
    /// How many may take part.
    pub most: u16,
    /// The call of the one who alone hears him; empty: all do.
    pub coach: String,
    /// Where to say what happens, and which events.
    pub status: Option<(Link, Vec<String>)>,
    /// It is recorded.
    pub record: bool,
    /// Without silence at both ends.
    pub trim: bool,
    /// Where to say that the recording is ready.
    pub recording: Option<Link>,
}

/// Why somebody is not in a conference any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// He hung up, or pressed the star, or was in it as long as he may.
    HungUp,
    /// He was sent away.
    Kicked,
    /// His call goes on with another document.
    Redirected,
}

/// How somebody stands in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The queue's name for apps.
    pub sid: String,
    /// His place; 1 is next.
    pub position: u32,
    /// How many wait.
    pub size: u32,
    /// How many may.
    pub most: u32,
    /// Since when he waits.
    pub since: UnixTime,
    /// How long he has waited. Units: seconds.
    pub waited: u64,
    /// How long others waited. Units: seconds.
    pub average: u64,
}

/// What calls say to a conference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToConference {
    /// It has heard what was announced, or that could not be had.
    Announced { failed: bool },
    /// It has sat down.
    Entered,
    /// It wants in.
    Join(Box<Joining>),
    /// It is not in it any more.
    Left(Why),
}

/// What a conference says to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromConference {
    /// It hears this now, alone.
    Announce(Link),
    /// The conference runs, and its place is there.
    Enter { sid: String, stream: StreamKey, seat: media::Seat, voice: Voice, listen: bool },
    /// It hears this, or music, until it is called back in.
    Hold(Option<Link>),
    /// It is sent away.
    Kick,
    /// It is over, or does not want the call any more.
    Out,
    /// Who hears it from now on.
    Speak(Voice),
    /// It may not take part, and what the vendor calls that.
    Turned { code: u16 },
    /// It has not begun. `sid`: its name for apps.
    Wait { sid: String },
}

/// What calls say to a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToQueue {
    /// It wants nobody any more.
    Enough,
    /// It waits.
    Enqueue { most: u32 },
    /// It waits no more. `back`: nobody came for it after all, it wants its place again.
    Unqueue { back: bool },
    /// It wants whoever waits longest.
    Want { whisper: Option<Link> },
    /// How does it stand?
    Where,
}

/// What a queue says to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromQueue {
    /// An app takes it out: it goes on with this document.
    Divert(Link),
    /// There is no room for it.
    Full,
    /// This one wants it. `sid`: of his call.
    Go { agent: SessionId, sid: String, whisper: Option<Link>, standing: Standing },
    /// How it stands.
    Standing(Standing),
}

/// What two calls say to each other, one of which was fetched out of a queue by the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Between {
    /// To who wanted it: it is ready for a place beside him. `sid`: of the queue.
    Come { sid: String, waited: u64 },
    /// To either: the other one is gone.
    Over,
    /// To who was fetched: sit there.
    Place { stream: StreamKey, seat: media::Seat },
}

/// One word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Word {
    Between(Between),
    FromConference(FromConference),
    FromQueue(FromQueue),
    /// To a call whose seat is elsewhere: what happened to it there.
    Heard(media::Event),
    /// To whoever told something: nobody is there.
    Nobody,
    ToConference(ToConference),
    ToQueue(ToQueue),
}

impl Word {
    /// Says it.
    pub fn tell(&self, from: SessionId, session: SessionId, effects: &mut Effects<'_>) {
        // Words are made of what can always be written.
        let words = postcard::to_allocvec(self).unwrap_or_default();
        effects.publish(Notice::Told { session, from, words });
    }

    /// Reads it.
    pub fn read(words: &[u8]) -> Option<Self> {
        postcard::from_bytes(words).ok()
    }
}

macro_rules! words {
    ($($kind:ident)*) => {
        $(impl $kind {
            /// Says it.
            pub fn tell(self, from: SessionId, session: SessionId, effects: &mut Effects<'_>) {
                Word::$kind(self).tell(from, session, effects);
            }
        })*
    };
}

words!(Between FromConference FromQueue ToConference ToQueue);
