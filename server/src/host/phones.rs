//! Browser phones: each is a desk in a task of its own, between a page's socket and the shards.
//!
//! Picture     socket --PhoneSocket--> Phones --Post--> a task with Line and Desk --Post::Message--> the shard it is for
//!             shard --Output::Send on a flow of ours--> Phones::send --Post--> the task --numbered events--> socket
//! Rules       A desk outlives its socket by GRACE: the page comes back with its session and hears what it missed, or,
//!             when it was loaded again and has forgotten all, which calls there are. One
//!             page at a time: a second one takes over. To the switchboard a desk is a device that speaks WebSocket.
//! Limits      PHONES_MAX, PHONES_OF_USER_MAX, POSTS_MAX, GRACE, FAREWELL, LEFT_GRACE, PASS_LIFE, HAND_OVER_WAIT.
//! Not here    What commands mean (clients/desk), who somebody is (shell/web).
//! Spec        docs/phone.md

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use desk::{Action, Desk, Event, Line, No, Said};
use net::stream::Unsent;
use serde_json::{Value, json};
use switchboard::{Keys, locate, pass};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use types::{Flow, Rng, Secret, Transport};
use web::PhoneSocket;
use web::refusal::Refusal;

use super::clock::{Ticker, unix};
use super::credentials::random;
use super::doors::Doors;
use super::flows::connections_before;
use super::post::Post;

/// Phones at one time; more get `web.too_many_phones`.
pub const PHONES_MAX: usize = 2_048;
/// Phones of one user.
pub const PHONES_OF_USER_MAX: usize = 16;
/// What may wait for one phone: messages of the switchboard and pages. More means that its task hangs: they are lost.
pub const POSTS_MAX: usize = 1_024;
/// How long a phone is kept whose page is away.
pub const GRACE: Duration = Duration::from_secs(60);
/// How long a phone without calls is kept whose page was closed.
const LEFT_GRACE: Duration = Duration::from_secs(3);
/// How long a phone may take to end its calls.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a pass holds; it is renewed at half of it.
const PASS_LIFE: Duration = Duration::from_secs(3_600);
/// How long to wait before a full shard is asked again.
const HAND_OVER_WAIT: Duration = Duration::from_millis(20);
/// Numbers of our flows begin here: above those of all sockets, below those that stand for names.
const NUMBERS: u64 = Flow::NAMED / 2;
/// The listener of our flows: none of `sip.listen`.
const LISTENER: u8 = u8::MAX;

/// What a phone's task gets.
#[derive(Debug)]
enum Came {
    /// A message of the switchboard.
    Message(Vec<u8>),
    /// A page that wants this phone.
    Page(PhoneSocket),
}

/// All phones. Clones are the same ones.
#[derive(Clone)]
pub struct Phones(Arc<Shared>);

struct Shared {
    keys: Keys,
    domain: String,
    clock: Ticker,
    runtime: tokio::runtime::Handle,
    /// Set once, when the doors are there.
    doors: OnceLock<Weak<Doors>>,
    known: Mutex<Known>,
    next: AtomicU64,
}

#[derive(Default)]
struct Known {
    by_session: HashMap<String, Phone>,
    by_connection: HashMap<u64, mpsc::Sender<Came>>,
}

struct Phone {
    user: String,
    post: mpsc::Sender<Came>,
}

/// Whether a flow belongs to a browser phone.
pub fn is_ours(flow: Flow) -> bool {
    flow.transport == Transport::Ws && (NUMBERS..Flow::NAMED).contains(&flow.connection)
}

impl Phones {
    /// None yet. To be called on the runtime that carries their tasks.
    pub fn new(keys: Keys, domain: &str, clock: Ticker) -> Self {
        Self(Arc::new(Shared {
            keys,
            domain: domain.to_owned(),
            clock,
            runtime: tokio::runtime::Handle::current(),
            doors: OnceLock::new(),
            known: Mutex::default(),
            // As with sockets, a number of an earlier run means nobody.
            next: AtomicU64::new(NUMBERS + connections_before() % (NUMBERS / 2)),
        }))
    }

    /// Where their messages go.
    pub fn connect(&self, doors: &Arc<Doors>) {
        // Set once, at the start.
        let _ = self.0.doors.set(Arc::downgrade(doors));
    }

