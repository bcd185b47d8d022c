//! What a REGISTER asks for, read and judged as a whole before anything changes.

use std::net::SocketAddr;

use pns::{Parameters, Provider, Target};
use sip::{Contact, Message, Name, NameAddr, Scheme, Uri};
use switchboard::Effects;
use switchboard::directory::{Binding, Q_MAX, RegId};
use types::{Flow, Transport};

use crate::{CONTACTS_MAX, Config, Refusal};

/// Longest contact URI. Units: octets.
pub const CONTACT_MAX: usize = 2_048;
/// Longest Path, all its values together. Units: octets.
pub const PATH_MAX: usize = 2_048;
/// Longest text of a phone about itself that is kept. Units: octets.
const WORDS_MAX: usize = 200;

/// See the head of this file.
#[derive(Debug)]
pub enum Asked {
    /// Bindings to make, refresh or end.
    Change(Vec<Wish>),
    /// `*`: all bindings end.
    Clear,
    /// Only what there is.
    Query,
}

/// One contact of the request.
#[derive(Debug)]
pub struct Wish {
    binding: Binding,
    lasts: bool,
}

impl Wish {
    /// Whether this binding is meant: the same flow of a device, the same contact, or the same sleeping device.
    ///
    /// Spec: RFC 3261 §10.3 step 7, RFC 5626 §6, RFC 8599 §4.1.1
    pub fn is_about(&self, known: &Binding) -> bool {
        let mine = &self.binding;
        if mine.is_same(known) {
            return true;
        }
        // Another flow of a device may have the same contact.
        if mine.is_outbound() && known.is_outbound() {
            return false;
        }
        let token = |binding: &Binding| {
            binding.push.as_ref().map(|target| (target.provider, target.prid.clone()))
        };
        if mine.push.is_some() && token(mine) == token(known) {
            return true;
        }
        // A phone with a new token is the same phone.
        let (mine, theirs) = (without_push(&mine.contact), without_push(&known.contact));
        match (Uri::decode(mine.as_bytes()), Uri::decode(theirs.as_bytes())) {
            (Ok(mine), Ok(theirs)) => mine.is_same(&theirs),
            _ => false,
        }
    }

    /// Whether a binding comes of it.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// The binding that comes of it; `None`: what it is about ends.
    pub fn into_binding(self) -> Option<Binding> {
        self.lasts.then_some(self.binding)
    }

    fn has_flow(&self) -> bool {
        self.lasts && self.binding.is_outbound()
    }
}

/// Reads all contacts. Errors: the first thing that is wrong with any of them.
pub fn read(
    message: &Message<'_>,
    flow: Flow,
    config: &Config,
    effects: &Effects<'_>,
) -> Result<Asked, Refusal> {
    // A value that is no number counts as absent (RFC 3261 §20.19).
    let expires = message.expires().ok().flatten();
    let mut addresses = Vec::new();
    let mut star = false;
    for contact in message.contacts() {
        match contact.map_err(|_| Refusal::Malformed)? {
            Contact::Address(address) => addresses.push(address),
            Contact::Star => star = true,
        }
    }
    if star {
        let alone = addresses.is_empty() && message.contacts().count() == 1;
        return if alone && expires == Some(0) {
            Ok(Asked::Clear)
        } else {
            Err(Refusal::Malformed)
        };
    }
    if addresses.is_empty() {
        return Ok(Asked::Query);
    }
    if addresses.len() > CONTACTS_MAX {
        return Err(Refusal::TooMany);
    }
    let path = path(message, config)?;
    let outbound = message.has_token(Name::Supported, "outbound");
    let request = Request { message, flow, config, expires, path, outbound, effects };
    let wishes: Vec<_> =
        addresses.iter().map(|address| request.wish(address)).collect::<Result<_, _>>()?;
    match wishes.iter().filter(|wish| wish.has_flow()).count() {
        0 => (),
        1 if first_hop_keeps_flows(message) => (),
        1 => return Err(Refusal::FirstHopLacksOutbound),
        // One request comes by one flow (RFC 5626 §4.2.1).
        _ => return Err(Refusal::Malformed),
    }
    Ok(Asked::Change(wishes))
}

/// Whether the phone's flow ends here, or at a proxy that says by `ob` that it keeps it.
///
/// Spec: RFC 5626 §6
fn first_hop_keeps_flows(message: &Message<'_>) -> bool {
    if message.values(Name::Via).count() < 2 {
        return true;
    }
    // Each proxy puts its own in front: the phone's is the last.
    let edge = message.values(Name::Path).last().and_then(|value| NameAddr::decode(value).ok());
    let edge = edge.and_then(|edge| edge.uri().ok());
    edge.is_some_and(|edge| edge.params.has("ob"))
}

