//! Messages on streams, and whose end of a connection listens.
//!
//! Rules       A flow without a connection is dialled. A connection that we had dialled and that is gone, or whose peer
//!             did not read, is dialled again, once. Where the peer dialled, nobody may listen: that is for the
//!             switchboard to judge.
//! Limits      DIALLED_MAX.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use net::stream::{Streams, Unsent};
use types::Flow;

/// Connections of ours that are remembered as such; the oldest are forgotten first.
pub const DIALLED_MAX: usize = 4_096;

/// The way out of streams.
pub struct Lines {
    streams: Streams,
    /// By its number: what each connection of ours was dialled for.
    dialled: Mutex<BTreeMap<u64, Flow>>,
}

impl Lines {
    pub fn new(streams: Streams) -> Self {
        Self { streams, dialled: Mutex::default() }
    }

    /// Sends one message.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) -> Result<(), Unsent> {
        if flow.is_to_be_dialled() {
            return self.streams.send(self.dial(flow)?, bytes);
        }
        let asked = {
            let dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
            dialled.get(&flow.connection).copied()
        };
        let Some(asked) = asked else {
            return self.streams.send(flow, bytes);
        };
        let kept = bytes.clone();
        match self.streams.send(flow, bytes) {
            Ok(()) => Ok(()),
            Err(Unsent::Closed | Unsent::Full) => self.streams.send(self.dial(asked)?, kept),
        }
    }

    /// The number of flows to a peer that must prove this name.
    pub fn peer(&self, name: &str) -> u64 {
        self.streams.peer(name)
    }

    /// A connection to where the flow goes: one that stands, or a new one.
    fn dial(&self, asked: Flow) -> Result<Flow, Unsent> {
        let fresh = self.streams.connect(asked)?;
        let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        dialled.insert(fresh.connection, asked);
        // Their numbers only grow.
        while dialled.len() > DIALLED_MAX {
            dialled.pop_first();
        }
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use net::stream::{Limits, Setup, StreamEvent};
    use types::Transport;

    use super::*;

    const STEP: Duration = Duration::from_secs(15);

    #[test]
    fn what_we_dialled_is_dialled_again() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (sender, events) = mpsc::channel();
        let deliver = move |event| sender.send(event).map_err(|mpsc::SendError(event)| event);
        let lines =
            Lines::new(Streams::start(&[], Setup::default(), Limits::default(), deliver).unwrap());
        let phone = TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = phone.local_addr().unwrap();
        let flow = Flow { transport: Transport::Tcp, listener: 0, connection: 0, remote };
        lines.send(flow, b"first".to_vec()).unwrap();
        let (first, _) = phone.accept().unwrap();
        let StreamEvent::Opened { flow } = events.recv_timeout(STEP).unwrap() else { panic!() };
        drop(first);
        let StreamEvent::Closed { .. } = events.recv_timeout(STEP).unwrap() else { panic!() };
        // As from a shard that has not heard of it yet.
        lines.send(flow, b"second".to_vec()).unwrap();
        drop(phone.accept().unwrap());
        let stranger = Flow { connection: flow.connection + 1_000, ..flow };
        assert_eq!(lines.send(stranger, b"third".to_vec()), Err(Unsent::Closed));
    }
}
