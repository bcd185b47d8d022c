//! One room with scripted phones: what they say goes in, what they hear comes out, and a log that a restart begins from.

use std::ops::{Deref, DerefMut};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use switchboard::directory::{Binding, User};
use switchboard::store::Entry;
use switchboard::{
    ApiRequest, Config, Effects, Input, Mail, Manifest, Notice, Output, Reply, Service, Session,
    Ticket,
};
use types::Flow;

use crate::text::header;
use crate::{House, Out, config};

/// Tells the test what rooms hear, knows its users, and keeps where they are: an OPTIONS with a Contact binds it, with
/// `Expires: 0` ends it.
struct Witness(Sender<Notice>);

impl Service for Witness {
    fn manifest(&self) -> &'static Manifest {
        static MANIFEST: Manifest = Manifest { name: "witness", ..Manifest::EMPTY };
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        let Session::Request { request, message, flow, .. } = session else { return false };
        if message.method() != sip::Method::Options {
            return false;
        }
        let user = sip::Uri::decode(message.request_uri().expect("text of a test"))
            .expect("text of a test");
        let user = String::from_utf8(user.user_unescaped().expect("text of a test").into_owned())
            .expect("text of a test");
        let contact = message.name_addr(sip::Name::Contact).expect("text of a test");
        let contact = String::from_utf8(contact.uri.to_vec()).expect("text of a test");
        let life = message.expires().expect("text of a test").unwrap_or(3_600);
        let binding = Binding {
            contact,
            flow: *flow,
            until: effects.unix() + Duration::from_secs(life.into()),
            seen: effects.unix(),
            call_id: "r".into(),
            cseq: 1,
            user_agent: "script".into(),
            ..Binding::default()
        };
        if life == 0 {
            effects.unbind(&user, &binding, "unregistered");
        } else {
            effects.bind(&user, binding);
        }
        effects.respond(*request, 200, &[]);
        true
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::UserChanged(user) = notice {
            effects.put_user((**user).clone());
        }
        if let Notice::RoutingChanged(change) = notice {
            effects.put_routing((**change).clone());
        }
        let _ = self.0.send(notice.clone());
    }
}

/// One room, a keeper that a restart can begin from, and phones at 192.0.2.1 to 192.0.2.254 that need no password.
pub struct Phones {
    house: House,
    /// Live entries of the keeper.
    pub log: Vec<Entry>,
    /// What was told while the house began.
    pub begun: Vec<Notice>,
    /// Who asks: alice, until the test says otherwise.
    pub speaker: &'static str,
    manifest: &'static Manifest,
    notices: Receiver<Notice>,
    next: u32,
}

impl Phones {
    /// A begun house in which alice, bob and carol live.
    pub fn new(room: fn() -> Box<dyn Service>) -> Self {
        Self::with_log(room, Vec::new(), 0)
    }

    /// A house that begins from a log, `later` seconds after the others.
    pub fn with_log(room: fn() -> Box<dyn Service>, log: Vec<Entry>, later: u64) -> Self {
        let (sender, notices) = channel();
        let open = move || vec![room(), Box::new(Witness(sender.clone())) as Box<dyn Service>];
        let mut house = House::new(Config { require_auth: false, ..config() }, open);
        let later = Duration::from_secs(later);
        house.clock.now = house.clock.now + later;
        house.clock.unix = house.clock.unix + later;
        let manifest = room().manifest();
        let (log_now, begun, speaker) = (Vec::new(), Vec::new(), "alice");
        let mut house = Self { house, log: log_now, begun, speaker, manifest, notices, next: 0 };
        for entry in log {
            house.log.push(entry.clone());
            house.give(Input::Adopt(entry));
        }
        let mut out = house.give(Input::Begin);
        // Nothing is stored: who reads it all at the beginning is done at once.
        while let Some(ticket) = out.loads().first().map(|(ticket, _)| *ticket) {
            out = house.reply(ticket, Reply::Rows(Ok(Vec::new())));
        }
        for name in ["alice", "bob", "carol"] {
            let display_name = if name == "alice" { "Alice".into() } else { String::new() };
            let user = User { name: name.into(), display_name, ..User::default() };
            house.notice(Notice::UserChanged(Box::new(user)));
        }
        house.begun = house.heard();
        house
    }

    /// One input, and what it brought.
    pub fn give(&mut self, input: Input<'_>) -> Out {
        let out = self.house.give(input);
        for output in &out.list {
            let Output::Save { entry, .. } = output else { continue };
            self.log.retain(|known| (known.kind, known.key) != (entry.kind, entry.key));
            if !entry.last {
                self.log.push(entry.clone());
            }
        }
        out
    }

