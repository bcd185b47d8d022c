//! What this room refuses.

use std::fmt;

use switchboard::RefusalRow;
use types::{Refuse, Verdict};

/// See the rows of [`REFUSALS`], which stand in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Refusal {
    /// Every variant, in order.
    pub const ALL: [Self; 5] =
        [Self::NotEncodable, Self::Refused, Self::TooLate, Self::TokenGone, Self::TooManyWakes];

    fn row(self) -> &'static RefusalRow {
        &REFUSALS[self as usize]
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().sentence)
    }
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        self.row().verdict
    }
}

const fn verdict(
    code: &'static str,
    number: u16,
    sip: u16,
    http: u16,
    fix: &'static str,
) -> Verdict {
    Verdict { code, number, sip, http, fix }
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow {
        verdict: verdict(
            "push.not_encodable",
            1401,
            480,
            502,
            "for Web Push give p256dh and auth with the device; else shorten names",
        ),
        sentence: "the push cannot be written for this device",
        page: "A Web Push device without its keys (REGISTER cannot carry them; use `PUT /v1/users/NAME/devices/DEVICE`), or caller and reply address alone are larger than the provider takes. The ladder of the call says which.",
    },
    RefusalRow {
        verdict: verdict(
            "push.refused",
            1402,
            480,
            502,
            "check the provider's keys and project in [push.apns], [push.fcm] or [push.webpush]",
        ),
        sentence: "the provider refused the push",
        page: "The provider's own word stands in the ladder of the call. Status 0 means that this provider is not configured here. 401 and 403 are about our credentials; 400 about topic, project or payload.",
    },
    RefusalRow {
        verdict: verdict(
            "push.too_late",
            1403,
            480,
            504,
            "see whether the provider's address can be reached from this host",
        ),
        sentence: "the provider did not take the push before the ringing ended",
        page: "It did not answer, or asked us to wait longer than the call rings. We try again with growing pauses until then.",
    },
    RefusalRow {
        verdict: verdict(
            "push.token_gone",
            1404,
            480,
            410,
            "start the app on the device, so that it registers with a new token",
        ),
        sentence: "the device's token is dead",
        page: "The app was removed, or its token was replaced. The device and its bindings with this token are forgotten.",
    },
    RefusalRow {
        verdict: verdict(
            "push.too_many_wakes",
            1405,
            480,
            503,
            "spread the calls over more time or nodes",
        ),
        sentence: "too many devices are being woken at once",
        page: "Each shard keeps at most 50,000 wakes at a time, ended ones included for a minute. More are refused, so that memory stays bounded.",
    },
];
