//! The media of two legs: offer and answer run through us, so that each side talks to our ports.
//!
//! Picture     offer of one side --rewrite--> the other; answer --rewrite--> back; Open and Aim to the pump.
//!             browser --its path's part taken off--> plain form --another path's part put on--> browser
//!             phone with keys --its keys taken out--> plain form --keys put in--> phone with keys
//! Rules       Section n of one side is section n of the other. Ports stay for the life of the pair: a re-INVITE
//!             changes aims, not ports. A failed change puts the aims back (RFC 6141). Who describes himself as a browser
//!             has a path of his own to us, whatever the other side is; who is not known yet gets a description for
//!             either. Keys in descriptions are ours to end wherever the two sides do not both have them, or somebody
//!             must hear the call (keyring). What is keyed by a handshake without a path passes between phones and never
//!             to a browser. Two sides that share no codec are turned into each other (sound); everything else passes.
//! Limits      SECTIONS_MAX sections; two ports each.
//! Not here    When to offer (rooms), packets (media).
//! Spec        RFC 3264 §5 to §8, RFC 4566.

use std::net::SocketAddr;

use media::{Command, Shield, Side, StreamKey, Voice};
use sdp::keys::Manner;
use types::{BridgeId, Refuse, SessionId, Verdict};

use crate::RefusalRow;
use crate::browser::{Path, Turn};
use crate::effects::Effects;
use crate::keyring::{self, Habit, Ring};
use crate::sound::{self, Outcome};

mod hold;
mod saved;

use saved::{decode_habit, decode_path};
pub(crate) use saved::{decode_told, encode_told};

/// Sections that one description may have.
pub const SECTIONS_MAX: usize = 16;

/// Where a side of one section wants its packets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Aim {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    mux: bool,
    receives: bool,
    /// It says that it sends nothing.
    is_mute: bool,
    rejected: bool,
    /// What it can be sent of what can be mixed or turned.
    sound: Option<sdp::PlainSound>,
    /// Of a browser: how its packets are known on its path.
    web: Option<WebAim>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WebAim {
    /// Payload types.
    types: Vec<u8>,
    /// One source is enough: it is no picture.
    is_sound: bool,
}

/// Aims, paths and keys of both sides.
type Ends = ([Vec<Aim>; 2], [Option<Path>; 2], [Ring; 2]);

/// A description as it is worked on.
struct Heard {
    /// Its plain form; `None` when it came so.
    plain: Option<Vec<u8>>,
    /// It is a browser's.
    is_web: bool,
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
    /// Of sides that are browsers.
    paths: [Option<Path>; 2],
    /// Keys of phones.
    rings: [Ring; 2],
    /// Keys must not pass from end to end: descriptions of this pair are said again to somebody else.
    ends_keys: bool,
    /// What a side that is not known yet was offered in case that it is a browser.
    offered: Option<Path>,
    /// The pump knows a path or keys of this side.
    shielded: [bool; 2],
    /// The port that many share, by side and section; 0: its own.
    shares: [Vec<u16>; 2],
    /// Whose packets will come from where his signalling comes from, though he has said nothing yet.
    direct: [bool; 2],
    /// Aims, paths and keys before the offer that is open now.
    before: Option<Ends>,
    open: Vec<bool>,
    /// Offers are narrowed to sound that can be mixed, since somebody may listen or join.
    plain: bool,
    /// The section that others listen to.
    mixed: Option<u8>,
    /// What the offer that is open now has of ours, by section.
    added: Vec<Vec<sdp::PlainFormat>>,
    /// Sections whose sides share no codec, a bit for each.
    turned: u32,
    /// Sections of which the pump was told what both sides can be sent, a bit for each.
    taken: u32,
    /// Who is kept waiting hears something of ours.
    entertains: bool,
    /// Keys that pass are used by us, too.
    opened: bool,
}

/// Why a description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The description is malformed, or names an address that cannot be a target.
    #[error("the session description cannot be used")]
    BadDescription,
    /// A browser calls, or is called, and there is no port for browsers.
    #[error("this server has no port for the media of browsers")]
    NoDoor,
    /// No RTP ports are left.
    #[error("no media ports are free")]
    NoPorts,
    /// Media is protected in a way that only another phone could undo, or by a suite that is not ours.
    #[error("the media of the two sides is encrypted in ways that do not meet")]
    OtherKeys,
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        let row = match self {
            Self::BadDescription => ROWS.first(),
            Self::NoPorts => ROWS.get(1),
            Self::NoDoor => ROWS.get(2),
            Self::OtherKeys => ROWS.get(3),
        };
        row.map_or(FALLBACK.verdict, |row| row.verdict)
    }
}

