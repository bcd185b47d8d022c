//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// A user or another group has this name or address.
        AddressTaken,
        /// The groups are being read from the store.
        Loading,
        /// The body is no group.
        Malformed,
        /// There is no group of this name.
        NoSuchGroup,
        /// A member is nobody that we know.
        NoSuchUser,
        /// The store refused for a reason of ours.
        StoreBroken,
        /// The store does not answer.
        StoreUnreachable,
        /// The group is for push-to-talk.
        TalkGroup,
        /// The node has as many groups as it may have.
        TooMany,
        /// Too many messages to groups are on their way.
        TooManyLetters,
    }
    rows REFUSALS;
    retry 2: Loading | StoreUnreachable | TooManyLetters;
    usual Malformed, StoreBroken, StoreUnreachable;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("groups.address_taken", 1901, 403, 409),
        "choose another name or number, or delete the other group",
        "a user or another group is called there already",
        "A name or number leads to one place. `tried` names the address; users and groups share one space of names.",
    ),
    RefusalRow::new(
        ("groups.loading", 1902, 503, 503),
        "try again in a moment",
        "the groups are being read from the store",
        "The node has just started. `/readyz` names the part `groups` until all are there.",
    ),
    RefusalRow::new(
        ("groups.malformed", 1903, 400, 400),
        "see `tried` for the field and what it wants",
        "the body is no group",
        "`kind` is ring, shared or talk; each member has a `user`; `ring.plan` is all, in_turn, round_robin or skill; instructions stand under call, video and message. An unknown key is an error.",
    ),
    // 1904 was `groups.no_mixing`, and no other one gets the number.
    RefusalRow::new(
        ("groups.no_such_group", 1905, 404, 404),
        "list /v1/groups for the names",
        "there is no group of this name",
        "It may have been deleted, or its name is written differently: names are case-sensitive.",
    ),
    RefusalRow::new(
        ("groups.no_such_user", 1906, 404, 400),
        "make the user first: PUT /v1/users/{name}",
        "a member is no user of ours",
        "`tried` names the user. Members are users; a number of the world cannot be one.",
    ),
    RefusalRow::new(
        ("groups.store_broken", 1907, 500, 500),
        "look into the log, and report it",
        "the store refused the group for a reason of ours",
        "The database answered with an error that no request should cause. The log has its words.",
    ),
    RefusalRow::new(
        ("groups.store_unreachable", 1908, 503, 503),
        "try again when `/readyz` is green",
        "the store does not answer",
        "Nothing was changed. The groups that are known go on working.",
    ),
    RefusalRow::new(
        ("groups.talk_group", 1909, 501, 501),
        "call a member, or make the group `ring` or `shared`",
        "push-to-talk is not possible yet",
        "The group's kind is `talk`. It is kept with its members, but there is nothing yet that gives its floor; a call that would ring instead is not what such a group is for.",
    ),
    RefusalRow::new(
        ("groups.too_many", 1910, 403, 409),
        "delete groups, or raise `groups.groups_max`",
        "the node has as many groups as it may have",
        "`groups.groups_max` bounds what every shard keeps in memory.",
    ),
    RefusalRow::new(
        ("groups.too_many_letters", 1911, 503, 503),
        "send it again in a few seconds",
        "too many messages to groups are on their way",
        "A message to a group is kept until each member's copy is; 1,000 of them may be under way at once.",
    ),
];
