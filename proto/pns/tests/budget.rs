//! No payload is ever over its channel's limit, and what matters is always in it.

use pns::{
    APNS_MAX, APNS_VOIP_MAX, EncodeError, FCM_DATA_MAX, Image, Invite, Media, Notification,
    Provider, Target, encode, webpush,
};
use serde_json::Value;
use types::Rng;
use unicode_segmentation::UnicodeSegmentation as _;

const ROUNDS: usize = 400;
/// Pieces of hostile names: quotes, controls, families, flags, right-to-left, combining marks.
const PIECES: [&str; 14] = [
    "a",
    "\"",
    "\\",
    "\n",
    "\u{0}",
    "\u{7f}",
    "👨‍👩‍👧‍👦",
    "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "שלום",
    "\u{202e}",
    "e\u{301}\u{323}",
    "</script>",
    "日本",
    "🇨🇭",
];

fn name(rng: &mut Rng) -> String {
    let count = [0, 1, 12, 300, 2_000][rng.below(5) as usize];
    (0..count).map(|_| PIECES[rng.below(PIECES.len() as u64) as usize]).collect()
}

fn text(rng: &mut Rng, max: u64) -> String {
    let length = rng.below(max) as usize;
    (0..length).map(|_| char::from(33 + rng.below(94) as u8)).collect()
}

fn any_invite(rng: &mut Rng) -> Invite {
    let image = rng.percent(70).then(|| Image {
        url: format!("https://srv.example/{}", text(rng, 200)),
        inline: rng.percent(70).then(|| {
            let mut bytes = vec![0; rng.below(6_000) as usize];
            rng.fill(&mut bytes);
            bytes
        }),
    });
    Invite {
        call_id: "6f1c1f0e-9a52-4e7f-8a3d-0123456789ab".into(),
        caller_uri: format!("sip:{}@example.org", text(rng, 120)),
        caller_name: rng.percent(90).then(|| name(rng)),
        caller_user: rng.percent(50).then(|| text(rng, 600)),
        caller_addr: rng.percent(50).then(|| text(rng, 2_500)),
        to: format!("sip:{}@example.org", text(rng, 120)),
        media: Media { audio: rng.percent(90), video: rng.percent(50) },
        reply_url: format!("https://srv.example/{}", text(rng, 80)),
        reply_token: text(rng, 60),
        iat: 1_767_225_570,
        exp: 1_767_225_600,
        image,
    }
}

fn targets() -> [Target; 4] {
    let target = |provider, param: &str| Target {
        provider,
        prid: "aa11".into(),
        prid_alert: None,
        param: param.into(),
        p256dh: Some(vec![4; 65]),
        auth: Some(vec![1; 16]),
    };
    [
        target(Provider::Apns, ""),
        target(Provider::Apns, "T.b.remote"),
        target(Provider::Fcm, "p"),
        target(Provider::Webpush, ""),
    ]
}

/// What the service counts, measured from the outside.
fn counted(target: &Target, body: &[u8]) -> (usize, usize) {
    match target.provider {
        Provider::Apns if target.takes_voip() => (body.len(), APNS_VOIP_MAX),
        Provider::Apns => (body.len(), APNS_MAX),
        Provider::Webpush => (body.len(), webpush::PLAIN_MAX),
        Provider::Fcm => {
            let body: Value = serde_json::from_slice(body).unwrap();
            let data = body["message"]["data"].as_object().unwrap();
            let size = data.iter().map(|(key, value)| key.len() + value.as_str().unwrap().len());
            assert!(data.keys().all(|key| key != "from" && !key.starts_with("google")));
            (size.sum(), FCM_DATA_MAX)
        }
    }
}

#[test]
fn hostile_invites_always_fit_and_keep_what_matters() {
    let mut rng = Rng::from_number(4_096);
    let mut shortened = 0;
    for round in 0..ROUNDS {
        let sent = any_invite(&mut rng);
        for target in targets() {
            let delivery = encode(&Notification::Invite(sent.clone()), &target).unwrap();
            let (size, budget) = counted(&target, &delivery.body);
            assert!(size <= budget, "round {round}: {size} > {budget} for {target:?}");
            let Ok(Notification::Invite(got)) = Notification::decode(&delivery.body) else {
                panic!("round {round}: unreadable");
            };
            assert_eq!(
                (&got.call_id, &got.reply_url, &got.reply_token, got.exp, &got.caller_uri),
                (&sent.call_id, &sent.reply_url, &sent.reply_token, sent.exp, &sent.caller_uri)
            );
            shortened += usize::from(got.caller_name != sent.caller_name);
            check_order(&sent, &got, round);
        }
    }
    assert!(shortened > 20, "the generator must reach the limits");
}

/// Nothing is lost before what stands earlier in the order.
fn check_order(sent: &Invite, got: &Invite, round: usize) {
    let inline_kept = got.image.as_ref().is_some_and(|image| image.inline.is_some());
    let name_kept = got.caller_name == sent.caller_name;
    assert!(name_kept || !inline_kept, "round {round}: name cut before the inline image");
    if let (Some(sent), Some(got)) = (&sent.caller_name, &got.caller_name) {
        let graphemes: Vec<&str> = sent.graphemes(true).collect();
        let kept: Vec<&str> = got.graphemes(true).collect();
        assert_eq!(graphemes[..kept.len()], kept[..], "round {round}: cut inside a grapheme");
    }
    if got.media != sent.media || (sent.image.is_some() && got.image.is_none()) {
        assert_eq!(got.caller_name, None, "round {round}: media or link went before the name");
    }
}

#[test]
fn a_name_that_needs_cutting_fills_the_budget() {
    let sent = Invite {
        caller_name: Some("👨‍👩‍👧‍👦".repeat(500)),
        caller_uri: "sip:a@b".into(),
        ..Invite::default()
    };
    for target in targets() {
        let delivery = encode(&Notification::Invite(sent.clone()), &target).unwrap();
        let (size, budget) = counted(&target, &delivery.body);
        // An alert carries the name twice.
        assert!(size > budget - 51 && size <= budget, "{size} of {budget}");
    }
}

#[test]
fn what_cannot_fit_is_refused() {
    let sent = Invite { caller_uri: "x".repeat(6_000), ..Invite::default() };
    for target in targets() {
        let result = encode(&Notification::Invite(sent.clone()), &target);
        assert!(matches!(result, Err(EncodeError::Oversize { .. })), "{result:?}");
    }
    let no_keys = Target { p256dh: None, ..targets()[3].clone() };
    let result = encode(&Notification::Invite(Invite::default()), &no_keys);
    assert_eq!(result, Err(EncodeError::NoKeys));
}

#[test]
fn hostile_bodies_never_panic_the_phone() {
    let mut rng = Rng::from_number(8_259);
    let sent = Invite { caller_name: Some("A".into()), ..any_invite(&mut rng) };
    for target in targets() {
        let body = encode(&Notification::Invite(sent.clone()), &target).unwrap().body;
        for _ in 0..2_000 {
            let mut changed = body.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(changed.len() as u64) as usize;
                changed[at] = rng.next_u64() as u8;
            }
            changed.truncate(rng.below(body.len() as u64 * 4) as usize);
            let _ = Notification::decode(&changed);
        }
    }
}
