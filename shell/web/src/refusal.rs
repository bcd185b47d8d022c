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
    /// A path with dots, slashes or control characters behind percent signs.
    #[error("this path cannot be read")]
    BadPath,
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
    /// The path exists, for other methods.
    #[error("this path takes {allow}")]
    MethodNotAllowed {
        /// The methods, as `Allow` lists them.
        allow: String,
    },
    /// Nothing is at this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// No room answered in time.
    #[error("no answer came in time")]
    TimedOut,
    /// Too many wrong tokens came from this address.
    #[error("too many wrong tokens came from this address")]
    TooManyFailures,
    /// No token, or a wrong one.
    #[error("this request needs the administrator's token")]
    Unauthorized,
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        let row = match self {
            Self::BadAnswer => BAD_ANSWER,
            Self::BadBody => BAD_BODY,
            Self::BadPath => BAD_PATH,
            Self::BodyLate => BODY_LATE,
            Self::BodyTooLarge { .. } => BODY_TOO_LARGE,
            Self::Busy => BUSY,
            Self::LinkExpired => LINK_EXPIRED,
            Self::LinkForged => LINK_FORGED,
            Self::MethodNotAllowed { .. } => METHOD_NOT_ALLOWED,
            Self::NotFound => NOT_FOUND,
            Self::TimedOut => TIMED_OUT,
            Self::TooManyFailures => TOO_MANY_FAILURES,
            Self::Unauthorized => UNAUTHORIZED,
        };
        row.verdict
    }

    fn retry_after(&self) -> Option<Seconds> {
        match self {
            Self::Busy | Self::TooManyFailures => Some(Seconds(1)),
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
            | Self::Unauthorized => None,
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
        ];
        assert_eq!(all.len(), ROWS.len());
        for row in ROWS {
            assert_eq!(all.iter().filter(|one| one.verdict() == row.verdict).count(), 1);
        }
    }
}
