//! The media of two legs: offer and answer run through us, so that each side talks to our ports.
//!
//! Picture     offer of one side --rewrite--> the other; answer --rewrite--> back; Open and Aim to the pump.
//! Rules       Section n of one side is section n of the other. Ports stay for the life of the pair: a re-INVITE
//!             changes aims, not ports. A failed change puts the aims back (RFC 6141).
//! Limits      SECTIONS_MAX sections; two ports each.
//! Not here    When to offer (rooms), packets (media).
//! Spec        RFC 3264 §5 to §8, RFC 4566.

use std::net::SocketAddr;

use media::g711::Law;
use media::{Command, Side, Sound, StreamKey, Voice};
use types::{BridgeId, Refuse, SessionId, Verdict, tagged};

use crate::effects::Effects;

/// Sections that one description may have.
pub const SECTIONS_MAX: usize = 16;

/// Where a side of one section wants its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aim {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    mux: bool,
    receives: bool,
    rejected: bool,
    /// What it can be sent in a mix, when all that it says can be mixed.
    sound: Option<sdp::PlainSound>,
}

/// What we told one side last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub session: u64,
    pub version: u64,
    /// Of the description at this version; 0 before the first.
    pub hash: u64,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Pair {
    bridge: BridgeId,
    /// Our ports per section: what A sends to, what B sends to.
    ports: Vec<Option<[u16; 2]>>,
    told: [Told; 2],
    aims: [Vec<Aim>; 2],
    /// Aims before the offer that is open now.
    before: Option<[Vec<Aim>; 2]>,
    open: Vec<bool>,
    /// Offers are narrowed to sound that can be mixed, since somebody may listen or join.
    plain: bool,
    /// The section that others listen to.
    mixed: Option<u8>,
}

/// Why a description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The description is malformed, or names an address that cannot be a target.
    #[error("the session description cannot be used")]
    BadDescription,
    /// No RTP ports are left.
    #[error("no media ports are free")]
    NoPorts,
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        match self {
            Self::BadDescription => Verdict {
                code: "switchboard.bad_description",
                number: 1004,
                sip: 488,
                http: 400,
                fix: "send SDP with reachable addresses and ports, at most 16 media sections",
            },
            Self::NoPorts => Verdict {
                code: "switchboard.no_ports",
                number: 1005,
                sip: 503,
                http: 503,
                fix: "widen `media.ports`: a call with one audio stream takes four ports",
            },
        }
    }
}

impl Pair {
    /// A pair without any section yet.
    pub fn new(session: SessionId, effects: &mut Effects<'_>) -> Self {
        let bridge = effects.bridge(session);
        // Numbers that fit into 31 bits: some phones read o= as signed.
        let mut told = || Told { session: effects.rng().next_u64() >> 33, version: 1, hash: 0 };
        let told = [told(), told()];
        Self {
            bridge,
            ports: Vec::new(),
            told,
            aims: [Vec::new(), Vec::new()],
            before: None,
            open: Vec::new(),
            plain: false,
            mixed: None,
        }
    }

    /// From now on only sound is agreed on that a mix can take apart, where both sides have any.
    pub fn keep_plain(&mut self) {
        self.plain = true;
    }

    /// Whether others may be let in, as [`keep_plain`](Self::keep_plain) said.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Both sides can be mixed with others from now on: the stream at which these sit down. `None` when the two speak
    /// what no mix understands.
    pub fn mix(&mut self, effects: &mut Effects<'_>) -> Option<StreamKey> {
        let [a, b] = &self.aims;
        let place = a.iter().zip(b).zip(&self.open).position(|((a, b), open)| {
            *open && !a.rejected && !b.rejected && a.sound.is_some() && b.sound.is_some()
        })?;
        self.mixed = Some(place as u8);
        self.take_part(effects);
        Some(StreamKey { bridge: self.bridge, index: place as u8 })
    }

    /// Tells the pump what both sides can be sent.
    fn take_part(&self, effects: &mut Effects<'_>) {
        let Some(index) = self.mixed else { return };
        let stream = StreamKey { bridge: self.bridge, index };
        let sound = |side: Side| self.aims[side.index()].get(usize::from(index))?.sound;
        for side in Side::BOTH {
            let other = sound(side.other());
            let both = sound(side).map(|own| common(own, other));
            let chance = effects.rng().next_u64();
            let (seat, voice) = (side.into(), Voice::All);
            effects.media(Command::Take { stream, seat, sound: both, voice, chance });
        }
    }

