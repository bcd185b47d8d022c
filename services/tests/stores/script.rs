//! One day in a house, told twice.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::input::Picture;
use switchboard::{ApiRequest, ApiResponse, Input, Output, Reply};

use crate::engine::{Behind, Panel, Place};
use crate::rig::*;

/// The texts of the rooms' statements stand in these.
const STORES: [&str; 7] = [
    include_str!("../../groups/src/store.rs"),
    include_str!("../../messaging/src/store.rs"),
    include_str!("../../people/src/store.rs"),
    include_str!("../../records/src/store.rs"),
    include_str!("../../registrar/src/store.rs"),
    include_str!("../../trunks/src/store.rs"),
    include_str!("../../voice/src/store.rs"),
];

/// A house on a database, and what it answered.
struct Day {
    rig: Rig,
    panel: Panel,
    place: Place,
    /// Endpoints that were asked, as `METHOD path`.
    asked: BTreeSet<String>,
    /// Requests and answers.
    told: Vec<String>,
    starts: u32,
}

impl Day {
    fn begin(place: Place) -> Self {
        let panel = Panel::default();
        let behind = Behind { engine: place.engine(), panel: panel.clone() };
        let rig = Rig::on(Box::new(behind), Duration::ZERO);
        Self { rig, panel, place, asked: BTreeSet::new(), told: Vec::new(), starts: 0 }
    }

    /// The house ends, and another begins on what is stored.
    fn restart(mut self) -> Self {
        // The one before lets go of the database.
        self.rig = Rig::new(true);
        self.starts += 1;
        let behind = Behind { engine: self.place.engine(), panel: self.panel.clone() };
        self.rig = Rig::on(Box::new(behind), Duration::from_secs(3_600) * self.starts);
        self
    }

    /// A request of the API by its place in a manifest.
    #[track_caller]
    fn ask(
        &mut self,
        row: &str,
        path: &[&str],
        query: &[(&str, &str)],
        body: &[u8],
    ) -> ApiResponse {
        self.send(row, path, query, body);
        self.answer(&format!("{row} {path:?} {query:?}"))
    }

    fn send(&mut self, row: &str, path: &[&str], query: &[(&str, &str)], body: &[u8]) {
        let row_of =
            |endpoint: &switchboard::Endpoint| format!("{} {}", endpoint.method, endpoint.path);
        let found = services::manifests().into_iter().find_map(|room| {
            let place = room.endpoints.iter().position(|endpoint| row_of(endpoint) == row)?;
            Some((room.name, place as u16))
        });
        let (room, endpoint) = found.unwrap_or_else(|| panic!("no manifest has {row}"));
        self.asked.insert(row.to_owned());
        self.rig.handle(Input::Api(ApiRequest {
            id: 9,
            room: room.into(),
            endpoint,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            content_type: if body.starts_with(b"{") { "application/json" } else { "image/png" }
                .into(),
            bearer: String::new(),
            body: body.to_vec(),
        }));
        let renders =
            self.rig.others.extract_if(.., |output| matches!(output, Output::Render { .. }));
        let renders: Vec<_> = renders.collect();
        for render in renders {
            let Output::Render { ticket, .. } = render else { continue };
            let picture = Picture {
                full: "11".repeat(32),
                thumbnail: "22".repeat(32),
                tiny: vec![0, 255, 39, 92],
                content_type: "image/png".into(),
            };
            self.rig.handle(Input::Reply { ticket, reply: Reply::Picture(Ok(picture)) });
        }
    }

    #[track_caller]
    fn answer(&mut self, asked: &str) -> ApiResponse {
        let answer = |output: &mut Output| matches!(output, Output::Api { .. });
        let mut answers =
            self.rig.others.extract_if(.., answer).filter_map(|output| match output {
                Output::Api { response, .. } => Some(response),
                _ => None,
            });
        let response = answers.next().unwrap_or_else(|| panic!("{asked}: no answer"));
        drop(answers);
        let said = String::from_utf8_lossy(&response.body).into_owned();
        self.told.push(format!("{asked}: {} {said}", response.status));
        response
    }

