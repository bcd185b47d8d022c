//! The relay: which packet passes, and where to.
//!
//! Picture     port --door--> (stream, seat) --source--> accepted? --far side's aim--> (port, to)
//!             accepted --a mix?--> its ear;  deadline --tick--> one packet per hearer
//! Rules       A stream has both doors or none. A leg without an aim neither sends nor receives. Mixes of one pump
//!             tick together, on a grid that does not drift; what was missed is made up for [`TICKS_LATE_MAX`] ticks
//!             and then left out.
//! Limits      One door per even port, so 16,384 streams. [`GUESTS_MAX`](crate::GUESTS_MAX) guests at one stream.
//! Not here    Whether a port can be bound (shell/media_io says so before the engine hears of a
//!             stream).
//! Spec        RFC 3550 §11 (port pairs), RFC 5761 §5 (multiplexing), RFC 3264 §8.4 (hold keeps
//!             RTCP).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use types::{BridgeId, Instant, Rng};

use crate::clip::TapId;
use crate::codec::Coders;
use crate::keyed::Keyrings;
use crate::mixer::Mixer;
use crate::outbox::Outbox;
use crate::play::{Clips, Playing};
use crate::quality::Meter;
use crate::rtcp::{self, Said};
use crate::rtp::{Header, Kind};
use crate::shared::Shared;
use crate::source::{Admission, Source};
use crate::tap::Takes;
use crate::trail::Trail;
use crate::webrtc::{Arrival, Browsers};
use crate::words::Seat;
use crate::{Command, Count, Event, Side, Sound, StreamKey, Voice};

mod mix;
mod shield;
mod sounds;
mod watch;

use mix::Mix;
pub use mix::REPORT_EVERY;
use sounds::{Feeds, Notes, Work};
pub use watch::{QUALITY_EVERY, QUIET_AFTER, SILENCE_AFTER, WATCH_EVERY};
use watch::{Tell, Watch};

/// Between two packets to one hearer of a mix.
pub const TICK: Duration = Duration::from_millis(20);

/// Datagrams that may come to the ports of one leg in a second, its own and those of strangers: pictures of 40 Mbit/s. Those
/// beyond are dropped unseen and counted ([`Quality::capped`](crate::Quality::capped)).
pub const DATAGRAMS_MAX: u32 = 4_000;

/// Ticks that are made up for when the pump was held up.
pub const TICKS_LATE_MAX: u64 = 5;

/// The engine of one pump.
#[derive(Debug, Default)]
pub struct Engine {
    /// By half of the even port: who listens there.
    doors: Vec<Option<Door>>,
    streams: BTreeMap<StreamKey, usize>,
    slab: Vec<Option<Stream>>,
    vacant: Vec<usize>,
    events: VecDeque<Event>,
    /// Places of the streams that have a mix.
    mixes: Vec<usize>,
    /// The next tick; `None` while there is no mix.
    due: Option<Instant>,
    mixer: Mixer,
    clips: Clips,
    coders: Coders,
    takes: Takes,
    /// Where each tap is.
    tapped: BTreeMap<TapId, StreamKey>,
    /// Who hears each feed.
    feeds: Feeds,
    /// Streams of which something that was played has ended.
    ended: Vec<StreamKey>,
    /// When all streams were looked at last.
    watched: Instant,
    browsers: Browsers,
    keyrings: Keyrings,
    shared: Shared,
    outbox: Outbox,
}

#[derive(Clone, Copy, Debug)]
struct Door {
    place: u32,
    seat: u16,
}

#[derive(Debug)]
struct Stream {
    key: StreamKey,
    a: Leg,
    b: Leg,
    /// Somebody listens, joined or is muted.
    mix: Option<Box<Mix>>,
    told: Tell,
}

/// One end of a stream: a side, or a guest.
#[derive(Debug, Default)]
struct Leg {
    /// 0: nobody sits here.
    port: u16,
    aim: Option<Aim>,
    count: Count,
    meter: Meter,
    watch: Watch,
    /// A second of the clock, and how many datagrams came to this leg's ports in it.
    pace: (u64, u32),
    /// The numbers of what it was sent.
    trail: Trail,
    sound: Option<Sound>,
    /// Somebody has said how it takes part.
    taken: bool,
    voice: Voice,
    chance: u64,
    cover: Cover,
    /// It goes by a shared port, and was not heard since it was told where its phone is.
    waits: bool,
}

