//! What the stand-ins know: accounts, tokens, plans and what came in.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pns::Provider;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use types::{Secret, UnixTime};

use super::{PLANS_MAX, PROJECT, RECEIVED_MAX, Reply, STREAM_MAX, TOKENS_MAX};
use crate::http::{random, unix_now};
use crate::{Fault, keys};

/// Headers that go into the record; authorisation stays out.
const HEADERS_KEPT: [&str; 11] = [
    "apns-collapse-id",
    "apns-expiration",
    "apns-id",
    "apns-priority",
    "apns-push-type",
    "apns-topic",
    "content-encoding",
    "content-type",
    "topic",
    "ttl",
    "urgency",
];

/// Life of an access token. Units: seconds.
pub const ACCESS_LIFE: u64 = 3_599;

/// What an app learns when it registers with its push service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issued {
    /// The service.
    pub provider: Provider,
    /// `pn-prid`. APNs: the VoIP token. Web Push: the endpoint.
    pub prid: String,
    /// APNs: the token for alert and background pushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prid_alert: Option<String>,
    /// `pn-param`.
    pub param: String,
    /// Web Push: public key in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p256dh: Option<String>,
    /// Web Push: secret in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
}

impl Issued {
    /// The device as the formats know it.
    pub fn target(&self) -> pns::Target {
        let octets = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        pns::Target {
            provider: self.provider,
            prid: self.prid.clone(),
            prid_alert: self.prid_alert.clone(),
            param: self.param.clone(),
            p256dh: octets(&self.p256dh),
            auth: octets(&self.auth),
        }
    }
}

/// One request as it came in.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// Counts from 1.
    pub number: u64,
    /// When.
    #[serde(serialize_with = "as_text")]
    pub at: UnixTime,
    /// At which service.
    pub provider: Provider,
    /// For which token.
    pub prid: String,
    /// The headers that carry meaning.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; of Web Push what was encrypted. Text that is no JSON stands as a string, `null` when
    /// it does not open.
    pub payload: Value,
    /// Size of the body on the wire. Units: octets.
    pub size: usize,
    /// HTTP status of the answer.
    pub status: u16,
    /// `accepted`, or the service's word for the refusal.
    pub reason: String,
}

fn as_text<S: serde::Serializer>(at: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

/// An answer that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// 410, of FCM 404 UNREGISTERED; the token itself stays good.
    Gone,
    /// 429.
    RateLimited {
        /// `Retry-After`.
        retry_after: Option<u32>,
    },
    /// No answer at all.
    Silent,
    /// 503.
    Unavailable {
        /// `Retry-After`.
        retry_after: Option<u32>,
    },
}

/// What a token is for.
#[derive(Clone, Debug)]
pub enum Kind {
    ApnsAlert,
    ApnsVoip,
    Fcm,
    Webpush { private: Secret<[u8; 32]>, auth: [u8; 16] },
}

#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    /// The device's first token, under which its stream runs.
    device: String,
    /// Units: seconds since 1970.
    pub revoked: Option<u64>,
}

/// Shared by the services; the lock is never held across a wait.
#[derive(Debug)]
pub struct State {
    pub address: SocketAddr,
    pub apns_key_pem: Secret<String>,
    pub apns_key_id: String,
    pub apns_public: Vec<u8>,
    pub fcm_public: Vec<u8>,
    fcm_key_pem: Secret<String>,
    fcm_key_id: String,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    tokens: HashMap<String, Token>,
    order: VecDeque<String>,
    plans: BTreeMap<Provider, VecDeque<Plan>>,
    received: VecDeque<Received>,
    count: u64,
    streams: HashMap<String, broadcast::Sender<Received>>,
    /// FCM access tokens with their end.
    access: VecDeque<(String, u64)>,
    /// Web Push messages that may still be withdrawn.
    messages: VecDeque<String>,
}

