//! Words that must not stand in the tree: unfinished work, waiting in tests, lifted bans, places of one machine.

use crate::finding::Finding;
use crate::tidy::{Report, Source};

/// The one file that may name what it stands in for.
const STAND_IN: &str = "types/src/map.rs";

const STUBS: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Written in two halves so that this file does not find itself.
const UNFINISHED: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Folders that exist on one machine only.
const MACHINE_FOLDERS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// First labels of hosts that serve packages.
const PACKAGE_HOSTS: [&str; 6] = ["deb.", "files.", "index.", "registry.", "security.", "static."];

pub(super) fn rust(source: &Source<'_>, report: &mut Report) {
    let mut find = |line, what| report.findings.push(Finding::new(source.path, line, what));
    for stub in source.file.macros.iter().filter(|named| STUBS.contains(&named.name.as_str())) {
        find(stub.line, format!("{}! is unfinished work", stub.name));
    }
    for attribute in &source.file.attributes {
        let text = attribute.text.as_str();
        if text.starts_with("ignore") || text.starts_with("should_panic") {
            find(attribute.line, format!("no test is #[{text}]"));
        }
        let lifts =
            text.starts_with("allow(") || text.starts_with("expect(") || text.contains(",allow(");
        let in_binary = source.path.contains("/src/bin/") || source.path.ends_with("/src/main.rs");
        if lifts
            && text.contains("clippy::disallowed")
            && !source.may_wait
            && !in_binary
            // A bench holds the stopwatch, and is no part of the house.
            && !source.path.contains("/benches/")
            && source.path != STAND_IN
        {
            find(
                attribute.line,
                "lifts a ban where nothing may wait, read a clock or touch the outside".to_owned(),
            );
        }
    }
    for call in source.file.calls.iter().filter(|call| call.in_test && call.name == "sleep") {
        find(call.line, "a test waits for something that happens, not for time".to_owned());
    }
    errors(source, report);
    unfinished(source.path, source.text, report);
}

/// Error enums name each kind; text cannot be matched on.
fn errors(source: &Source<'_>, report: &mut Report) {
    let ends = ["Error", "Fault", "Refusal"];
    let enums =
        source.file.enums.iter().filter(|item| ends.iter().any(|end| item.name.ends_with(end)));
    for (item, variant) in
        enums.flat_map(|item| item.variants.iter().map(move |variant| (item, variant)))
    {
        let full = format!("{}::{}", item.name, variant.name);
        let mut find =
            |what: String| report.findings.push(Finding::new(source.path, variant.line, what));
        if variant.payload == "String" {
            find(format!("{full} holds a String where a kind belongs"));
        }
        if variant.name == "Other" {
            find(format!("{full} is no kind: say which"));
        }
        if variant.payload.contains("#[from]io::Error")
            || variant.payload.contains("#[from]std::io::Error")
        {
            find(format!("{full} forgets what was being done"));
        }
    }
}

pub(super) fn python(path: &str, text: &str, report: &mut Report) {
    unfinished(path, text, report);
    for (index, _) in text.lines().enumerate().filter(|(_, line)| line.contains("time.sleep(")) {
        let what = "a test waits for something that happens, not for time";
        report.findings.push(Finding::new(path, index + 1, what));
    }
}

fn unfinished(path: &str, text: &str, report: &mut Report) {
    for (index, line) in text.lines().enumerate() {
        if let Some(word) = UNFINISHED.iter().find(|word| holds_word(line, word)) {
            report.findings.push(Finding::new(
                path,
                index + 1,
                format!("{word} is unfinished work"),
            ));
        }
    }
}

fn holds_word(line: &str, word: &str) -> bool {
    let letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric());
    line.match_indices(word).any(|(at, _)| {
        !letter(line[..at].chars().next_back()) && !letter(line[at + word.len()..].chars().next())
    })
}

/// Any text file: folders of one machine and hosts of package registries.
pub(super) fn foreign(path: &str, text: &str, report: &mut Report) {
    if path.ends_with(".lock") || path.ends_with("package-lock.json") {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        let mut find = |what| report.findings.push(Finding::new(path, index + 1, what));
        for folder in MACHINE_FOLDERS {
            let begins = |at: usize| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|letter| {
                    letter.is_ascii_lowercase() || letter == '.' || letter == '}'
                })
            };
            if line.match_indices(folder).any(|(at, _)| begins(at)) {
                find(format!("{folder} is a folder of one machine"));
            }
        }
        for (at, scheme) in line.match_indices("://") {
            let rest = &line[at + scheme.len()..];
            if let Some(host) = PACKAGE_HOSTS.iter().find(|host| rest.starts_with(**host)) {
                find(format!("names the package host {host}…"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_machine_and_package_hosts_are_found() {
        let mut report = Report::default();
        let text = [
            concat!("see /wo", "rk/main"),
            concat!("a.net/ro", "ot/x"),
            concat!("https://dev/wo", "rk/b"),
            concat!("http://de", "b.example"),
        ];
        foreign("a.md", &text.join("\n"), &mut report);
        let lines: Vec<usize> = report.findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 4]);
    }
}
