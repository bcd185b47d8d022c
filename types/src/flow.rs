//! A flow: the door and the far end that a message came by, so that the answer leaves the same way.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// How SIP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// RFC 3261 §18, datagrams.
    Udp,
    /// RFC 3261 §18, a stream.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// RFC 7118 without TLS.
    Ws,
    /// RFC 7118 over TLS.
    Wss,
}

impl Transport {
    /// The word in a Via header.
    pub const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The value of a URI's `transport` parameter.
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether the transport delivers in order and without loss.
    pub const fn reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Reads the word of a Via header or a URI parameter, in any case.
    pub fn parse(word: &[u8]) -> Option<Self> {
        let all = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
        all.into_iter().find(|transport| transport.param().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// One path between this node and a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// How it travels.
    pub transport: Transport,
    /// Which of our listeners, by its place in `sip.listen`.
    pub listener: u8,
    /// The connection on streams, never used twice. 0, or a number from [`NAMED`](Self::NAMED) on: to be dialled. On UDP
    /// 0, or [`FREE`](Self::FREE).
    pub connection: u64,
    /// The far end.
    pub remote: SocketAddr,
}

impl Flow {
    /// A datagram path from the first listener.
    pub const fn udp(remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, listener: 0, connection: 0, remote }
    }

    /// From here on a connection's number stands for the name that the dialled peer must prove.
    pub const NAMED: u64 = 1 << 63;

    /// On UDP: nobody came from there by UDP, so a request that is too large for it may go by TCP (RFC 3261 §18.1.1).
    pub const FREE: u64 = 1;

    /// Whether a large request may go another way than this one.
    pub const fn is_free(self) -> bool {
        matches!(self.transport, Transport::Udp) && self.connection == Self::FREE
    }

    /// Whether there is no connection yet: sending dials the far end.
    pub const fn is_to_be_dialled(self) -> bool {
        self.transport.reliable() && (self.connection == 0 || self.connection >= Self::NAMED)
    }

    /// A path to nowhere, for places that have none yet.
    pub const NONE: Self = Self::udp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.param(), self.remote)?;
        if self.connection == 0 { Ok(()) } else { write!(f, "#{}", self.connection) }
    }
}
