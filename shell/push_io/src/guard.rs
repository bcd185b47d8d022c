//! Keeps addresses that strangers gave us from reaching into our own network.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
pub use types::is_public;

/// Whether the host of `url` is a loopback address or `localhost`.
pub fn names_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(_) => literal(url).is_some_and(|address| address.is_loopback()),
        None => false,
    }
}

/// The address that stands in `url` itself, which no resolver will see.
pub fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Resolves names to public addresses only. What it returns is what is connected to: a name that
/// changes its mind between check and use gains nothing.
#[derive(Clone, Copy, Debug)]
pub struct PublicOnly;

/// A name that leads only into private networks.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the name resolves to no public address")]
pub struct NotPublic;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_by_name_or_number() {
        for (text, expected) in [
            ("http://localhost:1/", true),
            ("http://127.1.2.3/", true),
            ("http://[::1]:80/", true),
            ("http://0x7f000001/", true), // The parser makes it 127.0.0.1.
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(names_loopback(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }
}
