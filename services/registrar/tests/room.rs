//! The room `registrar` as a script, with real REGISTERs and their proof.

use std::time::Duration;

use driver::text::header;
use driver::{Alone, Out, phone};
use registrar::{Config, REFUSALS, Refusal, Room};
use sip::digest::{Challenge, Login, Password, Target, answer};
use sip::{Framing, Message, Name};
use switchboard::directory::{User, Verifier};
use switchboard::{Input, Notice, Output, Service};
use types::{Flow, Transport};

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

fn house() -> Alone {
    house_of(room)
}

fn house_of(room: fn() -> Box<dyn Service>) -> Alone {
    let mut house = Alone::new(room);
    house.give(Input::Begin);
    for name in ["1001", "1002"] {
        let verifiers = Verifier::all(name, "example.org", "secret");
        let user = User { name: name.into(), verifiers, ..User::default() };
        house.notice(Notice::UserChanged(Box::new(user)));
    }
    house.heard();
    house
}

/// A phone that registers: counts its CSeq, answers the challenge.
struct Phone {
    name: &'static str,
    to: &'static str,
    call_id: &'static str,
    cseq: u32,
    flow: Flow,
}

impl Phone {
    fn new() -> Self {
        Self { name: "1001", to: "1001", call_id: "call-1", cseq: 0, flow: phone(5060) }
    }

    /// Sends a REGISTER with these header lines, once bare and once with the proof. Gives the answer.
    fn register(&mut self, house: &mut Alone, lines: &[&str]) -> (String, Out) {
        self.cseq += 2;
        let bare = self.text(self.cseq - 1, lines, "");
        let out = house.give(Input::Message { flow: self.flow, bytes: bare.as_bytes() });
        let refused = out.sent().remove(0);
        let message = Message::decode(refused.as_bytes(), Framing::Datagram).unwrap();
        let challenge = Challenge::decode(message.first(Name::WwwAuthenticate).unwrap()).unwrap();
        let login = Login {
            user: self.name.as_bytes(),
            password: Password::Text(b"secret"),
            realm: Some(b"example.org"),
        };
        let target = Target { method: b"REGISTER", uri: b"sip:example.org" };
        let proof = answer(&challenge, &login, target, b"cnonce", 1).unwrap();
        let proof = format!("Authorization: {}\r\n", String::from_utf8(proof).unwrap());
        let text = self.text(self.cseq, lines, &proof);
        let out = house.give(Input::Message { flow: self.flow, bytes: text.as_bytes() });
        (out.sent().pop().expect("an answer"), out)
    }

    fn text(&self, cseq: u32, lines: &[&str], proof: &str) -> String {
        let Self { name, to, call_id, flow, .. } = self;
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let branch = format!("z9hG4bK{call_id}{name}{cseq}");
        format!(
            "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/{} 10.0.0.1:9;rport;branch={branch}\r\n\
             From: <sip:{name}@example.org>;tag=1\r\nTo: <sip:{to}@example.org>\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n\
             User-Agent: script/1\r\n{lines}{proof}Content-Length: 0\r\n\r\n",
            flow.transport.via(),
        )
    }
}

/// Registers once in a house of its own and looks at the status and at one line of the answer.
#[track_caller]
fn check(lines: &[&str], status: u16, wants: &str) {
    let mut house = house();
    let (answer, _) = Phone::new().register(&mut house, lines);
    assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{lines:?}\n{answer}");
    assert!(answer.contains(wants), "{lines:?} wants {wants}\n{answer}");
}

fn bindings(house: &mut Alone) -> Vec<serde_json::Value> {
    let out = house.ask("GET /v1/bindings", &[], &[("user", "1001")], b"");
    out.answer().1["items"].as_array().unwrap().clone()
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("registrar", 1201, &Refusal::ALL, REFUSALS);
}

