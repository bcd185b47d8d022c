//! The edge over loopback, with rooms that are closures.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use switchboard::{Access, Apps, Endpoint, Scope, link};
use types::UnixTime;

use super::*;

mod account;
mod apps;
mod events;
mod media;

/// Longest time that a test may take.
const TEST_WAIT_MAX: Duration = Duration::from_secs(20);
const TOKEN: &str = "a-token-of-the-tests";

const PLAIN: Endpoint = Endpoint {
    method: "GET",
    path: "/v1/things",
    doc: "Things.",
    access: Access::Admin,
    scope: Scope::Every,
    body_max: 0,
    request: "",
    response: "{\"items\":[{\"name\":\"a\"}],\"next\":null}",
};
static ROOM: Manifest = Manifest {
    name: "toy",
    purpose: "Things of the tests.",
    endpoints: &[
        PLAIN,
        Endpoint {
            method: "PUT",
            path: "/v1/things/{name}",
            scope: Scope::User(0),
            body_max: 100,
            request: "{\"n\":1}",
            response: "{\"n\":1}",
            ..PLAIN
        },
        Endpoint { path: "/v1/things/{name}", scope: Scope::User(0), ..PLAIN },
        Endpoint {
            method: "DELETE",
            path: "/v1/things/{id}/parts/{part}",
            scope: Scope::Id(0),
            response: "",
            ..PLAIN
        },
        Endpoint { path: "/v1/things/special", scope: Scope::Any, ..PLAIN },
        Endpoint { path: "/v1/found", scope: Scope::UserQuery("user"), ..PLAIN },
        Endpoint {
            method: "POST",
            path: "/v1/replies/{call}",
            access: Access::Token,
            scope: Scope::CallId(0),
            body_max: 1_000_000,
            ..PLAIN
        },
        Endpoint {
            method: "PUT",
            path: "/v1/users/{name}/devices/{device}",
            scope: Scope::User(0),
            body_max: 4_096,
            request: "{}",
            ..PLAIN
        },
        Endpoint {
            method: "DELETE",
            path: "/v1/users/{name}/devices/{device}",
            scope: Scope::User(0),
            response: "",
            ..PLAIN
        },
    ],
    ..Manifest::EMPTY
};

type Room = dyn Fn(usize, &ApiRequest) -> Option<ApiResponse> + Send + Sync;

struct House {
    web: Web,
    base: String,
    client: Client,
    keys: Keys,
    /// Pictures that were asked for.
    asked: Arc<AtomicUsize>,
    /// Whether the store is not ready.
    broken: Arc<AtomicBool>,
}

/// Runs one test in a runtime of its own, for a limited time.
fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(TEST_WAIT_MAX, test()).await.expect("the test takes too long");
    });
}

/// An edge with three shards that answer by `room`; `None` leaves the request waiting.
fn house(
    room: impl Fn(usize, &ApiRequest) -> Option<ApiResponse> + Send + Sync + 'static,
) -> House {
    house_with(room, Limits::default())
}

