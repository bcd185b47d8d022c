//! Certificates for servers of tests.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;

/// An authority that signed a certificate for `localhost`, in files of the folder. Gives the authority.
pub fn certify(folder: &Path) -> CertificateDer<'static> {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let authority = params.self_signed(&authority_key).expect("an authority");
    let issuer = rcgen::Issuer::new(params, authority_key);
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    fs::write(folder.join("certificate.pem"), certificate.pem()).expect("the test's folder");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("the test's folder");
    authority.der().clone()
}
