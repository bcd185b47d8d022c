//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Presence, lines, waiting messages and registrations (`[presence]`).
    pub struct Config {
        /// Life of a subscription or publication when the phone names none.
        expires_default: Seconds = Seconds(3_600) => restart,
        /// Longest life; longer wishes are cut to this.
        expires_max: Seconds = Seconds(7_200) => restart,
        /// Shortest life; shorter wishes get 423.
        expires_min: Seconds = Seconds(60) => restart,
        /// Whether people may watch each other's lines (busy lamps), not only their own.
        watch_lines: bool = true => restart,
        /// Whether those who watch a line see with whom its user talks.
        watch_parties: bool = true => restart,
        /// Whether people may watch each other's presence, not only their own.
        watch_presence: bool = true => restart,
    }
}
