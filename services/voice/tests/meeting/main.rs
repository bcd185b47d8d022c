//! Conferences and queues: several phones on two shards, an app, restarts.

mod conference;
mod queue;
mod rest;
mod world;
