//! Messages from outside the project, which `cargo xtask ci` names in `CARILLON_OUTSIDE_DATA` where
//! it has them. What the project needs itself stands in `tests/wire`, written by us.

mod facts;

use std::fmt::Write as _;
use std::path::Path;

use facts::fact;
use sip::{Framing, Message};

const FOLDER: &str = "CARILLON_OUTSIDE_DATA";

/// Spec: RFC 4475, RFC 5118
#[test]
fn outside_data_reads_as_its_tables_say() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        println!("{FOLDER} names no folder, so nothing from outside was read");
        return;
    };
    let (mut count, mut faults) = (0, String::new());
    for corpus in ["rfc4475", "rfc5118"] {
        let corpus = Path::new(&folder).join(corpus);
        let table = std::fs::read_to_string(corpus.join("index.tsv")).unwrap();
        let mut lines = table.lines();
        let columns: Vec<_> = lines.next().unwrap().split('\t').collect();
        for line in lines.filter(|line| !line.is_empty()) {
            let cells: Vec<_> = line.split('\t').collect();
            let cell = |name| cells[columns.iter().position(|column| *column == name).unwrap()];
            let (file, parse, ok) = (cell("file"), cell("parse"), cell("ok"));
            let bytes = std::fs::read(corpus.join(file)).unwrap();
            count += 1;
            if let Err(why) = judge(&bytes, cell("kind"), parse, ok) {
                let _ = writeln!(faults, "{file} ({}): {why}", cell("section"));
            }
            for (_, key, expected) in FACTS.iter().filter(|(of, ..)| *of == file) {
                let found = fact(&bytes, key);
                if found != *expected {
                    let _ = writeln!(faults, "{file}: {key} = {found}, not {expected}");
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(count > 60, "only {count} messages were found");
}

/// Whether the message is read or refused as the table says, and refused with a status that it
/// allows.
fn judge(bytes: &[u8], kind: &str, parse: &str, ok: &str) -> Result<(), String> {
    let verdict = Message::decode(bytes, Framing::Datagram).and_then(|message| {
        message.check()?;
        Ok(message)
    });
    match (parse, verdict) {
        ("accept" | "either", Ok(_)) => Ok(()),
        ("accept", Err(why)) => Err(format!("refused: {why}")),
        ("reject", Ok(_)) => Err("accepted".into()),
        ("reject" | "either", Err(why)) if kind == "resp" || permits(ok, why.status()) => Ok(()),
        ("reject" | "either", Err(why)) => Err(format!("refused with {}: {why}", why.status())),
        (other, _) => panic!("unknown word {other:?} in the table"),
    }
}

/// Whether a list of answers holds this one: `400,4xx`, or behind a `!` those that are wrong.
fn permits(ok: &str, status: u16) -> bool {
    let (wrong, list) = ok.strip_prefix('!').map_or((false, ok), |list| (true, list));
    let status = status.to_string();
    let named = list.split(',').any(|word| {
        // A word with a question mark is tolerated.
        let (word, tolerated) = word.strip_suffix('?').map_or((word, false), |word| (word, true));
        let class = word.strip_suffix("xx").is_some_and(|class| status.starts_with(class));
        (word == status || class) && !(tolerated && wrong)
    });
    named != wrong
}

/// What else a table says in words: file, key, value.
const FACTS: &[(&str, &str, &str)] = &[
    ("wsinv.dat", "first.Subject", ""),
    ("wsinv.dat", "other.unknownheaderwithunusualvalue", ";;,,;;,;"),
    ("wsinv.dat", "via.branch", "390skdjuw"),
    ("wsinv.dat", "via.unique", "-"),
    ("wsinv.dat", "max-forwards", "68"),
    ("intmeth.dat", "headers", "8"),
    ("esc01.dat", "to.uri.user", "user"),
    ("esc01.dat", "contact.uri.param.name", "v%61lue%25%34%31"),
    ("esc01.dat", "request-uri.host", "example.net"),
    ("escnull.dat", "to.uri.user", "null-\\x00-null"),
    ("escnull.dat", "contacts", "sip:%00@host5.example.com | sip:%00%00@host5.example.com"),
    ("esc02.dat", "method", "RE%47IST%45R"),
    ("esc02.dat", "contacts", "sip:alias1@host1.example.com | sip:alias3@host3.example.com"),
    ("lwsdisp.dat", "from.display", "caller"),
    ("dblreq.dat", "call-id", "dblreq.0ha0isndaksdj99sdfafnl3lk233412"),
    ("dblreq.dat", "body", ""),
    ("semiuri.dat", "request-uri.user", "user;par=u@example.net"),
    ("semiuri.dat", "request-uri.host", "example.com"),
    ("mpart01.dat", "via.rport", "true None"),
    ("mpart01.dat", "via.port", "5070"),
    ("noreason.dat", "reason", ""),
    ("escruri.dat", "first.Route", "-"),
    ("badbranch.dat", "via.unique", "-"),
    ("unkscm.dat", "request-uri.scheme", "Other"),
    ("novelsc.dat", "request-uri.scheme", "Other"),
    ("cparam01.dat", "contact.uri", "sip:+19725552222@gw1.example.net"),
    ("cparam02.dat", "contact.uri", "sip:+19725552222@gw1.example.net;unknownparam"),
    ("regescrt.dat", "contact.uri.header.Route", "<sip:sip.example.com>"),
    ("regescrt.dat", "first.Route", "-"),
    ("sdp01.dat", "accepts.application/sdp", "Some(false)"),
    ("inv2543.dat", "from.tag", "-"),
    ("port-ambiguous.dat", "request-uri.port", "-"),
    ("port-unambiguous.dat", "request-uri.port", "5070"),
    ("via-received-param-with-delim.dat", "via.received", "2001:db8::9:255"),
    ("via-received-param-no-delim.dat", "via.received", "2001:db8::9:255"),
    ("ipv4-mapped-ipv6.dat", "via.ip", "192.0.2.10"),
    ("ipv4-mapped-ipv6.dat", "contact.uri.ip", "192.0.2.2"),
];
