//! What the edge itself refuses. Numbers 2001 to 2099.

use switchboard::RefusalRow;
use types::{Refuse, Seconds, Verdict};

/// See each variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A room answered with something that HTTP cannot carry.
    #[error("the server gave no answer that can be sent")]
    BadAnswer,
    /// The body broke off or was framed wrongly.
    #[error("the body could not be read to its end")]
    BadBody,
    /// A page said something that is no command.
    #[error("this message cannot be read: {why}")]
    BadCommand {
        /// What is wrong.
        why: String,
    },
    /// A path with dots, slashes or control characters behind percent signs.
    #[error("this path cannot be read")]
    BadPath,
    /// A request about signing in that says too little.
    #[error("this request about signing in cannot be read")]
    BadSignIn,
    /// The body did not arrive in time.
    #[error("the body took too long to arrive")]
    BodyLate,
    /// The body is larger than the endpoint allows.
    #[error("the body is larger than the {max} octets that this request may carry")]
    BodyTooLarge {
        /// The limit in octets.
        max: usize,
    },
    /// A limit of requests, bodies or streams is reached.
    #[error("too many requests are being answered")]
    Busy,
    /// The link to an image ended.
    #[error("this link has expired")]
    LinkExpired,
    /// The link to an image is not one of ours.
    #[error("the signature of this link does not fit")]
    LinkForged,
    /// A sign-in link that opens nothing (any more).
    #[error("this sign-in link was used before, has ended, or is not one of ours")]
    LinkUsed,
    /// The path exists, for other methods.
    #[error("this path takes {allow}")]
    MethodNotAllowed {
        /// The methods, as `Allow` lists them.
        allow: String,
    },
    /// The first message was no hello, or did not come.
    #[error("the phone did not say who it is")]
    NoHello,
    /// A command for a call that there is not.
    #[error("this phone has no such call")]
    NoSuchPhoneCall,
    /// An SDP that is empty or too long.
    #[error("the description of the session is empty or too long")]
    NotADescription,
    /// Words that are no address, or no keys.
    #[error("nobody can be called by this")]
    NotAnAddress,
    /// No WebSocket, or another subprotocol.
    #[error("this address takes WebSockets of phones only")]
    NotAWebSocket,
    /// Nothing is at this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// A phone that cannot be had back.
    #[error("this phone is gone")]
    PhoneGone,
    /// No cookie that holds.
    #[error("nobody is signed in, or not somebody with a phone")]
    SignedOut,
    /// No room answered in time.
    #[error("no answer came in time")]
    TimedOut,
    /// A token of a phone that does not hold.
    #[error("this token of a phone has ended, or is not one of ours")]
    TokenEnded,
    /// As many calls as one phone has.
    #[error("this phone has as many calls as it may")]
    TooManyCalls,
    /// Too many wrong tokens came from this address.
    #[error("too many wrong tokens came from this address")]
    TooManyFailures,
    /// As many phones as there may be.
    #[error("too many phones are open")]
    TooManyPhones,
    /// No token, or a wrong one.
    #[error("this request needs the administrator's token")]
    Unauthorized,
    /// A command that does not fit how far the call is.
    #[error("the call is not in a state for this")]
    WrongMoment,
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        let row = match self {
            Self::BadAnswer => BAD_ANSWER,
            Self::BadBody => BAD_BODY,
            Self::BadCommand { .. } => BAD_COMMAND,
            Self::BadPath => BAD_PATH,
            Self::BadSignIn => BAD_SIGN_IN,
            Self::BodyLate => BODY_LATE,
            Self::BodyTooLarge { .. } => BODY_TOO_LARGE,
            Self::Busy => BUSY,
            Self::LinkExpired => LINK_EXPIRED,
            Self::LinkForged => LINK_FORGED,
            Self::LinkUsed => LINK_USED,
            Self::MethodNotAllowed { .. } => METHOD_NOT_ALLOWED,
            Self::NoHello => NO_HELLO,
            Self::NoSuchPhoneCall => NO_SUCH_PHONE_CALL,
            Self::NotADescription => NOT_A_DESCRIPTION,
            Self::NotAnAddress => NOT_AN_ADDRESS,
            Self::NotAWebSocket => NOT_A_WEB_SOCKET,
            Self::NotFound => NOT_FOUND,
            Self::PhoneGone => PHONE_GONE,
            Self::SignedOut => SIGNED_OUT,
            Self::TimedOut => TIMED_OUT,
            Self::TokenEnded => TOKEN_ENDED,
            Self::TooManyCalls => TOO_MANY_CALLS,
            Self::TooManyFailures => TOO_MANY_FAILURES,
            Self::TooManyPhones => TOO_MANY_PHONES,
            Self::Unauthorized => UNAUTHORIZED,
            Self::WrongMoment => WRONG_MOMENT,
        };
        row.verdict
    }

    fn retry_after(&self) -> Option<Seconds> {
        match self {
            Self::Busy | Self::TooManyFailures | Self::TooManyPhones => Some(Seconds(1)),
            Self::BadAnswer
            | Self::BadBody
            | Self::BadPath
            | Self::BodyLate
            | Self::BodyTooLarge { .. }
            | Self::LinkExpired
            | Self::LinkForged
            | Self::MethodNotAllowed { .. }
            | Self::NotFound
            | Self::TimedOut
            | Self::Unauthorized
            | Self::BadCommand { .. }
            | Self::BadSignIn
            | Self::LinkUsed
            | Self::NoHello
            | Self::NoSuchPhoneCall
            | Self::NotADescription
            | Self::NotAnAddress
            | Self::NotAWebSocket
            | Self::PhoneGone
            | Self::SignedOut
            | Self::TokenEnded
            | Self::TooManyCalls
            | Self::WrongMoment => None,
        }
    }
}

