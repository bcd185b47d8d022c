//! Who may have one call more: counts of calls by trunk and by user, exact because one shard keeps each.
//!
//! Picture     a call's session --Seize--> the home slot of the line's name --Seized--> the session's room
//!             the session ends --Release--> the same
//! Rules       The home slot counts; nobody else does. A session holds a line once. The end of a session lets all its
//!             lines go, however it ends. After a restart calls that came back take their lines again, limit or not.
//! Limits      those of the asker: calls at once, new ones per second.
//! Not here    Which calls need a line (hunt, services/calls), what a full one means.
//! Spec        none

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use types::{Instant, SessionId, Slot};

use crate::core::Core;
use crate::input::{Mail, Ticket};

/// What calls are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Line {
    /// Calls over a trunk, both ways.
    Trunk(String),
    /// Calls of a user, both ways.
    User(String),
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trunk(name) => write!(f, "trunk/{name}"),
            Self::User(name) => write!(f, "user/{name}"),
        }
    }
}

impl Line {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/')? {
            ("trunk", name) => Some(Self::Trunk(name.to_owned())),
            ("user", name) => Some(Self::User(name.to_owned())),
            _ => None,
        }
    }

    /// The trunk's or the user's name: its home slot keeps the line.
    pub fn name(&self) -> &str {
        match self {
            Self::Trunk(name) | Self::User(name) => name,
        }
    }
}

/// How many calls there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// At once.
    pub calls: Option<u32>,
    /// New ones in a second; as many may come at the same moment.
    pub per_second: Option<u32>,
}

/// Which limit said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Full {
    /// Too many calls at once.
    Calls,
    /// Too many new calls.
    Rate,
}

/// One line on its home shard.
#[derive(Debug, Default)]
struct Held {
    sessions: BTreeSet<SessionId>,
    /// When the next call would be in step with the rate. Units: microseconds of the shard's clock.
    next: u64,
}

/// The lines whose home is this shard, and what sessions of this shard hold anywhere.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: BTreeMap<Line, Held>,
    of: BTreeMap<SessionId, Vec<Line>>,
}

impl Lines {
    fn seize(
        &mut self,
        line: Line,
        session: SessionId,
        allowance: Allowance,
        now: Instant,
    ) -> Result<(), Full> {
        let held = self.held.entry(line).or_default();
        if held.sessions.contains(&session) {
            return Ok(());
        }
        if allowance.calls.is_some_and(|most| held.sessions.len() >= most as usize) {
            return Err(Full::Calls);
        }
        if let Some(rate) = allowance.per_second {
            // A bucket by its empty time: full again one second after the last call.
            let gap = 1_000_000 / u64::from(rate.max(1));
            if rate == 0 || held.next > now.0.saturating_add(1_000_000 - gap) {
                return Err(Full::Rate);
            }
            held.next = held.next.max(now.0) + gap;
        }
        held.sessions.insert(session);
        Ok(())
    }

    fn release(&mut self, line: &Line, session: SessionId, now: Instant) {
        if let Some(held) = self.held.get_mut(line) {
            held.sessions.remove(&session);
            if held.sessions.is_empty() && held.next <= now.0 {
                self.held.remove(line);
            }
        }
    }

    /// What a session of this shard holds.
    pub fn of(&self, session: SessionId) -> Vec<Line> {
        self.of.get(&session).cloned().unwrap_or_default()
    }

    /// Calls that hold a line of this shard.
    pub fn count(&self, line: &Line) -> usize {
        self.held.get(line).map_or(0, |held| held.sessions.len())
    }
}

impl Core {
    /// Asks the home of a line for one call more.
    pub(crate) fn seize(
        &mut self,
        line: Line,
        session: SessionId,
        allowance: Allowance,
        ticket: Ticket,
    ) {
        let slot = self.line_home(&line);
        let lines = self.lines.of.entry(session).or_default();
        if !lines.contains(&line) {
            lines.push(line.clone());
        }
        self.mail(slot, Mail::Seize { line, session, allowance, ticket });
    }

    /// Lets one line of a session go.
    pub(crate) fn release(&mut self, line: &Line, session: SessionId) {
        if let Some(lines) = self.lines.of.get_mut(&session) {
            lines.retain(|known| known != line);
            if lines.is_empty() {
                self.lines.of.remove(&session);
            }
        }
        let slot = self.line_home(line);
        self.mail(slot, Mail::Release { line: line.clone(), session });
    }

    /// The session is over: all its lines go.
    pub(crate) fn release_all(&mut self, session: SessionId) {
        for line in self.lines.of.remove(&session).unwrap_or_default() {
            let slot = self.line_home(&line);
            self.mail(slot, Mail::Release { line, session });
        }
    }

    /// At the line's home.
    pub(crate) fn line_seize(
        &mut self,
        line: Line,
        session: SessionId,
        allowance: Allowance,
        ticket: Ticket,
    ) {
        let granted = self.lines.seize(line, session, allowance, self.clock.now);
        self.mail(session.slot(), Mail::Seized { session, ticket, granted });
    }

    /// At the line's home.
    pub(crate) fn line_release(&mut self, line: &Line, session: SessionId) {
        self.lines.release(line, session, self.clock.now);
    }

    pub(crate) fn line_home(&self, line: &Line) -> Slot {
        self.home(line.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::millis(millis)
    }

    #[test]
    fn calls_at_once_are_counted_exactly() {
        let mut lines = Lines::default();
        let line = || Line::Trunk("acme".into());
        let two = Allowance { calls: Some(2), per_second: None };
        let mut ask = |session: u128| lines.seize(line(), SessionId(session), two, at(0));
        assert_eq!(ask(1), Ok(()));
        assert_eq!(ask(1), Ok(())); // The same call again.
        assert_eq!(ask(2), Ok(()));
        assert_eq!(ask(3), Err(Full::Calls));
        lines.release(&line(), SessionId(3), at(0));
        assert_eq!(lines.count(&line()), 2);
        lines.release(&line(), SessionId(1), at(0));
        assert_eq!(lines.seize(line(), SessionId(3), two, at(0)), Ok(()));
        // A call that came back after a restart counts, whatever the limit.
        assert_eq!(lines.seize(line(), SessionId(4), Allowance::default(), at(0)), Ok(()));
        assert_eq!(lines.count(&line()), 3);
        for session in 0..9 {
            lines.release(&line(), SessionId(session), at(0));
        }
        assert!(lines.held.is_empty());
    }

    #[test]
    fn new_calls_keep_to_the_rate() {
        let mut lines = Lines::default();
        let rate = Allowance { calls: None, per_second: Some(4) };
        let mut session = 0;
        let mut ask = |millis: u64| {
            session += 1;
            lines.seize(Line::Trunk("acme".into()), SessionId(session), rate, at(millis)).is_ok()
        };
        assert_eq!([0, 0, 0, 0, 0].map(&mut ask), [true, true, true, true, false]);
        assert_eq!([249, 250, 250, 500].map(&mut ask), [false, true, false, true]);
        assert_eq!([9_000; 5].map(&mut ask), [true, true, true, true, false]);
        let none = Allowance { per_second: Some(0), ..Allowance::default() };
        assert_eq!(lines.seize(Line::User("x".into()), SessionId(1), none, at(0)), Err(Full::Rate));
    }
}
