//! A call of two minutes behind a bad network, recorded by the real server: as long as the call, and like what was said.

#[path = "../../shell/sound/tests/judge/mod.rs"]
mod judge;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod legs;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::process::Command;
use std::time::Duration;

use judge::{BLOCK, Judgement, RATE, judge, voice};
use legs::relay::{Relay, Weather};
use legs::{Caller, Choir, Leg};
use serde_json::{Value, json};
use support::app::App;
use support::namespace::Namespace;
use support::phone::Phone;
use support::program::find;
use support::server::Server;
use support::{STEP, turn, until};

const NUMBER: &str = "+15550153";
/// Two minutes.
const SECONDS: usize = 120;
/// 5% are lost; up to 60 ms late is 30 ms about the mean.
const WEATHER: Weather = Weather { seed: 530, lost: 5, late_max: Duration::from_millis(60) };
const DOCUMENT: &str = "<Response><Dial record='record-from-answer-dual' recordingStatusCallback='/recorded'>\
                        <Client>1002</Client></Dial></Response>";
/// Around a moment in which the machine was late nothing is judged: so long before it, and so long after it.
const EXCUSED: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(600)];

/// What an app is told under this name, as it stands in a form.
fn said<'a>(body: &'a str, name: &str) -> &'a str {
    let found = body.split('&').filter_map(|pair| pair.split_once('='));
    found.into_iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

/// Seconds into its day of a time such as `2026-01-31T12:00:03.120Z`.
fn seconds(time: &Value) -> f64 {
    let time = time.as_str().expect("a time");
    let clock = time.split_once('T').expect("a clock").1.trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| 60.0 * sum + part.parse::<f64>().expect("a number"))
}

/// Seconds of a file of sound as each of these programs says; they must not complain of it.
#[track_caller]
fn read_by_others(path: &str) -> [f64; 2] {
    let ask = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path];
    [("ffprobe", &ask[..]), ("soxi", &["-D", path])].map(|(program, words)| {
        let output = Command::new(find(program)).args(words).output().expect("it starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds")
    })
}

#[test]
fn two_minutes_behind_a_bad_network_are_recorded_as_they_were_said() {
    let _turn = turn();
    let host = Namespace::alone();
    let app = App::start(&host, &[("/start", DOCUMENT)]);
    let server = Server::dev(&host, "127.0.0.1");
    let number = json!({ "voice_url": app.url("/start") }).to_string();
    server.door.put(&format!("/v1/numbers/{NUMBER}"), "application/json", number.as_bytes());
    let (sip, env) = (server.sip.to_string(), server.env.to_string_lossy());
    let login = ["--server", &sip, "--env", &env, "--user", "1002"];
    let spoken = voice(SECONDS);
    let mut callee = Phone::start(&host, &login, &["answer"], &spoken);
    server.bindings("1002", 1);

    let caller = Caller {
        host: &host,
        address: "127.0.0.1",
        server: server.sip,
        domain: &server.written["SIP_DOMAIN"],
        user: "1001",
        password: &server.written["SIP_PASSWORD"],
    };
    let network = Relay::start(&host, "127.0.0.1", WEATHER);
    let leg = Leg::call_behind(&caller, Some(&network), NUMBER, spoken.clone());
    let id = server.call();
    let choir = Choir::start(vec![leg]);
    let packets = SECONDS * RATE / BLOCK;
    let whole = Duration::from_secs(SECONDS as u64) + STEP;
    until(whole, "two minutes of sound", || (network.counts()[0] >= packets).then_some(()));
    choir.end().iter_mut().for_each(Leg::hang_up);
    callee.event(STEP, "ended");

    let record = server.record(&id);
    let talked = seconds(&record["ended_at"]) - seconds(&record["answered_at"]);
    let talked = talked.rem_euclid(86_400.0);
    let told = app.said("/recorded");
    let url = said(&told, "RecordingUrl");
    let path = format!("/media/{}", url.rsplit("%2F").next().unwrap_or_default());
    let file = server.door.ask("GET", &path, None, "", b"");
    assert_eq!(file.status, 200, "{path}: {told}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("recording.wav");
    std::fs::write(&path, &file.body).expect("the folder can be written");
    for seconds in read_by_others(&path.to_string_lossy()) {
        let off = (seconds / talked - 1.0).abs();
        assert!(off < 0.002, "{seconds} s recorded of a call of {talked} s");
    }
    let [heard, clean] = channels(&path);
    let stalls = network.stalls();
    let excused = |place: usize| {
        let at = Duration::from_secs_f64(place as f64 / RATE as f64);
        stalls.iter().any(|stall| at + EXCUSED[0] > *stall && at < *stall + EXCUSED[1])
    };
    let judgement = judge(&heard, &spoken, excused);
    let Judgement { count, bad, longest, score, moved, late } = judgement;
    let [sent, lost] = network.counts();
    println!(
        "recorded by the server behind {lost} of {sent} packets lost and up to {} ms of delay: {} s of {talked} s, delay {} \
         to {} ms, moved {moved} times, score {score:.4} of 1, {bad} of {count} blocks of 20 ms unlike what was sent, the \
         longest run {longest} ms; the machine was late {} times",
        WEATHER.late_max.as_millis(),
        heard.len() as f64 / RATE as f64,
        late[0],
        late[1],
        stalls.len(),
    );
    assert!(count > packets / 2, "the machine was late too often: {count} blocks could be judged");
    assert!(longest <= 40, "a click of {longest} ms");
    assert!(score > 0.95, "score {score}");
    assert!(bad * 100 < count * usize::from(WEATHER.lost), "{bad} of {count}");
    assert!((4..=6).contains(&(100 * lost / sent)), "{lost} of {sent} were lost");
    // The other side's network was good. It is silent for a second before it speaks.
    let silence = vec![0; RATE];
    let spoken = [silence, spoken].concat();
    let judgement = judge(&clean, &spoken, excused);
    println!("the other side: {judgement:?}");
    assert!(judgement.score > 0.99, "{judgement:?}");
}

/// The two sides of a recording.
#[track_caller]
fn channels(path: &std::path::Path) -> [Vec<i16>; 2] {
    let mut file = hound::WavReader::open(path).expect("a recording");
    assert_eq!((file.spec().channels, file.spec().sample_rate), (2, RATE as u32));
    let samples: Vec<i16> = file.samples().map(|sample| sample.expect("a sample")).collect();
    [0, 1].map(|side| samples.iter().skip(side).step_by(2).copied().collect())
}
