//! What a room asks of an address of the outside, and what comes back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Octets of a whole address.
pub const URL_MAX: usize = 8 * 1024;
/// Hops that a client follows by itself, whatever was asked.
pub const REDIRECTS_MAX: u32 = 10;

/// A request to an address that somebody outside named.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// `GET` or `POST`.
    pub method: String,
    /// Where to: `http` or `https`, without a fragment.
    pub url: String,
    /// Header fields beside those of the client.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// How long and how much.
    pub limits: FetchLimits,
}

/// How long a request may take, and how much may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchLimits {
    /// Until it is connected.
    pub connect: Duration,
    /// Until the first octet of an answer, and between two pieces of it.
    pub read: Duration,
    /// Everything together.
    pub total: Duration,
    /// Octets of the answer's body.
    pub body: usize,
    /// Hops to other addresses that are followed; at 0 a redirection is an answer like any other.
    pub redirects: u32,
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// Header fields, their names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who answered, after redirections.
    pub url: String,
    /// From the question to the last octet.
    pub took: Duration,
}

/// Why nothing came back.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
pub enum FetchFault {
    /// More questions are on their way than may be.
    #[error("too many requests are on their way")]
    Busy,
    /// The connection ended, or could not be made.
    #[error("the connection failed")]
    Connection,
    /// Nobody took the connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The body is longer than it may be.
    #[error("the answer is too long")]
    Long,
    /// Nothing was heard for too long.
    #[error("no answer in time")]
    ReadTimeout,
    /// More redirections than are followed.
    #[error("too many redirections")]
    Redirects,
    /// The far end took no connection.
    #[error("the connection was refused")]
    Refused,
    /// The name leads nowhere.
    #[error("the name does not resolve")]
    Resolve,
    /// Something that is not HTTP.
    #[error("the answer is not HTTP")]
    Syntax,
    /// The address may not be asked: `guard.http_targets`.
    #[error("the address is not public")]
    Target,
    /// The certificate, or the handshake before it.
    #[error("no safe connection")]
    Tls,
    /// The answer began and then stood still, or broke off.
    #[error("the answer broke off")]
    Stalled,
    /// All together took too long.
    #[error("all together took too long")]
    TotalTimeout,
    /// Not an address of http or https.
    #[error("not an address")]
    Url,
}

impl Fetched {
    /// The first header field of this name, in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Addresses and bodies hold what callers said: they stay out of logs.
impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetch {{ {} … {} octets }}", self.method, self.body.len())
    }
}

/// As above.
impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetched {{ {} … {} octets }}", self.status, self.body.len())
    }
}
