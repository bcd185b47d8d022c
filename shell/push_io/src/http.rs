//! What the three clients share: building, asking, reading a bounded answer; clock and chance.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pns::{Answer, Outcome, Provider, outcome};
use reqwest::{ClientBuilder, RequestBuilder, Response, Url};

use crate::{Fault, guard};

/// What is read of an answer. Units: octets.
const ANSWER_MAX: usize = 16 * 1024;
/// How long a connection may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// Between checks whether a quiet HTTP/2 connection still lives.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long the answer to such a check may take.
const PING_LIMIT: Duration = Duration::from_secs(10);

/// The part of a client that is the same for all services. Proxies of the environment are left
/// aside: they would connect where the guard does not look.
pub fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_LIMIT)
}

/// An address from the settings: https anywhere, http on loopback only.
pub fn endpoint(key: &'static str, text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|_| Fault::Endpoint { key })?;
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if guard::names_loopback(&url) => Ok(url),
        _ => Err(Fault::Endpoint { key }),
    }
}

/// An answer with its beginning read.
pub struct Read {
    status: u16,
    retry_after: Option<String>,
    id: Option<String>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

impl Read {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the service means.
    pub fn outcome(&self, provider: Provider) -> Outcome {
        let answer = Answer {
            status: self.status,
            retry_after: self.retry_after.as_deref(),
            id: self.id.as_deref(),
            body: &self.body,
        };
        outcome(provider, &answer)
    }
}

/// Sends and reads; `None` when there was no answer.
pub async fn ask(provider: Provider, request: RequestBuilder) -> Option<Read> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            // The address may hold a token: it stays out of the log.
            let error = error.without_url();
            tracing::warn!(%provider, error = ?error, "push_service_unreachable");
            return None;
        }
    };
    let header = |response: &Response, name: &str| {
        Some(response.headers().get(name)?.to_str().ok()?.to_owned())
    };
    let id_header = if provider == Provider::Apns { "apns-id" } else { "location" };
    let mut read = Read {
        status: response.status().as_u16(),
        retry_after: header(&response, "retry-after"),
        id: header(&response, id_header),
        body: Vec::new(),
    };
    let mut response = response;
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_MAX - read.body.len();
        read.body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if read.body.len() == ANSWER_MAX {
            break;
        }
    }
    Some(read)
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Octets that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    // The generator of the library fails only when the system has no entropy at all; then nothing is safe.
    aws_lc_rs::rand::fill(&mut out).expect("the system has entropy");
    out
}
