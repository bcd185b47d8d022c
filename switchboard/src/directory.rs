//! What every shard knows at once (people, groups), and what a user's home slot keeps (bindings, devices).
//!
//! Picture     users: everywhere, from the store. homes: on the user's slot only, asked for by mail.
//! Rules       A binding changes only through the registrar's effects. A watcher hears each arrival
//!             until its time is over.
//! Limits      BINDINGS_MAX and DEVICES_MAX per user, WATCHERS_MAX per user; the oldest watcher gives way.
//! Not here    Whether a REGISTER is allowed (services/registrar), where rows live (services/people).
//! Spec        RFC 3261 §10, RFC 8599 §4.1.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sip::digest::{Algorithm, Ha1};
use types::{Flow, HashKey, Map, SessionId, UnixTime};

use crate::group::Groups;
use crate::route::{CallSettings, Change, Routing};

/// Bindings that one user may have at once.
pub const BINDINGS_MAX: usize = 10;
/// Devices with a push token that one user may have.
pub const DEVICES_MAX: usize = 10;
/// The highest preference, in thousandths.
pub const Q_MAX: u16 = 1_000;
/// Sessions that may wait for one user at once.
pub const WATCHERS_MAX: usize = 64;

/// A person, as every shard knows him.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The user part of the address.
    pub name: String,
    /// To show; empty when there is none.
    pub display_name: String,
    /// One verifier per digest algorithm, as lower-case hex. Never the password.
    pub verifiers: Vec<Verifier>,
    /// Algorithms to offer, in order; empty: those of `sip.digest`.
    pub digest: Vec<String>,
    /// Hash of the 256×256 picture, if there is one.
    pub picture: Option<String>,
    /// Octets of the 48×48 picture.
    pub picture_tiny: Option<Vec<u8>>,
    /// What he wants done with calls; `None`: they just ring. Boxed: most people have none.
    pub calls: Option<Box<CallSettings>>,
}

/// HA1 of one algorithm.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Verifier {
    /// `MD5`, `SHA-256` or `SHA-512-256`.
    pub algorithm: String,
    /// Lower-case hex.
    pub ha1: String,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({})", self.algorithm)
    }
}

impl Verifier {
    /// The verifiers of a password for every algorithm that we know.
    pub fn all(user: &str, realm: &str, password: &str) -> Vec<Self> {
        Algorithm::ALL
            .iter()
            .map(|algorithm| Self {
                algorithm: algorithm.name().to_owned(),
                ha1: sip::digest::ha1(
                    *algorithm,
                    user.as_bytes(),
                    realm.as_bytes(),
                    password.as_bytes(),
                )
                .hex(),
            })
            .collect()
    }

    /// In the form that the digest code takes.
    pub fn decode(&self) -> Option<Ha1> {
        let algorithm = Algorithm::parse(self.algorithm.as_bytes())?;
        Ha1::from_hex(algorithm, self.ha1.as_bytes())
    }
}

/// A device that can be woken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The name in the API; made from the token for devices that only registered.
    pub name: String,
    /// `phone`, `browser`, `screen` or `vehicle`.
    pub kind: String,
    /// How to wake it.
    pub target: pns::Target,
}

/// `reg-id`: the number that a device gives one of its flows (RFC 5626 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RegId(pub u32);

impl RegId {
    /// Without outbound.
    pub const NONE: Self = Self(0);
}

/// Where one device of a user can be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The contact URI as it was registered, without angle brackets.
    pub contact: String,
    /// The way to it.
    pub flow: Flow,
    /// Route set of a `Path` header, if any (RFC 3327).
    pub path: String,
    /// When it ends.
    pub until: UnixTime,
    /// When it was last refreshed.
    pub seen: UnixTime,
    /// Preference in thousandths.
    pub q: u16,
    /// Call-ID and CSeq of the REGISTER that made it (RFC 3261 §10.3 step 7).
    pub call_id: String,
    /// See `call_id`.
    pub cseq: u32,
    /// `+sip.instance`: the device, with its angle brackets; empty when it does not say (RFC 5626 §4.1).
    pub instance: String,
    /// Which of the device's flows it is.
    pub reg_id: RegId,
    /// What the device calls itself.
    pub user_agent: String,
    /// RFC 8599 parameters: this device sleeps and wants a push before a request. Boxed: most devices do not.
    pub push: Option<Box<pns::Target>>,
}

impl Default for Binding {
    fn default() -> Self {
        Self {
            contact: String::new(),
            flow: Flow::NONE,
            path: String::new(),
            until: UnixTime(0),
            seen: UnixTime(0),
            q: Q_MAX,
            call_id: String::new(),
            cseq: 0,
            instance: String::new(),
            reg_id: RegId::NONE,
            user_agent: String::new(),
            push: None,
        }
    }
}

impl Binding {
    /// Whether one of them takes the place of the other: flows of a device may share their contact.
    ///
    /// Spec: RFC 3261 §10.3 step 7, RFC 5626 §6
    pub fn is_same(&self, other: &Self) -> bool {
        if self.is_outbound() && other.is_outbound() {
            return self.instance == other.instance && self.reg_id == other.reg_id;
        }
        self.contact == other.contact
    }

    /// Whether the device keeps a flow open, and may be reached by that alone.
    ///
    /// Spec: RFC 5626 §5.3, §6
    pub fn is_outbound(&self) -> bool {
        self.reg_id != RegId::NONE && !self.instance.is_empty()
    }

    /// Whether the connection that it is bound to is gone: nobody else may be called in its stead.
    pub fn is_cut(&self) -> bool {
        self.is_outbound() && self.flow.transport.reliable() && self.flow.connection == 0
    }
}

/// A binding as the directory, the log's undoing and all who hear of it hold it: one value, whoever has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known(Arc<Binding>);

