//! The dialogs of a user.

use crate::words::{full, is_full, need, number, root, words};
use crate::{DecodeError, Element, Writer};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";

/// Who is in which call.
///
/// Spec: RFC 4235 §4
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogInfo {
    /// One more in each document of a subscription.
    pub version: u32,
    /// Whether this is all there is, or only what changed.
    pub full: bool,
    /// Whose dialogs.
    pub entity: String,
    /// The dialogs.
    pub dialogs: Vec<Dialog>,
}

/// One dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Names it within the subscription.
    pub id: String,
    /// The dialog itself, as the user's phone knows it.
    pub reference: Option<DialogReference>,
    /// Whether the user began it.
    pub outgoing: Option<bool>,
    /// How far it is.
    pub state: DialogState,
    /// Why it came there: `cancelled`, `rejected`, `replaced`, `local-bye`, `remote-bye`, `error`
    /// or `timeout`.
    pub event: Option<String>,
    /// The status that brought it there.
    pub code: Option<u32>,
    /// Seconds since it began.
    pub duration: Option<u32>,
    /// The dialog that it took the place of.
    pub replaces: Option<DialogReference>,
    /// Who referred it, if somebody did.
    pub referred_by: Option<String>,
    /// The user.
    pub local: Option<Participant>,
    /// The other end.
    pub remote: Option<Participant>,
}

/// What names a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogReference {
    /// The Call-ID.
    pub call_id: String,
    /// The tag of the user.
    pub local_tag: Option<String>,
    /// The tag of the other end.
    pub remote_tag: Option<String>,
}

words! {
    /// How far a dialog is.
    ///
    /// Spec: RFC 4235 §3.7.1
    DialogState in "state" {
        /// It was answered.
        Confirmed = "confirmed",
        /// The other end rings.
        Early = "early",
        /// A server answered, but no phone.
        Proceeding = "proceeding",
        /// It is over.
        Terminated = "terminated",
        /// The INVITE left.
        Trying = "trying",
    }
}

/// One end of a dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// Who.
    pub identity: Option<String>,
    /// How the name is shown.
    pub display: Option<String>,
    /// Where the phone is.
    pub target: Option<String>,
    /// What the phone says of itself there, such as `+sip.rendering` = `no` while it holds.
    ///
    /// Spec: RFC 4235 §4.1.6.2
    pub params: Vec<(String, String)>,
}

impl DialogInfo {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/dialog-info+xml";

    /// Reads a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let root = root(bytes, NAMESPACE, "dialog-info")?;
        let version = number(root.attribute("version"), "version")?;
        Ok(Self {
            version: version.ok_or(DecodeError::Missing("version"))?,
            full: is_full(&root)?,
            entity: need(&root, "entity")?,
            dialogs: root.all("dialog").map(Dialog::read).collect::<Result<_, _>>()?,
        })
    }

    /// The document.
    pub fn encode(&self) -> String {
        let mut writer = Writer::new("dialog-info", NAMESPACE, &[]);
        writer
            .attribute("version", self.version.to_string())
            .attribute("state", full(self.full))
            .attribute("entity", &self.entity);
        for dialog in &self.dialogs {
            dialog.write(&mut writer);
        }
        writer.end()
    }
}

impl Dialog {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let state = element.first("state").ok_or(DecodeError::Missing("state"))?;
        let outgoing = match element.attribute("direction") {
            None => None,
            Some("initiator") => Some(true),
            Some("recipient") => Some(false),
            Some(_) => return Err(DecodeError::Value("direction")),
        };
        Ok(Self {
            id: need(element, "id")?,
            reference: DialogReference::read(element),
            outgoing,
            state: DialogState::read(&state.text())?,
            event: state.attribute("event").map(str::to_owned),
            code: number(state.attribute("code"), "code")?,
            duration: number(element.text_of("duration").as_deref(), "duration")?,
            replaces: element.first("replaces").and_then(DialogReference::read),
            referred_by: element.text_of("referred-by"),
            local: element.first("local").map(Participant::read),
            remote: element.first("remote").map(Participant::read),
        })
    }

    fn write(&self, writer: &mut Writer) {
        let digits = |number: Option<u32>| number.map(|number| number.to_string());
        writer.open("dialog").attribute("id", &self.id);
        if let Some(reference) = &self.reference {
            reference.write(writer);
        }
        let direction = |outgoing| if outgoing { "initiator" } else { "recipient" };
        writer.attribute_if("direction", self.outgoing.map(direction));
        writer
            .open("state")
            .attribute_if("event", self.event.as_ref())
            .attribute_if("code", digits(self.code))
            .text(self.state.as_str())
            .close()
            .leaf_if("duration", digits(self.duration));
        if let Some(replaces) = &self.replaces {
            writer.open("replaces");
            replaces.write(writer);
            writer.close();
        }
        writer.leaf_if("referred-by", self.referred_by.as_ref());
        for (name, end) in [("local", &self.local), ("remote", &self.remote)] {
            if let Some(end) = end {
                end.write(writer.open(name));
                writer.close();
            }
        }
        writer.close();
    }
}

impl DialogReference {
    fn read(element: &Element) -> Option<Self> {
        let text = |name| element.attribute(name).map(str::to_owned);
        let call_id = text("call-id")?;
        Some(Self { call_id, local_tag: text("local-tag"), remote_tag: text("remote-tag") })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .attribute("call-id", &self.call_id)
            .attribute_if("local-tag", self.local_tag.as_ref())
            .attribute_if("remote-tag", self.remote_tag.as_ref());
    }
}

impl Participant {
    fn read(element: &Element) -> Self {
        let (identity, target) = (element.first("identity"), element.first("target"));
        let param = |param: &Element| {
            Some((param.attribute("pname")?.to_owned(), param.attribute("pval")?.to_owned()))
        };
        let text = |found: Option<&Element>, name| Some(found?.attribute(name)?.to_owned());
        // What belongs to nothing says nothing: a name needs its identity, a parameter its target.
        let (who, target_uri) = (element.text_of("identity"), text(target, "uri"));
        let target = target.filter(|_| target_uri.is_some());
        Self {
            display: who.as_ref().and_then(|_| text(identity, "display")),
            identity: who,
            target: target_uri,
            params: target
                .map(|target| target.all("param").filter_map(param).collect())
                .unwrap_or_default(),
        }
    }

    fn write(&self, writer: &mut Writer) {
        if let Some(identity) = &self.identity {
            let display = self.display.as_ref();
            writer.open("identity").attribute_if("display", display).text(identity).close();
        }
        if let Some(target) = &self.target {
            writer.open("target").attribute("uri", target);
            for (name, value) in &self.params {
                writer.open("param").attribute("pname", name).attribute("pval", value).close();
            }
            writer.close();
        }
    }
}
