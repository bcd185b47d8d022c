//! The talk with an app, played.

use super::*;
use crate::socket::described::complaint;

/// A talk, its clock, and what was said on its socket.
struct Stage {
    link: Link,
    now: Instant,
    next: u64,
    done: Vec<Action>,
}

impl Stage {
    fn new() -> Self {
        Self { link: Link::new("t".into()), now: Instant::default(), next: 0, done: Vec::new() }
    }

    fn give(&mut self, event: Event) -> &mut Self {
        self.link.handle(event, self.now);
        while let Some(action) = self.link.poll() {
            self.done.push(action);
        }
        self
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self.give(Event::Deadline)
    }

    fn say(&mut self, text: Value) -> u64 {
        self.next += 1;
        let (connect, total) = (Duration::from_secs(5), Duration::from_secs(15));
        let text = text.to_string();
        self.give(Event::Say(Saying { key: self.next, text, connect, total }));
        self.next
    }

    fn ask(&mut self, kind: &str, id: &str) -> u64 {
        self.say(json!({"type": kind, "id": id, "call": "CA1", "hook": "", "parameters": {}}))
    }

    fn news(&mut self, event: &str) -> u64 {
        self.say(json!({"type": "call.event", "call": "CA1", "event": event}))
    }

    fn hear(&mut self, text: Value) -> &mut Self {
        self.give(Event::Heard(text.to_string()))
    }

    /// All that is to be said, each as its type and its number or name.
    fn said(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(text) = self.link.text() {
            assert_eq!(complaint(&text), None);
            let said: Value = serde_json::from_str(&text).unwrap();
            let (kind, mark) = (said["type"].as_str().unwrap(), &said["seq"]);
            let mark = if mark.is_null() { &said["id"] } else { mark };
            all.push(format!("{kind} {mark}"));
        }
        all
    }

    fn took(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.done)
    }
}

fn answered(key: u64, status: u16, body: &str) -> Action {
    Action::Answer { key, answer: Ok((status, body.as_bytes().to_vec())) }
}

fn failed(key: u64, fault: FetchFault) -> Action {
    Action::Answer { key, answer: Err(fault) }
}

