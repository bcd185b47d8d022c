//! Writing messages into a buffer of the caller.

use std::net::{IpAddr, SocketAddr};

use types::digits;

use crate::header::{Name, Typed, Via};
use crate::{Message, reason_phrase, scan, uri};

/// Writes one message, line by line. Nothing a caller passes in can begin a line of its own: CR, LF
/// and NUL inside a value become a space, a fold becomes one space, and names and methods keep only
/// the characters of a token. Content-Length is written by [`body`](Self::body) and
/// [`end`](Self::end) alone.
#[derive(Debug)]
#[must_use = "a message is whole only after `end` or `body`"]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    ended: bool,
}

impl<'b> Writer<'b> {
    /// Begins a request behind what `out` holds.
    pub fn request(out: &'b mut Vec<u8>, method: &[u8], uri: &[u8]) -> Self {
        push_token(out, method);
        out.push(b' ');
        for octet in uri {
            // A space would end the URI early.
            match octet {
                0..=b' ' | 0x7f => push_escaped(out, *octet),
                _ => out.push(*octet),
            }
        }
        out.extend_from_slice(b" SIP/2.0\r\n");
        Self { out, ended: false }
    }

    /// Begins a response behind what `out` holds; without a reason, with the standard phrase.
    pub fn response(out: &'b mut Vec<u8>, status: u16, reason: Option<&str>) -> Self {
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(out, usize::from(status));
        out.push(b' ');
        push_value(out, reason.unwrap_or_else(|| reason_phrase(status)).as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out, ended: false }
    }

    /// One header line. [`Name::Other`] has no name to write and [`Name::ContentLength`] is not the
    /// caller's: both are left out.
    pub fn header(&mut self, name: Name, value: impl AsRef<[u8]>) -> &mut Self {
        self.header_parts(name, &[value.as_ref()])
    }

    /// One header line, its value the pieces one behind the other.
    pub fn header_parts(&mut self, name: Name, parts: &[&[u8]]) -> &mut Self {
        match name {
            Name::Other | Name::ContentLength => self,
            name => self.line(name.as_str().as_bytes(), parts),
        }
    }

    /// One header line whose value is a number.
    pub fn number(&mut self, name: Name, value: u64) -> &mut Self {
        self.header_parts(name, &[digits::decimal(value, &mut [0; 20])])
    }

    /// One header line with any name; left out when the name has no character of a token.
    pub fn raw_header(&mut self, name: &[u8], value: impl AsRef<[u8]>) -> &mut Self {
        if Name::from_bytes(name) == Name::ContentLength {
            return self;
        }
        self.line(name, &[value.as_ref()])
    }

    /// One header line of a typed header.
    pub fn typed<'a, T: Typed<'a>>(&mut self, value: &T) -> &mut Self {
        self.header(T::NAME, value.encode())
    }

    /// Every line of this name, as it stands in `message`.
    pub fn copy(&mut self, message: &Message<'_>, name: Name) -> &mut Self {
        for value in message.all(name) {
            self.header(name, value);
        }
        self
    }

    /// Every line that `wanted` says yes to, in order, names spelt as they came: for forwarding.
    pub fn copy_where(
        &mut self,
        message: &Message<'_>,
        wanted: impl Fn(Name) -> bool,
    ) -> &mut Self {
        for header in message.headers().filter(|header| wanted(header.name)) {
            self.raw_header(header.raw_name, header.value);
        }
        self
    }

    /// Every Via of a request that came from `source`, the top one with what its hop must know:
    /// `received` when it came from elsewhere than it says or asks for `rport`, and `rport` filled
    /// in. What the sender wrote there itself is replaced.
    ///
    /// Spec: RFC 3261 §18.2.1, RFC 3581 §4
    pub fn copy_vias(&mut self, request: &Message<'_>, source: Option<SocketAddr>) -> &mut Self {
        let top = request.values(Name::Via).next();
        let via = top.and_then(|top| Via::decode(top).ok());
        let (Some(source), Some(via)) = (source, via) else { return self.copy(request, Name::Via) };
        self.top_via(&via, source);
        for value in request.values(Name::Via).skip(1) {
            self.header(Name::Via, value);
        }
        self
    }

