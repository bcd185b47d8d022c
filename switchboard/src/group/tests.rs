use super::*;

fn member(user: &str, priority: u8, skills: &[&str]) -> Member {
    let skills = skills.iter().map(|skill| (*skill).to_owned()).collect();
    Member { user: user.into(), priority, skills, ..Member::default() }
}

fn desk(kind: Kind) -> Group {
    Group {
        name: "desk".into(),
        kind,
        number: "+15550111".into(),
        addresses: vec![Address { address: "+15550112".into(), skill: "billing".into() }],
        members: vec![
            member("ann", 5, &["billing"]),
            member("bob", 9, &[]),
            member("cas", 5, &["billing", "french"]),
        ],
        ..Group::default()
    }
}

fn read(json: &str) -> Group {
    let group: Group = serde_json::from_str(json).unwrap();
    Group { name: "desk".into(), ..group }
}

/// Turns as text: names of one turn joined, turns behind `|`, a turn's time in brackets.
#[track_caller]
fn rings(group: &Group, skill: &str, first: Option<&str>, expected: &str) {
    let show = |turn: &Turn<'_>| match turn.ring {
        Some(ring) => format!("{}({ring})", turn.users.join(" ")),
        None => turn.users.join(" "),
    };
    let turns = group.plan(skill, first);
    assert_eq!(turns.iter().map(show).collect::<Vec<_>>().join(" | "), expected);
}

#[test]
fn ring_plans() {
    let with = |plan| Group { ring: RingPlan { plan, each: 15 }, ..desk(Kind::Ring) };
    rings(&with(Order::All), "", None, "bob ann cas");
    rings(&with(Order::InTurn), "", None, "bob(15) | ann(15) | cas(15)");
    let round = with(Order::RoundRobin);
    rings(&round, "", None, "bob(15) | ann(15) | cas(15)");
    rings(&round, "", Some("ann"), "ann(15) | cas(15) | bob(15)");
    rings(&round, "", Some("gone"), "bob(15) | ann(15) | cas(15)");
    let skill = with(Order::Skill);
    rings(&skill, "billing", None, "ann cas(15)");
    rings(&skill, "french", None, "cas(15)");
    rings(&skill, "german", None, "bob ann cas");
    rings(&skill, "", None, "bob ann cas");
    let mut tall = with(Order::Skill);
    tall.members[1].skills.insert("billing".into());
    rings(&tall, "billing", None, "bob(15) | ann cas(15)");
    let mut quiet = with(Order::InTurn);
    quiet.members[1].role = Role::Listen;
    rings(&quiet, "", None, "ann(15) | cas(15)");
    quiet.members.iter_mut().for_each(|member| member.role = Role::Listen);
    rings(&quiet, "", None, "");
}

#[test]
fn a_round_goes_on_where_the_last_one_began() {
    let plan = RingPlan { plan: Order::RoundRobin, each: 5 };
    let mut groups = Groups::default();
    groups.put(Group { ring: plan, ..desk(Kind::Ring) });
    let mut seen = Vec::new();
    for _ in 0..4 {
        let group = groups.get("desk").unwrap();
        seen.push(groups.plan(group, "")[0].users[0].to_owned());
        let next = groups.next_turn("desk").unwrap();
        groups.turn("desk", next);
    }
    assert_eq!(seen, ["bob", "ann", "cas", "bob"]);
    groups.put(desk(Kind::Ring));
    assert_eq!(groups.next_turn("desk"), None);
    let one = Group { members: vec![member("ann", 0, &[])], ring: plan, ..desk(Kind::Ring) };
    assert_eq!(one.next_turn(Some("ann")), Some("ann".to_owned()));
    assert_eq!(Group { members: vec![], ..one }.next_turn(None), None);
}

#[test]
fn addresses_of_a_group() {
    let mut groups = Groups::default();
    groups.put(desk(Kind::Ring));
    for (address, skill) in [
        ("desk", Some("")),
        ("desk~french", Some("french")),
        ("+15550111", Some("")),
        ("+15550112", Some("billing")),
        ("+15550113", None),
        ("ann", None),
        ("", None),
        ("other~french", None),
    ] {
        assert_eq!(groups.at(address).map(|(_, skill)| skill), skill, "{address}");
    }
    assert_eq!(groups.of("ann").count(), 1);
    groups.remove("desk");
    assert!(groups.at("desk").is_none() && groups.of("ann").next().is_none());
}

