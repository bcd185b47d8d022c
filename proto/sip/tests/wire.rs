//! Runs the tables in `tests/wire`: a message, and what must be read out of it.
//!
//! A case is `== name`, then lines of the message behind `> ` (each ends in CR LF) or `>- ` (does
//! not), then lines `key = value`. In a message, `\r \n \t \\ \xNN` are octets and `\{text*300}` is
//! a repetition. The keys `udp` and `tcp` are for the server's tests. In values, octets beyond ASCII appear escaped the way Rust does it.

mod facts;

use std::fmt::Write as _;

use facts::fact;

#[test]
fn every_case_reads_as_its_table_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut faults) = (0, String::new());
    for file in files {
        for case in read_cases(&std::fs::read_to_string(&file).unwrap()) {
            cases += 1;
            for (key, expected) in &case.expected {
                if ["udp", "tcp"].contains(&key.as_str()) {
                    continue;
                }
                let found = fact(&case.bytes, key);
                if found != *expected {
                    let name = file.file_name().unwrap().to_string_lossy();
                    let case = &case.name;
                    let _ = writeln!(faults, "{name}, {case}: {key} = {found}, not {expected}");
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(cases > 60, "only {cases} cases were found");
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: Vec<(String, String)>,
}

fn read_cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.into(), bytes: Vec::new(), expected: Vec::new() });
        } else if let Some(line) = line.strip_prefix(">-") {
            let bytes = octets(line.strip_prefix(' ').unwrap_or(line));
            cases.last_mut().unwrap().bytes.extend(bytes);
        } else if let Some(line) = line.strip_prefix('>') {
            let bytes = octets(line.strip_prefix(' ').unwrap_or(line));
            cases.last_mut().unwrap().bytes.extend([&bytes[..], b"\r\n"].concat());
        } else if let Some((key, value)) = line.split_once(" =") {
            let pair = (key.trim().to_string(), value.trim().to_string());
            cases.last_mut().unwrap().expected.push(pair);
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "cannot read {line:?}");
        }
    }
    cases
}

fn octets(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend(before.bytes());
        let (escape, after) = after.split_at(1);
        rest = after;
        match escape {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "\\" => out.push(b'\\'),
            "x" => {
                let (digits, after) = after.split_at(2);
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            "{" => {
                let (repeat, after) = after.split_once('}').unwrap();
                let (text, count) = repeat.rsplit_once('*').unwrap();
                let text = text.replace("\\r", "\r").replace("\\n", "\n");
                out.extend(text.repeat(count.parse().unwrap()).bytes());
                rest = after;
            }
            other => panic!("unknown escape {other:?} in {line:?}"),
        }
    }
    out.extend(rest.bytes());
    out
}
