//! The only clock: monotonic time since the start, and the date, which does not go back while we run.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use switchboard::Clock;
use types::UnixTime;

/// The clocks of one thread. All of a process share the start.
#[derive(Clone, Debug)]
pub struct Ticker {
    started: Instant,
    latest: UnixTime,
}

impl Ticker {
    /// Starts now.
    pub fn start() -> Self {
        Self { started: Instant::now(), latest: UnixTime(0) }
    }

    /// Both clocks.
    pub fn read(&mut self) -> Clock {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        // A date that was set back would bring saved deadlines out of order; it waits until the time is reached again.
        self.latest = self.latest.max(unix());
        Clock { now: types::Instant(now), unix: self.latest }
    }
}

/// The date.
pub fn unix() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
