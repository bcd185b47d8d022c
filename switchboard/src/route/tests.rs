//! The engine by tables.

use std::fmt::Write as _;

use types::{HashKey, UnixTime};

use super::*;
use crate::directory::{Directory, User};
use crate::group::{Address, Group, Kind, Member, Order, RingPlan};

const NOW: UnixTime = UnixTime::seconds(1_790_000_000); // 2026-09-21 14:13:20 UTC, a Monday.

fn user(name: &str, calls: Option<CallSettings>) -> User {
    User { name: name.into(), calls: calls.map(Box::new), ..User::default() }
}

fn number(text: &str, rings: &[&str]) -> Change {
    let rings = rings.iter().map(|rung| Rung::try_from((*rung).to_owned()).unwrap()).collect();
    Change::Number(text.into(), Some(Number { number: text.into(), rings, ..Number::default() }))
}

fn trunk(name: &str) -> Trunk {
    Trunk { name: name.into(), server: "192.0.2.1".into(), ..Trunk::default() }
}

fn put(directory: &mut Directory, change: Change) {
    directory.put_routing(change);
}

fn put_trunk(directory: &mut Directory, trunk: Trunk) {
    put(directory, Change::Trunk(trunk.name.clone(), Some(Box::new(trunk))));
}

fn put_route(directory: &mut Directory, route: Route) {
    put(directory, Change::Route(route.name.clone(), Some(Box::new(route))));
}

fn ways(names: &[(&str, u16, u16)]) -> Vec<Way> {
    let way = |(trunk, priority, weight): &(&str, u16, u16)| Way {
        trunk: (*trunk).into(),
        priority: *priority,
        weight: *weight,
    };
    names.iter().map(way).collect()
}

/// Users 1001 to 1004, +15550100 of 1001, trunks `acme` and `best`, and one route out over both.
fn house() -> Directory {
    let mut directory = Directory::new(HashKey::default());
    for name in ["1001", "1002", "1003", "1004"] {
        directory.put_user(user(name, None));
    }
    put(&mut directory, number("+15550100", &["user/1001"]));
    put_trunk(&mut directory, Trunk { identity: "+15550199".into(), ..trunk("acme") });
    put_trunk(&mut directory, trunk("best"));
    put_route(
        &mut directory,
        Route {
            name: "out".into(),
            to: vec![Pattern("+*".into()), Pattern("911".into())],
            ways: ways(&[("acme", 1, 1), ("best", 2, 1)]),
            ..Route::default()
        },
    );
    directory
}

fn ask(origin: &str, dialled: &str) -> Question {
    let origin = Origin::parse(origin).unwrap();
    Question { origin, shows: None, dialled: dialled.into(), time: NOW, chance: 7 }
}

/// The stages in short: `1001 20s; busy1>1002`.
fn short(decision: &Decision) -> String {
    let mut out = String::new();
    for (place, stage) in decision.stages.iter().enumerate() {
        let gap = if place > 0 { "; " } else { "" };
        out.push_str(gap);
        if let Some((after, when)) = stage.after {
            write!(out, "{}{}>", when.word(), after + 1).unwrap();
        }
        let aims: Vec<_> = stage
            .aims
            .iter()
            .map(|aim| match &aim.target {
                Target::User { name, .. } => name.clone(),
                Target::Trunk { name, number, identity, .. } => {
                    format!("{name}:{number} as {}", identity.as_deref().unwrap_or("nobody"))
                }
            })
            .collect();
        out.push_str(&aims.join("+"));
        if let Some(ring) = stage.ring {
            write!(out, " {ring}s").unwrap();
        }
    }
    if let Some(refusal) = decision.refusal {
        out.push_str(types::Refuse::verdict(&refusal).code);
    }
    out
}

#[track_caller]
fn check(directory: &Directory, origin: &str, dialled: &str, expected: &str) -> Decision {
    let decision = decide(directory, &ask(origin, dialled));
    assert_eq!(short(&decision), expected, "{:#?}", decision.candidates);
    assert!(!decision.candidates.is_empty());
    decision
}

