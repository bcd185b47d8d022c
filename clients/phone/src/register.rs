//! Registration: being reachable, and staying so.
//!
//! Picture     Out --Register--> Asking --200--> In --shortly before it ends--> Asking
//!             Asking --no answer, 5xx--> Waiting --delay, doubled each time--> Asking
//!             In, Asking --Unregister--> Leaving --> Out
//! Rules       One Call-ID and growing numbers for the life of the phone. A new address takes the old
//!             one with it. What cannot get better by
//!             waiting (wrong password, unknown user) is not tried again.
//! Limits      RETRY_MIN to RETRY_MAX between two tries.
//! Not here    Credentials (login.rs), whether the flow is open (phone.rs).
//! Spec        RFC 3261 §10.2, RFC 5626 §4.5, RFC 8599 §4

use std::time::Duration;

use sip::{Message, Method, Name};
use types::{Instant, Rng};

use crate::phone::{Line, Phone};
use crate::request::{Outcome, Purpose};
use crate::wire::{self, Outline};
use crate::words::PhoneEvent;

/// The first wait after a registration failed.
pub const RETRY_MIN: Duration = Duration::from_secs(5);

/// The longest wait between two tries.
pub const RETRY_MAX: Duration = Duration::from_secs(300);

/// How long before its end a registration is refreshed, at most: a quarter of it when it is short.
const MARGIN_MAX: Duration = Duration::from_secs(60);

/// Our standing with the registrar.
#[derive(Debug)]
pub(crate) struct Registration {
    call_id: String,
    tag: Vec<u8>,
    cseq: u32,
    /// The Contact that the registrar has last confirmed.
    bound: Option<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `tries`: how often it failed in a row.
    Asking {
        tries: u32,
    },
    /// `refresh`: when to ask again.
    In {
        refresh: Instant,
    },
    Leaving,
    Out,
    Waiting {
        until: Instant,
        tries: u32,
    },
}

impl Registration {
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            call_id: wire::uuid(rng),
            tag: wire::tag(rng),
            cseq: 0,
            bound: None,
            state: State::Out,
        }
    }

    pub fn is_in(&self) -> bool {
        matches!(self.state, State::In { .. })
    }

    /// Whether the person wants to be reachable.
    pub fn is_wanted(&self) -> bool {
        match self.state {
            State::Asking { .. } | State::In { .. } | State::Waiting { .. } => true,
            State::Leaving | State::Out => false,
        }
    }

    pub fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::In { refresh: at } | State::Waiting { until: at, .. } => Some(at),
            State::Asking { .. } | State::Leaving | State::Out => None,
        }
    }
}

impl Phone {
    pub(crate) fn register(&mut self, now: Instant) {
        let tries = match self.registration.state {
            State::Waiting { tries, .. } => tries,
            State::Asking { .. } | State::In { .. } | State::Leaving | State::Out => 0,
        };
        self.ask(tries, now);
    }

    pub(crate) fn unregister(&mut self, now: Instant) {
        match self.registration.state {
            State::Out => self.say(PhoneEvent::Unregistered),
            State::Leaving => (),
            State::Asking { .. } | State::In { .. } | State::Waiting { .. } => {
                self.registration.state = State::Leaving;
                self.send_register(0, now);
            }
        }
    }

    pub(crate) fn registration_passed(&mut self, now: Instant) {
        let Some(at) = self.registration.deadline() else { return };
        if at > now {
            return;
        }
        if self.is_open() {
            self.register(now);
            return;
        }
        // Said so by `opened`. Until then nothing is due: the deadline must not stay in the past.
        let tries = match self.registration.state {
            State::Waiting { tries, .. } => tries,
            State::Asking { .. } | State::In { .. } | State::Leaving | State::Out => 0,
        };
        self.registration.state = State::Waiting { until: now + RETRY_MAX, tries };
        self.wake(Line::Stirring);
    }

    pub(crate) fn register_concluded(&mut self, outcome: Outcome<'_>, now: Instant) {
        let status = match outcome {
            Outcome::Answered(response) => response.status().unwrap_or(0),
            Outcome::Failed | Outcome::TimedOut => 0,
        };
        match (self.registration.state, outcome) {
            (State::Leaving, _) => {
                self.registration.state = State::Out;
                self.say(PhoneEvent::Unregistered);
            }
            (State::Asking { .. }, Outcome::Answered(response)) if (200..300).contains(&status) => {
                self.registered(response, now);
            }
            (State::Asking { tries }, Outcome::Answered(response))
                if status == 423 && tries == 0 && self.lengthen(response) =>
            {
                self.ask(1, now); // Once: a registrar that wants ever more is refused.
            }
            (State::Asking { tries }, outcome) => self.failed(tries, status, outcome, now),
            // An answer to a REGISTER that another one has overtaken.
            (State::In { .. } | State::Out | State::Waiting { .. }, _) => (),
        }
    }

