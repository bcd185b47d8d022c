//! A running node: built from a configuration, run, drained, stopped.
//!
//! Picture     start: credentials -> sockets -> log, database, blobs -> pump, pushes -> shards -> streams -> HTTP
//!             stop: drain -> streams -> HTTP -> shards -> projector -> log -> database
//! Rules       Nothing is answered before the log was read. What cannot be had names the key to change.
//! Limits      STREAM_EVENTS wait in the boxes of post; those of the parts.
//! Not here    What anything means (switchboard, rooms); words for people (role).
//! Spec        DESIGN §4, §5

mod app_sockets;
mod clock;
mod crashes;
mod credentials;
mod crowd;
mod doors;
mod ears;
mod flows;
mod health;
mod held;
mod lines;
mod listen;
mod media_streams;
mod meters;
mod parts;
mod phones;
mod post;
mod pushes;
mod shard;
mod sounds;
mod tape;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use blobs::Blobs;
use blobs::picture::Pictures;
use media_io::Pump;
use net::dns::Resolver;
use net::stream::{Setup, Streams};
use net::tls::Tls;
use push_io::Sender;
use push_io::stand_in::StandIns;
use sound::{Clips, Recorder};
use store::{Absent, Address, Keeper, Projector, Store};
use switchboard::{ApiRequest, ApiResponse, Keys};
use types::BridgeId;
use web::{Part, Web, WebConfig};

pub use clock::unix;
pub use credentials::{Credentials, ENV_FILE, random};

use crate::config::{Base, Database, Loaded, Place, Resolved};
use crate::rooms;
use crashes::Crashes;
use doors::{Doors, Outside};
use health::Health;
use lines::Lines;
use meters::Meters;
use parts::Parts;
use phones::Phones;
use post::{Door, Post};
use tape::Tape;

/// Threads that make pictures.
const PICTURE_THREADS: usize = 1;
/// How often a drain looks whether calls are left.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// How long HTTP requests may still take at the end.
const HTTP_GRACE: Duration = Duration::from_secs(2);
/// The log, in the data folder.
pub const KEEPER_FOLDER: &str = "keeper";
/// The embedded database.
pub const DATABASE_FILE: &str = "carillon.sqlite";
/// Names the server's database that the folder belongs to.
const DATABASE_NOTE: &str = "database";
/// Pictures.
const BLOBS_FOLDER: &str = "blobs";
/// Clips and recordings, apart from pictures: their addresses reach nothing else.
const SOUNDS_FOLDER: &str = "sounds";
/// What a caught panic leaves.
const CRASHES_FOLDER: &str = "crashes";

