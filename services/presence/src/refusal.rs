//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// A package that we do not have.
        BadEvent,
        /// The publication has no body, or a header that cannot be read.
        Malformed,
        /// No call of this address that others may hear.
        NoSuchConference,
        /// No such user.
        NoSuchUser,
        /// The phone takes no body that the package has.
        NotAcceptable,
        /// Somebody watches or publishes what is not his to see or say.
        NotAllowed,
        /// The people are not known yet.
        Starting,
        /// A publication would end too soon.
        TooBrief,
        /// The published document is too long.
        TooLong,
        /// As many publications as a user may have, or as many watchers.
        TooMany,
        /// No publication has this tag.
        Unknown,
        /// The published document is of a type that we do not take.
        UnsupportedType,
    }
    rows REFUSALS;
    retry 5: Starting;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("presence.bad_event", 1801, 489, 400),
        "use a package of Allow-Events",
        "there is no such event package here",
        "Watched can be `conference`, `dialog`, `message-summary`, `presence` and `reg`; published can be `presence`.",
    ),
    RefusalRow::new(
        ("presence.malformed", 1802, 400, 400),
        "compare the PUBLISH with RFC 3903 §4",
        "the publication cannot be read",
        "The first PUBLISH of a phone carries a document; a later one carries SIP-If-Match. Expires is a number.",
    ),
    RefusalRow::new(
        ("presence.no_such_conference", 1812, 404, 404),
        "watch the address in the message of the group while the call goes on",
        "there is no such call, or nobody else may hear it",
        "The package `conference` tells who takes part in a call that a group lets others hear: at `sip:join-CALL@DOMAIN` or `sip:listen-CALL@DOMAIN`, from the answer to the end of the call.",
    ),
    RefusalRow::new(
        ("presence.no_such_user", 1803, 404, 404),
        "check the spelling, or make the user: PUT /v1/users/NAME",
        "there is no such user",
        "The address is at our domain, but nobody has this name. Lists of several people cannot be watched at once.",
    ),
    RefusalRow::new(
        ("presence.not_acceptable", 1804, 406, 406),
        "let the phone accept the package's own type",
        "the phone takes no document that this package has",
        "Accept names other types than `application/pidf+xml` (presence), `application/dialog-info+xml` (dialog), `application/simple-message-summary` (message-summary), `application/conference-info+xml` (conference) or `application/reginfo+xml` (reg).",
    ),
    RefusalRow::new(
        ("presence.not_allowed", 1805, 403, 403),
        "watch your own address, or set `presence.watch_presence` or `presence.watch_lines`",
        "this is not for everybody to see or say",
        "Registrations and waiting messages are shown to their own user only, and only he publishes his presence. Presence and lines of others are shown when the settings say so, to people of ours.",
    ),
    RefusalRow::new(
        ("presence.starting", 1806, 503, 503),
        "wait until /readyz answers 200",
        "the people are being read from the store",
        "For a moment behind a start nobody is known; if it stays, the store does not answer.",
    ),
    RefusalRow::new(
        ("presence.too_brief", 1807, 423, 423),
        "ask for at least what Min-Expires says",
        "the publication would end too soon",
        "A phone published for a shorter time than `presence.expires_min`. The answer carries Min-Expires.",
    ),
    RefusalRow::new(
        ("presence.too_long", 1808, 413, 413),
        "publish at most 16,384 octets",
        "the published document is too long",
        "A presence document has at most 16 KiB: it goes to every watcher. Pictures are set with PUT /v1/users/NAME/image.",
    ),
    RefusalRow::new(
        ("presence.too_many", 1809, 480, 409),
        "wait until older ones ended",
        "the user has as many publications or watchers as one may have",
        "One user has at most 10 publications and 1,000 watchers. Phones that lose their memory publish and subscribe anew each time; what they forgot ends by itself.",
    ),
    RefusalRow::new(
        ("presence.unknown", 1810, 412, 412),
        "publish the whole document again without SIP-If-Match",
        "no publication has this tag",
        "It ended, or another PUBLISH of the same phone changed it and got another tag.",
    ),
    RefusalRow::new(
        ("presence.unsupported_type", 1811, 415, 415),
        "publish application/pidf+xml",
        "the published document is of a type that is not taken",
        "Presence is published as PIDF (RFC 3863) and is passed on to watchers as it came.",
    ),
];
