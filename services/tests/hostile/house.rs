//! Rooms that fail, and hours that are long.

use sip::Method;
use switchboard::{Attachment, Effects, LegPlan, Manifest, Output, Service, Session};

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
