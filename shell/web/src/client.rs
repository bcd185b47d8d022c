//! Asks addresses that people outside named: the apps behind call programs, and files that they name.
//!
//! Picture     Fetch --guard: resolve, judge, pin--> connection of the pool --> status, header, bounded body
//! Rules       With `guard.http_targets = "public"` a name leads to public addresses only, and what was judged is what is
//!             connected to: a name that changes its mind gains nothing. Every hop of a redirection is judged anew.
//!             Proxies of the environment are left aside: they would connect where nobody looks.
//! Limits      [`IN_FLIGHT_MAX`] questions; times and octets come with each question.
//! Not here    Retries, signatures, cookies, which redirections a call program follows (rooms).
//! Spec        RFC 9110, 9112, 9113

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::LOCATION;
use reqwest::{Method, Response, Url};
use switchboard::fetch::{Fetch, FetchFault, Fetched, REDIRECTS_MAX, URL_MAX};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use types::is_public;

use crate::app_socket::SOCKETS_MAX;

/// Questions on their way at one time; then `FetchFault::Busy`.
pub const IN_FLIGHT_MAX: usize = 1_000;
/// Pools of connections, one for each limit to connecting that was asked for; those beyond share the longest.
const POOLS_MAX: usize = 8;
/// How long a connection may take to open, whatever was asked.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// Header fields of an answer that are kept.
const HEADERS_MAX: usize = 100;

/// See the head of this file.
#[derive(Debug)]
pub struct Client {
    public_only: bool,
    pools: Mutex<BTreeMap<Duration, reqwest::Client>>,
    longest: reqwest::Client,
    turns: Semaphore,
    /// For handshakes of web sockets, which HTTP/2 knows in another way.
    pub(crate) upgrades: reqwest::Client,
    pub(crate) sockets: Arc<Semaphore>,
}

/// The HTTP client could not be set up, most often for lack of trusted roots.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the client for webhooks")]
pub struct ClientFault(#[source] reqwest::Error);

impl Client {
    /// A client; `public_only`: private and loopback addresses are refused.
    pub fn new(public_only: bool) -> Result<Self, ClientFault> {
        let longest = pool(public_only, CONNECT_MAX).map_err(ClientFault)?;
        let turns = Semaphore::new(IN_FLIGHT_MAX);
        let upgrades = builder(public_only, CONNECT_MAX).http1_only().build();
        let upgrades = upgrades.map_err(ClientFault)?;
        let sockets = Arc::new(Semaphore::new(SOCKETS_MAX));
        let pools = Mutex::default();
        Ok(Self { public_only, pools, longest, turns, upgrades, sockets })
    }

    /// Asks, and reads the answer within the question's limits.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Fetched, FetchFault> {
        let _turn = self.turns.try_acquire().map_err(|_| FetchFault::Busy)?;
        let began = Instant::now();
        let total = fetch.limits.total;
        let found = timeout(total, self.follow(fetch)).await;
        let mut fetched = found.map_err(|_| FetchFault::TotalTimeout)??;
        fetched.took = began.elapsed();
        Ok(fetched)
    }

    async fn follow(&self, fetch: Fetch) -> Result<Fetched, FetchFault> {
        if fetch.url.len() > URL_MAX {
            return Err(FetchFault::Url);
        }
        let mut url = Url::parse(&fetch.url).map_err(|_| FetchFault::Url)?;
        let mut left = fetch.limits.redirects.min(REDIRECTS_MAX);
        loop {
            let response = self.ask(&fetch, &url).await?;
            let next = next(&response, &url).filter(|_| fetch.limits.redirects > 0);
            match next {
                Some(_) if left == 0 => return Err(FetchFault::Redirects),
                Some(next) => {
                    left -= 1;
                    url = next;
                }
                None => return read(response, &fetch, url).await,
            }
        }
    }

    async fn ask(&self, fetch: &Fetch, url: &Url) -> Result<Response, FetchFault> {
        self.judge(url)?;
        let method = match fetch.method.as_str() {
            "POST" => Method::POST,
            _ => Method::GET,
        };
        let client = self.pool(fetch.limits.connect);
        let mut request = client.request(method, url.clone());
        for (name, value) in &fetch.headers {
            request = request.header(name, value);
        }
        if !fetch.body.is_empty() {
            request = request.body(fetch.body.clone());
        }
        // The time to connect has its own limit; beyond both nothing was heard.
        let wait = fetch.limits.connect.min(CONNECT_MAX) + fetch.limits.read;
        let response = timeout(wait, request.send()).await.map_err(|_| FetchFault::ReadTimeout)?;
        response.map_err(|error| fault(&error))
    }

    /// Spec: RFC 6890 for addresses that stand in the URL itself, which no resolver sees.
    pub(crate) fn judge(&self, url: &Url) -> Result<(), FetchFault> {
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(FetchFault::Url);
        }
        let literal = url.host_str().unwrap_or("").trim_matches(['[', ']']).parse::<IpAddr>();
        match literal {
            Ok(address) if self.public_only && !is_public(address) => Err(FetchFault::Target),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn pool(&self, connect: Duration) -> reqwest::Client {
        let connect = connect.min(CONNECT_MAX);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.get(&connect) {
            return known.clone();
        }
        match pool(self.public_only, connect) {
            Ok(made) if pools.len() < POOLS_MAX => {
                pools.insert(connect, made.clone());
                made
            }
            Ok(_) | Err(_) => self.longest.clone(),
        }
    }
}

fn pool(public_only: bool, connect: Duration) -> Result<reqwest::Client, reqwest::Error> {
    builder(public_only, connect).build()
}

fn builder(public_only: bool, connect: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect)
        .pool_idle_timeout(IDLE)
        .dns_resolver(Names { public_only })
}

