//! What a server says when it is ready. Never a secret that lasts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dev::{NUMBER, PEOPLE};
use crate::config::{Base, Loaded, Place};
use crate::host::{ENV_FILE, Host};

/// The port that a phone takes when none is said.
const SIP_PORT: u16 = 5060;

/// What scripts read, in this order.
#[derive(serde::Serialize)]
struct Line {
    ready: bool,
    http: String,
    sip: String,
    env: String,
}

/// Prints it: one line of JSON, or words.
pub fn print(base: Base, loaded: &Loaded, host: &Host, json: bool, took: Duration) {
    let env = std::path::absolute(&host.credentials.env_file);
    let env = env.unwrap_or_else(|_| host.credentials.env_file.clone());
    if json {
        let line = Line {
            ready: true,
            http: format!("http://{}", reachable(host.http)),
            sip: reachable(host.sip).to_string(),
            env: env.display().to_string(),
        };
        // Text and a flag always become JSON.
        println!("{}", serde_json::to_string(&line).unwrap_or_default());
        return;
    }
    // A link opens the door once: it is for somebody who looks, not for a file that keeps what was printed.
    let console = match base {
        Base::Dev if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            let link = host.sign_in_link(PEOPLE[0], &host.public);
            format!(
                "{link}\n             opens once, signed in as {}; another: carillon admin link",
                PEOPLE[0]
            )
        }
        Base::Dev | Base::Serve => {
            format!("{}      sign in with the link of: carillon admin link", host.public)
        }
    };
    print!("{}", words(base, loaded, host, &env, &console, took));
}

/// An address that a client here can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn words(
    base: Base,
    loaded: &Loaded,
    host: &Host,
    env: &Path,
    console: &str,
    took: Duration,
) -> String {
    let resolved = &loaded.resolved;
    let version = env!("CARGO_PKG_VERSION");
    let env = near(env);
    let (mode, reach) = match base {
        Base::Dev => ("development", " · this computer only"),
        Base::Serve => ("server", ""),
    };
    let data = match &resolved.data {
        Place::Folder(folder) => format!("data in {}", near(folder).display()),
        Place::Memory => "keeps nothing".to_owned(),
    };
    let mut transports: Vec<_> =
        resolved.listeners.iter().map(|bind| bind.transport.param()).collect();
    transports.sort_unstable();
    transports.dedup();
    let (first, last) = (resolved.ports.start(), resolved.ports.end());
    let http = reachable(host.http);
    let sip = reachable(host.sip);
    let (people, next) = match base {
        Base::Dev => (
            format!(
                "      people {} · {NUMBER} rings {} · password in {ENV_FILE}",
                PEOPLE.join(" "),
                PEOPLE[0]
            ),
            next(sip, &env),
        ),
        Base::Serve => Default::default(),
    };
    format!(
        "\ncarillon {version} · {mode}{reach} · {data}\n\n  \
         Console    {console}\n  \
         API        http://{http}/v1      described by /openapi.json\n  \
         SIP        sip:{sip}  {}{people}\n  \
         Media      udp {first}-{last}\n\n  \
         Keys are in {} (only you can read it).\n\n\
         {next}Ready in {:.1} s. Ctrl-C stops; Ctrl-C twice does not wait for calls.\n",
        transports.join(" "),
        env.display(),
        took.as_secs_f64(),
    )
}

/// What to try, each in a terminal of its own, as it can be pasted.
fn next(sip: SocketAddr, env: &Path) -> String {
    let program = quoted(&program());
    let env = quoted(env);
    let server = if sip.port() == SIP_PORT { String::new() } else { format!(" --server {sip}") };
    let (caller, callee) = (PEOPLE[0], PEOPLE[1]);
    let lines = [
        format!("{program} phone answer --user {callee} --env {env}{server}"),
        format!("{program} phone call {callee} --user {caller} --for 5s --env {env}{server}"),
        format!(
            "(. {env}; curl -H \"Authorization: Bearer $CARILLON_TOKEN\" $CARILLON_URL/v1/dev/pushes)"
        ),
    ];
    format!("  Next   {}\n\n", lines.join("\n         "))
}

/// How this program was called, so that it can be called so again.
fn program() -> PathBuf {
    std::env::args_os()
        .next()
        .map_or_else(|| PathBuf::from("carillon"), |word| near(Path::new(&word)))
}

/// The path from here, when it leads down; a word that a `.` or a shell takes for a path.
fn near(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| Some(path.strip_prefix(here).ok()?.to_owned()));
    match below.unwrap_or_else(|| path.to_owned()) {
        // Without a slash, a shell would look elsewhere.
        bare if path.is_absolute() && bare.components().count() == 1 => Path::new(".").join(bare),
        found => found,
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,:@%".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_tried_can_be_pasted() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(near(&here.join("data/x")), Path::new("data/x"));
        assert_eq!(near(&here.join("x")), Path::new("./x"));
        assert_eq!(near(Path::new("carillon")), Path::new("carillon"));
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/my data/it's")), "'/my data/it'\\''s'");
        let env = Path::new("data/.env.carillon");
        assert!(!next("127.0.0.1:5060".parse().unwrap(), env).contains("--server"));
        assert!(
            next("127.0.0.1:5070".parse().unwrap(), env).contains(" --server 127.0.0.1:5070\n")
        );
    }
}
