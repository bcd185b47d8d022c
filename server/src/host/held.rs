//! Outputs that wait for the log.
//!
//! Picture     Save --append--> mark, position. Output after mark --> held until the log is that far --> released
//! Rules       Outputs of one flow leave in the order they were made. What waits behind an entry that was refused never
//!             leaves.
//! Limits      HELD_MAX: the log is given up for failed when more wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use store::Position;
use switchboard::refusal::{Refusal, unsaved};
use switchboard::store::Durability;
use switchboard::{ApiResponse, Mark, Output};
use types::Flow;

/// Outputs that may wait at one time on one shard.
pub const HELD_MAX: usize = 200_000;

/// How far an output's log must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    position: Position,
    durability: Durability,
}

impl Gate {
    /// Where the entry ends.
    pub fn written(&self) -> Position {
        self.position
    }

    /// The same place, as soon as a killed process would not lose it.
    #[must_use]
    pub fn written_only(self) -> Self {
        Self { durability: Durability::Written, ..self }
    }
}

/// How far the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Behind this everything is with the operating system.
    pub written: Position,
    /// Behind this everything is on the disk.
    pub synced: Position,
}

impl Reached {
    /// Whether what stands behind the gate may leave.
    pub fn passed(&self, gate: Gate) -> bool {
        match gate.durability {
            Durability::Synced => gate.position <= self.synced,
            Durability::Written => gate.position <= self.written,
        }
    }
}

/// Positions of the marks that are not synced yet.
#[derive(Debug, Default)]
pub struct Marks(VecDeque<(Mark, Gate)>);

impl Marks {
    /// Notes where the entry of a mark ends.
    pub fn note(&mut self, mark: Mark, position: Position, durability: Durability) {
        self.0.push_back((mark, Gate { position, durability }));
    }

    /// What an output behind `mark` waits for; `None`: nothing any more.
    pub fn gate(&self, mark: Mark) -> Option<Gate> {
        let (first, _) = self.0.front()?;
        let place = usize::try_from(mark.0.checked_sub(first.0)?).ok()?;
        self.0.get(place).map(|(_, gate)| *gate)
    }

    /// Forgets marks that nobody needs to wait for.
    pub fn forget(&mut self, reached: Reached) {
        while self.0.front().is_some_and(|(_, gate)| reached.passed(*gate)) {
            self.0.pop_front();
        }
    }
}

/// One output that waits.
#[derive(Debug)]
pub struct Item {
    gate: Option<Gate>,
    /// The output.
    pub output: Output,
    /// The octets of a `Send`.
    pub bytes: Vec<u8>,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Held {
    items: VecDeque<Item>,
    /// How many wait on each flow.
    flows: BTreeMap<Flow, usize>,
}

impl Held {
    /// Adds one at the end.
    pub fn push(&mut self, gate: Option<Gate>, output: Output, bytes: Vec<u8>) {
        if let Some(flow) = flow_of(&output) {
            *self.flows.entry(flow).or_default() += 1;
        }
        self.items.push_back(Item { gate, output, bytes });
    }

