//! The disk is full, the database is locked: what goes on, what is refused, what is found afterwards.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use drill::{Call, DOMAIN, Drill, OPEN, PASSWORD};
use support::program::find;
use support::raw::{Ask, Heard, Raw, credentials};
use support::{STEP, until};

/// Size of the disk that gets full.
const DISK: &str = "size=16m";
/// People whose phones register, in turn: each may have a few only.
const USERS: [&str; 6] = ["alice", "bert", "carl", "dora", "emil", "fred"];
/// The longest time that the API takes for an answer.
const API_MAX: Duration = Duration::from_secs(30);

/// A small disk of its own.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    #[track_caller]
    fn mount(folder: PathBuf) -> Self {
        fs::create_dir(&folder).expect("a folder");
        let mut mount = Command::new(find("mount"));
        let done = mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&folder).status();
        assert!(done.expect("mount starts").success(), "mounting is for root");
        Self { folder }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Until not one octet more fits.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file");
        for block in [65_536, 4_096, 1] {
            let octets = vec![0; block];
            while filler.write_all(&octets).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Failing here would hide why a test failed.
        let _ = Command::new(find("umount")).arg("--lazy").arg(&self.folder).status();
    }
}

/// Sends a REGISTER, with a proof if it is asked for; the answer to it.
fn try_register(phone: &mut Raw, user: &str) -> Heard {
    let (uri, address) = (format!("sip:{DOMAIN}"), format!("<sip:{user}@{DOMAIN}>"));
    let call_id = format!("full-{}", phone.own.port());
    let ask = Ask {
        method: "REGISTER",
        uri: &uri,
        from: &format!("{address};tag=1"),
        to: &address,
        call_id: &call_id,
        more: "Expires: 600\r\n",
        body: "",
    };
    let first = phone.ask(&ask);
    let Some(proof) = credentials(&first, &ask, user, PASSWORD) else { return first };
    phone.ask(&Ask { more: &format!("{}{proof}", ask.more), ..ask.clone() })
}

/// Alice would like to speak with Bert.
fn invite(sdp: &str) -> Ask<'_> {
    Ask {
        method: "INVITE",
        uri: "sip:bert@example.com",
        from: "<sip:alice@example.com>;tag=9",
        to: "<sip:bert@example.com>",
        call_id: "while-full",
        more: "",
        body: sdp,
    }
}

/// How many bindings all of them have.
fn bindings(drill: &Drill) -> usize {
    let of = |user: &&str| drill.door.items(&format!("/v1/bindings?user={user}")).len();
    USERS.iter().map(of).sum()
}

#[test]
fn a_full_disk_acknowledges_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path().join("disk"));
    let data = disk.folder.join("data");
    let text = drill::text(&data, "", OPEN, "");
    let mut drill = Drill::start_in(folder, &data, &[], &text);
    let mut phones: Vec<_> = USERS.iter().map(|user| drill.phone(user)).collect();
    let [mut alice, mut bert] = ["alice", "bert"].map(|user| {
        let mut phone = Raw::new(&drill.host, "127.0.0.1", drill.sip);
        phone.register(DOMAIN, user, PASSWORD);
        phone
    });
    let mut acknowledged = USERS.len() + 2;
    let call = Call::begin(&mut alice, &mut bert, "bert", "runs-on");
    assert_eq!(drill.parts().0, 200);
    disk.fill();

    // A page that is already there, and what the log set aside, take a few refreshes more.
    let mut turns = (0..USERS.len()).cycle();
    until(STEP, "a registration that is refused", || {
        let turn = turns.next()?;
        let heard = try_register(&mut phones[turn], USERS[turn]);
        let refused = heard.status() == 503;
        assert_eq!(heard.field("Retry-After"), refused.then_some("5"), "{}", heard.text);
        assert!(refused || heard.status() == 200, "{}", heard.text);
        refused.then_some(())
    });
    drill.until_part(503, "keeper", false);
    println!("503 from now on; {}", drill.parts().1);
    let mut phone = Raw::new(&drill.host, "127.0.0.1", drill.sip);
    assert_eq!(try_register(&mut phone, USERS[5]).status(), 503);
    // The call that ran goes on, and can be ended; no new one begins.
    let refused = alice.ask(&invite(&alice.sdp()));
    assert_eq!((refused.status(), refused.field("Retry-After")), (503, Some("5")));
    call.end(&mut alice, &mut bert);
    let refused = drill.put_user("zoe");
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.body));
    assert_eq!(refused.json()["code"], "switchboard.log_unwritable");
    let metrics = drill.door.ask("GET", "/metrics", None, "", b"").body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("carillon_up_component{component=\"keeper\"} 0"), "{metrics}");
    assert_eq!(bindings(&drill), acknowledged, "nobody has a binding that he was not told of");

    disk.free();
    drill.until_part(200, "keeper", true);
    drill.until_part(200, "store", true);
    assert_eq!(try_register(&mut phone, USERS[5]).status(), 200);
    acknowledged += 1;
    assert_eq!(drill.put_user("zoe").status, 201);
    assert_eq!(bindings(&drill), acknowledged);
    drill.kill_and_restart();
    assert_eq!(bindings(&drill), acknowledged);
    println!(
        "{acknowledged} registrations are there after the disk was full and the process killed"
    );
    drill.program.kill();
}

/// Rows of a table in the database, as a person would ask.
fn rows(database: &Path, question: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(database, flags).expect("a database");
    database.query_row(question, [], |row| row.get(0)).expect("a number")
}

#[test]
fn calls_go_on_while_the_database_is_locked_and_records_catch_up_once() {
    const ANSWERED: &str = "select count(*) from v_calls where outcome = 'answered'";
    let drill = Drill::start("", OPEN, "");
    let (mut alice, mut bob) = (drill.phone("alice"), drill.phone("bob"));
    let before = Call::begin(&mut alice, &mut bob, "bob", "before");
    before.end(&mut alice, &mut bob);
    let database = drill.folder.path().join("data/carillon.sqlite");
    until(STEP, "the first record", || (rows(&database, ANSWERED) == 1).then_some(()));

    let lock = rusqlite::Connection::open(&database).unwrap();
    lock.busy_timeout(STEP).unwrap();
    lock.execute_batch("begin exclusive").unwrap();
    let began = Instant::now();
    let refused = drill.put_user("carol");
    let took = began.elapsed();
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.body));
    assert_eq!(refused.json()["code"], "people.store_unreachable");
    assert!(took < API_MAX, "{took:?}");
    drill.until_part(503, "store", false);
    assert_eq!(drill.parts().1["keeper"], "ok");

    let mut other = Raw::new(&drill.host, "127.0.0.1", drill.sip);
    other.register(DOMAIN, "bob", PASSWORD);
    for number in 0..3 {
        let call = Call::begin(&mut alice, &mut other, "bob", &format!("locked-{number}"));
        call.end(&mut alice, &mut other);
    }
    assert_eq!(rows(&database, ANSWERED), 1, "nothing can be written");
    println!(
        "PUT was refused after {took:?}; 3 calls were answered and ended without the database"
    );

    lock.execute_batch("rollback").unwrap();
    drill.until_part(200, "store", true);
    until(STEP, "the records", || (rows(&database, ANSWERED) == 4).then_some(()));
    // One more, so that whatever would come twice has come.
    let call = Call::begin(&mut alice, &mut other, "bob", "behind");
    call.end(&mut alice, &mut other);
    until(STEP, "the last record", || (rows(&database, ANSWERED) >= 5).then_some(()));
    assert_eq!(rows(&database, ANSWERED), 5);
    assert_eq!(drill.put_user("carol").status, 201);
}
