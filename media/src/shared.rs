//! Ports that carry many legs: whose a datagram is, is told by where it comes from.
//!
//! Picture     source --claimed by one leg--> that leg; by two --> nobody; by none, and one leg waits at its host --> that
//!             leg, which may latch it; else --> a stranger
//!             leg --by the port that it shares--> phone
//! Rules       A leg keeps the port that names it, on which nothing listens. It claims the addresses of its description, and
//!             the source that it latched. What two claim is of the one that was heard from there first, and of neither while
//!             none was: nobody hears others, or silences them, by naming their address. Only a source at the signalled host is ever latched here, as everybody knows this port; and
//!             never one that a leg had within [`QUARANTINE`], whose phone may not know yet that its call is over.
//! Limits      [`RESTING_MAX`] sources that rest: the oldest is forgotten.
//! Not here    Which legs share a port (switchboard), whether a packet passes (source).
//! Spec        RFC 4961, RFC 5761 §5.1.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use types::Instant;

use crate::ports::QUARANTINE;
use crate::rtp::Kind;

/// Sources of legs that are gone, which are not latched for a while.
pub const RESTING_MAX: usize = 16_384;

/// All shared ports.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// By the even port of each pair.
    ports: BTreeMap<u16, Port>,
    /// By half of the port that names a leg: the even port that it shares; 0: none.
    exits: Vec<u16>,
    resting: BTreeSet<SocketAddr>,
    /// The same in the order in which their rest ends.
    rested: VecDeque<(Instant, SocketAddr)>,
    strangers: u64,
}

#[derive(Debug, Default)]
struct Port {
    legs: BTreeMap<u16, Held>,
    /// Who sends media from there.
    media: BTreeMap<SocketAddr, Claim>,
    /// Who sends control from there.
    control: BTreeMap<SocketAddr, Claim>,
    /// Legs that were not heard yet, by where they should be.
    waiting: BTreeSet<(IpAddr, u16)>,
}

/// What a leg claims.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    latched: Option<SocketAddr>,
    /// Something came from `rtp` that was its.
    heard: bool,
}

/// Whose an address is, by the ports that name legs.
#[derive(Debug, Default)]
struct Claim {
    /// The one that was heard from there while it was its alone.
    proved: Option<u16>,
    names: Vec<u16>,
}

impl Claim {
    fn owner(&self) -> Option<u16> {
        match self.names.as_slice() {
            [one] => Some(*one),
            _ => self.proved,
        }
    }
}

/// Adds a claim.
fn claim(claims: &mut BTreeMap<SocketAddr, Claim>, at: SocketAddr, name: u16) {
    let claim = claims.entry(at).or_default();
    if !claim.names.contains(&name) {
        claim.names.push(name);
    }
}

/// Something came from there that was its.
fn prove(claims: &mut BTreeMap<SocketAddr, Claim>, at: SocketAddr, name: u16) {
    if let Some(claim) = claims.get_mut(&at).filter(|claim| claim.owner() == Some(name)) {
        claim.proved = Some(name);
    }
}

/// Takes it away again.
fn release(claims: &mut BTreeMap<SocketAddr, Claim>, at: SocketAddr, name: u16) {
    let Some(claim) = claims.get_mut(&at) else { return };
    claim.names.retain(|known| *known != name);
    claim.proved = claim.proved.filter(|proved| *proved != name);
    if claim.names.is_empty() {
        claims.remove(&at);
    }
}

impl Port {
    /// What a leg claimed is claimed no more: its sources.
    fn withdraw(&mut self, name: u16) -> [Option<SocketAddr>; 2] {
        let Some(held) = self.legs.get_mut(&name).map(std::mem::take) else { return [None; 2] };
        for at in [held.rtp, held.latched].into_iter().flatten() {
            release(&mut self.media, at, name);
        }
        if let Some(at) = held.rtcp {
            release(&mut self.control, at, name);
        }
        if let Some(at) = held.rtp {
            self.waiting.remove(&(at.ip(), name));
        }
        [held.rtp, held.latched]
    }
}

/// Somewhere that a datagram can come from.
fn place(at: SocketAddr) -> Option<SocketAddr> {
    (!at.ip().is_unspecified() && at.port() != 0).then_some(at)
}

impl Shared {
    /// This even port and the one above it carry many from now on.
    pub(crate) fn open(&mut self, port: u16) {
        self.ports.entry(port & !1).or_default();
    }

    /// Whether this is such a port.
    pub(crate) fn is_door(&self, port: u16) -> bool {
        !self.ports.is_empty() && self.ports.contains_key(&(port & !1))
    }

    /// The leg of this name goes by a shared port, or by its own where there is no such one.
    pub(crate) fn lead(&mut self, name: u16, by: u16) {
        self.forget(name, None);
        let Some(port) = self.ports.get_mut(&by) else { return };
        port.legs.insert(name, Held::default());
        let half = usize::from(name / 2);
        if half >= self.exits.len() {
            self.exits.resize(half + 1, 0);
        }
        if let Some(exit) = self.exits.get_mut(half) {
            *exit = by;
        }
    }

