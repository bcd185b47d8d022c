//! The SIP flow: one UDP socket, or one TCP connection to the server.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sip::stream::{Frame, Framer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, UdpSocket};

use super::Fault;

/// How long a connection to the server may take.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// Largest datagram.
const DATAGRAM_MAX: usize = 65_535;
/// Octets read from a stream at once.
const READ_MAX: usize = 16 * 1024;

/// Where SIP comes and goes.
pub enum Line {
    Closed,
    Tcp(Box<Stream>),
    Udp { socket: UdpSocket, buffer: Vec<u8> },
}

pub struct Stream {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    remote: SocketAddr,
    framer: Framer,
    whole: VecDeque<Vec<u8>>,
}

/// What came by the line.
pub enum Arrival {
    Broken,
    Message(SocketAddr, Vec<u8>),
}

impl Line {
    /// Opens a line from `local` and says where it begins.
    pub async fn open(
        local: SocketAddr,
        server: Option<SocketAddr>,
        transport: types::Transport,
    ) -> Result<(Self, SocketAddr), Fault> {
        match (transport, server) {
            (types::Transport::Tcp, Some(server)) => connect(local, server).await,
            _ => {
                let taken = |why| Fault::failed("opening the SIP socket (--local)", why);
                let socket = UdpSocket::bind(local).await.map_err(taken)?;
                let contact = socket.local_addr().map_err(taken)?;
                Ok((Self::Udp { socket, buffer: vec![0; DATAGRAM_MAX] }, contact))
            }
        }
    }

    /// Our end.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Closed => None,
            Self::Tcp(stream) => stream.write.local_addr().ok(),
            Self::Udp { socket, .. } => socket.local_addr().ok(),
        }
    }

    /// Sends one message. `false`: the line is broken.
    pub async fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> bool {
        match self {
            Self::Closed => true,
            // A datagram that does not leave is a datagram lost: it is repeated.
            Self::Udp { socket, .. } => {
                let _ = socket.send_to(bytes, to).await;
                true
            }
            Self::Tcp(stream) => stream.write.write_all(bytes).await.is_ok(),
        }
    }

    /// The next message. Waits for ever when the line is closed. May be dropped at any point.
    pub async fn receive(&mut self) -> Arrival {
        match self {
            Self::Closed => std::future::pending().await,
            Self::Udp { socket, buffer } => loop {
                // An error is the echo of something we sent: it says nothing about what comes.
                if let Ok((length, from)) = socket.recv_from(buffer).await {
                    return Arrival::Message(
                        from,
                        buffer.get(..length).unwrap_or_default().to_vec(),
                    );
                }
                tokio::task::yield_now().await;
            },
            Self::Tcp(stream) => stream.receive().await,
        }
    }
}

async fn connect(local: SocketAddr, server: SocketAddr) -> Result<(Line, SocketAddr), Fault> {
    let fault = |why: std::io::Error| Fault::failed("connecting to the server", why);
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(fault)?;
    socket.set_reuseaddr(true).map_err(fault)?;
    socket.bind(local).map_err(fault)?;
    let connected = tokio::time::timeout(OPEN_MAX, socket.connect(server)).await;
    let late = |_| Fault::failed("connecting to the server", format!("no answer in {OPEN_MAX:?}"));
    let stream = connected.map_err(late)?.map_err(fault)?;
    let _ = stream.set_nodelay(true);
    let contact = stream.local_addr().map_err(fault)?;
    let (read, write) = stream.into_split();
    let (framer, whole) = (Framer::new(), VecDeque::new());
    Ok((Line::Tcp(Box::new(Stream { read, write, remote: server, framer, whole })), contact))
}

impl Stream {
    async fn receive(&mut self) -> Arrival {
        loop {
            if let Some(message) = self.whole.pop_front() {
                return Arrival::Message(self.remote, message);
            }
            let mut buffer = [0; READ_MAX];
            let length = match self.read.read(&mut buffer).await {
                Ok(0) | Err(_) => return Arrival::Broken,
                Ok(length) => length,
            };
            self.framer.push(buffer.get(..length).unwrap_or_default());
            for frame in self.framer.by_ref() {
                match frame {
                    Ok(Frame::Message(bytes)) => self.whole.push_back(bytes),
                    // Spec: RFC 5626 §3.5.1 (the server's pong needs no answer)
                    Ok(Frame::Ping | Frame::Pong) => (),
                    Err(_) => return Arrival::Broken,
                }
            }
        }
    }
}
