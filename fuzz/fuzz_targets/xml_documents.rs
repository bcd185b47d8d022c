//! Documents: what was read reads the same after we wrote it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xml::{Conference, DialogInfo, MessageSummary, Presence, Reginfo, ResourceLists};

macro_rules! again {
    ($bytes:expr, $($kind:ty),*) => {$(
        if let Ok(read) = <$kind>::decode($bytes) {
            let written = read.encode();
            if written.len() <= xml::DOCUMENT_MAX {
                assert_eq!(<$kind>::decode(written.as_bytes()), Ok(read));
            }
        }
    )*};
}

fuzz_target!(|bytes: &[u8]| {
    again!(bytes, Conference, DialogInfo, MessageSummary, Presence, Reginfo, ResourceLists);
});
