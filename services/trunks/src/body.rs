//! What bodies may say, and how facts are shown and stored.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchboard::route::{
    Change, DIGITS_MAX, DIGITS_MIN, DialPlan, Number, Pattern, Route, Rung, Trunk,
};

use crate::Refused;

/// Longest name of a trunk or route. Units: octets.
pub const NAME_MAX: usize = 64;
/// Longest text of one field. Units: octets.
pub const TEXT_MAX: usize = 256;
/// Longest web address. Units: octets.
pub const URL_MAX: usize = 2_048;
/// Entries of one list.
pub const LIST_MAX: usize = 64;
/// Longest password. Units: octets.
pub const PASSWORD_MAX: usize = 256;

/// The kinds of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    DialPlan,
    Number,
    Route,
    Trunk,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::DialPlan => "dial_plan",
            Self::Number => "number",
            Self::Route => "route",
            Self::Trunk => "trunk",
        }
    }

    /// The change that takes a fact away; a dial plan goes back to its default.
    pub fn gone(self, name: &str) -> Change {
        let name = name.to_owned();
        match self {
            Self::DialPlan => Change::DialPlan(DialPlan::default()),
            Self::Number => Change::Number(name, None),
            Self::Route => Change::Route(name, None),
            Self::Trunk => Change::Trunk(name, None),
        }
    }
}

/// One fact of this room.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    DialPlan(DialPlan),
    Number(Number),
    Route(Box<Route>),
    Trunk(Box<Trunk>),
}

/// The one dial plan's name in the store.
pub const DIAL_PLAN: &str = "default";

impl Fact {
    pub fn kind(&self) -> Kind {
        match self {
            Self::DialPlan(_) => Kind::DialPlan,
            Self::Number(_) => Kind::Number,
            Self::Route(_) => Kind::Route,
            Self::Trunk(_) => Kind::Trunk,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::DialPlan(_) => DIAL_PLAN,
            Self::Number(number) => &number.number,
            Self::Route(route) => &route.name,
            Self::Trunk(trunk) => &trunk.name,
        }
    }

    pub fn change(self) -> Change {
        match self {
            Self::DialPlan(plan) => Change::DialPlan(plan),
            Self::Number(number) => Change::Number(number.number.clone(), Some(number)),
            Self::Route(route) => Change::Route(route.name.clone(), Some(route)),
            Self::Trunk(trunk) => Change::Trunk(trunk.name.clone(), Some(trunk)),
        }
    }

    /// As the API shows it. A password is never shown, sealed or not.
    pub fn shown(&self) -> Value {
        match self {
            Self::DialPlan(plan) => json!(plan),
            Self::Number(number) => json!(number),
            Self::Route(route) => json!(route),
            Self::Trunk(trunk) => {
                let mut value = json!(**trunk);
                if let Some(fields) = value.as_object_mut() {
                    fields.remove("sealed");
                    fields.insert("has_password".into(), (!trunk.sealed.is_empty()).into());
                }
                value
            }
        }
    }

    /// JSON for the store, and what stands beside it.
    pub fn stored(&self) -> (String, Vec<u8>) {
        match self {
            Self::Trunk(trunk) => {
                let plain = Trunk { sealed: Vec::new(), ..(**trunk).clone() };
                (json!(plain).to_string(), trunk.sealed.clone())
            }
            Self::DialPlan(_) | Self::Number(_) | Self::Route(_) => {
                (self.shown().to_string(), Vec::new())
            }
        }
    }

    /// What [`stored`](Self::stored) gave.
    pub fn restore(kind: &str, name: &str, body: &str, sealed: &[u8]) -> Option<Self> {
        let fact = match kind {
            "dial_plan" => Self::DialPlan(serde_json::from_str(body).ok()?),
            "number" => Self::Number(serde_json::from_str(body).ok()?),
            "route" => Self::Route(serde_json::from_str(body).ok()?),
            "trunk" => {
                let trunk: Trunk = serde_json::from_str(body).ok()?;
                Self::Trunk(Box::new(Trunk { sealed: sealed.to_vec(), ..trunk }))
            }
            _ => return None,
        };
        (fact.name() == name).then_some(fact)
    }
}

