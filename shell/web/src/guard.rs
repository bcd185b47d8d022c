//! Who is the administrator, and who is guessing.
//!
//! A wrong token costs its address one credit; credits come back one a second. Without credit no token is looked at,
//! so that guessing is slow. An address that showed the right token lately is always heard: behind one proxy or one
//! loopback address a stranger's guesses must not lock the administrator out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use switchboard::link;

use crate::refusal::Refusal;

/// Wrong tokens of one address in a row; then `web.too_many_failures`.
pub const FAILURES_MAX: u32 = 20;
/// Addresses that are remembered. Wrong tokens from more get `web.too_many_failures`.
pub const ADDRESSES_MAX: usize = 8_192;
/// How long an address is heard after it showed the right token.
const PROVED_FOR: Duration = Duration::from_secs(600);
/// After this time one credit comes back.
const REFILL: Duration = Duration::from_secs(1);

pub struct Guard {
    key: [u8; 32],
    /// A digest of the token: comparing digests tells neither length nor content by its time.
    expected: String,
    sources: Mutex<HashMap<IpAddr, Source>>,
}

struct Source {
    credit: u32,
    /// The moment that `credit` was true at.
    at: Instant,
    proved: Option<Instant>,
}

impl Guard {
    pub fn new(key: [u8; 32], token: &str) -> Self {
        let expected = link::token(&key, PURPOSE, token);
        Self { key, expected, sources: Mutex::new(HashMap::new()) }
    }

    /// Lets the administrator in.
    pub fn admit(&self, from: IpAddr, token: Option<&str>, now: Instant) -> Result<(), Refusal> {
        // No token is no guess.
        let token = token.ok_or(Refusal::Unauthorized)?;
        let shown = link::token(&self.key, PURPOSE, token);
        let right = link::same(shown.as_bytes(), self.expected.as_bytes());
        self.weigh(from, right, now)
    }

    /// Lets in who shows the account, or a key of it: `name:secret`.
    pub fn admit_app(
        &self,
        from: IpAddr,
        shown: Option<&str>,
        now: Instant,
    ) -> Result<(), Refusal> {
        match shown.and_then(|shown| shown.split_once(':')) {
            Some((name, secret)) if is_key(name) => {
                let expected = link::key_secret(&self.key, name);
                self.weigh(from, link::same(secret.as_bytes(), expected.as_bytes()), now)
            }
            Some(_) | None => self.admit(from, shown, now),
        }
    }

    fn weigh(&self, from: IpAddr, right: bool, now: Instant) -> Result<(), Refusal> {
        let from = network(from);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get_mut(&from) {
            source.refill(now);
            if source.credit == 0 && !source.proved_lately(now) {
                return Err(Refusal::TooManyFailures);
            }
        }
        if !sources.contains_key(&from) && sources.len() >= ADDRESSES_MAX {
            sources.retain(|_, source| source.worth_keeping(now));
        }
        if !sources.contains_key(&from) && sources.len() >= ADDRESSES_MAX {
            return if right { Ok(()) } else { Err(Refusal::TooManyFailures) };
        }
        let fresh = Source { credit: FAILURES_MAX, at: now, proved: None };
        let source = sources.entry(from).or_insert(fresh);
        if right {
            source.proved = Some(now);
            return Ok(());
        }
        let Some(rest) = source.credit.checked_sub(1) else {
            return Err(Refusal::TooManyFailures);
        };
        source.credit = rest;
        Err(Refusal::Unauthorized)
    }
}

const PURPOSE: &str = "administrator";

/// Whether this names a key of an app; whether there is such a one is for the room to know.
pub fn is_key(name: &str) -> bool {
    name.strip_prefix("SK").is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|octet| octet.is_ascii_hexdigit())
    })
}

impl Source {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let back = u32::try_from(passed.as_secs() / REFILL.as_secs()).unwrap_or(FAILURES_MAX);
        if back > 0 {
            self.credit = self.credit.saturating_add(back).min(FAILURES_MAX);
            self.at = now;
        }
    }

    fn proved_lately(&self, now: Instant) -> bool {
        self.proved.is_some_and(|then| now.saturating_duration_since(then) < PROVED_FOR)
    }

    fn worth_keeping(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.credit < FAILURES_MAX || self.proved_lately(now)
    }
}

/// One subscriber line of IPv6 has 2^64 addresses: they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let high = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn guessing_is_slowed_and_others_are_not_harmed() {
        let guard = Guard::new([1; 32], "right");
        let start = Instant::now();
        let ask = |from: u8, token: &str, second: u64| {
            guard.admit(address(from), Some(token), start + Duration::from_secs(second))
        };
        for _ in 0..FAILURES_MAX {
            assert_eq!(ask(1, "wrong", 0), Err(Refusal::Unauthorized));
        }
        assert_eq!(ask(1, "wrong", 0), Err(Refusal::TooManyFailures));
        assert_eq!(ask(1, "right", 0), Err(Refusal::TooManyFailures), "not an oracle");
        assert_eq!(ask(2, "right", 0), Ok(()));
        assert_eq!(ask(1, "wrong", 1), Err(Refusal::Unauthorized));
        assert_eq!(ask(1, "wrong", 1), Err(Refusal::TooManyFailures));
        assert_eq!(ask(1, "right", 2), Ok(()));
        // Proved: its guesses are refused, its right token is heard.
        for _ in 0..100 {
            ask(1, "wrong", 2).unwrap_err();
        }
        assert_eq!(ask(1, "wrong", 2), Err(Refusal::TooManyFailures));
        assert_eq!(ask(1, "right", 2), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_administrator_still_gets_in() {
        let guard = Guard::new([1; 32], "right");
        let now = Instant::now();
        for n in 0..ADDRESSES_MAX as u32 + 10 {
            let from = IpAddr::from((n | 0x0a00_0000).to_be_bytes());
            guard.admit(from, Some("wrong"), now).unwrap_err();
        }
        assert_eq!(guard.sources.lock().unwrap().len(), ADDRESSES_MAX);
        assert_eq!(guard.admit(address(9), Some("wrong"), now), Err(Refusal::TooManyFailures));
        assert_eq!(guard.admit(address(9), Some("right"), now), Ok(()));
        let later = now + Duration::from_secs(60);
        assert_eq!(guard.admit(address(9), Some("wrong"), later), Err(Refusal::Unauthorized));
        assert_eq!(guard.sources.lock().unwrap().len(), 1);
    }

    #[test]
    fn addresses_of_one_line_count_as_one() {
        let a: IpAddr = "2001:db8::1".parse().unwrap();
        let b: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_eq!(network(mapped), address(1));
    }
}
