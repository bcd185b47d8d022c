//! The API of apps: calls that are made, changed, listed, forgotten.

use driver::Phones;
use driver::phones::reply_to;
use driver::text::header;
use serde_json::Value;
use switchboard::fetch::{Fetch, Fetched};
use switchboard::notice::Notice;
use switchboard::route::{Change, Number};
use switchboard::store::Value as Cell;
use switchboard::{ApiRequest, Input, Output, Reply, Ticket};
use voice::{Config, Room};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const ACCOUNT: &str = "AC00000000000000000000000000000000";

fn house() -> Phones {
    let mut house = Phones::new(|| Box::new(Room::new(Config::default())));
    let number = Number {
        number: "+15550100".into(),
        voice_url: "http://app.example/start".into(),
        ..Number::default()
    };
    let change = Change::Number(number.number.clone(), Some(number));
    house.notice(Notice::RoutingChanged(Box::new(change)));
    house.bind("bob", 2);
    house
}

/// One request; `path`: behind the account, with its suffix.
fn ask(house: &mut Phones, method: &str, path: &str, form: &[(&str, &str)]) -> driver::Out {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    let form: Vec<_> = form.iter().map(own).collect();
    let row = ["GET", "POST", "DELETE"].iter().position(|known| *known == method).unwrap() + 1;
    let whole = format!("Accounts/{ACCOUNT}{path}");
    let (query, body) = match method {
        "POST" => (Vec::new(), voice::address::form(&form).into_bytes()),
        _ => (form, Vec::new()),
    };
    house.give(Input::Api(ApiRequest {
        id: 7,
        room: "voice".into(),
        endpoint: row as u16,
        path: whole.split('/').map(str::to_owned).collect(),
        query,
        body,
        ..ApiRequest::default()
    }))
}

fn answer(out: &driver::Out) -> (u16, Value) {
    let found = out.list.iter().find_map(|output| match output {
        Output::Api { response, .. } => Some(response),
        _ => None,
    });
    let response = found.expect("an answer");
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

fn fetches(out: &driver::Out) -> Vec<(Ticket, Fetch)> {
    let fetch = |output: &Output| match output {
        Output::Fetch { ticket, fetch, .. } => Some((*ticket, (**fetch).clone())),
        _ => None,
    };
    out.list.iter().filter_map(fetch).collect()
}

fn said(fetch: &Fetch, name: &str) -> String {
    let pairs = String::from_utf8(fetch.body.clone()).unwrap();
    let found = pairs.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        (known == name).then(|| value.to_owned())
    });
    found.unwrap_or_default()
}

fn told(out: &driver::Out) -> Vec<(String, String)> {
    let all = fetches(out);
    let status = all.iter().filter(|(_, fetch)| fetch.url.ends_with("/told"));
    status.map(|(_, fetch)| (said(fetch, "CallStatus"), said(fetch, "SequenceNumber"))).collect()
}

/// The app hears what it is told, one after the other.
fn hears(house: &mut Phones, mut out: driver::Out) -> driver::Out {
    let mut heard = 0;
    loop {
        let mut told = fetches(&out).into_iter().filter(|(_, fetch)| fetch.url.ends_with("/told"));
        let Some((ticket, _)) = told.nth(heard) else { return out };
        heard += 1;
        let more = house.reply(ticket, document(""));
        out.add(more);
    }
}

fn document(inner: &str) -> Reply {
    Reply::Fetched(Ok(Box::new(Fetched {
        status: 200,
        headers: vec![("content-type".into(), "text/xml".into())],
        body: format!("<Response>{inner}</Response>").into_bytes(),
        url: String::new(),
        took: std::time::Duration::ZERO,
    })))
}

/// Bob answers what rings.
fn picks_up(house: &mut Phones, invite: &str) -> driver::Out {
    let ok = reply_to(
        invite,
        "200 OK",
        "Contact: <sip:bob@192.0.2.2>\r\nContent-Type: application/sdp\r\n",
    );
    let length = format!("Content-Length: {}\r\n\r\n{SDP}", SDP.len());
    house.say(2, &ok.replace("Content-Length: 0\r\n\r\n", &length))
}

