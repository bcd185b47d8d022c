//! What only a server can do: go away, hang, refuse, belong to somebody else.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use cluster::Cluster;
use store::keeper::{MemoryDisk, Waker};
use store::{Absent, Address, Fault, Keeper, Projector, Store};
use switchboard::store::{Batch, Entry, Migration, Statement, StoreFault};
use types::{Rng, Slot};

use crate::place::{PATIENCE, Place, ask, batch, change, numbers};

const ROOM: &[Migration] = &[Migration {
    name: "0001_numbers",
    sqlite: "",
    postgres: "create table numbers (number bigint primary key not null)",
}];

/// Without a server nobody waits longer than this for a no: the answer to one question, then the way to a new session.
const REFUSED_MAX: Duration = Duration::from_secs(20);
/// When the server is back, everything is in its place within this.
const BACK_MAX: Duration = Duration::from_secs(5);

fn open(address: &str, absent: Absent) -> Result<Store, Fault> {
    Store::open_postgres(Address::parse(address).unwrap(), &[("numbers", ROOM)], absent)
}

fn number(number: i64) -> Batch {
    batch(vec![change("insert into numbers (number) values (?1)", vec![number.into()])])
}

fn all(store: &Store) -> Result<Vec<i64>, StoreFault> {
    let rows = store.query_wait(ask("select number from numbers order by number"));
    rows.map(|rows| numbers(&rows))
}

/// Tries until it succeeds, within `limit` by the clock that the promise is about.
#[track_caller]
fn within<T>(limit: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        let found = attempt();
        assert!(began.elapsed() < limit, "{what} took {:?}", began.elapsed());
        if let Some(found) = found {
            println!("{what}: {:?}", began.elapsed());
            return found;
        }
        std::thread::yield_now();
    }
}

#[test]
#[allow(clippy::explicit_counter_loop, reason = "writes that fail count as well")]
fn a_server_that_restarts_or_hangs_is_unreachable_and_comes_back() {
    let cluster = Cluster::start();
    let store = open(&cluster.database(), Absent::Refuse).unwrap();
    let mut next = 0;
    let mut acknowledged = Vec::new();
    for hangs in [false, true] {
        assert_eq!(store.write_wait(number(next)), Ok(()));
        acknowledged.push(next);
        assert_eq!(all(&store).as_ref(), Ok(&acknowledged));
        if hangs {
            cluster.freeze()
        } else {
            cluster.stop()
        }
        let began = Instant::now();
        assert_eq!(store.write_wait(number(1000 + next)), Err(StoreFault::Unreachable));
        assert_eq!(all(&store), Err(StoreFault::Unreachable));
        assert!(began.elapsed() < REFUSED_MAX, "{:?}", began.elapsed());
        let trouble = store.trouble().expect("it is known");
        assert!(trouble.starts_with("postgres://") && !trouble.contains("p@ss"), "{trouble}");
        println!("{trouble}");
        if hangs {
            cluster.thaw()
        } else {
            cluster.resume_or_start()
        }
        let limit = if hangs { BACK_MAX } else { PATIENCE };
        within(limit, "a write after it is back", || {
            next += 1;
            store.write_wait(number(next)).is_ok().then(|| acknowledged.push(next))
        });
        let found = within(limit, "a question after it is back", || all(&store).ok());
        for number in &acknowledged {
            assert!(found.contains(number), "{number} was acknowledged");
        }
        acknowledged = found;
        within(limit, "no trouble", || store.trouble().is_none().then_some(()));
        next += 10;
    }
}

#[test]
fn an_idle_session_that_the_server_ended_costs_nobody_a_refusal() {
    let cluster = Cluster::shared();
    let address = cluster.database();
    let store = open(&address, Absent::Refuse).unwrap();
    for n in 0..20 {
        assert_eq!(store.write_wait(number(n)), Ok(()));
        assert_eq!(all(&store).map(|all| all.len()), Ok(n as usize + 1));
        cluster.run(
            "postgres",
            &format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'",
                address.rsplit('/').next().unwrap()
            ),
        );
    }
    assert_eq!(store.trouble(), None);
}

