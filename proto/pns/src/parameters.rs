//! The `pn-*` parameters of a Contact URI.

use crate::{Provider, Target};

/// Longest value of one parameter, after its escapes. Units: octets.
pub const VALUE_MAX: usize = 2_048;

/// What a Contact says about waking its device.
///
/// Spec: RFC 8599 §4.1, §6.2
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The service, in lower case. An open name: rooms decide which they serve, unknown ones get 555.
    pub provider: String,
    /// The device's name at the service; `None` in a REGISTER that only asks what we support.
    pub prid: Option<String>,
    /// APNs only: a second token for ordinary pushes, from the double form of Flexisip's clients.
    pub prid_alert: Option<String>,
    /// What else the service needs to know.
    pub param: Option<String>,
    /// Our own name of the binding in requests within a dialog.
    pub purr: Option<String>,
}

/// What is wrong with `pn-*` parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// An escape that is no escape, or octets that are no text.
    #[error("pn parameter with a bad escape")]
    Escape,
    /// A value over [`VALUE_MAX`].
    #[error("pn parameter too long")]
    TooLong,
    /// A parameter that needs a value and has none.
    #[error("pn parameter without a value")]
    Valueless,
}

impl Parameters {
    /// Reads URI parameters as they stand in the Contact, escapes and all. `None`: no push in it.
    ///
    /// Takes the names of RFC 8599 and, when those are absent, the older ones of Linphone: `pn-type`,
    /// `app-id`, `pn-tok`.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Option<Self>, ParametersError> {
        let mut found = Self::default();
        let (mut kind, mut app, mut token) = (None, None, None);
        for (key, value) in pairs {
            let slot = match key.to_ascii_lowercase().as_str() {
                "pn-provider" => {
                    found.provider =
                        value.map(unescape).transpose()?.unwrap_or_default().to_ascii_lowercase();
                    continue;
                }
                "pn-prid" => &mut found.prid,
                "pn-param" => &mut found.param,
                "pn-purr" => &mut found.purr,
                "pn-type" => &mut kind,
                "app-id" => &mut app,
                "pn-tok" => &mut token,
                _ => continue,
            };
            let value = value.filter(|value| !value.is_empty());
            *slot = Some(unescape(value.ok_or(ParametersError::Valueless)?)?);
        }
        if found.provider.is_empty() {
            let Some(provider) = kind.as_deref().and_then(legacy_provider) else { return Ok(None) };
            provider.clone_into(&mut found.provider);
            found.prid = found.prid.or(token);
            found.param = found.param.or(app);
        }
        // Flexisip names Apple's test service as a provider of its own; which one we use is our setting.
        if found.provider == "apns.dev" {
            "apns".clone_into(&mut found.provider);
        }
        if found.provider == "apns" {
            found.split_tokens();
        }
        Ok(Some(found))
    }

    /// The target of these parameters, when the provider is ours and the device is named.
    /// Web Push keys come from elsewhere: no SIP parameter carries them.
    pub fn target(&self) -> Option<Target> {
        Some(Target {
            provider: Provider::parse(&self.provider)?,
            prid: self.prid.clone()?,
            prid_alert: self.prid_alert.clone(),
            param: self.param.clone().unwrap_or_default(),
            p256dh: None,
            auth: None,
        })
    }

    /// `TOKEN:remote&TOKEN:voip` and `TEAM.BUNDLE.remote&voip`: one token for each channel.
    fn split_tokens(&mut self) {
        let Some(prid) = self.prid.take() else { return };
        let (mut voip, mut remote, mut bare) = (None, None, None);
        for part in prid.split('&') {
            match part.rsplit_once(':') {
                Some((token, "voip")) => voip = Some(token.to_owned()),
                Some((token, "remote")) => remote = Some(token.to_owned()),
                Some(_) | None => bare = Some(part.to_owned()),
            }
        }
        let base = self.param.as_deref().and_then(|param| param.strip_suffix(".remote&voip"));
        if let Some(base) = base {
            self.param = Some(format!("{base}.{}", if voip.is_some() { "voip" } else { "remote" }));
        }
        (self.prid, self.prid_alert) = match voip.or(bare) {
            Some(token) => (Some(token), remote),
            None => (remote, None),
        };
    }
}