#[test]
fn a_binding_is_kept_before_it_is_acknowledged() {
    let mut house = house();
    let (answer, out) =
        Phone::new().register(&mut house, &["Contact: <sip:1001@192.0.2.7:5070>", "Expires: 600"]);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(answer.contains("Contact: <sip:1001@192.0.2.7:5070>;expires=600\r\n"), "{answer}");
    let saved = out.list.iter().find_map(|output| match output {
        Output::Save { mark, .. } => Some(*mark),
        _ => None,
    });
    let after = out.list.iter().find_map(|output| match output {
        Output::Send { after, .. } => Some(*after),
        _ => None,
    });
    assert!(saved.is_some() && after == Some(saved));
    let items = bindings(&mut house);
    assert_eq!(items[0]["contact"], "sip:1001@192.0.2.7:5070");
    assert_eq!(
        (&items[0]["received"], &items[0]["transport"]),
        (&"192.0.2.7:5070".into(), &"udp".into())
    );
    assert_eq!(items[0]["user_agent"], "script/1");
    assert!(house.heard().iter().any(|notice| matches!(notice, Notice::BindingArrived { .. })));
    // It ends by itself.
    house.pass(Duration::from_secs(606));
    assert!(bindings(&mut house).is_empty());
}

#[test]
fn lives_are_bounded() {
    check(&["Contact: <sip:1001@192.0.2.7>"], 200, ";expires=3600");
    check(&["Contact: <sip:1001@192.0.2.7>;expires=120", "Expires: 900"], 200, ";expires=120");
    check(&["Contact: <sip:1001@192.0.2.7>", "Expires: 99999999999"], 200, ";expires=7200");
    check(&["Contact: <sip:1001@192.0.2.7>", "Expires: soon"], 200, ";expires=3600");
    check(&["Contact: <sip:1001@192.0.2.7>", "Expires: 59"], 423, "Min-Expires: 60");
    check(&["Contact: <sip:1001@192.0.2.7>", "Expires: 0"], 200, "CSeq: 2 REGISTER");
    check(&[], 200, "CSeq: 2 REGISTER");
}

#[test]
fn contacts_that_cannot_be() {
    for line in [
        "Contact: <sip:1001@198.51.100.1:5060>",
        "Contact: <sip:1002@example.org>",
        "Contact: <sip:1001@EXAMPLE.org:5060>",
    ] {
        check(&[line], 403, "registrar.contact_is_ours");
    }
    check(&["Contact: <sip:1001@example.org:5999>"], 200, ";expires=3600");
    check(&["Contact: *"], 400, "registrar.malformed");
    check(&["Contact: *", "Expires: 60"], 400, "registrar.malformed");
    check(&["Contact: *, <sip:1001@192.0.2.7>", "Expires: 0"], 400, "registrar.malformed");
    check(&["Contact: <tel:+1555>"], 400, "registrar.malformed");
    check(&["Contact: <sip:1001@192.0.2.7;pn-provider=fcm;pn-prid>"], 400, "registrar.malformed");
    let long = format!("Contact: <sip:1001@192.0.2.7;x={}>", "y".repeat(2_048));
    check(&[&long], 400, "registrar.malformed");
    let many: Vec<String> = (1..=11).map(|n| format!("Contact: <sip:a@192.0.2.7:{n}>")).collect();
    check(&many.iter().map(String::as_str).collect::<Vec<_>>(), 403, "registrar.too_many");
}

#[test]
fn one_registers_for_oneself_only() {
    let mut house = house();
    let mut phone = Phone { to: "1002", ..Phone::new() };
    let (answer, _) = phone.register(&mut house, &["Contact: <sip:1001@192.0.2.7>"]);
    assert!(answer.starts_with("SIP/2.0 403 ") && answer.contains("registrar.not_yours"));
}