struct Request<'a> {
    message: &'a Message<'a>,
    flow: Flow,
    config: &'a Config,
    expires: Option<u32>,
    path: String,
    /// The phone knows of flows: its `reg-id` counts.
    outbound: bool,
    effects: &'a Effects<'a>,
}

impl Request<'_> {
    fn wish(&self, address: &NameAddr<'_>) -> Result<Wish, Refusal> {
        let contact = std::str::from_utf8(address.uri).map_err(|_| Refusal::Malformed)?.to_owned();
        let uri = address.uri().map_err(|_| Refusal::Malformed)?;
        if contact.len() > CONTACT_MAX || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(Refusal::Malformed);
        }
        let instance = instance(address);
        let reg_id =
            if self.outbound && !instance.is_empty() { reg_id(address) } else { Ok(RegId::NONE) }?;
        let seconds = self.seconds(address)?;
        if seconds == 0 {
            let binding = Binding { contact, instance, reg_id, ..Binding::default() };
            return Ok(Wish { binding, lasts: false });
        }
        if names_us(&uri, self.flow, self.effects) {
            return Err(Refusal::ContactIsOurs);
        }
        let kept = reg_id != RegId::NONE || uri.params.has("ob");
        let flow = match self.first_proxy() {
            Some(proxy) => self.way_to_proxy(&proxy),
            None if kept => self.flow,
            None => way_to(&uri, self.flow),
        };
        let now = self.effects.unix();
        let binding = Binding {
            contact,
            flow,
            path: self.path.clone(),
            until: now + types::Seconds(seconds).into(),
            seen: now,
            q: address.q().unwrap_or(Q_MAX),
            call_id: String::from_utf8_lossy(self.message.call_id()).into_owned(),
            cseq: self.message.cseq().map_or(0, |cseq| cseq.number),
            instance,
            reg_id,
            user_agent: one_line(
                self.message.first(Name::UserAgent).unwrap_or_default(),
                WORDS_MAX,
            ),
            push: push(&uri)?,
        };
        Ok(Wish { binding, lasts: true })
    }

    /// The proxy that is next to us.
    fn first_proxy(&self) -> Option<NameAddr<'_>> {
        self.message.values(Name::Path).next().and_then(|value| NameAddr::decode(value).ok())
    }

    /// A proxy may send from another port than the one that it names. What names us is not gone to.
    ///
    /// Spec: RFC 3327 §5.1, RFC 3261 §16.6 step 7
    fn way_to_proxy(&self, proxy: &NameAddr<'_>) -> Flow {
        let uri = proxy.uri().ok().filter(|uri| !names_us(uri, self.flow, self.effects));
        uri.map_or(self.flow, |uri| way_to(&uri, self.flow))
    }

    /// Spec: RFC 3261 §10.3 step 7, §10.2.8
    fn seconds(&self, address: &NameAddr<'_>) -> Result<u32, Refusal> {
        let config = self.config;
        match address.expires().or(self.expires) {
            None => Ok(config.expires_default.0),
            Some(0) => Ok(0),
            Some(seconds) if seconds < config.expires_min.0 => Err(Refusal::TooBrief),
            Some(seconds) => Ok(seconds.min(config.expires_max.0)),
        }
    }
}

/// Whether a call to this contact would come back to us. Our domain with a port of somebody else is somebody else:
/// on a host with one name, phones and server share it.
fn names_us(uri: &Uri<'_>, flow: Flow, effects: &Effects<'_>) -> bool {
    if !effects.is_ours(uri) {
        return false;
    }
    // An address without a port means 5060; a name without one means the whole domain.
    let Some(port) = uri.port.or(uri.ip().map(|_| 5060)) else { return true };
    let host = String::from_utf8_lossy(uri.host).to_ascii_lowercase();
    if uri.port.is_some() && host != effects.domain().to_ascii_lowercase() {
        return true;
    }
    // The host alone made it ours: whether the port does, our own Contact tells.
    let own = effects.contact(flow);
    let own = own.trim_start_matches("<sip:").trim_end_matches('>');
    let own = own.split(';').next().unwrap_or_default();
    own.rsplit_once(':').map_or(port == 5060, |(_, ours)| ours == port.to_string())
}

/// Where a request for this contact or proxy goes: on streams the way it came, for datagrams to the address it names
/// when that is the sender's, else to the sender, who then sits behind a NAT.
fn way_to(uri: &Uri<'_>, flow: Flow) -> Flow {
    if flow.transport != Transport::Udp {
        return flow;
    }
    match uri.ip() {
        Some(ip) if ip == flow.remote.ip().to_canonical() => {
            let remote = SocketAddr::new(flow.remote.ip(), uri.port.unwrap_or(5060));
            Flow { remote, ..flow }
        }
        Some(_) | None => flow,
    }
}

