//! From octets to a tree that remembers where everything stood.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::finding::{Class, Finding, Place};
use crate::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_MAX, ELEMENTS_MAX};

/// One element of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its name as written.
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    /// Its attributes in order.
    pub attributes: Vec<Attribute>,
    /// What it holds.
    pub nodes: Vec<Node>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name as written.
    pub name: String,
    /// Its value with references resolved.
    pub value: String,
    /// Where its name stands.
    pub place: Place,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Another element.
    Element(Element),
    /// Text with references resolved.
    Text(String),
}

impl Element {
    /// All elements directly within.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The text directly within, without white space around it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            if let Node::Text(text) = node {
                out.push_str(text);
            }
        }
        out.trim().to_owned()
    }

    /// An attribute by its name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// Reads a whole document and gives its root, or the one reason why it has none.
///
/// Spec: XML 1.0
pub fn read(bytes: &[u8]) -> Result<Element, Finding> {
    let whole = Place::default();
    let refused = |code, sentence: &str| Err(Finding::new(Class::Error, code, whole, sentence));
    if bytes.len() > DOCUMENT_MAX {
        return refused(11750, "The document is longer than 64 kB.");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refused(12100, "The document is not UTF-8.");
    };
    if text.trim().is_empty() {
        return refused(11770, "The document is empty.");
    }
    let odd = |c: &char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}');
    if let Some((at, _)) = text.char_indices().find(|(_, c)| odd(c)) {
        let place = Place { at, length: 1 };
        return Err(malformed(place, "A character that XML does not have."));
    }
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let text = text.get(mark..).unwrap_or("");
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    // Programs write `--` into comments, and nobody is harmed.
    reader.config_mut().check_comments = false;
    let mut tree = Tree { text, mark, at: 0, open: Vec::new(), root: None, count: 0 };
    loop {
        tree.at = position(reader.buffer_position());
        match reader.read_event() {
            Ok(Event::Eof) => return tree.finish(),
            Ok(event) => tree.handle(&event, position(reader.buffer_position()))?,
            Err(error) => {
                tree.at = position(reader.error_position());
                return Err(tree.malformed(&format!("Not well-formed: {error}.")));
            }
        }
    }
}

fn position(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn malformed(place: Place, sentence: &str) -> Finding {
    Finding::new(Class::Error, 12100, place, sentence)
}

/// The part of a document that was read.
struct Tree<'a> {
    text: &'a str,
    /// Octets of the mark that stood before the text.
    mark: usize,
    /// Where the event began.
    at: usize,
    open: Vec<Element>,
    root: Option<Element>,
    count: usize,
}

impl Tree<'_> {
    fn handle(&mut self, event: &Event<'_>, end: usize) -> Result<(), Finding> {
        match event {
            Event::Start(start) => self.begin(start, end),
            Event::Empty(start) => {
                self.begin(start, end)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.write(&text.xml10_content()),
            Event::CData(text) => self.write(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let known = match &**reference {
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "gt" => Some('>'),
                    "lt" => Some('<'),
                    "quot" => Some('"'),
                    _ => reference.resolve_char_ref().ok().flatten().filter(|c| !c.is_control()),
                };
                // A line may be broken by number.
                let by_number = ["#10", "#13", "#9", "#xA", "#xD", "#xa", "#xd"];
                match known {
                    Some(c) => self.write(c.encode_utf8(&mut [0; 4])),
                    None if by_number.contains(&&**reference) => self.write(" "),
                    None => Err(self.malformed("An entity that XML does not have.")),
                }
            }
            Event::DocType(_) => {
                Err(self.malformed("A document type: it could define entities, and is refused."))
            }
            Event::Decl(decl) => match decl.encoding() {
                Some(Ok(name)) if !fits_utf8(&name) => {
                    Err(self.malformed("The document says that it is not UTF-8."))
                }
                _ => Ok(()),
            },
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>, end: usize) -> Result<(), Finding> {
        if self.root.is_some() {
            return Err(self.malformed("A second root."));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(self.malformed("Elements within each other too deep."));
        }
        self.count += 1;
        if self.count > ELEMENTS_MAX {
            return Err(self.malformed("Too many elements."));
        }
        let name = start.name().0.to_owned();
        let place = Place { at: self.mark + self.at + 1, length: name.len() };
        let mut cursor = self.at + 1 + name.len();
        let mut attributes: Vec<Attribute> = Vec::new();
        for attribute in start.attributes().with_checks(true) {
            let attribute = attribute.map_err(|error| self.malformed(&format!("{error}.")))?;
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(self.malformed("Too many attributes."));
            }
            let name = attribute.key.0.to_owned();
            // Between two attributes stands white space only, so the first find is this one.
            let tag = self.text.get(cursor..end).unwrap_or("");
            let at = cursor + tag.find(&name).unwrap_or(0);
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|error| self.malformed(&format!("{error}.")))?.into_owned();
            if attribute.value.contains('<') {
                return Err(self.malformed("`<` within an attribute; write `&lt;`."));
            }
            let raw: &str = &attribute.value;
            let rest = self.text.get(at + name.len()..end).unwrap_or("");
            cursor = at + name.len() + rest.find(['"', '\'']).unwrap_or(0) + raw.len() + 2;
            let place = Place { at: self.mark + at, length: name.len() };
            attributes.push(Attribute { name, value, place });
        }
        self.open.push(Element { name, place, attributes, nodes: Vec::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Finding> {
        let Some(element) = self.open.pop() else {
            return Err(self.malformed("An end without a beginning."));
        };
        match self.open.last_mut() {
            Some(parent) => parent.nodes.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), Finding> {
        let Some(element) = self.open.last_mut() else {
            let blank = text.trim().is_empty();
            return if blank { Ok(()) } else { Err(self.malformed("Text outside of the root.")) };
        };
        match element.nodes.last_mut() {
            Some(Node::Text(known)) => known.push_str(text),
            Some(Node::Element(_)) | None => element.nodes.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Element, Finding> {
        if let Some(open) = self.open.last() {
            let sentence = format!("<{}> is not closed.", open.name);
            return Err(malformed(open.place, &sentence));
        }
        self.root.take().ok_or_else(|| self.malformed("No element at all."))
    }

    fn malformed(&self, sentence: &str) -> Finding {
        malformed(Place { at: self.mark + self.at.min(self.text.len()), length: 1 }, sentence)
    }
}

/// Whether a declared encoding is UTF-8 or a part of it.
fn fits_utf8(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(name))
}
