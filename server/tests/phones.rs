//! Other people's phones call through `carillon serve`: linphonec and pjsua2, with baresip at the far end.
//!
//! Server and phones are two hosts on a wire, as in `baresip.rs`.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;

use serde_json::json;
use support::baresip::{Baresip, Login};
use support::capture::{CALL, Capture, TALK};
use support::linphone::Linphone;
use support::namespace::{Namespace, SERVER};
use support::pjsua::Pjsua;
use support::program::Launch;
use support::server::{PASSWORD, Server};
use support::wave::{assert_heard, assert_heard_in_part, speech_like};
use support::{STEP, turn};
use types::CallId;

/// How long each side speaks.
const SECONDS: usize = 3;
/// How much each side must have heard by then: silence before and after, and the way.
const HEARD: usize = SECONDS + 2;

/// The server with 1001 to 1003 on one host, and the wire to the other.
struct House {
    phones: Namespace,
    server: Server,
    capture: Option<Capture>,
}

impl House {
    fn new() -> Self {
        Self::with("")
    }

    /// `sip` holds further lines of that section.
    fn with(sip: &str) -> Self {
        let (host, phones) = Namespace::pair();
        let capture = Capture::start(&host);
        let folder = tempfile::tempdir().expect("a folder for the certificate");
        let at = |name: &str| folder.path().join(name);
        let made =
            rcgen::generate_simple_self_signed(vec![SERVER.to_owned()]).expect("a certificate");
        fs::write(at("certificate.pem"), made.cert.pem()).expect("the test's folder");
        fs::write(at("key.pem"), made.signing_key.serialize_pem()).expect("the test's folder");
        let tls = format!(
            "[tls]\ncertificate = {:?}\nkey = {:?}\n",
            at("certificate.pem"),
            at("key.pem")
        );
        let server = Server::serve_by(&host, SERVER, sip, &tls, |file| {
            let text = fs::read_to_string(file).expect("its configuration");
            let tcp = format!("\"tcp://{SERVER}:5060\"");
            let secured = text.replace(&tcp, &format!("{tcp}, \"tls://{SERVER}:5061\""));
            fs::write(file, secured).expect("its configuration");
            Launch::built(env!("CARGO_BIN_EXE_carillon"))
                .words(["serve", "--config", file, "--json"])
        });
        for user in ["1001", "1002", "1003"] {
            server.make_user(user);
        }
        Self { phones, server, capture: Some(capture) }
    }

    /// Where phones of this transport go.
    fn door(&self, transport: &str) -> String {
        if transport == "tls" { format!("{SERVER}:5061") } else { self.server.sip.to_string() }
    }

    fn login<'a>(&self, user: &'a str, transport: &'a str, server: &'a str) -> Login<'a> {
        // Each user has ports of his own, for SIP, for commands and for sound.
        let port = 5_000 + 10 * (user.parse::<u16>().expect("a number") - 1_000);
        Login { user, password: PASSWORD, server, transport, port }
    }

    fn baresip(&self, user: &str, transport: &str) -> Baresip {
        let server = self.door(transport);
        let phone =
            Baresip::start(&self.phones, &self.login(user, transport, &server), &says(user));
        self.server.bindings(user, 1);
        phone
    }

    fn linphone(&self, user: &str, transport: &str) -> Linphone {
        self.linphone_with(user, transport, "")
    }

    /// `sip` holds further settings of it.
    fn linphone_with(&self, user: &str, transport: &str, sip: &str) -> Linphone {
        let server = self.door(transport);
        let login = self.login(user, transport, &server);
        let phone = Linphone::start_with(&self.phones, &login, &says(user), sip);
        self.server.bindings(user, 1);
        phone
    }

    fn pjsua(&self, user: &str, transport: &str, more: &serde_json::Value) -> Pjsua {
        let server = self.door(transport);
        let login = self.login(user, transport, &server);
        Pjsua::start(&self.phones, &login, more, &says(user))
    }

    /// Begins to record a call, with a channel for each side: where the recording is asked about.
    fn record(&self, call: &str) -> String {
        let path = format!("/v1/calls/{call}/recording");
        let answer = self.server.door.ask(
            "POST",
            &path,
            Some(&self.server.door.token),
            "application/json",
            br#"{"channels":2}"#,
        );
        assert_eq!(answer.status, 201, "{}", answer.text());
        path
    }

    /// Ends a recording, and compares its channels with what was said.
    fn judge_recording(&self, path: &str, said: [&[i16]; 2]) {
        let answer = self.server.door.ask("DELETE", path, Some(&self.server.door.token), "", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let kept = answer.json();
        assert_eq!((&kept["state"], &kept["end"]), (&json!("kept"), &json!("asked")), "{kept}");
        let address = kept["address"].as_str().expect("an address");
        let file = self.server.door.ask("GET", address, None, "", b"").body;
        let data = file.windows(4).position(|four| four == b"data").expect("a data chunk") + 8;
        let channel = |first: usize| -> Vec<i16> {
            let samples = file[data + first..].chunks(4);
            let samples = samples.filter_map(|four| four.first_chunk().copied());
            samples.map(i16::from_le_bytes).collect()
        };
        assert_heard("the left channel", &channel(0), said[0], said[1]);
        assert_heard("the right channel", &channel(2), said[1], said[0]);
    }

    /// Fails where tshark finds fault with what the server sent, or saw none of one of these.
    fn judge(mut self, protocols: &[&str]) {
        self.capture.take().expect("judged once").judge(SERVER, protocols);
    }

    fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.server.sip)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.server.show_ladders();
        }
    }
}