    /// Hands a message of the switchboard to its phone.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) -> Result<(), Unsent> {
        let known = self.0.known();
        let post = known.by_connection.get(&flow.connection).ok_or(Unsent::Closed)?;
        post.try_send(Came::Message(bytes)).map_err(|_| Unsent::Full)
    }

    /// Takes a page that has said who it is.
    pub fn take(&self, mut page: PhoneSocket) {
        let refusal = match page.session.take() {
            Some(session) => match self.find(&session, &page.user) {
                Some(post) => {
                    page.session = Some(session);
                    match post.try_send(Came::Page(page)) {
                        Ok(()) => return,
                        Err(mpsc::error::TrySendError::Full(Came::Page(back))) => {
                            page = back;
                            Refusal::Busy
                        }
                        Err(mpsc::error::TrySendError::Closed(Came::Page(back))) => {
                            page = back;
                            Refusal::PhoneGone
                        }
                        Err(_) => return,
                    }
                }
                None => Refusal::PhoneGone,
            },
            None => match self.begin(page) {
                None => return,
                Some(back) => {
                    page = back;
                    Refusal::TooManyPhones
                }
            },
        };
        // A page that is gone already does not hear it.
        let _ = page.to_page.try_send(json!({ "problem": web::problem(&refusal) }).to_string());
    }

    fn find(&self, session: &str, user: &str) -> Option<mpsc::Sender<Came>> {
        let known = self.0.known();
        let phone = known.by_session.get(session).filter(|phone| phone.user == user)?;
        Some(phone.post.clone())
    }

    /// Begins a phone; the page comes back when there are too many.
    fn begin(&self, page: PhoneSocket) -> Option<PhoneSocket> {
        let mut known = self.0.known();
        let own = known.by_session.values().filter(|phone| phone.user == page.user).count();
        if known.by_session.len() >= PHONES_MAX || own >= PHONES_OF_USER_MAX {
            return Some(page);
        }
        let session: String = random::<16>().iter().map(|octet| format!("{octet:02x}")).collect();
        let connection = self.0.next.fetch_add(1, Ordering::Relaxed);
        let flow =
            Flow { transport: Transport::Ws, listener: LISTENER, connection, remote: page.from };
        let (post, came) = mpsc::channel(POSTS_MAX);
        known.by_connection.insert(connection, post.clone());
        known.by_session.insert(session.clone(), Phone { user: page.user.clone(), post });
        let place = Place { phones: self.clone(), session: session.clone(), flow };
        let config = desk::Config {
            user: page.user.clone(),
            domain: self.0.domain.clone(),
            contact: page.from,
        };
        let desk = Desk::new(config, self.pass(&page.user), Rng::new(random()));
        let task = Task {
            user: page.user.clone(),
            clock: self.0.clock.clone(),
            line: Line::default(),
            page: None,
            place,
            desk,
        };
        self.0.runtime.spawn(task.run(came, page));
        None
    }

    fn pass(&self, user: &str) -> Secret<String> {
        Secret::new(pass::mint(&self.0.keys, user, unix() + PASS_LIFE))
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A phone's place in the lists; dropping it is the end of its flow.
struct Place {
    phones: Phones,
    session: String,
    flow: Flow,
}

impl Place {
    /// Hands a message to the shard that it is for.
    async fn hand_over(&self, bytes: Vec<u8>) {
        let Some(doors) = self.phones.0.doors.get().and_then(Weak::upgrade) else { return };
        let slot = locate(&bytes, &self.phones.0.keys).unwrap_or_default();
        let Some(door) = doors.shards.get(slot.shard(doors.shards.len())) else { return };
        let mut post = Post::Message { flow: self.flow, bytes };
        while let Err(back) = door.work.send(post) {
            post = back;
            sleep(HAND_OVER_WAIT).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut known = self.phones.0.known();
            known.by_session.remove(&self.session);
            known.by_connection.remove(&self.flow.connection);
        }
        if let Some(doors) = self.phones.0.doors.get().and_then(Weak::upgrade) {
            doors.shards.iter().for_each(|door| door.tell(Post::FlowClosed(self.flow)));
        }
    }
}

/// One phone.
struct Task {
    user: String,
    clock: Ticker,
    line: Line,
    page: Option<PhoneSocket>,
    place: Place,
    desk: Desk,
}

/// Why the task woke.
enum Woke {
    Came(Option<Came>),
    Deadline,
    Gone,
    Pass,
    Said(Option<String>),
}

impl Task {
    async fn run(mut self, mut came: mpsc::Receiver<Came>, page: PhoneSocket) {
        self.welcome(page, false);
        let mut renew = Instant::now() + PASS_LIFE / 2;
        let mut alone_until = Instant::now() + GRACE;
        let (mut leaving, mut grace) = (false, GRACE);
        loop {
            let deadline = self.until_deadline();
            let woke = tokio::select! {
                item = came.recv() => Woke::Came(item),
                text = said(&mut self.page) => Woke::Said(text),
                () = sleep_until(deadline) => Woke::Deadline,
                () = sleep_until(alone_until), if self.page.is_none() => Woke::Gone,
                () = sleep_until(renew) => Woke::Pass,
            };
            match woke {
                Woke::Came(Some(Came::Message(bytes))) => self.feed(Event::Received(bytes)),
                Woke::Came(Some(Came::Page(page))) => self.welcome(page, true),
                Woke::Came(None) => return,
                Woke::Deadline => self.feed(Event::Deadline),
                Woke::Gone if leaving => return,
                Woke::Gone => {
                    leaving = true;
                    alone_until = Instant::now() + FAREWELL;
                    self.feed(Event::Close);
                }
                Woke::Pass => {
                    renew = Instant::now() + PASS_LIFE / 2;
                    self.feed(Event::Pass(self.place.phones.pass(&self.user)));
                }
                Woke::Said(Some(text)) if text == web::LEFT => {
                    // One that leaves calls behind may be loading again: it is waited for.
                    grace = if self.desk.calls() == 0 { LEFT_GRACE } else { GRACE };
                }
                Woke::Said(Some(text)) => self.command(&text),
                Woke::Said(None) => {
                    self.page = None;
                    alone_until = Instant::now() + std::mem::replace(&mut grace, GRACE);
                    self.feed(Event::Away);
                }
            }
            if self.act().await.is_break() {
                return;
            }
        }
    }

    fn until_deadline(&mut self) -> Instant {
        let now = self.clock.read().now;
        let wait = self.desk.deadline().map_or(PASS_LIFE, |at| at.since(now));
        Instant::now() + wait
    }

    fn feed(&mut self, event: Event) {
        let now = self.clock.read().now;
        self.desk.handle(event, now);
    }

    /// A page takes this phone: it hears who it is, and what it missed.
    fn welcome(&mut self, page: PhoneSocket, resumed: bool) {
        let takes_up = resumed && page.after.is_none();
        let missed =
            page.after.filter(|_| resumed).map_or(Ok(Vec::new()), |after| self.line.after(after));
        let Ok(missed) = missed else {
            let problem = web::problem(&Refusal::PhoneGone);
            let _ = page.to_page.try_send(json!({ "problem": problem }).to_string());
            return;
        };
        if takes_up {
            self.feed(Event::TakenUp);
        }
        let mut welcome = json!({ "welcome": {
            "session": self.place.session,
            "user": self.user,
            "resumed": resumed,
            "calls": self.desk.calls(),
            "grace": GRACE.as_secs(),
            "after": self.line.last() - missed.len() as u64,
        }});
        if takes_up {
            welcome["welcome"]["kept"] = json!(self.desk.kept());
        }
        if let Some(other) = self.page.replace(page) {
            // So that a page that was there does not fight for its phone.
            let _ = other.to_page.try_send(json!({ "replaced": true }).to_string());
        }
        self.tell(welcome.to_string());
        for text in missed {
            self.tell(text);
        }
        if resumed && !takes_up {
            self.feed(Event::Back);
        }
    }

    fn command(&mut self, text: &str) {
        match Line::read(text) {
            Ok((id, command)) => self.feed(Event::Command { id, command }),
            Err(why) => {
                let id = serde_json::from_str::<Value>(text).ok().and_then(|v| v["id"].as_u64());
                let problem = web::problem(&Refusal::BadCommand { why });
                let text = self.line.problem(id, problem);
                self.tell(text);
            }
        }
    }

    /// Does what the desk says.
    async fn act(&mut self) -> std::ops::ControlFlow<()> {
        while let Some(action) = self.desk.poll() {
            match action {
                Action::Closed => return std::ops::ControlFlow::Break(()),
                Action::Said(said) => {
                    let text = self.line.write(&said, refused);
                    if let Said::Ended { call, why, status, .. } = &said {
                        tracing::debug!(user = self.user, call, ?why, status, "phone_call_ended");
                    }
                    self.tell(text);
                }
                Action::Send(bytes) => self.place.hand_over(bytes).await,
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    /// A page that does not read is cut off; it hears all of it when it comes back.
    fn tell(&mut self, text: String) {
        if let Some(page) = &self.page
            && page.to_page.try_send(text).is_err()
        {
            tracing::info!(user = self.user, "phone_page_cut_off");
            // Its receiver ends with it, which the task hears as any other end of a socket.
            self.page = self.page.take().map(|page| {
                let (closed, _) = mpsc::channel(1);
                PhoneSocket { to_page: closed, ..page }
            });
        }
    }
}

/// What the page says next; never, without a page.
async fn said(page: &mut Option<PhoneSocket>) -> Option<String> {
    match page {
        Some(page) => page.from_page.recv().await,
        None => std::future::pending().await,
    }
}

fn refused(no: No) -> Value {
    web::problem(&match no {
        No::NoSuchCall => Refusal::NoSuchPhoneCall,
        No::NotADescription => Refusal::NotADescription,
        No::NotAnAddress => Refusal::NotAnAddress,
        No::NotAnEndpoint => {
            Refusal::BadCommand { why: "`push` is no address of a push service".into() }
        }
        No::TooMany => Refusal::TooManyCalls,
        No::WrongMoment => Refusal::WrongMoment,
    })
}
