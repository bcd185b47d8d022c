//! When a route holds: days and hours in a time zone of its own.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use types::UnixTime;

/// Windows of one schedule.
pub const WINDOWS_MAX: usize = 64;
/// Dates of one schedule that are closed.
pub const DATES_MAX: usize = 400;

/// Hours of a week, without some dates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// An IANA time zone such as `Europe/Berlin`.
    pub zone: String,
    /// When it holds. Empty: always, but for `not_on`.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// Dates on which it does not, such as `2026-12-25`.
    #[serde(default)]
    pub not_on: Vec<String>,
}

/// Some hours of some days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// `mon`, `tue`, … Empty: every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// The first minute, such as `09:00`.
    pub from: Minute,
    /// The minute after the last; not after `from`: on the next day. `24:00` is midnight.
    pub to: Minute,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// A minute of a day: 0 to 1,440.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minute(u16);

impl From<Minute> for String {
    fn from(minute: Minute) -> Self {
        format!("{:02}:{:02}", minute.0 / 60, minute.0 % 60)
    }
}

impl TryFrom<String> for Minute {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = |part: &str| {
            let plain = part.len() == 2 && part.bytes().all(|octet| octet.is_ascii_digit());
            plain.then(|| part.parse::<u16>().ok()).flatten()
        };
        let parts = text.split_once(':').and_then(|(h, m)| Some((digits(h)?, digits(m)?)));
        match parts {
            Some((hour, minute)) if hour < 24 && minute < 60 || (hour, minute) == (24, 0) => {
                Ok(Self(hour * 60 + minute))
            }
            Some(_) | None => Err("a time such as 09:00".to_owned()),
        }
    }
}

impl Schedule {
    /// What is wrong with it: the field, and what would do.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        if zone(&self.zone).is_none() {
            return Some(("when.zone", "an IANA time zone such as Europe/Berlin"));
        }
        if self.windows.len() > WINDOWS_MAX {
            return Some(("when.windows", "at most 64 windows"));
        }
        let date = |text: &String| text.parse::<jiff::civil::Date>().is_ok();
        if self.not_on.len() > DATES_MAX || !self.not_on.iter().all(date) {
            return Some(("when.not_on", "at most 400 dates such as 2026-12-25"));
        }
        None
    }

    /// Whether it holds at a moment, with the reason in words either way.
    pub fn holds(&self, at: UnixTime) -> (bool, String) {
        let Some(zone) = zone(&self.zone) else {
            return (false, format!("there is no time zone {}", self.zone));
        };
        let moment =
            i64::try_from(at.0).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
        let Some(moment) = moment else { return (false, "the time is out of range".to_owned()) };
        let local = moment.to_zoned(zone).datetime();
        let minute = Minute(local.hour() as u16 * 60 + local.minute() as u16);
        let (today, date) = (Day::of(local.weekday()), local.date());
        let yesterday = date.yesterday().ok();
        let now = format!("{} {} {}", word(today), String::from(minute), self.zone);
        let closed =
            |date: jiff::civil::Date| self.not_on.iter().any(|known| *known == date.to_string());
        let on = |window: &Window, day: Day| window.days.is_empty() || window.days.contains(&day);
        for window in &self.windows {
            let late = window.to <= window.from;
            let begun = minute >= window.from && (late || minute < window.to);
            if begun && on(window, today) && !closed(date) {
                return (true, format!("{now} is within {}", window.words()));
            }
            // The hours after midnight belong to the day on which the window began.
            if late
                && minute < window.to
                && let Some(before) = yesterday
                && on(window, Day::of(before.weekday()))
                && !closed(before)
            {
                return (true, format!("{now} is within {}", window.words()));
            }
        }
        if closed(date) {
            return (false, format!("{date} is left out"));
        }
        if self.windows.is_empty() {
            return (true, format!("{now}: always"));
        }
        let hours: Vec<_> = self.windows.iter().map(Window::words).collect();
        (false, format!("{now} is outside of {}", hours.join(", ")))
    }
}

impl Window {
    fn words(&self) -> String {
        let days: Vec<_> = self.days.iter().map(|day| word(*day)).collect();
        let days = if days.is_empty() { String::new() } else { format!("{} ", days.join(" ")) };
        format!("{days}{}-{}", String::from(self.from), String::from(self.to))
    }
}

const fn word(day: Day) -> &'static str {
    match day {
        Day::Mon => "Mon",
        Day::Tue => "Tue",
        Day::Wed => "Wed",
        Day::Thu => "Thu",
        Day::Fri => "Fri",
        Day::Sat => "Sat",
        Day::Sun => "Sun",
    }
}

/// From the tables inside the binary: the computer's own say something else on each machine.
fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}
