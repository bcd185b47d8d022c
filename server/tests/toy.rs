//! The gate of the middle, over real sockets: the toy room joins two legs that live on different shards, is handed one,
//! and survives SIGKILL.
//!
//! The server of this test has the toy room in its corridor. It is this very program, started once more: only what is a
//! process of its own can be killed.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod crowd;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use crowd::sound::{Ear, Sound};
use crowd::{Crowd, State};
use server::config::{self, Base};
use server::host::{Host, How};
use support::namespace::Namespace;
use support::program::Launch;
use support::raw::{Ask, Heard, Raw};
use support::server::{DOMAIN, PASSWORD, Server};
use support::{STEP, turn, until};
use switchboard::{Effects, Keys, Manifest, Service, Session};

/// Names the configuration for the program that plays the server.
const PLAYS: &str = "CARILLON_TEST_PLAYS_SERVER";

const SHARDS: usize = 2;

/// Where the phones of a crowd are.
const PHONES: &str = "127.0.0.2";
/// How often each side must hear something new, and how long an answer that must not come is waited for.
const ROUNDS: usize = 10;
const PROBE: Duration = Duration::from_millis(100);

/// No test by itself: the server, when this program is started as one.
#[test]
fn play_the_server() {
    let Some(file) = env::var_os(PLAYS) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(serve(Path::new(&file)));
}

async fn serve(file: &Path) {
    let loaded = config::load(Some(file), Base::Serve, &[]).expect("a file that can be read");
    let how = How {
        base: Base::Serve,
        record: None,
        env_folder: env::temp_dir(),
        rooms: |config| {
            let mut rooms = services::open(config);
            rooms.insert(0, sim::toy::room());
            rooms.insert(0, Box::new(Fragile));
            rooms
        },
    };
    let host = Host::start(&loaded, &how).await.expect("a server");
    while !host.ready() {
        tokio::task::yield_now().await;
    }
    let line = serde_json::json!({
        "ready": true,
        "http": format!("http://{}", host.http),
        "sip": host.sip.to_string(),
        "env": host.credentials.env_file,
    });
    println!("{line}");
    std::future::pending().await
}

#[test]
fn two_callers_on_two_shards_meet_and_the_meeting_survives_a_kill() {
    let _turn = turn();
    let host = Namespace::alone();
    let own = env::current_exe().expect("this program has a path");
    let sip = format!("require_auth = false\nshards = {SHARDS}");
    let mut server = Server::serve_by(&host, "127.0.0.1", &sip, "", |file| {
        Launch::built(&own.to_string_lossy())
            .words(["--exact", "play_the_server", "--nocapture", "--test-threads=1"])
            .environment(PLAYS, file)
    });
    let secret = fs::read(server.folder().join("data/secret")).expect("the node's secret");
    let keys = Keys::new(secret.try_into().expect("32 octets"));

    let mut guests: Vec<Guest> = (0..SHARDS)
        .map(|shard| Guest {
            raw: Raw::new(&host, "127.0.0.1", server.sip),
            call_id: on_shard(&keys, shard),
            answer: None,
        })
        .collect();
    for guest in &mut guests {
        let sdp = guest.raw.sdp();
        guest.say("INVITE", "sip:meet-noon@example.com", &sdp);
    }
    for guest in &mut guests {
        let answer = guest.raw.response("INVITE");
        assert_eq!(answer.status(), 200, "{}", answer.text);
        guest.raw.acknowledge(&answer);
        guest.answer = Some(answer);
        // Answered on the same shard behind the ACK.
        guest.say("OPTIONS", "sip:example.com", "");
        assert_eq!(guest.raw.response("OPTIONS").status(), 200);
    }

    server.kill_and_restart();

    let [first, second] = guests.as_mut_slice() else { panic!("two guests") };
    let contact = first.answer.as_ref().expect("it was answered").contact();
    first.say("BYE", &contact, "");
    let over = first.raw.response("BYE");
    assert_eq!(over.status(), 200, "{}", over.text);
    let heard = second.raw.hear("the BYE for the other", |heard| {
        // The ACK may have died with the server, which then says its answer again and holds the BYE until it has one.
        // Spec: RFC 3261 §13.2.2.4, §15.1.1
        if heard.status() == 200 && heard.method() == "INVITE" {
            second.raw.acknowledge(heard);
        }
        heard.status() == 0 && heard.method() == "BYE"
    });
    assert_eq!(heard.field("Call-ID"), Some(&*second.call_id));
    second.raw.answer(&heard, "200 OK", "", "", "");
    server.assert_alive();
}

