//! Settings of this room.

types::settings! {
    /// Call records (`[records]`).
    pub struct Config {
        /// Records of one answer when the question names no limit.
        page: u16 = 100 => restart,
    }
}
