//! Presence: whether somebody can be reached, and what he does.

use crate::words::{need, root};
use crate::{DecodeError, Element, Writer};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";
const MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// What somebody does, by the words of RPID; others are left out when a document is read.
///
/// Spec: RFC 4480 §3.2
pub const ACTIVITIES: [&str; 25] = [
    "appointment",
    "away",
    "breakfast",
    "busy",
    "dinner",
    "holiday",
    "in-transit",
    "looking-for-work",
    "meal",
    "meeting",
    "on-the-phone",
    "performance",
    "permanent-absence",
    "playing",
    "presentation",
    "shopping",
    "sleeping",
    "spectator",
    "steering",
    "travel",
    "tv",
    "unknown",
    "vacation",
    "working",
    "worship",
];

/// The state of one person.
///
/// Spec: RFC 3863 §4, RFC 4479, RFC 4480
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Who.
    pub entity: String,
    /// The ways to reach him.
    pub tuples: Vec<Tuple>,
    /// Words for people.
    pub notes: Vec<String>,
    /// The person himself.
    pub person: Option<Person>,
}

/// One way to reach somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Names it for good.
    pub id: String,
    /// Whether it can be used; `None`: not said.
    pub open: Option<bool>,
    /// The address.
    pub contact: Option<String>,
    /// How much it is preferred, from `0` to `1`.
    pub priority: Option<String>,
    /// Words for people.
    pub notes: Vec<String>,
    /// When this was so, by RFC 3339.
    pub timestamp: Option<String>,
}

/// The person behind the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Names this state.
    pub id: String,
    /// What he does: words of [`ACTIVITIES`].
    pub activities: Vec<&'static str>,
    /// Words for people.
    pub notes: Vec<String>,
    /// When this was so, by RFC 3339.
    pub timestamp: Option<String>,
}

impl Presence {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/pidf+xml";

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let root = root(bytes, NAMESPACE, "presence")?;
        let person = root.elements().find(|element| element.is(MODEL, "person"));
        Ok(Self {
            entity: need(&root, "entity")?,
            tuples: root.all("tuple").map(Tuple::read).collect::<Result<_, _>>()?,
            notes: root.all("note").map(Element::text).collect(),
            person: person.map(Person::read).transpose()?,
        })
    }

    /// The document.
    pub fn encode(&self) -> String {
        let prefixes: &[_] =
            if self.person.is_some() { &[("dm", MODEL), ("rpid", RPID)] } else { &[] };
        let mut writer = Writer::new("presence", NAMESPACE, prefixes);
        writer.attribute("entity", &self.entity);
        for tuple in &self.tuples {
            tuple.write(&mut writer);
        }
        for note in &self.notes {
            writer.leaf("note", note);
        }
        if let Some(person) = &self.person {
            person.write(&mut writer);
        }
        writer.end()
    }

    /// Whether any way is open.
    pub fn is_open(&self) -> bool {
        self.tuples.iter().any(|tuple| tuple.open == Some(true))
    }
}

impl Tuple {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let status = element.first("status").ok_or(DecodeError::Missing("status"))?;
        let open = match status.text_of("basic").as_deref() {
            None => None,
            Some("open") => Some(true),
            Some("closed") => Some(false),
            Some(_) => return Err(DecodeError::Value("basic")),
        };
        let priority = element.first("contact").and_then(|contact| contact.attribute("priority"));
        Ok(Self {
            id: need(element, "id")?,
            open,
            contact: element.text_of("contact"),
            priority: priority.map(str::to_owned),
            notes: element.all("note").map(Element::text).collect(),
            timestamp: element.text_of("timestamp"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.open("tuple").attribute("id", &self.id).open("status");
        writer.leaf_if("basic", self.open.map(|open| if open { "open" } else { "closed" })).close();
        if let Some(contact) = &self.contact {
            let priority = self.priority.as_ref();
            writer.open("contact").attribute_if("priority", priority).text(contact).close();
        }
        for note in &self.notes {
            writer.leaf("note", note);
        }
        writer.leaf_if("timestamp", self.timestamp.as_ref()).close();
    }
}

impl Person {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let found = element.elements().find(|element| element.is(RPID, "activities"));
        let known = |element: &Element| {
            let mut known = ACTIVITIES.into_iter();
            known.find(|name| element.is(RPID, name))
        };
        Ok(Self {
            id: need(element, "id")?,
            activities: found
                .map(|found| found.elements().filter_map(known).collect())
                .unwrap_or_default(),
            notes: element.all("note").map(Element::text).collect(),
            timestamp: element.text_of("timestamp"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.open("dm:person").attribute("id", &self.id);
        if !self.activities.is_empty() {
            writer.open("rpid:activities");
            for name in self.activities.iter().filter(|name| ACTIVITIES.contains(name)) {
                writer.open_prefixed("rpid", name).close();
            }
            writer.close();
        }
        for note in &self.notes {
            writer.leaf("dm:note", note);
        }
        writer.leaf_if("dm:timestamp", self.timestamp.as_ref()).close();
    }
}
