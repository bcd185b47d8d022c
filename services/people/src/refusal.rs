//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// The people are being read from the store.
        Loading,
        /// The body does not say what the endpoint wants.
        Malformed,
        /// The user has no device of this name.
        NoSuchDevice,
        /// The user has no picture.
        NoSuchImage,
        /// There is no user of this name.
        NoSuchUser,
        /// A new user needs a password.
        PasswordMissing,
        /// Too many pictures wait.
        PictureBusy,
        /// The picture cannot be read.
        PictureDamaged,
        /// Too many octets or pixels.
        PictureTooLarge,
        /// Not one of the three kinds.
        PictureUnsupported,
        /// The store refused for a reason of ours.
        StoreBroken,
        /// The store does not answer.
        StoreUnreachable,
        /// The user has as many devices as one may have.
        TooManyDevices,
    }
    rows REFUSALS;
    retry 1: Loading | PictureBusy;
    retry 5: StoreUnreachable;
    usual Malformed, StoreBroken, StoreUnreachable;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("people.loading", 1101, 503, 503),
        "wait until /readyz says ready",
        "the people are being read from the store",
        "Just after a start, and after a fault of this room, each shard reads users and devices from the store. `/readyz` names the part `people` until that is done. If it stays, the store does not answer: see `people.store_unreachable`.",
    ),
    RefusalRow::new(
        ("people.malformed", 1102, 400, 400),
        "look at `tried` for the field, and at /openapi.json for its form",
        "the request says something that this resource does not have or cannot be",
        "The body is no JSON object, has a key that we do not know, or a value that is not allowed. `tried.field` names it, `tried.wants` says what would do. Names of users and devices have at most 64 letters, digits and `-_.+~`.",
    ),
    RefusalRow::new(
        ("people.no_such_device", 1103, 404, 404),
        "list /v1/users/NAME/devices for the names",
        "the user has no device of this name",
        "Devices that registered by SIP have a name that begins with `reg-`. A device goes when its push provider says that its token is dead, or when another user registers with the same token.",
    ),
    RefusalRow::new(
        ("people.no_such_image", 1104, 404, 404),
        "put a picture first",
        "the user has no picture",
        "Nothing was uploaded with `PUT /v1/users/NAME/image`, or it was deleted.",
    ),
    RefusalRow::new(
        ("people.no_such_user", 1105, 404, 404),
        "check the name, or make the user with PUT /v1/users/NAME",
        "there is no user of this name",
        "Names are compared letter by letter, capitals included. `GET /v1/users` lists them.",
    ),
    RefusalRow::new(
        ("people.password_missing", 1106, 400, 400),
        "add `password` to the body",
        "a new user needs a password",
        "Only an existing user may be changed without giving a password; the old one stays then. We keep one verifier per digest algorithm and never the password itself.",
    ),
    RefusalRow::new(
        ("people.picture_busy", 1107, 503, 503),
        "try again in a moment",
        "too many pictures are being made",
        "Pictures are scaled by a few threads with a short queue. Upload fewer at a time.",
    ),
    RefusalRow::new(
        ("people.picture_damaged", 1108, 400, 400),
        "open the file with another program and save it anew",
        "the picture cannot be read",
        "The file is empty, cut off, or not what its first octets say. The Content-Type must be the picture's own, with the file itself as the body (no multipart form).",
    ),
    RefusalRow::new(
        ("people.picture_too_large", 1109, 413, 413),
        "scale it down to at most 4096 by 4096 pixels and 5 MB",
        "the picture has too many octets or pixels",
        "At most 5 MB and 4096 pixels a side are read. We keep 1024, 256 and 48 pixels, so nothing is lost by scaling first.",
    ),
    RefusalRow::new(
        ("people.picture_unsupported", 1110, 415, 415),
        "send PNG, JPEG or WebP with its Content-Type",
        "the picture is no PNG, JPEG or WebP",
        "Other formats (GIF, SVG, HEIC) are not read, on purpose: each decoder is one more door for hostile files.",
    ),
    RefusalRow::new(
        ("people.store_broken", 1111, 500, 500),
        "look into the log of the store; this is a fault of ours",
        "the store refused the change",
        "The database answered with an error that a correct server does not cause. The log names the statement. Nothing was changed.",
    ),
    RefusalRow::new(
        ("people.store_unreachable", 1112, 503, 503),
        "see whether the database of `store.url` answers",
        "the store does not answer, nothing was changed",
        "Users and devices live in SQL. While it does not answer, calls and registrations go on with what is in memory, and changes are refused. A full disk under an embedded store looks the same.",
    ),
    RefusalRow::new(
        ("people.too_many_devices", 1113, 409, 409),
        "delete a device that is not used any more",
        "the user has as many devices as one may have",
        "Ten devices with push tokens per user. A device that makes itself known by REGISTER takes the place of the oldest one; the API refuses instead, so that nothing goes unseen.",
    ),
];
