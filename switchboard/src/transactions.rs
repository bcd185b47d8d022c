//! The transactions of one shard: which message belongs to which.
//!
//! A response finds its client transaction by our branch (slot, place and use number in hex), without a hash.
//! A request finds its server transaction by branch, sent-by and method.

use std::net::IpAddr;

use sip::transaction::{Client, ClientInvite, Server, ServerInvite};
use sip::{Head, Message, Method, Name};
use types::{CallId, Flow, HashKey, Instant, LegId, Map, SessionId, Slot};

use crate::input::{Mark, Ticket};
use crate::slab::Slab;

/// Transactions of one direction that a shard keeps; beyond it new requests get 503.
pub const TRANSACTIONS_MAX: usize = 2_000_000;

/// Branches of one INVITE of ours that answered behind the first and are ended; more are not heard.
pub const STRAYS_MAX: usize = 16;

/// The machine of a server transaction.
#[derive(Debug)]
pub enum ServerMachine {
    /// For INVITE.
    Invite(ServerInvite),
    /// For all others.
    Other(Server),
}

/// One server transaction.
#[derive(Debug)]
pub struct ServerEntry {
    pub machine: ServerMachine,
    /// The way the request came, and the answer goes.
    pub flow: Flow,
    /// The leg whose INVITE or in-dialog request this is.
    pub leg: Option<LegId>,
    /// The call in whose ladder it stands; known also when the leg is gone.
    pub call: Option<CallId>,
    /// The request without its body; nothing once it was answered finally.
    pub request: Head,
    /// Our tag in To.
    pub tag: Tag,
    /// The final answer leaves, and leaves again, only behind this entry of the log.
    pub after: Option<Mark>,
    pub armed: Option<Instant>,
    key: u64,
    /// The same request by whatever way it comes; 0 where that is not looked for.
    twin: u64,
}

/// Who waits for the answer of a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A leg: INVITE, or a request in its dialog.
    Leg(LegId),
    /// Nobody: what is said to a success that nobody wanted.
    Nobody,
    /// A room: a request outside of calls.
    Room(Ticket),
    /// A subscription: its NOTIFY.
    Subscription(SessionId),
}

impl Asker {
    /// The leg, when it is one.
    pub fn leg(self) -> Option<LegId> {
        if let Self::Leg(leg) = self { Some(leg) } else { None }
    }
}

/// One client transaction.
#[derive(Debug)]
pub struct ClientEntry {
    pub machine: ClientMachine,
    pub flow: Flow,
    /// The way back to UDP, for a large request that tries TCP.
    pub fallback: Option<Flow>,
    pub asker: Asker,
    /// As in [`ServerEntry`].
    pub call: Option<CallId>,
    pub armed: Option<Instant>,
    /// To tags, hashed, of successes that nobody wanted: each was ended by one BYE.
    pub strays: Vec<u64>,
}

/// The machine of a client transaction.
#[derive(Debug)]
pub enum ClientMachine {
    /// For INVITE.
    Invite(ClientInvite),
    /// For all others.
    Other(Client),
}

/// A tag of ours: the slot in two hex digits, then sixteen digits of chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(pub [u8; 18]);

impl Tag {
    /// A new tag on a slot.
    pub fn mint(slot: Slot, rng: &mut types::Rng) -> Self {
        let mut text = [0; 18];
        hex(&mut text[..2], slot.0.into());
        hex(&mut text[2..], rng.next_u64());
        Self(text)
    }

    /// The slot that a tag of ours names; `None` for foreign tags.
    pub fn slot(tag: &[u8]) -> Option<Slot> {
        if tag.len() != 18 {
            return None;
        }
        unhex(tag.get(..2)?).map(|slot| Slot(slot as u8))
    }
}

/// Fills `out` with the lowest digits of `value`.
pub(crate) fn hex(out: &mut [u8], value: u64) {
    for (place, octet) in out.iter_mut().rev().enumerate() {
        *octet = b"0123456789abcdef"[(value >> (place * 4)) as usize & 15];
    }
}