/// The rows for help pages, by number.
pub const ROWS: &[RefusalRow] = &[
    UNAUTHORIZED,
    TOO_MANY_FAILURES,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    BAD_PATH,
    BODY_TOO_LARGE,
    BODY_LATE,
    BAD_BODY,
    BUSY,
    TIMED_OUT,
    BAD_ANSWER,
    LINK_FORGED,
    LINK_EXPIRED,
    BAD_SIGN_IN,
    LINK_USED,
    SIGNED_OUT,
    TOKEN_ENDED,
    NOT_A_WEB_SOCKET,
    NO_HELLO,
    TOO_MANY_PHONES,
    PHONE_GONE,
    BAD_COMMAND,
    NO_SUCH_PHONE_CALL,
    WRONG_MOMENT,
    NOT_AN_ADDRESS,
    NOT_A_DESCRIPTION,
    TOO_MANY_CALLS,
];

const UNAUTHORIZED: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.unauthorized",
        2001,
        401,
        "send `Authorization: Bearer TOKEN` with the token of `admin.token` or of the file .env.carillon",
    ),
    sentence: "This request needs the administrator's token.",
    page: "The header `Authorization` is missing, is not `Bearer`, or carries another token. The token is the value of `admin.token`; when that is empty, the server made one and wrote it to `.env.carillon` in its data folder as `CARILLON_TOKEN`. Look for a blank or a quote that was copied along, and for a proxy that takes the header away.",
};

const TOO_MANY_FAILURES: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.too_many_failures",
        2002,
        429,
        "wait for the seconds in Retry-After, then use the right token",
    ),
    sentence: "Too many wrong tokens came from this address.",
    page: "A program at this address keeps trying with a wrong token, as a rule after the token was changed; or somebody is guessing. One more try is allowed each second. Addresses that used the right token a short while ago are still let in with it.",
};

const NOT_FOUND: RefusalRow = RefusalRow {
    verdict: verdict("web.not_found", 2003, 404, "compare the path with /openapi.json"),
    sentence: "There is nothing at this path.",
    page: "No endpoint has this path. Look for a slash at the end, a missing `/v1`, or a value with a slash inside. An image answers like this when it is no longer kept. `/openapi.json` lists every path of this version of the server.",
};

const METHOD_NOT_ALLOWED: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.method_not_allowed",
        2004,
        405,
        "use a method that the header Allow lists",
    ),
    sentence: "This path takes other methods.",
    page: "The path is right, the method is not. Things that have a name are made and replaced with PUT, not POST. The header `Allow` lists what the path takes.",
};

const BAD_PATH: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.bad_path",
        2005,
        400,
        "encode each value of the path by itself; a value holds no slash, no control character and is not `.` or `..`",
    ),
    sentence: "This path cannot be read.",
    page: "A part of the path is not UTF-8 behind its percent signs, has a percent sign without two digits, or means another place than it says: `.`, `..`, a slash or a control character in disguise. Encode each value by itself (`encodeURIComponent`, `quote(value, safe='')`).",
};

const BODY_TOO_LARGE: RefusalRow = RefusalRow {
    verdict: verdict("web.body_too_large", 2006, 413, "send less; the limit stands in the title"),
    sentence: "The body is larger than this request may carry.",
    page: "Each endpoint has its own limit, which the title of the answer names and `/openapi.json` lists as `x-body-max`. Pictures are best scaled down before they are sent. A request that takes no body has the limit 0.",
};

