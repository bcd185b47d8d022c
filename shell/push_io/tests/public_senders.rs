//! The stand-ins judged by senders that others wrote: aioapns, firebase-admin, pywebpush.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use pns::Provider;
use push_io::Vapid;
use push_io::stand_in::StandIns;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

/// Three Python packages take their time to load.
const TEST_LIMIT: Duration = Duration::from_secs(120);

/// The Python with `tests/requirements.txt` installed.
fn python() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = match std::env::var_os("CARILLON_TEST_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => root.join("target/venv/bin/python"),
    };
    assert!(python.exists(), "no {}: `cargo xtask test` installs it", python.display());
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn public_senders_agree_with_the_stand_ins() {
    let stand_ins = StandIns::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let gone = [Provider::Apns, Provider::Fcm, Provider::Webpush].map(|provider| {
        let issued = stand_ins.issue(provider);
        assert!(stand_ins.revoke(&issued.prid));
        issued
    });
    let (apns, fcm) = (stand_ins.apns(), stand_ins.fcm());
    let account: serde_json::Value =
        serde_json::from_str(fcm.service_account_json.reveal()).unwrap();
    let task = json!({
        "base": stand_ins.base(),
        "port": stand_ins.address().port(),
        "apns": {
            "key": apns.key_pem.reveal(), "key_id": apns.key_id, "team_id": apns.team_id,
            "topic": apns.topic, "device": stand_ins.issue(Provider::Apns), "gone": gone[0],
        },
        "fcm": { "account": account, "device": stand_ins.issue(Provider::Fcm), "gone": gone[1] },
        "webpush": {
            "private_key": Vapid::generate("mailto:a@b").private_key().reveal(),
            "device": stand_ins.issue(Provider::Webpush), "gone": gone[2],
        },
    });

    let mut child = tokio::process::Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/public_senders.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(task.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let done = tokio::time::timeout(TEST_LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}\n{complained}");
    for line in ["apns ok", "fcm ok", "webpush ok"] {
        assert!(said.contains(line), "{said}\n{complained}");
    }

    let received = stand_ins.received();
    let opened = received.iter().find(|one| one.provider == Provider::Webpush).unwrap();
    assert_eq!(opened.payload, json!({ "t": "call.invite", "name": "Ünï \"q\" 👨‍👩‍👧" }));
    let accepted = received.iter().filter(|one| one.status < 300).count();
    assert_eq!(accepted, 5, "{received:#?}");
}
