//! Settings of this room.

types::settings! {
    /// Call programs (`[voice]`).
    pub struct Config {
        /// Calls at once on one shard that programs answer; more get `voice.too_many`.
        calls_max: u32 = 20_000 => restart,
        /// Which SIP addresses outside programs may dial: `public` refuses loopback, private and link-local ones; `any` in dev.
        sip_targets: String = "public".to_owned() => restart,
        /// Recording servers that documents may name (`[[voice.siprec]]`): `name`, and `address` such as `sip:recorder@10.0.0.7;transport=tcp`.
        siprec: Vec<Connector> = Vec::new() => restart,
    }
}

/// A recording server.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// How documents name it: `connectorName`.
    pub name: String,
    /// Its address: `sip:` or `sips:`, with the transport as a parameter.
    pub address: String,
}

impl Connector {
    /// Whether its address is written in numbers. Such a one was chosen by whoever wrote it, while a name may lead anywhere:
    /// only names are held to `sip_targets`.
    pub fn is_literal(&self) -> bool {
        let Some(host) = self.host() else { return false };
        host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok()
    }

    /// Its host; `None`: it is no address that can be called.
    pub fn host(&self) -> Option<String> {
        let uri = sip::Uri::decode(self.address.as_bytes()).ok()?;
        let calls = matches!(uri.scheme, sip::Scheme::Sip | sip::Scheme::Sips);
        String::from_utf8(uri.host.to_vec()).ok().filter(|host| calls && !host.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_recording_servers() {
        let of = |address: &str| Connector { name: "a".into(), address: address.into() };
        assert!(of("sip:rec@192.0.2.1:5070;transport=tcp").is_literal());
        assert!(of("sips:[2001:db8::1]").is_literal());
        assert!(!of("sip:rec@recorder.example").is_literal());
        assert_eq!(of("sip:rec@recorder.example").host().as_deref(), Some("recorder.example"));
        for odd in ["", "recorder.example", "tel:+1", "http://recorder.example"] {
            assert_eq!(of(odd).host(), None, "{odd}");
        }
    }
}
