//! The relay: which packet passes, and where to.
//!
//! Picture     port --door--> (stream, side) --source--> accepted? --far side's aim--> (port, to)
//! Rules       A stream has both doors or none. A side without an aim neither sends nor receives.
//! Limits      One door per even port, so 16,384 streams.
//! Not here    Whether a port can be bound (shell/media_io says so before the engine hears of a
//!             stream).
//! Spec        RFC 3550 §11 (port pairs), RFC 5761 §5 (multiplexing), RFC 3264 §8.4 (hold keeps
//!             RTCP).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use types::{BridgeId, Instant};

use crate::rtp::{self, Header, Kind};
use crate::source::{Admission, Source};
use crate::{Command, Count, Event, Side, StreamKey};

/// The relay engine of one pump.
#[derive(Debug, Default)]
pub struct Engine {
    /// By half of the even port: who listens there.
    doors: Vec<Option<Door>>,
    streams: BTreeMap<StreamKey, usize>,
    slab: Vec<Option<Stream>>,
    vacant: Vec<usize>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug)]
struct Door {
    place: u32,
    side: Side,
}

#[derive(Debug)]
struct Stream {
    key: StreamKey,
    a: Leg,
    b: Leg,
}

/// One side of a stream.
#[derive(Debug)]
struct Leg {
    port: u16,
    aim: Option<Aim>,
    count: Count,
    /// The newest sequence number and whose it is.
    newest: Option<(u32, u16)>,
}

#[derive(Debug)]
struct Aim {
    source: Source,
    rtcp: SocketAddr,
    /// Where RTCP came from when the side is behind NAT.
    rtcp_latched: Option<SocketAddr>,
    muxed: bool,
    receives: bool,
}

impl Stream {
    fn leg_mut(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// The leg of `side` and the one across.
    fn pair_mut(&mut self, side: Side) -> (&mut Leg, &mut Leg) {
        match side {
            Side::A => (&mut self.a, &mut self.b),
            Side::B => (&mut self.b, &mut self.a),
        }
    }
}

impl Engine {
    /// An engine without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one command. Drain [`poll`](Self::poll) afterwards.
    pub fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Aim { stream, side, rtp, rtcp, receives } => {
                let place = self.streams.get(&stream).copied();
                // An aim that arrives after its close is late, not wrong.
                if let Some(stream) = place.and_then(|place| self.slab.get_mut(place)?.as_mut()) {
                    aim(stream, side, (rtp, rtcp), receives, now);
                }
            }
            Command::Close { bridge } => {
                let first = StreamKey { bridge, index: 0 };
                let last = StreamKey { bridge, index: u8::MAX };
                let keys: Vec<StreamKey> =
                    self.streams.range(first..=last).map(|(key, _)| *key).collect();
                let counts = keys.into_iter().filter_map(|key| self.close(key)).collect();
                self.events.push_back(Event::Closed { bridge, counts });
            }
            Command::Open { stream, ports } => self.open(stream, ports),
        }
    }

    /// What the switchboard should hear.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The RTP ports of a bridge.
    pub fn ports(&self, bridge: BridgeId) -> Vec<u16> {
        let first = StreamKey { bridge, index: 0 };
        let last = StreamKey { bridge, index: u8::MAX };
        let places =
            self.streams.range(first..=last).filter_map(|(_, place)| self.slab.get(*place));
        places.flatten().flat_map(|stream| [stream.a.port, stream.b.port]).collect()
    }

    /// Whether a stream listens on this port, RTP or RTCP.
    pub fn listens(&self, port: u16) -> bool {
        self.door(port).is_some()
    }

    /// Judges a datagram that came in by `port`: the port it leaves by and where it goes, or
    /// nothing. The datagram itself is passed on as it is.
    pub fn packet(
        &mut self,
        port: u16,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Option<(u16, SocketAddr)> {
        let door = self.door(port)?;
        let stream = self.slab.get_mut(door.place as usize)?.as_mut()?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let key = stream.key;
        let (near, far) = stream.pair_mut(door.side);
        let Some(kind) = Kind::of(bytes) else {
            near.count.dropped += 1;
            return None;
        };
        let passed = match kind {
            Kind::Rtp => admit_rtp(near, port, from, now),
            Kind::Rtcp => admit_rtcp(near, port, from),
            Kind::Dtls if near.aim.as_ref().is_some_and(|aim| aim.source.knows(from)) => {
                Admission::Accepted
            }
            Kind::Dtls => Admission::Refused,
        };
        match passed {
            Admission::Accepted => (),
            Admission::Latched => {
                self.events.push_back(Event::Latched { stream: key, side: door.side, from });
            }
            Admission::Refused => {
                near.count.dropped += 1;
                return None;
            }
        }
        count(near, kind, bytes);
        target(far, kind)
    }

    fn door(&self, port: u16) -> Option<Door> {
        self.doors.get(usize::from(port / 2)).copied().flatten()
    }

    fn open(&mut self, stream: StreamKey, ports: [u16; 2]) {
        if let Some(place) = self.streams.get(&stream) {
            let old = self.slab.get(*place).and_then(Option::as_ref);
            if old.is_some_and(|old| [old.a.port, old.b.port] == ports) {
                return; // Said twice: harmless.
            }
            self.close(stream);
        }
        let [a, b] = ports;
        for (side, port) in [(Side::A, a), (Side::B, b)] {
            if port == 0
                || port % 2 == 1
                || self.door(port).is_some()
                || (side == Side::B && a == b)
            {
                self.events.push_back(Event::Failed { stream, side, port });
                return;
            }
        }
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() - 1
        });
        let leg = |port| Leg { port, aim: None, count: Count::default(), newest: None };
        if let Some(vacant) = self.slab.get_mut(place) {
            *vacant = Some(Stream { key: stream, a: leg(a), b: leg(b) });
        }
        self.streams.insert(stream, place);
        self.set_door(a, Some(Door { place: place as u32, side: Side::A }));
        self.set_door(b, Some(Door { place: place as u32, side: Side::B }));
    }

    fn close(&mut self, key: StreamKey) -> Option<(u8, [Count; 2])> {
        let place = self.streams.remove(&key)?;
        let stream = self.slab.get_mut(place)?.take()?;
        self.vacant.push(place);
        self.set_door(stream.a.port, None);
        self.set_door(stream.b.port, None);
        Some((key.index, [stream.a.count, stream.b.count]))
    }

    fn set_door(&mut self, port: u16, door: Option<Door>) {
        let half = usize::from(port / 2);
        if half >= self.doors.len() {
            self.doors.resize(half + 1, None);
        }
        if let Some(place) = self.doors.get_mut(half) {
            *place = door;
        }
    }
}

