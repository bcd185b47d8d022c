//! Who calls, and what that means for where the call may go.

use sip::{Message, Name};
use switchboard::group::{Deed, Speaker};
use switchboard::route::{Origin, Question};
use switchboard::{Caller, Effects};

/// Who calls, as the callee may see him.
pub struct Identity {
    pub user: Option<String>,
    pub name: Option<String>,
    pub uri: String,
    /// The number that he shows, or wants to show.
    pub number: Option<String>,
    /// He wants to stay unknown to those outside.
    pub private: bool,
}

impl Identity {
    pub fn header(&self) -> String {
        match &self.name {
            Some(name) => format!("{} <{}>", sip::write::quote(name), self.uri),
            None => format!("<{}>", self.uri),
        }
    }

    /// The group in whose name he calls, if its instructions say so; its number is then the one to show.
    pub fn acting(self, message: &Message<'_>, effects: &Effects<'_>) -> (Self, Option<Speaker>) {
        if effects.directory().groups().is_empty() {
            return (self, None); // Nobody acts for another, and the description need not be read.
        }
        let deed = deed(message);
        let user = self.user.as_deref();
        let speaker = user.and_then(|user| effects.speaker(user, deed, message));
        let number = speaker.as_ref().map(|known| known.number.clone());
        let number = number.filter(|number| !number.is_empty());
        (Self { number: number.or(self.number), ..self }, speaker)
    }

    /// The same caller behind the face of his group: his own name and picture stay here.
    pub fn behind(self, group: Speaker) -> Self {
        let name = Some(group.name).filter(|name| !name.is_empty());
        Self { user: None, name, uri: group.uri, ..self }
    }

    /// The same caller for those who may not know him.
    ///
    /// Spec: RFC 3323 §4.1
    pub fn hidden(self) -> Self {
        Self {
            user: None,
            name: Some("Anonymous".to_owned()),
            uri: "sip:anonymous@anonymous.invalid".to_owned(),
            ..self
        }
    }
}

/// What kind of call an INVITE begins.
pub fn deed(message: &Message<'_>) -> Deed {
    let media = crate::description(message).map(sdp::Session::decode);
    let video = matches!(&media, Some(Ok(session)) if sdp::media_wanted(session).video);
    if video { Deed::Video } else { Deed::Call }
}

/// A user who proved himself goes out as himself, whatever his From says. A caller who was let in without proof
/// keeps what he claims, but never counts as one of our people. A trunk is believed what its settings allow.
pub fn identity(caller: &Caller, message: &Message<'_>, effects: &Effects<'_>) -> Identity {
    let display =
        message.from().ok().map(|from| from.display_text()).filter(|name| !name.is_empty());
    let private = message.first(Name::Privacy).is_some_and(|value| {
        value.split(|octet| *octet == b';').any(|word| {
            [&b"id"[..], b"user", b"header"].iter().any(|known| word.trim_ascii() == *known)
        })
    });
    let number = wanted_number(message);
    match caller {
        Caller::User(user) => {
            let known = effects.directory().user(user).map(|user| user.display_name.clone());
            Identity {
                name: known.filter(|name| !name.is_empty()).or(display),
                uri: address(user, effects),
                user: Some(user.clone()),
                number,
                private,
            }
        }
        Caller::Claimed(uri) => {
            let claimed = sip::Uri::decode(uri.as_bytes()).ok().filter(|uri| effects.is_ours(uri));
            let user = claimed
                .and_then(|uri| Some(String::from_utf8_lossy(&uri.user_unescaped()?).into_owned()));
            // Without proof a name of ours is worth as much as `sip.require_auth = false` says: on loopback
            // it is believed.
            let known = user.as_deref().and_then(|user| effects.directory().user(user));
            match known {
                Some(user) => Identity {
                    name: Some(user.display_name.clone())
                        .filter(|name| !name.is_empty())
                        .or(display),
                    uri: address(&user.name, effects),
                    user: Some(user.name.clone()),
                    number,
                    private,
                },
                None => Identity { user: None, name: display, uri: plain(uri), number, private },
            }
        }
        Caller::Trunk(name) => from_trunk(name, message, private, effects),
    }
}