fn house_with(
    room: impl Fn(usize, &ApiRequest) -> Option<ApiResponse> + Send + Sync + 'static,
    limits: Limits,
) -> House {
    let room: Arc<Room> = Arc::new(room);
    let keys = Keys::new([5; 32]);
    // The way back, as in the server: answers come from another thread.
    let (sender, receiver) = mpsc::channel::<(u64, ApiResponse)>();
    let submit: Submit = Arc::new(move |shard, request| {
        if request.path.first().is_some_and(|name| name == "full") {
            return Err(());
        }
        if let Some(answer) = room(shard, &request) {
            sender.send((request.id, answer)).unwrap();
        }
        Ok(())
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let broken = Arc::new(AtomicBool::new(false));
    let fault = Arc::clone(&broken);
    let dev =
        axum::Router::new().route("/v1/dev/pushes", axum::routing::get(|| async { "pushes" }));
    let config = WebConfig {
        token: Secret::new(TOKEN.into()),
        apps: Apps { sid: "AC1".into(), token: Secret::new("key".into()) },
        public: "http://edge.test".into(),
        keys,
        manifests: vec![&ROOM, &apps::CLOUD],
        shards: 3,
        submit,
        blobs: Arc::new(move |hash| {
            count.fetch_add(1, Ordering::Relaxed);
            (hash == "ab12").then(|| b"\x89PNG\r\n\x1a\nrest".to_vec())
        }),
        sounds: Some(Arc::new(media::Shelf::default())),
        ready: Arc::new(move || {
            let store = fault.load(Ordering::Relaxed).then(|| Part::Fault("<x>".into()));
            vec![("push".into(), Part::Unused), ("store".into(), store.unwrap_or(Part::Ready))]
        }),
        metrics: Arc::new(|| "carillon_calls 1".into()),
        dev: Some(dev),
        chance: Arc::new(|| [7; 32]),
        phones: None,
        asyncapi: "{}".into(),
        push_key: Some("BKey".into()),
        console: &[],
    };
    let web = Web::start_with("127.0.0.1:0".parse().unwrap(), config, limits).unwrap();
    let back = web.clone();
    std::thread::spawn(move || {
        while let Ok((id, answer)) = receiver.recv() {
            back.answer(id, answer);
        }
    });
    let base = format!("http://{}", web.address());
    let client = Client::builder().no_proxy().build().unwrap();
    House { web, base, client, keys, asked, broken }
}

/// A room that says what it was asked.
fn echo(shard: usize, request: &ApiRequest) -> Option<ApiResponse> {
    let said = json!({
        "shard": shard,
        "endpoint": request.endpoint,
        "path": request.path,
        "query": request.query,
        "bearer": request.bearer,
        "type": request.content_type,
        "body": String::from_utf8_lossy(&request.body),
    });
    Some(ApiResponse::json(200, &json!({"items": [said], "next": null})))
}

fn silent(_shard: usize, _request: &ApiRequest) -> Option<ApiResponse> {
    None
}

impl House {
    fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let value: Value = self.get(path).await.json().await.unwrap();
        value["items"].as_array().unwrap().clone()
    }

    /// Sends octets as they are and reads until the other side ends, or has said something whole.
    async fn raw(&self, octets: Vec<u8>) -> String {
        let address = self.web.address();
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(TEST_WAIT_MAX)).unwrap();
            // The edge may hang up in the middle: what it said before counts.
            drop(stream.write_all(&octets));
            let (mut said, mut piece) = (Vec::new(), [0; 4_096]);
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                said.extend_from_slice(&piece[..count]);
            }
            String::from_utf8_lossy(&said).into_owned()
        })
        .await
        .unwrap()
    }
}

#[track_caller]
fn check_problem(status: StatusCode, value: &Value, code: &str) {
    assert_eq!(value["code"], code);
    assert_eq!(value["status"], status.as_u16());
    for field in ["type", "title", "number", "fix", "help"] {
        assert!(value[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {value}");
    }
}

async fn problem(response: reqwest::Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status, "{code}");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status();
    let value = response.json().await.unwrap();
    check_problem(status, &value, code);
    value
}

#[test]
fn the_administrator_is_known_by_the_token() {
    run(|| async {
        let house = house(echo);
        let url = format!("{}/v1/things", house.base);
        for request in [
            house.client.get(&url),
            house.client.get(&url).bearer_auth("wrong"),
            house.client.get(&url).bearer_auth(""),
            house.client.get(&url).bearer_auth(format!("{TOKEN}x")),
            house.client.get(&url).basic_auth(TOKEN, Some(TOKEN)),
            house.client.put(format!("{url}/a")).body("{}"),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"carillon\"");
            problem(response, 401, "web.unauthorized").await;
        }
        assert_eq!(house.get("/v1/things").await.status(), 200);
        let lower = house.client.get(&url).header("authorization", format!("bearer {TOKEN}"));
        assert_eq!(lower.send().await.unwrap().status(), 200);
    });
}

#[test]
fn guesses_are_refused_after_a_while() {
    run(|| async {
        let house = house(echo);
        let mut refused = 0;
        for _ in 0..FAILURES_MAX * 2 {
            let url = format!("{}/v1/events", house.base);
            let response = house.client.get(url).bearer_auth("guess").send().await.unwrap();
            if response.status() == 429 {
                assert_eq!(response.headers()["retry-after"], "1");
                problem(response, 429, "web.too_many_failures").await;
                refused += 1;
            }
        }
        assert!(refused >= FAILURES_MAX / 2);
    });
}

