//! People: who they are, what they look like, and which devices can wake them.
//!
//! Picture     PUT user --> write --> UserChanged (everywhere) --> every shard's directory. Start: read all, page by page.
//! Rules       What is answered is written. A password is never kept, only its verifiers. A push token belongs to one
//!             device of one user: whoever shows it last has it.
//! Limits      NAME_MAX, DISPLAY_NAME_MAX, PASSWORD_MAX, TOKEN_MAX, PICTURE_MAX; ten devices per user
//!             (`switchboard::directory`); LATE_MAX devices that wait for the store to come back.
//! Not here    Where people can be reached (registrar), who wakes them (push), the pictures' octets (shell/blobs).
//! Spec        RFC 7616 for verifiers, RFC 8599 for tokens, RFC 3261 §20.9 for Call-Info.
#![deny(missing_docs)]

mod body;
mod calls;
mod config;
mod devices;
mod loading;
pub mod refusal;
pub mod store;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use switchboard::directory::{Device, User};
use switchboard::input::Picture;
use switchboard::route::CallSettings;
use switchboard::store::StoreFault;
use switchboard::{
    ApiRequest, ApiResponse, Attachment, Effects, Endpoint, LegPlan, Manifest, Notice, Reply,
    Scope, Service, Session, Ticket, Usual, link,
};
use types::UnixTime;

pub use body::{DISPLAY_NAME_MAX, NAME_MAX, PASSWORD_MAX, TOKEN_MAX};
pub use config::Config;
use loading::Loading;
pub use refusal::{REFUSALS, Refusal};

/// Largest picture that is taken. Units: octets.
pub const PICTURE_MAX: usize = 5 << 20;
/// Largest JSON body. Units: octets.
const BODY_MAX: usize = 16 << 10;

