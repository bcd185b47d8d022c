//! The HTTP side of a phone: its push service, and replies to pushes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use types::Secret;

use super::plan::PushPlan;
use super::{Fault, Provider};

/// How long one request may take.
const HTTP_MAX: Duration = Duration::from_secs(10);
/// Octets of one push on the stream.
const EVENT_MAX: usize = 64 * 1024;
/// Octets of an answer that is looked at.
const BODY_MAX: usize = 128 * 1024;

/// What HTTP has to tell.
#[derive(Debug)]
pub enum News {
    Fetched { status: u16, body: Vec<u8> },
    Pushed(Value),
    Replied(u16),
    StreamEnded,
}

/// The client and where it reports.
#[derive(Clone)]
pub struct Web {
    client: reqwest::Client,
    news: Sender<News>,
}

/// Our name at the push service.
pub struct Device {
    pub provider: &'static str,
    pub prid: String,
    pub prid_alert: Option<String>,
    pub param: Option<String>,
}

impl Device {
    /// What our Contact says. Two tokens with Apple stand in the double form.
    pub fn push(&self) -> phone::Push {
        let prid = match &self.prid_alert {
            Some(alert) => format!("{alert}:remote&{}:voip", self.prid),
            None => self.prid.clone(),
        };
        phone::Push { provider: self.provider.to_owned(), prid, param: self.param.clone() }
    }
}

impl Web {
    pub fn new(news: Sender<News>) -> Result<Self, Fault> {
        let builder = reqwest::Client::builder().no_proxy().connect_timeout(HTTP_MAX);
        let client = builder.build().map_err(|why| Fault::failed("setting up HTTP", why))?;
        Ok(Self { client, news })
    }

    /// Our name at the push service: the one that was said, or a new one of the stand-in.
    pub async fn device(&self, plan: &PushPlan, user: &str) -> Result<Device, Fault> {
        let provider = match plan.provider {
            Provider::Apns => "apns",
            Provider::Fcm => "fcm",
            Provider::Webpush => "webpush",
        };
        if let Some(token) = &plan.token {
            let (prid, param) = (token.clone(), plan.param.clone());
            return Ok(Device { provider, prid, prid_alert: None, param });
        }
        let url = format!("{}/v1/dev/pushes/tokens", plan.http);
        let issued =
            self.ask(reqwest::Method::POST, &url, &plan.admin, json!({ "provider": provider }));
        let issued = issued.await?;
        let text = |key: &str| issued.get(key).and_then(Value::as_str).map(str::to_owned);
        let prid = text("prid")
            .ok_or_else(|| Fault::failed("asking for a push token", "the answer has no prid"))?;
        let param = text("param").filter(|param| !param.is_empty());
        let device = Device { provider, prid, prid_alert: text("prid_alert"), param };
        if plan.provider == Provider::Webpush {
            // No SIP parameter carries the keys: the API takes them.
            let url = format!("{}/v1/users/{user}/devices/phone", plan.http);
            let mut push = issued.clone();
            if let Some(fields) = push.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            let body = json!({ "kind": "browser", "push": push });
            self.ask(reqwest::Method::PUT, &url, &plan.admin, body).await?;
        }
        Ok(device)
    }

    async fn ask(
        &self,
        method: reqwest::Method,
        url: &str,
        admin: &Secret<String>,
        body: Value,
    ) -> Result<Value, Fault> {
        let fault =
            |why: String| Fault::failed("asking the server by HTTP", format!("{url}: {why}"));
        let request = self.client.request(method, url).timeout(HTTP_MAX);
        let sent = request.bearer_auth(admin.reveal()).json(&body).send().await;
        let answer = sent.map_err(|why| fault(chain(&why)))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|why| fault(chain(&why)))?;
        if !status.is_success() {
            return Err(fault(format!("{status} {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Begins to listen for pushes; returns once nothing can be missed any more.
    pub async fn listen(&self, plan: &PushPlan, prid: &str) -> Result<(), Fault> {
        let fault = |why: String| Fault::failed("listening for pushes", why);
        let base = format!("{}/v1/dev/pushes/stream", plan.http);
        let url = reqwest::Url::parse_with_params(&base, [("prid", prid)])
            .map_err(|why| Fault::wrong("--http", why))?;
        let request = self.client.get(url).bearer_auth(plan.admin.reveal());
        let answer = tokio::time::timeout(HTTP_MAX, request.send()).await;
        let answer = answer.map_err(|_| fault(format!("no answer in {HTTP_MAX:?}")))?;
        let answer = answer.map_err(|why| fault(chain(&why)))?;
        if !answer.status().is_success() {
            return Err(fault(answer.status().to_string()));
        }
        tokio::spawn(follow(answer, self.news.clone()));
        Ok(())
    }

    /// Posts a reply; its answer comes as news.
    pub fn reply(&self, url: String, token: String, body: String) {
        let web = self.clone();
        tokio::spawn(async move {
            let request = web.client.post(url).timeout(HTTP_MAX).bearer_auth(token);
            let request = request.header("content-type", "application/json").body(body);
            let status = request.send().await.map_or(0, |answer| answer.status().as_u16());
            let _ = web.news.send(News::Replied(status)).await; // Nobody waits: the phone is gone.
        });
    }

    /// Fetches the offer of a call; it comes as news.
    pub fn fetch(&self, url: String, token: String) {
        let web = self.clone();
        tokio::spawn(async move {
            let request = web.client.get(url).timeout(HTTP_MAX).bearer_auth(token);
            let (status, body) = match request.send().await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    (status, answer.bytes().await.unwrap_or_default())
                }
                Err(_) => (0, Default::default()),
            };
            let body = body.get(..body.len().min(BODY_MAX)).unwrap_or_default().to_vec();
            let _ = web.news.send(News::Fetched { status, body }).await;
        });
    }
}

/// Reads server-sent events until the stream ends.
async fn follow(mut answer: reqwest::Response, news: Sender<News>) {
    let (mut line, mut data) = (Vec::new(), String::new());
    while let Ok(Some(chunk)) = answer.chunk().await {
        for octet in chunk {
            if octet != b'\n' {
                line.push(octet);
                if line.len() > EVENT_MAX {
                    let _ = news.send(News::StreamEnded).await;
                    return;
                }
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            let text = text.trim_end_matches('\r');
            if let Some(more) = text.strip_prefix("data:") {
                data.push_str(more.strip_prefix(' ').unwrap_or(more));
                data.truncate(EVENT_MAX.min(data.len()));
            } else if text.is_empty() && !data.is_empty() {
                let push: Value =
                    serde_json::from_str(&std::mem::take(&mut data)).unwrap_or_default();
                if let Some(payload) = push.get("payload")
                    && news.send(News::Pushed(payload.clone())).await.is_err()
                {
                    return;
                }
            }
        }
    }
    let _ = news.send(News::StreamEnded).await;
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
