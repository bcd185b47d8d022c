//! Outputs that wait for the log.
//!
//! Picture     Save --append--> mark, position. Output after mark --> held until the log is that far --> released
//! Rules       Outputs of one flow leave in the order they were made. What waits behind an entry that was refused never
//!             leaves.
//! Limits      HELD_MAX: the log is given up for failed when more wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use store::Position;
use switchboard::store::Durability;
use switchboard::{Mark, Output};
use types::Flow;

/// Outputs that may wait at one time on one shard.
pub const HELD_MAX: usize = 200_000;

/// How far an output's log must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    position: Position,
    durability: Durability,
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
}
