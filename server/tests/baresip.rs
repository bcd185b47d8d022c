//! Foreign phones call through `carillon serve`, and each hears what the other says.
//!
//! Server and phones are two hosts on a wire. What was heard is compared with what was said, and with what the other
//! side said as a control: sound that came back to its speaker would be noticed.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use support::baresip::{Baresip, Login};
use support::capture::{Capture, REPORTED, TALK};
use support::namespace::{Namespace, SERVER};
use support::phone::Phone;
use support::server::{DOMAIN, PASSWORD, SHARED, Server};
use support::wave::{RATE, assert_heard, loudness, speech_like, tone};
use support::{STEP, turn, until};

/// How long each side speaks.
const SECONDS: usize = 3;
/// How much each side must have heard by then: silence before and after, and the way.
const HEARD: usize = SECONDS + 2;

/// The server with 1001 and 1002 on one host, and the wire to the other.
struct House {
    phones: Namespace,
    server: Server,
    capture: Capture,
    /// What 1001 and 1002 say.
    said: [Vec<i16>; 2],
}

impl House {
    fn new() -> Self {
        Self::by(|host| Server::serve(host, SERVER, "", ""))
    }

    /// The same with one port for the media of all, which offers AMR.
    fn sharing() -> Self {
        Self::by(|host| Server::serve_sharing(host, SERVER))
    }

    fn by(serve: impl FnOnce(&Namespace) -> Server) -> Self {
        let (host, phones) = Namespace::pair();
        let capture = Capture::start(&host);
        let server = serve(&host);
        server.make_user("1001");
        server.make_user("1002");
        let said = [1001, 1002].map(|seed| speech_like(seed, SECONDS));
        Self { phones, server, capture, said }
    }

    fn baresip(&self, user: &str, transport: &str, port: u16) -> Baresip {
        self.baresip_with(user, transport, port, &["g711"])
    }

    fn baresip_with(&self, user: &str, transport: &str, port: u16, codecs: &[&str]) -> Baresip {
        let server = self.server.sip.to_string();
        let login = Login { user, password: PASSWORD, server: &server, transport, port };
        let phone = Baresip::start_with(&self.phones, &login, self.says(user), codecs);
        self.server.bindings(user, 1);
        phone
    }

    fn phone(&self, user: &str, action: &[&str]) -> Phone {
        let server = self.server.sip.to_string();
        let login =
            ["--server", &server, "--domain", DOMAIN, "--user", user, "--password", PASSWORD];
        Phone::start(&self.phones, &login, action, self.says(user))
    }

    fn says(&self, user: &str) -> &[i16] {
        &self.said[usize::from(user != "1001")]
    }

    /// Fails unless the call is over, with a record and a ladder that tell it all, and tshark found nothing.
    fn assert_told(self, call: &str, hung_up_by: &str) {
        self.assert_recorded(call, hung_up_by);
        self.capture.judge(SERVER, TALK);
    }

    fn assert_recorded(&self, call: &str, hung_up_by: &str) {
        let record = self.server.record(call);
        assert_eq!(record["hung_up_by"], hung_up_by, "{record}");
        assert_eq!(record["outcome"], "answered", "{record}");
        assert!(record["talk_seconds"].as_u64() >= Some(SECONDS as u64), "{record}");
        for side in ["caller", "callee"] {
            let told = &record["quality"][side];
            assert!(
                told["packets"].as_u64() > Some(50) && told["mos"].as_f64() > Some(3.9),
                "{told}"
            );
        }
        self.server.ladder(call).assert_holds(&[
            "INVITE ",
            "INVITE ",
            "SIP/2.0 180",
            "SIP/2.0 200",
            "ACK ",
            "BYE ",
            "SIP/2.0 200",
        ]);
    }
}

/// Who ends the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Callee,
    Caller,
}

fn baresips_talk(house: &House, transport: &str, caller_has: &[&str], end: End) {
    let mut caller = house.baresip_with("1001", transport, 5070, caller_has);
    let mut callee = house.baresip("1002", transport, 5080);
    caller.dial(&format!("sip:1002@{}", house.server.sip));
    callee.event(STEP, "CALL_INCOMING");
    let call = house.server.call();
    callee.answer();
    caller.event(STEP, "CALL_ESTABLISHED");
    caller.hears(HEARD);
    callee.hears(HEARD);
    until(STEP, "reports of both phones on what they hear", || {
        let quality = house.server.door.get(&format!("/v1/calls/{call}"))["quality"].take();
        let told = |side: &str| quality[side]["told_lost_percent"].is_number();
        (told("caller") && told("callee")).then_some(())
    });
    let hung_up_by = match end {
        End::Callee => {
            callee.hang_up();
            "callee"
        }
        End::Caller => {
            caller.hang_up();
            "caller"
        }
    };
    caller.event(STEP, "CALL_CLOSED");
    callee.event(STEP, "CALL_CLOSED");
    assert_heard("the caller", &caller.heard(), house.says("1002"), house.says("1001"));
    assert_heard("the callee", &callee.heard(), house.says("1001"), house.says("1002"));
    house.assert_recorded(&call, hung_up_by);
}

