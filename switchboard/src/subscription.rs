//! Subscriptions: somebody asked for news with SUBSCRIBE or REFER, and a room gives them with NOTIFY.
//!
//! Picture     SUBSCRIBE --subscribe--> Active --refresh | notify--> Active
//!             Active --Expires: 0 | its time is over--> Closing --the last notify--> gone
//!             a NOTIFY that is refused or not answered --> Failed, gone
//! Rules       A subscription is a session of the room that accepted it, and is kept with it: after a restart the room
//!             adopts it and says the whole state again. One NOTIFY at a time: what comes while one is out, or too
//!             soon after it, waits, and the newest of it leaves. So each body is the whole state, and its version is
//!             [`Effects::version`](crate::Effects::version). An answer to a refresh does not wait for the gap.
//!             A watcher who proved who he is and challenges our NOTIFY gets the proof that he would give us.
//! Limits      SUBSCRIPTIONS_MAX and USER_SUBSCRIPTIONS_MAX on one shard; BODY_MAX octets of a body, a longer one is
//!             left out; CLOSING_MAX for the room's last word.
//! Not here    What the news are and who may have them (rooms), octets of SIP (sip).
//! Spec        RFC 6665, RFC 3515 §2.4 for the subscription that a REFER makes, RFC 3261 §22 for challenges

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::Name;
use sip::dialog::Dialog;
use types::{Flow, Instant, Seconds, SessionId, UnixTime, tagged};

use crate::leg::{decode_flow, encode_flow};

/// Subscriptions of one shard; more are refused with `switchboard.subscriptions_full`.
pub const SUBSCRIPTIONS_MAX: usize = 200_000;
/// Subscriptions of one watcher on one shard; more are refused with `switchboard.subscriptions_of_user`.
pub const USER_SUBSCRIPTIONS_MAX: usize = 500;
/// Octets of a NOTIFY's body; a longer one is left out and counted.
pub const BODY_MAX: usize = 60_000;
/// A subscription that is over waits so long for its room's last word, then ends without a body.
pub const CLOSING_MAX: Seconds = Seconds(5);
/// After a restart the first NOTIFYs spread over this time.
pub const RESTORE_SPREAD: Seconds = Seconds(10);
/// From this on an interval is never too brief (RFC 6665 §4.2.1.1).
const BRIEF_MAX: u32 = 3_600;

/// How long subscriptions of a package may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Shorter ones are refused with 423.
    pub min: Seconds,
    /// Without a wish.
    pub default: Seconds,
    /// Longer ones are cut to it.
    pub max: Seconds,
}

impl Bounds {
    /// What is granted; the error is what Min-Expires says.
    ///
    /// Spec: RFC 6665 §4.2.1.1
    pub fn grant(&self, asked: Option<u32>) -> Result<u32, u32> {
        match asked {
            None => Ok(self.default.0),
            Some(0) => Ok(0),
            Some(asked) if asked < self.min.0 && asked < BRIEF_MAX => Err(self.min.0),
            Some(asked) => Ok(asked.min(self.max.0)),
        }
    }
}

/// What a room grants to a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who watches; the limit of one watcher counts by this name.
    pub watcher: String,
    /// How long.
    pub bounds: Bounds,
    /// NOTIFYs of one subscription that no SUBSCRIBE asked for are at least so far apart.
    pub gap: Duration,
}

/// The Subscription-State of a NOTIFY.
///
/// Spec: RFC 6665 §4.1.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Granted.
    Active,
    /// Not decided yet.
    Pending,
    /// Over.
    Terminated(Reason),
}

/// Why a subscription is over, which tells the watcher whether to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Ask again at once.
    Deactivated,
    /// It was never decided; ask later.
    Giveup,
    /// What was watched cannot change any more.
    Invariant,
    /// What was watched is gone.
    Noresource,
    /// Ask again later.
    Probation,
    /// Not allowed any more.
    Rejected,
    /// It was not refreshed, or the watcher ended it.
    Timeout,
}

impl Reason {
    /// As the header says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Giveup => "giveup",
            Self::Invariant => "invariant",
            Self::Noresource => "noresource",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
        }
    }
}

/// What the owner of a subscription hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionEvent {
    /// It ends: the watcher wants no more, or did not refresh it. The next `notify` is the last and ends the session.
    Closing,
    /// It was refreshed: the whole state is to be sent now.
    Due,
    /// A NOTIFY was refused with this status, 408 for no answer. Subscription and session are gone.
    Failed {
        /// Status code.
        status: u16,
    },
}

/// A NOTIFY that waits.
#[derive(Debug)]
pub(crate) struct News {
    pub state: SubscriptionState,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub watcher: String,
    /// The value of Event: the package and its id.
    pub event: String,
    /// Taken out while a NOTIFY is written.
    pub dialog: Option<Box<Dialog>>,
    pub flow: Flow,
    pub until: UnixTime,
    pub bounds: Bounds,
    pub gap: Duration,
    /// A NOTIFY is out and not answered yet.
    pub out: bool,
    pub waiting: Option<News>,
    /// News that nobody asked for do not leave before.
    pub earliest: Instant,
    /// A SUBSCRIBE is to be answered by a NOTIFY.
    pub due: bool,
    /// It is over, and the owner has until then for the last word.
    pub closing: Option<Instant>,
    /// The moment for which the shard was asked to wake it.
    pub armed: Option<Instant>,
    /// What the watcher wants to see on our NOTIFYs; a restart forgets it, and he asks again.
    pub proof: Option<Box<Proof>>,
}

