//! Datagrams of the engine's own making, until the pump takes them: octets that were sealed, opened, or written here.

use std::net::SocketAddr;

/// Datagrams that may wait; the next ones are lost, as on any network. A pump takes them after each batch of packets,
/// and a packet makes a flight of a handshake at most.
pub(crate) const OUTBOX_MAX: usize = 1024;

/// Their memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Vec<(u16, SocketAddr, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Octets to write to, empty.
    pub(crate) fn room(&mut self) -> Vec<u8> {
        let mut room = self.spare.pop().unwrap_or_default();
        room.clear();
        room
    }

    /// Takes a datagram: by which port of ours, where to.
    pub(crate) fn push(&mut self, port: u16, to: SocketAddr, datagram: Vec<u8>) {
        if self.waiting.len() < OUTBOX_MAX && !datagram.is_empty() {
            self.waiting.push((port, to, datagram));
        } else {
            self.spare.push(datagram);
        }
    }

    /// Gives all away.
    pub(crate) fn drain(&mut self, mut send: impl FnMut(u16, SocketAddr, &[u8])) {
        for (port, to, datagram) in self.waiting.drain(..) {
            send(port, to, &datagram);
            self.spare.push(datagram);
        }
    }
}
