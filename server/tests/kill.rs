//! The process is killed, and nothing that it had acknowledged is lost: calls, registrations, messages, records, sound.

mod crowd;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod drill;
#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use cluster::rows;
use crowd::sound::{Ear, Sound};
use crowd::{Crowd, Manner, State};
use drill::{DOMAIN, Drill, OPEN, PASSWORD, until_drains};
use nix::sys::signal::Signal;
use support::raw::{Ask, Raw};
use support::{STEP, until, whole_machine};
use types::Rng;

/// What is there when the process is killed.
const CALLS: usize = 10_000;
const CALLS_WITH_SOUND: usize = 200;
const REGISTRATIONS: usize = 10_000;
const MESSAGES: usize = 1_000;
/// People with ten phones each, people who are called, and people who are away.
const USERS: usize = REGISTRATIONS / 10;
const CALLED: usize = 50;
const AWAY: usize = 50;
/// Stored messages that may come twice, in a hundred.
const TWICE_MAX: usize = 2;
/// A ringing call must have its final answer within this: Timer B of the caller, and what the timers between may add.
const FINAL: Duration = Duration::from_secs(40);
/// How often a busy server is killed, calls that are begun or up at one time, and the longest time until it is.
const KILLS: usize = 10;
const AT_ONCE: usize = 60;
const BUSY_MAX: u64 = 600;

/// How long one OPTIONS is waited for before another one is sent.
const PROBE: Duration = Duration::from_millis(100);

/// Where the phones are; the server and its media ports are on 127.0.0.1.
const PHONES: &str = "127.0.0.2";

/// Whoever asks whether the server is there: how long it took.
fn until_options(phone: &mut Raw) -> Duration {
    let began = Instant::now();
    let ask = Ask {
        method: "OPTIONS",
        uri: "sip:example.com",
        from: "<sip:probe@elsewhere.test>;tag=1",
        to: "<sip:example.com>",
        call_id: "probe",
        more: "",
        body: "",
    };
    until(STEP, "an answer to OPTIONS", || {
        let text = phone.text(&ask);
        phone.send(&text);
        phone.hear_within(PROBE, |heard| heard.status() > 0)
    });
    began.elapsed()
}

fn registered(drill: &Drill) -> usize {
    (0..USERS).map(|user| drill.door.items(&format!("/v1/bindings?user=u{user}")).len()).sum()
}

/// One row of what is asked of the records.
fn count(drill: &Drill, question: &str) -> usize {
    let file = fs::read_to_string(&drill.file).expect("the file of the server");
    if let Some(number) = rows::ask(&file, question) {
        return number.trim().parse().expect("a number");
    }
    let database = drill.folder.path().join("data/carillon.sqlite");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(database, flags).expect("a database");
    database.busy_timeout(STEP).expect("a database");
    let number: i64 = database.query_row(question, [], |row| row.get(0)).expect("a number");
    usize::try_from(number).expect("a count")
}

/// Stores messages for people who are away; each is acknowledged.
fn leave_messages(crowd: &mut Crowd) -> BTreeSet<String> {
    let texts: Vec<_> = (0..MESSAGES).map(|number| format!("message {number} ")).collect();
    crowd.batch(
        &texts,
        |crowd, text| {
            let number: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
            let address = format!("sip:away{}@{DOMAIN}", number % AWAY);
            let from = format!("<sip:c{}@{DOMAIN}>;tag={number}", number % CALLED);
            crowd.ask(
                &Ask {
                    method: "MESSAGE",
                    uri: &address,
                    from: &from,
                    to: &format!("<{address}>"),
                    call_id: text.trim(),
                    more: "",
                    body: text,
                },
                1,
            );
        },
        |crowd, text| crowd.said.contains_key(text.trim()),
    );
    for text in &texts {
        assert_eq!(crowd.said[text.trim()].status(), 202, "{}", crowd.said[text.trim()].text);
    }
    texts.into_iter().collect()
}