/// What a leg's packets must have been through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cover {
    /// Nothing.
    #[default]
    Bare,
    /// The keys of its description.
    Keyed,
    /// Its keys are gone: nothing passes.
    Lost,
    /// Its path to a browser.
    Web,
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
    fn new(key: StreamKey, [a, b]: [u16; 2]) -> Self {
        Self { key, a: Leg::new(a), b: Leg::new(b), mix: None, told: Tell::default() }
    }

    fn leg_mut(&mut self, seat: Seat) -> Option<&mut Leg> {
        match seat.side() {
            Some(Side::A) => Some(&mut self.a),
            Some(Side::B) => Some(&mut self.b),
            None => self.mix.as_mut()?.guest_mut(seat.0),
        }
    }

    /// All ports that it listens on.
    fn ports(&self) -> impl Iterator<Item = u16> {
        let guests = self.mix.iter().flat_map(|mix| mix.guests.iter().flatten());
        let ports = [self.a.port, self.b.port].into_iter().chain(guests.map(|guest| guest.port));
        ports.filter(|port| *port != 0)
    }
}

impl Leg {
    fn new(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// Whether this datagram is one too many.
    fn floods(&mut self, now: Instant) -> bool {
        let (second, count) = &mut self.pace;
        if *second != now.0 / 1_000_000 {
            (*second, *count) = (now.0 / 1_000_000, 0);
        }
        *count += 1;
        let floods = *count > DATAGRAMS_MAX;
        self.meter.figures.capped += u64::from(floods);
        floods
    }

    /// Says on a shared port where its packets come from.
    fn claim(&mut self, shared: &mut Shared) {
        if let Some(aim) = self.aim.as_ref().filter(|_| shared.has(self.port)) {
            let latched = aim.source.latched().is_some();
            shared.aim(self.port, aim.source.signalled(), aim.rtcp, latched);
            self.waits = !latched;
        }
    }

    fn receives(&self) -> bool {
        self.aim.as_ref().is_some_and(|aim| aim.receives)
    }

    /// Reports that came from it.
    fn reads(&mut self, compound: &[u8], now: Instant) {
        let hears = self.trail.report().0;
        rtcp::read(compound, |said| match said {
            Said::Hears { source, lost, reported } if source == hears => {
                self.meter.heard(lost, reported, now);
            }
            // Of a source that it does not hear from us: encrypted from end to end, or of old.
            Said::Hears { .. } => (),
            Said::Opinion(opinion) => self.meter.figures.told_opinion = Some(opinion),
            Said::Sends { middle } => self.meter.reports(middle, now),
        });
    }

    /// Reports that go to it.
    fn is_told(&mut self, compound: &[u8], now: Instant) {
        rtcp::read(compound, |said| {
            if let Said::Sends { middle } = said {
                self.meter.told(middle, now);
            }
        });
    }

    /// What it and the far side send must be turned into something else.
    fn is_turned(&self) -> bool {
        self.sound.is_some_and(|sound| !sound.passes)
    }
}

impl Engine {
    /// An engine without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with what the system has beside what is built in.
    pub fn with_coders(coders: Coders) -> Self {
        Self { coders, ..Self::default() }
    }

