//! What the tree means: addresses, ranges and spans; and what of it cannot be.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use net::tls::Files;
use sip::digest::Algorithm;
use store::Address;
use types::Transport;

use super::read::{Fault, Places};
use super::units::{advertised, host, listener, octets, outward, ports};
use super::{Base, Tree};

/// Most listeners: flows number them with one octet.
const LISTENERS_MAX: usize = 64;
/// The port of a name server when none is said.
const DNS_PORT: u16 = 53;
/// Most event loops.
const SHARDS_MAX: u16 = 64;

/// Where a node keeps what lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere.
    Memory,
}

/// Where the rows are.
#[derive(Clone, Debug)]
pub enum Database {
    /// In a file of the data folder.
    Embedded,
    /// On a PostgreSQL server.
    Server(Address),
}

/// One SIP listener, by its place in `sip.listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// How.
    pub transport: Transport,
    /// What is bound. Port 0: the system chooses.
    pub address: SocketAddr,
    /// Host that Via and Contact carry.
    pub host: String,
    /// Port that they carry, when it is not the bound one.
    pub port: Option<u16>,
}

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Where things are kept.
    pub data: Place,
    /// Where the rows are.
    pub database: Database,
    /// How long a drain may take.
    pub drain: Duration,
    /// In the order of `sip.listen`.
    pub listeners: Vec<Bind>,
    /// Certificates and keys of TLS.
    pub tls: Files,
    /// Whether `dev` makes its own certificate.
    pub self_signed: bool,
    /// Name servers; none: the system's.
    pub resolver: Vec<SocketAddr>,
    /// Algorithms of a challenge, in order.
    pub digest: Vec<Algorithm>,
    /// Event loops.
    pub shards: u16,
    /// Where RTP sockets are bound.
    pub media: IpAddr,
    /// What SDP carries.
    pub media_advertised: IpAddr,
    /// RTP ports.
    pub ports: RangeInclusive<u16>,
    /// The first port that phones share.
    pub shared_port: Option<u16>,
    /// Whether AMR is spoken, and whether it is offered.
    pub amr: (bool, bool),
    /// The port of browsers.
    pub webrtc: Option<Webrtc>,
    /// The HTTP listener.
    pub http: SocketAddr,
    /// Octets of the ladder of the node.
    pub ladder: usize,
    /// Things that were asked for and that this version does not do, for the log.
    pub ignored: Vec<String>,
}

/// The port of browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Webrtc {
    /// Where it is bound.
    pub bind: SocketAddr,
    /// What descriptions carry; its port is that which was bound.
    pub advertised: IpAddr,
    /// Nobody chose it: another port will do.
    pub is_default: bool,
}

pub fn resolve(tree: &Tree, base: Base, places: &Places<'_>) -> Result<Resolved, Fault> {
    let data = match tree.node.data.as_str() {
        "" => return Err(places.fault("node.data", "wants a folder, or \":memory:\"")),
        ":memory:" => Place::Memory,
        folder => Place::Folder(PathBuf::from(folder)),
    };
    if tree.node.domain.is_empty() || advertised(&tree.node.domain).is_none() {
        return Err(places.fault("node.domain", "wants a host name"));
    }
    not_yet(tree, places)?;
    let mut ignored = Vec::new();
    let listeners = listeners(tree, places)?;
    let tls = tls(tree, base, places, &listeners)?;
    let has_tls = listeners.iter().any(|bind| is_secure(bind.transport));
    if tree.media.ports.is_empty() {
        return Err(places.fault("media.ports", "wants a range such as \"20000-20999\""));
    }
    let shards = tree.sip.shards;
    if shards == 0 || shards > SHARDS_MAX {
        return Err(places.fault("sip.shards", &format!("wants 1 to {SHARDS_MAX}")));
    }
    let (media, media_advertised) = media(tree, places)?;
    let rtp = ports(&tree.media.ports).map_err(|why| places.fault("media.ports", why))?;
    let http: SocketAddr =
        tree.http.listen.parse().map_err(|_| {
            places.fault("http.listen", "wants ADDRESS:PORT, as \"127.0.0.1:8088\"")
        })?;
    let public = &tree.http.public;
    if !public.is_empty() && !public.starts_with("https://") && !public.starts_with("http://") {
        return Err(places.fault("http.public", "wants a base that begins with https://"));
    }
    if base == Base::Dev {
        let stays = "`carillon dev` stays on loopback: use `carillon serve`";
        if !http.ip().is_loopback() {
            return Err(places.fault("http.listen", stays));
        }
        if listeners.iter().any(|bind| !bind.address.ip().is_loopback()) {
            return Err(places.fault("sip.listen", stays));
        }
    }
    if places.is_set("msrp.listen") {
        ignored.push("msrp.listen".to_owned());
    }
    if !tree.imap.listen.is_empty() {
        ignored.push("imap.listen".to_owned());
    }
    Ok(Resolved {
        data,
        database: database(tree, places)?,
        drain: tree.node.drain.into(),
        self_signed: has_tls && tls.served.is_none(),
        listeners,
        tls,
        resolver: resolver(tree, places)?,
        digest: digest(tree, places)?,
        shards,
        media,
        media_advertised,
        webrtc: webrtc(tree, places, (media, media_advertised), &rtp)?,
        shared_port: shared_port(tree, places, &rtp)?,
        amr: match tree.media.amr.as_str() {
            "off" => (false, false),
            "answer" => (true, false),
            "offer" => (true, true),
            other => {
                return Err(places.fault(
                    "media.amr",
                    &format!("{other:?} is none of \"off\", \"answer\" and \"offer\""),
                ));
            }
        },
        ports: rtp,
        http,
        ladder: octets(&tree.ladder.memory)
            .ok_or_else(|| places.fault("ladder.memory", "wants a size such as \"64MB\""))?,
        ignored,
    })
}

