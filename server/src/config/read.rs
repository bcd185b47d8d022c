//! File and environment to a typed tree, with a place for every complaint.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::{Base, SECTIONS, Tree};
use crate::rooms;

/// Variables that begin so are ours: `CARILLON_SIP__LISTEN` is `sip.listen`.
pub const ENVIRONMENT_PREFIX: &str = "CARILLON_";
/// The largest file that is read.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Between the parts of a variable's name.
const PART: &str = "__";

/// Why a configuration is refused, in words that show where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// Reads the file. Errors name it and the option that named it.
pub fn text(path: &Path) -> Result<String, Fault> {
    let fault = |why: &dyn fmt::Display| Fault(format!("{}: {why} (--config)", path.display()));
    let size = std::fs::metadata(path).map_err(|why| fault(&why))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(&"larger than a configuration file may be"));
    }
    std::fs::read_to_string(path).map_err(|why| fault(&why))
}

/// What is read, with names for its places. Offsets beyond the text are variables, in order.
pub struct Source<'a> {
    name: &'a str,
    text: &'a str,
    /// Our variables, by name: path of the key and value.
    variables: Vec<(&'a str, Vec<String>, &'a str)>,
}

/// Where each value stands: by its dotted key.
pub struct Places<'a> {
    source: &'a Source<'a>,
    spans: BTreeMap<String, Range<usize>>,
}

impl<'a> Source<'a> {
    pub fn new(name: &'a str, text: &'a str, environment: &'a [(String, String)]) -> Self {
        let known = |section: &str| sections().contains(&section);
        let mut variables: Vec<_> = environment
            .iter()
            .filter_map(|(variable, value)| {
                let key = variable.strip_prefix(ENVIRONMENT_PREFIX)?;
                let path: Vec<_> = key.split(PART).map(str::to_ascii_lowercase).collect();
                let ours = path.len() > 1 && path.first().is_some_and(|section| known(section));
                ours.then_some((variable.as_str(), path, value.as_str()))
            })
            .collect();
        variables.sort();
        Self { name, text, variables }
    }

    /// Says what is wrong at a place.
    pub fn fault(&self, at: Option<Range<usize>>, why: &str) -> Fault {
        self.fault_shown(at, why, None)
    }

    /// The same; `instead` is shown for what stands at the place.
    fn fault_shown(&self, at: Option<Range<usize>>, why: &str, instead: Option<&str>) -> Fault {
        let Some(at) = at else { return Fault(format!("{}: {why}", self.name)) };
        if let Some(number) = at.start.checked_sub(self.text.len() + 1) {
            let name = self.variables.get(number).map_or("the environment", |(name, ..)| name);
            return Fault(format!("{name}: {why}"));
        }
        let start = at.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let number = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let end = at.end.min(line_start + line.len());
        let marked = instead.unwrap_or(self.text.get(start..end).unwrap_or_default());
        let width = marked.chars().count().max(1);
        let line = match instead {
            Some(shown) => {
                let around = [line_start..start, end..line_start + line.len()];
                let [before, behind] = around.map(|part| self.text.get(part).unwrap_or_default());
                format!("{before}{shown}{behind}")
            }
            None => line.to_owned(),
        };
        let margin = format!("{number:>4} | ");
        let blank = " ".repeat(margin.len() - 2);
        let indent: String = line
            .chars()
            .take(column - 1)
            .map(|letter| if letter == '\t' { '\t' } else { ' ' })
            .collect();
        let carets = "^".repeat(width);
        Fault(format!(
            "{}:{number}:{column}: {why}\n{margin}{line}\n{blank}| {indent}{carets}",
            self.name
        ))
    }

    /// SHA-256 over all that counts.
    pub fn digest(&self) -> String {
        let mut sum = Sha256::new();
        sum.update(self.text);
        for (name, _, value) in &self.variables {
            sum.update([0]);
            sum.update(name);
            sum.update([0]);
            sum.update(value);
        }
        sum.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// The place of a variable: behind the text, so that it is no place of the file.
    fn place(&self, number: usize) -> Range<usize> {
        let start = self.text.len() + 1 + number;
        start..start + 1
    }
}

impl Places<'_> {
    /// Says what is wrong with the value of a key.
    pub fn fault(&self, key: &str, why: &str) -> Fault {
        let at = self.spans.get(key).cloned();
        self.source.fault(at, &format!("{key}: {why}"))
    }