/// A trunk of this name; with it the password, if one was given.
pub fn trunk(name: &str, bytes: &[u8]) -> Result<(Trunk, Option<String>), Refused> {
    let name = plain_name(name)?;
    let mut value: Value = json_of(bytes)?;
    let password = match value.as_object_mut().and_then(|fields| fields.remove("password")) {
        None | Some(Value::Null) => None,
        Some(Value::String(text))
            if text.len() <= PASSWORD_MAX && !text.contains(char::is_control) =>
        {
            Some(text)
        }
        Some(_) => return Err(Refused::malformed("password", "at most 256 octets of text")),
    };
    only(&value, &["name", "sealed"])?;
    let trunk: Trunk = from_value(value)?;
    let trunk = Trunk { name: name.to_owned(), ..trunk };
    let host = trunk.host();
    let place = |text: &str| {
        let letter = |octet: u8| octet.is_ascii_alphanumeric() || b".-:[];=".contains(&octet);
        !text.is_empty() && text.len() <= TEXT_MAX && text.bytes().all(letter)
    };
    if !place(&trunk.server) || host.is_empty() {
        return Err(Refused::malformed("server", "HOST, HOST:PORT or HOST:PORT;transport=tcp"));
    }
    if crate::watch::place_of(&trunk.server).is_none() {
        return Err(Refused::malformed(
            "server",
            "a host, a port from 1 to 65535, transport udp, tcp or tls",
        ));
    }
    if trunk.register && trunk.user.is_empty() {
        return Err(Refused::malformed("user", "the name under which to register"));
    }
    texts("user", [&trunk.user, &trunk.identity, &trunk.from_domain])?;
    if !trunk.from_domain.is_empty() && !place(&trunk.from_domain) {
        return Err(Refused::malformed("from_domain", "a host name"));
    }
    if !trunk.identity.is_empty() && !is_e164(&trunk.identity) {
        return Err(Refused::malformed("identity", E164));
    }
    patterns("identities", &trunk.identities)?;
    if trunk.sources.len() > LIST_MAX {
        return Err(Refused::malformed("sources", "at most 64 addresses"));
    }
    Ok((trunk, password))
}

/// A number and what it does.
pub fn number(name: &str, bytes: &[u8]) -> Result<Number, Refused> {
    if !is_e164(name) {
        return Err(Refused::malformed("number", E164));
    }
    let value: Value = json_of(bytes)?;
    only(&value, &["number"])?;
    let number: Number = from_value(value)?;
    let number = Number { number: name.to_owned(), ..number };
    rings(&number.rings)?;
    for (field, url) in [
        ("voice_url", &number.voice_url),
        ("voice_fallback_url", &number.voice_fallback_url),
        ("status_callback", &number.status_callback),
    ] {
        let web = ["http://", "https://", "ws://", "wss://"].iter().any(|way| url.starts_with(way));
        if !url.is_empty()
            && (!web || url.len() > URL_MAX || !url.bytes().all(|octet| octet.is_ascii_graphic()))
        {
            return Err(Refused::malformed(
                field,
                "an address of http, https, ws or wss without spaces",
            ));
        }
    }
    if !matches!(number.voice_method.as_str(), "" | "GET" | "POST") {
        return Err(Refused::malformed("voice_method", "GET or POST"));
    }
    if number.rings.is_empty() == number.voice_url.is_empty() {
        return Err(Refused::malformed("rings", "either rings or voice_url"));
    }
    Ok(number)
}

/// A route of this name.
pub fn route(name: &str, bytes: &[u8]) -> Result<Route, Refused> {
    // People read these names in ladders: words may stand apart.
    if name.is_empty() || name.len() > NAME_MAX || name.contains(char::is_control) {
        return Err(Refused::malformed("name", "1 to 64 octets of text"));
    }
    let value: Value = json_of(bytes)?;
    only(&value, &["name"])?;
    let route: Route = from_value(value)?;
    let route = Route { name: name.to_owned(), ..route };
    let origin = |text: &String| {
        matches!(text.as_str(), "strangers" | "trunks" | "users")
            || ["trunk/", "user/"]
                .iter()
                .any(|kind| text.strip_prefix(kind).is_some_and(|name| plain_name(name).is_ok()))
    };
    if route.from.len() > LIST_MAX || !route.from.iter().all(origin) {
        return Err(Refused::malformed(
            "from",
            "users, trunks, strangers, user/NAME or trunk/NAME",
        ));
    }
    patterns("to", &route.to)?;
    rings(&route.rings)?;
    if route.ways.len() > LIST_MAX || !route.ways.iter().all(|way| plain_name(&way.trunk).is_ok()) {
        return Err(Refused::malformed("trunks", "at most 64, each with the name of a trunk"));
    }
    texts("prefix", [&route.prefix])?;
    if let Some((field, wants)) = route.when.as_ref().and_then(|when| when.fault()) {
        return Err(Refused::malformed(field, wants));
    }
    if route.reject.is_some_and(|status| !(400..=699).contains(&status)) {
        return Err(Refused::malformed("reject", "a SIP status from 400 to 699"));
    }
    let does = [!route.rings.is_empty(), !route.ways.is_empty(), route.reject.is_some()];
    if does.into_iter().filter(|it| *it).count() != 1 {
        return Err(Refused::malformed("rings", "exactly one of rings, trunks and reject"));
    }
    Ok(route)
}

