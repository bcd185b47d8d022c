//! Nonces that a server need not remember until they are used.
//!
//! A nonce is `time, counter, tag` in hexadecimal, the tag an HMAC over both and the source it was
//! given to. So a nonce is recognised by arithmetic, and only proofs that fitted leave an entry:
//! strangers cannot fill the table.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::digest::{Key, KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use types::{Rng, UnixTime};

use super::{Credentials, Ha1, Qop, Target, digit, from_hex};

/// How long a nonce may be used.
pub const NONCE_LIFE: Duration = Duration::from_secs(5 * 60);

/// Most used nonces remembered; beyond it the oldest becomes stale early.
pub const NONCES_MAX: usize = 32_768;

/// Octets of the tag that are kept.
const TAG: usize = 12;

/// Mints and recognises nonces, and counts their uses.
///
/// One per place that checks: a table that two places do not share cannot see a replay at the
/// other. The key may be shared, so that a nonce survives a restart and counts on every shard.
#[derive(Debug)]
pub struct Nonces {
    /// With the key in it: each tag begins with a copy.
    keyed: Hmac<Sha256>,
    counter: u32,
    used: BTreeMap<Stamp, Uses>,
    used_max: usize,
    /// Nonces up to here are stale when they are not in `used`: their count was dropped.
    floor: Option<Stamp>,
}

/// When a nonce was minted, and which of that moment.
type Stamp = (UnixTime, u32);

/// The highest nc seen, and which of the 64 up to it: requests overtake each other on UDP.
#[derive(Clone, Copy, Debug)]
struct Uses {
    highest: u32,
    seen: u64,
}

/// What a nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceVerdict {
    /// Not ours, or given to another source.
    Forged,
    /// Ours, young, and this nc is new.
    Fresh,
    /// Ours, but too old or used before: challenge again with `stale=true`.
    Stale,
}

/// What a proof is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// The user is who the proof says. The nonce is spent for this nc.
    Accepted,
    /// The nonce is not ours or was given to another source: challenge again.
    Forged,
    /// The proof fits, but its nonce is old or was used: challenge again with `stale=true`.
    Stale,
    /// Wrong password, user, method, URI, algorithm, or no `qop`.
    Wrong,
}

impl Nonces {
    /// `rng` gives the counter its start, so that two holders of one key do not mint the same.
    pub fn new(key: [u8; 32], rng: &mut Rng) -> Self {
        // HMAC takes a key of any length: a block of its hash is one that needs no check.
        let mut block = Key::<Hmac<Sha256>>::default();
        block.iter_mut().zip(key).for_each(|(octet, byte)| *octet = byte);
        Self {
            keyed: <Hmac<Sha256> as KeyInit>::new(&block),
            counter: rng.next_u64() as u32,
            used: BTreeMap::new(),
            used_max: NONCES_MAX,
            floor: None,
        }
    }

    /// Makes a nonce for a client at `source` (its address, without the port if it may change).
    pub fn mint(&mut self, now: UnixTime, source: &[u8]) -> String {
        self.counter = self.counter.wrapping_add(1);
        let stamp = (now, self.counter);
        let head = stamp_octets(stamp);
        let tag = self.tag(stamp, source).finalize().into_bytes();
        let mut nonce = String::with_capacity((head.len() + TAG) * 2);
        for octet in head.iter().chain(tag.iter().take(TAG)) {
            nonce.push(char::from(digit(octet >> 4)));
            nonce.push(char::from(digit(octet & 15)));
        }
        nonce
    }

    /// Judges a nonce without spending it.
    pub fn check(&self, nonce: &[u8], nc: u32, now: UnixTime, source: &[u8]) -> NonceVerdict {
        match self.recognise(nonce, source) {
            Some(stamp) => self.judge(stamp, nc, now),
            None => NonceVerdict::Forged,
        }
    }

    fn judge(&self, stamp: Stamp, nc: u32, now: UnixTime) -> NonceVerdict {
        let (minted, _) = stamp;
        // A nonce from the future was minted before our clock was set back.
        if now.since(minted) > NONCE_LIFE || minted.since(now) > NONCE_LIFE || nc == 0 {
            return NonceVerdict::Stale;
        }
        match self.used.get(&stamp) {
            Some(uses) if uses.holds(nc) => NonceVerdict::Stale,
            Some(_) => NonceVerdict::Fresh,
            None if self.floor.is_some_and(|floor| stamp <= floor) => NonceVerdict::Stale,
            None => NonceVerdict::Fresh,
        }
    }

