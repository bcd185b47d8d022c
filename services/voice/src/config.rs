//! Settings of this room.

types::settings! {
    /// Call programs (`[voice]`).
    pub struct Config {
        /// Calls at once on one shard that programs answer; more get `voice.too_many`.
        calls_max: u32 = 20_000 => restart,
    }
}
