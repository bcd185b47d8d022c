//! A packet of media.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = media::rtp::Kind::of(bytes);
});