/// What CONTRACT names and this version has not.
fn not_yet(tree: &Tree, places: &Places<'_>) -> Result<(), Fault> {
    let asked = [
        ("store.blobs", !tree.store.blobs.is_empty()),
        ("bus.url", !tree.bus.url.reveal().is_empty()),
    ];
    for (key, is_asked) in asked {
        if is_asked {
            return Err(places.fault(key, "not in this version: leave it empty"));
        }
    }
    if !matches!(tree.guard.http_targets.as_str(), "any" | "public") {
        return Err(places.fault("guard.http_targets", "wants \"public\" or \"any\""));
    }
    if !matches!(tree.rooms.voice.sip_targets.as_str(), "any" | "public") {
        return Err(places.fault("voice.sip_targets", "wants \"public\" or \"any\""));
    }
    for (place, connector) in tree.rooms.voice.siprec.iter().enumerate() {
        let before = tree.rooms.voice.siprec.iter().take(place);
        if connector.name.is_empty() || before.clone().any(|one| one.name == connector.name) {
            return Err(places.fault("voice.siprec", "each wants a `name` of its own"));
        }
        if connector.host().is_none() {
            let why = "each wants an `address` such as \"sip:recorder@10.0.0.7;transport=tcp\"";
            return Err(places.fault("voice.siprec", why));
        }
    }
    let speakers =
        [("speech.url", &tree.speech.url), ("transcription.url", &tree.transcription.url)];
    for (key, url) in speakers {
        if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(places.fault(key, "wants an address of http or https"));
        }
    }
    if !tree.transcription.url.is_empty() && !tree.transcription.command.is_empty() {
        let why = "only one may listen: leave it or `transcription.url` empty";
        return Err(places.fault("transcription.command", why));
    }
    let url = &tree.speech.url;
    if !url.is_empty() && !tree.speech.command.is_empty() {
        return Err(
            places.fault("speech.command", "only one may speak: leave it or `speech.url` empty")
        );
    }
    Ok(())
}

fn database(tree: &Tree, places: &Places<'_>) -> Result<Database, Fault> {
    let url = tree.store.url.reveal();
    if url.is_empty() {
        return Ok(Database::Embedded);
    }
    let address = Address::parse(url);
    Ok(Database::Server(address.map_err(|why| places.secret_fault("store.url", &why.to_string()))?))
}

