//! What happens in the shop (`shop.py`, Flask).

use serde_json::Value;

use crate::house::{Asked, House, SHOP, hears, hears_sound, hears_within, pitch_of, spoken};
use crate::support::baresip::Baresip;
use crate::support::server::DOMAIN;
use crate::support::wave::{RATE, likeness, loudness, read};
use crate::support::{STEP, until};

/// What callers say.
const CALLER: f64 = 1_370.0;
/// What those say whom they reach.
const CALLED: f64 = 910.0;

/// Somebody presses a key that means nothing, listens to the hours, and is put through.
pub fn a_menu(house: &House) {
    const NUMBER: &str = "+15550201";
    house.number(NUMBER, &format!("{}/voice", house.shop.url), "POST");
    let mut sales = house.baresip("sales", CALLED);
    let mut caller = house.baresip("1001", CALLER);
    caller.dial(&house.uri(NUMBER));
    hears_sound(&caller, "menu");
    caller.press("9");
    hears_sound(&caller, "wrong");
    hears_sound(&caller, "menu");
    caller.press("2");
    hears_sound(&caller, "hours");
    hears_sound(&caller, "menu");
    caller.press("1");
    sales.event(STEP, "CALL_INCOMING");
    sales.answer();
    hears(&caller, "sales", CALLED);
    hears(&sales, "the caller", CALLER);
    sales.hang_up();
    hears_sound(&caller, "goodbye");
    caller.event(STEP, "CALL_CLOSED");

    let first = house.shop.is_asked("/voice", &[("To", NUMBER)]);
    let call = first.says("CallSid");
    assert_eq!((first.says("Direction"), first.says("CallStatus")), ("inbound", "ringing"));
    let paths = ["/voice", "/menu", "/voice", "/menu", "/voice", "/menu", "/dialled"];
    assert_eq!(house.shop.paths(call), paths);
    let asked = house.shop.asked(call);
    let keys: Vec<&str> = asked.iter().map(|asked| asked.says("Digits")).collect();
    assert_eq!(keys, ["", "9", "", "2", "", "1", ""]);
    let over = house.shop.is_asked("/dialled", &[("CallSid", call)]);
    assert_eq!(over.says("DialCallStatus"), "completed");
    // The cookie of its session came back.
    assert_eq!(over.line["wrong"], 1);
}

/// The owner declines; the caller leaves a letter, which the app fetches and reads.
pub fn a_letter(house: &House) {
    const NUMBER: &str = "+15550202";
    const WORDS: &str = "call me tomorrow";
    house.number(NUMBER, &format!("{}/mailbox", house.shop.url), "POST");
    let mut owner = house.baresip("owner", CALLED);
    let mut caller = house.baresip_saying("1002", &[]);
    caller.dial(&house.uri(NUMBER));
    owner.event(STEP, "CALL_INCOMING");
    owner.hang_up();
    hears_sound(&caller, "leave");
    until(STEP, "the beep", || {
        let heard = caller.heard_so_far()?.0;
        heard.chunks_exact(800).any(|part| loudness(part, 1_000.0) > 3_000.0).then_some(())
    });
    // Three times, with pauses: on a busy machine a phone may leave a piece out.
    let words = spoken(WORDS);
    let pause = [0; RATE];
    let all = [&*words, &pause, &words, &pause, &words].concat();
    caller.says(&all);
    until(STEP, "the end of what he says", || {
        (likeness(&all, &caller.said_so_far()?) > 0.9).then_some(())
    });
    caller.press("#");
    hears_sound(&caller, "goodbye");
    caller.event(STEP, "CALL_CLOSED");

    let call = house.shop.is_asked("/mailbox", &[("To", NUMBER)]).says("CallSid").to_owned();
    let declined = house.shop.is_asked("/leave", &[("CallSid", &call)]);
    assert_eq!(declined.says("DialCallStatus"), "busy");
    assert_eq!(house.shop.is_asked("/left", &[("CallSid", &call)]).says("Digits"), "#");
    let recorded = house.shop.is_asked("/recorded", &[("CallSid", &call)]);
    assert_eq!(recorded.says("RecordingStatus"), "completed");
    let read_by = house.shop.is_asked("/transcribed", &[("CallSid", &call)]);
    assert_eq!(read_by.says("TranscriptionStatus"), "completed");
    let text = read_by.says("TranscriptionText");
    assert!(text.contains(WORDS), "{text}");
    let sid = recorded.says("RecordingSid");
    let kept = house.shop.line("kept", |line| line["kept"] == *sid);
    assert_eq!(
        (&kept["call"], &kept["source"]),
        (&Value::from(&*call), &Value::from("RecordVerb"))
    );
    let letter = read(&house.letters.join(format!("{sid}.wav")));
    // The server has cut off the silence around it.
    let alike = likeness(&words, &[&pause, &*letter, &pause].concat());
    assert!(alike > 0.9, "{alike}");
    // What is said of the recording goes its own way beside the documents, in its own order.
    let (told, documents): (Vec<String>, _) =
        house.shop.paths(&call).into_iter().partition(|path| path.ends_with("ed"));
    assert_eq!(documents, ["/mailbox", "/leave", "/left"]);
    assert_eq!(told, ["/recorded", "/transcribed"]);
}

