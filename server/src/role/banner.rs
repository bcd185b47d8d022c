//! What a server says when it is ready. Never a secret.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use types::Transport;

use super::dev::PEOPLE;
use crate::config::{Base, Loaded, Place};
use crate::host::Host;

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
    print!("{}", words(base, loaded, host, &env, took));
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

fn words(base: Base, loaded: &Loaded, host: &Host, env: &Path, took: Duration) -> String {
    let resolved = &loaded.resolved;
    let version = env!("CARGO_PKG_VERSION");
    let (mode, reach) = match base {
        Base::Dev => ("development", " · this computer only"),
        Base::Serve => ("server", ""),
    };
    let data = match &resolved.data {
        Place::Folder(folder) => format!("data in {}", folder.display()),
        Place::Memory => "keeps nothing".to_owned(),
    };
    let mut transports: Vec<_> = resolved
        .listeners
        .iter()
        .filter(|bind| matches!(bind.transport, Transport::Udp | Transport::Tcp))
        .map(|bind| bind.transport.param())
        .collect();
    transports.dedup();
    let (first, last) = (resolved.ports.start(), resolved.ports.end());
    let http = reachable(host.http);
    let people = match base {
        Base::Dev => format!("      people {} · password in .env.carillon", PEOPLE.join(" ")),
        Base::Serve => String::new(),
    };
    let next = match base {
        Base::Dev => format!(
            "  Next   carillon phone --help\n         carillon ready --url http://{http}\n         \
             curl -H \"Authorization: Bearer $CARILLON_TOKEN\" http://{http}/v1/bindings\n\n"
        ),
        Base::Serve => String::new(),
    };
    format!(
        "\ncarillon {version} · {mode}{reach} · {data}\n\n  \
         Console    {}\n  \
         API        http://{http}/v1             described by /openapi.json\n  \
         SIP        sip:{}  {}{people}\n  \
         Media      udp {first}-{last}\n\n  \
         Keys are in {} (only you can read it).\n\n\
         {next}Ready in {:.1} s. Ctrl-C stops; Ctrl-C twice does not wait for calls.\n",
        host.public,
        reachable(host.sip),
        transports.join(" "),
        env.display(),
        took.as_secs_f64(),
    )
}