    /// Applies one command. Drain [`poll`](Self::poll) afterwards.
    pub fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Admit { stream, seat, port } => self.admit(stream, seat, port, now),
            Command::Aim { stream, seat, rtp, rtcp, receives } => {
                // An aim that arrives after its close is late, not wrong.
                let Some(place) = self.streams.get(&stream).copied() else { return };
                let Some(Some(stream)) = self.slab.get_mut(place) else { return };
                let received = stream.leg_mut(seat).is_some_and(|leg| leg.receives());
                aim(stream, seat, (rtp, rtcp), receives, now);
                if let Some(leg) = stream.leg_mut(seat) {
                    leg.claim(&mut self.shared);
                }
                if let Some(viewer) = seat.side().filter(|_| receives && !received) {
                    self.ask_for_picture(place, viewer);
                }
            }
            Command::Close { bridge } => {
                let first = StreamKey { bridge, index: 0 };
                let last = StreamKey { bridge, index: u8::MAX };
                let keys: Vec<StreamKey> =
                    self.streams.range(first..=last).map(|(key, _)| *key).collect();
                let counts = keys.into_iter().filter_map(|key| self.close(key, now)).collect();
                self.events.push_back(Event::Closed { bridge, counts });
            }
            Command::Gauge { stream, seat, every } => self.gauge(stream, seat, every, now),
            Command::Leave { stream, seat } => self.leave(stream, seat, now),
            Command::Listen { stream, seat, silence } => self.listen(stream, seat, silence, now),
            Command::Move { stream, seat, to, place } => {
                self.carry((stream, seat), (to, place), now);
            }
            Command::Open { stream, ports } => self.open(stream, ports, now),
            Command::Play { stream, seat, play, sound, alone } => {
                self.play(stream, seat, Playing::new(play, sound, alone), now);
            }
            Command::Pour { tap, feed } => self.takes.pour(tap, feed),
            Command::Share { port, by } => self.shared.lead(port, by),
            Command::Shield { stream, seat, shield, chance } => {
                self.shield((stream, seat), shield, chance, now);
            }
            Command::Stop { stream, seat, sound } => self.stop(stream, (seat, sound), now),
            Command::Take { stream, seat, sound, voice, chance } => {
                let key = stream;
                if let Some(stream) = self.stream_mut(key)
                    && let Some(leg) = stream.leg_mut(seat)
                {
                    (leg.sound, leg.voice, leg.chance) = (sound, voice, chance);
                    leg.taken = true;
                    leg.trail.pace(sound.map_or(0, |sound| sound.sent.codec.pace()));
                    if seat.side().is_none() {
                        leg.trail.begin(&mut Rng::from_number(chance));
                    }
                    self.mix_or_not(key, now);
                }
            }
            Command::Tap { stream, seat, tap, rate, direction } => {
                self.tap(stream, seat, (tap, rate, direction), now);
            }
            Command::Untap { tap } => self.untap(tap, now),
        }
    }

    /// When [`tick`](Self::tick) wants to be called next; `None` while nothing is mixed.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.browsers.deadline()).min()
    }

    /// Sends what hearers of mixes get by `now`: our port, where it goes, the packet. Drain
    /// [`outgoing`](Self::outgoing), [`taken`](Self::taken) and [`poll`](Self::poll) afterwards.
    pub fn tick(&mut self, now: Instant, mut send: impl FnMut(u16, SocketAddr, &[u8])) {
        self.browsers.tick(now, &mut self.outbox, |event| self.events.push_back(event));
        let Self { browsers, keyrings, outbox, shared, .. } = self;
        let mut send = |port: u16, to: SocketAddr, bytes: &[u8]| {
            if browsers.has(port) {
                browsers.send(port, bytes, outbox);
            } else if keyrings.has(port) {
                keyrings.send(port, to, bytes, outbox);
            } else {
                send(shared.exit(port), to, bytes);
            }
        };
        while let Some(due) = self.due.filter(|due| *due <= now) {
            let Self { mixer, clips, coders, takes, events, ended, .. } = self;
            let mut work = Work { mixer, clips, coders, takes, events, ended };
            for place in &self.mixes {
                if let Some(Some(stream)) = self.slab.get_mut(*place) {
                    stream.tick(&mut work, due, &mut send);
                }
            }
            let behind = now.since(due).as_micros() / TICK.as_micros();
            let behind = u32::try_from(behind).unwrap_or(u32::MAX);
            let left_out = if u64::from(behind) > TICKS_LATE_MAX { behind } else { 0 };
            self.due = Some(due + TICK + TICK * left_out);
            let Self { takes, feeds, streams, slab, .. } = self;
            takes.pour_out(|feed, samples| {
                // One that nobody plays any more has no room.
                if let Some(feed) = sounds::fed(feed, (feeds, streams, slab)) {
                    feed.put(samples);
                }
            });
        }
        self.settle(now);
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
        places.flatten().flat_map(Stream::ports).collect()
    }

    /// The RTP port of one leg.
    pub fn port(&self, stream: StreamKey, seat: Seat) -> Option<u16> {
        let stream = self.slab.get(*self.streams.get(&stream)?)?.as_ref()?;
        let guest = || stream.mix.as_ref()?.guests.get(usize::from(seat.0) - 2)?.as_ref();
        let port = match seat.side() {
            Some(Side::A) => stream.a.port,
            Some(Side::B) => stream.b.port,
            None => guest()?.port,
        };
        (port != 0).then_some(port)
    }

    /// Whether a stream listens on this port, RTP or RTCP.
    pub fn listens(&self, port: u16) -> bool {
        self.door(port).is_some()
    }

    /// Many legs may go by this even port from now on, and by the one above it.
    pub fn serve_many(&mut self, port: u16) {
        self.shared.open(port);
    }

    /// Whether the leg of this port goes by a shared one, so that nothing listens there.
    pub fn shares(&self, port: u16) -> bool {
        self.shared.has(port)
    }

    /// Datagrams on shared ports so far that were of no leg.
    pub fn strangers(&self) -> u64 {
        self.shared.strangers()
    }

    /// Who sits at a port.
    pub fn sits(&self, port: u16) -> Option<(StreamKey, Seat)> {
        let door = self.door(port)?;
        let stream = self.slab.get(door.place as usize)?.as_ref()?;
        Some((stream.key, Seat(door.seat)))
    }

    /// Judges a datagram that came in by `port`: the port it leaves by and where it goes, or
    /// nothing. The datagram is passed on as it is, but for the numbers of a stream that was mixed before. What must
    /// be sealed or opened on its way waits in [`outgoing`](Self::outgoing) instead.
    pub fn packet(
        &mut self,
        port: u16,
        from: SocketAddr,
        bytes: &mut [u8],
        now: Instant,
    ) -> Option<(u16, SocketAddr)> {
        if self.browsers.is_door(port) {
            self.at_the_door(from, bytes, now);
            return None;
        }
        let port = if self.shared.is_door(port) {
            let plain = SocketAddr::new(from.ip().to_canonical(), from.port());
            self.shared.leg_of(port, Kind::of(bytes), plain)? | (port & 1)
        } else {
            port
        };
        if self.keyrings.has(port) {
            self.keyed(port, from, bytes, now);
            return None;
        }
        let (by, to) = self.judge(port, from, (bytes, Cover::Bare), now)?;
        (!self.sealed(by, to, bytes)).then(|| (self.shared.exit(by), to))
    }

    /// `passed`: what the datagram has been through.
    fn judge(
        &mut self,
        port: u16,
        from: SocketAddr,
        (bytes, passed): (&mut [u8], Cover),
        now: Instant,
    ) -> Option<(u16, SocketAddr)> {
        let door = self.door(port)?;
        let stream = self.slab.get_mut(door.place as usize)?.as_mut()?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Stream { key, a, b, mix, .. } = stream;
        let (mut guests, desk) = match mix.as_deref_mut() {
            Some(Mix { guests, desk }) => (Some(guests), Some(desk)),
            None => (None, None),
        };
        let (near, far) = match door.seat {
            0 => (a, Some(b)),
            1 => (b, Some(a)),
            guest => (guests.as_mut()?.get_mut(usize::from(guest) - 2)?.as_mut()?, None),
        };
        let Some(kind) = Kind::of(bytes).filter(|_| passed == Cover::Keyed || !near.floods(now))
        else {
            near.count.dropped += 1;
            return None;
        };
        let passed = match kind {
            _ if near.cover != passed => Admission::Refused,
            _ if passed == Cover::Web => Admission::Accepted,
            Kind::Rtp => admit_rtp(near, port, from, now),
            Kind::Rtcp => admit_rtcp(near, port, from),
            Kind::Dtls if near.aim.as_ref().is_some_and(|aim| aim.source.knows(from)) => {
                Admission::Accepted
            }
            Kind::Dtls => Admission::Refused,
        };
        match passed {
            Admission::Accepted => {
                if near.waits && kind == Kind::Rtp {
                    near.waits = false;
                    self.shared.heard(near.port);
                }
            }
            Admission::Latched => {
                near.waits = false;
                self.shared.latched(near.port, from);
                let seat = Seat(door.seat);
                self.events.push_back(Event::Latched { stream: *key, seat, from });
            }
            Admission::Refused => {
                near.count.dropped += 1;
                near.watch.strange += 1;
                return None;
            }
        }
        let header = count(near, kind, bytes, now);
        let mut passes = true;
        if let Some(desk) = desk {
            passes = desk.passes() && !near.is_turned();
            let only_keys = near.voice == Voice::Nobody;
            let heard = header.is_none()
                || desk.hear(
                    (door.seat, only_keys),
                    near.sound.as_ref(),
                    bytes,
                    now,
                    |code, held| {
                        sounds::key(&mut self.events, *key, Seat(door.seat), (code, held));
                    },
                );
            // What passes may be what only the far side understands.
            let useful = heard || (passes && far.is_some());
            near.count.dropped += u64::from(!useful);
            near.watch.useless += u64::from(!useful);
        }
        if kind == Kind::Rtcp {
            near.reads(bytes, now);
        }
        let far = far.filter(|_| passes)?;
        let target = target(far, kind)?;
        if kind == Kind::Rtcp {
            far.is_told(bytes, now);
            rtcp::renumber(bytes, &near.trail, &far.trail);
        }
        if let Some(renumbered) = header.and_then(|header| far.trail.pass(header, now)) {
            renumbered.renumber(bytes);
        }
        Some(target)
    }

    fn stream_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.slab.get_mut(*self.streams.get(&key)?)?.as_mut()
    }

    fn door(&self, port: u16) -> Option<Door> {
        self.doors.get(usize::from(port / 2)).copied().flatten()
    }

    /// A guest sits down.
    fn admit(&mut self, key: StreamKey, seat: Seat, port: u16, now: Instant) {
        if !seat.is_guest() || port == 0 || port % 2 == 1 || self.door(port).is_some() {
            if self.port(key, seat) != Some(port) {
                self.events.push_back(Event::Failed { stream: key, seat, port });
            }
            return; // Said twice: harmless.
        }
        if self.port(key, seat).is_some() {
            self.leave(key, seat, now);
        }
        let place = match self.streams.get(&key) {
            Some(place) => *place,
            None => self.put(Stream::new(key, [0, 0])),
        };
        self.set_door(port, Some(Door { place: place as u32, seat: seat.0 }));
        if let Some(stream) = self.stream_mut(key) {
            let leg = Leg { voice: Voice::Nobody, ..Leg::new(port) };
            stream.mix.get_or_insert_default().seat(seat, leg);
        }
        self.mix_or_not(key, now);
    }

    /// A guest leaves.
    fn leave(&mut self, key: StreamKey, seat: Seat, now: Instant) {
        self.untap_all(key, Some(seat));
        let Some(stream) = self.stream_mut(key) else { return };
        let Some(leg) = stream.mix.as_mut().and_then(|mix| mix.leave(seat)) else { return };
        self.set_door(leg.port, None);
        self.unshield(leg.port, now);
        self.shared.forget(leg.port, Some(now));
        self.mix_or_not(key, now);
    }

    /// Puts a stream among those that tick, or takes it away.
    fn mix_or_not(&mut self, key: StreamKey, now: Instant) {
        let Some(place) = self.streams.get(&key).copied() else { return };
        let Some(Some(stream)) = self.slab.get_mut(place) else { return };
        if stream.is_plain() {
            stream.mix = None;
            for leg in [&mut stream.a, &mut stream.b] {
                leg.trail.end();
            }
            self.forget_mix(place);
        } else {
            stream.mix.get_or_insert_default();
            if !self.mixes.contains(&place) {
                self.mixes.push(place);
            }
            self.due.get_or_insert(now + TICK);
        }
    }

    fn forget_mix(&mut self, place: usize) {
        self.mixes.retain(|known| *known != place);
        if self.mixes.is_empty() {
            self.due = None;
        }
    }

    fn open(&mut self, stream: StreamKey, ports: [u16; 2], now: Instant) {
        if let Some(place) = self.streams.get(&stream) {
            let old = self.slab.get(*place).and_then(Option::as_ref);
            if old.is_some_and(|old| [old.a.port, old.b.port] == ports) {
                return; // Said twice: harmless.
            }
            self.close(stream, now);
        }
        let [a, b] = ports;
        for (seat, port) in [(Seat::A, a), (Seat::B, b)] {
            if port == 0
                || port % 2 == 1
                || self.door(port).is_some()
                || (seat == Seat::B && a == b)
            {
                self.events.push_back(Event::Failed { stream, seat, port });
                return;
            }
        }
        let place = self.put(Stream::new(stream, ports));
        self.set_door(a, Some(Door { place: place as u32, seat: Seat::A.0 }));
        self.set_door(b, Some(Door { place: place as u32, seat: Seat::B.0 }));
    }

    fn put(&mut self, stream: Stream) -> usize {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() - 1
        });
        self.streams.insert(stream.key, place);
        if let Some(vacant) = self.slab.get_mut(place) {
            *vacant = Some(stream);
        }
        place
    }

    fn close(&mut self, key: StreamKey, now: Instant) -> Option<(u8, [Count; 2])> {
        self.untap_all(key, None);
        let place = self.streams.remove(&key)?;
        let stream = self.slab.get_mut(place)?.take()?;
        self.vacant.push(place);
        self.forget_mix(place);
        for port in stream.ports() {
            self.set_door(port, None);
            self.unshield(port, now);
            self.shared.forget(port, Some(now));
        }
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

/// Sets where one leg is. The latch window of sides opens once both are known, and again with each
/// description; that of a guest at once.
fn aim(
    stream: &mut Stream,
    seat: Seat,
    (rtp, rtcp): (SocketAddr, SocketAddr),
    receives: bool,
    now: Instant,
) {
    // Senders are compared in their plain form, so targets are kept in it.
    let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (rtp, rtcp) = (plain(rtp), plain(rtcp));
    let Some(leg) = stream.leg_mut(seat) else { return };
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
    if seat.side().is_none() {
        if let Some(aim) = &mut leg.aim {
            aim.source.open_window(now);
        }
    } else if let (Some(a), Some(b)) = (&mut stream.a.aim, &mut stream.b.aim) {
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

/// Counts what came; the header of media.
fn count(near: &mut Leg, kind: Kind, bytes: &[u8], now: Instant) -> Option<Header> {
    match kind {
        Kind::Dtls => None,
        Kind::Rtcp => {
            near.count.rtcp += 1;
            None
        }
        Kind::Rtp => {
            near.count.packets += 1;
            near.count.bytes += bytes.len() as u64;
            let (header, _) = Header::decode(bytes).ok()?;
            near.watch.dull += u64::from(is_dull(bytes));
            near.meter.packet(header, now);
            near.count.lost = near.meter.figures.lost;
            Some(header)
        }
    }
}

/// Whether a packet holds nothing but silence: one octet again and again (G.711), or as few as codecs need to say so.
fn is_dull(bytes: &[u8]) -> bool {
    /// Octets of Opus that say silence; comfort noise has as few.
    const FEW: usize = 3;
    let payload = crate::rtp::Packet::decode(bytes).map_or(&[][..], |packet| packet.payload);
    let one = |first: &u8| payload.iter().all(|octet| octet == first);
    payload.len() <= FEW || payload.first().is_some_and(one)
}

/// The port a packet leaves by and where it goes; nothing when the far side cannot or must not have
/// it.
fn target(far: &Leg, kind: Kind) -> Option<(u16, SocketAddr)> {
    let aim = far.aim.as_ref()?;
    let (port, to) = match kind {
        _ if far.cover == Cover::Lost => return None,
        Kind::Rtp if !aim.receives => return None,
        // The path knows where the browser is.
        _ if far.cover == Cover::Web => return Some((far.port, shield::SOMEWHERE)),
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
