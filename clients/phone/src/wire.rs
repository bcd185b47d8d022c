//! Pieces of messages that every part writes alike.

use std::net::SocketAddr;

use media::g711::Law;
use sdp::{Offer, Session};
use sip::write::{self, Writer, quote};
use sip::{Message, Method, Name, Uri};
use types::{Rng, Transport};

use crate::config::Config;
use crate::phone::Phone;
use crate::words::Stream;

/// What we understand.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO";

/// The type of session descriptions.
pub(crate) const SDP: &str = "application/sdp";

const USER_AGENT: &str = concat!("carillon-phone/", env!("CARGO_PKG_VERSION"));

/// A request before its own headers: what stands in every one outside a dialog.
pub(crate) struct Outline<'a> {
    pub method: Method<'a>,
    pub uri: &'a [u8],
    /// The To value.
    pub to: &'a [u8],
    pub tag: &'a [u8],
    pub call_id: &'a [u8],
    pub cseq: u32,
}

pub(crate) fn branch(rng: &mut Rng) -> Vec<u8> {
    format!("z9hG4bK{:016x}", rng.next_u64()).into_bytes()
}

pub(crate) fn tag(rng: &mut Rng) -> Vec<u8> {
    format!("{:016x}", rng.next_u64()).into_bytes()
}

/// A random UUID, version 4.
pub(crate) fn uuid(rng: &mut Rng) -> String {
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

/// The phrase and the warning of a response, for people.
pub(crate) fn explained(response: &Message<'_>) -> (String, Option<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
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
    (reason, warning)
}

/// The stream that a description of the other side makes with ours. `None`: nothing in common.
pub(crate) fn stream(theirs: &[u8], ours: &Offer) -> Option<Stream> {
    let session = Session::decode(theirs).ok()?;
    let agreed = sdp::agreed(&session, ours)?;
    let aim = sdp::aims(&session).into_iter().nth(agreed.section)?;
    let law = if agreed.codec.name == sdp::PCMA.name { Law::A } else { Law::Mu };
    Some(Stream {
        remote: aim.rtp,
        law,
        payload_type: agreed.codec.payload_type,
        keys: agreed.events,
        sends: agreed.direction.sends(),
        receives: agreed.direction.receives(),
    })
}

impl Phone {
    pub(crate) fn via(&self, branch: &[u8]) -> Vec<u8> {
        let Config { transport, contact, .. } = &self.config;
        let host = write::host(contact.ip());
        let mut via =
            format!("SIP/2.0/{} {host}:{};rport;branch=", transport.via(), contact.port())
                .into_bytes();
        via.extend_from_slice(branch);
        via
    }

    /// Our address of record.
    pub(crate) fn aor(&self) -> String {
        write::uri(Some(self.config.user.as_bytes()), self.config.domain.as_bytes(), None)
    }

    /// The Contact value; `register`: with what only a registrar needs.
    pub(crate) fn contact(&self, register: bool) -> String {
        let Config { transport, contact, push, user, .. } = &self.config;
        let host = write::host(contact.ip());
        let mut value = write::uri(Some(user.as_bytes()), host.as_bytes(), Some(contact.port()));
        value.insert(0, '<');
        if *transport != Transport::Udp {
            value.push_str(";transport=");
            value.push_str(transport.param());
        }
        if !register {
            return value + ">";
        }
        if let Some(push) = push {
            let escaped = |text: &str| write::escape_param(text.as_bytes());
            value.push_str(&format!(
                ";pn-provider={};pn-prid={}",
                escaped(&push.provider),
                escaped(&push.prid)
            ));
            if let Some(param) = &push.param {
                value.push_str(&format!(";pn-param={}", escaped(param)));
            }
        }
        value + &format!(">;+sip.instance=\"<urn:uuid:{}>\"", self.instance)
    }

    /// Begins a request outside a dialog, with the credentials we have. The caller adds the rest.
    pub(crate) fn begin<'b>(
        &mut self,
        outline: &Outline<'_>,
        branch: &[u8],
        out: &'b mut Vec<u8>,
    ) -> Writer<'b> {
        let aor = self.aor();
        let from = match &self.config.display_name {
            Some(name) => format!("{} <{aor}>;tag=", quote(name)),
            None => format!("<{aor}>;tag="),
        };
        let method = outline.method.as_bytes();
        let lines = self.credentials(method, outline.uri);
        let mut writer = Writer::request(out, method, outline.uri);
        writer
            .header(Name::Via, self.via(branch))
            .number(Name::MaxForwards, 70)
            .header_parts(Name::From, &[from.as_bytes(), outline.tag])
            .header(Name::To, outline.to)
            .header(Name::CallId, outline.call_id)
            .header_parts(Name::CSeq, &[outline.cseq.to_string().as_bytes(), b" ", method])
            .header(Name::UserAgent, USER_AGENT);
        for (name, value) in lines {
            writer.header(name, value);
        }
        writer
    }

    pub(crate) fn credentials(&mut self, method: &[u8], uri: &[u8]) -> Vec<(Name, Vec<u8>)> {
        if self.config.server.is_none() {
            return Vec::new(); // Whoever is called directly gets no proof of our password.
        }
        self.realms.lines(&self.config, method, uri, &mut self.rng)
    }

    /// A request again, under a new number and branch, with the credentials we have by now.
    pub(crate) fn again(&mut self, old: &Message<'_>, branch: &[u8], cseq: u32) -> Vec<u8> {
        let method = old.method();
        let uri = old.request_uri().unwrap_or_default();
        let lines = self.credentials(method.as_bytes(), uri);
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, method.as_bytes(), uri);
        writer.header(Name::Via, self.via(branch));
        writer.copy_where(old, |name| !REPLACED.contains(&name));
        let number = cseq.to_string();
        writer.header_parts(Name::CSeq, &[number.as_bytes(), b" ", method.as_bytes()]);
        for (name, value) in lines {
            writer.header(name, value);
        }
        writer.body(old.first(Name::ContentType).unwrap_or_default(), old.body());
        out
    }

    /// Where a request to this URI goes: the server, or the address that stands in it.
    pub(crate) fn hop(&self, uri: &[u8]) -> Option<SocketAddr> {
        self.config.server.or_else(|| {
            let uri = Uri::decode(uri).ok()?;
            Some(SocketAddr::new(uri.ip()?, uri.port.unwrap_or(5060)))
        })
    }
}

/// What a repeated request says anew.
const REPLACED: [Name; 6] = [
    Name::Via,
    Name::CSeq,
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::ContentType,
    Name::ContentLength,
];
