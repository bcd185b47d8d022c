//! The value of a header under every name, and addresses: what was read means the same after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Name, NameAddr, Uri, header};

fuzz_target!(|bytes: &[u8]| {
    for name in Name::ALL {
        let Some(Ok(written)) = header::rewrite(*name, bytes) else { continue };
        assert!(!written.contains(char::is_control));
        let again = header::rewrite(*name, written.as_bytes());
        assert_eq!(again, Some(Ok(written)));
    }
    if let Ok(address) = NameAddr::decode(bytes) {
        let _ = (address.tag(), address.q(), address.expires(), address.uri().is_ok());
    }
    if let Ok(uri) = Uri::decode(bytes) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        uri.write_address(&mut once);
        if let Ok(again) = Uri::decode(&once) {
            again.write_address(&mut twice);
            assert_eq!(once, twice);
        }
    }
});
