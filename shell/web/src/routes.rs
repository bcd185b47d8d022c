//! Paths: taking them apart safely, and finding the endpoint that they mean.

use switchboard::{Access, ApiResponse, Endpoint, Manifest};

use crate::Fault;
use crate::refusal::Refusal;

/// Parts of a path between slashes; more are refused.
const SEGMENTS_MAX: usize = 16;
/// Query parameters; the rest is not read.
const QUERY_MAX: usize = 64;
/// The methods that a manifest may name.
const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];
/// Paths under `/v1` that the edge answers itself.
const OWN: [&str; 3] = ["/v1/events", "/v1/images/", "/v1/media"];

pub struct Routes {
    list: Vec<Route>,
}

pub struct Route {
    pub room: &'static str,
    /// Which row of the room's table.
    pub index: u16,
    pub endpoint: &'static Endpoint,
    segments: Vec<Segment>,
    reword: Option<Reword>,
}

/// How a room puts problems to those who ask for its paths.
pub type Reword = fn(&[String], ApiResponse) -> ApiResponse;

/// Literals come first: they beat values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(&'static str),
    Value,
    /// All parts that are left.
    Tail,
}

pub enum Found<'a> {
    /// The endpoint with the values of its path.
    Endpoint(&'a Route, Vec<String>),
    Nothing,
    /// The path is there, for these methods.
    OtherMethods(String),
}

impl Routes {
    pub fn new(manifests: &[&'static Manifest]) -> Result<Self, Fault> {
        let mut list: Vec<Route> = Vec::new();
        for manifest in manifests {
            for (index, endpoint) in (0..).zip(manifest.endpoints) {
                let route = Route {
                    room: manifest.name,
                    index,
                    endpoint,
                    segments: endpoint.path.split('/').skip(1).map(Segment::new).collect(),
                    reword: manifest.reword.filter(|_| endpoint.access == Access::Account),
                };
                if let Some(why) = wrong(&route, &list) {
                    let (method, path) = (endpoint.method, endpoint.path);
                    return Err(Fault::Route { room: manifest.name, method, path, why });
                }
                list.push(route);
            }
        }
        list.sort_by(|a, b| a.segments.cmp(&b.segments));
        Ok(Self { list })
    }

    /// How problems of this path are put; `None`: as they are.
    pub fn reword(&self, path: &[String]) -> Option<Reword> {
        self.list.iter().find(|route| route.matches(path))?.reword
    }

    pub fn find(&self, method: &str, path: &[String]) -> Found<'_> {
        let mut allow: Vec<&str> = Vec::new();
        for route in self.list.iter().filter(|route| route.matches(path)) {
            if route.endpoint.method == method {
                return Found::Endpoint(route, route.values(path));
            }
            allow.push(route.endpoint.method);
        }
        if allow.is_empty() {
            return Found::Nothing;
        }
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        allow.sort_unstable();
        allow.dedup();
        Found::OtherMethods(allow.join(", "))
    }
}

impl Segment {
    fn new(text: &'static str) -> Self {
        match (text.starts_with('{'), text.ends_with("..}")) {
            (true, true) => Self::Tail,
            (true, false) => Self::Value,
            (false, _) => Self::Literal(text),
        }
    }
}

impl Route {
    fn matches(&self, path: &[String]) -> bool {
        let open = self.segments.last() == Some(&Segment::Tail);
        let long = if open {
            path.len() >= self.segments.len()
        } else {
            path.len() == self.segments.len()
        };
        long && self.segments.iter().zip(path).all(|(segment, given)| match segment {
            Segment::Literal(text) => text == given,
            Segment::Tail | Segment::Value => !given.is_empty(),
        })
    }

    fn values(&self, path: &[String]) -> Vec<String> {
        let pairs = self.segments.iter().zip(path);
        pairs
            .filter(|(segment, _)| **segment == Segment::Value)
            .map(|(_, given)| given.clone())
            .chain(self.tail(path).iter().cloned())
            .collect()
    }

    fn tail<'a>(&self, path: &'a [String]) -> &'a [String] {
        let open = self.segments.last() == Some(&Segment::Tail);
        path.get(self.segments.len() - 1..).filter(|_| open).unwrap_or_default()
    }
}

