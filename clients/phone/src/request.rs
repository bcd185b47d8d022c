//! Requests of ours that are no INVITE: REGISTER, BYE, CANCEL.

use std::net::SocketAddr;

use sip::transaction::client::{Action, Client, Event};
use sip::{Framing, Message, Method};
use types::Instant;

use crate::login::Tried;
use crate::phone::Phone;
use crate::{wire, words};

/// One request and its transaction.
#[derive(Debug)]
pub(crate) struct Request {
    pub branch: Vec<u8>,
    pub purpose: Purpose,
    pub to: SocketAddr,
    /// As it was sent, to be sent again with credentials.
    pub wire: Vec<u8>,
    pub tried: Tried,
    pub machine: Client,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Bye,
    Cancel,
    Register,
}

impl Purpose {
    const fn method(self) -> Method<'static> {
        match self {
            Self::Bye => Method::Bye,
            Self::Cancel => Method::Cancel,
            Self::Register => Method::Register,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    Answered(&'a Message<'a>),
    Failed,
    TimedOut,
}

impl Phone {
    pub(crate) fn request(
        &mut self,
        purpose: Purpose,
        branch: Vec<u8>,
        to: SocketAddr,
        wire: Vec<u8>,
        now: Instant,
    ) {
        self.request_with(purpose, branch, (to, Tried::default()), wire, now);
    }

    fn request_with(
        &mut self,
        purpose: Purpose,
        branch: Vec<u8>,
        (to, tried): (SocketAddr, Tried),
        wire: Vec<u8>,
        now: Instant,
    ) {
        let machine = Client::start(wire.clone(), self.reliable(), self.config.timers, now);
        let request = Request { branch, purpose, to, wire, tried, machine };
        self.run_request(request, None, now);
    }

    pub(crate) fn on_response(&mut self, response: &Message<'_>, now: Instant) {
        let Ok(via) = response.via() else { return };
        let (Some(branch), method) = (via.branch(), response.method()) else { return };
        let status = response.status().unwrap_or(0);
        if method == Method::Invite {
            return self.on_invite_response(response, branch, now);
        }
        let place =
            self.requests.iter().position(|r| r.branch == branch && r.purpose.method() == method);
        if let Some(place) = place {
            let mut request = self.requests.swap_remove(place);
            request.machine.handle(Event::Response(status), now);
            self.run_request(request, Some(response), now);
        }
    }

    pub(crate) fn requests_passed(&mut self, now: Instant) {
        for mut request in std::mem::take(&mut self.requests) {
            if request.machine.deadline().is_some_and(|at| at <= now) {
                request.machine.handle(Event::Deadline, now);
            }
            self.run_request(request, None, now);
        }
    }

    pub(crate) fn requests_lost(&mut self, now: Instant) {
        for mut request in std::mem::take(&mut self.requests) {
            request.machine.handle(Event::TransportFailed, now);
            self.run_request(request, None, now);
        }
    }

    /// Does what the transaction asks for and keeps it unless it has ended.
    fn run_request(&mut self, mut request: Request, response: Option<&Message<'_>>, now: Instant) {
        let mut over = false;
        while let Some(action) = request.machine.poll() {
            match action {
                Action::Transmit => self.send(request.to, request.machine.message().to_vec()),
                Action::Deliver => {
                    if let Some(response) = response {
                        self.delivered(&mut request, response, now);
                    }
                }
                Action::Failed => self.concluded(request.purpose, Outcome::Failed, now),
                Action::TimedOut => self.concluded(request.purpose, Outcome::TimedOut, now),
                Action::Terminated => over = true,
            }
        }
        if !over {
            self.requests.push(request);
        }
    }

    fn delivered(&mut self, request: &mut Request, response: &Message<'_>, now: Instant) {
        let status = response.status().unwrap_or(0);
        if status < 200 {
            return;
        }
        let wire = std::mem::take(&mut request.wire);
        if matches!(status, 401 | 407) && self.realms.learn(response, &mut request.tried) {
            let next = (request.to, std::mem::take(&mut request.tried));
            if self.retry(request.purpose, &wire, next, now) {
                return;
            }
        }
        self.concluded(request.purpose, Outcome::Answered(response), now);
    }

    fn retry(
        &mut self,
        purpose: Purpose,
        wire: &[u8],
        next: (SocketAddr, Tried),
        now: Instant,
    ) -> bool {
        if self.config.password.reveal().is_empty() {
            return false;
        }
        let Ok(old) = Message::decode(wire, Framing::Datagram) else { return false };
        let Ok(cseq) = old.cseq() else { return false };
        let number = match purpose {
            Purpose::Register => self.registration.next_cseq(),
            // The dialog of a BYE is gone: nobody else takes the next number.
            Purpose::Bye => cseq.number + 1,
            Purpose::Cancel => return false, // Cannot be challenged (RFC 3261 §22.1).
        };
        let branch = wire::branch(&mut self.rng);
        let wire = self.again(&old, &branch, number);
        self.request_with(purpose, branch, next, wire, now);
        true
    }

    fn concluded(&mut self, purpose: Purpose, outcome: Outcome<'_>, now: Instant) {
        match purpose {
            Purpose::Register => self.register_concluded(outcome, now),
            // The call was over for us when they were sent.
            Purpose::Bye | Purpose::Cancel => (),
        }
    }
}

impl Outcome<'_> {
    /// Status, phrase and warning, whichever way it went.
    ///
    /// Spec: RFC 3261 §8.1.3.1
    pub fn explained(&self) -> (u16, String, Option<String>) {
        match self {
            Self::Answered(response) => {
                let (reason, warning) = wire::explained(response);
                (response.status().unwrap_or(0), reason, warning)
            }
            Self::Failed => (503, sip::reason_phrase(503).to_owned(), None),
            Self::TimedOut => (408, sip::reason_phrase(408).to_owned(), None),
        }
    }
}

impl words::PhoneEvent {
    pub(crate) fn registration_failed(outcome: &Outcome<'_>, retries: bool) -> Self {
        let (status, reason, warning) = outcome.explained();
        Self::RegistrationFailed { status, reason, warning, retries }
    }
}
