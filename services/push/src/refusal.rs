//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// The push does not fit what the device's service takes.
        NotEncodable,
        /// The provider said no.
        Refused,
        /// The provider did not take it before the ringing ended.
        TooLate,
        /// The token is dead.
        TokenGone,
        /// Too many wakes at once.
        TooManyWakes,
    }
    rows REFUSALS;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("push.not_encodable", 1401, 480, 502),
        "for Web Push give p256dh and auth with the device; else shorten names",
        "the push cannot be written for this device",
        "A Web Push device without its keys (REGISTER cannot carry them; use `PUT /v1/users/NAME/devices/DEVICE`), or caller and reply address alone are larger than the provider takes. The ladder of the call says which.",
    ),
    RefusalRow::new(
        ("push.refused", 1402, 480, 502),
        "check the provider's keys and project in [push.apns], [push.fcm] or [push.webpush]",
        "the provider refused the push",
        "The provider's own word stands in the ladder of the call. Status 0 means that this provider is not configured here. 401 and 403 are about our credentials; 400 about topic, project or payload.",
    ),
    RefusalRow::new(
        ("push.too_late", 1403, 480, 504),
        "see whether the provider's address can be reached from this host",
        "the provider did not take the push before the ringing ended",
        "It did not answer, or asked us to wait longer than the call rings. We try again with growing pauses until then.",
    ),
    RefusalRow::new(
        ("push.token_gone", 1404, 480, 410),
        "start the app on the device, so that it registers with a new token",
        "the device's token is dead",
        "The app was removed, or its token was replaced. The device and its bindings with this token are forgotten.",
    ),
    RefusalRow::new(
        ("push.too_many_wakes", 1405, 480, 503),
        "spread the calls over more time or nodes",
        "too many devices are being woken at once",
        "Each shard keeps at most 50,000 wakes at a time, ended ones included for a minute. More are refused, so that memory stays bounded.",
    ),
];
