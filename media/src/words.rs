//! What goes into the engine and what comes out of it. All of it is recorded, so all of it is data.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use srtp::Suite;
use types::BridgeId;

use crate::Quality;
use crate::clip::TapId;
use crate::codec::{Rate, Sound};
use crate::feed::FeedId;
use crate::play::{Ending, Play};
use crate::tap::Direction;

/// One of the two ends of a stream. A is the side that offered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The caller's side.
    A,
    /// The callee's side.
    B,
}

impl Side {
    /// Both, in the order of the arrays that are indexed by side.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The far side.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Place in an array of two.
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Legs that one mix may have, besides the two sides of its stream.
pub const GUESTS_MAX: u16 = 250;

/// The place of a leg at a stream: its two sides, then those who listen in or join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seat(pub u16);

impl Seat {
    /// Side A.
    pub const A: Self = Self(0);
    /// Side B.
    pub const B: Self = Self(1);
    /// The first one that is not a side.
    pub const FIRST_GUEST: Self = Self(2);

    /// Whether a guest may sit here.
    pub(crate) const fn is_guest(self) -> bool {
        self.0 >= Self::FIRST_GUEST.0 && self.0 < Self::FIRST_GUEST.0 + GUESTS_MAX
    }

    /// The side that sits here.
    pub const fn side(self) -> Option<Side> {
        match self.0 {
            0 => Some(Side::A),
            1 => Some(Side::B),
            _ => None,
        }
    }
}

impl From<Side> for Seat {
    fn from(side: Side) -> Self {
        match side {
            Side::A => Self::A,
            Side::B => Self::B,
        }
    }
}

/// Who hears a leg. Every leg hears all that are heard, but itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voice {
    /// Everybody else.
    #[default]
    All,
    /// Nobody: it listens, or is muted.
    Nobody,
    /// One other alone: a whisper.
    One(Seat),
}

/// One stream of a bridge: the media section at `index` in the descriptions of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// The bridge.
    pub bridge: BridgeId,
    /// Place of the m= line.
    pub index: u8,
}

/// How the packets of a leg are protected between it and us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shield {
    /// Not at all, or from end to end: packets pass as they are.
    #[default]
    Bare,
    /// By keys that stood in the descriptions.
    Keys(Box<Keys>),
    /// Its keys are gone with the process that had them: nothing passes until it describes itself anew.
    Lost,
    /// By a handshake over the one port of all browsers.
    Web(Box<Web>),
}

/// The keys of a phone, as descriptions told them: master keys with their salts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// How they are used.
    pub suite: Suite,
    /// What we seal with.
    pub ours: Vec<u8>,
    /// What the phone seals with.
    pub theirs: Vec<u8>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("suite", &self.suite).finish()
    }
}

/// A browser's end of its path to us, and ours. The leg belongs to the path of `ufrag`, which may have led to another
/// stream before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    /// Our user fragment, which names the path.
    pub ufrag: String,
    /// Our password.
    pub password: String,
    /// The browser's user fragment.
    pub peer: String,
    /// SHA-256 of the browser's certificate.
    pub fingerprint: [u8; 32],
    /// We begin the handshake.
    pub active: bool,
    /// Payload types of this section: they tell its packets from those of others on the path.
    pub types: Vec<u8>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("ufrag", &self.ufrag).field("peer", &self.peer).finish()
    }
}

/// Why a browser's path is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// It gave no sign of life for [`CONSENT_MAX`](crate::CONSENT_MAX).
    Consent,
    /// Its certificate is not the one that its description promised, or the handshake failed.
    Handshake,
}

/// Why nothing is heard of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hush {
    /// Packets come from an address that it did not signal, and that no translator explains.
    Elsewhere,
    /// Packets come in a format that nobody agreed on.
    Format,
    /// No packet ever came.
    Never,
    /// Packets came, and come no more.
    Nothing,
    /// Packets come, and hold nothing but silence: a microphone that is muted or broken, as a rule.
    Silence,
}

impl Hush {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Elsewhere => "its packets come from another address than it named",
            Self::Format => "its packets are of a format that nobody agreed on",
            Self::Never => "no packet ever came",
            Self::Nothing => "no packets come any more",
            Self::Silence => "its packets hold only silence",
        }
    }
}

