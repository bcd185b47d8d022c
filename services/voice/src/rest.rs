//! The API that apps of a known cloud ask: `/2010-04-01/…`, in that cloud's words.
//!
//! Picture     path, form --[`Ask`]--> a resource --facts here | the store | the next shard--> JSON or XML
//! Rules       What lives answers from its session, on its shard; what is over from the store. A list of calls asks
//!             every shard in turn, then the store. Whoever asks for something that is not offered is told so with a number.
//! Limits      `say::PAGE_MAX` rows a page, `ask::PARAMETERS_MAX`; [`RECENT_MAX`], [`WAITING_MAX`].
//! Not here    Who may ask (shell: the account by HTTP Basic), running programs (the room).
//! Spec        programmable-voice §6

pub mod ask;
mod calls;
pub(crate) mod conferences;
pub mod events;
mod forks;
mod keys;
pub mod legs;
mod messages;
pub(crate) mod notes;
mod numbers;
pub mod outgoing;
pub mod participants;
mod plain;
pub mod progress;
mod queues;
mod recordings;
pub mod row;
pub mod say;
pub(crate) mod things;
mod update;
pub mod usage;

use std::collections::{BTreeMap, VecDeque};

use serde::{Serialize, de::DeserializeOwned};
use switchboard::notice::LetterPlan;
use switchboard::store::{Row as Cells, StoreFault};
use switchboard::{Access, ApiRequest, ApiResponse, Effects, Endpoint, Reply, Scope, Ticket};
use types::SessionId;

use crate::{Room, store};
use ask::{Ask, Form};
use keys::{KEY, SIGNING_KEY};
use messages::MESSAGE;
use row::Row;
use say::{No, Page};
use things::{APPLICATION, CALL_RECORDING, Kind, NOTIFICATION, Of, RECORDING, TRANSCRIPTION};

/// Calls that ended lately and are remembered until the store surely has them.
pub const RECENT_MAX: usize = 1_024;
/// Requests of one shard that wait for the store; more get 20429.
pub const WAITING_MAX: usize = 1_024;
/// Octets of a form.
pub const FORM_MAX: usize = 256 << 10;

const PATH: &str = "/2010-04-01/{rest..}";
const DOC: &str =
    "The API of a known cloud, in its own words: docs/apps.md says which resources are there.";

/// A row of the manifest.
pub(crate) const fn row(method: &'static str, body_max: usize) -> Endpoint {
    let (access, scope) = (Access::Account, Scope::Named(3));
    Endpoint { method, path: PATH, doc: DOC, access, scope, body_max, request: "", response: "" }
}

/// What a request came to.
pub(crate) enum Done {
    /// The answer follows, or came from elsewhere.
    Later,
    /// The answer.
    Now(ApiResponse),
}

/// What this part of the room knows.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    waiting: BTreeMap<Ticket, Waiting>,
    /// Names of conferences that nobody has come to yet.
    pub(crate) promises: participants::Promises,
    /// Newest last.
    recent: VecDeque<Row>,
    /// Changes of numbers that are not written yet, and the timers after which they are given up.
    numbers: BTreeMap<Ticket, numbers::Wanted>,
    /// Recordings that were not there, and the timers after which they are looked for once more.
    again: BTreeMap<Ticket, Ask>,
}

