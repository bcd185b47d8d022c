//! Challenges and proofs: an answer of ours can be read, whatever the challenge was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::digest::{Challenge, Credentials, Login, Password, Target, answer};

fuzz_target!(|bytes: &[u8]| {
    let _ = Credentials::decode(bytes).is_ok();
    let Ok(challenge) = Challenge::decode(bytes) else { return };
    let login = Login { user: b"alice", password: Password::Text(b"secret"), realm: None };
    let target = Target { method: b"REGISTER", uri: b"sip:example.com" };
    if let Some(value) = answer(&challenge, &login, target, b"c", 1) {
        assert!(value.iter().all(|octet| *octet == b'\t' || *octet >= b' '));
    }
});
