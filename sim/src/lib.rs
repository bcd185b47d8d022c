//! The whole house in a fake world: clock, network, disk, providers and telephones follow from one seed.
//!
//! Picture     plan --> World (events by virtual time) <--> Host (shards, keeper, SQL) and Agents;  Checks watch
//! Rules       Nothing here reads a clock or an entropy source: a seed is a reproduction. Checkers look from
//!             outside, at what crossed the network and at what the API says.
//! Limits      Named in `plan`: users, calls, virtual minutes of one seed.
//! Not here    Sockets and threads of the shell, other nodes.
//! Spec        RELIABILITY R1, R3, R6.
#![deny(missing_docs)]

pub mod agent;
pub mod check;
pub mod cover;
pub mod host;
pub mod network;
pub mod plan;
pub mod providers;
pub mod replay;
pub mod rest;
pub mod seeds;
pub mod toy;
pub mod world;
