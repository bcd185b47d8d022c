//! Two pages, played by the test, phone each other over `/v1/phone` of `carillon dev`. Sound is not part of this.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::net::TcpStream;

use serde_json::{Value, json};
use support::namespace::Namespace;
use support::server::Server;
use support::{STEP, turn};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// What a browser would offer, or answer with.
fn description(port: u16, setup: &str, direction: &str) -> String {
    let fingerprint = ["AB"; 32].join(":");
    format!(
        "v=0\r\no=- {port} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS\r\n\
         m=audio {port} UDP/TLS/RTP/SAVPF 111 8 101\r\nc=IN IP4 127.0.0.1\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
         a=candidate:1 1 udp 2122260223 127.0.0.1 {port} typ host generation 0\r\n\
         a=ice-ufrag:uf{port}\r\na=ice-pwd:pwpwpwpwpwpwpwpwpwpwpw{port}\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=ssrc:{port} cname:page\r\n"
    )
}

struct Page {
    socket: WebSocket<TcpStream>,
    session: String,
    heard: u64,
    commands: u64,
}

impl Page {
    fn dial(server: &Server, hello: &Value) -> (WebSocket<TcpStream>, Value) {
        let door = &server.door;
        let pipe = door.host.enter(|| TcpStream::connect(door.address)).expect("HTTP is up");
        pipe.set_read_timeout(Some(STEP)).expect("a wait has a limit");
        let mut request =
            format!("ws://{}/v1/phone", door.address).into_client_request().expect("an address");
        let protocol = HeaderValue::from_static("carillon.phone.1");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (mut socket, _) = tungstenite::client(request, pipe).expect("an upgrade");
        socket.send(Message::text(json!({ "hello": hello }).to_string())).expect("an open socket");
        let answer = next(&mut socket);
        (socket, answer)
    }

    #[track_caller]
    fn open(server: &Server, user: &str) -> Self {
        let body = json!({ "user": user }).to_string();
        let door = &server.door;
        let kind = "application/json";
        let answer = door.ask("POST", "/v1/tokens", Some(&door.token), kind, body.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let (socket, welcome) = Self::dial(server, &json!({ "token": answer.json()["token"] }));
        let session = welcome["welcome"]["session"].as_str().expect("a session").to_owned();
        let mut page = Self { socket, session, heard: 0, commands: 0 };
        page.wants(json!({ "do": "register" }));
        page.event("registered");
        page
    }

    /// The next event of this kind; its number must be the next one.
    #[track_caller]
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let value = next(&mut self.socket);
            self.heard += 1;
            assert_eq!(value["n"], self.heard, "{value}");
            assert!(
                value["event"] != "unwilling" || kind == "unwilling",
                "for {kind} came {value}"
            );
            if value["event"] == kind {
                return value;
            }
        }
    }

    #[track_caller]
    fn wants(&mut self, mut command: Value) -> Value {
        self.commands += 1;
        command["id"] = self.commands.into();
        self.socket.send(Message::text(command.to_string())).expect("an open socket");
        if command["do"] == "refused" { Value::Null } else { self.event("done") }
    }

    /// The refusal of a command, by its code.
    #[track_caller]
    fn refused(&mut self, command: &str) -> String {
        self.socket.send(Message::text(command.to_owned())).expect("an open socket");
        let code = self.event("unwilling")["problem"]["code"].clone();
        code.as_str().expect("a code").to_owned()
    }

    /// Comes back on a new socket, as a page does that lost its own.
    #[track_caller]
    fn come_back(&mut self, server: &Server, user: &str) {
        let body = json!({ "user": user }).to_string();
        let door = &server.door;
        let answer =
            door.ask("POST", "/v1/tokens", Some(&door.token), "application/json", body.as_bytes());
        let hello = json!({
            "token": answer.json()["token"], "session": self.session, "after": self.heard,
        });
        let (socket, welcome) = Self::dial(server, &hello);
        assert_eq!(welcome["welcome"]["resumed"], true, "{welcome}");
        assert_eq!(welcome["welcome"]["after"], self.heard, "{welcome}");
        self.socket = socket;
    }

    /// Comes back as a page that was loaded again: it knows its session and nothing else. Gives the calls that there are.
    #[track_caller]
    fn load_again(&mut self, server: &Server, user: &str) -> Vec<Value> {
        let body = json!({ "user": user }).to_string();
        let door = &server.door;
        let answer =
            door.ask("POST", "/v1/tokens", Some(&door.token), "application/json", body.as_bytes());
        // As a browser says it when a page goes, be it for good or not.
        let going = CloseFrame { code: CloseCode::Away, reason: "".into() };
        self.socket.close(Some(going)).expect("an open socket");
        let hello = json!({ "token": answer.json()["token"], "session": self.session });
        let (socket, welcome) = Self::dial(server, &hello);
        assert_eq!(welcome["welcome"]["resumed"], true, "{welcome}");
        self.heard = welcome["welcome"]["after"].as_u64().expect("a number");
        self.socket = socket;
        welcome["welcome"]["kept"].as_array().expect("a list").clone()
    }
}

