//! What this room refuses.

use switchboard::RefusalRow;

switchboard::refusals! {
    /// See the rows of [`REFUSALS`], which stand in the same order.
    pub enum Refusal {
        /// The caller's description cannot be answered.
        Description,
        /// A restart came before the call was answered.
        Interrupted,
        /// No such call.
        NoSuchCall,
        /// No media port is free.
        NoPorts,
        /// The program said no.
        Rejected,
        /// As many calls run as may.
        TooMany,
        /// What came to the reply address of a push is no answer.
        BadReply,
        /// A command that cannot be understood.
        BadCommand,
        /// A command that the call cannot obey as it stands.
        NotNow,
    }
    rows REFUSALS;
    retry 5: NoPorts | TooMany;
}

/// The rows for help pages, in the order of the variants.
pub const REFUSALS: &[RefusalRow] = &[
    RefusalRow::new(
        ("voice.description", 2101, 488, 488),
        "offer Opus, G.722 or G.711",
        "the caller offers no sound that a program could hear",
        "The description has no section of sound in Opus, G.722, PCMU or PCMA, asks for a protection that we do not have, or names an address that nothing can be sent to.",
    ),
    RefusalRow::new(
        ("voice.interrupted", 2102, 480, 503),
        "call again",
        "the server restarted before the program answered",
        "A call that its program had answered goes on after a restart; one that was not answered yet ends.",
    ),
    RefusalRow::new(
        ("voice.no_such_call", 2103, 404, 404),
        "look at the records: the call may be over",
        "no call of this id runs a program",
        "Only calls to numbers with a `voice_url` have a state, and only while they last.",
    ),
    RefusalRow::new(
        ("voice.no_ports", 2104, 503, 503),
        "widen `media.ports`",
        "no media port is free",
        "Each call of a program takes two ports of `media.ports`, and two more while somebody is dialled.",
    ),
    RefusalRow::new(
        ("voice.rejected", 2105, 603, 403),
        "ask whoever wrote the program of this number",
        "the program of this number rejects the call",
        "Its document began with a verb that refuses the caller. Nothing is wrong with the server.",
    ),
    RefusalRow::new(
        ("voice.too_many", 2106, 503, 503),
        "raise `voice.calls_max`, or run more shards",
        "as many calls run programs as may",
        "`voice.calls_max` holds on each shard. Programs that never end their calls fill it.",
    ),
    RefusalRow::new(
        ("voice.bad_reply", 2107, 400, 400),
        "send {\"action\":\"accept\"}, decline, busy or text",
        "the body is no answer to a push",
        "It has to be JSON with an `action` that is known; a description beside `accept` has to be one that can be read, and a text has 1,000 octets at most.",
    ),
    RefusalRow::new(
        ("voice.bad_command", 2108, 400, 400),
        "compare it with docs/programs.md; `tried` says what is wrong",
        "the command cannot be understood",
        "A command is an object with `command` (redirect, hangup, play, say, hush, keys, mute) and what belongs to it. A document that cannot be read is refused before the call leaves what it does.",
    ),
    RefusalRow::new(
        ("voice.not_now", 2109, 409, 409),
        "wait for the event that says that it can be done; `tried` says what stands in its way",
        "the call cannot do this as it stands",
        "Before somebody has answered a call can only be ended. In a conference or a queue their own rules say who hears what. While the program plays something nothing is heard beside it.",
    ),
];
