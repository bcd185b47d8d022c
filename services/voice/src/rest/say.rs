//! Answers of the API: resources, lists and errors, as JSON or XML.
//!
//! Spec: programmable-voice §6.3

use serde_json::{Map, Value, json};
use switchboard::ApiResponse;

use super::ask::{Ask, Form};

/// Rows of a page unless the app says otherwise.
pub const PAGE: usize = 50;
/// Rows of a page at most.
pub const PAGE_MAX: usize = 1_000;

/// A refusal as apps of the vendor's cloud know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No {
    /// HTTP status.
    pub status: u16,
    /// The vendor's number.
    pub code: u32,
    /// For people: what was tried, and what would mend it.
    pub message: String,
}

impl No {
    /// With this status, number and message.
    pub fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// There is no such thing.
    pub fn missing(what: &str) -> Self {
        Self::new(404, 20404, format!("The requested resource {what} was not found"))
    }

    /// A parameter that cannot be obeyed.
    pub fn invalid(code: u32, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Something of the vendor's that is not offered here.
    pub fn not_offered(what: &str) -> Self {
        let words = format!("{what} is not offered by this server; docs/apps.md says what is");
        Self::new(404, 20404, words)
    }

    /// As it goes out.
    pub fn answer(&self, form: Form) -> ApiResponse {
        let more = format!("https://www.twilio.com/docs/errors/{}", self.code);
        match form {
            Form::Json => ApiResponse::json(
                self.status,
                &json!({"code": self.code, "message": self.message, "more_info": more, "status": self.status}),
            ),
            Form::Xml => xml(
                self.status,
                &format!(
                    "<RestException><Code>{}</Code><Message>{}</Message><MoreInfo>{more}</MoreInfo><Status>{}</Status></RestException>",
                    self.code,
                    escape(&self.message),
                    self.status
                ),
            ),
        }
    }
}

/// A problem of the house, for apps.
pub fn reword(path: &[String], problem: ApiResponse) -> ApiResponse {
    let told: Value = serde_json::from_slice(&problem.body).unwrap_or_default();
    let code = match problem.status {
        401 => 20003,
        403 => 20003,
        404 => 20404,
        405 => 20004,
        409 => 20409,
        413 => 20413,
        429 => 20429,
        503 | 504 => 20503,
        status if status >= 500 => 20500,
        _ => 20001,
    };
    let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let message = match problem.status {
        401 => "Authenticate: the account's sid and its token, by HTTP Basic".to_owned(),
        _ => format!("{}: {}", word("title"), word("fix")),
    };
    let form = match path.last() {
        Some(last) if last.ends_with(".json") => Form::Json,
        Some(_) | None => Form::Xml,
    };
    let mut answer = No::new(problem.status, code, message).answer(form);
    answer.headers = problem.headers;
    answer
}

/// One resource; `name`: how its element is called.
pub fn one(status: u16, name: &str, value: &Value, form: Form) -> ApiResponse {
    match form {
        Form::Json => ApiResponse::json(status, value),
        Form::Xml => xml(status, &element(name, value)),
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows.
    pub size: usize,
    /// Which page it is.
    pub number: usize,
    /// What stands before it ends with this.
    pub after: String,
}

impl Page {
    /// Reads it from a request.
    pub fn of(ask: &Ask) -> Result<Self, No> {
        let number = |name: &str| match ask.text(name) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                No::invalid(20001, format!("{name} is {text}, and should be a number"))
            }),
        };
        let size = number("PageSize")?.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&size) {
            let words = format!("PageSize is {size}, and should be from 1 to {PAGE_MAX}");
            return Err(No::invalid(20007, words));
        }
        let token = ask.text("PageToken").unwrap_or_default();
        let after = token.strip_prefix("PA").unwrap_or_default();
        if !token.is_empty() && after.is_empty() {
            return Err(No::invalid(
                20001,
                "PageToken is none of ours: take next_page_uri as it is",
            ));
        }
        Ok(Self { size, number: number("Page")?.unwrap_or(0), after: after.to_owned() })
    }
}

/// What a list is called.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The key of JSON.
    pub key: &'static str,
    /// The element of one of them.
    pub one: &'static str,
}

/// A page of a list. `more`: the mark of the last row, when there are more behind it.
///
/// Spec: programmable-voice §6.3 (List)
pub fn list(
    ask: &Ask,
    named: Named,
    page: &Page,
    rows: Vec<Value>,
    more: Option<&str>,
) -> ApiResponse {
    let base = base(ask);
    let kept = |name: &str| !matches!(name, "Page" | "PageSize" | "PageToken");
    let kept: Vec<_> = ask.parameters.iter().filter(|(name, _)| kept(name)).cloned().collect();
    let uri = |number: usize, token: Option<&str>| {
        let mut pairs = kept.clone();
        pairs.push(("PageSize".to_owned(), page.size.to_string()));
        pairs.push(("Page".to_owned(), number.to_string()));
        pairs.extend(token.map(|token| ("PageToken".to_owned(), format!("PA{token}"))));
        format!("{base}?{}", crate::address::form(&pairs))
    };
    let own = uri(page.number, Some(&*page.after).filter(|after| !after.is_empty()));
    let next = more.map(|mark| uri(page.number + 1, Some(mark)));
    // Pages are walked forwards: a mark says what lies behind it, not before.
    let previous = (page.number == 1).then(|| uri(0, None));
    let start = page.number * page.size;
    let end = start + rows.len().max(1) - 1;
    match ask.form {
        Form::Json => {
            let mut value = json!({
                "page": page.number,
                "page_size": page.size,
                "start": start,
                "end": end,
                "uri": own,
                "first_page_uri": uri(0, None),
                "previous_page_uri": previous,
                "next_page_uri": next,
            });
            value[named.key] = Value::Array(rows);
            ApiResponse::json(200, &value)
        }
        Form::Xml => {
            let rows: String = rows.iter().map(|row| element(named.one, row)).collect();
            let name = camel(named.key);
            let attribute = |name: &str, value: &str| format!(" {name}=\"{}\"", escape(value));
            let head: String = [
                ("page", page.number.to_string()),
                ("pagesize", page.size.to_string()),
                ("start", start.to_string()),
                ("end", end.to_string()),
                ("uri", own),
                ("firstpageuri", uri(0, None)),
                ("previouspageuri", previous.unwrap_or_default()),
                ("nextpageuri", next.unwrap_or_default()),
            ]
            .map(|(name, value)| attribute(name, &value))
            .concat();
            xml(200, &format!("<{name}{head}>{rows}</{name}>"))
        }
    }
}