    /// Marks one use of a nonce. Only for proofs that fitted, or strangers would push out the
    /// others.
    pub fn spend(&mut self, nonce: &[u8], nc: u32, now: UnixTime, source: &[u8]) {
        if let Some(stamp) = self.recognise(nonce, source) {
            self.mark(stamp, nc, now);
        }
    }

    fn mark(&mut self, stamp: Stamp, nc: u32, now: UnixTime) {
        self.used.entry(stamp).or_insert(Uses { highest: 0, seen: 0 }).add(nc);
        while let Some(oldest) = self.used.first_entry() {
            let (minted, _) = *oldest.key();
            if self.used.len() <= self.used_max && now.since(minted) <= NONCE_LIFE {
                break;
            }
            self.floor = self.used.pop_first().map(|(stamp, _)| stamp).max(self.floor);
        }
    }

    /// Checks a proof in full: nonce, then password, then use. The three in this order, because
    /// `stale=true` is for those who know the password, and only they may leave an entry.
    ///
    /// `ha1`: `None` for an unknown user.
    ///
    /// Spec: RFC 7616 §3.3 (stale), §3.4.6, §5.5
    pub fn admit(
        &mut self,
        credentials: &Credentials<'_>,
        ha1: Option<&Ha1>,
        target: Target<'_>,
        source: &[u8],
        now: UnixTime,
    ) -> Admission {
        let Qop::Auth { nc, .. } = credentials.qop else { return Admission::Wrong };
        let Some(stamp) = self.recognise(&credentials.nonce, source) else {
            return Admission::Forged;
        };
        let verdict = self.judge(stamp, nc, now);
        if !credentials.verify(ha1, target) {
            return Admission::Wrong;
        }
        if verdict == NonceVerdict::Stale {
            return Admission::Stale;
        }
        self.mark(stamp, nc, now);
        Admission::Accepted
    }

    /// How many used nonces are remembered.
    pub fn used(&self) -> usize {
        self.used.len()
    }

    /// When this nonce was minted, if by us for `source`.
    fn recognise(&self, nonce: &[u8], source: &[u8]) -> Option<Stamp> {
        let octets = from_hex(nonce)?;
        let (time, rest) = octets.split_first_chunk::<8>()?;
        let (counter, tag) = rest.split_first_chunk::<4>()?;
        let stamp = (UnixTime(u64::from_be_bytes(*time)), u32::from_be_bytes(*counter));
        let whole = tag.len() == TAG;
        (whole && self.tag(stamp, source).verify_truncated_left(tag).is_ok()).then_some(stamp)
    }

    fn tag(&self, stamp: Stamp, source: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(&stamp_octets(stamp));
        mac.update(source);
        mac
    }
}

impl Uses {
    /// Whether `nc` was used, or is so far behind that nobody knows.
    fn holds(self, nc: u32) -> bool {
        match self.highest.checked_sub(nc) {
            None => false,
            Some(behind) => behind >= u64::BITS || self.seen >> behind & 1 == 1,
        }
    }

    fn add(&mut self, nc: u32) {
        match nc.checked_sub(self.highest) {
            Some(ahead) => {
                self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = nc;
            }
            None => self.seen |= 1u64.checked_shl(self.highest - nc).unwrap_or(0),
        }
    }
}

