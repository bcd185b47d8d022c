//! Ten thousand calls of a foreign generator, and datagrams that nobody should send.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::namespace::Namespace;
use support::program::{Launch, Program};
use support::raw::{Ask, Heard, Raw};
use support::server::{PASSWORD, Server};
use support::{STEP, turn, until, whole_machine};

/// Calls of the load, and how many begin in a second: what two cores with a debug build carry well.
const CALLS: u64 = 10_000;
const CALLS_A_SECOND: u64 = 300;

/// When the load is given up; a busy machine may need several times what the rate asks for.
const LOAD: Duration = Duration::from_secs(10 * CALLS / CALLS_A_SECOND);

/// Where sipp waits for calls.
const UAS: &str = "127.0.0.1:5071";

#[test]
fn ten_thousand_calls_of_sipp_all_succeed() {
    let _turn = whole_machine();
    let host = Namespace::alone();
    let mut server = Server::serve(&host, "127.0.0.1", "require_auth = false", "");
    server.make_user("2001");
    let folder = server.folder().to_owned();

    let mut uas = sipp(&host, &folder, 5071, &["-sn", "uas", &server.sip.to_string()]);
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sipp/register.xml");
    let target = server.sip.to_string();
    let login = ["-s", "2001", "-au", "2001", "-ap", PASSWORD, "-key", "uas", UAS];
    let words = [&["-sf", scenario, "-m", "1", target.as_str()][..], &login].concat();
    let registered = sipp(&host, &folder, 5072, &words).wait(STEP);
    assert!(registered.success(), "sipp could not register: {registered}");
    server.bindings("2001", 1);

    let statistics = folder.join("uac.csv");
    let (calls, rate) = (CALLS.to_string(), CALLS_A_SECOND.to_string());
    let file = statistics.to_string_lossy();
    let words = ["-sn", "uac", "-s", "2001", "-m", &calls, "-r", &rate, "-l", "2000", &target];
    let counts = ["-trace_stat", "-stf", &file, "-fd", "1"];
    let mut uac = sipp(&host, &folder, 5073, &[&words[..], &counts].concat());
    let ended = uac.wait(LOAD);
    let count = |column| counted(&statistics, column);
    println!(
        "sipp: {} of {} calls succeeded, {} retransmissions",
        count("SuccessfulCall(C)"),
        count("TotalCallCreated"),
        count("Retransmissions(C)")
    );
    assert_eq!(count("FailedCall(C)"), 0);
    assert_eq!(count("SuccessfulCall(C)"), CALLS);
    assert!(ended.success(), "sipp ended with {ended}");
    assert!(uas.poll_end().is_none(), "the called sipp ended");

    until(STEP * 2, "a record of each call", || {
        (records(&server) == CALLS.cast_signed()).then_some(())
    });
    assert_eq!(server.door.items("/v1/calls"), Vec::<Value>::new());
    server.assert_alive();
}

/// One sipp at this port of loopback.
fn sipp(host: &Namespace, folder: &Path, port: u16, words: &[&str]) -> Program {
    let port = port.to_string();
    Launch::installed("sipp")
        .words(["-i", "127.0.0.1", "-p", &port, "-nostdin"])
        .words(words.iter().copied())
        .folder(folder)
        .on(host)
        .start()
}

/// A column of the last row that sipp wrote.
#[track_caller]
fn counted(statistics: &Path, column: &str) -> u64 {
    let text = fs::read_to_string(statistics).expect("sipp writes statistics");
    let mut lines = text.lines();
    let mut names = lines.next().expect("names of columns").split(';');
    let at = names.position(|name| name == column).expect("sipp has this column");
    let last = lines.last().expect("a row of figures");
    last.split(';').nth(at).and_then(|field| field.parse().ok()).expect("a number")
}

/// Records that have reached SQL, as a person would ask.
fn records(server: &Server) -> i64 {
    let file = server.folder().join("data/carillon.sqlite");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(file, flags).expect("a database");
    database
        .query_row("select count(*) from v_calls where outcome = 'answered'", [], |row| row.get(0))
        .expect("the view that people query")
}

