//! The loop around the machine: sockets, clock, files, and when the task is done.

use std::net::SocketAddr;
use std::time::Duration;

use phone::{Action, Config, Event, Media, Phone, PhoneEvent, TICK, Voice, Why};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use types::{Rng, UnixTime};

use super::line::{Arrival, Line};
use super::plan::{Goal, Pick, Plan};
use super::sound::{self, Rtp};
use super::web::{News, Web};
use super::{Fault, say};
use crate::cli::FAILED;

/// How long registering may take: a transaction, and one more with credentials.
const REGISTER_MAX: Duration = Duration::from_secs(40);
/// The longest talk without `--for`.
const CALL_MAX: Duration = Duration::from_secs(4 * 3600);
/// How long an answer may take from the moment it was given.
const CONNECT_MAX: Duration = Duration::from_secs(40);
/// How long the phone waits for the answers to its last requests.
const LEAVE_MAX: Duration = Duration::from_secs(3);
/// News of HTTP that may wait.
const NEWS_MAX: usize = 16;
/// Largest packet of sound.
const PACKET_MAX: usize = 2_048;

/// What the phone waits for, and what happens when it does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Call,
    Connect,
    Leave,
    Register,
    /// `--ring`: then it answers.
    Ring,
    /// `--for`: then it hangs up, or takes the binding back.
    Talk,
}

impl Wait {
    const fn name(self) -> &'static str {
        match self {
            Self::Call => "waiting for a call",
            Self::Connect => "waiting for the call to be set up",
            Self::Leave => "waiting for the last answers",
            Self::Register => "waiting for the registrar",
            Self::Ring => "ringing",
            Self::Talk => "talking",
        }
    }
}

pub struct Runner {
    plan: Plan,
    phone: Phone,
    line: Line,
    rtp: Rtp,
    rng: Rng,
    voice: Option<Voice>,
    ticks: Interval,
    web: Web,
    news: Receiver<News>,
    began: Instant,
    wait: Option<(Instant, Duration, Wait)>,
    /// Set once the task is done or has failed; the phone then only leaves.
    code: Option<u8>,
    answered: bool,
}

