//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Registrations (`[registrar]`).
    pub struct Config {
        /// Life of a binding when the phone names none.
        expires_default: Seconds = Seconds(3_600) => restart,
        /// Longest life of a binding; longer wishes are cut to this.
        expires_max: Seconds = Seconds(7_200) => restart,
        /// Shortest life of a binding; shorter wishes get 423.
        expires_min: Seconds = Seconds(60) => restart,
    }
}