#[test]
fn ten_thousand_calls_survive_a_kill() {
    let _turn = whole_machine();
    let mut drill = start();
    let mut crowd = Crowd::new(&drill.host, PHONES, drill.sip);
    let server = drill.sip.ip();
    let mut began = Instant::now();
    let mut took = |what: &str| {
        println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
        began = Instant::now();
    };
    people(&drill, &[("u", USERS), ("c", CALLED), ("away", AWAY)]);
    took("people");
    let mut contacts: Vec<_> = (0..REGISTRATIONS)
        .map(|number| (format!("u{}", number % USERS), format!("u{number}")))
        .collect();
    contacts.extend((0..CALLED).map(|number| (format!("c{number}"), format!("c{number}"))));
    crowd.register(DOMAIN, PASSWORD, &contacts);
    took("registrations");
    let left = leave_messages(&mut crowd);
    took("messages");

    // Both ends of the first calls have ears.
    let mut sound = Sound::new();
    let topics: Vec<_> = (0..CALLS).map(|number| format!("t{number}")).collect();
    let mut ports = BTreeMap::new();
    for topic in &topics[..CALLS_WITH_SOUND] {
        let [caller, callee] = [(); 2].map(|()| Ear::new(&drill.host, PHONES));
        ports.insert(topic.clone(), caller.port());
        crowd.ports.insert(topic.clone(), callee.port());
        sound.ears.extend([caller, callee]);
    }
    crowd.batch(
        &topics,
        |crowd, topic| {
            let user = format!("c{}", topic[1..].parse::<usize>().unwrap() % CALLED);
            crowd.call(&user, DOMAIN, topic, ports.get(topic).copied().unwrap_or_default());
        },
        |crowd, topic| crowd.caller(topic).is_some_and(|end| crowd.ends[end].state == State::Up),
    );
    crowd.until(STEP, "all are up at both ends", |crowd| {
        crowd.ends.len() == 2 * CALLS && crowd.ends.iter().all(|end| end.state == State::Up)
    });
    took("calls");
    let callers: Vec<usize> =
        topics.iter().map(|topic| crowd.caller(topic).expect("it called")).collect();
    let callee_of = |crowd: &Crowd, caller: usize| crowd.callee(caller).expect("he was called");
    for (number, caller) in callers.iter().take(CALLS_WITH_SOUND).enumerate() {
        sound.ears[2 * number].end = *caller;
        sound.ears[2 * number + 1].end = callee_of(&crowd, *caller);
    }
    sound.until_all_hear(server, &mut crowd);
    // Three more that only ring.
    crowd.manner = Manner::Ring;
    let ringing: Vec<usize> =
        (0..3).map(|number| crowd.call("c0", DOMAIN, &format!("ring{number}"), 0)).collect();
    crowd.until(STEP, "they ring", |crowd| {
        ringing.iter().all(|end| crowd.ends[*end].state == State::Ringing)
    });
    crowd.manner = Manner::Answer;

    drill.kill_and_restart();
    took("killed and ready again");
    let mut probe = Raw::new(&drill.host, PHONES, drill.sip);
    println!("OPTIONS answered {:?} after it was ready", until_options(&mut probe));
    let back = sound.until_all_hear(server, &mut crowd);
    println!("sound of {CALLS_WITH_SOUND} calls at the same ports {back:?} after that");
    took("sound");
    crowd.until(FINAL, "ringing calls have a final answer", |crowd| {
        ringing.iter().all(|end| matches!(crowd.ends[*end].state, State::Refused(_)))
    });
    took("ringing ended");
    for end in &ringing {
        assert_eq!(crowd.ends[*end].state, State::Refused(480), "{:?}", crowd.ends[*end]);
    }
    assert_eq!(registered(&drill), REGISTRATIONS);
    took("bindings counted");

    // Every kind of request from both ends: change, refresh; then the end, by one or by the other.
    let all: Vec<(usize, usize, usize)> = callers
        .iter()
        .enumerate()
        .map(|(number, caller)| (number, *caller, callee_of(&crowd, *caller)))
        .collect();
    let asks = |number: usize, caller: usize, callee: usize| match number % 4 {
        0 => Some((caller, true)),
        1 => Some((callee, true)),
        2 => Some((if number % 8 < 4 { caller } else { callee }, false)),
        _ => None,
    };
    crowd.batch(
        &all,
        |crowd, (number, caller, callee)| match asks(*number, *caller, *callee) {
            Some((end, true)) => crowd.invite(end),
            Some((end, false)) => crowd.refresh(end),
            None => (),
        },
        |crowd, (number, caller, callee)| {
            asks(*number, *caller, *callee).is_none_or(|(end, _)| crowd.ends[end].last > 0)
        },
    );
    for (number, caller, callee) in &all {
        if let Some((end, _)) = asks(*number, *caller, *callee) {
            assert_eq!(crowd.ends[end].last, 200, "call {number} after the restart");
        }
    }
    took("re-INVITEs and refreshes");
    let ender = |number: usize, caller: usize, callee: usize| {
        if number.is_multiple_of(2) { (caller, callee) } else { (callee, caller) }
    };
    crowd.batch(
        &all,
        |crowd, (number, caller, callee)| crowd.bye(ender(*number, *caller, *callee).0),
        |crowd, (_, caller, callee)| {
            crowd.ends[*caller].state == State::Over && crowd.ends[*callee].state == State::Over
        },
    );
    took("hung up");
    for (number, caller, callee) in &all {
        let (one, other) = ender(*number, *caller, *callee);
        assert_eq!((crowd.ends[one].last, crowd.ends[other].last % 200), (200, 0));
    }
    until(FINAL, "the records", || {
        (count(&drill, "select count(*) from v_calls") == CALLS + ringing.len()).then_some(())
    });
    for who in ["caller", "callee"] {
        let question = format!(
            "select count(*) from v_calls where outcome = 'answered' and hung_up_by = '{who}'"
        );
        assert_eq!(count(&drill, &question), CALLS / 2, "calls that the {who} ended");
    }
    assert!(drill.door.items("/v1/calls").is_empty(), "no call is left");

    // They come back, and read what was left for them.
    let names: Vec<_> =
        (0..AWAY).map(|user| (format!("away{user}"), format!("away{user}"))).collect();
    crowd.register(DOMAIN, PASSWORD, &names);
    crowd.until(FINAL, "all messages", |crowd| {
        crowd.texts.iter().collect::<BTreeSet<_>>().len() >= MESSAGES
    });
    let read: BTreeSet<String> = crowd.texts.iter().cloned().collect();
    assert_eq!(read, left);
    let twice = crowd.texts.len() - read.len();
    println!(
        "{twice} of {MESSAGES} messages came twice; {} requests were repeated",
        crowd.repeated
    );
    assert!(twice * 100 <= MESSAGES * TWICE_MAX);
    assert!(crowd.strange.is_empty(), "{:#?}", crowd.strange);
    took("messages read");
}

