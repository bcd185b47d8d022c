use types::Slot;

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
