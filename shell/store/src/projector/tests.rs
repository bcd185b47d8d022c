use std::sync::mpsc::{Receiver, channel};

use types::{Rng, Slot};

use super::*;
use crate::keeper::{Disk as _, MemoryDisk, Writer};
use crate::sql::{MEMORY, Sqlite};

const ROOM_STEPS: &[Migration] = &[Migration {
    name: "0001_calls",
    sqlite: "create table calls (call integer primary key not null, place integer not null)",
    postgres: "",
}];

const CALLS: &str = "select call, place from calls order by place";

fn project(entry: &Entry) -> Vec<Statement> {
    let sql = "insert into calls (call, place) values (?1, ?2)";
    let place = i64::from(entry.body[0]) << 8 | i64::from(entry.body[1]);
    vec![Statement { sql, values: vec![(entry.key as i64).into(), place.into()], expect: Some(1) }]
}

fn call(number: u16, last: bool) -> Entry {
    let body = number.to_be_bytes().to_vec();
    Entry { slot: Slot(0), kind: 2, key: u128::from(number), body, last }
}

fn append(writer: &mut Writer, number: u16) {
    writer.append(&call(number, false));
    writer.append(&call(number, true));
}

fn numbers(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row[0].int().unwrap()).collect()
}

fn open_sql(place: impl AsRef<std::path::Path>) -> Sqlite {
    Sqlite::open(place, &[("calls", ROOM_STEPS)]).unwrap()
}

/// One step by hand; `heard`: whether the answer comes back.
fn step(projection: &mut Projection, sql: &mut Sqlite, heard: bool) -> bool {
    let Some(page) = projection.page().unwrap() else { return false };
    let result = sql.apply(std::slice::from_ref(&page.batch)).remove(0);
    let result = if heard { result } else { Err(StoreFault::Unreachable) };
    if projection.settle(&page, result) == Next::Load {
        load(projection, sql);
    }
    true
}

fn load(projection: &mut Projection, sql: &mut Sqlite) {
    projection.load(&sql.query(&Query { sql: POSITIONS, values: vec![] }).unwrap());
}

#[test]
fn crashes_and_lost_answers_neither_lose_nor_double_a_row() {
    for seed in 0..60 {
        let mut rng = Rng::from_number(seed);
        let mut disk = MemoryDisk::new();
        let mut sql = open_sql(MEMORY);
        let mut next = 0;
        let mut sure = Vec::new();
        for _life in 0..5 {
            let (keeper, _) = Keeper::on(Arc::new(disk.clone()), 2).unwrap();
            let mut writers = [keeper.writer(0), keeper.writer(1)];
            let mut projection = Projection::new(keeper.clone(), project);
            load(&mut projection, &mut sql);
            let mut written = Vec::new();
            for _ in 0..rng.below(60) {
                let writer = &mut writers[rng.below(2) as usize];
                match rng.below(10) {
                    0..5 => {
                        append(writer, next);
                        written.push((writer.write().unwrap(), next));
                        next += 1;
                    }
                    5..7 => {
                        keeper.sync_round();
                        sure.extend(written.drain(..).map(|(_, number)| number));
                    }
                    7 => {
                        writer.begin_snapshot().unwrap();
                        writer.finish_snapshot().unwrap();
                    }
                    _ => {
                        step(&mut projection, &mut sql, rng.percent(70));
                    }
                }
            }
            disk = if rng.percent(50) { disk.crash(&mut rng) } else { disk.kill() };
        }
        let (keeper, _) = Keeper::on(Arc::new(disk), 1).unwrap();
        let mut projection = Projection::new(keeper, project);
        load(&mut projection, &mut sql);
        while step(&mut projection, &mut sql, true) {}
        assert_eq!(projection.refused(), 0, "seed {seed}: doubled");
        let found = numbers(&sql.query(&Query { sql: CALLS, values: vec![] }).unwrap());
        for number in sure {
            assert!(found.contains(&i64::from(number)), "seed {seed}: {number} is lost");
        }
    }
}

