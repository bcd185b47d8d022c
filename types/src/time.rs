//! Two clocks, both handed in: one for intervals, one for people.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock of one process.
///
/// Units: microseconds since an arbitrary start. Never goes backwards, says nothing about the date.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Instant {
    /// The point `n` seconds after the start.
    pub const fn seconds(n: u64) -> Self {
        Self(n * 1_000_000)
    }

    /// The point `n` milliseconds after the start.
    pub const fn millis(n: u64) -> Self {
        Self(n * 1_000)
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Add<Seconds> for Instant {
    type Output = Self;
    fn add(self, span: Seconds) -> Self {
        self + Duration::from(span)
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A moment that people and other machines can name.
///
/// Units: microseconds since 1970-01-01 UTC. Text form: RFC 3339 with milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The moment `n` whole seconds after the epoch.
    pub const fn seconds(n: u64) -> Self {
        Self(n * 1_000_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Year, month, day, hour, minute, second, microsecond in UTC.
    fn civil(self) -> (u64, u64, u64, u64, u64, u64, u64) {
        let (total, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (days, second_of_day) = (total / 86_400, total % 86_400);
        // Days to a civil date, with March as the first month so that the leap day is the last of a year.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute) = (second_of_day / 3_600, second_of_day % 3_600 / 60);
        (year, month, day, hour, minute, second_of_day % 60, micros)
    }

    /// Reads what [`Display`](fmt::Display) wrote, and other RFC 3339 times in UTC (`Z`).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<u64> {
            let part = text.get(from..to)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        if bytes.len() < 20 || *bytes.last()? != b'Z' {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        if !in_range {
            return None;
        }
        let micros = match text.get(19..text.len() - 1)? {
            "" => 0,
            fraction => {
                let digits = fraction.strip_prefix('.')?;
                let kept: String = digits.chars().chain("000000".chars()).take(6).collect();
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                kept.parse::<u64>().ok()?
            }
        };
        let (year, month_from_march) =
            if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let era = year / 400;
        let year_of_era = year % 400;
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
        let total = days * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Self(total * 1_000_000 + micros))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second, micros) = self.civil();
        let millis = micros / 1_000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span in whole seconds, as headers and settings carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Seconds(pub u32);

/// Settings write a span with its unit: `"20s"`, `"5m"`.
impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        crate::parse_duration(&text)
            .and_then(|span| u32::try_from(span.as_secs()).ok())
            .map(Self)
            .ok_or_else(|| {
                serde::de::Error::custom(
                    "a time wants a number and a unit, such as \"20s\" or \"5m\"",
                )
            })
    }
}

impl From<Seconds> for Duration {
    fn from(span: Seconds) -> Self {
        Duration::from_secs(span.0.into())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_print_and_read_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_305_599, "2026-11-21T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(UnixTime::seconds(seconds).to_string(), text);
            assert_eq!(UnixTime::parse(text), Some(UnixTime::seconds(seconds)));
        }
    }

    #[test]
    fn nonsense_is_not_a_date() {
        for text in
            ["", "Z", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z"]
        {
            assert_eq!(UnixTime::parse(text), None, "{text}");
        }
    }
}