    fn top_via(&mut self, via: &Via<'_>, source: SocketAddr) {
        let address = source.ip().to_canonical();
        if self.ended {
            return;
        }
        self.out.extend_from_slice(b"Via: ");
        push_value(self.out, via.head());
        for (name, value) in via.params {
            let value = match value {
                _ if name.eq_ignore_ascii_case(b"received") => continue,
                _ if name.eq_ignore_ascii_case(b"rport") => continue,
                value => value,
            };
            self.out.push(b';');
            push_value(self.out, name);
            if let Some(value) = value {
                self.out.push(b'=');
                push_value(self.out, value);
            }
        }
        if via.asks_rport() {
            self.out.extend_from_slice(b";rport=");
            push_number(self.out, usize::from(source.port()));
        }
        if via.asks_rport() || via.ip() != Some(address) {
            self.out.extend_from_slice(b";received=");
            digits::push_address(self.out, address);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// To, with a tag when it has none.
    pub fn copy_to(&mut self, request: &Message<'_>, tag: Option<&[u8]>) -> &mut Self {
        let Some(value) = request.first(Name::To) else { return self };
        let tagged = request.to().is_ok_and(|to| to.tag().is_some());
        match tag {
            Some(tag) if !tagged => self.header_parts(Name::To, &[value, b";tag=", tag]),
            _ => self.header(Name::To, value),
        }
    }

    /// Ends the message with a body and writes its Content-Type (unless empty) and Content-Length.
    pub fn body(&mut self, content_type: impl AsRef<[u8]>, body: &[u8]) {
        if !content_type.as_ref().is_empty() {
            self.header(Name::ContentType, content_type);
        }
        self.finish(body);
    }

    /// Ends the message without a body.
    pub fn end(&mut self) {
        self.finish(&[]);
    }

    fn finish(&mut self, body: &[u8]) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.out.extend_from_slice(b"Content-Length: ");
        push_number(self.out, body.len());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
    }

    fn line(&mut self, name: &[u8], parts: &[&[u8]]) -> &mut Self {
        // A line behind the end would be read as a body, or as the next message of a stream.
        if self.ended || !name.iter().copied().any(scan::is_token) {
            return self;
        }
        push_token(self.out, name);
        self.out.extend_from_slice(b": ");
        for part in parts {
            push_value(self.out, part);
        }
        self.out.extend_from_slice(b"\r\n");
        self
    }
}

/// Begins the answer to a request: Via, From, To, Call-ID and CSeq, and Timestamp in a 100.
/// `to_tag` is added when To has no tag, `received` is where the request came from. What the
/// request lacks is left out, so that even a broken one can be refused. Record-Route is the
/// caller's: `copy(request, Name::RecordRoute)` where the answer makes a dialog.
///
/// Spec: RFC 3261 §8.2.6, RFC 3581 §4
pub fn response_to<'b>(
    out: &'b mut Vec<u8>,
    request: &Message<'_>,
    status: u16,
    reason: Option<&str>,
    to_tag: Option<&[u8]>,
    received: Option<SocketAddr>,
) -> Writer<'b> {
    let mut writer = Writer::response(out, status, reason);
    writer.copy_vias(request, received);
    if let Some(from) = request.first(Name::From) {
        writer.header(Name::From, from);
    }
    writer.copy_to(request, to_tag);
    for name in [Name::CallId, Name::CSeq] {
        if let Some(value) = request.first(name) {
            writer.header(name, value);
        }
    }
    if status == 100 {
        writer.copy(request, Name::Timestamp);
    }
    writer
}

/// A quoted string that reads as `text`; control characters become spaces.
///
/// Spec: RFC 3261 §25.1 (quoted-string)
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out.push('"');
    out
}

