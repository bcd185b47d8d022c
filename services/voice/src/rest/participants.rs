//! Those who take part in a conference because an app called them.
//!
//! Picture     POST --checked--> a call of the app's (outgoing) on the conference's slot, with a document of one `<Dial>`
//!             answered --> it joins as any that dials in;  the conference has its name from the request on
//! Rules       While he rings he is shown from his call; when he has joined, from the conference. A conference that begins
//!             with him has the name that his request was told, also when another one comes first.
//! Limits      [`PROMISES_MAX`] names of conferences that nobody has come to, each for [`PROMISE_KEPT`].
//! Spec        programmable-voice §6.2 (Participants POST)

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{ApiResponse, Effects};
use types::{SessionId, UnixTime};

use super::ask::Ask;
use super::outgoing::{First, Wish, hook, method, number};
use super::say::{self, No};
use super::{Done, session_of, shown};
use crate::Room;
use crate::call::{Call, call_sid, date};

/// Names of conferences that were told before anybody came.
pub const PROMISES_MAX: usize = 1_024;
/// How long such a name stands: longer than any phone rings.
pub const PROMISE_KEPT: Duration = Duration::from_secs(900);
/// Who may take part, at most.
const MOST: u64 = 250;

/// Names of conferences that nobody has come to yet, by what they are called.
#[derive(Debug, Default)]
pub(crate) struct Promises(BTreeMap<String, (String, UnixTime)>);

impl Promises {
    /// The name that a conference shall have, `fresh` if none was told before.
    ///
    /// Errors: there are too many.
    pub fn promise(&mut self, name: &str, fresh: String, now: UnixTime) -> Result<String, No> {
        self.0.retain(|_, (_, until)| *until > now);
        if let Some((sid, until)) = self.0.get_mut(name) {
            *until = now + PROMISE_KEPT;
            return Ok(sid.clone());
        }
        if self.0.len() >= PROMISES_MAX {
            let words = "Too many conferences wait for their first participant";
            return Err(No::new(429, 20429, words));
        }
        self.0.insert(name.to_owned(), (fresh.clone(), now + PROMISE_KEPT));
        Ok(fresh)
    }

    /// What a conference is called whose name was told.
    pub fn named(&self, sid: &str) -> Option<&str> {
        self.0.iter().find(|(_, (known, _))| known == sid).map(|(name, _)| name.as_str())
    }

    /// Somebody comes: it has its name.
    pub fn keep(&mut self, name: &str, now: UnixTime) -> Option<String> {
        self.0.remove(name).filter(|(_, until)| *until > now).map(|(sid, _)| sid)
    }
}

/// Where somebody goes who is being called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invited {
    /// The conference, for apps.
    pub sid: String,
    pub label: String,
    pub muted: bool,
    pub starts: bool,
    pub ends: bool,
    pub coach: String,
}

impl Room {
    /// `POST /Conferences/{CF or name}/Participants`, on the shard of the conference.
    pub(super) fn call_participant(
        &mut self,
        ask: &Ask,
        who: &str,
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let name = match self.conference_of(ask, who) {
            Ok(found) => found.name.clone(),
            Err(no) if is_sid(who) => self.rest.promises.named(who).ok_or(no)?.to_owned(),
            Err(_) => who.to_owned(),
        };
        let invited = self.invited(ask, &name)?;
        let document = document(ask, &name, &invited)?;
        let wish = Wish::read(ask, First::Document(document), effects)?;
        let slot = crate::meeting::home(&name, effects);
        let sid = match self.conference_of(ask, &name) {
            Ok(found) => found.sid.clone(),
            Err(_) => {
                let fresh = format!("CF{:032x}", effects.session_id(slot).0);
                self.rest.promises.promise(&name, fresh, effects.unix())?
            }
        };
        let invited = Invited { sid, ..invited };
        let session = self.call_out(wish, (slot, Some(invited.clone())), effects)?;
        let began = effects.unix();
        let value = ringing((session, &invited), ("queued", began), effects);
        Ok(shown(201, "Participant", &value, ask.form))
    }

