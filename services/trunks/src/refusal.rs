//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// Trunks and routes are being read from the store.
        Loading,
        /// The body or the query does not say what the endpoint wants.
        Malformed,
        /// There is no number like this.
        NoSuchNumber,
        /// There is no route of this name.
        NoSuchRoute,
        /// There is no trunk of this name.
        NoSuchTrunk,
        /// The store refused for a reason of ours.
        StoreBroken,
        /// The store does not answer.
        StoreUnreachable,
        /// There are as many as there may be.
        TooMany,
    }
    rows REFUSALS;
    retry 1: Loading;
    retry 5: StoreUnreachable;
    usual Malformed, StoreBroken, StoreUnreachable;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("trunks.loading", 1601, 503, 503),
        "wait until /readyz says ready",
        "trunks, numbers and routes are being read from the store",
        "Just after a start each shard reads them. `/readyz` names the part `trunks` until that is done. If it stays, the store does not answer.",
    ),
    RefusalRow::new(
        ("trunks.malformed", 1602, 400, 400),
        "look at `tried` for the field, and at /openapi.json for its form",
        "the request says something that this resource does not have or cannot be",
        "The body is no JSON object, has a key that we do not know, or a value that is not allowed. `tried.field` names it, `tried.wants` says what would do.",
    ),
    RefusalRow::new(
        ("trunks.no_such_number", 1603, 404, 404),
        "list them with GET /v1/numbers",
        "there is no number like this",
        "Numbers are named in E.164 form with their `+`, such as /v1/numbers/+15550100.",
    ),
    RefusalRow::new(
        ("trunks.no_such_route", 1604, 404, 404),
        "list them with GET /v1/routes",
        "there is no route of this name",
        "Names are compared letter by letter; a space in a path is written %20.",
    ),
    RefusalRow::new(
        ("trunks.no_such_trunk", 1605, 404, 404),
        "list them with GET /v1/trunks",
        "there is no trunk of this name",
        "Names are compared letter by letter, capitals included.",
    ),
    RefusalRow::new(
        ("trunks.store_broken", 1606, 500, 500),
        "look into the log of the store; this is a fault of ours",
        "the store refused the change",
        "The database answered with an error that a correct server does not cause. The log names the statement. Nothing was changed.",
    ),
    RefusalRow::new(
        ("trunks.store_unreachable", 1607, 503, 503),
        "see whether the database of `store.url` answers",
        "the store does not answer, nothing was changed",
        "Trunks, numbers and routes live in SQL. While it does not answer, calls go on with what is in memory, and changes are refused.",
    ),
    RefusalRow::new(
        ("trunks.too_many", 1608, 409, 409),
        "delete what is not used any more",
        "there are as many of these as there may be",
        "Every shard keeps all trunks, numbers and routes in memory, and looks at all routes for a call that goes out: at most 500 trunks, 1,000 routes and 100,000 numbers.",
    ),
];
