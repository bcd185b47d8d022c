//! Apps that talk with us over one web socket: what they are asked and told, and what they want of a call that goes on.
//!
//! Picture     address of an app (ws, wss) --one socket for all of its calls--> questions, news;  answers, commands <--
//! Rules       A question over a socket is a question like others: written down before it leaves, tried again, with a
//!             fallback. What stands behind the question mark of its address is its name; the rest is the app's. News are
//!             told once and lost with a server that is killed; what must not be lost is a question. Commands come by the
//!             API, from whichever side.
//! Limits      Those of `link`, of questions, and of documents.
//! Not here    Sending (shell), the talk on the socket (`link`), the description for others (`described`).
//! Spec        None: docs/programs.md.

mod commands;
pub mod described;
pub mod link;

use std::time::Duration;

use media::StreamKey;
use serde_json::{Map, Value, json};
use switchboard::fetch::{Fetch, FetchLimits};
use switchboard::{Effects, Ticket};
use twiml::DOCUMENT_MAX;

use crate::address::Address;
use crate::call::{Call, call_sid};
use crate::hook::Signer;
use crate::sign;

pub(crate) use commands::COMMAND;

/// The method of a question that goes over a socket, for the ladder and for the shell.
pub const METHOD: &str = "SOCKET";
/// The subprotocol that we ask for; an app need not know it.
pub const SUBPROTOCOL: &str = "voice.carillon.1";

/// What a question is called on a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A call has come, and wants its first document.
    New,
    /// A verb is over, or leads on: the next document is wanted.
    #[default]
    Next,
    /// Something is told that changes nothing, such as the end of a call.
    Status,
}

impl Kind {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "call.new",
            Self::Next => "call.next",
            Self::Status => "call.status",
        }
    }
}

/// A question as an app hears it. `token`: the same with each try.
pub fn question(
    kind: Kind,
    token: &str,
    hook: Option<&str>,
    parameters: &[(String, String)],
) -> Value {
    let said: Map<String, Value> =
        parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let call = said.get("CallSid").cloned().unwrap_or_else(|| "".into());
    json!({
        "type": kind.word(),
        "id": token,
        "call": call,
        "hook": hook.unwrap_or_default(),
        "parameters": said,
    })
}

/// It as it leaves. `app`: where the socket is.
pub(crate) fn fetch(app: String, limits: FetchLimits, said: Value, signer: &Signer<'_>) -> Fetch {
    let signature = sign::signature(signer.token, &app, &[]);
    let headers = vec![
        ("user-agent".to_owned(), "TwilioProxy/1.1".to_owned()),
        ("sec-websocket-protocol".to_owned(), SUBPROTOCOL.to_owned()),
        (sign::HEADER.to_owned(), signature),
    ];
    let (method, body) = (METHOD.to_owned(), said.to_string().into_bytes());
    Fetch { method, url: app, headers, body, limits }
}

/// News are taken or not, at once.
const NEWS_LIMITS: FetchLimits = FetchLimits {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(5),
    total: Duration::from_secs(15),
    body: DOCUMENT_MAX,
    redirects: 0,
};

/// What an app hears of a call, and does to it, beside its program.
#[derive(Debug, Default)]
pub struct Beside {
    /// What it heard last that the program does: documents, verb, doing.
    told: Option<(u32, usize, &'static str)>,
    /// What is played over all else.
    over: Over,
    muted: bool,
}

/// What is played over all else.
#[derive(Debug, Default)]
enum Over {
    #[default]
    Nothing,
    /// It is being made; how often it is heard.
    Making(Ticket, u32),
    /// The engine plays it there.
    Sound(u64, StreamKey),
}

impl Call {
    /// The socket of its app; `None`: it is asked otherwise.
    pub(crate) fn app(&self) -> Option<String> {
        let url = &self.hooks.first.url;
        // Most apps have none, and need no reading of their address.
        let address = url.starts_with("ws").then(|| Address::parse(url)).flatten();
        address.filter(Address::is_socket).map(|address| address.app())
    }

    /// Tells its app some news; `said`: an object.
    pub(crate) fn news(&self, event: &str, mut said: Value, effects: &mut Effects<'_>) {
        let Some(app) = self.app() else { return };
        said["type"] = "call.event".into();
        said["call"] = call_sid(self.session.0).into();
        said["event"] = event.into();
        let token = effects.apps().token.clone();
        let fetch = fetch(app, NEWS_LIMITS, said, &Signer { token: token.reveal() });
        // Nobody waits for this one.
        let _ = effects.fetch(fetch);
    }

    /// Tells its app what the program does now, when that is something else than before.
    pub(crate) fn tell_doing(&mut self, effects: &mut Effects<'_>) {
        if !self.hooks.first.url.starts_with("ws") {
            return;
        }
        let (_, at, _) = self.program.position();
        let now = (self.program.documents(), at, self.program.doing());
        if self.beside.told.replace(now) == Some(now) {
            return;
        }
        self.news("doing", json!({"doing": now.2, "verb": at + 1}), effects);
    }

    /// A key of the caller, for whoever wants to know.
    pub(crate) fn hear_key(&self, key: char, effects: &mut Effects<'_>) {
        self.stream_key(key, effects);
        self.news("key", json!({"key": key.to_string()}), effects);
    }

    /// What is waited for.
    pub(crate) fn beside_ticket(&self) -> Option<Ticket> {
        match self.beside.over {
            Over::Making(ticket, _) => Some(ticket),
            Over::Nothing | Over::Sound(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_call_and_its_hook() {
        let said = [("CallSid", "CA1"), ("Digits", "4")];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let whole = question(Kind::Next, "t", Some("menu"), &said);
        let wanted = json!({
            "type": "call.next", "id": "t", "call": "CA1", "hook": "menu",
            "parameters": {"CallSid": "CA1", "Digits": "4"},
        });
        assert_eq!(whole, wanted);
        let bare = question(Kind::New, "t", None, &[]);
        assert_eq!((&bare["call"], &bare["hook"]), (&json!(""), &json!("")));
    }
}
