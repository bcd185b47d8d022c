//! One datagram of SIP: nothing panics, and what is written from a message is whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::write;
use sip::{Framing, Message, Name};

fuzz_target!(|bytes: &[u8]| {
    for framing in [Framing::Datagram, Framing::Stream] {
        let Ok(message) = Message::decode(bytes, framing) else { continue };
        let checked = message.check().is_ok();
        let mut out = Vec::new();
        let source = "192.0.2.1:5060".parse().ok();
        write::response_to(&mut out, &message, 400, None, Some(b"tag"), source).end();
        let answer = Message::decode(&out, Framing::Stream).expect("what we write is whole");
        if checked {
            assert_eq!(answer.check(), Ok(()));
            assert_eq!(answer.values(Name::Via).count(), message.values(Name::Via).count());
        }
    }
    if let Some(broken) = Message::for_refusal(bytes) {
        let mut out = Vec::new();
        write::response_to(&mut out, &broken, 400, None, Some(b"tag"), None).end();
        Message::decode(&out, Framing::Stream).expect("what we write is whole");
    }
});
