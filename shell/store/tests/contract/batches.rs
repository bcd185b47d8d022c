//! Batches, values, schemas.

use store::Fault;
use switchboard::store::{Batch, Migration, Query, Statement, StoreFault, Value};
use types::Rng;

use crate::place::{Place, ask, batch, change, numbers};

const ROOM: &[Migration] = &[
    Migration {
        name: "0001_users",
        sqlite: "create table users (name text primary key not null, age integer check (age >= 0)); \
                 create table pets (name text primary key not null, \
                 owner text references users (name) deferrable initially deferred)",
        postgres: "create table users (name text primary key not null, age bigint check (age >= 0)); \
                 create table pets (name text primary key not null, \
                 owner text references users (name) deferrable initially deferred)",
    },
    Migration {
        name: "0002_notes",
        sqlite: "create table notes (body blob, at integer)",
        postgres: "create table notes (body bytea, at bigint)",
    },
];

const COUNT: &str = "select count(*) from users";

fn insert(name: &str, age: i64) -> Statement {
    change("insert into users (name, age) values (?1, ?2)", vec![name.into(), age.into()])
}

#[test]
fn a_refused_batch_is_undone_alone() {
    for place in Place::all() {
        let mut engine = place.engine(&[("people", ROOM)]);
        let count = |engine: &mut store::Engine| numbers(&engine.query(&ask(COUNT)).unwrap())[0];
        let miss =
            change("update users set age = ?2 where name = ?1", vec!["nobody".into(), 3.into()]);
        let pet = change(
            "insert into pets (name, owner) values (?1, ?2)",
            vec!["rex".into(), "nobody".into()],
        );
        let nonsense =
            Statement { sql: "insert into void values (1)", values: vec![], expect: None };
        let results = engine.apply(&[
            batch(vec![insert("ann", 3)]),
            batch(vec![insert("bob", 3), miss]),
            batch(vec![insert("ann", 4)]),
            batch(vec![insert("cleo", -1)]),
            batch(vec![nonsense]),
            Batch::default(),
            batch(vec![insert("dan", 3)]),
        ]);
        assert_eq!(
            results,
            [
                Ok(()),
                Err(StoreFault::Mismatch { statement: 1 }),
                Err(StoreFault::Conflict),
                Err(StoreFault::Broken),
                Err(StoreFault::Broken),
                Ok(()),
                Ok(()),
            ]
        );
        assert_eq!(count(&mut engine), 2);
        // A rule that is checked at the commit only must not take the neighbours down.
        let results = engine.apply(&[
            batch(vec![insert("eve", 3)]),
            batch(vec![pet]),
            batch(vec![insert("fay", 3)]),
        ]);
        assert_eq!(results, [Ok(()), Err(StoreFault::Conflict), Ok(())]);
        assert_eq!(count(&mut engine), 4);
    }
}

#[test]
fn a_batch_sees_what_stands_before_it() {
    for place in Place::all() {
        let mut engine = place.engine(&[("people", ROOM)]);
        let older = |age: i64| {
            change(
                "update users set age = age + ?2 where name = ?1",
                vec!["ann".into(), age.into()],
            )
        };
        let wrong =
            change("update users set age = ?1 where name = 'ann' and age = 99", vec![1.into()]);
        let batches: Vec<_> = (0..300)
            .map(|number| match number {
                0 => batch(vec![insert("ann", 0), older(1)]),
                150 => batch(vec![older(1000), wrong.clone()]),
                _ => batch(vec![older(1), older(1)]),
            })
            .collect();
        let results = engine.apply(&batches);
        for (number, result) in results.into_iter().enumerate() {
            let fault = Err(StoreFault::Mismatch { statement: 1 });
            assert_eq!(result, if number == 150 { fault } else { Ok(()) }, "{number}");
        }
        let age = engine.query(&ask("select age from users")).unwrap();
        assert_eq!(numbers(&age), [1 + 298 * 2]);
    }
}

#[test]
fn values_round_trip_and_a_question_changes_nothing() {
    for place in Place::all() {
        let store = place.open(&[("people", ROOM)]).unwrap();
        let mut blob = vec![0; 300];
        Rng::from_number(3).fill(&mut blob);
        let row = vec![Value::Blob(blob), Value::Int(i64::MIN)];
        let sql = "insert into notes (body, at) values (?1, ?2)";
        let null = change(sql, vec![Value::Null, Value::Int(1)]);
        assert_eq!(store.write_wait(batch(vec![change(sql, row.clone()), null])), Ok(()));
        let all = ask("select body, at from notes order by at");
        assert_eq!(store.query_wait(all.clone()).unwrap(), [row, vec![Value::Null, Value::Int(1)]]);
        for sql in [
            "delete from notes",
            "select 1.5",
            "select nothing",
            "select body from notes where at = ?1",
        ] {
            assert_eq!(store.query_wait(ask(sql)), Err(StoreFault::Broken), "{sql}");
        }
        // Our mistake in one question is nobody else's trouble.
        assert_eq!(store.query_wait(all).unwrap().len(), 2);
        assert_eq!(store.trouble(), None);
        let text = Query {
            sql: "select name from users where name = ?1 or ?1 = ''",
            values: vec!["".into()],
        };
        let name = "Zoë \u{1f514} 'quoted' ?1 $1";
        assert_eq!(store.write_wait(batch(vec![insert(name, 1)])), Ok(()));
        assert_eq!(store.query_wait(text).unwrap(), [vec![Value::from(name)]]);
    }
}

#[test]
fn migrations_run_once_and_never_change() {
    const CHANGED: &[Migration] = &[Migration {
        name: "0001_users",
        sqlite: "create table users (id)",
        postgres: "create table users (id bigint)",
    }];
    const EARLY: &[Migration] = &[Migration {
        name: "0000_first",
        sqlite: "create table early (id)",
        postgres: "create table early (id bigint)",
    }];
    const WRONG: &[Migration] = &[Migration {
        name: "0003_wrong",
        sqlite: "create table a (id); create nonsense",
        postgres: "create table a (id bigint); create nonsense",
    }];
    for place in Place::lasting() {
        drop(place.open(&[("people", &ROOM[..1])]).unwrap());
        let store = place.open(&[("people", ROOM)]).unwrap();
        assert_eq!(store.write_wait(batch(vec![insert("ann", 1)])), Ok(()));
        drop(store);
        // The version before goes back to work on the newer schema.
        let store = place.open(&[("people", &ROOM[..1])]).unwrap();
        assert_eq!(numbers(&store.query_wait(ask(COUNT)).unwrap()), [1]);
        drop(store);
        let fault = |steps| place.open(&[("people", steps)]).err();
        assert!(matches!(fault(CHANGED), Some(Fault::MigrationChanged { name: "0001_users", .. })));
        assert!(matches!(fault(EARLY), Some(Fault::MigrationOrder { name: "0000_first", .. })));
        assert!(matches!(fault(WRONG), Some(Fault::Sql { .. } | Fault::DatabaseRefused { .. })));
        let store = place.open(&[("people", ROOM)]).unwrap();
        let half = store.query_wait(ask("select id from a"));
        assert_eq!(half, Err(StoreFault::Broken), "half a migration is none");
    }
}
