//! Addresses of apps: taken apart, put together, resolved against each other.
//!
//! Spec: RFC 3986 §3, §5.2

/// Octets of an address.
pub const ADDRESS_MAX: usize = 4 * 1024;

/// An address of http or https, or of a web socket of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http`, `https`, `ws` or `wss`.
    pub scheme: String,
    /// User, host and port as written.
    pub authority: String,
    /// Begins with a slash.
    pub path: String,
    /// What follows the question mark.
    pub query: Option<String>,
    /// What follows the number sign: how to ask, never sent.
    pub fragment: String,
}

impl Address {
    /// Reads a whole address.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"');
        if text.len() > ADDRESS_MAX || text.contains(odd) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // A host with an underscore is none.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if !matches!(scheme.as_str(), "http" | "https" | "ws" | "wss")
            || host.is_empty()
            || !host.chars().all(fits)
        {
            return None;
        }
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Some(Self {
            scheme,
            authority: authority.to_owned(),
            path,
            query,
            fragment: fragment.to_owned(),
        })
    }

    /// What a reference means in a document that stands here; an empty one is the document itself.
    pub fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim();
        let (bare, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let scheme = bare.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| scheme.bytes().all(|octet| octet.is_ascii_alphabetic())) {
            return Self::parse(reference);
        }
        if let Some(rest) = bare.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}#{fragment}", self.scheme));
        }
        if reference.is_empty() {
            return Some(self.clone());
        }
        let (path, query) = match bare.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (bare, None),
        };
        let (path, query) = match (path, query) {
            ("", None) => (self.path.clone(), self.query.clone()),
            ("", Some(query)) => (self.path.clone(), Some(query.to_owned())),
            (path, query) => {
                let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let whole = match path.strip_prefix('/') {
                    Some(_) => path.to_owned(),
                    None => format!("{folder}/{path}"),
                };
                (without_dots(&whole), query.map(str::to_owned))
            }
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Self::parse(&format!("{}://{}{path}{query}#{fragment}", self.scheme, self.authority))
    }

    /// As it is asked: without what stands behind the number sign.
    pub fn sent(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}://{}{}{query}", self.scheme, self.authority, self.path)
    }

    /// Whole, as it was written.
    pub fn text(&self) -> String {
        match self.fragment.as_str() {
            "" => self.sent(),
            fragment => format!("{}#{fragment}", self.sent()),
        }
    }

    /// Whether it is asked over a web socket.
    pub fn is_socket(&self) -> bool {
        matches!(&*self.scheme, "ws" | "wss")
    }

    /// Where the socket of its app is: what stands behind the question mark names a question, not an app.
    pub fn app(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path)
    }

    /// Where the same host has files, which no socket gives.
    pub fn of_files(mut self) -> Self {
        let plain = match &*self.scheme {
            "ws" => Some("http"),
            "wss" => Some("https"),
            _ => None,
        };
        if let Some(plain) = plain {
            self.scheme = plain.to_owned();
        }
        self
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// Host and port, without one that follows from the scheme.
    pub fn host(&self) -> String {
        let host = self.authority.rsplit_once('@').map_or(&*self.authority, |(_, host)| host);
        let default = if matches!(&*self.scheme, "https" | "wss") { ":443" } else { ":80" };
        host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase()
    }
}

/// Spec: RFC 3986 §5.2.4
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." && out.len() > 1 {
                    out.pop();
                }
                if last {
                    out.push("");
                }
            }
            part => out.push(part),
        }
    }
    let path = out.join("/");
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// As a value of a form.
///
/// Spec: URL Standard, application/x-www-form-urlencoded
pub fn form(pairs: &[(String, String)]) -> String {
    let part = |text: &str| -> String {
        let mut out = String::new();
        for octet in text.bytes() {
            match octet {
                b' ' => out.push('+'),
                b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                    out.push(char::from(octet));
                }
                _ => out.push_str(&format!("%{octet:02X}")),
            }
        }
        out
    };
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", part(name), part(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved() {
        let base = Address::parse("HTTP://u:p@Example.com:80/a/b/c.xml?x=1#rc=2").unwrap();
        assert_eq!((base.host().as_str(), base.fragment.as_str()), ("example.com", "rc=2"));
        for (reference, expected) in [
            ("", "http://u:p@Example.com:80/a/b/c.xml?x=1#rc=2"),
            ("d", "http://u:p@Example.com:80/a/b/d"),
            ("d?y=2#ct=100", "http://u:p@Example.com:80/a/b/d?y=2#ct=100"),
            ("/d", "http://u:p@Example.com:80/d"),
            ("../d", "http://u:p@Example.com:80/a/d"),
            ("../../../d/", "http://u:p@Example.com:80/d/"),
            ("./", "http://u:p@Example.com:80/a/b/"),
            ("?y=2", "http://u:p@Example.com:80/a/b/c.xml?y=2"),
            ("#rt=100", "http://u:p@Example.com:80/a/b/c.xml?x=1#rt=100"),
            ("//other.example/x", "http://other.example/x"),
            ("https://other.example", "https://other.example/"),
            ("d?u=http://x.example/", "http://u:p@Example.com:80/a/b/d?u=http://x.example/"),
        ] {
            let found = base.join(reference).map(|found| found.text());
            assert_eq!(found.as_deref(), Some(expected), "{reference}");
        }
        for odd in ["", "/x", "ftp://a/", "http://", "http://a b/", "http://a_b/", "mailto:x"] {
            assert_eq!(Address::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        let pairs = [("a b".to_owned(), "+1 (5)".to_owned()), ("ü".to_owned(), String::new())];
        assert_eq!(form(&pairs), "a+b=%2B1+%285%29&%C3%BC=");
    }
}
