//! Google: an access token that is asked for now and then, and one request for each push.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pns::{Delivery, Outcome, Provider};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use types::Secret;

use crate::Fault;
use crate::http::{ask, builder, endpoint, unix_now};

/// Life of the request for an access token; Google takes an hour at most. Units: seconds.
const GRANT_LIFE: u64 = 3_600;
/// An access token is replaced this long before its end. Units: seconds.
const RENEW_BEFORE: u64 = 300;
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Our account with Google (`[push.fcm]`).
#[derive(Clone, Debug)]
pub struct Fcm {
    /// Text of the service account's file.
    pub service_account_json: Secret<String>,
    /// Base to which `/v1/projects/PROJECT/messages:send` is added.
    pub endpoint: String,
    /// Where access tokens come from; `None`: where the account's file says.
    pub token_endpoint: Option<String>,
}

impl Fcm {
    /// Google's service.
    pub const ENDPOINT: &'static str = "https://fcm.googleapis.com";
}

/// What we need of the account's file.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    project_id: String,
    #[serde(default)]
    token_uri: Option<String>,
}

pub struct Client {
    account: Account,
    base: Url,
    token_url: Url,
    key: EncodingKey,
    http: reqwest::Client,
    /// Held while a token is fetched: one request serves all who wait.
    access: Mutex<Option<Access>>,
}

#[derive(Clone)]
struct Access {
    token: String,
    until: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl Client {
    pub fn new(config: Fcm) -> Result<Self, Fault> {
        const FILE: &str = "push.fcm.service_account_file";
        let account: Account = serde_json::from_str(config.service_account_json.reveal())
            .map_err(|_| Fault::Key { key: FILE })?;
        let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
            .map_err(|_| Fault::Key { key: FILE })?;
        let base = endpoint("push.fcm.endpoint", &config.endpoint)?;
        let token_url = match config.token_endpoint.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => endpoint("push.fcm.token_endpoint", url)?,
            None => endpoint(FILE, account.token_uri.as_deref().unwrap_or_default())?,
        };
        let http =
            builder().build().map_err(|source| Fault::Client { service: Provider::Fcm, source })?;
        Ok(Self { account, base, token_url, key, http, access: Mutex::new(None) })
    }

    pub async fn send(&self, delivery: &Delivery) -> Outcome {
        let mut access = match self.current(None).await {
            Ok(access) => access,
            Err(outcome) => return outcome,
        };
        let Some(mut read) = self.ask(delivery, &access).await else {
            return Outcome::Unreachable;
        };
        if read.status() == 401 {
            // The token may have been taken back before its time; once is enough to find out.
            access = match self.current(Some(&access)).await {
                Ok(access) => access,
                Err(outcome) => return outcome,
            };
            match self.ask(delivery, &access).await {
                Some(second) => read = second,
                None => return Outcome::Unreachable,
            }
        }
        read.outcome(Provider::Fcm)
    }

    async fn ask(&self, delivery: &Delivery, access: &str) -> Option<crate::http::Read> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            let project = self.project(&delivery.target.param);
            path.pop_if_empty().extend(["v1", "projects", project, "messages:send"]);
        }
        let request = self
            .http
            .post(url)
            .bearer_auth(access)
            .header("content-type", "application/json")
            .body(delivery.body.clone());
        ask(Provider::Fcm, request).await
    }

    /// The device's project when it names one (an account may serve several), else the account's.
    fn project<'a>(&'a self, param: &'a str) -> &'a str {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
        let named = !param.is_empty() && param.len() <= 64 && param.bytes().all(plain);
        if named { param } else { &self.account.project_id }
    }

    /// An access token other than `stale`.
    async fn current(&self, stale: Option<&str>) -> Result<String, Outcome> {
        let mut kept = self.access.lock().await;
        let now = unix_now();
        if let Some(access) = &*kept
            && now + RENEW_BEFORE < access.until
            && stale != Some(&access.token)
        {
            return Ok(access.token.clone());
        }
        *kept = None;
        let access = self.fetch(now).await?;
        let token = access.token.clone();
        *kept = Some(access);
        Ok(token)
    }

    /// Spec: RFC 7523 §2.1
    async fn fetch(&self, now: u64) -> Result<Access, Outcome> {
        let aud = self.account.token_uri.as_deref().unwrap_or(self.token_url.as_str());
        let claims = Claims {
            iss: &self.account.client_email,
            scope: SCOPE,
            aud,
            iat: now,
            exp: now + GRANT_LIFE,
        };
        let header =
            Header { kid: self.account.private_key_id.clone(), ..Header::new(Algorithm::RS256) };
        let assertion = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| Outcome::refused(0, "cannot sign"))?;
        // Both values are free of characters that a form escapes, but for the colons.
        let form = format!("grant_type={}&assertion={assertion}", GRANT_TYPE.replace(':', "%3A"));
        let request = self
            .http
            .post(self.token_url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let read = ask(Provider::Fcm, request).await.ok_or(Outcome::Unreachable)?;
        if read.status() != 200 {
            tracing::warn!(status = read.status(), "push_access_token_refused");
            return Err(match read.outcome(Provider::Fcm) {
                // About our account, whatever it resembles: no device's token is at fault.
                Outcome::TokenGone { .. } | Outcome::Accepted { .. } | Outcome::Refused { .. } => {
                    Outcome::refused(read.status(), "no access token")
                }
                other @ (Outcome::RetryAfter { .. } | Outcome::Unreachable) => other,
            });
        }
        let granted: Granted = serde_json::from_slice(&read.body)
            .map_err(|_| Outcome::refused(0, "access token unreadable"))?;
        Ok(Access { token: granted.access_token, until: now.saturating_add(granted.expires_in) })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fcm::Client({}, {})", self.base, self.account.project_id)
    }
}