/// Sets where one side is. The latch window opens once both sides are known, and again with each
/// description.
fn aim(
    stream: &mut Stream,
    side: Side,
    (rtp, rtcp): (SocketAddr, SocketAddr),
    receives: bool,
    now: Instant,
) {
    // Senders are compared in their plain form, so targets are kept in it.
    let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (rtp, rtcp) = (plain(rtp), plain(rtcp));
    let leg = stream.leg_mut(side);
    let muxed = rtp == rtcp;
    match &mut leg.aim {
        Some(aim) => {
            aim.source.signal(rtp);
            if aim.rtcp != rtcp || aim.source.latched().is_none() {
                aim.rtcp_latched = None;
            }
            (aim.rtcp, aim.muxed, aim.receives) = (rtcp, muxed, receives);
        }
        None => {
            let source = Source::new(rtp);
            leg.aim = Some(Aim { source, rtcp, rtcp_latched: None, muxed, receives });
        }
    }
    if let (Some(a), Some(b)) = (&mut stream.a.aim, &mut stream.b.aim) {
        a.source.open_window(now);
        b.source.open_window(now);
    }
}

fn admit_rtp(near: &mut Leg, port: u16, from: SocketAddr, now: Instant) -> Admission {
    match &mut near.aim {
        Some(aim) if port == near.port => aim.source.admit(from, now),
        // Media on the control port, or before anybody said where this side is.
        Some(_) | None => Admission::Refused,
    }
}

/// Control proves nothing about who sends, so it follows what RTP has shown.
fn admit_rtcp(near: &mut Leg, port: u16, from: SocketAddr) -> Admission {
    let Some(aim) = &mut near.aim else { return Admission::Refused };
    let accepted = if port == near.port || aim.muxed {
        aim.source.knows(from)
    } else if from == aim.rtcp || aim.rtcp_latched == Some(from) {
        true
    } else if aim.rtcp_latched.is_none()
        && aim.source.latched().is_some_and(|latched| latched.ip() == from.ip())
    {
        aim.rtcp_latched = Some(from);
        true
    } else {
        false
    };
    if accepted { Admission::Accepted } else { Admission::Refused }
}

fn count(near: &mut Leg, kind: Kind, bytes: &[u8]) {
    match kind {
        Kind::Dtls => (),
        Kind::Rtcp => near.count.rtcp += 1,
        Kind::Rtp => {
            near.count.packets += 1;
            near.count.bytes += bytes.len() as u64;
            if let Ok((header, _)) = Header::decode(bytes) {
                count_lost(near, header);
            }
        }
    }
}

/// A gap adds what is missing, a latecomer takes one back, a new sender starts afresh.
fn count_lost(near: &mut Leg, header: Header) {
    /// A jump beyond this is a sender that began anew, not loss.
    ///
    /// Spec: RFC 3550 §A.1 (MAX_DROPOUT)
    const DROPOUT_MAX: i16 = 3000;
    let Some((ssrc, newest)) = near.newest else {
        near.newest = Some((header.ssrc, header.sequence));
        return;
    };
    let gap = rtp::ahead(header.sequence, newest);
    if ssrc != header.ssrc || gap.unsigned_abs() > DROPOUT_MAX as u16 {
        near.newest = Some((header.ssrc, header.sequence));
    } else if gap > 0 {
        near.count.lost += gap as u64 - 1;
        near.newest = Some((ssrc, header.sequence));
    } else if gap < 0 {
        near.count.lost = near.count.lost.saturating_sub(1);
    }
}

/// The port a packet leaves by and where it goes; nothing when the far side cannot or must not have
/// it.
fn target(far: &Leg, kind: Kind) -> Option<(u16, SocketAddr)> {
    let aim = far.aim.as_ref()?;
    let (port, to) = match kind {
        Kind::Rtp if !aim.receives => return None,
        Kind::Dtls | Kind::Rtp => (far.port, aim.source.target()),
        Kind::Rtcp if aim.muxed => (far.port, aim.source.target()),
        Kind::Rtcp => (far.port + 1, aim.rtcp_latched.unwrap_or(aim.rtcp)),
    };
    reachable(to).then_some((port, to))
}

/// Whether one host can be meant: on hold there is none, and a relay never sends to many.
fn reachable(to: SocketAddr) -> bool {
    let unicast = match to.ip().to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    unicast && to.port() != 0
}

#[cfg(test)]
mod tests;
