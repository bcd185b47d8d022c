//! What every store promises, asked of SQLite in memory, of SQLite in a file and of PostgreSQL.

mod batches;
mod place;
mod projection;
mod server;
mod threads;
