//! The command line and the file: what is said, and with which exit code.

mod node;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;

use node::{Node, Registrant, carillon, config, run, status};

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_file_is_refused_with_line_and_caret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let text = path.to_str().unwrap();
    let rows: [(&str, &str, &str); 9] = [
        ("[sip]\nlistn = 3\n", ":2:1: unknown key `listn`", "\n   2 | listn = 3\n     | ^^^^^"),
        ("[push]\nwait = \"5s\"\n[push.fcm]\nfoo = 1\n", ":4:1: unknown key `foo`", "| ^^^"),
        ("[bogus]\n", ":1:2: unknown section `bogus`", "|  ^^^^^"),
        ("[node]\ndrain = 60\n", ":2:9:", "|         ^^"),
        ("[media]\nports = \"20001-20100\"\n", ":2:9: media.ports:", "^^^^"),
        ("[sip]\nlisten = [\"tls://127.0.0.1:1\"]\n", "wants tls.certificate", "^"),
        (
            "[sip]\nrequire_auth = false\nlisten = [\"udp://192.0.2.1:5060\"]\n",
            ":2:16: sip.require_auth:",
            "^^^^^",
        ),
        (
            "[store]\nurl = \"postgres://u:hunter2@h:x/d\"\n",
            ":2:7: store.url: has a port that is no number",
            "url = \"(secret)\"\n     |       ^^^^^^^^^^",
        ),
        ("[sip\n", ":1:", "^"),
    ];
    for (file, place, caret) in rows {
        fs::write(&path, file).unwrap();
        for words in
            [["config", "check", "--config", text].as_slice(), &["serve", "--config", text]]
        {
            let output = run(words);
            assert_eq!(output.status.code(), Some(2), "{file}");
            let said = said(&output);
            assert!(said.contains(place) && said.contains(caret), "{file}: {said}");
            assert!(said.starts_with(text), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn the_environment_wins_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), 1);
    let check = |name: &str, value: &str| {
        let mut command = carillon();
        command.args(["config", "check", "--config"]).arg(&path).env(name, value);
        command.output().unwrap()
    };
    let plain = run(&["config", "check", "--config", path.to_str().unwrap()]);
    assert!(plain.status.success());
    assert!(plain.stdout.starts_with(b"valid "), "{plain:?}");
    let other = check("CARILLON_SIP__LISTEN", "udp://127.0.0.1:5070, tcp://127.0.0.1:5070");
    assert!(other.status.success(), "{other:?}");
    assert_ne!(plain.stdout, other.stdout, "the digest covers the environment");
    for (name, value) in [
        ("CARILLON_SIP__LISTN", "x"),
        ("CARILLON_SIP__SHARDS", "many"),
        ("CARILLON_MEDIA__PORTS", "1-2"),
        ("CARILLON_PUSH__FCM__BASE", "x"),
    ] {
        let output = check(name, value);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(said(&output).starts_with(&format!("{name}: ")), "{}", said(&output));
    }
    assert!(check("CARILLON_TEST_PYTHON", "x").status.success());
    assert_eq!(run(&["config", "check", "--config", "/does/not/exist"]).status.code(), Some(2));
}

#[test]
fn a_call_document_is_checked_with_carets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("voice.xml");
    let text = path.to_str().unwrap();
    let inner = |inner: &str| format!("<Response>\n  {inner}\n</Response>\n");
    for (document, code, shown) in [
        (inner("<Say>Hi</Say>"), 0, "No complaint."),
        (
            inner("<Gater numDigits=\"1\"/>"),
            1,
            ":2:4  12200  <Gater> is not a verb. Did you mean <Gather>?",
        ),
        (inner("<Gater/>"), 1, "   2 |   <Gater/>\n     |    ^^^^^\n"),
        (inner("<Say>"), 2, "12100"),
        ("a".repeat(70_000), 2, "11750"),
    ] {
        fs::write(&path, document).unwrap();
        let output = run(&["twiml", "check", text]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(shown), "{said}");
    }
    assert_eq!(run(&["twiml", "check", "no-such-file"]).status.code(), Some(2));
}

