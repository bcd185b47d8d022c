//! Push providers of the fake world: they take, refuse, delay and lose.

use std::collections::BTreeMap;
use std::time::Duration;

use pns::{Delivery, Outcome};
use types::Rng;

/// What one token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Pushes come through.
    Good,
    /// The app is gone from the device.
    Gone,
    /// The provider asks for patience so many times, then takes it.
    Busy(u8),
}

/// All providers together.
#[derive(Debug, Default)]
pub struct Providers {
    tokens: BTreeMap<String, TokenState>,
    /// Deliveries that came, ever.
    pub asked: u64,
}

/// What becomes of one delivery.
#[derive(Debug)]
pub struct Fate {
    /// What the provider says, and when.
    pub answer: (Duration, Outcome),
    /// When the device gets it; several times, or never.
    pub arrivals: Vec<Duration>,
}

impl Providers {
    /// Says what a token is worth.
    pub fn set(&mut self, prid: &str, state: TokenState) {
        self.tokens.insert(prid.to_owned(), state);
    }

    /// What a token is worth.
    pub fn state(&self, prid: &str) -> TokenState {
        self.tokens.get(prid).copied().unwrap_or(TokenState::Gone)
    }

    /// Takes a delivery.
    pub fn deliver(&mut self, delivery: &Delivery, rng: &mut Rng) -> Fate {
        self.asked += 1;
        let wait = Duration::from_millis(20 + rng.below(300));
        let prid = &delivery.target.prid;
        match self.state(prid) {
            TokenState::Gone => {
                Fate { answer: (wait, Outcome::TokenGone { since: None }), arrivals: Vec::new() }
            }
            TokenState::Busy(times) if times > 0 => {
                self.set(prid, TokenState::Busy(times - 1));
                let outcome = match rng.below(3) {
                    0 => Outcome::Unreachable,
                    1 => Outcome::RetryAfter { seconds: None },
                    _ => Outcome::RetryAfter { seconds: Some(1) },
                };
                Fate { answer: (wait, outcome), arrivals: Vec::new() }
            }
            TokenState::Busy(_) | TokenState::Good => {
                let mut arrivals = Vec::new();
                if !rng.percent(5) {
                    arrivals.push(wait + Duration::from_millis(rng.below(900)));
                }
                if rng.percent(10) {
                    arrivals.push(wait + Duration::from_millis(rng.below(3_000)));
                }
                Fate { answer: (wait, Outcome::Accepted { id: None }), arrivals }
            }
        }
    }
}
