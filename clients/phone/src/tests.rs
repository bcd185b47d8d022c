//! Phones against a script and against each other.

mod pair;
mod script;
mod wakes;
