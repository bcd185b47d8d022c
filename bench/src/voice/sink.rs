//! Where the packets of prompts go: when each came, beside when it should have.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Between two packets of a stream.
const PACKET: Duration = Duration::from_millis(20);
/// Nobody sends: look at the clock.
const LOOK: Duration = Duration::from_millis(50);

/// A socket that takes what all calls hear.
pub struct Sink(UdpSocket);

/// Its listening.
pub struct Heard(JoinHandle<Vec<u32>>);

impl Sink {
    /// Opens it on loopback.
    pub fn open() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("a port for what is heard")?;
        socket.set_read_timeout(Some(LOOK))?;
        Ok(Self(socket))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.local_addr().map_or(0, |address| address.port())
    }

    /// Listens for so long.
    pub fn listen(self, span: Duration) -> Heard {
        Heard(std::thread::spawn(move || self.gather(span)))
    }

    fn gather(&self, span: Duration) -> Vec<u32> {
        let end = Instant::now() + span;
        let mut late = Vec::new();
        let mut last: HashMap<[u8; 4], (u16, Instant)> = HashMap::new();
        let mut packet = [0; 2_048];
        while Instant::now() < end {
            let Ok(length) = self.0.recv(&mut packet) else { continue };
            let now = Instant::now();
            let (Some(number), Some(source)) = (part(&packet, 2), part(&packet, 8)) else {
                continue;
            };
            let number = u16::from_be_bytes(number);
            if length < 12 {
                continue;
            }
            if let Some((before, then)) = last.insert(source, (number, now)) {
                let steps = number.wrapping_sub(before);
                // Lost on the way to this socket, or a new beginning: it says nothing of the clock.
                if steps == 1 {
                    let off = now.duration_since(then).abs_diff(PACKET);
                    late.push(u32::try_from(off.as_micros()).unwrap_or(u32::MAX));
                }
            }
        }
        late
    }
}

impl Heard {
    /// By how much each packet was off its time, in microseconds.
    pub fn finish(self) -> Vec<u32> {
        self.0.join().unwrap_or_default()
    }
}

fn part<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at + N)?.try_into().ok()
}
