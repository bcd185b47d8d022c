//! Packets that somebody without the keys made: none is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use srtp::{Opener, Suite};

fuzz_target!(|bytes: &[u8]| {
    for (suite, key, salt) in [
        (Suite::AesCm128HmacSha1Tag80, &[7; 16][..], &[9; 14][..]),
        (Suite::AeadAes128Gcm, &[7; 16][..], &[9; 12][..]),
    ] {
        let mut opener = Opener::new(suite, key, salt).expect("keys of the right length");
        assert!(opener.open_rtp(&mut bytes.to_vec()).is_err());
        assert!(opener.open_rtcp(&mut bytes.to_vec()).is_err());
    }
});
