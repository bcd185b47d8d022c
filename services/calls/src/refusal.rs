//! What this room refuses.

use switchboard::RefusalRow;
use types::{Refuse, Seconds, Verdict};

/// One variant per reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body of an API request is not what the endpoint takes.
    #[error("the request body cannot be used")]
    BadBody,
    /// An INVITE wants to join a call by the header Join (RFC 3911).
    #[error("calls are not joined by the header Join")]
    CannotJoin,
    /// The two of a call speak what no mix understands.
    #[error("the sound of this call cannot be mixed")]
    CannotMix,
    /// The sound of a call is none that can be taken apart.
    #[error("the sound of this call cannot be recorded")]
    CannotRecord,
    /// The call that an INVITE or a transfer wants to take over cannot be taken over.
    #[error("the call to be replaced is not there, or may not be replaced")]
    CannotReplace,
    /// A call has as many guests as it may.
    #[error("too many listen to this call or joined it")]
    GuestsFull,
    /// A phone in the set-up of another call was cut off by a restart.
    #[error("the server restarted while the call was being set up")]
    Interrupted,
    /// The same call came back to us.
    #[error("the call came back to where it was")]
    Loop,
    /// No group lets this user listen to the call, or join it.
    #[error("this user may not take part in this call")]
    MayNotJoin,
    /// No phone of the callee can be reached.
    #[error("no phone of this user is registered, and none can be woken")]
    NobodyReachable,
    /// Nobody answered the call yet in which somebody wants to take part.
    #[error("the call is not answered yet")]
    NotAnswered,
    /// No recording of this call runs.
    #[error("this call is not recorded")]
    NotRecorded,
    /// The target of a transfer is none.
    #[error("a call cannot be transferred to this address")]
    NoTransfer,
    /// There is no such call.
    #[error("there is no such call")]
    NoSuchCall,
    /// There is no such user.
    #[error("there is no user of this name")]
    NoSuchUser,
    /// A call was answered over the push's reply address, and the phone did not follow.
    #[error("the phone that answered its push never registered")]
    PhoneNeverCame,
    /// A recording of this call runs already.
    #[error("this call is recorded already")]
    Recorded,
    /// A call has as many recordings as it may.
    #[error("this call has too many recordings")]
    RecordingsFull,
    /// The people are still being loaded.
    #[error("the server is starting and does not know its users yet")]
    Starting,
    /// The call has been answered or is over.
    #[error("the call does not wait for an answer any more")]
    TooLate,
    /// Too many calls at once.
    #[error("too many calls at once")]
    TooMany,
    /// Something else is being changed in this call.
    #[error("another change of this call is under way")]
    TransferPending,
    /// The reply token is not the one of this call.
    #[error("this token does not belong to this call")]
    WrongToken,
}

const fn verdict(
    code: &'static str,
    number: u16,
    sip: u16,
    http: u16,
    fix: &'static str,
) -> Verdict {
    Verdict { code, number, sip, http, fix }
}

