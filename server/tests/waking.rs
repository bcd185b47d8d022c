//! A call reaches somebody whose phone sleeps: through the stand-ins of `carillon dev`, which speak the providers' own
//! protocols, and `carillon phone`, which hears pushes as a telephone's system would.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::baresip::{Baresip, Login};
use support::http::Answer;
use support::namespace::{Namespace, PHONES};
use support::phone::Phone;
use support::raw::{Ask, Heard, Raw};
use support::server::{Ladder, Server};
use support::wave::{assert_heard, speech_like};
use support::{STEP, turn, until};

/// How long each side speaks, and how much each must have heard by then.
const SECONDS: usize = 3;
const HEARD: usize = SECONDS + 2;

/// One host with `carillon dev` on its loopback, as with a developer; baresip, which wants no loopback, has another
/// address there.
struct House {
    host: Namespace,
    server: Server,
}

impl House {
    fn new() -> Self {
        let host = Namespace::with_address();
        // baresip sends sound from whatever address is nearest to the target, and it signals the one on its wire: they
        // are the same where the target is on the wire as well.
        let server = Server::dev(&host, PHONES);
        Self { host, server }
    }

    fn password(&self) -> &str {
        &self.server.written["SIP_PASSWORD"]
    }

    fn domain(&self) -> &str {
        &self.server.written["SIP_DOMAIN"]
    }

    fn baresip(&self, user: &str, port: u16, says: &[i16]) -> Baresip {
        let server = self.server.sip.to_string();
        let (password, transport) = (self.password(), "udp");
        let phone = Baresip::start(
            &self.host,
            &Login { user, password, server: &server, transport, port },
            says,
        );
        self.server.bindings(user, 1);
        phone
    }

    /// Our phone, asleep.
    fn sleeper(&self, user: &str, words: &[&str], action: &[&str], says: &[i16]) -> Phone {
        let server = self.server.sip.to_string();
        let env = self.server.env.to_string_lossy();
        let login = ["--server", &server, "--local", PHONES, "--env", &env, "--user", user];
        let mut phone = Phone::start(&self.host, &[&login, words].concat(), action, says);
        assert_eq!(phone.event(STEP, "registered")["push"], true, "the server will not wake it");
        phone.event(STEP, "slept");
        phone
    }

    /// Our phone, awake: it takes the call.
    fn awake(&self, user: &str) -> Phone {
        let server = self.server.sip.to_string();
        let env = self.server.env.to_string_lossy();
        let login = ["--server", &server, "--local", PHONES, "--env", &env, "--user", user];
        let mut phone = Phone::start(&self.host, &login, &["answer"], &[]);
        phone.event(STEP, "registered");
        phone
    }

    /// A device that only the API knows: it has a token and never answers.
    fn silent_device(&self, user: &str, provider: &str) -> String {
        let body = json!({ "provider": provider }).to_string();
        let token = Some(self.server.door.token.clone());
        let path = "/v1/dev/pushes/tokens";
        let issued = self.server.door.ask(
            "POST",
            path,
            token.as_deref(),
            "application/json",
            body.as_bytes(),
        );
        assert_eq!(issued.status, 201, "{issued:?}");
        let push = issued.json();
        let body = json!({ "kind": "phone", "push": push }).to_string();
        self.server.door.put(
            &format!("/v1/users/{user}/devices/silent"),
            "application/json",
            body.as_bytes(),
        );
        push["prid"].as_str().expect("a token").to_owned()
    }

    /// Waits for a push of this kind to this user's call, the newest of its kind.
    fn push(&self, kind: &str, count: usize) -> Push {
        until(STEP, &format!("{count} pushes of kind {kind}"), || {
            let pushes: Vec<Push> =
                self.server.door.items("/v1/dev/pushes").iter().map(Push::of).collect();
            let mut fits = pushes.into_iter().filter(|push| push.fields["t"] == kind);
            fits.nth(count - 1)
        })
    }

