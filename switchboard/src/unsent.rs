//! Messages that a datagram is too small for, and messages that did not leave.
//!
//! Picture     request over LARGE on a free UDP way --> TCP --undelivered--> UDP after all
//!             undelivered request --> its transaction fails (503);  undelivered response --> once to the Via's address
//! Rules       A flow that a phone opened by UDP stays UDP, however long the message: behind its translator nothing else
//!             reaches it. Whoever dialled us by TLS or WebSocket is never dialled back: nobody listens there.
//! Limits      LARGE.
//! Not here    Queues and dials (shell/net).
//! Spec        RFC 3261 §18.1.1, §18.2.2, §17.1.4; RFC 5923 §8 for flows that are gone

use std::net::SocketAddr;

use sip::transaction::{Client, ClientInvite, client, client_invite};
use sip::{Framing, Message, Method};
use types::{Flow, Slot, Transport};

use crate::core::Core;
use crate::ladder::Lane;
use crate::leg::Phase;
use crate::transactions::{Branch, ClientMachine};

/// A request above this goes by TCP when it can: it might not fit the path.
pub const LARGE: usize = 1_300;

impl Core {
    /// The way and the octets of a new request: by TCP when it is large and nothing speaks against it. The third is the
    /// way that it had, to fall back to.
    pub(crate) fn fitted(
        &self,
        flow: Flow,
        slot: Slot,
        id: u64,
        bytes: Vec<u8>,
    ) -> (Flow, Vec<u8>, Option<Flow>) {
        if !flow.is_free() || bytes.len() <= LARGE {
            return (flow, bytes, None);
        }
        let Some(listener) = self.listener_for(Transport::Tcp, flow.remote.is_ipv6()) else {
            return (flow, bytes, None);
        };
        let by_tcp = Flow { transport: Transport::Tcp, listener, connection: 0, ..flow };
        let (old, new) = (self.via(flow, slot, id), self.via(by_tcp, slot, id));
        (by_tcp, replaced(&bytes, &old, &new), Some(flow))
    }

    /// A message of ours did not leave by `flow`.
    pub(crate) fn undelivered(&mut self, flow: Flow, bytes: &[u8]) {
        self.count("sip.undelivered");
        let Ok(message) = Message::decode(bytes, Framing::Datagram) else { return };
        if message.is_request() {
            self.request_undelivered(flow, &message);
        } else {
            self.response_undelivered(flow, &message);
        }
    }

    fn request_undelivered(&mut self, flow: Flow, message: &Message<'_>) {
        let branch = message.via().ok().and_then(|via| via.branch());
        let Some((slot, id)) = branch.and_then(Branch::parse) else { return };
        let Some(entry) = self.transactions.clients.get_mut(id) else { return };
        let is_its = match &entry.machine {
            ClientMachine::Invite(_) => message.method() == Method::Invite,
            ClientMachine::Other(_) => {
                !matches!(message.method(), Method::Invite | Method::Ack | Method::Cancel)
            }
        };
        let same = (entry.flow.remote, entry.flow.transport) == (flow.remote, flow.transport);
        if !is_its || !same {
            return;
        }
        let (leg, now) = (entry.asker.leg(), self.clock.now);
        let words = match entry.fallback.take() {
            Some(by_udp) => {
                let (by_tcp, timers) = (entry.flow, self.config.timers);
                let (old, new) = (self.via(by_tcp, slot, id), self.via(by_udp, slot, id));
                let bytes = replaced(message.bytes(), &old, &new);
                let Some(entry) = self.transactions.clients.get_mut(id) else { return };
                entry.flow = by_udp;
                entry.armed = None;
                entry.machine = match entry.machine {
                    ClientMachine::Invite(_) => {
                        ClientMachine::Invite(ClientInvite::start(bytes, false, timers, now))
                    }
                    ClientMachine::Other(_) => {
                        ClientMachine::Other(Client::start(bytes, false, timers, now))
                    }
                };
                format!("{} takes no TCP: by UDP after all", flow.remote)
            }
            None => {
                fail(&mut entry.machine, now);
                format!("cannot be sent to {flow:?}: no connection")
            }
        };
        if let Some(call) = leg.and_then(|leg| self.legs.get(&leg)).map(|leg| leg.call) {
            self.note(call, Lane::Note, None, words.as_bytes());
        }
        self.drive_client(id, None);
        if let Some(leg) = leg {
            self.leg_arm(leg);
        }
    }

    /// Spec: RFC 3261 §18.2.2, for TCP. A TLS peer would have to prove a name that we do not know.
    fn response_undelivered(&mut self, flow: Flow, message: &Message<'_>) {
        let port = message.via().map_or(0, |via| via.port.unwrap_or(5060));
        if flow.transport != Transport::Tcp || flow.is_to_be_dialled() || port == 0 {
            self.count("sip.response_undelivered");
            return;
        }
        let remote = SocketAddr::new(flow.remote.ip(), port);
        self.send(Flow { connection: 0, remote, ..flow }, message.bytes(), None);
    }

    /// A connection ended. Bindings and calls that came by TCP keep their address, with a fresh connection to be made;
    /// those of TLS and WebSocket keep the number of the old one, so that sending fails at once.
    pub(crate) fn flow_closed(&mut self, flow: Flow) {
        let now = self.clock.now;
        if flow.transport == Transport::Tcp {
            for home in self.directory.homes.values_mut() {
                for binding in home.bindings.iter_mut().filter(|known| known.flow == flow) {
                    binding.change().flow.connection = 0;
                }
            }
            let subscriptions = self.subscriptions.known.values_mut();
            for one in subscriptions.filter(|one| one.flow == flow) {
                one.flow.connection = 0;
            }
        }
        let mut calling = Vec::new();
        for leg in self.legs.values_mut().filter(|leg| leg.flow == flow) {
            if let Phase::Calling { transaction, .. } = &leg.phase {
                calling.push((leg.id, *transaction));
            }
            if flow.transport == Transport::Tcp {
                leg.flow.connection = 0;
            }
        }
        calling.sort_unstable();
        // Who has rung may still answer by another connection; who has said nothing will not.
        for (leg, id) in calling {
            if let Some(entry) = self.transactions.clients.get_mut(id) {
                fail(&mut entry.machine, now);
                self.drive_client(id, None);
                self.leg_arm(leg);
            }
        }
    }
}

fn fail(machine: &mut ClientMachine, now: types::Instant) {
    match machine {
        ClientMachine::Invite(machine) => {
            machine.handle(client_invite::Event::TransportFailed, now);
        }
        ClientMachine::Other(machine) => machine.handle(client::Event::TransportFailed, now),
    }
}

/// The message with another Via on top.
fn replaced(message: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let Some(at) = message.windows(old.len()).position(|part| part == old) else {
        return message.to_vec();
    };
    let rest = message.get(at + old.len()..).unwrap_or_default();
    [message.get(..at).unwrap_or_default(), new, rest].concat()
}

#[cfg(test)]
mod tests;
