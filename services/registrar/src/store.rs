//! This room has no tables: bindings live in the keeper.

use switchboard::store::Migration;

/// The schema: none.
pub const MIGRATIONS: &[Migration] = &[];
