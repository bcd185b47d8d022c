//! Browsers that come over TCP, since something on their way lets no datagrams through.
//!
//! Picture     listener --accept--> connection --frames--> the engine --frames--> connection
//! Rules       A frame is a datagram with its length before it. A connection never waits: what its browser does not take in
//!             time is lost, frame by frame, as datagrams are. One that breaks the framing is closed, and one that is silent.
//! Limits      [`CONNECTIONS_MAX`] at once and [`ADDRESS_CONNECTIONS_MAX`] of one host (beyond: closed at once),
//!             [`WAITING_MAX`] octets that wait for one, [`SILENCE_MAX`], [`DATAGRAM_MAX`] of a frame.
//! Not here    What is in a frame, and whose it is (media).
//! Spec        RFC 6544 §3 (passive), RFC 4571.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use types::Instant;

use crate::sys::{DATAGRAM_MAX, Epoll};

/// Browsers that may come over TCP at once.
pub const CONNECTIONS_MAX: usize = 1024;

/// The same of one host.
pub const ADDRESS_CONNECTIONS_MAX: usize = 64;

/// Octets that wait until a browser takes them: two seconds of sound. Frames beyond are lost.
pub const WAITING_MAX: usize = 32 * 1024;

/// How long a connection may say nothing: consent ends sooner.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Octets of the length before a frame.
const LENGTH: usize = 2;

/// Reads of one connection before others have their turn.
const READS: usize = 8;

/// All connections.
#[derive(Default)]
pub(crate) struct Streams {
    listener: Option<TcpListener>,
    /// By a number that is never used twice, until 2³² are.
    open: BTreeMap<u32, Stream>,
    next: u32,
    swept: Instant,
}

struct Stream {
    socket: TcpStream,
    from: SocketAddr,
    heard: Instant,
    /// What came of the frame at hand.
    came: Vec<u8>,
    /// What could not be written yet.
    waiting: Vec<u8>,
}

impl Streams {
    /// Takes in a listener.
    pub(crate) fn listen(&mut self, listener: TcpListener, epoll: &Epoll) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        epoll.add_listener(listener.as_fd())?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Takes in who knocks.
    pub(crate) fn accept(&mut self, epoll: &Epoll, now: Instant) {
        let Some(listener) = &self.listener else { return };
        while let Ok((socket, from)) = listener.accept() {
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            let full =
                self.open.len() >= CONNECTIONS_MAX || self.of(from.ip()) >= ADDRESS_CONNECTIONS_MAX;
            if full || socket.set_nonblocking(true).is_err() {
                tracing::debug!(%from, full, "media_stream_refused");
                continue;
            }
            // A network that insists on gathering still carries the frames.
            let _ = socket.set_nodelay(true);
            self.next = self.next.wrapping_add(1).max(1);
            if self.open.contains_key(&self.next)
                || epoll.add_stream(socket.as_fd(), self.next).is_err()
            {
                continue;
            }
            let (came, waiting) = (Vec::new(), Vec::new());
            self.open.insert(self.next, Stream { socket, from, heard: now, came, waiting });
        }
    }

    fn of(&self, host: IpAddr) -> usize {
        self.open.values().filter(|stream| stream.from.ip() == host).count()
    }

    /// Reads what is there: where it comes from, and each frame.
    pub(crate) fn read(
        &mut self,
        number: u32,
        now: Instant,
        mut frame: impl FnMut(SocketAddr, &mut [u8]),
    ) {
        let Some(stream) = self.open.get_mut(&number) else { return };
        // Ends the connection: dropping the socket takes it out of epoll as well.
        if stream.flush().is_err() || stream.read(now, &mut frame).is_err() {
            self.open.remove(&number);
        }
    }

    /// Sends one frame; what has no room is lost.
    pub(crate) fn send(&mut self, number: u32, datagram: &[u8]) {
        let Some(stream) = self.open.get_mut(&number) else { return };
        if stream.send(datagram).is_err() {
            self.open.remove(&number);
        }
    }

    /// Ends who has said nothing for long.
    pub(crate) fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) >= SILENCE_MAX / 4 {
            self.swept = now;
            self.open.retain(|_, stream| now.since(stream.heard) < SILENCE_MAX);
        }
    }
}

impl Stream {
    fn read(
        &mut self,
        now: Instant,
        frame: &mut impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<()> {
        let mut room = [0; 4 * DATAGRAM_MAX];
        for _ in 0..READS {
            let count = match self.socket.read(&mut room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
                Err(fault) => return Err(fault),
            };
            self.heard = now;
            self.came.extend_from_slice(&room[..count]);
            self.frames(frame)?;
            if count < room.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives away the frames that are whole.
    fn frames(&mut self, frame: &mut impl FnMut(SocketAddr, &mut [u8])) -> io::Result<()> {
        let mut done = 0;
        while let Some(length) = self.came.get(done..).and_then(<[u8]>::first_chunk::<LENGTH>) {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > DATAGRAM_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            let Some(bytes) = self.came.get_mut(done + LENGTH..done + LENGTH + length) else {
                break;
            };
            frame(self.from, bytes);
            done += LENGTH + length;
        }
        self.came.drain(..done);
        Ok(())
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let Ok(length) = u16::try_from(datagram.len()) else { return Ok(()) };
        self.flush()?;
        if self.waiting.len() + LENGTH + datagram.len() > WAITING_MAX {
            return Ok(());
        }
        self.waiting.extend_from_slice(&length.to_be_bytes());
        self.waiting.extend_from_slice(datagram);
        self.flush()
    }

    /// Writes what waits, as far as it goes.
    fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            let rest = self.waiting.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.socket.write(rest) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => (),
                Err(fault) => break Err(fault),
            }
        };
        self.waiting.drain(..done);
        result
    }
}
