//! Calls: beginning, ringing, changing, giving away, ending.
//!
//! Picture     Call --> Calling --2xx--> Talking <--Answer-- Ringing <-- INVITE
//!             Talking --Change--> asked --2xx--> Talking;  their re-INVITE --> the page --Agree--> Talking
//! Rules       One change at a time: theirs meets 491 while ours is out, ours is refused meanwhile. A call that was
//!             given up is not shown any more and ends by itself.
//! Spec        RFC 3261 §13, §14, §15; RFC 3515; RFC 3891

use std::time::Duration;

use sip::dialog::Dialog;
use sip::transaction::{ack_for, cancel_for};
use sip::write::escape_header;
use sip::{Framing, Message, Method, Name};
use types::Instant;

use crate::call::{Call, Calling, Change, Leaving, Sent, Stage, Talk};
use crate::desk::{CALLS_MAX, Desk};
use crate::request::{Purpose, REQUEST_MAX};
use crate::wire::{self, Caller, Outline};
use crate::words::{No, SDP_MAX, Said, Why};

/// How long it rings, here or at the other end, before the desk gives up.
pub const RING_MAX: Duration = Duration::from_secs(180);
/// How long a page may take to answer a change of the other side; then 480, and the call goes on as it was.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Keys in one command.
pub const KEYS_MAX: usize = 64;
/// How long one key sounds, in milliseconds.
const KEY_LENGTH: u16 = 160;

impl Desk {
    pub(crate) fn call(&mut self, to: &str, sdp: &str, now: Instant) -> Result<String, No> {
        let uri = wire::address(to, &self.config.domain).ok_or(No::NotAnAddress)?;
        described(sdp)?;
        if self.calls.len() >= CALLS_MAX {
            return Err(No::TooMany);
        }
        let id = wire::uuid(&mut self.rng);
        let (branch, tag) = (wire::branch(&mut self.rng), wire::tag(&mut self.rng));
        let outline = Outline {
            method: Method::Invite,
            uri: uri.as_bytes(),
            to: uri.as_bytes(),
            tag: &tag,
            call_id: &id,
            cseq: 1,
            branch: &branch,
        };
        let contact = self.contact();
        let mut out = Vec::new();
        let mut writer = self.begin(&outline, &mut out);
        writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
        writer.header(Name::Accept, wire::SDP).body(wire::SDP, sdp.as_bytes());
        self.send(out.clone());
        let sent = Sent { branch, tag, wire: out };
        let until = now + RING_MAX;
        let calling = Calling { sent, until, heard: false, leaving: Leaving::No };
        self.calls.push(Call { id: id.clone(), stage: Stage::Calling(calling) });
        Ok(id)
    }

    pub(crate) fn answer(&mut self, call: &str, sdp: &str, _now: Instant) -> Result<(), No> {
        described(sdp)?;
        let place = self.place(call)?;
        let Stage::Ringing { invite, tag, .. } = &self.calls[place].stage else {
            return Err(No::WrongMoment);
        };
        let (invite, tag) = (invite.clone(), tag.clone());
        let request = Message::decode(&invite, Framing::Datagram).map_err(|_| No::WrongMoment)?;
        let dialog = Dialog::uas(&request, &tag).map_err(|_| No::WrongMoment)?;
        let owed = owed(&request);
        self.accept(&request, &tag, sdp);
        let talk = Talk { dialog, change: Change::None, acked: None, owed };
        self.calls[place].stage = Stage::Talking(Box::new(talk));
        self.say(Said::Answered { call: call.to_owned(), sdp: None });
        Ok(())
    }

    /// Answers an INVITE with success.
    fn accept(&mut self, request: &Message<'_>, tag: &[u8], sdp: &str) {
        let contact = self.contact();
        self.reply_as(request, 200, tag, |writer| {
            writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
            writer.body(wire::SDP, sdp.as_bytes());
        });
    }

    pub(crate) fn decline(&mut self, call: &str) -> Result<(), No> {
        let place = self.place(call)?;
        match &self.calls[place].stage {
            Stage::Ringing { .. } => self.stop_ringing(place, 603, Why::Ours),
            Stage::Calling(_) | Stage::Talking(_) => return Err(No::WrongMoment),
        }
        Ok(())
    }

