//! Documents of call programs, as XML and as JSON: each complaint has its place, and a document that is none is said to be none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twiml::Class;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for reading in [twiml::read(bytes), twiml::read_json(bytes)] {
        for finding in &reading.findings {
            let (line, column) = finding.line_and_column(&text);
            assert!(line > 0 && column > 0);
        }
        let fails = reading.findings.iter().any(|finding| finding.class == Class::Error);
        assert!(reading.document.is_some() || fails);
    }
});