#[test]
fn each_scope_finds_its_shard() {
    run(|| async {
        let house = house(echo);
        let home = |name: &str| house.keys.slot(name.as_bytes()).shard(3);
        for name in ["1001", "1002", "ann", "bob"] {
            let items = house.items(&format!("/v1/things/{name}")).await;
            assert_eq!((items[0]["shard"].clone(), items.len()), (json!(home(name)), 1));
            let items = house.items(&format!("/v1/found?user={name}&x=1%2B")).await;
            assert_eq!(items[0]["shard"], json!(home(name)));
            assert_eq!(items[0]["query"], json!([["user", name], ["x", "1+"]]));
        }
        let mut rng = types::Rng::from_number(3);
        for slot in [0u8, 100, 200] {
            let id = types::CallId::mint(types::Slot(slot), &mut rng);
            let path = format!("/v1/things/{id}/parts/b%20c");
            let response = house.ask(Method::DELETE, &path).send().await.unwrap();
            let value: Value = response.json().await.unwrap();
            assert_eq!(value["items"][0]["shard"], json!(usize::from(slot) % 3));
            assert_eq!(value["items"][0]["path"], json!([id.to_string(), "b c"]));
            let path = format!("/v1/replies/{slot:02x}000000-0000-4000-8000-000000000000");
            let value: Value =
                house.ask(Method::POST, &path).send().await.unwrap().json().await.unwrap();
            assert_eq!(value["items"][0]["shard"], json!(usize::from(slot) % 3));
            assert_eq!(value["items"][0]["bearer"], TOKEN, "the room checks it");
        }
        let all = house.items("/v1/things").await;
        assert_eq!(all.iter().map(|item| &item["shard"]).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(all.iter().all(|item| item["bearer"] == "" && item["endpoint"] == 0));
        assert_eq!(house.items("/v1/found").await.len(), 3);
        assert_eq!(house.items("/v1/things/special").await[0]["endpoint"], 4);
    });
}

#[test]
fn bodies_and_answers_pass_unchanged() {
    run(|| async {
        let house = house(|_, request| {
            assert_eq!(request.body, b"{\"n\": 2}");
            assert_eq!(request.content_type, "application/json");
            Some(ApiResponse {
                status: 201,
                content_type: "text/x-odd".into(),
                headers: vec![
                    ("Location".into(), "/v1/things/a".into()),
                    ("Transfer-Encoding".into(), "chunked".into()),
                    ("X-Bad".into(), "a\r\nb: c".into()),
                ],
                body: b" odd \n".to_vec(),
            })
        });
        let request = house.ask(Method::PUT, "/v1/things/a").body("{\"n\": 2}");
        let response = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["content-type"], "text/x-odd");
        assert_eq!(response.headers()["location"], "/v1/things/a");
        assert_eq!(response.headers()["content-length"], "6");
        assert!(!response.headers().contains_key("x-bad"));
        assert_eq!(response.text().await.unwrap(), " odd \n");
    });
}

#[test]
fn the_first_no_of_all_shards_wins() {
    run(|| async {
        let house = house(|shard, request| match shard {
            1 => Some(ApiResponse::refusal(&switchboard::refusal::Refusal::Draining, &Value::Null)),
            _ => echo(shard, request),
        });
        let response = house.get("/v1/things").await;
        assert_eq!(response.headers()["retry-after"], "30");
        problem(response, 503, "switchboard.draining").await;
    });
}

#[test]
fn unknown_paths_and_methods() {
    run(|| async {
        let house = house(echo);
        for path in [
            "/v1/nothing",
            "/v1/things/",
            "/v1//things",
            "/nothing",
            "/v1/dev/none",
            "/v1/things/a/b",
            "/help/web.none",
        ] {
            problem(house.get(path).await, 404, "web.not_found").await;
        }
        for (method, path, allow) in [
            (Method::POST, "/v1/things/a", "GET, HEAD, PUT"),
            (Method::OPTIONS, "/v1/things", "GET, HEAD"),
            (Method::PATCH, "/v1/things/x/parts/y", "DELETE"),
            (Method::POST, "/readyz", "GET, HEAD"),
            (Method::DELETE, "/v1/events", "GET, HEAD"),
            (Method::POST, "/v1/dev/pushes", "GET, HEAD"),
        ] {
            let response = house.ask(method, path).send().await.unwrap();
            let given =
                response.headers()["allow"].to_str().unwrap().replace(',', ", ").replace("  ", " ");
            assert_eq!(given, allow, "{path}");
            problem(response, 405, "web.method_not_allowed").await;
        }
        assert_eq!(house.ask(Method::HEAD, "/v1/things").send().await.unwrap().status(), 200);
        assert_eq!(house.get("/v1/dev/pushes").await.text().await.unwrap(), "pushes");
    });
}

