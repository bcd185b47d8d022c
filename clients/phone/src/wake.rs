//! A call that comes by push: rung, answered and refused before its INVITE is there.
//!
//! Picture     Pushed --> Ringing --Answer--> by Register: Coming
//!                                            by Reply:    Replying --2xx--> Coming
//!                                            by ReplySdp: Fetching --> Replying --2xx--> Connected
//!             Ringing --Decline, Busy, Text--> Refusing --any answer--> ended
//!             its INVITE: Ringing --> rings on; all others: answered at once
//! Rules       The same call by several channels rings once. A reply that fails falls back to
//!             registering: whichever comes first wins, for the server too. `call.cancel`,
//!             `call.answered_elsewhere` and `call.missed` end the ringing.
//! Limits      It rings until `exp`, at most ring_max; LATE_MAX once they talk.
//! Not here    HTTP, how a push arrives.
//! Spec        RFC 8599 §4.1.3 (a push is answered by a REGISTER)

use std::net::SocketAddr;
use std::time::Duration;

use pns::{Cancel, Invite, Notification};
use serde_json::{Value, json};
use sip::Message;
use types::{Instant, UnixTime};

use crate::config::AnswerBy;
use crate::phone::{Call, Line, Phone, Stage};
use crate::wire;
use crate::words::{Action, Event, PhoneEvent, Stream, Why};

/// How long the INVITE of a call may be under way while both sides talk already. Without it nobody
/// could tell us that they hung up.
const LATE_MAX: Duration = Duration::from_secs(60);

/// A call that a push told of.
#[derive(Debug)]
pub(crate) struct Woken {
    invite: Invite,
    pub until: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Accepted: the INVITE is to come, and is answered when it does.
    Coming,
    /// Both talk; the INVITE is to come.
    Connected,
    /// The offer is being fetched.
    Fetching,
    /// Our refusal is on its way.
    Refusing(u16),
    /// Our acceptance is on its way, perhaps with a description that makes this stream.
    Replying(Option<Stream>),
    /// The person is being asked.
    Ringing,
}

impl Woken {
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }
}

impl Phone {
    pub(crate) fn pushed(&mut self, payload: &[u8], at: UnixTime, now: Instant) {
        match Notification::decode(payload) {
            Ok(Notification::Invite(invite)) => self.push_invites(invite, at, now),
            Ok(Notification::Cancel(cancel)) => self.push_cancels(cancel, now),
            Err(_) => (), // Not about a call.
        }
    }

    fn push_invites(&mut self, invite: Invite, at: UnixTime, now: Instant) {
        let known = self.forgotten.iter().any(|(id, _)| *id == invite.call_id);
        let left = UnixTime::seconds(invite.exp).since(at);
        if known || left.is_zero() || self.call_id() == Some(&invite.call_id) {
            return; // Too late, or the same call by another channel.
        }
        if self.call.is_some() {
            self.forget(&invite.call_id, 486);
            return self.reply_to(&invite, json!({ "action": "busy" }));
        }
        let Some(nowhere) = self.config.server.or(Some(self.config.contact)) else { return };
        let event = PhoneEvent::Incoming {
            call_id: invite.call_id.clone(),
            from: invite.caller_uri.clone(),
            name: invite.caller_name.clone().unwrap_or_default(),
            call_info: invite.image.as_ref().map(|image| image.url.clone()),
            pushed: true,
        };
        let until = now + left.min(self.config.ring_max);
        let id = invite.call_id.clone();
        let woken = Woken { invite, until, state: State::Ringing };
        self.call = Some(self.new_call(id, nowhere, Stage::Woken(Box::new(woken))));
        self.say(event);
        match self.config.answer_by {
            AnswerBy::Register => self.come(now),
            // The person answers first.
            AnswerBy::Reply | AnswerBy::ReplySdp => (),
        }
    }

    fn push_cancels(&mut self, cancel: Cancel, now: Instant) {
        let why = match cancel.why {
            pns::Why::AnsweredElsewhere => Why::AnsweredElsewhere,
            pns::Why::Cancelled => Why::Cancelled,
            pns::Why::Missed => Why::Missed,
        };
        let id = cancel.call_id;
        let known = self.forgotten.iter().any(|(forgotten, _)| *forgotten == id);
        match self.call.as_ref().filter(|call| call.id == id).map(|call| &call.stage) {
            Some(Stage::Ringing { .. }) => self.stop_ringing(487, why, now),
            Some(Stage::Woken(woken)) if !woken.is_connected() => {
                self.forget(&id, 487);
                self.end_woken(why, 0);
            }
            // The caller hung up before our INVITE was there.
            Some(Stage::Woken(_)) if why != Why::AnsweredElsewhere => {
                self.forget(&id, 487);
                self.end_woken(Why::Theirs, 0);
            }
            Some(Stage::Calling(_) | Stage::Talking { .. } | Stage::Woken(_)) => (),
            // Slept through from beginning to end.
            None if !known => {
                self.forget(&id, 487);
                if why == Why::Missed {
                    let (status, reason, warning) = (0, String::new(), None);
                    self.say(PhoneEvent::Ended { call_id: id, why, status, reason, warning });
                }
            }
            None => (),
        }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.call.as_ref().is_some_and(|call| matches!(call.stage, Stage::Woken(_)))
    }

    pub(crate) fn answer_woken(&mut self) {
        let by = self.config.answer_by;
        let Some(woken) = self.woken() else { return };
        if woken.state != State::Ringing {
            return;
        }
        let invite = woken.invite.clone();
        match by {
            AnswerBy::Register => woken.state = State::Coming, // We said where we are at once.
            AnswerBy::Reply => {
                woken.state = State::Replying(None);
                self.reply_to(&invite, json!({ "action": "accept" }));
            }
            AnswerBy::ReplySdp => {
                woken.state = State::Fetching;
                let (url, token) = (invite.reply_url, invite.reply_token);
                self.actions.push_back(Action::Fetch { url, token });
            }
        }
    }

