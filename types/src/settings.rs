//! Settings that are their own reference.

use std::time::Duration;

/// One row of the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name within its section.
    pub key: &'static str,
    /// Rust type in words.
    pub kind: &'static str,
    /// Default as it is written in source.
    pub default: &'static str,
    /// `live` or `restart`.
    pub change: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// Declares one section of the configuration: the struct, its defaults and its reference rows.
///
/// ```
/// types::settings! {
///     /// Push-to-talk groups (`[ptt]`).
///     pub struct Config {
///         /// Speakers that may wait in one group.
///         queue_max: u16 = 20 => restart,
///     }
/// }
/// assert_eq!(Config::default().queue_max, 20);
/// assert_eq!(Config::REFERENCE[0].key, "queue_max");
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $($(#[doc = $meaning:literal])+ $key:ident: $kind:ty = $default:expr => $change:ident,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[doc = $meaning])+ pub $key: $kind,)* }

        impl Default for $name {
            fn default() -> Self { Self { $($key: $default,)* } }
        }

        impl $name {
            /// The rows of the reference page, in reading order.
            pub const REFERENCE: &'static [$crate::Setting] = &[$($crate::Setting {
                key: stringify!($key),
                kind: stringify!($kind),
                default: stringify!($default),
                change: stringify!($change),
                meaning: concat!($($meaning),+),
            },)*];
        }
    };
}

/// Reads `20s`, `1500ms`, `5m`, `2h` or `1d`.
///
/// Errors: `None` for anything else, a missing unit included: a bare number hides whether seconds were meant.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_want_a_unit() {
        assert_eq!(parse_duration("20s"), Some(Duration::from_secs(20)));
        assert_eq!(parse_duration("1500ms"), Some(Duration::from_millis(1500)));
        for text in ["20", "", "s", "-1s", "1w", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