/// What a user says in his calls: his alone.
fn says(user: &str) -> Vec<i16> {
    speech_like(user.parse().expect("a number"), SECONDS)
}

/// linphonec calls baresip, talks, holds, resumes and hangs up.
fn linphone_calls(transport: &str) {
    let _turn = turn();
    let house = House::new();
    let mut callee = house.baresip("1002", if transport == "tls" { "tls" } else { "udp" });
    let mut caller = house.linphone("1001", transport);
    caller.tell(&format!("call {}", house.uri("1002")));
    callee.event(STEP, "CALL_INCOMING");
    let call = house.server.call();
    callee.answer();
    caller.says(STEP, "Media streams established");
    // baresip records nothing more after it was held, so they talk first.
    let recorded = (transport == "tcp").then(|| house.record(&call));
    caller.speak_and_record();
    callee.hears(2 * SECONDS + 2);
    if let Some(path) = recorded {
        house.judge_recording(&path, [&says("1001"), &says("1002")]);
    }
    caller.tell("pause");
    caller.says(STEP, "is now paused");
    caller.tell("resume");
    caller.says(STEP, "Media streams established");
    caller.tell("terminate");
    callee.event(STEP, "CALL_CLOSED");
    assert_heard("baresip", &callee.heard(), &says("1001"), &says("1002"));
    let record = house.server.record(&call);
    assert_eq!((&record["outcome"], &record["hung_up_by"]), (&json!("answered"), &json!("caller")));
    if transport != "tls" {
        house.judge(TALK); // Of this there is nothing to read on the wire.
    }
}

#[test]
fn linphone_calls_over_udp_holds_and_resumes() {
    linphone_calls("udp");
}

#[test]
fn linphone_calls_over_tcp_holds_and_resumes() {
    linphone_calls("tcp");
}

#[test]
fn linphone_calls_over_tls_holds_and_resumes() {
    linphone_calls("tls");
}

#[test]
fn baresip_calls_linphone_which_takes_no_plain_media() {
    let _turn = turn();
    let house = House::new();
    let keys = "media_encryption=srtp\nmedia_encryption_mandatory=1\n";
    let mut callee = house.linphone_with("1002", "tcp", keys);
    let mut caller = house.baresip("1001", "udp");
    caller.dial(&house.uri("1002"));
    callee.says(STEP, "incoming call from");
    callee.tell("answer");
    caller.event(STEP, "CALL_ESTABLISHED");
    callee.speak_and_record();
    caller.hears(2 * SECONDS + 2);
    caller.hang_up();
    callee.says(STEP, "ended");
    assert_heard("baresip", &caller.heard(), &says("1002"), &says("1001"));
    house.judge(TALK);
}

/// pjsua2 calls baresip, holds, resumes, talks; both compare what they heard.
fn pjsua_calls(transport: &str) {
    let _turn = turn();
    let house = House::new();
    let mut callee = house.baresip("1002", "udp");
    let mut caller = house.pjsua("1001", transport, &json!({}));
    caller.tell(&json!({ "do": "call", "uri": house.uri("1002") }));
    callee.event(STEP, "CALL_INCOMING");
    let call = house.server.call();
    callee.answer();
    caller.state("CONFIRMED");
    callee.hears(HEARD);
    caller.tell(&json!({ "do": "hold" }));
    caller.media("held");
    caller.tell(&json!({ "do": "resume" }));
    caller.media("both ways");
    caller.tell(&json!({ "do": "hang_up" }));
    callee.event(STEP, "CALL_CLOSED");
    assert_heard("baresip", &callee.heard(), &says("1001"), &says("1002"));
    assert_heard_in_part("pjsua", &caller.heard(), &says("1002"), &says("1001"));
    let record = house.server.record(&call);
    assert_eq!(record["outcome"], "answered", "{record}");
    house.judge(TALK);
}

