//! The words, resolved: what the phone is and what it is to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use types::{Seconds, Secret};

use super::{Action, AnswerBy, Arguments, Fault, Provider, Talk, Transport, resolve};
use crate::cli::door::variables;
use crate::role::phone::sound;

/// The longest life of a registration that makes sense to ask for.
const EXPIRES_MAX: u64 = 7 * 24 * 3600;

/// Everything that is decided before a socket is opened.
pub struct Plan {
    pub user: String,
    pub domain: String,
    pub password: Secret<String>,
    pub display_name: Option<String>,
    pub server: Option<SocketAddr>,
    pub transport: types::Transport,
    pub local: SocketAddr,
    pub expires: Seconds,
    pub json: bool,
    pub push: Option<PushPlan>,
    pub answer_by: phone::AnswerBy,
    pub goal: Goal,
    pub played: Vec<i16>,
    pub record: Option<PathBuf>,
    pub dtmf: String,
    pub length: Option<Duration>,
}

/// How to sleep and wake.
pub struct PushPlan {
    pub provider: Provider,
    pub token: Option<String>,
    pub param: Option<String>,
    pub http: String,
    pub admin: Secret<String>,
}

/// The one task.
#[derive(Clone, Debug)]
pub enum Goal {
    Answer { how: Pick, ring: Duration, wait: Duration },
    Call { uri: String, wait: Duration },
    Register { stay: Option<Duration> },
}

/// What is done with a call that comes in.
#[derive(Clone, Debug)]
pub enum Pick {
    Answer,
    Busy,
    Decline,
    Text(String),
}

impl Plan {
    pub async fn of(arguments: Arguments) -> Result<Self, Fault> {
        let env = match &arguments.env {
            Some(file) => variables(file)
                .map_err(|why| Fault::wrong("--env", format!("{}: {why}", file.display())))?,
            None => BTreeMap::new(),
        };
        let known = |said: Option<String>, name: &str| said.or_else(|| env.get(name).cloned());
        let (user, own_domain) = match arguments.user.rsplit_once('@') {
            Some((user, domain)) => (user.to_owned(), Some(domain.to_owned())),
            None => (arguments.user.clone(), None),
        };
        let user = user.trim_start_matches("sip:").to_owned();
        let domain = known(arguments.domain.or(own_domain), "SIP_DOMAIN");
        let domain = domain.unwrap_or_else(|| "localhost".to_owned());
        let password = known(arguments.password, "SIP_PASSWORD").unwrap_or_default();
        let server = match arguments.direct {
            true => None,
            false => Some(resolve("--server", &arguments.server).await?),
        };
        let push = arguments.push.push.map(|provider| {
            let http = known(arguments.push.http.clone(), "CARILLON_URL");
            let admin = known(arguments.push.token.clone(), "CARILLON_TOKEN");
            let (Some(http), Some(admin)) = (http, admin) else {
                let why = "wants the HTTP address and the token: --env FILE, or --http and --token";
                return Err(Fault::wrong("--push", why));
            };
            let (token, param) =
                (arguments.push.push_token.clone(), arguments.push.push_param.clone());
            let (http, admin) = (http.trim_end_matches('/').to_owned(), Secret::new(admin));
            Ok(PushPlan { provider, token, param, http, admin })
        });
        let (goal, talk) = goal(arguments.action, &domain)?;
        if server.is_none() && (push.is_some() || matches!(goal, Goal::Register { .. })) {
            return Err(Fault::wrong("--direct", "without a server there is no registration"));
        }
        let target = server.or_else(|| match &goal {
            Goal::Call { uri, .. } => {
                let uri = sip::Uri::decode(uri.as_bytes()).ok()?;
                Some(SocketAddr::new(uri.ip()?, uri.port.unwrap_or(5060)))
            }
            Goal::Answer { .. } | Goal::Register { .. } => None,
        });
        let played = match &talk.play {
            Some(file) => sound::read(file)?,
            None => Vec::new(),
        };
        if let Some(file) = &talk.record {
            sound::write(file, &[])?; // A wrong path is found before the call, not behind it.
        }
        let transport = match arguments.transport {
            Transport::Tcp if server.is_none() => {
                return Err(Fault::wrong("--transport", "without a server there is only udp"));
            }
            Transport::Tcp => types::Transport::Tcp,
            Transport::Udp => types::Transport::Udp,
        };
        let expires = arguments.expires.as_secs().clamp(1, EXPIRES_MAX);
        Ok(Self {
            local: local(arguments.local.as_deref(), target)?,
            user,
            domain,
            password: Secret::new(password),
            display_name: arguments.display_name,
            server,
            transport,
            expires: Seconds(u32::try_from(expires).unwrap_or(3600)),
            json: arguments.json,
            push: push.transpose()?,
            answer_by: match arguments.push.answer_by {
                AnswerBy::Register => phone::AnswerBy::Register,
                AnswerBy::Reply => phone::AnswerBy::Reply,
                AnswerBy::ReplySdp => phone::AnswerBy::ReplySdp,
            },
            goal,
            played,
            record: talk.record,
            dtmf: talk.dtmf.unwrap_or_default(),
            length: talk.length,
        })
    }
}

fn goal(action: Action, domain: &str) -> Result<(Goal, Talk), Fault> {
    Ok(match action {
        Action::Answer { talk, decline, busy, text, ring, wait } => {
            let how = match (decline, busy, text) {
                (true, _, _) => Pick::Decline,
                (_, true, _) => Pick::Busy,
                (_, _, Some(text)) => Pick::Text(text),
                (false, false, None) => Pick::Answer,
            };
            (Goal::Answer { how, ring, wait }, talk)
        }
        Action::Call { uri, talk, wait } => {
            let Some(uri) = phone::address(&uri, domain) else {
                return Err(Fault::wrong("URI", format!("`{uri}` is nobody's address")));
            };
            (Goal::Call { uri, wait }, talk)
        }
        Action::Register { stay } => (Goal::Register { stay }, Talk::default()),
    })
}

/// Our address: the one that was said, or the one from which `target` is reached. Port 0: any.
fn local(said: Option<&str>, target: Option<SocketAddr>) -> Result<SocketAddr, Fault> {
    if let Some(text) = said {
        let whole = text.parse::<SocketAddr>().ok();
        let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
        let wrong = || Fault::wrong("--local", format!("`{text}` is no address"));
        return whole.or_else(bare).ok_or_else(wrong);
    }
    let Some(target) = target else { return Ok((Ipv4Addr::LOCALHOST, 0).into()) };
    let any: SocketAddr = match target.ip() {
        IpAddr::V4(_) => ([0; 4], 0).into(),
        IpAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    // Connecting a datagram socket sends nothing: it asks the system which way it would go.
    let asked = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(target)?;
        socket.local_addr()
    });
    let way = asked.map_err(|why| Fault::failed("looking for a way to the server", why))?;
    Ok(SocketAddr::new(way.ip(), 0))
}