#[test]
fn contacts_are_refreshed_ended_and_counted() {
    let mut house = house();
    let mut phone = Phone::new();
    for n in 1..=10 {
        let line = format!("Contact: <sip:1001@192.0.2.7:{n}>;q=0.5");
        phone.register(&mut house, &[&line]);
    }
    assert_eq!(bindings(&mut house).len(), 10);
    let (answer, _) = phone.register(&mut house, &["Contact: <sip:1001@192.0.2.7:11>"]);
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    // The same contact in another spelling is no eleventh one.
    let (answer, _) = phone.register(&mut house, &["Contact: <sip:100%31@192.0.2.7:10;y=1>"]);
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(";q=0.500"), "{answer}");
    assert_eq!(bindings(&mut house).len(), 10);
    let (answer, _) = phone.register(&mut house, &["Contact: <sip:1001@192.0.2.7:1>;expires=0"]);
    assert_eq!(answer.matches("Contact:").count(), 9);
    let (answer, _) = phone.register(&mut house, &["Contact: *", "Expires: 0"]);
    assert!(answer.starts_with("SIP/2.0 200 ") && !answer.contains("Contact:"));
    assert!(bindings(&mut house).is_empty());
}

#[test]
fn an_old_request_does_not_undo_a_new_one() {
    let mut house = house();
    let line = "Contact: <sip:1001@192.0.2.7>";
    Phone { cseq: 10, ..Phone::new() }.register(&mut house, &[line]);
    let late = |house: &mut Alone, call_id, cseq| {
        let mut phone = Phone { call_id, cseq, flow: phone(5061), ..Phone::new() };
        phone.register(house, &["Contact: <sip:1001@192.0.2.7>;expires=0"]).0
    };
    assert!(late(&mut house, "call-1", 4).starts_with("SIP/2.0 500 "));
    assert_eq!(bindings(&mut house).len(), 1);
    // After a restart the phone is a new one.
    assert!(late(&mut house, "call-2", 0).starts_with("SIP/2.0 200 "));
    assert!(bindings(&mut house).is_empty());
}

#[test]
fn the_way_back() {
    for (line, received) in [
        ("Contact: <sip:1001@192.0.2.7:5070>", "192.0.2.7:5070"),
        ("Contact: <sip:1001@192.0.2.7>", "192.0.2.7:5060"),
        ("Contact: <sip:1001@10.0.0.1:5070>", "192.0.2.7:4444"),
        ("Contact: <sip:1001@phone.example>", "192.0.2.7:4444"),
    ] {
        let mut house = house();
        Phone { flow: phone(4444), ..Phone::new() }.register(&mut house, &[line]);
        assert_eq!(bindings(&mut house)[0]["received"], received, "{line}");
    }
    let mut house = house();
    let flow = Flow { transport: Transport::Tcp, listener: 1, connection: 9, ..phone(4444) };
    Phone { flow, ..Phone::new() }.register(&mut house, &["Contact: <sip:a@192.0.2.7:5070>"]);
    let item = &bindings(&mut house)[0];
    assert_eq!((&item["received"], &item["transport"]), (&"192.0.2.7:4444".into(), &"tcp".into()));
}