/// The user part of a URI that reads as `user`, every octet escaped that cannot stand there.
///
/// Spec: RFC 3261 §25.1 (user)
pub fn escape_user(user: &[u8]) -> String {
    let mut out = Vec::with_capacity(user.len());
    escape_user_into(&mut out, user);
    String::from_utf8_lossy(&out).into_owned() // Only ASCII was written.
}

pub(crate) fn escape_user_into(out: &mut Vec<u8>, user: &[u8]) {
    for octet in user {
        let plain = octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
            || matches!(octet, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/');
        if plain { out.push(*octet) } else { push_escaped(out, *octet) }
    }
}

/// The value of a URI parameter that reads as `value`.
///
/// Spec: RFC 3261 §25.1 (paramchar)
pub fn escape_param(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len());
    for octet in value {
        let plain = octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
            || matches!(octet, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$');
        if plain { out.push(*octet) } else { push_escaped(&mut out, *octet) }
    }
    String::from_utf8_lossy(&out).into_owned() // Only ASCII was written.
}

/// The value of a header inside a URI (`?Replaces=…`) that reads as `value`.
///
/// Spec: RFC 3261 §25.1 (hvalue)
pub fn escape_header(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len() * 2);
    for octet in value {
        let plain = octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
            || matches!(octet, b'[' | b']' | b'/' | b':' | b'$');
        if plain { out.push(*octet) } else { push_escaped(&mut out, *octet) }
    }
    String::from_utf8_lossy(&out).into_owned() // Only ASCII was written.
}

/// A name and an address in brackets; no name when it is empty. What would end the brackets early
/// is escaped.
///
/// Spec: RFC 3261 §25.1 (name-addr)
pub fn name_addr(display: &str, uri: &str) -> String {
    let mut out = Vec::with_capacity(display.len() + uri.len() + 5);
    if !display.is_empty() {
        out.extend_from_slice(quote(display).as_bytes());
        out.push(b' ');
    }
    out.push(b'<');
    for octet in uri.bytes() {
        match octet {
            0..=b' ' | b'"' | b'<' | b'>' | 0x7f => push_escaped(&mut out, octet),
            _ => out.push(octet),
        }
    }
    out.push(b'>');
    String::from_utf8_lossy(&out).into_owned() // Text came in, ASCII was added.
}

/// A `sip` URI made of its parts: the user is escaped, and what no host can hold is left out of the
/// host.
pub fn uri(user: Option<&[u8]>, host: &[u8], port: Option<u16>) -> String {
    let mut out = b"sip:".to_vec();
    if let Some(user) = user {
        escape_user_into(&mut out, user);
        out.push(b'@');
    }
    out.extend(host.iter().filter(|octet| uri::is_host_octet(**octet)));
    if let Some(port) = port {
        out.push(b':');
        push_number(&mut out, usize::from(port));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An address the way a host stands in a URI: IPv6 in brackets.
pub fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// A value without its folds: each run of line breaks and the white space behind it is one space.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    push_value(&mut out, value);
    out
}

fn push_value(out: &mut Vec<u8>, mut value: &[u8]) {
    while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, value) {
        let (plain, rest) = scan::split(value, at);
        out.extend_from_slice(plain);
        out.push(b' ');
        let white = |octet: &&u8| scan::is_space(**octet) || **octet == 0;
        value = scan::skip(rest, rest.iter().take_while(white).count());
    }
    out.extend_from_slice(value);
}

fn push_token(out: &mut Vec<u8>, token: &[u8]) {
    out.extend(token.iter().copied().filter(|octet| scan::is_token(*octet)));
}

fn push_escaped(out: &mut Vec<u8>, octet: u8) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 };
    out.extend_from_slice(&[b'%', digit(octet >> 4), digit(octet & 15)]);
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    digits::push_number(out, number as u64);
}

#[cfg(test)]
mod tests;