fn stamp_octets((minted, counter): Stamp) -> [u8; 12] {
    let mut octets = [0; 12];
    let bytes = minted.0.to_be_bytes().into_iter().chain(counter.to_be_bytes());
    octets.iter_mut().zip(bytes).for_each(|(octet, byte)| *octet = byte);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const HERE: &[u8] = b"192.0.2.1";

    fn nonces() -> Nonces {
        Nonces::new(KEY, &mut Rng::from_number(1))
    }

    #[test]
    fn a_nonce_counts_once_per_nc() {
        let mut nonces = nonces();
        let start = UnixTime::seconds(1_000_000);
        let nonce = nonces.mint(start, HERE);
        let nonce = nonce.as_bytes();
        // In order, overtaken within the window, far behind it, and again.
        for (nc, expected) in [
            (1, NonceVerdict::Fresh),
            (1, NonceVerdict::Stale),
            (3, NonceVerdict::Fresh),
            (2, NonceVerdict::Fresh),
            (2, NonceVerdict::Stale),
            (3, NonceVerdict::Stale),
            (0, NonceVerdict::Stale),
            (200, NonceVerdict::Fresh),
            (100, NonceVerdict::Stale),
            (137, NonceVerdict::Fresh),
            (136, NonceVerdict::Stale),
            (u32::MAX, NonceVerdict::Fresh),
            (201, NonceVerdict::Stale),
        ] {
            assert_eq!(nonces.check(nonce, nc, start, HERE), expected, "nc {nc}");
            if expected == NonceVerdict::Fresh {
                nonces.spend(nonce, nc, start, HERE);
            }
        }
        assert_eq!(nonces.used(), 1);
    }

    #[test]
    fn nonces_grow_old() {
        let mut nonces = nonces();
        let start = UnixTime::seconds(1_000_000);
        let nonce = nonces.mint(start, HERE);
        let verdict = |now| nonces.check(nonce.as_bytes(), 1, now, HERE);
        assert_eq!(verdict(start + NONCE_LIFE), NonceVerdict::Fresh);
        assert_eq!(verdict(start + NONCE_LIFE + Duration::from_micros(1)), NonceVerdict::Stale);
        assert_eq!(verdict(UnixTime::seconds(1_000_000 - 60)), NonceVerdict::Fresh);
        assert_eq!(verdict(UnixTime::seconds(1_000_000 - 3_600)), NonceVerdict::Stale);
    }

    #[test]
    fn what_we_did_not_mint_for_this_source_is_forged() {
        let mut nonces = nonces();
        let now = UnixTime::seconds(1_000_000);
        let nonce = nonces.mint(now, HERE);
        let check = |text: &[u8], source: &[u8]| nonces.check(text, 1, now, source);
        assert_eq!(check(nonce.as_bytes(), HERE), NonceVerdict::Fresh);
        assert_eq!(check(nonce.as_bytes(), b"192.0.2.2"), NonceVerdict::Forged);
        assert_eq!(check(b"dcd98b7102dd2f0e8b11d0f600bfb0c093", HERE), NonceVerdict::Forged);
        assert_eq!(check(b"", HERE), NonceVerdict::Forged);
        for at in 0..nonce.len() {
            let mut bent = nonce.clone().into_bytes();
            bent[at] = if bent[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(check(&bent, HERE), NonceVerdict::Forged, "at {at}");
            assert_eq!(check(&nonce.as_bytes()[..at], HERE), NonceVerdict::Forged, "cut at {at}");
        }
        let other = Nonces::new([8; 32], &mut Rng::from_number(1));
        assert_eq!(other.check(nonce.as_bytes(), 1, now, HERE), NonceVerdict::Forged);
    }

    #[test]
    fn two_nonces_of_one_moment_differ() {
        let mut nonces = nonces();
        assert_ne!(nonces.mint(UnixTime(5), HERE), nonces.mint(UnixTime(5), HERE));
    }

    #[test]
    fn a_full_table_makes_the_oldest_stale() {
        let mut nonces = nonces();
        nonces.used_max = 3;
        let minted: Vec<_> =
            (0..5).map(|n| nonces.mint(UnixTime::seconds(1_000 + n), HERE)).collect();
        let now = UnixTime::seconds(1_010);
        for nonce in &minted {
            nonces.spend(nonce.as_bytes(), 1, now, HERE);
        }
        assert_eq!(nonces.used(), 3);
        let verdicts: Vec<_> =
            minted.iter().map(|nonce| nonces.check(nonce.as_bytes(), 2, now, HERE)).collect();
        use NonceVerdict::{Fresh, Stale};
        assert_eq!(verdicts, [Stale, Stale, Fresh, Fresh, Fresh]);
        // The old ones go by themselves.
        let later = now + NONCE_LIFE * 2;
        let nonce = nonces.mint(later, HERE);
        nonces.spend(nonce.as_bytes(), 1, later, HERE);
        assert_eq!(nonces.used(), 1);
    }
}
