//! What hostile and unlucky peers get, shown on one shard with all its rooms.

mod calls;
mod forks;
mod house;
mod mutator;
mod news;
mod rig;
mod strangers;