const BODY_LATE: RefusalRow = RefusalRow {
    verdict: verdict("web.body_late", 2007, 408, "send the body at once, or over a faster line"),
    sentence: "The body took too long to arrive.",
    page: "The header announced a body that did not come within 20 seconds. A wrong `Content-Length`, a client that waits for something else first, or a very slow line.",
};

const BAD_BODY: RefusalRow = RefusalRow {
    verdict: verdict("web.bad_body", 2008, 400, "check how the client frames its body"),
    sentence: "The body could not be read to its end.",
    page: "The connection broke in the middle of the body, or its chunks were framed wrongly.",
};

const BUSY: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.busy",
        2009,
        503,
        "wait for the seconds in Retry-After; if it stays, look at /readyz",
    ),
    sentence: "Too many requests are being answered.",
    page: "A limit of the server was reached: requests that wait for an answer, the memory of their bodies, event streams, or the queue of one shard. When it stays, a part is stuck or overloaded: `/readyz` and `/metrics` name it.",
};

const TIMED_OUT: RefusalRow = RefusalRow {
    verdict: verdict("web.timed_out", 2010, 504, "ask again; if it stays, look at /readyz"),
    sentence: "No answer came in time.",
    page: "The room that answers this request did not do so within 30 seconds, as a rule because it waits for the store or for a slow disk. What was asked for may have been done all the same: read it back before sending it again.",
};

const BAD_ANSWER: RefusalRow = RefusalRow {
    verdict: verdict("web.bad_answer", 2011, 500, "report this with the server's log"),
    sentence: "The server gave no answer that can be sent.",
    page: "A room answered with a status that HTTP does not know. This is a mistake in the server.",
};

const LINK_FORGED: RefusalRow = RefusalRow {
    verdict: verdict("web.link_forged", 2012, 403, "use the whole link as it was handed out"),
    sentence: "The signature of this link does not fit.",
    page: "Links to images are signed and hold for one image until one moment. This one was cut, changed, or made by a server with another key. Take the link anew from the push or the API, with everything behind the question mark.",
};

const LINK_EXPIRED: RefusalRow = RefusalRow {
    verdict: verdict("web.link_expired", 2013, 410, "take a new link from the API"),
    sentence: "This link has expired.",
    page: "Links to images hold for a short while only. A push that was opened late shows this; the next one carries a new link. Compare the clocks when a new link is refused.",
};

const BAD_SIGN_IN: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.bad_sign_in",
        2014,
        400,
        "send a JSON object with `key`, or with `user` and `admin` for a link",
    ),
    sentence: "This request about signing in cannot be read.",
    page: "Signing in takes `{\"key\":\"…\"}` with the letters behind `#k=` of a link. A link is made with `{\"user\":\"1001\",\"admin\":true}`: for a user, for an administrator, or for both; a token with `{\"user\":\"1001\"}`.",
};

const LINK_USED: RefusalRow = RefusalRow {
    verdict: verdict("web.link_used", 2015, 401, "make a new one with `carillon admin link`"),
    sentence: "This sign-in link was used before, has ended, or is not one of ours.",
    page: "A sign-in link works once and for thirty minutes, and only for the process that made it: after a restart it is gone. Whoever may read the server's `.env.carillon` makes a new one with `carillon admin link`.",
};

const SIGNED_OUT: RefusalRow = RefusalRow {
    verdict: verdict("web.signed_out", 2016, 401, "open a sign-in link: `carillon admin link`"),
    sentence: "Nobody is signed in, or not somebody with a phone.",
    page: "The cookie of this browser is missing, has ended after twelve hours, or was signed out; or the request came from a page of another server, where it does not count. A phone also needs a user: make the link with `--user`.",
};

const TOKEN_ENDED: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.token_ended",
        2017,
        401,
        "ask your server for a fresh token just before the phone begins",
    ),
    sentence: "This token of a phone has ended, or is not one of ours.",
    page: "A token of `POST /v1/tokens` begins a phone within five minutes. Pages ask their own server for it, which holds the administrator's token; they do not keep it.",
};

const NOT_A_WEB_SOCKET: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.not_a_web_socket",
        2018,
        400,
        "open a WebSocket with the subprotocol `carillon.phone.1`",
    ),
    sentence: "This address takes WebSockets of phones only.",
    page: "The request lacks what a WebSocket needs, or the subprotocol `carillon.phone.1`. A proxy in front of the server must pass `Connection` and `Upgrade` on.",
};

const NO_HELLO: RefusalRow = RefusalRow {
    verdict: verdict("web.no_hello", 2019, 400, "send `{\"hello\":{}}` first, within ten seconds"),
    sentence: "The phone did not say who it is.",
    page: "The first message on a phone socket must be `{\"hello\":{…}}`, within ten seconds. It may carry `token`, and `session` with `after` to get a lost phone back.",
};

