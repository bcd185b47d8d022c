//! What an app, or an administrator, wants of a call that goes on.
//!
//! Rules       A command is refused whole or done whole. A document is read before what runs is left: one that cannot be
//!             read leaves the call as it is. An app commands its own calls alone.

use media::{Command, Play, Voice};
use serde_json::{Value, json};
use switchboard::clip::{ClipFact, SoundFault};
use switchboard::{Access, ApiRequest, ApiResponse, Effects, Endpoint, Scope, Ticket};
use twiml::{Class, Method};
use types::{CallId, SessionId};

use super::Over;
use crate::act::source;
use crate::address::Address;
use crate::call::Call;
use crate::hook::Answer;
use crate::program::{Ask, Piece};
use crate::{Refusal, Room};

/// Octets of a command: a document and what stands around it.
pub const COMMAND_MAX: usize = twiml::DOCUMENT_MAX + 4_096;
/// How often something is played over at most.
const TIMES_MAX: u64 = 1_000;

/// The row of the API.
pub(crate) const COMMAND: Endpoint = Endpoint {
    method: "POST",
    path: "/v1/calls/{id}/commands",
    doc: "Changes a call that a program runs: `redirect` (to a `document`, or to ask a `hook`), `hangup`, `play` (a `url`) and `say` (a `text`) over all else, `hush`, `keys` (`digits`), `mute` (`muted`). Apps on a web socket say the same there.",
    access: Access::Admin,
    scope: Scope::Id(0),
    body_max: COMMAND_MAX,
    request: r#"{"command":"redirect","document":{"verbs":[{"verb":"hangup"}]}}"#,
    response: r#"{"id":"call_…","doing":"gathering","document":"https://app.example/menu","verb":1,"digits":2,"cookies":1,"muted":false}"#,
};

/// A refusal, and what was wrong.
type No = (Refusal, String);

fn bad(why: impl Into<String>) -> No {
    (Refusal::BadCommand, why.into())
}

fn not_now(why: &str) -> No {
    (Refusal::NotNow, why.to_owned())
}

impl Room {
    /// A request of [`COMMAND`].
    pub(crate) fn command(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) {
        let session = CallId::parse(request.arg(0)).map(|id| SessionId(id.0));
        let ours =
            |call: &Call| request.query("app").is_none_or(|app| call.app().as_deref() == Some(app));
        let known =
            session.filter(|session| self.calls.get(session).is_some_and(|call| ours(call)));
        let Some(session) = known else {
            let tried = json!({"id": request.arg(0)});
            return effects.answer(request.id, ApiResponse::refusal(&Refusal::NoSuchCall, &tried));
        };
        let done = serde_json::from_slice(&request.body)
            .map_err(|_| bad("the body is no JSON"))
            .and_then(|said| self.obey(session, &said, effects));
        let response = match done {
            Ok(()) => {
                let over = || json!({"id": request.arg(0), "doing": "over"});
                ApiResponse::json(
                    200,
                    &self.calls.get(&session).map_or_else(over, |call| call.state()),
                )
            }
            Err((refusal, why)) => {
                let tried = json!({"id": request.arg(0), "why": why});
                ApiResponse::refusal(&refusal, &tried)
            }
        };
        effects.answer(request.id, response);
    }

    fn obey(
        &mut self,
        session: SessionId,
        said: &Value,
        effects: &mut Effects<'_>,
    ) -> Result<(), No> {
        let Some(call) = self.calls.get_mut(&session) else { return Ok(()) };
        let word =
            |name: &str| said.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        let command = word("command").ok_or_else(|| bad("`command` is missing"))?;
        let words = format!("command {command}");
        effects.ladder(CallId(session.0), switchboard::ladder::Lane::Web, &words);
        if command == "hangup" {
            let outcome = if call.outgoing.is_some() { "cancelled" } else { "failed" };
            self.finish(session, (487, outcome, "server"), effects);
            return Ok(());
        }
        if call.facts.answered.is_none() {
            return Err(not_now("nobody has answered yet"));
        }
        let needs = |name: &str| word(name).ok_or_else(|| bad(format!("`{name}` is missing")));
        match command {
            "redirect" => {
                call.redirect(said.get("document"), word("hook"), effects)?;
                call.asking = None;
                Self::keep(call, effects);
                self.carry(session, effects);
            }
            "play" => {
                let address = needs("url").and_then(|url| call.reference(url))?;
                let piece = Piece::Url(address.of_files().text());
                self.play_over(session, piece, times(said), effects)?;
            }
            "say" => {
                let (text, voice) = (needs("text")?.to_owned(), String::new());
                let language = word("language").unwrap_or("en-US").to_owned();
                let piece = Piece::Speech { text, language, voice };
                self.play_over(session, piece, times(said), effects)?;
            }
            "keys" => {
                let digits = needs("digits")?;
                let fits =
                    |digit: char| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D' | 'w' | 'W');
                if digits.len() > media::KEYS_SENT_MAX || !digits.chars().all(fits) {
                    return Err(bad("`digits` are 0 to 9, *, #, A to D, and w for a pause"));
                }
                self.play_over(session, Piece::Keys(digits.to_owned()), 1, effects)?;
            }
            "hush" => call.hush_over(effects),
            "mute" => call.mute_caller(said.get("muted"), effects)?,
            _ => return Err(bad(format!("{command} is no command"))),
        }
        Ok(())
    }

