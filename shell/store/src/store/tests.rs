use std::sync::mpsc::channel;

use switchboard::store::Statement;

use super::*;

const ROOM: &[Migration] = &[Migration {
    name: "0001_numbers",
    sqlite: "create table numbers (number integer primary key not null)",
    postgres: "",
}];

/// No answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

fn number(number: i64) -> Batch {
    let sql = "insert into numbers (number) values (?1)";
    Batch { statements: vec![Statement { sql, values: vec![number.into()], expect: Some(1) }] }
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