    pub(crate) fn refuse_woken(&mut self, status: u16, text: Option<String>) {
        let Some(woken) = self.woken() else { return };
        if matches!(woken.state, State::Refusing(_)) {
            return;
        }
        woken.state = State::Refusing(status);
        let (invite, id) = (woken.invite.clone(), woken.invite.call_id.clone());
        let body = match (status, text) {
            (486, _) => json!({ "action": "busy" }),
            (_, Some(text)) => json!({ "action": "text", "text": text }),
            (_, None) => json!({ "action": "decline" }),
        };
        self.forget(&id, status);
        self.reply_to(&invite, body);
    }

    /// The offer that we asked for.
    pub(crate) fn fetched(&mut self, status: u16, body: &[u8]) {
        let Some(call) = self.call.take_if(|call| call.woken_is(State::Fetching)) else { return };
        let offer = (200..300).contains(&status).then(|| offer_of(body)).flatten();
        let ours = self.description(&call);
        let answer = offer.and_then(|offer| {
            let stream = wire::stream(&offer, &ours)?;
            Some((stream, sdp::answer(&sdp::Session::decode(&offer).ok()?, &ours)))
        });
        self.call = Some(call);
        let (stream, reply) = match answer {
            Some((stream, answer)) => {
                let sdp = String::from_utf8_lossy(&answer);
                (Some(stream), json!({ "action": "accept", "sdp": sdp }))
            }
            // The INVITE will bring the offer.
            None => (None, json!({ "action": "accept" })),
        };
        let Some(woken) = self.woken() else { return };
        woken.state = State::Replying(stream);
        let invite = woken.invite.clone();
        self.reply_to(&invite, reply);
    }

    pub(crate) fn reply_answered(&mut self, status: u16, now: Instant) {
        let Some(woken) = self.woken() else { return };
        let accepted = (200..300).contains(&status);
        match woken.state {
            State::Replying(Some(stream)) if accepted => {
                woken.state = State::Connected;
                woken.until = now + LATE_MAX;
                let call_id = woken.invite.call_id.clone();
                self.say(PhoneEvent::Answered { call_id });
                if let Some(mut call) = self.call.take() {
                    self.flow(&mut call, Some(stream));
                    self.call = Some(call);
                }
                self.come(now);
            }
            State::Replying(_) => {
                woken.state = State::Coming;
                self.come(now);
            }
            State::Refusing(refused) => self.end_woken(Why::Ours, refused),
            // The answer to the refusal of another call.
            State::Coming | State::Connected | State::Fetching | State::Ringing => (),
        }
    }

    /// The INVITE of the call that a push told of.
    pub(crate) fn woken_invited(&mut self, request: &Message<'_>, from: SocketAddr, now: Instant) {
        let Some(Woken { state, until, .. }) = self.woken() else { return };
        let (state, until) = (*state, *until);
        if let State::Refusing(status) = state {
            return self.refuse_invite(request, from, status, now);
        }
        let Some(stage) = self.take_invite(request, from, until, now) else {
            return self.end_woken(Why::Refused, 488);
        };
        let Some(call) = &mut self.call else { return };
        (call.stage, call.to) = (stage, from);
        match state {
            State::Ringing => (),
            State::Coming
            | State::Connected
            | State::Fetching
            | State::Refusing(_)
            | State::Replying(_) => self.answer(now),
        }
    }

    pub(crate) fn woken_passed(&mut self) {
        let Some(woken) = self.woken() else { return };
        let (id, connected) = (woken.invite.call_id.clone(), woken.is_connected());
        self.forget(&id, 480);
        self.end_woken(if connected { Why::Unreachable } else { Why::NoAnswer }, 0);
    }

    fn woken(&mut self) -> Option<&mut Woken> {
        match &mut self.call.as_mut()?.stage {
            Stage::Woken(woken) => Some(woken),
            Stage::Calling(_) | Stage::Ringing { .. } | Stage::Talking { .. } => None,
        }
    }

    fn end_woken(&mut self, why: Why, status: u16) {
        let Some(call) = self.call.take() else { return };
        let reason = if status == 0 { "" } else { sip::reason_phrase(status) };
        self.end_with(call, why, (status, reason.to_owned(), None));
    }

    /// Registers again, by a new flow if there is none, so that the INVITE finds us.
    fn come(&mut self, now: Instant) {
        self.wake(Line::Opening);
        self.handle_unsettled(Event::Register, now);
    }

    fn reply_to(&mut self, invite: &Invite, body: Value) {
        let (url, token) = (invite.reply_url.clone(), invite.reply_token.clone());
        self.actions.push_back(Action::Reply { url, token, body: body.to_string() });
    }
}

impl Call {
    fn woken_is(&self, state: State) -> bool {
        match &self.stage {
            Stage::Woken(woken) => woken.state == state,
            Stage::Calling(_) | Stage::Ringing { .. } | Stage::Talking { .. } => false,
        }
    }
}

/// The description in the answer to a fetch: as it is, or in a JSON object under `sdp`.
fn offer_of(body: &[u8]) -> Option<Vec<u8>> {
    if body.starts_with(b"v=") {
        return Some(body.to_vec());
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    let offer = value.get("sdp").or_else(|| value.get("offer"))?;
    offer.as_str().map(|text| text.as_bytes().to_vec())
}
