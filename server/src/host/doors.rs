//! What a shard asks of the rest of the house: database, pictures, pushes, media, API answers, streams.
//!
//! Rules       Nothing here waits. Each ticket is answered exactly once, by the shard's box for facts; what cannot be
//!             asked is answered with a fault at once.
//! Limits      ASKED_MAX tickets of one shard at one time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use blobs::Blobs;
use blobs::picture::Pictures;
use media_io::Pump;
use net::dns::Resolver;
use net::stream::Unsent;
use push_io::Sender;
use sound::{Clips, Recorder, Voices};
use store::Store;
use switchboard::fetch::{Fetch, FetchFault};
use switchboard::input::{EventLine, Picture};
use switchboard::store::{Batch, Query, StoreFault};
use switchboard::{ApiRequest, ApiResponse, Hop, Question, Reply, Ticket};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use types::{Flow, Rng, Transport};
use web::Web;

use super::app_sockets::AppSockets;
use super::ears::Ears;
use super::health::Health;
use super::lines::Lines;
use super::media_streams::Streams;
use super::parts::Parts;
use super::phones::{self, Phones};
use super::post::{Door, Post};
use super::sounds::CLIP_FETCHES_MAX;

/// Tickets of one shard that may wait for the outside at one time.
pub const ASKED_MAX: usize = 65_536;
/// Ids of our own API requests begin here; those of the web do not come so far.
const OWN_IDS: u64 = 1 << 63;

/// The doors, shared by all shards.
pub struct Doors {
    pub store: Store,
    pub blobs: Blobs,
    pub pictures: Pictures,
    pub clips: Clips,
    pub recorder: Recorder,
    pub voices: Voices,
    pub clip_fetches: Arc<Semaphore>,
    pub sender: Arc<Sender>,
    pub client: Arc<web::client::Client>,
    pub runtime: Handle,
    pub pump: Arc<Pump>,
    pub resolver: Resolver,
    /// Set once the listeners of streams run.
    pub lines: OnceLock<Lines>,
    pub phones: Phones,
    /// Set once the HTTP door is open.
    pub web: OnceLock<Web>,
    pub ears: Ears,
    pub streams: Streams,
    pub app_sockets: AppSockets,
    pub parts: Parts,
    pub health: Arc<Health>,
    pub shards: Vec<Door>,
    pub asked: Vec<Arc<AtomicUsize>>,
    own: Mutex<HashMap<u64, oneshot::Sender<ApiResponse>>>,
    next_own: AtomicU64,
}

/// What [`Doors`] is made of.
pub struct Outside {
    pub store: Store,
    pub blobs: Blobs,
    pub pictures: Pictures,
    pub clips: Clips,
    pub recorder: Recorder,
    pub voices: Voices,
    pub ears: Ears,
    pub sender: Arc<Sender>,
    pub client: Arc<web::client::Client>,
    pub runtime: Handle,
    pub pump: Arc<Pump>,
    pub resolver: Resolver,
    pub parts: Parts,
    pub health: Arc<Health>,
}

impl Doors {
    pub fn new(outside: Outside, shards: Vec<Door>, phones: Phones) -> Self {
        let Outside { store, blobs, pictures, clips, recorder, voices, sender, .. } = outside;
        let Outside { client, ears, runtime, pump, resolver, parts, health, .. } = outside;
        Self {
            store,
            blobs,
            pictures,
            clips,
            recorder,
            voices,
            clip_fetches: Arc::new(Semaphore::new(CLIP_FETCHES_MAX)),
            sender,
            client,
            runtime,
            pump,
            resolver,
            lines: OnceLock::new(),
            phones,
            web: OnceLock::new(),
            ears,
            streams: Streams::default(),
            app_sockets: AppSockets::default(),
            parts,
            health,
            asked: shards.iter().map(|_| Arc::default()).collect(),
            shards,
            own: Mutex::default(),
            next_own: AtomicU64::new(OWN_IDS),
        }
    }

    /// Where the answer to a ticket of `shard` goes; `None`: too many wait.
    pub fn ask(&self, shard: usize, ticket: Ticket) -> Option<Asked> {
        let asked = Arc::clone(self.asked.get(shard)?);
        let door = self.shards.get(shard)?.clone();
        if asked.fetch_add(1, Ordering::Relaxed) >= ASKED_MAX {
            asked.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Asked { door, asked, ticket })
    }

    pub fn refuse(&self, shard: usize, ticket: Ticket, reply: Reply) {
        if let Some(door) = self.shards.get(shard) {
            door.tell(Post::Reply { ticket, reply });
        }
    }

    pub fn write(&self, shard: usize, ticket: Ticket, batch: Batch) {
        match self.ask(shard, ticket) {
            Some(asked) => {
                let health = Arc::clone(&self.health);
                let done = move |done| {
                    health.note(&done);
                    asked.answer(Reply::Written(done));
                };
                self.store.write(batch, Box::new(done));
            }
            None => self.refuse(shard, ticket, Reply::Written(Err(StoreFault::Unreachable))),
        }
    }

