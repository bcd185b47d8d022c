//! A stream of SIP: however it is cut, the same messages come out. The first octet says how it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::stream::Framer;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    let mut whole = Framer::new();
    whole.push(bytes);
    let whole: Vec<_> = whole.map(|frame| frame.map_err(|broken| broken.error)).collect();
    let (mut framer, mut pieces) = (Framer::new(), Vec::new());
    for piece in bytes.chunks(usize::from(*size).max(1)) {
        framer.push(piece);
        pieces.extend(framer.by_ref().map(|frame| frame.map_err(|broken| broken.error)));
    }
    assert_eq!(pieces, whole);
});