    /// A pair in which one side stays and another takes the place of the other. `told`: what that one was told
    /// before, by [`told`](Self::told) of the pair that it was in. Both sides hear the next versions of what they know.
    pub fn beside(
        &self,
        stays: Side,
        told: &[u8],
        session: SessionId,
        effects: &mut Effects<'_>,
    ) -> Self {
        let mut pair = Self::new(session, effects);
        pair.plain = self.plain;
        pair.told[stays.index()] = self.told[stays.index()].clone();
        let known = decode_told(told);
        if known.hash != 0 {
            pair.told[stays.other().index()] = known;
        }
        pair
    }

    /// What a side was told last, for a pair that it goes over to.
    pub fn told(&self, side: Side) -> Vec<u8> {
        encode_told(&self.told[side.index()])
    }

    /// Takes the answer of one side when the other need not hear of it: packets pass.
    pub fn settle(
        &mut self,
        from: Side,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let aims = aims(&described(sdp)?, effects)?;
        if let Some(place) = self.aims.get_mut(from.index()) {
            *place = aims;
        }
        self.aim(effects);
        self.before = None;
        Ok(())
    }

    /// Its bridge.
    pub fn bridge(&self) -> BridgeId {
        self.bridge
    }

    /// Takes the offer of one side; gives the offer for the other.
    pub fn offer(
        &mut self,
        from: Side,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let narrowed = if self.plain { sdp::only_plain(sdp).ok() } else { None };
        let sdp = narrowed.as_deref().unwrap_or(sdp);
        let session = described(sdp)?;
        let aims = aims(&session, effects)?;
        while self.ports.len() < aims.len() {
            self.ports.push(None);
            self.open.push(false);
        }
        for (aim, ports) in aims.iter().zip(&mut self.ports) {
            if ports.is_none() && !aim.rejected {
                *ports = Some(effects.ports().ok_or(Refusal::NoPorts)?);
            }
        }
        if self.before.is_none() {
            self.before = Some(self.aims.clone());
        }
        let rejected: Vec<bool> = aims.iter().map(|aim| aim.rejected).collect();
        if let Some(place) = self.aims.get_mut(from.index()) {
            *place = aims;
        }
        self.rewrite(from.other(), (sdp, &session), &rejected, effects)
    }

    /// Takes the answer of one side; gives the answer for the other, and lets packets pass.
    pub fn answer(
        &mut self,
        from: Side,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let session = described(sdp)?;
        let aims = aims(&session, effects)?;
        let rejected: Vec<bool> = aims.iter().map(|aim| aim.rejected).collect();
        if let Some(place) = self.aims.get_mut(from.index()) {
            *place = aims;
        }
        let out = self.rewrite(from.other(), (sdp, &session), &rejected, effects)?;
        self.aim(effects);
        self.before = None;
        Ok(out)
    }

    /// The change that was offered failed: everything stays as it was.
    pub fn rollback(&mut self, effects: &mut Effects<'_>) {
        if let Some(before) = self.before.take() {
            self.aims = before;
            self.aim(effects);
        }
    }

    /// Ends the bridge and gives its ports back.
    pub fn close(&mut self, effects: &mut Effects<'_>) {
        effects.media(Command::Close { bridge: self.bridge });
        for ports in self.ports.drain(..).flatten() {
            effects.give_back(&ports);
        }
    }

    /// A port of this section could not be had: it and its neighbour are left alone for a while.
    pub fn spoil(&mut self, index: u8, effects: &mut Effects<'_>) {
        if let Some(ports) = self.ports.get_mut(usize::from(index)).and_then(Option::take) {
            effects.spoil(&ports);
        }
    }

