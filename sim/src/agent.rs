//! A scripted telephone: registers, calls, answers, sleeps. It knows the wire and nothing of our server.
//!
//! Picture     datagram | push | timer | order --> Agent --> Act (datagram, API request)
//! Rules       All chance comes from its own stream. It keeps to RFC 3261 except where a plan says otherwise
//!             (acknowledgements that it withholds, INVITEs that it does not answer).
//! Limits      A call that it placed and that gets no final answer is given up after RING_MAX.
//! Not here    Sound; what the server must do (check).
//! Spec        RFC 3261, RFC 8599.

mod call;
mod register;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sip::transaction::{
    AnswerRetransmit, Client, ClientInvite, Server, ServerInvite, Timers, client, client_invite,
    server, server_invite,
};
use sip::{Framing, Message, Method};
use types::{Instant, Rng};

pub use call::{Call, CallPlan, Conduct, Phase};
pub use register::{BindingState, PushToken};

/// A call without a final answer is given up after this.
pub const RING_MAX: Duration = Duration::from_secs(215);

/// A person who hears nothing hangs up after this. Longer than any plan lets a call last.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// What an agent wants done.
#[derive(Debug)]
pub enum Act {
    /// A request to the address that a push named.
    Answer {
        /// The whole address.
        url: String,
        /// The bearer token.
        token: String,
        /// The JSON body.
        body: String,
        /// When it leaves.
        delay: Duration,
    },
    /// The server granted a registration until then, or ended it (`None`).
    Granted {
        /// The contact URI.
        contact: String,
        /// Seconds that the server granted; `None`: it is gone.
        seconds: Option<u32>,
    },
    /// Nobody has ended a call in all that time: the person hangs up.
    Forgotten {
        /// The call.
        call_id: Vec<u8>,
        /// When it was answered.
        since: Instant,
    },
    /// A datagram to the server.
    Send(Vec<u8>),
}

/// What the agent's own clock wakes it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// An incoming call is answered, or refused.
    Act(u32),
    /// The caller gives up.
    Cancel(u32),
    /// This side hangs up.
    HangUp(u32),
    /// This side refreshes the session, by UPDATE.
    Refresh(u32),
    /// This side changes the session: it holds, or resumes.
    Reinvite(u32),
    /// No final answer in all that time.
    GiveUp(u32),
    /// The registration is refreshed.
    Register,
    /// Back to sleep.
    Sleep,
    /// The person notices that nobody is there any more.
    Notice(u32, Instant),
    /// Up, after the answer over HTTP.
    Wake,
}

/// Whom a client transaction serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Bye,
    Cancel,
    Invite(u32),
    Refresh(u32),
    Register,
    Reinvite(u32),
}

#[derive(Debug)]
pub(crate) enum ClientMachine {
    Invite(ClientInvite),
    Other(Client),
}

#[derive(Debug)]
pub(crate) struct ClientEntry {
    machine: ClientMachine,
    purpose: Purpose,
}

#[derive(Debug)]
pub(crate) enum ServerMachine {
    Invite(ServerInvite),
    Other(Server),
}

#[derive(Debug)]
pub(crate) struct ServerEntry {
    machine: ServerMachine,
    request: Vec<u8>,
    call: Option<u32>,
}

/// Names a transaction: the branch, and the method unless it is INVITE's.
pub(crate) type Key = (Vec<u8>, Vec<u8>);

/// How an agent behaves.
#[derive(Clone, Debug)]
pub struct Manners {
    /// INVITEs in a hundred that it answers; the others it refuses, or lets ring.
    pub answers: u8,
    /// Answers to a push in a hundred that come by HTTP before any REGISTER.
    pub answers_by_reply: u8,
    /// Pushes in a hundred that it does not react to.
    pub sleeps_on: u8,
}

