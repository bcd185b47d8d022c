//! The same house on SQLite and on PostgreSQL: the same schema, the same answers to every request, the same refusals
//! while the store is out of reach, and every statement of every room run on both.

#[path = "../hostile/rig.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod rig;

mod engine;
mod schema;
mod script;
