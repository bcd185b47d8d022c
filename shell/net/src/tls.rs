//! TLS of the SIP listeners and of the connections that we open.
//!
//! Picture     files --open--> Tls { acceptor, connector };  files changed --reload--> the next handshake has the new ones
//! Rules       A connection keeps what it began with: a reload drops nobody. Files that do not fit together change nothing.
//!             Whom we dial must prove the name that was asked for (or the address, when no name was), by an authority of
//!             the system or of `authorities`. TLS 1.2 with forward secrecy, or 1.3. To whoever asks while we dial we show
//!             the certificate that we serve with. With `ask_callers` a caller by TLS is asked for his: one that no
//!             authority vouches for ends the handshake, none at all does not. Pages in browsers (WSS) are never asked.
//! Limits      FILE_MAX octets of one file.
//! Not here    Time limits of a handshake and what a caller's certificate is good for (stream), who may speak (the rooms).
//! Spec        RFC 8446, RFC 5246, RFC 3261 §26.3, RFC 5922 §7 (names), RFC 5923 §9.2 (certificates of callers)

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Octets of a file with certificates or a key: hundreds of authorities fit.
pub const FILE_MAX: u64 = 4 << 20;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What a file holds.
    #[error("{}: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The library refuses the whole.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// Where keys and certificates lie, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Our certificate, then those between it and its authority, and the key; without them nothing is served.
    pub served: Option<(PathBuf, PathBuf)>,
    /// Authorities beside the system's that may vouch for whom we dial.
    pub authorities: Option<PathBuf>,
    /// Callers by TLS are asked for a certificate of theirs.
    pub ask_callers: bool,
}

/// What handshakes are made with. Shared by all listeners.
pub struct Tls {
    files: Files,
    provider: Arc<CryptoProvider>,
    certificate: Arc<Certificate>,
    /// For pages in browsers, which would ask their user about a certificate.
    acceptor: TlsAcceptor,
    /// For everybody else.
    asking: RwLock<TlsAcceptor>,
    connector: RwLock<TlsConnector>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls {:?}", self.files)
    }
}

