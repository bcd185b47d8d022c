//! What watchers are told, as text: PIDF, dialog-info, message summary, reginfo, conference. Always the whole state.

use switchboard::directory::Known;
use switchboard::notice::{ConferenceFacts, LineFacts, LineState};
use types::{CallId, UnixTime};
use xml::{
    Contact, ContactEvent, ContactState, Dialog, DialogInfo, DialogReference, DialogState,
    MessageSummary, Participant, Presence, Reginfo, Registration, RegistrationState, Tuple,
    Waiting,
};

/// Whether a user can be reached.
///
/// Spec: RFC 3863 §4.1
pub fn pidf(entity: &str, open: bool) -> String {
    let tuple = Tuple { id: "carillon".to_owned(), open: Some(open), ..Tuple::default() };
    Presence { entity: entity.to_owned(), tuples: vec![tuple], ..Presence::default() }.encode()
}

/// The calls of a user. `parties`: with whom is told as well.
///
/// Spec: RFC 4235 §4.1
pub fn dialogs<'a>(
    entity: &str,
    version: u32,
    lines: impl Iterator<Item = &'a LineFacts>,
    parties: bool,
) -> String {
    let dialogs = lines.map(|line| dialog(entity, line, parties)).collect();
    DialogInfo { version, full: true, entity: entity.to_owned(), dialogs }.encode()
}

fn dialog(entity: &str, line: &LineFacts, parties: bool) -> Dialog {
    let remote = Participant {
        identity: Some(line.remote.clone()),
        display: Some(line.remote_name.clone()).filter(|name| !name.is_empty()),
        ..Participant::default()
    };
    let call_id = line.call_id.clone();
    let reference = DialogReference { call_id, local_tag: None, remote_tag: None };
    Dialog {
        id: CallId(line.call.0).to_string(),
        reference: parties.then_some(reference),
        outgoing: Some(line.calls),
        state: match line.state {
            LineState::Confirmed => DialogState::Confirmed,
            LineState::Early => DialogState::Early,
            LineState::Terminated => DialogState::Terminated,
            LineState::Trying => DialogState::Trying,
        },
        event: None,
        code: None,
        duration: None,
        replaces: None,
        referred_by: None,
        local: Some(Participant { identity: Some(entity.to_owned()), ..Participant::default() }),
        remote: parties.then_some(remote),
    }
}

/// How many messages wait.
///
/// Spec: RFC 3842 §3.5, §5.2
pub fn summary(account: &str, waiting: u32) -> String {
    let text = Waiting { new: waiting, ..Waiting::default() };
    let account = Some(account.to_owned());
    MessageSummary { waiting: waiting > 0, account, voice: None, text: Some(text) }.encode()
}

/// Where a user can be reached. `gone`: a contact that has just ended, and why.
///
/// Spec: RFC 3680 §5
pub fn registrations(
    entity: &str,
    version: u32,
    bindings: &[Known],
    gone: Option<(&str, &str)>,
    now: UnixTime,
) -> String {
    let live: Vec<&Known> = bindings.iter().filter(|binding| binding.until > now).collect();
    let state = match (live.is_empty(), gone) {
        (false, _) => RegistrationState::Active,
        (true, Some(_)) => RegistrationState::Terminated,
        (true, None) => RegistrationState::Init,
    };
    let standing = live.into_iter().map(|binding| Contact {
        call_id: Some(binding.call_id.clone()),
        cseq: Some(binding.cseq),
        expires: Some(u32::try_from(binding.until.since(now).as_secs()).unwrap_or(u32::MAX)),
        q: (binding.q < 1_000).then(|| format!("0.{:03}", binding.q)),
        ..contact(&binding.contact, ContactState::Active, ContactEvent::Registered)
    });
    let gone = gone.map(|(uri, why)| {
        let event = match why {
            "expired" => ContactEvent::Expired,
            "unregistered" => ContactEvent::Unregistered,
            _ => ContactEvent::Deactivated,
        };
        contact(uri, ContactState::Terminated, event)
    });
    let contacts = standing.chain(gone).collect();
    let (aor, id) = (entity.to_owned(), "r1".to_owned());
    let registrations = vec![Registration { aor, id, state, contacts }];
    Reginfo { version, full: true, registrations }.encode()
}

