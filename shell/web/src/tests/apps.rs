//! Paths of apps: Basic, whole tails, problems in a room's own words.

use super::*;

/// A room that puts problems in its own words.
pub static CLOUD: Manifest = Manifest {
    name: "cloud",
    purpose: "What apps ask.",
    endpoints: &[
        Endpoint {
            path: "/cloud/{rest..}",
            access: Access::Account,
            scope: Scope::Named(1),
            ..PLAIN
        },
        Endpoint {
            method: "POST",
            path: "/cloud/{rest..}",
            access: Access::Account,
            scope: Scope::Named(1),
            body_max: 10,
            ..PLAIN
        },
    ],
    reword: Some(|path, problem| {
        let value: Value = serde_json::from_slice(&problem.body).unwrap();
        ApiResponse::json(problem.status, &json!({"no": value["code"], "path": path}))
    }),
    ..Manifest::EMPTY
};

async fn ask(house: &House, method: Method, path: &str, who: &str, body: &str) -> (u16, Value) {
    let (name, key) = who.split_once(':').unwrap();
    let url = format!("http://{}{path}", house.web.address());
    let request = house.client.request(method, url).basic_auth(name, Some(key));
    let answer = request.body(body.to_owned()).send().await.unwrap();
    let status = answer.status().as_u16();
    let challenged = answer.headers().contains_key("www-authenticate");
    assert_eq!(challenged, status == 401);
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

#[test]
fn apps_show_their_account_and_hear_their_own_words() {
    run(|| async {
        let house = house(|shard, request| {
            Some(ApiResponse::json(200, &json!({"shard": shard, "path": request.path})))
        });
        let (status, answer) =
            ask(&house, Method::GET, "/cloud/Things/CA0500.json", "AC1:key", "").await;
        assert_eq!((status, &answer["shard"]), (200, &json!(2)));
        assert_eq!(answer["path"], json!(["Things", "CA0500.json"]));
        for who in ["AC1:wrong", "AC2:key", "AC1:", ":key"] {
            let (status, answer) = ask(&house, Method::GET, "/cloud/a/b/c", who, "").await;
            assert_eq!((status, &answer["no"]), (401, &json!("web.unauthorized")), "{who}");
        }
        let (status, answer) =
            ask(&house, Method::POST, "/cloud/a", "AC1:key", &"x".repeat(11)).await;
        assert_eq!((status, &answer["no"]), (413, &json!("web.body_too_large")));
        let (status, answer) = ask(&house, Method::PUT, "/cloud/a", "AC1:key", "").await;
        assert_eq!((status, &answer["no"]), (405, &json!("web.method_not_allowed")));
        // The administrator's token is no account, and the account is no administrator.
        let url = format!("http://{}/cloud/a", house.web.address());
        let answer = house.client.get(&url).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let (status, _) = ask(&house, Method::GET, "/v1/things", "AC1:key", "").await;
        assert_eq!(status, 401);
    });
}