/// A server that wants logins, with 1001 and 1002, on loopback of a host of its own.
fn guarded() -> (Namespace, Server) {
    let host = Namespace::alone();
    let server = Server::serve(&host, "127.0.0.1", "", "");
    server.make_user("1001");
    server.make_user("1002");
    (host, server)
}

/// An INVITE of 1001.
fn invite<'a>(uri: &'a str, call_id: &'a str, body: &'a str) -> Ask<'a> {
    Ask {
        method: "INVITE",
        uri,
        from: "<sip:1001@example.com>;tag=from",
        to: "<sip:somebody@example.com>",
        call_id,
        more: "",
        body,
    }
}

#[test]
fn malformed_requests_are_told_so_or_dropped() {
    let _turn = turn();
    let (host, mut server) = guarded();
    let mut raw = Raw::new(&host, "127.0.0.1", server.sip);
    let sdp = raw.sdp();
    let good = |raw: &mut Raw, id: &str| raw.text(&invite("sip:1002@example.com", id, &sdp));
    let answerable: [(&str, &dyn Fn(String) -> String); 5] = [
        ("another method in CSeq", &|text| text.replace(" INVITE\r\nContact", " BYE\r\nContact")),
        ("a count that is no number", &|text| text.replace("CSeq: ", "CSeq: x")),
        ("a From that is no address", &|text| {
            text.replace("From: <sip:1001@", "From: <<sip 1001@")
        }),
        ("a body shorter than it says", &|text| {
            text.replace("Content-Length: ", "Content-Length: 9")
        }),
        ("an address that is none", &|text| {
            text.replace("INVITE sip:1002@example.com", "INVITE sip:@")
        }),
    ];
    for (number, (what, spoil)) in answerable.into_iter().enumerate() {
        let text = spoil(good(&mut raw, &format!("malformed-{number}")));
        raw.send(&text);
        let response = raw.hear(what, |heard| heard.status() >= 200);
        assert_eq!(response.status(), 400, "{what}: {}", response.text);
    }
    // What cannot be answered: no Via, no message at all, the longest datagram, every octet.
    raw.send("INVITE sip:1002@example.com SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n");
    raw.send("SIP/2.0 200 OK\r\n\r\n");
    raw.send([0xff; 65_507]);
    raw.send((0..=255).collect::<Vec<u8>>());
    let response =
        raw.ask_as(&invite("sip:4711@example.com", "afterwards", &sdp), "1001", PASSWORD);
    assert_eq!(response.status(), 404, "{}", response.text);
    server.assert_alive();
}

#[test]
fn a_stranger_cannot_tell_whom_we_know() {
    let _turn = turn();
    let (host, server) = guarded();
    let mut raw = Raw::new(&host, "127.0.0.1", server.sip);
    let sdp = raw.sdp();
    let mut shapes = Vec::new();
    for (number, name) in ["1002", "4711"].into_iter().enumerate() {
        let (uri, id) = (format!("sip:{name}@example.com"), format!("stranger-{number}"));
        let response = raw.ask(&invite(&uri, &id, &sdp));
        assert_eq!(response.status(), 401, "{}", response.text);
        shapes.push(shape(&response));
    }
    for (number, name) in ["1002", "4711"].into_iter().enumerate() {
        let address = format!("<sip:{name}@example.com>");
        let response = raw.ask(&Ask {
            method: "REGISTER",
            from: &format!("{address};tag=from"),
            to: &address,
            ..invite("sip:example.com", &format!("stranger-register-{number}"), "")
        });
        assert_eq!(response.status(), 401, "{}", response.text);
        shapes.push(shape(&response));
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[2], shapes[3]);
    // Who proved himself is told.
    let known = raw.ask_as(&invite("sip:4711@example.com", "known", &sdp), "1001", PASSWORD);
    assert_eq!(known.status(), 404, "{}", known.text);
    let warning = known.field("Warning").expect("a friend is told why");
    assert!(warning.contains("calls.no_such_user"), "{warning}");
}

