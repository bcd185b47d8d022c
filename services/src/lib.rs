//! The corridor: the list of rooms, in the order in which they are offered sessions.
//!
//! Picture     offer --> people --> registrar --> push --> records --> groups --> messaging --> presence --> trunks
//!             --> voice --> calls
//! Rules       Order is policy: the first room that accepts owns the session. `calls` comes last and takes what
//!             nobody above wanted.
//! Limits      none of its own
//! Not here    What rooms do. Nothing here knows more of a room than its name.
//! Spec        none

use serde::Deserialize;
use switchboard::{Manifest, Service};

/// Makes the configuration tree and the corridor from one list.
macro_rules! corridor {
    ($($(#[doc = $doc:literal])+ $room:ident,)+) => {
        /// One section per room, in corridor order.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config { $($(#[doc = $doc])+ pub $room: $room::Config,)+ }

        /// The names of the rooms' sections.
        pub const SECTIONS: &[&str] = &[$(stringify!($room),)+];

        /// Fresh copies of all rooms, in corridor order.
        pub fn open(config: &Config) -> Vec<Box<dyn Service>> {
            vec![$(Box::new($room::Room::new(config.$room.clone())),)+]
        }
    };
}

corridor! {
    /// Users, devices, pictures.
    people,
    /// Where each user can be reached now.
    registrar,
    /// Whom to wake, how, and when to stop.
    push,
    /// Call records and the event log.
    records,
    /// Groups of users and their instructions: above what they refine.
    groups,
    /// Messages between users.
    messaging,
    /// Who sees what of whom: presence, lines, waiting messages, registrations.
    presence,
    /// Trunks, numbers, routes.
    trunks,
    /// Call programs: numbers that an app answers.
    voice,
    /// Person-to-person calls: takes what nobody above wanted.
    calls,
}

/// The manifests of all rooms, in corridor order.
pub fn manifests() -> Vec<&'static Manifest> {
    open(&Config::default()).iter().map(|room| room.manifest()).collect()
}