fn listeners(tree: &Tree, places: &Places<'_>) -> Result<Vec<Bind>, Fault> {
    const KEY: &str = "sip.listen";
    let fault = |why: &str| places.fault(KEY, why);
    let shown =
        Shown::read(&tree.sip.advertise).map_err(|why| places.fault("sip.advertise", &why))?;
    let mut found: Vec<Bind> = Vec::new();
    for text in &tree.sip.listen {
        let (scheme, address) = listener(text).map_err(|why| fault(&format!("`{text}` {why}")))?;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let transport = Transport::parse(scheme.as_bytes())
            .ok_or_else(|| fault(&format!("`{text}`: no such transport")))?;
        let same = |known: &&Bind| known.transport == transport && known.address == address;
        if address.port() != 0 && found.iter().any(|known| same(&known)) {
            return Err(fault(&format!("`{text}` stands there twice")));
        }
        if !tree.sip.require_auth && !address.ip().is_loopback() {
            return Err(places.fault(
                "sip.require_auth",
                &format!("false is for loopback listeners only, and `{text}` is none"),
            ));
        }
        let (host, port) = match shown.of(transport) {
            Some((host, port)) => (host, port),
            None => (named(address.ip()).ok_or_else(|| unnamed(places, KEY, text))?, None),
        };
        found.push(Bind { transport, address, host, port });
    }
    if found.len() > LISTENERS_MAX {
        return Err(fault(&format!("at most {LISTENERS_MAX} listeners")));
    }
    if found.is_empty() {
        return Err(fault("wants at least one listener"));
    }
    Ok(found)
}

/// Host and port of `sip.advertise`, for one transport each or for all.
struct Shown(Vec<(Option<Transport>, String, Option<u16>)>);

impl Shown {
    fn read(text: &str) -> Result<Self, String> {
        const FORM: &str = "wants HOST or HOST:PORT, or one for each transport as tls://HOST:PORT";
        let mut found: Vec<(Option<Transport>, String, Option<u16>)> = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (transport, address) = match word.split_once("://") {
                Some((scheme, address)) => {
                    let known = Transport::parse(scheme.as_bytes());
                    (Some(known.ok_or_else(|| format!("`{scheme}`: no such transport"))?), address)
                }
                None => (None, word),
            };
            let (host, port) = advertised(address).ok_or(FORM)?;
            if found.iter().any(|(known, ..)| *known == transport) {
                return Err(format!("`{word}` is the second for its transport"));
            }
            found.push((transport, host, port));
        }
        Ok(Self(found))
    }

    fn of(&self, transport: Transport) -> Option<(String, Option<u16>)> {
        let own = self.0.iter().find(|(known, ..)| *known == Some(transport));
        let found = own.or_else(|| self.0.iter().find(|(known, ..)| known.is_none()));
        found.map(|(_, host, port)| (host.clone(), *port))
    }
}

fn is_secure(transport: Transport) -> bool {
    matches!(transport, Transport::Tls | Transport::Wss)
}

fn tls(tree: &Tree, base: Base, places: &Places<'_>, listeners: &[Bind]) -> Result<Files, Fault> {
    let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    let (certificate, key) = (path(&tree.tls.certificate), path(&tree.tls.key));
    let served = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => return Err(places.fault("tls.key", "wants the certificate's key")),
        (None, Some(_)) => {
            return Err(places.fault("tls.certificate", "wants the key's certificate"));
        }
        (None, None) => None,
    };
    let secure = listeners.iter().find(|bind| is_secure(bind.transport));
    if let (Some(bind), None, Base::Serve) = (secure, &served, base) {
        let listener = format!("{}://{}", bind.transport.param(), bind.address);
        let why = format!("`{listener}` wants tls.certificate and tls.key, two files in PEM");
        return Err(places.fault("sip.listen", &why));
    }
    let (authorities, ask_callers) = (path(&tree.tls.authorities), tree.tls.ask_callers);
    Ok(Files { served, authorities, ask_callers })
}

fn resolver(tree: &Tree, places: &Places<'_>) -> Result<Vec<SocketAddr>, Fault> {
    let read = |text: &String| {
        let port = |ip: IpAddr| SocketAddr::new(ip, DNS_PORT);
        let found = text.parse().or_else(|_| text.parse().map(port));
        let why = format!("`{text}` wants the form \"192.0.2.53:53\"");
        found.map_err(|_: std::net::AddrParseError| places.fault("sip.resolver", &why))
    };
    tree.sip.resolver.iter().map(read).collect()
}

fn unnamed(places: &Places<'_>, key: &str, text: &str) -> Fault {
    places
        .fault(key, &format!("`{text}` is every address and none is found to name: set advertise"))
}

