//! From octets to a tree.

use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::EscapeError;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use crate::tree::{Attribute, Element, Node};
use crate::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_MAX, DecodeError, ELEMENTS_MAX, NAMESPACE_MAX};

const XML: &str = "http://www.w3.org/XML/1998/namespace";

impl Element {
    /// Reads a whole document and gives its root. Comments and processing instructions are left
    /// out.
    ///
    /// Spec: XML 1.0, Namespaces in XML 1.0
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > DOCUMENT_MAX {
            return Err(DecodeError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if let Some(at) = text.find(|c| !is_char(c)) {
            return Err(DecodeError::Character { at });
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().enable_all_checks(true);
        let mut tree = Tree::default();
        loop {
            let event = reader.read_event();
            tree.at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let event = event.map_err(|error| tree.fault(&error))?;
            if let Event::Eof = event {
                return tree.root.filter(|_| tree.open.is_empty()).ok_or(tree.syntax);
            }
            tree.handle(&event)?;
        }
    }
}

/// What may stand in a document.
///
/// Spec: XML 1.0 §2.2
pub(crate) fn is_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The part of a document that was read.
struct Tree {
    /// Elements that have begun, each with how many namespaces were declared before it.
    open: Vec<(Element, usize)>,
    /// Prefixes and namespaces in scope, the innermost last.
    scope: Vec<(String, Arc<str>)>,
    root: Option<Element>,
    none: Arc<str>,
    count: usize,
    at: usize,
    /// What an early end is.
    syntax: DecodeError,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            scope: Vec::new(),
            root: None,
            none: Arc::from(""),
            count: 0,
            at: 0,
            syntax: DecodeError::Syntax { at: 0 },
        }
    }
}

impl Tree {
    fn handle(&mut self, event: &Event<'_>) -> Result<(), DecodeError> {
        self.syntax = DecodeError::Syntax { at: self.at };
        match event {
            Event::Start(start) => self.begin(start),
            Event::Empty(start) => {
                self.begin(start)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text.xml10_content()),
            Event::CData(text) => self.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let c = self.resolve(reference)?;
                self.text(c.encode_utf8(&mut [0; 4]))
            }
            Event::Decl(decl) => match decl.encoding() {
                None => Ok(()),
                Some(Ok(name)) if fits_utf8(&name) => Ok(()),
                Some(_) => Err(DecodeError::Encoding),
            },
            Event::DocType(_) => Err(DecodeError::Doctype),
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), DecodeError> {
        if self.root.is_some() {
            return Err(self.syntax);
        }
        if self.open.len() == DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        self.count += 1;
        if self.count > ELEMENTS_MAX {
            return Err(DecodeError::ElementsMany);
        }
        let (at, scope) = (self.at, self.scope.len());
        let mut found = Vec::new();
        for attribute in start.attributes().with_checks(true) {
            let attribute = attribute.map_err(|_| DecodeError::Attribute { at })?;
            if found.len() == ATTRIBUTES_MAX || self.scope.len() - scope == ATTRIBUTES_MAX {
                return Err(DecodeError::AttributesMany { at });
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|error| self.fault(&error))?;
            if attribute.value.contains('<') || !value.chars().all(is_char) {
                return Err(DecodeError::Attribute { at });
            }
            match attribute.key.0 {
                "xmlns" => self.declare("", &value)?,
                key => match key.strip_prefix("xmlns:") {
                    Some(prefix) if is_name(prefix) => self.declare(prefix, &value)?,
                    Some(_) => return Err(DecodeError::Namespace { at }),
                    None => found.push((key.to_owned(), value.into_owned())),
                },
            }
        }
        let (namespace, name) = self.named(start.name().0, true)?;
        let mut attributes: Vec<Attribute> = Vec::with_capacity(found.len());
        for (key, value) in found {
            let (namespace, name) = self.named(&key, false)?;
            let twice = |known: &Attribute| known.name == name && known.namespace == namespace;
            if attributes.iter().any(twice) {
                return Err(DecodeError::Attribute { at });
            }
            attributes.push(Attribute { namespace, name, value });
        }
        self.open.push((Element { namespace, name, attributes, nodes: Vec::new() }, scope));
        Ok(())
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        let (element, scope) = self.open.pop().ok_or(self.syntax)?;
        self.scope.truncate(scope);
        match self.open.last_mut() {
            Some((parent, _)) => parent.nodes.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), DecodeError> {
        let Some((element, _)) = self.open.last_mut() else {
            return if text.trim().is_empty() { Ok(()) } else { Err(self.syntax) };
        };
        match element.nodes.last_mut() {
            Some(Node::Text(known)) => known.push_str(text),
            Some(Node::Element(_)) | None => element.nodes.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<char, DecodeError> {
        let unknown = DecodeError::Entity { at: self.at };
        if reference.is_char_ref() {
            let c = reference.resolve_char_ref().ok().flatten().filter(|c| is_char(*c));
            return c.ok_or(DecodeError::Character { at: self.at });
        }
        Ok(match &**reference {
            "amp" => '&',
            "apos" => '\'',
            "gt" => '>',
            "lt" => '<',
            "quot" => '"',
            _ => return Err(unknown),
        })
    }

    /// Spec: Namespaces in XML 1.0 §2.2, §3
    fn declare(&mut self, prefix: &str, namespace: &str) -> Result<(), DecodeError> {
        let reserved = ["xml", "xmlns"].contains(&prefix) && namespace != XML;
        // Only the default may be taken back.
        let empty = namespace.is_empty() && !prefix.is_empty();
        if reserved || empty || namespace.len() > NAMESPACE_MAX {
            return Err(DecodeError::Namespace { at: self.at });
        }
        self.scope.push((prefix.to_owned(), Arc::from(namespace)));
        Ok(())
    }

    /// Namespace and name of a name that may have a prefix. Attributes without one are in no
    /// namespace.
    ///
    /// Spec: Namespaces in XML 1.0 §5, §6
    fn named(&self, raw: &str, element: bool) -> Result<(Arc<str>, String), DecodeError> {
        let unknown = DecodeError::Namespace { at: self.at };
        let (prefix, name) = raw.split_once(':').unwrap_or(("", raw));
        if !is_name(name) || raw.contains(':') && !is_name(prefix) {
            return Err(self.syntax);
        }
        let namespace = match prefix {
            "" if !element => self.none.clone(),
            "xml" => Arc::from(XML),
            prefix => match self.scope.iter().rev().find(|(known, _)| known == prefix) {
                Some((_, namespace)) => namespace.clone(),
                None if prefix.is_empty() => self.none.clone(),
                None => return Err(unknown),
            },
        };
        Ok((namespace, name.to_owned()))
    }

    fn fault(&self, error: &Error) -> DecodeError {
        let at = self.at;
        match error {
            Error::Escape(EscapeError::UnrecognizedEntity(..)) => DecodeError::Entity { at },
            Error::Escape(EscapeError::InvalidCharRef(_)) => DecodeError::Character { at },
            Error::Escape(_) | Error::IllFormed(IllFormedError::UnclosedReference) => {
                DecodeError::Entity { at }
            }
            _ => DecodeError::Syntax { at },
        }
    }
}

/// Whether these characters are one name without a prefix.
///
/// Spec: XML 1.0 §2.3, Namespaces in XML 1.0 §3
pub(crate) fn is_name(text: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || c == '_';
    let follows = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}');
    text.starts_with(starts) && text.chars().all(follows)
}

/// Whether a declared encoding is UTF-8 or a part of it.
fn fits_utf8(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(name))
}
