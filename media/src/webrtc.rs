//! Browsers: one port for all of them, on which each has a path that it proved to be its own.
//!
//! Picture     Named --proved check--> Reached --handshake--> Keyed --no check for CONSENT_MAX--> Lost
//!             Keyed --goodbye--> Left --a new path--> Named, or in CONSENT_MAX Lost
//!             datagram --> check: answered | handshake: its machine | media: opened, and the leg that it is for
//! Rules       A path is named by our user fragment; addresses belong to it once a check with our password came from
//!             there. Media goes to the address that the browser chose. The handshake's certificate must be the one
//!             that the description promised, else no key of it is used. One path may carry several sections; their
//!             payload types tell packets apart, control follows its source. A path that is led to another stream
//!             keeps its keys. Whoever gives no sign of life for [`CONSENT_MAX`] is sent nothing more.
//! Limits      [`CONSENT_MAX`]; [`ADDRESSES_MAX`] and SOURCES_MAX for each path: the oldest is forgotten.
//! Not here    What descriptions say (proto/sdp, switchboard), the octets of checks (proto/stun) and of sealed packets
//!             (proto/srtp), the handshake itself: crate `dimpl`, which only this file and a test of `shell/media_io`
//!             name, brings its own clock type and its own randomness.
//! Spec        RFC 8445 §2.5 (lite), RFC 7675, RFC 5764, RFC 8122 §5, RFC 9143 §9.2.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use dimpl::{Config, Dtls, DtlsCertificate, KeyingMaterial, Output, SrtpProfile};
use sha2::{Digest, Sha256};
use srtp::{Opener, Sealer, Suite};
use stun::Check;
use types::Instant;

use crate::outbox::Outbox;
use crate::rtp::{Header, Kind};
use crate::words::{Event, Loss, Seat, StreamKey, Web};

/// How long a browser may give no sign of life.
///
/// Spec: RFC 7675 §5.1
pub const CONSENT_MAX: Duration = Duration::from_secs(30);

/// Addresses of one browser that are known at once.
pub const ADDRESSES_MAX: usize = 8;

/// Sources whose section is known, so that control finds it.
const SOURCES_MAX: usize = 16;

/// Octets of one datagram of a handshake.
const FLIGHT_MAX: usize = 2048;

/// Who we are to browsers, for as long as the process lives.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its key, PKCS #8 DER.
    pub key: Vec<u8>,
}

impl Identity {
    /// SHA-256 of the certificate, as descriptions name it.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Stands in addresses that only name a connection, and in none that a datagram comes from.
const STREAM: u32 = 0xca11;

/// An address that names a connection of a browser over TCP: where it comes from, and its number.
pub(crate) fn over_stream(from: SocketAddr, connection: u32) -> SocketAddr {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, from.port(), STREAM, connection).into()
}

/// The connection over TCP by which a datagram to this address shall go, if it is no address of datagrams.
pub fn connection(to: SocketAddr) -> Option<u32> {
    match to {
        SocketAddr::V6(to) if to.flowinfo() == STREAM => Some(to.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => None,
    }
}

/// The door that all browsers come by.
#[derive(Debug)]
struct Door {
    port: u16,
    config: Arc<Config>,
    certificate: DtlsCertificate,
    /// What `Instant` zero is on the clock of the handshakes.
    epoch: Clock,
}

/// All paths.
#[derive(Debug, Default)]
pub(crate) struct Browsers {
    door: Option<Door>,
    paths: Vec<Option<Box<Path>>>,
    by_ufrag: BTreeMap<String, usize>,
    by_address: BTreeMap<SocketAddr, usize>,
    /// By the port that the leg would have if it was no browser.
    by_leg: BTreeMap<u16, usize>,
    /// When the first of them wants [`tick`](Self::tick).
    due: Option<Instant>,
}

struct Path {
    web: Web,
    legs: Vec<Place>,
    addresses: Vec<SocketAddr>,
    /// Where the browser wants its media.
    chosen: Option<SocketAddr>,
    heard: Instant,
    wake: Option<Instant>,
    state: State,
    /// Whose packets belong to which leg.
    sources: Vec<(u32, u16)>,
    /// Since when it leads nowhere.
    left: Option<Instant>,
}

/// A leg at the end of a path.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub stream: StreamKey,
    pub seat: Seat,
    pub port: u16,
    types: Vec<u8>,
}