/// The certificate of the next handshake.
#[derive(Debug, Default)]
struct Certificate(RwLock<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesClientCert for Certificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_certs(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Tls {
    /// Reads the files. Errors: they cannot be read, or do not fit together.
    pub fn open(files: Files) -> Result<Self, Fault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = Arc::new(Certificate::default());
        let roots = Arc::new(authorities(files.authorities.as_deref())?);
        let acceptor = acceptor(&provider, &certificate, None)?;
        let asking = acceptor_of(&files, &provider, &certificate, &roots)?;
        let connector = connector(&provider, &certificate, &roots)?;
        let (asking, connector) = (RwLock::new(asking), RwLock::new(connector));
        let tls = Self { files, provider, certificate, acceptor, asking, connector };
        tls.reload()?;
        Ok(tls)
    }

    /// Reads the files again, for the handshakes to come. Errors: as for `open`; then nothing has changed.
    pub fn reload(&self) -> Result<(), Fault> {
        let fresh = match &self.files.served {
            Some((certificate, key)) => Some(served(&self.provider, certificate, key)?),
            None => None,
        };
        let roots = Arc::new(authorities(self.files.authorities.as_deref())?);
        let asking = acceptor_of(&self.files, &self.provider, &self.certificate, &roots)?;
        let connector = connector(&self.provider, &self.certificate, &roots)?;
        *self.asking.write().unwrap_or_else(PoisonError::into_inner) = asking;
        *self.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        *self.connector.write().unwrap_or_else(PoisonError::into_inner) = connector;
        Ok(())
    }

    /// When the files were written last; changes when one of them does.
    pub fn stamp(&self) -> Vec<Option<std::time::SystemTime>> {
        let served = self.files.served.iter().flat_map(|(certificate, key)| [certificate, key]);
        let time = |path: &PathBuf| std::fs::metadata(path).and_then(|found| found.modified()).ok();
        served.chain(&self.files.authorities).map(time).collect()
    }

    /// What a handshake is accepted with. `page`: of a browser.
    pub(crate) fn acceptor(&self, page: bool) -> TlsAcceptor {
        if page {
            return self.acceptor.clone();
        }
        self.asking.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        self.connector.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn served(
    provider: &CryptoProvider,
    certificate: &Path,
    key: &Path,
) -> Result<Arc<CertifiedKey>, Fault> {
    let chain = certificates(certificate)?;
    let key_bytes = read(key)?;
    let secret = PrivateKeyDer::from_pem_slice(&key_bytes).map_err(|why| content(key, why))?;
    let pair = CertifiedKey::from_der(chain, secret, provider).map_err(|why| content(key, why))?;
    Ok(Arc::new(pair))
}

/// Everybody who may vouch for somebody.
fn authorities(own: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    // What the system has and we cannot read vouches for nobody: no reason not to start.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = own {
        for authority in certificates(path)? {
            roots.add(authority).map_err(|why| content(path, why))?;
        }
    }
    Ok(roots)
}

/// For callers that may be asked.
fn acceptor_of(
    files: &Files,
    provider: &Arc<CryptoProvider>,
    certificate: &Arc<Certificate>,
    roots: &Arc<RootCertStore>,
) -> Result<TlsAcceptor, Fault> {
    acceptor(provider, certificate, files.ask_callers.then_some(roots))
}

fn acceptor(
    provider: &Arc<CryptoProvider>,
    certificate: &Arc<Certificate>,
    asked: Option<&Arc<RootCertStore>>,
) -> Result<TlsAcceptor, Fault> {
    let config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(Fault::Setup)?;
    let config = match asked {
        None => config.with_no_client_auth(),
        Some(roots) => {
            let (roots, provider) = (Arc::clone(roots), Arc::clone(provider));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()
                .map_err(|why| Fault::Setup(rustls::Error::General(why.to_string())))?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let resolver = Arc::clone(certificate) as Arc<dyn ResolvesServerCert>;
    Ok(TlsAcceptor::from(Arc::new(config.with_cert_resolver(resolver))))
}

fn connector(
    provider: &Arc<CryptoProvider>,
    certificate: &Arc<Certificate>,
    roots: &Arc<RootCertStore>,
) -> Result<TlsConnector, Fault> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(Fault::Setup)?
        .with_root_certificates(Arc::clone(roots))
        .with_client_cert_resolver(Arc::clone(certificate) as Arc<dyn ResolvesClientCert>);
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|why| content(path, why))?;
    if found.is_empty() { Err(content(path, "holds no certificate in PEM")) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let fault = |source| Fault::File { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(fault)?.len();
    if size > FILE_MAX {
        return Err(content(path, "larger than such a file may be"));
    }
    std::fs::read(path).map_err(fault)
}

fn content(path: &Path, why: impl fmt::Display) -> Fault {
    Fault::Content { path: path.to_owned(), why: why.to_string() }
}

/// A certificate that vouches for itself and its key, in PEM, for trying things. Errors: a name that cannot be one.
pub fn self_signed(names: &[String]) -> Result<(String, String), Fault> {
    let made = rcgen::generate_simple_self_signed(names);
    let made = made.map_err(|why| Fault::Setup(rustls::Error::General(why.to_string())))?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_fit_change_nothing_and_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (certificate, key) = self_signed(&["one.example".to_owned()]).unwrap();
        let (_, other) = self_signed(&["two.example".to_owned()]).unwrap();
        std::fs::write(at("c"), &certificate).unwrap();
        std::fs::write(at("k"), &key).unwrap();
        let served = Some((at("c"), at("k")));
        let files = Files { served, authorities: Some(at("c")), ..Files::default() };
        let tls = Tls::open(files).unwrap();
        let stamp = tls.stamp();
        assert!(stamp.len() == 3 && stamp.iter().all(Option::is_some));
        let before = tls.certificate.0.read().unwrap().clone().unwrap();
        for wrong in [other.as_str(), "", "no key at all"] {
            std::fs::write(at("k"), wrong).unwrap();
            let fault = tls.reload().unwrap_err().to_string();
            assert!(fault.contains(&at("k").display().to_string()), "{fault}");
        }
        std::fs::remove_file(at("c")).unwrap();
        assert!(matches!(tls.reload(), Err(Fault::File { .. })));
        let after = tls.certificate.0.read().unwrap().clone().unwrap();
        assert!(Arc::ptr_eq(&before, &after));
    }
}