/// A server that strangers may call through.
fn start() -> Drill {
    Drill::start("", OPEN, "")
}

/// The same with phones that may be called.
#[track_caller]
fn start_with_phones() -> (Drill, Crowd) {
    let drill = start();
    people(&drill, &[("c", CALLED)]);
    let mut crowd = Crowd::new(&drill.host, PHONES, drill.sip);
    let contacts: Vec<_> =
        (0..CALLED).map(|number| (format!("c{number}"), format!("c{number}"))).collect();
    crowd.register(DOMAIN, PASSWORD, &contacts);
    (drill, crowd)
}

#[track_caller]
fn people(drill: &Drill, kinds: &[(&str, usize)]) {
    for (name, number) in kinds {
        for number in 0..*number {
            let made = drill.put_user(&format!("{name}{number}"));
            assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        }
    }
}

/// Calls that begin and end until the process is killed at a moment that nobody chose.
struct Busy {
    rng: Rng,
    /// Callers' ends of this round.
    calls: Vec<usize>,
    /// Those among them that somebody has hung up, and who.
    ended: BTreeMap<usize, usize>,
    /// How many of those before the kill: of these the answer may have died with the process.
    before: BTreeSet<usize>,
    /// Callers without a final answer when the server was back.
    waited: usize,
    /// Ends that heard nothing of the BYE that ended their call.
    not_told: usize,
}

impl Busy {
    fn run(&mut self, crowd: &mut Crowd, round: usize, span: Duration) {
        let (began, mut number) = (Instant::now(), 0);
        while began.elapsed() < span {
            let is_live = |end: &&usize| {
                let state = crowd.ends[**end].state;
                !matches!(state, State::Over | State::Refused(_))
            };
            let live: Vec<usize> = self.calls.iter().filter(is_live).copied().collect();
            if live.len() < AT_ONCE {
                let user = format!("c{}", number % CALLED);
                self.calls.push(crowd.call(&user, DOMAIN, &format!("k{round}-{number}"), 0));
                number += 1;
            }
            for caller in live {
                if crowd.ends[caller].state == State::Up && self.rng.below(20) == 0 {
                    self.hang_up(crowd, caller);
                }
            }
            crowd.turn();
        }
    }

    /// One of both hangs up; a call is hung up once.
    fn hang_up(&mut self, crowd: &mut Crowd, caller: usize) {
        let Some(callee) = crowd.callee(caller) else { return };
        if self.ended.contains_key(&caller) || crowd.ends[callee].state != State::Up {
            return;
        }
        let who = if self.rng.below(2) == 0 { caller } else { callee };
        self.ended.insert(caller, who);
        crowd.bye(who);
    }

