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
/// How long a phone waits for an answer that should not come.
const SILENCE: Duration = Duration::from_secs(2);
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

/// Sends a REGISTER with a proof; the answer to it if one comes in time.
fn try_register(phone: &mut Raw, user: &str, limit: Duration) -> Option<Heard> {
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
    let Some(proof) = credentials(&first, &ask, user, PASSWORD) else { return Some(first) };
    let text = phone.text(&Ask { more: &format!("{}{proof}", ask.more), ..ask.clone() });
    phone.send(&text);
    phone.hear_within(limit, |heard| heard.status() >= 200 && heard.method() == "REGISTER")
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
    let text = drill::text(&data, "", "", "");
    let mut drill = Drill::start_in(folder, &data, &[], &text);
    let _phones: Vec<_> = USERS.iter().map(|user| drill.phone(user)).collect();
    assert_eq!(drill.parts().0, 200);
    disk.fill();

    // What is left of a page that is already there may take a few entries more.
    let mut acknowledged = USERS.len();
    let mut users = USERS.iter().cycle();
    let waiting = until(STEP, "a registration that the disk does not take", || {
        let mut phone = Raw::new(&drill.host, "127.0.0.1", drill.sip);
        let user = users.next()?;
        let Some(heard) = try_register(&mut phone, user, SILENCE) else { return Some(phone) };
        assert_eq!(heard.status(), 200, "{}", heard.text);
        acknowledged += 1;
        None
    });
    drill.until_part(503, "keeper", false);
    println!("{acknowledged} acknowledged before, then silence; {}", drill.parts().1);
    let refused = drill.put_user("zoe");
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.body));
    assert_eq!(refused.json()["code"], "people.store_unreachable");
    drill.until_part(503, "store", false);
    let metrics = drill.door.ask("GET", "/metrics", None, "", b"").body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("carillon_up_component{component=\"keeper\"} 0"), "{metrics}");

    disk.free();
    let late = waiting.hear("the answer, once it is kept", |heard| heard.status() == 200);
    assert_eq!(late.method(), "REGISTER");
    acknowledged += 1;
    drill.until_part(200, "keeper", true);
    drill.until_part(200, "store", true);
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