#[test]
fn a_call_is_asked_and_told_on_one_socket() {
    let mut stage = Stage::new();
    let first = stage.ask("call.new", "a");
    assert_eq!(stage.took(), [Action::Open]);
    let second = stage.ask("call.new", "b");
    stage.give(Event::Opened);
    assert_eq!(stage.said(), ["hello null", "call.new 1", "call.new 2"]);
    stage.hear(json!({"type": "answer", "id": "b", "document": {"verbs": []}}));
    stage.hear(json!({"type": "answer", "id": "a", "error": "no"}));
    let both = [answered(second, 200, r#"{"verbs":[]}"#), answered(first, 500, "")];
    assert_eq!(stage.took(), both);
    // News are taken at once; an answer that nobody waits for is refused.
    let news = stage.news("key");
    stage.hear(json!({"type": "answer", "id": "a"}));
    assert_eq!(stage.took(), [answered(news, 204, "")]);
    assert_eq!(stage.said(), ["call.event 3", "refused \"a\""]);
    // Nobody needs it any more when the call is over.
    stage.news("ended");
    stage.said();
    stage.give(Event::Deadline).pass(IDLE_MAX);
    assert_eq!(stage.took().last(), Some(&Action::Close));
    assert!(stage.link.is_over());
}

#[test]
fn a_lost_socket_comes_back_and_nothing_is_forgotten() {
    let mut stage = Stage::new();
    let key = stage.ask("call.new", "a");
    stage.give(Event::Opened).said();
    stage.news("doing");
    stage.news("key");
    assert_eq!(stage.said(), ["call.event 2", "call.event 3"]);
    stage.hear(json!({"type": "ack", "seq": 2}));
    stage.took();
    stage.give(Event::Lost).pass(RETRY_MIN);
    assert_eq!(stage.took(), [Action::Open]);
    stage.give(Event::NotOpened(StreamFault::Refused)).pass(RETRY_MIN * 2);
    assert_eq!(stage.took(), [Action::Open], "the question goes on waiting");
    stage.give(Event::Opened);
    assert_eq!(stage.said(), ["hello null", "call.new 1", "call.event 3"]);
    stage.hear(json!({"type": "answer", "id": "a", "document": {}}));
    assert_eq!(stage.took(), [answered(key, 200, "{}")]);
    // Away for good: who asks after that falls back at once, and before that when patience ends.
    stage.give(Event::Lost);
    let patient = stage.ask("call.next", "b");
    stage.took();
    stage.give(Event::NotOpened(StreamFault::Refused)).pass(Duration::from_secs(5));
    assert!(stage.took().contains(&failed(patient, FetchFault::ConnectTimeout)));
    stage.pass(RESUME_MAX);
    let hasty = stage.ask("call.next", "c");
    stage.took();
    stage.give(Event::NotOpened(StreamFault::Refused));
    assert_eq!(stage.took(), [failed(hasty, FetchFault::Refused)]);
    stage.pass(RETRY_MAX);
    assert_eq!(stage.took(), [Action::Open], "a call still goes on");
    stage.give(Event::Opened);
    let hello: Value = serde_json::from_str(&stage.link.text().unwrap()).unwrap();
    assert_eq!((&hello["session"], &hello["resumed"]), (&json!("t-2"), &json!(false)));
}

#[test]
fn a_command_is_obeyed_once() {
    let mut stage = Stage::new();
    stage.ask("call.new", "a");
    stage.give(Event::Opened).said();
    stage.took();
    let hangup = json!({"type": "command", "id": "c", "call": "CA1", "command": "hangup"});
    stage.hear(hangup.clone()).hear(hangup.clone());
    assert!(
        matches!(&*stage.took(), [Action::Command { id, call, .. }] if id == "c" && call == "CA1")
    );
    stage.give(Event::Done { id: "c".into(), status: 200, body: b"{}".to_vec() });
    assert_eq!(stage.said(), ["done \"c\""]);
    stage.hear(hangup);
    assert_eq!(stage.said(), ["done \"c\""]);
    assert_eq!(stage.took(), []);
    stage.hear(json!({"type": "command", "id": "d", "call": "CA2"}));
    stage.give(Event::Done { id: "d".into(), status: 404, body: b"{}".to_vec() });
    assert_eq!(stage.said(), ["refused \"d\""]);
}

#[test]
fn limits_are_answered() {
    let mut stage = Stage::new();
    for _ in 0..ITEMS_MAX {
        stage.ask("call.new", "a");
    }
    stage.took();
    let news = stage.news("key");
    assert_eq!(stage.took(), [failed(news, FetchFault::Busy)]);
    stage.pass(Duration::from_secs(15));
    let timed_out = |action: &&Action| {
        matches!(
            action,
            Action::Answer {
                answer: Err(FetchFault::ConnectTimeout | FetchFault::TotalTimeout),
                ..
            }
        )
    };
    assert_eq!(stage.took().iter().filter(timed_out).count(), ITEMS_MAX);
    stage.news("key");
    stage.give(Event::Opened);
    stage.link.text();
    let told: Value = serde_json::from_str(&stage.link.text().unwrap()).unwrap();
    assert_eq!(told["lost"], 1);
    for _ in 0..NEWS_KEPT * 2 {
        stage.news("key");
        stage.said();
    }
    assert_eq!(stage.link.items.len(), NEWS_KEPT);
    stage.took();
    for _ in 0..=NONSENSE_MAX {
        stage.give(Event::Heard("nonsense".into()));
    }
    assert_eq!(stage.took(), [Action::Close]);
    for number in 0..=COMMANDS_MAX {
        let id = format!("{number}");
        stage.give(Event::Opened);
        stage.hear(json!({"type": "command", "id": id, "call": "CA1", "command": "hush"}));
    }
    let ran = |action: &&Action| matches!(action, Action::Command { .. });
    assert_eq!(stage.took().iter().filter(ran).count(), COMMANDS_MAX);
}

/// Whatever comes, everything that was said is answered once, and nothing grows beyond its limit.
#[test]
fn hostile_talk() {
    let words = [
        r#"{"type":"answer","id":"1","document":{"verbs":[{"verb":"say","text":"x"}]}}"#,
        r#"{"type":"command","id":"1","call":"CA1","command":"hangup"}"#,
        r#"{"type":"ack","seq":3}"#,
        r#"{"type":"answer","id":7,"document":[[[[[]]]]]}"#,
    ];
    for seed in 0..300 {
        let mut rng = types::Rng::from_number(seed);
        let mut stage = Stage::new();
        let mut waits = BTreeSet::new();
        for _ in 0..60 {
            let word = words[rng.next_u64() as usize % words.len()].as_bytes();
            let mut word = word.to_vec();
            if rng.next_u64().is_multiple_of(2) {
                let place = rng.next_u64() as usize % word.len();
                word[place] = rng.next_u64() as u8;
            }
            match rng.next_u64() % 9 {
                0 => drop(waits.insert(stage.ask("call.new", "1"))),
                1 => drop(waits.insert(stage.news("ended"))),
                2 => drop(stage.give(Event::Opened)),
                3 => drop(stage.give(Event::Lost)),
                4 => drop(stage.give(Event::NotOpened(StreamFault::Tls))),
                5 => drop(stage.pass(Duration::from_millis(rng.next_u64() % 9_000))),
                6 => drop(stage.said()),
                7 => {
                    let (id, body) = ("1".to_owned(), b"{}".to_vec());
                    stage.give(Event::Done { id, status: 200, body });
                }
                _ => {
                    let text = String::from_utf8_lossy(&word).into_owned();
                    stage.give(Event::Heard(text));
                }
            }
            for action in stage.took() {
                if let Action::Answer { key, .. } = action {
                    assert!(waits.remove(&key), "{seed}: {key} is answered twice");
                }
            }
            assert!(stage.link.items.len() <= ITEMS_MAX);
        }
        stage.pass(Duration::from_secs(20));
        for action in stage.took() {
            if let Action::Answer { key, .. } = action {
                assert!(waits.remove(&key));
            }
        }
        assert!(waits.is_empty(), "{seed}: {waits:?} was never answered");
    }
}