    /// How somebody takes part who is to be called.
    fn invited(&self, ask: &Ask, name: &str) -> Result<Invited, No> {
        let label = ask.text("Label").unwrap_or_default();
        let call = label.len() == 34 && label.starts_with("CA");
        if label.chars().count() > twiml::LABEL_MAX || label.contains('/') || call {
            let words = "Label should have 128 characters at most, no / and not be a CallSid";
            return Err(No::invalid(16024, words));
        }
        let found = self.conferences.values().find(|known| known.name == name);
        let members = found.map(|found| &*found.members).unwrap_or_default();
        if !label.is_empty() && members.iter().any(|member| member.label == label) {
            let words = format!("Label {label} is somebody else's in this conference");
            return Err(No::invalid(16026, words));
        }
        let coach = match (ask.flag("Coaching"), ask.text("CallSidToCoach")) {
            (Some(false), _) | (None, None) => String::new(),
            (_, Some(sid)) => sid.to_owned(),
            (Some(true), None) => {
                return Err(No::invalid(16028, "CallSidToCoach says whom he coaches"));
            }
        };
        if !coach.is_empty() && !members.iter().any(|member| call_sid(member.call.0) == coach) {
            let words = format!("CallSidToCoach is {coach}, who is not in this conference");
            return Err(No::invalid(16028, words));
        }
        Ok(Invited {
            sid: String::new(),
            label: label.to_owned(),
            muted: ask.flag("Muted").unwrap_or(false),
            starts: ask.flag("StartConferenceOnEnter").unwrap_or(true),
            ends: ask.flag("EndConferenceOnExit").unwrap_or(false),
            coach,
        })
    }

    /// Who was called for a conference and has not joined it yet.
    pub(super) fn rings_for(&self, sid: &str) -> Vec<(&Call, &Invited)> {
        let mut found: Vec<_> = self
            .calls
            .values()
            .filter_map(|call| {
                let invited = call.outgoing.as_ref()?.invited.as_ref()?;
                (invited.sid == sid).then_some((&**call, invited))
            })
            .collect();
        found.sort_by_key(|(call, _)| (call.facts.began, call.session));
        found
    }

    /// One of them, by his call or his label.
    pub(super) fn ringing_one(
        &self,
        sid: &str,
        who: &str,
        effects: &Effects<'_>,
    ) -> Option<(SessionId, Value)> {
        let fits = |(call, invited): &(&Call, &Invited)| {
            session_of(who, "CA") == Some(call.session)
                || (!invited.label.is_empty() && invited.label == who)
        };
        let (call, invited) = self.rings_for(sid).into_iter().find(fits)?;
        Some((call.session, shown_of(call, invited, effects)))
    }

    /// He is wanted no more.
    pub(super) fn uninvite(&mut self, session: SessionId, effects: &mut Effects<'_>) -> Done {
        self.finish(session, (487, "cancelled", "server"), effects);
        Done::Now(ApiResponse::empty(204))
    }
}

/// Whether this names a conference as its session does, and not as people do.
pub(super) fn is_sid(text: &str) -> bool {
    session_of(text, "CF").is_some()
}

/// As the API shows one who rings.
pub(super) fn shown_of(call: &Call, invited: &Invited, effects: &Effects<'_>) -> Value {
    let status = if call.progress.rang { "ringing" } else { "queued" };
    ringing((call.session, invited), (status, call.facts.began), effects)
}

/// Spec: programmable-voice §6.3 (Participant)
fn ringing(
    (session, invited): (SessionId, &Invited),
    (status, began): (&str, UnixTime),
    effects: &Effects<'_>,
) -> Value {
    let (account, sid, call) = (&effects.apps().sid, &invited.sid, call_sid(session.0));
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    json!({
        "account_sid": account,
        "call_sid": call,
        "call_sid_to_coach": some(&invited.coach),
        "coaching": !invited.coach.is_empty(),
        "conference_sid": sid,
        "date_created": date(began),
        "date_updated": date(began),
        "end_conference_on_exit": invited.ends,
        "hold": false,
        "label": some(&invited.label),
        "muted": invited.muted,
        "queue_time": null,
        "start_conference_on_enter": invited.starts,
        "status": status,
        "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{sid}/Participants/{call}.json"),
    })
}