/// What the switchboard tells a pump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Where the description of `side` wants its media. A new address resets the latch of that
    /// side.
    Aim {
        /// Which stream.
        stream: StreamKey,
        /// Whose address.
        seat: Seat,
        /// Where RTP goes.
        rtp: SocketAddr,
        /// Where RTCP goes; the same as `rtp` when both are multiplexed.
        rtcp: SocketAddr,
        /// Whether RTP may go there. RTCP may, even on hold.
        receives: bool,
    },
    /// Lets a leg more take part in a stream, on a port of its own. The stream begins with it when there is none.
    Admit {
        /// Which stream.
        stream: StreamKey,
        /// Where it sits: no side.
        seat: Seat,
        /// Our RTP port for it, even; RTCP on the next one.
        port: u16,
    },
    /// Ends all streams of a bridge. Answered by [`Event::Closed`], always.
    Close {
        /// Which bridge.
        bridge: BridgeId,
    },
    /// Wants to know how loud legs are, which [`Event::Level`] tells. Who is asked about is decoded for it, nobody else.
    Gauge {
        /// Which stream.
        stream: StreamKey,
        /// Who; `None`: all who are there, or come.
        seat: Option<Seat>,
        /// How often, [`GAUGE_MIN`](crate::GAUGE_MIN) at least; `None`: nobody wants to know any more.
        every: Option<Duration>,
    },
    /// A guest leaves; its port may be given back.
    Leave {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
    },
    /// Wants to know when a leg begins to speak and when it falls silent, which [`Event::Voiced`] and
    /// [`Event::Silent`] tell.
    Listen {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// How long it must say nothing to be silent; `None`: nobody wants to know any more.
        silence: Option<Duration>,
    },
    /// A guest goes over to another stream with its port, its numbers, and what taps it; what is played to it ends.
    /// The stream begins with it when there is none.
    Move {
        /// Where it sits.
        stream: StreamKey,
        /// In which place.
        seat: Seat,
        /// Where it goes.
        to: StreamKey,
        /// In which place there; it must be free.
        place: Seat,
    },
    /// Opens one stream: RTP on each side's even port, RTCP on the next odd one.
    Open {
        /// Which stream.
        stream: StreamKey,
        /// Our RTP ports: what side A sends to, then what side B sends to.
        ports: [u16; 2],
    },
    /// Plays something to one leg or to all, in place of what was played to the same before. It waits until it can
    /// be heard. Answered by [`Event::Played`], once, unless the leg leaves or the bridge is closed before.
    Play {
        /// Which stream.
        stream: StreamKey,
        /// Who hears it; `None`: all.
        seat: Option<Seat>,
        /// What.
        play: Play,
        /// How the room calls it.
        sound: u64,
        /// Nothing else is heard meanwhile.
        alone: bool,
    },
    /// What a tap hears goes to a feed from now on, and to nobody else, until the tap ends: sound of one stream is played at
    /// another. Said before the tap begins.
    Pour {
        /// Whose sound; of one direction.
        tap: TapId,
        /// Where it goes. Its rate is that of the tap.
        feed: FeedId,
    },
    /// The leg that sits at `port`, or sits down there next, goes by a port that many share; nothing listens at its own.
    Share {
        /// The even port that names the leg.
        port: u16,
        /// The even port that it shares; 0: it goes by its own from now on.
        by: u16,
    },
    /// How the packets of a leg are protected on their way.
    Shield {
        /// Which stream.
        stream: StreamKey,
        /// Whose packets.
        seat: Seat,
        /// How.
        shield: Shield,
        /// Where the numbers of the one source begin that it hears from us; `None` lets packets keep theirs, as
        /// pictures must, which have several sources.
        chance: Option<u64>,
    },
    /// Ends what is played to one leg or to all; harmless where nothing is.
    Stop {
        /// Which stream.
        stream: StreamKey,
        /// Who hears it no more; `None`: what all hear.
        seat: Option<Seat>,
        /// Only this one; `None`: whatever it is.
        sound: Option<u64>,
    },
    /// How a leg takes part when its stream is mixed.
    Take {
        /// Which stream.
        stream: StreamKey,
        /// Whose part.
        seat: Seat,
        /// What it is sent; `None` is nothing that can be mixed, and its stream passes or stays silent.
        sound: Option<Sound>,
        /// Who hears it.
        voice: Voice,
        /// Where its numbers begin if it never was sent anything.
        chance: u64,
    },
    /// Gives a copy of what a leg says and hears, or of the whole mix, every 20 ms to whoever asked the pump for it.
    /// Its end is told by [`Event::Untapped`].
    Tap {
        /// Which stream.
        stream: StreamKey,
        /// Whose; `None`: of the mix, on one channel.
        seat: Option<Seat>,
        /// How it is called: a number that no other tap of the pump has.
        tap: TapId,
        /// Samples a second.
        rate: Rate,
        /// What it says, what it hears, or both.
        direction: Direction,
    },
    /// Ends a tap; harmless where there is none.
    Untap {
        /// Which.
        tap: TapId,
    },
}