const FORM: &[(&str, &str)] = &[
    ("To", "client:bob"),
    ("From", "+1 (555) 0100"),
    ("Url", "http://app.example/hello"),
    ("StatusCallback", "http://app.example/told"),
    ("StatusCallbackEvent", "initiated"),
    ("StatusCallbackEvent", "ringing"),
    ("StatusCallbackEvent", "answered"),
    ("StatusCallbackEvent", "completed"),
];

#[test]
fn a_call_is_made_answered_changed_and_ended() {
    let mut house = house();
    let out = ask(&mut house, "POST", "/Calls.json", FORM);
    let out = hears(&mut house, out);
    let (status, made) = answer(&out);
    assert_eq!(
        (status, &made["status"], &made["direction"]),
        (201, &"queued".into(), &"outbound-api".into())
    );
    assert_eq!((&made["to"], &made["from"]), (&"client:bob".into(), &"+15550100".into()));
    let sid = made["sid"].as_str().unwrap().to_owned();
    assert_eq!(told(&out), [("initiated".to_owned(), "0".to_owned())]);
    let invite = out.requests("INVITE").pop().expect("bob is called");
    assert!(
        invite.contains("m=audio") && header(&invite, "From").contains("+15550100"),
        "{invite}"
    );
    let out = house.answer(&invite, "180 Ringing", "");
    let out = hears(&mut house, out);
    assert_eq!(told(&out), [("ringing".to_owned(), "1".to_owned())]);
    let path = format!("/Calls/{sid}.json");
    let (_, ringing) = answer(&ask(&mut house, "GET", &path, &[]));
    assert_eq!((&ringing["status"], &ringing["end_time"]), (&"ringing".into(), &Value::Null));
    let out = picks_up(&mut house, &invite);
    let out = hears(&mut house, out);
    assert_eq!(told(&out), [("in-progress".to_owned(), "2".to_owned())]);
    let first = fetches(&out).into_iter().find(|(_, fetch)| fetch.url.ends_with("/hello"));
    let (ticket, first) = first.expect("the program is asked for");
    assert_eq!(
        (said(&first, "CallSid"), said(&first, "Direction")),
        (sid.clone(), "outbound-api".into())
    );
    house.reply(ticket, document("<Pause length='60'/>"));
    // Another document, then the end.
    let out =
        ask(&mut house, "POST", &path, &[("Url", "http://app.example/other"), ("Method", "GET")]);
    let (status, live) = answer(&out);
    assert_eq!((status, &live["status"]), (200, &"in-progress".into()));
    let (_, other) = fetches(&out).pop().expect("the other document");
    assert!(
        other.method == "GET" && other.url.starts_with("http://app.example/other?"),
        "{other:?}"
    );
    let (_, list) = answer_of_list(&mut house, &[("Status", "in-progress")], Vec::new());
    assert_eq!(list["calls"][0]["sid"], sid.as_str());
    let out = ask(&mut house, "POST", &path, &[("Twiml", "<Response><Hangup/></Response>")]);
    assert!(out.sent()[0].starts_with("BYE "), "{:?}", out.sent());
    assert_eq!(told(&out), [("completed".to_owned(), "3".to_owned())]);
    let (status, over) = answer(&ask(&mut house, "GET", &path, &[]));
    assert_eq!(
        (status, &over["status"], &over["duration"]),
        (200, &"completed".into(), &"0".into())
    );
    let (status, no) = answer(&ask(&mut house, "POST", &path, &[("Status", "completed")]));
    assert_eq!((status, &no["code"]), (400, &21220.into()));
}

/// A list, whose store has these rows.
fn answer_of_list(
    house: &mut Phones,
    query: &[(&str, &str)],
    rows: Vec<Vec<Cell>>,
) -> (u16, Value) {
    let out = ask(house, "GET", "/Calls.json", query);
    let (ticket, _) = out.loads()[0];
    answer(&house.reply(ticket, Reply::Rows(Ok(rows))))
}