/// A response without what must differ: names of fields in their order, and their values but for drawn ones.
fn shape(response: &Heard) -> Vec<String> {
    let drawn = ["Via", "Call-ID", "CSeq", "To", "From", "Date"];
    let line = |line: &str| match line.split_once(": ") {
        Some((name, _)) if drawn.contains(&name) => name.to_owned(),
        Some((name, value)) => match value.split_once("nonce=\"") {
            Some((before, rest)) => {
                let (nonce, after) = rest.split_once('"').expect("an ended quote");
                format!("{name}: {before}{} octets{after}", nonce.len())
            }
            None => format!("{name}: {value}"),
        },
        None => line.to_owned(),
    };
    response.text.lines().map(line).collect()
}

#[test]
fn who_guesses_passwords_is_slowed_and_the_others_are_not() {
    const GUESSES: usize = 40;
    let _turn = turn();
    let (host, mut server) = guarded();
    let mut thief = Raw::new(&host, "127.0.0.7", server.sip);
    let sdp = thief.sdp();
    let attempt = |raw: &mut Raw, number: usize, password: &str| {
        let id = format!("guess-{number}-{}", raw.own);
        raw.ask_as(&invite("sip:4711@example.com", &id, &sdp), "1001", password)
    };
    let answers: Vec<u16> =
        (0..GUESSES).map(|number| attempt(&mut thief, number, "wrong").status()).collect();
    assert_eq!(answers[0], 401, "{answers:?}");
    assert_eq!(answers[GUESSES - 1], 403, "{answers:?}");
    let late = attempt(&mut thief, GUESSES, PASSWORD);
    assert_eq!(late.status(), 403, "{}", late.text);
    assert!(late.field("Retry-After").is_some(), "{}", late.text);
    let mut friend = Raw::new(&host, "127.0.0.8", server.sip);
    let good = attempt(&mut friend, 0, PASSWORD);
    assert_eq!(good.status(), 404, "{}", good.text);
    server.assert_alive();
}

#[test]
fn nobody_is_relayed_to_a_foreign_domain() {
    let _turn = turn();
    let (host, server) = guarded();
    let mut raw = Raw::new(&host, "127.0.0.1", server.sip);
    let sdp = raw.sdp();
    let trap = host.enter(|| UdpSocket::bind("127.0.0.9:0")).expect("a free port");
    trap.set_nonblocking(true).expect("a socket can be told not to wait");
    let uri = format!("sip:victim@{}", trap.local_addr().expect("it is bound"));
    let stranger = raw.ask(&invite(&uri, "foreign-1", &sdp));
    assert!(matches!(stranger.status(), 401 | 403), "{}", stranger.text);
    let friend = raw.ask_as(&invite(&uri, "foreign-2", &sdp), "1001", PASSWORD);
    assert_eq!(friend.status(), 403, "{}", friend.text);
    let named = raw.ask_as(&invite("sip:victim@example.org", "foreign-3", &sdp), "1001", PASSWORD);
    assert_eq!(named.status(), 403, "{}", named.text);
    // The server works one datagram after the other: when it answered the last it had sent whatever it would.
    let heard = trap.recv_from(&mut [0; 65_536]);
    assert!(heard.is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock));
    assert_eq!(server.door.items("/v1/calls"), Vec::<Value>::new());
}

#[test]
fn a_storm_of_acknowledgements_is_not_answered() {
    const STORM: usize = 2_000;
    let _turn = turn();
    let (host, mut server) = guarded();
    let mut raw = Raw::new(&host, "127.0.0.1", server.sip);
    for number in 0..STORM {
        let text = raw.text(&Ask {
            method: "ACK",
            to: "<sip:1002@example.com>;tag=never",
            ..invite("sip:1002@example.com", &format!("storm-{number}"), "")
        });
        raw.send(text);
    }
    // The storm may have cost this request its place in the socket: it is said until it is answered.
    let options = raw.text(&Ask { method: "OPTIONS", ..invite("sip:example.com", "calm", "") });
    let first = until(STEP, "an answer after the storm", || {
        raw.send(&options);
        raw.hear_within(Duration::from_millis(200), |_| true)
    });
    assert_eq!((first.status(), first.method()), (200, "OPTIONS"), "{}", first.text);
    server.assert_alive();
}
