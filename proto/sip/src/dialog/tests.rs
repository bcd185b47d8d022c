use types::{Rng, tagged};

use super::*;
use crate::Framing;

const VIA: &[u8] = b"SIP/2.0/UDP us.example;branch=z9hG4bKnext";

fn message(text: &str) -> Message<'_> {
    Message::decode(text.as_bytes(), Framing::Datagram).unwrap()
}

fn invite(extra: &str) -> String {
    format!(
        "INVITE sip:bob@us.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP p2.example;branch=z9hG4bKa\r\n\
         {extra}\
         From: \"Alice\" <sip:alice@there.example>;tag=alice7\r\n\
         To: Bob <sip:bob@us.example>\r\n\
         Call-ID: a84b4c76e66710@there.example\r\n\
         CSeq: 314159 INVITE\r\n\
         Contact: <sip:alice@192.0.2.7:5062;transport=udp>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn response(status: u16, extra: &str) -> String {
    format!(
        "SIP/2.0 {status} Whatever\r\n\
         Via: SIP/2.0/UDP us.example;branch=z9hG4bKa\r\n\
         {extra}\
         From: <sip:bob@us.example>;tag=ours\r\n\
         To: <sip:alice@there.example>;tag=alice7\r\n\
         Call-ID: 17@us.example\r\n\
         CSeq: 40 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn within(method: &str, cseq: &str, tags: (&str, &str)) -> String {
    format!(
        "{method} sip:bob@us.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP p2.example;branch=z9hG4bKb\r\n\
         From: <sip:alice@there.example>;tag={}\r\n\
         To: <sip:bob@us.example>;tag={}\r\n\
         Call-ID: a84b4c76e66710@there.example\r\n\
         CSeq: {cseq} {method}\r\n\
         Contact: <sip:alice@192.0.2.99?Route=evil>\r\n\
         Content-Length: 0\r\n\r\n",
        tags.0, tags.1
    )
}

fn uas(extra: &str) -> Dialog {
    Dialog::uas(&message(&invite(extra)), b"ours").unwrap()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_called_dialog_writes_its_requests_through_its_routes() {
    let mut dialog = uas(
        "Record-Route: <sip:p2.example;lr>\r\nRecord-Route: \"P, 1\" <sip:p1.example;lr>;x=y\r\n",
    );
    assert_eq!(dialog.next_hop(), b"sip:p2.example;lr");
    let bye = written(|out| dialog.request(Method::Bye, out, VIA).end());
    assert_eq!(
        bye,
        "BYE sip:alice@192.0.2.7:5062;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP us.example;branch=z9hG4bKnext\r\n\
         Route: <sip:p2.example;lr>\r\n\
         Route: \"P, 1\" <sip:p1.example;lr>;x=y\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:bob@us.example>;tag=ours\r\n\
         To: <sip:alice@there.example>;tag=alice7\r\n\
         Call-ID: a84b4c76e66710@there.example\r\n\
         CSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_calling_dialog_turns_its_routes_round() {
    let answer = response(
        200,
        "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\nContact: <sip:alice@192.0.2.7>\r\n",
    );
    let dialog = Dialog::uac(&message(&answer), b"ours").unwrap();
    assert!(dialog.matches(&message(&answer)));
    let ack = written(|out| dialog.ack(40, out, VIA).end());
    assert_eq!(
        ack,
        "ACK sip:alice@192.0.2.7 SIP/2.0\r\n\
         Via: SIP/2.0/UDP us.example;branch=z9hG4bKnext\r\n\
         Route: <sip:p1.example;lr>\r\n\
         Route: <sip:p2.example;lr>\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:bob@us.example>;tag=ours\r\n\
         To: <sip:alice@there.example>;tag=alice7\r\n\
         Call-ID: 17@us.example\r\n\
         CSeq: 40 ACK\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!((dialog.local_cseq(), dialog.remote_cseq(), dialog.is_secure()), (40, None, false));
}

#[test]
fn a_strict_router_gets_the_request_for_itself() {
    let mut dialog = uas("Record-Route: <sip:strict.example>, <sip:p1.example;lr>\r\n");
    let info = written(|out| dialog.request(Method::Info, out, VIA).end());
    assert!(info.starts_with("INFO sip:strict.example SIP/2.0\r\n"), "{info}");
    let routes: Vec<_> = info.lines().filter(|line| line.starts_with("Route")).collect();
    assert_eq!(
        routes,
        ["Route: <sip:p1.example;lr>", "Route: <sip:alice@192.0.2.7:5062;transport=udp>"]
    );
    assert_eq!(dialog.next_hop(), b"sip:strict.example");
}

#[test]
fn an_early_dialog_is_confirmed_with_new_routes() {
    let early = response(183, "Record-Route: <sip:p1.example;lr>\r\n");
    let mut dialog = Dialog::uac(&message(&early), b"ours").unwrap();
    assert_eq!(dialog.target(), b"sip:alice@there.example");
    let answer =
        response(200, "Record-Route: <sip:p9.example;lr>\r\nContact: <sip:alice@192.0.2.9>\r\n");
    dialog.confirm(&message(&answer)).unwrap();
    assert_eq!(dialog.target(), b"sip:alice@192.0.2.9");
    assert_eq!(dialog.next_hop(), b"sip:p9.example;lr");
    let before = dialog.clone();
    let bad = response(200, "Record-Route: nonsense\r\n");
    assert!(dialog.confirm(&message(&bad)).is_err());
    assert_eq!(dialog, before);
}

#[test]
fn requests_of_the_peer_are_judged() {
    let mut dialog = uas("");
    let ours = ("alice7", "ours");
    let dash = Err(Verdict::OutOfOrder);
    for (method, cseq, tags, expected) in [
        ("BYE", "314160", ("alice7", "guessed"), Err(Verdict::NoDialog)),
        ("BYE", "314160", ("guessed", "ours"), Err(Verdict::NoDialog)),
        ("ACK", "314159", ours, Ok(())),
        ("ACK", "314160", ours, dash),
        ("INFO", "x", ours, Err(Verdict::Malformed)),
        ("INFO", "314158", ours, dash),
        ("INFO", "314159", ours, dash),
        ("INFO", "314161", ours, Ok(())),
        ("INFO", "314161", ours, dash),
        ("INFO", "314160", ours, dash),
        ("ACK", "314159", ours, Ok(())),
        ("BYE", "2147483647", ours, Ok(())),
    ] {
        let text = within(method, cseq, tags);
        assert_eq!(dialog.accept(&message(&text)), expected, "{method} {cseq}");
    }
    let other = within("BYE", "1", ours).replace("a84b4c76e66710", "another");
    assert_eq!(dialog.accept(&message(&other)).unwrap_err().status(), 481);
}

#[test]
fn the_target_follows_the_peer_without_its_escaped_headers() {
    let mut dialog = uas("");
    let update = within("UPDATE", "314160", ("alice7", "ours"));
    assert!(dialog.refresh_target(&message(&update)));
    assert_eq!(dialog.target(), b"sip:alice@192.0.2.99");
    assert!(!dialog.refresh_target(&message(&update)));
    for bad in ["*", "<tel:+15550100>", "<sip:>", "nonsense"] {
        let update = update.replace("<sip:alice@192.0.2.99?Route=evil>", bad);
        assert!(!dialog.refresh_target(&message(&update)), "{bad}");
    }
    assert_eq!(dialog.target(), b"sip:alice@192.0.2.99");
}

#[test]
fn what_makes_no_dialog_is_refused() {
    let many = format!("Record-Route: {}<sip:p;lr>\r\n", "<sip:p;lr>,".repeat(ROUTES_MAX));
    let wide = format!("Record-Route: <sip:{}.example;lr>\r\n", "p".repeat(4_000)).repeat(3);
    for text in [
        invite("").replace("Contact: <sip:", "X: <sip:"),
        invite("").replace("Contact: <sip:", "Contact: <tel:"),
        invite("").replace("bob@us.example>\r\nCall", "bob@us.example>;tag=guessed\r\nCall"),
        invite("").replace("314159", "-1"),
        invite("").replace("Call-ID", "X"),
        invite("Record-Route: <http://p1.example>\r\n"),
        invite("Record-Route: <sip:\r\n"),
        invite(&many),
        invite(&wide),
    ] {
        assert!(Dialog::uas(&message(&text), b"ours").is_err(), "{text}");
    }
    let good = response(200, "Contact: <sip:alice@192.0.2.7>\r\n");
    assert!(Dialog::uac(&message(&good), b"other").is_err());
    assert!(Dialog::uac(&message(&good.replace(";tag=alice7", "")), b"ours").is_err());
    assert!(Dialog::uac(&message(&invite("")), b"alice7").is_err());
}

#[test]
fn an_old_peer_without_a_tag_has_a_dialog() {
    let text = invite("").replace(";tag=alice7", "");
    let mut dialog = Dialog::uas(&message(&text), b"ours").unwrap();
    let bye = written(|out| dialog.request(Method::Bye, out, VIA).end());
    assert!(bye.contains("\r\nTo: <sip:alice@there.example>\r\n"), "{bye}");
    let theirs = within("BYE", "314160", ("x", "ours")).replace(";tag=x", "");
    assert_eq!(dialog.accept(&message(&theirs)), Ok(()));
}

#[test]
fn a_sips_request_makes_a_secure_dialog() {
    let text = invite("").replace("INVITE sip:", "INVITE sips:");
    assert!(Dialog::uas(&message(&text), b"ours").unwrap().is_secure());
    let answer = response(200, "Contact: <sips:alice@192.0.2.7>\r\n");
    assert!(Dialog::uac(&message(&answer), b"ours").unwrap().is_secure());
}

fn saved(dialog: &Dialog) -> Vec<u8> {
    let mut out = tagged::Writer::new();
    dialog.encode(&mut out);
    out.finish()
}

#[test]
fn numbers_never_repeat_across_a_restart() {
    let mut dialog = uas("Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n");
    let mut disk = saved(&dialog);
    let mut used = std::collections::BTreeSet::new();
    let mut saves = 0;
    for turn in 0..200 {
        if dialog.reserve() {
            disk = saved(&dialog);
            saves += 1;
        }
        dialog.request(Method::Info, &mut Vec::new(), VIA).end();
        assert!(used.insert(dialog.local_cseq()), "{turn}: {} again", dialog.local_cseq());
        if turn % 50 == 49 {
            dialog = Dialog::decode(tagged::Reader::new(&disk)).unwrap();
        }
    }
    assert!(saves <= 12, "{saves} saves");
}

#[test]
fn the_saved_form_is_read_by_neighbouring_versions() {
    let mut dialog = uas("Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n");
    dialog.local_cseq = dialog.reserved_cseq;
    let wire = saved(&dialog);
    assert_eq!(Dialog::decode(tagged::Reader::new(&wire)), Some(dialog.clone()));
    let mut newer = tagged::Writer::onto(wire.clone());
    newer.text(200, "from the future");
    assert_eq!(Dialog::decode(tagged::Reader::new(&newer.finish())), Some(dialog));
    assert_eq!(Dialog::decode(tagged::Reader::new(&[])), None);
    let mut rng = Rng::from_number(12);
    for _ in 0..2_000 {
        let mut bent = wire.clone();
        let at = rng.below(bent.len() as u64) as usize;
        bent[at] = rng.next_u64() as u8;
        bent.truncate(rng.below(bent.len() as u64 + 1) as usize);
        let _ = Dialog::decode(tagged::Reader::new(&bent));
    }
}

#[test]
fn a_dialog_is_small() {
    let dialog = uas("Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n");
    assert!(dialog.bytes() <= 600, "{} octets", dialog.bytes());
}

#[test]
fn hostile_messages_never_panic() {
    let mut rng = Rng::from_number(3261);
    let seeds = [
        invite("Record-Route: <sip:p2.example;lr>, <sip:strict.example>\r\n"),
        response(200, "Record-Route: <sip:p2.example>\r\nContact: <sip:alice@192.0.2.7>\r\n"),
        within("UPDATE", "314160", ("alice7", "ours")),
    ];
    for turn in 0..20_000 {
        let mut bytes = seeds[turn % seeds.len()].clone().into_bytes();
        for _ in 0..=rng.below(5) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes.insert(at, b"<>;?@:,\""[rng.below(8) as usize]),
                _ => drop(bytes.remove(at)),
            }
        }
        let Ok(read) = Message::decode(&bytes, Framing::Datagram) else { continue };
        let mut known = uas("");
        let _ = known.accept(&read);
        known.refresh_target(&read);
        let _ = known.confirm(&read);
        let made = [Dialog::uas(&read, b"ours"), Dialog::uac(&read, b"ours")];
        for mut dialog in made.into_iter().flatten().chain([known]) {
            assert!(dialog.bytes() <= DIALOG_BYTES_MAX);
            let mut out = Vec::new();
            dialog.request(Method::Bye, &mut out, VIA).end();
            assert!(Message::decode(&out, Framing::Datagram).is_ok(), "{}", out.escape_ascii());
        }
    }
}