#[test]
fn help_knows_codes_and_numbers() {
    for asked in ["switchboard.draining", "CAR-1001", "1001"] {
        let output = run(&["help", asked]);
        assert!(output.status.success(), "{asked}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("switchboard.draining"));
    }
    assert_eq!(run(&["help", "no.such_code"]).status.code(), Some(1));
}

#[test]
fn dev_says_where_it_is_and_keeps_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), 1);
    let node = Node::start("dev", &path);
    assert_eq!(node.ready["ready"], true);
    let env_path = node.ready["env"].as_str().unwrap().to_owned();
    assert!(env_path.ends_with("/data/.env.carillon"), "{env_path}");
    assert_eq!(fs::metadata(&env_path).unwrap().permissions().mode() & 0o777, 0o600);
    let env = fs::read_to_string(&env_path).unwrap();
    let value = |name: &str| {
        let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} in {env}")).to_owned()
    };
    let sid = value("TWILIO_ACCOUNT_SID");
    assert!(sid.len() == 34 && sid.starts_with("AC"), "{sid}");
    assert_eq!(value("SIP_DOMAIN"), "localhost");
    assert_eq!(value("CARILLON_URL"), format!("http://{}", node.http));
    assert!(!value("TWILIO_AUTH_TOKEN").is_empty());
    let mut phone = Registrant::new(node.sip);
    assert_eq!(phone.register("1003", &value("SIP_PASSWORD")), 200);
    assert_eq!(phone.register("1004", "wrong"), 401);
    assert!(node.http("GET", "/v1/bindings?user=1003", "").1.contains("1003"));
    assert_eq!(node.http("GET", "/v1/dev/pushes", "").0, 200);
    assert!(node.http("GET", "/v1/numbers/+15550100", "").1.contains("user/1001"));
    let env_words = env_path.as_str();
    let explain = |words: &[&str]| {
        let all = [&["route", "explain", "--env", env_words], words].concat();
        let output = run(&all);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let page = explain(&["1002", "+15550100"]);
    assert!(page.contains("number \"+15550100\"") && page.contains("Stage 1: user 1001"), "{page}");
    let json: serde_json::Value =
        serde_json::from_str(&explain(&["--from", "user/1002", "--to", "1001", "--json"])).unwrap();
    assert_eq!(json["stages"][0]["targets"][0]["user"], "1001");
    let refused = run(&["route", "explain", "--env", env_words, "trunk/none", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("CAR-1605"), "{}", said(&refused));
    let (code, token) = node.http("POST", "/v1/dev/pushes/tokens", "{\"provider\":\"fcm\"}");
    assert!(code == 201 && token.contains("prid"), "{code} {token}");
    assert!(run(&["ready", "--url", &value("CARILLON_URL"), "--wait", "10s"]).status.success());
    node.signal("TERM");
    node.signal("TERM");
    assert_eq!(node.ended(), Some(0));
    let again = Node::start("dev", &path);
    let kept = fs::read_to_string(&env_path).unwrap();
    let without_url = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("CARILLON_URL")).map(str::to_owned).collect()
    };
    assert_eq!(without_url(&env), without_url(&kept));
    assert_eq!(status(&Registrant::new(again.sip).ask("OPTIONS", "1001", "")), 200);
}

#[test]
fn what_cannot_be_had_names_the_key_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let inside = file.join("data");
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let rows = [
        ("CARILLON_SIP__LISTEN", format!("udp://{address}"), "sip.listen"),
        ("CARILLON_HTTP__LISTEN", door.local_addr().unwrap().to_string(), "http.listen"),
        ("CARILLON_STORE__URL", "postgres://u:hunter2@127.0.0.1:1/d".into(), "store.url"),
        ("CARILLON_NODE__DATA", inside.to_str().unwrap().to_owned(), "node.data"),
        ("CARILLON_PUSH__APNS__KEY_FILE", "/does/not/exist".into(), "push.apns.key_file"),
        (
            "CARILLON_PUSH__FCM__SERVICE_ACCOUNT_FILE",
            "/does/not/exist".into(),
            "push.fcm.service_account_file",
        ),
    ];
    let path = config(folder.path(), 1);
    for (name, value, key) in rows {
        let mut command = carillon();
        let output =
            command.args(["serve", "--config"]).arg(&path).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let said = said(&output);
        let line = said.lines().find(|line| line.starts_with("carillon: ")).unwrap_or(&said);
        assert!(line.contains(key), "{name}: {said}");
        assert!(!said.contains("panicked") && !said.contains("hunter2"), "{said}");
    }
}