    fn raw(&self) -> Raw {
        Raw::new(&self.host, PHONES, self.server.sip)
    }

    /// Begins a call of 1001 by hand and returns its INVITE, with credentials, once it is under way.
    fn call(&self, raw: &mut Raw, user: &str, call_id: &str, more: &str) -> String {
        let (domain, sdp) = (self.domain(), raw.sdp());
        let (from, to) =
            (format!("\"Ada\" <sip:1001@{domain}>;tag=a"), format!("<sip:{user}@{domain}>"));
        let uri = format!("sip:{user}@{domain}");
        let ask =
            Ask { method: "INVITE", uri: &uri, from: &from, to: &to, call_id, more, body: &sdp };
        let challenge = raw.ask(&ask);
        let proof = support::raw::credentials(&challenge, &ask, "1001", self.password());
        let more = format!("{more}{}", proof.expect("a challenge"));
        let text = raw.text(&Ask { more: &more, ..ask });
        raw.send(&text);
        text
    }

    /// The record of the last call to `user`, and its ladder.
    fn last_call(&self, user: &str) -> (Value, Ladder) {
        let record = until(STEP, "a record", || {
            self.server.door.items(&format!("/v1/records?user={user}")).into_iter().next()
        });
        let ladder = self.server.ladder(record["id"].as_str().expect("a call has an id"));
        (record, ladder)
    }
}

/// A push as CONTRACT names its fields, whichever provider it went through.
#[derive(Debug)]
struct Push {
    provider: String,
    size: usize,
    fields: Value,
}

impl Push {
    fn of(item: &Value) -> Self {
        let payload = &item["payload"];
        let data = &payload["message"]["data"];
        let mut fields = if data.is_null() { payload } else { data }.clone();
        // FCM carries strings only.
        for name in ["caller", "reply", "img"] {
            if let Some(text) = fields[name].as_str() {
                fields[name] = serde_json::from_str(text).expect("a text that holds JSON");
            }
        }
        if let Some(text) = fields["exp"].as_str() {
            fields["exp"] = text.parse::<u64>().expect("seconds").into();
        }
        let size = item["size"].as_u64().expect("a size") as usize;
        let provider = item["provider"].as_str().expect("a provider").to_owned();
        let taken = if provider == "webpush" { 201 } else { 200 };
        assert_eq!(item["status"], taken, "the provider refused: {item}");
        match &*provider {
            "fcm" => assert_fcm(payload, data),
            "webpush" => assert_webpush(item),
            _ => {}
        }
        Self { provider, size, fields }
    }

    fn text(&self, field: &str, part: &str) -> &str {
        self.fields[field][part].as_str().unwrap_or_else(|| panic!("{field}.{part}: {self:?}"))
    }

    fn call_id(&self) -> &str {
        self.fields["call_id"].as_str().expect("a call id")
    }

    /// Sends an answer to the reply address.
    fn reply(&self, house: &House, token: &str, body: &Value) -> Answer {
        let url = self.text("reply", "url");
        let path = path_of(house, url);
        let body = body.to_string();
        house.server.door.ask("POST", path, Some(token), "application/json", body.as_bytes())
    }