fn contact(uri: &str, state: ContactState, event: ContactEvent) -> Contact {
    Contact {
        id: identifier(uri),
        state,
        event,
        uri: uri.to_owned(),
        display_name: None,
        registered: None,
        expires: None,
        retry_after: None,
        q: None,
        call_id: None,
        cseq: None,
        pub_gruu: None,
        temp_gruu: None,
    }
}

/// The same contact has the same id in every document.
fn identifier(contact: &str) -> String {
    // FNV-1a: no secret is in it, and it must not change between versions.
    let hash = contact.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3)
    });
    format!("c{hash:016x}")
}

/// Who takes part in a call: those who make it dialled or were dialled, the others dialled in.
///
/// Spec: RFC 4575 §5
pub fn conference(entity: &str, version: u32, facts: &ConferenceFacts) -> String {
    let users = facts.users.iter().map(|user| {
        let media = xml::Media {
            id: "1".to_owned(),
            kind: Some("audio".to_owned()),
            status: Some(if user.heard { "sendrecv" } else { "recvonly" }.to_owned()),
            source: None,
        };
        let status = match user.heard {
            true => xml::EndpointStatus::Connected,
            false => xml::EndpointStatus::MutedViaFocus,
        };
        let phone = xml::Endpoint {
            entity: user.uri.clone(),
            display: None,
            status: Some(status),
            joining: user.guest.then(|| "dialed-in".to_owned()),
            disconnection: None,
            media: vec![media],
        };
        xml::User {
            entity: user.uri.clone(),
            deleted: false,
            display: Some(user.name.clone()).filter(|name| !name.is_empty()),
            roles: vec![if user.guest { "guest" } else { "participant" }.to_owned()],
            endpoints: vec![phone],
        }
    });
    let conference = xml::Conference {
        entity: entity.to_owned(),
        version,
        full: true,
        user_count: u32::try_from(facts.users.len()).ok(),
        active: Some(true),
        users: users.collect(),
        ..xml::Conference::default()
    };
    conference.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::SessionId;

    #[test]
    fn nothing_in_a_name_breaks_a_document() {
        let line = LineFacts {
            call: SessionId(1),
            call_id: "a<b>\u{0}".into(),
            calls: true,
            remote: "sip:a&b@x".into(),
            remote_name: "\"><evil/>".into(),
            state: LineState::Early,
        };
        let text = dialogs("sip:\"x@y", 3, std::iter::once(&line), true);
        assert!(text.contains("call-id=\"a&lt;b&gt; \"") && text.contains("sip:a&amp;b@x"));
        assert!(text.contains("display=\"&quot;&gt;&lt;evil/&gt;\"") && !text.contains("<evil"));
        let text = dialogs("sip:x@y", 3, std::iter::once(&line), false);
        assert!(!text.contains("evil") && !text.contains("call-id") && text.contains("early"));
    }

    #[test]
    fn a_registration_that_ended_is_shown_as_such() {
        let text = registrations("sip:a@x", 0, &[], Some(("sip:a@h", "expired")), UnixTime(5));
        assert!(text.contains("state=\"terminated\" event=\"expired\"><uri>sip:a@h</uri>"));
        let text = registrations("sip:a@x", 0, &[], None, UnixTime(5));
        assert!(text.contains("id=\"r1\" state=\"init\"/>"));
    }

    #[test]
    fn a_summary_counts() {
        assert!(summary("sip:a@x", 0).starts_with("Messages-Waiting: no\r\n"));
        assert!(summary("sip:a@x", 3).ends_with("Text-Message: 3/0\r\n"));
    }
}