    pub(crate) fn hang_up(&mut self, call: &str, now: Instant) -> Result<(), No> {
        let place = self.place(call)?;
        match &self.calls[place].stage {
            Stage::Calling(_) => self.give_up(place, Why::Ours, now),
            Stage::Ringing { .. } => self.stop_ringing(place, 603, Why::Ours),
            Stage::Talking(_) => self.leave(place, Why::Ours, now),
        }
        Ok(())
    }

    /// Ends a talk with BYE.
    fn leave(&mut self, place: usize, why: Why, now: Instant) {
        let Call { id, stage } = self.calls.swap_remove(place);
        if let Stage::Talking(mut talk) = stage {
            self.refuse_theirs(&talk, 487);
            self.bye(&mut talk.dialog, now);
        }
        self.ended(id, why, None);
    }

    fn bye(&mut self, dialog: &mut Dialog, now: Instant) {
        self.ask_inside(Purpose::Farewell, Method::Bye, dialog, now, |writer| writer.end());
    }

    /// Gives up a call of ours: by CANCEL, as soon as that is allowed. The page hears its end at once.
    fn give_up(&mut self, place: usize, why: Why, now: Instant) {
        let Call { id, stage } = &mut self.calls[place];
        let Stage::Calling(calling) = stage else { return };
        let (id, sent) = (id.clone(), calling.sent.clone());
        calling.leaving = if calling.heard { Leaving::Cancelled } else { Leaving::Wanted };
        calling.until = now + REQUEST_MAX;
        if calling.leaving == Leaving::Cancelled {
            self.cancel(&sent, now);
        }
        self.ended(id, why, None);
    }

    fn cancel(&mut self, sent: &Sent, now: Instant) {
        let mut out = Vec::new();
        let Ok(invite) = Message::decode(&sent.wire, Framing::Datagram) else { return };
        if cancel_for(&invite, None, &mut out).is_ok() {
            self.ask(Purpose::Farewell, sent.branch.clone(), out, now);
        }
    }

    fn stop_ringing(&mut self, place: usize, status: u16, why: Why) {
        let Call { id, stage } = self.calls.swap_remove(place);
        if let Stage::Ringing { invite, tag, .. } = stage
            && let Ok(request) = Message::decode(&invite, Framing::Datagram)
        {
            self.reply_as(&request, status, &tag, |writer| writer.end());
        }
        self.ended(id, why, None);
    }

    fn ended(&mut self, call: String, why: Why, answer: Option<&Message<'_>>) {
        let (status, reason, warning) = answer.map_or((0, String::new(), None), wire::explained);
        self.say(Said::Ended { call, why, status, reason, warning });
    }

    /// Offers a change.
    pub(crate) fn change(&mut self, call: &str, sdp: &str, now: Instant) -> Result<(), No> {
        described(sdp)?;
        let (id, mut talk) = self.take_talk(call)?;
        if !matches!(talk.change, Change::None) || talk.owed.is_some() {
            self.keep(id, talk);
            return Err(No::WrongMoment);
        }
        let branch = wire::branch(&mut self.rng);
        let (via, contact, proof) = (self.via(&branch), self.contact(), self.proof());
        let mut wire = Vec::new();
        let tag = talk.dialog.local_tag().to_vec();
        let mut writer = talk.dialog.request(Method::Invite, &mut wire, &via);
        writer.header(Name::Authorization, proof);
        writer.header(Name::Contact, contact).header(Name::Allow, wire::ALLOW);
        writer.body(wire::SDP, sdp.as_bytes());
        self.send(wire.clone());
        talk.change = Change::Ours { sent: Sent { branch, tag, wire }, until: now + REQUEST_MAX };
        self.keep(id, talk);
        Ok(())
    }

    /// Answers a change of theirs.
    pub(crate) fn agree(&mut self, call: &str, sdp: &str, _now: Instant) -> Result<(), No> {
        described(sdp)?;
        let (id, mut talk) = self.take_talk(call)?;
        let Change::Theirs { invite, .. } = std::mem::replace(&mut talk.change, Change::None)
        else {
            self.keep(id, talk);
            return Err(No::WrongMoment);
        };
        if let Ok(request) = Message::decode(&invite, Framing::Datagram) {
            talk.owed = owed(&request);
            talk.dialog.refresh_target(&request);
            let tag = talk.dialog.local_tag().to_vec();
            self.accept(&request, &tag, sdp);
        }
        self.keep(id, talk);
        Ok(())
    }