    /// Fails unless it says what CONTRACT promises for a call of 1001 to `user`.
    fn assert_invites(&self, house: &House) {
        let domain = house.domain();
        assert_eq!(self.text("caller", "uri"), format!("sip:1001@{domain}"), "{self:?}");
        assert!(!self.text("caller", "name").is_empty(), "{self:?}");
        assert!(self.fields["media"].to_string().contains("audio"), "{self:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let exp = self.fields["exp"].as_u64().expect("seconds");
        assert!((now - 60..now + 300).contains(&exp), "{self:?}");
        assert!(self.text("reply", "token").len() >= 16, "{self:?}");
        path_of(house, self.text("reply", "url"));
        let is_uuid = |text: &str| {
            let parts: Vec<usize> = text.split('-').map(str::len).collect();
            parts == [8, 4, 4, 4, 12]
        };
        assert!(is_uuid(self.call_id()), "{self:?}");
        let budget = match &*self.provider {
            "apns" => 5_120,
            // The wire form of FCM has the frame around what is counted.
            "fcm" => 4_096 + 512,
            _ => 4_096,
        };
        assert!(self.size <= budget, "{self:?}");
    }
}

fn assert_fcm(payload: &Value, data: &Value) {
    assert_eq!(payload["message"]["android"]["priority"], "high", "{payload}");
    let data = data.as_object().expect("data");
    let octets: usize = data
        .iter()
        .map(|(key, value)| key.len() + value.as_str().expect("FCM carries strings only").len())
        .sum();
    assert!(octets <= 4_096, "{octets} octets: {payload}");
    let reserved =
        |key: &String| key == "from" || key.starts_with("google") || key.starts_with("gcm");
    assert!(!data.keys().any(reserved), "{payload}");
}

/// The stand-in could read it, so it was sealed for the browser that subscribed and signed with our key; here: how it was
/// labelled.
///
/// Spec: RFC 8030 §5, RFC 8188 §2, RFC 8292 §3
fn assert_webpush(item: &Value) {
    let header = |name: &str| item["headers"][name].as_str().unwrap_or_default();
    assert_eq!(header("content-encoding"), "aes128gcm", "{item}");
    assert_eq!(header("urgency"), "high", "{item}");
    let life: u64 = header("ttl").parse().expect("seconds to live");
    assert!(life <= 60, "a call is not told of minutes later: {item}");
    assert!((1..=32).contains(&header("topic").len()), "{item}");
    let payload = &item["payload"];
    assert!(payload.is_object(), "{item}");
    let plain = payload.to_string().len();
    let size = item["size"].as_u64().expect("a size") as usize;
    assert!(plain <= 3_993 && plain < size, "{plain} octets: {item}");
}

/// The path of an address that must be one of ours.
#[track_caller]
fn path_of<'a>(house: &House, url: &'a str) -> &'a str {
    let base = format!("http://{}", house.server.door.address);
    url.strip_prefix(&base).unwrap_or_else(|| panic!("{url} does not begin with {base}"))
}

/// Baresip calls a phone that sleeps at `provider`, answered in this way, and they talk.
fn a_sleeper_is_woken(provider: &str, answer_by: &str) {
    let _turn = turn();
    let house = House::new();
    let [says, control] = [1001, 1002].map(|seed| speech_like(seed, SECONDS));
    let mut caller = house.baresip("1001", 5070, &says);
    let words = ["--push", provider, "--answer-by", answer_by];
    let mut callee = house.sleeper("1002", &words, &["answer"], &control);
    caller.dial(&format!("sip:1002@{}", house.server.sip));
    let incoming = callee.event(STEP, "incoming");
    assert_eq!(incoming["pushed"], true, "{incoming}");
    let call = house.server.call();
    callee.event(STEP, "answered");
    caller.event(STEP, "CALL_ESTABLISHED");
    caller.hears(HEARD);
    caller.hang_up();
    caller.event(STEP, "CALL_CLOSED");
    assert!(callee.ended().success());
    assert_heard("baresip", &caller.heard(), &control, &says);
    assert_heard("our phone", &callee.heard(), &says, &control);

    let record = house.server.record(&call);
    assert_eq!((&record["outcome"], &record["hung_up_by"]), (&json!("answered"), &json!("caller")));
    let push = house.push("call.invite", 1);
    push.assert_invites(&house);
    let ladder = house.server.ladder(&call);
    ladder.assert_holds(&["INVITE ", "SIP/2.0 1", "INVITE ", "BYE "]);
    for invite in ladder.invites_out() {
        let invite = Heard { text: invite.to_owned() };
        assert_eq!(invite.field("Call-ID"), Some(push.call_id()), "one id on every way");
    }
    if answer_by == "reply-sdp" {
        assert!(answered_before_invited(&ladder), "{ladder:#?}");
    }
}

