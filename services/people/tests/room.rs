//! The room `people` as a script.

use driver::{Alone, UNREACHABLE, rows, written};
use people::{Config, REFUSALS, Refusal, Room};
use pns::{Provider, Target};
use serde_json::json;
use switchboard::directory::Device;
use switchboard::input::Picture;
use switchboard::store::Value;
use switchboard::{Input, Notice, Output, Reply, Service};

const USER: &str = "PUT /v1/users/{name}";
const IMAGE: &str = "PUT /v1/users/{name}/image";
const DEVICE: &str = "PUT /v1/users/{name}/devices/{device}";

fn room() -> Box<dyn Service> {
    Box::new(Room::new(Config::default()))
}

/// A house that has read its (empty) store.
fn house() -> Alone {
    let mut house = Alone::new(room);
    let out = house.give(Input::Begin);
    let out = house.reply(out.loads()[0].0, rows(Vec::new()));
    let out = house.reply(out.loads()[0].0, rows(Vec::new()));
    assert!(matches!(out.list[..], [Output::Part { name: "people", fault: None }]));
    house
}

fn make(house: &mut Alone, name: &str) {
    let body = json!({"password": "secret", "display_name": "Ann"}).to_string();
    let out = house.api(USER, &[name], body.as_bytes());
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().0.status, 201);
    house.heard();
}

fn token(prid: &str) -> Device {
    let target = Target {
        provider: Provider::Fcm,
        prid: prid.into(),
        prid_alert: None,
        param: "project".into(),
        p256dh: None,
        auth: None,
    };
    Device { name: "reg-1".into(), kind: "phone".into(), target }
}

#[test]
fn every_refusal_has_its_row() {
    driver::check_refusals("people", 1101, &Refusal::ALL, REFUSALS);
}

#[test]
fn a_user_is_written_then_known_then_answered() {
    let mut house = house();
    let body = br#"{"password":"secret","display_name":"Ann","digest":["md5"]}"#;
    let out = house.api(USER, &["1001"], body);
    assert!(
        out.list.len() == 1 && house.heard().iter().all(|n| !matches!(n, Notice::UserChanged(_)))
    );
    let (ticket, batch) = out.writes()[0];
    let text = format!("{batch:?}");
    assert!(!text.contains("secret") && text.contains("ha1"));
    let out = house.reply(ticket, written());
    let (response, shown) = out.answer();
    assert_eq!(response.status, 201);
    assert_eq!(
        shown,
        json!({"name": "1001", "address": "sip:1001@example.org", "display_name": "Ann",
               "digest": ["MD5"], "image": null})
    );
    assert!(house.heard().iter().any(|notice| matches!(notice, Notice::UserChanged(_))));
    let out = house.api("GET /v1/users/{name}", &["1001"], b"");
    assert_eq!(out.answer().0.status, 200);
    let out = house.api("GET /v1/users", &[], b"");
    assert_eq!(out.answer().1["items"][0]["name"], "1001");
    // A change without a password keeps the old one.
    let out = house.api(USER, &["1001"], br#"{"display_name":"Anna"}"#);
    assert!(format!("{:?}", out.writes()[0].1).contains("ha1"));
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!((out.answer().0.status, &out.answer().1["display_name"]), (200, &json!("Anna")));
    let out = house.api("DELETE /v1/users/{name}", &["1001"], b"");
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().0.status, 204);
    let out = house.api("GET /v1/users/{name}", &["1001"], b"");
    assert_eq!(out.answer().1["code"], "people.no_such_user");
}

