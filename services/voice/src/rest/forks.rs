//! What hears a call beside its program, begun and ended by request: streams to apps, recording servers, and words.
//!
//! Rules       As `<Start>` and `<Stop>` would: what a document began is ended here by its name, and the other way round. Only a
//!             call that talks has them. One that has ended is not there any more.
//! Limits      [`PARAMETERS_MAX`]; those of `stream` and `listen`.
//! Spec        programmable-voice §6.2 (`/Calls/{CA}/Streams`, `…/Siprec`, `…/Transcriptions`), §6.3 (Stream, Siprec)

use serde_json::{Value, json};
use switchboard::Effects;
use twiml::{Siprec, Stream, Track, Transcription};
use types::SessionId;

use super::ask::Ask;
use super::outgoing::{hook, method};
use super::say::{self, No};
use super::{Done, session_of, shown};
use crate::Room;
use crate::call::{call_sid, date};

/// Parameters of a stream.
pub const PARAMETERS_MAX: usize = 99;

impl Room {
    /// `/Calls/{CA}/Streams` and one of them.
    pub(super) fn streams_of(
        &mut self,
        ask: &Ask,
        (sid, one): (&str, Option<&str>),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let session = self.talking(ask, sid)?;
        let Some(name) = one else {
            let wanted = stream(ask)?;
            let name = wanted.name.clone();
            let before = self.calls.get(&session).map_or(0, |call| call.streams.len());
            if before >= crate::stream::STREAMS_MAX {
                let words = format!("A call has {before} streams at most: stop one of them");
                return Err(No::invalid(31960, words));
            }
            self.open_stream(session, (wanted, false), effects);
            let made = self.calls.get(&session).and_then(|call| call.streams.get(before));
            let made = made.map(|made| made.named().0.to_owned());
            let made = made.ok_or_else(|| {
                No::invalid(31923, "Url is no address of a web socket: wss://… is one")
            })?;
            return Ok(fork(
                "Stream",
                ("Streams", (sid, &made)),
                (&name, "in-progress"),
                (ask, effects),
            ));
        };
        stopped(ask)?;
        let found = self.calls.get(&session).and_then(|call| {
            let known = call.streams.iter().filter(|known| known.is_forked());
            let mut named = known.map(|known| known.named());
            named.find(|(sid, known)| *sid == name || *known == name)
        });
        let found = found.map(|(sid, name)| (sid.to_owned(), name.to_owned()));
        let (made, name) = found.ok_or_else(|| No::missing(&say::base(ask)))?;
        self.stop_stream(session, &made, effects);
        Ok(fork("Stream", ("Streams", (sid, &made)), (&name, "stopped"), (ask, effects)))
    }

    /// `/Calls/{CA}/Transcriptions` and one of them.
    pub(super) fn transcriptions_of(
        &mut self,
        ask: &Ask,
        (sid, one): (&str, Option<&str>),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let session = self.talking(ask, sid)?;
        let place = ("Transcriptions", sid);
        let Some(name) = one else {
            let wanted = transcription(ask)?;
            let name = wanted.name.clone();
            let ears = self.calls.get(&session).map_or(0, |call| call.ears.len());
            if ears >= crate::listen::EARS_MAX {
                let words = format!("A call has {ears} listeners at most: stop one of them");
                return Err(No::invalid(20422, words));
            }
            self.transcribe(session, wanted, effects);
            let ear = self.calls.get(&session).and_then(|call| call.ears.last());
            let made = ear.and_then(|ear| ear.named()).map(|(sid, _)| sid.to_owned());
            let made = made.ok_or_else(|| No::missing(&say::base(ask)))?;
            let about = (place.0, (place.1, &*made));
            return Ok(fork("Transcription", about, (&name, "in-progress"), (ask, effects)));
        };
        stopped(ask)?;
        let found = self.calls.get(&session).and_then(|call| {
            let mut named = call.ears.iter().filter_map(|ear| ear.named());
            named.find(|(sid, known)| *sid == name || *known == name)
        });
        let found = found.map(|(sid, name)| (sid.to_owned(), name.to_owned()));
        let (made, name) = found.ok_or_else(|| No::missing(&say::base(ask)))?;
        self.stop_transcription(session, &made, effects);
        let about = (place.0, (place.1, &*made));
        Ok(fork("Transcription", about, (&name, "stopped"), (ask, effects)))
    }

    /// `/Calls/{CA}/Siprec` and one of them.
    pub(super) fn siprec_of(
        &mut self,
        ask: &Ask,
        (sid, one): (&str, Option<&str>),
        effects: &mut Effects<'_>,
    ) -> Result<Done, No> {
        let session = self.talking(ask, sid)?;
        let Some(name) = one else {
            let wanted = siprec(ask)?;
            let name = wanted.name.clone();
            let made = self.start_siprec(session, wanted, effects);
            let made = made.map_err(|(code, words)| No::invalid(code.into(), words))?;
            let about = ("Siprec", (sid, &*made));
            return Ok(fork("Siprec", about, (&name, "in-progress"), (ask, effects)));
        };
        stopped(ask)?;
        let found = self.calls.get(&session).and_then(|call| {
            let fits =
                |known: &&crate::siprec::Recorder| known.sid == name || known.what.name == name;
            call.recorders.iter().find(fits)
        });
        let found = found.map(|known| (known.sid.clone(), known.what.name.clone()));
        let (made, name) = found.ok_or_else(|| No::missing(&say::base(ask)))?;
        self.stop_siprec(session, &made, effects);
        Ok(fork("Siprec", ("Siprec", (sid, &made)), (&name, "stopped"), (ask, effects)))
    }