    fn refuse_theirs(&mut self, talk: &Talk, status: u16) {
        if let Change::Theirs { invite, .. } = &talk.change
            && let Ok(request) = Message::decode(invite, Framing::Datagram)
        {
            let tag = talk.dialog.local_tag().to_vec();
            self.reply_as(&request, status, &tag, |writer| writer.end());
        }
    }

    /// Refuses changes of theirs that nobody will answer any more: they may ask again, after what the page offers now.
    ///
    /// Spec: RFC 3261 §14.2
    pub(crate) fn refuse_waiting(&mut self) {
        let calls = std::mem::take(&mut self.calls);
        for mut call in calls {
            if let Stage::Talking(talk) = &mut call.stage
                && matches!(talk.change, Change::Theirs { .. })
            {
                self.refuse_theirs(talk, 491);
                talk.change = Change::None;
            }
            self.calls.push(call);
        }
    }

    /// Presses keys, in the form that most phones understand beside RTP.
    pub(crate) fn press(&mut self, call: &str, keys: &str, now: Instant) -> Result<(), No> {
        let known = |key: char| key.is_ascii_digit() || "*#ABCD".contains(key);
        if keys.is_empty() || keys.len() > KEYS_MAX || !keys.chars().all(known) {
            return Err(No::NotAnAddress);
        }
        let (id, mut talk) = self.take_talk(call)?;
        for key in keys.chars() {
            let body = format!("Signal={key}\r\nDuration={KEY_LENGTH}\r\n");
            self.ask_inside(Purpose::Farewell, Method::Info, &mut talk.dialog, now, |writer| {
                writer.body("application/dtmf-relay", body.as_bytes());
            });
        }
        self.keep(id, talk);
        Ok(())
    }

    /// Asks the switchboard to give the other side to somebody else.
    ///
    /// Spec: RFC 3515 §2.1, RFC 3891 §3
    pub(crate) fn transfer(
        &mut self,
        call: &str,
        to: Option<&str>,
        with: Option<&str>,
        now: Instant,
    ) -> Result<(), No> {
        let target = match (to, with) {
            (Some(to), None) => {
                let uri = wire::address(to, &self.config.domain).ok_or(No::NotAnAddress)?;
                format!("<{uri}>")
            }
            (None, Some(with)) if with != call => {
                let place = self.place(with)?;
                let Stage::Talking(other) = &self.calls[place].stage else {
                    return Err(No::WrongMoment);
                };
                replacing(&other.dialog)
            }
            (Some(_) | None, Some(_)) | (None, None) => return Err(No::NotAnAddress),
        };
        let (id, mut talk) = self.take_talk(call)?;
        let contact = self.contact();
        let by = format!("<{}>", self.aor());
        let purpose = Purpose::Refer { call: id.clone() };
        self.ask_inside(purpose, Method::Refer, &mut talk.dialog, now, |writer| {
            writer.header(Name::Contact, contact).header(Name::ReferTo, target);
            writer.header(Name::ReferredBy, by).end();
        });
        self.keep(id, talk);
        Ok(())
    }

    pub(crate) fn invite_answered(&mut self, branch: &[u8], answer: &Message<'_>, now: Instant) {
        let status = answer.status().unwrap_or(0);
        let ours = |call: &Call| match &call.stage {
            Stage::Calling(calling) => calling.sent.branch == branch,
            Stage::Talking(talk) => {
                matches!(&talk.change, Change::Ours { sent, .. } if sent.branch == branch)
                    || talk.acked.as_ref().is_some_and(|(known, _)| known == branch)
            }
            Stage::Ringing { .. } => false,
        };
        let Some(place) = self.calls.iter().position(ours) else { return };
        let Call { id, stage } = self.calls.swap_remove(place);
        match stage {
            Stage::Calling(calling) if status < 200 => self.heard(id, calling, answer, now),
            Stage::Calling(calling) if status < 300 => self.taken(id, calling, answer, now),
            Stage::Calling(calling) => {
                self.acknowledge_failure(&calling.sent, answer);
                if calling.leaving == Leaving::No {
                    self.ended(id, Why::Refused, Some(answer));
                }
            }
            Stage::Talking(talk) => self.change_answered(id, talk, status, answer),
            stage @ Stage::Ringing { .. } => self.calls.push(Call { id, stage }),
        }
    }