/// The older names of the services.
fn legacy_provider(kind: &str) -> Option<&'static str> {
    match kind.to_ascii_lowercase().as_str() {
        "apple" | "apns" => Some("apns"),
        "firebase" | "fcm" | "google" => Some("fcm"),
        _ => None,
    }
}

/// Undoes `%41`. What needs no escape may stand as it is: real clients write whole URLs.
fn unescape(text: &str) -> Result<String, ParametersError> {
    let mut out = Vec::with_capacity(text.len().min(VALUE_MAX));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if out.len() == VALUE_MAX {
            return Err(ParametersError::TooLong);
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let (Some(high), Some(low)) = (high, low) else { return Err(ParametersError::Escape) };
        out.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
    }
    String::from_utf8(out).map_err(|_| ParametersError::Escape)
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    fn read(text: &str) -> Result<Option<Parameters>, ParametersError> {
        Parameters::from_pairs(text.split(';').map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (pair, None),
        }))
    }

    #[test]
    fn forms_of_real_clients() {
        for (text, provider, prid, alert, param) in [
            (
                "pn-provider=webpush;pn-param=vapidkey;pn-prid=https://push.example/abc123",
                "webpush",
                "https://push.example/abc123",
                None,
                "vapidkey",
            ),
            ("PN-Provider=FCM;pn-param=proj;pn-prid=a%3Ab%5fC", "fcm", "a:b_C", None, "proj"),
            (
                "pn-provider=apns.dev;pn-param=T1.org.app.remote&voip;pn-prid=AA:remote&BB:voip",
                "apns",
                "BB",
                Some("AA"),
                "T1.org.app.voip",
            ),
            (
                "pn-provider=apns;pn-param=T1.org.app.remote;pn-prid=AA:remote",
                "apns",
                "AA",
                None,
                "T1.org.app.remote",
            ),
            ("pn-type=firebase;app-id=123;pn-tok=tok;pn-timeout=0", "fcm", "tok", None, "123"),
            (
                "pn-type=apple;app-id=org.app.voip.prod;pn-tok=CC",
                "apns",
                "CC",
                None,
                "org.app.voip.prod",
            ),
        ] {
            let found = read(text).unwrap().unwrap();
            assert_eq!(found.provider, provider, "{text}");
            assert_eq!(found.prid.as_deref(), Some(prid), "{text}");
            assert_eq!(found.prid_alert.as_deref(), alert, "{text}");
            assert_eq!(found.param.as_deref(), Some(param), "{text}");
            assert_eq!(found.target().unwrap().prid, prid);
        }
    }

    #[test]
    fn what_is_no_push_and_what_is_wrong() {
        assert_eq!(read("transport=tcp;ob"), Ok(None));
        assert_eq!(read("pn-type=wp10;app-id=x;pn-tok=y"), Ok(None));
        let query = read("pn-provider=apns").unwrap().unwrap();
        assert_eq!((query.prid.as_deref(), query.target()), (None, None));
        assert_eq!(read("pn-provider=acme;pn-prid=x").unwrap().unwrap().target(), None);
        assert_eq!(read("pn-provider=fcm;pn-prid"), Err(ParametersError::Valueless));
        assert_eq!(read("pn-provider=fcm;pn-prid=%4"), Err(ParametersError::Escape));
        assert_eq!(read("pn-provider=fcm;pn-prid=%ff"), Err(ParametersError::Escape));
        let long = format!("pn-provider=fcm;pn-prid={}", "a".repeat(VALUE_MAX + 1));
        assert_eq!(read(&long), Err(ParametersError::TooLong));
    }

    #[test]
    fn hostile_text_never_panics() {
        let seeds =
            ["pn-provider=apns;pn-prid=AA:remote&BB:voip;pn-param=T.b.remote&voip", "pn-tok=%41"];
        let mut rng = Rng::from_number(8599);
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = *b"%&:;=.\xc3\0aF".get(rng.below(10) as usize).unwrap();
            }
            let _ = read(&String::from_utf8_lossy(&bytes));
        }
    }
}