#[test]
fn hostile_paths_are_refused() {
    run(|| async {
        let house = house(echo);
        for path in [
            "/v1/users/%2e%2e%2f",
            "/v1/things/%2e%2e",
            "/v1/things/a%2Fb",
            "/v1/things/%00",
            "/v1/things/%ff",
            "/v1/things/%",
            "/v1/../../etc/passwd",
            "/v1/things/..%5c",
        ] {
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            );
            let answer = house.raw(head.into()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400"), "{path}: {head}");
            check_problem(
                StatusCode::BAD_REQUEST,
                &serde_json::from_str(body).unwrap(),
                "web.bad_path",
            );
        }
    });
}

#[test]
fn header_storms_and_nonsense_end_the_connection() {
    run(|| async {
        let house = house(echo);
        let storm = |line: &dyn Fn(usize) -> String, count: usize| {
            let lines: String = (0..count).map(line).collect();
            format!("GET /livez HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
        };
        let many = house.raw(storm(&|n| format!("X-{n}: y\r\n"), 5_000)).await;
        let long = house.raw(storm(&|_| format!("X: {}\r\n", "y".repeat(1_000)), 1_000)).await;
        // Either an answer that says so or, when the peer was still sending, the end of the connection.
        for answer in [many, long] {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        let mut rng = types::Rng::from_number(11);
        for _ in 0..50 {
            let mut octets = b"PUT /v1/things/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec();
            for _ in 0..1 + rng.below(6) {
                let place = rng.below(octets.len() as u64) as usize;
                octets[place] = rng.below(256) as u8;
            }
            octets.extend_from_slice(b"\r\n\r\n\0\0\r\n\r\n");
            let address = house.web.address();
            // Nobody waits for an answer to nonsense: the edge must live on, and does below.
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            drop(stream.write_all(&octets));
        }
        assert_eq!(house.get("/livez").await.text().await.unwrap(), "ok\n");
    });
}

#[test]
fn silent_and_dripping_connections_are_dropped() {
    run(|| async {
        let wait = Duration::from_millis(200);
        let limits = Limits { header_wait: wait, body_wait: wait, ..Limits::default() };
        let house = house_with(echo, limits);
        // `raw` comes back because the edge hangs up.
        assert_eq!(house.raw(Vec::new()).await, "");
        let half = house.raw(b"GET /livez HTTP/1.1\r\nHost:".to_vec()).await;
        assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{half}");
        let head = format!(
            "PUT /v1/things/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 50\r\n\r\nhalf"
        );
        let late = house.raw(head.into()).await;
        assert!(late.starts_with("HTTP/1.1 408") && late.contains("web.body_late"), "{late}");
    });
}

#[test]
fn bodies_have_a_limit() {
    run(|| async {
        let limits = Limits { bodies_memory: 500_000, ..Limits::default() };
        let house = house_with(echo, limits);
        let put = |body: reqwest::Body| house.ask(Method::PUT, "/v1/things/a").body(body).send();
        assert_eq!(put("x".repeat(100).into()).await.unwrap().status(), 200);
        problem(put("x".repeat(101).into()).await.unwrap(), 413, "web.body_too_large").await;
        problem(put("x".repeat(900_000).into()).await.unwrap(), 413, "web.body_too_large").await;
        let pieces = tokio_stream::iter((0..30).map(|_| Ok::<_, std::io::Error>("y".repeat(10))));
        let response = put(reqwest::Body::wrap_stream(pieces)).await.unwrap();
        problem(response, 413, "web.body_too_large").await;
        let response = house.ask(Method::GET, "/v1/things").body("no").send().await.unwrap();
        problem(response, 413, "web.body_too_large").await;
        // Within the endpoint's limit, over what is left for all.
        let path = "/v1/replies/00000000-0000-4000-8000-000000000000";
        let response =
            house.ask(Method::POST, path).body("z".repeat(600_000)).send().await.unwrap();
        problem(response, 503, "web.busy").await;
        let response =
            house.ask(Method::POST, path).body("z".repeat(400_000)).send().await.unwrap();
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn waiting_is_bounded_in_time_and_number() {
    run(|| async {
        let limits =
            Limits { api_wait: Duration::from_millis(200), in_flight: 2, ..Limits::default() };
        let house = house_with(silent, limits);
        problem(house.get("/v1/things/a").await, 504, "web.timed_out").await;
        // Three shards are one more than may be in flight; nothing stays behind.
        problem(house.get("/v1/things").await, 503, "web.busy").await;
        problem(house.get("/v1/things/full").await, 503, "web.busy").await;
        assert_eq!(house.web.edge.rooms.in_flight(), 0);
        house.web.answer(999, ApiResponse::empty(204));
    });
}

#[test]
fn answers_that_http_cannot_carry() {
    run(|| async {
        let house = house(|_, _| Some(ApiResponse::empty(99)));
        problem(house.get("/v1/things/a").await, 500, "web.bad_answer").await;
    });
}

#[test]
fn a_signed_image_needs_no_login() {
    run(|| async {
        let house = house(echo);
        let bare = |path: String| house.client.get(format!("{}{path}", house.base)).send();
        let later = UnixTime::seconds(4_000_000_000);
        let good = link::sign(&house.keys.links, "/v1/images/ab12", later);
        let response = bare(good.clone()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "image/png");
        assert!(response.headers()["cache-control"].to_str().unwrap().starts_with("private"));
        assert!(response.bytes().await.unwrap().starts_with(b"\x89PNG"));
        for forged in
            [good.replace("ab12", "ab13"), good.replace("exp=4", "exp=5"), "/v1/images/ab12".into()]
        {
            problem(bare(forged).await.unwrap(), 403, "web.link_forged").await;
        }
        let old = link::sign(&house.keys.links, "/v1/images/ab12", UnixTime::seconds(1_000));
        problem(bare(old).await.unwrap(), 410, "web.link_expired").await;
        assert_eq!(house.asked.load(Ordering::Relaxed), 1, "only a good link reaches the disk");
        let gone = link::sign(&house.keys.links, "/v1/images/ff00", later);
        problem(bare(gone).await.unwrap(), 404, "web.not_found").await;
    });
}

#[test]
fn probes_and_pages() {
    run(|| async {
        let house = house(echo);
        let bare = |path: &str| house.client.get(format!("{}{path}", house.base)).send();
        let value: Value = bare("/readyz").await.unwrap().json().await.unwrap();
        assert_eq!(value, json!({"ready": true, "parts": {"push": "not set up", "store": "ok"}}));
        problem(bare("/none").await.unwrap(), 404, "web.not_found").await;
        let metrics = bare("/metrics").await.unwrap().text().await.unwrap();
        assert!(metrics.starts_with("carillon_calls 1\n# TYPE"));
        assert!(metrics.contains("carillon_http_refusals_total{code=\"web.not_found\"} 1\n"));
        for (path, kind) in [
            ("/", "text/html"),
            ("/help", "text/html"),
            ("/help/switchboard.draining", "text/html"),
            ("/help/CAR-2001", "text/html"),
            ("/console.css", "text/css"),
            ("/icon.svg", "image/svg+xml"),
            ("/llms.txt", "text/plain"),
            ("/livez", "text/plain"),
        ] {
            let response = bare(path).await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert!(header("content-type").starts_with(kind), "{path}");
            assert!(header("content-security-policy").starts_with("default-src 'self'"));
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            let text = response.text().await.unwrap();
            assert!(
                !text.contains("<script") && !text.contains(" style=") && !text.contains("@import")
            );
            let outside =
                ["src=\"http", "href=\"http", "url("].iter().any(|mark| text.contains(mark));
            assert!(!outside && !text.contains("{base}") && !text.contains("{parts}"), "{path}");
        }
        let page = bare("/").await.unwrap().text().await.unwrap();
        assert!(page.contains("/v1/things/{name}") && page.contains("<b>store</b> ready"));
    });
}

#[test]
fn a_part_that_is_not_ready_is_named() {
    run(|| async {
        let house = house(echo);
        house.broken.store(true, Ordering::Relaxed);
        let response = house.get("/readyz").await;
        assert_eq!(response.status(), 503);
        let value: Value = response.json().await.unwrap();
        assert_eq!(value, json!({"ready": false, "parts": {"push": "not set up", "store": "<x>"}}));
        assert_eq!(house.get("/livez").await.status(), 200);
        let page = house.get("/").await.text().await.unwrap();
        assert!(page.contains("Not ready yet") && page.contains("<b>store</b> &lt;x&gt;"));
    });
}

#[test]
fn the_description_is_whole() {
    run(|| async {
        let house = house(echo);
        let document: Value = house.get("/openapi.json").await.json().await.unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = std::collections::BTreeSet::new();
        let mut operations = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                operations += 1;
                assert!(
                    ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{path} {method}"
                );
                assert!(operation["responses"]["default"].is_object());
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let named: Vec<&str> = parameters
                    .filter(|one| one["in"] == "path")
                    .map(|one| one["name"].as_str().unwrap())
                    .collect();
                let expected: Vec<&str> = path
                    .split('/')
                    .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                    .collect();
                assert_eq!(named, expected, "{path}");
            }
        }
        // Events, images, links, the phone, tokens, three verbs of the session, two of its pushes, and four of the library.
        assert_eq!(operations, ROOM.endpoints.len() + 14);
        for endpoint in ROOM.endpoints {
            let operation = &document["paths"][endpoint.path][endpoint.method.to_lowercase()];
            assert_eq!(operation["summary"], endpoint.doc);
        }
        let text = document.to_string();
        for reference in
            text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap())
        {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    });
}

#[test]
fn connections_are_counted() {
    run(|| async {
        let limits = Limits { connections_per_address: 2, ..Limits::default() };
        let house = house_with(echo, limits);
        let address = house.web.address();
        let held: Vec<_> = (0..2)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                stream.read_exact(&mut [0; 4]).unwrap();
                stream
            })
            .collect();
        assert_eq!(house.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()).await, "");
        drop(held);
        let mut probe = tokio::time::interval(Duration::from_millis(20));
        let url = format!("{}/livez", house.base);
        while house.client.get(&url).send().await.is_err() {
            probe.tick().await;
        }
    });
}

