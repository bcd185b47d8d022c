//! Rows of the log: none lost, none doubled, whatever breaks between the log and the tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};

use cluster::Cluster;
use store::keeper::{MemoryDisk, Waker, Writer};
use store::projector::{Next, POSITIONS, Projection};
use store::{Engine, Keeper, Projector};
use switchboard::store::{Entry, Migration, Statement, StoreFault};
use types::{Rng, Slot};

use crate::place::{PATIENCE, Place, ask, change, numbers};

const ROOM: &[Migration] = &[Migration {
    name: "0001_calls",
    sqlite: "create table calls (call integer primary key not null, place integer not null)",
    postgres: "create table calls (call bigint primary key not null, place bigint not null)",
}];

const CALLS: &str = "select call from calls order by place";

fn project(entry: &Entry) -> Vec<Statement> {
    let sql = "insert into calls (call, place) values (?1, ?2)";
    let place = i64::from(entry.body[0]) << 8 | i64::from(entry.body[1]);
    vec![change(sql, vec![(entry.key as i64).into(), place.into()])]
}

fn append(writer: &mut Writer, number: u16) {
    let body = number.to_be_bytes().to_vec();
    let call = Entry { slot: Slot(0), kind: 2, key: u128::from(number), body, last: false };
    writer.append(&call);
    writer.append(&Entry { last: true, ..call });
}

/// One step by hand; `heard`: whether the answer comes back.
fn step(projection: &mut Projection, engine: &mut Engine, heard: bool) -> bool {
    let Some(page) = projection.page().unwrap() else { return false };
    let result = engine.apply(std::slice::from_ref(&page.batch)).remove(0);
    let result = if heard { result } else { Err(StoreFault::Unreachable) };
    if projection.settle(&page, result) == Next::Load {
        load(projection, engine);
    }
    true
}

fn load(projection: &mut Projection, engine: &mut Engine) {
    projection.load(&engine.query(&ask(POSITIONS)).unwrap());
}

#[test]
fn crashes_and_lost_answers_neither_lose_nor_double_a_row() {
    let _shared = Cluster::shared();
    for seed in 0..60 {
        // A server is slower than memory.
        let place = if seed % 10 == 0 { Place::server() } else { Place::memory() };
        let mut rng = Rng::from_number(seed);
        let mut disk = MemoryDisk::new();
        let mut engine = place.engine(&[("calls", ROOM)]);
        let mut next = 0;
        let mut sure = Vec::new();
        for _life in 0..5 {
            let (keeper, _) = Keeper::on(Arc::new(disk.clone()), 2).unwrap();
            let mut writers = [keeper.writer(0), keeper.writer(1)];
            let mut projection = Projection::new(keeper.clone(), project);
            load(&mut projection, &mut engine);
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
                        step(&mut projection, &mut engine, rng.percent(70));
                    }
                }
            }
            disk = if rng.percent(50) { disk.crash(&mut rng) } else { disk.kill() };
        }
        let (keeper, _) = Keeper::on(Arc::new(disk), 1).unwrap();
        let mut projection = Projection::new(keeper, project);
        load(&mut projection, &mut engine);
        while step(&mut projection, &mut engine, true) {}
        assert_eq!(projection.refused(), 0, "seed {seed}: doubled");
        let found = numbers(&engine.query(&ask(CALLS)).unwrap());
        for number in sure {
            assert!(found.contains(&i64::from(number)), "seed {seed}: {number} is lost");
        }
    }
}

fn wait(woken: &Receiver<()>, mut done: impl FnMut() -> bool) {
    while !done() {
        woken.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn the_thread_waits_for_sql_and_catches_up() {
    for place in Place::lasting() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("keeper");
        let mut expected = 0;
        for _start in 0..2 {
            let (keeper, _) = Keeper::open(&log, 1).unwrap();
            let store = place.open(&[("calls", ROOM)]).unwrap();
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
            let rows = store.query_wait(ask(CALLS)).unwrap();
            assert!(numbers(&rows).into_iter().eq(0..i64::from(expected)));
            assert_eq!(projector.refused(), 0);
            projector.stop();
            drop(writer);
            keeper.stop();
        }
    }
}
