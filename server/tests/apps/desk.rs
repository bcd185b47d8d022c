//! What happens at the help desk (`desk.js`, Express).

use serde_json::{Value, json};

use crate::house::{Asked, House, hears, hears_sound, pitch_of};
use crate::legs::{Caller, Choir, Leg};
use crate::support::namespace::PHONES;
use crate::support::server::{DOMAIN, PASSWORD};
use crate::support::wave::{RATE, loudness, tone};
use crate::support::{STEP, until};

/// What those say who have a phone of their own.
const GUEST: f64 = 1_370.0;
const MODERATOR: f64 = 910.0;
/// What legs say: a tone that fits a second a whole number of times each.
const LEGS: [f64; 3] = [1_330.0, 1_730.0, 2_090.0];
/// A tone that is not there is softer than this.
const SILENT_MAX: f64 = 300.0;

/// A leg of this person calls, and says one tone.
#[track_caller]
fn leg(house: &House, user: &str, number: &str, pitch: f64) -> Choir {
    let caller = Caller {
        host: &house.phones,
        address: PHONES,
        server: house.server.sip,
        domain: DOMAIN,
        user,
        password: PASSWORD,
    };
    Choir::start(vec![Leg::call(&caller, number, tone(pitch, 1))])
}

/// Waits until the newest that a leg heard is this tone.
#[track_caller]
fn leg_hears(choir: &Choir, what: &str, pitch: f64) {
    until(STEP, what, || {
        let heard = choir.heard(0);
        let newest = heard.get(heard.len().checked_sub(RATE / 4)?..)?;
        (loudness(newest, pitch) > 3_200.0).then_some(())
    });
}

/// Guests hear music until the moderator comes; he mutes one of them, and the meeting ends with him.
pub fn a_meeting(house: &House) {
    const NUMBER: &str = "+15550205";
    house.number(NUMBER, &format!("{}/meeting", house.desk.url), "POST");
    house.server.make_user("1005");
    let mut guest = house.baresip("1006", GUEST);
    let mut moderator = house.baresip("1007", MODERATOR);
    guest.dial(&house.uri(NUMBER));
    hears_sound(&guest, "menu");
    guest.press("1");
    let legs: Vec<Choir> =
        LEGS[..2].iter().map(|pitch| leg(house, "1005", NUMBER, *pitch)).collect();
    hears_sound(&guest, "music");
    legs.iter().for_each(|leg| leg_hears(leg, "music", pitch_of("music")));
    moderator.dial(&house.uri(NUMBER));
    hears_sound(&moderator, "menu");
    moderator.press("7");
    for pitch in [GUEST, LEGS[0], LEGS[1]] {
        hears(&moderator, "a guest", pitch);
    }
    for pitch in [MODERATOR, LEGS[0], LEGS[1]] {
        hears(&guest, "the others", pitch);
    }
    legs.iter().for_each(|leg| leg_hears(leg, "the moderator", MODERATOR));
    let newest = guest.heard_last(RATE / 4).expect("sound");
    assert!(loudness(&newest, pitch_of("music")) < SILENT_MAX, "the music goes on");

    let of_guest = |asked: &Asked| asked.says("From").contains("1006");
    let entered = house.desk.asked("").into_iter().find(of_guest).expect("he was asked for");
    let call = entered.says("CallSid");
    let joined = [("CallSid", call), ("StatusCallbackEvent", "participant-join")];
    let conference = house.desk.is_asked("/meeting/events", &joined);
    let conference = conference.says("ConferenceSid");
    let muted = house.desk.post("/desk/mute", &format!("conference={conference}&call={call}"));
    assert_eq!(muted, json!({"muted": true}));
    until(STEP, "silence of the guest", || {
        let newest = moderator.heard_last(RATE / 4)?;
        let left = [LEGS[0], LEGS[1]].iter().all(|pitch| loudness(&newest, *pitch) > 3_200.0);
        (left && loudness(&newest, GUEST) < SILENT_MAX).then_some(())
    });
    moderator.hang_up();
    hears_sound(&guest, "goodbye");
    guest.event(STEP, "CALL_CLOSED");
    legs.into_iter().for_each(|leg| leg.end().iter_mut().for_each(Leg::hung_up));
    house.desk.is_asked("/meeting/events", &[("StatusCallbackEvent", "conference-end")]);
    told_in_order(house, conference);
}

