//! What an app asks of the API, taken apart: which resource, in which form, with which parameters.
//!
//! Spec: programmable-voice §6.2, §6.3

use switchboard::ApiRequest;
use types::UnixTime;

/// Parameters of one request; the rest is not read.
pub const PARAMETERS_MAX: usize = 256;
/// Octets of one parameter: a document by itself is the longest.
pub const PARAMETER_MAX: usize = 64 << 10;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// With the suffix `.json`.
    #[default]
    Json,
    /// Without a suffix, or with `.xml`.
    Xml,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Names the answer.
    pub id: u64,
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    pub form: Form,
    /// The parts of the path behind the version, the last one without its suffix.
    pub path: Vec<String>,
    /// The suffix of a file: `wav` or `mp3`; else empty.
    pub file: &'static str,
    /// Of the query, and of the form.
    pub parameters: Vec<(String, String)>,
}

impl Ask {
    /// Reads a request of the API.
    pub fn read(request: &ApiRequest, method: &'static str) -> Self {
        let mut path = request.path.clone();
        let (form, file) = path.last_mut().map(suffix).unwrap_or_default();
        let mut parameters = request.query.clone();
        if method == "POST" {
            parameters.extend(pairs(&request.body));
        }
        parameters.truncate(PARAMETERS_MAX);
        Self { id: request.id, method, form, path, file, parameters }
    }

    /// A parameter; one that is there and empty is `Some`.
    pub fn given(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter with something in it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// All values of a repeated parameter; words between blanks count as several.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.parameters.iter().filter(|(known, _)| known == name);
        values.flat_map(|(_, value)| value.split_whitespace()).collect()
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).map(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The part of the path at this place.
    pub fn part(&self, place: usize) -> &str {
        self.path.get(place).map_or("", String::as_str)
    }

    /// From when until when (not included) a date may be, of a parameter with `<` or `>` behind its name. Whole days
    /// are meant where no time is given.
    pub fn span(&self, name: &str) -> (UnixTime, UnixTime) {
        let (mut from, mut until) = (UnixTime(0), UnixTime(i64::MAX as u64));
        let at = |name: String| self.text(&name).and_then(moment);
        if let Some((begin, end)) = at(name.to_owned()) {
            (from, until) = (begin, end);
        }
        if let Some((begin, _)) = at(format!("{name}>")) {
            from = from.max(begin);
        }
        if let Some((_, end)) = at(format!("{name}<")) {
            until = until.min(end);
        }
        (from, until)
    }
}

/// Takes the suffix off the last part.
fn suffix(last: &mut String) -> (Form, &'static str) {
    let known = [
        (".json", Form::Json, ""),
        (".xml", Form::Xml, ""),
        (".wav", Form::Xml, "wav"),
        (".mp3", Form::Xml, "mp3"),
    ];
    for (end, form, file) in known {
        if let Some(bare) = last.strip_suffix(end) {
            *last = bare.to_owned();
            return (form, file);
        }
    }
    (Form::Xml, "")
}

/// A day, or a moment of it: where it begins and where it ends.
fn moment(text: &str) -> Option<(UnixTime, UnixTime)> {
    const DAY: u64 = 86_400_000_000;
    if text.len() == 10 {
        let begin = UnixTime::parse(&format!("{text}T00:00:00Z"))?;
        return Some((begin, UnixTime(begin.0 + DAY)));
    }
    let begin = UnixTime::parse(text)?;
    Some((begin, UnixTime(begin.0 + 1)))
}

/// The pairs of a form; those that cannot be read are left out.
///
/// Spec: URL Standard, application/x-www-form-urlencoded
pub fn pairs(body: &[u8]) -> Vec<(String, String)> {
    let pairs = body.split(|octet| *octet == b'&').filter(|pair| !pair.is_empty());
    let read = |pair: &[u8]| {
        let end = pair.iter().position(|octet| *octet == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(end)?;
        let value = value.get(1..).unwrap_or_default();
        if value.len() > PARAMETER_MAX * 3 {
            return None;
        }
        let value = plain(value)?;
        (value.len() <= PARAMETER_MAX).then_some((plain(name)?, value))
    };
    pairs.take(PARAMETERS_MAX).filter_map(read).collect()
}

fn plain(raw: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut octets = raw.iter();
    let digit = |octet: Option<&u8>| char::from(*octet?).to_digit(16);
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'+' => b' ',
            b'%' => u8::try_from(digit(octets.next())? << 4 | digit(octets.next())?).ok()?,
            other => *other,
        });
    }
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &[&str], method: &'static str, body: &str) -> Ask {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        let query = vec![("StartTime>".to_owned(), "2026-11-22".to_owned())];
        let body = body.as_bytes().to_vec();
        Ask::read(&ApiRequest { path, query, body, ..ApiRequest::default() }, method)
    }

    #[test]
    fn paths_and_parameters() {
        let asked = ask(
            &["Accounts", "AC1", "Calls.json"],
            "POST",
            "To=%2B1555&Url=http%3A%2F%2Fa%2F%3Fb%3Dc&StatusCallbackEvent=initiated&StatusCallbackEvent=answered&A=%z&B",
        );
        assert_eq!((asked.part(2), asked.form), ("Calls", Form::Json));
        assert_eq!((asked.text("To"), asked.text("Url")), (Some("+1555"), Some("http://a/?b=c")));
        assert_eq!(asked.all("StatusCallbackEvent"), ["initiated", "answered"]);
        assert_eq!((asked.given("A"), asked.given("B"), asked.text("B")), (None, Some(""), None));
        let asked = ask(&["Accounts", "AC1", "Recordings", "RE1.wav"], "GET", "To=x");
        assert_eq!((asked.part(3), asked.file, asked.text("To")), ("RE1", "wav", None));
        let (from, until) = asked.span("StartTime");
        assert_eq!(from.to_string(), "2026-11-22T00:00:00.000Z");
        assert!(until.0 > from.0);
        let day =
            Ask { parameters: vec![("D".to_owned(), "2026-11-22".to_owned())], ..Ask::default() };
        let (from, until) = day.span("D");
        assert_eq!(until.0 - from.0, 86_400_000_000);
    }

    #[test]
    fn hostile_forms_never_panic() {
        let good =
            b"To=%2B1555&Url=http%3A%2F%2Fa%2F%3Fb%3Dc&StatusCallbackEvent=initiated&&=&x=%C3%BC";
        let mut rng = types::Rng::from_number(21);
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=rng.below(6) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            for (name, value) in pairs(&bytes) {
                assert!(!name.contains('\0') && !value.contains('\0'));
            }
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = (moment(text), suffix(&mut text.to_owned()));
            }
        }
    }
}
