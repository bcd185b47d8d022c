//! Who guesses passwords: failures per source and per user, with an end.
//!
//! A source that fails too often is refused without a check until its window is over. A user who is guessed at from
//! many sources stays reachable for the source that proved itself last.

use std::net::IpAddr;

use types::{HashKey, Instant, Map, Seconds};

/// Wrong proofs that one source may offer in a window.
pub const SOURCE_FAILURES_MAX: u32 = 30;
/// Wrong proofs for one user, from all sources together, in a window.
pub const USER_FAILURES_MAX: u32 = 100;
/// Length of a window.
pub const WINDOW: Seconds = Seconds(60);
/// Sources and users that are remembered; beyond it all of them are forgotten at once.
const ENTRIES_MAX: usize = 100_000;
/// Longest user name that is remembered, in octets; longer ones count for their source only.
const NAME_MAX: usize = 128;

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Guard {
    sources: Map<IpAddr, Failures>,
    users: Map<String, (Failures, Option<IpAddr>)>,
}

impl Guard {
    pub(crate) fn new(key: HashKey) -> Self {
        Self { sources: Map::with_hasher(key), users: Map::with_hasher(key) }
    }

    /// Whether a proof from here may be looked at. `at_home`: this user is registered from there.
    pub fn admits(&self, source: IpAddr, user: &str, at_home: bool, now: Instant) -> bool {
        let source = neighbourhood(source);
        let over =
            |failures: &Failures, max| failures.count >= max && now < failures.since + WINDOW;
        if self.sources.get(&source).is_some_and(|failures| over(failures, SOURCE_FAILURES_MAX)) {
            return false;
        }
        !self.users.get(user).is_some_and(|(failures, good)| {
            over(failures, USER_FAILURES_MAX) && !at_home && *good != Some(source)
        })
    }

    /// A wrong proof.
    pub fn failed(&mut self, source: IpAddr, user: &str, now: Instant) {
        let source = neighbourhood(source);
        if self.sources.len() >= ENTRIES_MAX || self.users.len() >= ENTRIES_MAX {
            self.sources.clear();
            self.users.clear();
        }
        let fresh = Failures { since: now, count: 0 };
        let add = |failures: &mut Failures| {
            if now >= failures.since + WINDOW {
                *failures = fresh;
            }
            failures.count += 1;
        };
        add(self.sources.entry(source).or_insert(fresh));
        if user.len() <= NAME_MAX {
            add(&mut self.users.entry(user.to_owned()).or_insert((fresh, None)).0);
        }
    }

    /// A right proof: remembered only for users who are being guessed at.
    pub fn proved(&mut self, source: IpAddr, user: &str) {
        if let Some((_, good)) = self.users.get_mut(user) {
            *good = Some(neighbourhood(source));
        }
    }

    /// Forgets windows that are over.
    pub fn sweep(&mut self, now: Instant) {
        self.sources.retain(|_, failures| now < failures.since + WINDOW);
        self.users.retain(|_, (failures, _)| now < failures.since + WINDOW);
    }
}

/// Who has one address of IPv6 has the 2^64 beside it as well.
pub(crate) fn neighbourhood(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_throttled_and_the_victim_is_not_locked_out() {
        let mut guard = Guard::new(HashKey::default());
        let [thief, home]: [IpAddr; 2] =
            ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let now = Instant::seconds(10);
        for _ in 0..SOURCE_FAILURES_MAX {
            assert!(guard.admits(thief, "alice", false, now));
            guard.failed(thief, "alice", now);
        }
        assert!(
            !guard.admits(thief, "alice", false, now) && !guard.admits(thief, "bob", false, now)
        );
        assert!(guard.admits(home, "alice", false, now));
        guard.proved(home, "alice");
        for n in 0..200u8 {
            guard.failed(IpAddr::from([198, 51, 100, n]), "alice", now);
        }
        assert!(guard.admits(home, "alice", false, now));
        assert!(!guard.admits("203.0.113.9".parse().unwrap(), "alice", false, now));
        assert!(guard.admits(thief, "alice", false, now + WINDOW));
    }
}
