//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// As many octets wait as the shard keeps.
        Full,
        /// A datagram with more text than datagrams may carry.
        LongDatagram,
        /// A body or parameter cannot be read.
        Malformed,
        /// It was not to be stored, and nobody took it.
        NobodyReachable,
        /// No such user.
        NoSuchUser,
        /// The people are not known yet.
        Starting,
        /// The store refused for a reason of ours.
        StoreBroken,
        /// The store does not answer.
        StoreUnreachable,
        /// The text is too long for a message.
        TooLong,
        /// Too many questions wait for the store.
        TooManyQuestions,
        /// As many messages wait for this user as may.
        UserFull,
    }
    rows REFUSALS;
    retry 5: Starting | StoreUnreachable;
    retry 60: Full;
    retry 1: TooManyQuestions;
    usual Malformed, StoreBroken, StoreUnreachable;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("messaging.full", 1701, 503, 503),
        "wait until waiting messages were delivered, or run more shards",
        "the server keeps as many waiting messages as it can",
        "Messages for absent users stay in memory beside the log, at most 64 MiB a shard. Many long messages for users who never come back fill it; they end by `messaging.expires_max`.",
    ),
    RefusalRow::new(
        ("messaging.long_datagram", 1702, 413, 413),
        "let the phone use TCP, TLS or WebSocket for messages over 1,300 octets",
        "the message is too long for UDP",
        "A text of more than 1,300 octets may not travel by UDP (RFC 3428 §8): its fragments get lost together. Phones send long texts by TCP when they are registered there.",
    ),
    RefusalRow::new(
        ("messaging.malformed", 1703, 400, 400),
        "compare with the description in /openapi.json",
        "the message cannot be read",
        "The API wants `from`, `to` and `text`; `from` and `to` are names of users. `tried` names the field. By SIP: the address has no user, or Expires is no number.",
    ),
    RefusalRow::new(
        ("messaging.nobody_reachable", 1704, 480, 409),
        "send it without `Expires: 0`, so that it is stored",
        "no phone of the user took the message, and it was not to be stored",
        "The sender asked with `Expires: 0` for delivery now or never. No phone is registered, or none answered in time.",
    ),
    RefusalRow::new(
        ("messaging.no_such_user", 1705, 404, 404),
        "check the spelling, or make the user: PUT /v1/users/NAME",
        "there is no such user",
        "The address is at our domain, but nobody has this name. Messages to other domains are not taken.",
    ),
    RefusalRow::new(
        ("messaging.starting", 1706, 503, 503),
        "wait until /readyz answers 200",
        "the people are being read from the store",
        "For a moment behind a start nobody is known; if it stays, the store does not answer.",
    ),
    RefusalRow::new(
        ("messaging.store_broken", 1707, 500, 500),
        "look at the log of the node; this is a fault of ours",
        "the store cannot answer this question",
        "The database answered with an error that should not be. The log has its words.",
    ),
    RefusalRow::new(
        ("messaging.store_unreachable", 1708, 503, 503),
        "wait; if it stays, look at /readyz and at the database",
        "the store does not answer",
        "The list of messages is read from the database. Delivery does not need it and goes on.",
    ),
    RefusalRow::new(
        ("messaging.too_long", 1709, 513, 413),
        "send at most 60,000 octets, or a link",
        "the message is too long",
        "One message has at most 60,000 octets, whatever carries it. Pictures and recordings are sent as links.",
    ),
    RefusalRow::new(
        ("messaging.too_many_questions", 1710, 503, 503),
        "ask again in a second",
        "too many questions wait for the store",
        "Lists are read from the database one after the other; 256 wait at most on one shard.",
    ),
    RefusalRow::new(
        ("messaging.user_full", 1711, 480, 409),
        "wait until the user has read what waits, or raise `messaging.user_max`",
        "as many messages wait for this user as may",
        "The user has been away for long. Nothing is thrown away for a newer message: the sender hears that it was not taken.",
    ),
];