#[test]
fn a_call_is_canceled_or_comes_to_nothing() {
    let mut house = house();
    let out = ask(&mut house, "POST", "/Calls.json", FORM);
    let out = hears(&mut house, out);
    let invite = out.requests("INVITE").pop().unwrap();
    let ringing = house.answer(&invite, "180 Ringing", "");
    hears(&mut house, ringing);
    let path = format!("/Calls/{}.json", answer(&out).1["sid"].as_str().unwrap());
    let (status, no) = answer(&ask(&mut house, "POST", &path, &[("Url", "http://a.example/")]));
    assert_eq!((status, &no["code"]), (400, &21220.into()));
    let out = ask(&mut house, "POST", &path, &[("Status", "canceled")]);
    assert_eq!(answer(&out).1["status"], "canceled");
    assert!(!out.requests("CANCEL").is_empty());
    assert_eq!(told(&out), [("canceled".to_owned(), "2".to_owned())]);
    hears(&mut house, out);
    // Busy; and nobody there.
    let out = ask(&mut house, "POST", "/Calls.json", FORM);
    let out = hears(&mut house, out);
    let invite = out.requests("INVITE").pop().unwrap();
    let out = house.answer(&invite, "486 Busy Here", "");
    let out = hears(&mut house, out);
    assert_eq!(told(&out), [("busy".to_owned(), "1".to_owned())]);
    let mut nobody = FORM.to_vec();
    nobody[0] = ("To", "client:nobody");
    let out = ask(&mut house, "POST", "/Calls.json", &nobody);
    let out = hears(&mut house, out);
    assert_eq!(answer(&out).0, 201);
    assert_eq!(told(&out).last().unwrap().0, "failed");
    assert_eq!(house.sessions_kept(), 0);
    let (_, list) = answer_of_list(&mut house, &[("Status", "busy")], Vec::new());
    assert_eq!(list["calls"].as_array().unwrap().len(), 1);
    // A server that is about to end calls nobody.
    house.give(Input::Drain);
    let (status, no) = answer(&ask(&mut house, "POST", "/Calls.json", FORM));
    assert_eq!((status, &no["code"]), (503, &20503.into()));
}

#[test]
fn a_call_that_rings_ends_with_the_process_and_says_so() {
    let mut house = house();
    let out = ask(&mut house, "POST", "/Calls.json", FORM);
    let sid = answer(&out).1["sid"].as_str().unwrap().to_owned();
    let mut house =
        Phones::with_log(|| Box::new(Room::new(Config::default())), house.log.clone(), 0);
    let (status, over) = answer(&ask(&mut house, "GET", &format!("/Calls/{sid}.json"), &[]));
    assert_eq!((status, &over["status"]), (200, &"failed".into()));
    // What the app had not heard when the process ended, then the end.
    let out = house.seconds(1);
    let out = hears(&mut house, out);
    let words: Vec<_> = told(&out).into_iter().map(|(status, _)| status).collect();
    assert_eq!(words, ["initiated", "failed"]);
    assert_eq!(house.sessions_kept(), 0);
}

