//! Conferences.

use media::{Seat, Voice};

use crate::world::World;

const EVENTS: &str = "statusCallback='/told' statusCallbackEvent='start end join leave mute hold'";

fn events(world: &World) -> Vec<(String, String)> {
    let pair = |asked: &&crate::world::Asked| {
        (asked.says("SequenceNumber").to_owned(), asked.says("StatusCallbackEvent").to_owned())
    };
    world.at("/told").iter().map(pair).collect()
}

fn numbered(names: &[&str]) -> Vec<(String, String)> {
    (1..)
        .zip(names)
        .map(|(number, name): (u32, _)| (number.to_string(), (*name).to_owned()))
        .collect()
}

fn moderated() -> World {
    let guest = format!(
        "<Dial action='/after'><Conference startConferenceOnEnter='false' beep='false' waitUrl='wait' {EVENTS}>\
         Team</Conference></Dial>"
    );
    let moderator = "<Dial action='/done' hangupOnStar='true'><Conference endConferenceOnExit='true' beep='onEnter' \
                     statusCallback='/other' statusCallbackEvent='join'>Team</Conference></Dial>";
    let muted = "<Dial action='/after'><Conference muted='true' participantLabel='ear' beep='false'>Team</Conference></Dial>";
    World::new(&[
        ("/0", &guest),
        ("/1", moderator),
        ("/2", muted),
        ("/wait", "<Play>music.wav</Play>"),
        ("/told", ""),
        ("/other", ""),
        ("/done", "<Hangup/>"),
        ("/after", "<Pause length='60'/>"),
    ])
}

#[test]
fn it_begins_with_its_moderator_and_ends_with_him() {
    let mut world = moderated();
    let alice = world.call(0, 1, 0);
    let home = world.seat_of(&alice);
    // She waits, and hears the waiting document at home.
    assert_eq!(world.once("/wait").says("CallSid"), alice.sid);
    assert_eq!(world.played.last().map(|(stream, ..)| *stream), Some(home.0));
    let mut bob = world.call(1, 2, 1);
    let stream = world.together(2);
    assert_eq!((world.seat_of(&alice).0, world.seat_of(&bob).0), (stream, stream));
    // All heard that he came.
    assert!(world.played.iter().any(|(known, seat, _)| (*known, *seat) == (stream, None)));
    let carol = world.call(0, 3, 2);
    world.together(3);
    assert_eq!(world.seat_of(&carol).2, Voice::Nobody);
    assert_eq!(world.seat_of(&bob).2, Voice::All);
    // Only the first one's address is told.
    assert!(world.at("/other").is_empty());
    let (_, seat, _) = world.seat_of(&bob);
    world.key(stream, seat, b'*');
    let done = world.once("/done");
    assert_eq!((done.says("CallSid"), done.says("DialCallStatus")), (&*bob.sid, "answered"));
    assert!(done.says("DialCallSid").is_empty());
    let after = world.at("/after");
    assert_eq!(after.len(), 2, "the others go on");
    assert!(after.iter().all(|asked| asked.says("DialCallStatus") == "answered"));
    assert_eq!(world.seat_of(&alice), home);
    let names = [
        "participant-join",
        "participant-join",
        "conference-start",
        "participant-join",
        "participant-leave",
        "participant-leave",
        "participant-leave",
        "conference-end",
    ];
    assert_eq!(events(&world), numbered(&names));
    let told = world.at("/told");
    assert!(told.iter().all(|asked| asked.says("FriendlyName") == "Team"));
    assert_eq!((told[3].says("ParticipantLabel"), told[3].says("Muted")), ("ear", "true"));
    assert_eq!(told[7].says("CallSidEndingConference"), bob.sid);
    let reason = "participant-with-end-conference-on-exit-left";
    assert_eq!(told[7].says("ReasonConferenceEnded"), reason);
    // His own document hung him up; nothing is left of the conference.
    world.bye(&mut bob);
    assert!(world.seats.keys().all(|(known, _)| *known != stream));
    // His, and hers and carol's, who go on.
    assert_eq!(world.log.len(), 2, "two calls are kept, and no conference");
}