#[test]
fn the_nearest_instruction_counts() {
    use Deed::{Call, Message, Video};
    let group = read(
        r#"{"kind":"shared","members":[
            {"user":"ann"},
            {"user":"bob","instructions":{"call":{"identity":"member","others":"join"}}},
            {"user":"cas","role":"listen","instructions":{"message":{"copies":false}}},
            {"user":"dan","instructions":{"video":{"others":"none"},"call":{"result":"hidden"}}}],
           "instructions":{"call":{"others":"listen"},"message":{"result":"hidden"}}}"#,
    );
    let row = |user: &str, deed: Deed| {
        let Handling { identity, copies, others, result } = group.handling(user, deed);
        format!("{identity:?} {copies} {others:?} {result:?}")
    };
    for (user, deed, expected) in [
        ("ann", Call, "Group true Listen Shown"),
        ("ann", Message, "Group true Told Hidden"),
        ("ann", Video, "Group true Listen Shown"),
        ("bob", Call, "Member true Join Shown"),
        ("bob", Video, "Member true Join Shown"),
        ("bob", Message, "Group true Told Hidden"),
        ("cas", Call, "Member true Listen Shown"),
        ("cas", Message, "Member false Told Hidden"),
        ("dan", Call, "Group true Listen Hidden"),
        ("dan", Video, "Group true None Hidden"),
        // What is done to the group.
        ("", Call, "Group true Listen Shown"),
    ] {
        assert_eq!(row(user, deed), expected, "{user} {deed:?}");
    }
    let plain = Handling {
        identity: Identity::Member,
        copies: false,
        others: Others::None,
        result: Showing::Hidden,
    };
    for kind in [Kind::Ring, Kind::Talk] {
        assert_eq!(desk(kind).handling("ann", Call), plain);
    }
}

#[test]
fn who_does_not_want_to_hear_does_not() {
    let group = read(
        r#"{"members":[{"user":"ann"},{"user":"bob","instructions":{"call":{"hears":false}}},
            {"user":"cas","instructions":{"call":{"hears":false},"video":{"hears":true}}}]}"#,
    );
    let hear = |user, deed| group.hearers(user, deed).collect::<Vec<_>>().join(" ");
    assert_eq!(hear("ann", Deed::Call), "");
    assert_eq!(hear("ann", Deed::Video), "cas");
    assert_eq!(hear("ann", Deed::Message), "bob cas");
    assert_eq!(hear("bob", Deed::Call), "ann");
    assert_eq!(hear("", Deed::Message), "ann bob cas");
}

#[test]
fn as_whom_a_user_acts() {
    let mut groups = Groups::default();
    assert!(groups.acting("ann", "zoe", Deed::Call, None).is_none());
    groups.put(desk(Kind::Shared));
    let low = vec![member("ann", 1, &[])];
    groups.put(Group {
        name: "attic".into(),
        number: "+15550119".into(),
        members: low.clone(),
        addresses: Vec::new(),
        ..desk(Kind::Shared)
    });
    groups.put(Group { name: "club".into(), members: low, ..Group::default() });
    for (wish, expected) in [
        (None, Some("desk")),
        (Some("attic"), Some("attic")),
        (Some("+15550119"), Some("attic")),
        (Some("ann"), None),
        // It does not lend its name.
        (Some("club"), Some("desk")),
        (Some("whatever"), Some("desk")),
    ] {
        let group = groups.acting("ann", "zoe", Deed::Call, wish).map(|group| group.name.as_str());
        assert_eq!(group, expected, "{wish:?}");
    }
    assert!(groups.acting("zoe", "ann", Deed::Call, Some("desk")).is_none());
    // Among themselves they are who they are.
    let face = |to| groups.acting("ann", to, Deed::Call, None).map(|group| group.name.as_str());
    assert_eq!(
        (face("bob"), face("desk"), face("+15550112")),
        (Some("attic"), Some("attic"), Some("attic"))
    );
    assert_eq!(face("attic"), Some("desk"));
}