#[test]
fn two_baresips_talk_over_udp_on_a_port_that_they_share_and_the_caller_hangs_up() {
    let _turn = turn();
    let house = House::sharing();
    baresips_talk(&house, "udp", &["g711"], End::Caller);
    assert_eq!(house.capture.judge(SERVER, REPORTED), [SHARED].into());
}

#[test]
fn a_baresip_that_demands_keys_calls_one_without_over_tcp_and_the_callee_hangs_up() {
    let _turn = turn();
    let house = House::new();
    baresips_talk(&house, "tcp", &["g711", "srtp"], End::Callee);
    // Control that is sealed is read as if it were not, so it is not asked for.
    house.capture.judge(SERVER, TALK);
}

#[test]
fn our_phone_calls_baresip_and_hangs_up() {
    let _turn = turn();
    let house = House::new();
    let mut callee = house.baresip("1002", "udp", 5080);
    let mut caller = house.phone("1001", &["call", "1002"]);
    callee.event(STEP, "CALL_INCOMING");
    let call = house.server.call();
    callee.answer();
    caller.event(STEP, "answered");
    callee.hears(HEARD);
    caller.hang_up();
    callee.event(STEP, "CALL_CLOSED");
    assert_heard("baresip", &callee.heard(), house.says("1001"), house.says("1002"));
    assert_heard("our phone", &caller.heard(), house.says("1002"), house.says("1001"));
    house.assert_told(&call, "caller");
}

#[test]
fn baresip_calls_our_phone_which_hangs_up() {
    let _turn = turn();
    let house = House::new();
    let mut caller = house.baresip("1001", "udp", 5070);
    let mut callee = house.phone("1002", &["answer"]);
    callee.event(STEP, "registered");
    house.server.bindings("1002", 1);
    caller.dial(&format!("sip:1002@{}", house.server.sip));
    callee.event(STEP, "answered");
    let call = house.server.call();
    caller.event(STEP, "CALL_ESTABLISHED");
    caller.hears(HEARD);
    callee.hang_up();
    caller.event(STEP, "CALL_CLOSED");
    assert_heard("baresip", &caller.heard(), house.says("1002"), house.says("1001"));
    assert_heard("our phone", &callee.heard(), house.says("1001"), house.says("1002"));
    house.assert_told(&call, "callee");
}

/// One phone has nothing but Opus, one nothing but AMR, the other nothing but G.711, and each of the two calls the other: all
/// by one port.
#[test]
fn phones_without_a_common_codec_hear_each_other_on_a_port_that_they_share() {
    let _turn = turn();
    let house = House::sharing();
    house.server.make_user("1003");
    let server = house.server.sip.to_string();
    let (high, low) = (620.0, 440.0);
    let phone = |user, codec, port, pitch| {
        let login = Login { user, password: PASSWORD, server: &server, transport: "udp", port };
        let phone = Baresip::start_with(&house.phones, &login, &tone(pitch, 120), &[codec]);
        house.server.bindings(user, 1);
        phone
    };
    let mut opus = phone("1001", "opus", 5070, high);
    let mut amr = phone("1003", "amr", 5090, high);
    let mut g711 = phone("1002", "g711", 5080, low);
    for (user, first) in [("1001", true), ("1001", false), ("1003", true), ("1003", false)] {
        let other = if user == "1001" { &mut opus } else { &mut amr };
        let (caller, callee, called) = match first {
            true => (other, &mut g711, "1002"),
            false => (&mut g711, other, user),
        };
        caller.dial(&format!("sip:{called}@{server}"));
        callee.event(STEP, "CALL_INCOMING");
        let call = house.server.call();
        callee.answer();
        caller.event(STEP, "CALL_ESTABLISHED");
        hears(caller, if first { low } else { high });
        hears(callee, if first { high } else { low });
        caller.hang_up();
        caller.event(STEP, "CALL_CLOSED");
        callee.event(STEP, "CALL_CLOSED");
        assert_eq!(house.server.record(&call)["outcome"], "answered");
    }
    assert_eq!(house.capture.judge(SERVER, TALK), [SHARED].into());
}

/// Waits until the phone hears this pitch and little else: in half a second of sound.
#[track_caller]
fn hears(phone: &Baresip, pitch: f64) {
    until(STEP, "the tone of the other phone", || {
        let (heard, rate) = phone.heard_so_far()?;
        let newest = heard.get(heard.len().checked_sub(rate / 2)?..)?;
        let loud = |pitch: f64| loudness(newest, pitch * RATE as f64 / rate as f64);
        let other = if pitch < 500.0 { 620.0 } else { 440.0 };
        (loud(pitch) > 1_500.0 && loud(other) < loud(pitch) / 20.0).then_some(())
    });
}
