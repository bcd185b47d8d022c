//! Waking devices: one push per device and call, tried until it makes no sense, taken back when the call is over.
//!
//! Picture     WakeNeeded --> Sending --accepted--> Reached --WakeOver--> cancel push.
//!             Sending --later--> Waiting --timer--> Sending. Any --dead token--> DeviceGone.
//! Rules       A device gets the invite of a call once. A device that was never reached gets no cancel, nor does the
//!             one that answered. Every wake ends with one WakeEnded, unless WakeOver came first.
//! Limits      WAKES_MAX at a time; pauses from RETRY_MIN doubling to RETRY_MAX; the wake's `until`.
//! Not here    Whom to wake and what the invite says (switchboard), keys and sockets (shell/push_io).
//! Spec        RFC 8599 §5; RFC 8030 §5 for Web Push's answers; payloads as in proto/pns.
#![deny(missing_docs)]

mod config;
pub mod refusal;

use std::collections::BTreeMap;
use std::time::Duration;

use pns::{Cancel, Notification, Outcome, Target, Why};
use switchboard::ladder::Lane;
use switchboard::notice::{Wake, WakeOver};
use switchboard::{Effects, Manifest, Notice, Reply, Service, Ticket};
use types::{CallId, Pii, Refuse, UnixTime};

pub use config::Config;
pub use refusal::{REFUSALS, Refusal};

/// Wakes that one shard keeps, ended ones included until they are forgotten.
pub const WAKES_MAX: usize = 50_000;
/// The first pause before a push is tried again.
pub const RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest pause of our own choice.
pub const RETRY_MAX: Duration = Duration::from_secs(8);
/// How long a wake is remembered behind its end: its WakeOver may still come.
const GRACE: Duration = Duration::from_secs(60);
/// How long it makes sense to tell a device that it need not ring.
const CANCEL_LIFE: Duration = Duration::from_secs(60);

static MANIFEST: Manifest = Manifest {
    name: "push",
    purpose: "Wakes devices through APNs, FCM and Web Push.",
    settings: Config::REFERENCE,
    refusals: REFUSALS,
    ..Manifest::EMPTY
};

