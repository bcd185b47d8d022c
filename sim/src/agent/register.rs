//! Registering, sleeping and waking.

use std::time::Duration;

use sip::write::Writer;
use sip::{Message, Name};
use types::Instant;

use super::wire::offer;
use super::{Act, Agent, Alarm, Purpose};

/// How a sleeping agent is woken.
#[derive(Clone, Debug)]
pub struct PushToken {
    /// `apns`, `fcm` or `webpush`.
    pub provider: &'static str,
    /// The token.
    pub prid: String,
    /// The app or project.
    pub param: String,
}

/// What an agent knows of its registration.
#[derive(Debug, Default)]
pub struct BindingState {
    /// Seconds that it asks for; 0 while it never registered.
    pub expires: u32,
    call_id: String,
    cseq: u32,
    /// Challenges answered since the last success.
    proofs: u32,
    /// Calls that a push announced, so that a second push says nothing new.
    announced: Vec<String>,
    /// Calls that it accepted by the reply address: their INVITE is answered at once.
    pub(crate) accepted: Vec<String>,
    hushed: bool,
}

/// The wait before another try at registering.
const RETRY: Duration = Duration::from_secs(4);
/// How long an agent that was woken stays awake without a call.
const AWAKE: Duration = Duration::from_secs(40);

impl Agent {
    /// Registers for so many seconds, now and again before it ends; 0 ends the registration.
    pub fn register_for(&mut self, seconds: u32, now: Instant) {
        self.registration.expires = seconds;
        if self.registration.call_id.is_empty() {
            self.registration.call_id = self.token();
        }
        self.alarms.retain(|_, alarm| *alarm != Alarm::Register);
        self.registration.proofs = 0;
        self.send_register(None, now);
    }

    pub(crate) fn register(&mut self, now: Instant) {
        if self.awake && !self.registration.call_id.is_empty() && !self.registration.hushed {
            self.register_for(self.registration.expires, now);
        }
    }

    /// It was started again: what it knew of calls and transactions is gone, and it moved to another address.
    pub fn restart(&mut self, address: std::net::SocketAddr, now: Instant) {
        self.address = address;
        self.clients.clear();
        self.servers.clear();
        self.alarms.clear();
        self.awake = true;
        self.register(now);
    }

    /// It does not register any more.
    pub fn hush(&mut self) {
        self.registration.hushed = true;
        self.alarms.retain(|_, alarm| *alarm != Alarm::Register);
    }

    fn send_register(&mut self, proof: Option<Vec<u8>>, now: Instant) {
        self.registration.cseq += 1;
        let (via, branch) = self.via();
        let tag = self.token();
        let aor = format!("sip:{}@{}", self.user, self.domain);
        let contact = format!("<{}>;+sip.instance=\"{}\"", self.contact(), self.instance);
        let mut out = Vec::with_capacity(600);
        let uri = format!("sip:{}", self.domain);
        let mut writer = Writer::request(&mut out, b"REGISTER", uri.as_bytes());
        writer
            .header(Name::Via, via)
            .number(Name::MaxForwards, 70)
            .header(Name::From, format!("<{aor}>;tag={tag}"))
            .header(Name::To, format!("<{aor}>"))
            .header(Name::CallId, &self.registration.call_id)
            .header(Name::CSeq, format!("{} REGISTER", self.registration.cseq))
            .header(Name::Contact, contact)
            .number(Name::Expires, self.registration.expires.into());
        if let Some(proof) = proof {
            writer.header(Name::Authorization, proof);
        }
        writer.end();
        if self.registration.expires == 0 {
            // From here on it may be gone, whatever comes back.
            self.acts.push(Act::Granted { contact: self.contact(), seconds: None });
        }
        self.start_client(branch, "REGISTER", out, Purpose::Register, now);
    }

    pub(crate) fn registered(&mut self, message: &Message<'_>, now: Instant) {
        let status = message.status().unwrap_or(0);
        if status == 401 && self.registration.proofs < 2 {
            self.registration.proofs += 1;
            let uri = format!("sip:{}", self.domain);
            if let Some(proof) = self.proof(message, b"REGISTER", uri.as_bytes()) {
                self.send_register(Some(proof), now);
                return;
            }
        }
        if status / 100 != 2 {
            if status >= 300 {
                self.set_alarm(RETRY, Alarm::Register, now);
            }
            return;
        }
        let own = self.contact();
        let granted = message
            .contacts()
            .flatten()
            .filter_map(|contact| contact.address().copied())
            .filter(|known| known.uri == own.as_bytes())
            .find_map(|known| known.expires());
        self.acts.push(Act::Granted { contact: own, seconds: granted });
        if let Some(seconds) = granted.filter(|seconds| *seconds > 0) {
            let again = u64::from(seconds) * (50 + self.rng.below(30)) / 100;
            self.set_alarm(Duration::from_secs(again.max(1)), Alarm::Register, now);
        }
        if self.push.is_some() {
            self.alarms.retain(|_, alarm| *alarm != Alarm::Sleep);
            self.set_alarm(AWAKE, Alarm::Sleep, now);
        }
    }

    pub(crate) fn register_failed(&mut self, now: Instant) {
        self.set_alarm(RETRY, Alarm::Register, now);
    }

    pub(crate) fn sleep_again(&mut self, now: Instant) {
        if self.push.is_none() {
            return;
        }
        let busy = self.calls.values().any(super::Call::is_alive) || !self.clients.is_empty();
        if busy {
            self.set_alarm(AWAKE, Alarm::Sleep, now);
        } else {
            self.awake = false;
        }
    }

    /// A push came, with the body that the provider delivered.
    pub fn woken(&mut self, body: &[u8], now: Instant) {
        let Ok(pns::Notification::Invite(invite)) = pns::Notification::decode(body) else { return };
        let known = self.registration.announced.contains(&invite.call_id);
        if known || self.rng.percent(self.manners.sleeps_on) {
            return;
        }
        self.registration.announced.push(invite.call_id.clone());
        if self.rng.percent(self.manners.answers_by_reply) {
            let action = match self.rng.below(10) {
                0 => "decline",
                1 => "busy",
                _ => "accept",
            };
            let mut body = serde_json::json!({ "action": action });
            if action == "accept" && self.rng.percent(30) {
                let sdp = offer(self, 1).encode();
                body["sdp"] = String::from_utf8_lossy(&sdp).into_owned().into();
            }
            let delay = Duration::from_millis(20 + self.rng.below(600));
            self.acts.push(Act::Answer {
                url: invite.reply_url.clone(),
                token: invite.reply_token.clone(),
                body: body.to_string(),
                delay,
            });
            if action != "accept" {
                return;
            }
            self.registration.accepted.push(invite.call_id);
            // As a rule it registers when the answer is out; some do both at once, and some too late.
            let wait = match self.rng.below(10) {
                0 | 1 => Duration::ZERO,
                2 => Duration::from_secs(9 + self.rng.below(4)),
                _ => delay + Duration::from_millis(self.rng.below(1_500)),
            };
            self.set_alarm(wait, Alarm::Wake, now);
            return;
        }
        self.wake(now);
    }

    pub(crate) fn wake(&mut self, now: Instant) {
        self.awake = true;
        self.register(now);
    }
}
