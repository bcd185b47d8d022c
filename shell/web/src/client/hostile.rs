//! Servers of apps that prove nothing, drip, or never end: what each is called (docs/call-program-faults.md).

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd,
};
use switchboard::fetch::FetchLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

const LIMITS: FetchLimits = FetchLimits {
    connect: Duration::from_secs(10),
    read: Duration::from_secs(10),
    total: Duration::from_secs(20),
    body: 100_000,
    redirects: 0,
};

fn get(url: String, limits: FetchLimits) -> Fetch {
    Fetch { method: "GET".into(), url, headers: Vec::new(), body: Vec::new(), limits }
}

/// Somebody who signs.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A server for this name until that year; its port.
    async fn serve(&self, name: &str, until: i32) -> u16 {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, until).signed_by(&key, &self.issuer).unwrap();
        serve(&certificate, &key).await
    }
}

fn params(name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(until, 1, 1));
    params
}

/// Answers over TLS with this certificate; the port.
async fn serve(certificate: &Certificate, key: &KeyPair) -> u16 {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // One who is not believed hears of it here.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut heard = [0; 1_024];
            let _ = stream.read(&mut heard).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

/// Answers the first request of each connection with what this makes, piece by piece, until the client has gone.
async fn pour(piece: &'static [u8], pace: Option<Duration>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 1_024];
                let _ = stream.read(&mut heard).await;
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut sent = stream.write_all(head).await;
                let mut pace = pace.map(tokio::time::interval);
                while sent.is_ok() {
                    if let Some(pace) = &mut pace {
                        pace.tick().await;
                    }
                    sent = stream.write_all(piece).await;
                }
            });
        }
    });
    port
}

/// A client that believes this authority.
fn believing(authority: &Authority) -> Client {
    let client = Client::new(false).unwrap();
    let root = reqwest::Certificate::from_der(authority.certificate.der()).unwrap();
    let pool = builder(false, LIMITS.connect).tls_certs_merge([root]).build().unwrap();
    client.pools.lock().unwrap().insert(LIMITS.connect, pool);
    client
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let client = believing(&authority);
    let here: IpAddr = [127, 0, 0, 1].into();
    let here = here.to_string();
    let good = authority.serve(&here, 2099).await;
    let fetched = client.fetch(get(format!("https://{here}:{good}/"), LIMITS)).await.unwrap();
    assert_eq!((fetched.status, &*fetched.body), (200, &b"done"[..]));
    let key = KeyPair::generate().unwrap();
    let own = params(&here, 2099).self_signed(&key).unwrap();
    // Bound, and speaks no TLS.
    let plain = pour(b"4\r\ndone\r\n", None).await;
    for (what, port) in [
        ("expired", authority.serve(&here, 2002).await),
        ("for another name", authority.serve("app.example", 2099).await),
        ("self-signed", serve(&own, &key).await),
        ("of an unknown issuer", stranger.serve(&here, 2099).await),
        ("none", plain),
    ] {
        let fetched = client.fetch(get(format!("https://{here}:{port}/"), LIMITS)).await;
        assert_eq!(fetched, Err(FetchFault::Tls), "{what}");
    }
    // Others are asked as before.
    assert!(client.fetch(get(format!("https://{here}:{good}/"), LIMITS)).await.is_ok());
}

#[tokio::test]
async fn bodies_that_drip_or_never_end_are_left() {
    let client = Client::new(false).unwrap();
    let drips = pour(b"1\r\na\r\n", Some(Duration::from_millis(5))).await;
    let brief = FetchLimits { total: Duration::from_millis(200), ..LIMITS };
    let fetched = client.fetch(get(format!("http://127.0.0.1:{drips}/"), brief)).await;
    assert_eq!(fetched, Err(FetchFault::TotalTimeout));
    let endless = pour(b"a\r\naaaaaaaaaa\r\n", None).await;
    let fetched = client.fetch(get(format!("http://127.0.0.1:{endless}/"), LIMITS)).await;
    assert_eq!(fetched, Err(FetchFault::Long));
}