/// A call and a device: Call-ID, provider, token.
type Key = (String, &'static str, String);

/// See the head of this file.
#[derive(Debug)]
pub struct Room {
    config: Config,
    wakes: BTreeMap<Key, Waking>,
    /// What a ticket of ours is about.
    tickets: BTreeMap<Ticket, Key>,
}

#[derive(Debug)]
struct Waking {
    wake: Box<Wake>,
    step: Step,
    /// Tries of what is being sent now.
    tries: u32,
    /// Forgets this wake.
    end: Ticket,
}

#[derive(Debug)]
enum Step {
    /// A cancel is on its way, or waits for its next try.
    Cancelling { cancel: Cancel },
    /// Nothing more happens here.
    Done,
    /// The provider took the invite.
    Reached,
    /// The invite is on its way. `over`: the call ended meanwhile.
    Sending { over: Option<WakeOver> },
    /// The next try of the invite.
    Waiting { timer: Ticket },
}

impl Room {
    /// A room that wakes nobody.
    pub fn new(config: Config) -> Self {
        Self { config, wakes: BTreeMap::new(), tickets: BTreeMap::new() }
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::WakeNeeded(wake) = notice {
            self.begin(wake, effects);
        }
        if let Notice::WakeOver { user, call_id, why, answered_by } = notice {
            self.over(user, call_id, *why, answered_by.as_deref(), effects);
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        let Some(key) = self.tickets.remove(&ticket) else { return };
        let Reply::Push(outcome) = reply else { return };
        let Some(waking) = self.wakes.get(&key) else { return };
        match waking.step {
            Step::Cancelling { .. } => self.cancel_answered(key, outcome, effects),
            Step::Sending { over: None } => self.invite_answered(key, outcome, effects),
            Step::Sending { over: Some(why) } => {
                self.note(&key, &words(&outcome), effects);
                // It rings although nobody waits any more.
                match outcome {
                    Outcome::Accepted { .. } => {
                        effects.count("push.accepted");
                        self.cancel(key, why, effects);
                    }
                    Outcome::TokenGone { since } => {
                        self.token_gone(&key, since, effects);
                        self.set(&key, Step::Done);
                    }
                    Outcome::Refused { .. } | Outcome::RetryAfter { .. } | Outcome::Unreachable => {
                        self.set(&key, Step::Done);
                    }
                }
            }
            // The answer to a question that is settled.
            Step::Done | Step::Reached | Step::Waiting { .. } => (),
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        let Some(key) = self.tickets.remove(&ticket) else { return };
        let Some(waking) = self.wakes.get(&key) else { return };
        if waking.end == ticket {
            self.wakes.remove(&key);
            return;
        }
        match &waking.step {
            Step::Cancelling { .. } => self.send_cancel(key, effects),
            Step::Waiting { timer } if *timer == ticket => self.send_invite(key, effects),
            Step::Done | Step::Reached | Step::Sending { .. } | Step::Waiting { .. } => (),
        }
    }
}

/// The invite.
impl Room {
    fn begin(&mut self, wake: &Wake, effects: &mut Effects<'_>) {
        let target = &wake.device.target;
        let key = (wake.invite.call_id.clone(), target.provider.name(), target.prid.clone());
        if self.wakes.contains_key(&key) {
            return; // It rings already.
        }
        if self.wakes.len() >= WAKES_MAX {
            let refusal = Refusal::TooManyWakes;
            effects.count(refusal.verdict().code);
            effects.publish(ended(wake, Err(refusal), ""));
            return;
        }
        let left = wake.until.since(effects.unix());
        let end = effects.set_timer(effects.now() + left + GRACE);
        self.tickets.insert(end, key.clone());
        let step = Step::Sending { over: None };
        let wake = Box::new(wake.clone());
        self.wakes.insert(key.clone(), Waking { wake, step, tries: 0, end });
        self.send_invite(key, effects);
    }

    fn send_invite(&mut self, key: Key, effects: &mut Effects<'_>) {
        let Some(waking) = self.wakes.get_mut(&key) else { return };
        waking.step = Step::Sending { over: None };
        waking.tries += 1;
        let invite = Notification::Invite(waking.wake.invite.clone());
        match pns::encode(&invite, &waking.wake.device.target) {
            Ok(delivery) => {
                effects.count("push.sent");
                self.note(&key, "invite sent", effects);
                self.tickets.insert(effects.push(delivery), key);
            }
            Err(why) => {
                self.note(&key, &format!("not sent: {why}"), effects);
                self.fail(&key, Refusal::NotEncodable, &why.to_string(), effects);
            }
        }
    }

    fn invite_answered(&mut self, key: Key, outcome: Outcome, effects: &mut Effects<'_>) {
        self.note(&key, &words(&outcome), effects);
        let Some(waking) = self.wakes.get_mut(&key) else { return };
        match outcome {
            Outcome::Accepted { id } => {
                effects.count("push.accepted");
                waking.step = Step::Reached;
                effects.publish(ended(&waking.wake, Ok(()), id.as_deref().unwrap_or("accepted")));
            }
            Outcome::Refused { status, reason } => {
                effects.count("push.refused");
                self.fail(&key, Refusal::Refused, &format!("{status} {reason}"), effects);
            }
            Outcome::RetryAfter { seconds } => self.try_later(key, seconds, effects),
            Outcome::TokenGone { since } => {
                self.token_gone(&key, since, effects);
                self.fail(&key, Refusal::TokenGone, "token gone", effects);
            }
            Outcome::Unreachable => self.try_later(key, None, effects),
        }
    }

    fn try_later(&mut self, key: Key, seconds: Option<u32>, effects: &mut Effects<'_>) {
        let Some(waking) = self.wakes.get_mut(&key) else { return };
        let pause = pause(waking.tries, seconds);
        if effects.unix() + pause >= waking.wake.until {
            self.fail(&key, Refusal::TooLate, "no time left to try again", effects);
            return;
        }
        effects.count("push.retried");
        let timer = effects.set_timer(effects.now() + pause);
        waking.step = Step::Waiting { timer };
        self.tickets.insert(timer, key);
    }

    fn fail(&mut self, key: &Key, refusal: Refusal, why: &str, effects: &mut Effects<'_>) {
        let Some(waking) = self.wakes.get_mut(key) else { return };
        waking.step = Step::Done;
        // `push.refused` was counted where the provider said so.
        if refusal != Refusal::Refused {
            effects.count(refusal.verdict().code);
        }
        effects.publish(ended(&waking.wake, Err(refusal), why));
    }

    /// The device is forgotten, unless it registered after the provider gave its token up.
    fn token_gone(&mut self, key: &Key, since: Option<u64>, effects: &mut Effects<'_>) {
        let Some(waking) = self.wakes.get(key) else { return };
        let (user, target) = (&waking.wake.user, &waking.wake.device.target);
        let fresh = since.is_some_and(|since| {
            effects.directory().bindings(user).iter().any(|binding| {
                binding.seen.as_seconds() > since
                    && binding.push.as_ref().is_some_and(|push| same(push, target))
            })
        });
        if fresh {
            return;
        }
        effects.count("push.gone");
        let (user, prid) = (user.clone(), target.prid.clone());
        let provider = target.provider.name().to_owned();
        effects.publish(Notice::DeviceGone { user, provider, prid });
    }
}

/// The end of a call.
impl Room {
    fn over(
        &mut self,
        user: &str,
        call_id: &str,
        why: WakeOver,
        answered_by: Option<&str>,
        effects: &mut Effects<'_>,
    ) {
        let first = (call_id.to_owned(), "", String::new());
        let of_call = self.wakes.range(first..).take_while(|(key, _)| key.0 == call_id);
        let keys: Vec<Key> = of_call
            .filter(|(_, waking)| waking.wake.user == user)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            let answered = answered_by == Some(key.2.as_str());
            let Some(waking) = self.wakes.get_mut(&key) else { continue };
            match &mut waking.step {
                Step::Reached if !answered => self.cancel(key, why, effects),
                Step::Sending { over } if !answered => *over = Some(why),
                Step::Waiting { timer } => {
                    let timer = *timer;
                    waking.step = Step::Done;
                    effects.cancel_timer(timer);
                    self.tickets.remove(&timer);
                }
                Step::Reached | Step::Sending { .. } => waking.step = Step::Done,
                // Said already.
                Step::Cancelling { .. } | Step::Done => (),
            }
        }
    }

    fn cancel(&mut self, key: Key, why: WakeOver, effects: &mut Effects<'_>) {
        let unix = effects.unix();
        let Some(waking) = self.wakes.get_mut(&key) else { return };
        let invite = &waking.wake.invite;
        let (why, life) = match why {
            WakeOver::AnsweredElsewhere => (Why::AnsweredElsewhere, CANCEL_LIFE),
            WakeOver::Cancelled => (Why::Cancelled, CANCEL_LIFE),
            WakeOver::Missed => (Why::Missed, self.config.missed_life.into()),
        };
        let cancel = Cancel {
            call_id: invite.call_id.clone(),
            why,
            caller_uri: invite.caller_uri.clone(),
            caller_name: invite.caller_name.clone(),
            to: invite.to.clone(),
            iat: unix.as_seconds(),
            exp: (unix + life).as_seconds(),
        };
        waking.tries = 0;
        waking.step = Step::Cancelling { cancel };
        // Remembered as long as the cancel is tried.
        effects.cancel_timer(waking.end);
        self.tickets.remove(&waking.end);
        waking.end = effects.set_timer(effects.now() + CANCEL_LIFE + GRACE);
        self.tickets.insert(waking.end, key.clone());
        self.send_cancel(key, effects);
    }

    fn send_cancel(&mut self, key: Key, effects: &mut Effects<'_>) {
        let Some(waking) = self.wakes.get_mut(&key) else { return };
        let Step::Cancelling { cancel } = &waking.step else { return };
        waking.tries += 1;
        let text = format!("{} sent", cancel.why.kind());
        let cancel = Notification::Cancel(cancel.clone());
        match pns::encode(&cancel, &waking.wake.device.target) {
            Ok(delivery) => {
                effects.count("push.sent");
                self.note(&key, &text, effects);
                self.tickets.insert(effects.push(delivery), key);
            }
            Err(why) => {
                self.note(&key, &format!("cancel not sent: {why}"), effects);
                self.set(&key, Step::Done);
            }
        }
    }

    fn cancel_answered(&mut self, key: Key, outcome: Outcome, effects: &mut Effects<'_>) {
        self.note(&key, &words(&outcome), effects);
        let Some(waking) = self.wakes.get(&key) else { return };
        let Step::Cancelling { cancel } = &waking.step else { return };
        let began = UnixTime::seconds(cancel.iat);
        let seconds = match outcome {
            Outcome::Accepted { .. } => {
                effects.count("push.accepted");
                self.set(&key, Step::Done);
                return;
            }
            Outcome::TokenGone { since } => {
                // A cancel goes to the second token, where there is one: the first may live.
                if waking.wake.device.target.prid_alert.is_none() {
                    self.token_gone(&key, since, effects);
                }
                self.set(&key, Step::Done);
                return;
            }
            Outcome::Refused { .. } => {
                effects.count("push.refused");
                self.set(&key, Step::Done);
                return;
            }
            Outcome::RetryAfter { seconds } => seconds,
            Outcome::Unreachable => None,
        };
        let pause = pause(waking.tries, seconds);
        if effects.unix() + pause >= began + CANCEL_LIFE {
            self.set(&key, Step::Done);
            return;
        }
        effects.count("push.retried");
        let timer = effects.set_timer(effects.now() + pause);
        self.tickets.insert(timer, key);
    }
}

impl Room {
    fn set(&mut self, key: &Key, step: Step) {
        if let Some(waking) = self.wakes.get_mut(key) {
            waking.step = step;
        }
    }

    /// A line of the call's ladder.
    fn note(&self, key: &Key, text: &str, effects: &mut Effects<'_>) {
        if let Some(waking) = self.wakes.get(key) {
            let text = format!("{} {} {text}", key.1, Pii(&key.2));
            effects.ladder(CallId(waking.wake.session.0), Lane::Push, &text);
        }
    }
}

fn ended(wake: &Wake, result: Result<(), Refusal>, why: &str) -> Notice {
    let why = match result {
        Ok(()) => why.to_owned(),
        Err(refusal) if why.is_empty() => refusal.verdict().code.to_owned(),
        Err(refusal) => format!("{} ({why})", refusal.verdict().code),
    };
    let (session, prid) = (wake.session, wake.device.target.prid.clone());
    Notice::WakeEnded { session, prid, accepted: result.is_ok(), why }
}

/// What the provider asked for, or our own growing pause.
fn pause(tries: u32, seconds: Option<u32>) -> Duration {
    match seconds {
        Some(seconds) => Duration::from_secs(seconds.max(1).into()),
        None => {
            let doubled = RETRY_MIN.saturating_mul(1 << tries.saturating_sub(1).min(8));
            doubled.min(RETRY_MAX)
        }
    }
}

fn same(one: &Target, other: &Target) -> bool {
    (one.provider, &one.prid) == (other.provider, &other.prid)
}

/// An outcome for the ladder.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { id: Some(id) } => format!("accepted {id}"),
        Outcome::Accepted { id: None } => "accepted".into(),
        Outcome::Refused { status, reason } => format!("refused {status} {reason}"),
        Outcome::RetryAfter { seconds: Some(seconds) } => format!("asks to wait {seconds} s"),
        Outcome::RetryAfter { seconds: None } => "asks to wait".into(),
        Outcome::TokenGone { .. } => "token gone".into(),
        Outcome::Unreachable => "unreachable".into(),
    }
}
