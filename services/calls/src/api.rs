//! Requests of the API about calls, and the reply address of pushes.

use base64::Engine as _;
use serde_json::{Value, json};
use switchboard::ladder::{Lane, Line};
use switchboard::leg::LegCommand;
use switchboard::notice::CallFacts;
use switchboard::redact::redact;
use switchboard::ring::Answer;
use switchboard::{Access, ApiRequest, ApiResponse, Effects, Endpoint, Scope};
use types::{CallId, SessionId};

use crate::call::{Call, State};
use crate::{End, Refusal, Room};

/// Largest body of a reply: a description fits.
const REPLY_MAX: usize = 16_384;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/v1/calls",
        doc: "Live calls.",
        access: Access::Admin,
        scope: Scope::Every,
        body_max: 0,
        request: "",
        response: r#"{"items":[{"id":"call_…","from":"sip:1001@localhost","to":"sip:1002@localhost","state":"talking","began":"2026-11-22T10:00:00.000Z","guests":[{"user":"1003","as":"listens"}]}],"next":null}"#,
    },
    Endpoint {
        method: "GET",
        path: "/v1/calls/{id}",
        doc: "One live call.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: 0,
        request: "",
        response: r#"{"id":"call_…","from":"sip:1001@localhost","to":"sip:1002@localhost","state":"talking","quality":{"caller":{"packets":500,"lost":0,"jitter_ms":1.2,"round_trip_ms":20.1,"mos":4.41},"callee":{"packets":498,"lost":2,"jitter_ms":0.3,"round_trip_ms":null,"mos":4.38}}}"#,
    },
    Endpoint {
        method: "DELETE",
        path: "/v1/calls/{id}",
        doc: "Hangs up.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: 0,
        request: "",
        response: "",
    },
    Endpoint {
        method: "GET",
        path: "/v1/calls/{id}/ladder",
        doc: "Every SIP message, push and decision of the call, in order; kept for a while after the call.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: 0,
        request: "",
        response: r#"{"id":"call_…","items":[{"number":1,"time":"2026-11-22T10:00:00.000Z","micros":1795341600000000,"lane":"sip_in","peer":"udp:127.0.0.1:5070","transport":"udp","remote":"127.0.0.1:5070","local":"127.0.0.1:5060","connection":0,"cut":0,"text":"INVITE …"}],"tried":[],"next":null}"#,
    },
    Endpoint {
        method: "GET",
        path: "/v1/push/replies/{call_id}",
        doc: "The whole offer behind a push, for the device that holds its token.",
        access: Access::Token,
        scope: Scope::CallId(0),
        body_max: 0,
        request: "",
        response: r#"{"call_id":"…","caller":{"uri":"sip:1001@localhost","name":"Ada"},"media":["audio"],"sdp":"v=0…","exp":1795305600}"#,
    },
    Endpoint {
        method: "POST",
        path: "/v1/push/replies/{call_id}",
        doc: "Answers a push before the phone has registered: accept (with or without an SDP answer), decline, busy, text or hangup.",
        access: Access::Token,
        scope: Scope::CallId(0),
        body_max: REPLY_MAX,
        request: r#"{"action":"accept"}"#,
        response: r#"{"call_id":"…","state":"connecting"}"#,
    },
    Endpoint {
        method: "POST",
        path: "/v1/calls/{id}/recording",
        doc: "Records the sound of a call that was answered, until it ends or somebody says so. With two channels what the caller says is left and what he hears is right; `format` is wav or ogg (Opus); `trim` leaves silence at both ends out. Those who talk hear nothing of it.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: BODY_MAX,
        request: r#"{"channels":2,"format":"wav","trim":false}"#,
        response: TAPE,
    },
    Endpoint {
        method: "GET",
        path: "/v1/calls/{id}/recording",
        doc: "The recordings of a live call, what runs last. Those of calls that are over stand in their records.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: 0,
        request: "",
        response: r#"{"items":[{"name":"rec_…","state":"recording","channels":2,"began_at":"2026-11-22T10:00:00.000Z","address":null,"seconds":0.0,"octets":0,"end":null}],"next":null}"#,
    },
    Endpoint {
        method: "DELETE",
        path: "/v1/calls/{id}/recording",
        doc: "Ends the recording that runs; answers when its file is kept.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: 0,
        request: "",
        response: r#"{"name":"rec_…","state":"kept","channels":2,"began_at":"2026-11-22T10:00:00.000Z","address":"/media/….wav","seconds":12.5,"octets":800044,"end":"asked"}"#,
    },
    Endpoint {
        method: "POST",
        path: "/v1/calls/{id}/recording/pause",
        doc: "Leaves out what is said from now on; its time is not in the file.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: BODY_MAX,
        request: "",
        response: TAPE,
    },
    Endpoint {
        method: "POST",
        path: "/v1/calls/{id}/recording/resume",
        doc: "Records again what is said from now on.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: BODY_MAX,
        request: "",
        response: TAPE,
    },
    Endpoint {
        method: "GET",
        path: "/v1/calls/{id}/levels",
        doc: "How loud each of the two is: the loudest 20 ms of the half second that follows the question, in dB of full scale (RFC 6464): 0 is the loudest, -127 silence.",
        access: Access::Admin,
        scope: Scope::Id(0),
        body_max: 0,
        request: "",
        response: r#"{"caller":{"dbov":-23},"callee":{"dbov":-127}}"#,
    },
];