/// The dial plan.
pub fn dial_plan(bytes: &[u8]) -> Result<DialPlan, Refused> {
    let plan: DialPlan = from_value(json_of(bytes)?)?;
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if plan.country.len() > 3 || !digits(&plan.country) || plan.country.starts_with('0') {
        return Err(Refused::malformed("country", "a country code such as 49, without +"));
    }
    if plan.national_prefix.len() > 4 || !digits(&plan.national_prefix) {
        return Err(Refused::malformed("national_prefix", "at most 4 digits"));
    }
    let prefix = |text: &String| (1..=6).contains(&text.len()) && digits(text);
    if plan.international_prefixes.len() > LIST_MAX
        || !plan.international_prefixes.iter().all(prefix)
    {
        return Err(Refused::malformed(
            "international_prefixes",
            "at most 64, each of 1 to 6 digits",
        ));
    }
    if plan.emergency.len() > LIST_MAX || !plan.emergency.iter().all(prefix) {
        return Err(Refused::malformed("emergency", "at most 64 numbers of 1 to 6 digits"));
    }
    let rule = |rule: &switchboard::route::Rule| {
        rule.dialled.0.len() <= TEXT_MAX
            && rule.prefix.len() <= 32
            && rule.prefix.bytes().all(|octet| octet.is_ascii_digit() || b"+*#".contains(&octet))
    };
    if plan.rules.len() > LIST_MAX || !plan.rules.iter().all(rule) {
        return Err(Refused::malformed("rules", "at most 64, with a prefix of digits"));
    }
    Ok(plan)
}

const E164: &str = "a number such as +15550100: a + and 5 to 15 digits";

pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|octet| octet.is_ascii_digit())
    })
}

fn plain_name(text: &str) -> Result<&str, Refused> {
    let letter = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.+~".contains(&octet);
    if !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(letter) {
        return Ok(text);
    }
    Err(Refused::malformed("name", "1 to 64 letters, digits and -_.+~"))
}

fn rings(rings: &[Rung]) -> Result<(), Refused> {
    let named = |rung: &Rung| match rung {
        Rung::Group(name) | Rung::User(name) => plain_name(name).is_ok(),
    };
    if rings.len() <= LIST_MAX && rings.iter().all(named) {
        return Ok(());
    }
    Err(Refused::malformed("rings", "at most 64 of user/NAME and group/NAME"))
}

fn patterns(field: &str, patterns: &[Pattern]) -> Result<(), Refused> {
    let plain = |pattern: &Pattern| {
        (1..=TEXT_MAX).contains(&pattern.0.len())
            && pattern.0.bytes().all(|octet| octet.is_ascii_graphic())
    };
    if patterns.len() <= LIST_MAX && patterns.iter().all(plain) {
        return Ok(());
    }
    Err(Refused::malformed(field, "at most 64 numbers, with ? for one letter and * for a tail"))
}

fn texts<'a>(field: &str, texts: impl IntoIterator<Item = &'a String>) -> Result<(), Refused> {
    let plain = |text: &String| {
        text.len() <= TEXT_MAX
            && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>\"".contains(&octet))
    };
    if texts.into_iter().all(plain) {
        return Ok(());
    }
    Err(Refused::malformed(field, "at most 256 printable ASCII characters"))
}

/// Fields that stand in the path or are nobody's to set.
fn only(value: &Value, forbidden: &[&str]) -> Result<(), Refused> {
    for field in forbidden {
        if value.get(field).is_some() {
            return Err(Refused::malformed(field, "nothing: it is not set by the body"));
        }
    }
    Ok(())
}

fn json_of(bytes: &[u8]) -> Result<Value, Refused> {
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Refused::malformed("body", "a JSON object")),
        Err(why) => Err(Refused::malformed("body", &format!("JSON ({why})"))),
    }
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    // The password is out already: nothing in these words is a secret.
    serde_json::from_value(value).map_err(|why| Refused::malformed("body", &why.to_string()))
}