    /// As tagged fields.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        writer.number(1, self.bridge.0);
        for ports in &self.ports {
            let [a, b] = ports.unwrap_or([0, 0]);
            writer.number(2, u128::from(a) << 16 | u128::from(b));
        }
        for (tag, told) in [(3, &self.told[0]), (4, &self.told[1])] {
            writer.nested(tag, |writer| write_told(told, writer));
        }
        for (tag, aims) in [(5, &self.aims[0]), (6, &self.aims[1])] {
            for aim in aims {
                let flags = u128::from(aim.mux)
                    | u128::from(aim.receives) << 1
                    | u128::from(aim.rejected) << 2;
                writer.nested(tag, |writer| {
                    writer.socket(1, aim.rtp).socket(2, aim.rtcp).number(3, flags);
                    if let Some(sound) = aim.sound {
                        writer.number(4, encode_sound(sound));
                    }
                });
            }
        }
        if self.plain {
            writer.number(7, 1);
        }
        if let Some(index) = self.mixed {
            writer.number(8, index.into());
        }
    }

    /// What [`encode`](Self::encode) wrote; claims its ports and opens its streams again.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Self {
        let mut pair = Self {
            bridge: BridgeId(0),
            ports: Vec::new(),
            told: Default::default(),
            aims: Default::default(),
            before: None,
            open: Vec::new(),
            plain: false,
            mixed: None,
        };
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => pair.bridge = BridgeId(field.number().unwrap_or(0)),
                2 => {
                    let both = field.number().unwrap_or(0);
                    let ports = [(both >> 16) as u16, both as u16];
                    pair.ports.push((both != 0).then_some(ports));
                    pair.open.push(false);
                }
                3 => pair.told[0] = decode_told(field.0),
                4 => pair.told[1] = decode_told(field.0),
                5 => pair.aims[0].extend(decode_aim(field.0)),
                6 => pair.aims[1].extend(decode_aim(field.0)),
                7 => pair.plain = field.number().is_some_and(|plain| plain != 0),
                8 => pair.mixed = field.number().map(|index| index as u8),
                _ => (),
            }
        }
        let ports: Vec<u16> = pair.ports.iter().flatten().flatten().copied().collect();
        effects.claim(session, pair.bridge, &ports);
        pair.aim(effects);
        pair
    }

    /// The description of one side as the other gets it, with our ports and our version.
    fn rewrite(
        &mut self,
        to: Side,
        (sdp, session): (&[u8], &sdp::Session<'_>),
        rejected: &[bool],
        effects: &Effects<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let ports = rejected.iter().enumerate().map(|(place, rejected)| {
            let ports = self.ports.get(place).copied().flatten()?;
            (!rejected).then(|| ports[to.index()])
        });
        let told = &mut self.told[to.index()];
        let mut plan = sdp::Relay {
            session: told.session,
            version: told.version,
            address: effects.media_address(),
            ports: ports.collect(),
        };
        let out = sdp::relay_decoded(sdp, session, &plan).map_err(|_| Refusal::BadDescription)?;
        let hash = effects.keys().slots.hash_bytes(&out) | 1;
        if told.hash == 0 || told.hash == hash {
            told.hash = hash;
            return Ok(out);
        }
        told.version += 1;
        plan.version = told.version;
        let out = sdp::relay_decoded(sdp, session, &plan).map_err(|_| Refusal::BadDescription)?;
        told.hash = effects.keys().slots.hash_bytes(&out) | 1;
        Ok(out)
    }

    /// Tells the pump where both sides want their packets now.
    fn aim(&mut self, effects: &mut Effects<'_>) {
        let [a, b] = &self.aims;
        for (place, (a, b)) in a.iter().zip(b).enumerate() {
            let Some(ports) = self.ports.get(place).copied().flatten() else { continue };
            let stream = StreamKey { bridge: self.bridge, index: place as u8 };
            if a.rejected || b.rejected {
                continue;
            }
            if let Some(open) = self.open.get_mut(place)
                && !*open
            {
                *open = true;
                effects.media(Command::Open { stream, ports });
            }
            let mux = a.mux && b.mux;
            for (side, aim) in [(Side::A, a), (Side::B, b)] {
                let rtcp = if mux { aim.rtp } else { aim.rtcp };
                let (rtp, receives) = (aim.rtp, aim.receives);
                effects.media(Command::Aim { stream, seat: side.into(), rtp, rtcp, receives });
            }
        }
        self.take_part(effects);
    }
}

