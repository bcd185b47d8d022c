//! Our sender against the stand-ins: what is taken, what is refused, and what each answer becomes.

use std::net::SocketAddr;
use std::time::Duration;

use pns::Provider::{self, Apns, Fcm, Webpush};
use pns::{
    Cancel, Delivery, Image, Invite, Media, Notification, Outcome, Target, Why, encode, webpush,
};
use push_io::stand_in::{Issued, Plan, StandIns};
use push_io::{Config, Sender, Vapid};
use types::Secret;

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// No test waits longer.
const TEST_LIMIT: Duration = Duration::from_secs(60);
/// A limit short enough to run into.
const SHORT: Duration = Duration::from_millis(300);

async fn world() -> (StandIns, Sender) {
    let stand_ins = StandIns::start(ANY_PORT).await.unwrap();
    let sender = Sender::new(stand_ins.config()).unwrap();
    (stand_ins, sender)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TEST_LIMIT, test).await.expect("in time") });
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn invite() -> Notification {
    Notification::Invite(Invite {
        call_id: "6f1c1f0e-9a52-4e7f-8a3d-0123456789ab".into(),
        caller_uri: "sip:alice@example.org".into(),
        caller_name: Some("Alice \"Ali\"\n👨‍👩‍👧 שלום".repeat(100)),
        to: "sip:bob@example.org".into(),
        media: Media { audio: true, video: false },
        reply_url: "http://127.0.0.1:8088/v1/replies/1".into(),
        reply_token: "one-call".into(),
        iat: now(),
        exp: now() + 30,
        image: Some(Image { url: "http://127.0.0.1:8088/i".into(), inline: Some(vec![7; 9_000]) }),
        ..Invite::default()
    })
}

fn cancel(why: Why) -> Notification {
    Notification::Cancel(Cancel {
        call_id: "6f1c1f0e-9a52-4e7f-8a3d-0123456789ab".into(),
        why,
        caller_uri: "sip:alice@example.org".into(),
        caller_name: Some("Alice".into()),
        to: "sip:bob@example.org".into(),
        iat: now(),
        exp: now() + 30,
    })
}

fn to(issued: &Issued) -> Delivery {
    encode(&invite(), &issued.target()).unwrap()
}

fn refused(status: u16, reason: &str) -> Outcome {
    Outcome::Refused { status, reason: reason.into() }
}

#[test]
fn every_service_takes_every_kind() {
    run(async {
        let (stand_ins, sender) = world().await;
        assert_eq!(sender.providers(), Provider::ALL);
        for provider in Provider::ALL {
            let issued = stand_ins.issue(provider);
            let mut stream = stand_ins.subscribe(&issued.prid);
            let kinds = [Why::Cancelled, Why::AnsweredElsewhere, Why::Missed].map(cancel);
            for sent in [invite()].into_iter().chain(kinds) {
                let delivery = encode(&sent, &issued.target()).unwrap();
                let outcome = sender.deliver(delivery.clone()).await;
                let Outcome::Accepted { id: Some(id) } = outcome else { panic!("{outcome:?}") };
                if provider == Apns {
                    assert_eq!(id, delivery.id);
                }
                // A cancel goes to the second token, and the device's one stream hears it.
                let heard = stream.recv().await.unwrap();
                assert_eq!(heard.prid, delivery.target.prid);
                let payload = serde_json::to_vec(&heard.payload).unwrap();
                let read = Notification::decode(&payload).unwrap();
                assert_eq!((read.kind(), read.call_id()), (sent.kind(), sent.call_id()));
            }
        }
        assert_eq!(stand_ins.received().len(), 12);
        let first = serde_json::to_value(&stand_ins.received()[0]).unwrap();
        assert_eq!(first["headers"]["apns-push-type"], "voip");
        assert_eq!(first["headers"]["apns-topic"], "org.carillon.phone.voip");
        assert_eq!(first["reason"], "accepted");
    });
}

#[test]
fn each_answer_has_its_outcome() {
    run(async {
        let (stand_ins, sender) = world().await;
        for provider in Provider::ALL {
            let issued = stand_ins.issue(provider);
            let seven = Some(7);
            for (plan, expected) in [
                (Plan::RateLimited { retry_after: seven }, Outcome::RetryAfter { seconds: seven }),
                (Plan::Unavailable { retry_after: None }, Outcome::RetryAfter { seconds: None }),
            ] {
                stand_ins.plan(provider, plan, 2);
                assert_eq!(sender.deliver(to(&issued)).await, expected, "{provider}");
                assert_eq!(sender.deliver(to(&issued)).await, expected, "{provider}");
            }
            stand_ins.plan(provider, Plan::Gone, 1);
            let outcome = sender.deliver(to(&issued)).await;
            assert!(matches!(outcome, Outcome::TokenGone { .. }), "{provider}: {outcome:?}");
            let outcome = sender.deliver(to(&issued)).await;
            assert!(matches!(outcome, Outcome::Accepted { .. }), "{provider}: {outcome:?}");
            assert!(stand_ins.revoke(&issued.prid));
            let outcome = sender.deliver(to(&issued)).await;
            let Outcome::TokenGone { since } = outcome else { panic!("{provider}: {outcome:?}") };
            assert_eq!(since.is_some(), provider == Apns);
        }
    });
}