#[test]
fn nonsense_is_refused_with_its_place() {
    let mut house = house();
    make(&mut house, "1001");
    for (name, body, field) in [
        ("", "{}", "name"),
        ("a b", "{}", "name"),
        ("../x", "{}", "name"),
        ("1001", "[]", "body"),
        ("1001", "{", "body"),
        ("1001", r#"{"passwort":"x"}"#, "body"),
        ("1001", r#"{"password":123}"#, "body"),
        ("1001", r#"{"password":""}"#, "password"),
        ("1001", r#"{"display_name":"a\nb"}"#, "display_name"),
        ("1001", r#"{"digest":["SHA-1"]}"#, "digest"),
        ("1001", r#"{"digest":["MD5","md5"]}"#, "digest"),
    ] {
        let out = house.api(USER, &[name], body.as_bytes());
        let (response, problem) = out.answer();
        assert_eq!((response.status, &problem["tried"]["field"]), (400, &json!(field)), "{body}");
        assert!(!problem.to_string().contains("123"));
    }
    let out = house.api(USER, &["1002"], b"{}");
    assert_eq!(out.answer().1["code"], "people.password_missing");
}

#[test]
fn a_store_that_is_away_changes_nothing() {
    let mut house = house();
    let out = house.api(USER, &["1001"], br#"{"password":"secret"}"#);
    let out = house.reply(out.writes()[0].0, Reply::Written(Err(UNREACHABLE)));
    let (response, problem) = out.answer();
    assert_eq!((response.status, &problem["code"]), (503, &json!("people.store_unreachable")));
    assert_eq!(house.api("GET /v1/users/{name}", &["1001"], b"").answer().0.status, 404);
}

#[test]
fn reading_goes_page_by_page_and_waits_for_the_store() {
    let mut house = Alone::new(room);
    let out = house.give(Input::Begin);
    assert!(matches!(out.list[0], Output::Part { fault: Some("loading"), .. }));
    assert_eq!(house.api("GET /v1/users", &[], b"").answer().1["code"], "people.loading");
    let out = house.reply(out.loads()[0].0, Reply::Rows(Err(UNREACHABLE)));
    assert!(matches!(out.list[0], Output::Part { fault: Some("the store does not answer"), .. }));
    let out = house.pass(std::time::Duration::from_secs(3));
    let user = |name: String| {
        let verifiers = r#"[{"algorithm":"MD5","ha1":"00"}]"#;
        vec![name.into(), "Ann".into(), "MD5".into(), verifiers.into(), Value::Null, Value::Null]
    };
    let page = (0..people::store::PAGE).map(|n| user(format!("{n:05}"))).collect();
    let out = house.reply(out.loads()[0].0, rows(page));
    let (ticket, query) = out.loads()[0];
    assert_eq!(query.values[0].text(), Some("01999"));
    let mut broken = user("broken".into());
    broken[3] = "nonsense".into();
    let out = house.reply(ticket, rows(vec![broken, user("last".into())]));
    let device = |name: &str, prid: &str, seen: i64| {
        let mut row: Vec<Value> = ["last", name, "phone", "fcm", prid].map(Value::from).to_vec();
        row.extend([Value::Null, "project".into(), Value::Null, Value::Null, seen.into()]);
        row
    };
    let out = house
        .reply(out.loads()[0].0, rows(vec![device("a", "token-1", 2), device("b", "token-2", 1)]));
    assert!(matches!(out.list[..], [Output::Part { name: "people", fault: None }]));
    assert_eq!(house.shard.counters()["people.row_unreadable"], 1);
    assert_eq!(house.api("GET /v1/users/{name}", &["last"], b"").answer().0.status, 200);
    let out = house.api("GET /v1/users/{name}/devices", &["last"], b"");
    let names: Vec<_> =
        out.answer().1["items"].as_array().unwrap().iter().map(|d| d["name"].clone()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn a_picture_is_made_written_and_attached() {
    let mut house = house();
    make(&mut house, "1001");
    let ask = |house: &mut Alone| {
        let out = house.api(IMAGE, &["1001"], b"octets");
        let Output::Render { ticket, .. } = &out.list[0] else { panic!("{out:?}") };
        *ticket
    };
    for (why, status) in [
        ("too many pictures are waiting", 503),
        ("too many pictures wait", 503),
        ("cannot write the blob", 503),
        ("the picture is damaged", 400),
        ("the picture has more than 5 MB", 413),
        ("the picture is larger than 4096 by 4096 pixels", 413),
        ("the file is no PNG, JPEG or WebP picture", 415),
    ] {
        let ticket = ask(&mut house);
        let out = house.reply(ticket, Reply::Picture(Err(why.into())));
        assert_eq!(out.answer().0.status, status, "{why}");
    }
    let ticket = ask(&mut house);
    let picture = Picture {
        full: "aa".into(),
        thumbnail: "bb".into(),
        tiny: vec![1, 2],
        content_type: "image/jpeg".into(),
    };
    let out = house.reply(ticket, Reply::Picture(Ok(picture)));
    let out = house.reply(out.writes()[0].0, written());
    let (response, shown) = out.answer();
    assert_eq!((response.status, &shown["width"]), (200, &json!(256)));
    let url = shown["url"].as_str().unwrap();
    assert!(url.starts_with("http://example.org/v1/images/bb?exp="), "{url}");
    let changed = house.heard().into_iter().find_map(|notice| match notice {
        Notice::UserChanged(user) => Some(user),
        _ => None,
    });
    assert_eq!(changed.unwrap().picture_tiny, Some(vec![1, 2]));
    // Whoever he calls sees it.
    let events = house.notice(Notice::UsersLoaded).events();
    let value = events[0].1.as_str().unwrap();
    assert_eq!(events[0].0, "Call-Info");
    assert!(value.starts_with("<http://example.org/v1/images/bb?exp=1800000060&sig="), "{value}");
    assert!(value.ends_with(">;purpose=icon"), "{value}");
    // A later change of the user keeps it.
    let out = house.api(USER, &["1001"], br#"{"display_name":"B"}"#);
    let out = house.reply(out.writes()[0].0, written());
    assert!(out.answer().1["image"]["url"].as_str().unwrap().contains("/v1/images/bb?"));
    let out = house.api("DELETE /v1/users/{name}/image", &["1001"], b"");
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().0.status, 204);
    let out = house.api("DELETE /v1/users/{name}/image", &["1001"], b"");
    assert_eq!(out.answer().1["code"], "people.no_such_image");
    assert_eq!(house.api(IMAGE, &["1009"], b"x").answer().0.status, 404);
}

#[test]
fn one_token_is_one_device_whoever_says_it() {
    let mut house = house();
    make(&mut house, "1001");
    make(&mut house, "1002");
    let body = br#"{"kind":"phone","push":{"provider":"fcm","param":"project","prid":"token-1"}}"#;
    let out = house.api(DEVICE, &["1001", "mobile"], body);
    let out = house.reply(out.loads()[0].0, rows(Vec::new()));
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().0.status, 201);
    assert!(house.heard().iter().any(|notice| matches!(notice, Notice::DeviceSeen { .. })));
    // The same token by REGISTER: nothing to do.
    let seen = |user: &str| Notice::DeviceSeen { user: user.into(), device: token("token-1") };
    assert!(house.notice(seen("1001")).list.is_empty());
    let out = house.api("GET /v1/users/{name}/devices", &["1001"], b"");
    assert_eq!(out.answer().1["items"][0]["name"], "mobile");
    // Another user shows it: it moves.
    house.heard();
    let out = house.notice(seen("1002"));
    let out = house.reply(out.loads()[0].0, rows(vec![vec!["1001".into()]]));
    let gone = house.heard().into_iter().any(
        |notice| matches!(notice, Notice::DeviceGone { user, prid, .. } if user == "1001" && prid == "token-1"),
    );
    assert!(gone);
    for (ticket, _) in out.writes() {
        house.reply(ticket, written());
    }
    let items = |house: &mut Alone, user: &str| {
        let out = house.api("GET /v1/users/{name}/devices", &[user], b"");
        out.answer().1["items"].as_array().unwrap().len()
    };
    assert_eq!((items(&mut house, "1001"), items(&mut house, "1002")), (0, 1));
    // A dead token goes everywhere.
    let gone =
        Notice::DeviceGone { user: "1002".into(), provider: "fcm".into(), prid: "token-1".into() };
    let out = house.notice(gone);
    assert_eq!((out.writes().len(), items(&mut house, "1002")), (1, 0));
}

#[test]
fn a_device_that_could_not_be_written_is_written_with_the_next_register() {
    let mut house = house();
    make(&mut house, "1001");
    let seen = || Notice::DeviceSeen { user: "1001".into(), device: token("token-1") };
    let out = house.notice(seen());
    house.reply(out.loads()[0].0, Reply::Rows(Err(UNREACHABLE)));
    let out = house.notice(seen());
    let out = house.reply(out.loads()[0].0, rows(Vec::new()));
    house.reply(out.writes()[0].0, written());
    assert!(house.notice(seen()).list.is_empty());
}

#[test]
fn bodies_of_devices_are_judged_and_their_number_is_bounded() {
    let mut house = house();
    make(&mut house, "1001");
    let body =
        |kind: &str, push: serde_json::Value| json!({"kind": kind, "push": push}).to_string();
    let fcm = json!({"provider": "fcm", "param": "p", "prid": "t"});
    for (text, field) in [
        (body("toaster", fcm.clone()), "kind"),
        (body("phone", json!({"provider": "acme", "prid": "t"})), "push.provider"),
        (body("phone", json!({"provider": "fcm", "prid": ""})), "push.prid"),
        (body("phone", json!({"provider": "fcm", "prid": "a b"})), "push.prid"),
        (body("browser", json!({"provider": "webpush", "prid": "https://x/"})), "push.p256dh"),
        (body("phone", json!({"provider": "fcm", "prid": "t", "auth": "AA"})), "push.auth"),
    ] {
        let out = house.api(DEVICE, &["1001", "d"], text.as_bytes());
        assert_eq!(out.answer().1["tried"]["field"], json!(field), "{text}");
    }
    for n in 0..10 {
        let text = body("phone", json!({"provider": "fcm", "param": "p", "prid": format!("t{n}")}));
        let out = house.api(DEVICE, &["1001", &format!("d{n}")], text.as_bytes());
        let out = house.reply(out.loads()[0].0, rows(Vec::new()));
        house.reply(out.writes()[0].0, written());
    }
    let out = house.api(DEVICE, &["1001", "d10"], body("phone", fcm).as_bytes());
    assert_eq!(out.answer().1["code"], "people.too_many_devices");
    // A device that registers takes the place of the oldest one.
    let out = house.notice(Notice::DeviceSeen { user: "1001".into(), device: token("new") });
    assert!(format!("{:?}", out.writes()).contains("\"d0\""));
    let out = house.api("GET /v1/users/{name}/devices", &["1001"], b"");
    assert_eq!(out.answer().1["items"].as_array().unwrap().len(), 10);
    let out = house.api("DELETE /v1/users/{name}/devices/{device}", &["1001", "d1"], b"");
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().0.status, 204);
    let out = house.api("GET /v1/users/{name}/devices/{device}", &["1001", "d1"], b"");
    assert_eq!(out.answer().1["code"], "people.no_such_device");
}

#[test]
fn call_settings_are_kept_told_and_refused() {
    const CALLS: &str = "PUT /v1/users/{name}/calls";
    const READ: &str = "GET /v1/users/{name}/calls";
    let mut house = house();
    make(&mut house, "1001");
    let known = house.api(READ, &["1001"], b"").answer().1;
    assert_eq!(
        (known["call_waiting"].as_bool(), known["no_answer_after"].as_u64()),
        (Some(true), Some(20))
    );
    let body =
        json!({"forward_busy": "1002", "forward_no_answer": "+15550142", "no_answer_after": 15});
    let out = house.api(CALLS, &["1001"], body.to_string().as_bytes());
    let out = house.reply(out.writes()[0].0, written());
    assert_eq!(out.answer().0.status, 200);
    assert!(house.heard().iter().any(|notice| {
        matches!(notice, Notice::UserChanged(user) if user.calls.as_ref().is_some_and(|calls| calls.no_answer_after == 15))
    }));
    assert_eq!(house.api(READ, &["1001"], b"").answer().1["forward_busy"], "1002");
    // A new password leaves them alone.
    let out = house.api(USER, &["1001"], json!({"password": "other"}).to_string().as_bytes());
    house.reply(out.writes()[0].0, written());
    assert_eq!(house.api(READ, &["1001"], b"").answer().1["forward_busy"], "1002");
    let out = house.api("DELETE /v1/users/{name}/calls", &["1001"], b"");
    assert_eq!(out.writes()[0].1.statements[0].values[1], Value::Null);
    house.reply(out.writes()[0].0, written());
    assert_eq!(house.api(READ, &["1001"], b"").answer().1["forward_busy"], json!(null));
    for (body, field) in [
        (r#"{"forward_busy":""}"#, "forward_busy"),
        (r#"{"forward_always":"user/1001"}"#, "forward_always"),
        (r#"{"forward_no_answer":"a b"}"#, "forward_no_answer"),
        (r#"{"no_answer_after":1}"#, "no_answer_after"),
        (r#"{"no_answer_after":"soon"}"#, "body"),
        (r#"{"colour":"red"}"#, "body"),
        ("[", "body"),
    ] {
        let out = house.api(CALLS, &["1001"], body.as_bytes());
        let (response, problem) = out.answer();
        assert_eq!(
            (response.status, problem["tried"]["field"].as_str()),
            (400, Some(field)),
            "{body}"
        );
    }
    assert_eq!(house.api(CALLS, &["nobody"], b"{}").answer().0.status, 404);
    let out = house.api(CALLS, &["1001"], b"{}");
    let out = house.reply(out.writes()[0].0, Reply::Written(Err(UNREACHABLE)));
    assert_eq!(out.answer().0.status, 503);
}

#[test]
fn hostile_bodies_never_panic() {
    const USER_BODY: &str =
        r#"{"password":"correct","display_name":"A","digest":["SHA-256","MD5"]}"#;
    const DEVICE_BODY: &str = r#"{"kind":"phone","push":{"provider":"webpush","param":"x","prid":"https://p/a","p256dh":"AA","auth":"AA"}}"#;
    const CALLS_BODY: &str = r#"{"forward_always":"1002","forward_busy":null,"no_answer_after":20,"do_not_disturb":false}"#;
    const OCTETS: &[u8] = b"{}[]\",:0a\\-n\xff";
    let mut rng = types::Rng::from_number(11);
    let mut house = house();
    make(&mut house, "1001");
    for round in 0..3_000 {
        let (door, path, seed): (&str, &[&str], &str) = [
            (USER, &["1002"][..], USER_BODY),
            ("PUT /v1/users/{name}/devices/{device}", &["1001", "mobile"], DEVICE_BODY),
            ("PUT /v1/users/{name}/calls", &["1001"], CALLS_BODY),
        ][round % 3];
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            let octet = OCTETS[rng.below(OCTETS.len() as u64) as usize];
            match rng.below(3) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, octet),
                _ => bytes[at] = octet,
            }
        }
        let out = house.api(door, path, &bytes);
        if let Some((ticket, _)) = out.writes().first() {
            house.reply(*ticket, written());
        }
    }
}