    /// A provisional answer to a call of ours.
    fn heard(&mut self, id: String, mut calling: Calling, answer: &Message<'_>, now: Instant) {
        calling.heard = true;
        let status = answer.status().unwrap_or(0);
        match calling.leaving {
            Leaving::Wanted => {
                calling.leaving = Leaving::Cancelled;
                self.cancel(&calling.sent, now);
            }
            Leaving::No if status > 100 => {
                let sdp = wire::description(answer);
                self.say(Said::Ringing { call: id.clone(), status, sdp });
            }
            Leaving::Cancelled | Leaving::No => (),
        }
        self.calls.push(Call { id, stage: Stage::Calling(calling) });
    }

    /// A call of ours is answered.
    fn taken(&mut self, id: String, calling: Calling, answer: &Message<'_>, now: Instant) {
        let sent = calling.sent;
        let Ok(mut dialog) = Dialog::uac(answer, &sent.tag) else {
            return self.ended(id, Why::Unreachable, Some(answer));
        };
        let acked = self.acknowledge(&dialog, &sent, answer);
        if calling.leaving != Leaving::No {
            return self.bye(&mut dialog, now); // It was answered while we gave up.
        }
        let talk = Talk { dialog, change: Change::None, acked, owed: None };
        self.keep(id.clone(), Box::new(talk));
        self.say(Said::Answered { call: id, sdp: wire::description(answer) });
    }

    fn acknowledge(
        &mut self,
        dialog: &Dialog,
        sent: &Sent,
        answer: &Message<'_>,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let cseq = answer.cseq().ok()?.number;
        let branch = wire::branch(&mut self.rng);
        let mut out = Vec::new();
        let mut writer = dialog.ack(cseq, &mut out, &self.via(&branch));
        writer.header(Name::Authorization, self.proof()).end();
        self.send(out.clone());
        Some((sent.branch.clone(), out))
    }

    fn acknowledge_failure(&mut self, sent: &Sent, answer: &Message<'_>) {
        let mut out = Vec::new();
        if let Ok(invite) = Message::decode(&sent.wire, Framing::Datagram)
            && ack_for(&invite, answer, &mut out).is_ok()
        {
            self.send(out);
        }
    }

    fn change_answered(
        &mut self,
        id: String,
        mut talk: Box<Talk>,
        status: u16,
        answer: &Message<'_>,
    ) {
        let Change::Ours { sent, .. } = &talk.change else {
            // The success came again.
            if let Some((_, ack)) = talk.acked.as_ref().filter(|_| status / 100 == 2) {
                self.send(ack.clone());
            }
            return self.keep(id, talk);
        };
        let sent = sent.clone();
        match status {
            0..=199 => return self.keep(id, talk),
            200..=299 => {
                talk.dialog.refresh_target(answer);
                talk.acked = self.acknowledge(&talk.dialog, &sent, answer);
                talk.change = Change::None;
                let sdp = wire::description(answer).unwrap_or_default();
                self.say(Said::Agreed { call: id.clone(), sdp });
            }
            // Spec: RFC 3261 §14.1 (a call that they do not know any more is over)
            408 | 481 => {
                self.acknowledge_failure(&sent, answer);
                return self.ended(id, Why::Unreachable, Some(answer));
            }
            _ => {
                self.acknowledge_failure(&sent, answer);
                talk.change = Change::None;
                let (status, reason, _) = wire::explained(answer);
                self.say(Said::Refused { call: id.clone(), status, reason });
            }
        }
        self.keep(id, talk);
    }

