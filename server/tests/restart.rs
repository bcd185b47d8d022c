//! Nothing that was acknowledged is lost when the process is killed.

mod node;

use node::{Node, Registrant, config};

/// Registrations that are acknowledged before the process is killed.
const REGISTRATIONS: usize = 200;
const USERS: usize = 20;

/// Users with ten phones each; then SIGKILL; then all of them are there.
fn survives(shards: u16) {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), shards);
    let node = Node::start("serve", &path);
    for user in 0..USERS {
        let body = "{\"password\":\"secret-word\",\"display_name\":\"\",\"digest\":[\"MD5\"]}";
        let (status, said) = node.http("PUT", &format!("/v1/users/u{user}"), body);
        assert_eq!(status, 201, "{said}");
    }
    // Their sockets stay open: a port that was given back may be the next phone's, and then its contact is not a new one.
    let phones: Vec<_> = (0..REGISTRATIONS)
        .map(|number| {
            let mut phone = Registrant::new(node.sip);
            let user = format!("u{}", number % USERS);
            assert_eq!(phone.register(&user, "secret-word"), 200, "{number}");
            phone
        })
        .collect();
    let count = |node: &Node| -> usize {
        let bindings = |user| {
            let (status, body) = node.http("GET", &format!("/v1/bindings?user=u{user}"), "");
            assert_eq!(status, 200, "{body}");
            let list: serde_json::Value = serde_json::from_str(&body).expect(&body);
            list["items"].as_array().unwrap().len()
        };
        (0..USERS).map(bindings).sum()
    };
    assert_eq!(count(&node), REGISTRATIONS);
    node.kill();
    assert_eq!(count(&Node::start("serve", &path)), phones.len());
}

#[test]
fn registrations_survive_a_kill() {
    survives(1);
}

#[test]
fn registrations_survive_a_kill_on_several_shards() {
    survives(3);
}
