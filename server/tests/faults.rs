//! The disk is full, broken or forgetful, the database is locked: what goes on, what is refused, what is found afterwards.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drill::{Call, DOMAIN, Drill, OPEN, PASSWORD};
use support::disk::Disk;
use support::raw::{Ask, Heard, Raw, credentials};
use support::{STEP, until};

/// People whose phones register, in turn: each may have a few only.
const USERS: [&str; 6] = ["alice", "bert", "carl", "dora", "emil", "fred"];
/// The longest time that the API takes for an answer.
const API_MAX: Duration = Duration::from_secs(30);

/// What a registration of `user` asks, for `work` to send.
fn registering<T>(phone: &mut Raw, user: &str, work: impl FnOnce(&mut Raw, &Ask<'_>) -> T) -> T {
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
    work(phone, &ask)
}

/// Sends a REGISTER, with a proof if it is asked for; the answer to it.
fn try_register(phone: &mut Raw, user: &str) -> Heard {
    registering(phone, user, |phone, ask| phone.ask_as(ask, user, PASSWORD))
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

/// The answer to a registration that may get none; 0 then.
fn may_register(phone: &mut Raw, user: &str) -> u16 {
    const PATIENCE: Duration = Duration::from_secs(1);
    registering(phone, user, |phone, ask| {
        let first = phone.ask(ask);
        let Some(proof) = credentials(&first, ask, user, PASSWORD) else { return first.status() };
        let text = phone.text(&Ask { more: &format!("{}{proof}", ask.more), ..ask.clone() });
        phone.send(&text);
        let answer = phone.hear_within(PATIENCE, |heard| heard.status() >= 200);
        answer.map_or(0, |heard| heard.status())
    })
}

fn metrics(drill: &Drill) -> String {
    drill.door.ask("GET", "/metrics", None, "", b"").text()
}

#[test]
fn a_disk_that_fails_acknowledges_nothing_and_is_not_asked_again() {
    const ANSWERED: &str = "select count(*) from v_calls where outcome = 'answered'";
    let mut drill = Drill::start_on_bad_disk();
    let mut phones: Vec<_> = USERS.iter().map(|user| drill.phone(user)).collect();
    let database = drill.folder.path().join("data/carillon.sqlite");

    // Neither the database nor a new file can be written: calls and registrations go on.
    drill.disk_fails(&["rw/pwrite", "oc/open"], true);
    let refused = drill.put_user("zoe");
    assert_eq!(refused.status, 503, "{}", refused.text());
    drill.until_part(503, "store", false);
    assert_eq!(drill.parts().1["keeper"], "ok");
    let [alice, bert, carl, ..] = phones.as_mut_slice() else { panic!("six phones") };
    assert_eq!(may_register(carl, "carl"), 200);
    Call::begin(alice, bert, "bert", "unwritten").end(alice, bert);
    drill.disk_fails(&["rw/pwrite", "oc/open"], false);
    drill.until_part(200, "store", true);
    until(STEP, "the record", || (rows(&database, ANSWERED) == 1).then_some(()));
    assert_eq!(drill.put_user("zoe").status, 201);

    // What was written cannot be forced to the disk: that ends all promises, and a later success proves nothing.
    let call = Call::begin(alice, bert, "bert", "runs-on");
    drill.disk_fails(&["sync/fdatasync", "sync/fsync"], true);
    let said = may_register(carl, "carl");
    assert!(matches!(said, 0 | 503), "{said}");
    drill.heard("keeper_sync_failed");
    drill.until_part(503, "keeper", false);
    drill.disk_fails(&["sync/fdatasync", "sync/fsync"], false);
    assert_eq!(may_register(carl, "carl"), 503);
    assert_eq!(alice.ask(&invite(&alice.sdp())).status(), 503);
    assert_eq!(drill.put_user("yves").status, 503);
    assert!(metrics(&drill).contains("carillon_up_component{component=\"keeper\"} 0"));
    call.end(alice, bert);
    assert_ne!(drill.parts().1["keeper"], "ok", "only a restart reads what the disk has");

    drill.kill_and_restart();
    assert_eq!(bindings(&drill), USERS.len());
    for (phone, user) in phones.iter_mut().zip(USERS) {
        assert_eq!(may_register(phone, user), 200);
    }
}

/// The newest file of the log that has records, and where each of them begins, and the last ends.
fn log(data: &Path) -> (PathBuf, Vec<usize>) {
    const HEADER: usize = 72;
    const HEAD: usize = 8;
    let files = fs::read_dir(data.join("keeper")).expect("a log").map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    files.sort();
    let ends = files.into_iter().rev().map(|path| {
        let octets = fs::read(&path).expect("a file of the log");
        let mut ends = vec![HEADER];
        while let Some(length) =
            octets.get(ends[ends.len() - 1]..).and_then(|rest| rest.first_chunk())
        {
            let end = ends[ends.len() - 1] + HEAD + u32::from_le_bytes(*length) as usize;
            assert!(end <= octets.len(), "{} is whole", path.display());
            ends.push(end);
        }
        (path, ends)
    });
    ends.into_iter().find(|(_, ends)| ends.len() > 2).expect("records")
}

/// Changes the file of the log, starts on it, and says what the server found; then all is as it was.
fn found(drill: &mut Drill, data: &Path, kept: &[u8], change: &[u8]) -> (String, usize) {
    let (path, _) = log(data);
    fs::write(&path, change).expect("the log can be written");
    drill.start_again();
    let mut said = drill.program.said();
    said.retain(|line| line.contains("keeper_damage_found"));
    let counted = format!("carillon_damage_found_total{{place=\"keeper\"}} {}\n", said.len());
    assert!(metrics(drill).contains(&counted), "{said:?}");
    let found = (said.join("\n"), bindings(drill));
    drill.program.kill();
    for file in fs::read_dir(data.join("keeper")).expect("a log") {
        let file = file.expect("a file").path();
        if file.extension().is_some() {
            fs::remove_file(file).expect("files can be removed");
        }
    }
    fs::write(&path, kept).expect("the log can be written");
    found
}

#[test]
fn a_torn_tail_is_cut_and_a_flipped_bit_is_told() {
    let mut drill = Drill::start("", OPEN, "");
    let data = drill.folder.path().join("data");
    drop(USERS.map(|user| drill.phone(user)));
    drill.program.kill();
    let (path, ends) = log(&data);
    let kept = fs::read(&path).expect("a file of the log");
    let [.., before, last, end] = ends[..] else { panic!("{ends:?}") };
    assert_eq!(end, kept.len());

    assert_eq!(found(&mut drill, &data, &kept, &kept), (String::new(), USERS.len()));
    // Torn in the last record: in its length, its checksum, its head, its middle, its last octet.
    for cut in [last + 1, last + 6, last + 12, last.midpoint(end), end - 1] {
        let (said, bindings) = found(&mut drill, &data, &kept, &kept[..cut]);
        let told = format!("a torn tail of {} bytes was cut at offset {last}", cut - last);
        assert!(said.contains(&told), "{cut}: {said}");
        assert_eq!(bindings, USERS.len() - 1, "cut at {cut}");
    }
    // A piece of a record that was never acknowledged, and what some disks leave behind: zeros.
    for tail in [&kept[before..last - 1], &[0; 64]] {
        let (said, bindings) = found(&mut drill, &data, &kept, &[&kept, tail].concat());
        assert!(said.contains(&format!("was cut at offset {end}")), "{said}");
        assert_eq!(bindings, USERS.len());
    }
    // One bit, in the middle of all: that record is lost and said to be; those behind it are not.
    let mut flipped = kept.clone();
    flipped[before + 40] ^= 4;
    let (said, bindings) = found(&mut drill, &data, &kept, &flipped);
    let told = format!("{} damaged bytes at offset {before} were skipped", last - before);
    assert!(said.contains(&told), "{said}");
    assert_eq!(bindings, USERS.len() - 1);

    // A picture whose file has changed is not shown.
    drill.start_again();
    let mut picture = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(64, 64)
        .write_to(&mut picture, image::ImageFormat::Png)
        .expect("a picture");
    let set = drill.door.put("/v1/users/alice/image", "image/png", picture.get_ref());
    let url = set["url"].as_str().expect("an address");
    let target = &url[url.find("/v1/").expect("a path")..];
    assert_eq!(drill.door.ask("GET", target, None, "", b"").status, 200);
    let name = target.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let blob = data.join("blobs").join(&name[..2]).join(name);
    let mut octets = fs::read(&blob).expect("a file");
    let middle = octets.len() / 2;
    octets[middle] ^= 4;
    fs::write(&blob, octets).expect("it can be written");
    assert_eq!(drill.door.ask("GET", target, None, "", b"").status, 404);
    drill.heard("blob_damaged");
    assert!(metrics(&drill).contains("carillon_damage_found_total{place=\"blobs\"} 1\n"));
}
