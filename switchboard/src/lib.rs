//! The middle: one event loop per shard; who owns what; effects out.
//!
//! Picture     Input --> Shard --> offer --> room --> Effects --> Output.  Mail joins shards, slots name them.
//! Rules       A session has one owner; all others get facts. Nothing here waits, locks or reads a clock. Inputs are
//!             data that is recorded and replayed; outputs follow from them alone.
//! Limits      Named beside what they bound: directory, guard, ladder, transactions, shard.
//! Not here    Any service by name, any provider, any verb; sockets, disk, threads.
//! Spec        RFC 3261 for what legs and transactions do; clause numbers stand at the lines.
#![deny(missing_docs)]
#![deny(clippy::wildcard_enum_match_arm)]

mod binding;
mod browser;
pub mod clip;
mod core;
pub mod directory;
mod effects;
pub mod facts;
pub mod fetch;
pub mod flight;
mod flows;
mod fork;
pub mod group;
pub mod gruu;
mod guard;
pub mod hearing;
pub mod hop;
pub mod hunt;
pub mod input;
mod keyring;
pub mod ladder;
pub mod leg;
mod leg_change;
mod leg_early;
mod leg_heard;
mod leg_pass;
mod leg_run;
mod leg_watch;
pub mod lines;
pub mod link;
mod locate;
pub mod music;
pub mod notice;
pub mod pair;
pub mod part;
pub mod pass;
pub mod patient;
mod receive;
pub mod record;
pub mod redact;
pub mod refusal;
mod refused;
pub mod requests;
mod restore;
pub mod ring;
pub mod route;
pub mod seal;
pub mod seat;
pub mod service;
mod shard;
mod shared;
mod slab;
mod sound;
pub mod store;
mod strangers;
pub mod stream;
pub mod subscription;
mod subscription_run;
mod suspects;
mod timers;
mod transactions;
mod turned_away;
pub mod unsent;

pub use crate::core::{Apps, Config, Core, Door, Keys, Listener};
pub use clip::{
    ClipFact, ClipSource, RecordEnd, RecordFormat, RecordedFact, Recording, SoundFault, SoundOrder,
};
pub use effects::Effects;
pub use guard::{SOURCE_FAILURES_MAX, USER_FAILURES_MAX, WINDOW};
pub use hearing::{EarOrder, EarPlan, Hearing, JudgePlan, Tongue};
pub use hop::{Hop, Question};
pub use input::{
    ApiRequest, ApiResponse, Clock, Found, Input, Mail, Mark, Output, Outputs, Reply, Ticket,
};
pub use leg::{Beside, InvitePlan, LegCommand, LegEvent, Passed};
pub use leg_watch::{INTERVAL, INTERVAL_MIN};
pub use locate::{locate, locate_own};
pub use notice::Notice;
pub use refused::{Refused, Usual};
pub use requests::{Login, RequestPlan, Response};
pub use service::{
    Access, Attachment, Caller, Endpoint, Event, LegPlan, Manifest, RefusalRow, RequestId, Scope,
    Service, Session,
};
pub use shard::{Corridor, REOPENS_MAX, ROUNDS_MAX, Shard};
pub use stream::{StreamEnd, StreamFault, StreamOrder, StreamPlan};
pub use subscription::{Bounds, SubscriptionEvent, SubscriptionState, Terms};