/// Whether the caller had his 200 before the phone had its INVITE.
fn answered_before_invited(ladder: &Ladder) -> bool {
    let out = ladder.lane("sip_out");
    let invite = out.iter().position(|text| text.starts_with("INVITE "));
    let answer = out.iter().position(|text| {
        let heard = Heard { text: (*text).to_owned() };
        heard.status() == 200 && heard.method() == "INVITE"
    });
    answer.is_some_and(|answer| invite.is_none_or(|invite| answer < invite))
}

#[test]
fn fcm_wakes_a_phone_that_answers_by_registering() {
    a_sleeper_is_woken("fcm", "register");
}

#[test]
fn fcm_wakes_a_phone_that_answers_by_reply() {
    a_sleeper_is_woken("fcm", "reply");
}

#[test]
fn fcm_wakes_a_phone_that_answers_with_its_description() {
    a_sleeper_is_woken("fcm", "reply-sdp");
}

#[test]
fn apns_wakes_a_phone_that_answers_by_registering() {
    a_sleeper_is_woken("apns", "register");
}

#[test]
fn apns_wakes_a_phone_that_answers_by_reply() {
    a_sleeper_is_woken("apns", "reply");
}

#[test]
fn apns_wakes_a_phone_that_answers_with_its_description() {
    a_sleeper_is_woken("apns", "reply-sdp");
}

#[test]
fn web_push_wakes_a_browser_that_answers_by_registering() {
    a_sleeper_is_woken("webpush", "register");
}

#[test]
fn web_push_wakes_a_browser_that_answers_by_reply() {
    a_sleeper_is_woken("webpush", "reply");
}

#[test]
fn web_push_wakes_a_browser_that_answers_with_its_description() {
    a_sleeper_is_woken("webpush", "reply-sdp");
}

#[test]
fn the_caller_hears_a_refusal_that_came_by_reply() {
    let _turn = turn();
    let house = House::new();
    house.silent_device("1002", "fcm");
    let mut raw = house.raw();
    for (number, (action, status)) in [("decline", 603), ("busy", 486)].into_iter().enumerate() {
        house.call(&mut raw, "1002", &format!("refused-{action}"), "");
        let push = house.push("call.invite", number + 1);
        push.assert_invites(&house);
        let body = json!({ "action": action });
        // Whoever guesses the token changes nothing.
        assert_eq!(push.reply(&house, "guessed", &body).status, 401);
        let taken = push.reply(&house, push.text("reply", "token"), &body);
        assert!((200..300).contains(&taken.status), "{taken:?}");
        let response = raw.response("INVITE");
        assert_eq!(response.status(), status, "{}", response.text);
        raw.acknowledge(&response);
    }
    // And our phone says so too.
    let mut phone = house.sleeper(
        "1003",
        &["--push", "apns", "--answer-by", "reply"],
        &["answer", "--decline"],
        &[],
    );
    house.call(&mut raw, "1003", "refused-by-phone", "");
    let response = raw.response("INVITE");
    assert_eq!(response.status(), 603, "{}", response.text);
    raw.acknowledge(&response);
    assert!(phone.ended().success());
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let _turn = turn();
    let house = House::new();
    for (number, (user, provider)) in [("1002", "fcm"), ("1003", "apns")].into_iter().enumerate() {
        house.silent_device(user, provider);
        let mut raw = house.raw();
        let invite = house.call(&mut raw, user, &format!("given-up-{provider}"), "");
        let push = house.push("call.invite", number + 1);
        let ringing = raw.hear("a sign that somebody is being called", |heard| {
            (180..200).contains(&heard.status())
        });
        assert_eq!(ringing.method(), "INVITE");
        raw.cancel(&invite);
        let response = raw.response("INVITE");
        assert_eq!(response.status(), 487, "{}", response.text);
        raw.acknowledge(&response);
        let cancel = house.push("call.cancel", number + 1);
        assert_eq!(cancel.call_id(), push.call_id());
        assert_eq!(cancel.provider, provider);
    }
}