    /// After the restart: what was up is up still, and can be ended by both; what rang has ended.
    fn settle(&mut self, crowd: &mut Crowd) {
        let waiting = |crowd: &Crowd| {
            let begun =
                |end: &&usize| matches!(crowd.ends[**end].state, State::Trying | State::Ringing);
            self.calls.iter().filter(begun).count()
        };
        self.waited += waiting(crowd);
        // Whom the server knows is told the end; whom it does not know asks again.
        crowd.until(FINAL, "nobody waits for nothing", |crowd| waiting(crowd) == 0);
        self.before = self.ended.keys().copied().collect();
        let calls = self.calls.clone();
        for caller in &calls {
            self.hang_up(crowd, *caller);
        }
        crowd.until(FINAL, "every request has its answer", |crowd| {
            calls.iter().all(|caller| !crowd.waits(*caller))
                && self.ended.values().all(|end| !crowd.waits(*end))
        });
        for caller in &calls {
            let end = &crowd.ends[*caller];
            assert!(!matches!(end.state, State::Trying | State::Ringing), "{end:?}");
            assert_ne!(end.state, State::Refused(408), "{end:?}");
        }
        for (caller, who) in &self.ended {
            let (status, topic) = (crowd.ends[*who].last, &crowd.ends[*caller].topic);
            // Said again after the kill, a BYE that was done already finds nothing any more.
            let done = status == 481 && self.before.contains(caller);
            assert!(done || status == 200, "{status} to the BYE in {topic}");
        }
        // The other side of those may not have been told: who hangs up then is told that the call is over.
        let other = |(caller, who): (&usize, &usize)| {
            let callee = crowd.callee(*caller).expect("he was up");
            if *who == *caller { callee } else { *caller }
        };
        let others: Vec<_> = self.ended.iter().map(|pair| (*pair.0, other(pair))).collect();
        let told = |crowd: &Crowd, end: usize| crowd.ends[end].state == State::Over;
        crowd.until(FINAL, "both ends are over", |crowd| {
            others.iter().all(|(caller, end)| told(crowd, *end) || self.before.contains(caller))
        });
        for (_, end) in others {
            if !told(crowd, end) {
                self.not_told += 1;
                crowd.bye(end);
                // The server's own BYE may cross it, and be here before that answer.
                crowd.until(FINAL, "an answer", |crowd| told(crowd, end) && !crowd.waits(end));
                assert!(matches!(crowd.ends[end].last, 200 | 481), "{:?}", crowd.ends[end]);
            }
        }
    }
}

#[test]
fn whatever_the_moment_of_the_kill_no_call_is_lost() {
    let _turn = whole_machine();
    let (mut drill, mut crowd) = start_with_phones();
    let mut rng = Rng::from_number(4);
    let (mut answered, mut hung_up, mut waited, mut not_told) = (0, 0, 0, 0);
    for round in 0..KILLS {
        let mut busy = Busy {
            rng: rng.fork(),
            calls: Vec::new(),
            ended: BTreeMap::new(),
            before: BTreeSet::new(),
            waited: 0,
            not_told: 0,
        };
        let span = Duration::from_millis(rng.below(BUSY_MAX));
        busy.run(&mut crowd, round, span);
        drill.kill_and_restart();
        busy.settle(&mut crowd);
        for caller in &busy.calls {
            match crowd.ends[*caller].state {
                State::Up | State::Over => answered += 1,
                State::Refused(status) => assert_eq!(status, 480, "{:?}", crowd.ends[*caller]),
                State::Trying | State::Ringing => panic!("{:?}", crowd.ends[*caller]),
            }
        }
        waited += busy.waited;
        hung_up += busy.ended.len();
        not_told += busy.not_told;
    }
    println!(
        "{KILLS} kills: {answered} calls were answered, {hung_up} of them hung up; {waited} callers \
         had no final answer yet and got one; {not_told} ends heard nothing of a BYE; {} requests were repeated",
        crowd.repeated
    );
    let twice = "select count(*) from (select sip_call_id from v_calls group by sip_call_id having count(*) > 1) as twice";
    until(FINAL, "the records", || {
        let question = "select count(*) from v_calls where outcome = 'answered'";
        (count(&drill, question) >= answered).then_some(())
    });
    assert_eq!(count(&drill, twice), 0, "calls with two records");
    assert!(drill.door.items("/v1/calls").is_empty(), "no call is left");
}