/// Why a row cannot be served.
fn wrong(route: &Route, others: &[Route]) -> Option<&'static str> {
    let (method, path) = (route.endpoint.method, route.endpoint.path);
    if !METHODS.contains(&method) {
        return Some("has a method that the API does not use");
    }
    if (path.starts_with("/v1/") == (route.endpoint.access == Access::Account))
        || OWN.iter().any(|own| path.starts_with(own))
    {
        return Some("is outside of what rooms may answer");
    }
    let last = route.segments.len().saturating_sub(1);
    if route.segments.iter().take(last).any(|segment| *segment == Segment::Tail) {
        return Some("goes on behind what takes all the rest");
    }
    if route.segments.len() > SEGMENTS_MAX {
        return Some("has too many parts");
    }
    let braces = |segment: &str| {
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.unwrap_or(segment).contains(['{', '}', '%'])
    };
    if path.split('/').skip(1).any(|segment| segment.is_empty() || braces(segment)) {
        return Some("has a part that cannot be matched");
    }
    others
        .iter()
        .any(|other| other.endpoint.method == method && other.segments == route.segments)
        .then_some("is there twice")
}

/// The parts of a path, percent-decoded one by one: what decodes to a slash or to a step is no part.
pub fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let path = path.strip_prefix('/').ok_or(Refusal::BadPath)?;
    let mut parts = Vec::new();
    for raw in path.split('/') {
        let part = decode(raw, false).ok_or(Refusal::BadPath)?;
        let strange = |c: char| c.is_control() || c == '/' || c == '\\';
        if part == "." || part == ".." || part.contains(strange) {
            return Err(Refusal::BadPath);
        }
        parts.push(part);
        if parts.len() > SEGMENTS_MAX {
            return Err(Refusal::NotFound);
        }
    }
    Ok(parts)
}

/// The pairs of a query, form-decoded; pairs that cannot be read are left out.
pub fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .take(QUERY_MAX)
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        })
        .collect()
}

/// `None`: a percent sign without two digits, or not UTF-8.
fn decode(raw: &str, form: bool) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut octets = raw.bytes();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'%' => digit(octets.next()?)? << 4 | digit(octets.next()?)?,
            b'+' if form => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Rng;

    #[test]
    fn parts_are_decoded_one_by_one() {
        let parts = |path| segments(path).unwrap();
        assert_eq!(parts("/v1/users/J%c3%b6rg"), ["v1", "users", "Jörg"]);
        assert_eq!(parts("/v1/numbers/+1555"), ["v1", "numbers", "+1555"]);
        assert_eq!(parts("/"), [""]);
        for path in [
            "/v1/users/..",
            "/v1/users/%2e%2e%2f",
            "/v1/users/%2E",
            "/v1/users/a%2fb",
            "/v1/users/a%5cb",
            "/v1/users/%00",
            "/v1/users/%ff",
            "/v1/users/%4",
            "/v1/users/%zz",
            "/v1/users/%+1",
            "*",
        ] {
            assert_eq!(segments(path), Err(Refusal::BadPath), "{path}");
        }
        assert_eq!(segments(&"/a".repeat(17)), Err(Refusal::NotFound));
    }

    #[test]
    fn queries_are_forms() {
        let pairs = query("a=1+2&b=%2B1&&c&bad=%z&d==");
        let expected = [("a", "1 2"), ("b", "+1"), ("c", ""), ("d", "=")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(query(&"a&".repeat(1_000)).len(), QUERY_MAX);
    }

    #[test]
    fn hostile_paths_never_panic_and_never_climb() {
        let mut rng = Rng::from_number(7);
        let alphabet =
            ["%", "2", "e", "F", "/", ".", "..", "\\", "%2e", "%2f", "é", "\0", "v1", "+", "?"];
        for _ in 0..20_000 {
            let count = rng.next_u64() % 12;
            let mut path = String::from("/");
            for _ in 0..count {
                path.push_str(alphabet[(rng.next_u64() % alphabet.len() as u64) as usize]);
            }
            query(&path);
            if let Ok(parts) = segments(&path) {
                assert!(parts.iter().all(|part| part != ".." && !part.contains(['/', '\\', '\0'])));
            }
        }
    }
}
