//! What is wrong with a document, where, and how that looks to whoever wrote it.

use std::fmt::Write as _;

/// What follows from a finding.
///
/// Spec: programmable-voice §5
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nothing at all; whoever wrote the document may have meant something else.
    Hint,
    /// The default is used, or the element skipped, and the call goes on.
    Warning,
    /// The document is abandoned.
    Error,
}

/// A part of a document, in octets from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where it begins.
    pub at: usize,
    /// How long it is.
    pub length: usize,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What follows.
    pub class: Class,
    /// The vendor's number; none for what only we say.
    pub code: Option<u16>,
    /// Where.
    pub place: Place,
    /// What is wrong, and what would mend it.
    pub sentence: String,
}

impl Finding {
    pub(crate) fn new(class: Class, code: u16, place: Place, sentence: impl Into<String>) -> Self {
        Self { class, code: Some(code), place, sentence: sentence.into() }
    }

    /// What only we say.
    pub(crate) fn hint(place: Place, sentence: impl Into<String>) -> Self {
        Self { class: Class::Hint, code: None, place, sentence: sentence.into() }
    }

    /// Line and column of the place, both from 1; columns count characters.
    pub fn line_and_column(&self, text: &str) -> (usize, usize) {
        let before = before(text, self.place.at);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// The finding with its line of the document and carets under the place.
    pub fn show(&self, name: &str, text: &str) -> String {
        let (line, column) = self.line_and_column(text);
        let code = self.code.map_or_else(|| "    -".to_owned(), |code| format!("{code:>5}"));
        let mut out = format!("{name}:{line}:{column}  {code}  {}\n", self.sentence);
        let Some(source) = text.lines().nth(line - 1) else { return out };
        let (shown, cut) = shown(source);
        // Whoever reads this has a terminal: nothing of the document may steer it.
        let clean: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(out, "{line:>4} | {clean}{}", if cut { "…" } else { "" });
        let width = clean.chars().count();
        if column <= width {
            let length = text.get(self.place.at..self.place.at + self.place.length);
            let length = length.and_then(|part| part.lines().next()).unwrap_or("").chars().count();
            let carets = "^".repeat(length.clamp(1, width + 1 - column));
            let _ = writeln!(out, "     | {}{carets}", " ".repeat(column - 1));
        }
        out
    }
}

/// Characters of a line that are shown.
const SHOWN_MAX: usize = 160;

fn shown(source: &str) -> (&str, bool) {
    match source.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => (source.get(..end).unwrap_or(source), true),
        None => (source, false),
    }
}

fn before(text: &str, at: usize) -> &str {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.get(..at).unwrap_or("")
}

/// What a run of findings comes to, in one line.
pub fn summary(findings: &[Finding]) -> String {
    let count = |class| findings.iter().filter(|finding| finding.class == class).count();
    let many = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let (errors, warnings, hints) =
        (count(Class::Error), count(Class::Warning), count(Class::Hint));
    match (errors, warnings, hints) {
        (0, 0, 0) => "No complaint.".to_owned(),
        (0, 0, hints) => format!("{}. The call would run.", many(hints, "hint")),
        (0, 1, _) => {
            "1 warning. The call would use the default, or skip what it cannot read, and go on."
                .to_owned()
        }
        (0, warnings, _) => format!(
            "{warnings} warnings. The call would use the defaults, or skip what it cannot read, and go on."
        ),
        (errors, 0, _) => format!("{}. The document would be abandoned.", many(errors, "error")),
        (errors, warnings, _) => format!(
            "{}, {}. The document would be abandoned.",
            many(errors, "error"),
            many(warnings, "warning")
        ),
    }
}