const FALLBACK: &RefusalRow = &ROWS[0];

/// The rows for help pages.
pub const ROWS: &[RefusalRow] = &[
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.bad_description",
            number: 1012,
            sip: 488,
            http: 400,
            fix: "send SDP with reachable addresses and ports, at most 16 media sections",
        },
        sentence: "The session description cannot be used.",
        page: "The description is malformed, has no media section or more than 16, or names an address that cannot be a target: multicast, broadcast, or loopback where the server is not on loopback.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.no_ports",
            number: 1013,
            sip: 503,
            http: 503,
            fix: "widen `media.ports`: a call with one audio stream takes four ports",
        },
        sentence: "No media ports are free.",
        page: "All ports of `media.ports` are in use, or rest after use.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.no_browsers",
            number: 1014,
            sip: 488,
            http: 503,
            fix: "set `media.webrtc` to a UDP address that browsers reach",
        },
        sentence: "This server has no port for the media of browsers.",
        page: "A browser calls or answered, and `media.webrtc` is empty. Phones without WebRTC are not concerned.",
    },
    RefusalRow {
        verdict: Verdict {
            code: "switchboard.other_keys",
            number: 1015,
            sip: 488,
            http: 409,
            fix: "let the phone offer SRTP with keys in its description (AES_CM_128_HMAC_SHA1_80 or AEAD_AES_128_GCM), or plain RTP",
        },
        sentence: "The media of the two sides is encrypted in ways that do not meet.",
        page: "A phone's media is encrypted by a handshake without ICE, which only another phone could take part in, and the other side is a browser; or the lines `a=crypto` of its description name no suite of ours, and the other side has no keys. Between two phones that share such a way media passes from end to end.",
    },
];

impl Pair {
    /// A pair without any section yet.
    pub fn new(session: SessionId, effects: &mut Effects<'_>) -> Self {
        let bridge = effects.bridge(session);
        // Numbers that fit into 31 bits: some phones read o= as signed.
        let mut told = || Told { session: effects.rng().next_u64() >> 33, version: 1, hash: 0 };
        Self::without_media(bridge, [told(), told()])
    }