/// The document that leads him there.
///
/// Spec: programmable-voice §1.3 (Conference)
fn document(ask: &Ask, name: &str, invited: &Invited) -> Result<String, No> {
    let mut noun = String::new();
    let mut say = |name: &str, value: &str| {
        noun.push_str(&format!(" {name}=\"{}\"", say::escape(value)));
    };
    say("muted", if invited.muted { "true" } else { "false" });
    say("startConferenceOnEnter", if invited.starts { "true" } else { "false" });
    say("endConferenceOnExit", if invited.ends { "true" } else { "false" });
    if !invited.label.is_empty() {
        say("participantLabel", &invited.label);
    }
    if !invited.coach.is_empty() {
        say("coach", &invited.coach);
    }
    let beep = ask.text("Beep").unwrap_or("true");
    one_of("Beep", beep, &["true", "false", "onEnter", "onExit"])?;
    say("beep", beep);
    if let Some(most) = number(ask, "MaxParticipants", 20422)? {
        if !(2..=MOST).contains(&most) {
            let words = format!("MaxParticipants is {most}, and should be from 2 to {MOST}");
            return Err(No::invalid(20422, words));
        }
        say("maxParticipants", &most.to_string());
    }
    let record = ask.text("ConferenceRecord").unwrap_or("false");
    let known = ["true", "false", "record-from-start", "do-not-record"];
    one_of("ConferenceRecord", record, &known)?;
    if matches!(record, "true" | "record-from-start") {
        say("record", "record-from-start");
    }
    if let Some(trim) = ask.text("ConferenceTrim") {
        one_of("ConferenceTrim", trim, &["trim-silence", "do-not-trim"])?;
        say("trim", trim);
    }
    // An empty WaitUrl is silence.
    if let Some(url) = ask.given("WaitUrl") {
        if !url.is_empty() {
            hook(url, twiml::Method::Post)?;
        }
        say("waitUrl", url);
        say("waitMethod", word(method(ask, "WaitMethod")?));
    }
    for (parameter, attribute) in [
        ("ConferenceStatusCallback", "statusCallback"),
        ("ConferenceRecordingStatusCallback", "recordingStatusCallback"),
    ] {
        let Some(url) = ask.text(parameter) else { continue };
        hook(url, twiml::Method::Post)?;
        say(attribute, url);
        let how = method(ask, &format!("{parameter}Method"))?;
        say(&format!("{attribute}Method"), word(how));
        let events = ask.all(&format!("{parameter}Event"));
        if !events.is_empty() {
            say(&format!("{attribute}Event"), &events.join(" "));
        }
    }
    let name = say::escape(name);
    Ok(format!("<Response><Dial><Conference{noun}>{name}</Conference></Dial></Response>"))
}

fn word(method: twiml::Method) -> &'static str {
    if method == twiml::Method::Get { "GET" } else { "POST" }
}

fn one_of(name: &str, word: &str, known: &[&str]) -> Result<(), No> {
    if known.contains(&word) {
        return Ok(());
    }
    let words = format!("{name} is {word}, and should be one of {}", known.join(", "));
    Err(No::invalid(20422, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_for_a_while() {
        let mut promises = Promises::default();
        let now = UnixTime::seconds(1_000);
        let mut want = |name: &str, fresh: &str, now| promises.promise(name, fresh.into(), now);
        assert_eq!(want("team", "CF1", now).as_deref(), Ok("CF1"));
        assert_eq!(want("team", "CF2", now).as_deref(), Ok("CF1"));
        for at in 1..PROMISES_MAX {
            want(&at.to_string(), "CF3", now).unwrap();
        }
        assert!(want("more", "CF4", now).is_err());
        let later = now + PROMISE_KEPT;
        assert_eq!(want("more", "CF4", later).as_deref(), Ok("CF4"));
        assert_eq!((promises.named("CF4"), promises.named("CF1")), (Some("more"), None));
        assert_eq!(promises.keep("more", later).as_deref(), Some("CF4"));
        assert_eq!(promises.keep("more", later), None);
    }

    #[test]
    fn what_an_app_says_cannot_leave_its_attribute() {
        let parameters = [("WaitUrl", ""), ("ConferenceRecord", "true")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let ask = Ask { parameters: parameters.to_vec(), ..Ask::default() };
        let label = "x\"><Hangup/>&y".to_owned();
        let text = document(&ask, "a<b", &Invited { label, ..Invited::default() }).unwrap();
        assert!(
            !text.contains("<Hangup") && text.contains("record=\"record-from-start\""),
            "{text}"
        );
        assert!(text.contains(">a&lt;b</Conference>"), "{text}");
        assert!(text.contains("waitUrl=\"\""), "an empty one is silence: {text}");
    }
}
