//! Lists of addresses: whom to invite, whom to tell.

use crate::words::{need, root, words};
use crate::{DecodeError, Element, Writer};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";
const COPY: &str = "urn:ietf:params:xml:ns:copyControl";

/// Lists of addresses. What they refer to elsewhere is not kept.
///
/// Spec: RFC 4826 §3, RFC 5364
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceLists {
    /// The lists.
    pub lists: Vec<List>,
}

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Its name, which no other list beside it has.
    pub name: Option<String>,
    /// The name, for people.
    pub display_name: Option<String>,
    /// Its addresses.
    pub entries: Vec<Entry>,
    /// Lists within it.
    pub lists: Vec<List>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub uri: String,
    /// The name, for people.
    pub display_name: Option<String>,
    /// As what it gets a message.
    pub copy: Option<CopyControl>,
    /// Whether the others must not see it.
    pub anonymous: bool,
}

words! {
    /// As what somebody gets a message.
    ///
    /// Spec: RFC 5364 §3
    CopyControl in "copyControl" {
        /// For his knowledge, and nobody shall know.
        Bcc = "bcc",
        /// For his knowledge.
        Cc = "cc",
        /// It is for him.
        To = "to",
    }
}

impl ResourceLists {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/resource-lists+xml";

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let root = root(bytes, NAMESPACE, "resource-lists")?;
        Ok(Self { lists: root.all("list").map(List::read).collect::<Result<_, _>>()? })
    }

    /// The document.
    pub fn encode(&self) -> String {
        let copies = self.entries().any(|entry| entry.copy.is_some() || entry.anonymous);
        let prefixes: &[_] = if copies { &[("cp", COPY)] } else { &[] };
        let mut writer = Writer::new("resource-lists", NAMESPACE, prefixes);
        for list in &self.lists {
            list.write(&mut writer);
        }
        writer.end()
    }

    /// The addresses of all lists, those within others too, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let mut found = Vec::new();
        for list in &self.lists {
            list.collect(&mut found);
        }
        found.into_iter()
    }
}

impl List {
    // A list holds lists as deep as a document may be, so this ends (DEPTH_MAX).
    fn read(element: &Element) -> Result<Self, DecodeError> {
        Ok(Self {
            name: element.attribute("name").map(str::to_owned),
            display_name: element.text_of("display-name"),
            entries: element.all("entry").map(Entry::read).collect::<Result<_, _>>()?,
            lists: element.all("list").map(Self::read).collect::<Result<_, _>>()?,
        })
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Entry>) {
        found.extend(&self.entries);
        for list in &self.lists {
            list.collect(found);
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .open("list")
            .attribute_if("name", self.name.as_ref())
            .leaf_if("display-name", self.display_name.as_ref());
        for entry in &self.entries {
            writer
                .open("entry")
                .attribute("uri", &entry.uri)
                .attribute_if("cp:copyControl", entry.copy.map(CopyControl::as_str))
                .attribute_if("cp:anonymize", entry.anonymous.then_some("true"))
                .leaf_if("display-name", entry.display_name.as_ref())
                .close();
        }
        for list in &self.lists {
            list.write(writer);
        }
        writer.close();
    }
}

impl Entry {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let copy = element.attribute_of(COPY, "copyControl");
        Ok(Self {
            uri: need(element, "uri")?,
            display_name: element.text_of("display-name"),
            copy: copy.map(CopyControl::read).transpose()?,
            anonymous: matches!(element.attribute_of(COPY, "anonymize"), Some("true" | "1")),
        })
    }
}