    /// Nothing is described yet.
    fn without_media(bridge: BridgeId, told: [Told; 2]) -> Self {
        Self {
            bridge,
            ports: Vec::new(),
            told,
            aims: [Vec::new(), Vec::new()],
            paths: [None, None],
            rings: Default::default(),
            ends_keys: false,
            offered: None,
            shielded: [false; 2],
            shares: [Vec::new(), Vec::new()],
            direct: [false; 2],
            before: None,
            open: Vec::new(),
            plain: false,
            mixed: None,
            added: Vec::new(),
            turned: 0,
            taken: 0,
            entertains: false,
            opened: false,
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
        let place = self.place_of(|sound| sound.alone)?;
        self.mix_at(place, effects)
    }

    /// What both sides say can be heard from now on by us, and they can hear something of ours, as long as they use what
    /// they agreed on as the best. `None` as of [`mix`](Self::mix).
    pub fn take_apart(&mut self, effects: &mut Effects<'_>) -> Option<StreamKey> {
        let place = self.hearable()?;
        self.mix_at(place, effects)
    }

    fn mix_at(&mut self, place: usize, effects: &mut Effects<'_>) -> Option<StreamKey> {
        self.open_keys(effects).then_some(())?;
        self.mixed = Some(place as u8);
        self.take_part(effects);
        Some(StreamKey { bridge: self.bridge, index: place as u8 })
    }

    /// Tells the pump what both sides can be sent, where it has to make it.
    fn take_part(&mut self, effects: &mut Effects<'_>) {
        let [a, b] = &self.aims;
        for (place, (a, b)) in a.iter().zip(b).enumerate() {
            let index = place as u8;
            let turned = self.is_turned(place);
            // What was turned and passes again has to be said, too.
            if !turned && self.mixed != Some(index) && self.taken >> place & 1 == 0 {
                continue;
            }
            self.taken |= 1 << place;
            let stream = StreamKey { bridge: self.bridge, index };
            for (side, own, other) in [(Side::A, a, b), (Side::B, b, a)] {
                let known = own.sound.as_ref();
                let sound = known.and_then(|own| sound::sound(own, other.sound.as_ref(), turned));
                let chance = effects.rng().next_u64();
                let (seat, voice) = (side.into(), Voice::All);
                effects.media(Command::Take { stream, seat, sound, voice, chance });
            }
        }
    }

    /// Whether the two sides of a section share no codec.
    fn is_turned(&self, place: usize) -> bool {
        self.turned >> place & 1 == 1
    }

    /// What the offer of one side says, with the codecs of ours that the other may need.
    fn widen(
        &mut self,
        from: Side,
        sdp: &[u8],
        session: &sdp::Session<'_>,
        amr: sdp::AmrKnown,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let known = self.aims.get(from.other().index());
        let plan = session.media.iter().enumerate().map(|(place, section)| {
            let known = known.and_then(|aims| aims.get(place)?.sound.as_ref());
            sound::widen(section, known, amr).filter(|_| section.port != 0)
        });
        let plan: Vec<Option<sdp::Reformat>> = plan.collect();
        let added = |change: &Option<sdp::Reformat>| {
            change.as_ref().map_or(Vec::new(), |change| change.added.clone())
        };
        self.added = plan.iter().map(added).collect();
        if plan.iter().all(Option::is_none) {
            return Ok(None);
        }
        sdp::reformat(sdp, session, &plan).map(Some).map_err(|_| Refusal::BadDescription)
    }

    /// Takes what one side answered to what was offered: which sections are turned, and what the other is told in
    /// place of the answer.
    fn agree(
        &mut self,
        from: Side,
        session: &sdp::Session<'_>,
        amr: sdp::AmrKnown,
    ) -> Vec<Option<sdp::Reformat>> {
        let mut plan = Vec::new();
        let added = std::mem::take(&mut self.added);
        for (place, section) in session.media.iter().enumerate() {
            let offered = self.aims.get_mut(from.other().index());
            let mut offered = offered.and_then(|aims| aims.get_mut(place));
            // The answer says what comes, however much was offered.
            if let Some(sound) = offered.as_mut().and_then(|aim| aim.sound.as_mut()) {
                sound.leads = sdp::plain_sound(section, amr).is_some_and(|answered| answered.leads);
            }
            let known = offered.as_ref().and_then(|aim| aim.sound);
            let ours = added.get(place).map(Vec::as_slice).unwrap_or_default();
            self.turned &= !(1 << place);
            plan.push(match sound::outcome(known.as_ref(), ours, section, amr) {
                Outcome::Passes(narrowed) => narrowed,
                Outcome::Turned { offered: spoken, told } => {
                    if let Some(aim) = offered {
                        aim.sound = Some(*spoken);
                    }
                    self.turned |= 1 << place;
                    Some(told)
                }
            });
        }
        self.added = added; // A second answer, of another phone that rang, is judged by the same.
        plan
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
        pair.entertains = self.entertains;
        pair.ends_keys = true;
        pair.rings[stays.index()] = Ring::of(self.rings[stays.index()].habit);
        pair.rings[stays.other().index()] = Ring::of(decode_habit(told));
        pair.told[stays.index()] = self.told[stays.index()].clone();
        pair.paths[stays.index()] = self.paths[stays.index()].clone();
        let known = decode_told(told);
        if known.hash != 0 {
            pair.told[stays.other().index()] = known;
        }
        pair.paths[stays.other().index()] = decode_path(told);
        pair
    }

    /// A side is a browser, though it has said nothing yet: what it is offered is for browsers alone.
    pub fn expect_browser(&mut self, side: Side, effects: &mut Effects<'_>) {
        let path = || Path::new(effects.rng());
        self.paths[side.index()].get_or_insert_with(path);
    }

    /// A side that has said nothing yet is no browser, and sends from where its signalling comes from: it may be offered
    /// the port that many share.
    pub fn expect_direct(&mut self, side: Side) {
        self.direct[side.index()] = true;
    }

    /// The port that a side of a section is told: shared or its own.
    fn told_port(&self, side: Side, place: usize) -> Option<u16> {
        let own = self.ports.get(place).copied().flatten()?[side.index()];
        let shared = self.shares[side.index()].get(place).copied().filter(|by| *by != 0);
        Some(shared.unwrap_or(own))
    }

    /// Before a side hears a description: sections where it is told from all others go by the port that many share, if they
    /// do already or are new; those where it is not go by their own.
    fn share(&mut self, side: Side, effects: &mut Effects<'_>) {
        for (place, ports) in self.ports.iter().enumerate() {
            let Some(ports) = ports else { continue };
            let port = ports[side.index()];
            let open = self.open.get(place).copied().unwrap_or_default();
            let shares = &mut self.shares[side.index()];
            if shares.len() <= place {
                shares.resize(place + 1, 0);
            }
            let Some(share) = shares.get_mut(place).filter(|by| **by != 0 || !open) else {
                continue;
            };
            let aim = self.aims[side.index()].get(place);
            let by = match aim {
                _ if self.paths[side.index()].is_some() => None,
                Some(aim) if aim.rejected => None,
                Some(aim) => effects.share(port, Some(aim.rtp)),
                None if self.direct[side.index()] => effects.share(port, None),
                None => None,
            };
            let by = by.unwrap_or(0);
            if by != *share && open {
                effects.media(Command::Share { port, by });
            }
            *share = by;
        }
    }

    /// A side that was offered the port that many share has said where it is. What cannot be told from others there hears
    /// another port with the next description.
    fn settle_shares(&self, side: Side, effects: &mut Effects<'_>) {
        let places = self.shares[side.index()].iter().zip(&self.ports);
        for ((by, ports), aim) in places.zip(&self.aims[side.index()]) {
            if let Some(ports) = ports.filter(|_| *by != 0) {
                effects.share(ports[side.index()], Some(aim.rtp));
            }
        }
    }

    /// What [`offer`](Self::offer) gave for a side that is not known yet, for the browsers among its devices. `None`
    /// when the side is known, or what it shall hear cannot be for browsers.
    pub fn for_browsers(
        &mut self,
        to: Side,
        plain: &[u8],
        effects: &mut Effects<'_>,
    ) -> Option<Vec<u8>> {
        let door = effects.door().filter(|_| self.paths[to.index()].is_none())?;
        has_no_keys(&sdp::Session::decode(plain).ok()?).then_some(())?;
        let rng = effects.rng();
        let path = self.offered.get_or_insert_with(|| Path::new(rng));
        path.dress(Turn::Offer, plain, &door, rng)
    }

    /// Takes the answer of one side when the other need not hear of it: packets pass.
    pub fn settle(
        &mut self,
        from: Side,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let heard = self.hear(from, Turn::Answer, sdp, effects)?;
        let sdp = heard.plain.as_deref().unwrap_or(sdp);
        let session = described(sdp)?;
        let aims = aims(&session, heard.is_web, effects)?;
        if let Some(place) = self.aims.get_mut(from.index()) {
            *place = aims;
        }
        self.settle_shares(from, effects);
        self.agree(from, &session, effects.amr());
        keyring::settle(&mut self.rings[from.index()], effects.rng())?;
        self.aim(effects);
        self.before = None;
        Ok(())
    }

    /// The same offer for a phone that is reached in private, where the side that makes it takes no media without keys.
    /// `None` when it does, or the other side is known.
    pub fn demanding(&self, to: Side, offer: &[u8]) -> Option<Vec<u8>> {
        let demands = self.rings[to.other().index()].habit == Habit::Keyed(Manner::Strict);
        let unknown = self.rings[to.index()].habit == Habit::Unknown;
        if demands && unknown { sdp::keys::strict(offer) } else { None }
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
        let before = (self.aims.clone(), self.paths.clone(), self.rings.clone());
        let heard = self.hear(from, Turn::Offer, sdp, effects)?;
        let sdp = heard.plain.as_deref().unwrap_or(sdp);
        let narrowed = if self.plain { sdp::only_plain(sdp, effects.amr()).ok() } else { None };
        let sdp = narrowed.as_deref().unwrap_or(sdp);
        let session = described(sdp)?;
        let aims = aims(&session, heard.is_web, effects)?;
        while self.ports.len() < aims.len() {
            self.ports.push(None);
            self.open.push(false);
        }
        for (aim, ports) in aims.iter().zip(&mut self.ports) {
            if ports.is_none() && !aim.rejected {
                *ports = Some(effects.ports().ok_or(Refusal::NoPorts)?);
            }
        }
        self.before.get_or_insert(before);
        let rejected: Vec<bool> = aims.iter().map(|aim| aim.rejected).collect();
        if let Some(place) = self.aims.get_mut(from.index()) {
            *place = aims;
        }
        self.share(from.other(), effects);
        match self.widen(from, sdp, &session, effects.amr())? {
            Some(wider) => {
                let session = described(&wider)?;
                self.rewrite(from.other(), Turn::Offer, (&wider, &session), &rejected, effects)
            }
            None => self.rewrite(from.other(), Turn::Offer, (sdp, &session), &rejected, effects),
        }
    }

    /// Takes the answer of one side; gives the answer for the other, and lets packets pass.
    pub fn answer(
        &mut self,
        from: Side,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let heard = self.hear(from, Turn::Answer, sdp, effects)?;
        let sdp = heard.plain.as_deref().unwrap_or(sdp);
        let session = described(sdp)?;
        let aims = aims(&session, heard.is_web, effects)?;
        let rejected: Vec<bool> = aims.iter().map(|aim| aim.rejected).collect();
        if let Some(place) = self.aims.get_mut(from.index()) {
            *place = aims;
        }
        let plan = self.agree(from, &session, effects.amr());
        let turned = self.turned;
        let (answered, asked) = of_both(&mut self.rings, from);
        let turned = |place: usize| turned >> place & 1 == 1;
        answered.take_second(&effects.keys().seal);
        keyring::agree(answered, asked, turned, self.opened, effects.rng())?;
        self.settle_shares(from, effects);
        self.share(from.other(), effects);
        let told = if plan.iter().any(Option::is_some) {
            let told = sdp::reformat(sdp, &session, &plan).map_err(|_| Refusal::BadDescription)?;
            let session = described(&told)?;
            self.rewrite(from.other(), Turn::Answer, (&told, &session), &rejected, effects)?
        } else {
            self.rewrite(from.other(), Turn::Answer, (sdp, &session), &rejected, effects)?
        };
        self.aim(effects);
        self.before = None;
        Ok(told)
    }

    /// The change that was offered failed: everything stays as it was.
    pub fn rollback(&mut self, effects: &mut Effects<'_>) {
        if let Some((aims, paths, rings)) = self.before.take() {
            (self.aims, self.paths, self.rings) = (aims, paths, rings);
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

    /// Takes from a description what it says of the path of a browser, or of the keys of a phone.
    fn hear(
        &mut self,
        from: Side,
        turn: Turn,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<Heard, Refusal> {
        let session = described(sdp)?;
        let Some(browser) = sdp::web::browser(&session) else {
            self.paths[from.index()] = None;
            let plain = self.rings[from.index()].hear(sdp, &session)?;
            return Ok(Heard { plain, is_web: false });
        };
        self.rings[from.index()].clear();
        effects.door().ok_or(Refusal::NoDoor)?;
        let address = effects.media_address();
        let rng = effects.rng();
        let begun = || self.offered.clone().unwrap_or_else(|| Path::new(rng));
        let mut path = self.paths[from.index()].clone().unwrap_or_else(begun);
        path.hear(turn, browser, effects.rng());
        self.paths[from.index()] = Some(path);
        let plain = sdp::web::undress(sdp, address).map_err(|_| Refusal::BadDescription)?;
        Ok(Heard { plain: Some(plain), is_web: true })
    }

    /// The description of one side as the other gets it, with our ports and our version.
    fn rewrite(
        &mut self,
        to: Side,
        turn: Turn,
        (sdp, session): (&[u8], &sdp::Session<'_>),
        rejected: &[bool],
        effects: &mut Effects<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let ports = rejected
            .iter()
            .enumerate()
            .map(|(place, rejected)| self.told_port(to, place).filter(|_| !rejected));
        let ports = ports.collect();
        let turns = self.directions(to, turn, session);
        let told = &mut self.told[to.index()];
        let address = effects.media_address();
        let mut plan = sdp::Relay { session: told.session, version: told.version, address, ports };
        let slots = effects.keys().slots;
        let protected = self.paths[to.other().index()].is_some();
        let path = &mut self.paths[to.index()];
        if path.is_some() && !has_no_keys(session) {
            return Err(Refusal::OtherKeys);
        }
        let how = (protected, self.plain || self.ends_keys);
        let (ring, other) = of_both(&mut self.rings, to);
        let mut written = |plan: &sdp::Relay| {
            let mut out =
                sdp::relay_decoded(sdp, session, plan).map_err(|_| Refusal::BadDescription)?;
            if let Some(turns) = &turns {
                out = sdp::directed(&out, turns).map_err(|_| Refusal::BadDescription)?;
            }
            let Some(path) = path else {
                let keyed = ring.dress(&out, other, turn == Turn::Offer, how, effects.rng())?;
                return Ok(keyed.unwrap_or(out));
            };
            let door = effects.door().ok_or(Refusal::NoDoor)?;
            path.dress(turn, &out, &door, effects.rng()).ok_or(Refusal::BadDescription)
        };
        let out = written(&plan)?;
        let hash = slots.hash_bytes(&out) | 1;
        if told.hash == 0 || told.hash == hash {
            told.hash = hash;
            return Ok(out);
        }
        told.version += 1;
        plan.version = told.version;
        let out = written(&plan)?;
        told.hash = slots.hash_bytes(&out) | 1;
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
                for (side, port) in Side::BOTH.into_iter().zip(ports) {
                    let by = self.shares[side.index()].get(place).copied().unwrap_or(0);
                    if by != 0 {
                        effects.media(Command::Share { port, by });
                    }
                }
                effects.media(Command::Open { stream, ports });
            }
            let mux = a.mux && b.mux;
            for (side, aim) in [(Side::A, a), (Side::B, b)] {
                let rtcp = if mux { aim.rtp } else { aim.rtcp };
                let (rtp, receives) = (aim.rtp, aim.receives);
                effects.media(Command::Aim { stream, seat: side.into(), rtp, rtcp, receives });
                let keys = self.rings[side.index()].agreed(place);
                let shield = match (&self.paths[side.index()], &aim.web) {
                    (Some(path), Some(web)) => path.shield(&web.types),
                    (Some(path), None) => path.shield(&[]),
                    (None, _) if keys.is_some() => keys.cloned().map(Box::new).map(Shield::Keys),
                    (None, _) if self.shielded[side.index()] => Some(Shield::Bare),
                    (None, _) => None,
                };
                if let Some(shield) = shield {
                    let is_sound = aim.web.as_ref().is_some_and(|web| web.is_sound);
                    // Under a key of ours nothing has a number that it had before.
                    let own = is_sound || matches!(shield, Shield::Keys(_));
                    let chance = own.then(|| effects.rng().next_u64());
                    let seat = side.into();
                    effects.media(Command::Shield { stream, seat, shield, chance });
                }
            }
        }
        let (sections, key) = (self.aims[0].len(), effects.keys().seal);
        for side in Side::BOTH {
            let ring = &mut self.rings[side.index()];
            ring.keep(&key, effects.rng());
            let keyed = (0..sections).any(|place| ring.agreed(place).is_some());
            self.shielded[side.index()] = keyed || self.paths[side.index()].is_some();
        }
        self.take_part(effects);
    }
}

/// One of two, and the other.
fn of_both(rings: &mut [Ring; 2], one: Side) -> (&mut Ring, &mut Ring) {
    let [a, b] = rings;
    match one {
        Side::A => (a, b),
        Side::B => (b, a),
    }
}

/// Whether no section is keyed from end to end: such a one passes to phones only.
fn has_no_keys(session: &sdp::Session<'_>) -> bool {
    let plain = [&b"RTP/AVP"[..], b"RTP/AVPF"];
    session
        .media
        .iter()
        .filter(|section| section.is_rtp() && section.port != 0)
        .all(|section| plain.iter().any(|known| known.eq_ignore_ascii_case(section.protocol)))
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
fn aims(
    session: &sdp::Session<'_>,
    is_web: bool,
    effects: &Effects<'_>,
) -> Result<Vec<Aim>, Refusal> {
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
            is_mute: !aim.sends,
            rejected: aim.rejected || !aim.is_rtp,
            sound: sdp::plain_sound(section, effects.amr()),
            web: is_web.then(|| WebAim {
                types: types(section),
                is_sound: section.kind == sdp::Kind::Audio,
            }),
        })
    });
    let mut aims = aims.collect::<Option<Vec<_>>>().ok_or(Refusal::BadDescription)?;
    // It lives as long as its call, and most have one section: room for four more was reserved.
    aims.shrink_to_fit();
    Ok(aims)
}

/// The payload types of a section.
fn types(section: &sdp::Section<'_>) -> Vec<u8> {
    let number = |format: &&[u8]| std::str::from_utf8(format).ok()?.parse().ok();
    section.formats.iter().filter_map(number).collect()
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