/// Why a node could not start: our side, or what the file asks for.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Blobs.
    #[error("cannot open the blobs (store.blobs, node.data)")]
    Blobs(#[source] blobs::Fault),
    /// The client of webhooks.
    #[error("cannot ask anybody outside (guard.http_targets)")]
    Client(#[source] web::client::ClientFault),
    /// The data folder.
    #[error("cannot use {} (node.data)", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that a key names.
    #[error("cannot read {} ({key})", path.display())]
    File {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key that we made and that does not read any more.
    #[error("{} is damaged ({key})", path.display())]
    Key {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A SIP listener.
    #[error("cannot listen on {what} (sip.listen)")]
    Listen {
        /// The listener.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate that browsers see.
    #[error("cannot make the certificate of browser media")]
    Certificate,
    /// The port of browsers.
    #[error("cannot bind {address} for the media of browsers: choose another `media.webrtc`")]
    Webrtc {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A port that phones share.
    #[error(
        "cannot bind {address} or the port above it for phones: choose another `media.shared_port`"
    )]
    SharedPort {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The media pump.
    #[error("cannot start the media pump")]
    Pump(#[source] media_io::Fault),
    /// A push service.
    #[error("cannot set up pushes")]
    Push(#[source] push_io::Fault),
    /// The recording.
    #[error("cannot write the recording to {} (--record)", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log, or the database in the folder.
    #[error("cannot open the store (node.data)")]
    Store(#[source] store::Fault),
    /// The database on a server.
    #[error("cannot use the database (store.url)")]
    Database(#[source] store::Fault),
    /// Certificates and keys.
    #[error("cannot set up TLS (tls.certificate, tls.key, tls.authorities)")]
    Tls(#[source] net::tls::Fault),
    /// Name servers.
    #[error("cannot ask name servers (sip.resolver)")]
    Resolver(#[source] std::io::Error),
    /// No thread, no descriptor.
    #[error("the system gives no more threads or descriptors")]
    System(#[source] std::io::Error),
    /// The HTTP door.
    #[error(transparent)]
    Web(web::Fault),
}

impl Fault {
    /// The whole chain in one line.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(why) = source {
            line.push_str(": ");
            line.push_str(&why.to_string());
            source = why.source();
        }
        line
    }
}

/// Opens the rooms of one shard, in corridor order. Called again for a room that panicked.
pub type Rooms = fn(&services::Config) -> Vec<Box<dyn switchboard::Service>>;

/// How a node is to run, beside its file.
#[derive(Clone, Debug)]
pub struct How {
    /// Which role.
    pub base: Base,
    /// Where inputs are recorded.
    pub record: Option<PathBuf>,
    /// Where `.env.carillon` lies when nothing else is kept.
    pub env_folder: PathBuf,
    /// The corridor: `services::open`, but in tests of the middle.
    pub rooms: Rooms,
}

/// A node that runs.
pub struct Host {
    doors: Arc<Doors>,
    threads: Vec<JoinHandle<()>>,
    keeper: Keeper,
    projector: Arc<Mutex<Projector>>,
    watch: tokio::task::JoinHandle<()>,
    tls: Arc<Tls>,
    certificates: tokio::task::JoinHandle<()>,
    streams: Streams,
    web: Web,
    meters: Meters,
    keys: Keys,
    /// What it knows itself by.
    pub credentials: Credentials,
    /// The listener that people are told.
    pub sip: SocketAddr,
    /// Base of the addresses that it hands out.
    pub public: String,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// The push services of `dev`.
    pub stand_ins: Option<Arc<StandIns>>,
}

impl Host {
    /// Builds and starts all of it. To be called on the runtime that carries its tasks.
    pub async fn start(loaded: &Loaded, how: &How) -> Result<Self, Fault> {
        let (tree, resolved) = (&loaded.tree, &loaded.resolved);
        let folder = match &resolved.data {
            Place::Folder(folder) => folder.clone(),
            Place::Memory => how.env_folder.clone(),
        };
        let fresh_vapid = || push_io_vapid();
        let credentials = credentials::open(&folder, &tree.admin, &tree.node.domain, fresh_vapid)?;
        let keys = Keys::new(credentials.secret);
        let tape = how.record.as_deref().map(record).transpose()?;
        let mut bound = listen::bind(resolved)?;
        let sip = bound.first().unwrap_or(resolved.http);
        let shards = usize::from(resolved.shards);
        let kept = Kept::open(resolved)?;
        let (push_config, stand_ins) = pushes::config(tree, how.base, &credentials.vapid).await?;
        let parts = Parts::new(shards);
        let has_push =
            [push_config.apns.is_some(), push_config.fcm.is_some(), push_config.webpush.is_some()];
        parts.say("push", if has_push.contains(&true) { Part::Ready } else { Part::Unused });
        let health = Arc::new(Health::new(parts.clone(), kept.store.clone()));
        let push_key = push_config.webpush.as_ref().map(push_io::Vapid::public_key);
        let sender = Arc::new(Sender::new(push_config).map_err(Fault::Push)?);
        let public_only = tree.guard.http_targets != "any";
        let client = Arc::new(web::client::Client::new(public_only).map_err(Fault::Client)?);
        let mut boxes = Vec::new();
        for _ in 0..shards {
            boxes.push(Door::new().map_err(Fault::System)?);
        }
        let (door, doors) = browsers(resolved.webrtc.as_ref())?.unzip();
        let mut doors = doors.unwrap_or_default();
        doors.shared = shared_ports(resolved)?;
        let (known, coders) = amr(resolved);
        parts.say("amr", if known.narrow || known.wide { Part::Ready } else { Part::Unused });
        let pump = Arc::new(pump(resolved.media, doors, coders, &boxes)?);
        let counted = Arc::clone(&pump);
        let engine = Box::new(sounds::Engine(Arc::clone(&pump)));
        let clips = Clips::start(kept.sounds.clone(), engine).map_err(Fault::System)?;
        let resolver =
            Resolver::start(&resolved.resolver, bound.ways()).map_err(Fault::Resolver)?;
        let tls = Arc::new(flows::tls(resolved, &folder)?);
        parts.say("media", Part::Ready);
        let outside = Outside {
            store: kept.store.clone(),
            blobs: kept.blobs.clone(),
            pictures: Pictures::start(PICTURE_THREADS).map_err(Fault::System)?,
            clips: clips.clone(),
            recorder: Recorder::start(&clips).map_err(Fault::System)?,
            voices: sounds::voices(&tree.speech, tokio::runtime::Handle::current())
                .map_err(Fault::Client)?,
            ears: ears::Ears::new(&tree.transcription).map_err(Fault::Client)?,
            sender,
            client,
            runtime: tokio::runtime::Handle::current(),
            pump,
            resolver,
            parts: parts.clone(),
            health: Arc::clone(&health),
        };
        let clock = clock::Ticker::start();
        let phones = Phones::new(keys, &tree.node.domain, clock.clone());
        let doors = Arc::new(Doors::new(outside, boxes, phones.clone()));
        phones.connect(&doors);
        let meters = Meters::new(shards);
        let setup = Setup {
            tls: Some(Arc::clone(&tls)),
            origins: tree.sip.origins.clone(),
            before: flows::connections_before(),
        };
        let streams = flows::open(&doors, keys, &bound.streams, setup)?;
        // Set once, here.
        let _ = doors.lines.set(Lines::new(streams.clone()));
        for (place, listener) in (0..).zip(&mut bound.listeners) {
            if let Some(address) = streams.local(place) {
                listener.1 = address;
            }
        }
        let public = public(&tree.http.public, resolved.http);
        let web_config = WebConfig {
            token: credentials.token.clone(),
            apps: credentials.apps.clone(),
            public: public.clone().unwrap_or_default(),
            keys,
            manifests: rooms::manifests(),
            shards,
            submit: submit(&doors),
            blobs: read_blob(&kept.blobs),
            sounds: Some(Arc::new(sounds::Library(clips))),
            ready: {
                let parts = parts.clone();
                Arc::new(move || parts.list())
            },
            metrics: {
                let (meters, streams) = (meters.clone(), streams.clone());
                let pump = Arc::clone(&counted);
                let (log, blobs, sounds) = (kept.damage, kept.blobs.clone(), kept.sounds.clone());
                Arc::new(move || {
                    let damage = meters::damage(log, blobs.damaged() + sounds.damaged());
                    let strangers = meters::strangers(pump.strangers());
                    meters.text(&parts.list()) + &flows::count(&streams) + &damage + &strangers
                })
            },
            dev: stand_ins.as_ref().map(|services| {
                crate::role::dev_routes(Arc::clone(services), credentials.token.clone())
            }),
            chance: Arc::new(random),
            phones: Some(Arc::new(move |page| phones.take(page))),
            asyncapi: voice::socket::described::describe().to_string(),
            push_key,
            console: web::embedded(),
        };
        let web = Web::start(resolved.http, web_config).map_err(Fault::Web)?;
        let http = web.address();
        let _ = doors.web.set(web.clone());
        let public = public.unwrap_or_else(|| format!("http://{http}"));
        credentials.note_url(&public)?;
        let shard_config = |index| switchboard::Config {
            index,
            shards,
            seed: random(),
            secret: credentials.secret,
            domain: tree.node.domain.clone(),
            hosts: bound.hosts(),
            listeners: bound.named(),
            require_auth: tree.sip.require_auth,
            digest: resolved.digest.clone(),
            media_address: resolved.media_advertised,
            media_ports: resolved.ports.clone(),
            shared_port: resolved.shared_port,
            amr: known,
            door,
            public: public.clone(),
            push_wait: tree.rooms.push.wait.into(),
            apps: credentials.apps.clone(),
            ladder_memory: resolved.ladder / shards,
            timers: sip::transaction::Timers::default(),
        };
        let configs: Vec<_> = (0..shards).map(shard_config).collect();
        let crashes = Crashes::new(match &resolved.data {
            Place::Folder(folder) => Some(folder.join(CRASHES_FOLDER)),
            Place::Memory => None,
        });
        let mut entries = by_shard(kept.entries, shards);
        let mut threads = Vec::new();
        for (index, config) in configs.into_iter().enumerate() {
            let head = tape.as_ref().map(|tape| tape.head(&config, &tree.rooms_text));
            let rooms = tree.rooms.clone();
            let sockets = bound.udp.get_mut(index).map(std::mem::take).unwrap_or_default();
            let parts = shard::Parts {
                index,
                config,
                open: how.rooms,
                rooms,
                keys,
                sockets,
                writer: kept.keeper.writer(index as u16),
                doors: Arc::clone(&doors),
                meters: meters.clone(),
                clock: clock.clone(),
                head,
                crashes: crashes.clone(),
            };
            let own = entries.get_mut(index).map(std::mem::take).unwrap_or_default();
            threads.push(spawn(parts, own)?);
        }
        let projector =
            Projector::start(&kept.keeper, kept.store.clone(), rooms::project, Arc::new(|| ()))
                .map_err(Fault::Store)?;
        let projector = Arc::new(Mutex::new(projector));
        let watch = health::watch(health, kept.store, Arc::clone(&projector));
        let watch = tokio::spawn(watch);
        let certificates = tokio::spawn(flows::watch_certificates(Arc::clone(&tls)));
        Ok(Self {
            tls,
            certificates,
            doors,
            threads,
            keeper: kept.keeper,
            projector,
            watch,
            streams,
            web,
            meters,
            keys,
            credentials,
            sip,
            public,
            http,
            stand_ins,
        })
    }

    /// Whether the database was not there when we started, and has not come yet.
    pub fn lacks_database(&self) -> bool {
        self.doors.store.trouble().is_some()
    }

    /// Whether every part is ready.
    pub fn ready(&self) -> bool {
        let parts = self.doors.parts.list();
        // Each shard has told at least that its loop runs.
        !parts.is_empty() && self.doors.parts.ready()
    }

    /// What is not ready.
    pub fn faults(&self) -> Vec<(String, String)> {
        let parts = self.doors.parts.list();
        let faults = parts.into_iter().filter(|(_, part)| !part.is_ready());
        faults.map(|(name, part)| (name, part.word().to_owned())).collect()
    }

    /// Asks the home of a user, by the road that the API takes.
    pub async fn ask_user(&self, user: &str, request: ApiRequest) -> Option<ApiResponse> {
        let shard = self.keys.slot(user.as_bytes()).shard(self.doors.shards.len());
        self.doors.request(shard, request).await
    }

    /// A link that signs somebody in, once.
    pub fn sign_in_link(&self, user: &str, base: &str) -> String {
        self.web.link(Some(user.to_owned()), true, base)
    }

    /// Reads certificates and keys again.
    pub fn reload_certificates(&self) {
        flows::reload(&self.tls);
    }

    /// No new calls; returns when none is left or `limit` is over.
    pub async fn drain(&self, limit: Duration) {
        for door in &self.doors.shards {
            door.tell(Post::Drain);
        }
        let until = tokio::time::Instant::now() + limit;
        // The gauges are told once a second: look at what was told after the drain began.
        tokio::time::sleep_until(until.min(tokio::time::Instant::now() + GAUGES_FRESH)).await;
        while self.meters.gauge("legs") > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// Ends everything, in an order in which nothing acknowledged is lost.
    pub async fn stop(mut self) {
        self.watch.abort();
        self.certificates.abort();
        self.streams.stop();
        self.web.stop(HTTP_GRACE).await;
        for door in &self.doors.shards {
            door.tell(Post::Stop);
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("shard_thread_panicked");
                }
            }
            self.keeper.stop();
            self.projector.lock().unwrap_or_else(PoisonError::into_inner).stop();
            self.doors.store.shutdown();
        });
        if joined.await.is_err() {
            tracing::error!("stop_panicked");
        }
    }
}

/// After this time every shard has told its gauges anew.
const GAUGES_FRESH: Duration = Duration::from_millis(1_200);

/// What was found on the disk, open.
struct Kept {
    keeper: Keeper,
    /// What lives, then what is over.
    entries: Vec<switchboard::store::Entry>,
    /// Places of the log that could not be read.
    damage: usize,
    store: Store,
    blobs: Blobs,
    sounds: Blobs,
}

impl Kept {
    fn open(resolved: &Resolved) -> Result<Self, Fault> {
        let at = |name: &str| match &resolved.data {
            Place::Folder(folder) => folder.join(name),
            Place::Memory => PathBuf::from(":memory:"),
        };
        let (keeper, recovered) =
            Keeper::open(at(KEEPER_FOLDER), resolved.shards).map_err(Fault::Store)?;
        let store = match &resolved.database {
            Database::Embedded => {
                Store::open(at(DATABASE_FILE), &rooms::migrations()).map_err(Fault::Store)?
            }
            Database::Server(address) => on_server(&resolved.data, address)?,
        };
        let blobs = Blobs::open(at(BLOBS_FOLDER)).map_err(Fault::Blobs)?;
        let sounds = Blobs::open(at(SOUNDS_FOLDER)).map_err(Fault::Blobs)?;
        let mut entries = recovered.entries;
        entries.extend(recovered.over);
        Ok(Self { keeper, entries, damage: recovered.damage.len(), store, blobs, sounds })
    }
}

/// The database on a server. A folder whose calls and registrations have rows there starts without it as well: they
/// go on. Anything else could not be told from a wrong address.
fn on_server(data: &Place, address: &Address) -> Result<Store, Fault> {
    let shown = address.to_string();
    let note = match data {
        Place::Folder(folder) => Some(folder.join(DATABASE_NOTE)),
        Place::Memory => None,
    };
    let known = note.as_ref().is_some_and(|note| {
        std::fs::read_to_string(note).is_ok_and(|known| known.trim_end() == shown)
    });
    let absent = if known { Absent::Wait } else { Absent::Refuse };
    let store = Store::open_postgres(address.clone(), &rooms::migrations(), absent)
        .map_err(Fault::Database)?;
    if let (Some(note), false) = (&note, known) {
        let fault = |source| Fault::Data { path: note.clone(), source };
        std::fs::write(note, format!("{shown}\n")).map_err(fault)?;
    }
    Ok(store)
}

fn push_io_vapid() -> types::Secret<String> {
    push_io::Vapid::generate("").private_key()
}

fn record(path: &Path) -> Result<Tape, Fault> {
    Tape::create(path).map_err(|source| Fault::Record { path: path.to_owned(), source })
}

fn by_shard(
    entries: Vec<switchboard::store::Entry>,
    shards: usize,
) -> Vec<Vec<switchboard::store::Entry>> {
    let mut sorted: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
    for entry in entries {
        if let Some(own) = sorted.get_mut(entry.slot.shard(shards)) {
            own.push(entry);
        }
    }
    sorted
}

/// Three quarters of the descriptors that we may have: the others are for people, providers and files. The pump gives one
/// up when there is none left for a port.
fn idle_sockets() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from(soft / 4 * 3).unwrap_or(usize::MAX)
}

/// What descriptions carry of the port of browsers, and what the pump gets of it.
type Browsers = (switchboard::Door, media_io::Doors);

/// The port of browsers and our certificate to them, which is as old as this process.
fn browsers(wanted: Option<&crate::config::Webrtc>) -> Result<Option<Browsers>, Fault> {
    let Some(wanted) = wanted else { return Ok(None) };
    let taken = |source| Fault::Webrtc { address: wanted.bind, source };
    let door = match media_io::Door::bind(wanted.bind) {
        Err(fault) if wanted.is_default && fault.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(address = %wanted.bind, "webrtc_port_taken");
            let any = SocketAddr::new(wanted.bind.ip(), 0);
            media_io::Door::bind(any).map_err(taken)?
        }
        bound => bound.map_err(taken)?,
    };
    let port = door.address().map_err(taken)?.port();
    let names = vec!["carillon".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|_| Fault::Certificate)?;
    let identity = media::Identity {
        certificate: made.cert.der().to_vec(),
        key: made.signing_key.serialize_der(),
    };
    // Few need it, so a port that another program has for TCP is no reason not to start.
    let at = SocketAddr::new(wanted.bind.ip(), port);
    let streams = std::net::TcpListener::bind(at)
        .inspect_err(|fault| tracing::warn!(address = %at, error = %fault, "webrtc_tcp_port_taken"))
        .ok();
    let told = switchboard::Door {
        address: SocketAddr::new(wanted.advertised, port),
        fingerprint: identity.fingerprint(),
        streams: streams.is_some(),
    };
    let browsers = Some((door, identity));
    Ok(Some((told, media_io::Doors { browsers, streams, ..media_io::Doors::default() })))
}

/// The ports that phones share, two for each shard.
fn shared_ports(resolved: &Resolved) -> Result<Vec<[media_io::Door; 2]>, Fault> {
    let first = resolved.shared_port.into_iter();
    let ports = first.flat_map(|first| (0..resolved.shards).map(move |shard| first + 2 * shard));
    let bind = |port: u16| {
        let address = SocketAddr::new(resolved.media, port);
        media_io::Door::bind_pair(address).map_err(|source| Fault::SharedPort { address, source })
    };
    ports.map(bind).collect()
}

/// AMR, as far as the system has its libraries and it is wished.
fn amr(resolved: &Resolved) -> (sdp::AmrKnown, media::Coders) {
    let (spoken, offered) = resolved.amr;
    if !spoken {
        return (sdp::AmrKnown::default(), media::Coders::default());
    }
    let found = media_io::Amr::open();
    let known = sdp::AmrKnown { narrow: found.has(false), wide: found.has(true), offered };
    tracing::info!(narrow = known.narrow, wide = known.wide, offered, "amr_libraries_looked_for");
    (known, media::Coders::with_amr(Arc::new(found)))
}

/// The pump, whose words go to the shard that hosts the bridge.
fn pump(
    address: std::net::IpAddr,
    doors: media_io::Doors,
    coders: media::Coders,
    boxes: &[Door],
) -> Result<Pump, Fault> {
    let boxes = boxes.to_vec();
    let tell = move |event: media::Event| {
        // The shard forgot the bridge when it closed it: nobody is woken to hear of it.
        if matches!(event, media::Event::Closed { .. }) {
            return;
        }
        let bridge: BridgeId = event.bridge();
        if let Some(door) = boxes.get(bridge.slot().shard(boxes.len())) {
            door.tell(Post::Media(event));
        }
    };
    Pump::start(address, idle_sockets(), doors, coders, tell).map_err(Fault::Pump)
}

/// `None`: the port is not known before the listener is bound.
fn public(set: &str, http: SocketAddr) -> Option<String> {
    if !set.is_empty() {
        return Some(set.trim_end_matches('/').to_owned());
    }
    (http.port() != 0).then(|| format!("http://{http}"))
}

fn submit(doors: &Arc<Doors>) -> web::Submit {
    // The edge lives within the doors: a strong reference would keep both for ever.
    let doors = Arc::downgrade(doors);
    Arc::new(move |shard, request| {
        let doors = doors.upgrade().ok_or(())?;
        let door = doors.shards.get(shard).ok_or(())?;
        door.work.send(Post::Api(request)).map_err(drop)
    })
}

fn read_blob(blobs: &Blobs) -> web::Blobs {
    let blobs = blobs.clone();
    Arc::new(move |hash| blobs.get(&blobs::Hash::parse(hash)?).ok())
}

/// A shard's thread. Its entries are adopted there, before anything else.
fn spawn(
    parts: shard::Parts,
    entries: Vec<switchboard::store::Entry>,
) -> Result<JoinHandle<()>, Fault> {
    let (index, table) = (parts.index, parts.doors.parts.clone());
    table.set("shard", index, Some("reading the log"));
    let run = move || match shard::Loop::new(parts) {
        Ok(mut turn) => {
            table.set("keeper", index, None);
            turn.adopt(entries);
            table.set("shard", index, None);
            turn.run();
        }
        Err(error) => {
            tracing::error!(%error, "shard_not_started");
            table.set("shard", index, Some("the system gives no descriptors"));
        }
    };
    std::thread::Builder::new().name(format!("shard-{index}")).spawn(run).map_err(Fault::System)
}
