//! What bodies may say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pns::{Provider, Target};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sip::digest::Algorithm;
use switchboard::directory::Device;
use switchboard::route::CallSettings;

use crate::Refused;

/// Longest name of a user or a device. Units: octets.
pub const NAME_MAX: usize = 64;
/// Longest display name. Units: characters.
pub const DISPLAY_NAME_MAX: usize = 300;
/// Longest password. Units: octets.
pub const PASSWORD_MAX: usize = 256;
/// Longest token, endpoint or parameter of a push provider. Units: octets.
pub const TOKEN_MAX: usize = 2_048;
/// A public key of P-256, uncompressed. Units: octets.
const P256DH_LENGTH: usize = 65;
/// The secret of a Web Push receiver. Units: octets.
const AUTH_LENGTH: usize = 16;
/// Longest target of a forwarding. Units: octets.
const FORWARD_MAX: usize = 128;
/// How long a phone may ring before a call is forwarded. Units: seconds.
const NO_ANSWER: std::ops::RangeInclusive<u32> = 5..=120;
/// Kinds of devices.
const KINDS: [&str; 4] = ["browser", "phone", "screen", "vehicle"];

/// `PUT /v1/users/{name}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    pub password: Option<String>,
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub digest: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceBody {
    kind: String,
    push: PushBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushBody {
    provider: String,
    #[serde(default)]
    param: String,
    prid: String,
    prid_alert: Option<String>,
    p256dh: Option<String>,
    auth: Option<String>,
}

impl UserBody {
    /// Reads and judges; the digest names come out in their canonical spelling.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let mut body: Self = json(bytes)?;
        if let Some(password) = &body.password
            && (password.is_empty()
                || password.len() > PASSWORD_MAX
                || password.contains(char::is_control))
        {
            return Err(Refused::malformed("password", "1 to 256 octets of text"));
        }
        if body.display_name.chars().count() > DISPLAY_NAME_MAX
            || body.display_name.contains(char::is_control)
        {
            return Err(Refused::malformed("display_name", "at most 300 characters of text"));
        }
        for word in &mut body.digest {
            match Algorithm::parse(word.as_bytes()) {
                Some(algorithm) => algorithm.name().clone_into(word),
                None => {
                    return Err(Refused::malformed("digest", "MD5, SHA-256 or SHA-512-256"));
                }
            }
        }
        let twice = |at: usize, word| body.digest.iter().take(at).any(|other| other == word);
        if body.digest.iter().enumerate().any(|(at, word)| twice(at, word)) {
            return Err(Refused::malformed("digest", "each algorithm once"));
        }
        Ok(body)
    }
}

/// Reads the body of a device with this name.
pub fn device(name: &str, bytes: &[u8]) -> Result<Device, Refused> {
    let DeviceBody { kind, push } = json(bytes)?;
    if !KINDS.contains(&kind.as_str()) {
        return Err(Refused::malformed("kind", "browser, phone, screen or vehicle"));
    }
    let provider = Provider::parse(&push.provider)
        .ok_or_else(|| Refused::malformed("push.provider", "apns, fcm or webpush"))?;
    let fits =
        |text: &str| text.len() <= TOKEN_MAX && text.bytes().all(|octet| octet.is_ascii_graphic());
    for (field, text) in [
        ("push.prid", push.prid.as_str()),
        ("push.prid_alert", push.prid_alert.as_deref().unwrap_or("-")),
    ] {
        if text.is_empty() || !fits(text) {
            return Err(Refused::malformed(field, "1 to 2,048 printable ASCII characters"));
        }
    }
    if !fits(&push.param) {
        return Err(Refused::malformed("push.param", "at most 2,048 printable ASCII characters"));
    }
    let p256dh = octets("push.p256dh", push.p256dh.as_deref(), P256DH_LENGTH)?;
    let auth = octets("push.auth", push.auth.as_deref(), AUTH_LENGTH)?;
    if provider == Provider::Webpush {
        if p256dh.is_none() || auth.is_none() {
            return Err(Refused::malformed("push.p256dh", "Web Push needs p256dh and auth"));
        }
        if !push.prid.starts_with("https://") && !push.prid.starts_with("http://") {
            return Err(Refused::malformed("push.prid", "the address of the push endpoint"));
        }
    }
    let (prid, prid_alert, param) = (push.prid, push.prid_alert, push.param);
    let target = Target { provider, prid, prid_alert, param, p256dh, auth };
    Ok(Device { name: name.to_owned(), kind, target })
}

/// What a user wants done with calls.
pub fn calls(name: &str, bytes: &[u8]) -> Result<CallSettings, Refused> {
    let calls: CallSettings = json(bytes)?;
    for (field, to) in [
        ("forward_always", &calls.forward_always),
        ("forward_busy", &calls.forward_busy),
        ("forward_no_answer", &calls.forward_no_answer),
        ("forward_unreachable", &calls.forward_unreachable),
    ] {
        let Some(to) = to else { continue };
        if to.is_empty()
            || to.len() > FORWARD_MAX
            || !to.bytes().all(|octet| octet.is_ascii_graphic())
        {
            return Err(Refused::malformed(field, "a user's name or a number such as +15550142"));
        }
        if to.strip_prefix("user/").unwrap_or(to) == name {
            return Err(Refused::malformed(field, "somebody else than the user himself"));
        }
    }
    if !NO_ANSWER.contains(&calls.no_answer_after) {
        return Err(Refused::malformed("no_answer_after", "5 to 120 seconds"));
    }
    Ok(calls)
}

/// Whether a user or a device may be called so.
pub fn name(text: &str) -> Result<&str, Refused> {
    let letter = |octet: u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'+' | b'~')
    };
    let first = text.bytes().next();
    if text.len() <= NAME_MAX
        && first.is_some_and(|octet| octet.is_ascii_alphanumeric() || octet == b'+')
        && text.bytes().all(letter)
    {
        return Ok(text);
    }
    Err(Refused::malformed("name", "1 to 64 letters, digits and -_.+~, a letter or digit first"))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|why| {
        // A message about a value may quote it, and it may be a password: those are told by place only.
        let words = why.to_string();
        let safe = ["unknown field", "missing field", "duplicate field"];
        let wants = if why.is_syntax() || why.is_eof() {
            format!("JSON ({words})")
        } else if safe.iter().any(|start| words.starts_with(start)) {
            words
        } else {
            format!("another type at line {} column {}", why.line(), why.column())
        };
        Refused::malformed("body", &wants)
    })
}

/// Base64 in either alphabet, padded or not.
fn octets(field: &str, text: Option<&str>, length: usize) -> Result<Option<Vec<u8>>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    match URL_SAFE_NO_PAD.decode(plain) {
        Ok(octets) if octets.len() == length => Ok(Some(octets)),
        Ok(_) | Err(_) => Err(Refused::malformed(field, &format!("{length} octets in base64url"))),
    }
}
