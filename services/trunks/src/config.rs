//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Trunks, numbers and routes (`[trunks]`).
    pub struct Config {
        /// Between two OPTIONS to a trunk.
        probe_every: Seconds = Seconds(30) => restart,
        /// How long we ask a carrier to keep our registration.
        register_for: Seconds = Seconds(600) => restart,
        /// Wait between two tries to read trunks and routes while the store does not answer.
        retry: Seconds = Seconds(2) => restart,
    }
}
