//! A connectivity check: who does not know the password is nobody, and an answer is STUN.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use stun::{Check, is_stun};

fuzz_target!(|bytes: &[u8]| {
    let _ = is_stun(bytes);
    let Ok(check) = Check::decode(bytes) else { return };
    assert!(!check.is_by("a password that no input holds"));
    let mut out = Vec::new();
    check.answer(SocketAddr::from((Ipv4Addr::LOCALHOST, 5_000)), "secret", &mut out);
    assert!(out.is_empty() || is_stun(&out));
});