/// What a pump tells the switchboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A side that had fallen silent is heard again.
    Back {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        side: Side,
        /// How long nothing came.
        after: Duration,
    },
    /// A bridge is gone; its ports may be given back.
    Closed {
        /// Which bridge.
        bridge: BridgeId,
        /// Per stream, by its index: what came from side A and from side B.
        counts: Vec<(u8, [Count; 2])>,
    },
    /// A stream could not be opened; none of its ports passes packets.
    Failed {
        /// Which stream.
        stream: StreamKey,
        /// Whose port.
        seat: Seat,
        /// The port that is not to be had.
        port: u16,
    },
    /// What was fed before a mark has been heard, or was cleared.
    Fed {
        /// Which stream.
        stream: StreamKey,
        /// Who hears it; `None`: all.
        seat: Option<Seat>,
        /// Which feed.
        feed: FeedId,
        /// The mark.
        mark: u64,
    },
    /// How a guest comes through, so far.
    Figures {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// What came from it.
        quality: Box<Quality>,
    },
    /// A leg whose stream is mixed has pressed a key, and let it go.
    Key {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// In ASCII: `0-9*#A-D`.
        key: u8,
        /// How long it was held.
        held: Duration,
    },
    /// A side sends from another address than it signalled (it sits behind NAT), and gets its media
    /// there.
    Latched {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// Where its media comes from.
        from: SocketAddr,
    },
    /// How loud a leg was, as often as [`Command::Gauge`] asked for. Silence is told once, and not at all of a leg that never said
    /// anything.
    ///
    /// Spec: RFC 6464 §3 (the scale)
    Level {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// Its loudest 20 ms since the last time, in dB below the loudest that can be said: 0 to 127, which is silence.
        level: u8,
    },
    /// The path to a browser is gone; it is sent nothing more.
    Lost {
        /// The first of its streams.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// Why.
        why: Loss,
    },
    /// How both sides come through, so far.
    Quality {
        /// Which stream.
        stream: StreamKey,
        /// What came from side A and from side B.
        sides: Box<[Quality; 2]>,
    },
    /// Nothing that could be used comes from a side, though the other wants it.
    Quiet {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        side: Side,
        /// Why, as far as can be told.
        why: Hush,
    },
    /// What was played has come to its end.
    Played {
        /// Which stream.
        stream: StreamKey,
        /// Who heard it; `None`: all.
        seat: Option<Seat>,
        /// As the room calls it.
        sound: u64,
        /// How much of it was heard.
        after: Duration,
        /// How it ended.
        how: Ending,
    },
    /// A leg has said nothing for as long as [`Command::Listen`] asked for. Told once after each speech, and once where
    /// it has said nothing since then.
    Silent {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
        /// How long it had spoken before; zero: not at all.
        after: Duration,
    },
    /// A tap has ended: somebody ended it, its leg has left, its stream is gone, or there are too many.
    Untapped {
        /// Which stream.
        stream: StreamKey,
        /// Which tap.
        tap: TapId,
    },
    /// A leg begins to speak.
    Voiced {
        /// Which stream.
        stream: StreamKey,
        /// Who.
        seat: Seat,
    },
}

impl Event {
    /// Which bridge it tells of.
    pub const fn bridge(&self) -> BridgeId {
        match self {
            Self::Closed { bridge, .. } => *bridge,
            Self::Back { stream, .. }
            | Self::Failed { stream, .. }
            | Self::Fed { stream, .. }
            | Self::Figures { stream, .. }
            | Self::Key { stream, .. }
            | Self::Latched { stream, .. }
            | Self::Level { stream, .. }
            | Self::Lost { stream, .. }
            | Self::Played { stream, .. }
            | Self::Quality { stream, .. }
            | Self::Quiet { stream, .. }
            | Self::Silent { stream, .. }
            | Self::Untapped { stream, .. }
            | Self::Voiced { stream, .. } => stream.bridge,
        }
    }
}

