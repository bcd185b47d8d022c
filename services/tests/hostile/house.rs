//! Rooms that fail, and hours that are long.

use sip::Method;
use switchboard::record::{Frame, MAGIC, Replay};
use switchboard::{
    Attachment, Effects, Event, Input, LegPlan, Manifest, Mark, Notice, Output, REOPENS_MAX,
    Service, Session,
};
use types::SessionId;

use crate::rig::*;

/// A room that breaks when Bob is called, and answers MESSAGE.
struct Odd;

static ODD: Manifest = Manifest { name: "odd", ..Manifest::EMPTY };

impl Service for Odd {
    fn manifest(&self) -> &'static Manifest {
        &ODD
    }

    fn attach(&mut self, plan: &LegPlan<'_>, _: &mut Effects<'_>) -> Vec<Attachment> {
        assert_ne!(plan.callee, "bob", "on purpose");
        Vec::new()
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Request { request, message, .. } if message.method() == Method::Message => {
                effects.respond(*request, 200, &[]);
                true
            }
            Session::Invite { target, .. } => {
                assert_ne!(*target, "dave", "on purpose");
                false
            }
            _ => false,
        }
    }
}

fn open() -> Vec<Box<dyn Service>> {
    let mut rooms = services::open(&services::Config::default());
    rooms.insert(0, Box::new(Odd));
    rooms
}

#[test]
fn a_room_that_breaks_while_another_speaks_comes_back() {
    let mut rig = Rig::of(config(false, vec![sip::digest::Algorithm::Md5]), open);
    rig.crashes = Some(Vec::new());
    rig.all_register();
    let before = rig.shard.counters().get("switchboard.room_panicked").copied();
    assert_eq!(before, None);
    let answers = rig.say(ALICE, &invite("bob", 50).text());
    assert!(status(answers.last().unwrap()) >= 400, "{answers:?}");
    assert!(!rig.crashes.as_ref().unwrap().is_empty());
    let ask = Ask::new("MESSAGE", "alice", ALICE, 51).to("bob");
    assert_eq!(rig.status(ALICE, &ask.text()), 200, "the odd room is open again");
    rig.is_clean();
}

#[test]
fn a_session_that_a_room_broke_is_not_offered_to_the_next() {
    let mut rig = Rig::of(config(false, vec![sip::digest::Algorithm::Md5]), open);
    rig.crashes = Some(Vec::new());
    rig.register("dave", CAROL);
    let answers = rig.say(ALICE, &invite("dave", 50).text());
    assert_eq!(status(answers.last().unwrap()), 500, "{answers:?}");
    assert_eq!(rig.crashes, Some(vec!["odd".to_owned()]));
    assert!(rig.seen(CAROL).is_empty());
    rig.is_clean();
    assert_eq!(rig.api("calls", 0, &[]), 200);
    let calls = &rig.last_api;
    assert!(calls.contains("\"items\":[]"), "{calls}");
}

/// A room that cannot be opened again: it breaks over a call of `dave`, and then over everything that it is told first.
struct Hopeless;

static HOPELESS: Manifest = Manifest { name: "hopeless", ..Manifest::EMPTY };

impl Service for Hopeless {
    fn manifest(&self) -> &'static Manifest {
        &HOPELESS
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        let Session::Invite { session, target, .. } = session else { return false };
        let mine = *target == "dave";
        if mine {
            effects.save(*session, b"kept".to_vec(), switchboard::store::Durability::Written);
        }
        mine
    }

    fn on_event(&mut self, _: SessionId, _: Event, _: &mut Effects<'_>) {
        panic!("on purpose");
    }

    fn on_notice(&mut self, notice: &Notice, _: &mut Effects<'_>) {
        assert!(!matches!(notice, Notice::Restarted), "on purpose, again");
    }
}

fn open_hopeless() -> Vec<Box<dyn Service>> {
    let mut rooms = services::open(&services::Config::default());
    rooms.insert(0, Box::new(Hopeless));
    rooms
}

