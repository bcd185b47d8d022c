//! What an app left with a call to be told again: kept by the call, sent to the same origin only, gone with the call.
//!
//! Limits      [`COOKIES_MAX`] of a call, [`COOKIE_MAX`] octets each; the oldest gives way, a longer one is left out.
//! Spec        RFC 6265 §5; a cookie is its origin's alone, whatever Domain says: a call asks few hosts.

use cookie::Cookie;
use types::{UnixTime, tagged};

use crate::address::Address;

/// Cookies of one call.
pub const COOKIES_MAX: usize = 50;
/// Octets of a cookie, its name with it.
pub const COOKIE_MAX: usize = 4_096;

/// A cookie that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    origin: String,
    path: String,
    name: String,
    value: String,
    secure: bool,
    /// `None`: as long as the call.
    until: Option<UnixTime>,
}

/// The cookies of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jar {
    kept: Vec<Kept>,
}

/// A cookie that cannot be read: its answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Jar {
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes the value of a `Set-Cookie` of this address.
    pub fn take(&mut self, text: &str, from: &Address, unix: UnixTime) -> Result<(), Malformed> {
        if text.contains(char::is_control) {
            return Err(Malformed);
        }
        let cookie = Cookie::parse(text).map_err(|_| Malformed)?;
        let (name, value) =
            (cookie.name().to_owned(), cookie.value_raw().unwrap_or(cookie.value()));
        if name.len() + value.len() > COOKIE_MAX {
            return Ok(());
        }
        let seconds = unix.0 / 1_000_000;
        let until = match (cookie.max_age(), cookie.expires_datetime()) {
            (Some(age), _) => Some(seconds.saturating_add_signed(age.whole_seconds())),
            (None, Some(expires)) => Some(u64::try_from(expires.unix_timestamp()).unwrap_or(0)),
            (None, None) => None,
        };
        let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = if folder.is_empty() { "/" } else { folder };
        let path = cookie.path().filter(|path| path.starts_with('/')).unwrap_or(folder).to_owned();
        let kept = Kept {
            origin: from.origin(),
            path,
            value: value.to_owned(),
            secure: cookie.secure().unwrap_or(false),
            until: until.map(|seconds| UnixTime(seconds.saturating_mul(1_000_000))),
            name,
        };
        let same = |known: &Kept| {
            (&known.origin, &known.path, &known.name) == (&kept.origin, &kept.path, &kept.name)
        };
        self.kept.retain(|known| !same(known));
        if kept.until.is_none_or(|until| until > unix) {
            self.kept.push(kept);
        }
        if self.kept.len() > COOKIES_MAX {
            self.kept.remove(0);
        }
        Ok(())
    }

    /// The value of `Cookie` for a request to this address.
    pub fn give(&self, to: &Address, unix: UnixTime) -> Option<String> {
        let origin = to.origin();
        let fits = |kept: &&Kept| {
            kept.origin == origin
                && (!kept.secure || to.scheme == "https")
                && kept.until.is_none_or(|until| until > unix)
                && path_fits(&kept.path, &to.path)
        };
        let mut found: Vec<&Kept> = self.kept.iter().filter(fits).collect();
        // Those of longer paths first (§5.4); of the same length the older first.
        found.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pairs: Vec<_> =
            found.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// As tagged fields.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        for kept in &self.kept {
            writer.nested(1, |writer| {
                writer.text(1, &kept.origin).text(2, &kept.path).text(3, &kept.name);
                writer.text(4, &kept.value).number(5, kept.secure.into());
                if let Some(until) = kept.until {
                    writer.time(6, until);
                }
            });
        }
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut jar = Self::default();
        for (_, field) in tagged::Reader::new(bytes).filter(|(tag, _)| *tag == 1) {
            let text = |wanted: u8| {
                let mut fields = tagged::Reader::new(field.0);
                let found = fields.find(|(tag, _)| *tag == wanted);
                found.and_then(|(_, field)| field.string()).unwrap_or_default()
            };
            let find = |wanted: u8| {
                tagged::Reader::new(field.0).find(|(tag, _)| *tag == wanted).map(|(_, field)| field)
            };
            jar.kept.push(Kept {
                origin: text(1),
                path: text(2),
                name: text(3),
                value: text(4),
                secure: find(5).and_then(|field| field.number()) == Some(1),
                until: find(6).and_then(|field| field.time()),
            });
        }
        jar
    }
}

/// Spec: RFC 6265 §5.1.4
fn path_fits(kept: &str, asked: &str) -> bool {
    let rest = asked.strip_prefix(kept);
    rest.is_some_and(|rest| rest.is_empty() || kept.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000_000_000);

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn cookies_stay_with_their_origin() {
        let mut jar = Jar::default();
        let app = at("https://app.example/voice/start");
        for text in [
            "a=1; Path=/",
            "b=2",
            "c=3; Max-Age=60; Path=/; Secure",
            "d=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "e=5; Domain=example; HttpOnly; Path=/other",
        ] {
            jar.take(text, &app, NOW).unwrap();
        }
        let later = UnixTime(NOW.0 + 61_000_000);
        for (to, unix, expected) in [
            ("https://app.example/voice/next", NOW, Some("b=2; a=1; c=3")),
            ("https://app.example:443/voice", later, Some("b=2; a=1")),
            ("http://app.example/voices", NOW, None),
            ("https://app.example/other/x", NOW, Some("e=5; a=1; c=3")),
            ("https://example/other", NOW, None),
            ("https://app.example:444/voice/", NOW, None),
        ] {
            assert_eq!(jar.give(&at(to), unix).as_deref(), expected, "{to}");
        }
        let mut writer = tagged::Writer::new();
        jar.encode(&mut writer);
        assert_eq!(Jar::decode(&writer.finish()), jar);
        jar.take("a=; Max-Age=0; Path=/", &app, NOW).unwrap();
        assert_eq!(jar.give(&at("https://app.example/"), NOW).as_deref(), Some("c=3"));
    }

    #[test]
    fn limits() {
        let mut jar = Jar::default();
        let app = at("http://app.example/");
        for odd in ["", "=1", "a", "a=\u{1}"] {
            assert_eq!(jar.take(odd, &app, NOW), Err(Malformed), "{odd:?}");
        }
        jar.take(&format!("long={}", "x".repeat(COOKIE_MAX)), &app, NOW).unwrap();
        assert!(jar.is_empty());
        for number in 0..COOKIES_MAX + 5 {
            jar.take(&format!("c{number}=1"), &app, NOW).unwrap();
        }
        assert_eq!(jar.len(), COOKIES_MAX);
        assert!(jar.give(&app, NOW).unwrap().starts_with("c5=1; "));
    }
}
