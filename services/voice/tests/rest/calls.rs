//! Calls that are made, changed, listed, forgotten.

use super::*;

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