#[test]
fn the_last_one_ends_it_and_a_name_is_free_again() {
    let mut world = moderated();
    let mut bob = world.call(0, 2, 1);
    // Music, until somebody else comes.
    assert_eq!(world.played.len(), 1);
    world.bye(&mut bob);
    assert!(world.seats.is_empty());
    let mut alice = world.call(1, 1, 0);
    let mut carol = world.call(1, 3, 2);
    world.together(2);
    world.bye(&mut alice);
    world.bye(&mut carol);
    let last = world.at("/told");
    let last = last.last().expect("it was told");
    assert_eq!(last.says("ReasonConferenceEnded"), "last-participant-left");
    let names = [
        "participant-join",
        "participant-join",
        "conference-start",
        "participant-leave",
        "participant-leave",
        "conference-end",
    ];
    assert_eq!(events(&world), numbered(&names));
    assert!(world.seats.is_empty());
}

#[test]
fn whoever_may_not_come_goes_on() {
    let first = "<Dial action='/done'><Conference participantLabel='one' maxParticipants='2'>R</Conference></Dial>";
    let again =
        "<Dial><Conference participantLabel='one'>R</Conference></Dial><Redirect>/next</Redirect>";
    let coach = "<Dial><Conference coach='CA00000000000000000000000000000000'>R</Conference></Dial><Redirect>/next</Redirect>";
    let mut world =
        World::new(&[("/0", first), ("/1", again), ("/2", coach), ("/next", "<Hangup/>")]);
    let one = world.call(0, 1, 0);
    let before = world.seat_of(&one);
    world.call(1, 2, 1);
    assert_eq!(world.at("/next").len(), 1, "the label is taken");
    world.call(1, 3, 2);
    assert_eq!(world.at("/next").len(), 2, "nobody to coach");
    assert_eq!(world.house.counted("voice.errors"), 2);
    assert_eq!(world.seat_of(&one), before);
}

#[test]
fn it_is_recorded_from_its_beginning() {
    let taped = "<Dial><Conference record='record-from-start' recordingStatusCallback='/tape' beep='false'>R</Conference></Dial>";
    let mut world = World::new(&[("/0", taped), ("/tape", "")]);
    let mut one = world.call(0, 1, 0);
    assert!(world.records.is_empty(), "the music is not recorded");
    let mut two = world.call(1, 2, 0);
    let [(shard, ticket)] = world.records[..] else { panic!("{:?}", world.records) };
    world.bye(&mut one);
    world.bye(&mut two);
    let fact = switchboard::clip::RecordedFact {
        hash: "ab".repeat(32),
        address: "/media/ab.wav".into(),
        length: std::time::Duration::from_secs(4),
        octets: 64_044,
        loudest: Some(9_000),
        end: switchboard::clip::RecordEnd::Asked,
    };
    let reply = switchboard::Reply::Recorded(Ok(fact));
    world.give(shard, switchboard::Input::Reply { ticket, reply });
    let tape = world.once("/tape");
    assert_eq!((tape.says("RecordingSource"), tape.says("RecordingDuration")), ("Conference", "4"));
    assert!(tape.says("ConferenceSid").starts_with("CF"));
    assert!(world.log.is_empty(), "nothing is left");
}

#[test]
fn a_coach_is_heard_by_one() {
    let plain = "<Dial><Conference beep='false'>R</Conference></Dial>";
    let mut world = World::new(&[("/0", plain)]);
    let customer = world.call(0, 1, 0);
    let agent = world.call(1, 2, 0);
    let whisper = format!(
        "<Response><Dial><Conference beep='false' coach='{}'>R</Conference></Dial></Response>",
        agent.sid
    );
    world.documents.insert("/1".to_owned(), whisper);
    let coach = world.call(0, 3, 1);
    world.together(3);
    let (_, seat, _) = world.seat_of(&agent);
    assert_eq!(world.seat_of(&coach).2, Voice::One(seat));
    assert_eq!(world.seat_of(&customer).2, Voice::All);
}

#[test]
fn it_goes_on_after_a_restart() {
    let mut world = moderated();
    let mut alice = world.call(0, 1, 0);
    let bob = world.call(1, 2, 1);
    let carol = world.call(0, 3, 2);
    let told = events(&world);
    let mut world = world.killed();
    let stream = world.together(3);
    for caller in [&alice, &bob, &carol] {
        assert_eq!(world.seat_of(caller).0, stream);
    }
    assert_eq!(world.seat_of(&carol).2, Voice::Nobody);
    assert!(world.at("/told").is_empty(), "nobody came or went: {:?}", world.at("/told"));
    assert!(world.seat_of(&bob).1 >= Seat::FIRST_GUEST);
    world.bye(&mut alice);
    let left = world.once("/told");
    assert_eq!(left.says("StatusCallbackEvent"), "participant-leave");
    assert_eq!(left.says("SequenceNumber"), (told.len() + 1).to_string());
    // Nobody is given up who came back.
    world.seconds(60);
    world.together(2);
}
