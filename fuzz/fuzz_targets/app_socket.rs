//! The talk with an app on a web socket: line by line what it says, what rooms say, and what happens to the socket.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use switchboard::StreamFault;
use types::Instant;
use voice::socket::link::{Action, Event, ITEMS_MAX, Link, Saying};

fuzz_target!(|bytes: &[u8]| {
    let mut link = Link::new("fuzz".to_owned());
    let (mut now, mut key, mut waits) = (Instant::default(), 0, BTreeSet::new());
    for line in bytes.split(|octet| *octet == b'\n') {
        let Some((kind, rest)) = line.split_first() else { continue };
        let text = String::from_utf8_lossy(rest).into_owned();
        let event = match kind {
            b'o' => Event::Opened,
            b'l' => Event::Lost,
            b'n' => Event::NotOpened(StreamFault::Refused),
            b't' => {
                now = now + Duration::from_millis(rest.len() as u64 * 500);
                Event::Deadline
            }
            b's' => {
                key += 1;
                waits.insert(key);
                let (connect, total) = (Duration::from_secs(5), Duration::from_secs(15));
                Event::Say(Saying { key, text, connect, total })
            }
            b'd' => Event::Done { id: text, status: 200, body: b"{}".to_vec() },
            _ => Event::Heard(text),
        };
        link.handle(event, now);
        while let Some(action) = link.poll() {
            if let Action::Answer { key, .. } = action {
                assert!(waits.remove(&key), "answered twice");
            }
        }
        while link.text().is_some() {}
        assert!(waits.len() <= ITEMS_MAX);
    }
});
