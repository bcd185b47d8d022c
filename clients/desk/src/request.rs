//! Requests of ours that are no INVITE: REGISTER, BYE, CANCEL, REFER, INFO.
//!
//! The flow loses nothing and keeps order, so a request is said once and waits for one answer.

use std::time::Duration;

use sip::dialog::Dialog;
use sip::write::Writer;
use sip::{Message, Method};
use types::Instant;

use crate::desk::{Desk, REQUESTS_MAX};
use crate::wire;
use crate::words::{Action, Said};

/// Longest time until an answer, as over any transport (64*T1).
///
/// Spec: RFC 3261 §17.1.2.2 (timer F)
pub const REQUEST_MAX: Duration = Duration::from_secs(32);

/// One request that waits for its answer.
#[derive(Debug)]
pub struct Request {
    pub branch: Vec<u8>,
    pub purpose: Purpose,
    pub until: Instant,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nobody waits for its answer.
    Farewell,
    /// `call`: which is given away.
    Refer {
        call: String,
    },
    Register,
}

impl Desk {
    pub(crate) fn send(&mut self, bytes: Vec<u8>) {
        self.actions.push_back(Action::Send(bytes));
    }

    pub(crate) fn say(&mut self, said: Said) {
        // Whoever closes hears nothing more.
        if !self.closing {
            self.actions.push_back(Action::Said(said));
        }
    }

    /// Sends a request and remembers what its answer is for.
    pub(crate) fn ask(&mut self, purpose: Purpose, branch: Vec<u8>, wire: Vec<u8>, now: Instant) {
        self.send(wire);
        if self.requests.len() < REQUESTS_MAX {
            self.requests.push(Request { branch, purpose, until: now + REQUEST_MAX });
        }
    }

    /// A request within a dialog. `more` writes the rest and ends it.
    pub(crate) fn ask_inside(
        &mut self,
        purpose: Purpose,
        method: Method<'_>,
        dialog: &mut Dialog,
        now: Instant,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let branch = wire::branch(&mut self.rng);
        let (via, proof) = (self.via(&branch), self.proof());
        let mut out = Vec::new();
        let mut writer = dialog.request(method, &mut out, &via);
        writer.header(sip::Name::Authorization, proof);
        more(&mut writer);
        self.ask(purpose, branch, out, now);
    }

    pub(crate) fn request_answered(&mut self, branch: &[u8], answer: &Message<'_>, now: Instant) {
        if answer.status().unwrap_or(0) < 200 {
            return;
        }
        if let Some(place) = self.requests.iter().position(|known| known.branch == branch) {
            let request = self.requests.swap_remove(place);
            self.concluded(request.purpose, Some(answer), now);
        }
    }

    pub(crate) fn requests_passed(&mut self, now: Instant) {
        while let Some(place) = self.requests.iter().position(|known| known.until <= now) {
            let request = self.requests.swap_remove(place);
            self.concluded(request.purpose, None, now);
        }
    }

    fn concluded(&mut self, purpose: Purpose, answer: Option<&Message<'_>>, now: Instant) {
        match purpose {
            Purpose::Farewell => (),
            Purpose::Refer { call } => {
                let status = answer.and_then(Message::status).unwrap_or(408);
                if status >= 300 {
                    self.say(Said::Transfer { call, status });
                }
            }
            Purpose::Register => self.register_concluded(answer, now),
        }
    }
}
