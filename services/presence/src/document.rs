//! What watchers are told, as text: PIDF, dialog-info, message summary, reginfo. Always the whole state.

use std::fmt::Write;

use switchboard::directory::Binding;
use switchboard::notice::{LineFacts, LineState};
use types::{CallId, UnixTime};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Whether a user can be reached.
///
/// Spec: RFC 3863 §4.1
pub fn pidf(entity: &str, open: bool) -> String {
    let entity = escape(entity);
    let basic = if open { "open" } else { "closed" };
    format!(
        "{HEAD}<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\
         <tuple id=\"carillon\"><status><basic>{basic}</basic></status></tuple></presence>\n"
    )
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
    let entity = escape(entity);
    let mut out = format!(
        "{HEAD}<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"full\" entity=\"{entity}\">"
    );
    for line in lines {
        let state = match line.state {
            LineState::Confirmed => "confirmed",
            LineState::Early => "early",
            LineState::Terminated => "terminated",
            LineState::Trying => "trying",
        };
        let direction = if line.calls { "initiator" } else { "recipient" };
        let id = CallId(line.call.0);
        // Writing into a string cannot fail.
        let _ = write!(out, "<dialog id=\"{id}\"");
        if parties {
            let _ = write!(out, " call-id=\"{}\"", escape(&line.call_id));
        }
        let _ = write!(out, " direction=\"{direction}\"><state>{state}</state>");
        let _ = write!(out, "<local><identity>{entity}</identity></local>");
        if parties {
            let display = match line.remote_name.as_str() {
                "" => String::new(),
                name => format!(" display=\"{}\"", escape(name)),
            };
            let remote = escape(&line.remote);
            let _ = write!(out, "<remote><identity{display}>{remote}</identity></remote>");
        }
        out.push_str("</dialog>");
    }
    out.push_str("</dialog-info>\n");
    out
}

/// How many messages wait.
///
/// Spec: RFC 3842 §3.5, §5.2
pub fn summary(account: &str, waiting: u32) -> String {
    let yes = if waiting > 0 { "yes" } else { "no" };
    let account: String = account.chars().filter(|letter| !letter.is_control()).collect();
    format!(
        "Messages-Waiting: {yes}\r\nMessage-Account: {account}\r\nText-Message: {waiting}/0\r\n"
    )
}

/// Where a user can be reached. `gone`: a contact that has just ended, and why.
///
/// Spec: RFC 3680 §5
pub fn registrations(
    entity: &str,
    version: u32,
    bindings: &[Binding],
    gone: Option<(&str, &str)>,
    now: UnixTime,
) -> String {
    let live: Vec<&Binding> = bindings.iter().filter(|binding| binding.until > now).collect();
    let state = match (live.is_empty(), gone) {
        (false, _) => "active",
        (true, Some(_)) => "terminated",
        (true, None) => "init",
    };
    let aor = escape(entity);
    let mut out = format!(
        "{HEAD}<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" \
         state=\"full\"><registration aor=\"{aor}\" id=\"r1\" state=\"{state}\">"
    );
    for binding in live {
        let left = binding.until.since(now).as_secs();
        let id = identifier(&binding.contact);
        let (uri, call) = (escape(&binding.contact), escape(&binding.call_id));
        // Writing into a string cannot fail.
        let _ = write!(out, "<contact id=\"{id}\" state=\"active\" event=\"registered\"");
        let _ = write!(out, " expires=\"{left}\" callid=\"{call}\" cseq=\"{}\"", binding.cseq);
        if binding.q < 1_000 {
            let _ = write!(out, " q=\"0.{:03}\"", binding.q);
        }
        let _ = write!(out, "><uri>{uri}</uri></contact>");
    }
    if let Some((contact, why)) = gone {
        let event = match why {
            "expired" => "expired",
            "unregistered" => "unregistered",
            _ => "deactivated",
        };
        let (id, uri) = (identifier(contact), escape(contact));
        let _ = write!(
            out,
            "<contact id=\"{id}\" state=\"terminated\" event=\"{event}\"><uri>{uri}</uri></contact>"
        );
    }
    out.push_str("</registration></reginfo>\n");
    out
}

/// The same contact has the same id in every document.
fn identifier(contact: &str) -> String {
    // FNV-1a: no secret is in it, and it must not change between versions.
    let hash = contact.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3)
    });
    format!("c{hash:016x}")
}

/// Text inside of an element or attribute; what XML 1.0 cannot carry becomes a question mark.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('?'),
            other => out.push(other),
        }
    }
    out
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
        assert!(text.contains("call-id=\"a&lt;b&gt;?\"") && text.contains("sip:a&amp;b@x"));
        assert!(text.contains("display=\"&quot;&gt;&lt;evil/&gt;\"") && !text.contains("<evil"));
        let text = dialogs("sip:x@y", 3, std::iter::once(&line), false);
        assert!(!text.contains("evil") && !text.contains("call-id") && text.contains("early"));
    }

    #[test]
    fn a_registration_that_ended_is_shown_as_such() {
        let text = registrations("sip:a@x", 0, &[], Some(("sip:a@h", "expired")), UnixTime(5));
        assert!(text.contains("state=\"terminated\" event=\"expired\"><uri>sip:a@h</uri>"));
        let text = registrations("sip:a@x", 0, &[], None, UnixTime(5));
        assert!(text.contains("id=\"r1\" state=\"init\"></registration>"));
    }

    #[test]
    fn a_summary_counts() {
        assert!(summary("sip:a@x", 0).starts_with("Messages-Waiting: no\r\n"));
        assert!(summary("sip:a@x", 3).ends_with("Text-Message: 3/0\r\n"));
    }
}