    #[track_caller]
    fn put(&mut self, path: &str, names: &[&str], body: &Value) -> u16 {
        self.ask(&format!("PUT {path}"), names, &[], body.to_string().as_bytes()).status
    }

    #[track_caller]
    fn delete(&mut self, path: &str, names: &[&str]) -> u16 {
        self.ask(&format!("DELETE {path}"), names, &[], b"").status
    }

    #[track_caller]
    fn get(&mut self, path: &str, names: &[&str], query: &[(&str, &str)]) -> Value {
        let response = self.ask(&format!("GET {path}"), names, query, b"");
        assert_eq!(response.status, 200, "{path} {names:?}: {:?}", self.told.last());
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Everything that is stored, as the API shows it.
    fn all(&mut self) -> Vec<Value> {
        let lists = [
            "/v1/users",
            "/v1/groups",
            "/v1/trunks",
            "/v1/numbers",
            "/v1/routes",
            "/v1/dial-plan",
            "/v1/records",
        ];
        let mut found: Vec<_> = lists.into_iter().map(|path| self.get(path, &[], &[])).collect();
        for user in USERS {
            found.push(self.get("/v1/users/{name}", &[user], &[]));
            found.push(self.get("/v1/users/{name}/calls", &[user], &[]));
            found.push(self.get("/v1/users/{name}/devices", &[user], &[]));
            let address = format!("sip:{user}@localhost");
            found.push(self.get("/v1/messages", &[], &[("user", user)]));
            found.push(self.get("/v1/records", &[], &[("address", &address)]));
        }
        // Links to pictures are signed until a time; how a trunk is doing is not stored.
        for field in ["image", "health"] {
            found.iter_mut().for_each(|value| forget(value, field));
        }
        found
    }

    fn fill(&mut self) {
        for (number, user) in USERS.into_iter().enumerate() {
            // In the order of octets B comes before a, in the order of a language after it.
            let name = ["alice", "Bob", "ålice", "zoë 🔔 'x' ?1 $1"][number];
            let body = json!({ "password": word(user), "display_name": name });
            assert_eq!(
                self.put("/v1/users/{name}", &[user], &body) / 100,
                2,
                "{:?}",
                self.told.last()
            );
            assert_eq!(
                self.put("/v1/users/{name}", &[user], &body) / 100,
                2,
                "{:?}",
                self.told.last()
            );
        }
        for name in ["B", "a", "Z-9", "z_9", "é".repeat(2).as_str(), "1001", "+49"] {
            let body = json!({ "password": "a long word", "display_name": "" });
            self.put("/v1/users/{name}", &[name], &body);
        }
        assert_eq!(self.ask("PUT /v1/users/{name}/image", &["bob"], &[], b"PNG").status, 200);
        assert_eq!(self.ask("PUT /v1/users/{name}/image", &["carol"], &[], b"PNG").status, 200);
        assert_eq!(self.delete("/v1/users/{name}/image", &["carol"]) / 100, 2);
        let calls = json!({ "forward_busy": "carol", "no_answer_after": 20 });
        assert_eq!(
            self.put("/v1/users/{name}/calls", &["dave"], &calls) / 100,
            2,
            "{:?}",
            self.told.last()
        );
        assert_eq!(
            self.put("/v1/users/{name}/calls", &["alice"], &calls) / 100,
            2,
            "{:?}",
            self.told.last()
        );
        assert_eq!(self.delete("/v1/users/{name}/calls", &["alice"]) / 100, 2);
        for (user, device, prid) in
            [("alice", "a", "1"), ("alice", "b", "2"), ("bob", "c", "1"), ("bob", "d", "4")]
        {
            let push = json!({ "provider": "fcm", "param": "project", "prid": prid });
            let body = json!({ "kind": "phone", "push": push });
            assert_eq!(
                self.put("/v1/users/{name}/devices/{device}", &[user, device], &body) / 100,
                2,
                "{:?}",
                self.told.last()
            );
        }
        self.get("/v1/users/{name}/devices/{device}", &["bob", "d"], &[]);
        assert_eq!(self.delete("/v1/users/{name}/devices/{device}", &["bob", "d"]) / 100, 2);
        self.fill_groups_and_trunks();
    }

    fn fill_groups_and_trunks(&mut self) {
        let group = json!({
            "kind": "shared", "display_name": "Front desk",
            "members": [{ "user": "bob", "priority": 5, "skills": ["billing"] }, { "user": "carol" }],
            "ring": { "plan": "round_robin", "each": 15 },
        });
        for (name, number) in [("desk", "+15550111"), ("Desk2", "+15550112")] {
            let mut group = group.clone();
            group["number"] = number.into();
            assert_eq!(
                self.put("/v1/groups/{name}", &[name], &group) / 100,
                2,
                "{:?}",
                self.told.last()
            );
            let again = json!({ "kind": "ring", "number": "", "members": [{ "user": "dave" }] });
            self.put("/v1/groups/{name}", &["other"], &again);
        }
        assert_eq!(self.delete("/v1/groups/{name}", &["other"]) / 100, 2);
        self.get("/v1/groups/{name}", &["desk"], &[]);
        for name in ["acme", "old"] {
            let trunk = json!({ "server": "192.0.2.50:5060", "user": "88231", "password": "p'w" });
            assert_eq!(
                self.put("/v1/trunks/{name}", &[name], &trunk) / 100,
                2,
                "{:?}",
                self.told.last()
            );
        }
        assert_eq!(self.delete("/v1/trunks/{name}", &["old"]) / 100, 2);
        self.get("/v1/trunks/{name}", &["acme"], &[]);
        for number in ["+15550100", "+15550101"] {
            let rings = json!({ "rings": ["user/alice"] });
            assert_eq!(
                self.put("/v1/numbers/{e164}", &[number], &rings) / 100,
                2,
                "{:?}",
                self.told.last()
            );
        }
        assert_eq!(self.delete("/v1/numbers/{e164}", &["+15550101"]) / 100, 2);
        self.get("/v1/numbers/{e164}", &["+15550100"], &[]);
        for name in ["out", "In"] {
            let route = json!({ "priority": 0, "to": ["+*"], "trunks": [{ "trunk": "acme" }] });
            assert_eq!(
                self.put("/v1/routes/{name}", &[name], &route) / 100,
                2,
                "{:?}",
                self.told.last()
            );
        }
        assert_eq!(self.delete("/v1/routes/{name}", &["In"]) / 100, 2);
        self.get("/v1/routes/{name}", &["out"], &[]);
        let plan =
            json!({ "country": "49", "national_prefix": "0", "international_prefixes": ["00"] });
        assert_eq!(self.put("/v1/dial-plan", &[], &plan) / 100, 2, "{:?}", self.told.last());
        let explained =
            self.ask("GET /v1/route/explain", &[], &[("from", "user/alice"), ("to", "bob")], b"");
        assert_eq!(explained.status, 200, "{:?}", self.told.last());
    }

    /// Calls and messages, answered and not, and what the API says of them meanwhile.
    fn live(&mut self) {
        self.rig.all_register();
        self.get("/v1/bindings", &[], &[("user", "bob")]);
        self.get("/v1/presence", &[], &[("user", "bob")]);
        let talk = self.rig.talk();
        let calls = self.get("/v1/calls", &[], &[]);
        let call = calls["items"][0]["id"].as_str().unwrap().to_owned();
        self.get("/v1/calls/{id}", &[&call], &[]);
        self.get("/v1/calls/{id}/ladder", &[&call], &[]);
        // What is asked of calls that live is the same without one.
        let none = types::CallId(7).to_string();
        for row in [
            "GET /v1/calls/{id}/levels",
            "GET /v1/calls/{id}/recording",
            "POST /v1/calls/{id}/recording",
            "POST /v1/calls/{id}/recording/pause",
            "POST /v1/calls/{id}/recording/resume",
            "DELETE /v1/calls/{id}/recording",
            "POST /v1/calls/{id}/commands",
        ] {
            assert_eq!(self.ask(row, &[&none], &[], b"{}").status / 100, 4, "{row}");
        }
        // Of calls that no program has there is none.
        let state = self.ask("GET /v1/calls/{id}/state", &[&call], &[], b"");
        assert_eq!(state.status, 404, "{:?}", self.told.last());
        let call_id = header(&talk.invite, "Call-ID").to_owned();
        for method in ["GET", "POST"] {
            let row = format!("{method} /v1/push/replies/{{call_id}}");
            let refused = self.ask(&row, &[&call_id], &[], b"{\"action\":\"accept\"}");
            assert_eq!(refused.status, 401, "{:?}", self.told.last());
        }
        self.rig.bye(&talk, 5);
        let talk = self.rig.talk();
        let calls = self.get("/v1/calls", &[], &[]);
        let call = calls["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(self.delete("/v1/calls/{id}", &[&call]) / 100, 2);
        let bye = self.rig.one(BOB, "BYE");
        self.rig.say(BOB, &reply(&bye, "200 OK", BOB, ""));
        let bye = self.rig.one(ALICE, "BYE");
        self.rig.say(ALICE, &response(&bye, "200 OK", "", "sip:alice@10.0.0.1", ""));
        drop(talk);
        let letter = Ask::new("MESSAGE", "alice", ALICE, 900).to("bob").body("text/plain", "hello");
        self.rig.proved(ALICE, "alice", &letter);
        let message = self.rig.one(BOB, "MESSAGE");
        self.rig.say(BOB, &reply(&message, "200 OK", BOB, ""));
        let body = json!({ "from": "alice", "to": "bob", "text": "\u{0}by the API" });
        self.send("POST /v1/messages", &[], &[], body.to_string().as_bytes());
        let message = self.rig.one(BOB, "MESSAGE");
        self.rig.say(BOB, &reply(&message, "200 OK", BOB, ""));
        let sent = self.answer("POST /v1/messages");
        assert_eq!(sent.status / 100, 2, "{:?}", self.told.last());
        self.ask("DELETE /v1/bindings", &[], &[("user", "carol")], b"");
        self.rig.wait(Duration::from_secs(300));
        assert_eq!(self.get("/v1/records", &[], &[])["items"].as_array().unwrap().len(), 2);
        let kept = self.get("/v1/messages", &[], &[("user", "bob")]);
        assert_eq!(kept["items"].as_array().map(Vec::len), Some(2), "{kept}");
    }

    /// What apps of a known cloud ask.
    fn apps(&mut self) {
        const PATH: &str = "/2010-04-01/{rest..}";
        let account = format!("AC{}", "0".repeat(32));
        let mut app = |method: &str, path: &str, body: &str| {
            let whole = format!("Accounts/{account}/{path}");
            let parts: Vec<&str> = whole.split('/').collect();
            let response = self.ask(&format!("{method} {PATH}"), &parts, &[], body.as_bytes());
            let value: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            (response.status, value)
        };
        let named = "FriendlyName=D%C3%A4mmerung&VoiceUrl=http%3A%2F%2Fa.example%2F";
        let (status, made) = app("POST", "Applications.json", named);
        assert_eq!(status, 201, "{made}");
        let one = format!("Applications/{}.json", made["sid"].as_str().unwrap());
        assert_eq!(app("POST", &one, "VoiceMethod=GET").1["voice_method"], "GET");
        assert_eq!(app("GET", &one, "").1["voice_url"], "http://a.example/");
        let (_, list) = app("GET", "Applications.json", "");
        assert_eq!(list["applications"].as_array().map(Vec::len), Some(1));
        assert_eq!(app("DELETE", &one, "").0, 204);
        assert_eq!(app("DELETE", &one, "").0, 404);
        let (status, made) = app("POST", "Keys.json", "FriendlyName=shop");
        assert_eq!((status, made["secret"].as_str().map(str::len)), (201, Some(32)), "{made}");
        let one = format!("Keys/{}.json", made["sid"].as_str().unwrap());
        assert_eq!(app("GET", &one, "").1["friendly_name"], "shop");
        assert_eq!(app("DELETE", &one, "").0, 204);
        let number = "PhoneNumber=%2B15550188&VoiceUrl=http%3A%2F%2Fa.example%2F";
        let (status, made) = app("POST", "IncomingPhoneNumbers.json", number);
        assert_eq!((status, &made["phone_number"]), (201, &"+15550188".into()), "{made}");
        let one = format!("IncomingPhoneNumbers/{}.json", made["sid"].as_str().unwrap());
        assert_eq!(app("POST", &one, "VoiceMethod=GET").1["voice_method"], "GET");
        assert_eq!(app("DELETE", &one, "").0, 204);
        assert_eq!(app("GET", &one, "").0, 404);
        // Nobody can be reached: the call is over at once.
        let call = "To=client%3Anobody&From=shop&Twiml=%3CResponse%2F%3E\
                    &StatusCallback=http%3A%2F%2Fa.example%2F%23rc%3D9";
        let (status, made) = app("POST", "Calls.json", call);
        assert_eq!((status, &made["status"]), (201, &"queued".into()), "{made}");
        let one = format!("Calls/{}.json", made["sid"].as_str().unwrap());
        assert_eq!(app("GET", &one, "").1["status"], "failed");
        let (_, list) = app("GET", "Calls.json", "");
        assert_eq!(list["calls"].as_array().map(Vec::len), Some(1));
        assert_eq!(app("DELETE", &one, "").0, 204);
        assert_eq!(app("GET", &one, "").0, 404);
        let (_, list) = app("GET", "Calls.json", "");
        assert_eq!(list["calls"].as_array().map(Vec::len), Some(0));
        let (_, list) = app("GET", "Usage/Records/Daily.json", "");
        assert_eq!(list["usage_records"][0]["category"], "calls-outbound", "{list}");
        assert_eq!(list["usage_records"][0]["count"], "1");
        // Its app cannot be told so.
        let (_, list) = app("GET", "Notifications.json", "");
        assert_eq!(list["notifications"][0]["error_code"], "15003", "{list}");
        let (_, list) = app("GET", "Conferences.json", "");
        assert_eq!(list["conferences"].as_array().map(Vec::len), Some(0));
        let none = format!("Calls/CA{}/Events.json", "1".repeat(32));
        assert_eq!(app("GET", &none, "").1["events"].as_array().map(Vec::len), Some(0));
    }

    /// While the store is out of reach, what it alone holds is refused, and nothing of it happens.
    fn lost(&mut self) {
        let before = self.all();
        self.panel.lost.set(true);
        let user = json!({ "password": "a long word", "display_name": "new" }).to_string();
        let push = json!({ "provider": "fcm", "param": "p", "prid": "9" });
        let device = json!({ "kind": "phone", "push": push }).to_string();
        let group = json!({ "kind": "ring", "members": [{ "user": "dave" }] }).to_string();
        let trunk = json!({ "server": "192.0.2.51:5060" }).to_string();
        let rings = json!({ "rings": ["user/bob"] }).to_string();
        let route =
            json!({ "priority": 3, "to": ["+1*"], "trunks": [{ "trunk": "acme" }] }).to_string();
        let plan = json!({ "country": "1" }).to_string();
        let calls = json!({ "do_not_disturb": true }).to_string();
        let rows: [(&str, &[&str], &str); 19] = [
            ("PUT /v1/users/{name}", &["new"], &user),
            ("PUT /v1/users/{name}", &["bob"], &user),
            ("DELETE /v1/users/{name}", &["bob"], ""),
            ("PUT /v1/users/{name}/image", &["bob"], "PNG"),
            ("DELETE /v1/users/{name}/image", &["bob"], ""),
            ("PUT /v1/users/{name}/calls", &["bob"], &calls),
            ("DELETE /v1/users/{name}/calls", &["dave"], ""),
            ("PUT /v1/users/{name}/devices/{device}", &["bob", "new"], &device),
            ("DELETE /v1/users/{name}/devices/{device}", &["bob", "c"], ""),
            ("PUT /v1/groups/{name}", &["new"], &group),
            ("DELETE /v1/groups/{name}", &["desk"], ""),
            ("PUT /v1/trunks/{name}", &["new"], &trunk),
            ("DELETE /v1/trunks/{name}", &["acme"], ""),
            ("PUT /v1/numbers/{e164}", &["+15550199"], &rings),
            ("DELETE /v1/numbers/{e164}", &["+15550100"], ""),
            ("PUT /v1/routes/{name}", &["new"], &route),
            ("DELETE /v1/routes/{name}", &["out"], ""),
            ("PUT /v1/dial-plan", &[], &plan),
            ("GET /v1/records", &[], ""),
        ];
        for (row, names, body) in rows {
            let response = self.ask(row, names, &[], body.as_bytes());
            let told = self.told.last().unwrap();
            assert_eq!(response.status, 503, "{told}");
            let after =
                response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Retry-After"));
            assert!(after && told.contains("store_unreachable"), "{told} {:?}", response.headers);
        }
        self.panel.lost.set(false);
        assert_eq!(self.all(), before, "what was refused has not happened");
    }
}

/// Takes a field away, wherever it stands.
fn forget(value: &mut Value, field: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, field)),
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|inner| forget(inner, field));
        }
        _ => {}
    }
}