    /// Whether something of this flow waits, so that what follows on it waits too.
    pub fn holds_flow(&self, flow: Flow) -> bool {
        self.flows.contains_key(&flow)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The furthest position that somebody wants synced.
    pub fn wanted(&self) -> Option<Position> {
        let gates = self.items.iter().filter_map(|item| item.gate);
        let synced = gates.filter(|gate| gate.durability == Durability::Synced);
        synced.map(|gate| gate.position).filter(|position| *position != Position::NEVER).max()
    }

    /// Takes out what may leave, in order.
    pub fn release(&mut self, reached: Reached, out: &mut Vec<Item>) {
        let mut blocked: BTreeSet<Flow> = BTreeSet::new();
        for _ in 0..self.items.len() {
            let Some(item) = self.items.pop_front() else { return };
            let flow = flow_of(&item.output);
            let passed = item.gate.is_none_or(|gate| reached.passed(gate));
            let in_turn = flow.is_none_or(|flow| !blocked.contains(&flow));
            let refused = item.gate.is_some_and(|gate| gate.position == Position::NEVER);
            if let Some(flow) = flow
                && (refused || (passed && in_turn))
            {
                self.forget(flow);
            }
            if refused {
                continue;
            }
            if passed && in_turn {
                out.push(item);
                continue;
            }
            blocked.extend(flow);
            self.items.push_back(item);
        }
    }

    /// Answers that wait behind what is not written become refusals, and may leave; gives how many. Calls, pushes and
    /// mail go on waiting.
    pub fn refuse(&mut self, written: Position) -> usize {
        let mut count = 0;
        for item in &mut self.items {
            if item.gate.is_none_or(|gate| gate.position <= written) {
                continue;
            }
            match &mut item.output {
                Output::Api { response, .. } => {
                    let nothing = &serde_json::Value::Null;
                    *response = ApiResponse::refusal(&Refusal::LogUnwritable, nothing);
                }
                Output::Send { .. } => match unsaved(&item.bytes) {
                    Some(refusal) => item.bytes = refusal,
                    None => continue,
                },
                _ => continue,
            }
            item.gate = None;
            count += 1;
        }
        count
    }

    /// Drops everything; gives how many.
    pub fn clear(&mut self) -> usize {
        let count = self.items.len();
        self.items.clear();
        self.flows.clear();
        count
    }

    fn forget(&mut self, flow: Flow) {
        if let Some(count) = self.flows.get_mut(&flow) {
            *count -= 1;
            if *count == 0 {
                self.flows.remove(&flow);
            }
        }
    }
}

fn flow_of(output: &Output) -> Option<Flow> {
    if let Output::Send { flow, .. } = output { Some(*flow) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(port: u16) -> (Flow, Output) {
        let flow = Flow::udp(([127, 0, 0, 1], port).into());
        (flow, Output::Send { flow, range: 0..0, after: None })
    }

    #[test]
    fn flows_keep_their_order_and_others_pass() {
        let mut marks = Marks::default();
        marks.note(Mark(7), Position(100), Durability::Synced);
        marks.note(Mark(8), Position(200), Durability::Written);
        assert_eq!(marks.gate(Mark(6)), None);
        let mut held = Held::default();
        let (one, first) = send(1);
        held.push(marks.gate(Mark(7)), first, vec![1]);
        held.push(marks.gate(Mark(8)), send(1).1, vec![2]);
        held.push(marks.gate(Mark(8)), send(2).1, vec![3]);
        assert!(held.holds_flow(one));
        assert_eq!(held.wanted(), Some(Position(100)));
        let mut out = Vec::new();
        let reached = Reached { written: Position(200), synced: Position(99) };
        held.release(reached, &mut out);
        assert_eq!(out.iter().map(|item| item.bytes[0]).collect::<Vec<_>>(), [3]);
        let reached = Reached { written: Position(200), synced: Position(100) };
        held.release(reached, &mut out);
        assert_eq!(out.iter().map(|item| item.bytes[0]).collect::<Vec<_>>(), [3, 1, 2]);
        marks.forget(reached);
        assert!(!held.holds_flow(one));
        assert_eq!((held.len(), marks.gate(Mark(8))), (0, None));
    }

    #[test]
    fn what_was_not_kept_is_refused_and_a_call_waits() {
        let answer = |method: &str| {
            format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@home.test>;tag=1\r\n\
                 To: <sip:a@home.test>;tag=2\r\nCall-ID: 1\r\nCSeq: 7 {method}\r\nContact: <sip:a@192.0.2.1>\r\n\
                 Content-Length: 0\r\n\r\n"
            )
            .into_bytes()
        };
        let mut marks = Marks::default();
        marks.note(Mark(1), Position(100), Durability::Synced);
        marks.note(Mark(2), Position(200), Durability::Synced);
        let mut held = Held::default();
        held.push(marks.gate(Mark(1)), send(1).1, answer("REGISTER"));
        held.push(marks.gate(Mark(2)), send(2).1, answer("REGISTER"));
        let call = marks.gate(Mark(2)).map(Gate::written_only);
        held.push(call, send(3).1, answer("INVITE"));
        assert_eq!(held.refuse(Position(100)), 1);
        let mut out = Vec::new();
        held.release(Reached { written: Position(100), synced: Position(0) }, &mut out);
        let [refused] = out.as_slice() else { panic!("{out:?}") };
        let refused = String::from_utf8_lossy(&refused.bytes).into_owned();
        assert!(refused.starts_with("SIP/2.0 503 "), "{refused}");
        for part in ["Retry-After: 5\r\n", "CSeq: 7 REGISTER\r\n", "tag=2\r\n"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert!(!refused.contains("Contact"), "{refused}");
        held.release(Reached { written: Position(200), synced: Position(100) }, &mut out);
        assert_eq!((out.len(), held.len()), (3, 0));
    }
}
