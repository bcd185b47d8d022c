//! Where each user can be reached now.
//!
//! Picture     REGISTER --proof (switchboard)--> all contacts judged --> bind | unbind --> keeper, fsync --> 200.
//! Rules       All contacts of a request or none. A 200 leaves after the binding is on disk. Datagrams go back to where
//!             they came from unless the contact's address is the sender's own. A device that keeps flows open is
//!             reached by these alone: a flow is the connection or address that its REGISTER came by, so there is no
//!             token that somebody could forge. A push token is never shown.
//! Limits      BINDINGS_MAX per user (`switchboard::directory`), CONTACT_MAX, PATH_MAX, CONTACTS_MAX; expires_min, expires_max.
//! Not here    Proof and limits per source (switchboard), people and devices (people), when a binding is used (ring).
//! Spec        RFC 3261 §10, RFC 3327, RFC 3608, RFC 5626 §6, RFC 5627 §5, RFC 8599 §4 and §5.
#![deny(missing_docs)]

mod config;
mod contact;
pub mod refusal;
pub mod store;

use serde_json::{Value, json};
use sip::{Message, Method, Name};
use switchboard::directory::{BINDINGS_MAX, Binding, Device, Known, Q_MAX};
use switchboard::{
    Access, ApiRequest, ApiResponse, Caller, Effects, Endpoint, Manifest, Notice, RequestId, Scope,
    Service, Session,
};
use types::{Flow, Pii, Refuse, UnixTime};

pub use config::Config;
use contact::{Asked, Wish};
pub use contact::{CONTACT_MAX, PATH_MAX};
pub use refusal::{REFUSALS, Refusal};

/// Contacts of one request.
pub const CONTACTS_MAX: usize = BINDINGS_MAX;

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/v1/bindings",
        doc: "Where the user can be reached now, one item per contact; of all users without `user`.",
        access: Access::Admin,
        scope: Scope::UserQuery("user"),
        body_max: 0,
        request: "",
        response: r#"{"items":[{"user":"1001","contact":"sip:1001@192.0.2.7:5060","transport":"udp","received":"192.0.2.7:5060","until":"2026-01-31T13:00:00.000Z","seen":"2026-01-31T12:00:00.000Z","q":1.0,"instance":"","reg_id":null,"gruu":null,"path":"","user_agent":"phone/1","push":null}],"next":null}"#,
    },
    Endpoint {
        method: "DELETE",
        path: "/v1/bindings",
        doc: "Ends the binding of `user` with this `contact`; without `contact` all of them.",
        access: Access::Admin,
        scope: Scope::UserQuery("user"),
        body_max: 0,
        request: "",
        response: "",
    },
];

static MANIFEST: Manifest = Manifest {
    name: "registrar",
    purpose: "Where each user can be reached now.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: &[],
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    ..Manifest::EMPTY
};

/// See the head of this file. The bindings themselves live in the switchboard's directory.
#[derive(Debug)]
pub struct Room {
    config: Config,
}