/// One day; what was told, and what was asked of the database.
fn day(place: Place) -> (Vec<String>, BTreeSet<String>) {
    let mut day = Day::begin(place);
    day.fill();
    day.live();
    day.apps();
    day.lost();
    let before = day.all();
    let mut day = day.restart();
    let after = day.all();
    assert_eq!(after, before, "after a restart");
    assert_eq!(day.delete("/v1/users/{name}", &["dave"]), 204);
    assert_eq!(day.delete("/v1/users/{name}", &["dave"]), 404);
    let all = services::manifests().into_iter().flat_map(|room| room.endpoints);
    let all: BTreeSet<_> = all.map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(all.difference(&day.asked).collect::<Vec<_>>(), Vec::<&String>::new(), "not asked");
    let asked = day.panel.statements.borrow().iter().map(|sql| squeezed(sql)).collect();
    (day.told, asked)
}

/// A text with one blank between its words.
fn squeezed(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The statements that stand in the rooms' sources.
fn statements() -> BTreeSet<String> {
    let literals = STORES.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    let text = literals.map(|literal| squeezed(&literal.replace("\\\n", " ")));
    let begins = |text: &String| {
        ["select ", "insert ", "update ", "delete "].iter().any(|verb| text.starts_with(verb))
    };
    text.filter(begins).collect()
}

#[test]
fn every_request_has_the_same_answer_and_every_statement_is_run() {
    let (sqlite, sqlite_asked) = day(Place::file());
    let (postgres, postgres_asked) = day(Place::server());
    for (one, other) in sqlite.iter().zip(&postgres) {
        assert_eq!(one, other, "SQLite, PostgreSQL");
    }
    assert_eq!(sqlite.len(), postgres.len());
    assert_eq!(sqlite_asked, postgres_asked);
    let missing: Vec<_> = statements().difference(&postgres_asked).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "never run");
    println!("{} answers, {} statements", postgres.len(), postgres_asked.len());
}