    /// The same for a value that nobody may read.
    pub fn secret_fault(&self, key: &str, why: &str) -> Fault {
        let at = self.spans.get(key).cloned();
        self.source.fault_shown(at, &format!("{key}: {why}"), Some("\"(secret)\""))
    }

    /// Whether somebody set the key.
    pub fn is_set(&self, key: &str) -> bool {
        self.spans.contains_key(key)
    }
}

/// Names of all top-level sections.
fn sections() -> Vec<&'static str> {
    let own = SECTIONS.iter().filter(|(name, _)| !name.contains('.')).map(|(name, _)| *name);
    let mut all: Vec<_> = own.chain(rooms::names()).collect();
    all.push("push");
    all.sort_unstable();
    all.dedup();
    all
}

/// The type of a setting in words, for what a variable's text means.
fn kind(path: &[String]) -> &'static str {
    let Some((key, section)) = path.split_last() else { return "String" };
    let section = section.join(".");
    let own = SECTIONS.iter().filter(|(name, _)| *name == section).map(|(_, rows)| *rows);
    let rooms = rooms::manifests();
    let theirs = rooms.iter().filter(|room| room.name == section).map(|room| room.settings);
    own.chain(theirs).flatten().find(|row| row.key == key).map_or("String", |row| row.kind)
}

/// Reads it all. Places come along for the judge.
pub fn tree<'a>(source: &'a Source<'a>, base: Base) -> Result<(Tree, Places<'a>), Fault> {
    let document = DeTable::parse(source.text)
        .map_err(|why| source.fault(why.span(), why.message().lines().next().unwrap_or("")))?;
    let mut document = document.into_inner();
    for number in 0..source.variables.len() {
        overlay(source, number, &mut document)?;
    }
    let known = sections();
    for (key, value) in &document {
        if !known.contains(&key.get_ref().as_ref()) {
            let why = format!("unknown section `{}`: one of {}", key.get_ref(), known.join(", "));
            return Err(source.fault(Some(key.span()), &why));
        }
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let why = format!("`{}` is a section: [{}]", key.get_ref(), key.get_ref());
            return Err(source.fault(Some(key.span()), &why));
        }
    }
    let mut spans = BTreeMap::new();
    note(&mut spans, "", &document);
    let values = values(source, &document)?;
    let mut tree = typed(source, &mut document)?;
    tree.values = values;
    if base == Base::Dev {
        if !spans.contains_key("sip.digest") {
            tree.sip.digest = vec!["MD5".to_owned()];
        }
        if !spans.contains_key("guard.http_targets") {
            tree.guard.http_targets = "any".to_owned();
        }
        if !spans.contains_key("voice.sip_targets") {
            tree.rooms.voice.sip_targets = "any".to_owned();
            // A replay has to know it, too.
            let mut plain: toml::Table = tree.rooms_text.parse().unwrap_or_default();
            let voice = plain.entry("voice").or_insert_with(|| toml::Table::new().into());
            if let Some(voice) = voice.as_table_mut() {
                voice.insert("sip_targets".to_owned(), "any".into());
                tree.rooms_text = plain.to_string();
            }
        }
    }
    Ok((tree, Places { source, spans }))
}

/// Puts one variable into the table.
fn overlay<'a>(
    source: &Source<'a>,
    number: usize,
    document: &mut DeTable<'a>,
) -> Result<(), Fault> {
    let Some((_, path, text)) = source.variables.get(number) else { return Ok(()) };
    let place = source.place(number);
    let Some((key, sections)) = path.split_last() else { return Ok(()) };
    let mut table = document;
    for section in sections {
        let name = Spanned::new(place.clone(), section.clone().into());
        let empty = || Spanned::new(place.clone(), DeValue::Table(DeTable::default()));
        let value = table.entry(name).or_insert_with(empty);
        let DeValue::Table(inner) = value.get_mut() else {
            return Err(source.fault(Some(place), &format!("`{section}` is not a section")));
        };
        table = inner;
    }
    let string = |text: &'a str| Spanned::new(place.clone(), DeValue::String(text.into()));
    let kind = kind(path);
    let value = if kind.starts_with("Vec") {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let list: DeArray<'a> = words.map(string).collect();
        Spanned::new(place.clone(), DeValue::Array(list))
    } else if matches!(kind, "bool" | "u8" | "u16" | "u32" | "u64" | "usize" | "f64") {
        match DeValue::parse(text) {
            Ok(value) => Spanned::new(place.clone(), value.into_inner()),
            Err(_) => string(text),
        }
    } else {
        string(text)
    };
    let name = Spanned::new(place, key.clone().into());
    // The old key would keep its old place.
    table.remove(key.as_str());
    table.insert(name, value);
    Ok(())
}