/// What came from one side of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// RTP packets accepted.
    pub packets: u64,
    /// Octets of those packets.
    pub bytes: u64,
    /// RTCP packets accepted.
    pub rtcp: u64,
    /// RTP packets that the sequence numbers show to be missing.
    pub lost: u64,
    /// Packets refused: nonsense, or from strangers.
    pub dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Events, Format};

    #[test]
    fn words_can_be_recorded() {
        let stream = StreamKey { bridge: BridgeId(u128::MAX), index: 63 };
        let (rtp, rtcp) =
            ("192.0.2.1:4000".parse().unwrap(), "[2001:db8::1]:4001".parse().unwrap());
        let web = Box::new(Web {
            ufrag: "a".into(),
            password: "secret".into(),
            peer: "b".into(),
            fingerprint: [7; 32],
            active: true,
            types: vec![111, 0],
        });
        assert!(!format!("{web:?}").contains("secret"));
        let (ours, theirs) = (vec![201; 30], vec![202; 30]);
        let keys = Box::new(Keys { suite: Suite::AesCm128HmacSha1Tag80, ours, theirs });
        assert!(!format!("{keys:?}").contains("20"));
        for command in [
            Command::Aim { stream, seat: Seat::B, rtp, rtcp, receives: false },
            Command::Close { bridge: stream.bridge },
            Command::Open { stream, ports: [20_000, 65_534] },
            Command::Admit { stream, seat: Seat(2), port: 20_000 },
            Command::Leave { stream, seat: Seat(2) },
            Command::Play {
                stream,
                seat: Some(Seat::A),
                play: Play::Clips {
                    clips: vec![crate::ClipId(u128::MAX)],
                    from: Duration::from_millis(20),
                    times: 0,
                },
                sound: 7,
                alone: true,
            },
            Command::Play {
                stream,
                seat: None,
                play: Play::Tone {
                    country: crate::tones::Country::Se,
                    signal: crate::tones::Signal::Busy,
                },
                sound: u64::MAX,
                alone: false,
            },
            Command::Play {
                stream,
                seat: Some(Seat(2)),
                play: Play::Feed { feed: FeedId(3), rate: Rate::Full },
                sound: 1,
                alone: true,
            },
            Command::Gauge { stream, seat: None, every: Some(Duration::from_millis(200)) },
            Command::Listen { stream, seat: Seat(2), silence: Some(Duration::from_secs(5)) },
            Command::Move { stream, seat: Seat(2), to: stream, place: Seat(3) },
            Command::Pour { tap: TapId(1), feed: FeedId(u64::MAX) },
            Command::Share { port: 20_000, by: 65_534 },
            Command::Stop { stream, seat: None, sound: Some(1) },
            Command::Tap {
                stream,
                seat: None,
                tap: TapId(1),
                rate: Rate::Wide,
                direction: Direction::Both,
            },
            Command::Untap { tap: TapId(u64::MAX) },
            Command::Take {
                stream,
                seat: Seat(2),
                sound: Some(Sound {
                    sent: Format { payload_type: 111, codec: Codec::Opus },
                    heard: [Some(crate::g711::Law::A.into()), None, None, None, None, None],
                    events: Some(Events { payload_type: 101, clock: 48_000 }),
                    passes: false,
                }),
                voice: Voice::One(Seat::A),
                chance: u64::MAX,
            },
            Command::Shield { stream, seat: Seat::A, shield: Shield::Web(web), chance: Some(1) },
            Command::Shield { stream, seat: Seat::B, shield: Shield::Keys(keys), chance: None },
        ] {
            let wire = postcard::to_allocvec(&command).unwrap();
            assert_eq!(postcard::from_bytes::<Command>(&wire), Ok(command));
        }
        let count = Count { packets: 1, bytes: u64::MAX, rtcp: 2, lost: 3, dropped: 4 };
        for event in [
            Event::Closed { bridge: stream.bridge, counts: vec![(63, [count, Count::default()])] },
            Event::Failed { stream, seat: Seat::A, port: 1 },
            Event::Back { stream, side: Side::A, after: Duration::from_secs(6) },
            Event::Quality { stream, sides: Box::default() },
            Event::Quiet { stream, side: Side::B, why: Hush::Elsewhere },
            Event::Latched { stream, seat: Seat(251), from: rtcp },
            Event::Key { stream, seat: Seat(2), key: b'#', held: Duration::from_millis(80) },
            Event::Lost { stream, seat: Seat::B, why: Loss::Consent },
            Event::Played {
                stream,
                seat: None,
                sound: 3,
                after: Duration::from_secs(2),
                how: Ending::Stopped,
            },
            Event::Fed { stream, seat: None, feed: FeedId(1), mark: 2 },
            Event::Level { stream, seat: Seat(2), level: 127 },
            Event::Silent { stream, seat: Seat::A, after: Duration::ZERO },
            Event::Voiced { stream, seat: Seat::B },
            Event::Untapped { stream, tap: TapId(9) },
        ] {
            let wire = postcard::to_allocvec(&event).unwrap();
            assert_eq!(postcard::from_bytes::<Event>(&wire), Ok(event));
        }
    }
}
