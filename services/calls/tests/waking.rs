//! Sleeping phones: pushes, both ways to answer them, and how the others are told.

mod rig;

use std::time::Duration;

use rig::*;
use serde_json::json;

const REPLY: u16 = 5;
const OFFER: u16 = 4;

/// Alice calls Dave, whose two phones sleep; gives the call id and both reply tokens.
fn wake(rig: &mut Rig) -> (String, String, String) {
    rig.from(ALICE, &invite("dave"));
    let wakes = rig.heard("wake");
    assert_eq!(wakes.len(), 2, "one push per device");
    assert_eq!(wakes[0]["call_id"], wakes[1]["call_id"]);
    assert_ne!(wakes[0]["token"], wakes[1]["token"]);
    assert_eq!(wakes[0]["name"], "Alice");
    let to_alice = rig.seen(ALICE);
    assert!(to_alice[0].starts_with("SIP/2.0 180") && to_alice[0].contains("waking"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&wakes[0]["call_id"]), text(&wakes[0]["token"]), text(&wakes[1]["token"]))
}

#[test]
fn a_phone_that_registers_gets_the_held_invite() {
    let mut rig = Rig::new();
    let (call_id, ..) = wake(&mut rig);
    rig.registers("dave-one");
    rig.registers("dave-two");
    let (first, second) = (rig.seen(BOB).remove(0), rig.seen(CAROL).remove(0));
    assert_eq!(header(&first, "Call-ID"), call_id);
    assert_eq!(header(&second, "Call-ID"), call_id, "one fork");
    assert_eq!(header(&first, "From"), header(&second, "From"));
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    rig.from(CAROL, &answer(&second, "180 Ringing", ""));
    rig.from(BOB, &answer(&first, "200 OK", &sdp(5_000)));
    assert!(rig.seen(ALICE).iter().any(|text| text.starts_with("SIP/2.0 200")));
    let to_carol = rig.seen(CAROL);
    assert!(to_carol[0].starts_with("CANCEL") && to_carol[0].contains("completed elsewhere"));
    assert_eq!(rig.heard("over"), [json!("AnsweredElsewhere")]);
    // Registering once more does not ring again.
    rig.registers("dave-two");
    assert!(rig.seen(CAROL).is_empty());
}

