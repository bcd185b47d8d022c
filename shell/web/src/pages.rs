//! Pages for people, without a script: the first page, help for every refusal, and a page for programs that read.

use switchboard::{Manifest, RefusalRow};

use crate::Part;

/// `/console.css`
pub const STYLE: &str = include_str!("console.css");
/// `/icon.svg`
pub const ICON: &str = include_str!("icon.svg");

/// `/sign-in.js`
pub const SIGN_IN: &str = include_str!("sign-in.js");

/// What the pages say of this server.
pub struct Pages {
    public: String,
    rows: Vec<&'static RefusalRow>,
    endpoints: Vec<(&'static str, &'static str, &'static str)>,
}

impl Pages {
    pub fn new(manifests: &[&'static Manifest], public: &str) -> Self {
        let rooms = manifests.iter().flat_map(|manifest| manifest.refusals);
        let middle = [
            switchboard::clip::ROWS,
            switchboard::pair::ROWS,
            switchboard::refusal::ROWS,
            switchboard::route::ROWS,
        ];
        let middle = middle.into_iter().flatten();
        let mut rows: Vec<&RefusalRow> = middle.chain(crate::refusal::ROWS).chain(rooms).collect();
        rows.sort_by_key(|row| row.verdict.number);
        let endpoints = manifests.iter().flat_map(|manifest| manifest.endpoints);
        let endpoints = endpoints.map(|one| (one.method, one.path, one.doc)).collect();
        Self { public: public.into(), rows, endpoints }
    }

    /// The first page.
    pub fn console(&self, ready: &[(String, Part)]) -> String {
        let parts: String = ready
            .iter()
            .map(|(name, part)| {
                let (class, word) = match part {
                    Part::Fault(why) => ("bad", why.as_str()),
                    Part::Ready => ("good", "ready"),
                    Part::Unused => ("good", part.word()),
                };
                format!("<li class=\"{class}\"><b>{}</b> {}</li>\n", escape(name), escape(word))
            })
            .collect();
        let state = match ready.iter().any(|(_, part)| !part.is_ready()) {
            true => "<p class=\"state bad\">Not ready yet</p>",
            false => "<p class=\"state good\">Ready</p>",
        };
        let base = if self.public.is_empty() { "$CARILLON_URL" } else { &self.public };
        let calls: String = self
            .endpoints
            .iter()
            .map(|(method, path, doc)| {
                let doc = inline(doc);
                format!(
                    "<tr><td>{method}</td><td><code>{}</code></td><td>{doc}</td></tr>\n",
                    escape(path)
                )
            })
            .collect();
        let body = include_str!("console.html")
            .replace("{state}", state)
            .replace("{parts}", &parts)
            .replace("{version}", env!("CARGO_PKG_VERSION"))
            .replace("{base}", &escape(base))
            .replace("{calls}", &calls);
        page("Carillon", &body)
    }

    /// Where a sign-in link leads: its script sends what stands behind `#k=`; without a script it is pasted.
    pub fn sign_in(&self) -> String {
        page("Sign in", include_str!("sign-in.html"))
    }

    /// All refusals.
    pub fn index(&self) -> String {
        let rows: String = self
            .rows
            .iter()
            .map(|row| {
                let (code, number) = (row.verdict.code, row.verdict.number);
                format!(
                    "<tr><td><a href=\"/help/{code}\">CAR-{number:04}</a></td><td><code>{code}</code></td><td>{}</td></tr>\n",
                    inline(row.sentence)
                )
            })
            .collect();
        page("Help", &format!("<h1>Every refusal</h1>\n<table>\n{rows}</table>\n"))
    }

    /// One refusal, by its code, `CAR-2104` or `2104`.
    pub fn help(&self, asked: &str) -> Option<String> {
        let digits = asked.get(..4).filter(|head| head.eq_ignore_ascii_case("car-"));
        let number = digits.map_or(asked, |_| &asked[4..]).parse::<u16>().ok();
        let row = self.rows.iter().find(|row| {
            Some(row.verdict.number) == number || row.verdict.code.eq_ignore_ascii_case(asked)
        })?;
        let verdict = row.verdict;
        let (number, code) = (verdict.number, verdict.code);
        let body = format!(
            "<p class=\"number\">CAR-{number:04}</p>\n<h1>{}</h1>\n<p><code>{code}</code> · HTTP {} · SIP {}</p>\n\
             <section class=\"fix\"><h2>What to do</h2><p>{}</p></section>\n<h2>What it means</h2>\n{}\
             <p><a href=\"/help\">All refusals</a></p>\n",
            inline(row.sentence),
            verdict.http,
            verdict.sip,
            inline(verdict.fix),
            paragraphs(row.page),
        );
        Some(page(code, &body))
    }

    /// For programs that read before they act.
    pub fn llms(&self) -> String {
        let base = if self.public.is_empty() { "$CARILLON_URL" } else { &self.public };
        let mut out = format!(
            "# Carillon\n\n> A communications server: SIP, push and media behind one HTTP API.\n\n\
             Base: {base}\nLogin: header `Authorization: Bearer $CARILLON_TOKEN` (file .env.carillon in the data folder)\n\
             Bodies are JSON. PUT makes or replaces. Lists are {{\"items\":[...],\"next\":null}}.\n\
             A refusal is application/problem+json with `code` and `fix`; read /help/CODE.\n\n\
             ## Documents\n\n- [Description](/openapi.json): every request, with examples\n\
             - [Messages](/asyncapi.json): what apps of call programs say on a web socket\n\
             - [Refusals](/help): what each code means\n- [Readiness](/readyz): parts of this node\n\n## Requests\n\n"
        );
        for (method, path, doc) in &self.endpoints {
            out.push_str(&format!("- {method} {path}: {doc}\n"));
        }
        out.push_str("- GET /v1/events: server-sent events, CloudEvents JSON, resumable with Last-Event-ID\n");
        out
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <link rel=\"icon\" href=\"/icon.svg\">\n<link rel=\"stylesheet\" href=\"/console.css\">\n</head>\n<body>\n\
         <header><a href=\"/\"><img src=\"/icon.svg\" alt=\"\" width=\"28\" height=\"28\"> Carillon</a>\
         <nav><a href=\"/openapi.json\">API</a> <a href=\"/help\">Help</a> <a href=\"/readyz\">Readiness</a> \
         <a href=\"/metrics\">Metrics</a></nav></header>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// Paragraphs and lists of a help page.
fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let items: Vec<&str> =
            block.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
        if !items.is_empty() && items.len() == block.lines().count() {
            let items: String =
                items.iter().map(|item| format!("<li>{}</li>\n", inline(item))).collect();
            out.push_str(&format!("<ul>\n{items}</ul>\n"));
        } else {
            out.push_str(&format!("<p>{}</p>\n", inline(block)));
        }
    }
    out
}

/// Escaped text in which `words` between backticks are code.
fn inline(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    // An odd backtick at the end is only a backtick.
    let pairs = (parts.len() - 1) / 2 * 2;
    let mut out = String::new();
    for (place, part) in parts.iter().enumerate() {
        match place {
            0 => (),
            _ if place > pairs => out.push('`'),
            _ if place % 2 == 1 => out.push_str("<code>"),
            _ => out.push_str("</code>"),
        }
        out.push_str(part);
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_code_is_marked() {
        assert_eq!(inline("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(inline("a `b` c ` d"), "a <code>b</code> c ` d");
        assert_eq!(paragraphs("a\n\n- b\n- c"), "<p>a</p>\n<ul>\n<li>b</li>\n<li>c</li>\n</ul>\n");
    }

    #[test]
    fn help_is_found_by_each_of_its_names() {
        let pages = Pages::new(&[], "");
        for name in ["web.busy", "WEB.Busy", "CAR-2009", "car-2009", "2009"] {
            assert!(pages.help(name).is_some_and(|page| page.contains("web.busy")), "{name}");
        }
        for name in ["", "CAR-", "car-é", "é", "web", "99999", "<script>"] {
            assert!(pages.help(name).is_none(), "{name}");
        }
    }

    #[test]
    fn hostile_words_stay_words() {
        let parts = [("<img src=x>".to_owned(), Part::Fault("\"'><script>".to_owned()))];
        let page = Pages::new(&[], "http://x/?<b>").console(&parts);
        assert!(
            !page.contains("<script") && !page.contains("<img src=x") && !page.contains("<b>\"")
        );
    }
}
