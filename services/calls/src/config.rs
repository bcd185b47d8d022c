//! Settings of person-to-person calls.

use types::Seconds;

types::settings! {
    /// Person-to-person calls (`[calls]`).
    pub struct Config {
        /// Longest time a call rings before it counts as missed.
        ring_max: Seconds = Seconds(120) => restart,
        /// Whether devices of lower preference (`q` of their Contact) ring after the others, not with them.
        fork_by_q: bool = true => restart,
        /// How long devices of one preference ring before those of the next.
        fork_wait: Seconds = Seconds(20) => restart,
        /// Calls at once on one shard; more get `calls.too_many`.
        calls_max: u32 = 100_000 => restart,
        /// Calls at once that one user who proved himself may have made; more get `route.user_full`.
        user_calls_max: u32 = 100 => restart,
        /// How long a call lasts unless its phones say that they are still there, at least 90s: by refreshing it (RFC 4028), or by answering OPTIONS where a phone knows no session timers.
        session_expires: Seconds = Seconds(1_800) => restart,
        /// Whether people who proved who they are may ask phones of others to answer by themselves (Answer-Mode, RFC 5373).
        answer_mode: bool = false => restart,
        /// What somebody hears whom the other has put on hold, unless the other's phone plays something itself: "house" for music that comes with the server, the address of a clip (`/media/…`) or of a file (`http://…`); empty: nothing.
        hold_music: String = "house".to_owned() => restart,
    }
}