#[track_caller]
fn next(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read().expect("a message in time") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Close(why) => panic!("closed: {why:?}"),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => (),
        }
    }
}

#[test]
fn two_pages_call_hold_press_resume_transfer_and_hang_up() {
    let _turn = turn();
    let host = Namespace::alone();
    let server = Server::dev(&host, "127.0.0.1");
    let (mut ada, mut ben) = (Page::open(&server, "1001"), Page::open(&server, "1002"));
    let (offer, answer) =
        (description(40_001, "actpass", "sendrecv"), description(40_002, "active", "sendrecv"));

    let begun = ada.wants(json!({ "do": "call", "to": "1002", "sdp": offer }));
    let ours = begun["call"].as_str().expect("a call").to_owned();
    let incoming = ben.event("incoming");
    let theirs = incoming["call"].as_str().expect("a call").to_owned();
    assert!(incoming["from"].as_str().is_some_and(|from| from.contains("1001")), "{incoming}");
    assert!(incoming["sdp"].as_str().is_some_and(|sdp| sdp.contains("m=audio")), "{incoming}");
    ada.event("ringing");
    ben.wants(json!({ "do": "answer", "call": theirs, "sdp": answer }));
    let answered = ada.event("answered");
    assert!(answered["sdp"].as_str().is_some_and(|sdp| sdp.contains("m=audio")), "{answered}");

    // Hold and resume, with a socket that is lost between offer and answer.
    let hold = description(40_001, "actpass", "sendonly");
    ada.wants(json!({ "do": "change", "call": ours, "sdp": hold }));
    let change = ben.event("change");
    assert!(change["sdp"].as_str().is_some_and(|sdp| sdp.contains("m=audio")), "{change}");
    drop(std::mem::replace(&mut ben.socket, Page::dial(&server, &json!({})).0));
    ben.come_back(&server, "1002");
    let held = description(40_002, "active", "recvonly");
    ben.wants(json!({ "do": "agree", "call": theirs, "sdp": held }));
    ada.event("agreed");
    // What is said while a page is away waits for it.
    drop(std::mem::replace(&mut ben.socket, Page::dial(&server, &json!({})).0));
    ada.wants(json!({ "do": "keys", "call": ours, "keys": "7#" }));
    ben.come_back(&server, "1002");
    assert_eq!(ben.event("key")["key"], "7");
    assert_eq!(ben.event("key")["key"], "#");

    // Loaded again, it takes its call up with a path of its own; what the other one offers meanwhile is for later.
    let kept = ben.load_again(&server, "1002");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((&kept[0]["call"], &kept[0]["standing"]), (&json!(theirs), &json!("talking")));
    assert!(kept[0]["peer"].as_str().is_some_and(|peer| peer.contains("1001")), "{kept:?}");
    let anew = description(40_012, "actpass", "sendrecv");
    ben.wants(json!({ "do": "change", "call": theirs, "sdp": anew }));
    let change = ada.event("change");
    assert!(change["sdp"].as_str().is_some_and(|sdp| sdp.contains("m=audio")), "{change}");
    ada.wants(json!({ "do": "agree", "call": ours, "sdp": answer }));
    ben.event("agreed");

    // To a third page.
    let mut cleo = Page::open(&server, "1003");
    ben.wants(json!({ "do": "transfer", "call": theirs, "to": "1003" }));
    let call = cleo.event("incoming")["call"].clone();
    let third = description(40_003, "active", "sendrecv");
    cleo.wants(json!({ "do": "answer", "call": call, "sdp": third }));
    ada.event("change");
    ada.wants(json!({ "do": "agree", "call": ours, "sdp": answer }));
    ben.event("ended");
    ada.wants(json!({ "do": "hangup", "call": ours }));
    assert_eq!(cleo.event("ended")["why"], "theirs");

    assert_eq!(ada.refused(r#"{"id":1,"do":"dance"}"#), "web.bad_command");
    assert_eq!(ada.refused("x"), "web.bad_command");
    let gone = json!({ "id": 2, "do": "hangup", "call": ours }).to_string();
    assert_eq!(ada.refused(&gone), "web.no_such_phone_call");
    let unknown = ada.wants(json!({ "do": "call", "to": "nobody", "sdp": offer }));
    let ended = ada.event("ended");
    assert_eq!((&ended["call"], &ended["status"]), (&unknown["call"], &json!(404)), "{ended}");
    let (_, problem) = Page::dial(&server, &json!({ "token": "x" }));
    assert_eq!(problem["problem"]["code"], "web.token_ended");
    let (_, problem) = Page::dial(&server, &json!({}));
    assert_eq!(problem["problem"]["code"], "web.signed_out");
}