/// A challenge of a watcher.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Where the answer goes.
    pub answer: Name,
    pub challenge: Vec<u8>,
    /// NOTIFYs with this nonce.
    pub uses: u32,
    /// One of them was taken.
    pub believed: bool,
}

impl Subscription {
    /// When it wants to be woken.
    pub fn deadline(&self, now: Instant, unix: UnixTime) -> Instant {
        let end = self.closing.unwrap_or(now + self.until.since(unix));
        match &self.waiting {
            Some(_) if !self.out => end.min(self.earliest),
            Some(_) | None => end,
        }
    }

    /// What must be known of it after a restart.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let dialog = self.dialog.as_ref()?;
        let mut writer = tagged::Writer::onto(Vec::with_capacity(512));
        writer.nested(1, |writer| dialog.encode(writer));
        writer.nested(2, |writer| encode_flow(self.flow, writer));
        writer.number(3, self.until.0.into()).text(4, &self.watcher).text(5, &self.event);
        writer.number(6, self.bounds.min.0.into()).number(7, self.bounds.default.0.into());
        writer.number(8, self.bounds.max.0.into()).number(9, self.gap.as_micros());
        Some(writer.finish())
    }

    /// Reads what [`encode`](Self::encode) wrote, in this version or a neighbouring one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let zero = Seconds(0);
        let mut known = Self {
            watcher: String::new(),
            event: String::new(),
            dialog: None,
            flow: Flow::NONE,
            until: UnixTime(0),
            bounds: Bounds { min: zero, default: zero, max: zero },
            gap: Duration::ZERO,
            out: false,
            waiting: None,
            earliest: Instant::default(),
            due: false,
            closing: None,
            armed: None,
            proof: None,
        };
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = || Some(u64::try_from(field.number()?).unwrap_or(u64::MAX));
            match tag {
                1 => known.dialog = Dialog::decode(tagged::Reader::new(field.0)).map(Box::new),
                2 => known.flow = decode_flow(field.0)?,
                3 => known.until = UnixTime(number()?),
                4 => known.watcher = field.text()?.to_owned(),
                5 => known.event = field.text()?.to_owned(),
                6 => known.bounds.min = Seconds(number()? as u32),
                7 => known.bounds.default = Seconds(number()? as u32),
                8 => known.bounds.max = Seconds(number()? as u32),
                9 => known.gap = Duration::from_micros(number()?),
                _ => (), // A field of a newer version.
            }
        }
        (known.dialog.is_some() && !known.event.is_empty()).then_some(known)
    }
}

/// The subscriptions of one shard.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pub known: types::Map<SessionId, Box<Subscription>>,
    /// By the hash of Call-ID and both tags.
    pub dialogs: types::Map<u64, SessionId>,
    /// How many each watcher has.
    pub watchers: types::Map<String, usize>,
}

impl Subscriptions {
    pub fn new(key: types::HashKey) -> Self {
        Self {
            known: types::Map::with_hasher(key),
            dialogs: types::Map::with_hasher(key),
            watchers: types::Map::with_hasher(key),
        }
    }

    pub fn add(&mut self, session: SessionId, key: u64, one: Subscription) {
        *self.watchers.entry(one.watcher.clone()).or_default() += 1;
        self.dialogs.insert(key, session);
        self.known.insert(session, Box::new(one));
    }

    pub fn remove(&mut self, session: SessionId, key: u64) {
        let Some(gone) = self.known.remove(&session) else { return };
        if self.dialogs.get(&key) == Some(&session) {
            self.dialogs.remove(&key);
        }
        if let Some(count) = self.watchers.get_mut(&gone.watcher) {
            *count -= 1;
            if *count == 0 {
                self.watchers.remove(&gone.watcher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_granted_cut_or_refused() {
        let bounds = Bounds { min: Seconds(60), default: Seconds(1_800), max: Seconds(7_200) };
        assert_eq!(bounds.grant(None), Ok(1_800));
        assert_eq!(bounds.grant(Some(0)), Ok(0));
        assert_eq!(bounds.grant(Some(59)), Err(60));
        assert_eq!(bounds.grant(Some(60)), Ok(60));
        assert_eq!(bounds.grant(Some(u32::MAX)), Ok(7_200));
        // An hour is never too brief.
        let strict = Bounds { min: Seconds(9_000), ..bounds };
        assert_eq!(strict.grant(Some(3_600)), Ok(3_600));
    }

    #[test]
    fn hostile_octets_never_panic() {
        let mut writer = tagged::Writer::new();
        writer
            .bytes(1, &[1, 1, b'a', 2, 1, b'b'])
            .nested(2, |writer| encode_flow(Flow::NONE, writer));
        writer.number(3, 9).text(4, "a").text(5, "presence").number(6, u128::MAX).number(9, 5);
        let good = writer.finish();
        let mut rng = types::Rng::from_number(21);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let _ = Subscription::decode(&bytes);
        }
    }
}
