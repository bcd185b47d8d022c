//! How rooms say no: the head of a table of refusals, and a refusal with what was tried.
//!
//! Rules       A room's `Refusal` is an enum whose variants stand in the order of its rows; `refusals!` makes everything
//!             that follows from that.
//! Not here    The rows, which are each room's; how a refusal looks on a wire (effects, input); our own (refusal).
//! Spec        RFC 9457 for the problem document

use serde_json::{Value, json};
use types::{Refuse, Verdict};

use crate::effects::Effects;
use crate::input::ApiResponse;
use crate::service::RefusalRow;
use crate::store::StoreFault;

/// Makes the enum of a room's refusals: the variants in the order of `rows`, which of them say when to come again, in
/// seconds, and which are the usual three of a room with a store and an API.
#[macro_export]
macro_rules! refusals {
    (
        $(#[$head:meta])*
        pub enum $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }
        rows $rows:ident;
        $(retry $seconds:literal: $($late:ident)|+;)*
        $(usual $malformed:ident, $broken:ident, $unreachable:ident;)?
    ) => {
        $(#[$head])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in order.
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str($rows[*self as usize].sentence)
            }
        }

        impl ::types::Refuse for $name {
            fn verdict(&self) -> ::types::Verdict {
                $rows[*self as usize].verdict
            }

            fn retry_after(&self) -> Option<::types::Seconds> {
                $(if matches!(self, $(Self::$late)|+) {
                    return Some(::types::Seconds($seconds));
                })*
                None
            }
        }

        $(impl $crate::Usual for $name {
            const MALFORMED: Self = Self::$malformed;
            const STORE_BROKEN: Self = Self::$broken;
            const STORE_UNREACHABLE: Self = Self::$unreachable;
        })?
    };
}

/// The refusals that every room with a store and an API has.
pub trait Usual: Refuse + Copy {
    /// The request cannot be read.
    const MALFORMED: Self;
    /// The store refused for a reason of ours.
    const STORE_BROKEN: Self;
    /// The store does not answer.
    const STORE_UNREACHABLE: Self;

    /// Why the store did not do it.
    fn of_store(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Broken | StoreFault::Conflict | StoreFault::Mismatch { .. } => {
                Self::STORE_BROKEN
            }
            StoreFault::Unreachable => Self::STORE_UNREACHABLE,
        }
    }
}

impl RefusalRow {
    /// A row: code, number, SIP and HTTP status; what would help; the sentence; the page.
    pub const fn new(
        (code, number, sip, http): (&'static str, u16, u16, u16),
        fix: &'static str,
        sentence: &'static str,
        page: &'static str,
    ) -> Self {
        Self { verdict: Verdict { code, number, sip, http, fix }, sentence, page }
    }
}

/// A refusal with what was tried, for the problem document.
#[derive(Debug)]
pub struct Refused<R> {
    /// Which.
    pub refusal: R,
    /// What was tried; null when nothing needs saying.
    pub tried: Value,
}

impl<R> From<R> for Refused<R> {
    fn from(refusal: R) -> Self {
        Self { refusal, tried: Value::Null }
    }
}

impl<R: Refuse> Refused<R> {
    /// With what was tried.
    pub const fn with(refusal: R, tried: Value) -> Self {
        Self { refusal, tried }
    }

    /// A field, and what was given there.
    pub fn given(refusal: R, field: &str, given: &str) -> Self {
        Self { refusal, tried: json!({"field": field, "given": given}) }
    }

    /// Answers a request of the API, and counts.
    pub fn answer(&self, api: u64, effects: &mut Effects<'_>) {
        effects.count(self.refusal.verdict().code);
        effects.answer(api, ApiResponse::refusal(&self.refusal, &self.tried));
    }
}

impl<R: Usual> Refused<R> {
    /// A field is not what it must be.
    pub fn malformed(field: &str, wants: &str) -> Self {
        Self { refusal: R::MALFORMED, tried: json!({"field": field, "wants": wants}) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[RefusalRow] = &[
        RefusalRow::new(("toy.broken", 1, 500, 500), "look", "it is broken", "A page."),
        RefusalRow::new(("toy.late", 2, 503, 503), "wait", "it is late", "A page."),
        RefusalRow::new(("toy.malformed", 3, 400, 400), "read", "it is no toy", "A page."),
    ];

    refusals! {
        /// Of a test.
        pub enum Toy {
            /// One.
            Broken,
            /// Two.
            Late,
            /// Three.
            Malformed,
        }
        rows ROWS;
        retry 5: Late;
        usual Malformed, Broken, Late;
    }

    #[test]
    fn a_table_says_everything_of_its_variants() {
        assert_eq!(Toy::ALL, [Toy::Broken, Toy::Late, Toy::Malformed]);
        assert_eq!(Toy::Late.to_string(), "it is late");
        assert_eq!(Toy::Malformed.verdict().code, "toy.malformed");
        assert_eq!(Toy::Late.retry_after(), Some(types::Seconds(5)));
        assert_eq!(Toy::Broken.retry_after(), None);
        assert_eq!(Toy::of_store(StoreFault::Unreachable), Toy::Late);
        assert_eq!(Toy::of_store(StoreFault::Conflict), Toy::Broken);
        let refused: Refused<Toy> = Refused::malformed("name", "a word");
        assert_eq!(refused.tried, json!({"field": "name", "wants": "a word"}));
        assert_eq!(Refused::from(Toy::Late).tried, Value::Null);
    }
}
