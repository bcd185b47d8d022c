//! `postgres://USER:PASSWORD@HOST:PORT/DATABASE`: read, judged, and shown without its secret.
//!
//! Rules       No error text holds a part of what could be a password. TLS is used, and the server proves its name,
//!             unless every host is this computer or the address says `sslmode=disable`.
//! Spec        RFC 3986 §2.1 (octets as %XX); the parameters have PostgreSQL's names.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use types::Secret;

/// The port of a server when none is said.
const PORT: u16 = 5432;

/// Servers of one address: the first that takes writes is used.
const HOSTS_MAX: usize = 8;

/// Where a database is and as whom we come.
#[derive(Clone, Debug)]
pub struct Address {
    hosts: Vec<Host>,
    user: String,
    password: Option<Secret<String>>,
    database: String,
    encrypted: bool,
    /// Authorities beside the system's that may vouch for the server.
    pub(crate) authorities: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    place: Place,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Name or address.
    Network(String),
    /// The folder of a Unix socket.
    Socket(PathBuf),
}

/// Why a text is no address of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Another scheme, or none.
    #[error("wants the form \"postgres://USER:PASSWORD@HOST/DATABASE\"")]
    Scheme,
    /// No user.
    #[error("names no user: \"postgres://USER:PASSWORD@HOST/DATABASE\"")]
    User,
    /// No host.
    #[error("names no host: \"postgres://USER:PASSWORD@HOST/DATABASE\"")]
    Host,
    /// Too many hosts.
    #[error("names more than 8 hosts")]
    Hosts,
    /// What stands behind the last colon of a host is no port.
    #[error(
        "has a port that is no number from 1 to 65535; write `:`, `/`, `@`, `?` and `%` of a password as %3A, %2F, %40, %3F and %25"
    )]
    Port,
    /// No database.
    #[error("names no database: \"postgres://USER:PASSWORD@HOST/DATABASE\"")]
    Database,
    /// A `%` without two digits behind it, or octets that are no UTF-8.
    #[error("has a % that is not followed by two hexadecimal digits; write % itself as %25")]
    Encoding,
    /// A parameter that we do not know.
    #[error("has a parameter behind `?` that is none of host, sslmode and sslrootcert")]
    Parameter,
    /// A value of `sslmode` that we do not take.
    #[error(
        "has an sslmode that is neither require nor verify-full nor disable; `allow` and `prefer` give in to whoever takes the TLS away"
    )]
    Mode,
    /// TLS through a Unix socket.
    #[error("asks for TLS through a Unix socket, which has none")]
    SocketTls,
}

impl Address {
    /// Reads the text form. Errors: what is wrong with it, without quoting it.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let (rest, parameters) = split(rest.ok_or(AddressFault::Scheme)?, '?');
        let (authority, database) = split(rest, '/');
        let (user, hosts) = authority.rsplit_once('@').ok_or(AddressFault::User)?;
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(decode(password)?))),
            None => (user, None),
        };
        let (user, database) = (decode(user)?, decode(database)?);
        let mut hosts = if hosts.is_empty() {
            Vec::new()
        } else {
            hosts.split(',').map(Host::parse).collect::<Result<_, _>>()?
        };
        let (mut encrypted, mut authorities) = (None, None);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = split(parameter, '=');
            match name {
                "host" => hosts.push(Host { place: Place::of(&decode(value)?), port: PORT }),
                "sslmode" => {
                    encrypted = Some(match value {
                        "disable" => false,
                        "require" | "verify-full" => true,
                        _ => return Err(AddressFault::Mode),
                    });
                }
                "sslrootcert" => authorities = Some(PathBuf::from(decode(value)?)),
                _ => return Err(AddressFault::Parameter),
            }
        }
        if user.is_empty() {
            return Err(AddressFault::User);
        }
        if hosts.is_empty() {
            return Err(AddressFault::Host);
        }
        if hosts.len() > HOSTS_MAX {
            return Err(AddressFault::Hosts);
        }
        if database.is_empty() || database.contains('/') {
            return Err(AddressFault::Database);
        }
        if encrypted == Some(true) && hosts.iter().any(|host| host.place.is_socket()) {
            return Err(AddressFault::SocketTls);
        }
        let encrypted = encrypted.unwrap_or(!hosts.iter().all(|host| host.place.is_local()));
        Ok(Self { hosts, user, password, database, encrypted, authorities })
    }

    /// Whether the connection is encrypted and the server proves its name.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// What the library connects by.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.user(&self.user).dbname(&self.database).application_name("carillon");
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        for host in &self.hosts {
            match &host.place {
                Place::Network(name) => config.host(name),
                Place::Socket(folder) => config.host_path(folder),
            };
            config.port(host.port);
        }
        if self.hosts.len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.ssl_mode(if self.encrypted { SslMode::Require } else { SslMode::Disable });
        config
    }
}

