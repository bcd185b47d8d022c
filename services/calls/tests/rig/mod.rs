//! A shard, or several, with the room `calls` and a stand-in for the others, by script.
#![allow(dead_code)] // Each test file uses its part.

pub mod phones;

use std::ops::{Deref, DerefMut};

pub use driver::text::header;
use driver::text::{Side, response};
use driver::{House, START, Wire};
use switchboard::directory::{Binding, Device, User};
use switchboard::group::Group;
use switchboard::{ApiRequest, Config, Effects, Input, Listener, Mail, Manifest, Notice, Service};
use types::{Flow, Transport, UnixTime};

pub const ALICE: &str = "127.0.0.1:5071";
pub const BOB: &str = "127.0.0.1:5072";
pub const CAROL: &str = "127.0.0.1:5073";
pub const FRANK: &str = "127.0.0.1:5074";

/// Puts people, a binding and a device into the directory, and says what became of pushes, as other rooms would.
struct Seed(Option<Group>);

static SEED: Manifest = Manifest { name: "seed", ..Manifest::EMPTY };

impl Service for Seed {
    fn manifest(&self) -> &'static Manifest {
        &SEED
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started) {
            for name in ["alice", "bob", "carol", "frank"] {
                effects.put_user(User { name: name.into(), ..User::default() });
            }
            for (name, address) in [("bob", BOB), ("frank", FRANK)] {
                if effects.hosts(effects.home(name)) {
                    effects.bind(name, binding(name, address));
                }
            }
            if let Some(group) = &self.0 {
                effects.put_group(group.clone());
            }
            for name in ["dave", "eve"] {
                effects.put_user(User { name: name.into(), ..User::default() });
                for token in ["one", "two"] {
                    effects.put_device(name, device(&format!("{name}-{token}")));
                }
            }
        }
        if let Notice::WakeNeeded(wake) = notice {
            let invite = &wake.invite;
            let told = serde_json::json!({
                "prid": wake.device.target.prid,
                "call_id": invite.call_id,
                "token": invite.reply_token,
                "name": invite.caller_name,
            });
            effects.event("wake", "", &told);
            let (session, prid) = (wake.session, wake.device.target.prid.clone());
            let accepted = wake.user != "eve";
            effects.publish(Notice::WakeEnded {
                session,
                prid,
                accepted,
                why: "token gone".into(),
            });
        }
        if let Notice::WakeOver { why, .. } = notice {
            effects.event("over", "", &serde_json::json!(format!("{why:?}")));
        }
        if let Notice::UserChanged(user) = notice {
            effects.put_user((**user).clone());
        }
        if let Notice::RoutingChanged(change) = notice {
            effects.put_routing((**change).clone());
        }
        if let Notice::UserGone { name } = notice {
            // The test's way to say: this token registered.
            let user = name.split(['-', '@']).next().unwrap_or_default().to_owned();
            match name.split_once('@') {
                Some((user, address)) => match address.split_once('+') {
                    Some((address, token)) => {
                        let push = Some(Box::new(target(token)));
                        effects.bind(user, Binding { push, ..page(user, address) });
                    }
                    None => effects.bind(user, page(user, address)),
                },
                None => effects.bind(&user, woken(name)),
            };
        }
    }
}

fn device(token: &str) -> Device {
    Device { name: token.into(), kind: "phone".into(), target: target(token) }
}

fn target(token: &str) -> pns::Target {
    pns::Target {
        provider: pns::Provider::Fcm,
        prid: token.into(),
        prid_alert: None,
        param: "project".into(),
        p256dh: None,
        auth: None,
    }
}

fn binding(user: &str, address: &str) -> Binding {
    Binding {
        contact: format!("sip:{user}@{address}"),
        flow: Flow::udp(address.parse().unwrap()),
        until: UnixTime::seconds(START + 100_000),
        seen: UnixTime::seconds(START),
        call_id: "r".into(),
        cseq: 1,
        ..Binding::default()
    }
}

/// A browser: it came over a WebSocket.
fn page(user: &str, address: &str) -> Binding {
    let flow = Flow { transport: Transport::Ws, connection: 1, ..binding(user, address).flow };
    Binding { flow, ..binding(user, address) }
}

