//! Runs the tables in `tests/wire`: a message, and what must be read out of it.
//!
//! A case is `== name`, then lines of the message behind `> ` (each ends in CR LF) or `>- ` (does
//! not), then lines `key = value`. In a message, `\r \n \t \\ \xNN` are octets and `\{text*300}` is
//! a repetition. In values, octets beyond ASCII appear escaped the way Rust does it.

use std::fmt::Write as _;

use sip::stream::{Frame, Framer};
use sip::{Contact, DecodeError, Framing, Message, NameAddr, Start, Uri};

#[test]
fn every_case_reads_as_its_table_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut faults) = (0, String::new());
    for file in files {
        for case in read_cases(&std::fs::read_to_string(&file).unwrap()) {
            cases += 1;
            for (key, expected) in &case.expected {
                let found = fact(&case.bytes, key);
                if found != *expected {
                    let name = file.file_name().unwrap().to_string_lossy();
                    let case = &case.name;
                    let _ = writeln!(faults, "{name}, {case}: {key} = {found}, not {expected}");
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(cases > 60, "only {cases} cases were found");
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: Vec<(String, String)>,
}

fn read_cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.into(), bytes: Vec::new(), expected: Vec::new() });
        } else if let Some(line) = line.strip_prefix(">-") {
            let bytes = octets(line.strip_prefix(' ').unwrap_or(line));
            cases.last_mut().unwrap().bytes.extend(bytes);
        } else if let Some(line) = line.strip_prefix('>') {
            let bytes = octets(line.strip_prefix(' ').unwrap_or(line));
            cases.last_mut().unwrap().bytes.extend([&bytes[..], b"\r\n"].concat());
        } else if let Some((key, value)) = line.split_once(" =") {
            let pair = (key.trim().to_string(), value.trim().to_string());
            cases.last_mut().unwrap().expected.push(pair);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "cannot read {line:?}");
        }
    }
    cases
}

fn octets(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend(before.bytes());
        let (escape, after) = after.split_at(1);
        rest = after;
        match escape {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "\\" => out.push(b'\\'),
            "x" => {
                let (digits, after) = after.split_at(2);
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            "{" => {
                let (repeat, after) = after.split_once('}').unwrap();
                let (text, count) = repeat.rsplit_once('*').unwrap();
                let text = text.replace("\\r", "\r").replace("\\n", "\n");
                out.extend(text.repeat(count.parse().unwrap()).bytes());
                rest = after;
            }
            other => panic!("unknown escape {other:?} in {line:?}"),
        }
    }
    out.extend(rest.bytes());
    out
}

/// What the crate reads for one key, as text; `-` for nothing there, the error's words for an
/// error.
fn fact(bytes: &[u8], key: &str) -> String {
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
