//! What hostile and unlucky peers get, shown on one shard with all its rooms.

mod calls;
mod forks;
mod house;
mod mutator;
mod news;
#[allow(dead_code, reason = "shared with other tests")]
mod rig;
mod strangers;