/// Where the woken device of this token is.
fn woken(token: &str) -> Binding {
    let address = if token.ends_with("one") { BOB } else { CAROL };
    Binding { push: Some(Box::new(target(token))), ..binding(token, address) }
}

pub struct Rig(Wire);

impl Deref for Rig {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::of(1, calls::Config::default())
    }

    /// With this many shards, and these settings.
    pub fn of(count: usize, settings: calls::Config) -> Self {
        Self::with(count, settings, None)
    }

    /// With a port that many phones share.
    pub fn sharing() -> Self {
        Self::built(1, calls::Config::default(), None, Some(20_200))
    }

    /// The same with a group.
    pub fn with(count: usize, settings: calls::Config, group: Option<Group>) -> Self {
        Self::built(count, settings, group, None)
    }

    fn built(
        count: usize,
        settings: calls::Config,
        group: Option<Group>,
        shared_port: Option<u16>,
    ) -> Self {
        let us = "127.0.0.1:5060";
        let config = Config {
            domain: "localhost".into(),
            hosts: vec![us.into()],
            listeners: vec![Listener { transport: Transport::Udp, sent_by: us.into() }],
            require_auth: false,
            digest: vec![sip::digest::Algorithm::Md5],
            media_address: [127, 0, 0, 1].into(),
            public: "http://127.0.0.1:8088".into(),
            shared_port,
            ..driver::config()
        };
        let open = move || -> Vec<Box<dyn Service>> {
            let seed = Seed(group.clone());
            vec![Box::new(seed), Box::new(calls::Room::new(settings.clone()))]
        };
        Self(Wire::begin(House::several(count, &config, open), |_| Vec::new()))
    }

    /// What the stand-in heard of one kind since the last look.
    pub fn heard(&mut self, kind: &str) -> Vec<serde_json::Value> {
        self.events(kind)
    }

    /// The device with this token registers.
    pub fn registers(&mut self, token: &str) {
        let notice = Notice::UserGone { name: token.into() };
        self.handle(Input::Mail(Mail::Notice(notice)));
    }

    /// A page of this user registers; behind `+` the token by which it can be woken.
    pub fn binds_browser(&mut self, user: &str, address: &str) {
        let notice = Notice::UserGone { name: format!("{user}@{address}") };
        self.handle(Input::Mail(Mail::Notice(notice)));
    }

    /// A fact of another room.
    pub fn tell(&mut self, notice: Notice) {
        self.handle(Input::Mail(Mail::Notice(notice)));
    }

    pub fn api(&mut self, endpoint: u16, path: &str) -> (u16, serde_json::Value) {
        self.ask(endpoint, path, "", "")
    }

    pub fn ask(
        &mut self,
        endpoint: u16,
        path: &str,
        bearer: &str,
        body: &str,
    ) -> (u16, serde_json::Value) {
        let response = self.0.api(ApiRequest {
            id: 9,
            room: "calls".into(),
            endpoint,
            path: vec![path.into()],
            bearer: bearer.into(),
            body: body.as_bytes().to_vec(),
            ..ApiRequest::default()
        });
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }
}

pub fn sdp(port: u16) -> String {
    driver::text::sdp(ALICE, port)
}

pub fn invite(user: &str) -> String {
    let body = sdp(4_000);
    format!(
        "INVITE sip:{user}@localhost SIP/2.0\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKa1;rport\n\
         Max-Forwards: 70\nFrom: \"Alice\" <sip:alice@localhost>;tag=at\nTo: <sip:{user}@localhost>\n\
         Call-ID: c1\nCSeq: 1 INVITE\nContact: <sip:alice@{ALICE}>\n\
         Content-Type: application/sdp\nContent-Length: LENGTH\n\n{body}"
    )
}

pub fn answer(request: &str, status: &str, body: &str) -> String {
    response(request, status, "bt", &format!("sip:bob@{BOB}"), body)
}

pub fn in_dialog(method: &str, response: &str, cseq: u32, branch: &str) -> String {
    let side = Side {
        who: ALICE,
        target: header(response, "Contact"),
        from: header(response, "From"),
        to: header(response, "To"),
        call_id: "c1",
    };
    side.request(method, cseq, branch, "", "")
}