impl State {
    pub fn new(address: SocketAddr) -> Result<Self, Fault> {
        let fault = |key| Fault::Key { key };
        let (apns_pem, apns_public) = keys::ec_pem().ok_or(fault("stand-in of APNs"))?;
        let (fcm_pem, fcm_public) = keys::rsa_pem().ok_or(fault("stand-in of FCM"))?;
        Ok(Self {
            address,
            apns_key_pem: Secret::new(apns_pem),
            apns_key_id: hex(&random::<5>()).to_uppercase(),
            apns_public,
            fcm_public,
            fcm_key_pem: Secret::new(fcm_pem),
            fcm_key_id: hex(&random::<20>()),
            tables: Mutex::default(),
        })
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.base())
    }

    pub fn client_email(&self) -> String {
        format!("push@{PROJECT}.iam.gserviceaccount.com")
    }

    pub fn service_account(&self) -> String {
        json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self.fcm_key_id,
            "private_key": self.fcm_key_pem.reveal(),
            "client_email": self.client_email(),
            "client_id": "1",
            "token_uri": self.token_endpoint(),
        })
        .to_string()
    }

    pub fn issue(&self, provider: Provider) -> Issued {
        let mut issued = Issued {
            provider,
            prid: String::new(),
            prid_alert: None,
            param: String::new(),
            p256dh: None,
            auth: None,
        };
        match provider {
            Provider::Apns => {
                let alert = hex(&random::<32>());
                issued.prid = hex(&random::<32>());
                issued.param = format!("{}.{}.voip", super::TEAM, super::BUNDLE);
                self.keep(&issued.prid, &issued.prid, Kind::ApnsVoip);
                self.keep(&alert, &issued.prid, Kind::ApnsAlert);
                issued.prid_alert = Some(alert);
            }
            Provider::Fcm => {
                issued.prid =
                    format!("{}:APA91b{}", base64(&random::<16>()), base64(&random::<96>()));
                PROJECT.clone_into(&mut issued.param);
                self.keep(&issued.prid, &issued.prid, Kind::Fcm);
            }
            Provider::Webpush => {
                let (private, public) = receiver_keys();
                let auth = random();
                issued.prid = format!("{}/wp/{}", self.base(), base64(&random::<24>()));
                issued.p256dh = Some(base64(&public));
                issued.auth = Some(base64(&auth));
                let kind = Kind::Webpush { private: Secret::new(private), auth };
                self.keep(&issued.prid, &issued.prid, kind);
            }
        }
        issued
    }

    fn keep(&self, prid: &str, device: &str, kind: Kind) {
        let mut tables = self.tables();
        if tables.order.len() == TOKENS_MAX
            && let Some(oldest) = tables.order.pop_front()
        {
            tables.tokens.remove(&oldest);
        }
        tables.order.push_back(prid.to_owned());
        let token = Token { kind, device: device.to_owned(), revoked: None };
        tables.tokens.insert(prid.to_owned(), token);
    }

    pub fn revoke(&self, prid: &str) -> bool {
        let mut tables = self.tables();
        let Some(device) = tables.tokens.get(prid).map(|token| token.device.clone()) else {
            return false;
        };
        for token in tables.tokens.values_mut().filter(|token| token.device == device) {
            token.revoked.get_or_insert(unix_now());
        }
        true
    }

    pub fn token(&self, prid: &str) -> Option<Token> {
        self.tables().tokens.get(prid).cloned()
    }

    pub fn plan(&self, provider: Provider, plan: Plan, count: usize) {
        let mut tables = self.tables();
        let plans = tables.plans.entry(provider).or_default();
        let room = PLANS_MAX - plans.len();
        plans.extend(std::iter::repeat_n(plan, count.min(room)));
    }

    pub fn planned(&self, provider: Provider) -> Option<Plan> {
        self.tables().plans.get_mut(&provider)?.pop_front()
    }

    pub fn new_access(&self) -> String {
        let token = format!("ya29.{}", base64(&random::<48>()));
        let mut tables = self.tables();
        if tables.access.len() == TOKENS_MAX {
            tables.access.pop_front();
        }
        tables.access.push_back((token.clone(), unix_now() + ACCESS_LIFE));
        token
    }

    pub fn has_access(&self, shown: &str) -> bool {
        let now = unix_now();
        self.tables().access.iter().any(|(token, until)| token == shown && now < *until)
    }

    pub fn expire_access(&self) {
        self.tables().access.clear();
    }

    pub fn new_message(&self) -> String {
        let id = base64(&random::<18>());
        let mut tables = self.tables();
        if tables.messages.len() == RECEIVED_MAX {
            tables.messages.pop_front();
        }
        tables.messages.push_back(id.clone());
        id
    }

    pub fn withdraw(&self, id: &str) -> bool {
        let mut tables = self.tables();
        let found = tables.messages.iter().position(|message| message == id);
        found.and_then(|at| tables.messages.remove(at)).is_some()
    }

    /// Remembers a request with its answer, and tells who listens.
    pub fn record(
        &self,
        provider: Provider,
        prid: &str,
        headers: &HeaderMap,
        (payload, size): (Value, usize),
        reply: &Reply,
    ) {
        let kept = HEADERS_KEPT.into_iter().filter_map(|name| {
            Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()))
        });
        let mut tables = self.tables();
        tables.count += 1;
        let received = Received {
            number: tables.count,
            at: UnixTime::seconds(unix_now()),
            provider,
            prid: prid.to_owned(),
            headers: kept.collect(),
            payload,
            size,
            status: reply.status,
            reason: reply.reason.clone(),
        };
        let device = tables.tokens.get(prid).map(|token| token.device.clone());
        // Only what the service took reaches the device.
        if (200..300).contains(&reply.status)
            && let Some(stream) = device.and_then(|device| tables.streams.get(&device))
        {
            let _nobody_listens = stream.send(received.clone());
        }
        if tables.received.len() == RECEIVED_MAX {
            tables.received.pop_front();
        }
        tables.received.push_back(received);
    }

    pub fn received(&self) -> Vec<Received> {
        self.tables().received.iter().cloned().collect()
    }

    pub fn subscribe(&self, prid: &str) -> broadcast::Receiver<Received> {
        let mut tables = self.tables();
        let device = tables.tokens.get(prid).map_or(prid, |token| &token.device).to_owned();
        tables.streams.retain(|_, stream| stream.receiver_count() > 0);
        let new_stream = || broadcast::channel(STREAM_MAX).0;
        tables.streams.entry(device).or_insert_with(new_stream).subscribe()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body as it goes into the record.
pub fn as_payload(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(_) => Value::String(String::from_utf8_lossy(body).into_owned()),
    }
}

fn receiver_keys() -> ([u8; 32], Vec<u8>) {
    loop {
        let private = random();
        if let Ok(public) = pns::webpush::public_key(&private) {
            return (private, public);
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
