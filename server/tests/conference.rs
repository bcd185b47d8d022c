//! A conference of fifty whom an app sends there: each says a tone of his own, hears the others' and not his own.
//!
//! Forty-six legs are sockets of the test and four are programs (`carillon phone`): fifty programs, each with its files
//! and its start, would keep two processors busy for longer than the conference that is to be shown. The server does
//! not tell them apart.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod legs;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use legs::{Caller, Choir, Leg};
use serde_json::json;
use support::app::App;
use support::namespace::Namespace;
use support::phone::Phone;
use support::server::Server;
use support::wave::{RATE, loudness, tone};
use support::{STEP, until, whole_machine};

const NUMBER: &str = "+15550150";
/// What the app answers to everything.
const DOCUMENT: &str =
    "<Response><Dial><Conference beep='false' waitUrl=''>Fifty</Conference></Dial></Response>";

/// Legs of the conference: as many as the mixer adds up, so that all are heard (`media::LOUDEST_MAX`).
const LEGS: usize = 50;
/// How many of them are programs of their own: the first ones.
const PROGRAMS: usize = 4;
/// The amplitude of each. All together stay within what 16 bits can say.
const SAID: f64 = 560.0;
/// What is looked at at once: half a second, in which Goertzel's sum tells tones apart that differ by eight hertz.
const LOOK: usize = RATE / 2;
/// Somebody is heard with at least half of what he said, and his own ear has less than a tenth of it: what is left over
/// of the others' tones by G.711 and by a packet that came late is below that.
const HEARD_MIN: f64 = SAID / 2.0;
const OWN_MAX: f64 = SAID / 10.0;
/// The same wherever one looks at all that he heard, while others come and go.
const OWN_EVER_MAX: f64 = SAID / 4.0;

/// What this leg says. Units: hertz. None is a multiple of another, and each fits a second a whole number of times.
fn pitch(leg: usize) -> f64 {
    307.0 + 61.0 * leg as f64
}

/// What a leg says for so long, softly.
fn softly(leg: usize, seconds: usize) -> Vec<i16> {
    let share = SAID / f64::from(*tone(pitch(leg), 1).iter().max().expect("samples"));
    tone(pitch(leg), seconds).iter().map(|sample| (f64::from(*sample) * share) as i16).collect()
}

/// Whether this is long enough, all others are heard in it, and he himself is not.
fn hears_all_others(leg: usize, part: &[i16]) -> bool {
    let others = (0..LEGS).filter(|other| *other != leg);
    part.len() == LOOK
        && loudness(part, pitch(leg)) < OWN_MAX
        && others.map(pitch).all(|pitch| loudness(part, pitch) > HEARD_MIN)
}

/// Fails where this leg heard itself.
#[track_caller]
fn never_heard_itself(leg: usize, heard: &[i16]) {
    for part in heard.chunks_exact(LOOK) {
        let own = loudness(part, pitch(leg));
        assert!(own < OWN_EVER_MAX, "leg {leg} hears {own} of its own {SAID}");
    }
}

/// The tones that are heard too softly, and the own one, for whoever reads why the test failed.
fn missing(leg: usize, heard: &[i16]) -> String {
    let part = &heard[heard.len().saturating_sub(LOOK)..];
    let loud: Vec<_> = (0..LEGS).map(|other| loudness(part, pitch(other)) as u32).collect();
    format!("leg {leg} after {} samples: its own {}, all {loud:?}", heard.len(), loud[leg])
}

#[test]
fn fifty_in_a_conference_hear_each_other_and_nobody_himself() {
    assert_eq!(media::LOUDEST_MAX, LEGS, "all of them are to be heard");
    let _turn = whole_machine();
    let host = Namespace::alone();
    let app = App::start(&host, &[("/meet", DOCUMENT)]);
    let server = Server::dev(&host, "127.0.0.1");
    let number = json!({ "voice_url": app.url("/meet") }).to_string();
    server.door.put(&format!("/v1/numbers/{NUMBER}"), "application/json", number.as_bytes());

    let (sip, env) = (server.sip.to_string(), server.env.to_string_lossy());
    let login = ["--server", &sip, "--env", &env, "--user", "1001"];
    let phone = |leg| Phone::start(&host, &login, &["call", NUMBER], &softly(leg, 100));
    let mut phones: Vec<_> = (0..PROGRAMS).map(phone).collect();
    let caller = Caller {
        host: &host,
        address: "127.0.0.1",
        server: server.sip,
        domain: &server.written["SIP_DOMAIN"],
        user: "1002",
        password: &server.written["SIP_PASSWORD"],
    };
    let call = |leg| Leg::call(&caller, NUMBER, softly(leg, 1));
    let choir = Choir::start((PROGRAMS..LEGS).map(call).collect());
    phones.iter_mut().for_each(|phone| drop(phone.event(STEP, "answered")));

    for leg in PROGRAMS..LEGS {
        let heard = || choir.heard(leg - PROGRAMS);
        let newest =
            |heard: &[i16]| heard.len().checked_sub(LOOK).map(|from| heard[from..].to_vec());
        let all = || newest(&heard()).filter(|part| hears_all_others(leg, part)).map(drop);
        until(STEP, &format!("all others at leg {leg}"), all);
    }
    // Everybody is heard by now. Programs show what they heard when they are over: they get some seconds of it.
    let enough = choir.heard(0).len() + 3 * RATE;
    until(STEP, "more sound", || (choir.heard(0).len() > enough).then_some(()));
    for (leg, phone) in phones.iter_mut().enumerate() {
        phone.hang_up();
        let heard = phone.heard();
        let mut places = (0..heard.len()).step_by(LOOK / 2);
        let there = places.any(|from| {
            heard.get(from..from + LOOK).is_some_and(|part| hears_all_others(leg, part))
        });
        assert!(there, "{}", missing(leg, &heard));
        never_heard_itself(leg, &heard);
    }
    for leg in PROGRAMS..LEGS {
        never_heard_itself(leg, &choir.heard(leg - PROGRAMS));
    }
    choir.end().iter_mut().for_each(Leg::hang_up);
    until(STEP, "the end of all calls", || server.door.items("/v1/calls").is_empty().then_some(()));
    assert!(app.count() >= LEGS, "each call has asked for its document");
}