fn note(spans: &mut BTreeMap<String, Range<usize>>, above: &str, table: &DeTable<'_>) {
    for (key, value) in table {
        let name = match above {
            "" => key.get_ref().to_string(),
            above => format!("{above}.{}", key.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(inner) => note(spans, &name, inner),
            _ => drop(spans.insert(name, value.span())),
        }
    }
}

/// Every value as text, by its dotted key.
fn values<'a>(
    source: &Source<'a>,
    document: &DeTable<'a>,
) -> Result<BTreeMap<String, String>, Fault> {
    fn flatten(above: &str, table: toml::Table, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let name = if above.is_empty() { key } else { format!("{above}.{key}") };
            match value {
                toml::Value::Table(inner) => flatten(&name, inner, into),
                value => drop(into.insert(name, value.to_string())),
            }
        }
    }
    let whole = Deserializer::from(Spanned::new(0..0, document.clone()));
    let plain = toml::Table::deserialize(whole).map_err(|why| said(source, &why))?;
    let mut found = BTreeMap::new();
    flatten("", plain, &mut found);
    Ok(found)
}

fn typed<'a>(source: &Source<'a>, document: &mut DeTable<'a>) -> Result<Tree, Fault> {
    let mut providers = DeTable::default();
    if let Some(push) = document.get_mut("push")
        && let DeValue::Table(push) = push.get_mut()
    {
        for name in ["apns", "fcm", "webpush"] {
            if let Some((key, value)) = push.remove_entry(name) {
                providers.insert(key, value);
            }
        }
    }
    let mut tree = Tree {
        node: section(source, document, "node")?,
        sip: section(source, document, "sip")?,
        tls: section(source, document, "tls")?,
        media: section(source, document, "media")?,
        http: section(source, document, "http")?,
        admin: section(source, document, "admin")?,
        store: section(source, document, "store")?,
        bus: section(source, document, "bus")?,
        msrp: section(source, document, "msrp")?,
        imap: section(source, document, "imap")?,
        guard: section(source, document, "guard")?,
        speech: section(source, document, "speech")?,
        transcription: section(source, document, "transcription")?,
        ladder: section(source, document, "ladder")?,
        log: section(source, document, "log")?,
        apns: section(source, &mut providers, "apns")?,
        fcm: section(source, &mut providers, "fcm")?,
        webpush: section(source, &mut providers, "webpush")?,
        ..Tree::default()
    };
    let rest = std::mem::take(document);
    let whole = |table: DeTable<'a>| Deserializer::from(Spanned::new(0..0, table));
    let plain = toml::Table::deserialize(whole(rest.clone())).map_err(|why| said(source, &why))?;
    tree.rooms_text = plain.to_string();
    tree.rooms = services::Config::deserialize(whole(rest)).map_err(|why| said(source, &why))?;
    Ok(tree)
}

/// Takes one section out of the table and reads it.
fn section<'a, T: Deserialize<'a> + Default>(
    source: &Source<'a>,
    document: &mut DeTable<'a>,
    name: &str,
) -> Result<T, Fault> {
    let Some(value) = document.remove(name) else { return Ok(T::default()) };
    let span = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        return Err(source.fault(Some(span), &format!("`{name}` is a section")));
    };
    T::deserialize(Deserializer::from(Spanned::new(span, table))).map_err(|why| said(source, &why))
}

/// What serde says, in the words of a file.
fn said(source: &Source<'_>, why: &toml::de::Error) -> Fault {
    let first = why.message().lines().next().unwrap_or("not understood");
    source.fault(why.span(), &first.replacen("unknown field", "unknown key", 1))
}
