use std::sync::mpsc::channel;

use switchboard::store::{Statement, Value};

use super::*;

const ROOM: &[Migration] = &[Migration {
    name: "0001_numbers",
    sqlite: "create table numbers (number integer primary key not null)",
    postgres: "",
}];

const ALL: &str = "select count(*) from numbers";

/// No answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

fn number(number: i64) -> Batch {
    let sql = "insert into numbers (number) values (?1)";
    Batch { statements: vec![Statement { sql, values: vec![number.into()], expect: Some(1) }] }
}

fn count(store: &Store) -> Result<Value, StoreFault> {
    store.query_wait(Query { sql: ALL, values: vec![] }).map(|rows| rows[0][0].clone())
}

fn places() -> (tempfile::TempDir, Vec<std::path::PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db");
    (folder, vec![file, MEMORY.into()])
}

#[test]
fn many_callers_share_commits_and_each_gets_its_own_answer() {
    let (_folder, places) = places();
    for place in places {
        let store = Store::open(place, &[("numbers", ROOM)]).unwrap();
        let (sender, answers) = channel();
        for n in 0..1000 {
            let sender = sender.clone();
            // Every tenth number comes twice.
            let done = Box::new(move |result| sender.send((n, result)).unwrap());
            store.write(number(n - i64::from(n % 10 == 9)), done);
        }
        for _ in 0..1000 {
            let (n, result) = answers.recv_timeout(PATIENCE).unwrap();
            let expected = if n % 10 == 9 { Err(StoreFault::Conflict) } else { Ok(()) };
            assert_eq!(result, expected, "{n}");
        }
        assert_eq!(count(&store), Ok(Value::Int(900)));
        store.shutdown();
        assert_eq!(count(&store), Err(StoreFault::Unreachable));
    }
}

#[test]
fn shutdown_commits_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("db");
    let store = Store::open(&place, &[("numbers", ROOM)]).unwrap();
    for n in 0..500 {
        store.write(number(n), Box::new(|result| assert_eq!(result, Ok(()))));
    }
    drop(store);
    let store = Store::open(&place, &[("numbers", ROOM)]).unwrap();
    assert_eq!(count(&store), Ok(Value::Int(500)));
}

#[test]
fn out_of_reach_is_said_and_passes() {
    let (_folder, places) = places();
    for place in places {
        let store = Store::open(place, &[("numbers", ROOM)]).unwrap();
        store.fail().store(true, Ordering::Release);
        assert_eq!(store.write_wait(number(1)), Err(StoreFault::Unreachable));
        assert_eq!(count(&store), Err(StoreFault::Unreachable));
        store.fail().store(false, Ordering::Release);
        assert_eq!(store.write_wait(number(1)), Ok(()));
        assert_eq!(count(&store), Ok(Value::Int(1)));
    }
}

#[test]
fn a_full_queue_answers_at_once() {
    let store = Store::open(MEMORY, &[("numbers", ROOM)]).unwrap();
    let (hold, held) = channel::<()>();
    let (sender, started) = channel();
    let stop_here = Box::new(move |_| {
        sender.send(()).unwrap();
        let _ = held.recv();
    });
    store.write(number(-1), stop_here);
    started.recv_timeout(PATIENCE).unwrap();
    let (sender, answers) = channel();
    for n in 0..QUEUE_MAX as i64 + 10 {
        let sender = sender.clone();
        store.write(number(n), Box::new(move |result| sender.send(result).unwrap()));
    }
    for _ in 0..10 {
        assert_eq!(answers.try_recv(), Ok(Err(StoreFault::Unreachable)));
    }
    assert!(answers.try_recv().is_err());
    drop(hold);
    for _ in 0..QUEUE_MAX {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(Ok(())));
    }
}