#[test]
fn a_room_that_cannot_be_opened_again_is_given_up_and_leaves_its_report() {
    let mut rig = Rig::of(config(false, vec![sip::digest::Algorithm::Md5]), open_hopeless);
    rig.crashes = Some(Vec::new());
    rig.register("bob", BOB);
    let proof = "Authorization: Digest username=\"alice\", realm=\"elsewhere\", nonce=\"1\", \
                 uri=\"sip:x\", response=\"0123456789abcdef0123456789abcdef\"\n";
    for number in [60, 61] {
        let ask = invite("dave", number);
        let ask = Ask { lines: format!("{}{proof}", ask.lines), ..ask };
        assert!(rig.say(ALICE, &ask.text()).is_empty());
    }
    rig.say(
        ALICE,
        &invite("dave", 60)
            .text()
            .replace("INVITE sip", "CANCEL sip")
            .replace("1 INVITE", "1 CANCEL"),
    );
    assert_eq!(rig.crashes.as_ref().unwrap().len(), 1 + REOPENS_MAX);
    assert_eq!(rig.counted("switchboard.room_given_up"), 1);
    let told =
        |output: &&Output| matches!(output, Output::Part { name: "hopeless", fault: Some(_) });
    assert_eq!(rig.others.iter().filter(told).count(), 1);
    // Both of its calls are over, and the others' go on.
    assert_eq!((rig.gauge("sessions"), rig.gauge("legs")), (0, 0));
    let report = [MAGIC.as_slice(), &rig.reports[0]].concat();
    let mut frames = Replay::new(&report).unwrap();
    let Some((0, Frame::Crash(crash))) = frames.next() else { panic!("no report") };
    assert_eq!((crash.room.as_str(), crash.why.as_str()), ("hopeless", "on purpose"));
    assert!(crash.session.is_some() && crash.missing == 0);
    let rest: Vec<_> = frames.by_ref().collect();
    assert_eq!(frames.left(), 0);
    let [(_, Frame::Step { input: Input::Adopt(entry), .. }), .., (_, last)] = rest.as_slice()
    else {
        panic!("{rest:#?}")
    };
    assert!(entry.body.windows(4).any(|part| part == b"kept"));
    let Frame::Step { input: Input::Message { bytes, .. }, .. } = last else { panic!("{last:?}") };
    assert!(bytes.starts_with(b"CANCEL sip:dave"));
    assert!(!String::from_utf8_lossy(&report).contains("0123456789abcdef"));
    let answers = rig.say(ALICE, &invite("bob", 62).text());
    assert!(answers.is_empty(), "{answers:?}");
    assert!(rig.seen(BOB)[0].starts_with("INVITE"));
    rig.end_all_calls();
    rig.is_clean();
}

#[test]
fn while_the_log_cannot_grow_new_work_is_refused_and_calls_can_end() {
    let mut rig = Rig::new(true);
    rig.all_register();
    rig.seen(BOB);
    let call = Ask::new("INVITE", "alice", ALICE, 70)
        .to("bob")
        .with(&format!("Contact: <sip:alice@{ALICE}>\n"))
        .body("application/sdp", &sdp(ALICE, 4_000));
    rig.proved(ALICE, "alice", &call);
    let at_bob = rig.seen(BOB).remove(0);
    // What is set aside is for this: a call that rings is answered.
    rig.handle(Input::LogPaused { unsaved: None });
    let answered = rig.say(BOB, &reply(&at_bob, "200 OK", BOB, &sdp(BOB, 5_000)));
    assert!(answered.iter().any(|text| text.starts_with("ACK")), "{answered:?}");
    let ok = rig.seen(ALICE).pop().unwrap();
    assert_eq!(status(&ok), 200, "{ok}");

    for ask in [Ask::new("REGISTER", "carol", CAROL, 71).to("carol"), invite("bob", 72)] {
        let who = if ask.method == "REGISTER" { CAROL } else { ALICE };
        let refused = rig.say(who, &ask.text());
        assert_eq!(status(&refused[0]), 503, "{refused:?}");
        assert_eq!(header(&refused[0], "Retry-After"), "5");
    }
    let put = rig.endpoint("people", "PUT");
    assert_eq!(rig.api("people", put, &["zoe"]), 503);
    assert!(rig.last_api.contains("CAR-1009"), "{}", rig.last_api);
    assert_eq!(rig.api("calls", 0, &[]), 200);
    rig.end_all_calls();
    assert!(rig.seen(BOB)[0].starts_with("BYE"));

    rig.handle(Input::LogBack);
    rig.register("carol", CAROL);
}