    fn ask(&mut self, tries: u32, now: Instant) {
        self.registration.state = State::Asking { tries };
        self.send_register(self.config.expires.0, now);
    }

    fn send_register(&mut self, expires: u32, now: Instant) {
        let Some(server) = self.config.server else {
            self.registration.state = State::Out;
            return self.say(PhoneEvent::registration_failed(&Outcome::Failed, false));
        };
        // An older REGISTER must not come through behind this one.
        self.requests.retain(|request| request.purpose != Purpose::Register);
        let uri = sip::write::uri(None, self.config.domain.as_bytes(), None);
        let to = format!("<{}>", self.aor());
        let (call_id, tag) = (self.registration.call_id.clone(), self.registration.tag.clone());
        let outline = Outline {
            method: Method::Register,
            uri: uri.as_bytes(),
            to: to.as_bytes(),
            tag: &tag,
            call_id: call_id.as_bytes(),
            cseq: self.registration.next_cseq(),
        };
        let (branch, contact) = (wire::branch(&mut self.rng), self.contact(true));
        let gone = self.registration.bound.clone().filter(|bound| *bound != contact);
        let mut out = Vec::new();
        let mut writer = self.begin(&outline, &branch, &mut out);
        if let Some(gone) = gone {
            // Our old flow is closed: a registrar that knows no instances must not keep it.
            writer.header_parts(Name::Contact, &[gone.as_bytes(), b";expires=0"]);
        }
        writer
            .header(Name::Contact, contact)
            .number(Name::Expires, expires.into())
            .header(Name::Allow, wire::ALLOW)
            .header(Name::Supported, "path")
            .end();
        self.request(Purpose::Register, branch, server, out, now);
    }

    fn registered(&mut self, response: &Message<'_>, now: Instant) {
        let contact = self.contact(false);
        let ours = contact.trim_matches(|c| matches!(c, '<' | '>'));
        let ours = sip::Uri::decode(ours.as_bytes()).ok();
        let of_contact = response.contacts().filter_map(Result::ok).find_map(|contact| {
            let address = *contact.address()?;
            let (uri, ours) = (address.uri().ok()?, ours.as_ref()?);
            let same = uri.host == ours.host && uri.port == ours.port;
            if same { address.expires() } else { None }
        });
        let of_header = response.expires().ok().flatten();
        let expires = of_contact.or(of_header).unwrap_or(self.config.expires.0);
        let life = Duration::from_secs(expires.into());
        // Asleep, a refresh costs a wake-up; it must not cost one a second.
        let wait = (life - MARGIN_MAX.min(life / 4)).max(Duration::from_secs(1));
        self.registration.state = State::In { refresh: now + wait };
        self.registration.bound = Some(self.contact(true));
        let push = response.all(Name::FeatureCaps).any(|caps| {
            let caps = String::from_utf8_lossy(caps).to_ascii_lowercase();
            caps.contains("+sip.pns")
        });
        self.say(PhoneEvent::Registered { expires, push });
    }

    /// Takes the life that the registrar asks for. `false`: it asked for nothing longer.
    fn lengthen(&mut self, response: &Message<'_>) -> bool {
        let wanted = response.first(Name::MinExpires).and_then(sip::header::seconds);
        let Some(wanted) = wanted.filter(|wanted| *wanted > self.config.expires.0) else {
            return false;
        };
        self.config.expires = types::Seconds(wanted);
        true
    }

    fn failed(&mut self, tries: u32, status: u16, outcome: Outcome<'_>, now: Instant) {
        let retries = matches!(status, 0 | 408 | 480 | 500..=599) && status != 555;
        self.registration.state = if retries {
            let asked = match outcome {
                Outcome::Answered(response) => {
                    response.first(Name::RetryAfter).and_then(sip::header::seconds)
                }
                Outcome::Failed | Outcome::TimedOut => None,
            };
            let own = RETRY_MIN.saturating_mul(1 << tries.min(8));
            let wait = asked.map_or(own, |asked| Duration::from_secs(asked.into()).max(RETRY_MIN));
            let wait = wait.min(RETRY_MAX);
            // A crowd that lost its server at once must not come back at once (RFC 5626 §4.5).
            let spread = self.rng.below(wait.as_micros() as u64 / 4);
            let until = now + wait + Duration::from_micros(spread);
            State::Waiting { until, tries: tries + 1 }
        } else {
            State::Out
        };
        self.say(PhoneEvent::registration_failed(&outcome, retries));
    }
}