impl fmt::Display for Address {
    /// Hosts and database: nothing that is secret, and what tells one database from another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        for (place, host) in self.hosts.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match &host.place {
                Place::Network(name) if name.contains(':') => write!(f, "{comma}[{name}]")?,
                Place::Network(name) => write!(f, "{comma}{name}")?,
                Place::Socket(folder) => write!(f, "{comma}{}", folder.display())?,
            }
            if host.port != PORT {
                write!(f, ":{}", host.port)?;
            }
        }
        write!(f, "/{}", self.database)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, AddressFault> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, behind) = rest.split_once(']').ok_or(AddressFault::Host)?;
                (name, behind.strip_prefix(':').or(behind.is_empty().then_some("")))
            }
            None => {
                let (name, port) = split(text, ':');
                (name, Some(port))
            }
        };
        let port = match port.ok_or(AddressFault::Port)? {
            "" => PORT,
            port => port.parse().ok().filter(|port| *port != 0).ok_or(AddressFault::Port)?,
        };
        let name = decode(name)?;
        if name.is_empty() {
            return Err(AddressFault::Host);
        }
        Ok(Self { place: Place::of(&name), port })
    }
}

impl Place {
    fn of(text: &str) -> Self {
        if text.starts_with('/') {
            Self::Socket(PathBuf::from(text))
        } else {
            Self::Network(text.to_owned())
        }
    }

    fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// Whether what is sent there leaves this computer.
    fn is_local(&self) -> bool {
        match self {
            Self::Network(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
            Self::Socket(_) => true,
        }
    }
}

/// Before and behind the first `mark`; without one, nothing is behind it.
fn split(text: &str, mark: char) -> (&str, &str) {
    text.split_once(mark).unwrap_or((text, ""))
}

/// Spec: RFC 3986 §2.1
fn decode(text: &str) -> Result<String, AddressFault> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let digit = |octet: u8| char::from(octet).to_digit(16);
        let [high, low, behind @ ..] = rest else { return Err(AddressFault::Encoding) };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(AddressFault::Encoding);
        };
        octets.push((high * 16 + low) as u8);
        rest = behind;
    }
    String::from_utf8(octets).map_err(|_| AddressFault::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_are_taken() {
        let rows = [
            ("postgres://u:p@db.example/c", "postgres://db.example/c", true),
            ("postgresql://u@db.example:6000/c", "postgres://db.example:6000/c", true),
            ("postgres://u:p@127.0.0.1/c", "postgres://127.0.0.1/c", false),
            ("postgres://u:p@[::1]:7/c", "postgres://[::1]:7/c", false),
            ("postgres://u:p@localhost/c?sslmode=require", "postgres://localhost/c", true),
            ("postgres://u:p@db/c?sslmode=disable", "postgres://db/c", false),
            ("postgres://u:p@%2Frun%2Fpg/c", "postgres:///run/pg/c", false),
            ("postgres://u:p@/c?host=/run/pg", "postgres:///run/pg/c", false),
            ("postgres://u:p@a,b:6000/c", "postgres://a,b:6000/c", true),
            ("postgres://u:p%40%2f%3A@db/c%20d", "postgres://db/c d", true),
        ];
        for (text, shown, encrypted) in rows {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.encrypted), (shown, encrypted));
        }
        let address = Address::parse("postgres://u:p%40%2f%3A@db/c").unwrap();
        assert_eq!(address.config().get_password(), Some(b"p@/:".as_slice()));
    }

    #[test]
    fn forms_that_are_refused_say_why_and_keep_the_secret() {
        let rows = [
            ("mysql://u:hunter2@h/d", AddressFault::Scheme),
            ("hunter2", AddressFault::Scheme),
            ("postgres://h/d", AddressFault::User),
            ("postgres://:hunter2@h/d", AddressFault::User),
            ("postgres://u:hunter2@/d", AddressFault::Host),
            ("postgres://u:hunter2@h", AddressFault::Database),
            ("postgres://u:hunter2@h/", AddressFault::Database),
            ("postgres://u:hunter2@h/a/b", AddressFault::Database),
            ("postgres://u:hunter2@h:port/d", AddressFault::Port),
            ("postgres://u:hunter2@h:0/d", AddressFault::Port),
            ("postgres://u:hunter2@[::1/d", AddressFault::Host),
            ("postgres://u:hun%ter2@h/d", AddressFault::Encoding),
            ("postgres://u:hunter2@h/d?sslmode=prefer", AddressFault::Mode),
            ("postgres://u:hunter2@h/d?password=hunter2", AddressFault::Parameter),
            ("postgres://u:hunter2@/d?host=/run&sslmode=require", AddressFault::SocketTls),
            ("postgres://u:hunter2@1,2,3,4,5,6,7,8,9/d", AddressFault::Hosts),
        ];
        for (text, fault) in rows {
            assert_eq!(Address::parse(text).unwrap_err(), fault, "{text}");
            assert!(!fault.to_string().contains("hunter2"));
        }
        let shown = format!("{:?}", Address::parse("postgres://u:hunter2@h/d").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn no_text_panics() {
        let mut rng = types::Rng::from_number(4);
        let alphabet = b"postgres://u:%4@[],h?=&sslmode/";
        for _ in 0..20_000 {
            let length = rng.below(40);
            let pick = |_| alphabet[rng.below(alphabet.len() as u64) as usize];
            let text: Vec<u8> = (0..length).map(pick).collect();
            let text = format!("postgres://{}", String::from_utf8_lossy(&text));
            let _ = Address::parse(&text).map(|address| address.to_string());
        }
    }
}
