//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Users, devices and pictures (`[people]`).
    pub struct Config {
        /// How long the address of a picture answers that the API hands out.
        link_life: Seconds = Seconds(3_600) => restart,
        /// Wait between two tries to read the people while the store does not answer.
        retry: Seconds = Seconds(2) => restart,
    }
}
