//! Who takes part in a conference.

use crate::words::{full, is_full, need, number, root, words};
use crate::{DecodeError, Element, Writer};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:conference-info";

/// The state of one conference.
///
/// Spec: RFC 4575 §5
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conference {
    /// The address of the conference.
    pub entity: String,
    /// One more in each document of a subscription.
    pub version: u32,
    /// Whether this is all there is, or only what changed.
    pub full: bool,
    /// Its name, for people.
    pub display: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// How many may take part.
    pub user_count_max: Option<u32>,
    /// How many take part.
    pub user_count: Option<u32>,
    /// Whether it has begun.
    pub active: Option<bool>,
    /// Whether nobody may come in any more.
    pub locked: Option<bool>,
    /// Who takes part.
    pub users: Vec<User>,
}

/// One participant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub entity: String,
    /// Has left: the document names him only to say so.
    pub deleted: bool,
    /// The name, for people.
    pub display: Option<String>,
    /// What he may do: `host`, `speaker` and so on.
    pub roles: Vec<String>,
    /// The phones with which he takes part.
    pub endpoints: Vec<Endpoint>,
}

/// One phone of a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub entity: String,
    /// The name, for people.
    pub display: Option<String>,
    /// How far it is.
    pub status: Option<EndpointStatus>,
    /// How it came in: `dialed-in`, `dialed-out` or `focus-owner`.
    pub joining: Option<String>,
    /// How it left: `departed`, `booted`, `failed` or `busy`.
    pub disconnection: Option<String>,
    /// Its streams.
    pub media: Vec<Media>,
}

words! {
    /// How far a phone is in a conference.
    ///
    /// Spec: RFC 4575 §5.7.2
    EndpointStatus in "status" {
        /// It rings.
        Alerting = "alerting",
        /// It takes part.
        Connected = "connected",
        /// It calls.
        DialingIn = "dialing-in",
        /// It is being called.
        DialingOut = "dialing-out",
        /// It has left.
        Disconnected = "disconnected",
        /// It is leaving.
        Disconnecting = "disconnecting",
        /// Others do not hear it.
        MutedViaFocus = "muted-via-focus",
        /// It is held.
        OnHold = "on-hold",
        /// It is about to be called.
        Pending = "pending",
    }
}

/// One stream of a phone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Names it within the phone.
    pub id: String,
    /// `audio`, `video` and so on.
    pub kind: Option<String>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub status: Option<String>,
    /// The SSRC.
    pub source: Option<String>,
}

impl Conference {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/conference-info+xml";

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let root = root(bytes, NAMESPACE, "conference-info")?;
        let (about, state) = (root.first("conference-description"), root.first("conference-state"));
        let about = |name| about.and_then(|about| about.text_of(name));
        let state = |name| state.and_then(|state| state.text_of(name));
        let users = root.first("users");
        Ok(Self {
            entity: need(&root, "entity")?,
            version: number(root.attribute("version"), "version")?.unwrap_or_default(),
            full: is_full(&root)?,
            display: about("display-text"),
            subject: about("subject"),
            user_count_max: number(about("maximum-user-count").as_deref(), "maximum-user-count")?,
            user_count: number(state("user-count").as_deref(), "user-count")?,
            active: truth(state("active").as_deref(), "active")?,
            locked: truth(state("locked").as_deref(), "locked")?,
            users: match users {
                Some(users) => users.all("user").map(User::read).collect::<Result<_, _>>()?,
                None => Vec::new(),
            },
        })
    }

    /// The document.
    pub fn encode(&self) -> String {
        let digits = |number: Option<u32>| number.map(|number| number.to_string());
        let mut writer = Writer::new("conference-info", NAMESPACE, &[]);
        writer
            .attribute("entity", &self.entity)
            .attribute("state", full(self.full))
            .attribute("version", self.version.to_string());
        if self.display.is_some() || self.subject.is_some() || self.user_count_max.is_some() {
            writer
                .open("conference-description")
                .leaf_if("display-text", self.display.as_ref())
                .leaf_if("subject", self.subject.as_ref())
                .leaf_if("maximum-user-count", digits(self.user_count_max))
                .close();
        }
        if self.user_count.is_some() || self.active.is_some() || self.locked.is_some() {
            writer
                .open("conference-state")
                .leaf_if("user-count", digits(self.user_count))
                .leaf_if("active", self.active.map(|active| active.to_string()))
                .leaf_if("locked", self.locked.map(|locked| locked.to_string()))
                .close();
        }
        writer.open("users");
        for user in &self.users {
            user.write(&mut writer);
        }
        writer.end()
    }
}

/// Spec: XML Schema (boolean)
fn truth(text: Option<&str>, what: &'static str) -> Result<Option<bool>, DecodeError> {
    match text {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(_) => Err(DecodeError::Value(what)),
    }
}

impl User {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let roles = element.first("roles");
        let roles = roles.map(|roles| roles.all("entry").map(Element::text).collect());
        Ok(Self {
            entity: need(element, "entity")?,
            deleted: element.attribute("state") == Some("deleted"),
            display: element.text_of("display-text"),
            roles: roles.unwrap_or_default(),
            endpoints: element.all("endpoint").map(Endpoint::read).collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.open("user").attribute("entity", &self.entity);
        writer.attribute("state", if self.deleted { "deleted" } else { "full" });
        writer.leaf_if("display-text", self.display.as_ref());
        if !self.roles.is_empty() {
            writer.open("roles");
            for role in &self.roles {
                writer.leaf("entry", role);
            }
            writer.close();
        }
        for endpoint in &self.endpoints {
            endpoint.write(writer);
        }
        writer.close();
    }
}

impl Endpoint {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let status = element.text_of("status");
        let media = |media: &Element| {
            Ok(Media {
                id: need(media, "id")?,
                kind: media.text_of("type"),
                status: media.text_of("status"),
                source: media.text_of("src-id"),
            })
        };
        Ok(Self {
            entity: need(element, "entity")?,
            display: element.text_of("display-text"),
            status: status.as_deref().map(EndpointStatus::read).transpose()?,
            joining: element.text_of("joining-method"),
            disconnection: element.text_of("disconnection-method"),
            media: element.all("media").map(media).collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .open("endpoint")
            .attribute("entity", &self.entity)
            .leaf_if("display-text", self.display.as_ref())
            .leaf_if("status", self.status.map(EndpointStatus::as_str))
            .leaf_if("joining-method", self.joining.as_ref())
            .leaf_if("disconnection-method", self.disconnection.as_ref());
        for media in &self.media {
            writer
                .open("media")
                .attribute("id", &media.id)
                .leaf_if("type", media.kind.as_ref())
                .leaf_if("src-id", media.source.as_ref())
                .leaf_if("status", media.status.as_ref())
                .close();
        }
        writer.close();
    }
}
