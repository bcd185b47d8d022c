//! What stands beside calls: numbers, recordings, messages, events, streams, participants.

use super::*;

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

#[test]
fn streams_and_words_begin_and_end_by_request() {
    let mut house = house();
    let sid = talks(&mut house);
    let form = [
        ("Url", "wss://app.example/media"),
        ("Name", "one"),
        ("Track", "both_tracks"),
        ("Parameter1.Name", "shop"),
        ("Parameter1.Value", "7"),
        ("StatusCallback", "http://app.example/told"),
    ];
    let path = format!("/Calls/{sid}/Streams.json");
    let out = ask(&mut house, "POST", &path, &form);
    let (status, made) = answer(&out);
    assert_eq!(
        (status, &made["status"], &made["name"]),
        (200, &"in-progress".into(), &"one".into())
    );
    let plan = out.list.iter().find_map(|output| match output {
        Output::Stream(switchboard::stream::StreamOrder::Open { plan, .. }) => Some(plan.clone()),
        _ => None,
    });
    let plan = plan.expect("it is opened");
    assert_eq!(plan.parameters, [("shop".to_owned(), "7".to_owned())]);
    for (form, code) in [
        (vec![], 20001),
        (vec![("Url", "http://app.example/")], 31922),
        (vec![("Url", "wss://")], 31923),
        (vec![("Url", "wss://app.example/"), ("Track", "all")], 31940),
    ] {
        let (status, no) = answer(&ask(&mut house, "POST", &path, &form));
        assert_eq!((status, &no["code"]), (400, &code.into()), "{form:?}");
    }
    for _ in 1..4 {
        let out = ask(&mut house, "POST", &path, &[("Url", "wss://app.example/more")]);
        assert_eq!(answer(&out).0, 200);
    }
    let (_, no) = answer(&ask(&mut house, "POST", &path, &[("Url", "wss://app.example/more")]));
    assert_eq!(no["code"], 31960);
    let one = format!("/Calls/{sid}/Streams/one.json");
    assert_eq!(answer(&ask(&mut house, "POST", &one, &[("Status", "x")])).0, 400);
    let (status, over) = answer(&ask(&mut house, "POST", &one, &[("Status", "stopped")]));
    assert_eq!((status, &over["status"], &over["sid"]), (200, &"stopped".into(), &made["sid"]));
    let other = format!("/Calls/{sid}/Streams/MZ1.json");
    assert_eq!(answer(&ask(&mut house, "POST", &other, &[("Status", "stopped")])).0, 404);
    // No recording server is configured.
    let path = format!("/Calls/{sid}/Siprec.json");
    let (status, no) = answer(&ask(&mut house, "POST", &path, &[("ConnectorName", "one")]));
    assert_eq!((status, &no["code"]), (400, &31940.into()));
    let other = format!("/Calls/{sid}/Siprec/SR1.json");
    assert_eq!(answer(&ask(&mut house, "POST", &other, &[("Status", "stopped")])).0, 404);
    // Words.
    let path = format!("/Calls/{sid}/Transcriptions.json");
    let form = [("StatusCallbackUrl", "http://app.example/told"), ("LanguageCode", "en-US")];
    let (status, made) = answer(&ask(&mut house, "POST", &path, &form));
    assert_eq!((status, &made["status"]), (200, &"in-progress".into()));
    let one = format!("/Calls/{sid}/Transcriptions/{}.json", made["sid"].as_str().unwrap());
    let (status, over) = answer(&ask(&mut house, "POST", &one, &[("Status", "stopped")]));
    assert_eq!((status, &over["status"]), (200, &"stopped".into()));
    assert_eq!(answer(&ask(&mut house, "POST", &one, &[("Status", "stopped")])).0, 404);
    assert_eq!(answer(&ask(&mut house, "GET", &one, &[])).0, 405);
    let nobody = format!("/Calls/CA{}/Streams.json", "1".repeat(32));
    assert_eq!(answer(&ask(&mut house, "POST", &nobody, &form)).0, 404);
}