    pub fn load(&self, shard: usize, ticket: Ticket, query: Query) {
        match self.ask(shard, ticket) {
            Some(asked) => {
                self.store.query(query, Box::new(move |rows| asked.answer(Reply::Rows(rows))));
            }
            None => self.refuse(shard, ticket, Reply::Rows(Err(StoreFault::Unreachable))),
        }
    }

    pub fn render(&self, shard: usize, ticket: Ticket, bytes: Vec<u8>, content_type: &str) {
        let Some(asked) = self.ask(shard, ticket) else {
            return self.refuse(
                shard,
                ticket,
                Reply::Picture(Err("too many pictures wait".into())),
            );
        };
        let blobs = self.blobs.clone();
        let done = move |rendered: Result<blobs::picture::Rendered, _>| {
            let kept = rendered.map_err(|why: blobs::picture::PictureFault| why.to_string());
            asked.answer(Reply::Picture(kept.and_then(|rendered| keep(&blobs, rendered))));
        };
        self.pictures.render(bytes, content_type, Box::new(done));
    }

    pub fn fetch(self: &Arc<Self>, shard: usize, ticket: Ticket, fetch: Fetch) {
        let Some(asked) = self.ask(shard, ticket) else {
            return self.refuse(shard, ticket, Reply::Fetched(Err(FetchFault::Busy)));
        };
        if fetch.method == voice::socket::METHOD {
            return self.app_sockets.say(self, asked, fetch);
        }
        let client = Arc::clone(&self.client);
        self.runtime.spawn(async move {
            let fetched = client.fetch(fetch).await;
            asked.answer(Reply::Fetched(fetched.map(Box::new)));
        });
    }

    pub fn deliver(&self, shard: usize, ticket: Ticket, delivery: pns::Delivery) {
        let Some(asked) = self.ask(shard, ticket) else {
            return self.refuse(shard, ticket, Reply::Push(pns::Outcome::Unreachable));
        };
        let sender = Arc::clone(&self.sender);
        self.runtime.spawn(async move {
            let outcome = sender.deliver(delivery).await;
            asked.answer(Reply::Push(outcome));
        });
    }

    pub fn resolve(self: &Arc<Self>, shard: usize, ticket: Ticket, question: Question, rng: Rng) {
        let Some(asked) = self.ask(shard, ticket) else {
            let full = Err(format!("{}: too many questions wait", question.host));
            return self.refuse(shard, ticket, Reply::Resolved(full));
        };
        let doors = Arc::clone(self);
        self.runtime.spawn(async move {
            let host = question.host.clone();
            let mut found = doors.resolver.resolve(question, rng).await;
            if let Ok(hops) = &mut found {
                doors.name_peers(&host, hops);
            }
            asked.answer(Reply::Resolved(found));
        });
    }

    /// By TLS it is the name that was asked for which must be proved, wherever records led (RFC 5922 §4).
    fn name_peers(&self, host: &str, hops: &mut [Hop]) {
        let Some(lines) = self.lines.get() else { return };
        for hop in hops.iter_mut().filter(|hop| hop.transport == Transport::Tls) {
            hop.peer = lines.peer(host);
        }
    }

    /// Sends on a stream.
    pub fn stream(&self, flow: Flow, bytes: Vec<u8>) -> Result<(), Unsent> {
        if phones::is_ours(flow) {
            return self.phones.send(flow, bytes);
        }
        self.lines.get().ok_or(Unsent::Closed)?.send(flow, bytes)
    }

    pub fn answer(&self, id: u64, response: ApiResponse) {
        if id >= OWN_IDS {
            let waiting = lock(&self.own).remove(&id);
            // Who asked may have given up.
            let _ = waiting.map(|waiting| waiting.send(response));
        } else if let Some(web) = self.web.get() {
            web.answer(id, response);
        }
    }

    pub fn event(&self, line: EventLine) {
        if let Some(web) = self.web.get() {
            web.event(line);
        }
    }

    /// Asks a shard by the road that the API takes, from inside.
    pub async fn request(&self, shard: usize, mut request: ApiRequest) -> Option<ApiResponse> {
        let id = self.next_own.fetch_add(1, Ordering::Relaxed);
        request.id = id;
        let (sender, answer) = oneshot::channel();
        lock(&self.own).insert(id, sender);
        self.shards.get(shard)?.work.send(Post::Api(request)).ok()?;
        answer.await.ok()
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ticket on its way.
pub struct Asked {
    door: Door,
    asked: Arc<AtomicUsize>,
    ticket: Ticket,
}

impl Asked {
    pub fn answer(self, reply: Reply) {
        self.asked.fetch_sub(1, Ordering::Relaxed);
        self.door.tell(Post::Reply { ticket: self.ticket, reply });
    }
}

/// Keeps the two large forms; the tiny one rides with the row.
fn keep(blobs: &Blobs, rendered: blobs::picture::Rendered) -> Result<Picture, String> {
    let put = |bytes: &[u8]| {
        blobs.put(bytes).map(|hash| hash.to_string()).map_err(|fault| {
            tracing::error!(%fault, "blob_not_kept");
            fault.to_string()
        })
    };
    Ok(Picture {
        full: put(&rendered.full.bytes)?,
        thumbnail: put(&rendered.thumbnail.bytes)?,
        tiny: rendered.tiny.bytes,
        content_type: rendered.full.content_type.to_owned(),
    })
}