#[test]
fn a_stop_lets_answers_finish_and_ends_streams() {
    run(|| async {
        let (seen, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let house = house(move |_, request| {
            seen.send(request.id).unwrap();
            None
        });
        let mut stream = house.get("/v1/events").await;
        let asking = tokio::spawn(house.ask(Method::GET, "/v1/things/a").send());
        let id = waits.recv().await.unwrap();
        let web = house.web.clone();
        let stopping = tokio::spawn(async move { web.stop(TEST_WAIT_MAX).await });
        while stream.chunk().await.unwrap().is_some() {}
        house.web.answer(id, ApiResponse::json(200, &json!({})));
        assert_eq!(asking.await.unwrap().unwrap().status(), 200);
        stopping.await.unwrap();
        std::net::TcpStream::connect(house.web.address()).unwrap_err();
    });
}

#[test]
fn starts_that_must_fail() {
    run(|| async {
        let start = |token: &str, manifests: Vec<&'static Manifest>, listen: &str| {
            let config = WebConfig {
                token: Secret::new(token.into()),
                apps: Apps::default(),
                public: String::new(),
                keys: Keys::new([0; 32]),
                manifests,
                shards: 1,
                submit: Arc::new(|_, _| Err(())),
                blobs: Arc::new(|_| None),
                sounds: None,
                ready: Arc::new(Vec::new),
                metrics: Arc::new(String::new),
                dev: None,
                chance: Arc::new(|| [7; 32]),
                phones: None,
                asyncapi: String::new(),
                push_key: None,
                console: &[],
            };
            Web::start(listen.parse().unwrap(), config)
        };
        let free = "127.0.0.1:0";
        assert!(matches!(start("", vec![], free), Err(Fault::NoToken)));
        assert!(matches!(start("t", vec![&ROOM, &ROOM], free), Err(Fault::Route { .. })));
        let held = start("t", vec![], free).unwrap();
        let twice = start("t", vec![], &held.address().to_string());
        assert!(matches!(twice, Err(Fault::Listen { .. })));
    });
}
