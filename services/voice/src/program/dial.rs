//! `<Dial>`: others are reached and talk with the caller.
//!
//! Spec: programmable-voice §1.2

use twiml::{Dial, Hook};
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
        let whole = Box::new(self.with_addresses(&dial));
        self.acts.push_back(Act::Dial(whole));
        self.state = State::Dialling { dial, bridged: false };
    }

    /// The same with whole addresses, for those who do not know the document.
    fn with_addresses(&self, dial: &Dial) -> Dial {
        let whole = |hook: &Hook| {
            let url = self.address(&hook.url)?;
            Some(Hook { url, method: hook.method })
        };
        let told = |status: &Option<(Hook, Vec<String>)>| {
            let (hook, events) = status.as_ref()?;
            Some((whole(hook)?, events.clone()))
        };
        let mut dial = dial.clone();
        dial.recording_status = told(&dial.recording_status);
        dial.refer = dial.refer.as_ref().and_then(whole);
        for target in &mut dial.targets {
            target.whisper = target.whisper.as_ref().and_then(whole);
            target.status = told(&target.status);
            if let Some(machine) = &mut target.machine {
                machine.told = machine.told.as_ref().and_then(whole);
            }
        }
        dial
    }

    /// The `<Dial>` that runs, with whole addresses.
    pub fn dial_that_runs(&self) -> Option<Dial> {
        match &self.state {
            State::Dialling { dial, .. } => Some(self.with_addresses(dial)),
            State::Apologising
            | State::Asking
            | State::Connected { .. }
            | State::Gathering { .. }
            | State::Over
            | State::Pausing
            | State::Queued { .. }
            | State::Recording { .. }
            | State::Referring { .. }
            | State::Sounding => None,
        }
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
        more.extend(dialled.sip.map(|code| ("DialSipResponseCode".to_owned(), code.to_string())));
        more.extend(dialled.recording.clone().map(|url| ("RecordingUrl".to_owned(), url)));
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