#[test]
fn participants_are_called() {
    let mut house = house();
    house.bind("carol", 3);
    let form = [
        ("To", "client:bob"),
        ("From", "shop"),
        ("Label", "first"),
        ("Muted", "true"),
        ("Beep", "false"),
        ("EndConferenceOnExit", "true"),
    ];
    let people = "/Conferences/Team/Participants.json";
    let out = ask(&mut house, "POST", people, &form);
    let (status, made) = answer(&out);
    assert_eq!((status, &made["status"], &made["muted"]), (201, &"queued".into(), &true.into()));
    let conference = made["conference_sid"].as_str().unwrap().to_owned();
    let call = made["call_sid"].as_str().unwrap().to_owned();
    let to_bob = out.requests("INVITE").pop().unwrap();
    let own = format!("/Conferences/{conference}/Participants/first.json");
    house.say(2, &reply_to(&to_bob, "180 Ringing", "Contact: <sip:bob@192.0.2.2>\r\n"));
    assert_eq!(answer(&ask(&mut house, "GET", &own, &[])).1["status"], "ringing");
    let path = format!("/Conferences/{conference}/Participants.json");
    assert_eq!(answer(&ask(&mut house, "GET", &path, &[])).1["participants"][0]["label"], "first");
    // Another one, who is wanted no more.
    let other = [("To", "client:carol"), ("From", "shop")];
    let out = ask(&mut house, "POST", people, &other);
    let (_, second) = answer(&out);
    assert_eq!(second["conference_sid"], conference.as_str());
    let to_carol = out.requests("INVITE").pop().unwrap();
    house.say(3, &reply_to(&to_carol, "180 Ringing", "Contact: <sip:carol@192.0.2.3>\r\n"));
    let second = second["call_sid"].as_str().unwrap();
    let path_of = format!("/Conferences/{conference}/Participants/{second}.json");
    let out = ask(&mut house, "DELETE", &path_of, &[]);
    assert_eq!((answer(&out).0, out.requests("CANCEL").len()), (204, 1));
    // He comes: the conference has the name that was told.
    picks_up(&mut house, &to_bob);
    let (_, joined) = answer(&ask(&mut house, "GET", &own, &[]));
    assert_eq!(
        (&joined["status"], &joined["call_sid"], &joined["end_conference_on_exit"]),
        (&"connected".into(), &call.as_str().into(), &true.into())
    );
    let (status, found) =
        answer(&ask(&mut house, "GET", &format!("/Conferences/{conference}.json"), &[]));
    assert_eq!((status, &found["friendly_name"]), (200, &"Team".into()));
    for (name, value, code) in [
        ("Label", "first", 16026),
        ("Label", "a/b", 16024),
        ("MaxParticipants", "1", 20422),
        ("Beep", "loud", 20422),
        ("CallSidToCoach", "CA1", 16028),
        ("Coaching", "true", 16028),
        ("ConferenceStatusCallback", "ftp://a", 21205),
        ("ConferenceRecord", "perhaps", 20422),
        ("To", "", 21201),
    ] {
        let mut form = other.to_vec();
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        let (status, no) = answer(&ask(&mut house, "POST", &path, &form));
        assert_eq!((status, &no["code"]), (400, &code.into()), "{name} {value}");
    }
    let nowhere = format!("/Conferences/CF{}/Participants.json", "1".repeat(32));
    assert_eq!(answer(&ask(&mut house, "POST", &nowhere, &other)).0, 404);
}

