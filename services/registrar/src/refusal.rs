//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// The contact names this server.
        ContactIsOurs,
        /// The phone keeps flows open, but the proxy before it does not say so.
        FirstHopLacksOutbound,
        /// A contact that cannot be read, or a star that is not alone.
        Malformed,
        /// No such binding.
        NoSuchBinding,
        /// Somebody registers for somebody else.
        NotYours,
        /// A newer REGISTER of the same phone came before.
        OutOfOrder,
        /// A proxy wants to stay in the path, and the phone does not know of that.
        PathUnsupported,
        /// We send no pushes through this provider.
        ProviderUnknown,
        /// The life asked for is below our minimum.
        TooBrief,
        /// The user has as many bindings as one may have.
        TooMany,
    }
    rows REFUSALS;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("registrar.contact_is_ours", 1201, 403, 403),
        "let the phone send its own address as Contact",
        "the contact names this server itself",
        "A contact at our own domain or listener would make calls run in a circle. A phone that cannot know its address should register over TCP, TLS or WebSocket, or with any private address: answers go where its packets come from.",
    ),
    RefusalRow::new(
        ("registrar.first_hop_lacks_outbound", 1209, 439, 400),
        "register without reg-id, or through a proxy with `ob` in its Path",
        "the phone's proxy does not keep flows open",
        "RFC 5626 §6: the request came through a proxy whose Path has no `ob`, so that nobody would keep the flow that `reg-id` names. Turn outbound on in the proxy next to the phones, or off in the phone.",
    ),
    RefusalRow::new(
        ("registrar.malformed", 1202, 400, 400),
        "compare the REGISTER with RFC 3261 §10.2",
        "the REGISTER has a contact that cannot be read",
        "A contact is no SIP address, is longer than 2,048 octets, has broken push parameters, a Path is no list of loose routers, two contacts have a `reg-id`, a `reg-id` is no number from 1 on, or `*` stands with another contact or without `Expires: 0`.",
    ),
    RefusalRow::new(
        ("registrar.no_such_binding", 1203, 404, 404),
        "list /v1/bindings?user=NAME for the contacts",
        "the user has no such binding",
        "It may have ended by itself, or the contact is not written exactly as it was registered.",
    ),
    RefusalRow::new(
        ("registrar.not_yours", 1204, 403, 403),
        "use the same name in To and in the login",
        "one may register for oneself only",
        "The user who proved himself by digest is not the one of the To header. Phones call the two `authentication name` and `user name`: both must be the user's name.",
    ),
    RefusalRow::new(
        ("registrar.out_of_order", 1205, 500, 409),
        "nothing: the newer registration stands",
        "a newer REGISTER of the same phone came first",
        "Within one Call-ID the CSeq must grow. An older request that was late on the network must not undo a newer one.",
    ),
    RefusalRow::new(
        ("registrar.path_unsupported", 1210, 421, 400),
        "let the phone send `Supported: path`",
        "a proxy put itself in the path, and the phone does not know of that",
        "`registrar.path_strict` is on: a Path without `Supported: path` is refused (RFC 3327 §5.3). With the setting off such a Path is used, and the phone is not told of it.",
    ),
    RefusalRow::new(
        ("registrar.provider_unknown", 1206, 555, 400),
        "use pn-provider apns, fcm or webpush",
        "we send no pushes through this provider",
        "RFC 8599 names the provider in the Contact. Without push parameters the phone is registered as an ordinary one, which must stay reachable by itself.",
    ),
    RefusalRow::new(
        ("registrar.too_brief", 1207, 423, 400),
        "ask for at least the time in Min-Expires",
        "the life asked for is shorter than we grant",
        "`registrar.expires_min` is the limit. Phones behind NAT should keep their way open by CRLF or STUN instead of by registering often.",
    ),
    RefusalRow::new(
        ("registrar.too_many", 1208, 403, 409),
        "unregister old contacts, or wait until they end",
        "the user has as many bindings as one may have",
        "Ten contacts per user. A phone that takes a new port at each start fills them up; let it send `+sip.instance` and `reg-id` with `Supported: outbound`, so that it replaces its old contact.",
    ),
];