    /// A call comes in.
    pub(crate) fn invited(&mut self, request: &Message<'_>, now: Instant) {
        let id = wire::text(request.call_id());
        let tag = wire::tag(&mut self.rng);
        let required = request.values(Name::Require).next();
        let status = match () {
            () if self.closing => 480,
            // Spec: RFC 5626 §7 (nobody is behind this flow; the page is reached another way)
            () if self.sleeps() => 430,
            () if required.is_some() => 420,
            () if self.calls.iter().any(|call| call.id == id) => 482,
            () if self.calls.len() >= CALLS_MAX => 486,
            () => Dialog::uas(request, &tag).map_or_else(|error| error.status(), |_| 180),
        };
        let contact = self.contact();
        self.reply_as(request, status, &tag, |writer| {
            if let (420, Some(required)) = (status, required) {
                writer.header(Name::Unsupported, required);
            }
            writer.header(Name::Contact, contact).end();
        });
        if status != 180 {
            return;
        }
        let invite = request.bytes().to_vec();
        let stage = Stage::Ringing { invite, tag, until: now + RING_MAX };
        self.calls.push(Call { id: id.clone(), stage });
        let Caller { from, name, picture } = Caller::of(request);
        let sdp = wire::description(request);
        self.say(Said::Incoming { call: id, from, name, picture, sdp });
    }

    pub(crate) fn cancel_came(&mut self, request: &Message<'_>) {
        let id = wire::text(request.call_id());
        let rings = |call: &Call| call.id == id && matches!(call.stage, Stage::Ringing { .. });
        let place = self.calls.iter().position(rings);
        self.reply(request, if place.is_some() { 200 } else { 481 }, |_| ());
        if let Some(place) = place {
            // Spec: RFC 3326 §2 (the call was taken by another device)
            let elsewhere = request.all(Name::Reason).any(|reason| {
                sip::header::tail(reason).get("cause").is_some_and(|cause| cause == b"200")
            });
            let why = if elsewhere { Why::AnsweredElsewhere } else { Why::Cancelled };
            self.stop_ringing(place, 487, why);
        }
    }

    /// Judges a request within a call: `Ok`: its talk, out of the list.
    fn judge(&mut self, request: &Message<'_>) -> Option<(String, Box<Talk>)> {
        let id = wire::text(request.call_id());
        let Ok((id, mut talk)) = self.take_talk(&id) else {
            self.reply(request, 481, |_| ());
            return None;
        };
        if let Err(verdict) = talk.dialog.accept(request) {
            self.keep(id, talk);
            self.reply(request, verdict.status(), |_| ());
            return None;
        }
        Some((id, talk))
    }

    pub(crate) fn bye_came(&mut self, request: &Message<'_>) {
        let Some((id, talk)) = self.judge(request) else { return };
        self.reply(request, 200, |_| ());
        self.refuse_theirs(&talk, 487);
        self.ended(id, Why::Theirs, None);
    }

    pub(crate) fn info_came(&mut self, request: &Message<'_>) {
        let Some((id, talk)) = self.judge(request) else { return };
        self.keep(id.clone(), talk);
        self.reply(request, 200, |_| ());
        if let Some(key) = key_pressed(request) {
            self.say(Said::Key { call: id, key });
        }
    }

    /// A refresh of the session; with a description it would have to be a re-INVITE, which a page has time for.
    pub(crate) fn update_came(&mut self, request: &Message<'_>) {
        let Some((id, mut talk)) = self.judge(request) else { return };
        let plain = request.body().is_empty();
        if plain {
            talk.dialog.refresh_target(request);
        }
        self.keep(id, talk);
        let (contact, refresh) = (self.contact(), request.first(Name::SessionExpires));
        self.reply(request, if plain { 200 } else { 488 }, |writer| {
            writer.header(Name::Contact, contact);
            if let Some(refresh) = refresh.filter(|_| plain) {
                writer.header(Name::SessionExpires, refresh);
            }
        });
    }

    pub(crate) fn change_came(&mut self, request: &Message<'_>, now: Instant) {
        let Some((id, mut talk)) = self.judge(request) else { return };
        if !matches!(talk.change, Change::None) || talk.owed.is_some() {
            self.keep(id, talk);
            // Spec: RFC 3261 §14.2
            return self.reply(request, 491, |_| ());
        }
        let invite = request.bytes().to_vec();
        talk.change = Change::Theirs { invite, until: now + ANSWER_MAX };
        let tag = talk.dialog.local_tag().to_vec();
        self.reply_as(request, 100, &tag, |writer| writer.end());
        self.keep(id.clone(), talk);
        self.say(Said::Change { call: id, sdp: wire::description(request) });
    }

