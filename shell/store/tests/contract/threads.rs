//! The threads around the engine.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use store::Store;
use switchboard::store::{Batch, Migration, Row, StoreFault};

use crate::place::{PATIENCE, Place, ask, batch, change, numbers};

const ROOM: &[Migration] = &[Migration {
    name: "0001_numbers",
    sqlite: "create table numbers (number integer primary key not null)",
    postgres: "create table numbers (number bigint primary key not null)",
}];

fn number(number: i64) -> Batch {
    batch(vec![change("insert into numbers (number) values (?1)", vec![number.into()])])
}

fn count(store: &Store) -> Result<i64, StoreFault> {
    let rows = store.query_wait(ask("select count(*) from numbers"));
    rows.map(|rows: Vec<Row>| numbers(&rows)[0])
}

#[test]
fn many_callers_share_commits_and_each_gets_its_own_answer() {
    for place in Place::all() {
        let store = place.open(&[("numbers", ROOM)]).unwrap();
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
        assert_eq!(count(&store), Ok(900));
        store.shutdown();
        assert_eq!(count(&store), Err(StoreFault::Unreachable));
    }
}

#[test]
fn what_was_acknowledged_is_seen_by_every_reader() {
    for place in Place::all() {
        let store = place.open(&[("numbers", ROOM)]).unwrap();
        for n in 0..50 {
            assert_eq!(store.write_wait(number(n)), Ok(()));
            assert_eq!(count(&store), Ok(n + 1));
        }
    }
}

#[test]
fn shutdown_commits_what_waits() {
    for place in Place::lasting() {
        let store = place.open(&[("numbers", ROOM)]).unwrap();
        for n in 0..500 {
            store.write(number(n), Box::new(|result| assert_eq!(result, Ok(()))));
        }
        drop(store);
        let store = place.open(&[("numbers", ROOM)]).unwrap();
        assert_eq!(count(&store), Ok(500));
    }
}

#[test]
fn out_of_reach_is_said_and_passes() {
    for place in Place::all() {
        let store = place.open(&[("numbers", ROOM)]).unwrap();
        store.fail().store(true, Ordering::Release);
        assert_eq!(store.write_wait(number(1)), Err(StoreFault::Unreachable));
        assert_eq!(count(&store), Err(StoreFault::Unreachable));
        store.fail().store(false, Ordering::Release);
        assert_eq!(store.write_wait(number(1)), Ok(()));
        assert_eq!(count(&store), Ok(1));
    }
}
