//! Sockets of apps: one for each address, for the calls of all shards.
//!
//! Picture     shard --question, news--> queue of its app --task: the room's `Link`--> socket --> app
//!             app --answer--> shard;  app --command--> the shard of that call, by the road of the API --done--> app
//! Rules       A shard never waits. What is said and when is the room's; the task gives it time, texts and sockets. It ends
//!             when nobody needs its app.
//! Limits      [`APPS_MAX`] apps at once and [`ORDERS_MAX`] orders that wait for a task: more gets `FetchFault::Busy`.
//!             [`COMMAND_WAIT_MAX`] for a command.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use switchboard::fetch::{Fetch, FetchFault, Fetched};
use switchboard::{ApiRequest, ApiResponse, Reply, StreamFault};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use types::CallId;
use voice::socket::link::{Action, Event, Link, MESSAGE_MAX, Saying};
use web::app_socket::AppSocket;
use web::client::Client;

use super::doors::{Asked, Doors};
use super::{credentials, rooms};

/// Apps that we talk with at one time.
pub const APPS_MAX: usize = 256;
/// What may wait for the task of one app.
pub const ORDERS_MAX: usize = 1_024;
/// How long opening a socket may take.
pub const OPEN_MAX: Duration = Duration::from_secs(10);
/// How long a command may take.
pub const COMMAND_WAIT_MAX: Duration = Duration::from_secs(10);
/// Results of commands that wait for the task.
const RESULTS_MAX: usize = 64;

/// What a shard has for an app.
struct Order {
    asked: Asked,
    fetch: Fetch,
}

/// The apps that we talk with, by their addresses.
#[derive(Clone, Default)]
pub struct AppSockets(Arc<Mutex<HashMap<String, mpsc::Sender<Order>>>>);

impl AppSockets {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Order>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to an app, and begins the talk where there is none.
    pub fn say(&self, doors: &Arc<Doors>, asked: Asked, fetch: Fetch) {
        let app = fetch.url.clone();
        let mut apps = self.lock();
        let busy = apps.len() >= APPS_MAX;
        let orders = match apps.entry(app.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if busy => return refuse(asked),
            Entry::Vacant(free) => {
                let (orders, receiver) = mpsc::channel(ORDERS_MAX);
                let client = Arc::clone(&doors.client);
                let talk = Talk::new(app, client, Arc::downgrade(doors), self.clone());
                doors.runtime.spawn(talk.run(receiver));
                free.insert(orders)
            }
        };
        match orders.try_send(Order { asked, fetch }) {
            Ok(()) => {}
            Err(TrySendError::Full(order) | TrySendError::Closed(order)) => refuse(order.asked),
        }
    }
}

fn refuse(asked: Asked) {
    asked.answer(Reply::Fetched(Err(FetchFault::Busy)));
}

/// A command that ran: its name, and what the API said.
type Ran = (String, ApiResponse);
/// A socket on its way.
type Opened = Result<AppSocket, StreamFault>;

/// The talk with one app.
struct Talk {
    app: String,
    client: Arc<Client>,
    doors: Weak<Doors>,
    apps: AppSockets,
    link: Link,
    began: Instant,
    /// Of the newest order: what the next handshake says.
    headers: Vec<(String, String)>,
    waiting: HashMap<u64, (Asked, Instant)>,
    next: u64,
    socket: Option<AppSocket>,
    opened: (mpsc::Sender<Opened>, mpsc::Receiver<Opened>),
    ran: (mpsc::Sender<Ran>, mpsc::Receiver<Ran>),
}

/// What came first.
enum Came {
    Deadline,
    Gone,
    Heard(String),
    Opened(Opened),
    Order(Box<Order>),
    Over,
    Ran(Ran),
    Said,
}

impl Talk {
    fn new(app: String, client: Arc<Client>, doors: Weak<Doors>, apps: AppSockets) -> Self {
        // Two starts of the server are two sessions.
        let name = credentials::random::<8>().map(|octet| format!("{octet:02x}")).concat();
        Self {
            app,
            client,
            doors,
            apps,
            link: Link::new(name),
            began: Instant::now(),
            headers: Vec::new(),
            waiting: HashMap::new(),
            next: 0,
            socket: None,
            opened: mpsc::channel(1),
            ran: mpsc::channel(RESULTS_MAX),
        }
    }