#[test]
fn a_key_opens_what_the_account_opens_until_it_is_deleted() {
    let mut house = house();
    let out = ask(&mut house, "POST", "/Keys.json", &[("FriendlyName", "shop")]);
    let (ticket, _) = out.writes()[0];
    let (status, made) = answer(&house.reply(ticket, Reply::Written(Ok(()))));
    assert_eq!((status, made["secret"].as_str().map(str::len)), (201, Some(32)));
    let sid = made["sid"].as_str().unwrap().to_owned();
    let row = || {
        let text = |text: &str| Cell::Text(text.to_owned());
        vec![text(&sid), text(""), text("shop"), text("{}"), Cell::Int(5), Cell::Int(5)]
    };
    let path = format!("/Keys/{sid}.json");
    let out = ask(&mut house, "GET", &path, &[]);
    let (ticket, _) = out.loads()[0];
    let (_, shown) = answer(&house.reply(ticket, Reply::Rows(Ok(vec![row()]))));
    assert_eq!((&shown["friendly_name"], shown.get("secret")), (&"shop".into(), None));
    let with = |house: &mut Phones, path: &str| {
        let whole = format!("Accounts/{ACCOUNT}{path}");
        house.give(Input::Api(ApiRequest {
            id: 7,
            room: "voice".into(),
            endpoint: 1,
            path: whole.split('/').map(str::to_owned).collect(),
            bearer: sid.clone(),
            ..ApiRequest::default()
        }))
    };
    let out = with(&mut house, "/Balance.json");
    let (ticket, _) = out.loads()[0];
    assert_eq!(answer(&house.reply(ticket, Reply::Rows(Ok(vec![row()])))).0, 200);
    let out = with(&mut house, "/Balance.json");
    let (ticket, _) = out.loads()[0];
    let (status, no) = answer(&house.reply(ticket, Reply::Rows(Ok(Vec::new()))));
    assert_eq!((status, &no["code"]), (401, &20003.into()));
    let (status, no) = answer(&with(&mut house, "/Keys.json"));
    assert_eq!((status, &no["code"]), (403, &20003.into()));
}

#[test]
fn what_was_used_is_counted() {
    let mut house = house();
    let day = 20_779; // 2026-11-22
    let row = |what: &str, count, minutes| {
        vec![Cell::Text(what.into()), Cell::Int(day), Cell::Int(count), Cell::Int(minutes)]
    };
    let rows = vec![row("inbound", 2, 5), row("outbound-api", 1, 0), row("recording", 3, 0)];
    let out = ask(&mut house, "GET", "/Usage/Records/Daily.json", &[("Category", "calls")]);
    let (ticket, _) = out.loads()[0];
    let (status, list) = answer(&house.reply(ticket, Reply::Rows(Ok(rows.clone()))));
    let one = &list["usage_records"][0];
    assert_eq!((status, &list["usage_records"][1]), (200, &Value::Null));
    assert_eq!(
        (&one["count"], &one["usage"], &one["start_date"]),
        (&"3".into(), &"5".into(), &"2026-11-22".into())
    );
    let span = [("StartDate", "2026-11-01"), ("EndDate", "2026-11-30")];
    let out = ask(&mut house, "GET", "/Usage/Records.json", &span);
    let (ticket, load) = out.loads()[0];
    let first = 1_793_491_200_000_000;
    assert_eq!(load.values[..2], [Cell::Int(first), Cell::Int(first + 30 * 86_400_000_000)]);
    let (_, list) = answer(&house.reply(ticket, Reply::Rows(Ok(rows))));
    assert_eq!(list["usage_records"].as_array().map(Vec::len), Some(6));
    assert_eq!(answer(&ask(&mut house, "GET", "/Usage/Triggers.json", &[])).0, 404);
    let wrong = [("StartDate", "tomorrow")];
    assert_eq!(answer(&ask(&mut house, "GET", "/Usage/Records.json", &wrong)).0, 400);
}

