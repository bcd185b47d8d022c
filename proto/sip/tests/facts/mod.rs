//! What the crate reads out of a message, as text: for tables of expectations.

use sip::stream::{Frame, Framer};
use sip::{Contact, DecodeError, Framing, Message, Method, NameAddr, Start, Uri};

/// What the crate reads for one key, as text; `-` for nothing there, the error's words for an
/// error.
pub fn fact(bytes: &[u8], key: &str) -> String {
    match key {
        "frames" => return frames(bytes),
        "refusable" => return Message::for_refusal(bytes).is_some().to_string(),
        "uri-only" => return outcome(Uri::decode(bytes.trim_ascii()).map(|_| "ok".into())),
        _ => (),
    }
    if let Some(raw) = key.strip_prefix("value.") {
        return sip::header::rewrite(name(raw), bytes).map_or("no type".into(), outcome);
    }
    let message = match Message::decode(bytes, Framing::Datagram) {
        Ok(message) => message,
        Err(error) => return error.to_string(),
    };
    let (head, tail) = key.split_once('.').unwrap_or((key, ""));
    match head {
        "decode" => "ok".into(),
        "check" => outcome(message.check().map(|()| "ok".into())),
        "status" => match message.check() {
            Ok(()) => message.status().map_or("-".into(), |status| status.to_string()),
            Err(error) => error.status().to_string(),
        },
        "method" => message.method().to_string(),
        "reason" => optional(message.reason()),
        "request-uri" => match message.start() {
            Start::Request { uri, .. } if tail.is_empty() => text(uri),
            Start::Request { uri, .. } => outcome(Uri::decode(uri).map(|uri| uri_fact(&uri, tail))),
            Start::Response { .. } => "-".into(),
        },
        "headers" => message.headers().count().to_string(),
        "call-id" => text(message.call_id()),
        "from" => outcome(message.from().map(|from| address_fact(&from, tail))),
        "to" => outcome(message.to().map(|to| address_fact(&to, tail))),
        "cseq" => outcome(message.cseq().map(|cseq| cseq.number.to_string())),
        "via" => outcome(message.via().map(|via| match tail {
            "transport" => text(via.transport),
            "host" => text(via.host),
            "port" => via.port.map_or("-".into(), |port| port.to_string()),
            "received" => via.received_ip().map_or("-".into(), |ip| ip.to_string()),
            "rport" => format!("{} {:?}", via.asks_rport(), via.rport()),
            "ip" => via.ip().map_or("-".into(), |ip| ip.to_string()),
            "unique" => optional(via.unique_branch()),
            _ => optional(via.branch()),
        })),
        "contacts" => {
            let contacts = message.contacts().map(|contact| {
                outcome(contact.map(|contact| match contact {
                    Contact::Star => "*".into(),
                    Contact::Address(address) => text(address.uri),
                }))
            });
            contacts.collect::<Vec<_>>().join(" | ")
        }
        "contact" => {
            let contact = message.contacts().next().unwrap().unwrap();
            address_fact(contact.address().unwrap(), tail)
        }
        "accepts" => format!("{:?}", message.accepts(tail)),
        "allows" => format!("{:?}", message.allows(Method::from_bytes(tail.as_bytes()))),
        "max-forwards" => outcome(message.max_forwards().map(number)),
        "expires" => outcome(message.expires().map(number)),
        "content-type" => optional(message.content_type()),
        "body" => text(message.body()),
        "first" => optional(message.first(name(tail))),
        "values" => message.values(name(tail)).map(text).collect::<Vec<_>>().join(" | "),
        "other" => optional(message.first_named(tail)),
        other => panic!("unknown key {other:?}"),
    }
}

fn name(text: &str) -> sip::Name {
    sip::Name::from_bytes(text.as_bytes())
}

fn address_fact(address: &NameAddr<'_>, key: &str) -> String {
    match key.split_once('.').unwrap_or((key, "")) {
        ("display", _) => address.display_text().escape_default().to_string(),
        ("tag", _) => optional(address.tag()),
        ("param", name) => optional(address.params.get(name)),
        ("uri", "") => text(address.uri),
        ("uri", key) => outcome(address.uri().map(|uri| uri_fact(&uri, key))),
        other => panic!("unknown key {other:?}"),
    }
}

fn uri_fact(uri: &Uri<'_>, key: &str) -> String {
    match key.split_once('.').unwrap_or((key, "")) {
        ("scheme", _) => format!("{:?}", uri.scheme),
        ("user", _) => uri.user_unescaped().map_or("-".into(), |user| text(&user)),
        ("host", _) => text(uri.host),
        ("port", _) => uri.port.map_or("-".into(), |port| port.to_string()),
        ("headers", _) => text(uri.headers),
        ("header", raw) => uri.header(name(raw)).map_or("-".into(), |value| text(&value)),
        ("ip", _) => uri.ip().map_or("-".into(), |ip| ip.to_string()),
        ("param", name) => optional(uri.params.get(name)),
        other => panic!("unknown key {other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn optional(bytes: Option<&[u8]>) -> String {
    bytes.map_or("-".into(), text)
}

fn number<T: std::fmt::Display>(number: Option<T>) -> String {
    number.map_or("-".into(), |number| number.to_string())
}

fn outcome(result: Result<String, DecodeError>) -> String {
    result.unwrap_or_else(|error| error.to_string())
}

/// The frames of a stream, which must not depend on how it was cut.
fn frames(bytes: &[u8]) -> String {
    let read = |size: usize| {
        let (mut framer, mut seen) = (Framer::new(), Vec::new());
        for piece in bytes.chunks(size) {
            framer.push(piece);
            seen.extend(framer.by_ref().map(|frame| match frame {
                Ok(Frame::Ping) => "ping".into(),
                Ok(Frame::Pong) => "pong".into(),
                Ok(Frame::Message(bytes)) => match Message::decode(&bytes, Framing::Stream) {
                    Ok(message) => {
                        assert_eq!(message.bytes().len(), bytes.len());
                        format!("{}+{}", message.method(), message.body().len())
                    }
                    Err(error) => format!("({error})"),
                },
                Err(broken) => format!("broken: {}", broken.error),
            }));
        }
        seen.join(", ")
    };
    let whole = read(bytes.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(size), whole, "in pieces of {size}");
    }
    whole
}
