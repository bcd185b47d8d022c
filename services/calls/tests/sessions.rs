//! Session timers, questions to phones that know none, and what is left after a restart (RFC 4028).

mod rig;

use std::time::Duration;

use rig::phones::*;
use rig::*;
use switchboard::{Input, Output};

const TIMER: &str = "Supported: timer\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE\n";

/// RFC 4028 §9: the answer names the interval and who refreshes.
#[test]
fn a_caller_who_knows_session_timers_refreshes_or_is_given_up() {
    let mut rig = Rig::new();
    let offered = format!("{TIMER}Session-Expires: 120\n");
    let (mut alice, _, at_bob, ok) = talk_with(&mut rig, &offered, "");
    assert!(has(&ok, "Session-Expires: 120;refresher=uac") && has(&ok, "Require: timer"), "{ok}");
    assert!(has(&at_bob, "Session-Expires: 1800;refresher=uas"), "{at_bob}");
    assert!(header(&at_bob, "Supported").contains("timer"));
    rig.wait(Duration::from_secs(60));
    rig.from(ALICE, &alice.request("UPDATE", &offered, ""));
    let refreshed = rig.one(ALICE, "SIP/2.0 200");
    assert!(has(&refreshed, "Session-Expires: 120;refresher=uac"), "{refreshed}");
    rig.wait(Duration::from_secs(75));
    assert_eq!(rig.gauge("legs"), 2, "it was refreshed");
    rig.wait(Duration::from_secs(20));
    let bye = rig.one(ALICE, "BYE");
    assert!(header(&bye, "Reason").contains("Session timer expired"), "{bye}");
    let bye = rig.one(BOB, "BYE");
    rig.from(BOB, &reply(&bye, "200 OK", "bt", "", ""));
    rig.is_clean();
}

/// RFC 4028 §5, §9: what is too short gets 422 and the least that we agree to.
#[test]
fn too_short_a_session_is_422() {
    let mut rig = Rig::new();
    let short = "Supported: timer\nSession-Expires: 60\n";
    rig.from(ALICE, &invite_with("bob", short, &sdp(4_000)));
    let refused = rig.one(ALICE, "SIP/2.0 422");
    assert!(has(&refused, "Min-SE: 90"), "{refused}");
    // From a proxy, for a phone that would not understand: it stays as it is.
    let mut rig = Rig::new();
    let (_, _, _, ok) = talk_with(&mut rig, "Session-Expires: 60\n", "");
    assert!(has(&ok, "Session-Expires: 90;refresher=uas"), "{ok}");
}

/// RFC 4028 §7.4: a callee that wants longer sessions is asked again.
#[test]
fn a_callee_who_says_422_is_called_again() {
    let mut rig = Rig::new();
    rig.from(ALICE, &invite("bob"));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "422 Session Interval Too Small", "bt", "Min-SE: 7200\n", ""));
    rig.wait(Duration::from_millis(1));
    let seen = rig.seen(BOB);
    assert!(seen[0].starts_with("ACK "), "{seen:#?}");
    let again = &seen[1];
    assert!(has(again, "CSeq: 2 INVITE") && has(again, "Min-SE: 7200"), "{again}");
    assert!(has(again, "Session-Expires: 7200;refresher=uas") && again.contains("m=audio"));
    assert_eq!(header(again, "Call-ID"), header(&at_bob, "Call-ID"));
    rig.from(BOB, &reply(again, "200 OK", "bt", "", &sdp(5_000)));
    assert!(rig.one(BOB, "ACK").contains("CSeq: 2 ACK"));
    rig.one(ALICE, "SIP/2.0 200");
}

/// RFC 4028 §10: we refresh by UPDATE where the phone takes it, and a dialog that is gone ends the call.
#[test]
fn our_refresh_finds_a_phone_that_has_gone() {
    let mut rig = Rig::new();
    let (_, _, _, _) =
        talk_with(&mut rig, "", &format!("{TIMER}Session-Expires: 200;refresher=uac\n"));
    rig.seen(ALICE);
    rig.wait(Duration::from_secs(106));
    let update = rig.one(BOB, "UPDATE");
    assert!(has(&update, "Session-Expires: 200;refresher=uac"), "{update}");
    assert!(!update.contains("m=audio"), "{update}");
    let granted = format!("{TIMER}Session-Expires: 200;refresher=uac\nRequire: timer\n");
    rig.from(BOB, &reply(&update, "200 OK", "bt", &granted, ""));
    rig.wait(Duration::from_secs(106));
    let update = rig.one(BOB, "UPDATE");
    rig.from(BOB, &reply(&update, "481 Gone", "bt", "", ""));
    rig.one(BOB, "BYE");
    rig.one(ALICE, "BYE");
}

