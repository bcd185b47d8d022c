//! Who may send on behalf of one side: the signalled address, or the one sender behind NAT.
//!
//! Picture     Unheard --from the signalled address--> Signalled
//!             Unheard --a candidate keeps on alone for LATCH_WAIT--> Latched
//!             Latched --the signalled address speaks--> Signalled
//! Rules       Candidates count only inside the window and only where NAT explains them: the same
//!             address with another port, or any public address when the signalled one is private.
//!             A latched sender is replaced only while it is silent and the window is open; each
//!             new description opens it again.
//! Limits      [`LATCH_WAIT`], [`LATCH_PACKETS`], [`LATCH_WINDOW`].
//! Not here    Who the far side is, counters, RTCP (it asks [`Source::latched`]).
//! Spec        RFC 7362 §4 (latching and its dangers).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use types::Instant;

/// How long the signalled address must be silent before another sender may take its place.
///
/// A sender that is not behind NAT speaks within one packet time, so a stranger who was faster gets
/// nothing; one behind NAT loses this much of its first words.
pub const LATCH_WAIT: Duration = Duration::from_millis(200);

/// Packets that a candidate must have sent in that time.
pub const LATCH_PACKETS: u8 = 5;

/// How long after both sides are known a sender may still be latched.
pub const LATCH_WINDOW: Duration = Duration::from_secs(60);

/// Where one side's RTP comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody was accepted yet.
    Unheard,
    /// The address of the description. Final until the next description.
    Signalled,
    /// Another sender, last heard then.
    Latched { from: SocketAddr, heard: Instant },
}

/// A sender that may become the latched one.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    likeness: Likeness,
    since: Instant,
    heard: Instant,
    packets: u8,
}

/// How well NAT explains a sender, the worse first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    PrivateBehindPublic,
    SameAddress,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It passes.
    Accepted,
    /// It passes, and its sender is now the one.
    Latched,
    /// It does not pass.
    Refused,
}

/// The learned source of one side.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    signalled: SocketAddr,
    state: State,
    candidate: Option<Candidate>,
    /// Candidates count until then; `None` while the far side has no address.
    until: Option<Instant>,
}

impl Source {
    pub(crate) fn new(signalled: SocketAddr) -> Self {
        Self { signalled, state: State::Unheard, candidate: None, until: None }
    }

    /// Both sides have an address from now on, or a new description came.
    pub(crate) fn open_window(&mut self, now: Instant) {
        self.until = Some(now + LATCH_WINDOW);
        self.candidate = None;
    }

    /// A new description. The same address keeps the latch, so that a session refresh does not cost
    /// the first words again.
    pub(crate) fn signal(&mut self, address: SocketAddr) {
        if address != self.signalled {
            *self = Self::new(address);
            return;
        }
        if self.state == State::Signalled {
            self.state = State::Unheard;
        }
    }

    /// The sender that was accepted in place of the signalled address.
    pub(crate) fn latched(&self) -> Option<SocketAddr> {
        match self.state {
            State::Latched { from, .. } => Some(from),
            State::Signalled | State::Unheard => None,
        }
    }

    /// The address of the description.
    pub(crate) const fn signalled(&self) -> SocketAddr {
        self.signalled
    }

    /// Where packets for this side go.
    pub(crate) fn target(&self) -> SocketAddr {
        self.latched().unwrap_or(self.signalled)
    }

    /// Judges a valid RTP packet, which may start or confirm a latch.
    pub(crate) fn admit(&mut self, from: SocketAddr, now: Instant) -> Admission {
        if from == self.signalled {
            self.state = State::Signalled;
            self.candidate = None;
            return Admission::Accepted;
        }
        let silent_since = match &mut self.state {
            State::Signalled => return Admission::Refused,
            State::Latched { from: held, heard } if *held == from => {
                *heard = now;
                return Admission::Accepted;
            }
            State::Latched { heard, .. } => Some(*heard),
            State::Unheard => None,
        };
        if self.until.is_none_or(|until| now > until) || !self.confirmed(from, silent_since, now) {
            return Admission::Refused;
        }
        self.state = State::Latched { from, heard: now };
        self.candidate = None;
        Admission::Latched
    }

    /// Whether nothing from there can pass, whatever it is.
    pub(crate) fn is_foreign(&self, from: SocketAddr) -> bool {
        let strange = likeness(self.signalled.ip(), from.ip()).is_none();
        from != self.signalled && (strange || self.state == State::Signalled)
    }

    /// Judges a packet that can prove nothing: control and handshakes pass only from a known
    /// sender.
    pub(crate) fn knows(&self, from: SocketAddr) -> bool {
        from == self.target() || from == self.signalled
    }