#[test]
fn who_has_no_phone_at_all_is_reported_at_once() {
    /// Far less than any wait for a push.
    const AT_ONCE: Duration = Duration::from_secs(3);
    let _turn = turn();
    let house = House::new();
    let mut raw = house.raw();
    let began = Instant::now();
    house.call(&mut raw, "1004", "nobody-there", "");
    let response = raw.response("INVITE");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(response.status(), 480, "{}", response.text);
    raw.acknowledge(&response);
    let warning = response.field("Warning").expect("a friend is told why");
    assert!(warning.contains("calls.nobody_reachable"), "{warning}");
    let (record, ladder) = house.last_call("1004");
    assert_eq!(record["status"], 480, "{record}");
    assert!(ladder.0["tried"].as_array().is_some_and(|tried| !tried.is_empty()), "{ladder:#?}");
}

#[test]
fn the_callers_picture_comes_along_and_a_strangers_does_not() {
    const FOREIGN: &str = "https://tracker.example.org/pixel.png";
    let _turn = turn();
    let house = House::new();
    house.server.door.put("/v1/users/1001/image", "image/png", &picture());
    house.silent_device("1002", "fcm");
    let mut raw = house.raw();
    let foreign = format!("Call-Info: <{FOREIGN}>;purpose=icon\r\n");

    // In the push: a link that needs no login, to a thumbnail of our own making.
    let invite = house.call(&mut raw, "1002", "picture-push", &foreign);
    let push = house.push("call.invite", 1);
    assert!(!push.fields.to_string().contains(FOREIGN), "{push:?}");
    let path = path_of(&house, push.text("img", "url"));
    let image = house.server.door.ask("GET", path, None, "", b"");
    assert_eq!(image.status, 200, "{image:?}");
    assert!(["image/jpeg", "image/webp"].contains(&&*image.kind), "{}", image.kind);
    let decoded = image::load_from_memory(&image.body).expect("an image that can be decoded");
    assert_eq!((decoded.width(), decoded.height()), (256, 256));
    let unsigned = path.split('?').next().unwrap_or_default();
    let refused = house.server.door.ask("GET", unsigned, None, "", b"");
    assert!((400..500).contains(&refused.status), "{refused:?}");
    raw.cancel(&invite);
    let response = raw.response("INVITE");
    raw.acknowledge(&response);

    // In the INVITE to a phone that is awake: the same. The ladder shows whose link it is, but not its signature.
    let mut callee = house.awake("1003");
    house.call(&mut raw, "1003", "picture-awake", &foreign);
    let incoming = callee.event(STEP, "incoming");
    let ladder = house.server.ladder(&house.server.call());
    let icons: Vec<Heard> =
        ladder.invites_out().iter().map(|text| Heard { text: (*text).to_owned() }).collect();
    let [sent] = icons.as_slice() else { panic!("one INVITE went out: {ladder:#?}") };
    let icons: Vec<&str> = sent.fields("Call-Info").collect();
    let fits = |icon: &str| icon.contains("purpose=icon") && !icon.contains(FOREIGN);
    assert!(matches!(icons[..], [icon] if fits(icon)), "{icons:?}");
    let url = incoming["call_info"].as_str().expect("a link to the picture");
    assert!(!icons[0].contains(url), "the ladder shows a link that works: {icons:?}");
    let image = house.server.door.ask("GET", path_of(&house, url), None, "", b"");
    assert_eq!(image.status, 200, "{image:?}");
    let response = raw.response("INVITE");
    raw.acknowledge(&response);
}

/// A picture that is not square, as PNG.
fn picture() -> Vec<u8> {
    let pixel = |x: u32, y: u32| image::Rgb([x as u8, y as u8, (x ^ y) as u8]);
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(320, 240, pixel)
        .write_to(&mut file, image::ImageFormat::Png)
        .expect("a vector can be written");
    file.into_inner()
}
