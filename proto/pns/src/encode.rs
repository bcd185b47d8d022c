//! Notifications to bodies that fit their channel.
//!
//! Picture     fields --wire form of the channel--> measured --too large? drop the next thing--> Delivery
//! Rules       The order of loss is `Loss::ORDER`. A VoIP push is only for a call (an app that does not
//!             report one to the system is killed), so the end of a call goes as an ordinary push: to the
//!             alert token when there is one, else to the only token under the plain topic, where Apple
//!             may say DeviceTokenNotForTopic, which says nothing about the token's life.
//! Limits      FCM_DATA_MAX, APNS_MAX, APNS_VOIP_MAX, webpush::PLAIN_MAX, APNS_COLLAPSE_MAX.
//! Not here    Encryption (webpush), headers and authorisation (shell/push_io).
//! Spec        RFC 8030 §5.4 (Topic)

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{Invite, Notification, Provider, Target, Why, webpush};

/// Largest sum of keys and values of the `data` of an FCM message. Units: octets.
pub const FCM_DATA_MAX: usize = 4_096;
/// Largest body of an alert or background push. Units: octets.
pub const APNS_MAX: usize = 4_096;
/// Largest body of a VoIP push. Units: octets.
pub const APNS_VOIP_MAX: usize = 5_120;
/// Longest `apns-collapse-id`. Units: octets.
pub const APNS_COLLAPSE_MAX: usize = 64;
/// Longest `Topic` of Web Push. Units: characters of the base64url alphabet.
const WEBPUSH_TOPIC_MAX: usize = 32;
/// Version of the fields.
pub(crate) const VERSION: u8 = 1;

/// A push ready to be sent; also what is kept while it waits for another try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which service; the same as in `target`.
    pub provider: Provider,
    /// To whom. On APNs `target.prid` is the token that this push is for.
    pub target: Target,
    /// The JSON body; for Web Push the plaintext, which the sender encrypts.
    pub body: Vec<u8>,
    /// APNs: the kind of push. `None` for the other services.
    pub push_type: Option<PushType>,
    /// Whether the device is to be woken at once.
    pub priority: Priority,
    /// When it is of no use any more. Units: seconds since 1970.
    pub expires: u64,
    /// The same as a span from the notification's `iat`.
    pub ttl_seconds: u32,
    /// A later push with the same value replaces this one while it is undelivered.
    pub collapse: Option<String>,
    /// A UUID that follows from call, kind and token: a second try carries the same.
    pub id: String,
}

/// `apns-push-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushType {
    /// Shown to the person.
    Alert,
    /// Wakes the app when the system likes.
    Background,
    /// An incoming call.
    Voip,
}

impl PushType {
    /// The value of the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Background => "background",
            Self::Voip => "voip",
        }
    }
}

/// How urgent a push is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Priority {
    /// APNs 10, FCM and Web Push `high`.
    High,
    /// APNs 5, which background pushes must carry.
    Normal,
}

impl Priority {
    /// `apns-priority`.
    pub const fn apns(self) -> u8 {
        match self {
            Self::High => 10,
            Self::Normal => 5,
        }
    }
}

/// Why a notification cannot be sent to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A Web Push target without the receiver's keys.
    #[error("the web push target has no keys (p256dh and auth)")]
    NoKeys,
    /// What must never be dropped is larger than the channel takes.
    #[error("payload of {size} octets, {budget} allowed")]
    Oversize {
        /// What is left after dropping all that may go. Units: octets.
        size: usize,
        /// What the channel takes. Units: octets.
        budget: usize,
    },
}

/// Writes `notification` for `target`, leaving out what does not fit.
///
/// Errors: [`EncodeError::Oversize`] when id, caller, reply and end alone are too large.
pub fn encode(notification: &Notification, target: &Target) -> Result<Delivery, EncodeError> {
    if target.provider == Provider::Webpush && (target.p256dh.is_none() || target.auth.is_none()) {
        return Err(EncodeError::NoKeys);
    }
    let (channel, target) = route(notification, target);
    let mut fields = Fields::of(notification);
    fields.fit(channel)?;
    let (iat, expires) = (fields.iat, fields.exp);
    let background = channel == Channel::Apns(PushType::Background);
    Ok(Delivery {
        provider: target.provider,
        body: channel.write(&fields, &target),
        push_type: match channel {
            Channel::Apns(push_type) => Some(push_type),
            Channel::Fcm | Channel::Webpush => None,
        },
        priority: if background { Priority::Normal } else { Priority::High },
        expires,
        ttl_seconds: ttl(iat, expires),
        collapse: Some(collapse(target.provider, notification.call_id())),
        id: stable_uuid(&[notification.kind(), notification.call_id(), &target.prid]),
        target,
    })
}