/// A recording that runs.
const TAPE: &str = r#"{"name":"rec_…","state":"recording","channels":2,"began_at":"2026-11-22T10:00:00.000Z","address":null,"seconds":0.0,"octets":0,"end":null}"#;
/// Largest body of what is said about a recording.
const BODY_MAX: usize = 1_024;

impl Room {
    pub(crate) fn api(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> bool {
        let answer = match request.endpoint {
            0 => Ok(self.list()),
            1 => {
                self.find(request.arg(0)).map(|(id, call)| ApiResponse::json(200, &shown(id, call)))
            }
            2 => self.hang_up(request.arg(0), effects),
            3 => self.ladder(request.arg(0), effects),
            4 => self.offer_of(request, effects),
            5 => self.reply(request, effects),
            6 => self.begin_tape(request, effects),
            7 => self.tapes(request),
            8 => match self.end_tape(request, effects) {
                Ok(Some(response)) => Ok(response),
                Ok(None) => return true,
                Err(refusal) => Err(refusal),
            },
            9 => self.pause_tape(request, true, effects),
            10 => self.pause_tape(request, false, effects),
            11 => match self.ask_levels(request, effects) {
                Ok(Some(response)) => Ok(response),
                Ok(None) => return true,
                Err(refusal) => Err(refusal),
            },
            _ => return false,
        };
        match answer {
            Ok(response) => effects.answer(request.id, response),
            Err(refusal) => effects.refuse_api(request.id, &refusal),
        }
        true
    }

    fn list(&self) -> ApiResponse {
        let mut calls: Vec<_> = self.calls.iter().collect();
        calls.sort_by_key(|(id, call)| (call.facts.began, **id));
        let items: Vec<Value> = calls.into_iter().map(|(id, call)| shown(*id, call)).collect();
        ApiResponse::json(200, &json!({ "items": items, "next": null }))
    }

    pub(crate) fn find(&self, id: &str) -> Result<(SessionId, &Call), Refusal> {
        let session = CallId::parse(id).map(|id| SessionId(id.0)).ok_or(Refusal::NoSuchCall)?;
        self.calls.get(&session).map(|call| (session, &**call)).ok_or(Refusal::NoSuchCall)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Result<(SessionId, &mut Call), Refusal> {
        let session = CallId::parse(id).map(|id| SessionId(id.0)).ok_or(Refusal::NoSuchCall)?;
        let call = self.calls.get_mut(&session).ok_or(Refusal::NoSuchCall)?;
        Ok((session, call))
    }

    fn hang_up(&mut self, id: &str, effects: &mut Effects<'_>) -> Result<ApiResponse, Refusal> {
        let (session, call) = self.find(id)?;
        let a = call.a;
        effects.leg(session, a, LegCommand::End { status: 480, headers: Vec::new() });
        self.finish(session, End::failed(480, "cancelled", "server"), effects);
        Ok(ApiResponse::empty(204))
    }

    fn ladder(&self, id: &str, effects: &Effects<'_>) -> Result<ApiResponse, Refusal> {
        let call = CallId::parse(id).ok_or(Refusal::NoSuchCall)?;
        let lines = effects.ladder_of(call);
        if lines.is_empty() && !self.calls.contains_key(&SessionId(call.0)) {
            return Err(Refusal::NoSuchCall);
        }
        let first = |place: usize, line: &Line| {
            let same = |known: &Line| {
                (known.lane, known.flow, &known.text) == (line.lane, line.flow, &line.text)
            };
            // Only SIP repeats itself; the search is cheap next to the answer's own size.
            line.flow.and_then(|_| lines.get(..place)?.iter().position(same))
        };
        let shown = |(place, line): (usize, &Line)| rung(place, line, first(place, line), effects);
        let items: Vec<Value> = lines.iter().enumerate().map(shown).collect();
        let tried: Vec<&str> =
            items.iter().filter_map(|line| line["text"].as_str()?.strip_prefix("tried ")).collect();
        Ok(ApiResponse::json(
            200,
            &json!({ "id": id, "items": items, "tried": tried, "next": null }),
        ))
    }

    fn by_reply(&self, request: &ApiRequest) -> Result<(SessionId, String), Refusal> {
        // A stranger learns nothing about which calls there are.
        let session = *self.replies.get(request.arg(0)).ok_or(Refusal::WrongToken)?;
        let call = self.calls.get(&session).ok_or(Refusal::WrongToken)?;
        let (State::Ringing(ring) | State::TalkingAhead(ring)) = &call.state else {
            return Err(Refusal::TooLate);
        };
        let prid = ring.device(&request.bearer).ok_or(Refusal::WrongToken)?;
        Ok((session, prid.to_owned()))
    }

    fn offer_of(
        &self,
        request: &ApiRequest,
        effects: &Effects<'_>,
    ) -> Result<ApiResponse, Refusal> {
        let (session, _) = self.by_reply(request)?;
        let call = self.calls.get(&session).ok_or(Refusal::WrongToken)?;
        let (State::Ringing(ring) | State::TalkingAhead(ring)) = &call.state else {
            return Err(Refusal::TooLate);
        };
        let shown = ring.offer_shown(&request.bearer, effects).ok_or(Refusal::WrongToken)?;
        Ok(ApiResponse::json(200, &shown))
    }

    fn reply(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<ApiResponse, Refusal> {
        let (session, prid) = self.by_reply(request)?;
        let (action, answer) = Answer::read(&request.body).ok_or(Refusal::BadBody)?;
        effects.ladder(CallId(session.0), Lane::Web, &format!("reply to the push: {action}"));
        let Some(call) = self.calls.get(&session) else { return Err(Refusal::TooLate) };
        if matches!(call.state, State::TalkingAhead(_)) {
            if action != "hangup" {
                return Err(Refusal::TooLate);
            }
            self.finish(session, End::failed(200, "answered", "callee"), effects);
            return Ok(replied(request.arg(0), "ended"));
        }
        let state = answer.leads_to();
        self.ringing(session, effects, |ring, effects| ring.answered(&prid, answer, effects));
        Ok(replied(request.arg(0), state))
    }
}

fn replied(call_id: &str, state: &str) -> ApiResponse {
    ApiResponse::json(200, &json!({ "call_id": call_id, "state": state }))
}

/// A line of the ladder as people may read it. `first`: the place of the line that it repeats.
fn rung(place: usize, line: &Line, first: Option<usize>, effects: &Effects<'_>) -> Value {
    let lane = match line.lane {
        Lane::Note => "note",
        Lane::Push => "push",
        Lane::SipIn => "sip_in",
        Lane::SipOut => "sip_out",
        Lane::Web => "web",
    };
    let text = redact(&line.text);
    let mut shown = json!({
        "number": place + 1,
        "time": line.time.to_string(),
        "micros": line.time.0,
        "lane": lane,
        "text": String::from_utf8_lossy(&text),
    });
    if let Some(flow) = line.flow {
        shown["peer"] = format!("{flow:?}").into();
        shown["transport"] = flow.transport.param().into();
        shown["remote"] = flow.remote.to_string().into();
        shown["local"] = effects.sent_by(flow).into();
        shown["connection"] = flow.connection.into();
        shown["cut"] = (line.size as usize - line.text.len().min(line.size as usize)).into();
    }
    if let Some(first) = first {
        shown["repeats"] = (first + 1).into();
    }
    if std::str::from_utf8(&text).is_err() {
        shown["octets"] = base64::engine::general_purpose::STANDARD.encode(&text).into();
    }
    shown
}

fn shown(session: SessionId, call: &Call) -> Value {
    let CallFacts { from, to, from_name, began, rang, answered, call_id, .. } = &call.facts;
    let state = match (&call.state, rang) {
        (State::Talking { .. } | State::TalkingAhead(_), _) => "talking",
        (State::Ringing(_), Some(_)) => "ringing",
        (State::Ringing(_), None) => "trying",
    };
    let guests = call.guests.iter().map(|guest| {
        let part = if guest.joined { "joined" } else { "listens" };
        json!({ "user": guest.user, "as": part, "quality": call.quality_of(guest) })
    });
    json!({
        "id": CallId(session.0).to_string(),
        "from": from,
        "from_name": from_name,
        "to": to,
        "state": state,
        "began": began.to_string(),
        "answered": answered.map(|time| time.to_string()),
        "sip_call_id": call_id,
        "guests": guests.collect::<Vec<_>>(),
        "recordings": call.recordings(),
        "quality": switchboard::facts::quality_json(call.facts.quality.as_deref()),
    })
}
