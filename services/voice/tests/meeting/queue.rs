//! Queues.

use crate::world::World;

fn shop() -> World {
    World::new(&[
        ("/0", "<Enqueue action='/out' waitUrl='wait'>support</Enqueue>"),
        ("/1", "<Dial action='/served' timeout='20'><Queue url='whisper'>support</Queue></Dial>"),
        ("/2", "<Enqueue action='/out' maxQueueSize='1'>small</Enqueue>"),
        ("/wait", "<Play>music.wav</Play>"),
        ("/whisper", "<Say>Somebody comes</Say>"),
        ("/out", "<Pause length='60'/>"),
        ("/served", "<Pause length='60'/>"),
    ])
}

#[test]
fn first_come_first_served() {
    let mut world = shop();
    let alice = world.call(0, 1, 0);
    let home = world.seat_of(&alice);
    world.seconds(5);
    let bob = world.call(1, 2, 0);
    let asked = world.at("/wait");
    assert_eq!(asked[0].says("QueuePosition"), "1");
    let standing = ["QueuePosition", "CurrentQueueSize", "MaxQueueSize", "QueueTime"];
    assert_eq!(standing.map(|name| asked[1].says(name)), ["2", "2", "1000", "0"]);
    assert!(asked[1].says("QueueSid").starts_with("QU"));
    // The document is at its end: it is asked for again.
    world.heard(&bob);
    assert_eq!(world.at("/wait").len(), 2, "not at once");
    world.seconds(2);
    assert_eq!(world.at("/wait").len(), 3);
    let mut agent = world.call(1, 3, 1);
    let whisper = world.once("/whisper");
    assert_eq!(whisper.says("CallSid"), alice.sid);
    assert_eq!(whisper.says("DequeingCallSid"), agent.sid);
    assert_eq!(whisper.says("QueueTime"), "7");
    assert_eq!(world.seat_of(&alice), home, "the whisper comes before the bridge");
    world.heard(&alice);
    let stream = world.together(2);
    assert_eq!((world.seat_of(&alice).0, world.seat_of(&agent).0), (stream, stream));
    assert!(world.at("/out").is_empty());
    world.bye(&mut agent);
    let out = world.once("/out");
    assert_eq!((out.says("CallSid"), out.says("QueueResult")), (&*alice.sid, "bridged"));
    assert_eq!(out.says("QueueTime"), "7");
    assert_eq!(world.seat_of(&alice), home);
    // The next one is bob, who has moved up.
    world.heard(&bob);
    world.seconds(2);
    assert_eq!(world.at("/wait").last().unwrap().says("QueuePosition"), "1");
    assert_eq!(world.at("/wait").last().unwrap().says("CallSid"), bob.sid);
}

#[test]
fn an_agent_waits_for_somebody() {
    let mut world = shop();
    let early = world.call(0, 3, 1);
    world.seconds(10);
    let mut alice = world.call(1, 1, 0);
    assert_eq!(world.at("/wait").len(), 0, "she is wanted at once");
    world.heard(&alice);
    world.together(2);
    world.bye(&mut alice);
    let served = world.once("/served");
    assert_eq!((served.says("CallSid"), served.says("DialCallStatus")), (&*early.sid, "completed"));
    assert!(served.says("QueueSid").starts_with("QU"));
    let out = world.once("/out");
    assert_eq!((out.says("QueueResult"), out.says("CallStatus")), ("bridged", "completed"));
    // Nobody comes.
    let late = world.call(0, 4, 1);
    world.seconds(30);
    let served = world.at("/served");
    assert_eq!(
        (served[1].says("CallSid"), served[1].says("DialCallStatus")),
        (&*late.sid, "no-answer")
    );
}

#[test]
fn waiting_ends_in_many_ways() {
    let mut world = shop();
    world.documents.insert(
        "/wait".to_owned(),
        "<Response><Gather numDigits='1' action='pressed'/></Response>".to_owned(),
    );
    world.documents.insert("/pressed".to_owned(), "<Response><Leave/></Response>".to_owned());
    let alice = world.call(0, 1, 0);
    let (stream, seat, _) = world.seat_of(&alice);
    world.key(stream, seat, b'9');
    let out = world.once("/out");
    assert_eq!((out.says("CallSid"), out.says("QueueResult")), (&*alice.sid, "leave"));
    // There is room for one; with music, and no document.
    let mut bob = world.call(1, 2, 2);
    world.call(1, 3, 2);
    assert_eq!(world.at("/out")[1].says("QueueResult"), "queue-full");
    assert!(world.at("/out")[1].says("QueueSid").is_empty());
    world.bye(&mut bob);
    let out = world.at("/out")[2];
    assert_eq!((out.says("QueueResult"), out.says("CallStatus")), ("hangup", "completed"));
    // What those who wait may not hear.
    world.documents.insert("/wait".to_owned(), "<Response><Record/></Response>".to_owned());
    world.call(0, 4, 0);
    assert_eq!(world.at("/out")[3].says("QueueResult"), "error");
    assert_eq!(world.house.counted("voice.errors"), 1);
}

#[test]
fn places_are_kept_over_a_restart() {
    let mut world = shop();
    let alice = world.call(0, 1, 0);
    let bob = world.call(1, 2, 0);
    let mut world = world.killed();
    let mut agent = world.call(0, 3, 1);
    assert_eq!(world.once("/whisper").says("CallSid"), alice.sid);
    world.heard(&alice);
    let stream = world.together(2);
    assert_eq!((world.seat_of(&alice).0, world.seat_of(&agent).0), (stream, stream));
    // They talk on, bob waits on.
    let mut world = world.killed();
    let stream = world.together(2);
    assert_eq!((world.seat_of(&alice).0, world.seat_of(&agent).0), (stream, stream));
    assert_eq!(world.at("/wait").last().unwrap().says("CallSid"), bob.sid);
    world.bye(&mut agent);
    let out = world.once("/out");
    assert_eq!((out.says("CallSid"), out.says("QueueResult")), (&*alice.sid, "bridged"));
}
