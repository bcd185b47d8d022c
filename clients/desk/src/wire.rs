//! Pieces of messages that every part writes alike.

use std::net::SocketAddr;

use sip::write::{self, Writer};
use sip::{Message, Method, Name, Uri};
use types::{Rng, Transport};

use crate::desk::Desk;

/// What we understand.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, REFER, UPDATE";
/// The type of session descriptions.
pub const SDP: &str = "application/sdp";
const USER_AGENT: &str = concat!("carillon-desk/", env!("CARGO_PKG_VERSION"));

pub fn branch(rng: &mut Rng) -> Vec<u8> {
    format!("z9hG4bK{:016x}", rng.next_u64()).into_bytes()
}

pub fn tag(rng: &mut Rng) -> Vec<u8> {
    format!("{:016x}", rng.next_u64()).into_bytes()
}

/// A random UUID, version 4.
pub fn uuid(rng: &mut Rng) -> String {
    let high = rng.next_u64() & !0xf000 | 0x4000;
    let low = rng.next_u64() & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A body as text; `None` when there is none.
pub fn description(message: &Message<'_>) -> Option<String> {
    (!message.body().is_empty()).then(|| text(message.body()))
}

/// Who calls, as an INVITE says it.
pub struct Caller {
    pub from: String,
    pub name: String,
    pub picture: Option<String>,
}

impl Caller {
    pub fn of(invite: &Message<'_>) -> Self {
        let from = invite.from().ok();
        Self {
            from: from.map_or_else(String::new, |from| text(from.uri)),
            name: from.map_or_else(String::new, |from| from.display_text()),
            picture: picture(invite),
        }
    }
}

/// The address of the caller's picture.
///
/// Spec: RFC 3261 §20.9
fn picture(request: &Message<'_>) -> Option<String> {
    request.values(Name::CallInfo).find_map(|value| {
        let value = text(value);
        let (url, params) = value.strip_prefix('<')?.split_once('>')?;
        params.contains("purpose=icon").then(|| url.to_owned())
    })
}

/// Status, phrase and warning of a response, for people.
pub fn explained(response: &Message<'_>) -> (u16, String, Option<String>) {
    let reason = response.reason().map(text).unwrap_or_default();
    let warning = response.first(Name::Warning).map(|value| {
        let value = text(&write::unfold(value));
        // 399 host "text": the text is what a person wants.
        match (value.find('"'), value.rfind('"')) {
            (Some(first), Some(last)) if first < last => {
                value.get(first + 1..last).unwrap_or(&value).to_owned()
            }
            _ => value,
        }
    });
    (response.status().unwrap_or(0), reason, warning)
}

/// The URI of what a person types: `1002`, `+15550100`, `bob@example.com` or a whole URI.
pub fn address(typed: &str, domain: &str) -> Option<String> {
    let typed = typed.trim();
    let is_uri = ["sip:", "sips:"]
        .iter()
        .any(|scheme| typed.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    let uri = match typed.rsplit_once('@') {
        _ if is_uri => typed.to_owned(),
        Some((user, host)) => format!("sip:{}@{host}", write::escape_user(user.as_bytes())),
        None => format!("sip:{}@{domain}", write::escape_user(typed.as_bytes())),
    };
    let read = Uri::decode(uri.as_bytes()).ok()?;
    let named = read.user.is_some_and(|user| !user.is_empty());
    (named && !typed.is_empty() && uri.bytes().all(|b| b.is_ascii_graphic() && b != b'>'))
        .then_some(uri)
}

impl Desk {
    pub(crate) fn via(&self, branch: &[u8]) -> Vec<u8> {
        let contact = self.config.contact;
        let mut via = format!("SIP/2.0/WS {};rport;branch=", sent_by(contact)).into_bytes();
        via.extend_from_slice(branch);
        via
    }

    pub(crate) fn aor(&self) -> String {
        let Self { config, .. } = self;
        write::uri(Some(config.user.as_bytes()), config.domain.as_bytes(), None)
    }

    pub(crate) fn contact(&self) -> String {
        self.contact_with("")
    }

    /// The same with further parameters of its URI.
    pub(crate) fn contact_with(&self, params: &str) -> String {
        let at = self.config.contact;
        let host = write::host(at.ip());
        let user = Some(self.config.user.as_bytes());
        let uri = write::uri(user, host.as_bytes(), Some(at.port()));
        format!("<{uri};transport={}{params}>", Transport::Ws.param())
    }

    /// The proof that stands in every request.
    ///
    /// Spec: RFC 8898 §2.1.2
    pub(crate) fn proof(&self) -> String {
        format!("Bearer {}", self.pass.reveal())
    }

    /// Begins a request outside a dialog. The caller adds the rest.
    pub(crate) fn begin<'b>(&self, outline: &Outline<'_>, out: &'b mut Vec<u8>) -> Writer<'b> {
        let from = format!("<{}>;tag=", self.aor());
        let cseq = outline.cseq.to_string();
        let mut writer = Writer::request(out, outline.method.as_bytes(), outline.uri);
        writer
            .header(Name::Via, self.via(outline.branch))
            .number(Name::MaxForwards, 70)
            .header_parts(Name::From, &[from.as_bytes(), outline.tag])
            .header(Name::To, format!("<{}>", text(outline.to)))
            .header(Name::CallId, outline.call_id)
            .header_parts(Name::CSeq, &[cseq.as_bytes(), b" ", outline.method.as_bytes()])
            .header(Name::UserAgent, USER_AGENT)
            .header(Name::Authorization, self.proof());
        writer
    }
}

/// What stands in every request outside a dialog.
pub struct Outline<'a> {
    pub method: Method<'a>,
    pub uri: &'a [u8],
    pub to: &'a [u8],
    pub tag: &'a [u8],
    pub call_id: &'a str,
    pub cseq: u32,
    pub branch: &'a [u8],
}

fn sent_by(at: SocketAddr) -> String {
    format!("{}:{}", write::host(at.ip()), at.port())
}