/// Breaks over whoever calls `glass`, and stands still when somebody calls `sand`.
struct Fragile;

/// Files in the folder of the server: one that the room makes as it begins to stand still, one that ends it.
const STANDS: &str = "stands";
const GO_ON: &str = "go-on";

static FRAGILE: Manifest = Manifest { name: "fragile", ..Manifest::EMPTY };

impl Service for Fragile {
    fn manifest(&self) -> &'static Manifest {
        &FRAGILE
    }

    fn offer(&mut self, session: &Session<'_>, _: &mut Effects<'_>) -> bool {
        if let Session::Invite { target, .. } = session {
            assert_ne!(*target, "glass", "on purpose");
            if *target == "sand" {
                stand_still();
            }
        }
        false
    }
}

#[test]
fn a_room_that_panics_leaves_a_file_that_can_be_shown() {
    let _turn = turn();
    let host = Namespace::alone();
    let own = env::current_exe().expect("this program has a path");
    let mut server = Server::serve_by(&host, "127.0.0.1", "require_auth = false", "", |file| {
        Launch::built(&own.to_string_lossy())
            .words(["--exact", "play_the_server", "--nocapture", "--test-threads=1"])
            .environment(PLAYS, file)
    });
    let mut caller = Raw::new(&host, "127.0.0.1", server.sip);
    let body = caller.sdp();
    let refused = caller.ask(&Ask {
        method: "INVITE",
        uri: "sip:glass@example.com",
        from: "<sip:guest@example.com>;tag=guest",
        to: "<sip:glass@example.com>",
        call_id: "breaks",
        more: "Authorization: Digest username=\"guest\", realm=\"elsewhere\", response=\"0badcafe\"\r\n",
        body: &body,
    });
    assert_eq!(refused.status(), 500, "{}", refused.text);
    let folder = server.folder().join("data/crashes");
    let files = until(STEP, "the file", || {
        let files: Vec<_> = fs::read_dir(&folder).ok()?.filter_map(Result::ok).collect();
        // The last of it is written.
        let whole = files.iter().all(|file| {
            sim::replay::show(&fs::read(file.path()).unwrap_or_default())
                .is_some_and(|lines| lines.len() > 1)
        });
        (whole && !files.is_empty()).then_some(files)
    });
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let name = file.file_name().to_string_lossy().into_owned();
    assert!(name.contains("-fragile-") && name.ends_with(".car"), "{name}");
    let lines = sim::replay::show(&fs::read(file.path()).expect("a file")).expect("a report");
    assert!(lines[0].starts_with("the room fragile panicked"), "{lines:#?}");
    let last = lines.last().expect("the input");
    assert!(last.contains("INVITE sip:glass@example.com") && !last.contains("0badcafe"), "{last}");
    // The room is there again, and so are the others.
    let answer = caller.ask(&Ask {
        method: "OPTIONS",
        uri: "sip:example.com",
        from: "<sip:guest@example.com>;tag=guest",
        to: "<sip:example.com>",
        call_id: "goes-on",
        more: "",
        body: "",
    });
    assert_eq!(answer.status(), 200, "{}", answer.text);
    server.assert_alive();
}

/// Holds the thread of this shard until the test says go on.
fn stand_still() {
    let file = env::var_os(PLAYS).expect("this is the server");
    let folder = Path::new(&file).parent().expect("a folder");
    fs::write(folder.join(STANDS), "").expect("a file");
    until(STEP, "a word to go on", || folder.join(GO_ON).exists().then_some(()));
}