    /// Whether the leg of this port goes by a shared one.
    pub(crate) fn has(&self, name: u16) -> bool {
        self.by(name).is_some()
    }

    fn by(&self, name: u16) -> Option<u16> {
        self.exits.get(usize::from(name / 2)).copied().filter(|by| *by != 0)
    }

    /// The port by which a packet of this leg leaves.
    pub(crate) fn exit(&self, port: u16) -> u16 {
        self.by(port).map_or(port, |by| by | (port & 1))
    }

    fn port_of(&mut self, name: u16) -> Option<&mut Port> {
        let by = self.by(name)?;
        self.ports.get_mut(&by)
    }

    /// A leg is told where its phone is. `heard`: it has latched a source, which it keeps.
    pub(crate) fn aim(&mut self, name: u16, rtp: SocketAddr, rtcp: SocketAddr, heard: bool) {
        let Some(port) = self.port_of(name) else { return };
        // Where it was heard already it stays proved: a description that says the same again opens no gap.
        let was = port.legs.get(&name).copied().unwrap_or_default();
        let same = was.heard && was.rtp == place(rtp);
        if !same {
            port.withdraw(name);
        } else if let Some(at) = was.rtcp {
            release(&mut port.control, at, name);
        }
        let latched = was.latched.filter(|_| heard);
        let held = Held { rtp: place(rtp), rtcp: place(rtcp), latched, heard: same };
        if let Some(old) = was.latched.filter(|old| latched.is_none() && held.rtp != Some(*old)) {
            release(&mut port.media, old, name);
        }
        for at in [held.rtp, held.latched].into_iter().flatten() {
            claim(&mut port.media, at, name);
        }
        if let Some(at) = held.latched {
            prove(&mut port.media, at, name);
        }
        if let Some(at) = held.rtcp {
            claim(&mut port.control, at, name);
        }
        if let Some(at) = held.rtp.filter(|_| latched.is_none()) {
            port.waiting.insert((at.ip(), name));
        }
        port.legs.insert(name, held);
    }

    /// A leg was heard from where it should be.
    pub(crate) fn heard(&mut self, name: u16) {
        let Some(port) = self.port_of(name) else { return };
        let Some(held) = port.legs.get_mut(&name) else { return };
        if let Some(at) = held.rtp {
            held.heard = true;
            port.waiting.remove(&(at.ip(), name));
            prove(&mut port.media, at, name);
        }
    }

    /// A leg has latched this source.
    pub(crate) fn latched(&mut self, name: u16, from: SocketAddr) {
        let Some(port) = self.port_of(name) else { return };
        let Some(held) = port.legs.get_mut(&name) else { return };
        if let Some(at) = held.rtp {
            port.waiting.remove(&(at.ip(), name));
        }
        if let Some(old) = held.latched.replace(from) {
            release(&mut port.media, old, name);
        }
        claim(&mut port.media, from, name);
        prove(&mut port.media, from, name);
    }

    /// The leg is gone, or goes by a port of its own. `now`: it is gone, and its sources rest.
    pub(crate) fn forget(&mut self, name: u16, now: Option<Instant>) {
        let Some(port) = self.port_of(name) else { return };
        let sources = port.withdraw(name);
        port.legs.remove(&name);
        if let Some(exit) = self.exits.get_mut(usize::from(name / 2)) {
            *exit = 0;
        }
        let Some(now) = now else { return };
        while let Some((_, at)) = self.rested.pop_front_if(|(until, _)| *until <= now) {
            self.resting.remove(&at);
        }
        for at in sources.into_iter().flatten() {
            if self.resting.insert(at) {
                self.rested.push_back((now + QUARANTINE, at));
            }
        }
        while self.rested.len() > RESTING_MAX {
            if let Some((_, at)) = self.rested.pop_front() {
                self.resting.remove(&at);
            }
        }
    }

    /// Whose a datagram is that came by `port`: the port that names the leg.
    pub(crate) fn leg_of(
        &mut self,
        port: u16,
        kind: Option<Kind>,
        from: SocketAddr,
    ) -> Option<u16> {
        let known = self.ports.get(&(port & !1))?;
        let claim = match kind {
            Some(Kind::Rtcp) => known.control.get(&from).or_else(|| known.media.get(&from)),
            Some(Kind::Dtls | Kind::Rtp) | None => known.media.get(&from),
        };
        let found = match claim {
            Some(claim) => claim.owner(),
            // A phone whose port was changed on its way, if there is but one that it can be.
            None if kind == Some(Kind::Rtp) && !self.resting.contains(&from) => {
                let at = from.ip();
                let mut there = known.waiting.range((at, 0)..=(at, u16::MAX));
                there.next().filter(|_| there.next().is_none()).map(|(_, name)| *name)
            }
            None => None,
        };
        self.strangers += u64::from(found.is_none());
        found
    }

    /// Datagrams so far that were of no leg.
    pub(crate) const fn strangers(&self) -> u64 {
        self.strangers
    }
}