#[test]
fn one_refused_entry_is_passed_over() {
    let (keeper, _) = Keeper::on(Arc::new(MemoryDisk::new()), 1).unwrap();
    let mut writer = keeper.writer(0);
    let mut sql = open_sql(MEMORY);
    for number in 0..2500 {
        append(&mut writer, if number == 1700 { 3 } else { number });
    }
    writer.write().unwrap();
    keeper.sync_round();
    let mut projection = Projection::new(keeper, project);
    load(&mut projection, &mut sql);
    while step(&mut projection, &mut sql, true) {}
    assert_eq!(projection.refused(), 1);
    let found = numbers(&sql.query(&Query { sql: CALLS, values: vec![] }).unwrap());
    assert!(found.iter().copied().eq((0..2500).filter(|number| *number != 1700)));
}

#[test]
fn a_log_that_was_deleted_starts_over() {
    let mut sql = open_sql(MEMORY);
    for number in [1, 2] {
        let (keeper, _) = Keeper::on(Arc::new(MemoryDisk::new()), 1).unwrap();
        let mut writer = keeper.writer(0);
        let mut projection = Projection::new(keeper.clone(), project);
        load(&mut projection, &mut sql);
        append(&mut writer, number);
        for _ in 0..3 - number {
            writer.append(&call(9, false));
        }
        writer.write().unwrap();
        keeper.sync_round();
        while step(&mut projection, &mut sql, true) {}
    }
    let rows = sql.query(&Query { sql: CALLS, values: vec![] }).unwrap();
    assert_eq!(numbers(&rows), [1, 2]);
}

fn wait(woken: &Receiver<()>, mut done: impl FnMut() -> bool) {
    while !done() {
        woken.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}

#[test]
fn the_thread_waits_for_sql_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("db");
    let log = folder.path().join("keeper");
    let mut expected = 0;
    for _start in 0..2 {
        let (keeper, _) = Keeper::open(&log, 1).unwrap();
        let store = Store::open(&place, &[("calls", ROOM_STEPS)]).unwrap();
        let mut writer = keeper.writer(0);
        let (sender, woken) = channel();
        let wake: Waker = Arc::new(move || {
            let _ = sender.send(());
        });
        let mut projector = Projector::start(&keeper, store.clone(), project, wake).unwrap();
        append(&mut writer, expected);
        writer.write().unwrap();
        wait(&woken, || projector.caught_up());
        store.fail().store(true, Ordering::Release);
        append(&mut writer, expected + 1);
        writer.write().unwrap();
        wait(&woken, || projector.behind());
        assert!(!projector.caught_up());
        store.fail().store(false, Ordering::Release);
        wait(&woken, || projector.caught_up());
        expected += 2;
        let rows = store.query_wait(Query { sql: CALLS, values: vec![] }).unwrap();
        assert!(numbers(&rows).into_iter().eq(0..i64::from(expected)));
        assert_eq!(projector.refused(), 0);
        projector.stop();
        drop(writer);
        keeper.stop();
    }
}

#[test]
fn large_and_damaged_entries_do_not_stop_the_rest() {
    let disk = MemoryDisk::new();
    {
        let (keeper, _) = Keeper::on(Arc::new(disk.clone()), 1).unwrap();
        let mut writer = keeper.writer(0);
        for number in 0..9 {
            let mut large = call(number, true);
            large.body.resize(if number % 2 == 0 { 900_000 } else { 100 }, 0);
            writer.append(&large);
        }
        writer.write().unwrap();
        keeper.sync_round();
    }
    let name = disk.list().unwrap().remove(0);
    let mut sql = open_sql(MEMORY);
    for flip in [Some(1_000_000), None] {
        if let Some(offset) = flip {
            disk.flip(&name, offset, 3);
        }
        let (keeper, recovered) = Keeper::on(Arc::new(disk.clone()), 1).unwrap();
        assert_eq!(recovered.damage.len(), 1);
        let mut projection = Projection::new(keeper, project);
        load(&mut projection, &mut sql);
        while step(&mut projection, &mut sql, true) {}
        let found = numbers(&sql.query(&Query { sql: CALLS, values: vec![] }).unwrap());
        assert_eq!(found, [0, 1, 3, 4, 5, 6, 7, 8]);
    }
}
