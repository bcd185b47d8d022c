//! What is made once and kept: the node's secret and the lines of `.env.carillon`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use types::Secret;

use super::Fault;
use crate::config::Admin;

/// Name of the file for people and scripts.
pub const ENV_FILE: &str = ".env.carillon";
const SECRET_FILE: &str = "secret";
const VAPID_FILE: &str = "vapid";
/// Random octets of a token.
const TOKEN_OCTETS: usize = 24;

/// What a node knows itself by.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The node's lasting secret.
    pub secret: [u8; 32],
    /// Bearer token of the administrator.
    pub token: Secret<String>,
    /// The account of apps.
    pub apps: switchboard::Apps,
    /// Password that the people of `dev` share.
    pub sip_password: Secret<String>,
    /// Our Web Push identity's private key, as it is stored.
    pub vapid: Secret<String>,
    /// Where `.env.carillon` lies.
    pub env_file: PathBuf,
}

/// Makes the folder and what is missing in it. `admin` wins over what was kept.
pub fn open(
    folder: &Path,
    admin: &Admin,
    domain: &str,
    vapid: impl FnOnce() -> Secret<String>,
) -> Result<Credentials, Fault> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| Fault::Data { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault(folder))?;
    let secret_file = folder.join(SECRET_FILE);
    let secret = match fs::read(&secret_file) {
        Ok(kept) => <[u8; 32]>::try_from(kept.as_slice())
            .map_err(|_| io::Error::other("is not 32 octets"))
            .map_err(fault(&secret_file))?,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let fresh = random::<32>();
            write(&secret_file, &fresh).map_err(fault(&secret_file))?;
            fresh
        }
        Err(why) => return Err(fault(&secret_file)(why)),
    };
    let vapid_file = folder.join(VAPID_FILE);
    let vapid = match fs::read_to_string(&vapid_file) {
        Ok(kept) => Secret::new(kept.trim().to_owned()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let fresh = vapid();
            write(&vapid_file, fresh.reveal().as_bytes()).map_err(fault(&vapid_file))?;
            fresh
        }
        Err(why) => return Err(fault(&vapid_file)(why)),
    };
    let env_file = folder.join(ENV_FILE);
    let mut lines = read(&env_file).map_err(fault(&env_file))?;
    let chosen = |set: &str, kept: Option<&String>, fresh: &dyn Fn() -> String| {
        if set.is_empty() { kept.cloned().unwrap_or_else(fresh) } else { set.to_owned() }
    };
    let token = || hex(&random::<TOKEN_OCTETS>());
    let account = || format!("AC{}", hex(&random::<16>()));
    let made = [
        ("CARILLON_TOKEN", chosen(admin.token.reveal(), lines.get("CARILLON_TOKEN"), &token)),
        (
            "TWILIO_ACCOUNT_SID",
            chosen(&admin.account_sid, lines.get("TWILIO_ACCOUNT_SID"), &account),
        ),
        (
            "TWILIO_AUTH_TOKEN",
            chosen(admin.auth_token.reveal(), lines.get("TWILIO_AUTH_TOKEN"), &|| {
                hex(&random::<16>())
            }),
        ),
        ("SIP_DOMAIN", domain.to_owned()),
        ("SIP_PASSWORD", chosen("", lines.get("SIP_PASSWORD"), &|| hex(&random::<8>()))),
    ];
    for (key, value) in made {
        lines.insert(key.to_owned(), value);
    }
    let value = |key: &str| Secret::new(lines.get(key).cloned().unwrap_or_default());
    Ok(Credentials {
        secret,
        token: value("CARILLON_TOKEN"),
        apps: switchboard::Apps {
            sid: lines.get("TWILIO_ACCOUNT_SID").cloned().unwrap_or_default(),
            token: value("TWILIO_AUTH_TOKEN"),
        },
        sip_password: value("SIP_PASSWORD"),
        vapid,
        env_file: env_file.clone(),
    })
    .and_then(|credentials| {
        write_lines(&env_file, &lines).map_err(fault(&env_file))?;
        Ok(credentials)
    })
}

impl Credentials {
    /// Notes where the HTTP door is, once that is known.
    pub fn note_url(&self, url: &str) -> Result<(), Fault> {
        let fault = |source| Fault::Data { path: self.env_file.clone(), source };
        let mut lines = read(&self.env_file).map_err(fault)?;
        lines.insert("CARILLON_URL".to_owned(), url.to_owned());
        write_lines(&self.env_file, &lines).map_err(fault)
    }
}

/// Octets from the system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets).expect("the system has randomness");
    octets
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The lines of the file; none when there is no file.
fn read(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect())
}

/// Writes the known lines first, in their order, then what else somebody put there.
fn write_lines(path: &Path, lines: &BTreeMap<String, String>) -> io::Result<()> {
    const ORDER: [&str; 6] = [
        "CARILLON_URL",
        "CARILLON_TOKEN",
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "SIP_DOMAIN",
        "SIP_PASSWORD",
    ];
    let known = ORDER.iter().filter_map(|key| Some((*key, lines.get(*key)?)));
    let others = lines.iter().filter(|(key, _)| !ORDER.contains(&key.as_str()));
    let all = known.chain(others.map(|(key, value)| (key.as_str(), value)));
    let text: String = all.map(|(key, value)| format!("{key}={value}\n")).collect();
    write(path, text.as_bytes())
}

/// Replaces a file as a whole; nobody else may read it.
pub fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
