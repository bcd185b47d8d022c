//! A browser's description: brought into the plain form it is a description still.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use sdp::{Session, web};

fuzz_target!(|bytes: &[u8]| {
    let Ok(session) = Session::decode(bytes) else { return };
    if web::browser(&session).is_none() {
        return;
    }
    if let Ok(plain) = web::undress(bytes, Ipv4Addr::LOCALHOST.into()) {
        let again = Session::decode(&plain).expect("what we write is whole");
        assert_eq!(again.media.len(), session.media.len());
    }
});
