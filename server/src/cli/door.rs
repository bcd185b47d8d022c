//! The API of a running server, for words of the command line that ask it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use types::Secret;

use super::{FAILED, WRONG, environment};
use crate::host::ENV_FILE;

/// How long one question may take.
const ASK_MAX: Duration = Duration::from_secs(30);
/// Octets of one answer: more than any ladder has.
const ANSWER_MAX: usize = 256 << 20;
/// Where a server that was started here has its folder.
const DATA: &str = "carillon-data";

/// Which server, and what opens it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DoorArguments {
    /// The file that the server wrote beside its data: address and token come from it. Else `.env.carillon` here or in
    /// `carillon-data`.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// HTTP address of the server; else CARILLON_URL.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Token of the administrator; else CARILLON_TOKEN.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{key}: {why}")]
    Wrong { key: &'static str, why: String },
    #[error("{url}: {why}\nIs the server running there? `carillon ready --url {url}` says so.")]
    Unreachable { url: String, why: String },
    #[error("{title} ({code}, {number})\n{fix}")]
    Refused { code: String, number: String, title: String, fix: String },
    #[error("{url}: the answer is none of Carillon's; is --url right?")]
    Foreign { url: String },
    #[error("{place}: {why}")]
    File { place: PathBuf, why: io::Error },
}

impl Fault {
    /// What the process ends with.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Wrong { .. } => WRONG,
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Foreign { .. }
            | Self::File { .. } => FAILED,
        })
    }
}

/// An open door.
pub struct Door {
    client: reqwest::Client,
    base: String,
    token: Secret<String>,
}

impl Door {
    /// Finds address and token: what was said, then the environment, then the file.
    pub fn open(arguments: &DoorArguments) -> Result<Self, Fault> {
        let own: BTreeMap<String, String> = environment().into_iter().collect();
        let beside = || {
            let places = [PathBuf::from(ENV_FILE), Path::new(DATA).join(ENV_FILE)];
            places.into_iter().find(|place| place.is_file())
        };
        let file = match arguments.env.clone().or_else(beside) {
            Some(file) => variables(&file).map_err(|why| Fault::Wrong {
                key: "--env",
                why: format!("{}: {why}", file.display()),
            })?,
            None => BTreeMap::new(),
        };
        let known = |said: &Option<String>, name: &str| {
            // A file that was named goes before the environment; one that was found goes behind it.
            let [first, second] =
                if arguments.env.is_some() { [&file, &own] } else { [&own, &file] };
            said.clone().or_else(|| first.get(name).or_else(|| second.get(name)).cloned())
        };
        let (Some(url), Some(token)) =
            (known(&arguments.url, "CARILLON_URL"), known(&arguments.token, "CARILLON_TOKEN"))
        else {
            let why = format!(
                "wants the file {ENV_FILE} that the server wrote into its data folder, or --url and --token"
            );
            return Err(Fault::Wrong { key: "--env", why });
        };
        let base = url.trim_end_matches('/').to_owned();
        if !Url::parse(&base).is_ok_and(|url| url.has_host()) {
            return Err(Fault::Wrong { key: "--url", why: format!("`{url}` is no address") });
        }
        let client = reqwest::Client::builder().no_proxy().timeout(ASK_MAX).build();
        let client =
            client.map_err(|why| Fault::Unreachable { url: base.clone(), why: why.to_string() })?;
        Ok(Self { client, base, token: Secret::new(token) })
    }

    /// What `GET` of this path says. `words` are put into the path, whatever they hold.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Fault> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(self.client.get(url)).await
    }

    /// What `POST` of this body to this path says.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Fault> {
        self.ask(self.client.post(self.url(path)?).json(body)).await
    }

    fn url(&self, path: &[&str]) -> Result<Url, Fault> {
        let foreign = || Fault::Foreign { url: self.base.clone() };
        let mut url = Url::parse(&self.base).map_err(|_| foreign())?;
        url.path_segments_mut().map_err(|()| foreign())?.pop_if_empty().extend(path);
        Ok(url)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, Fault> {
        let fault = |why: String| Fault::Unreachable { url: self.base.clone(), why };
        let foreign = || Fault::Foreign { url: self.base.clone() };
        let sent = request.bearer_auth(self.token.reveal()).send().await;
        let mut answer = sent.map_err(|why| fault(chain(&why)))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|why| fault(chain(&why)))? {
            if body.len() + part.len() > ANSWER_MAX {
                return Err(fault(format!("the answer has more than {ANSWER_MAX} octets")));
            }
            body.extend_from_slice(&part);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| foreign())?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let code = text("code").ok_or_else(foreign)?;
        let word = |name: &str| text(name).unwrap_or_default();
        Err(Fault::Refused { code, number: word("number"), title: word("title"), fix: word("fix") })
    }
}

/// The lines `NAME=value` of a file; quotes around a value are left out.
pub fn variables(file: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file)?;
    let line = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim().trim_start_matches("export ").trim();
        (!key.starts_with('#')).then(|| (key.to_owned(), value.trim().trim_matches('"').to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// An error with what stands behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
