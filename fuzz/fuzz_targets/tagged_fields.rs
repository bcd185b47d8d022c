//! Fields of saved state: what was read writes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use types::tagged::{Reader, Writer};

fuzz_target!(|bytes: &[u8]| {
    let fields: Vec<_> = Reader::new(bytes).collect();
    let mut writer = Writer::new();
    for (tag, field) in &fields {
        let _ = (field.number(), field.text());
        writer.bytes(*tag, field.0);
    }
    let again = writer.finish();
    assert_eq!(Reader::new(&again).collect::<Vec<_>>(), fields);
});
