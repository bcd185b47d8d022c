//! Binding of the SIP listeners.

use std::io;
use std::net::SocketAddr;

use net::stream::Listen;
use net::udp::Udp;
use sip::locate::Way;
use switchboard::Listener;
use types::Transport;

use super::Fault;
use crate::config::{Bind, Resolved};

/// Sockets for each shard, and what the listeners are called.
pub struct Bound {
    /// By shard: its own copy of each UDP listener.
    pub udp: Vec<Vec<(u8, Udp)>>,
    /// Listeners of streams, not bound yet.
    pub streams: Vec<Listen>,
    /// In the order of `sip.listen`, with the ports that the system chose.
    pub listeners: Vec<(Transport, SocketAddr, Bind)>,
}

/// Binds the UDP listeners once for each shard.
pub fn bind(resolved: &Resolved) -> Result<Bound, Fault> {
    let shards = usize::from(resolved.shards);
    let mut bound = Bound {
        udp: (0..shards).map(|_| Vec::new()).collect(),
        streams: Vec::new(),
        listeners: Vec::new(),
    };
    for (place, bind) in (0..).zip(&resolved.listeners) {
        let mut address = bind.address;
        match bind.transport {
            Transport::Udp => {
                for (shard, socket) in copies(address, shards)?.into_iter().enumerate() {
                    address = socket.local();
                    if let Some(own) = bound.udp.get_mut(shard) {
                        own.push((place, socket));
                    }
                }
            }
            transport @ (Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss) => {
                bound.streams.push(Listen { place, transport, address });
            }
        }
        bound.listeners.push((bind.transport, address, bind.clone()));
    }
    Ok(bound)
}

fn copies(address: SocketAddr, shards: usize) -> Result<Vec<Udp>, Fault> {
    let fault = |source: io::Error| Fault::Listen { what: format!("udp://{address}"), source };
    if shards == 1 {
        return Ok(vec![Udp::bind(address, false).map_err(fault)?]);
    }
    // Sockets that share a port would share it with a stranger as well: see first that nobody has it.
    drop(Udp::bind(address, false).map_err(fault)?);
    let first = Udp::bind(address, true).map_err(fault)?;
    let address = first.local();
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(Udp::bind(address, true).map_err(fault)?);
    }
    Ok(sockets)
}

impl Bound {
    /// Listeners as messages name them.
    pub fn named(&self) -> Vec<Listener> {
        let named = |(transport, address, bind): &(Transport, SocketAddr, Bind)| {
            let port = bind.port.unwrap_or(address.port());
            Listener { transport: *transport, sent_by: format!("{}:{port}", bind.host) }
        };
        self.listeners.iter().map(named).collect()
    }

    /// What this node can send by.
    pub fn ways(&self) -> Vec<Way> {
        self.listeners.iter().map(|(transport, at, _)| (*transport, at.is_ipv6())).collect()
    }

    /// Host forms that mean us.
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts = Vec::new();
        for (_, address, bind) in &self.listeners {
            hosts.push(format!("{}:{}", bind.host, bind.port.unwrap_or(address.port())));
            hosts.push(bind.host.clone());
            if !address.ip().is_unspecified() {
                hosts.push(address.to_string());
                hosts.push(crate::config::host(address.ip()));
            }
            if address.ip().is_loopback() {
                hosts.push(format!("localhost:{}", address.port()));
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// The first UDP listener, else the first of all: what people are told.
    pub fn first(&self) -> Option<SocketAddr> {
        let udp = self.listeners.iter().find(|(transport, ..)| *transport == Transport::Udp);
        udp.or(self.listeners.first()).map(|(_, address, _)| *address)
    }
}