    /// A notice, as from another shard.
    pub fn notice(&mut self, notice: Notice) -> Out {
        self.give(Input::Mail(Mail::Notice(notice)))
    }

    /// The answer to a ticket.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply) -> Out {
        self.give(Input::Reply { ticket, reply })
    }

    /// Notices since the last look.
    pub fn heard(&self) -> Vec<Notice> {
        self.notices.try_iter().collect()
    }

    /// A message of the phone at this host of 192.0.2.0/24.
    pub fn say(&mut self, phone: u8, text: &str) -> Out {
        self.give(Input::Message { flow: flow(phone), bytes: text.as_bytes() })
    }

    /// A request of a phone outside of a dialog.
    pub fn ask(&mut self, phone: u8, method: &str, to: &str, headers: &str, body: &str) -> Out {
        self.next += 1;
        let text = request(method, self.speaker, phone, to, self.next, headers, body);
        self.say(phone, &text)
    }

    /// A phone of the user registers.
    pub fn bind(&mut self, user: &str, phone: u8) -> Out {
        let contact = format!("Contact: <sip:{user}@192.0.2.{phone}>\r\n");
        self.ask(phone, "OPTIONS", user, &contact, "")
    }

    /// It goes.
    pub fn unbind(&mut self, user: &str, phone: u8) -> Out {
        let contact = format!("Contact: <sip:{user}@192.0.2.{phone}>\r\nExpires: 0\r\n");
        self.ask(phone, "OPTIONS", user, &contact, "")
    }

    /// The phone that a request went to answers it.
    pub fn answer(&mut self, request: &str, status: &str, headers: &str) -> Out {
        let host = request.split("@192.0.2.").nth(1).expect("text of a test");
        let digits = host.find(|c: char| !c.is_ascii_digit()).expect("text of a test");
        let phone = host[..digits].parse().expect("text of a test");
        self.say(phone, &reply_to(request, status, headers))
    }

    /// Lets so many seconds pass and gives the ticks that fall due.
    pub fn seconds(&mut self, seconds: u64) -> Out {
        let end = self.house.clock.now + Duration::from_secs(seconds);
        let mut out = Out::default();
        while self.house.advance(end) {
            out.add(self.give(Input::Tick));
        }
        out
    }

    /// Sessions in the keeper.
    pub fn sessions_kept(&self) -> usize {
        self.log.iter().filter(|entry| entry.kind == switchboard::store::kinds::SESSION).count()
    }

    /// A request of the API, by its row in the manifest.
    pub fn api(&mut self, row: &str, query: &[(&str, &str)], body: &str) -> Out {
        let place = self
            .manifest
            .endpoints
            .iter()
            .position(|known| format!("{} {}", known.method, known.path) == row)
            .expect("the row is in the manifest");
        self.give(Input::Api(ApiRequest {
            id: 7,
            room: self.manifest.name.into(),
            endpoint: place as u16,
            path: Vec::new(),
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            content_type: "application/json".into(),
            bearer: String::new(),
            body: body.as_bytes().to_vec(),
        }))
    }
}

impl Deref for Phones {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl DerefMut for Phones {
    fn deref_mut(&mut self) -> &mut House {
        &mut self.house
    }
}

/// A request of a user, from whichever phone.
pub fn request(
    method: &str,
    from: &str,
    phone: u8,
    to: &str,
    number: u32,
    headers: &str,
    body: &str,
) -> String {
    format!(
        "{method} sip:{to}@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.{phone};branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}@example.org>;tag=mine\r\nTo: <sip:{to}@example.org>\r\n\
         Call-ID: call{number}\r\nCSeq: 1 {method}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a phone says to a request, with more headers.
pub fn reply_to(request: &str, status: &str, headers: &str) -> String {
    let line = |name: &str| format!("{name}: {}\r\n", header(request, name));
    let to = header(request, "To");
    let tag = if to.contains("tag=") { "" } else { ";tag=theirs" };
    format!(
        "SIP/2.0 {status}\r\n{}{}To: {to}{tag}\r\n{}{}{headers}Content-Length: 0\r\n\r\n",
        line("Via"),
        line("From"),
        line("Call-ID"),
        line("CSeq"),
    )
}

/// The flow of a phone by its host.
pub fn flow(phone: u8) -> Flow {
    Flow::udp(([192, 0, 2, phone], 5060).into())
}