    /// The ACK of a success of ours, with their answer if ours was the offer.
    pub(crate) fn acknowledged(&mut self, request: &Message<'_>) {
        let id = wire::text(request.call_id());
        let Ok((id, mut talk)) = self.take_talk(&id) else { return };
        let number = request.cseq().map(|cseq| cseq.number).ok();
        let answers = number.is_some() && talk.owed == number;
        if answers && talk.dialog.accept(request).is_ok() {
            talk.owed = None;
            if let Some(sdp) = wire::description(request) {
                self.say(Said::Agreed { call: id.clone(), sdp });
            }
        }
        self.keep(id, talk);
    }

    /// How a transfer goes.
    ///
    /// Spec: RFC 3515 §2.4.5
    pub(crate) fn notify_came(&mut self, request: &Message<'_>, now: Instant) {
        let Some((id, talk)) = self.judge(request) else { return };
        self.keep(id.clone(), talk);
        self.reply(request, 200, |_| ());
        let body = String::from_utf8_lossy(request.body());
        let status = body.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let Some(status) = status else { return };
        self.say(Said::Transfer { call: id.clone(), status });
        if (200..300).contains(&status) {
            // Given away: nobody is left here to talk to.
            let _ = self.hang_up(&id, now);
        }
    }

    pub(crate) fn calls_passed(&mut self, now: Instant) {
        let due = |call: &Call| call.deadline().is_some_and(|at| at <= now);
        while let Some(place) = self.calls.iter().position(due) {
            match &mut self.calls[place].stage {
                Stage::Calling(calling) if calling.leaving == Leaving::No => {
                    self.give_up(place, Why::NoAnswer, now);
                }
                Stage::Calling(_) => drop(self.calls.swap_remove(place)),
                Stage::Ringing { .. } => self.stop_ringing(place, 480, Why::NoAnswer),
                Stage::Talking(talk) => {
                    let change = std::mem::replace(&mut talk.change, Change::None);
                    let tag = talk.dialog.local_tag().to_vec();
                    self.change_passed(place, change, &tag, now);
                }
            }
        }
    }

    fn change_passed(&mut self, place: usize, change: Change, tag: &[u8], now: Instant) {
        match change {
            Change::None => (),
            Change::Ours { .. } => self.leave(place, Why::Unreachable, now),
            Change::Theirs { invite, .. } => {
                if let Ok(request) = Message::decode(&invite, Framing::Datagram) {
                    self.reply_as(&request, 480, tag, |writer| writer.end());
                }
            }
        }
    }
}

fn described(sdp: &str) -> Result<(), No> {
    if sdp.is_empty() || sdp.len() > SDP_MAX { Err(No::NotADescription) } else { Ok(()) }
}

/// The number of an INVITE that asks for our offer: its ACK brings their answer.
fn owed(request: &Message<'_>) -> Option<u32> {
    let asks = request.body().is_empty();
    request.cseq().ok().filter(|_| asks).map(|cseq| cseq.number)
}

/// A Refer-To that puts somebody into our place in this dialog.
///
/// Spec: RFC 3891 §6.1, RFC 5589 §7.3
fn replacing(dialog: &Dialog) -> String {
    let named = format!(
        "{};to-tag={};from-tag={}",
        wire::text(dialog.call_id()),
        wire::text(dialog.remote_tag()),
        wire::text(dialog.local_tag())
    );
    let uri = wire::text(dialog.remote_uri());
    format!("<{uri}?Replaces={}>", escape_header(named.as_bytes()))
}

/// The key in an INFO: `Signal=5` of application/dtmf-relay, or the bare key of application/dtmf.
fn key_pressed(request: &Message<'_>) -> Option<char> {
    let kind = request.content_type()?.to_ascii_lowercase();
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let text = match kind.as_slice() {
        b"application/dtmf-relay" => body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim().to_owned())
        })?,
        b"application/dtmf" => body.trim().to_owned(),
        _ => return None,
    };
    text.chars().next().filter(|key| key.is_ascii_digit() || "*#ABCD".contains(*key))
}