const TOO_MANY_PHONES: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.too_many_phones",
        2020,
        503,
        "wait for the seconds in Retry-After; close pages that nobody looks at",
    ),
    sentence: "Too many phones are open.",
    page: "The server keeps 2,048 browser phones, and 16 of one user. Each open page of the console is one.",
};

const PHONE_GONE: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.phone_gone",
        2021,
        410,
        "say hello without `session`: a new phone begins",
    ),
    sentence: "This phone is gone.",
    page: "A phone whose page is away is kept for a minute; then its calls end. This one was kept no longer, belonged to somebody else, or the server was restarted; or more was said meanwhile than is kept for a page that comes back.",
};

const BAD_COMMAND: RefusalRow = RefusalRow {
    verdict: verdict("web.bad_command", 2022, 400, "compare the message with docs/phone.md"),
    sentence: "This message of a phone cannot be read.",
    page: "A page sent something over its phone socket that is no JSON, has no number `id`, or wants something that this version does not know; the title says what. Pages of this server always fit it: reload the page after an upgrade.",
};

const NO_SUCH_PHONE_CALL: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.no_such_phone_call",
        2023,
        404,
        "take the call's id from the events of this phone",
    ),
    sentence: "This phone has no such call.",
    page: "The call that a command names is over, or never was one of this phone. A page that reloads hears which calls there are when it says hello.",
};

const WRONG_MOMENT: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.wrong_moment",
        2024,
        409,
        "wait for the event that ends what is under way",
    ),
    sentence: "The call is not in a state for this.",
    page: "A call that is over cannot be answered, one that rings cannot be held, and one change is made at a time. The page should offer what fits the last event of the call.",
};

const NOT_AN_ADDRESS: RefusalRow = RefusalRow {
    verdict: verdict("web.not_an_address", 2025, 400, "name a user, a number or a SIP address"),
    sentence: "Nobody can be called by this.",
    page: "What was typed is no user, no number and no SIP address; or keys were pressed that telephones do not have. Names with spaces are people's display names, not their addresses.",
};

const NOT_A_DESCRIPTION: RefusalRow = RefusalRow {
    verdict: verdict(
        "web.not_a_description",
        2026,
        400,
        "send the description that the browser made, whole",
    ),
    sentence: "The description of the session is empty or too long.",
    page: "Calling, answering and changing a call take `sdp`: the text that `RTCPeerConnection` made, up to 32 KiB.",
};

const TOO_MANY_CALLS: RefusalRow = RefusalRow {
    verdict: verdict("web.too_many_calls", 2027, 429, "end a call first"),
    sentence: "This phone has as many calls as it may.",
    page: "One browser phone has eight calls at a time, those that ring included.",
};

const fn verdict(code: &'static str, number: u16, http: u16, fix: &'static str) -> Verdict {
    // None of these leaves by SIP; the trait wants a status all the same.
    Verdict { code, number, sip: if http < 500 { 403 } else { 500 }, http, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_say_something() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].verdict.number < pair[1].verdict.number);
        }
        for row in ROWS {
            assert!((2001..=2099).contains(&row.verdict.number));
            assert!(row.verdict.code.starts_with("web."));
            assert!(!row.page.is_empty() && row.sentence.ends_with('.'));
        }
    }

    #[test]
    fn every_refusal_has_its_row() {
        let all = [
            Refusal::BadAnswer,
            Refusal::BadBody,
            Refusal::BadPath,
            Refusal::BodyLate,
            Refusal::BodyTooLarge { max: 1 },
            Refusal::Busy,
            Refusal::LinkExpired,
            Refusal::LinkForged,
            Refusal::MethodNotAllowed { allow: "GET".into() },
            Refusal::NotFound,
            Refusal::TimedOut,
            Refusal::TooManyFailures,
            Refusal::Unauthorized,
            Refusal::BadCommand { why: "x".into() },
            Refusal::BadSignIn,
            Refusal::LinkUsed,
            Refusal::NoHello,
            Refusal::NoSuchPhoneCall,
            Refusal::NotADescription,
            Refusal::NotAnAddress,
            Refusal::NotAWebSocket,
            Refusal::PhoneGone,
            Refusal::SignedOut,
            Refusal::TokenEnded,
            Refusal::TooManyCalls,
            Refusal::TooManyPhones,
            Refusal::WrongMoment,
        ];
        assert_eq!(all.len(), ROWS.len());
        for row in ROWS {
            assert_eq!(all.iter().filter(|one| one.verdict() == row.verdict).count(), 1);
        }
    }
}