#[test]
fn rows_of_the_log_come_once_though_the_server_dies_again_and_again() {
    const LIVES: u16 = 6;
    const CALLS: u16 = 2_000;
    let cluster = Cluster::start();
    let store = open(&cluster.database(), Absent::Refuse).unwrap();
    let (keeper, _) = Keeper::on(Arc::new(MemoryDisk::new()), 1).unwrap();
    let mut writer = keeper.writer(0);
    let project = |entry: &Entry| -> Vec<Statement> { number(entry.key as i64).statements };
    let (sender, woken) = channel();
    let wake: Waker = Arc::new(move || {
        let _ = sender.send(());
    });
    let projector = Projector::start(&keeper, store.clone(), project, wake).unwrap();
    let mut rng = Rng::from_number(7);
    for life in 0..LIVES {
        for call in 0..CALLS {
            let key = u128::from(life * CALLS + call);
            writer.append(&Entry { slot: Slot(0), kind: 2, key, body: vec![0; 40], last: true });
            if rng.percent(5) {
                writer.write().unwrap();
                keeper.sync_round();
            }
        }
        writer.write().unwrap();
        keeper.sync_round();
        for _ in 0..rng.below(5) {
            woken.recv_timeout(PATIENCE).unwrap();
        }
        if life % 2 == 0 {
            cluster.stop();
            cluster.resume_or_start();
        } else {
            cluster.freeze();
            writer.append(&Entry { slot: Slot(0), kind: 2, key: 0, body: vec![0], last: false });
            cluster.thaw();
        }
    }
    let began = Instant::now();
    while !projector.caught_up() {
        woken.recv_timeout(PATIENCE).unwrap();
    }
    println!("caught up {:?} after the server was back", began.elapsed());
    assert_eq!(projector.refused(), 0, "doubled");
    let found = within(PATIENCE, "the rows", || all(&store).ok());
    assert!(found.into_iter().eq(0..i64::from(LIVES * CALLS)));
}

#[test]
fn without_a_server_at_the_start() {
    let cluster = Cluster::start();
    let address = cluster.database();
    cluster.stop();
    let refused = open(&address, Absent::Refuse).err().expect("nobody is there");
    assert!(matches!(refused, Fault::DatabaseUnreachable { .. }), "{refused:?}");
    let store = open(&address, Absent::Wait).unwrap();
    assert_eq!(store.write_wait(number(1)), Err(StoreFault::Unreachable));
    assert_eq!(all(&store), Err(StoreFault::Unreachable));
    assert!(store.trouble().is_some());
    cluster.resume_or_start();
    within(PATIENCE, "a write after it came", || store.write_wait(number(1)).ok());
    assert_eq!(within(PATIENCE, "a question", || all(&store).ok()), [1]);
}

#[test]
fn one_database_is_one_carillons() {
    let place = Place::server();
    let first = place.open(&[("numbers", ROOM)]).unwrap();
    let second = place.open(&[("numbers", ROOM)]).err().expect("it is in use");
    assert!(matches!(second, Fault::DatabaseInUse { .. }), "{second:?}");
    assert_eq!(first.write_wait(number(1)), Ok(()));
    drop(first);
    assert_eq!(all(&place.open(&[("numbers", ROOM)]).unwrap()), Ok(vec![1]));
}

#[test]
fn what_the_server_refuses_is_said_without_the_password() {
    let cluster = Cluster::shared();
    let address = cluster.database();
    let rows = [
        (address.replace("p%40ss", "wrong"), "password authentication failed"),
        (format!("{address}_not"), "does not exist"),
    ];
    for (address, why) in rows {
        for absent in [Absent::Refuse, Absent::Wait] {
            let fault = open(&address, absent).err().expect("refused");
            assert!(matches!(fault, Fault::DatabaseRefused { .. }), "{fault:?}");
            let said = fault.to_string();
            assert!(
                said.contains(why) && !said.contains("wrong") && !said.contains("p@ss"),
                "{said}"
            );
        }
    }
    cluster.run("postgres", "create database latin encoding latin1 locale 'C' template template0");
    let fault = open(&cluster.address("latin"), Absent::Refuse).err().expect("refused");
    assert!(matches!(fault, Fault::DatabaseEncoding { .. }), "{fault:?}");
}

#[test]
fn by_tls_the_server_proves_its_name() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let cluster = Cluster::start_tls(&certificate, &key);
    let database = cluster.database();
    let database = database.rsplit('/').next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, certificate).unwrap();
    let trusting = |host| {
        let address = cluster.address_by_tls(host, database);
        format!("{address}&sslrootcert={}", authority.display())
    };
    let store = open(&trusting("localhost"), Absent::Refuse).unwrap();
    assert_eq!(store.write_wait(number(1)), Ok(()));
    let encrypted = "select count(*) from pg_stat_ssl where ssl and pid = pg_backend_pid()";
    assert_eq!(store.query_wait(ask(encrypted)).map(|rows| numbers(&rows)), Ok(vec![1]));
    drop(store);
    for wrong in [cluster.address_by_tls("localhost", database), trusting("127.0.0.1")] {
        let fault = open(&wrong, Absent::Refuse).err().expect("nobody vouches for it");
        assert!(fault.to_string().contains("certificate"), "{fault}");
    }
    let missing = format!("{}x", trusting("localhost"));
    assert!(matches!(open(&missing, Absent::Wait).err(), Some(Fault::Authorities { .. })));
}