/// Calls that run, that ring, and that nobody has heard of when the drain begins.
const DRAINED: [usize; 3] = [400, 100, 50];

#[test]
fn a_drain_in_the_middle_of_the_day_fails_no_call() {
    let _turn = whole_machine();
    let (mut drill, mut crowd) = start_with_phones();
    let call = |crowd: &mut Crowd, kind: &str, number: usize| {
        crowd.call(&format!("c{}", number % CALLED), DOMAIN, &format!("{kind}{number}"), 0)
    };
    let calls = |crowd: &mut Crowd, kind: &str, count: usize| -> Vec<usize> {
        // A few at a time: a burst is refused as a crowd, which is not what is shown here.
        let made = (0..count).map(|number| {
            crowd.go_on(Duration::from_millis(2));
            call(crowd, kind, number)
        });
        made.collect()
    };
    let running = calls(&mut crowd, "running", DRAINED[0]);
    crowd.until(FINAL, "they talk", |crowd| {
        running.iter().all(|end| crowd.ends[*end].state == State::Up)
    });
    crowd.manner = Manner::Ring;
    let ringing = calls(&mut crowd, "ringing", DRAINED[1]);
    crowd.until(FINAL, "they ring", |crowd| {
        ringing.iter().all(|end| crowd.ends[*end].state == State::Ringing)
    });
    // These cross the signal: each rings, or is told to go elsewhere.
    let crossing = calls(&mut crowd, "crossing", DRAINED[2]);
    drill.program.signal(Signal::SIGTERM);
    drill.heard("draining");
    until_drains(&mut Raw::new(&drill.host, PHONES, drill.sip));
    let late = calls(&mut crowd, "late", DRAINED[2]);
    let refused = State::Refused(503);
    crowd.until(FINAL, "what comes behind the signal is refused", |crowd| {
        let is_told = |end: &usize| crowd.ends[*end].state != State::Trying;
        late.iter().chain(&crossing).all(is_told)
    });
    for end in &late {
        assert_eq!(crowd.ends[*end].state, refused, "{:?}", crowd.ends[*end]);
    }
    let taken: Vec<usize> =
        crossing.into_iter().filter(|end| crowd.ends[*end].state != refused).collect();
    // Whoever rang may answer still, and then talks, changes the call and hangs up as on any day.
    let kept: Vec<usize> = ringing.iter().chain(&taken).copied().collect();
    for caller in &kept {
        assert_eq!(crowd.ends[*caller].state, State::Ringing, "{:?}", crowd.ends[*caller]);
        let callee = crowd.callee(*caller).expect("he rings");
        crowd.pick_up(callee);
    }
    crowd.until(FINAL, "who rang talks", |crowd| {
        kept.iter().all(|end| crowd.ends[*end].state == State::Up)
    });
    let all: Vec<usize> = running.iter().chain(&kept).copied().collect();
    let callee = |crowd: &Crowd, caller: usize| crowd.callee(caller).expect("he was called");
    for (what, ask) in
        [("refreshes", Crowd::refresh as fn(&mut Crowd, usize)), ("changes", Crowd::invite)]
    {
        for callers in [true, false] {
            let ends: Vec<usize> =
                all.iter().map(|end| if callers { *end } else { callee(&crowd, *end) }).collect();
            ends.iter().for_each(|end| ask(&mut crowd, *end));
            crowd.until(FINAL, what, |crowd| ends.iter().all(|end| !crowd.waits(*end)));
            for end in ends {
                assert_eq!(crowd.ends[end].last, 200, "{what}: {:?}", crowd.ends[end]);
            }
        }
    }
    assert!(drill.program.poll_end().is_none(), "calls run");
    for (number, caller) in all.iter().enumerate() {
        let end = if number % 2 == 0 { *caller } else { callee(&crowd, *caller) };
        crowd.bye(end);
    }
    crowd.until(FINAL, "all have hung up", |crowd| {
        all.iter().all(|end| {
            [*end, callee(crowd, *end)]
                .iter()
                .all(|end| crowd.ends[*end].state == State::Over && !crowd.waits(*end))
        })
    });
    assert!(drill.program.wait(FINAL).success(), "it ends by itself behind the last call");
    drill.start_again();
    let answered = "select count(*) from v_calls where outcome = 'answered'";
    until(FINAL, "one record for each", || (count(&drill, answered) == all.len()).then_some(()));
    assert!(drill.door.items("/v1/calls").is_empty());
    println!("{} calls of those that crossed the signal were taken", taken.len());
}