impl Refuse for Refusal {
    fn verdict(&self) -> Verdict {
        match self {
            Self::BadBody => verdict(
                "calls.bad_body",
                1301,
                400,
                400,
                "send JSON such as {\"action\":\"accept\"}; actions are accept, decline, busy, text and hangup",
            ),
            Self::Interrupted => verdict(
                "calls.interrupted",
                1302,
                480,
                503,
                "call again: established calls were kept, calls in set-up were not",
            ),
            Self::NobodyReachable => verdict(
                "calls.nobody_reachable",
                1303,
                480,
                409,
                "register a phone for this user, or add a device with a push token: PUT /v1/users/NAME/devices/DEVICE",
            ),
            Self::NoSuchCall => verdict(
                "calls.no_such_call",
                1304,
                481,
                404,
                "list live calls with GET /v1/calls; ended ones with GET /v1/records",
            ),
            Self::NoSuchUser => verdict(
                "calls.no_such_user",
                1305,
                404,
                404,
                "check the spelling, or make the user: PUT /v1/users/NAME",
            ),
            Self::PhoneNeverCame => verdict(
                "calls.phone_never_came",
                1319,
                480,
                409,
                "look why the phone cannot register after it was woken: its log, its network, its password",
            ),
            Self::Starting => {
                verdict("calls.starting", 1306, 503, 503, "wait until /readyz answers 200")
            }
            Self::TooLate => verdict(
                "calls.too_late",
                1307,
                481,
                409,
                "nothing to do: another device answered, or the caller gave up",
            ),
            Self::TooMany => {
                verdict("calls.too_many", 1308, 503, 503, "raise `calls.calls_max`, or add a node")
            }
            Self::WrongToken => verdict(
                "calls.wrong_token",
                1309,
                403,
                401,
                "use the token that came with the push of this very call",
            ),
            Self::MayNotJoin => verdict(
                "calls.may_not_join",
                1320,
                403,
                403,
                "let a group say so: `others` = `listen` or `join` in its instructions for calls, with both as members",
            ),
            Self::CannotMix => verdict(
                "calls.cannot_mix",
                1321,
                488,
                409,
                "let both phones offer Opus, G.722 or G.711 without encryption",
            ),
            Self::GuestsFull => {
                verdict("calls.guests_full", 1322, 486, 409, "wait until somebody leaves")
            }
            Self::NotAnswered => {
                verdict("calls.not_answered", 1323, 480, 409, "call again when it is answered")
            }
            Self::CannotRecord => verdict(
                "calls.cannot_record",
                1324,
                488,
                409,
                "let both phones offer Opus, G.722 or G.711, and keys in descriptions (SDES) rather than a handshake of their own",
            ),
            Self::NotRecorded => verdict(
                "calls.not_recorded",
                1325,
                409,
                409,
                "begin with POST /v1/calls/{id}/recording",
            ),
            Self::Recorded => verdict(
                "calls.recorded",
                1326,
                409,
                409,
                "end the one that runs with DELETE, or let it go on",
            ),
            Self::RecordingsFull => verdict(
                "calls.recordings_full",
                1327,
                409,
                409,
                "record the call as a whole, and pause",
            ),
            Self::CannotJoin => verdict(
                "calls.cannot_join",
                1310,
                501,
                501,
                "call the address in the message that the group sent: sip:join-CALL@DOMAIN",
            ),
            Self::CannotReplace => verdict(
                "calls.cannot_replace",
                1311,
                481,
                409,
                "look at the Replaces header: Call-ID and tags of an answered call of the same person",
            ),
            Self::Loop => verdict(
                "calls.loop",
                1312,
                482,
                508,
                "look for forwarding that leads back: the ladder shows the same caller twice",
            ),
            Self::NoTransfer => verdict(
                "calls.no_transfer",
                1313,
                403,
                409,
                "transfer to one of our people by sip:NAME@DOMAIN, or finish the consultation call first",
            ),
            Self::TransferPending => {
                verdict("calls.transfer_pending", 1314, 491, 409, "try again in some seconds")
            }
        }
    }

    fn retry_after(&self) -> Option<Seconds> {
        matches!(self, Self::Starting | Self::TooMany).then_some(Seconds(5))
    }
}

const fn row(refusal: Verdict, sentence: &'static str, page: &'static str) -> RefusalRow {
    RefusalRow { verdict: refusal, sentence, page }
}

