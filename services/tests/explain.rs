//! What `explain` says is what a live call does: over random facts, with the whole corridor.

#[path = "hostile/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::collections::BTreeSet;

use rig::*;
use serde_json::{Value, json};
use switchboard::ApiRequest;
use types::Rng;

const ACME: &str = "10.0.1.1:5060";
const BEST: &str = "10.0.1.2:5060";
const PHONES: [&str; 4] = [ALICE, BOB, CAROL, "10.0.0.4:5060"];
const DIALLED: [&str; 10] = [
    "alice",
    "bob",
    "carol",
    "dave",
    "nobody",
    "+15550100",
    "15550101",
    "+442071838750",
    "112",
    "0301234",
];

/// A request of the API, by the row of its manifest.
fn api(rig: &mut Rig, row: &str, path: &str, query: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let found = services::manifests().into_iter().find_map(|room| {
        let fits =
            |known: &switchboard::Endpoint| format!("{} {}", known.method, known.path) == row;
        Some((room.name, room.endpoints.iter().position(fits)?))
    });
    let (room, endpoint) = found.unwrap_or_else(|| panic!("no row {row}"));
    let response = driver::Wire::api(
        rig,
        ApiRequest {
            id: 1,
            room: room.to_owned(),
            endpoint: endpoint as u16,
            path: vec![path.to_owned()],
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            content_type: "application/json".to_owned(),
            body: body.to_string().into_bytes(),
            ..ApiRequest::default()
        },
    );
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

fn put(rig: &mut Rig, row: &str, path: &str, body: Value) {
    let (status, said) = api(rig, row, path, &[], &body);
    assert!(matches!(status, 200 | 201), "{row} {path}: {said}");
}

fn pick<'a, T>(rng: &mut Rng, list: &'a [T]) -> &'a T {
    &list[rng.below(list.len() as u64) as usize]
}

fn furnish(rig: &mut Rig, rng: &mut Rng) {
    put(
        rig,
        "PUT /v1/dial-plan",
        "",
        json!({"country": *pick(rng, &["", "49", "1"]), "national_prefix": *pick(rng, &["", "0"])}),
    );
    for (name, server) in [("acme", ACME), ("best", BEST)] {
        let body = json!({
            "server": server,
            "probe": false,
            "numbers_format": *pick(rng, &["plus", "e164", "digits", "national"]),
            "identity": if rng.percent(50) { "+15550199" } else { "" },
            "identities": if rng.percent(30) { json!(["+155501*"]) } else { json!([]) },
            "reaches_users": rng.percent(30),
            "keeps_caller": rng.percent(30),
        });
        if rng.percent(85) {
            put(rig, "PUT /v1/trunks/{name}", name, body);
        }
    }
    for number in ["+15550100", "+15550101", "+49301234"] {
        let mut rings: Vec<String> = Vec::new();
        for _ in 0..=rng.below(3) {
            rings.push(format!("user/{}", pick(rng, &["alice", "bob", "carol", "dave", "ghost"])));
        }
        if rng.percent(60) {
            put(rig, "PUT /v1/numbers/{e164}", number, json!({ "rings": rings }));
        }
    }
    for name in USERS {
        let mut body = json!({
            "do_not_disturb": rng.percent(10),
            "call_waiting": rng.percent(80),
        });
        for field in ["forward_always", "forward_busy", "forward_unreachable"] {
            let to = *pick(rng, &DIALLED);
            if rng.percent(20) && to != name {
                body[field] = to.into();
            }
        }
        put(rig, "PUT /v1/users/{name}/calls", name, body);
    }
    for (place, name) in ["one", "two", "three"].into_iter().enumerate() {
        let mut body = json!({
            "priority": place,
            "from": *pick(rng, &[json!([]), json!(["users"]), json!(["trunks"]), json!(["trunk/acme", "user/bob"])]),
            "to": *pick(rng, &[json!([]), json!(["+*"]), json!(["+1555010?"]), json!(["112", "0*"])]),
        });
        if rng.percent(40) {
            body["when"] =
                json!({"zone": "Europe/Berlin", "windows": [{"from": "00:00", "to": "12:00"}]});
        }
        match rng.below(4) {
            0 => body["reject"] = json!(403),
            1 => body["rings"] = json!(["user/carol"]),
            // Priorities differ: no chance is in it.
            _ => {
                body["trunks"] =
                    json!([{"trunk": "acme", "priority": 1}, {"trunk": "best", "priority": 2}])
            }
        }
        if rng.percent(60) {
            put(rig, "PUT /v1/routes/{name}", name, body);
        }
    }
}