/// Header fields of the caller's INVITE that the callee's phone gets: how it shall ring from a trunk that is trusted,
/// how it shall answer from people who proved themselves, where a setting lets them.
///
/// Spec: RFC 3261 §20.4, §20.9, RFC 5373
pub fn extras(
    caller: &Caller,
    message: &Message<'_>,
    config: &crate::Config,
    effects: &Effects<'_>,
) -> Vec<(String, String)> {
    let names: &[Name] = match caller {
        Caller::Trunk(name) => match effects.directory().routing().trunks.get(name) {
            Some(trunk) if trunk.asserts => &[Name::AlertInfo, Name::CallInfo],
            Some(_) | None => &[],
        },
        Caller::User(_) if config.answer_mode => &[Name::AnswerMode, Name::PrivAnswerMode],
        Caller::User(_) | Caller::Claimed(_) => &[],
    };
    let fields = names.iter().flat_map(|name| message.all(*name).map(move |value| (name, value)));
    let fields = fields.map(|(name, value)| {
        let value = sip::write::unfold(value);
        (name.as_str().to_owned(), String::from_utf8_lossy(&value).into_owned())
    });
    fields.collect()
}

/// The caller behind a trunk: by P-Asserted-Identity when the trunk is trusted with it, else by From.
///
/// Spec: RFC 3325 §5
fn from_trunk(name: &str, message: &Message<'_>, private: bool, effects: &Effects<'_>) -> Identity {
    let routing = effects.directory().routing();
    let trunk = routing.trunks.get(name);
    let asserted = trunk
        .filter(|trunk| trunk.asserts)
        .and_then(|_| message.name_addr(Name::PAssertedIdentity).ok());
    let shown = asserted.or_else(|| message.from().ok());
    let uri = shown.and_then(|shown| shown.uri().ok());
    let user =
        uri.and_then(|uri| Some(String::from_utf8_lossy(&uri.user_unescaped()?).into_owned()));
    let format = trunk.map(|trunk| trunk.numbers_format).unwrap_or_default();
    let number = user.map(|user| routing.plan.understand_from(format, &user));
    let number = number.filter(|number| number.international).map(|number| number.text);
    let uri = match (&number, uri) {
        // A number is the same caller whichever carrier brings him.
        (Some(number), _) => address(number, effects),
        (None, Some(uri)) => plain(&String::from_utf8_lossy(uri.bytes())),
        (None, None) => "sip:anonymous@anonymous.invalid".to_owned(),
    };
    let display = shown.map(|shown| shown.display_text()).filter(|name| !name.is_empty());
    Identity { user: None, name: display, uri, number, private }
}

fn address(user: &str, effects: &Effects<'_>) -> String {
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}

fn plain(uri: &str) -> String {
    uri.chars().filter(|letter| !matches!(letter, '<' | '>' | '"')).collect()
}

/// The number that a user's phone asks to show: what it prefers, else what stands in From.
///
/// Spec: RFC 3325 §6
fn wanted_number(message: &Message<'_>) -> Option<String> {
    let preferred = message.name_addr(Name::PPreferredIdentity).ok();
    let shown = preferred.or_else(|| message.from().ok())?;
    let uri = shown.uri().ok()?;
    let user = String::from_utf8_lossy(&uri.user_unescaped()?).into_owned();
    user.starts_with('+').then_some(user)
}

/// The question for the one who decides.
pub fn question(
    caller: &Caller,
    who: &Identity,
    message: &Message<'_>,
    target: &str,
    effects: &mut Effects<'_>,
) -> Question {
    let mut dialled = target.to_owned();
    let origin = match (caller, &who.user) {
        (Caller::Trunk(name), _) => {
            let trunk = effects.directory().routing().trunks.get(name);
            // A carrier where we registered calls our Contact; whom it means stands in To.
            let contact = trunk.is_some_and(|trunk| trunk.register && trunk.user == target);
            let to = message.to().ok().and_then(|to| to.uri().ok());
            let meant = to.and_then(|to| to.user_unescaped()).filter(|_| contact);
            if let Some(meant) = meant {
                dialled = String::from_utf8_lossy(&meant).into_owned();
            }
            Origin::Trunk(name.clone())
        }
        (Caller::User(_) | Caller::Claimed(_), Some(user)) => Origin::User(user.clone()),
        (Caller::User(_) | Caller::Claimed(_), None) => Origin::Stranger,
    };
    let shares = !effects.directory().routing().routes.is_empty();
    let chance = if shares { effects.rng().next_u64() } else { 0 };
    Question { origin, shows: who.number.clone(), dialled, time: effects.unix(), chance }
}
