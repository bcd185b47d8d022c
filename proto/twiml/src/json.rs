//! The same documents as JSON: read into the tree that XML is read into, so that one table checks both.
//!
//! Picture     {"state": …, "verbs": [{"verb": "say", "text": "…", "voice": "…"}, …]} --> [`Element`]s with their places
//! Rules       A verb is an object: `verb` is its name in any case, `text` what it holds, `verbs` what stands within,
//!             `parameters` an object of them; everything else is an attribute, as a text, a number, true or false.
//!             What stands twice counts twice, and the table says what it thinks of it.
//! Limits      Those of documents; [`STATE_MAX`](crate::STATE_MAX).
//! Not here    What the verbs mean (check, verbs).
//! Spec        RFC 8259

use crate::finding::{Class, Finding, Place};
use crate::schema::names;
use crate::tree::{Attribute, Element, Node};
use crate::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_MAX, ELEMENTS_MAX, STATE_MAX};

/// A document, and what it wants to hear again.
pub(crate) struct Read {
    pub(crate) root: Element,
    /// As it was written.
    pub(crate) state: Option<String>,
    /// What the table cannot find.
    pub(crate) findings: Vec<Finding>,
}

/// Reads a whole document, or says why it cannot be read.
pub(crate) fn read(bytes: &[u8]) -> Result<Read, Finding> {
    let refused =
        |code, sentence: &str| Err(Finding::new(Class::Error, code, Place::default(), sentence));
    if bytes.len() > DOCUMENT_MAX {
        return refused(11750, "The document is longer than 64 kB.");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refused(12100, "The document is not UTF-8.");
    };
    if text.trim().is_empty() {
        return refused(11770, "The document is empty.");
    }
    let mut parser = Parser { text, at: 0, depth: 0, elements: 0, findings: Vec::new() };
    let value = parser.value()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.malformed("Something stands behind the document."));
    }
    let Kind::Object(members) = value.kind else {
        return Err(at(value.place, 12102, "The document is no object with `verbs`."));
    };
    let (mut state, mut verbs) = (None, None);
    for member in members {
        match &*member.name {
            "state" => {
                let Place { at: begin, length } = member.value.place;
                let text = text.get(begin..begin + length).unwrap_or_default();
                if text.len() > STATE_MAX {
                    let sentence = "`state` is longer than 4 kB.";
                    return Err(at(member.place, 11750, sentence));
                }
                state = (text != "null").then(|| text.to_owned());
            }
            "verbs" => verbs = Some(member.value),
            // What a conversation adds around a document.
            "id" | "type" => {}
            other => {
                let sentence = format!("A document has no `{other}`; it is skipped.");
                parser.findings.push(Finding::new(Class::Warning, 12200, member.place, sentence));
            }
        }
    }
    let Some(verbs) = verbs else {
        return Err(at(value.place, 12102, "The document has no `verbs`."));
    };
    let place = value.place;
    let mut root = element("Response".to_owned(), place);
    root.nodes = parser.nodes(verbs)?;
    Ok(Read { root, state, findings: parser.findings })
}

fn at(place: Place, code: u16, sentence: &str) -> Finding {
    Finding::new(Class::Error, code, place, sentence)
}

fn element(name: String, place: Place) -> Element {
    Element { name, place, attributes: Vec::new(), nodes: Vec::new() }
}

struct Json {
    place: Place,
    kind: Kind,
}

enum Kind {
    List(Vec<Json>),
    Null,
    Object(Vec<Member>),
    /// A text, or a number, true or false as it was written.
    Word(String),
}

struct Member {
    name: String,
    place: Place,
    value: Json,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    elements: usize,
    findings: Vec<Finding>,
}