/// What was told of the meeting.
#[track_caller]
fn told_in_order(house: &House, conference: &str) {
    let events: Vec<Asked> = house
        .desk
        .asked("")
        .into_iter()
        .filter(|asked| {
            asked.path == "/meeting/events" && asked.says("ConferenceSid") == conference
        })
        .collect();
    let names: Vec<&str> = events.iter().map(|event| event.says("StatusCallbackEvent")).collect();
    let count = |name: &str| names.iter().filter(|known| **known == name).count();
    let counts = ["participant-join", "participant-mute", "participant-leave", "conference-start"];
    assert_eq!(counts.map(count), [4, 1, 4, 1], "{names:?}");
    assert_eq!((names[0], names[names.len() - 1]), ("participant-join", "conference-end"));
    let numbers: Vec<u32> = events
        .iter()
        .map(|event| event.says("SequenceNumber").parse().expect("a number"))
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    let last = &events[events.len() - 1];
    let why = "participant-with-end-conference-on-exit-left";
    assert_eq!(last.says("ReasonConferenceEnded"), why);
}

/// Three wait, an agent at a page serves them in their order, and is sent away when nobody waits.
pub fn a_queue(house: &House) {
    const SUPPORT: &str = "+15550206";
    const AGENTS: &str = "+15550207";
    house.number(SUPPORT, &format!("{}/support", house.desk.url), "POST");
    house.number(AGENTS, &format!("{}/agent", house.desk.url), "POST");
    house.server.make_user("1008");
    let mut waiting = Vec::new();
    for pitch in LEGS {
        let leg = leg(house, "1008", SUPPORT, pitch);
        leg_hears(&leg, "music", pitch_of("music"));
        waiting.push(leg);
    }
    let asked = house.desk.asked("");
    let came = asked.iter().filter(|asked| asked.path == "/support");
    let came: Vec<&str> = came.map(|asked| asked.says("CallSid")).collect();
    assert_eq!(house.desk.post("/desk/waiting", ""), json!(came));
    let mut agent = house.page("1009", MODERATOR, AGENTS);
    assert_eq!([agent.step(), agent.step()], ["registered", "is answered"]);
    for (leg, pitch) in waiting.into_iter().zip(LEGS) {
        leg_hears(&leg, "a whisper", pitch_of("whisper"));
        leg_hears(&leg, "the agent", MODERATOR);
        assert_eq!(agent.step(), format!("hears {pitch}"));
        leg.end().iter_mut().for_each(Leg::hang_up);
    }
    assert_eq!(agent.step(), "ended");

    let first = house.desk.is_asked("/agent", &[("To", AGENTS)]);
    let agent = first.says("CallSid");
    let served = house.desk.asked("").into_iter();
    let served: Vec<Asked> = served.filter(|asked| asked.path == "/support/whisper").collect();
    let order: Vec<&str> = served.iter().map(|asked| asked.says("CallSid")).collect();
    assert_eq!(order, came);
    assert!(served.iter().all(|asked| asked.says("DequeingCallSid") == agent), "{served:?}");
    let round = ["/agent", "/agent/next"];
    assert_eq!(house.desk.paths(agent), [round, round, round].concat());
    for call in came {
        let left = house.desk.is_asked("/support/left", &[("CallSid", call)]);
        assert_eq!(left.says("QueueResult"), "bridged");
    }
}

/// A bot says a long tone, drops it for another at a key, then says what it hears, and leaves at the last key.
pub fn a_bot(house: &House) {
    const NUMBER: &str = "+15550208";
    house.number(NUMBER, &format!("{}/bot", house.desk.url), "POST");
    let mut caller = house.baresip("1010", GUEST);
    caller.dial(&house.uri(NUMBER));
    hears(&caller, "the bot", 540.0);
    caller.press("1");
    hears(&caller, "its answer", 680.0);
    hears(&caller, "himself", GUEST);
    caller.press("9");
    hears_sound(&caller, "goodbye");
    caller.event(STEP, "CALL_CLOSED");
    let call = house.desk.is_asked("/bot", &[("To", NUMBER)]).says("CallSid").to_owned();
    let start = house.desk.is_asked("start", &[]);
    assert_eq!(start.line["said"]["customParameters"], json!({"desk": "support"}));
    assert_eq!(start.line["said"]["callSid"], Value::from(call));
    let words = house.desk.asked("").into_iter();
    let words: Vec<String> = words
        .filter(|asked| !asked.path.starts_with('/'))
        .map(|asked| format!("{} {}{}", asked.path, asked.says("digit"), asked.says("name")))
        .collect();
    // The mark of what was dropped comes back first.
    let wanted = ["connected ", "start ", "dtmf 1", "mark long", "mark short", "dtmf 9"];
    assert_eq!(words, wanted);
}
