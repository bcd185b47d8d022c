//! Requests of rooms outside of calls: RFC 3261 §8.1 and §17.1.2, RFC 7616 for challenges.

mod common;

use common::{House, header, phone};
use switchboard::{Effects, Event, Input, Login, Reply, RequestPlan, Response, Session};
use types::{CallId, Secret, SessionId, Slot};

fn plan(login: bool) -> RequestPlan {
    let mut plan = RequestPlan::new(Slot(3), "MESSAGE", "sip:b@192.0.2.7", phone());
    plan.call = Some(CallId(7));
    plan.content_type = "text/plain".into();
    plan.body = b"hello".to_vec();
    plan.headers = vec![("Subject".into(), "none".into())];
    plan.login = login.then(|| Login { user: "u".into(), password: Secret::new("pw".into()) });
    plan
}

/// An OPTIONS to `ask` lets the room send its request, one to `login` with a login.
fn offer(session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
    let Session::Request { request, message, .. } = session else { return false };
    let uri = String::from_utf8_lossy(message.request_uri().unwrap()).into_owned();
    effects.respond(*request, 200, &[]);
    match uri.as_str() {
        "sip:many@example.org" => {
            for _ in 0..=switchboard::requests::REQUESTS_MAX {
                effects.request(plan(false));
            }
        }
        "sip:long@example.org" => {
            let body = vec![b'a'; switchboard::requests::BODY_MAX + 1];
            effects.request(RequestPlan { body, ..plan(false) });
        }
        "sip:invite@example.org" => {
            effects.request(RequestPlan { method: "INVITE".into(), ..plan(false) });
        }
        uri => {
            effects.request(plan(uri == "sip:login@example.org"));
        }
    }
    true
}