#[test]
fn what_is_wrong_is_said_in_the_vendors_numbers() {
    let mut house = house();
    let with = |name: &'static str, value: &'static str| {
        let mut form: Vec<_> = FORM.iter().filter(|(known, _)| *known != name).copied().collect();
        form.push((name, value));
        form
    };
    for (form, code) in [
        (with("To", ""), 21201),
        (with("To", "sip:"), 21211),
        (with("To", "bob and alice"), 21211),
        (with("From", ""), 21213),
        (with("From", "< >"), 21212),
        (with("Url", ""), 21205),
        (with("Url", "ftp://a"), 21205),
        (with("Method", "PUT"), 21209),
        (with("SendDigits", "x"), 21206),
        (with("Timeout", "soon"), 21208),
    ] {
        let (status, no) = answer(&ask(&mut house, "POST", "/Calls.json", &form));
        assert_eq!((status, &no["code"]), (400, &code.into()), "{form:?}");
        assert_eq!(no["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    let mut outward = with("To", "+15550199");
    outward.retain(|(name, _)| *name != "From");
    outward.push(("From", "+15550111"));
    let (status, no) = answer(&ask(&mut house, "POST", "/Calls.json", &outward));
    assert_eq!((status, &no["code"]), (400, &21210.into()));
    for (method, path, status, code) in [
        ("GET", "/Nothing.json", 404, 20404),
        ("GET", "/Addresses.json", 404, 20404),
        ("DELETE", "/Calls.json", 405, 20004),
        ("GET", "/../AC1.json", 404, 20404),
    ] {
        let (found, no) = answer(&ask(&mut house, method, path, &[]));
        assert_eq!((found, &no["code"]), (status, &code.into()), "{path}");
    }
    let (status, no) = answer(&ask(&mut house, "GET", "/Calls.json", &[("PageSize", "0")]));
    assert_eq!((status, &no["code"]), (400, &20007.into()));
    let (status, account) = answer(&ask(&mut house, "GET", ".json", &[]));
    assert_eq!(
        (status, &account["sid"], &account["status"]),
        (200, &ACCOUNT.into(), &"active".into())
    );
}

#[test]
fn numbers_are_shown_and_recordings_go_with_their_files() {
    let mut house = house();
    let (_, list) = answer(&ask(&mut house, "GET", "/IncomingPhoneNumbers.json", &[]));
    let number = &list["incoming_phone_numbers"][0];
    assert_eq!(
        (&number["phone_number"], &number["voice_url"]),
        (&"+15550100".into(), &"http://app.example/start".into())
    );
    let path = format!("/IncomingPhoneNumbers/{}.json", number["sid"].as_str().unwrap());
    assert_eq!(answer(&ask(&mut house, "GET", &path, &[])).1["phone_number"], "+15550100");
    for (method, path, expected) in [
        ("GET", "/IncomingPhoneNumbers/PN1.json", 404),
        ("POST", "/IncomingPhoneNumbers.json", 400),
        ("GET", "/AvailablePhoneNumbers/US/Local.json", 200),
    ] {
        assert_eq!(answer(&ask(&mut house, method, path, &[])).0, expected, "{path}");
    }
    // It is changed when the room that keeps numbers says so.
    let form = [("VoiceUrl", "http://app.example/new"), ("VoiceMethod", "GET")];
    ask(&mut house, "POST", &path, &form);
    let wanted = house.heard().into_iter().find_map(|notice| match notice {
        Notice::NumberWanted { wanted, .. } => wanted,
        _ => None,
    });
    let wanted = wanted.expect("it is wanted");
    let change = Change::Number(wanted.number.clone(), Some(*wanted));
    let (status, number) = answer(&house.notice(Notice::RoutingChanged(Box::new(change))));
    assert_eq!((status, &number["voice_url"]), (200, &"http://app.example/new".into()));
    ask(&mut house, "DELETE", &path, &[]);
    let (status, late) = answer(&house.seconds(6));
    assert_eq!((status, &late["code"]), (503, &20503.into()));
    let recording = || {
        let text = |text: &str| Cell::Text(text.to_owned());
        let body = r#"{"address":"/media/ab12.wav","seconds":3}"#;
        vec![text("RE1"), text("CA1"), text(""), text(body), Cell::Int(5), Cell::Int(5)]
    };
    let out = ask(&mut house, "GET", "/Recordings/RE1.wav", &[]);
    let (ticket, _) = out.loads()[0];
    let out = house.reply(ticket, Reply::Rows(Ok(vec![recording()])));
    let file = out.list.iter().find_map(|output| match output {
        Output::Api { response, .. } => Some(response.clone()),
        _ => None,
    });
    let file = file.unwrap();
    let leads = ("Location".to_owned(), "/media/ab12.wav".to_owned());
    assert_eq!((file.status, file.headers), (302, vec![leads]));
    // Its row may be on its way when an app asks that was just told of it: it is looked for twice, then it is not there.
    for (row, status) in [(vec![recording()], 302), (Vec::new(), 404)] {
        let out = ask(&mut house, "GET", "/Recordings/RE1.mp3", &[]);
        let (ticket, _) = out.loads()[0];
        let none = house.reply(ticket, Reply::Rows(Ok(Vec::new())));
        assert!(!none.list.iter().any(|output| matches!(output, Output::Api { .. })));
        let (ticket, _) = house.seconds(1).loads()[0];
        let out = house.reply(ticket, Reply::Rows(Ok(row)));
        let found = out.list.iter().find_map(|output| match output {
            Output::Api { response, .. } => Some(response.status),
            _ => None,
        });
        assert_eq!(found, Some(status));
    }
    let out = ask(&mut house, "DELETE", "/Recordings/RE1.json", &[]);
    let (ticket, _) = out.loads()[0];
    let out = house.reply(ticket, Reply::Rows(Ok(vec![recording()])));
    let forgotten = |output: &Output| matches!(output, Output::Sound(switchboard::SoundOrder::Forget { hash }) if hash == "ab12");
    assert!(out.list.iter().any(forgotten));
    let (ticket, _) = out.writes()[0];
    assert_eq!(answer(&house.reply(ticket, Reply::Written(Ok(())))).0, 204);
}

#[test]
fn messages_are_written_down_and_go_to_whoever_delivers() {
    let mut house = house();
    let form = [("To", "client:bob"), ("From", "shop"), ("Body", "Grüße")];
    let out = ask(&mut house, "POST", "/Messages.json", &form);
    let (ticket, _) = out.writes()[0];
    assert!(!house.heard().iter().any(|notice| matches!(notice, Notice::LetterWanted(_))));
    let (status, sent) = answer(&house.reply(ticket, Reply::Written(Ok(()))));
    assert_eq!((status, &sent["body"], &sent["to"]), (201, &"Grüße".into(), &"client:bob".into()));
    let letter = house.heard().into_iter().find_map(|notice| match notice {
        Notice::LetterWanted(plan) => Some(plan),
        _ => None,
    });
    let letter = letter.expect("it goes out");
    assert_eq!((&*letter.to, &*letter.from_uri), ("bob", "sip:shop@example.org"));
    for (name, value, code) in [
        ("To", "client:nobody", 21211),
        ("To", "+15550123", 21211),
        ("To", "", 21604),
        ("From", "", 21603),
        ("Body", "", 21602),
        ("MediaUrl", "http://a.example/", 20422),
    ] {
        let mut form: Vec<_> = form.iter().filter(|(known, _)| *known != name).copied().collect();
        form.push((name, value));
        let (status, no) = answer(&ask(&mut house, "POST", "/Messages.json", &form));
        assert_eq!((status, &no["code"]), (400, &code.into()), "{name} {value}");
    }
}

#[test]
fn lists_go_over_pages_and_calls_are_forgotten() {
    let mut house = house();
    let row = |n: u64| {
        let row = format!(
            r#"{{"sid":"CA{n:032}","status":"completed","began":{},"answered":null,"ended":{}}}"#,
            1_700_000_000_000_000 + n,
            1_700_000_001_000_000 + n
        );
        vec![Cell::Text(row)]
    };
    let rows = |from: u64, until: u64| (until..from).rev().map(|n| row(n + 1)).collect::<Vec<_>>();
    let (_, page) = answer_of_list(&mut house, &[("PageSize", "2")], rows(3, 0));
    assert_eq!(page["calls"].as_array().unwrap().len(), 2);
    let next = page["next_page_uri"].as_str().unwrap().to_owned();
    let token = next.split("PageToken=").nth(1).unwrap().to_owned();
    let query = [("PageSize", "2"), ("Page", "1"), ("PageToken", token.as_str())];
    let out = ask(&mut house, "GET", "/Calls.json", &query);
    let (ticket, load) = out.loads()[0];
    assert!(load.values.contains(&Cell::Int(1_700_000_000_000_002)), "{load:?}");
    let (_, last) = answer(&house.reply(ticket, Reply::Rows(Ok(rows(1, 0)))));
    assert_eq!((&last["page"], &last["next_page_uri"]), (&1.into(), &Value::Null));
    // One of them is forgotten.
    let sid = last["calls"][0]["sid"].as_str().unwrap().to_owned();
    let path = format!("/Calls/{sid}.json");
    let out = ask(&mut house, "DELETE", &path, &[]);
    let (ticket, _) = out.loads()[0];
    let out = house.reply(ticket, Reply::Rows(Ok(rows(1, 0))));
    let (ticket, _) = out.writes()[0];
    assert_eq!(answer(&house.reply(ticket, Reply::Written(Ok(())))).0, 204);
    let out = ask(&mut house, "GET", &path, &[]);
    let (ticket, _) = out.loads()[0];
    assert_eq!(answer(&house.reply(ticket, Reply::Rows(Ok(Vec::new())))).0, 404);
    // Without a suffix it is XML.
    let out = ask(&mut house, "GET", "", &[]);
    let text = out.list.iter().find_map(|output| match output {
        Output::Api { response, .. } => Some(String::from_utf8(response.body.clone()).unwrap()),
        _ => None,
    });
    assert!(text.unwrap().contains("<TwilioResponse><Account>"));
}

#[test]
fn whom_a_program_dials_is_a_call_of_its_own() {
    let mut house = house();
    house.bind("carol", 3);
    let dial = "<Response><Dial><Client>carol</Client></Dial><Pause length='60'/></Response>";
    let mut form: Vec<_> = FORM.iter().filter(|(name, _)| *name != "Url").copied().collect();
    form.push(("Twiml", dial));
    let out = ask(&mut house, "POST", "/Calls.json", &form);
    let sid = answer(&out).1["sid"].as_str().unwrap().to_owned();
    let out = hears(&mut house, out);
    let out = picks_up(&mut house, &out.requests("INVITE").pop().unwrap());
    let out = hears(&mut house, out);
    let invite = out.requests("INVITE").pop().expect("carol is called");
    house.say(3, &reply_to(&invite, "180 Ringing", "Contact: <sip:carol@192.0.2.3>\r\n"));
    let (_, list) = answer_of_list(&mut house, &[("ParentCallSid", &sid)], Vec::new());
    let leg = &list["calls"][0];
    assert_eq!(
        (&leg["status"], &leg["direction"], &leg["to"], &list["calls"][1]),
        (&"ringing".into(), &"outbound-dial".into(), &"client:carol".into(), &Value::Null)
    );
    let path = format!("/Calls/{}.json", leg["sid"].as_str().unwrap());
    assert_eq!(answer(&ask(&mut house, "GET", &path, &[])).1["parent_call_sid"], sid.as_str());
    assert_eq!(answer(&ask(&mut house, "DELETE", &path, &[])).0, 409);
    let (status, no) = answer(&ask(&mut house, "POST", &path, &[("Twiml", "<Response/>")]));
    assert_eq!((status, &no["code"]), (400, &21220.into()));
    let out = ask(&mut house, "POST", &path, &[("Status", "canceled")]);
    assert!(!out.requests("CANCEL").is_empty());
    assert_eq!(answer(&out).1["status"], "canceled");
    let (status, no) = answer(&ask(&mut house, "POST", &path, &[("Status", "completed")]));
    assert_eq!((status, &no["code"]), (400, &21220.into()));
    // Its caller's call goes on, and both are kept when that ends.
    let own = format!("/Calls/{sid}.json");
    assert_eq!(answer(&ask(&mut house, "GET", &own, &[])).1["status"], "in-progress");
    let over = ask(&mut house, "POST", &own, &[("Status", "completed")]);
    assert_eq!(answer(&ask(&mut house, "GET", &path, &[])).1["status"], "canceled");
    let rows = over.list.iter().map(|output| match output {
        Output::Save { entry, .. } => voice::store::project(entry).len(),
        _ => 0,
    });
    let rows: usize = rows.sum();
    assert_eq!(rows, 2);
}

#[test]
fn events_of_a_call_are_shown_and_kept() {
    let mut house = house();
    let out = ask(&mut house, "POST", "/Calls.json", FORM);
    let sid = answer(&out).1["sid"].as_str().unwrap().to_owned();
    let out = hears(&mut house, out);
    let out = picks_up(&mut house, &out.requests("INVITE").pop().unwrap());
    let out = hears(&mut house, out);
    let (ticket, _) = fetches(&out).into_iter().find(|(_, f)| f.url.ends_with("/hello")).unwrap();
    house.reply(ticket, document("<Pause length='60'/>"));
    let path = format!("/Calls/{sid}/Events.json");
    let (status, list) = answer(&ask(&mut house, "GET", &path, &[]));
    let events = list["events"].as_array().unwrap();
    assert_eq!((status, events.len()), (200, 3), "{list}");
    let (request, response) = (&events[2]["request"], &events[2]["response"]);
    assert_eq!(
        (&request["url"], &request["parameters"]["CallSid"], &response["response_code"]),
        (&"http://app.example/hello".into(), &sid.as_str().into(), &200.into())
    );
    let (_, page) = answer(&ask(&mut house, "GET", &path, &[("PageSize", "2")]));
    assert!(page["next_page_uri"].as_str().unwrap().contains("PageToken=PA2"), "{page}");
    // The last one is told when the call is over; then all are written down.
    let out = ask(&mut house, "POST", &format!("/Calls/{sid}.json"), &[("Status", "completed")]);
    let out = hears(&mut house, out);
    let kept = out.writes().into_iter().find_map(|(_, batch)| {
        let values = &batch.statements[0].values;
        (values[0] == Cell::Text("events".into())).then(|| values.clone())
    });
    let kept = kept.expect("they are written down");
    assert_eq!(kept[2], Cell::Text(sid));
    let Cell::Text(body) = &kept[4] else { panic!("{kept:?}") };
    assert_eq!(serde_json::from_str::<Vec<Value>>(body).unwrap().len(), 4);
    let out = ask(&mut house, "GET", &path, &[]);
    let (ticket, _) = out.loads()[0];
    let row = [&kept[1..], &[Cell::Int(9), Cell::Int(9)]].concat();
    let row = row.into_iter().take(6).collect();
    let (_, list) = answer(&house.reply(ticket, Reply::Rows(Ok(vec![row]))));
    assert_eq!(list["events"].as_array().map(Vec::len), Some(4));
    assert_eq!(answer(&ask(&mut house, "POST", &path, &[])).0, 405);
}

#[test]
fn what_is_told_in_vain_is_noted() {
    let mut house = house();
    let out = ask(&mut house, "POST", "/Calls.json", FORM);
    let sid = answer(&out).1["sid"].as_str().unwrap().to_owned();
    let (ticket, _) = fetches(&out)[0];
    let fault = switchboard::fetch::FetchFault::TotalTimeout;
    let out = house.reply(ticket, Reply::Fetched(Err(fault)));
    let noted = out.writes().into_iter().find_map(|(_, batch)| {
        let values = batch.statements[0].values.clone();
        (values[0] == Cell::Text("notification".into())).then_some(values)
    });
    let noted = noted.expect("a notification");
    assert_eq!(noted[2], Cell::Text(sid));
    let Cell::Text(body) = &noted[4] else { panic!("{noted:?}") };
    assert!(body.contains("15003") && body.contains("http://app.example/told"), "{body}");
}

/// Where the vendor's own description lies, when it is there.
fn description() -> Option<Value> {
    let folder = std::env::var_os("CARILLON_OUTSIDE_DATA")?;
    let path = std::path::Path::new(&folder).join("twilio/twilio_api_v2010.json");
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).expect("the description is JSON"))
}

/// What does not fit: where, and why.
fn misfits(all: &Value, schema: &Value, value: &Value, place: &str, out: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = all.pointer(name.trim_start_matches('#')).expect("the description is whole");
        return misfits(all, target, value, place, out);
    }
    if value.is_null() {
        if schema["nullable"] != true && schema.get("type").is_some() {
            out.push(format!("{place} is null"));
        }
        return;
    }
    let right = match schema["type"].as_str() {
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        _ => true,
    };
    if !right {
        out.push(format!("{place} is {value}, and should be {}", schema["type"]));
    }
    if let (Some(words), Some(_)) = (schema["enum"].as_array(), value.as_str())
        && !words.contains(value)
    {
        out.push(format!("{place} is {value}, which is none of {words:?}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && let Some(prefix) =
            pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix("[0-9a-fA-F]{32}$"))
    {
        let digits = text.strip_prefix(prefix).unwrap_or_default();
        if digits.len() != 32 || !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            out.push(format!("{place} is {text}, and should fit {pattern}"));
        }
    }
    if let (Some(known), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, field) in fields {
            match known.get(name) {
                Some(schema) => misfits(all, schema, field, &format!("{place}.{name}"), out),
                None => out.push(format!("{place}.{name} is nothing that the vendor has")),
            }
        }
        for name in known.keys().filter(|name| !fields.contains_key(*name)) {
            out.push(format!("{place}.{name} is missing"));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        misfits(all, &schema["items"], item, &format!("{place}[{at}]"), out);
    }
}

#[test]
fn outside_data_says_that_answers_have_the_vendors_shapes() {
    let Some(all) = description() else { return };
    let mut house = house();
    let mut seen = Vec::new();
    let (_, made) = answer(&ask(&mut house, "POST", "/Calls.json", FORM));
    let call = format!("/Calls/{}.json", made["sid"].as_str().unwrap());
    seen.push(("api.v2010.account.call", made));
    seen.push(("api.v2010.account.call", answer(&ask(&mut house, "GET", &call, &[])).1));
    seen.push(("api.v2010.account", answer(&ask(&mut house, "GET", ".json", &[])).1));
    seen.push((
        "api.v2010.account.balance",
        answer(&ask(&mut house, "GET", "/Balance.json", &[])).1,
    ));
    let out = ask(&mut house, "POST", "/Applications.json", &[("FriendlyName", "shop")]);
    let (ticket, _) = out.writes()[0];
    let (_, made) = answer(&house.reply(ticket, Reply::Written(Ok(()))));
    seen.push(("api.v2010.account.application", made));
    for (path, kind, body) in [
        (
            "/Recordings/RE1.json",
            "recording",
            r#"{"seconds":3,"channels":1,"start":5,"source":"RecordVerb"}"#,
        ),
        (
            "/Notifications/NO1.json",
            "notification",
            r#"{"class":"error","code":11200,"sentence":"x","url":"http://a/"}"#,
        ),
    ] {
        let out = ask(&mut house, "GET", path, &[]);
        let (ticket, _) = out.loads()[0];
        let text = |text: String| Cell::Text(text);
        let prefix = if kind == "recording" { "RE" } else { "NO" };
        let row = vec![
            text(format!("{prefix}{}", "0".repeat(32))),
            text(format!("CA{}", "1".repeat(32))),
            text(String::new()),
            text(body.to_owned()),
            Cell::Int(1_700_000_000_000_000),
            Cell::Int(1_700_000_000_000_000),
        ];
        let (_, value) = answer(&house.reply(ticket, Reply::Rows(Ok(vec![row]))));
        let schema = if kind == "recording" { "recording" } else { "notification-instance" };
        let name: &'static str = match schema {
            "recording" => "api.v2010.account.recording",
            _ => "api.v2010.account.notification-instance",
        };
        seen.push((name, value));
    }
    let number = format!("/IncomingPhoneNumbers/PN{:0>32}.json", "15550100");
    let (_, number) = answer(&ask(&mut house, "GET", &number, &[]));
    seen.push(("api.v2010.account.incoming_phone_number", number));
    let mut found = Vec::new();
    for (name, value) in &seen {
        let schema = &all["components"]["schemas"][*name];
        assert!(schema.is_object(), "{name}");
        misfits(&all, schema, value, name, &mut found);
    }
    let (_, list) = answer_of_list(&mut house, &[], Vec::new());
    let path = "/2010-04-01/Accounts/{AccountSid}/Calls.json";
    let response = &all["paths"][path]["get"]["responses"]["200"];
    misfits(&all, &response["content"]["application/json"]["schema"], &list, "calls", &mut found);
    assert_eq!(found, Vec::<String>::new());
}
