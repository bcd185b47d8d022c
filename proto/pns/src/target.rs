//! Where a push goes: the service and the name of one app on one device.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A push service that we speak to ourselves. Others, such as vehicles, have rooms of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Web Push, which is UnifiedPush as well.
    Webpush,
}

impl Provider {
    /// Every provider, in the order of `+sip.pns` in our answers.
    pub const ALL: [Self; 3] = [Self::Apns, Self::Fcm, Self::Webpush];

    /// The value of `pn-provider`; names compare without case.
    ///
    /// Spec: RFC 8599 §4.1
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| name.eq_ignore_ascii_case(provider.name()))
    }

    /// The value of `pn-provider`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Webpush => "webpush",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One app on one device, as its push service names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which service.
    pub provider: Provider,
    /// APNs: device token in hex, for calls the VoIP one. FCM: registration token. Web Push: endpoint.
    pub prid: String,
    /// APNs: the token for alert and background pushes, when there is one beside the VoIP token.
    #[serde(default)]
    pub prid_alert: Option<String>,
    /// APNs: `TEAM.BUNDLE[.voip|.remote]`. FCM: the project. Web Push: the VAPID key, or nothing.
    #[serde(default)]
    pub param: String,
    /// Web Push: the receiver's public key, 65 octets.
    #[serde(default)]
    pub p256dh: Option<Vec<u8>>,
    /// Web Push: the receiver's secret, 16 octets.
    #[serde(default)]
    pub auth: Option<Vec<u8>>,
}

impl Target {
    /// Whether `prid` takes VoIP pushes: on APNs, unless its parameter names only the ordinary channel.
    pub fn takes_voip(&self) -> bool {
        self.provider == Provider::Apns && !self.param.ends_with(".remote")
    }
}