#[test]
fn pjsua_calls_over_udp_holds_and_resumes() {
    pjsua_calls("udp");
}

#[test]
fn pjsua_calls_over_tcp_holds_and_resumes() {
    pjsua_calls("tcp");
}

#[test]
fn pjsua_calls_over_tls_holds_and_resumes() {
    pjsua_calls("tls");
}

/// RFC 3515: linphonec sends the one it talks with to somebody else, and is out of the call.
#[test]
fn linphone_transfers_blindly() {
    let _turn = turn();
    let house = House::new();
    let mut stays = house.baresip("1002", "udp");
    let mut third = house.baresip("1003", "tcp");
    let mut mover = house.linphone("1001", "udp");
    mover.tell(&format!("call {}", house.uri("1002")));
    stays.event(STEP, "CALL_INCOMING");
    stays.answer();
    mover.says(STEP, "Media streams established");
    mover.tell(&format!("transfer {}", house.uri("1003")));
    third.event(STEP, "CALL_INCOMING");
    third.answer();
    third.event(STEP, "CALL_ESTABLISHED");
    mover.says(STEP, "ended");
    third.hears(HEARD);
    third.hang_up();
    stays.event(STEP, "CALL_CLOSED");
    house.judge(TALK);
}

/// RFC 3891: pjsua2 talks with one, asks another, and puts them together.
#[test]
fn pjsua_transfers_after_asking() {
    let _turn = turn();
    let house = House::new();
    let mut stays = house.baresip("1002", "udp");
    let mut third = house.baresip("1003", "udp");
    let mut mover = house.pjsua("1001", "udp", &json!({}));
    mover.tell(&json!({ "do": "call", "uri": house.uri("1002") }));
    stays.event(STEP, "CALL_INCOMING");
    stays.answer();
    mover.state("CONFIRMED");
    mover.tell(&json!({ "do": "hold" }));
    mover.media("held");
    mover.tell(&json!({ "do": "call", "uri": house.uri("1003") }));
    third.event(STEP, "CALL_INCOMING");
    third.answer();
    mover.state("CONFIRMED");
    mover.tell(&json!({ "do": "replace", "call": 0, "by": 1 }));
    mover.state("DISCONNECTED");
    mover.state("DISCONNECTED");
    third.hears(HEARD);
    third.hang_up();
    stays.event(STEP, "CALL_CLOSED");
    house.judge(TALK);
}

/// RFC 3891: linphonec talks with one, asks another, and puts them together.
#[test]
fn linphone_transfers_after_asking() {
    let _turn = turn();
    let house = House::new();
    let mut stays = house.baresip("1002", "udp");
    let mut third = house.baresip("1003", "udp");
    let mut mover = house.linphone("1001", "udp");
    mover.tell(&format!("call {}", house.uri("1002")));
    stays.event(STEP, "CALL_INCOMING");
    stays.answer();
    mover.says(STEP, "Media streams established");
    mover.tell("pause");
    mover.says(STEP, "is now paused");
    mover.tell(&format!("call {}", house.uri("1003")));
    third.event(STEP, "CALL_INCOMING");
    third.answer();
    mover.says(STEP, "Media streams established");
    mover.tell("transfer 1 --to-call 2");
    mover.says(STEP, "ended");
    mover.says(STEP, "ended");
    third.hears(HEARD);
    third.hang_up();
    stays.event(STEP, "CALL_CLOSED");
    house.judge(TALK);
}

/// RFC 3891 between event loops: the two calls that are put together live on different ones.
#[test]
fn pjsua_transfers_between_calls_on_different_shards() {
    const SHARDS: usize = 3;
    const TRIES: usize = 40;
    let _turn = turn();
    let house = House::with(&format!("shards = {SHARDS}"));
    let shard = |call: &str| CallId::parse(call).expect("an id of ours").slot().shard(SHARDS);
    let mut stays = house.baresip("1002", "udp");
    let mut third = house.baresip("1003", "udp");
    let mut mover = house.pjsua("1001", "udp", &json!({}));
    mover.tell(&json!({ "do": "call", "uri": house.uri("1002") }));
    stays.event(STEP, "CALL_INCOMING");
    stays.answer();
    mover.state("CONFIRMED");
    let first = house.server.call();
    mover.tell(&json!({ "do": "hold" }));
    mover.media("held");
    // The phone chooses the Call-ID, and that the loop: it calls until it has hit another.
    let apart = (0..TRIES).any(|_| {
        mover.tell(&json!({ "do": "call", "uri": house.uri("1003") }));
        third.event(STEP, "CALL_INCOMING");
        third.answer();
        mover.state("CONFIRMED");
        let calls = house.server.door.items("/v1/calls");
        let mut ids = calls.iter().filter_map(|call| call["id"].as_str());
        let second = ids.find(|id| *id != first).expect("the second call");
        let apart = shard(second) != shard(&first);
        if !apart {
            mover.tell(&json!({ "do": "hang_up" }));
            third.event(STEP, "CALL_CLOSED");
            mover.state("DISCONNECTED");
        }
        apart
    });
    assert!(apart, "{TRIES} calls, and all on one of {SHARDS} shards");
    mover.tell(&json!({ "do": "replace", "call": 0, "by": 1 }));
    mover.state("DISCONNECTED");
    mover.state("DISCONNECTED");
    third.hears(HEARD);
    third.hang_up();
    stays.event(STEP, "CALL_CLOSED");
    house.judge(TALK);
}