impl Default for Manners {
    fn default() -> Self {
        Self { answers: 75, answers_by_reply: 40, sleeps_on: 10 }
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Agent {
    /// The user part of its address.
    pub user: String,
    /// The password of its user.
    pub password: String,
    /// Where it sends from.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// How it behaves.
    pub manners: Manners,
    /// Whether it hears datagrams.
    pub awake: bool,
    /// How it can be woken.
    pub push: Option<PushToken>,
    /// What it knows of its registration.
    pub registration: BindingState,
    /// All its calls, by number.
    pub calls: BTreeMap<u32, Call>,
    /// What is to be done, in order.
    pub acts: Vec<Act>,
    pub(crate) instance: String,
    pub(crate) rng: Rng,
    pub(crate) timers: Timers,
    pub(crate) clients: BTreeMap<Key, ClientEntry>,
    pub(crate) servers: BTreeMap<Key, ServerEntry>,
    pub(crate) alarms: BTreeMap<(Instant, u32), Alarm>,
    pub(crate) next: u32,
}

impl Agent {
    /// A telephone of `user`, awake and not registered.
    pub fn new(user: &str, domain: &str, address: SocketAddr, mut rng: Rng) -> Self {
        let instance = format!("<urn:uuid:00000000-0000-4000-8000-{:012x}>", rng.below(1 << 48));
        Self {
            user: user.to_owned(),
            password: format!("secret-{user}"),
            address,
            domain: domain.to_owned(),
            manners: Manners::default(),
            awake: true,
            push: None,
            registration: BindingState::default(),
            calls: BTreeMap::new(),
            acts: Vec::new(),
            instance,
            rng,
            timers: Timers::default(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            alarms: BTreeMap::new(),
            next: 0,
        }
    }

    /// When to call [`timer`](Self::timer) next.
    pub fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.values().filter_map(|entry| match &entry.machine {
            ClientMachine::Invite(machine) => machine.deadline(),
            ClientMachine::Other(machine) => machine.deadline(),
        });
        let servers = self.servers.values().filter_map(|entry| match &entry.machine {
            ServerMachine::Invite(machine) => machine.deadline(),
            ServerMachine::Other(machine) => machine.deadline(),
        });
        let answers = self
            .calls
            .values()
            .filter_map(|call| call.answer.as_ref().and_then(AnswerRetransmit::deadline));
        let alarm = self.alarms.keys().next().map(|(at, _)| *at);
        clients.chain(servers).chain(answers).chain(alarm).min()
    }

    /// A deadline has come.
    pub fn timer(&mut self, now: Instant) {
        while let Some(entry) = self.alarms.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let alarm = entry.remove();
            self.alarm(alarm, now);
        }
        let due: Vec<Key> = self.clients.keys().cloned().collect();
        for key in due {
            if let Some(entry) = self.clients.get_mut(&key) {
                match &mut entry.machine {
                    ClientMachine::Invite(machine) => {
                        machine.handle(client_invite::Event::Deadline, now);
                    }
                    ClientMachine::Other(machine) => machine.handle(client::Event::Deadline, now),
                }
                self.drive_client(&key, None, now);
            }
        }
        let due: Vec<Key> = self.servers.keys().cloned().collect();
        for key in due {
            if let Some(entry) = self.servers.get_mut(&key) {
                match &mut entry.machine {
                    ServerMachine::Invite(machine) => {
                        machine.handle(server_invite::Event::Deadline, now);
                    }
                    ServerMachine::Other(machine) => machine.handle(server::Event::Deadline, now),
                }
                self.drive_server(&key);
            }
        }
        self.repeat_answers(now);
    }

    /// A datagram of the server.
    pub fn datagram(&mut self, bytes: &[u8], now: Instant) {
        if !self.awake {
            return;
        }
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else { return };
        if message.is_request() {
            self.request(&message, now)
        } else {
            self.response(&message, now)
        }
    }

    pub(crate) fn set_alarm(&mut self, after: Duration, alarm: Alarm, now: Instant) {
        self.next += 1;
        self.alarms.insert((now + after, self.next), alarm);
    }

    fn alarm(&mut self, alarm: Alarm, now: Instant) {
        match alarm {
            Alarm::Act(call) => self.act(call, now),
            Alarm::Cancel(call) | Alarm::GiveUp(call) => self.cancel(call, now),
            Alarm::HangUp(call) => self.hang_up(call, now),
            Alarm::Register => self.register(now),
            Alarm::Refresh(call) => self.refresh(call, now),
            Alarm::Reinvite(call) => self.reinvite(call, now),
            Alarm::Sleep => self.sleep_again(now),
            Alarm::Wake => self.wake(now),
            Alarm::Notice(call, since) => self.notice(call, since, now),
        }
    }

    fn response(&mut self, message: &Message<'_>, now: Instant) {
        let (Ok(via), Ok(cseq), Some(status)) = (message.via(), message.cseq(), message.status())
        else {
            return;
        };
        let key = (via.branch().unwrap_or_default().to_vec(), cseq.method.as_bytes().to_vec());
        let Some(entry) = self.clients.get_mut(&key) else {
            // The transaction may be over; a success must be acknowledged all the same.
            if cseq.method == Method::Invite && status / 100 == 2 {
                self.success_again(message, now);
            }
            return;
        };
        match &mut entry.machine {
            ClientMachine::Invite(machine) => {
                machine.handle(client_invite::Event::Response(status), now);
            }
            ClientMachine::Other(machine) => machine.handle(client::Event::Response(status), now),
        }
        self.drive_client(&key, Some(message), now);
    }

    pub(crate) fn drive_client(&mut self, key: &Key, message: Option<&Message<'_>>, now: Instant) {
        loop {
            let Some(entry) = self.clients.get_mut(key) else { return };
            let purpose = entry.purpose;
            let action = match &mut entry.machine {
                ClientMachine::Invite(machine) => machine.poll(),
                ClientMachine::Other(machine) => machine.poll().map(|action| match action {
                    client::Action::Deliver => client_invite::Action::Deliver,
                    client::Action::Failed => client_invite::Action::Failed,
                    client::Action::Terminated => client_invite::Action::Terminated,
                    client::Action::TimedOut => client_invite::Action::TimedOut,
                    client::Action::Transmit => client_invite::Action::Transmit,
                }),
            };
            let Some(action) = action else { return };
            match action {
                client_invite::Action::Deliver => {
                    if let Some(message) = message {
                        self.answered(purpose, key, message, now);
                    }
                }
                client_invite::Action::Failed | client_invite::Action::TimedOut => {
                    self.unanswered(purpose, now);
                }
                client_invite::Action::SendAck => {
                    let ClientMachine::Invite(machine) = &mut entry.machine else { return };
                    let mut ack = Vec::new();
                    let invite = Message::decode(machine.message(), Framing::Datagram);
                    if let (Ok(invite), Some(message)) = (invite, message) {
                        let _ = sip::transaction::ack_for(&invite, message, &mut ack);
                    }
                    machine.set_ack(ack);
                }
                client_invite::Action::Terminated => {
                    self.clients.remove(key);
                    return;
                }
                client_invite::Action::Transmit => {
                    let bytes = match &entry.machine {
                        ClientMachine::Invite(machine) => machine.message(),
                        ClientMachine::Other(machine) => machine.message(),
                    };
                    self.acts.push(Act::Send(bytes.to_vec()));
                }
            }
        }
    }

    pub(crate) fn drive_server(&mut self, key: &Key) {
        loop {
            let Some(entry) = self.servers.get_mut(key) else { return };
            match &mut entry.machine {
                ServerMachine::Invite(machine) => match machine.poll() {
                    Some(server_invite::Action::Transmit) => {
                        self.acts.push(Act::Send(machine.message().to_vec()));
                    }
                    Some(server_invite::Action::Terminated) => {
                        self.servers.remove(key);
                        return;
                    }
                    Some(
                        server_invite::Action::Acked
                        | server_invite::Action::Failed
                        | server_invite::Action::TimedOut
                        | server_invite::Action::Try,
                    ) => (),
                    None => return,
                },
                ServerMachine::Other(machine) => match machine.poll() {
                    Some(server::Action::Transmit) => {
                        self.acts.push(Act::Send(machine.message().to_vec()));
                    }
                    Some(server::Action::Terminated) => {
                        self.servers.remove(key);
                        return;
                    }
                    Some(server::Action::Failed) => (),
                    None => return,
                },
            }
        }
    }

    fn request(&mut self, message: &Message<'_>, now: Instant) {
        let Ok(via) = message.via() else { return };
        let branch = via.branch().unwrap_or_default().to_vec();
        let method = message.method();
        let named = if method == Method::Ack { Method::Invite } else { method };
        let key = (branch, named.as_bytes().to_vec());
        if let Some(entry) = self.servers.get_mut(&key) {
            match &mut entry.machine {
                ServerMachine::Invite(machine) => {
                    let event = if method == Method::Ack {
                        server_invite::Event::Ack
                    } else {
                        server_invite::Event::Request
                    };
                    machine.handle(event, now);
                }
                ServerMachine::Other(machine) => machine.handle(server::Event::Request, now),
            }
            self.drive_server(&key);
            return;
        }
        if method == Method::Ack {
            self.acknowledged(message, now);
            return;
        }
        let machine = if method == Method::Invite {
            ServerMachine::Invite(ServerInvite::new(false, self.timers, now))
        } else {
            ServerMachine::Other(Server::new(false, self.timers))
        };
        let request = message.bytes().to_vec();
        self.servers.insert(key.clone(), ServerEntry { machine, request, call: None });
        match method {
            Method::Invite => self.invited(&key, message, now),
            Method::Cancel => self.cancelled(&key, message, now),
            Method::Bye => self.bye_came(&key, message, now),
            Method::Info | Method::Options | Method::Update => {
                self.asked_in_call(&key, message, now);
            }
            Method::Ack
            | Method::Message
            | Method::Notify
            | Method::Prack
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe
            | Method::Other(_) => drop(self.respond(&key, 405, None, None, now)),
        }
    }
}