#[test]
fn unknown_tokens_are_gone_and_no_token_bends_the_path() {
    run(async {
        let (stand_ins, sender) = world().await;
        for (provider, prids) in [
            (Apns, vec!["ab".repeat(32), "../../x".into(), String::new()]),
            (Fcm, vec!["x".repeat(40), "short".into(), "a/b?c".into()]),
            (Webpush, vec![format!("{}/wp/nobody", stand_ins.base())]),
        ] {
            for prid in prids {
                let target = Target { prid, ..stand_ins.issue(provider).target() };
                let outcome = sender.deliver(encode(&invite(), &target).unwrap()).await;
                assert_eq!(outcome, Outcome::TokenGone { since: None }, "{target:?}");
            }
        }
    });
}

#[test]
fn wrong_credentials_say_nothing_about_the_token() {
    run(async {
        let (stand_ins, _) = world().await;
        let (strangers, _) = world().await;
        let mut config = stand_ins.config();
        config.apns.as_mut().unwrap().key_pem = strangers.apns().key_pem;
        let mut account: serde_json::Value =
            serde_json::from_str(stand_ins.fcm().service_account_json.reveal()).unwrap();
        let stranger: serde_json::Value =
            serde_json::from_str(strangers.fcm().service_account_json.reveal()).unwrap();
        account["private_key"] = stranger["private_key"].clone();
        config.fcm.as_mut().unwrap().service_account_json = Secret::new(account.to_string());
        let sender = Sender::new(config).unwrap();
        let outcome = sender.deliver(to(&stand_ins.issue(Apns))).await;
        assert_eq!(outcome, refused(403, "InvalidProviderToken"));
        let outcome = sender.deliver(to(&stand_ins.issue(Fcm))).await;
        assert_eq!(outcome, refused(400, "no access token"));
    });
}

#[test]
fn an_access_token_taken_back_is_replaced_once() {
    run(async {
        let (stand_ins, sender) = world().await;
        let issued = stand_ins.issue(Fcm);
        for _ in 0..2 {
            let outcome = sender.deliver(to(&issued)).await;
            assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
            stand_ins.expire_access();
        }
        let statuses: Vec<u16> = stand_ins.received().iter().map(|one| one.status).collect();
        assert_eq!(statuses, [200, 401, 200]);
    });
}