/// Where a redirection leads; its fragment is not sent.
fn next(response: &Response, url: &Url) -> Option<Url> {
    let moved = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    let location = response.headers().get(LOCATION).filter(|_| moved)?;
    url.join(location.to_str().ok()?).ok()
}

async fn read(mut response: Response, fetch: &Fetch, url: Url) -> Result<Fetched, FetchFault> {
    let limits = fetch.limits;
    if response.content_length().is_some_and(|length| length > limits.body as u64) {
        return Err(FetchFault::Long);
    }
    let status = response.status().as_u16();
    let field = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = response.headers().iter().take(HEADERS_MAX).map(field).collect();
    let mut body = Vec::new();
    loop {
        let chunk = timeout(limits.read, response.chunk()).await;
        let chunk = chunk.map_err(|_| FetchFault::Stalled)?;
        match chunk.map_err(|_| FetchFault::Stalled)? {
            Some(chunk) if body.len() + chunk.len() > limits.body => return Err(FetchFault::Long),
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(Fetched { status, headers, body, url: url.into(), took: Duration::ZERO })
}

/// What an error of the client is called. Its kinds stand along its chain of sources.
pub(crate) fn fault(error: &reqwest::Error) -> FetchFault {
    let mut source = error.source();
    while let Some(at) = source {
        if let Some(known) = at.downcast_ref::<FetchFault>() {
            return *known;
        }
        if at.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return FetchFault::Syntax;
        }
        if let Some(io) = at.downcast_ref::<std::io::Error>() {
            match io.kind() {
                ErrorKind::ConnectionRefused => return FetchFault::Refused,
                // What the TLS library says of a handshake or a certificate.
                ErrorKind::InvalidData => return FetchFault::Tls,
                _ => {}
            }
        }
        // What an input error holds is not its source: that would be the source of what it holds.
        let held = at.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = match held {
            Some(held) => Some(held),
            None => at.source(),
        };
    }
    match error {
        error if error.is_builder() => FetchFault::Url,
        error if error.is_connect() && error.is_timeout() => FetchFault::ConnectTimeout,
        error if error.is_timeout() => FetchFault::ReadTimeout,
        _ => FetchFault::Connection,
    }
}

/// Resolves names, to public addresses only where that is asked. What it returns is what is connected to.
#[derive(Clone, Copy, Debug)]
struct Names {
    public_only: bool,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { public_only } = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<SocketAddr> = found.map_err(|_| FetchFault::Resolve)?.collect();
            if found.is_empty() {
                return Err(FetchFault::Resolve.into());
            }
            let fits = |address: &SocketAddr| !public_only || is_public(address.ip());
            let fitting: Vec<SocketAddr> = found.into_iter().filter(fits).collect();
            if fitting.is_empty() {
                return Err(FetchFault::Target.into());
            }
            let addresses: Addrs = Box::new(fitting.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use switchboard::fetch::FetchLimits;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const LIMITS: FetchLimits = FetchLimits {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(5),
        total: Duration::from_secs(20),
        body: 1_000,
        redirects: 0,
    };

    /// A server that answers each request by its path; counts its connections.
    async fn serve() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut heard = Vec::new();
                    loop {
                        let mut octet = [0];
                        if stream.read(&mut octet).await.unwrap_or(0) == 0 {
                            return;
                        }
                        heard.push(octet[0]);
                        if !heard.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let text = String::from_utf8(std::mem::take(&mut heard)).unwrap();
                        let answer = match text.split(' ').nth(1).unwrap() {
                            "/hop" => "HTTP/1.1 302 Found\r\nLocation: /end#x\r\nContent-Length: 0\r\n\r\n".to_owned(),
                            "/loop" => "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned(),
                            "/inward" => "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
                            "/odd" => "no HTTP at all\r\n\r\n".to_owned(),
                            "/long" => format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n", "a".repeat(2000)),
                            "/hang" => String::new(),
                            "/half" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_owned(),
                            _ => format!("HTTP/1.1 200 OK\r\nX-Echo: {}\r\nContent-Length: 4\r\n\r\ndone", text.contains("x-a: b")),
                        };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        if answer.starts_with("no") {
                            return;
                        }
                    }
                });
            }
        });
        (port, count)
    }

    fn get(url: String, limits: FetchLimits) -> Fetch {
        let headers = vec![("x-a".to_owned(), "b".to_owned())];
        Fetch { method: "GET".into(), url, headers, body: Vec::new(), limits }
    }

    #[tokio::test]
    async fn answers_within_limits() {
        let (port, connections) = serve().await;
        let client = Client::new(false).unwrap();
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        for _ in 0..3 {
            let fetched = client.fetch(get(url("/end"), LIMITS)).await.unwrap();
            assert_eq!((fetched.status, &*fetched.body), (200, &b"done"[..]));
            assert_eq!(fetched.header("x-echo"), Some("true"));
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "one connection for all");
        let fetched = client.fetch(get(url("/hop"), LIMITS)).await.unwrap();
        assert_eq!((fetched.status, fetched.header("location")), (302, Some("/end#x")));
        let follow = FetchLimits { redirects: 2, ..LIMITS };
        let fetched = client.fetch(get(url("/hop"), follow)).await.unwrap();
        assert_eq!((fetched.status, &*fetched.url), (200, &*url("/end#x")));
        let short = FetchLimits { read: Duration::from_millis(30), ..LIMITS };
        let brief = FetchLimits { total: Duration::from_millis(30), ..LIMITS };
        let hurried = FetchLimits { connect: Duration::from_millis(30), ..short };
        for (path, limits, fault) in [
            ("/loop", follow, FetchFault::Redirects),
            ("/odd", LIMITS, FetchFault::Syntax),
            ("/long", LIMITS, FetchFault::Long),
            ("/half", short, FetchFault::Stalled),
            ("/hang", brief, FetchFault::TotalTimeout),
            ("/hang", hurried, FetchFault::ReadTimeout),
        ] {
            assert_eq!(client.fetch(get(url(path), limits)).await, Err(fault), "{path}");
        }
        for (url, fault) in [
            ("ftp://127.0.0.1/", FetchFault::Url),
            ("nonsense", FetchFault::Url),
            ("http://no-such-name.invalid/", FetchFault::Resolve),
        ] {
            assert_eq!(client.fetch(get(url.into(), LIMITS)).await, Err(fault), "{url}");
        }
        let tls = client.fetch(get(format!("https://127.0.0.1:{port}/"), hurried)).await;
        assert!(tls.is_err(), "{tls:?}");
        // A port that is held but does not listen.
        let held = socket();
        let port = held.local_addr().unwrap().port();
        let refused = client.fetch(get(format!("http://127.0.0.1:{port}/"), LIMITS)).await;
        assert_eq!(refused, Err(FetchFault::Refused));
    }

    fn socket() -> tokio::net::TcpSocket {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    }

    #[tokio::test]
    async fn the_guard_judges_every_hop() {
        let (port, connections) = serve().await;
        let client = Client::new(true).unwrap();
        for host in ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "0x7f000001", "localhost"]
        {
            let url = format!("http://{host}:{port}/end");
            assert_eq!(client.fetch(get(url, LIMITS)).await, Err(FetchFault::Target), "{host}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
        let inward = Url::parse("http://10.0.0.1/").unwrap();
        assert_eq!(client.judge(&inward), Err(FetchFault::Target));
    }
}