    /// Counts a candidate's packet; whether it has kept on long enough, alone.
    fn confirmed(&mut self, from: SocketAddr, silent: Option<Instant>, now: Instant) -> bool {
        let Some(likeness) = likeness(self.signalled.ip(), from.ip()) else { return false };
        let fresh = Candidate { from, likeness, since: now, heard: now, packets: 0 };
        let candidate = self.candidate.get_or_insert(fresh);
        if candidate.from != from {
            let gone = now.since(candidate.heard) >= LATCH_WAIT;
            if !gone && candidate.likeness >= likeness {
                return false;
            }
            *candidate = fresh;
        }
        if let Some(silent) = silent.filter(|silent| *silent > candidate.since) {
            candidate.since = silent;
            candidate.packets = 0;
        }
        candidate.heard = now;
        candidate.packets = candidate.packets.saturating_add(1);
        candidate.packets >= LATCH_PACKETS && now.since(candidate.since) >= LATCH_WAIT
    }
}

/// Whether NAT explains that a side which signalled `signalled` sends from `from`.
fn likeness(signalled: IpAddr, from: IpAddr) -> Option<Likeness> {
    let (signalled, from) = (signalled.to_canonical(), from.to_canonical());
    if signalled == from {
        return Some(Likeness::SameAddress);
    }
    let private = match signalled {
        IpAddr::V4(ip) => {
            let shared = ip.octets().first_chunk() == Some(&[100])
                && matches!(ip.octets(), [_, 64..=127, ..]);
            ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    (private && !from.is_loopback()).then_some(Likeness::PrivateBehindPublic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Packets (millisecond, sender) go in; accepted milliseconds come out.
    #[track_caller]
    fn check(signalled: &str, script: &[(u64, &str)], accepted: &[u64], target: &str) {
        let mut source = Source::new(at(signalled));
        source.open_window(Instant::millis(0));
        let passed: Vec<u64> = script
            .iter()
            .filter(|(ms, from)| source.admit(at(from), Instant::millis(*ms)) != Admission::Refused)
            .map(|(ms, _)| *ms)
            .collect();
        assert_eq!(passed, accepted);
        assert_eq!(source.target(), at(target));
    }

    const PHONE: &str = "198.51.100.7:4000";
    const NAT: &str = "198.51.100.7:61000";
    const EVIL: &str = "203.0.113.66:9";

    #[test]
    fn the_signalled_sender_passes_at_once_and_ends_all_others() {
        check(PHONE, &[(0, EVIL), (1, PHONE), (2, EVIL), (3, NAT), (4, PHONE)], &[1, 4], PHONE);
    }

    #[test]
    fn a_sender_behind_nat_is_latched_after_the_wait() {
        let script: Vec<_> = (0..15).map(|n| (n * 20, NAT)).collect();
        check(PHONE, &script, &[200, 220, 240, 260, 280], NAT);
    }

    #[test]
    fn a_foreign_sender_is_never_latched_for_a_public_address() {
        let script: Vec<_> = (0..200).map(|n| (n * 20, EVIL)).collect();
        check(PHONE, &script, &[], PHONE);
        check("127.0.0.1:4000", &script, &[], "127.0.0.1:4000");
    }

    #[test]
    fn a_private_address_may_arrive_from_a_public_one() {
        let script: Vec<_> = (0..12).map(|n| (n * 20, NAT)).collect();
        check("192.168.1.5:4000", &script, &[200, 220], NAT);
        check("100.64.1.5:4000", &script, &[200, 220], NAT);
        check("100.128.1.5:4000", &script, &[], "100.128.1.5:4000");
    }

    #[test]
    fn a_stranger_beside_the_latched_sender_is_refused() {
        let mut script: Vec<_> = (0..12).map(|n| (n * 20, NAT)).collect();
        script.extend(
            (0..50).flat_map(|n| [(1000 + n * 20, "198.51.100.7:5"), (1001 + n * 20, NAT)]),
        );
        let mut accepted = vec![200, 220];
        accepted.extend((0..50).map(|n| 1001 + n * 20));
        // The first packets of the stranger fall in a silence of the latched one; it must speak
        // alone for the wait.
        check(PHONE, &script, &accepted, NAT);
    }

    #[test]
    fn a_few_packets_or_a_late_start_latch_nothing() {
        check(PHONE, &[(0, NAT), (300, NAT), (600, NAT)], &[], PHONE);
        let late: Vec<_> = (0..50).map(|n| (60_001 + n * 20, NAT)).collect();
        check(PHONE, &late, &[], PHONE);
    }

    #[test]
    fn a_refresh_keeps_the_latch_and_a_new_address_ends_it() {
        let mut source = Source::new(at(PHONE));
        source.open_window(Instant::millis(0));
        for n in 0..11 {
            source.admit(at(NAT), Instant::millis(n * 20));
        }
        source.signal(at(PHONE));
        assert_eq!(source.target(), at(NAT));
        source.signal(at("198.51.100.8:4000"));
        assert_eq!(source.target(), at("198.51.100.8:4000"));
    }
}