#[test]
fn numbers_become_e164() {
    let germany = DialPlan {
        country: "49".into(),
        national_prefix: "0".into(),
        emergency: vec!["110".into(), "112".into()],
        rules: vec![Rule { dialled: Pattern("9*".into()), strip: 1, prefix: String::new() }],
        ..DialPlan::default()
    };
    let america = DialPlan {
        country: "1".into(),
        international_prefixes: vec!["011".into()],
        ..DialPlan::default()
    };
    let nowhere = DialPlan::default();
    let table: &[(&DialPlan, &str, &str)] = &[
        (&germany, "030 123456", "+4930123456"),
        (&germany, "+49 (0)30/12", "+49 (0)30/12"), // A slash is no separator: it stays a name.
        (&germany, "+49 (0)30-12 34", "+49301234"),
        (&germany, "tel:+49-30-1234;phone-context=x", "+49301234"),
        (&germany, "0049301234", "+49301234"),
        (&germany, "0015550100", "+15550100"),
        (&germany, "110", "110"),
        (&germany, "1-1-2", "112"),
        (&germany, "9112", "112"), // By the rule that takes the 9.
        (&germany, "9030123456", "+4930123456"),
        (&germany, "42", "42"),
        (&germany, "4242", "4242"),
        (&germany, "*97", "*97"),
        (&germany, "alice", "alice"),
        (&germany, "+1234567890123456", "+1234567890123456"), // Too long for E.164.
        (&america, "5550100", "+15550100"),
        (&america, "(202) 555-0100", "+12025550100"),
        (&america, "011 49 30 1234", "+49301234"),
        (&america, "1001", "1001"),
        (&america, "911", "911"),
        (&nowhere, "15550100", "15550100"),
        (&nowhere, "+1 555.0100", "+15550100"),
        (&nowhere, "", ""),
        (&nowhere, "+", "+"),
        (&nowhere, "🦀", "🦀"),
    ];
    for (plan, dialled, expected) in table {
        let found = plan.understand(dialled);
        assert_eq!(found.text, *expected, "{dialled}");
        assert_eq!(found.emergency, plan.emergency.contains(&found.text), "{dialled}");
    }
    assert!(nowhere.understand("112").emergency);
}

#[test]
fn trunks_write_numbers_their_way() {
    let plan =
        DialPlan { country: "49".into(), national_prefix: "0".into(), ..DialPlan::default() };
    let table = [
        (Format::Plus, "15550100", "15550100"),
        (Format::Plus, "+15550100", "+15550100"),
        (Format::E164, "15550100", "+15550100"),
        (Format::Digits, "15550100", "+15550100"),
        (Format::National, "0301234", "+49301234"),
        (Format::National, "0015550100", "+15550100"),
        (Format::E164, "112", "112"),
        (Format::E164, "alice", "alice"),
    ];
    for (format, sent, expected) in table {
        assert_eq!(plan.understand_from(format, sent).text, expected, "{format:?} {sent}");
    }
    let table = [
        (Format::Plus, "+49301234", "+49301234"),
        (Format::E164, "+49301234", "+49301234"),
        (Format::Digits, "+49301234", "49301234"),
        (Format::National, "+49301234", "0301234"),
        (Format::National, "+15550100", "0015550100"),
        (Format::Digits, "4242", "4242"),
    ];
    for (format, number, expected) in table {
        assert_eq!(plan.write(format, number), expected, "{format:?} {number}");
    }
}

#[test]
fn hostile_numbers_do_not_panic() {
    let mut rng = types::Rng::from_number(11);
    let parts =
        ["+", "00", "0", "1", "9", "tel:", ";", "(0)", "(", "é", "*", "#", "-", "5550100", "\0"];
    let plans = [
        DialPlan::default(),
        DialPlan { country: "49".into(), national_prefix: "0".into(), ..DialPlan::default() },
        DialPlan {
            rules: vec![Rule { dialled: Pattern("é*".into()), strip: 1, prefix: "+".into() }],
            international_prefixes: vec![String::new()],
            ..DialPlan::default()
        },
    ];
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..rng.below(8) {
            text.push_str(parts[rng.below(parts.len() as u64) as usize]);
        }
        for plan in &plans {
            for format in [Format::Digits, Format::E164, Format::National, Format::Plus] {
                let found = plan.understand_from(format, &text);
                plan.write(format, &found.text);
                rewrite(&found.text, rng.below(9) as u8, "+");
            }
        }
    }
}

use super::number::rewrite;

