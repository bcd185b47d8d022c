//! Settings of this room.

types::settings! {
    /// Call programs (`[voice]`).
    pub struct Config {
        /// Calls at once on one shard that programs answer; more get `voice.too_many`.
        calls_max: u32 = 20_000 => restart,
        /// Which SIP addresses outside programs may dial: `public` refuses loopback, private and link-local ones; `any` in dev.
        sip_targets: String = "public".to_owned() => restart,
    }
}
