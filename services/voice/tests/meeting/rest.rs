//! Conferences and queues by the API of apps.

use serde_json::{Value, json};

use crate::world::World;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_conference_is_listed_changed_and_ended() {
    let inside = "<Dial action='/after'><Conference beep='false' participantLabel='one' statusCallback='/told' \
                  statusCallbackEvent='mute hold'>Team</Conference></Dial>";
    let other = "<Dial action='/after'><Conference beep='false'>Team</Conference></Dial>";
    let mut world = World::new(&[
        ("/0", inside),
        ("/1", other),
        ("/told", ""),
        ("/after", "<Pause length='60'/>"),
        ("/hold", "<Play>m.wav</Play>"),
    ]);
    let one = world.call(0, 1, 0);
    let two = world.call(1, 2, 1);
    let stream = world.together(2);
    let (status, list) = world.api("GET", "/Conferences.json", &[("Status", "in-progress")]);
    assert_eq!((status, list["conferences"].as_array().map(Vec::len)), (200, Some(1)));
    let found = list["conferences"][0].clone();
    let sid = found["sid"].as_str().unwrap().to_owned();
    assert_eq!(
        (&found["friendly_name"], &found["status"]),
        (&json!("Team"), &json!("in-progress"))
    );
    let shape = [
        "account_sid",
        "api_version",
        "call_sid_ending_conference",
        "date_created",
        "date_updated",
        "friendly_name",
        "reason_conference_ended",
        "region",
        "sid",
        "status",
        "subresource_uris",
        "uri",
    ];
    assert_eq!(keys(&found), shape);
    let people = format!("/Conferences/{sid}/Participants.json");
    let (_, list) = world.api("GET", &people, &[]);
    let shape = [
        "account_sid",
        "call_sid",
        "call_sid_to_coach",
        "coaching",
        "conference_sid",
        "date_created",
        "date_updated",
        "end_conference_on_exit",
        "hold",
        "label",
        "muted",
        "queue_time",
        "start_conference_on_enter",
        "status",
        "uri",
    ];
    assert_eq!(keys(&list["participants"][0]), shape);
    assert_eq!(list["participants"][1]["call_sid"], json!(two.sid));
    // By his label: muted, then on hold with something to hear, then back.
    let path = format!("/Conferences/{sid}/Participants/one.json");
    let (status, changed) = world.api("POST", &path, &[("Muted", "true")]);
    assert_eq!((status, &changed["muted"]), (200, &json!(true)));
    assert_eq!(world.seat_of(&one).2, media::Voice::Nobody);
    world.api("POST", &path, &[("Hold", "true"), ("HoldUrl", "http://app.example/hold")]);
    assert_ne!(world.seat_of(&one).0, stream);
    assert_eq!(world.once("/hold").says("CallSid"), one.sid);
    world.api("POST", &path, &[("Hold", "false"), ("Muted", "false")]);
    assert_eq!(world.seat_of(&one).0, stream);
    assert_eq!(world.seat_of(&one).2, media::Voice::All);
    let told: Vec<_> = world
        .at("/told")
        .iter()
        .map(|asked| asked.says("StatusCallbackEvent").to_owned())
        .collect();
    assert_eq!(
        told,
        ["participant-mute", "participant-hold", "participant-unmute", "participant-unhold"]
    );
    // One is sent away, and goes on; then it is over.
    let path = format!("/Conferences/{sid}/Participants/{}.json", two.sid);
    assert_eq!(world.api("DELETE", &path, &[]).0, 204);
    assert_eq!(world.once("/after").says("CallSid"), two.sid);
    let path = format!("/Conferences/{sid}.json");
    let (status, over) = world.api("POST", &path, &[("Status", "completed")]);
    assert_eq!(
        (status, &over["reason_conference_ended"]),
        (200, &json!("conference-ended-via-api"))
    );
    assert_eq!(world.at("/after").len(), 2);
    // What is over is in the store.
    let (status, over) = world.api("GET", &path, &[]);
    assert_eq!(
        (status, &over["status"], &over["reason_conference_ended"]),
        (200, &json!("completed"), &json!("conference-ended-via-api"))
    );
    assert_eq!(keys(&over), keys(&found));
    let (status, nobody) = world.api("GET", &people, &[]);
    assert_eq!((status, &nobody["participants"]), (200, &json!([])));
    let (_, list) = world.api("GET", "/Conferences.json", &[("FriendlyName", "Team")]);
    assert_eq!(
        (&list["conferences"][0]["sid"], &list["conferences"][1]),
        (&json!(sid), &json!(null))
    );
    let (_, list) = world.api("GET", "/Conferences.json", &[("Status", "in-progress")]);
    assert_eq!(list["conferences"], json!([]));
    assert_eq!(world.api("GET", "/Conferences.json", &[("Status", "over")]).0, 400);
    assert_eq!(world.api("POST", &path, &[("Status", "completed")]).0, 404);
    let other = format!("/Conferences/CF{}.json", "1".repeat(32));
    assert_eq!(world.api("GET", &other, &[]).0, 404);
}

#[test]
fn a_queue_is_made_and_emptied() {
    let waits = "<Enqueue action='/out'>support</Enqueue>";
    let mut world = World::new(&[("/0", waits), ("/out", ""), ("/off", "<Pause length='60'/>")]);
    let form = [("FriendlyName", "support"), ("MaxSize", "3")];
    let (status, made) = world.api("POST", "/Queues.json", &form);
    assert_eq!((status, &made["max_size"], &made["current_size"]), (201, &json!(3), &json!(0)));
    let shape = [
        "account_sid",
        "average_wait_time",
        "current_size",
        "date_created",
        "date_updated",
        "friendly_name",
        "max_size",
        "sid",
        "subresource_uris",
        "uri",
    ];
    assert_eq!(keys(&made), shape);
    assert_eq!(world.api("POST", "/Queues.json", &form).1["code"], json!(22003));
    let mut world = world.killed();
    let sid = made["sid"].as_str().unwrap().to_owned();
    let one = world.call(0, 1, 0);
    let two = world.call(1, 2, 0);
    let (_, list) = world.api("GET", &format!("/Queues/{sid}/Members.json"), &[]);
    let members = list["queue_members"].as_array().unwrap();
    assert_eq!(
        keys(&members[0]),
        ["call_sid", "date_enqueued", "position", "queue_sid", "uri", "wait_time"]
    );
    assert_eq!((&members[1]["call_sid"], &members[1]["position"]), (&json!(two.sid), &json!(2)));
    assert_eq!(world.api("DELETE", &format!("/Queues/{sid}.json"), &[]).1["code"], json!(22006));
    let front = format!("/Queues/{sid}/Members/Front.json");
    let (status, member) = world.api("POST", &front, &[("Url", "http://app.example/off")]);
    assert_eq!((status, &member["call_sid"]), (200, &json!(one.sid)));
    assert_eq!(world.once("/off").says("CallSid"), one.sid);
    assert_eq!(world.once("/out").says("QueueResult"), "redirected");
    let (_, queue) = world.api("POST", &format!("/Queues/{sid}.json"), &[("MaxSize", "9")]);
    assert_eq!((&queue["current_size"], &queue["max_size"]), (&json!(1), &json!(9)));
}