#[test]
fn a_house_without_its_store_turns_no_friend_away_as_a_stranger() {
    let place = Place::server();
    let mut day = Day::begin(place);
    day.fill();
    day.panel.lost.set(true);
    let mut day = day.restart();
    let number = day.rig.next();
    let register = Ask::new("REGISTER", "alice", ALICE, number)
        .to("alice")
        .at("sip:localhost")
        .with(&format!("Contact: <sip:alice@{ALICE}>\n"));
    for ask in [&register, &invite("bob", 700), &invite("desk", 701)] {
        let refused = day.rig.say(ALICE, &ask.text());
        assert_eq!(status(&refused[0]), 503, "{refused:?}");
        assert_eq!(header(&refused[0], "Retry-After"), "5");
        if ask.method == "INVITE" {
            let (lines, body) = (String::new(), String::new());
            day.rig.say(ALICE, &Ask { method: "ACK".into(), lines, body, ..ask.clone() }.text());
        }
    }
    let ping = Ask::new("OPTIONS", "alice", ALICE, 702).at("sip:localhost");
    assert_eq!(day.rig.status(ALICE, &ping.text()), 200, "the server itself is there");
    assert_eq!(day.rig.counted("sip.wrong_password"), 0);
    day.panel.lost.set(false);
    // Rooms ask the store again after a while.
    day.rig.wait(Duration::from_secs(10));
    day.rig.register("alice", ALICE);
    let answers = day.rig.proved(ALICE, "alice", &invite("nobody", 703));
    assert_eq!(answers.last().map(|answer| status(answer)), Some(404), "{answers:?}");
}