#[test]
fn a_flow_of_a_device_leaves_its_old_contact() {
    let mut house = house();
    let mut phone = Phone::new();
    let line = |port: u16| {
        format!("Contact: <sip:1001@192.0.2.7:{port}>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"")
    };
    phone
        .register(&mut house, &[&line(1), "Supported: path, outbound", "Path: <sip:192.0.2.1;lr>"]);
    let (answer, _) = phone.register(&mut house, &[&line(2), "Supported: outbound"]);
    assert!(answer.contains("Require: outbound"), "{answer}");
    assert!(answer.contains(";+sip.instance=\"<urn:uuid:1>\";reg-id=1"), "{answer}");
    let items = bindings(&mut house);
    assert_eq!(items.len(), 1);
    assert_eq!((&items[0]["instance"], &items[0]["reg_id"]), (&"<urn:uuid:1>".into(), &1.into()));
    assert_eq!(header(&answer, "Flow-Timer"), "120");
    let (answer, _) =
        phone.register(&mut house, &[&line(2), "Supported: path", "Path: <sip:192.0.2.1;lr>"]);
    assert!(answer.contains("Path: <sip:192.0.2.1;lr>") && !answer.contains("Require:"));
}

#[test]
fn flows_are_told_apart_and_a_contact_alone_is_not() {
    // RFC 5626 §6
    let mut house = house();
    let mut phone = Phone::new();
    let line = |reg_id: &str| {
        format!("Contact: <sip:1001@192.0.2.7:9>;+sip.instance=\"<urn:uuid:1>\"{reg_id}")
    };
    let outbound = "Supported: outbound";
    phone.register(&mut house, &[&line(";reg-id=1"), outbound]);
    let mut second = Phone { call_id: "call-2", flow: driver::phone(5070), ..Phone::new() };
    let (answer, _) = second.register(&mut house, &[&line(";reg-id=2"), outbound]);
    // The flow is the one that it came by, whatever the Contact says.
    let items = bindings(&mut house);
    assert_eq!(items.len(), 2, "{answer}");
    assert_eq!((&items[0]["reg_id"], &items[1]["reg_id"]), (&1.into(), &2.into()));
    assert_eq!(items[1]["received"], "192.0.2.7:5070");
    assert!(items[0]["gruu"].as_str().unwrap().starts_with("sip:1001@example.org;gr="));
    assert_eq!(items[0]["gruu"], items[1]["gruu"]);
    // One flow ends, the other stays, though both have the same contact.
    phone.register(&mut house, &[&format!("{};expires=0", line(";reg-id=1")), outbound]);
    let items = bindings(&mut house);
    assert_eq!((items.len(), &items[0]["reg_id"]), (1, &2.into()));
    house.notice(Notice::FlowFailed { user: "1001".into(), contact: "sip:other".into() });
    assert_eq!(bindings(&mut house).len(), 1);
    let contact = "sip:1001@192.0.2.7:9".to_owned();
    house.notice(Notice::FlowFailed { user: "1001".into(), contact });
    assert!(bindings(&mut house).is_empty());
    // Without the extension the number of the flow does not count, and the answer does not speak of it.
    check(&[&line(";reg-id=1")], 200, ">;expires=3600;+sip.instance=\"<urn:uuid:1>\"\r\n");
    for bad in [";reg-id=0", ";reg-id=x", ";reg-id=2147483648", ";reg-id"] {
        check(&[&line(bad), outbound], 400, "registrar.malformed");
    }
    let two = format!("{}, {}", line(";reg-id=1"), &line(";reg-id=2")["Contact: ".len()..]);
    check(&[&two, outbound], 400, "registrar.malformed");
}

#[test]
fn the_first_hop_must_keep_the_flow() {
    let line = "Contact: <sip:1001@192.0.2.7>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";
    let via = "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKp";
    let outbound = "Supported: outbound, path";
    check(&[line, outbound, via], 439, "registrar.first_hop_lacks_outbound");
    let path = "Path: <sip:10.0.0.9;lr;ob>, <sip:10.0.0.8;lr>";
    check(&[line, outbound, via, path], 439, "registrar.first_hop_lacks_outbound");
    let path = "Path: <sip:10.0.0.9;lr>, <sip:token@10.0.0.8;lr;ob>";
    check(&[line, outbound, via, path], 200, "Require: outbound\r\n");
    // Without outbound any proxy will do.
    let lines = ["Contact: <sip:1001@192.0.2.7>", "Supported: path", via, path];
    check(&lines, 200, "Path: <sip:token@10.0.0.8;lr;ob>\r\n");
    check(&[line, "Require: outbound, path, gruu", outbound], 200, "Require: outbound\r\n");
    let mut house = house();
    let text = Phone::new().text(1, &[line, "Require: outbound, carrier-pigeon"], "");
    let answer = house.give(Input::Message { flow: phone(5060), bytes: text.as_bytes() }).sent();
    assert!(answer[0].starts_with("SIP/2.0 420 "), "{answer:?}");
    assert_eq!(header(&answer[0], "Unsupported"), "carrier-pigeon");
}

#[test]
fn paths_are_kept_and_shown_to_those_who_know() {
    let contact = "Contact: <sip:1001@192.0.2.7>";
    let path = "Path: <sip:10.0.0.8;lr>";
    check(&[contact, path, "Supported: path"], 200, path);
    check(&[contact, "Path: <sip:10.0.0.8>"], 400, "registrar.malformed");
    check(&[contact, "Path: what"], 400, "registrar.malformed");
    // It goes to the proxy, at the port that the proxy names where it is the sender.
    for (path, received) in [
        ("Path: <sip:10.0.0.8:5070;lr>", "192.0.2.7:4444"),
        ("Path: <sip:192.0.2.7:5070;lr>, <sip:192.0.2.7:5080;lr>", "192.0.2.7:5070"),
    ] {
        let mut house = house();
        Phone { flow: phone(4444), ..Phone::new() }.register(&mut house, &[contact, path]);
        assert_eq!(bindings(&mut house)[0]["received"], received, "{path}");
    }
    let mut house = house();
    let (answer, _) = Phone::new().register(&mut house, &[contact, path]);
    assert!(answer.starts_with("SIP/2.0 200 ") && !answer.contains("Path:"), "{answer}");
    assert_eq!(bindings(&mut house)[0]["path"], "<sip:10.0.0.8;lr>");
    let mut house = house_of(|| {
        let strict = Config {
            path_strict: true,
            flow_timer: types::Seconds(0),
            service_route: "<sip:edge.example.org;lr>".into(),
            ..Config::default()
        };
        Box::new(Room::new(strict))
    });
    let mut phone = Phone::new();
    let (answer, _) = phone.register(&mut house, &[contact, path]);
    assert!(answer.starts_with("SIP/2.0 421 "), "{answer}");
    assert_eq!(header(&answer, "Require"), "path");
    let lines = [contact, path, "Supported: path, outbound"];
    let (answer, _) = phone.register(&mut house, &lines);
    assert_eq!(header(&answer, "Service-Route"), "<sip:edge.example.org;lr>");
    assert!(!answer.contains("Flow-Timer"));
}

#[test]
fn addresses_of_devices_are_given_to_those_who_ask() {
    // RFC 5627 §5.2, §5.3
    let line = "Contact: <sip:1001@192.0.2.7>;+sip.instance=\"<urn:uuid:1>\"";
    let mut house = house();
    let mut phone = Phone::new();
    let (bare, _) = phone.register(&mut house, &[line]);
    assert!(!bare.contains("gruu="), "{bare}");
    let (one, _) = phone.register(&mut house, &[line, "Supported: gruu"]);
    let (two, _) = phone.register(&mut house, &[line, "Supported: gruu"]);
    let part = |answer: &str, name: &str| {
        let (_, rest) = answer.split_once(&format!("{name}=\"")).expect(name);
        rest.split('"').next().unwrap().to_owned()
    };
    assert_eq!(part(&one, "pub-gruu"), part(&two, "pub-gruu"));
    assert_ne!(part(&one, "temp-gruu"), part(&two, "temp-gruu"));
    assert!(part(&one, "temp-gruu").ends_with("@example.org;gr"), "{one}");
    assert_eq!(bindings(&mut house)[0]["gruu"], part(&one, "pub-gruu"));
    // An address of ours is no contact.
    let ours = format!("Contact: <{}>", part(&one, "pub-gruu"));
    let (answer, _) = phone.register(&mut house, &[&ours]);
    assert!(answer.contains("registrar.contact_is_ours"), "{answer}");
    check(&["Contact: <sip:1001@192.0.2.7>", "Supported: gruu"], 200, ">;expires=3600\r\n");
}

#[test]
fn a_sleeping_device_is_told_of_and_goes_with_its_token() {
    let mut house = house();
    let mut phone = Phone::new();
    let line = |prid: &str| {
        format!("Contact: <sip:1001@192.0.2.7;pn-provider=fcm;pn-param=p;pn-prid={prid}>")
    };
    let (answer, _) = phone.register(&mut house, &[&line("token-0123456789")]);
    assert!(answer.contains("Feature-Caps: *;+sip.pns=\"fcm\""), "{answer}");
    let device = house.heard().into_iter().find_map(|notice| match notice {
        Notice::DeviceSeen { device, .. } => Some(device),
        _ => None,
    });
    let device = device.unwrap();
    assert!(device.name.starts_with("reg-") && device.target.prid == "token-0123456789");
    let shown = bindings(&mut house)[0].to_string();
    assert!(shown.contains("to…89") && !shown.contains("token-0123456789"), "{shown}");
    // A new token: the same phone. The same token at a new address: the same phone.
    phone.register(&mut house, &[&line("token-new")]);
    assert_eq!(bindings(&mut house).len(), 1);
    phone.register(&mut house, &[&line("token-new").replace("192.0.2.7", "192.0.2.7:9")]);
    assert_eq!(bindings(&mut house).len(), 1);
    let gone = |prid: &str| Notice::DeviceGone {
        user: "1001".into(),
        provider: "fcm".into(),
        prid: prid.into(),
    };
    house.notice(gone("token-0123456789"));
    assert_eq!(bindings(&mut house).len(), 1);
    house.notice(gone("token-new"));
    assert!(bindings(&mut house).is_empty());
    check(&["Contact: <sip:1001@192.0.2.7;pn-provider=acme;pn-prid=x>"], 555, "Push Notification");
    check(&["Contact: <sip:1001@192.0.2.7;pn-provider>"], 200, "+sip.pns=\"webpush\"");
    check(
        &["Contact: <sip:1001@192.0.2.7;pn-provider=webpush;pn-prid=https://push.example/a>"],
        200,
        "+sip.pns=\"webpush\"",
    );
}

#[test]
fn the_api_ends_bindings() {
    let mut house = house();
    let mut phone = Phone::new();
    phone.register(&mut house, &["Contact: <sip:1001@192.0.2.7>, <sip:1001@192.0.2.8>"]);
    assert_eq!(house.ask("GET /v1/bindings", &[], &[], b"").answer().1["items"][1]["user"], "1001");
    let one = [("user", "1001"), ("contact", "sip:1001@192.0.2.7")];
    assert_eq!(house.ask("DELETE /v1/bindings", &[], &one, b"").answer().0.status, 204);
    assert_eq!(house.ask("DELETE /v1/bindings", &[], &one, b"").answer().0.status, 404);
    let all = [("user", "1001")];
    assert_eq!(house.ask("DELETE /v1/bindings", &[], &all, b"").answer().0.status, 204);
    assert!(bindings(&mut house).is_empty());
}

#[test]
fn hostile_contacts_never_panic() {
    let seed = "Contact: \"x\" <sip:1001@192.0.2.7:5060;pn-provider=apns;pn-prid=a:voip&b:remote>\
                ;q=0.5;expires=60;reg-id=1;+sip.instance=\"<urn:x>\"";
    let mut rng = types::Rng::from_number(3261);
    let mut house = house();
    let mut phone = Phone::new();
    for _ in 0..2_000 {
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..=rng.below(4) {
            let at = 9 + rng.below(bytes.len() as u64 - 9) as usize;
            bytes[at] = *b"%&:;=.@<>\"*0aF,".get(rng.below(15) as usize).unwrap();
        }
        let line = String::from_utf8(bytes).unwrap();
        let mut path = b"<sip:t@10.0.0.8:5060;lr;ob>, \"x\" <sip:10.0.0.9;lr>".to_vec();
        let at = rng.below(path.len() as u64) as usize;
        path[at] = *b"%<>\";, :@".get(rng.below(9) as usize).unwrap();
        let path = format!("Path: {}", String::from_utf8(path).unwrap());
        let lines = [line.as_str(), &path, "Supported: gruu, outbound, path"];
        phone.cseq += 2;
        let text = phone.text(phone.cseq, &lines, "");
        house.give(Input::Message { flow: phone.flow, bytes: text.as_bytes() });
        if phone.cseq.is_multiple_of(10) {
            phone.register(&mut house, &lines);
        }
        house.pass(Duration::from_secs(40));
    }
}