#[test]
fn callers_that_may_be_shown_are_our_numbers() {
    let mut house = house();
    let (_, list) = answer(&ask(&mut house, "GET", "/OutgoingCallerIds.json", &[]));
    let one = &list["outgoing_caller_ids"][0];
    assert_eq!(one["phone_number"], "+15550100");
    let path = format!("/OutgoingCallerIds/{}.json", one["sid"].as_str().unwrap());
    assert_eq!(answer(&ask(&mut house, "GET", &path, &[])).1["sid"], one["sid"]);
    assert_eq!(answer(&ask(&mut house, "DELETE", &path, &[])).0, 404);
    let (status, token) = answer(&ask(&mut house, "POST", "/Tokens.json", &[("Ttl", "60")]));
    assert_eq!(
        (status, &token["ttl"], &token["ice_servers"]),
        (201, &"60".into(), &Value::Array(vec![]))
    );
}

#[test]
fn a_call_is_recorded_by_request() {
    let mut house = house();
    let sid = talks(&mut house);
    let path = format!("/Calls/{sid}/Recordings.json");
    let form =
        [("RecordingChannels", "dual"), ("RecordingStatusCallback", "http://app.example/told")];
    let out = ask(&mut house, "POST", &path, &form);
    let (status, made) = answer(&out);
    assert_eq!(
        (status, &made["status"], &made["channels"], &made["call_sid"]),
        (201, &"in-progress".into(), &2.into(), &sid.as_str().into())
    );
    let recording = made["sid"].as_str().unwrap();
    let kept = |out: &driver::Out| {
        let writes = out.writes();
        let found = writes.iter().map(|(_, batch)| batch.statements[0].values.clone());
        let mut found = found.filter(|values| values[0] == Cell::Text("recording".into()));
        found.next().expect("it is kept")
    };
    assert_eq!(kept(&out)[1], Cell::Text(recording.into()));
    let orders = |out: &driver::Out| -> Vec<switchboard::SoundOrder> {
        let sound = |output: &Output| match output {
            Output::Sound(order) => Some(order.clone()),
            _ => None,
        };
        out.list.iter().filter_map(sound).collect()
    };
    let one = format!("/Calls/{sid}/Recordings/Twilio.CURRENT.json");
    let out = ask(&mut house, "POST", &one, &[("Status", "paused"), ("PauseBehavior", "skip")]);
    assert_eq!(answer(&out).1["status"], "paused");
    assert!(matches!(orders(&out)[..], [switchboard::SoundOrder::Pause { silent: false, .. }]));
    let out = ask(&mut house, "POST", &one, &[("Status", "in-progress")]);
    assert_eq!((answer(&out).1["status"].clone(), orders(&out).len()), ("in-progress".into(), 1));
    for form in [[("Status", "over"), ("", "")], [("Status", "paused"), ("PauseBehavior", "x")]] {
        assert_eq!(answer(&ask(&mut house, "POST", &one, &form)).0, 400, "{form:?}");
    }
    let own = format!("/Calls/{sid}/Recordings/{recording}.json");
    let (status, over) = answer(&ask(&mut house, "POST", &own, &[("Status", "stopped")]));
    assert_eq!((status, &over["status"]), (200, &"stopped".into()));
    assert_eq!(answer(&ask(&mut house, "POST", &own, &[("Status", "stopped")])).0, 404);
    for (name, value) in [("RecordingTrack", "all"), ("RecordingChannels", "5"), ("Trim", "much")] {
        assert_eq!(answer(&ask(&mut house, "POST", &path, &[(name, value)])).0, 400, "{name}");
    }
    // With the request that makes the call.
    let form = [
        ("To", "client:bob"),
        ("From", "shop"),
        ("Record", "true"),
        ("Twiml", "<Response><Pause length='60'/></Response>"),
    ];
    let out = ask(&mut house, "POST", "/Calls.json", &form);
    let out = picks_up(&mut house, &out.requests("INVITE").pop().unwrap());
    let Cell::Text(body) = &kept(&out)[4] else { panic!("text of a test") };
    assert!(body.contains("OutboundAPI") && body.contains("in-progress"), "{body}");
    assert!(matches!(orders(&out)[..], [switchboard::SoundOrder::Record { .. }]));
}