fn on_event(_: SessionId, _: &Event, _: &mut Effects<'_>) {}

fn ask(house: &mut House, whom: &str) -> Vec<String> {
    let mut sent = house.say(&format!(
        "OPTIONS sip:{whom}@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{whom}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: {whom}\r\nCSeq: 1 OPTIONS\r\n\r\n"
    ));
    sent.retain(|text| !text.starts_with("SIP/2.0"));
    sent
}

#[track_caller]
fn one(house: &House) -> Response {
    match house.replies().as_slice() {
        [Reply::Response(response)] => (**response).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_leaves_and_its_final_response_comes_once() {
    let mut house = House::new(offer, on_event);
    let sent = ask(&mut house, "ask");
    assert_eq!(sent.len(), 1);
    assert!(
        sent[0].starts_with("MESSAGE sip:b@192.0.2.7 SIP/2.0\r\n")
            && sent[0].ends_with("\r\n\r\nhello")
    );
    assert_eq!(header(&sent[0], "Subject"), "none");
    assert_eq!(header(&sent[0], "Content-Type"), "text/plain");
    house.answer(&sent[0], "100 Trying", "");
    assert!(house.replies().is_empty());
    house.answer(&sent[0], "202 Accepted", "X-Kind: late\r\n");
    let response = one(&house);
    assert_eq!((response.status, response.phrase.as_str()), (202, "Accepted"));
    assert_eq!((response.header("x-kind"), response.flow), (Some("late"), Some(phone())));
    house.answer(&sent[0], "202 Accepted", "");
    assert!(house.replies().is_empty());
    assert_eq!(house.gauge("requests"), 0);
}

#[test]
fn without_an_answer_it_is_sent_again_and_given_up() {
    let mut house = House::new(offer, on_event);
    let sent = ask(&mut house, "ask");
    let again = house.seconds(31);
    // Timer E: 0.5, 1.5, 3.5, then every four seconds.
    assert_eq!(again.iter().filter(|text| **text == sent[0]).count(), 9);
    assert!(house.replies().is_empty());
    house.seconds(2);
    assert_eq!(one(&house).status, 408);
}

#[test]
fn a_challenge_is_answered_once_and_a_stale_nonce_once_more() {
    let mut house = House::new(offer, on_event);
    let first = ask(&mut house, "login");
    let asks = |nonce: &str, more: &str| {
        format!("WWW-Authenticate: Digest realm=\"far\", nonce=\"{nonce}\", qop=\"auth\"{more}\r\n")
    };
    let second = house.answer(&first[0], "401 Unauthorized", &asks("one", ""));
    assert_eq!(header(&second[0], "CSeq"), "2 MESSAGE");
    for name in ["Call-ID", "From", "To"] {
        assert_eq!(header(&second[0], name), header(&first[0], name));
    }
    let proof = header(&second[0], "Authorization");
    assert!(proof.contains("nonce=\"one\"") && proof.contains("nc=00000001"), "{proof}");
    assert!(!second[0].contains("pw"));
    let third = house.answer(&second[0], "401 Unauthorized", &asks("two", ", stale=true"));
    assert!(header(&third[0], "Authorization").contains("nonce=\"two\""));
    let rest = house.answer(&third[0], "401 Unauthorized", &asks("three", ", stale=true"));
    assert!(rest.is_empty());
    assert_eq!(one(&house).status, 401);
}

#[test]
fn a_proxy_and_the_far_end_may_both_ask() {
    let mut house = House::new(offer, on_event);
    let first = ask(&mut house, "login");
    let proxy = "Proxy-Authenticate: Digest realm=\"hop\", nonce=\"h\", qop=\"auth\"\r\n";
    let second = house.answer(&first[0], "407 Proxy Authentication Required", proxy);
    let end = "WWW-Authenticate: Digest realm=\"end\", nonce=\"e\", qop=\"auth\"\r\n";
    let third = house.answer(&second[0], "401 Unauthorized", end);
    assert!(header(&third[0], "Proxy-Authorization").contains("nc=00000002"));
    assert!(header(&third[0], "Authorization").contains("realm=\"end\""));
    house.answer(&third[0], "200 OK", "");
    assert_eq!(one(&house).status, 200);
}

#[test]
fn a_wrong_password_and_no_password_are_final() {
    let mut house = House::new(offer, on_event);
    let asks = "WWW-Authenticate: Digest realm=\"far\", nonce=\"n\", qop=\"auth\"\r\n";
    let first = ask(&mut house, "ask");
    assert!(house.answer(&first[0], "401 Unauthorized", asks).is_empty());
    assert_eq!(one(&house).status, 401);
    let first = ask(&mut house, "login");
    let second = house.answer(&first[0], "401 Unauthorized", asks);
    assert!(house.answer(&second[0], "401 Unauthorized", asks).is_empty());
    assert_eq!(one(&house).status, 401);
}

#[test]
fn limits_answer_at_once() {
    let mut house = House::new(offer, on_event);
    assert!(ask(&mut house, "long").is_empty());
    assert_eq!(one(&house).status, 513);
    assert!(ask(&mut house, "invite").is_empty());
    assert_eq!(one(&house).status, 501);
    ask(&mut house, "many");
    assert_eq!(one(&house).status, 503);
}

#[test]
fn the_calls_ladder_shows_both_ways() {
    fn offer_and_look(session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        if let Session::Request { message, request, .. } = session
            && message.request_uri() == Some(b"sip:look@example.org")
        {
            let lines = effects.ladder_of(CallId(7)).len();
            effects.respond(*request, 200, &[(sip::Name::Subject, lines.to_string())]);
            return true;
        }
        offer(session, effects)
    }
    let mut house = House::new(offer_and_look, on_event);
    let sent = ask(&mut house, "ask");
    house.answer(&sent[0], "200 OK", "");
    let look = house.say(
        "OPTIONS sip:look@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKlook\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: look\r\nCSeq: 1 OPTIONS\r\n\r\n",
    );
    assert_eq!(header(&look[0], "Subject"), "2");
}

#[test]
fn a_forged_response_is_not_heard() {
    let mut house = House::new(offer, on_event);
    let sent = ask(&mut house, "ask");
    let text = common::response(&sent[0], "200 OK", "");
    let flow = types::Flow::udp(([203, 0, 113, 9], 5060).into());
    house.give(Input::Message { flow, bytes: text.as_bytes() });
    assert!(house.replies().is_empty());
}