/// A button on a page calls a customer back and joins him with an agent, who sits at a page.
pub fn a_call_back(house: &House) {
    let mut customer = house.baresip("1003", CALLER);
    let mut agent = house.page("agent", CALLED, "");
    assert_eq!(agent.step(), "registered");
    let form = format!("customer=sip:1003@{}", DOMAIN);
    let made = house.shop.post("/call-back", &form);
    assert_eq!(made["status"], "queued");
    customer.event(STEP, "CALL_INCOMING");
    customer.answer();
    hears_sound(&customer, "hours");
    assert_eq!(agent.step(), format!("is called by {}", SHOP));
    hears(&customer, "the agent", CALLED);
    assert_eq!(agent.step(), "hears 1370");
    let sid = made["sid"].as_str().expect("a name");
    let over = house.shop.post("/hang-up", &format!("sid={sid}"));
    assert_eq!(over["status"], "completed");
    customer.event(STEP, "CALL_CLOSED");
    assert_eq!(agent.step(), "ended");

    house.shop.is_asked("/progress", &[("CallSid", sid), ("CallStatus", "completed")]);
    let told = |path: &str, name: &str, sid: &str| -> Vec<String> {
        let asked = house.shop.asked("").into_iter();
        let of_call = asked.filter(|asked| asked.path == path && asked.says(name) == sid);
        of_call.map(|asked: Asked| asked.says("CallStatus").to_owned()).collect()
    };
    let all = ["initiated", "ringing", "in-progress", "completed"];
    assert_eq!(told("/progress", "CallSid", sid), all);
    house.shop.is_asked("/agent-progress", &[("ParentCallSid", sid), ("CallStatus", "completed")]);
    assert_eq!(told("/agent-progress", "ParentCallSid", sid), all);
    assert_eq!(
        house.shop.is_asked("/connect", &[("CallSid", sid)]).says("Direction"),
        "outbound-api"
    );
}

/// Somebody says what he wants.
pub fn words(house: &House) {
    const NUMBER: &str = "+15550204";
    house.number(NUMBER, &format!("{}/ask", house.shop.url), "POST");
    let mut caller = house.baresip_saying("1004", &[]);
    caller.dial(&house.uri(NUMBER));
    hears_sound(&caller, "menu");
    says_until(&mut caller, "opening hours", "hours");
    hears_sound(&caller, "menu");
    says_until(&mut caller, "talk to sales", "goodbye");
    caller.event(STEP, "CALL_CLOSED");
    let call = house.shop.is_asked("/ask", &[("To", NUMBER)]).says("CallSid").to_owned();
    let asked = house.shop.asked(&call);
    let said = asked.iter().map(|asked| asked.says("SpeechResult"));
    let said: Vec<&str> = said.filter(|words| !words.is_empty()).collect();
    assert_eq!(said, ["opening hours", "talk to sales"]);
    let answered = house.shop.is_asked("/said", &[("CallSid", &call)]);
    assert_eq!(answered.says("Confidence"), "0.9");
}

/// Says words, and again when nobody seems to have understood, as people do: on a busy machine a phone may leave a piece
/// out.
#[track_caller]
fn says_until(caller: &mut Baresip, words: &str, sound: &str) {
    const TRIES: usize = 4;
    let said = spoken(words);
    for _ in 0..TRIES {
        caller.says(&said);
        if hears_within(caller, STEP / 2, pitch_of(sound)) {
            return;
        }
    }
    panic!("{words}: not understood in {TRIES} tries");
}