    fn now(&self) -> types::Instant {
        types::Instant(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let event = match self.next(&mut orders).await {
                Came::Deadline => Event::Deadline,
                Came::Gone => {
                    self.socket = None;
                    Event::Lost
                }
                Came::Heard(text) => Event::Heard(text),
                Came::Opened(Ok(socket)) => {
                    self.socket = Some(socket);
                    Event::Opened
                }
                Came::Opened(Err(fault)) => {
                    tracing::info!(%fault, "app_socket_not_opened");
                    Event::NotOpened(fault)
                }
                Came::Order(order) => self.order(*order),
                Came::Over => return,
                Came::Ran((id, response)) => {
                    Event::Done { id, status: response.status, body: response.body }
                }
                // With nothing more to say it may want another time.
                Came::Said => Event::Deadline,
            };
            let now = self.now();
            self.link.handle(event, now);
            while let Some(action) = self.link.poll() {
                self.act(action);
            }
            if self.link.is_over() && self.leave(&mut orders) {
                return;
            }
        }
    }

    async fn next(&mut self, orders: &mut mpsc::Receiver<Order>) -> Came {
        let now = self.now();
        let left = self.link.deadline().map(|at| at.since(now));
        let wake = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let link = &mut self.link;
        let talk = async {
            let Some(AppSocket { from_app, to_app, .. }) = &mut self.socket else {
                return std::future::pending().await;
            };
            if !link.has_text() {
                return from_app.recv().await.map_or(Came::Gone, Came::Heard);
            }
            tokio::select! {
                text = from_app.recv() => text.map_or(Came::Gone, Came::Heard),
                room = to_app.reserve() => match (room, link.text()) {
                    (Ok(room), Some(text)) => {
                        room.send(text);
                        Came::Said
                    }
                    (Ok(_), None) => Came::Said,
                    (Err(_), _) => Came::Gone,
                },
            }
        };
        tokio::select! {
            order = orders.recv() => order.map_or(Came::Over, |order| Came::Order(Box::new(order))),
            came = talk => came,
            Some(opened) = self.opened.1.recv() => Came::Opened(opened),
            Some(ran) = self.ran.1.recv() => Came::Ran(ran),
            () = wake => Came::Deadline,
        }
    }

    fn order(&mut self, order: Order) -> Event {
        let Order { asked, fetch } = order;
        self.next += 1;
        self.headers = fetch.headers;
        self.waiting.insert(self.next, (asked, Instant::now()));
        let text = String::from_utf8_lossy(&fetch.body).into_owned();
        let (connect, total) = (fetch.limits.connect, fetch.limits.total);
        Event::Say(Saying { key: self.next, text, connect, total })
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Answer { key, answer } => {
                let Some((asked, since)) = self.waiting.remove(&key) else { return };
                let kind = ("content-type".to_owned(), "application/json".to_owned());
                let fetched = answer.map(|(status, body)| {
                    let (url, took) = (self.app.clone(), since.elapsed());
                    Box::new(Fetched { status, headers: vec![kind], body, url, took })
                });
                asked.answer(Reply::Fetched(fetched));
            }
            // What was said to it leaves before its goodbye.
            Action::Close => self.socket = None,
            Action::Command { id, call, body } => self.command(id, &call, body),
            Action::Open => {
                let (client, app) = (Arc::clone(&self.client), self.app.clone());
                let (headers, opened) = (self.headers.clone(), self.opened.0.clone());
                tokio::spawn(async move {
                    let socket = client.socket(&app, &headers, OPEN_MAX, MESSAGE_MAX).await;
                    // The talk may be over.
                    let _ = opened.send(socket).await;
                });
            }
        }
    }

    fn command(&self, id: String, call: &str, body: Vec<u8>) {
        let number = call.strip_prefix("CA").filter(|digits| digits.len() == 32);
        let number = number.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        let place = rooms::endpoint("POST", "/v1/calls/{id}/commands");
        let (doors, ran) = (self.doors.upgrade(), self.ran.0.clone());
        let app = self.app.clone();
        tokio::spawn(async move {
            let response = match (number.map(CallId), place, doors) {
                (Some(call), Some((room, endpoint, _)), Some(doors)) => {
                    let request = ApiRequest {
                        room: room.to_owned(),
                        endpoint,
                        path: vec![call.to_string()],
                        query: vec![("app".to_owned(), app)],
                        content_type: "application/json".to_owned(),
                        body,
                        ..ApiRequest::default()
                    };
                    let shard = call.slot().shard(doors.shards.len());
                    timeout(COMMAND_WAIT_MAX, doors.request(shard, request)).await.ok().flatten()
                }
                (None, ..) => {
                    let title = serde_json::json!({"title": "`call` is no CallSid"});
                    Some(ApiResponse::json(404, &title))
                }
                (Some(_), ..) => None,
            };
            let busy =
                || ApiResponse::json(503, &serde_json::json!({"title": "no answer in time"}));
            // The talk may be over.
            let _ = ran.send((id, response.unwrap_or_else(busy))).await;
        });
    }

    /// Forgets itself, unless somebody has just said something.
    fn leave(&self, orders: &mut mpsc::Receiver<Order>) -> bool {
        let mut apps = self.apps.lock();
        if !orders.is_empty() {
            return false;
        }
        apps.remove(&self.app);
        true
    }
}
