//! `<Dial>`: others are reached and talk with the caller.
//!
//! Spec: programmable-voice §1.2

use twiml::Dial;
use types::Instant;

use super::{Act, Dialled, Program, State};

impl Program {
    pub(super) fn dial(&mut self, dial: Box<Dial>, now: Instant) {
        if let Some(meet) = dial.meet.clone() {
            return self.meet(dial, meet, now);
        }
        if dial.targets.is_empty() {
            self.answer();
            self.state = State::Dialling { dial, bridged: false };
            return self.dialled(&Dialled { status: "failed", ..Dialled::default() }, now);
        }
        match (self.answered, dial.answer_on_bridge) {
            (false, true) => self.acts.push_back(Act::Ring),
            (false, false) => self.answer(),
            (true, _) => {}
        }
        self.acts.push_back(Act::Dial(dial.clone()));
        self.state = State::Dialling { dial, bridged: false };
    }

    pub(super) fn bridged(&mut self, now: Instant) {
        let State::Dialling { dial, bridged } = &mut self.state else { return };
        if std::mem::replace(bridged, true) {
            return; // He comes back into a conference.
        }
        let limit = dial.time_limit;
        self.deadline = Some(now + limit);
        self.answer();
    }

    pub(super) fn dialled(&mut self, dialled: &Dialled, now: Instant) {
        let State::Dialling { dial, bridged } = &self.state else { return };
        let (dial, bridged) = (dial.clone(), *bridged);
        let Some(action) = dial.action else { return self.next(now) };
        let mut more = vec![("DialCallStatus".to_owned(), dialled.status.to_owned())];
        if !dialled.sid.is_empty() {
            more.push(("DialCallSid".to_owned(), dialled.sid.clone()));
        }
        more.extend(dialled.seconds.map(|time| ("DialCallDuration".to_owned(), time.to_string())));
        more.push(("DialBridged".to_owned(), bridged.to_string()));
        more.extend(dialled.more.iter().cloned());
        self.hand_over(&action, dial.method, more);
    }

    /// A star of the caller's may end it.
    pub(super) fn dialling_key(&mut self, key: char) {
        if let State::Dialling { dial, bridged: true } = &self.state
            && dial.hangup_on_star
            && key == '*'
        {
            self.acts.push_back(Act::EndDial);
        }
    }
}