/// Whom the first stage asks: addresses, and what trunks are sent.
fn promised(said: &Value) -> BTreeSet<(String, String, String)> {
    let none = Vec::new();
    let targets = said["stages"][0]["targets"].as_array().unwrap_or(&none);
    targets
        .iter()
        .filter_map(|target| {
            if let Some(user) = target["user"].as_str() {
                let place = USERS.iter().position(|known| *known == user)?;
                return Some((PHONES[place].to_owned(), user.to_owned(), String::new()));
            }
            let address = if target["trunk"] == "acme" { ACME } else { BEST };
            let identity = target["identity"].as_str().unwrap_or("anonymous");
            Some((address.to_owned(), target["number"].as_str()?.to_owned(), identity.to_owned()))
        })
        .collect()
}

#[test]
fn explain_equals_the_live_call() {
    let (mut refused, mut rang, mut went_out) = (0, 0, 0);
    for seed in 0..400 {
        let mut rng = Rng::from_number(seed);
        let mut rig = Rig::new(false);
        for (user, phone) in USERS.iter().zip(PHONES) {
            rig.register(user, phone);
        }
        furnish(&mut rig, &mut rng);
        let dialled = *pick(&mut rng, &DIALLED);
        let (from, user, who) = match rng.below(4) {
            0 => ("trunk/acme", "+442071838751", ACME),
            1 => ("stranger", "stranger", MALLORY),
            _ => ("user/alice", "alice", ALICE),
        };
        let query = [("from", from), ("to", dialled), ("shows", user)];
        let query = if user.starts_with('+') { &query[..] } else { &query[..2] };
        let (status_of, said) = api(&mut rig, "GET /v1/route/explain", "", query, &Value::Null);
        if status_of == 404 {
            continue; // Acme was not made.
        }
        assert_eq!(status_of, 200, "seed {seed}: {said}");
        rig.forget();
        let number = rig.next();
        let ask = Ask::new("INVITE", user, who, number)
            .to(dialled)
            .with(&format!("Contact: <sip:{user}@{who}>\n"))
            .body("application/sdp", &sdp(who, 4_000));
        rig.from(who, &ask.text());
        let expected = promised(&said);
        let invites: BTreeSet<_> = std::mem::take(&mut rig.sent)
            .into_iter()
            .filter_map(|(to, text)| {
                if to.to_string() == who && text.starts_with("SIP/2.0") {
                    let code = status(&text);
                    let refusal = &said["refusal"]["status"];
                    assert!(code < 300 || *refusal == code, "seed {seed}: {text}\n{said:#}");
                    return None;
                }
                let target = text.strip_prefix("INVITE sip:")?.split('@').next()?.to_owned();
                let from = header(&text, "From");
                let shown = from.split("sip:").nth(1)?.split('@').next()?.to_owned();
                let trunk = [ACME, BEST].contains(&to.to_string().as_str());
                Some((to.to_string(), target, if trunk { shown } else { String::new() }))
            })
            .collect();
        assert_eq!(invites, expected, "seed {seed}: {from} calls {dialled}\n{said:#}");
        if expected.is_empty() {
            refused += 1;
        } else if expected.iter().any(|(_, _, identity)| !identity.is_empty()) {
            went_out += 1;
        } else {
            rang += 1;
        }
    }
    assert!(refused > 15 && rang > 15 && went_out > 15, "{refused} {rang} {went_out}");
}