/// JSON.
impl Parser<'_> {
    fn malformed(&self, sentence: &str) -> Finding {
        at(Place { at: self.at.min(self.text.len()), length: 1 }, 12100, sentence)
    }

    fn space(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        self.at += rest.len() - rest.trim_start_matches(blank).len();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, octet: u8) -> bool {
        self.space();
        let found = self.peek() == Some(octet);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Json, Finding> {
        self.space();
        let begin = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.within(Self::object)?,
            Some(b'[') => self.within(Self::list)?,
            Some(b'"') => Kind::Word(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.malformed("The document ends in the middle.")),
        };
        Ok(Json { place: Place { at: begin, length: self.at - begin }, kind })
    }

    fn within(&mut self, read: fn(&mut Self) -> Result<Kind, Finding>) -> Result<Kind, Finding> {
        // An element is an object in a list.
        if self.depth >= DEPTH_MAX * 2 {
            return Err(self.malformed("Nested too deeply."));
        }
        (self.depth, self.at) = (self.depth + 1, self.at + 1);
        let kind = read(self);
        self.depth -= 1;
        kind
    }

    fn list(&mut self) -> Result<Kind, Finding> {
        let mut list = Vec::new();
        if self.takes(b']') {
            return Ok(Kind::List(list));
        }
        loop {
            list.push(self.value()?);
            if self.takes(b']') {
                return Ok(Kind::List(list));
            }
            if !self.takes(b',') {
                return Err(self.malformed("A comma or ] is missing."));
            }
        }
    }

    fn object(&mut self) -> Result<Kind, Finding> {
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Ok(Kind::Object(members));
        }
        loop {
            self.space();
            let begin = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.malformed("A name in quotation marks is missing."));
            }
            let name = self.string()?;
            let place = Place { at: begin, length: self.at - begin };
            if !self.takes(b':') {
                return Err(self.malformed("A colon is missing."));
            }
            let value = self.value()?;
            members.push(Member { name, place, value });
            if self.takes(b'}') {
                return Ok(Kind::Object(members));
            }
            if !self.takes(b',') {
                return Err(self.malformed("A comma or } is missing."));
            }
        }
    }

    fn word(&mut self) -> Result<Kind, Finding> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let word = rest.split(|c| !plain(c)).next().unwrap_or_default();
        let number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && word.parse::<f64>().is_ok_and(f64::is_finite);
        let kind = match word {
            "null" => Kind::Null,
            "true" | "false" => Kind::Word(word.to_owned()),
            _ if number => Kind::Word(word.to_owned()),
            _ => return Err(self.malformed("This is no value.")),
        };
        self.at += word.len();
        Ok(kind)
    }

    fn string(&mut self) -> Result<String, Finding> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(c) = rest.chars().next() else {
                return Err(self.malformed("A quotation mark is missing."));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => out.push(self.escape()?),
                c if c < ' ' => return Err(self.malformed("A control character in a text.")),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Finding> {
        let c = self.peek();
        self.at += 1;
        Ok(match c {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b' | b'f') => ' ',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                let paired = (0xd800..0xdc00).contains(&first)
                    && self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u"));
                let code = if paired {
                    self.at += 2;
                    let second = self.hex()?;
                    0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
                } else {
                    first
                };
                let found = char::from_u32(code).filter(|c| *c == '\n' || !c.is_control());
                found.ok_or_else(|| self.malformed("No such character."))?
            }
            Some(_) | None => {
                self.at -= 1;
                return Err(self.malformed("No such escape."));
            }
        })
    }

    fn hex(&mut self) -> Result<u32, Finding> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.malformed("Four digits are missing."))?;
        self.at += 4;
        Ok(code)
    }
}

/// Verbs.
impl Parser<'_> {
    fn nodes(&mut self, verbs: Json) -> Result<Vec<Node>, Finding> {
        let Kind::List(list) = verbs.kind else {
            return Err(at(verbs.place, 12200, "`verbs` takes a list."));
        };
        list.into_iter().map(|verb| self.verb(verb).map(Node::Element)).collect()
    }

    fn verb(&mut self, verb: Json) -> Result<Element, Finding> {
        let Kind::Object(members) = verb.kind else {
            return Err(at(verb.place, 12200, "A verb is an object with `verb`."));
        };
        self.count(verb.place)?;
        let mut found = element(String::new(), verb.place);
        for member in members {
            match (&*member.name, member.value.kind) {
                ("verb", Kind::Word(word)) => {
                    let known = names().find(|name| name.eq_ignore_ascii_case(&word));
                    found.name = known.map_or(word, str::to_owned);
                    found.place = member.value.place;
                }
                ("text", Kind::Word(text)) => found.nodes.push(Node::Text(text)),
                ("verbs", kind @ Kind::List(_)) => {
                    let inner = Json { place: member.value.place, kind };
                    found.nodes.extend(self.nodes(inner)?);
                }
                ("parameters", Kind::Object(parameters)) => {
                    for one in parameters {
                        self.count(one.place)?;
                        found.nodes.push(Node::Element(parameter(one)));
                    }
                }
                (_, Kind::Word(value)) => {
                    let (name, place) = (member.name, member.place);
                    found.attributes.push(Attribute { name, value, place });
                }
                (_, Kind::Null) => {}
                (_, Kind::List(_) | Kind::Object(_)) => {
                    let sentence = format!("`{}` takes a text or a number.", member.name);
                    let warning = Finding::new(Class::Warning, 12200, member.place, sentence);
                    self.findings.push(warning);
                }
            }
        }
        if found.attributes.len() > ATTRIBUTES_MAX {
            return Err(at(verb.place, 12100, "Too many attributes."));
        }
        if found.name.is_empty() {
            return Err(at(verb.place, 12200, "A verb has no `verb`, which names it."));
        }
        Ok(found)
    }

    fn count(&mut self, place: Place) -> Result<(), Finding> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(at(place, 12100, "Too many verbs."));
        }
        Ok(())
    }
}

fn parameter(member: Member) -> Element {
    let Member { name, place, value } = member;
    let value = match value.kind {
        Kind::Word(word) => word,
        Kind::List(_) | Kind::Null | Kind::Object(_) => String::new(),
    };
    let pair = [("name", name), ("value", value)];
    let attributes =
        pair.map(|(name, value)| Attribute { name: name.to_owned(), value, place }).to_vec();
    Element { attributes, ..element("Parameter".to_owned(), place) }
}