/// What a request waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A call that is over.
    Call(Ask),
    /// Calls that are over, beside those that are known.
    Calls { ask: Ask, page: Page, known: Vec<Row> },
    /// Conferences that are over, beside those that run.
    Conferences { ask: Ask, page: Page, known: Vec<conferences::Listed> },
    /// Who takes part in a conference that is over.
    Emptied { ask: Ask, page: Page },
    /// A change, and what is answered when it was made.
    Change { ask: Ask, answer: ApiResponse },
    /// Whether a call is over, or never was.
    Ended(Ask),
    /// What the apps of a call that is over were asked.
    Events { ask: Ask, page: Page },
    /// An application, by which a call is made.
    Apply { ask: Ask, request: Box<ApiRequest> },
    /// A request that shows a key.
    Keyed { ask: Ask, request: Box<ApiRequest> },
    /// What was used.
    Usage { ask: Ask, page: Page, span: usage::Span, days: (u64, u64) },
    /// A message that is being written down, and then goes out.
    Letter { ask: Ask, answer: ApiResponse, plan: Box<LetterPlan> },
    /// A thing that is to be deleted, with its file.
    Drop { ask: Ask, kind: &'static Kind },
    /// A thing that is to be changed.
    Merge { ask: Ask, kind: &'static Kind },
    /// A thing; `again`: one that is not there is looked for once more.
    Thing { ask: Ask, kind: &'static Kind, again: bool },
    /// Things.
    Things { ask: Ask, page: Page, kind: &'static Kind },
    /// A call that is to be forgotten.
    Forget(Ask),
}

impl Waiting {
    fn ask(&self) -> &Ask {
        match self {
            Self::Call(ask)
            | Self::Calls { ask, .. }
            | Self::Change { ask, .. }
            | Self::Conferences { ask, .. }
            | Self::Emptied { ask, .. }
            | Self::Ended(ask)
            | Self::Events { ask, .. }
            | Self::Apply { ask, .. }
            | Self::Drop { ask, .. }
            | Self::Keyed { ask, .. }
            | Self::Letter { ask, .. }
            | Self::Usage { ask, .. }
            | Self::Merge { ask, .. }
            | Self::Thing { ask, .. }
            | Self::Things { ask, .. }
            | Self::Forget(ask) => ask,
        }
    }
}

impl Room {
    /// A request of an app.
    pub(crate) fn rest(
        &mut self,
        request: &ApiRequest,
        method: &'static str,
        effects: &mut Effects<'_>,
    ) {
        let ask = Ask::read(request, method);
        let form = ask.form;
        let done = match request.bearer.is_empty() {
            true => self.resource(&ask, request, effects),
            false => self.keyed(ask, request, effects),
        };
        match done {
            Ok(Done::Later) => (),
            Ok(Done::Now(answer)) => effects.answer(request.id, answer),
            Err(no) => effects.answer(request.id, no.answer(form)),
        }
    }

    /// The resource that a path names.
    ///
    /// Spec: programmable-voice §6.2
    fn resource(
        &mut self,
        ask: &Ask,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        let ["Accounts", rest @ ..] = path.as_slice() else {
            return Err(No::missing(&say::base(ask)));
        };
        let (account, rest) = match rest {
            [] => return plain::accounts(ask, effects),
            [account, rest @ ..] => (*account, rest),
        };
        if account != effects.apps().sid {
            return Err(No::missing(&say::base(ask)));
        }
        match (ask.method, rest) {
            ("GET", []) => plain::account(ask, effects),
            ("POST", []) => Err(No::not_offered("Changing the account")),
            ("GET", ["Calls"]) => self.list_calls(ask, request, effects),
            ("POST", ["Calls"]) => self.make_call(ask, request, effects),
            ("GET", ["Calls", sid]) => self.fetch_call(ask, sid, effects),
            ("POST", ["Calls", sid]) => self.update_call(ask, sid, effects),
            ("DELETE", ["Calls", sid]) => self.delete_call(ask, sid, effects),
            (_, [] | ["Calls"] | ["Calls", _]) => Err(method_not_allowed(ask)),
            (_, ["Applications"]) => self.things(&APPLICATION, Of::All, ask, effects),
            (_, ["Applications", sid]) => self.things(&APPLICATION, Of::One(sid), ask, effects),
            (_, ["Conferences", rest @ ..]) => self.conferences(ask, rest, request, effects),
            (_, ["Queues", rest @ ..]) => self.queues_of(ask, rest, request, effects),
            (_, ["Keys", rest @ ..]) => self.keys_of(&KEY, ask, rest, effects),
            (_, ["SigningKeys", rest @ ..]) => self.keys_of(&SIGNING_KEY, ask, rest, effects),
            (_, ["Usage", rest @ ..]) => self.usage(ask, rest, effects),
            (_, ["OutgoingCallerIds", rest @ ..]) => numbers::caller_ids(ask, rest, effects),
            ("POST", ["Tokens"]) => plain::token(ask, effects),
            (_, ["AvailablePhoneNumbers", ..]) => numbers::available(ask),
            (_, ["IncomingPhoneNumbers", rest @ ..]) => self.incoming(ask, rest, effects),
            (_, ["Recordings"]) => self.things(&RECORDING, Of::All, ask, effects),
            ("POST", ["Calls", call, "Recordings"]) => self.begin_recording(ask, call, effects),
            ("POST", ["Calls", call, "Recordings", sid]) => {
                self.steer_reel(ask, (call, sid), effects)
            }
            (_, ["Transcriptions"]) => self.things(&TRANSCRIPTION, Of::All, ask, effects),
            (_, ["Transcriptions", sid] | ["Recordings", _, "Transcriptions", sid]) => {
                self.things(&TRANSCRIPTION, Of::One(sid), ask, effects)
            }
            (_, ["Recordings", sid, "Transcriptions"]) => {
                self.things(&TRANSCRIPTION, Of::Owner(sid), ask, effects)
            }
            (_, ["Recordings", sid]) => self.things(&RECORDING, Of::One(sid), ask, effects),
            (_, ["Calls", _, "Recordings", sid]) => {
                self.things(&CALL_RECORDING, Of::One(sid), ask, effects)
            }
            (_, ["Calls", call, "Recordings"]) => {
                self.things(&CALL_RECORDING, Of::Owner(call), ask, effects)
            }
            (_, ["Calls", call, "Siprec"]) => self.siprec_of(ask, (call, None), effects),
            (_, ["Calls", call, "Siprec", one]) => self.siprec_of(ask, (call, Some(one)), effects),
            ("POST", ["Messages"]) => self.send_message(ask, effects),
            (_, ["Messages"]) => self.things(&MESSAGE, Of::All, ask, effects),
            (_, ["Messages", sid]) => self.things(&MESSAGE, Of::One(sid), ask, effects),
            (_, ["Notifications"]) => self.things(&NOTIFICATION, Of::All, ask, effects),
            (_, ["Notifications", sid] | ["Calls", _, "Notifications", sid]) => {
                self.things(&NOTIFICATION, Of::One(sid), ask, effects)
            }
            (_, ["Calls", call, "Notifications"]) => {
                self.things(&NOTIFICATION, Of::Owner(call), ask, effects)
            }
            (_, ["Calls", call, "Streams"]) => self.streams_of(ask, (call, None), effects),
            (_, ["Calls", call, "Streams", one]) => {
                self.streams_of(ask, (call, Some(one)), effects)
            }
            (_, ["Calls", call, "Transcriptions"]) => {
                self.transcriptions_of(ask, (call, None), effects)
            }
            (_, ["Calls", call, "Transcriptions", one]) => {
                self.transcriptions_of(ask, (call, Some(one)), effects)
            }
            (_, ["Calls", call, "Events"]) => self.events_of(ask, call, effects),
            (_, ["Calls", _, part, ..]) => Err(No::not_offered(part)),
            (_, [name, ..]) => plain::other(ask, name, effects),
        }
    }

    /// An answer of the store.
    pub(crate) fn rest_reply(
        &mut self,
        ticket: Ticket,
        reply: Reply,
        effects: &mut Effects<'_>,
    ) -> Option<Reply> {
        let Some(waiting) = self.rest.waiting.remove(&ticket) else { return Some(reply) };
        let (id, form) = (waiting.ask().id, waiting.ask().form);
        let done = if let Reply::Rows(rows) = reply {
            rows.map_err(fault).and_then(|rows| self.rows(waiting, &rows, effects))
        } else if let Reply::Written(written) = reply {
            match (written, waiting) {
                (Err(why), _) => Err(fault(why)),
                (Ok(()), Waiting::Letter { answer, plan, .. }) => {
                    messages::written(*plan, effects);
                    Ok(Done::Now(answer))
                }
                (Ok(()), Waiting::Change { answer, .. }) => Ok(Done::Now(answer)),
                // Whatever else waits has asked for rows.
                (
                    Ok(()),
                    Waiting::Apply { .. }
                    | Waiting::Call(_)
                    | Waiting::Calls { .. }
                    | Waiting::Conferences { .. }
                    | Waiting::Emptied { .. }
                    | Waiting::Drop { .. }
                    | Waiting::Ended(_)
                    | Waiting::Events { .. }
                    | Waiting::Forget(_)
                    | Waiting::Keyed { .. }
                    | Waiting::Usage { .. }
                    | Waiting::Merge { .. }
                    | Waiting::Thing { .. }
                    | Waiting::Things { .. },
                ) => return None,
            }
        } else {
            return Some(reply); // The store says nothing else.
        };
        match done {
            Ok(Done::Later) => (),
            Ok(Done::Now(answer)) => effects.answer(id, answer),
            Err(no) => effects.answer(id, no.answer(form)),
        }
        None
    }

    fn rows(
        &mut self,
        waiting: Waiting,
        rows: &[Cells],
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        match waiting {
            Waiting::Call(ask) => calls::found(&ask, rows, effects),
            Waiting::Calls { ask, page, known } => {
                Ok(calls::listed(&ask, &page, known, rows, effects))
            }
            Waiting::Apply { ask, request } => {
                let row = rows.first().and_then(|row| store::thing_of(APPLICATION.kind, row));
                let found = row.ok_or_else(|| {
                    No::invalid(21218, "ApplicationSid names no application of this account")
                })?;
                self.make_call_of(&ask, &request, &found, effects)
            }
            Waiting::Drop { ask, kind } => {
                let row = rows.first().and_then(|row| store::thing_of(kind.kind, row));
                let found = row.ok_or_else(|| No::missing(&say::base(&ask)))?;
                self.drop_thing(kind, &ask, &found, effects)
            }
            Waiting::Merge { ask, kind } => {
                let row = rows.first().and_then(|row| store::thing_of(kind.kind, row));
                let found = row.ok_or_else(|| No::missing(&say::base(&ask)))?;
                self.put_thing(kind, &ask, found, 200, effects)
            }
            Waiting::Thing { ask, again: true, .. } if rows.is_empty() => {
                self.look_again(ask, effects)
            }
            Waiting::Thing { ask, kind, .. } => things::found(kind, &ask, rows, effects),
            Waiting::Things { ask, page, kind } => {
                Ok(things::listed(kind, (&ask, &page), rows, effects))
            }
            Waiting::Keyed { .. } if rows.is_empty() => {
                Err(No::new(401, 20003, "Authenticate: this key was deleted"))
            }
            Waiting::Keyed { ask, request } => self.resource(&ask, &request, effects),
            Waiting::Usage { ask, page, span, days } => {
                Ok(usage::found((&ask, &page), (span, days), rows, effects))
            }
            Waiting::Conferences { ask, page, known } => {
                Ok(conferences::listed(&ask, &page, known, rows, effects))
            }
            Waiting::Emptied { ask, page } => conferences::emptied(&ask, &page, rows),
            Waiting::Events { ask, page } => Ok(events::found(&ask, &page, rows)),
            Waiting::Ended(ask) if rows.is_empty() => Err(No::missing(&say::base(&ask))),
            Waiting::Ended(_) => Err(update::ended()),
            Waiting::Forget(ask) => self.forget_call(&ask, rows, effects),
            // Changes are written, and nothing is read for them.
            Waiting::Change { answer, .. } | Waiting::Letter { answer, .. } => {
                Ok(Done::Now(answer))
            }
        }
    }

    /// Waits for the store, if not too many do.
    fn wait(
        &mut self,
        waiting: Waiting,
        ask: impl FnOnce(&mut Effects<'_>) -> Ticket,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        if self.rest.waiting.len() >= WAITING_MAX {
            return Err(No::new(
                429,
                20429,
                "Too many requests wait for the store: ask again in a moment",
            ));
        }
        let ticket = ask(effects);
        self.rest.waiting.insert(ticket, waiting);
        Ok(Done::Later)
    }
}

fn fault(why: StoreFault) -> No {
    match why {
        StoreFault::Mismatch { .. } => {
            No::new(404, 20404, "The requested resource is not there any more")
        }
        StoreFault::Conflict => No::new(409, 20409, "Something of this name is there already"),
        StoreFault::Unreachable => {
            No::new(503, 20503, "The store does not answer: ask again in a moment")
        }
        StoreFault::Broken => {
            No::new(500, 20500, "The store refused the request: the log of the server says why")
        }
    }
}

fn method_not_allowed(ask: &Ask) -> No {
    No::new(405, 20004, format!("{} is not what this resource takes", ask.method))
}

/// What all shards know: this one adds its own to what others had, and the next one is asked; `None`: it goes on there.
fn gathered<T: Serialize + DeserializeOwned>(
    request: &ApiRequest,
    own: impl IntoIterator<Item = T>,
    effects: &mut Effects<'_>,
) -> Option<Vec<T>> {
    let mut known: Vec<T> = serde_json::from_slice(&request.body).unwrap_or_default();
    known.extend(own);
    let body = serde_json::to_vec(&known).unwrap_or_default();
    (!effects.next_shard(&ApiRequest { body, ..request.clone() })).then_some(known)
}

/// An answer with one resource.
fn shown(status: u16, name: &str, value: &serde_json::Value, form: Form) -> Done {
    Done::Now(say::one(status, name, value, form))
}

/// How apps name one of our numbers; `None`: it is none in international form.
pub fn number_sid(number: &str) -> Option<String> {
    let digits = number.strip_prefix('+').filter(|digits| (1..=15).contains(&digits.len()))?;
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| format!("PN{digits:0>32}"))
}

/// The session that apps name so.
fn session_of(sid: &str, prefix: &str) -> Option<SessionId> {
    let digits = sid.strip_prefix(prefix).filter(|digits| digits.len() == 32)?;
    u128::from_str_radix(digits, 16).ok().map(SessionId)
}
