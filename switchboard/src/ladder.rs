//! The call ladder: what was said in a call, always on, bounded, redacted when it is read.
//!
//! Picture     one ring of octets per shard; a line knows its call; the oldest lines give way.
//! Rules       Recording copies the message and nothing else: redaction and words are made on reading.
//! Limits      `memory` octets per shard (setting `ladder.memory`); LINE_MAX octets of one message are kept, and its
//!             whole size.
//! Not here    What nobody may read (redact), who may read it (shell/web), the spill to disk.
//! Spec        none

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{CallId, Flow, UnixTime};

/// Octets of one message that are kept.
pub const LINE_MAX: usize = 8_192;

/// What a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// A note of ours: a decision, a refusal, what was tried.
    Note,
    /// A push to a provider, or its answer.
    Push,
    /// SIP that came.
    SipIn,
    /// SIP that left.
    SipOut,
    /// A request of the API that touched the call.
    Web,
}

/// One line as it crosses shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub time: UnixTime,
    /// Which lane.
    pub lane: Lane,
    /// The far end of SIP lines.
    pub flow: Option<Flow>,
    /// Octets of the message before it was cut.
    pub size: u32,
    /// The message, or words; at most LINE_MAX octets of it.
    pub text: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    call: CallId,
    time: UnixTime,
    lane: Lane,
    flow: Option<Flow>,
    /// Octets of this line in the ring.
    length: u32,
    /// Octets that it had.
    size: u32,
}

/// The ring of one shard.
#[derive(Debug)]
pub struct Ladder {
    lines: VecDeque<Kept>,
    octets: VecDeque<u8>,
    memory: usize,
    /// Lines that gave way, ever.
    pub dropped: u64,
}

impl Ladder {
    /// Keeps at most `memory` octets of messages.
    pub fn new(memory: usize) -> Self {
        Self { lines: VecDeque::new(), octets: VecDeque::new(), memory, dropped: 0 }
    }

    /// Adds one line, whole.
    pub fn note(
        &mut self,
        call: CallId,
        time: UnixTime,
        lane: Lane,
        flow: Option<Flow>,
        text: &[u8],
    ) {
        let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.keep(Kept { call, time, lane, flow, length: 0, size }, text);
    }

    /// Adds a line that came from another shard.
    pub fn add(&mut self, call: CallId, line: &Line) {
        let Line { time, lane, flow, size, ref text } = *line;
        self.keep(Kept { call, time, lane, flow, length: 0, size }, text);
    }

    fn keep(&mut self, line: Kept, text: &[u8]) {
        let text = text.get(..LINE_MAX).unwrap_or(text);
        // A line costs its octets and its place in the list.
        let cost = |length: usize| length + std::mem::size_of::<Kept>();
        while !self.lines.is_empty()
            && self.octets.len() + self.lines.len() * std::mem::size_of::<Kept>() + cost(text.len())
                > self.memory
        {
            if let Some(oldest) = self.lines.pop_front() {
                self.octets.drain(..oldest.length as usize);
                self.dropped += 1;
            }
        }
        if cost(text.len()) > self.memory {
            self.dropped += 1;
            return;
        }
        if self.octets.capacity() == 0 {
            // All that it will ever need, at its first line: a ring that grows is copied time and again, and the system
            // gives pages only to what is written. Where there is not so much at once it grows after all.
            drop(self.octets.try_reserve_exact(self.memory));
        }
        self.octets.extend(text);
        self.lines.push_back(Kept { length: text.len() as u32, ..line });
    }

    /// The lines of one call, oldest first.
    pub fn of(&self, call: CallId) -> Vec<Line> {
        let mut at = 0usize;
        let mut found = Vec::new();
        for line in &self.lines {
            let end = at + line.length as usize;
            if line.call == call {
                found.push(Line {
                    time: line.time,
                    lane: line.lane,
                    flow: line.flow,
                    size: line.size,
                    text: self.octets.range(at..end).copied().collect(),
                });
            }
            at = end;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Rng, Slot};

    #[test]
    fn the_ring_keeps_the_newest_lines_within_its_memory() {
        let mut rng = Rng::from_number(1);
        let call = CallId::mint(Slot(3), &mut rng);
        let mut ladder = Ladder::new(10_000);
        for n in 0..1_000u32 {
            ladder.note(call, UnixTime(n.into()), Lane::Note, None, &[b'x'; 100]);
        }
        let lines = ladder.of(call);
        assert!(lines.len() > 20 && lines.len() < 100);
        assert_eq!(lines.last().map(|line| line.time), Some(UnixTime(999)));
        assert_eq!(ladder.dropped as usize + lines.len(), 1_000);
    }

    #[test]
    fn a_long_message_is_cut_and_says_so() {
        let call = CallId::mint(Slot(3), &mut Rng::from_number(1));
        let mut ladder = Ladder::new(1 << 20);
        for size in [LINE_MAX, LINE_MAX + 1, 65_000] {
            ladder.note(call, UnixTime(1), Lane::SipIn, None, &vec![b'x'; size]);
        }
        let kept: Vec<_> =
            ladder.of(call).iter().map(|line| (line.text.len(), line.size as usize)).collect();
        assert_eq!(kept, [(LINE_MAX, LINE_MAX), (LINE_MAX, LINE_MAX + 1), (LINE_MAX, 65_000)]);
    }
}