/// RFC 4028 §7.2: without UPDATE the same description is offered again by re-INVITE.
#[test]
fn a_phone_without_update_is_refreshed_by_a_re_invite() {
    let mut rig = Rig::new();
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\n";
    let (_, _, _, ok) = talk_with(&mut rig, asks, "");
    assert!(has(&ok, "Session-Expires: 200;refresher=uas"), "{ok}");
    rig.wait(Duration::from_secs(106));
    let again = rig.one(ALICE, "INVITE");
    let body = |text: &str| text.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&again), body(&ok), "the same description with the same version");
    let granted = "Supported: timer\nSession-Expires: 200;refresher=uac\n";
    rig.from(ALICE, &reply(&again, "200 OK", "at", granted, &sdp(4_000)));
    rig.one(ALICE, "ACK");
    assert!(rig.seen(BOB).iter().all(|text| !text.starts_with("INVITE")), "Bob hears nothing");
    rig.wait(Duration::from_secs(106));
    rig.one(ALICE, "INVITE");
}

/// Phones that know no session timers are asked with OPTIONS; only 481 and silence end a call.
#[test]
fn phones_without_session_timers_are_asked() {
    let settings =
        calls::Config { session_expires: types::Seconds(100), ..calls::Config::default() };
    let mut rig = Rig::of(1, settings);
    talk_with(&mut rig, "", "");
    rig.wait(Duration::from_secs(56));
    for who in [ALICE, BOB] {
        let options = rig.one(who, "OPTIONS");
        rig.from(who, &reply(&options, "405 No", "x", "", ""));
    }
    rig.wait(Duration::from_secs(56));
    let options = rig.one(ALICE, "OPTIONS");
    rig.from(ALICE, &reply(&options, "200 OK", "x", "", ""));
    rig.one(BOB, "OPTIONS");
    // Bob's phone has no power any more.
    rig.wait(Duration::from_secs(33));
    rig.one(ALICE, "BYE");
    rig.seen(BOB);
}

/// Calls whose end a power cut took away come back, and are found within a minute.
#[test]
fn after_a_restart_the_dead_are_found() {
    let mut rig = Rig::new();
    let offered = format!("{TIMER}Session-Expires: 1000\n");
    let (mut alice, _, _, _) = talk_with(&mut rig, &offered, "");
    let mut saved = rig.others.iter().filter_map(|output| match output {
        Output::Save { entry, .. } => Some(entry.clone()),
        _ => None,
    });
    let entry = saved.next_back().unwrap();
    let restart = |entry: switchboard::store::Entry| {
        let mut next = Rig::new();
        next.handle(Input::Adopt(entry));
        next.handle(Input::Begin);
        next.wait(Duration::from_secs(25));
        next
    };
    let mut next = restart(entry.clone());
    let options = next.one(BOB, "OPTIONS");
    next.from(BOB, &reply(&options, "200 OK", "x", "", ""));
    // The 200 for Alice may never have arrived: it is said again first.
    next.wait(Duration::from_secs(18));
    let options = next.one(ALICE, "OPTIONS");
    next.from(ALICE, &reply(&options, "200 OK", "x", "", ""));
    // The deadline was kept: Alice must still refresh.
    next.from(ALICE, &alice.request("UPDATE", &offered, ""));
    let refreshed = next.one(ALICE, "SIP/2.0 200");
    assert!(has(&refreshed, "Session-Expires: 1000;refresher=uac"), "{refreshed}");
    next.wait(Duration::from_secs(980));
    next.one(ALICE, "BYE");
    let mut next = restart(entry);
    let options = next.one(BOB, "OPTIONS");
    next.from(BOB, &reply(&options, "481 Gone", "x", "", ""));
    // A BYE does not overtake the 200.
    next.wait(Duration::from_secs(10));
    next.one(ALICE, "BYE");
}