impl Known {
    /// To change it here; others keep it as it was.
    pub(crate) fn change(&mut self) -> &mut Binding {
        Arc::make_mut(&mut self.0)
    }
}

impl Deref for Known {
    type Target = Binding;

    fn deref(&self) -> &Binding {
        &self.0
    }
}

impl From<Binding> for Known {
    fn from(binding: Binding) -> Self {
        Self(Arc::new(binding))
    }
}

impl Serialize for Known {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Binding::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Binding::deserialize(deserializer).map(Self::from)
    }
}

/// What a home slot knows of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Located {
    /// Live bindings, best first.
    pub bindings: Vec<Known>,
    /// Devices that can be woken.
    pub devices: Vec<Device>,
}

/// The home of one user.
#[derive(Clone, Debug, Default)]
pub struct Home {
    pub(crate) bindings: Vec<Known>,
    pub(crate) devices: Vec<Device>,
    pub(crate) watchers: Vec<(SessionId, UnixTime)>,
}

/// People and homes of one shard.
#[derive(Debug)]
pub struct Directory {
    users: Map<String, User>,
    pub(crate) homes: Map<String, Home>,
    pub(crate) groups: Groups,
    routing: Routing,
}

impl Directory {
    /// Knows nobody.
    pub fn new(key: HashKey) -> Self {
        Self {
            users: Map::with_hasher(key),
            homes: Map::with_hasher(key),
            groups: Groups::default(),
            routing: Routing::default(),
        }
    }

    /// A person.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Groups of users.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// How many people there are.
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// All people, in no particular order.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// Numbers, trunks, routes.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Live bindings of a user whose home is here.
    pub fn bindings(&self, user: &str) -> &[Known] {
        self.homes.get(user).map_or(&[], |home| &home.bindings)
    }

    /// Devices of a user whose home is here.
    pub fn devices(&self, user: &str) -> &[Device] {
        self.homes.get(user).map_or(&[], |home| &home.devices)
    }

    /// All homes with a binding, for listings and snapshots.
    pub fn homes(&self) -> impl Iterator<Item = (&String, &[Known])> {
        self.homes.iter().map(|(user, home)| (user, home.bindings.as_slice()))
    }

    /// What a seeker is told: live bindings by preference, and devices.
    pub fn locate(&self, user: &str, unix: UnixTime) -> Located {
        let Some(home) = self.homes.get(user) else { return Located::default() };
        let mut bindings: Vec<_> =
            home.bindings.iter().filter(|binding| binding.until > unix).cloned().collect();
        bindings.sort_by(|a, b| b.q.cmp(&a.q).then(b.seen.cmp(&a.seen)));
        Located { bindings, devices: home.devices.clone() }
    }

    pub(crate) fn put_routing(&mut self, change: Change) {
        self.routing.apply(change);
    }

    pub(crate) fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), user);
    }

    pub(crate) fn remove_user(&mut self, name: &str) {
        self.users.remove(name);
        self.homes.remove(name);
    }

    /// Adds a binding, or puts it in the place of what is the same; gives the one that is kept under the same key.
    pub(crate) fn bind(&mut self, user: &str, binding: Known) -> Option<Known> {
        let home = self.homes.entry(user.to_owned()).or_default();
        let mut before = None;
        for known in home.bindings.extract_if(.., |known| known.is_same(&binding)) {
            if known.contact == binding.contact && known.is_outbound() == binding.is_outbound() {
                before = Some(known);
            }
        }
        home.bindings.reserve_exact(1); // Most people have one phone: a hundred thousand spare places add up.
        home.bindings.push(binding);
        before
    }

    pub(crate) fn unbind(&mut self, user: &str, binding: &Binding) -> Option<Known> {
        let home = self.homes.get_mut(user)?;
        let place = home.bindings.iter().position(|known| known.is_same(binding))?;
        let gone = home.bindings.remove(place);
        self.tidy(user);
        Some(gone)
    }

    /// Adds or replaces a device; the same token is the same device.
    pub(crate) fn put_device(&mut self, user: &str, device: Device) {
        let home = self.homes.entry(user.to_owned()).or_default();
        home.devices.retain(|known| {
            known.name != device.name
                && (known.target.provider, &known.target.prid)
                    != (device.target.provider, &device.target.prid)
        });
        if home.devices.len() >= DEVICES_MAX {
            home.devices.remove(0);
        }
        home.devices.reserve_exact(1);
        home.devices.push(device);
    }

    pub(crate) fn remove_device(&mut self, user: &str, gone: impl Fn(&Device) -> bool) {
        if let Some(home) = self.homes.get_mut(user) {
            home.devices.retain(|device| !gone(device));
        }
        self.tidy(user);
    }

    pub(crate) fn watch(&mut self, user: &str, session: SessionId, until: UnixTime) {
        let home = self.homes.entry(user.to_owned()).or_default();
        home.watchers.retain(|(known, _)| *known != session);
        if home.watchers.len() >= WATCHERS_MAX {
            home.watchers.remove(0);
        }
        home.watchers.push((session, until));
    }

    pub(crate) fn unwatch(&mut self, user: &str, session: SessionId) {
        if let Some(home) = self.homes.get_mut(user) {
            home.watchers.retain(|(known, _)| *known != session);
            if home.watchers.is_empty() {
                home.watchers = Vec::new();
            }
        }
        self.tidy(user);
    }

    /// An empty home is forgotten.
    fn tidy(&mut self, user: &str) {
        let empty = self.homes.get(user).is_some_and(|home| {
            home.bindings.is_empty() && home.devices.is_empty() && home.watchers.is_empty()
        });
        if empty {
            self.homes.remove(user);
        }
    }
}