/// `+sip.instance`: which device it is; empty when it does not say.
///
/// Spec: RFC 5626 §4.1
fn instance(address: &NameAddr<'_>) -> String {
    let urn = address.instance().filter(|urn| urn.len() + 2 <= WORDS_MAX && !urn.contains(&b'"'));
    urn.map_or(String::new(), |urn| format!("<{}>", String::from_utf8_lossy(urn)))
}

/// `reg-id`: which of the device's flows this is; 0 when it has none.
///
/// Spec: RFC 5626 §4.2.1, §11.1
fn reg_id(address: &NameAddr<'_>) -> Result<RegId, Refusal> {
    match address.reg_id() {
        Some(number) => Ok(RegId(number)),
        None if address.params.has("reg-id") => Err(Refusal::Malformed),
        None => Ok(RegId::NONE),
    }
}

/// Whether the outbound extension is in use: the phone knows it and names its flow.
///
/// Spec: RFC 5626 §6
pub fn uses_outbound(message: &Message<'_>) -> bool {
    let has_flow = |address: &NameAddr<'_>| {
        !instance(address).is_empty() && reg_id(address).is_ok_and(|number| number != RegId::NONE)
    };
    message.has_token(Name::Supported, "outbound")
        && message.contacts().flatten().any(|contact| contact.address().is_some_and(has_flow))
}

/// The proxies to go through. Phones seldom know of those in front of them, so what these say is kept without
/// `Supported: path` as well, unless the setting is strict.
///
/// Spec: RFC 3327 §5.3
fn path(message: &Message<'_>, config: &Config) -> Result<String, Refusal> {
    let values: Vec<_> = message.values(Name::Path).map(String::from_utf8_lossy).collect();
    if values.is_empty() {
        return Ok(String::new());
    }
    if config.path_strict && !message.has_token(Name::Supported, "path") {
        return Err(Refusal::PathUnsupported);
    }
    let path = values.join(", ");
    // A strict router would take the contact out of our request.
    let loose = |value: &[u8]| {
        let address = NameAddr::decode(value).ok();
        address.and_then(|it| it.uri().ok()).is_some_and(|uri| uri.params.has("lr"))
    };
    if path.len() > PATH_MAX
        || path.contains(['\r', '\n'])
        || !message.values(Name::Path).all(loose)
    {
        return Err(Refusal::Malformed);
    }
    Ok(path)
}

/// The device to wake. Without a token the phone only asks what we support.
///
/// Spec: RFC 8599 §4.1.1, §5.6
fn push(uri: &Uri<'_>) -> Result<Option<Box<Target>>, Refusal> {
    let Some(parameters) = parameters(uri)? else { return Ok(None) };
    if Provider::parse(&parameters.provider).is_none() {
        return Err(Refusal::ProviderUnknown);
    }
    Ok(parameters.target().map(Box::new))
}

fn parameters(uri: &Uri<'_>) -> Result<Option<Parameters>, Refusal> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let pairs = uri.params.filter_map(|(name, value)| match value {
        Some(value) => Some((text(name)?, Some(text(value)?))),
        None => Some((text(name)?, None)),
    });
    Parameters::from_pairs(pairs).map_err(|_| Refusal::Malformed)
}

/// The providers of this request, for Feature-Caps; all of ours for a request that asks in general.
///
/// Spec: RFC 8599 §4.1.1, §5.6.1
pub fn providers(message: &Message<'_>) -> Vec<&'static str> {
    let mut found = Vec::new();
    for contact in message.contacts().flatten() {
        let uri = contact.address().and_then(|address| address.uri().ok());
        if uri.is_some_and(|uri| uri.params.get("pn-provider") == Some(b"")) {
            return Provider::ALL.map(Provider::name).to_vec();
        }
        let parameters = uri.and_then(|uri| parameters(&uri).ok().flatten());
        let provider = parameters.and_then(|found| Provider::parse(&found.provider));
        match provider {
            Some(provider) if !found.contains(&provider.name()) => found.push(provider.name()),
            Some(_) | None => (),
        }
    }
    found
}

/// A contact without the parameters that hold a push token.
pub fn without_push(contact: &str) -> String {
    let at = contact.find('@').unwrap_or(0);
    let (user, rest) = contact.split_at(at);
    let mut parts = rest.split(';');
    let mut out = format!("{user}{}", parts.next().unwrap_or_default());
    for part in parts {
        let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        if !name.starts_with("pn-") && name != "app-id" {
            out.push(';');
            out.push_str(part);
        }
    }
    out
}

/// A header's text on one line, cut.
pub fn one_line(value: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(value);
    let mut out = String::new();
    for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        if out.len() + letter.len_utf8() > max {
            break;
        }
        out.push(letter);
    }
    out
}