#[test]
fn sound_goes_on_while_a_shard_stands_still_and_when_a_room_breaks() {
    let _turn = turn();
    let host = Namespace::alone();
    let own = env::current_exe().expect("this program has a path");
    let sip = "require_auth = false\nshards = 1";
    let mut server = Server::serve_by(&host, "127.0.0.1", sip, "", |file| {
        Launch::built(&own.to_string_lossy())
            .words(["--exact", "play_the_server", "--nocapture", "--test-threads=1"])
            .environment(PLAYS, file)
    });
    server.make_user("2001");
    let mut crowd = Crowd::new(&host, PHONES, server.sip);
    crowd.register(DOMAIN, PASSWORD, &[("2001".to_owned(), "desk".to_owned())]);
    let [mut caller, mut callee] = [(); 2].map(|()| Ear::new(&host, PHONES));
    crowd.ports.insert("talk".to_owned(), callee.port());
    caller.end = crowd.call("2001", DOMAIN, "talk", caller.port());
    crowd.until(STEP, "the call is up", |crowd| crowd.ends[caller.end].state == State::Up);
    callee.end = crowd.callee(caller.end).expect("he was called");
    let mut sound = Sound::new();
    sound.ears.extend([caller, callee]);
    let address = server.sip.ip();
    sound.until_all_hear(address, &mut crowd);

    // The only shard stands still: SIP waits, sound does not.
    let stuck = crowd.call("sand", DOMAIN, "sand", 0);
    let folder = server.folder().to_owned();
    until(STEP, "it stands", || folder.join(STANDS).exists().then_some(()));
    let mut probe = Raw::new(&host, PHONES, server.sip);
    let options = |probe: &mut Raw, call_id: &str| {
        let text = probe.text(&Ask {
            method: "OPTIONS",
            uri: "sip:example.com",
            from: "<sip:guest@example.com>;tag=guest",
            to: "<sip:example.com>",
            call_id,
            more: "",
            body: "",
        });
        probe.send(text);
    };
    options(&mut probe, "while-it-stands");
    for _ in 0..ROUNDS {
        sound.until_all_hear(address, &mut crowd);
    }
    let early = probe.hear_within(PROBE, |heard| heard.status() > 0);
    assert!(early.is_none(), "the shard did not stand still: {early:?}");
    assert_eq!(crowd.ends[stuck].state, State::Trying);
    fs::write(folder.join(GO_ON), "").expect("a file");
    assert_eq!(probe.response("OPTIONS").status(), 200);

    // A room breaks, and begins anew.
    let broken = crowd.call("glass", DOMAIN, "glass", 0);
    crowd.until(STEP, "it breaks", |crowd| crowd.ends[broken].state == State::Refused(500));
    for _ in 0..ROUNDS {
        sound.until_all_hear(address, &mut crowd);
    }
    // The call is there still, and ends as any.
    let end = sound.ears[0].end;
    crowd.bye(end);
    crowd.until(STEP, "it is over", |crowd| crowd.ends[end].state == State::Over);
    assert_eq!(crowd.ends[end].last, 200);
    server.assert_alive();
}

/// One who comes to the meeting.
struct Guest {
    raw: Raw,
    call_id: String,
    answer: Option<Heard>,
}

impl Guest {
    fn say(&mut self, method: &str, uri: &str, body: &str) {
        let answered = self.answer.as_ref().and_then(|answer| answer.field("To"));
        let to = answered.filter(|_| method == "BYE").unwrap_or("<sip:meet-noon@example.com>");
        let (from, call_id) = ("<sip:guest@example.com>;tag=guest", &*self.call_id);
        let text = self.raw.text(&Ask { method, uri, from, to, call_id, more: "", body });
        self.raw.send(text);
    }
}

/// A Call-ID whose calls begin on this shard.
fn on_shard(keys: &Keys, shard: usize) -> String {
    let mut names = (0..1_000).map(|number| format!("guest-{number}"));
    let fits = |name: &String| keys.slot(name.as_bytes()).shard(SHARDS) == shard;
    names.find(fits).expect("one of a thousand falls on each shard")
}