#[test]
fn in_a_crowd_new_work_is_refused_at_once_and_what_has_begun_goes_on() {
    let mut rig = Rig::new(false);
    rig.all_register();
    let talk = rig.talk();
    rig.forget();
    rig.handle(Input::Crowded(true));
    let kept = rig.gauge("server_transactions");
    for ask in [Ask::new("REGISTER", "carol", CAROL, 71).to("carol"), invite("bob", 72)] {
        let who = if ask.method == "REGISTER" { CAROL } else { ALICE };
        let refused = rig.say(who, &ask.text());
        assert_eq!(status(&refused[0]), 503, "{refused:?}");
        assert_eq!(header(&refused[0], "Retry-After"), "5");
    }
    // Whom nobody knows is not worth an answer.
    let stranger = Ask::new("INVITE", "nobody", MALLORY, 73)
        .to("bob")
        .with(&format!("Contact: <sip:nobody@{MALLORY}>\n"))
        .body("application/sdp", &sdp(MALLORY, 4_000));
    assert!(rig.say(MALLORY, &stranger.text()).is_empty());
    assert_eq!(rig.gauge("server_transactions"), kept, "nothing is kept of what is refused");
    assert_eq!((rig.counted("switchboard.overloaded"), rig.counted("sip.stranger_shed")), (2, 1));
    assert!(rig.seen(BOB).is_empty());
    // Its caller has gone elsewhere: a copy that comes behind the crowd hears the same, and rings nobody.
    rig.handle(Input::Crowded(false));
    let copy = rig.say(ALICE, &invite("bob", 72).text());
    assert_eq!(status(&copy[0]), 503, "{copy:?}");
    assert!(rig.seen(BOB).is_empty());
    rig.handle(Input::Crowded(true));
    rig.hangs_up(&talk, 5);

    rig.handle(Input::Crowded(false));
    let talk = rig.talk();
    rig.hangs_up(&talk, 5);
}

#[test]
fn a_registration_that_was_not_kept_is_taken_back() {
    let mut rig = Rig::new(true);
    rig.register("bob", BOB);
    rig.others.clear();
    rig.register("bob", CAROL);
    rig.register("alice", ALICE);
    let first = rig.others.iter().find_map(|output| match output {
        Output::Save { mark, .. } => Some(*mark),
        _ => None,
    });
    assert_eq!(rig.gauge("bindings"), 3);
    rig.others.clear();
    rig.handle(Input::LogPaused { unsaved: first });
    assert_eq!((rig.gauge("bindings"), rig.counted("switchboard.binding_undone")), (1, 2));
    // The log hears of it behind what it takes back.
    let ends = |output: &&Output| matches!(output, Output::Save { entry, .. } if entry.last);
    assert_eq!(rig.others.iter().filter(ends).count(), 2);
    rig.handle(Input::LogBack);
    rig.register("bob", CAROL);
    let marks: Vec<Mark> = rig
        .others
        .iter()
        .filter_map(
            |output| if let Output::Save { mark, .. } = output { Some(*mark) } else { None },
        )
        .collect();
    assert!(marks.is_sorted() && rig.gauge("bindings") == 2);
    // A refresh that was not kept leaves the binding as it was; what was kept before is not touched.
    rig.register("bob", CAROL);
    let last = rig.others.iter().rev().find_map(|output| match output {
        Output::Save { mark, .. } => Some(*mark),
        _ => None,
    });
    rig.handle(Input::LogPaused { unsaved: last });
    assert_eq!(rig.gauge("bindings"), 2);
}

/// More of them than one input may cause dispatches by talk.
const CROWD: usize = 10_500;

#[test]
fn bindings_that_end_together_are_all_told_of() {
    let mut rig = Rig::crowd(config(true, vec![sip::digest::Algorithm::Md5]), CROWD);
    for n in 0..CROWD {
        let who = format!("10.2.{}.{}:5060", n / 250, n % 250 + 1);
        rig.register(&crowd_name(n), &who);
        rig.forget();
    }
    rig.wait(std::time::Duration::from_secs(3_700));
    let gone =
        |output: &&Output| matches!(output, Output::Event(line) if line.kind == "binding.gone");
    assert_eq!(rig.others.iter().filter(gone).count(), CROWD);
    assert_eq!(rig.counted("switchboard.rounds_cut_off"), 0);
}