impl Room {
    /// A room without state.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    fn register(
        &self,
        request: RequestId,
        message: &Message<'_>,
        flow: Flow,
        caller: &Caller,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let user = user_of(message, caller, effects)?;
        let asked = contact::read(message, flow, &self.config, effects)?;
        if let Asked::Change(wishes) = &asked {
            check_room(&user, wishes, effects)?;
        }
        let order = (message.call_id(), message.cseq().map_or(0, |cseq| cseq.number));
        match asked {
            Asked::Change(wishes) => {
                for wish in &wishes {
                    for known in matching(&user, wish, effects) {
                        in_order(known, order)?;
                    }
                }
                for wish in wishes {
                    apply(&user, wish, effects);
                }
            }
            Asked::Clear => {
                let known = effects.directory().bindings(&user).to_vec();
                for binding in &known {
                    in_order(binding, order)?;
                }
                for binding in known {
                    effects.unbind(&user, &binding, "unregistered");
                }
            }
            Asked::Query => (),
        }
        let headers = self.answer(&user, message, effects);
        effects.count("registrar.registered");
        effects.respond(request, 200, &headers);
        Ok(())
    }

    /// What stands in the 200: every binding with the time it has left, and what of the extensions was used.
    fn answer(
        &self,
        user: &str,
        message: &Message<'_>,
        effects: &mut Effects<'_>,
    ) -> Vec<(Name, String)> {
        let now = effects.unix();
        let gruu = message.has_token(Name::Supported, "gruu");
        let mut headers = Vec::new();
        for binding in effects.directory().bindings(user).to_vec() {
            if binding.until > now {
                headers.push((Name::Contact, contact_value(user, &binding, gruu, effects)));
            }
        }
        if message.has_token(Name::Supported, "path") {
            let paths =
                message.values(Name::Path).map(|path| contact::one_line(path, contact::PATH_MAX));
            headers.extend(paths.map(|path| (Name::Path, path)));
        }
        if !self.config.service_route.is_empty() {
            headers.push((Name::ServiceRoute, self.config.service_route.clone()));
        }
        if contact::uses_outbound(message) {
            headers.push((Name::Require, "outbound".into()));
            let seconds = self.config.flow_timer.0;
            if seconds > 0 {
                headers.push((Name::FlowTimer, seconds.to_string()));
            }
        }
        headers.push((Name::Supported, "gruu, outbound, path".into()));
        for provider in contact::providers(message) {
            headers.push((Name::FeatureCaps, format!("*;+sip.pns=\"{provider}\"")));
        }
        headers
    }

    fn refuse(&self, request: RequestId, refusal: Refusal, effects: &mut Effects<'_>) {
        let more = match refusal {
            Refusal::PathUnsupported => (Name::Require, "path".to_owned()),
            Refusal::TooBrief => (Name::MinExpires, self.config.expires_min.0.to_string()),
            Refusal::ContactIsOurs
            | Refusal::FirstHopLacksOutbound
            | Refusal::Malformed
            | Refusal::NoSuchBinding
            | Refusal::NotYours
            | Refusal::OutOfOrder
            | Refusal::ProviderUnknown
            | Refusal::TooMany => {
                effects.refuse(request, &refusal);
                return;
            }
        };
        effects.count(refusal.verdict().code);
        let warning = Effects::refusal_headers(&refusal).into_iter().map(|(_, value)| value).next();
        let headers = [more, (Name::Warning, warning.unwrap_or_default())];
        effects.respond(request, refusal.verdict().sip, &headers);
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Api(request) => {
                let method = ENDPOINTS.get(usize::from(request.endpoint)).map(|row| row.method);
                match method {
                    Some("DELETE") => delete_bindings(request, effects),
                    Some(_) | None => list_bindings(request, effects),
                }
                true
            }
            Session::Request { request, message, flow, caller }
                if message.method() == Method::Register =>
            {
                if let Err(refusal) = self.register(*request, message, *flow, caller, effects) {
                    self.refuse(*request, refusal, effects);
                }
                true
            }
            Session::Invite { .. } | Session::Opened { .. } | Session::Request { .. } => false,
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::DeviceGone { user, provider, prid } = notice {
            let dead = |binding: &Binding| {
                binding.push.as_ref().is_some_and(|target| {
                    target.provider.name() == provider && target.prid == *prid
                })
            };
            end(user, dead, "token gone", effects);
        }
        if let Notice::FlowFailed { user, contact } = notice {
            let dead = |binding: &Binding| binding.is_outbound() && binding.contact == *contact;
            end(user, dead, "flow gone", effects);
        }
    }
}

/// Ends those of a user's bindings that `dead` names; gives their number.
fn end(user: &str, dead: impl Fn(&Binding) -> bool, why: &str, effects: &mut Effects<'_>) -> usize {
    let known = effects.directory().bindings(user).iter();
    let dead: Vec<_> = known.filter(|binding| dead(binding)).cloned().collect();
    for binding in &dead {
        effects.unbind(user, binding, why);
    }
    dead.len()
}

/// The user of the To header, who must be the one that proved himself.
///
/// Spec: RFC 3261 §10.3 steps 4 and 5
fn user_of(
    message: &Message<'_>,
    caller: &Caller,
    effects: &Effects<'_>,
) -> Result<String, Refusal> {
    let to = message.to().and_then(|to| to.uri()).map_err(|_| Refusal::Malformed)?;
    let name = to.user_unescaped().unwrap_or_default();
    match caller.user() {
        Some(user) if user.as_bytes() == &*name && effects.is_ours(&to) => Ok(user.to_owned()),
        Some(_) | None => Err(Refusal::NotYours),
    }
}

/// Known bindings that a wish replaces or ends.
fn matching<'a>(
    user: &str,
    wish: &Wish,
    effects: &'a Effects<'_>,
) -> impl Iterator<Item = &'a Known> {
    effects.directory().bindings(user).iter().filter(|known| wish.is_about(known))
}

/// Whether the user has room for what he asks.
fn check_room(user: &str, wishes: &[Wish], effects: &Effects<'_>) -> Result<(), Refusal> {
    let (now, known) = (effects.unix(), effects.directory().bindings(user));
    let stays =
        |binding: &&Known| binding.until > now && !wishes.iter().any(|wish| wish.is_about(binding));
    let added = wishes.iter().filter(|wish| wish.lasts()).count();
    let total = known.iter().filter(stays).count() + added;
    if added > 0 && total > BINDINGS_MAX {
        return Err(Refusal::TooMany);
    }
    Ok(())
}

/// An older request of the same phone must not undo a newer one. The same number again is the same request, whose
/// answer was lost together with the process that knew it.
///
/// Spec: RFC 3261 §10.3 step 7
fn in_order(known: &Binding, (call_id, cseq): (&[u8], u32)) -> Result<(), Refusal> {
    if known.call_id.as_bytes() == call_id && cseq < known.cseq {
        return Err(Refusal::OutOfOrder);
    }
    Ok(())
}