/// Which form, and which token of the device.
fn route(notification: &Notification, target: &Target) -> (Channel, Target) {
    let mut target = target.clone();
    let channel = match (target.provider, notification) {
        (Provider::Fcm, _) => Channel::Fcm,
        (Provider::Webpush, _) => Channel::Webpush,
        (Provider::Apns, Notification::Invite(_)) if target.takes_voip() => {
            Channel::Apns(PushType::Voip)
        }
        (Provider::Apns, Notification::Invite(_)) => Channel::Apns(PushType::Alert),
        (Provider::Apns, Notification::Cancel(cancel)) => {
            let seen = target.prid_alert.is_some() || !target.takes_voip();
            if let Some(token) = target.prid_alert.take() {
                target.prid = token;
            }
            // Only a missed call is worth a person's look; the others clear a screen silently.
            Channel::Apns(match cancel.why {
                Why::Missed if seen => PushType::Alert,
                Why::AnsweredElsewhere | Why::Cancelled | Why::Missed => PushType::Background,
            })
        }
    };
    (channel, target)
}

fn ttl(iat: u64, exp: u64) -> u32 {
    u32::try_from(exp.saturating_sub(iat)).unwrap_or(u32::MAX)
}

/// One value for a call on each service, within that service's alphabet and length.
fn collapse(provider: Provider, call_id: &str) -> String {
    let (max, plain): (usize, String) = match provider {
        Provider::Apns | Provider::Fcm => (APNS_COLLAPSE_MAX, call_id.to_owned()),
        // A UUID without its dashes is exactly as long as a Topic may be.
        Provider::Webpush => (WEBPUSH_TOPIC_MAX, call_id.replace('-', "")),
    };
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !plain.is_empty() && plain.len() <= max && plain.bytes().all(safe) {
        return plain;
    }
    let hash = digest(&SHA256, call_id.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..24).unwrap_or_default())
}

/// A UUID made from a hash of `parts`.
///
/// Spec: RFC 9562 §5.8 (version 8)
fn stable_uuid(parts: &[&str]) -> String {
    let hash = digest(&SHA256, parts.join("\0").as_bytes());
    let mut bytes = [0u8; 16];
    for (byte, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *byte = *from;
    }
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | 8 << 76;
    let number = number & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{number:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Channel {
    Apns(PushType),
    Fcm,
    Webpush,
}

impl Channel {
    const fn budget(self) -> usize {
        match self {
            Self::Apns(PushType::Voip) => APNS_VOIP_MAX,
            Self::Apns(PushType::Alert | PushType::Background) => APNS_MAX,
            Self::Fcm => FCM_DATA_MAX,
            Self::Webpush => webpush::PLAIN_MAX,
        }
    }

    /// What the service counts.
    fn measure(self, fields: &Fields) -> usize {
        match self {
            Self::Apns(push_type) => json(&ApnsBody { aps: aps(push_type, fields), fields }).len(),
            Self::Fcm => FcmStrings::of(fields).size(),
            Self::Webpush => json(fields).len(),
        }
    }

    fn write(self, fields: &Fields, target: &Target) -> Vec<u8> {
        match self {
            Self::Apns(push_type) => json(&ApnsBody { aps: aps(push_type, fields), fields }),
            Self::Fcm => json(&FcmBody {
                message: FcmMessage {
                    token: &target.prid,
                    android: FcmAndroid {
                        priority: "high",
                        ttl: format!("{}s", ttl(fields.iat, fields.exp)),
                        collapse_key: collapse(Provider::Fcm, &fields.call_id),
                    },
                    data: FcmStrings::of(fields),
                },
            }),
            Self::Webpush => json(fields),
        }
    }
}

/// Text of a value that cannot fail to be written: maps have string keys, and nothing here does I/O.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The fields of every channel, in the order of the wire.
#[derive(Serialize)]
struct Fields {
    v: u8,
    t: &'static str,
    call_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    caller: Caller,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply>,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    img: Option<Picture>,
}

#[derive(Serialize)]
struct Caller {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Reply {
    url: String,
    token: String,
}

#[derive(Serialize)]
struct Picture {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline: Option<String>,
}

/// What goes when the payload is too large.
#[derive(Clone, Copy)]
enum Loss {
    InlineImage,
    Name,
    Media,
    ImageLink,
    CallerAddress,
    CallerUser,
    To,
}

impl Loss {
    const ORDER: [Self; 7] = [
        Self::InlineImage,
        Self::Name,
        Self::Media,
        Self::ImageLink,
        Self::CallerAddress,
        Self::CallerUser,
        Self::To,
    ];
}

impl Fields {
    fn of(notification: &Notification) -> Self {
        match notification {
            Notification::Invite(invite) => Self::of_invite(notification.kind(), invite),
            Notification::Cancel(cancel) => Self {
                v: VERSION,
                t: notification.kind(),
                call_id: cancel.call_id.clone(),
                to: Some(cancel.to.clone()),
                caller: Caller {
                    user: None,
                    uri: cancel.caller_uri.clone(),
                    addr: None,
                    name: cancel.caller_name.clone(),
                },
                media: None,
                reply: None,
                iat: cancel.iat,
                exp: cancel.exp,
                img: None,
            },
        }
    }

    fn of_invite(kind: &'static str, invite: &Invite) -> Self {
        Self {
            v: VERSION,
            t: kind,
            call_id: invite.call_id.clone(),
            to: Some(invite.to.clone()),
            caller: Caller {
                user: invite.caller_user.clone(),
                uri: invite.caller_uri.clone(),
                addr: invite.caller_addr.clone(),
                name: invite.caller_name.clone(),
            },
            media: Some(invite.media.names()),
            reply: Some(Reply { url: invite.reply_url.clone(), token: invite.reply_token.clone() }),
            iat: invite.iat,
            exp: invite.exp,
            img: invite.image.as_ref().map(|image| Picture {
                url: image.url.clone(),
                inline: image.inline.as_ref().map(|bytes| STANDARD.encode(bytes)),
            }),
        }
    }

    /// Drops things in order until the rest fits.
    fn fit(&mut self, channel: Channel) -> Result<(), EncodeError> {
        let budget = channel.budget();
        for loss in Loss::ORDER {
            if channel.measure(self) <= budget {
                return Ok(());
            }
            match loss {
                Loss::InlineImage => {
                    if let Some(picture) = &mut self.img {
                        picture.inline = None;
                    }
                }
                Loss::Name => self.shorten_name(channel),
                Loss::Media => self.media = None,
                Loss::ImageLink => self.img = None,
                Loss::CallerAddress => self.caller.addr = None,
                Loss::CallerUser => self.caller.user = None,
                Loss::To => self.to = None,
            }
        }
        let size = channel.measure(self);
        if size <= budget { Ok(()) } else { Err(EncodeError::Oversize { size, budget }) }
    }

    /// Keeps as many graphemes as fit; none left means no name at all.
    fn shorten_name(&mut self, channel: Channel) {
        let Some(name) = self.caller.name.take() else { return };
        let ends: Vec<usize> =
            name.grapheme_indices(true).map(|(start, text)| start + text.len()).collect();
        // The size grows with every grapheme, so the point where it stops to fit can be halved out.
        let kept = ends.partition_point(|end| {
            self.caller.name = name.get(..*end).map(str::to_owned);
            channel.measure(self) <= channel.budget()
        });
        let end = kept.checked_sub(1).and_then(|last| ends.get(last));
        self.caller.name = end.and_then(|end| name.get(..*end)).map(str::to_owned);
    }
}

#[derive(Serialize)]
struct ApnsBody<'a> {
    aps: Aps<'a>,
    #[serde(flatten)]
    fields: &'a Fields,
}

#[derive(Default, Serialize)]
struct Aps<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Alert<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'static str>,
    #[serde(rename = "content-available", skip_serializing_if = "Option::is_none")]
    content_available: Option<u8>,
    /// Lets the app's extension put the text into the person's language.
    #[serde(rename = "mutable-content", skip_serializing_if = "Option::is_none")]
    mutable_content: Option<u8>,
}

#[derive(Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'static str,
}

