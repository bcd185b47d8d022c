//! Phones that call each other and stay in their dialogs.

use std::time::Duration;

use super::{ALICE, BOB, Rig, header, sdp};

/// The From value with its tag, as the other end of a dialog writes it in To.
#[derive(Clone, Debug)]
pub struct Phone {
    pub address: &'static str,
    pub user: &'static str,
    pub local: String,
    pub remote: String,
    pub call_id: String,
    pub target: String,
    pub cseq: u32,
}

impl Phone {
    /// The one who called, from the answer that he got.
    pub fn caller(user: &'static str, address: &'static str, answer: &str) -> Self {
        Self {
            address,
            user,
            local: header(answer, "From").into(),
            remote: header(answer, "To").into(),
            call_id: header(answer, "Call-ID").into(),
            target: header(answer, "Contact").trim_matches(['<', '>']).into(),
            cseq: 10,
        }
    }

    /// The one who was called, from the INVITE that he got and the tag that he gave.
    pub fn callee(user: &'static str, address: &'static str, invite: &str, tag: &str) -> Self {
        Self {
            address,
            user,
            local: format!("{};tag={tag}", header(invite, "To")),
            remote: header(invite, "From").into(),
            call_id: header(invite, "Call-ID").into(),
            target: header(invite, "Contact").trim_matches(['<', '>']).into(),
            cseq: 10,
        }
    }

    /// A request in the dialog; `more`: header lines, each with its end.
    pub fn request(&mut self, method: &str, more: &str, body: &str) -> String {
        self.cseq += 1;
        let cseq = if method == "ACK" { self.cseq - 1 } else { self.cseq };
        self.numbered(method, cseq, more, body)
    }

    pub fn numbered(&self, method: &str, cseq: u32, more: &str, body: &str) -> String {
        let Self { address, user, local, remote, call_id, target, .. } = self;
        let branch = format!("z9hG4bK{user}{method}{cseq}{}", call_id.len());
        with_body(
            &format!(
                "{method} {target} SIP/2.0\nVia: SIP/2.0/UDP {address};branch={branch};rport\n\
                 Max-Forwards: 70\nFrom: {local}\nTo: {remote}\nCall-ID: {call_id}\n\
                 CSeq: {cseq} {method}\nContact: <sip:{user}@{address}>\n{more}"
            ),
            body,
        )
    }
}

fn with_body(head: &str, body: &str) -> String {
    let kind = if body.is_empty() || head.contains("Content-Type") {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    format!("{head}{kind}Content-Length: LENGTH\n\n{body}")
}

/// An INVITE with more header lines.
pub fn invite_with(user: &str, more: &str, body: &str) -> String {
    with_body(
        &format!(
            "INVITE sip:{user}@localhost SIP/2.0\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKa1;rport\n\
             Max-Forwards: 70\nFrom: \"Alice\" <sip:alice@localhost>;tag=at\n\
             To: <sip:{user}@localhost>\nCall-ID: c1\nCSeq: 1 INVITE\n\
             Contact: <sip:alice@{ALICE}>\n{more}"
        ),
        body,
    )
}

/// An answer of a phone that gives this tag.
pub fn reply(request: &str, status: &str, tag: &str, more: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        out.push_str(&format!("{name}: {}\n", header(request, name)));
    }
    let to = header(request, "To");
    let tag = if to.contains("tag=") { String::new() } else { format!(";tag={tag}") };
    // A phone is reached where the request went.
    let uri = request.split(' ').nth(1).unwrap_or_default();
    out.push_str(&format!("To: {to}{tag}\nContact: <{uri}>\n{more}"));
    with_body(&out, body)
}

/// Alice and Bob talk, with more header lines in the INVITE and in its 200. Gives both phones, the INVITE that Bob
/// got and the 200 that Alice got.
pub fn talk_with(rig: &mut Rig, alice: &str, bob: &str) -> (Phone, Phone, String, String) {
    rig.from(ALICE, &invite_with("bob", alice, &sdp(4_000)));
    let at_bob = rig.one(BOB, "INVITE");
    rig.from(BOB, &reply(&at_bob, "200 OK", "bt", bob, &sdp(5_000)));
    rig.one(BOB, "ACK");
    let ok = rig.one(ALICE, "SIP/2.0 200");
    let a = Phone::caller("alice", ALICE, &ok);
    let b = Phone::callee("bob", BOB, &at_bob, "bt");
    rig.from(ALICE, &a.numbered("ACK", 1, "", ""));
    (a, b, at_bob, ok)
}

impl Rig {
    /// Nothing of a call is left.
    #[track_caller]
    pub fn is_clean(&mut self) {
        self.wait(Duration::from_secs(120));
        for name in ["sessions", "legs", "server_transactions", "client_transactions"] {
            assert_eq!(self.gauge(name), 0, "{name} are left");
        }
        assert_eq!(self.gauge("ports_left"), 50, "ports are left");
    }
}

/// Whether a message has this line.
pub fn has(message: &str, line: &str) -> bool {
    message.lines().any(|known| known == line)
}
