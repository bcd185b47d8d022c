//! The event stream: resumed, bounded, cut off.

use switchboard::input::EventText;

use super::*;

/// Reads an event stream until `count` events came.
async fn read_events(response: &mut reqwest::Response, count: usize) -> Vec<(Option<u64>, Value)> {
    let mut text = String::new();
    while text.matches("\ndata: ").count() < count || !text.ends_with("\n\n") {
        let chunk = response.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    text.split("\n\n")
        .filter_map(|block| {
            let data = serde_json::from_str(&field(block, "data: ")?).unwrap();
            Some((field(block, "id: ").map(|id| id.parse().unwrap()), data))
        })
        .collect()
}

fn line(n: u64) -> EventLine {
    EventLine {
        kind: "call.ended".into(),
        subject: format!("call_{n}"),
        time: UnixTime::seconds(n),
        data: EventText::Text(json!({"n": n}).to_string()),
    }
}

#[test]
fn events_are_streamed_and_resumed() {
    run(|| async {
        let house = house_with(echo, Limits { events_kept: 5, ..Limits::default() });
        let open = async |last: Option<String>| {
            let mut request = house.ask(Method::GET, "/v1/events");
            if let Some(last) = last {
                request = request.header("Last-Event-ID", last);
            }
            let mut response = request.send().await.unwrap();
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            // The opening comment: from here on nothing is missed.
            assert!(response.chunk().await.unwrap().unwrap().starts_with(b": "));
            response
        };
        let mut live = open(None).await;
        house.web.event(line(1));
        house.web.event(line(2));
        let seen = read_events(&mut live, 2).await;
        let first = seen[0].0.unwrap();
        assert_eq!(seen[1].0, Some(first + 1));
        assert_eq!(
            seen[0].1,
            json!({"specversion": "1.0", "id": first.to_string(), "source": "http://edge.test", "type": "call.ended",
                "subject": "call_1", "time": "1970-01-01T00:00:01.000Z", "datacontenttype": "application/json", "data": {"n": 1}})
        );
        drop(live);
        (3..=5).for_each(|n| house.web.event(line(n)));
        let mut resumed = open(Some((first + 1).to_string())).await;
        let ids: Vec<_> =
            read_events(&mut resumed, 3).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [Some(first + 2), Some(first + 3), Some(first + 4)]);
        (6..=8).for_each(|n| house.web.event(line(n)));
        let mut late = open(Some(first.to_string())).await;
        let seen = read_events(&mut late, 6).await;
        assert_eq!((seen[0].0, seen[0].1["type"].as_str()), (None, Some("events.gap")));
        assert_eq!(
            seen[0].1["data"],
            json!({"after": first.to_string(), "oldest": (first + 3).to_string()})
        );
        assert_eq!(seen[1].0, Some(first + 3));
        let mut all = open(Some("0".into())).await;
        assert_eq!(read_events(&mut all, 5).await[0].0, Some(first + 3));
    });
}

#[test]
fn quiet_streams_get_a_heartbeat_and_have_a_limit() {
    run(|| async {
        let limits =
            Limits { heartbeat: Duration::from_millis(50), streams: 1, ..Limits::default() };
        let house = house_with(echo, limits);
        let mut stream = house.get("/v1/events").await;
        let mut text = String::new();
        while !text.contains(": still here\n\n") {
            text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
        problem(house.get("/v1/events").await, 503, "web.busy").await;
        let bare = house.client.get(format!("{}/v1/events", house.base)).send().await.unwrap();
        problem(bare, 401, "web.unauthorized").await;
    });
}

#[test]
fn a_reader_that_reads_nothing_is_cut_off() {
    run(|| async {
        let limits = Limits { write_stall: Duration::from_millis(300), ..Limits::default() };
        let house = house_with(echo, limits);
        let mut stream = std::net::TcpStream::connect(house.web.address()).unwrap();
        let head =
            format!("GET /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut piece = [0; 1];
        stream.read_exact(&mut piece).unwrap();
        // More than the buffers of both ends hold.
        let big = "x".repeat(60_000);
        for n in 0..400 {
            let data = EventText::Text(json!(big).to_string());
            house.web.event(EventLine { data, ..line(n) });
        }
        let mut probe = tokio::time::interval(Duration::from_millis(20));
        while house.web.edge.events.open() > 0 {
            probe.tick().await;
        }
    });
}