    /// Plays something beside all that is heard at the call's own stream.
    fn play_over(
        &mut self,
        session: SessionId,
        piece: Piece,
        times: u32,
        effects: &mut Effects<'_>,
    ) -> Result<(), No> {
        let Some(call) = self.calls.get_mut(&session) else { return Ok(()) };
        if call.meeting.is_some() {
            return Err(not_now(
                "the call is in a conference or a queue, where its own rules hold",
            ));
        }
        if call.program.doing() == "playing" {
            return Err(not_now(
                "the program plays something, and nothing is heard beside that: redirect the call",
            ));
        }
        call.hush_over(effects);
        match source(piece) {
            Ok(source) => {
                let ticket = effects.clip(source);
                call.beside.over = Over::Making(ticket, times);
                self.tickets.insert(ticket, session);
            }
            Err(keys) => call.begin_over(keys, effects),
        }
        Ok(())
    }
}

fn times(said: &Value) -> u32 {
    let times = said.get("times").and_then(Value::as_u64).unwrap_or(1);
    u32::try_from(times.clamp(1, TIMES_MAX)).unwrap_or(1)
}

impl Call {
    /// An address of its app: relative to the document that runs, or to where it began.
    fn reference(&self, text: &str) -> Result<Address, No> {
        let (source, ..) = self.program.position();
        let base = Address::parse(&source.url).or_else(|| Address::parse(&self.hooks.first.url));
        let found = match base {
            Some(base) => base.join(text),
            None => Address::parse(text),
        };
        found.ok_or_else(|| bad(format!("{text} is no address")))
    }

    fn redirect(
        &mut self,
        document: Option<&Value>,
        hook: Option<&str>,
        effects: &Effects<'_>,
    ) -> Result<(), No> {
        match (document, hook) {
            (Some(document), None) => {
                let body = document.to_string().into_bytes();
                let reading = twiml::read_json(&body);
                if reading.document.is_none() {
                    let error = |finding: &&twiml::Finding| finding.class == Class::Error;
                    let why = reading.findings.iter().find(error);
                    return Err(bad(why.map_or("`document` cannot be read", |why| &why.sentence)));
                }
                let (source, ..) = self.program.position();
                let known = [&source.url, &self.hooks.first.url];
                let url = known.into_iter().find(|url| !url.is_empty()).cloned();
                let content_type = "application/json".to_owned();
                let answer = Answer { content_type, body, url: url.unwrap_or_default() };
                self.program.replace(answer, effects.now());
            }
            (None, Some(hook)) => {
                let url = self.reference(hook)?.text();
                self.program.divert(Ask { url, method: Method::Post, more: Vec::new() });
            }
            (_, _) => return Err(bad("either `document` or `hook`")),
        }
        Ok(())
    }

    fn mute_caller(&mut self, muted: Option<&Value>, effects: &mut Effects<'_>) -> Result<(), No> {
        let muted =
            muted.and_then(Value::as_bool).ok_or_else(|| bad("`muted` is true or false"))?;
        if self.meeting.is_some() {
            return Err(not_now(
                "the call is in a conference or a queue, where its own rules hold",
            ));
        }
        self.beside.muted = muted;
        self.seat.speak(if muted { Voice::Nobody } else { Voice::All }, effects);
        Ok(())
    }

    fn begin_over(&mut self, play: Play, effects: &mut Effects<'_>) {
        self.sounds += 1;
        let (stream, sound) = (self.stream, self.sounds);
        effects.media(Command::Play { stream, seat: None, play, sound, alone: false });
        self.beside.over = Over::Sound(sound, stream);
    }

    fn hush_over(&mut self, effects: &mut Effects<'_>) {
        if let Over::Sound(sound, stream) = std::mem::take(&mut self.beside.over) {
            effects.media(Command::Stop { stream, seat: None, sound: Some(sound) });
        }
    }

    /// A clip was made; false: it is not what is to be played over.
    pub(crate) fn over_made(
        &mut self,
        ticket: Ticket,
        made: &Result<ClipFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) -> bool {
        let Over::Making(known, times) = self.beside.over else { return false };
        if known != ticket {
            return false;
        }
        self.beside.over = Over::Nothing;
        match made {
            Ok(fact) => {
                let (clips, from) = (vec![fact.id], std::time::Duration::ZERO);
                self.begin_over(Play::Clips { clips, from, times }, effects);
            }
            Err(fault) => {
                self.news("played", json!({"heard": false, "why": fault.to_string()}), effects);
            }
        }
        true
    }

    /// Something was heard to its end; false: it was not played over.
    pub(crate) fn over_played(
        &mut self,
        sound: u64,
        heard: bool,
        effects: &mut Effects<'_>,
    ) -> bool {
        let ours = matches!(self.beside.over, Over::Sound(known, _) if known == sound);
        if ours {
            self.beside.over = Over::Nothing;
            self.news("played", json!({"heard": heard}), effects);
        }
        ours
    }

    /// How it stands, for whoever asks.
    pub(crate) fn state(&self) -> Value {
        let (source, at, digits) = self.program.position();
        let document = Address::parse(&source.url);
        json!({
            "id": CallId(self.session.0).to_string(),
            "doing": self.program.doing(),
            // What stands behind the question mark may be about the caller.
            "document": document.map(|found| format!("{}://{}{}", found.scheme, found.host(), found.path)),
            "verb": at + 1,
            "digits": digits.len(),
            "cookies": self.jar.len(),
            "muted": self.beside.muted,
        })
    }
}
