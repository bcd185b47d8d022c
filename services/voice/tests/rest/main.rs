//! The API of apps.

mod beside;
mod calls;
mod shapes;

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

/// A call that talks, and waits.
fn talks(house: &mut Phones) -> String {
    let form = [
        ("To", "client:bob"),
        ("From", "shop"),
        ("Twiml", "<Response><Pause length='60'/></Response>"),
    ];
    let out = ask(house, "POST", "/Calls.json", &form);
    let sid = answer(&out).1["sid"].as_str().unwrap().to_owned();
    picks_up(house, &out.requests("INVITE").pop().unwrap());
    sid
}