enum State {
    /// It has said goodbye, as a page does that goes: for good, or to be loaded again and to come by a new path.
    Left,
    Lost,
    Named,
    Reached(Box<Handshake>),
    Keyed(Box<Handshake>, Box<(Sealer, Opener)>),
}

struct Handshake {
    dtls: Dtls,
    /// Its certificate is the promised one.
    proven: bool,
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path").field("web", &self.web).field("chosen", &self.chosen).finish()
    }
}

/// What came of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is dealt with, or from a stranger.
    Done,
    /// A packet for a leg, opened in its place: this many octets.
    Media { port: u16, length: usize },
    /// It proved nothing, though it came from where this leg is.
    Refused { port: u16 },
}

impl Browsers {
    /// Browsers come by `port` from now on.
    pub(crate) fn open(&mut self, port: u16, identity: Identity, epoch: Clock) {
        let Identity { certificate, key } = identity;
        let certificate = DtlsCertificate { certificate, private_key: key };
        let config = Arc::new(Config::default());
        self.door = Some(Door { port, config, certificate, epoch });
    }

    /// Whether this port is theirs.
    pub(crate) fn is_door(&self, port: u16) -> bool {
        self.door.as_ref().is_some_and(|door| door.port == port)
    }

    /// Whether the leg of this port is a browser.
    pub(crate) fn has(&self, port: u16) -> bool {
        !self.by_leg.is_empty() && self.by_leg.contains_key(&(port & !1))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// A leg is at the end of this path. Where the same section of the path led before, if elsewhere.
    pub(crate) fn lead(
        &mut self,
        (stream, seat, port): (StreamKey, Seat, u16),
        web: Web,
        now: Instant,
    ) -> Option<Place> {
        let own = self.by_leg.get(&port).copied();
        let known = self.by_ufrag.get(&web.ufrag).copied().or(own);
        let place = match known {
            Some(place) => place,
            None => self.begin(web.clone(), now),
        };
        if own.is_some_and(|own| own != place) {
            self.forget(port, now);
        }
        let path = self.paths.get_mut(place)?.as_deref_mut()?;
        if path.web.ufrag != web.ufrag {
            self.by_ufrag.remove(&path.web.ufrag);
            self.by_ufrag.insert(web.ufrag.clone(), place);
        }
        let gone = matches!(path.state, State::Left | State::Lost);
        if path.web.fingerprint != web.fingerprint || gone {
            path.state = State::Named;
            path.heard = now;
        }
        let types = web.types.clone();
        (path.web, path.left) = (web, None);
        let led = |leg: &Place| leg.stream.index == stream.index || leg.port == port;
        let before = path.legs.iter().position(led).map(|at| path.legs.swap_remove(at));
        if let Some(before) = &before {
            self.by_leg.remove(&before.port);
            path.sources.retain(|(_, port)| *port != before.port);
        }
        path.legs.push(Place { stream, seat, port, types });
        self.by_leg.insert(port, place);
        self.want(now + CONSENT_MAX);
        before.filter(|before| before.port != port)
    }

    fn begin(&mut self, web: Web, now: Instant) -> usize {
        let vacant = self.paths.iter().position(Option::is_none);
        let place = vacant.unwrap_or_else(|| {
            self.paths.push(None);
            self.paths.len() - 1
        });
        self.by_ufrag.insert(web.ufrag.clone(), place);
        let path = Path {
            web,
            legs: Vec::new(),
            addresses: Vec::new(),
            chosen: None,
            heard: now,
            wake: None,
            state: State::Named,
            sources: Vec::new(),
            left: None,
        };
        if let Some(vacant) = self.paths.get_mut(place) {
            *vacant = Some(Box::new(path));
        }
        place
    }

    /// The leg of this port is gone, or no browser any more. Its path may be led elsewhere yet: it ends when nobody
    /// has done so within [`CONSENT_MAX`].
    pub(crate) fn forget(&mut self, port: u16, now: Instant) {
        let Some(place) = self.by_leg.remove(&port) else { return };
        let Some(Some(path)) = self.paths.get_mut(place) else { return };
        path.legs.retain(|leg| leg.port != port);
        path.sources.retain(|(_, known)| *known != port);
        if path.legs.is_empty() {
            path.left = Some(now);
            self.want(now + CONSENT_MAX);
        }
    }

    /// The leg of this port sits elsewhere now.
    pub(crate) fn carried(&mut self, port: u16, (stream, seat): (StreamKey, Seat)) {
        let place = self.by_leg.get(&port).copied();
        let path = place.and_then(|place| self.paths.get_mut(place)?.as_mut());
        let leg = path.and_then(|path| path.legs.iter_mut().find(|leg| leg.port == port));
        if let Some(leg) = leg {
            (leg.stream, leg.seat) = (stream, seat);
        }
    }

    /// Nobody wants this path any more.
    fn end(&mut self, place: usize) {
        let Some(path) = self.paths.get_mut(place).and_then(Option::take) else { return };
        for address in &path.addresses {
            self.by_address.remove(address);
        }
        self.by_ufrag.remove(&path.web.ufrag);
    }

    /// A datagram that came in by the door.
    pub(crate) fn packet(
        &mut self,
        from: SocketAddr,
        bytes: &mut [u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Arrival {
        if stun::is_stun(bytes) {
            self.check(from, bytes, now, out);
            return Arrival::Done;
        }
        let Some(place) = self.by_address.get(&from).copied() else { return Arrival::Done };
        let Some(Some(path)) = self.paths.get_mut(place) else { return Arrival::Done };
        match Kind::of(bytes) {
            Some(Kind::Dtls) => {
                self.shake(place, Some((from, bytes)), now, out);
                Arrival::Done
            }
            Some(kind) => path.open(kind, bytes),
            None => path.refused(),
        }
    }

    /// Answers a connectivity check, and learns from it where the browser is.
    fn check(&mut self, from: SocketAddr, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let (Ok(check), Some(door)) = (Check::decode(bytes), &self.door) else { return };
        let Some(place) = self.by_ufrag.get(check.ours).copied() else { return };
        let Some(Some(path)) = self.paths.get_mut(place) else { return };
        let gone = matches!(path.state, State::Left | State::Lost);
        if gone || check.theirs != path.web.peer || !check.is_by(&path.web.password) {
            return;
        }
        let mut answer = out.room();
        let seen = SocketAddr::new(from.ip().to_canonical(), from.port());
        check.answer(seen, &path.web.password, &mut answer);
        out.push(door.port, from, answer);
        path.heard = now;
        if !path.addresses.contains(&from) {
            if path.addresses.len() >= ADDRESSES_MAX {
                let oldest = path.addresses.remove(0);
                self.by_address.remove(&oldest);
            }
            path.addresses.push(from);
            if let Some(other) = self.by_address.insert(from, place)
                && other != place
                && let Some(Some(other)) = self.paths.get_mut(other)
            {
                other.addresses.retain(|known| *known != from);
            }
        }
        let Some(Some(path)) = self.paths.get_mut(place) else { return };
        if check.nominates || path.chosen.is_none_or(|chosen| !path.addresses.contains(&chosen)) {
            path.chosen = Some(from);
        }
        if matches!(path.state, State::Named) {
            let mut dtls =
                Dtls::new_auto(Arc::clone(&door.config), door.certificate.clone(), door.at(now));
            dtls.set_active(path.web.active);
            path.state = State::Reached(Box::new(Handshake { dtls, proven: false }));
            self.shake(place, None, now, out);
        }
    }

    /// Gives the handshake of a path what came, or the time alone, and sends what it says.
    fn shake(
        &mut self,
        place: usize,
        came: Option<(SocketAddr, &[u8])>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let (Some(Some(path)), Some(door)) = (self.paths.get_mut(place), &self.door) else {
            return;
        };
        let to = came.map(|(from, _)| from).or(path.chosen);
        let Some(wake) = path.shake(door, came.map(|(_, bytes)| bytes), now, |flight| {
            if let Some(to) = to {
                let mut datagram = out.room();
                datagram.extend_from_slice(flight);
                out.push(door.port, to, datagram);
            }
        }) else {
            // Said when the next tick looks, since this may run amid packets.
            path.wake = Some(now);
            self.want(now);
            return;
        };
        path.wake = Some(wake);
        self.want(wake);
    }

    fn want(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Seals a packet for the browser at this leg, and sends it.
    pub(crate) fn send(&mut self, port: u16, packet: &[u8], out: &mut Outbox) {
        let place = self.by_leg.get(&(port & !1)).copied();
        let path = place.and_then(|place| self.paths.get_mut(place)?.as_deref_mut());
        let (Some(path), Some(door)) = (path, &self.door) else { return };
        let (Some(to), State::Keyed(_, keys)) = (path.chosen, &mut path.state) else { return };
        let mut sealed = out.room();
        sealed.extend_from_slice(packet);
        let done = match Kind::of(packet) {
            Some(Kind::Rtp) => keys.0.seal_rtp(&mut sealed).is_ok(),
            Some(Kind::Rtcp) => keys.0.seal_rtcp(&mut sealed).is_ok(),
            Some(Kind::Dtls) | None => false,
        };
        if !done {
            sealed.clear(); // The box keeps the memory and sends nothing.
        }
        out.push(door.port, to, sealed);
    }

    /// Lets handshakes repeat what was lost, and tells of paths that are gone.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Outbox, mut tell: impl FnMut(Event)) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        for place in 0..self.paths.len() {
            let path = |paths: &Self| paths.paths.get(place)?.as_deref()?.wake;
            if path(self).is_some_and(|wake| wake <= now) {
                self.shake(place, None, now, out);
            }
            let Some(Some(path)) = self.paths.get_mut(place) else { continue };
            if let Some(left) = path.left {
                if left + CONSENT_MAX <= now {
                    self.end(place);
                } else {
                    self.want(left + CONSENT_MAX);
                }
                continue;
            }
            let failed = matches!(&path.state, State::Lost) && path.wake.is_some();
            let silent = path.heard + CONSENT_MAX <= now && !matches!(path.state, State::Lost);
            if failed || silent {
                let why = if failed { Loss::Handshake } else { Loss::Consent };
                (path.state, path.wake) = (State::Lost, None);
                if let Some(Place { stream, seat, .. }) = path.legs.first().cloned() {
                    tell(Event::Lost { stream, seat, why });
                }
            } else if !matches!(path.state, State::Lost) {
                let wake = path.wake.unwrap_or(Instant(u64::MAX));
                let at = wake.min(path.heard + CONSENT_MAX);
                self.want(at);
            }
        }
    }
}

impl Door {
    fn at(&self, now: Instant) -> Clock {
        self.epoch + Duration::from_micros(now.0)
    }

    fn instant(&self, at: Clock) -> Instant {
        Instant(at.saturating_duration_since(self.epoch).as_micros() as u64)
    }
}

impl Path {
    /// Opens a packet and finds the leg that it is for.
    fn open(&mut self, kind: Kind, bytes: &mut [u8]) -> Arrival {
        let State::Keyed(_, keys) = &mut self.state else { return self.refused() };
        let opened = match kind {
            Kind::Rtp => keys.1.open_rtp(bytes),
            Kind::Rtcp => keys.1.open_rtcp(bytes),
            Kind::Dtls => return self.refused(),
        };
        let Ok(length) = opened else { return self.refused() };
        let bytes = bytes.get(..length).unwrap_or_default();
        let leg = match kind {
            Kind::Rtp => self.leg_of_media(bytes),
            Kind::Rtcp | Kind::Dtls => self.leg_of_control(bytes),
        };
        leg.map_or_else(|| self.refused(), |port| Arrival::Media { port, length })
    }

    fn leg_of_media(&mut self, packet: &[u8]) -> Option<u16> {
        let (header, _) = Header::decode(packet).ok()?;
        let carries = |leg: &&Place| leg.types.contains(&header.payload_type);
        let port = self.legs.iter().find(carries)?.port;
        if self.legs.len() > 1 && !self.sources.contains(&(header.ssrc, port)) {
            if self.sources.len() >= SOURCES_MAX {
                self.sources.remove(0);
            }
            self.sources.push((header.ssrc, port));
        }
        Some(port)
    }

    fn leg_of_control(&self, packet: &[u8]) -> Option<u16> {
        let source = u32::from_be_bytes(*packet.get(4..)?.first_chunk()?);
        let known = self.sources.iter().find(|(known, _)| *known == source);
        known.map(|(_, port)| *port).or_else(|| Some(self.legs.first()?.port))
    }

    fn refused(&self) -> Arrival {
        self.legs.first().map_or(Arrival::Done, |leg| Arrival::Refused { port: leg.port })
    }

    /// Gives the handshake what came, or the time alone; when it wants the time again. `None`: it failed.
    fn shake(
        &mut self,
        door: &Door,
        came: Option<&[u8]>,
        now: Instant,
        mut send: impl FnMut(&[u8]),
    ) -> Option<Instant> {
        let (hand, mut keys) = match std::mem::replace(&mut self.state, State::Lost) {
            State::Reached(hand) => (hand, None),
            State::Keyed(hand, keys) => (hand, Some(keys)),
            kept @ (State::Left | State::Lost | State::Named) => {
                self.state = kept;
                return Some(Instant(u64::MAX));
            }
        };
        let mut hand = hand;
        hand.dtls.handle_timeout(door.at(now)).ok()?;
        if let Some(bytes) = came {
            hand.dtls.handle_packet(bytes).ok()?;
        }
        let mut room = [0; FLIGHT_MAX];
        let wake = loop {
            match hand.dtls.poll_output(&mut room) {
                Output::Packet(flight) => send(flight),
                Output::Timeout(at) => break door.instant(at),
                Output::PeerCert(certificate) => {
                    let digest: [u8; 32] = Sha256::digest(certificate).into();
                    hand.proven = digest == self.web.fingerprint;
                    if !hand.proven {
                        return None;
                    }
                }
                Output::KeyingMaterial(material, profile) if hand.proven => {
                    keys = Some(Box::new(both(&material, profile, hand.dtls.is_active())?));
                }
                // What becomes of its calls is said elsewhere, or it gives no sign of life any more.
                Output::CloseNotify if keys.is_some() => {
                    self.state = State::Left;
                    return Some(Instant(u64::MAX));
                }
                // No datagram of ours is that long.
                Output::BufferTooSmall { .. } | Output::CloseNotify => return None,
                // No channels of data are agreed on. The enum is open for others.
                _ => (),
            }
        };
        self.state = match keys {
            Some(keys) => State::Keyed(hand, keys),
            None => State::Reached(hand),
        };
        Some(wake)
    }
}

/// Our keys and the browser's: those of the client stand first.
///
/// Spec: RFC 5764 §4.2
fn both(material: &KeyingMaterial, profile: SrtpProfile, active: bool) -> Option<(Sealer, Opener)> {
    let suite = match profile {
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1Tag80,
        _ => return None,
    };
    let (client_key, rest) = material.split_at_checked(suite.key())?;
    let (server_key, rest) = rest.split_at_checked(suite.key())?;
    let (client_salt, rest) = rest.split_at_checked(suite.salt())?;
    let server_salt = rest.get(..suite.salt())?;
    let (client, server) = ((client_key, client_salt), (server_key, server_salt));
    let (ours, theirs) = if active { (client, server) } else { (server, client) };
    Some((Sealer::new(suite, ours.0, ours.1)?, Opener::new(suite, theirs.0, theirs.1)?))
}