/// The path of a request, with its suffix.
pub fn base(ask: &Ask) -> String {
    let suffix = if ask.form == Form::Json { ".json" } else { "" };
    format!("/2010-04-01/{}{suffix}", ask.path.join("/"))
}

fn xml(status: u16, inner: &str) -> ApiResponse {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse>{inner}</TwilioResponse>"
    );
    ApiResponse {
        status,
        content_type: "application/xml".to_owned(),
        headers: Vec::new(),
        body: text.into_bytes(),
    }
}

fn element(name: &str, value: &Value) -> String {
    let inner = match value {
        Value::Null => return format!("<{name}/>"),
        Value::Array(items) => items.iter().map(|item| element("Item", item)).collect(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Object(fields) => inside(fields),
        Value::String(text) => escape(text),
    };
    format!("<{name}>{inner}</{name}>")
}

fn inside(fields: &Map<String, Value>) -> String {
    fields.iter().map(|(name, value)| element(&camel(name), value)).collect()
}

/// `date_created` is `DateCreated`.
fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

/// As it stands in an attribute or between elements.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(letter),
            // XML has no way to write these.
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: Named = Named { key: "calls", one: "Call" };

    fn ask(form: Form) -> Ask {
        let path = ["Accounts", "AC1", "Calls"].map(str::to_owned).to_vec();
        let parameters =
            vec![("To".to_owned(), "+1".to_owned()), ("Page".to_owned(), "1".to_owned())];
        Ask { method: "GET", form, path, parameters, ..Ask::default() }
    }

    #[test]
    fn pages_lead_to_pages() {
        let page = Page { size: 2, number: 1, after: "9_CA1".to_owned() };
        let rows = vec![json!({"sid": "CA2"}), json!({"sid": "CA3"})];
        let answer = list(&ask(Form::Json), CALLS, &page, rows.clone(), Some("7_CA3"));
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((&value["start"], &value["end"]), (&json!(2), &json!(3)));
        let base = "/2010-04-01/Accounts/AC1/Calls.json?To=%2B1&PageSize=2";
        assert_eq!(value["next_page_uri"], format!("{base}&Page=2&PageToken=PA7_CA3"));
        assert_eq!(value["previous_page_uri"], format!("{base}&Page=0"));
        let meta = [
            "end",
            "first_page_uri",
            "next_page_uri",
            "page",
            "page_size",
            "previous_page_uri",
            "start",
            "uri",
        ];
        let others: Vec<_> =
            value.as_object().unwrap().keys().filter(|key| !meta.contains(&key.as_str())).collect();
        assert_eq!(others, ["calls"]);
        let answer = list(&ask(Form::Xml), CALLS, &page, rows, None);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            text.contains("<Calls page=\"1\" pagesize=\"2\"") && text.contains("nextpageuri=\"\""),
            "{text}"
        );
        assert!(text.contains("<Call><Sid>CA2</Sid></Call>"), "{text}");
        let mut odd = ask(Form::Json);
        odd.parameters.push(("PageSize".to_owned(), "1001".to_owned()));
        assert_eq!(Page::of(&odd).unwrap_err().code, 20007);
    }

    #[test]
    fn errors_have_their_four_fields() {
        let no = No::invalid(21201, "No <To>");
        let value: Value = serde_json::from_slice(&no.answer(Form::Json).body).unwrap();
        let more = "https://www.twilio.com/docs/errors/21201";
        assert_eq!(
            value,
            json!({"code": 21201, "message": "No <To>", "more_info": more, "status": 400})
        );
        let text = String::from_utf8(no.answer(Form::Xml).body).unwrap();
        assert!(text.contains("<Message>No &lt;To&gt;</Message>"), "{text}");
        let problem = ApiResponse::json(401, &json!({"title": "x", "fix": "y"}));
        let path = ["Accounts".to_owned(), "AC1.json".to_owned()];
        let value: Value = serde_json::from_slice(&reword(&path, problem).body).unwrap();
        assert_eq!((&value["code"], &value["status"]), (&json!(20003), &json!(401)));
    }

    #[test]
    fn trees_become_elements() {
        let value = json!({"date_created": null, "muted": true, "subresource_uris": {"call_events": "/a?b&c"}});
        let text = String::from_utf8(one(200, "Call", &value, Form::Xml).body).unwrap();
        for part in [
            "<DateCreated/>",
            "<Muted>true</Muted>",
            "<SubresourceUris><CallEvents>/a?b&amp;c</CallEvents></SubresourceUris>",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