fn aps(push_type: PushType, fields: &Fields) -> Aps<'_> {
    match push_type {
        PushType::Voip => Aps::default(),
        PushType::Background => Aps { content_available: Some(1), ..Aps::default() },
        PushType::Alert => Aps {
            alert: Some(Alert {
                title: fields.caller.name.as_deref().unwrap_or(&fields.caller.uri),
                body: if fields.reply.is_some() { "Incoming call" } else { "Missed call" },
            }),
            sound: Some("default"),
            content_available: None,
            mutable_content: Some(1),
        },
    }
}

#[derive(Serialize)]
struct FcmBody<'a> {
    message: FcmMessage<'a>,
}

#[derive(Serialize)]
struct FcmMessage<'a> {
    token: &'a str,
    android: FcmAndroid,
    data: FcmStrings,
}

#[derive(Serialize)]
struct FcmAndroid {
    priority: &'static str,
    ttl: String,
    collapse_key: String,
}

/// The same fields as strings; what has parts is JSON text. None of FCM's reserved keys is among them.
struct FcmStrings(Vec<(&'static str, String)>);

impl FcmStrings {
    fn of(fields: &Fields) -> Self {
        let optional = [
            ("to", fields.to.clone()),
            ("media", fields.media.as_ref().map(json_text)),
            ("reply", fields.reply.as_ref().map(json_text)),
            ("img", fields.img.as_ref().map(json_text)),
        ];
        let mut rows = vec![
            ("v", fields.v.to_string()),
            ("t", fields.t.to_owned()),
            ("call_id", fields.call_id.clone()),
            ("caller", json_text(&fields.caller)),
            ("iat", fields.iat.to_string()),
            ("exp", fields.exp.to_string()),
        ];
        rows.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
        Self(rows)
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl Serialize for FcmStrings {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