/// The rows for help pages, in the order of their numbers.
pub const ROWS: &[RefusalRow] = &[
    row(
        verdict(
            "calls.bad_body",
            1301,
            400,
            400,
            "send JSON such as {\"action\":\"accept\"}; actions are accept, decline, busy, text and hangup",
        ),
        "The request body cannot be used.",
        "The body is not JSON, or its `action` is not one of accept, decline, busy, text and hangup, or `sdp` is not a session description that answers the offer.",
    ),
    row(
        verdict(
            "calls.interrupted",
            1302,
            480,
            503,
            "call again: established calls were kept, calls in set-up were not",
        ),
        "The server restarted while the call was being set up.",
        "A call that still rang when the process ended is given up after the restart, so that its caller is not left hanging.",
    ),
    row(
        verdict(
            "calls.nobody_reachable",
            1303,
            480,
            409,
            "register a phone for this user, or add a device with a push token: PUT /v1/users/NAME/devices/DEVICE",
        ),
        "No phone of this user is registered, and none can be woken.",
        "Look at GET /v1/bindings?user=NAME: it is empty, or every binding has expired. Devices that sleep need a push token: `pn-provider`, `pn-prid` and `pn-param` in their REGISTER (RFC 8599), or an entry made by the API. The ladder of the call lists what was tried and why it failed.",
    ),
    row(
        verdict(
            "calls.no_such_call",
            1304,
            481,
            404,
            "list live calls with GET /v1/calls; ended ones with GET /v1/records",
        ),
        "There is no such call.",
        "The id is misspelled, or the call is over and its ladder has given way to newer ones (`ladder.memory`).",
    ),
    row(
        verdict(
            "calls.no_such_user",
            1305,
            404,
            404,
            "check the spelling, or make the user: PUT /v1/users/NAME",
        ),
        "There is no user of this name.",
        "Nobody of this name exists in this domain. Strangers are not told so: they see the same challenge for every name.",
    ),
    row(
        verdict("calls.starting", 1306, 503, 503, "wait until /readyz answers 200"),
        "The server is starting and does not know its users yet.",
        "The people are read from the store at the start. If this stays, the store does not answer: /readyz names the part.",
    ),
    row(
        verdict(
            "calls.too_late",
            1307,
            481,
            409,
            "nothing to do: another device answered, or the caller gave up",
        ),
        "The call does not wait for an answer any more.",
        "An answer came over the reply address of a push after the call had been answered, declined or cancelled.",
    ),
    row(
        verdict("calls.too_many", 1308, 503, 503, "raise `calls.calls_max`, or add a node"),
        "Too many calls at once.",
        "The limit `calls.calls_max` protects the running calls.",
    ),
    row(
        verdict(
            "calls.wrong_token",
            1309,
            403,
            401,
            "use the token that came with the push of this very call",
        ),
        "This token does not belong to this call.",
        "Each push carries a token of its own, good for one call and one device.",
    ),
    row(
        verdict(
            "calls.cannot_join",
            1310,
            501,
            501,
            "call the address in the message that the group sent: sip:join-CALL@DOMAIN",
        ),
        "Calls are not joined by the header Join.",
        "The INVITE has a Join header (RFC 3911). Whoever may join a call or listen to it is told an address to call, `sip:join-CALL@DOMAIN` or `sip:listen-CALL@DOMAIN`, since few phones know the header and none lets a person choose to listen only.",
    ),
    row(
        verdict(
            "calls.cannot_replace",
            1311,
            481,
            409,
            "look at the Replaces header: Call-ID and tags of an answered call of the same person",
        ),
        "The call to be replaced is not there, or may not be replaced.",
        "Replaces (RFC 3891) names the dialog of a phone with us. It must be answered, its phone must be that of the one who asks or he must have proved who he is, and nothing else may be changing in it.",
    ),
    row(
        verdict(
            "calls.loop",
            1312,
            482,
            508,
            "look for forwarding that leads back: the ladder shows the same caller twice",
        ),
        "The call came back to where it was.",
        "An INVITE of ours came back for the same person, by way of another server or of a phone that forwards. It is ended before it goes round again.",
    ),
    row(
        verdict(
            "calls.no_transfer",
            1313,
            403,
            409,
            "transfer to one of our people by sip:NAME@DOMAIN, or finish the consultation call first",
        ),
        "A call cannot be transferred to this address.",
        "Refer-To must be one sip or tel address of ours that can be called; a method other than INVITE and addresses of other domains are refused.",
    ),
    row(
        verdict("calls.transfer_pending", 1314, 491, 409, "try again in some seconds"),
        "Another change of this call is under way.",
        "A hold or a transfer of the same call is not finished. One change at a time keeps both phones of one mind.",
    ),
    row(
        verdict(
            "calls.phone_never_came",
            1319,
            480,
            409,
            "look why the phone cannot register after it was woken: its log, its network, its password",
        ),
        "The phone that answered its push never registered.",
        "A call that is answered over the push's reply address has its media at once; the phone registers meanwhile and takes its side over. One that does not for two minutes could neither hang up nor be asked whether it is there: the call ends with BYE, and its record names this code.",
    ),
    row(
        verdict(
            "calls.may_not_join",
            1320,
            403,
            403,
            "let a group say so: `others` = `listen` or `join` in its instructions for calls, with both as members",
        ),
        "This user may not take part in this call.",
        "Who may listen to a call or join it stands in the instructions of the groups that he and the caller belong to, at the moment when he comes: `others` for the kind of call, perhaps changed for the caller. A member whose role is `listen` never joins, and the two who talk are in it already.",
    ),
    row(
        verdict(
            "calls.cannot_mix",
            1321,
            488,
            409,
            "let both phones offer Opus, G.722 or G.711 without encryption",
        ),
        "The sound of this call cannot be mixed.",
        "Calls that others may listen to are set up with Opus, G.722, L16 or G.711 where both phones offer any of them. This one has none, is encrypted from end to end, or began before the group's instructions let others take part.",
    ),
    row(
        verdict("calls.guests_full", 1322, 486, 409, "wait until somebody leaves"),
        "Too many listen to this call or joined it.",
        "A call takes 32 others, whether they listen or speak.",
    ),
    row(
        verdict("calls.not_answered", 1323, 480, 409, "call again when it is answered"),
        "The call is not answered yet.",
        "Others can take part, and a recording can begin, once the two of the call hear each other.",
    ),
    row(
        verdict(
            "calls.cannot_record",
            1324,
            488,
            409,
            "let both phones offer Opus, G.722 or G.711, and keys in descriptions (SDES) rather than a handshake of their own",
        ),
        "The sound of this call cannot be recorded.",
        "Its two sides speak a codec that the server does not know, or their media is encrypted from end to end by keys that were never told to it. Such a call is passed on as it is.",
    ),
    row(
        verdict("calls.not_recorded", 1325, 409, 409, "begin with POST /v1/calls/{id}/recording"),
        "This call is not recorded.",
        "There is no recording that could be paused, resumed or ended: none was begun, or it has ended.",
    ),
    row(
        verdict(
            "calls.recorded",
            1326,
            409,
            409,
            "end the one that runs with DELETE, or let it go on",
        ),
        "This call is recorded already.",
        "A call has one recording at a time. One that was paused goes on with POST /v1/calls/{id}/recording/resume.",
    ),
    row(
        verdict("calls.recordings_full", 1327, 409, 409, "record the call as a whole, and pause"),
        "This call has too many recordings.",
        "A call has at most 32 recordings one after another, those that a transfer divides included.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_row() {
        use Refusal::*;
        // In the order of their numbers.
        let all = [
            BadBody,
            Interrupted,
            NobodyReachable,
            NoSuchCall,
            NoSuchUser,
            Starting,
            TooLate,
            TooMany,
            WrongToken,
            CannotJoin,
            CannotReplace,
            Loop,
            NoTransfer,
            TransferPending,
            PhoneNeverCame,
            MayNotJoin,
            CannotMix,
            GuestsFull,
            NotAnswered,
            CannotRecord,
            NotRecorded,
            Recorded,
            RecordingsFull,
        ];
        assert_eq!(all.len(), ROWS.len());
        for (refusal, row) in all.iter().zip(ROWS) {
            assert_eq!(refusal.verdict(), row.verdict);
            assert!(!row.page.is_empty() && row.sentence.ends_with('.'));
        }
    }
}