impl Runner {
    pub async fn new(plan: Plan) -> Result<Self, Fault> {
        let (line, contact) = Line::open(plan.local, plan.server, plan.transport).await?;
        let rtp = Rtp::open(contact.ip()).await?;
        let (sender, news) = channel(NEWS_MAX);
        let web = Web::new(sender)?;
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|why| Fault::failed("drawing lots", why))?;
        let mut rng = Rng::new(seed);
        let mut config = Config::new(&plan.user, &plan.domain, contact, rtp.address);
        config.password = plan.password.clone();
        config.display_name.clone_from(&plan.display_name);
        (config.server, config.transport) = (plan.server, plan.transport);
        (config.expires, config.answer_by) = (plan.expires, plan.answer_by);
        if let Goal::Call { wait, .. } = &plan.goal {
            config.ring_max = *wait;
        }
        if let Some(push) = &plan.push {
            let device = web.device(push, &plan.user).await?;
            web.listen(push, &device.prid).await?;
            config.push = Some(device.push());
        }
        let phone = Phone::new(config, rng.fork());
        let began = Instant::now();
        let ticks = ticks(began);
        let (voice, wait, code, answered) = (None, None, None, false);
        Ok(Self {
            plan,
            phone,
            line,
            rtp,
            rng,
            voice,
            ticks,
            web,
            news,
            began,
            wait,
            code,
            answered,
        })
    }

    /// Where the phone takes SIP; `None` while it sleeps.
    pub fn address(&self) -> Option<SocketAddr> {
        self.line.address()
    }

    /// Does the task; gives the exit code.
    pub async fn run(mut self) -> Result<u8, Fault> {
        let fault = |why| Fault::failed("listening for signals", why);
        let mut stops = [
            signal(SignalKind::interrupt()).map_err(fault)?,
            signal(SignalKind::terminate()).map_err(fault)?,
        ];
        self.begin().await?;
        let mut packet = [0; PACKET_MAX];
        loop {
            if let Some(code) = self.code.filter(|_| !self.phone.is_busy()) {
                return Ok(code);
            }
            let alarm = self.phone.deadline().map(|at| self.began + Duration::from_micros(at.0));
            let over = self.wait.map(|(at, _, _)| at);
            tokio::select! {
                biased;
                () = stop(&mut stops) => {
                    if self.code.is_some() {
                        return Ok(FAILED); // Asked twice: now.
                    }
                    self.stop().await?;
                }
                _ = self.ticks.tick(), if self.voice.is_some() => self.speak().await,
                heard = self.rtp.socket.recv_from(&mut packet) => {
                    if let Ok((length, from)) = heard {
                        self.hear(from, packet.get(..length).unwrap_or_default());
                    }
                }
                arrival = self.line.receive() => match arrival {
                    Arrival::Message(from, bytes) => {
                        self.apply(Event::Received { from, bytes }).await?;
                    }
                    Arrival::Broken => {
                        self.line = Line::Closed;
                        self.apply(Event::Lost).await?;
                    }
                },
                Some(news) = self.news.recv() => self.heard_of(news).await?,
                () = at(alarm) => self.apply(Event::Deadline).await?,
                () = at(over) => {
                    if let Some(code) = self.waited().await? {
                        return Ok(code);
                    }
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Fault> {
        match self.plan.goal.clone() {
            Goal::Call { uri, .. } => self.apply(Event::Call { uri }).await,
            Goal::Answer { wait, .. } if self.plan.server.is_none() => {
                if let Some(address) = self.address() {
                    say::listening(self.plan.json, &address.to_string());
                }
                self.wait_for(Wait::Call, wait);
                Ok(())
            }
            Goal::Answer { .. } | Goal::Register { .. } => {
                self.wait_for(Wait::Register, REGISTER_MAX);
                self.apply(Event::Register).await
            }
        }
    }

    fn wait_for(&mut self, what: Wait, limit: Duration) {
        self.wait = Some((Instant::now() + limit, limit, what));
    }

    /// Hands an event to the machine and does what comes of it.
    async fn apply(&mut self, event: Event) -> Result<(), Fault> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = types::Instant(self.began.elapsed().as_micros() as u64);
            self.phone.handle(event, now);
            while let Some(action) = self.phone.poll() {
                events.extend(self.act(action).await?);
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<Option<Event>, Fault> {
        match action {
            Action::Close => self.line = Line::Closed,
            Action::Fetch { url, token } => self.web.fetch(url, token),
            Action::Media(Media::Start(stream)) => match &mut self.voice {
                Some(voice) => voice.change(stream),
                None => {
                    let mut voice = Voice::new(stream, self.plan.played.clone(), &mut self.rng);
                    if self.plan.record.is_some() {
                        voice = voice.record();
                    }
                    self.voice = Some(voice);
                    self.ticks = ticks(Instant::now());
                }
            },
            Action::Media(Media::Stop) => self.silence()?,
            Action::Open => {
                let Plan { local, server, transport, .. } = self.plan;
                let (line, contact) = Line::open(local, server, transport).await?;
                self.line = line;
                return Ok(Some(Event::Opened { contact }));
            }
            Action::Reply { url, token, body } => self.web.reply(url, token, body),
            Action::Said(event) => {
                say::event(self.plan.json, &event);
                return Ok(self.said(&event));
            }
            Action::Send { to, bytes } => {
                if !self.line.send(to, &bytes).await {
                    self.line = Line::Closed;
                    return Ok(Some(Event::Lost));
                }
            }
        }
        Ok(None)
    }

    /// What the person in whose place we are does next.
    fn said(&mut self, event: &PhoneEvent) -> Option<Event> {
        match event {
            PhoneEvent::Registered { .. } => self.registered(),
            PhoneEvent::RegistrationFailed { retries, .. } => {
                let first = self.wait.is_some_and(|(_, _, what)| what == Wait::Register);
                if first || !retries {
                    self.leave(FAILED);
                }
                None
            }
            PhoneEvent::Incoming { .. } => self.incoming(),
            PhoneEvent::Answered { .. } => {
                self.answered = true;
                if let Some(voice) = &mut self.voice {
                    voice.press(&self.plan.dtmf); // Early sound began before the answer.
                    self.plan.dtmf.clear();
                }
                self.wait_for(Wait::Talk, self.plan.length.unwrap_or(CALL_MAX));
                None
            }
            PhoneEvent::Ended { why, .. } => self.ended(*why),
            PhoneEvent::Key(_)
            | PhoneEvent::Ringing { .. }
            | PhoneEvent::Slept
            | PhoneEvent::Unregistered => None,
        }
    }

    fn registered(&mut self) -> Option<Event> {
        let first = self.wait.is_some_and(|(_, _, what)| what == Wait::Register);
        match &self.plan.goal {
            Goal::Register { stay: None } if first => self.leave(0),
            Goal::Register { stay: Some(stay) } if first => self.wait_for(Wait::Talk, *stay),
            Goal::Answer { wait, .. } if first => {
                self.wait_for(Wait::Call, *wait);
                if self.plan.push.is_some() {
                    return Some(Event::Sleep);
                }
            }
            // A refresh.
            Goal::Answer { .. } | Goal::Call { .. } | Goal::Register { .. } => (),
        }
        None
    }

    fn incoming(&mut self) -> Option<Event> {
        let Goal::Answer { how, ring, .. } = &self.plan.goal else { return Some(Event::Busy) };
        let (how, ring) = (how.clone(), *ring);
        if ring.is_zero() {
            self.wait_for(Wait::Connect, CONNECT_MAX);
            return Some(pick(how));
        }
        self.wait_for(Wait::Ring, ring);
        None
    }

    fn ended(&mut self, why: Why) -> Option<Event> {
        let refuses = match &self.plan.goal {
            Goal::Answer { how: Pick::Answer, .. } | Goal::Call { .. } => false,
            Goal::Answer { how: Pick::Busy | Pick::Decline | Pick::Text(_), .. } => true,
            // Not what we are here for.
            Goal::Register { .. } => return None,
        };
        let done = self.answered || (refuses && why == Why::Ours);
        self.leave(if done { 0 } else { FAILED });
        match &self.plan.goal {
            Goal::Answer { .. } if self.unbinds() => Some(Event::Unregister),
            Goal::Answer { .. } | Goal::Call { .. } | Goal::Register { .. } => None,
        }
    }

    /// Whether the binding ends with this run: a push token of the stand-in is known to nobody
    /// afterwards, one from the words can wake another run.
    fn unbinds(&self) -> bool {
        let kept = self.plan.push.as_ref().is_some_and(|push| push.token.is_some());
        self.plan.server.is_some() && !kept
    }

    fn leave(&mut self, code: u8) {
        self.code.get_or_insert(code);
        self.wait_for(Wait::Leave, LEAVE_MAX);
    }

    /// A wait is over. Gives the exit code when nothing more is waited for.
    async fn waited(&mut self) -> Result<Option<u8>, Fault> {
        let Some((_, limit, what)) = self.wait.take() else { return Ok(None) };
        match what {
            Wait::Ring => {
                self.wait_for(Wait::Connect, CONNECT_MAX);
                if let Goal::Answer { how, .. } = self.plan.goal.clone() {
                    self.apply(pick(how)).await?;
                }
            }
            Wait::Talk if matches!(self.plan.goal, Goal::Register { .. }) => {
                self.leave(0);
                self.apply(Event::Unregister).await?;
            }
            Wait::Talk => self.apply(Event::HangUp).await?,
            Wait::Leave => {
                // The peer owes us an answer, we owe it nothing.
                self.silence()?;
                return Ok(Some(self.code.unwrap_or(FAILED)));
            }
            Wait::Call | Wait::Connect | Wait::Register => {
                say::waited(self.plan.json, what.name(), limit.as_secs());
                self.leave(FAILED);
                self.apply(Event::HangUp).await?;
                if self.unbinds() {
                    self.apply(Event::Unregister).await?;
                }
            }
        }
        Ok(None)
    }

    /// Ctrl-C: hang up first.
    async fn stop(&mut self) -> Result<(), Fault> {
        let done = self.answered || matches!(self.plan.goal, Goal::Register { .. });
        self.leave(if done { 0 } else { FAILED });
        self.apply(Event::HangUp).await?;
        if self.phone.is_registered() && self.unbinds() {
            self.apply(Event::Unregister).await?;
        }
        Ok(())
    }

    async fn heard_of(&mut self, news: News) -> Result<(), Fault> {
        let event = match news {
            News::Fetched { status, body } => Event::Fetched { status, body },
            News::Pushed(payload) => {
                say::pushed(self.plan.json, &payload);
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let at = UnixTime(since.map_or(0, |since| since.as_micros() as u64));
                Event::Pushed { payload: payload.to_string().into_bytes(), at }
            }
            News::Replied(status) => {
                say::replied(self.plan.json, status);
                Event::ReplyAnswered { status }
            }
            News::StreamEnded if self.phone.call_id().is_some() => return Ok(()),
            News::StreamEnded => {
                let why = "the stream of pushes ended";
                return Err(Fault::failed("listening for pushes", why));
            }
        };
        self.apply(event).await
    }

    async fn speak(&mut self) {
        let Some(voice) = &mut self.voice else { return };
        if self.answered && !self.plan.dtmf.is_empty() {
            voice.press(&self.plan.dtmf);
            self.plan.dtmf.clear();
        }
        let remote = voice.stream().remote;
        for packet in voice.tick() {
            // A packet that does not leave is a packet lost.
            let _ = self.rtp.socket.send_to(&packet, remote).await;
        }
    }

    fn hear(&mut self, from: SocketAddr, packet: &[u8]) {
        let Some(voice) = &mut self.voice else { return };
        if from.ip() == voice.stream().remote.ip()
            && let Some(key) = voice.hear(packet)
        {
            say::key(self.plan.json, key);
        }
    }

    /// The talk is over: what was heard goes into the file.
    fn silence(&mut self) -> Result<(), Fault> {
        let Some(voice) = self.voice.take() else { return Ok(()) };
        say::heard(self.plan.json, voice.heard());
        match &self.plan.record {
            Some(file) => sound::write(file, &voice.recorded()),
            None => Ok(()),
        }
    }
}

fn pick(how: Pick) -> Event {
    match how {
        Pick::Answer => Event::Answer,
        Pick::Busy => Event::Busy,
        Pick::Decline => Event::Decline,
        Pick::Text(text) => Event::Text(text),
    }
}

/// One tick every 20 ms; those that came late are made up for.
fn ticks(begin: Instant) -> Interval {
    let mut ticks = interval_at(begin, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

async fn stop(signals: &mut [Signal; 2]) {
    let [interrupt, terminate] = signals;
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