#[test]
fn schedules_follow_their_time_zone() {
    let schedule = |json: &str| -> Schedule { serde_json::from_str(json).unwrap() };
    let office = schedule(
        r#"{"zone":"Europe/Berlin","windows":[{"days":["mon","tue","wed","thu","fri"],"from":"09:00","to":"18:00"}],"not_on":["2026-12-25"]}"#,
    );
    let night = schedule(
        r#"{"zone":"Europe/Berlin","windows":[{"days":["fri"],"from":"22:00","to":"06:00"}]}"#,
    );
    let small =
        schedule(r#"{"zone":"America/New_York","windows":[{"from":"02:00","to":"03:00"}]}"#);
    let one = schedule(r#"{"zone":"America/New_York","windows":[{"from":"01:00","to":"02:00"}]}"#);
    let always = schedule(r#"{"zone":"UTC"}"#);
    let lost = schedule(r#"{"zone":"Mars/Olympus"}"#);
    let table: &[(&Schedule, &str, bool)] = &[
        (&office, "2026-07-20T07:00:00Z", true), // Monday 09:00 in summer.
        (&office, "2026-07-20T06:59:59Z", false),
        (&office, "2026-07-20T15:59:59Z", true),  // 17:59:59.
        (&office, "2026-07-20T16:00:00Z", false), // 18:00 is over.
        (&office, "2026-01-19T07:30:00Z", false), // 08:30 in winter.
        (&office, "2026-01-19T08:00:00Z", true),
        (&office, "2026-07-18T10:00:00Z", false), // Saturday.
        (&office, "2026-12-25T10:00:00Z", false), // Left out.
        (&night, "2026-07-17T20:30:00Z", true),   // Friday 22:30.
        (&night, "2026-07-18T03:59:00Z", true),   // Saturday 05:59 belongs to Friday.
        (&night, "2026-07-18T04:00:00Z", false),
        (&night, "2026-07-18T20:30:00Z", false), // Saturday night is its own.
        (&small, "2026-03-08T07:30:00Z", false), // 02:30 does not exist: it is 03:30.
        (&small, "2026-03-07T07:30:00Z", true),
        (&one, "2026-11-01T05:30:00Z", true), // 01:30 comes twice.
        (&one, "2026-11-01T06:30:00Z", true),
        (&one, "2026-11-01T07:30:00Z", false),
        (&always, "2026-11-01T07:30:00Z", true),
        (&lost, "2026-11-01T07:30:00Z", false),
    ];
    for (schedule, at, expected) in table {
        let (holds, why) = schedule.holds(UnixTime::parse(at).unwrap());
        assert_eq!(holds, *expected, "{at}: {why}");
        assert!(!why.is_empty());
    }
    assert!(office.fault().is_none() && lost.fault().is_some());
    assert!(
        serde_json::from_str::<Schedule>(
            r#"{"zone":"UTC","windows":[{"from":"9:00","to":"25:00"}]}"#
        )
        .is_err()
    );
    assert!(!office.holds(UnixTime(u64::MAX)).0);
}

#[test]
fn people_and_numbers_ring() {
    let mut house = house();
    check(&house, "user/1002", "1001", "1001");
    check(&house, "stranger", "1001", "1001");
    check(&house, "user/1002", "+15550100", "1001");
    check(&house, "trunk/acme", "+15550100", "1001");
    check(&house, "trunk/acme", "1001", "trunks.no_route");
    check(&house, "user/1002", "nobody", "trunks.no_route");
    let near = check(&house, "trunk/acme", "15550100", "trunks.no_route");
    assert!(near.candidates.iter().any(|known| known.why.contains("differ only by +")));
    put_trunk(&mut house, Trunk { numbers_format: Format::E164, ..trunk("acme") });
    check(&house, "trunk/acme", "15550100", "1001");
    put_trunk(&mut house, Trunk { reaches_users: true, ..trunk("acme") });
    check(&house, "trunk/acme", "1001", "1001");
    put(&mut house, number("+15550101", &["user/1001", "user/1002", "user/1001", "user/9999"]));
    check(&house, "trunk/acme", "+15550101", "1001+1002");
    put(&mut house, number("+15550102", &["group/desk"]));
    check(&house, "trunk/acme", "+15550102", "trunks.no_route");
    house.groups.put(desk(Order::All));
    check(&house, "trunk/acme", "+15550102", "1001+1003");
    house.groups.put(desk(Order::InTurn));
    check(&house, "trunk/acme", "+15550102", "1001 15s; any1>1003 15s");
}

/// 1001 comes before 1003, who knows billing.
fn desk(plan: Order) -> Group {
    let member = |user: &str, priority| Member { user: user.into(), priority, ..Member::default() };
    let mut last = member("1003", 1);
    last.skills.insert("billing".into());
    Group {
        name: "desk".into(),
        number: "+15550180".into(),
        addresses: vec![Address { address: "+15550181".into(), skill: "billing".into() }],
        members: vec![last, member("1001", 5)],
        ring: RingPlan { plan, each: 15 },
        ..Group::default()
    }
}

#[test]
fn groups_are_called_by_name_and_number() {
    let mut house = house();
    house.groups.put(desk(Order::All));
    for dialled in ["desk", "+15550180", "+15550181"] {
        check(&house, "user/1002", dialled, "1001+1003");
        check(&house, "stranger", dialled, "1001+1003");
    }
    // A trunk may call numbers.
    check(&house, "trunk/acme", "+15550180", "1001+1003");
    check(&house, "trunk/acme", "desk", "trunks.no_route");
    // Who calls his own group does not ring.
    check(&house, "user/1001", "desk", "1003");
    house.groups.put(desk(Order::Skill));
    check(&house, "user/1002", "desk", "1001+1003");
    check(&house, "user/1002", "desk~billing", "1003 15s");
    check(&house, "trunk/acme", "+15550181", "1003 15s");
    house.groups.put(desk(Order::RoundRobin));
    check(&house, "user/1002", "desk", "1001 15s; any1>1003 15s");
    let next = house.groups.next_turn("desk").unwrap();
    house.groups.turn("desk", next);
    check(&house, "user/1002", "desk", "1003 15s; any1>1001 15s");
    house.groups.put(Group { kind: Kind::Talk, ..desk(Order::All) });
    let talk = check(&house, "user/1002", "desk", "trunks.no_route");
    assert!(talk.candidates.iter().any(|known| known.why.contains("push-to-talk")));
}

#[test]
fn calls_go_out_by_trunks_under_an_allowed_number() {
    let mut house = house();
    check(
        &house,
        "user/1001",
        "+442071838750",
        "acme:+442071838750 as +15550100; trunk_failed1>best:+442071838750 as +15550100",
    );
    check(
        &house,
        "user/1002",
        "+442071838750",
        "acme:+442071838750 as +15550199; trunk_failed1>best:+442071838750 as nobody",
    );
    check(&house, "stranger", "+442071838750", "trunks.no_route");
    check(&house, "trunk/best", "+442071838750", "trunks.no_route");
    // A number of ours stays here.
    check(&house, "user/1002", "+1 (555) 0100", "1001");
    // Transit is allowed where a route says so, but not back.
    put_route(
        &mut house,
        Route {
            name: "transit".into(),
            from: vec!["trunk/best".into()],
            to: vec![Pattern("+44*".into())],
            ways: ways(&[("best", 0, 1), ("acme", 1, 1)]),
            ..Route::default()
        },
    );
    check(&house, "trunk/best", "+442071838750", "acme:+442071838750 as +15550199");
    // What the caller shows must be his own.
    let shows = |house: &Directory, user: &str, shows: &str| {
        let question = Question { shows: Some(shows.into()), ..ask(user, "+442071838750") };
        short(&decide(house, &question))
    };
    put(&mut house, number("+15550111", &["user/1001"]));
    assert!(shows(&house, "user/1001", "+15550111").starts_with("acme:+442071838750 as +15550111"));
    assert!(shows(&house, "user/1002", "+15550111").starts_with("acme:+442071838750 as +15550199"));
    let narrow = Trunk {
        identities: vec![Pattern("+1555019?".into())],
        identity: "+15550199".into(),
        numbers_format: Format::Digits,
        ..trunk("acme")
    };
    put_trunk(&mut house, narrow);
    assert!(shows(&house, "user/1001", "+15550111").starts_with("acme:442071838750 as +15550199"));
}

#[test]
fn trunks_that_are_down_are_passed_over() {
    let mut house = house();
    let down = |why: &str| Health { down: Some(why.into()), ..Health::default() };
    put(&mut house, Change::TrunkHealth("acme".into(), down("no answer to OPTIONS")));
    let found = check(&house, "user/1001", "+442071838750", "best:+442071838750 as +15550100");
    assert!(found.candidates.iter().any(|known| known.why.contains("no answer to OPTIONS")));
    put(&mut house, Change::TrunkHealth("best".into(), down("503")));
    check(&house, "user/1001", "+442071838750", "trunks.none_up");
    // Whoever calls for help is sent all the same, as he dialled.
    let help = check(
        &house,
        "user/1001",
        "911",
        "acme:911 as +15550100; trunk_failed1>best:911 as +15550100",
    );
    assert!(help.dialled.emergency);
    put(&mut house, Change::Trunk("acme".into(), None));
    check(&house, "user/1001", "911", "best:911 as +15550100");
}

#[test]
fn shares_are_drawn_by_weight() {
    let mut house = house();
    put_route(
        &mut house,
        Route {
            name: "out".into(),
            ways: ways(&[("acme", 1, 3), ("best", 1, 1)]),
            ..Route::default()
        },
    );
    let mut first = 0;
    for chance in 0..1_000 {
        let question = Question { chance, ..ask("user/1001", "+442071838750") };
        let found = decide(&house, &question);
        assert_eq!(found, decide(&house, &question));
        assert_eq!(found.stages.len(), 2);
        first += u32::from(short(&found).starts_with("acme"));
    }
    assert!((700..800).contains(&first), "{first}");
}

#[test]
fn users_forward() {
    let mut house = house();
    let to = |text: &str| Some(text.to_owned());
    let mut settle = |calls: CallSettings| {
        house.put_user(user("1001", Some(calls)));
        let found = decide(&house, &ask("user/1002", "1001"));
        let history = found.stages.last().map(|stage| stage.aims[0].history.clone());
        (short(&found), history.unwrap_or_default())
    };
    let none = CallSettings::default();
    assert_eq!(settle(none.clone()).0, "1001");
    let (found, history) = settle(CallSettings { forward_always: to("1003"), ..none.clone() });
    assert_eq!(found, "1003");
    let step = Diverted { from: "1001".into(), to: "1003".into(), cause: Cause::Always };
    assert_eq!(history, [step]);
    let all = CallSettings {
        forward_busy: to("1003"),
        forward_no_answer: to("user/1004"),
        no_answer_after: 12,
        forward_unreachable: to("+442071838750"),
        ..none.clone()
    };
    assert_eq!(
        settle(all.clone()).0,
        "1001 12s; busy1>1003; no_answer1>1004; unreachable1>acme:+442071838750 as +15550100; \
         trunk_failed4>best:+442071838750 as +15550100"
    );
    assert_eq!(settle(CallSettings { do_not_disturb: true, ..all }).0, "1003");
    let quiet = CallSettings { do_not_disturb: true, ..none.clone() };
    assert_eq!(settle(quiet).0, "route.do_not_disturb");
    assert_eq!(
        settle(CallSettings { forward_always: to("1001"), ..none.clone() }).0,
        "route.forward_loop"
    );
    // To a number of ours that rings himself.
    assert_eq!(
        settle(CallSettings { forward_always: to("+15550100"), ..none }).0,
        "route.forward_loop"
    );
}

#[test]
fn forwarding_ends() {
    let mut house = house();
    // A ring of four, and a chain that is too long.
    for (place, name) in ["1001", "1002", "1003", "1004"].into_iter().enumerate() {
        let next = ["1002", "1003", "1004", "1001"][place].to_owned();
        let calls = CallSettings { forward_always: Some(next), ..CallSettings::default() };
        house.put_user(user(name, Some(calls)));
    }
    check(&house, "user/1001", "1001", "route.forward_loop");
    for place in 0..10 {
        let calls = CallSettings {
            forward_always: Some(format!("x{}", place + 1)),
            ..CallSettings::default()
        };
        house.put_user(user(&format!("x{place}"), Some(calls)));
    }
    house.put_user(user("x10", None));
    check(&house, "user/1001", "x0", "route.forward_loop");
    check(&house, "user/1001", "x5", "x10");
    // Conditions that branch: bounded, and the user rings all the same.
    for place in 0..30 {
        let other = |step: u32| Some(format!("y{}", (place + step) % 30));
        let calls = CallSettings {
            forward_busy: other(1),
            forward_no_answer: other(2),
            forward_unreachable: other(3),
            ..CallSettings::default()
        };
        house.put_user(user(&format!("y{place}"), Some(calls)));
    }
    let found = decide(&house, &ask("user/1001", "y0"));
    assert_eq!(found.stages.len(), STAGES_MAX);
    assert!(found.candidates.len() <= CANDIDATES_MAX);
    for (place, stage) in found.stages.iter().enumerate() {
        assert!(stage.after.is_none_or(|(before, _)| before < place));
    }
}

#[test]
fn several_who_ring_together_keep_their_own_wishes() {
    let mut house = house();
    put(&mut house, number("+15550101", &["user/1001", "user/1002", "user/1003"]));
    let always = CallSettings { forward_always: Some("1004".into()), ..CallSettings::default() };
    house.put_user(user("1001", Some(always)));
    let quiet = CallSettings { do_not_disturb: true, ..CallSettings::default() };
    house.put_user(user("1002", Some(quiet)));
    let busy = CallSettings { forward_busy: Some("1001".into()), ..CallSettings::default() };
    house.put_user(user("1003", Some(busy)));
    check(&house, "trunk/acme", "+15550101", "1004+1003");
}

#[test]
fn routes_go_by_time_and_priority() {
    let mut house = house();
    let office: Schedule = serde_json::from_str(
        r#"{"zone":"Europe/Berlin","windows":[{"days":["mon"],"from":"09:00","to":"18:00"}]}"#,
    )
    .unwrap();
    let rings = |name: &str| vec![Rung::User(name.into())];
    put_route(
        &mut house,
        Route {
            name: "office hours".into(),
            priority: 1,
            from: vec!["trunks".into()],
            to: vec![Pattern("+15550100".into())],
            when: Some(office),
            rings: rings("1002"),
            ..Route::default()
        },
    );
    check(&house, "trunk/acme", "+15550100", "1002"); // 16:13 in Berlin.
    let evening =
        Question { time: UnixTime::seconds(1_790_012_000), ..ask("trunk/acme", "+15550100") };
    let found = decide(&house, &evening);
    assert_eq!(short(&found), "1001");
    assert!(found.candidates[1].why.contains("outside of Mon 09:00-18:00"), "{found:?}");
    check(&house, "user/1003", "+15550100", "1001");
    put_route(
        &mut house,
        Route {
            name: "no premium".into(),
            to: vec![Pattern("+1900*".into())],
            reject: Some(403),
            ..Route::default()
        },
    );
    check(&house, "user/1003", "+19005551212", "route.rejected");
}

#[test]
fn sources_name_addresses() {
    let source = |text: &str| Source::try_from(text.to_owned());
    let holds = |text: &str, place: &str| source(text).unwrap().holds(place.parse().unwrap());
    assert!(holds("198.51.100.20", "198.51.100.20:9999"));
    assert!(!holds("198.51.100.20", "198.51.100.21:9999"));
    assert!(holds("198.51.100.0/24", "198.51.100.77:1"));
    assert!(!holds("198.51.100.0/24", "198.51.101.77:1"));
    assert!(holds("127.0.0.1:5080", "127.0.0.1:5080"));
    assert!(!holds("127.0.0.1:5080", "127.0.0.1:5081"));
    assert!(holds("2001:db8::/32", "[2001:db8:1::5]:5060"));
    assert!(!holds("2001:db8::/32", "[2001:db9::5]:5060"));
    assert!(holds("198.51.100.20", "[::ffff:198.51.100.20]:5060"));
    assert!(!holds("198.51.100.0/24", "[c633:6400::]:1"));
    for wrong in ["0.0.0.0/0", "1.2.3.4/33", "host", "", "::/0", "1.2.3.4:99999"] {
        assert!(source(wrong).is_err(), "{wrong}");
    }
    for text in
        ["198.51.100.20", "198.51.100.0/24", "127.0.0.1:5080", "[::1]:5060", "2001:db8::/32"]
    {
        assert_eq!(source(text).unwrap().to_string(), text);
    }
}

#[test]
fn forwarding_is_told_in_headers() {
    let address = |user: &str| format!("sip:{user}@example.org");
    let step = |from: &str, to: &str, cause| Diverted { from: from.into(), to: to.into(), cause };
    let history = [step("1001", "1002", Cause::Always), step("1002", "1003", Cause::NoAnswer)];
    let headers = super::explain::headers(&history, "1003", address);
    let expected = [
        (
            "History-Info",
            "<sip:1001@example.org>;index=1, <sip:1002@example.org;cause=302>;index=1.1;mp=1, \
             <sip:1003@example.org;cause=408>;index=1.1.1;mp=1.1",
        ),
        ("Diversion", "<sip:1002@example.org>;reason=no-answer;counter=1"),
        ("Diversion", "<sip:1001@example.org>;reason=unconditional;counter=1"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(super::explain::headers(&[], "1003", address).is_empty());
}

#[test]
fn refusals_stand_in_order() {
    assert!(ROWS.windows(2).all(|pair| pair[0].verdict.number < pair[1].verdict.number));
    assert!(ROWS.iter().all(|row| row.sentence.ends_with('.') && !row.page.is_empty()));
}