fn unhex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, octet| {
        let digit = char::from(*octet).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

const COOKIE: &[u8] = b"z9hG4bK";

/// Our branch: the cookie, the slot, and the id of the client transaction.
#[derive(Clone, Copy, Debug)]
pub struct Branch(pub [u8; 25]);

impl Branch {
    /// Writes it.
    pub fn new(slot: Slot, id: u64) -> Self {
        let mut text = [0; 25];
        text[..7].copy_from_slice(COOKIE);
        hex(&mut text[7..9], slot.0.into());
        hex(&mut text[9..], id);
        Self(text)
    }

    /// Reads slot and id; `None` for foreign branches.
    pub fn parse(branch: &[u8]) -> Option<(Slot, u64)> {
        if branch.len() != 25 || !branch.starts_with(COOKIE) {
            return None;
        }
        Some((Slot(unhex(branch.get(7..9)?)? as u8), unhex(branch.get(9..)?)?))
    }
}

/// All transactions of one shard.
#[derive(Debug)]
pub struct Transactions {
    pub clients: Slab<ClientEntry>,
    pub servers: Slab<ServerEntry>,
    index: Map<u64, u64>,
    /// INVITEs that begin calls, by what no way changes in them.
    twins: Map<u64, u64>,
    key: HashKey,
}

impl Transactions {
    /// None yet.
    pub fn new(key: HashKey) -> Self {
        Self {
            clients: Slab::default(),
            servers: Slab::default(),
            index: Map::with_hasher(key),
            twins: Map::with_hasher(key),
            key,
        }
    }

    /// What names the server transaction of a request. ACK and CANCEL name that of their INVITE when
    /// `method` says so.
    ///
    /// Spec: RFC 3261 §17.2.3
    pub fn key(&self, message: &Message<'_>, method: Method<'_>, source: IpAddr) -> u64 {
        use std::hash::{BuildHasher, Hash, Hasher};
        let mut hasher = self.key.build_hasher();
        // Part of the name, so that a stranger who saw a branch cannot take its place.
        source.hash(&mut hasher);
        let mut part = |octets: &[u8]| {
            hasher.write(octets);
            hasher.write_u8(0);
        };
        part(method.as_bytes());
        let Ok(via) = message.via() else { return 0 };
        match via.branch() {
            Some(branch) if branch.starts_with(COOKIE) => {
                part(branch);
                part(via.host);
                part(&via.port.unwrap_or(0).to_be_bytes());
            }
            // A peer of RFC 2543: the whole of what cannot change between two copies.
            Some(_) | None => {
                part(message.first(Name::Via).unwrap_or_default());
                part(message.call_id());
                part(message.from().ok().and_then(|from| from.tag()).unwrap_or_default());
                let number = message.cseq().map_or(0, |cseq| cseq.number);
                part(&number.to_be_bytes());
            }
        }
        hasher.finish()
    }

    /// The server transaction with this key.
    pub fn find(&self, key: u64) -> Option<u64> {
        self.index.get(&key).copied()
    }

    /// Adds a server transaction.
    pub fn add_server(&mut self, key: u64, use_number: u32, entry: NewServer) -> u64 {
        let NewServer { machine, flow, request, tag } = entry;
        let entry = ServerEntry {
            machine,
            flow,
            leg: None,
            call: None,
            request,
            tag,
            after: None,
            armed: None,
            key,
            twin: 0,
        };
        let id = self.servers.insert(use_number, entry);
        self.index.insert(key, id);
        id
    }

    /// What names a request that begins a call, by whatever ways its copies come. The address is part of it: a proxy
    /// that forks one INVITE to two of our people makes two calls.
    ///
    /// Spec: RFC 3261 §8.2.2.2
    pub fn twin(&self, message: &Message<'_>) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.key.build_hasher();
        let mut part = |octets: &[u8]| {
            hasher.write(octets);
            hasher.write_u8(0);
        };
        part(message.request_uri().unwrap_or_default());
        part(message.call_id());
        part(message.from().ok().and_then(|from| from.tag()).unwrap_or_default());
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        part(&number.to_be_bytes());
        hasher.finish().max(1)
    }

    /// Whether such a request is under way.
    pub fn has_twin(&self, twin: u64) -> bool {
        self.twins.contains_key(&twin)
    }

    /// Lets the copies of a request be known, until it is forgotten.
    pub fn name_twin(&mut self, id: u64, twin: u64) {
        if let Some(entry) = self.servers.get_mut(id) {
            entry.twin = twin;
            self.twins.insert(twin, id);
        }
    }

    /// Forgets a server transaction.
    pub fn remove_server(&mut self, id: u64) {
        let Some(entry) = self.servers.remove(id) else { return };
        for (index, key) in [(&mut self.index, entry.key), (&mut self.twins, entry.twin)] {
            if index.get(&key) == Some(&id) {
                index.remove(&key);
            }
        }
    }
}

/// What a new server transaction is made of.
#[derive(Debug)]
pub struct NewServer {
    pub machine: ServerMachine,
    pub flow: Flow,
    pub request: Head,
    pub tag: Tag,
}

impl ServerMachine {
    /// The part that asks to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::Other(machine) => machine.deadline(),
        }
    }
}

impl ClientMachine {
    /// The part that asks to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::Other(machine) => machine.deadline(),
        }
    }

    /// The request, while it may have to be sent again.
    pub fn message(&self) -> &[u8] {
        match self {
            Self::Invite(machine) => machine.message(),
            Self::Other(machine) => machine.message(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_and_tags_name_their_slot() {
        let mut rng = types::Rng::from_number(5);
        for slot in [0, 7, 255] {
            let id = rng.next_u64();
            assert_eq!(Branch::parse(&Branch::new(Slot(slot), id).0), Some((Slot(slot), id)));
            assert_eq!(Tag::slot(&Tag::mint(Slot(slot), &mut rng).0), Some(Slot(slot)));
        }
        assert_eq!(Branch::parse(b"z9hG4bKnashds8"), None);
        assert_eq!(Tag::slot(b"abc"), None);
    }
}