/// RFC 3428: what one writes the other reads, whoever made the phone; and what is written to nobody awake waits.
#[test]
fn messages_between_makes_of_phones() {
    let _turn = turn();
    let house = House::new();
    let mut pjsua = house.pjsua("1001", "tcp", &json!({}));
    let mut linphone = house.linphone("1002", "udp");
    pjsua.tell(&json!({ "do": "message", "uri": house.uri("1002"), "text": "are you there" }));
    assert_eq!(pjsua.event(STEP, "sent")["status"], 200);
    linphone.says(STEP, "are you there");
    linphone.tell(&format!("chat {} \"here I am\"", house.uri("1001")));
    let message = pjsua.event(STEP, "message");
    assert!(message["text"].as_str().is_some_and(|text| text.contains("here I am")), "{message}");
    pjsua.tell(&json!({ "do": "message", "uri": house.uri("1003"), "text": "for later" }));
    assert_eq!(pjsua.event(STEP, "sent")["status"], 202);
    let mut late = house.pjsua("1003", "udp", &json!({}));
    assert_eq!(late.event(STEP, "message")["text"], "for later");
    house.judge(&["sip"]);
}

/// RFC 4028: a phone that takes no call without a session timer gets the interval that it wants.
#[test]
fn pjsua_insists_on_a_session_timer() {
    let _turn = turn();
    let house = House::new();
    let mut callee = house.baresip("1002", "udp");
    let mut caller = house.pjsua("1001", "udp", &json!({ "timer": "required" }));
    caller.tell(&json!({ "do": "call", "uri": house.uri("1002") }));
    callee.event(STEP, "CALL_INCOMING");
    let call = house.server.call();
    callee.answer();
    caller.state("CONFIRMED");
    house.server.ladder(&call).assert_holds(&["INVITE ", "SIP/2.0 200"]);
    let ladder = house.server.ladder(&call);
    let answer = ladder.lane("sip_out").into_iter().find(|text| text.starts_with("SIP/2.0 200"));
    assert!(answer.is_some_and(|text| text.contains("Session-Expires: 90")), "{answer:?}");
    caller.tell(&json!({ "do": "hang_up" }));
    callee.event(STEP, "CALL_CLOSED");
    house.judge(CALL);
}

/// RFC 4733: keys that one presses the other hears.
#[test]
fn keys_between_makes_of_phones() {
    let _turn = turn();
    let house = House::new();
    let mut callee = house.pjsua("1002", "tcp", &json!({}));
    let mut caller = house.linphone("1001", "udp");
    caller.tell(&format!("call {}", house.uri("1002")));
    callee.event(STEP, "incoming");
    callee.tell(&json!({ "do": "answer" }));
    caller.says(STEP, "Media streams established");
    caller.speak_and_record();
    for key in ["4", "7"] {
        caller.tell(key);
        assert_eq!(callee.event(STEP, "dtmf")["digit"], key);
    }
    callee.tell(&json!({ "do": "hang_up" }));
    caller.says(STEP, "ended");
    house.judge(TALK);
}

/// RFC 3262: a caller who insists on reliable ringing gets it where the callee has sound before the answer, and a plain
/// call all the same where he has none.
#[test]
fn pjsua_insists_on_reliable_ringing() {
    let _turn = turn();
    let house = House::new();
    let mut callee = house.pjsua("1002", "udp", &json!({}));
    let mut caller = house.pjsua("1001", "udp", &json!({ "prack": "required" }));
    caller.tell(&json!({ "do": "call", "uri": house.uri("1002") }));
    callee.event(STEP, "incoming");
    let call = house.server.call();
    callee.tell(&json!({ "do": "answer", "status": 183 }));
    caller.state("EARLY");
    callee.tell(&json!({ "do": "answer" }));
    caller.state("CONFIRMED");
    house.server.ladder(&call).assert_holds(&["INVITE ", "SIP/2.0 183", "PRACK ", "SIP/2.0 200"]);
    caller.tell(&json!({ "do": "hang_up" }));
    callee.state("DISCONNECTED");
    house.judge(CALL);
}