/// What one may be sent: the first law that both know, for what only the offer had may not be heard any more.
///
/// Spec: RFC 3264 §7
fn common(own: sdp::PlainSound, other: Option<sdp::PlainSound>) -> Sound {
    let both = |law: &u8| other.is_none_or(|other| other.laws.contains(&Some(*law)));
    let laws = || own.laws.iter().flatten().copied();
    let law = laws().find(both).or_else(|| laws().next());
    Sound { law: law.and_then(Law::of).unwrap_or(Law::Mu), events: own.events }
}

/// Three octets: two laws and the events, 255 where there is none.
fn encode_sound(sound: sdp::PlainSound) -> u128 {
    let [first, second] = sound.laws;
    let octets = [first, second, sound.events].map(|octet| octet.unwrap_or(255));
    octets.iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
}

fn decode_sound(number: u128) -> sdp::PlainSound {
    let octet = |place: u32| Some((number >> (8 * place)) as u8).filter(|octet| *octet != 255);
    sdp::PlainSound { laws: [octet(2), octet(1)], events: octet(0) }
}

fn described(sdp: &[u8]) -> Result<sdp::Session<'_>, Refusal> {
    let session = sdp::Session::decode(sdp).map_err(|_| Refusal::BadDescription)?;
    // None at all is a description too: somebody who will add streams later. Spec: RFC 3264 §5.
    if session.media.len() > SECTIONS_MAX {
        return Err(Refusal::BadDescription);
    }
    Ok(session)
}

/// Where a side wants its packets, section by section.
fn aims(session: &sdp::Session<'_>, effects: &Effects<'_>) -> Result<Vec<Aim>, Refusal> {
    let ours = effects.media_address();
    let aims = sdp::aims(session).into_iter().zip(&session.media).map(|(aim, section)| {
        let usable = match sdp::reach(aim.rtp.ip()) {
            // Only a server on loopback has business with loopback.
            sdp::Reach::Loopback => ours.is_loopback(),
            sdp::Reach::One | sdp::Reach::Unspecified => true,
            sdp::Reach::Unusable => false,
        };
        (usable || aim.rejected).then_some(Aim {
            rtp: aim.rtp,
            rtcp: aim.rtcp,
            mux: aim.mux,
            receives: aim.receives,
            rejected: aim.rejected || !aim.is_rtp,
            sound: sdp::plain_sound(section),
        })
    });
    aims.collect::<Option<Vec<_>>>().ok_or(Refusal::BadDescription)
}

/// A description without holds: what somebody heard last, offered to somebody else.
///
/// Spec: RFC 3264 §8.4
pub fn without_hold(sdp: &[u8]) -> Vec<u8> {
    let hold = |line: &[u8]| {
        let words: [&[u8]; 3] = [b"a=sendonly", b"a=recvonly", b"a=inactive"];
        words.contains(&line.trim_ascii_end())
    };
    let lines = sdp.split_inclusive(|octet| *octet == b'\n').filter(|line| !hold(line));
    lines.flatten().copied().collect()
}

pub(crate) fn encode_told(told: &Told) -> Vec<u8> {
    let mut writer = tagged::Writer::new();
    write_told(told, &mut writer);
    writer.finish()
}

fn write_told(told: &Told, writer: &mut tagged::Writer) {
    writer.number(1, told.session.into()).number(2, told.version.into());
    writer.number(3, told.hash.into());
}

pub(crate) fn decode_told(bytes: &[u8]) -> Told {
    let mut told = Told::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        let number = field.number().unwrap_or(0) as u64;
        match tag {
            1 => told.session = number,
            2 => told.version = number,
            3 => told.hash = number,
            _ => (),
        }
    }
    told
}

fn decode_aim(bytes: &[u8]) -> Option<Aim> {
    let (mut rtp, mut rtcp, mut flags, mut sound) = (None, None, 0, None);
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => rtp = field.text()?.parse().ok(),
            2 => rtcp = field.text()?.parse().ok(),
            3 => flags = field.number()?,
            4 => sound = field.number().map(decode_sound),
            _ => (),
        }
    }
    Some(Aim {
        rtp: rtp?,
        rtcp: rtcp?,
        mux: flags & 1 != 0,
        receives: flags & 2 != 0,
        rejected: flags & 4 != 0,
        sound,
    })
}
