//! SIP as text: parts of what was heard, and messages to say.

/// Breaks lines as SIP does, and puts the size of the body where `LENGTH` stands.
pub fn crlf(text: &str) -> String {
    let text = text.replace('\n', "\r\n");
    let length = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    text.replace("LENGTH", &length.to_string())
}

/// The status of a response, or 0.
pub fn status(answer: &str) -> u16 {
    answer.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// The first header of this name.
#[track_caller]
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// What follows the headers.
pub fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// A description: audio at this port of `who`.
pub fn sdp(who: &str, port: u16) -> String {
    let ip = who.split(':').next().unwrap_or_default();
    format!("v=0\no=- 1 1 IN IP4 {ip}\ns=-\nc=IN IP4 {ip}\nt=0 0\nm=audio {port} RTP/AVP 0\n")
}

/// A request outside of a dialog, to be.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is named as on the wire")]
pub struct Ask {
    pub method: String,
    pub uri: String,
    /// Without the branch.
    pub via: String,
    pub branch: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    /// More headers, each with its line's end.
    pub lines: String,
    pub body: String,
}

impl Ask {
    /// From this user of localhost at this address, to the domain.
    pub fn new(method: &str, user: &str, who: &str, number: u32) -> Self {
        Self {
            method: method.into(),
            uri: "sip:localhost".into(),
            via: format!("SIP/2.0/UDP {who}"),
            branch: format!("z9hG4bK{number}"),
            from: format!("<sip:{user}@localhost>;tag=f{number}"),
            to: "<sip:localhost>".into(),
            call_id: format!("c{number}"),
            cseq: 1,
            lines: String::new(),
            body: String::new(),
        }
    }

    /// To this user.
    pub fn to(mut self, user: &str) -> Self {
        self.uri = format!("sip:{user}@localhost");
        self.to = format!("<sip:{user}@localhost>");
        self
    }

    /// With this request URI.
    pub fn at(mut self, uri: &str) -> Self {
        self.uri = uri.into();
        self
    }

    /// With these headers.
    pub fn with(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self
    }

    /// With this body.
    pub fn body(mut self, kind: &str, body: &str) -> Self {
        self.lines.push_str(&format!("Content-Type: {kind}\n"));
        self.body = body.into();
        self
    }

    /// As text for `crlf`.
    pub fn text(&self) -> String {
        let Self { method, uri, via, branch, from, to, call_id, cseq, lines, body } = self;
        let hops = if lines.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\n" };
        format!(
            "{method} {uri} SIP/2.0\nVia: {via};branch={branch}\n{hops}From: {from}\nTo: {to}\n\
             Call-ID: {call_id}\nCSeq: {cseq} {method}\n{lines}Content-Length: LENGTH\n\n{body}"
        )
    }
}

/// A response to a request, from this tag and contact.
pub fn response(request: &str, code: &str, tag: &str, contact: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {code}\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        out.push_str(&format!("{name}: {}\n", header(request, name)));
    }
    let to = header(request, "To");
    let tag = if to.contains("tag=") { String::new() } else { format!(";tag={tag}") };
    out.push_str(&format!("To: {to}{tag}\nContact: <{contact}>\n"));
    if !body.is_empty() {
        out.push_str("Content-Type: application/sdp\n");
    }
    out.push_str(&format!("Content-Length: LENGTH\n\n{body}"));
    out
}

/// One side of a dialog, to make requests in it.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The address that speaks.
    pub who: &'a str,
    /// The other side's contact, with or without brackets.
    pub target: &'a str,
    /// The own address with its tag.
    pub from: &'a str,
    /// The other's address with its tag.
    pub to: &'a str,
    /// The dialog's Call-ID.
    pub call_id: &'a str,
}

impl Side<'_> {
    /// A request in the dialog.
    pub fn request(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        lines: &str,
        body: &str,
    ) -> String {
        let Self { who, target, from, to, call_id } = self;
        let uri = target.trim_matches(['<', '>']);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {who};branch=z9hG4bK{branch}\n\
             Max-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n\
             {lines}{kind}Content-Length: LENGTH\n\n{body}"
        )
    }
}
