//! Whose messages came to nothing: how many of them are still answered, and what the log hears of it.
//!
//! A source has a store of answers to messages that leave no trace here. Each such answer takes one away, time and
//! proofs give them back; with none left such messages have no answer at all. What belongs to a call, or proves its
//! sender, is never counted: whoever writes the address of another on his datagrams cannot shut that one out of his calls.
//! Datagrams and streams of one address have separate stores, since nobody can forge the other end of a stream.

use std::net::IpAddr;

use types::{Flow, HashKey, Instant, Map, Seconds, Transport};

use crate::guard::neighbourhood;

/// Answers without a proof that one source may have at once.
pub const ANSWERS_BURST: u32 = 2_000;
/// Answers without a proof that one source gets back each second.
pub const ANSWERS_RATE: u32 = 500;
/// Log lines about one source: one in this time, with the number of what it stands for.
pub const LINE_EVERY: Seconds = Seconds(1);
/// Log lines about all sources together in [`LINE_EVERY`]; the others are counted only.
pub const LINES_MAX: u32 = 20;
/// Sources that are remembered; beyond it all of them are forgotten at once.
const ENTRIES_MAX: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Source {
    answers: u32,
    /// When answers were given back last.
    filled: Instant,
    /// When the log heard of it last.
    said: Option<Instant>,
    /// What it has not heard of.
    unsaid: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Suspects {
    sources: Map<(IpAddr, bool), Source>,
    /// The begin of a span of [`LINE_EVERY`], and the lines in it.
    lines: (Instant, u32),
}

impl Suspects {
    pub(crate) fn new(key: HashKey) -> Self {
        Self { sources: Map::with_hasher(key), lines: (Instant::default(), 0) }
    }

    /// Whether a message from here that leaves no trace is answered. The answer is taken from its store.
    pub fn answers(&mut self, flow: Flow, now: Instant) -> bool {
        let source = self.source(flow, now);
        let left = source.answers.checked_sub(1);
        source.answers = left.unwrap_or(0);
        left.is_some()
    }

    /// Somebody there proved who he is: the challenge that he had to ask for was no waste.
    pub fn proved(&mut self, flow: Flow) {
        if let Some(source) = self.sources.get_mut(&place(flow)) {
            source.answers = (source.answers + 1).min(ANSWERS_BURST);
        }
    }

    /// Something that came to nothing. For how many such a line of the log is due; `None`: none is.
    pub fn line(&mut self, flow: Flow, now: Instant) -> Option<u64> {
        if now >= self.lines.0 + LINE_EVERY {
            self.lines = (now, 0);
        }
        let full = self.lines.1 >= LINES_MAX;
        let source = self.source(flow, now);
        source.unsaid += 1;
        if full || source.said.is_some_and(|said| now < said + LINE_EVERY) {
            return None;
        }
        source.said = Some(now);
        let times = std::mem::take(&mut source.unsaid);
        self.lines.1 += 1;
        Some(times)
    }

    /// Forgets sources of which there is nothing to remember, and the room that they took.
    pub fn sweep(&mut self, now: Instant) {
        self.sources.retain(|_, source| {
            source.fill(now);
            let said = source.said.is_some_and(|said| now < said + LINE_EVERY);
            source.answers < ANSWERS_BURST || said
        });
        if self.sources.len() * 4 < self.sources.capacity() {
            self.sources.shrink_to_fit();
        }
    }

    fn source(&mut self, flow: Flow, now: Instant) -> &mut Source {
        if self.sources.len() >= ENTRIES_MAX {
            self.sources.clear();
        }
        let fresh = Source { answers: ANSWERS_BURST, filled: now, said: None, unsaid: 0 };
        let source = self.sources.entry(place(flow)).or_insert(fresh);
        source.fill(now);
        source
    }
}

impl Source {
    /// Gives back what time has brought, in whole answers.
    fn fill(&mut self, now: Instant) {
        let passed = now.since(self.filled).as_millis() as u64;
        let due = passed.saturating_mul(u64::from(ANSWERS_RATE)) / 1_000;
        if due > 0 {
            // The rest of the span stays, so that many small ones give as much as one.
            self.filled = Instant(self.filled.0 + due * 1_000_000 / u64::from(ANSWERS_RATE));
            let due = u32::try_from(due).unwrap_or(ANSWERS_BURST);
            self.answers = self.answers.saturating_add(due).min(ANSWERS_BURST);
        }
    }
}

fn place(flow: Flow) -> (IpAddr, bool) {
    (neighbourhood(flow.remote.ip()), flow.transport == Transport::Udp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(remote: &str, transport: Transport) -> Flow {
        Flow { transport, listener: 0, connection: 0, remote: remote.parse().unwrap() }
    }

    #[test]
    fn a_source_is_answered_as_often_as_its_store_bears() {
        let mut suspects = Suspects::new(HashKey::default());
        let [loud, calm] = ["192.0.2.1:5", "192.0.2.2:5"].map(|at| flow(at, Transport::Udp));
        let begin = Instant::seconds(10);
        let heard = (0..20_000).filter(|_| suspects.answers(loud, begin)).count();
        assert_eq!(heard, ANSWERS_BURST as usize);
        assert!(suspects.answers(calm, begin), "another address is unharmed");
        let stream = Flow { transport: Transport::Tcp, ..loud };
        assert!(suspects.answers(stream, begin), "and so is a stream, which cannot be forged");
        let later = begin + Seconds(1);
        let heard = (0..20_000).filter(|_| suspects.answers(loud, later)).count();
        assert_eq!(heard, ANSWERS_RATE as usize);
        suspects.proved(loud);
        assert!(suspects.answers(loud, later) && !suspects.answers(loud, later));
        suspects.sweep(later);
        assert_eq!(suspects.sources.len(), 1, "the others have all that they had");
        suspects.sweep(later + Seconds(60));
        assert_eq!((suspects.sources.len(), suspects.sources.capacity()), (0, 0));
    }

    #[test]
    fn small_steps_of_time_give_back_as_much_as_large_ones() {
        let mut suspects = Suspects::new(HashKey::default());
        let loud = flow("192.0.2.1:5", Transport::Udp);
        let begin = Instant::seconds(10);
        while suspects.answers(loud, begin) {}
        let mut heard = 0;
        for millis in 1..=1_000 {
            let now = begin + std::time::Duration::from_millis(millis);
            heard += u32::from(suspects.answers(loud, now));
        }
        assert_eq!(heard, ANSWERS_RATE);
    }

    #[test]
    fn the_log_hears_once_a_second_of_each_and_of_so_many_at_all() {
        let mut suspects = Suspects::new(HashKey::default());
        let loud = flow("[2001:db8::1]:5", Transport::Udp);
        let neighbour = flow("[2001:db8::2]:7", Transport::Udp);
        let now = Instant::seconds(10);
        assert_eq!(suspects.line(loud, now), Some(1));
        assert!((0..99).all(|_| suspects.line(neighbour, now).is_none()));
        assert_eq!(suspects.line(loud, now + LINE_EVERY), Some(100));
        let lines = |suspects: &mut Suspects, now| {
            let all = (0..200).map(|n| flow(&format!("192.0.2.{n}:5"), Transport::Udp));
            all.filter(|flow| suspects.line(*flow, now).is_some()).count()
        };
        assert_eq!(lines(&mut suspects, now + Seconds(9)), LINES_MAX as usize);
        assert_eq!(lines(&mut suspects, now + Seconds(10)), LINES_MAX as usize);
    }

    #[test]
    fn more_sources_than_are_remembered_are_forgotten() {
        let mut suspects = Suspects::new(HashKey::default());
        for n in 0..2 * ENTRIES_MAX as u32 {
            let remote = std::net::SocketAddr::from((std::net::Ipv4Addr::from(n), 5));
            let flow = Flow { remote, ..flow("192.0.2.1:5", Transport::Udp) };
            assert!(suspects.answers(flow, Instant::seconds(10)));
            assert!(suspects.sources.len() <= ENTRIES_MAX);
        }
    }
}
