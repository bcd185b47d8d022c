//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Waking devices (`[push]`).
    pub struct Config {
        /// How long an INVITE is held for a woken device.
        wait: Seconds = Seconds(20) => restart,
        /// How long a provider keeps the word of a missed call for a device that is off.
        missed_life: Seconds = Seconds(86_400) => restart,
    }
}
