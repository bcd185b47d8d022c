//! The services' answers, in their own words.

use pns::Provider::{self, Apns, Fcm, Webpush};
use pns::{Answer, Outcome, REASON_MAX, outcome};
use types::Rng;

fn unregistered(code: &str) -> String {
    format!(
        r#"{{"error":{{"code":404,"message":"m","status":"NOT_FOUND","details":[{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}}}"#
    )
}

const BAD_TOKEN: &str = r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"d"}]}]}}"#;
const BAD_DATA: &str = r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.data[0].value","description":"d"}]}]}}"#;

#[track_caller]
fn check(
    provider: Provider,
    status: u16,
    retry_after: Option<&str>,
    body: &str,
    expected: Outcome,
) {
    let answer = Answer { status, retry_after, id: Some("name"), body: body.as_bytes() };
    assert_eq!(outcome(provider, &answer), expected);
}

fn refused(status: u16, reason: &str) -> Outcome {
    Outcome::Refused { status, reason: reason.into() }
}

fn accepted(id: &str) -> Outcome {
    Outcome::Accepted { id: Some(id.into()) }
}

fn retry(seconds: Option<u32>) -> Outcome {
    Outcome::RetryAfter { seconds }
}

fn gone(since: Option<u64>) -> Outcome {
    Outcome::TokenGone { since }
}

#[test]
fn apns() {
    check(Apns, 200, None, "", accepted("name"));
    let body = r#"{"reason":"Unregistered","timestamp":1767225570123}"#;
    check(Apns, 410, None, body, gone(Some(1_767_225_570)));
    check(Apns, 400, None, r#"{"reason":"BadDeviceToken"}"#, gone(None));
    let wrong_topic = "DeviceTokenNotForTopic";
    let body = format!(r#"{{"reason":"{wrong_topic}"}}"#);
    check(Apns, 400, None, &body, refused(400, wrong_topic));
    check(
        Apns,
        403,
        None,
        r#"{"reason":"ExpiredProviderToken"}"#,
        refused(403, "ExpiredProviderToken"),
    );
    check(Apns, 413, None, r#"{"reason":"PayloadTooLarge"}"#, refused(413, "PayloadTooLarge"));
    check(Apns, 429, Some("7"), r#"{"reason":"TooManyRequests"}"#, retry(Some(7)));
    check(Apns, 503, None, "<html>", retry(None));
}

#[test]
fn fcm() {
    check(Fcm, 200, None, r#"{"name":"projects/p/messages/1"}"#, accepted("projects/p/messages/1"));
    check(Fcm, 404, None, &unregistered("UNREGISTERED"), gone(None));
    check(Fcm, 403, None, &unregistered("SENDER_ID_MISMATCH"), gone(None));
    check(Fcm, 400, None, BAD_TOKEN, gone(None));
    check(Fcm, 400, None, BAD_DATA, refused(400, "INVALID_ARGUMENT"));
    check(Fcm, 404, None, "", refused(404, ""));
    let body = unregistered("THIRD_PARTY_AUTH_ERROR");
    check(Fcm, 401, None, &body, refused(401, "THIRD_PARTY_AUTH_ERROR"));
    check(Fcm, 429, Some(" 30 "), &unregistered("QUOTA_EXCEEDED"), retry(Some(30)));
    check(Fcm, 503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "", retry(None));
}

#[test]
fn webpush() {
    check(Webpush, 201, None, "", accepted("name"));
    check(Webpush, 404, None, "", gone(None));
    check(Webpush, 410, None, r#"{"code":410,"errno":105}"#, gone(None));
    check(Webpush, 429, Some("1"), "", retry(Some(1)));
    check(Webpush, 413, None, "too large", refused(413, "too large"));
    check(Webpush, 301, None, "", refused(301, ""));
}

#[test]
fn hostile_answers_never_panic() {
    let mut rng = Rng::from_number(410);
    for round in 0..20_000 {
        let mut body = [BAD_TOKEN, BAD_DATA, r#"{"reason":"é"}"#][round % 3].as_bytes().to_vec();
        let at = rng.below(body.len() as u64) as usize;
        body[at] = rng.next_u64() as u8;
        for provider in Provider::ALL {
            let answer =
                Answer { status: rng.below(600) as u16, retry_after: None, id: None, body: &body };
            outcome(provider, &answer);
        }
    }
    let Outcome::Refused { reason, .. } = Outcome::refused(400, &"é".repeat(REASON_MAX)) else {
        panic!("not refused")
    };
    assert_eq!(reason.len(), REASON_MAX);
}
