//! Golden payloads: what each service gets, octet for octet, and what the phone reads back from it.

use pns::{Cancel, Delivery, Image, Invite, Media, Notification, Provider, Target, Why, encode};

const GOLDEN: &[(&str, &str)] = &[
    ("apns_alert_invite", include_str!("wire/apns_alert_invite.txt")),
    ("apns_answered_elsewhere", include_str!("wire/apns_answered_elsewhere.txt")),
    ("apns_cancel_one_token", include_str!("wire/apns_cancel_one_token.txt")),
    ("apns_invite", include_str!("wire/apns_invite.txt")),
    ("apns_missed", include_str!("wire/apns_missed.txt")),
    ("fcm_cancel", include_str!("wire/fcm_cancel.txt")),
    ("fcm_invite", include_str!("wire/fcm_invite.txt")),
    ("fcm_invite_bare", include_str!("wire/fcm_invite_bare.txt")),
    ("webpush_invite", include_str!("wire/webpush_invite.txt")),
    ("webpush_missed", include_str!("wire/webpush_missed.txt")),
];

fn invite() -> Invite {
    Invite {
        call_id: "6f1c1f0e-9a52-4e7f-8a3d-0123456789ab".into(),
        caller_uri: "sip:alice@example.org".into(),
        caller_name: Some("Alice \"Ali\"\n👨‍👩‍👧 شكرا".into()),
        caller_user: Some("alice".into()),
        caller_addr: Some("sip:alice@192.0.2.7:5060;transport=tcp".into()),
        to: "sip:bob@example.org".into(),
        media: Media { audio: true, video: true },
        reply_url: "https://srv.example.org/v1/replies/1".into(),
        reply_token: "one-call".into(),
        iat: 1_767_225_570,
        exp: 1_767_225_600,
        image: Some(Image {
            url: "https://srv.example.org/img/1?s=x".into(),
            inline: Some(vec![0, 1, 254, 255]),
        }),
    }
}

fn bare() -> Invite {
    Invite {
        caller_name: None,
        caller_user: None,
        caller_addr: None,
        media: Media { audio: true, video: false },
        image: None,
        ..invite()
    }
}

fn cancel(why: Why) -> Notification {
    Notification::Cancel(Cancel {
        call_id: invite().call_id,
        why,
        caller_uri: "sip:alice@example.org".into(),
        caller_name: Some("Alice".into()),
        to: "sip:bob@example.org".into(),
        iat: 1_767_225_590,
        exp: 1_767_229_190,
    })
}

fn target(provider: Provider) -> Target {
    Target {
        provider,
        prid: match provider {
            Provider::Apns => "aa11",
            Provider::Fcm => "fcm:token_1",
            Provider::Webpush => "https://push.example/wp/1",
        }
        .into(),
        prid_alert: (provider == Provider::Apns).then(|| "bb22".into()),
        param: String::new(),
        p256dh: Some(vec![4; 65]),
        auth: Some(vec![1; 16]),
    }
}

fn case(name: &str) -> (Notification, Target) {
    let invited = Notification::Invite(invite());
    let one_token = Target { prid_alert: None, ..target(Provider::Apns) };
    match name {
        "apns_alert_invite" => {
            (invited, Target { param: "TEAM.org.app.remote".into(), ..one_token })
        }
        "apns_answered_elsewhere" => (cancel(Why::AnsweredElsewhere), target(Provider::Apns)),
        "apns_cancel_one_token" => (cancel(Why::Cancelled), one_token),
        "apns_invite" => (invited, target(Provider::Apns)),
        "apns_missed" => (cancel(Why::Missed), target(Provider::Apns)),
        "fcm_cancel" => (cancel(Why::Cancelled), target(Provider::Fcm)),
        "fcm_invite" => (invited, target(Provider::Fcm)),
        "fcm_invite_bare" => (Notification::Invite(bare()), target(Provider::Fcm)),
        "webpush_invite" => (invited, target(Provider::Webpush)),
        "webpush_missed" => (cancel(Why::Missed), target(Provider::Webpush)),
        other => panic!("no case {other}"),
    }
}

fn render(delivery: &Delivery) -> String {
    format!(
        "to {} {}\ntype {:?} priority {:?} expires {} ttl {}\ncollapse {:?} id {}\n{}\n",
        delivery.provider,
        delivery.target.prid,
        delivery.push_type,
        delivery.priority,
        delivery.expires,
        delivery.ttl_seconds,
        delivery.collapse,
        delivery.id,
        String::from_utf8(delivery.body.clone()).unwrap(),
    )
}

#[test]
fn payloads_are_the_golden_ones() {
    for (name, golden) in GOLDEN {
        let (notification, target) = case(name);
        let seen = render(&encode(&notification, &target).unwrap());
        assert_eq!(seen, *golden, "\n== {name}\n{seen}==");
    }
}

#[test]
fn the_phone_reads_what_was_sent() {
    for (name, _) in GOLDEN {
        let (notification, target) = case(name);
        let delivery = encode(&notification, &target).unwrap();
        assert_eq!(Notification::decode(&delivery.body), Ok(notification), "{name}");
    }
}

#[test]
fn a_second_try_has_the_same_id_and_another_device_another() {
    let (notification, target) = case("apns_invite");
    let first = encode(&notification, &target).unwrap();
    assert_eq!(first, encode(&notification, &target).unwrap());
    let other = Target { prid: "cc33".into(), ..target };
    assert_ne!(first.id, encode(&notification, &other).unwrap().id);
}