#[test]
fn an_accept_without_a_description_waits_for_the_phone() {
    let mut rig = Rig::new();
    let (call_id, one, two) = wake(&mut rig);
    let (status, offer) = rig.ask(OFFER, &call_id, &one, "");
    assert_eq!(status, 200);
    assert!(offer["sdp"].as_str().unwrap().contains("m=audio 20"));
    assert_eq!(rig.ask(REPLY, &call_id, "wrong", r#"{"action":"accept"}"#).0, 401);
    assert_eq!(rig.ask(REPLY, &call_id, &one, "nonsense").0, 400);
    let (status, answer_) = rig.ask(REPLY, &call_id, &one, r#"{"action":"accept"}"#);
    assert_eq!((status, &answer_["state"]), (200, &json!("connecting")));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 183"));
    // The other phone has lost, even if it comes first.
    rig.registers("dave-two");
    assert!(rig.seen(CAROL).is_empty());
    let late = rig.ask(REPLY, &call_id, &two, r#"{"action":"accept"}"#);
    assert!(matches!(late.0, 200 | 409), "{late:?}");
    rig.registers("dave-one");
    let at_phone = rig.seen(BOB).remove(0);
    rig.from(BOB, &answer(&at_phone, "200 OK", &sdp(5_000)));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 200"));
}

#[test]
fn an_accepted_phone_that_never_comes_is_480() {
    let mut rig = Rig::new();
    let (call_id, one, _) = wake(&mut rig);
    rig.ask(REPLY, &call_id, &one, r#"{"action":"accept"}"#);
    rig.seen(ALICE);
    rig.wait(Duration::from_secs(9));
    assert!(rig.seen(ALICE).is_empty());
    rig.wait(Duration::from_secs(2));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 480"));
}

#[test]
fn an_accept_with_a_description_answers_at_once() {
    let mut rig = Rig::new();
    let (call_id, one, _) = wake(&mut rig);
    let body = json!({ "action": "accept", "sdp": sdp(6_000).replace('\n', "\r\n") }).to_string();
    let (status, told) = rig.ask(REPLY, &call_id, &one, &body);
    assert_eq!((status, &told["state"]), (200, &json!("talking")));
    let ok = rig.seen(ALICE).remove(0);
    assert!(ok.starts_with("SIP/2.0 200") && ok.contains("m=audio 20"));
    rig.from(ALICE, &in_dialog("ACK", &ok, 1, "a2"));
    // The phone registers and gets the INVITE that it knows already; the caller hears nothing of it.
    rig.registers("dave-one");
    let at_phone = rig.seen(BOB).remove(0);
    assert_eq!(header(&at_phone, "Call-ID"), call_id);
    rig.from(BOB, &answer(&at_phone, "200 OK", &sdp(6_000)));
    assert!(rig.seen(BOB)[0].starts_with("ACK"));
    assert!(rig.seen(ALICE).is_empty());
    rig.from(ALICE, &in_dialog("BYE", &ok, 2, "a3"));
    assert!(rig.seen(BOB)[0].starts_with("BYE"));
}

#[test]
fn decline_busy_and_text_reach_the_caller() {
    for (body, status) in [
        (r#"{"action":"decline"}"#, "SIP/2.0 603"),
        (r#"{"action":"busy"}"#, "SIP/2.0 486"),
        (r#"{"action":"text","text":"In a meeting"}"#, "SIP/2.0 603"),
    ] {
        let mut rig = Rig::new();
        let (call_id, one, _) = wake(&mut rig);
        assert_eq!(rig.ask(REPLY, &call_id, &one, body).0, 200);
        let to_alice = rig.seen(ALICE);
        assert!(to_alice[0].starts_with(status), "{to_alice:?}");
        assert_eq!(to_alice[0].contains("In a meeting"), body.contains("text"));
        assert_eq!(rig.heard("over"), [json!("Cancelled")]);
    }
}

#[test]
fn a_caller_who_gives_up_stops_the_pushes() {
    let mut rig = Rig::new();
    let (call_id, one, _) = wake(&mut rig);
    let cancel = invite("dave").split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    rig.from(ALICE, &format!("{cancel}Content-Length: 0\n\n"));
    assert_eq!(rig.heard("over"), [json!("Cancelled")]);
    rig.registers("dave-one");
    assert!(rig.seen(BOB).is_empty(), "a late REGISTER gets nothing");
    assert_eq!(rig.ask(REPLY, &call_id, &one, r#"{"action":"accept"}"#).0, 401);
    rig.wait(Duration::from_secs(120));
    assert_eq!((rig.gauge("sessions"), rig.gauge("legs"), rig.gauge("ports_left")), (0, 0, 50));
}

/// An open socket has a page behind it, so no push is lost on it; where nobody is behind it after all, the push goes out.
#[test]
fn an_open_page_rings_by_itself_and_is_woken_when_its_way_fails() {
    let mut rig = Rig::new();
    rig.binds_browser("dave", &format!("{BOB}+dave-one"));
    rig.from(ALICE, &invite("dave"));
    let tokens = |rig: &mut Rig| -> Vec<serde_json::Value> {
        rig.heard("wake").into_iter().map(|wake| wake["prid"].clone()).collect()
    };
    assert_eq!(tokens(&mut rig), ["dave-two"], "the phone sleeps, the page does not");
    let at_page = rig.seen(BOB).remove(0);
    assert!(at_page.starts_with("INVITE"), "{at_page}");
    rig.from(BOB, &answer(&at_page, "430 Flow Failed", ""));
    assert_eq!(tokens(&mut rig), ["dave-one"]);
    assert!(rig.seen(ALICE).iter().all(|text| text.starts_with("SIP/2.0 1")), "it goes on ringing");
    // The page is back, by the same contact.
    rig.seen(BOB);
    rig.binds_browser("dave", &format!("{BOB}+dave-one"));
    let again = rig.seen(BOB).remove(0);
    assert_eq!(header(&again, "Call-ID"), header(&at_page, "Call-ID"), "one call");
    rig.from(BOB, &answer(&again, "603 Decline", ""));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 603"));
    assert_eq!(rig.heard("over"), [json!("Cancelled")]);
}

#[test]
fn dead_tokens_are_480_at_once() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("eve"));
    let to_alice = rig.seen(ALICE);
    let last = to_alice.last().unwrap();
    assert!(last.starts_with("SIP/2.0 480") && last.contains("calls.nobody_reachable"), "{last}");
}

#[test]
fn phones_that_sleep_on_are_480_when_the_wait_is_over() {
    let mut rig = Rig::new();
    wake(&mut rig);
    rig.wait(Duration::from_secs(19));
    assert!(rig.seen(ALICE).is_empty());
    rig.wait(Duration::from_secs(2));
    assert!(rig.seen(ALICE)[0].starts_with("SIP/2.0 480"));
    assert_eq!(rig.heard("over"), [json!("Missed")]);
}

#[test]
fn a_call_answered_by_reply_whose_phone_never_comes_ends() {
    let mut rig = Rig::new();
    let (call_id, one, _) = wake(&mut rig);
    let body = json!({ "action": "accept", "sdp": sdp(6_000).replace('\n', "\r\n") }).to_string();
    assert_eq!(rig.ask(REPLY, &call_id, &one, &body).0, 200);
    let ok = rig.seen(ALICE).remove(0);
    rig.from(ALICE, &in_dialog("ACK", &ok, 1, "a2"));
    rig.wait(Duration::from(calls::AHEAD_MAX) - Duration::from_secs(1));
    assert!(rig.seen(ALICE).is_empty());
    rig.others.clear();
    rig.wait(Duration::from_secs(2));
    let bye = rig.seen(ALICE).remove(0);
    assert!(bye.starts_with("BYE"), "{bye}");
    rig.from(ALICE, &answer(&bye, "200 OK", ""));
    let record = rig.others.iter().find_map(|output| match output {
        switchboard::Output::Save { entry, .. } if entry.last => {
            Some(String::from_utf8_lossy(&entry.body).into_owned())
        }
        _ => None,
    });
    let record = record.expect("its record");
    assert!(record.contains("calls.phone_never_came") && record.contains("server"), "{record}");
    rig.wait(Duration::from_secs(120));
    assert_eq!((rig.gauge("sessions"), rig.gauge("legs"), rig.gauge("ports_left")), (0, 0, 50));
}
