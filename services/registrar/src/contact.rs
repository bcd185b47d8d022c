//! What a REGISTER asks for, read and judged as a whole before anything changes.

use std::net::SocketAddr;

use pns::{Parameters, Provider, Target};
use sip::{Contact, Message, Name, NameAddr, Scheme, Uri};
use switchboard::Effects;
use switchboard::directory::Binding;
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
    contact: String,
    instance: String,
    /// `None`: the binding ends.
    pub binding: Option<Binding>,
}

impl Wish {
    /// Whether the contact of this binding is meant, or its device's flow.
    ///
    /// Spec: RFC 3261 §10.3 step 7, RFC 5626 §6
    pub fn is_about(&self, known: &Binding) -> bool {
        if !self.instance.is_empty() && self.instance == known.instance {
            return true;
        }
        if self.contact == known.contact {
            return true;
        }
        // A phone with a new token is the same phone.
        let (mine, theirs) = (without_push(&self.contact), without_push(&known.contact));
        match (Uri::decode(mine.as_bytes()), Uri::decode(theirs.as_bytes())) {
            (Ok(mine), Ok(theirs)) => mine.is_same(&theirs),
            _ => false,
        }
    }

    /// Whether a binding comes of it.
    pub fn lasts(&self) -> bool {
        self.binding.is_some()
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
    let path = path(message)?;
    let request = Request { message, flow, config, expires, path, effects };
    addresses
        .iter()
        .map(|address| request.wish(address))
        .collect::<Result<_, _>>()
        .map(Asked::Change)
}

struct Request<'a> {
    message: &'a Message<'a>,
    flow: Flow,
    config: &'a Config,
    expires: Option<u32>,
    path: String,
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
        let seconds = self.seconds(address)?;
        if seconds == 0 {
            return Ok(Wish { contact, instance, binding: None });
        }
        if names_us(&uri, self.flow, self.effects) {
            return Err(Refusal::ContactIsOurs);
        }
        let flow = if self.path.is_empty() { way_to(&uri, self.flow) } else { self.flow };
        let now = self.effects.unix();
        let binding = Binding {
            contact: contact.clone(),
            flow,
            path: self.path.clone(),
            until: now + types::Seconds(seconds).into(),
            seen: now,
            q: address.q().unwrap_or(1_000),
            call_id: String::from_utf8_lossy(self.message.call_id()).into_owned(),
            cseq: self.message.cseq().map_or(0, |cseq| cseq.number),
            instance: instance.clone(),
            user_agent: one_line(
                self.message.first(Name::UserAgent).unwrap_or_default(),
                WORDS_MAX,
            ),
            push: push(&uri)?,
        };
        Ok(Wish { contact, instance, binding: Some(binding) })
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

/// Where a request for this contact goes: on streams the way it came, for datagrams to the contact's own address
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

/// `+sip.instance` and `reg-id`, which together name one flow of one device.
///
/// Spec: RFC 5626 §4.2, §6
fn instance(address: &NameAddr<'_>) -> String {
    let text = |name| address.params.get(name).and_then(|value| std::str::from_utf8(value).ok());
    match (text("+sip.instance"), text("reg-id").and_then(|id| id.parse::<u32>().ok())) {
        (Some(instance), Some(reg_id))
            if instance.len() <= WORDS_MAX && !instance.contains(char::is_control) =>
        {
            format!("{instance};{reg_id}")
        }
        _ => String::new(),
    }
}

/// Whether the outbound extension is in use: the phone knows it and names its flow.
///
/// Spec: RFC 5626 §6
pub fn uses_outbound(message: &Message<'_>) -> bool {
    message.has_token(Name::Supported, "outbound")
        && message
            .contacts()
            .flatten()
            .any(|contact| contact.address().is_some_and(|address| !instance(address).is_empty()))
}

/// The proxies to go through; only for phones that know of them.
///
/// Spec: RFC 3327 §5.3
fn path(message: &Message<'_>) -> Result<String, Refusal> {
    if !message.has_token(Name::Supported, "path") {
        return Ok(String::new());
    }
    let values: Vec<_> = message.values(Name::Path).map(String::from_utf8_lossy).collect();
    let path = values.join(", ");
    let readable = message.values(Name::Path).all(|value| NameAddr::decode(value).is_ok());
    if path.len() > PATH_MAX || !readable || path.contains(['\r', '\n']) {
        return Err(Refusal::Malformed);
    }
    Ok(path)
}

/// The device to wake. Without a token the phone only asks what we support.
///
/// Spec: RFC 8599 §4.1.1, §5.6
fn push(uri: &Uri<'_>) -> Result<Option<Target>, Refusal> {
    let Some(parameters) = parameters(uri)? else { return Ok(None) };
    if Provider::parse(&parameters.provider).is_none() {
        return Err(Refusal::ProviderUnknown);
    }
    Ok(parameters.target())
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
