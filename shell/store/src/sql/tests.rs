use types::Rng;

use super::*;

const ROOM: &[Migration] = &[
    Migration {
        name: "0001_users",
        sqlite: "create table users (name text primary key not null, age integer check (age >= 0)); \
                 create table pets (name text primary key not null, \
                 owner text references users (name) deferrable initially deferred)",
        postgres: "",
    },
    Migration {
        name: "0002_notes",
        sqlite: "create table notes (body blob, at integer)",
        postgres: "",
    },
];

const INSERT: &str = "insert into users (name, age) values (?1, ?2)";

fn insert(name: &str, age: i64) -> Statement {
    Statement { sql: INSERT, values: vec![name.into(), age.into()], expect: Some(1) }
}

fn batch(statements: Vec<Statement>) -> Batch {
    Batch { statements }
}

fn count(engine: &mut Sqlite) -> i64 {
    let rows = engine.query(&Query { sql: "select count(*) from users", values: vec![] }).unwrap();
    rows[0][0].int().unwrap()
}

#[test]
fn a_refused_batch_is_undone_alone() {
    let mut engine = Sqlite::open(MEMORY, &[("people", ROOM)]).unwrap();
    let miss = Statement {
        sql: "update users set age = ?2 where name = ?1",
        values: vec!["nobody".into(), 3.into()],
        expect: Some(1),
    };
    let pet = Statement {
        sql: "insert into pets (name, owner) values (?1, ?2)",
        values: vec!["rex".into(), "nobody".into()],
        expect: Some(1),
    };
    let nonsense = Statement { sql: "insert into void values (1)", values: vec![], expect: None };
    let results = engine.apply(&[
        batch(vec![insert("ann", 3)]),
        batch(vec![insert("bob", 3), miss]),
        batch(vec![insert("ann", 4)]),
        batch(vec![insert("cleo", -1)]),
        batch(vec![nonsense]),
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
        ]
    );
    assert_eq!(count(&mut engine), 2);
    // A rule that is checked at the commit only must not take the neighbours down.
    let results = engine.apply(&[batch(vec![insert("eve", 3)]), batch(vec![pet])]);
    assert_eq!(results, [Ok(()), Err(StoreFault::Conflict)]);
    assert_eq!(count(&mut engine), 3);
}

#[test]
fn values_round_trip_and_a_question_changes_nothing() {
    let mut engine = Sqlite::open(MEMORY, &[("people", ROOM)]).unwrap();
    let mut blob = vec![0; 300];
    Rng::from_number(3).fill(&mut blob);
    let row = vec![Value::Blob(blob), Value::Int(i64::MIN)];
    let sql = "insert into notes (body, at) values (?1, ?2)";
    let null = Statement { sql, values: vec![Value::Null, Value::Int(1)], expect: Some(1) };
    let full = Statement { sql, values: row.clone(), expect: Some(1) };
    assert_eq!(engine.apply(&[batch(vec![full, null])]), [Ok(())]);
    let all = Query { sql: "select body, at from notes order by at", values: vec![] };
    assert_eq!(engine.query(&all).unwrap(), [row, vec![Value::Null, Value::Int(1)]]);
    for sql in [
        "delete from notes",
        "select 1.5",
        "select nothing",
        "select body from notes where at = ?1",
    ] {
        assert_eq!(engine.query(&Query { sql, values: vec![] }), Err(StoreFault::Broken), "{sql}");
    }
    assert_eq!(engine.query(&all).unwrap().len(), 2);
}

#[test]
fn migrations_run_once_and_never_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(Sqlite::open(&path, &[("people", &ROOM[..1])]).unwrap());
    let mut engine = Sqlite::open(&path, &[("people", ROOM)]).unwrap();
    assert_eq!(engine.apply(&[batch(vec![insert("ann", 1)])]), [Ok(())]);
    drop(engine);
    // The version before goes back to work on the newer schema.
    let mut engine = Sqlite::open(&path, &[("people", &ROOM[..1])]).unwrap();
    assert_eq!(count(&mut engine), 1);
    drop(engine);
    const CHANGED: &[Migration] =
        &[Migration { name: "0001_users", sqlite: "create table users (id)", postgres: "" }];
    const EARLY: &[Migration] =
        &[Migration { name: "0000_first", sqlite: "create table early (id)", postgres: "" }];
    let open = |steps| Sqlite::open(&path, &[("people", steps)]).err();
    assert!(matches!(open(CHANGED), Some(Fault::MigrationChanged { name: "0001_users", .. })));
    assert!(matches!(open(EARLY), Some(Fault::MigrationOrder { name: "0000_first", .. })));
    const WRONG: &[Migration] = &[Migration {
        name: "0003_wrong",
        sqlite: "create table a (id); create nonsense",
        postgres: "",
    }];
    assert!(matches!(open(WRONG), Some(Fault::Sql { .. })));
    let mut engine = Sqlite::open(&path, &[("people", ROOM)]).unwrap();
    let half = Query { sql: "select name from sqlite_master where name = 'a'", values: vec![] };
    assert_eq!(engine.query(&half).unwrap().len(), 0, "half a migration is none");
}

#[test]
fn a_full_disk_is_unreachable_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Sqlite::open(folder.path().join("db"), &[("people", ROOM)]).unwrap();
    engine.connection.pragma_update(None, "max_page_count", 14).unwrap();
    let big = Statement {
        sql: "insert into notes (body) values (?1)",
        values: vec![Value::Blob(vec![1; 200_000])],
        expect: Some(1),
    };
    let results = engine.apply(&[batch(vec![insert("ann", 1)]), batch(vec![big.clone()])]);
    assert_eq!(results, [Err(StoreFault::Unreachable), Err(StoreFault::Unreachable)]);
    assert_eq!(count(&mut engine), 0);
    engine.connection.pragma_update(None, "max_page_count", 10_000).unwrap();
    assert_eq!(engine.apply(&[batch(vec![big])]), [Ok(())]);
}
