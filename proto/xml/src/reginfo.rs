//! The state of registrations.

use crate::words::{full, is_full, need, number, root, words};
use crate::{DecodeError, Element, Writer};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";
const GRUU: &str = "urn:ietf:params:xml:ns:gruuinfo";

/// What is registered for one or more addresses of record.
///
/// Spec: RFC 3680 §5, RFC 5628
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reginfo {
    /// One more in each document of a subscription, from 0 on.
    pub version: u32,
    /// Whether this is all there is, or only what changed.
    pub full: bool,
    /// The addresses of record.
    pub registrations: Vec<Registration>,
}

/// One address of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The address.
    pub aor: String,
    /// Names it within the subscription.
    pub id: String,
    /// Whether anything is registered.
    pub state: RegistrationState,
    /// What is or was registered.
    pub contacts: Vec<Contact>,
}

words! {
    /// How far a registration is.
    RegistrationState in "state" {
        /// There are bindings.
        Active = "active",
        /// There never were any.
        Init = "init",
        /// There are none any more.
        Terminated = "terminated",
    }
}

/// One binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Names it within the subscription.
    pub id: String,
    /// Whether it still stands.
    pub state: ContactState,
    /// What brought it there.
    pub event: ContactEvent,
    /// Where it leads.
    pub uri: String,
    /// Whose it is, for people.
    pub display_name: Option<String>,
    /// Seconds since it was first registered.
    pub registered: Option<u32>,
    /// Seconds that are left.
    pub expires: Option<u32>,
    /// Seconds to wait before the next attempt.
    pub retry_after: Option<u32>,
    /// The q value as it was registered.
    pub q: Option<String>,
    /// The Call-ID of the REGISTER.
    pub call_id: Option<String>,
    /// Its CSeq number.
    pub cseq: Option<u32>,
    /// The lasting address of the device.
    pub pub_gruu: Option<String>,
    /// Its address for the time being.
    pub temp_gruu: Option<String>,
}

words! {
    /// Whether a binding stands.
    ContactState in "state" {
        /// It does.
        Active = "active",
        /// It is gone.
        Terminated = "terminated",
    }
}

words! {
    /// Why a binding is as it is.
    ContactEvent in "event" {
        /// An administrator made it.
        Created = "created",
        /// An administrator ended it; the phone shall register again.
        Deactivated = "deactivated",
        /// Its time ran out.
        Expired = "expired",
        /// It shall register again after a while.
        Probation = "probation",
        /// It was refreshed.
        Refreshed = "refreshed",
        /// It is new.
        Registered = "registered",
        /// It must not register again.
        Rejected = "rejected",
        /// Its time was cut.
        Shortened = "shortened",
        /// The phone took it back.
        Unregistered = "unregistered",
    }
}

impl Reginfo {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/reginfo+xml";

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let root = root(bytes, NAMESPACE, "reginfo")?;
        let version = number(root.attribute("version"), "version")?;
        Ok(Self {
            version: version.ok_or(DecodeError::Missing("version"))?,
            full: is_full(&root)?,
            registrations: root
                .all("registration")
                .map(Registration::read)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The document.
    pub fn encode(&self) -> String {
        let gruu = self.registrations.iter().flat_map(|registration| &registration.contacts);
        let gruu = gruu.into_iter().any(|contact| contact.has_gruu());
        let prefixes: &[_] = if gruu { &[("gr", GRUU)] } else { &[] };
        let mut writer = Writer::new("reginfo", NAMESPACE, prefixes);
        writer.attribute("version", self.version.to_string()).attribute("state", full(self.full));
        for registration in &self.registrations {
            writer
                .open("registration")
                .attribute("aor", &registration.aor)
                .attribute("id", &registration.id)
                .attribute("state", registration.state.as_str());
            for contact in &registration.contacts {
                contact.write(&mut writer);
            }
            writer.close();
        }
        writer.end()
    }
}

impl Registration {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        Ok(Self {
            aor: need(element, "aor")?,
            id: need(element, "id")?,
            state: RegistrationState::read(&need(element, "state")?)?,
            contacts: element.all("contact").map(Contact::read).collect::<Result<_, _>>()?,
        })
    }
}

impl Contact {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let text = |name| element.attribute(name).map(str::to_owned);
        let gruu = |name| {
            let mut elements = element.elements();
            let found = elements.find(|element| element.is(GRUU, name))?;
            found.attribute("uri").map(str::to_owned)
        };
        Ok(Self {
            id: need(element, "id")?,
            state: ContactState::read(&need(element, "state")?)?,
            event: ContactEvent::read(&need(element, "event")?)?,
            uri: element.text_of("uri").ok_or(DecodeError::Missing("uri"))?,
            display_name: element.text_of("display-name"),
            registered: number(element.attribute("duration-registered"), "duration-registered")?,
            expires: number(element.attribute("expires"), "expires")?,
            retry_after: number(element.attribute("retry-after"), "retry-after")?,
            q: text("q"),
            call_id: text("callid"),
            cseq: number(element.attribute("cseq"), "cseq")?,
            pub_gruu: gruu("pub-gruu"),
            temp_gruu: gruu("temp-gruu"),
        })
    }

    fn has_gruu(&self) -> bool {
        self.pub_gruu.is_some() || self.temp_gruu.is_some()
    }

    fn write(&self, writer: &mut Writer) {
        let digits = |number: Option<u32>| number.map(|number| number.to_string());
        writer
            .open("contact")
            .attribute("id", &self.id)
            .attribute("state", self.state.as_str())
            .attribute("event", self.event.as_str())
            .attribute_if("duration-registered", digits(self.registered))
            .attribute_if("expires", digits(self.expires))
            .attribute_if("retry-after", digits(self.retry_after))
            .attribute_if("q", self.q.as_ref())
            .attribute_if("callid", self.call_id.as_ref())
            .attribute_if("cseq", digits(self.cseq))
            .leaf("uri", &self.uri)
            .leaf_if("display-name", self.display_name.as_ref());
        if let Some(uri) = &self.pub_gruu {
            writer.open("gr:pub-gruu").attribute("uri", uri).close();
        }
        if let Some(uri) = &self.temp_gruu {
            writer.open("gr:temp-gruu").attribute("uri", uri);
            // The schema wants one; the REGISTER that made the binding is the closest that we know.
            writer.attribute("first-cseq", self.cseq.unwrap_or_default().to_string()).close();
        }
        writer.close();
    }
}
