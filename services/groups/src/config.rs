//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Groups of users (`[groups]`).
    pub struct Config {
        /// Groups of the node; more get `groups.too_many`.
        groups_max: u32 = 10_000 => restart,
        /// Wait between two tries to read the groups while the store does not answer.
        retry: Seconds = Seconds(2) => restart,
    }
}
