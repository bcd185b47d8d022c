//! Links, cookies, tokens, and who may use them.

use super::*;

/// One request with headers; its status, its cookie, its body.
async fn ask(
    house: &House,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, Value) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = format!("http://{}{path}", house.web.address());
    let mut request = client.build().unwrap().request(method, url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let cookie = answer.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    let value = serde_json::from_slice(&body).unwrap_or_default();
    (status, cookie.unwrap_or_default(), value)
}

#[test]
fn a_link_signs_in_once_and_its_cookie_is_the_administrators() {
    run(|| async {
        let house = house(|_, _| None);
        let bearer = format!("Bearer {TOKEN}");
        let admin = [("authorization", bearer.as_str())];
        let wanted = r#"{"user":"1001","admin":true}"#;
        let (status, _, made) = ask(&house, Method::POST, "/v1/links", &admin, wanted).await;
        assert_eq!(status, 201, "{made}");
        let (page, key) = made["url"].as_str().unwrap().split_once("#k=").unwrap();
        assert_eq!(page, "http://edge.test/sign-in");
        let key = serde_json::json!({ "key": key }).to_string();
        let (status, cookie, _) = ask(&house, Method::POST, "/v1/session", &[], &key).await;
        assert_eq!(status, 204);
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let (status, _, problem) = ask(&house, Method::POST, "/v1/session", &[], &key).await;
        assert_eq!((status, &problem["code"]), (401, &"web.link_used".into()));

        let signed = [("cookie", cookie.as_str())];
        let (status, _, who) = ask(&house, Method::GET, "/v1/session", &signed, "").await;
        assert_eq!((status, &who["user"], &who["admin"]), (200, &"1001".into(), &true.into()));
        // What changes something must come from our own page.
        let origin = format!("http://{}", house.web.address());
        let own = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
        let foreign = [("cookie", cookie.as_str()), ("origin", "http://evil.test")];
        for (headers, expected) in [(&signed[..], 401), (&foreign[..], 401), (&own[..], 201)] {
            let (status, ..) = ask(&house, Method::POST, "/v1/tokens", headers, wanted).await;
            assert_eq!(status, expected, "{headers:?}");
        }
        let (status, ..) = ask(&house, Method::DELETE, "/v1/session", &own, "").await;
        assert_eq!(status, 204);
        let (status, _, who) = ask(&house, Method::GET, "/v1/session", &signed, "").await;
        assert_eq!((status, &who["user"], &who["admin"]), (200, &Value::Null, &false.into()));
        let (status, _, problem) = ask(&house, Method::DELETE, "/v1/session", &own, "").await;
        assert_eq!((status, &problem["code"]), (401, &"web.signed_out".into()));
    });
}

#[test]
fn the_form_works_without_a_script() {
    run(|| async {
        let house = house(|_, _| None);
        let link = house.web.link(Some("1001".into()), false, "http://x");
        let key = link.split_once("#k=").unwrap().1;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let (status, cookie, _) =
            ask(&house, Method::POST, "/v1/session", &form, &format!("key={key}")).await;
        assert_eq!(status, 303);
        // Somebody with a phone only does not get the administrator's answers.
        let cookie = [("cookie", cookie.split(';').next().unwrap())];
        let (status, ..) = ask(&house, Method::GET, "/v1/events", &cookie, "").await;
        assert_eq!(status, 401);
    });
}

#[test]
fn requests_that_cannot_be_read_are_refused() {
    run(|| async {
        let house = house(|_, _| None);
        let bearer = format!("Bearer {TOKEN}");
        let admin = [("authorization", bearer.as_str())];
        for (path, body) in [
            ("/v1/links", "{}"),
            ("/v1/links", "x"),
            ("/v1/links", r#"{"user":7}"#),
            ("/v1/tokens", r#"{"admin":true}"#),
            ("/v1/session", "[]"),
        ] {
            let (status, _, problem) = ask(&house, Method::POST, path, &admin, body).await;
            assert_eq!(
                (status, &problem["code"]),
                (400, &"web.bad_sign_in".into()),
                "{path} {body}"
            );
        }
        let (status, ..) = ask(&house, Method::POST, "/v1/links", &[], "{\"admin\":true}").await;
        assert_eq!(status, 401);
        let (status, ..) = ask(&house, Method::PUT, "/v1/links", &admin, "{}").await;
        assert_eq!(status, 405);
        let (status, ..) = ask(&house, Method::GET, "/v1/phone", &admin, "").await;
        assert_eq!(status, 404, "there are no phones without somebody who takes them");
    });
}

/// Signs somebody in; the headers of a request of our own page.
async fn signed_in(house: &House, user: Option<&str>) -> [(String, String); 2] {
    let link = house.web.link(user.map(str::to_owned), true, "http://x");
    let key = serde_json::json!({ "key": link.split_once("#k=").unwrap().1 }).to_string();
    let (_, cookie, _) = ask(house, Method::POST, "/v1/session", &[], &key).await;
    let cookie = cookie.split(';').next().unwrap().to_owned();
    [("cookie".into(), cookie), ("origin".into(), format!("http://{}", house.web.address()))]
}

#[test]
fn a_subscription_of_our_page_is_a_device_of_who_is_signed_in() {
    const BODY: &str = r#"{"endpoint":"https://push.example/a","expirationTime":null,"keys":{"p256dh":"P","auth":"A"}}"#;
    run(|| async {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let house = house(move |_, request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let mut seen = seen.lock().unwrap();
            seen.push((request.path.clone(), body));
            // The third one has as many devices as it may; what is gone already is gone.
            let statuses = [201, 404, 409];
            let status = statuses[(seen.len() - 1).min(2)];
            Some(ApiResponse::json(status, &json!({ "code": "toy" })))
        });
        let headers = signed_in(&house, Some("1002")).await;
        let own = headers.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        let path = "/v1/session/push";
        let (_, _, who) = ask(&house, Method::GET, "/v1/session", &own, "").await;
        assert_eq!(who["push_key"], "BKey");
        for (method, expected) in [(Method::PUT, 204), (Method::DELETE, 204), (Method::PUT, 409)] {
            let (status, ..) = ask(&house, method, path, &own, BODY).await;
            assert_eq!(status, expected);
        }
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let [(first, device), (second, _), _] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(first, second, "one endpoint is one device");
        assert_eq!(first[0], "1002");
        let push = json!({"provider": "webpush", "param": "", "prid": "https://push.example/a", "p256dh": "P", "auth": "A"});
        assert_eq!(device, &json!({"kind": "browser", "push": push}));

        // Nobody else's page, nobody without a phone, nothing that is none.
        let (status, ..) = ask(&house, Method::PUT, path, &own[..1], BODY).await;
        assert_eq!(status, 401, "without an origin it may be anybody's page");
        for body in ["", "[]", "{}", r#"{"endpoint":7}"#] {
            assert_eq!(ask(&house, Method::PUT, path, &own, body).await.0, 400, "{body}");
        }
        let long = format!(r#"{{"endpoint":"{}"}}"#, "x".repeat(SUBSCRIPTION_MAX));
        assert_eq!(ask(&house, Method::PUT, path, &own, &long).await.0, 413);
        assert_eq!(ask(&house, Method::POST, path, &own, BODY).await.0, 405);
        let headers = signed_in(&house, None).await;
        let own = headers.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(ask(&house, Method::PUT, path, &own, BODY).await.0, 401);
    });
}
