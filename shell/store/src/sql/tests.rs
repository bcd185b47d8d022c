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
