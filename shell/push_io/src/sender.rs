//! One door for all services.

use std::time::Duration;

use pns::{Delivery, Outcome, Provider};
use tokio::sync::Semaphore;

use crate::{Apns, Fcm, Vapid, apns, fcm, webpush};

/// Longest that one delivery takes, waiting for its turn included.
pub const LIMIT: Duration = Duration::from_secs(10);
/// Deliveries on their way at one time; more wait for their turn within [`LIMIT`].
pub const IN_FLIGHT_MAX: usize = 1_000;

/// Which services we speak to, and as whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// Apple.
    pub apns: Option<Apns>,
    /// Google.
    pub fcm: Option<Fcm>,
    /// Web Push: our own identity; the services name themselves in the targets.
    pub webpush: Option<Vapid>,
    /// Lets Web Push go to loopback and private addresses, and to loopback without TLS.
    pub allow_private: bool,
    /// Longest that one delivery takes.
    pub limit: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { apns: None, fcm: None, webpush: None, allow_private: false, limit: LIMIT }
    }
}

/// Why a sender cannot be made: always our side or its settings.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The HTTP client could not be set up, most often for lack of trusted roots.
    #[error("cannot set up the client for {service}")]
    Client {
        /// Which service.
        service: Provider,
        /// What the client said.
        source: reqwest::Error,
    },
    /// An address that is none, or is plain http beyond loopback.
    #[error("{key}: wants https://, or http:// on loopback")]
    Endpoint {
        /// The setting to change.
        key: &'static str,
    },
    /// A key or account file that does not read.
    #[error("{key}: not a usable key")]
    Key {
        /// The setting to change.
        key: &'static str,
    },
    /// The listener of the stand-ins.
    #[error("cannot listen on {address} for the push stand-ins")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Delivers pushes. Share it; connections are pooled.
#[derive(Debug)]
pub struct Sender {
    apns: Option<apns::Client>,
    fcm: Option<fcm::Client>,
    webpush: Option<webpush::Client>,
    turns: Semaphore,
    limit: Duration,
}

impl Sender {
    /// Reads keys and checks addresses; connects to nothing yet.
    pub fn new(config: Config) -> Result<Self, Fault> {
        let allow_private = config.allow_private;
        Ok(Self {
            apns: config.apns.map(apns::Client::new).transpose()?,
            fcm: config.fcm.map(fcm::Client::new).transpose()?,
            webpush: config
                .webpush
                .map(|identity| webpush::Client::new(identity, allow_private))
                .transpose()?,
            turns: Semaphore::new(IN_FLIGHT_MAX),
            limit: config.limit,
        })
    }

    /// The services that are set up, for `+sip.pns` and 555.
    pub fn providers(&self) -> Vec<Provider> {
        let set_up = [
            (Provider::Apns, self.apns.is_some()),
            (Provider::Fcm, self.fcm.is_some()),
            (Provider::Webpush, self.webpush.is_some()),
        ];
        set_up.into_iter().filter_map(|(provider, is)| is.then_some(provider)).collect()
    }

    /// Sends one push and says what became of it.
    pub async fn deliver(&self, delivery: Delivery) -> Outcome {
        let sent = async {
            let Ok(_turn) = self.turns.acquire().await else { return Outcome::Unreachable };
            match (delivery.provider, &self.apns, &self.fcm, &self.webpush) {
                (Provider::Apns, Some(apns), _, _) => apns.send(&delivery).await,
                (Provider::Fcm, _, Some(fcm), _) => fcm.send(&delivery).await,
                (Provider::Webpush, _, _, Some(webpush)) => webpush.send(&delivery).await,
                (Provider::Apns | Provider::Fcm | Provider::Webpush, _, _, _) => {
                    Outcome::refused(0, "service not configured")
                }
            }
        };
        tokio::time::timeout(self.limit, sent).await.unwrap_or(Outcome::Unreachable)
    }
}