fn apply(user: &str, wish: Wish, effects: &mut Effects<'_>) {
    let known: Vec<Known> = matching(user, &wish, effects).cloned().collect();
    let Some(binding) = wish.into_binding() else {
        for known in known {
            effects.unbind(user, &known, "unregistered");
        }
        return;
    };
    // The same contact in another spelling, or with another token.
    for known in known.iter().filter(|known| !known.is_same(&binding)) {
        effects.unbind(user, known, "replaced");
    }
    let push = binding.push.clone();
    effects.bind(user, binding);
    if let Some(target) = push {
        let hash = effects.keys().slots.hash_bytes(target.prid.as_bytes());
        let kind = match target.provider {
            pns::Provider::Apns | pns::Provider::Fcm => "phone",
            pns::Provider::Webpush => "browser",
        };
        let (name, kind) = (format!("reg-{hash:016x}"), kind.to_owned());
        let device = Device { name, kind, target: *target };
        effects.publish(Notice::DeviceSeen { user: user.to_owned(), device });
    }
}

/// One binding as the phone is told of it. `gruu`: with addresses of the device.
///
/// Spec: RFC 3261 §10.3 step 8, RFC 5627 §5.3
fn contact_value(user: &str, binding: &Binding, gruu: bool, effects: &mut Effects<'_>) -> String {
    let left = binding.until.since(effects.unix()).as_micros().div_ceil(1_000_000);
    let mut value = format!("<{}>;expires={left}", binding.contact);
    if binding.q < Q_MAX {
        value.push_str(&format!(";q=0.{:03}", binding.q));
    }
    if binding.instance.is_empty() {
        return value;
    }
    value.push_str(&format!(";+sip.instance={}", sip::write::quote(&binding.instance)));
    if binding.is_outbound() {
        value.push_str(&format!(";reg-id={}", binding.reg_id.0));
    }
    if gruu {
        value.push_str(&format!(";pub-gruu=\"{}\"", public_gruu(user, binding, effects)));
        if let Some(temporary) = effects.temporary_gruu(user, binding) {
            value.push_str(&format!(";temp-gruu=\"{temporary}\""));
        }
    }
    value
}

fn public_gruu(user: &str, binding: &Binding, effects: &Effects<'_>) -> String {
    switchboard::gruu::public(&effects.keys(), user, effects.domain(), &binding.instance)
}

fn list_bindings(request: &ApiRequest, effects: &mut Effects<'_>) {
    let now = effects.unix();
    let mut items: Vec<(&str, &Known)> = match request.query("user") {
        Some(user) => {
            effects.directory().bindings(user).iter().map(|known| (user, known)).collect()
        }
        None => {
            let homes = effects.directory().homes();
            homes
                .flat_map(|(user, known)| known.iter().map(move |known| (user.as_str(), known)))
                .collect()
        }
    };
    items.retain(|(_, binding)| binding.until > now);
    items.sort_by(|a, b| (a.0, &a.1.contact).cmp(&(b.0, &b.1.contact)));
    let items: Vec<Value> =
        items.into_iter().map(|(user, binding)| show(user, binding, effects)).collect();
    let list = json!({"items": items, "next": null});
    effects.answer(request.id, ApiResponse::json(200, &list));
}

fn delete_bindings(request: &ApiRequest, effects: &mut Effects<'_>) {
    let user = request.query("user").unwrap_or_default();
    let wanted = request.query("contact");
    let named = |binding: &Binding| {
        wanted.is_none_or(|contact| {
            binding.contact == contact || contact::without_push(&binding.contact) == contact
        })
    };
    if end(user, named, "unregistered", effects) == 0 {
        effects.refuse_api(request.id, &Refusal::NoSuchBinding);
        return;
    }
    effects.answer(request.id, ApiResponse::empty(204));
}

/// The token stands in the contact as well: it is shown by its ends only.
fn show(user: &str, binding: &Binding, effects: &Effects<'_>) -> Value {
    let push = binding.push.as_ref().map(|target| {
        json!({
            "provider": target.provider.name(),
            "param": target.param,
            "prid": Pii(&target.prid).to_string(),
        })
    });
    let time = |time: UnixTime| time.to_string();
    json!({
        "user": user,
        "contact": contact::without_push(&binding.contact),
        "transport": binding.flow.transport.param(),
        "received": binding.flow.remote.to_string(),
        "until": time(binding.until),
        "seen": time(binding.seen),
        "q": f64::from(binding.q) / 1_000.0,
        "instance": binding.instance,
        "reg_id": binding.is_outbound().then_some(binding.reg_id.0),
        "gruu": (!binding.instance.is_empty()).then(|| public_gruu(user, binding, effects)),
        "path": binding.path,
        "user_agent": binding.user_agent,
        "push": push,
    })
}