    /// A call that talks, for what can be done to no other.
    ///
    /// Errors: it is none; only POST is asked of what hears a call.
    pub(super) fn talking(&self, ask: &Ask, sid: &str) -> Result<SessionId, No> {
        if ask.method != "POST" {
            return Err(super::method_not_allowed(ask));
        }
        let call = session_of(sid, "CA").and_then(|session| self.calls.get(&session));
        let call = call.ok_or_else(|| No::missing(&say::base(ask)))?;
        if call.facts.answered.is_none() {
            return Err(No::invalid(21220, "Call is not in-progress: nobody has answered it"));
        }
        Ok(call.session)
    }
}

fn stopped(ask: &Ask) -> Result<(), No> {
    match ask.text("Status") {
        Some("stopped") => Ok(()),
        word => {
            let words = format!("Status is {}, and should be stopped", word.unwrap_or_default());
            Err(No::invalid(20001, words))
        }
    }
}

/// Whose sound; the caller's unless the app says otherwise.
pub(super) fn track(ask: &Ask, usual: Track) -> Result<Track, No> {
    match ask.text("Track") {
        None => Ok(usual),
        Some("inbound_track") => Ok(Track::Inbound),
        Some("outbound_track") => Ok(Track::Outbound),
        Some("both_tracks") => Ok(Track::Both),
        Some(word) => {
            let words = format!(
                "Track is {word}, and should be inbound_track, outbound_track or both_tracks"
            );
            Err(No::invalid(31940, words))
        }
    }
}

/// `Parameter1.Name`, `Parameter1.Value`, and so on.
pub(super) fn parameters(ask: &Ask) -> Vec<(String, String)> {
    let one = |number: usize| {
        let name = ask.text(&format!("Parameter{number}.Name"))?.to_owned();
        let value = ask.given(&format!("Parameter{number}.Value")).unwrap_or_default();
        Some((name, value.to_owned()))
    };
    (1..=PARAMETERS_MAX).filter_map(one).collect()
}

fn stream(ask: &Ask) -> Result<Stream, No> {
    let url = ask.text("Url").ok_or_else(|| No::invalid(20001, "Url is missing"))?;
    if !url.starts_with("wss://") && !url.starts_with("ws://") {
        return Err(No::invalid(31922, format!("Url is {url}, and should begin with wss://")));
    }
    let status = ask.text("StatusCallback");
    Ok(Stream {
        name: ask.text("Name").unwrap_or_default().to_owned(),
        url: url.to_owned(),
        track: track(ask, Track::Inbound)?,
        status: status.map(|url| hook(url, method(ask, "StatusCallbackMethod")?)).transpose()?,
        parameters: parameters(ask),
    })
}

fn siprec(ask: &Ask) -> Result<Siprec, No> {
    let status = ask.text("StatusCallback");
    Ok(Siprec {
        name: ask.text("Name").unwrap_or_default().to_owned(),
        connector: ask.text("ConnectorName").unwrap_or_default().to_owned(),
        track: track(ask, Track::Both)?,
        status: status.map(|url| hook(url, method(ask, "StatusCallbackMethod")?)).transpose()?,
        parameters: parameters(ask),
    })
}

fn transcription(ask: &Ask) -> Result<Transcription, No> {
    let own = |name: &str, usual: &str| ask.text(name).unwrap_or(usual).to_owned();
    let status = ask.text("StatusCallbackUrl");
    Ok(Transcription {
        name: own("Name", ""),
        track: track(ask, Track::Both)?,
        status: status.map(|url| hook(url, method(ask, "StatusCallbackMethod")?)).transpose()?,
        labels: [
            own("InboundTrackLabel", "inbound_track"),
            own("OutboundTrackLabel", "outbound_track"),
        ],
        language: own("LanguageCode", ""),
        hints: own("Hints", ""),
    })
}

/// Spec: programmable-voice §6.3 (Stream, Siprec)
pub(super) fn fork(
    one: &str,
    (folder, (call, sid)): (&str, (&str, &str)),
    (name, status): (&str, &str),
    (ask, effects): (&Ask, &Effects<'_>),
) -> Done {
    let account = &effects.apps().sid;
    let id = session_of(call, "CA").map_or_else(|| call.to_owned(), |id| call_sid(id.0));
    let name: Value = if name.is_empty() { Value::Null } else { json!(name) };
    let value = json!({
        "account_sid": account,
        "call_sid": id,
        "date_updated": date(effects.unix()),
        "name": name,
        "sid": sid,
        "status": status,
        "uri": format!("/2010-04-01/Accounts/{account}/Calls/{id}/{folder}/{sid}.json"),
    });
    shown(200, one, &value, ask.form)
}
