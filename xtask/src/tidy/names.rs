//! One noun per thing: words that say nothing, and synonyms that the glossary bans.

use crate::finding::Finding;
use crate::table;
use crate::tidy::{Report, Source};
use crate::tree::Tree;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// Words that fit any type and so describe none.
const EMPTY: [&str; 7] = ["Data", "Helper", "Helpers", "Impl", "Info", "Manager", "Util"];

/// Names that a specification gave, though they hold such a word.
const GIVEN: [&str; 7] = [
    "AlertInfo",
    "AuthenticationInfo",
    "CallInfo",
    "DialogInfo",
    "ErrorInfo",
    "HistoryInfo",
    "RecvInfo",
];

/// A room has one `Config`; these would be a second word for it.
const OTHER_CONFIGS: [&str; 4] = ["Context", "Options", "Opts", "Settings"];

/// Folders that speak of the outside world in its own words.
const EDGES: [&str; 3] = ["clients/", "proto/", "shell/"];

/// Ids that others mint and that are text for us: the SIP Call-ID.
const FOREIGN_IDS: [&str; 1] = ["call_id"];

/// The banned synonyms: `(synonym, the word to use)`.
#[derive(Default)]
pub(super) struct Glossary {
    anywhere: Vec<(String, String)>,
    in_types: Vec<(String, String)>,
}

impl Glossary {
    pub(super) fn read(tree: &Tree, report: &mut Report) -> Self {
        let mut glossary = Self::default();
        let Some(rows) = table::rows(tree.text(DOCUMENT).unwrap_or_default(), "glossary") else {
            report.findings.push(Finding::new(DOCUMENT, 0, "has no table glossary"));
            return glossary;
        };
        for row in &rows {
            let word = row.cells.first().cloned().unwrap_or_default();
            let pairs = |column| {
                row.phrases(column).into_iter().map(|banned| (banned.to_owned(), word.clone()))
            };
            glossary.anywhere.extend(pairs(2));
            glossary.in_types.extend(pairs(3));
        }
        glossary
    }
}

pub(super) fn check(source: &Source<'_>, glossary: &Glossary, report: &mut Report) {
    let mut find = |line, what| report.findings.push(Finding::new(source.path, line, what));
    let edge = EDGES.iter().any(|edge| source.path.starts_with(edge));
    for named in &source.file.types {
        let parts = parts(&named.name);
        if let Some(empty) = EMPTY.iter().find(|empty| parts.iter().any(|part| part == *empty))
            && !GIVEN.contains(&named.name.as_str())
        {
            find(named.line, format!("the type {} says nothing by `{empty}`", named.name));
        }
        if OTHER_CONFIGS.contains(&named.name.as_str()) && !edge {
            find(named.line, format!("the type {} is called Config here", named.name));
        }
        if !edge && let Some((banned, word)) = synonym(&parts, &glossary.in_types) {
            find(
                named.line,
                format!("the type {} says `{banned}`: the house says {word}", named.name),
            );
        }
    }
    for function in source
        .file
        .functions
        .iter()
        .filter(|function| function.name.starts_with("get_") && function.name != "get_mut")
    {
        find(function.line, format!("{} needs no `get_`", function.name));
    }
    for named in &source.file.definitions {
        let parts = parts(&named.name);
        if !source.path.starts_with("proto/")
            && let Some((banned, word)) = synonym(&parts, &glossary.anywhere)
        {
            find(named.line, format!("{} says `{banned}`: the house says {word}", named.name));
        }
    }
    for field in &source.file.public_fields {
        let bare = ["String", "u32", "u64"].contains(&field.kind.as_str());
        if bare
            && field.name.ends_with("_id")
            && !edge
            && !FOREIGN_IDS.contains(&field.name.as_str())
        {
            find(
                field.line,
                format!("{} is a bare {}: ids are types of their own", field.name, field.kind),
            );
        }
    }
}

/// `CallInfo` and `call_info` alike become words; case is kept.
fn parts(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        match parts.last_mut() {
            Some(last) if !letter.is_uppercase() && letter != '_' => last.push(letter),
            _ => parts.push(letter.to_string().replace('_', "")),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The first banned phrase whose words stand side by side in the name.
fn synonym<'g>(parts: &[String], banned: &'g [(String, String)]) -> Option<&'g (String, String)> {
    let lower: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
    banned.iter().find(|(phrase, _)| {
        let words: Vec<&str> = phrase.split(' ').collect();
        lower.windows(words.len()).any(|window| window == words)
    })
}