/// The host of an address; for every address the one that reaches others.
fn named(ip: IpAddr) -> Option<String> {
    if ip.is_unspecified() { outward(ip.is_ipv6()).map(host) } else { Some(host(ip)) }
}

fn media(tree: &Tree, places: &Places<'_>) -> Result<(IpAddr, IpAddr), Fault> {
    let bound: IpAddr = tree
        .media
        .address
        .parse()
        .map_err(|_| places.fault("media.address", "wants an address"))?;
    if bound == IpAddr::V6(Ipv6Addr::UNSPECIFIED) || bound.is_unspecified() {
        if tree.media.advertise.is_empty() {
            let found = outward(bound.is_ipv6());
            let none = || unnamed(places, "media.address", &tree.media.address);
            return Ok((bound, found.ok_or_else(none)?));
        }
    } else if tree.media.advertise.is_empty() {
        return Ok((bound, bound));
    }
    let shown = tree
        .media
        .advertise
        .parse()
        .map_err(|_| places.fault("media.advertise", "wants an address"))?;
    Ok((bound, shown))
}

/// The first of the ports that phones share.
fn shared_port(
    tree: &Tree,
    places: &Places<'_>,
    rtp: &RangeInclusive<u16>,
) -> Result<Option<u16>, Fault> {
    let (first, shards) = (tree.media.shared_port, tree.sip.shards);
    if first == 0 {
        return Ok(None);
    }
    let fault = |why: &str| places.fault("media.shared_port", &format!("{first} {why}"));
    let last = first.checked_add(2 * shards - 1).ok_or_else(|| fault("leaves no room"))?;
    if first % 2 == 1 {
        return Err(fault("is odd: choose an even port"));
    }
    let webrtc = listener(&tree.media.webrtc).map(|(_, bind)| bind.port());
    if first <= *rtp.end() && *rtp.start() <= last {
        return Err(fault("or one above it is one of `media.ports`: each shard takes two"));
    }
    if webrtc.is_ok_and(|port| (first..=last).contains(&port)) {
        return Err(fault("or one above it is that of `media.webrtc`: each shard takes two"));
    }
    Ok(Some(first))
}

/// The port of browsers. One that nobody chose is where media is, and gives way to RTP.
fn webrtc(
    tree: &Tree,
    places: &Places<'_>,
    (media, advertised): (IpAddr, IpAddr),
    rtp: &RangeInclusive<u16>,
) -> Result<Option<Webrtc>, Fault> {
    const KEY: &str = "media.webrtc";
    let text = &tree.media.webrtc;
    if text.is_empty() {
        return Ok(None);
    }
    let fault = |why: &str| places.fault(KEY, &format!("`{text}` {why}"));
    let (scheme, mut bind) = listener(text).map_err(fault)?;
    if scheme != "udp" {
        return Err(fault("wants udp://ADDRESS:PORT"));
    }
    if !places.is_set(KEY) {
        let port = if rtp.contains(&bind.port()) { 0 } else { bind.port() };
        let bind = SocketAddr::new(media, port);
        return Ok(Some(Webrtc { bind, advertised, is_default: true }));
    }
    bind.set_ip(bind.ip().to_canonical());
    if rtp.contains(&bind.port()) {
        return Err(fault("is one of `media.ports`: choose another port"));
    }
    if bind.is_ipv4() != media.is_ipv4() {
        return Err(fault("wants an address of the same kind as `media.address`"));
    }
    let own = tree.media.advertise.is_empty() && !bind.ip().is_unspecified();
    let advertised = if own { bind.ip() } else { advertised };
    Ok(Some(Webrtc { bind, advertised, is_default: false }))
}

fn digest(tree: &Tree, places: &Places<'_>) -> Result<Vec<Algorithm>, Fault> {
    let mut found = Vec::new();
    for name in &tree.sip.digest {
        let Some(algorithm) = Algorithm::parse(name.as_bytes()) else {
            let known: Vec<_> = Algorithm::ALL.iter().map(|known| known.name()).collect();
            let why = format!("`{name}` is none of {}", known.join(", "));
            return Err(places.fault("sip.digest", &why));
        };
        if !found.contains(&algorithm) {
            found.push(algorithm);
        }
    }
    if found.is_empty() {
        return Err(places.fault("sip.digest", "wants at least one algorithm"));
    }
    Ok(found)
}
