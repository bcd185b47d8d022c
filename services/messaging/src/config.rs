//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Messages between users (`[messaging]`).
    pub struct Config {
        /// How long a message is tried at the user's phones before it is stored and its sender is told so.
        deliver_wait: Seconds = Seconds(5) => restart,
        /// Life of a message whose sender names none; longer wishes are cut to this.
        expires_max: Seconds = Seconds(604_800) => restart,
        /// Pause before a message that waits is tried again although no phone registered.
        retry: Seconds = Seconds(60) => restart,
        /// Messages that may wait for one user; more get `messaging.user_full`.
        user_max: u16 = 100 => restart,
    }
}