#[test]
fn sizes_over_the_limit_are_refused_by_the_services() {
    run(async {
        let (stand_ins, sender) = world().await;
        let padded =
            |issued: &Issued, json: String| Delivery { body: json.into_bytes(), ..to(issued) };
        let issued = stand_ins.issue(Apns);
        let body = format!(r#"{{"aps":{{}},"x":"{}"}}"#, "x".repeat(pns::APNS_VOIP_MAX));
        let outcome = sender.deliver(padded(&issued, body)).await;
        assert_eq!(outcome, refused(413, "PayloadTooLarge"));
        let issued = stand_ins.issue(Fcm);
        let body = format!(
            r#"{{"message":{{"token":"{}","data":{{"x":"{}"}}}}}}"#,
            issued.prid,
            "x".repeat(pns::FCM_DATA_MAX)
        );
        let outcome = sender.deliver(padded(&issued, body)).await;
        assert_eq!(outcome, refused(400, "INVALID_ARGUMENT"));
        let issued = stand_ins.issue(Webpush);
        let outcome = sender.deliver(padded(&issued, "x".repeat(webpush::PLAIN_MAX + 1))).await;
        assert_eq!(outcome, refused(0, "plaintext over the limit"));
    });
}

#[test]
fn a_voip_token_takes_no_other_push_and_stays_known() {
    run(async {
        let (stand_ins, sender) = world().await;
        let target = Target { prid_alert: None, ..stand_ins.issue(Apns).target() };
        let outcome = sender.deliver(encode(&cancel(Why::Cancelled), &target).unwrap()).await;
        assert_eq!(outcome, refused(400, "DeviceTokenNotForTopic"));
    });
}

#[test]
fn silence_ends_at_the_limit() {
    run(async {
        let stand_ins = StandIns::start(ANY_PORT).await.unwrap();
        let sender = Sender::new(Config { limit: SHORT, ..stand_ins.config() }).unwrap();
        for provider in Provider::ALL {
            stand_ins.plan(provider, Plan::Silent, 1);
            let outcome = sender.deliver(to(&stand_ins.issue(provider))).await;
            assert_eq!(outcome, Outcome::Unreachable, "{provider}");
        }
    });
}

#[test]
fn nobody_there_is_unreachable() {
    run(async {
        let (stand_ins, sender) = world().await;
        // A port that was ours a moment ago and that nobody listens on now.
        let closed = std::net::TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
        let target = stand_ins.issue(Webpush).target();
        let target = Target { prid: format!("http://{closed}/wp/1"), ..target };
        let outcome = sender.deliver(encode(&invite(), &target).unwrap()).await;
        assert_eq!(outcome, Outcome::Unreachable);
    });
}

#[test]
fn web_push_goes_to_public_addresses_only() {
    run(async {
        let (stand_ins, _) = world().await;
        let target = stand_ins.issue(Webpush).target();
        let config = Config { webpush: Some(Vapid::generate("mailto:a@b")), ..Config::default() };
        let sender = Sender::new(config).unwrap();
        for prid in [
            &target.prid,
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://169.254.169.254/latest",
            "https://0x7f.1/x",
            "https://user@push.example/x",
            "ftp://push.example/x",
            "nonsense",
        ] {
            let target = Target { prid: prid.into(), ..target.clone() };
            let outcome = sender.deliver(encode(&invite(), &target).unwrap()).await;
            assert_eq!(outcome, refused(0, "endpoint not allowed"), "{prid}");
        }
        // A name is judged by what it resolves to.
        let port = stand_ins.address().port();
        let target = Target { prid: format!("https://localhost:{port}/x"), ..target };
        let outcome = sender.deliver(encode(&invite(), &target).unwrap()).await;
        assert_eq!(outcome, Outcome::Unreachable);
        assert!(stand_ins.received().is_empty());
        let issued = stand_ins.issue(Fcm);
        assert_eq!(sender.deliver(to(&issued)).await, refused(0, "service not configured"));
    });
}

#[test]
fn settings_that_cannot_work_are_named() {
    run(async {
        let (stand_ins, _) = world().await;
        let check = |config: Config, key: &str| {
            let fault = Sender::new(config).unwrap_err().to_string();
            assert!(fault.contains(key), "{fault}");
        };
        let mut config = stand_ins.config();
        config.apns.as_mut().unwrap().endpoint = "http://push.example".into();
        check(config, "push.apns.endpoint");
        let mut config = stand_ins.config();
        config.apns.as_mut().unwrap().key_pem = Secret::new("no key".into());
        check(config, "push.apns.key_file");
        let mut config = stand_ins.config();
        config.fcm.as_mut().unwrap().service_account_json = Secret::new("{}".into());
        check(config, "push.fcm.service_account_file");
        let mut config = stand_ins.config();
        config.fcm.as_mut().unwrap().token_endpoint = Some("http://10.0.0.1/token".into());
        check(config, "push.fcm.token_endpoint");
    });
}

#[test]
fn an_identity_survives_its_storage() {
    let made = Vapid::generate("mailto:ops@example.org");
    let read = Vapid::from_text("mailto:ops@example.org", made.private_key().reveal()).unwrap();
    assert_eq!(read.public_key(), made.public_key());
    assert!(Vapid::from_text("mailto:a@b", "AAAA").is_none());
}

#[test]
fn many_at_once_share_the_connections() {
    run(async {
        let (stand_ins, sender) = world().await;
        let sender = std::sync::Arc::new(sender);
        let mut tasks = tokio::task::JoinSet::new();
        for provider in Provider::ALL {
            let issued = stand_ins.issue(provider);
            for _ in 0..100 {
                let (sender, delivery) = (sender.clone(), to(&issued));
                tasks.spawn(async move { sender.deliver(delivery).await });
            }
        }
        for outcome in tasks.join_all().await {
            assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
        }
    });
}

#[test]
fn apns_speaks_http_2_only_and_knows_its_path() {
    run(async {
        let (stand_ins, _) = world().await;
        let token = stand_ins.issue(Apns).prid;
        let old = reqwest::Client::builder().no_proxy().build().unwrap();
        let new = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
        for (client, path, status) in [
            (&old, format!("/3/device/{token}"), 505),
            (&new, format!("/3/device/{token}"), 403),
            (&new, format!("/2/device/{token}"), 404),
        ] {
            let answer = client.post(format!("{}{path}", stand_ins.base())).body("{}").send().await;
            assert_eq!(answer.unwrap().status(), status, "{path}");
        }
    });
}

#[test]
fn a_web_push_message_can_be_withdrawn_once() {
    run(async {
        let (stand_ins, sender) = world().await;
        let outcome = sender.deliver(to(&stand_ins.issue(Webpush))).await;
        let Outcome::Accepted { id: Some(location) } = outcome else { panic!("{outcome:?}") };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for status in [204, 404] {
            assert_eq!(client.delete(&location).send().await.unwrap().status(), status);
        }
    });
}