/// Requests of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::admin(
        ("GET", "/v1/users"),
        "Lists all users.",
        Scope::Every,
        BODY_MAX,
        (
            "",
            r#"{"items":[{"name":"1001","address":"sip:1001@localhost","display_name":"Ann","digest":[],"image":null}],"next":null}"#,
        ),
    ),
    Endpoint::admin(
        ("PUT", "/v1/users/{name}"),
        "Makes or changes a user. Without `password` an existing one keeps his.",
        Scope::User(0),
        BODY_MAX,
        (r#"{"password":"…","display_name":"Ann","digest":["MD5"]}"#, USER),
    ),
    Endpoint::admin(("GET", "/v1/users/{name}"), "One user.", Scope::User(0), BODY_MAX, ("", USER)),
    Endpoint::admin(
        ("DELETE", "/v1/users/{name}"),
        "Deletes a user, with devices and bindings.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
    Endpoint {
        body_max: PICTURE_MAX + 1,
        ..Endpoint::admin(
            ("PUT", "/v1/users/{name}/image"),
            "Sets the picture: the octets of a PNG, JPEG or WebP file.",
            Scope::User(0),
            BODY_MAX,
            (
                "",
                r#"{"url":"http://127.0.0.1:8088/v1/images/HASH?exp=0&sig=0","full":"…","width":256,"height":256,"content_type":"image/jpeg"}"#,
            ),
        )
    },
    Endpoint::admin(
        ("DELETE", "/v1/users/{name}/image"),
        "Takes the picture away.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
    Endpoint::admin(
        ("GET", "/v1/users/{name}/calls"),
        "What the user wants done with calls: forwarding, do not disturb, call waiting.",
        Scope::User(0),
        BODY_MAX,
        ("", CALLS),
    ),
    Endpoint::admin(
        ("PUT", "/v1/users/{name}/calls"),
        "Sets it. What is left out goes back to its default.",
        Scope::User(0),
        BODY_MAX,
        (CALLS, CALLS),
    ),
    Endpoint::admin(
        ("DELETE", "/v1/users/{name}/calls"),
        "Calls just ring again.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
    Endpoint::admin(
        ("GET", "/v1/users/{name}/devices"),
        "Lists the devices that can wake the user.",
        Scope::User(0),
        BODY_MAX,
        ("", r#"{"items":[],"next":null}"#),
    ),
    Endpoint::admin(
        ("PUT", "/v1/users/{name}/devices/{device}"),
        "Makes or changes a device. A token that another device has moves here.",
        Scope::User(0),
        BODY_MAX,
        (r#"{"kind":"phone","push":{"provider":"fcm","param":"project","prid":"token"}}"#, DEVICE),
    ),
    Endpoint::admin(
        ("GET", "/v1/users/{name}/devices/{device}"),
        "One device.",
        Scope::User(0),
        BODY_MAX,
        ("", DEVICE),
    ),
    Endpoint::admin(
        ("DELETE", "/v1/users/{name}/devices/{device}"),
        "Forgets a device and bindings with its token.",
        Scope::User(0),
        BODY_MAX,
        ("", ""),
    ),
];

const USER: &str = r#"{"name":"1001","address":"sip:1001@localhost","display_name":"Ann","digest":["MD5"],"image":null}"#;
const CALLS: &str = r#"{"forward_always":null,"forward_busy":"1002","forward_no_answer":"+15550142","no_answer_after":20,"forward_unreachable":null,"do_not_disturb":false,"call_waiting":true}"#;
const DEVICE: &str = r#"{"user":"1001","name":"mobile","kind":"phone","push":{"provider":"fcm","param":"project","prid":"token"}}"#;

static MANIFEST: Manifest = Manifest {
    name: "people",
    purpose: "Users, their devices and their pictures.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: store::TABLES,
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    ..Manifest::EMPTY
};

/// A refusal with what was tried.
type Refused = switchboard::Refused<Refusal>;

/// See the head of this file.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// Reading everything from the store; `None` when that is done.
    loading: Option<Loading>,
    pending: BTreeMap<Ticket, Pending>,
    /// Devices, by user and name, that are in memory and not in the store.
    late: BTreeSet<(String, String)>,
}

/// What a ticket is for. `api`: the request that waits.
#[derive(Debug)]
enum Pending {
    DropDevice {
        api: u64,
        user: String,
        device: Device,
    },
    DropPicture {
        api: u64,
        name: String,
    },
    DropUser {
        api: u64,
        name: String,
    },
    /// A device came by REGISTER: who had its token?
    FindOwner {
        user: String,
        device: Device,
    },
    /// Nobody waits: a token that is dead.
    ForgetToken,
    /// Nobody waits: a device that registered.
    KeepDevice {
        user: String,
        name: String,
    },
    /// A device of the API: who had its token?
    OwnerForApi {
        api: u64,
        user: String,
        device: Device,
        new: bool,
    },
    PutCalls {
        api: u64,
        name: String,
        calls: Option<Box<CallSettings>>,
    },
    PutDevice {
        api: u64,
        user: String,
        device: Device,
        new: bool,
    },
    PutPicture {
        api: u64,
        name: String,
        picture: Picture,
    },
    PutUser {
        api: u64,
        user: Box<User>,
        new: bool,
    },
    Render {
        api: u64,
        name: String,
    },
}

impl Room {
    /// A room that knows nobody until it hears that the shard began.
    pub fn new(config: Config) -> Self {
        Self { config, loading: None, pending: BTreeMap::new(), late: BTreeSet::new() }
    }

    fn api(&mut self, request: &ApiRequest, effects: &mut Effects<'_>) -> Result<(), Refused> {
        if self.loading.is_some() {
            return Err(Refusal::Loading.into());
        }
        let row = ENDPOINTS.get(usize::from(request.endpoint));
        let (method, path) = row.map_or(("", ""), |row| (row.method, row.path));
        match (method, path) {
            ("GET", "/v1/users") => self.list_users(request, effects),
            ("PUT", "/v1/users/{name}") => self.put_user(request, effects),
            ("GET", "/v1/users/{name}") => self.one_user(request, effects),
            ("DELETE", "/v1/users/{name}") => self.delete_user(request, effects),
            ("PUT", "/v1/users/{name}/image") => self.put_image(request, effects),
            ("DELETE", "/v1/users/{name}/image") => self.delete_image(request, effects),
            ("GET", "/v1/users/{name}/calls") => self.one_calls(request, effects),
            ("PUT", "/v1/users/{name}/calls") => self.put_calls(request, effects),
            ("DELETE", "/v1/users/{name}/calls") => self.delete_calls(request, effects),
            ("GET", "/v1/users/{name}/devices") => self.list_devices(request, effects),
            ("PUT", _) => self.put_device(request, effects),
            ("GET", _) => self.one_device(request, effects),
            _ => self.delete_device(request, effects),
        }
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        let Session::Api(request) = session else { return false };
        if let Err(refused) = self.api(request, effects) {
            refused.answer(request.id, effects);
        }
        true
    }

    fn attach(&mut self, plan: &LegPlan<'_>, effects: &mut Effects<'_>) -> Vec<Attachment> {
        let caller = plan.caller.and_then(|name| effects.directory().user(name));
        let Some(hash) = caller.and_then(|user| user.picture.as_deref()) else { return Vec::new() };
        let value = format!("<{}>;purpose=icon", image_url(hash, plan.until, effects));
        vec![Attachment::Header("Call-Info".into(), value)]
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started | Notice::Restarted) {
            self.load(effects);
        }
        if let Notice::UserChanged(user) = notice {
            self.touched(&user.name);
            effects.put_user((**user).clone());
        }
        if let Notice::UserGone { name } = notice {
            self.touched(name);
            effects.remove_user(name);
        }
        if let Notice::DeviceSeen { user, device } = notice {
            self.device_seen(user, device, effects);
        }
        if let Notice::DeviceGone { user, provider, prid } = notice {
            self.device_gone(user, provider, prid, effects);
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        let Some(pending) = self.pending.remove(&ticket) else {
            if let Reply::Rows(rows) = reply {
                self.loaded(ticket, rows, effects);
            }
            return;
        };
        match (pending, reply) {
            (Pending::Render { api, name }, Reply::Picture(result)) => {
                self.rendered(api, name, result, effects);
            }
            (Pending::FindOwner { user, device }, Reply::Rows(rows)) => {
                self.owner_found(user, device, rows, effects);
            }
            (Pending::OwnerForApi { api, user, device, new }, Reply::Rows(rows)) => {
                self.owner_found_for_api(api, user, device, new, rows, effects);
            }
            (pending, Reply::Written(Ok(()))) => self.written(pending, effects),
            (pending, Reply::Written(Err(fault))) => self.not_written(pending, fault, effects),
            // No other answer fits a question of ours.
            (
                _,
                Reply::Clip(_)
                | Reply::Fetched(_)
                | Reply::Found(_)
                | Reply::Heard(_)
                | Reply::Located(_)
                | Reply::Picture(_)
                | Reply::Push(_)
                | Reply::Recorded(_)
                | Reply::Resolved(_)
                | Reply::Response(_)
                | Reply::Rows(_)
                | Reply::Seized(_)
                | Reply::StreamBegan(_)
                | Reply::StreamEnded(_),
            ) => (),
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        self.load_again(ticket, effects);
    }
}

impl Room {
    fn written(&mut self, pending: Pending, effects: &mut Effects<'_>) {
        match pending {
            Pending::DropDevice { api, user, device } => {
                self.device_dropped(api, user, device, effects);
            }
            Pending::DropPicture { api, name } => self.picture_dropped(api, &name, effects),
            Pending::DropUser { api, name } => {
                effects.publish(Notice::UserGone { name });
                effects.answer(api, ApiResponse::empty(204));
            }
            Pending::KeepDevice { user, name } => {
                self.late.remove(&(user, name));
            }
            Pending::PutCalls { api, name, calls } => {
                self.calls_written(api, &name, calls, effects);
            }
            Pending::PutDevice { api, user, device, new } => {
                self.device_written(api, user, device, new, effects);
            }
            Pending::PutPicture { api, name, picture } => {
                self.picture_written(api, &name, picture, effects);
            }
            Pending::PutUser { api, user, new } => self.user_written(api, *user, new, effects),
            Pending::FindOwner { .. }
            | Pending::ForgetToken
            | Pending::OwnerForApi { .. }
            | Pending::Render { .. } => (),
        }
    }

    fn not_written(&mut self, pending: Pending, fault: StoreFault, effects: &mut Effects<'_>) {
        let (api, gone) = match pending {
            Pending::DropDevice { api, .. } => (api, Refusal::NoSuchDevice),
            Pending::DropPicture { api, .. }
            | Pending::DropUser { api, .. }
            | Pending::PutCalls { api, .. }
            | Pending::PutPicture { api, .. } => (api, Refusal::NoSuchUser),
            Pending::PutDevice { api, .. } | Pending::PutUser { api, .. } => {
                (api, Refusal::StoreBroken)
            }
            // In memory it is already; the next REGISTER tries again (see `late`).
            Pending::KeepDevice { .. } => {
                effects.count("people.device_not_written");
                return;
            }
            Pending::FindOwner { .. }
            | Pending::ForgetToken
            | Pending::OwnerForApi { .. }
            | Pending::Render { .. } => return,
        };
        let refusal = match fault {
            StoreFault::Mismatch { .. } => gone,
            fault => Refusal::of_store(fault),
        };
        effects.refuse_api(api, &refusal);
    }
}

/// The address of a picture that answers until a moment.
fn image_url(hash: &str, until: UnixTime, effects: &Effects<'_>) -> String {
    let signed = link::sign(&effects.keys().links, &format!("/v1/images/{hash}"), until);
    format!("{}{signed}", effects.public())
}
