//! Many phones with a socket each, that send 50 packets a second and read when each one was sent.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use net::poll::{Poll, Ready};
use net::udp::{Batch, Outbox, Udp};
use net::wake::Waker;

use super::LATE_MAX;
use crate::tally::quantile;

/// Milliseconds of sound in a packet: as many turns has the wheel on which the calls are spread.
const SPREAD: usize = 20;
/// Octets of G.711 in a packet.
const PAYLOAD: usize = 160;
/// Octets of the header before it.
const HEADER: usize = 12;

/// What came of some seconds of packets.
#[derive(Clone, Debug, Default)]
pub struct Flood {
    /// Packets sent.
    pub sent: u64,
    /// Packets that came to the other phone of their call.
    pub came: u64,
    /// Packets that came to somebody else, or cannot be read.
    pub wrong: u64,
    /// From sending to reading, in microseconds, unsorted.
    pub delays: Vec<u32>,
}

impl Flood {
    /// The delay that `percent` of the packets did not exceed.
    pub fn quantile(&self, percent: f64) -> Duration {
        quantile(&self.delays, percent)
    }

    /// Packets of a million that did not come.
    pub fn lost_of_a_million(&self) -> f64 {
        self.sent.saturating_sub(self.came) as f64 * 1e6 / self.sent.max(1) as f64
    }

    /// For people.
    pub fn text(&self) -> String {
        let millis = |percent| self.quantile(percent).as_secs_f64() * 1e3;
        let wrong = if self.wrong > 0 { format!(", {} wrong", self.wrong) } else { String::new() };
        format!(
            "{} sent, {} lost{wrong}, p50 {:.2} ms, p99 {:.2} ms",
            self.sent,
            self.sent.saturating_sub(self.came),
            millis(50.0),
            millis(99.0)
        )
    }
}

/// One phone of a call.
struct Phone {
    socket: Udp,
    outbox: Outbox,
    to: SocketAddr,
    sequence: u16,
}

/// All phones: two for each call, A and then B.
pub struct Streams {
    phones: Vec<Phone>,
    poll: Poll,
    batch: Batch,
    begun: std::time::Instant,
    /// Which run it is: what an earlier one left on its way counts for nobody.
    run: u32,
}

impl Streams {
    /// Opens the sockets of so many calls on loopback.
    pub fn open(calls: usize) -> anyhow::Result<Self> {
        let poll = Poll::new(&Waker::new()?)?;
        let mut phones = Vec::new();
        for token in 0..calls * 2 {
            let socket = Udp::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false)
                .context("opening a phone's socket")?;
            poll.add(&socket, token as u32)?;
            let to = socket.local();
            phones.push(Phone { socket, outbox: Outbox::new(), to, sequence: 0 });
        }
        let begun = std::time::Instant::now();
        Ok(Self { phones, poll, batch: Batch::new(), begun, run: 0 })
    }

    /// How many calls.
    pub fn calls(&self) -> usize {
        self.phones.len() / 2
    }

    /// Where the two phones of a call wait for packets.
    pub fn addresses(&self, call: usize) -> (SocketAddr, SocketAddr) {
        (self.phones[call * 2].socket.local(), self.phones[call * 2 + 1].socket.local())
    }

    /// Where the two phones of a call send.
    pub fn aim(&mut self, call: usize, (a, b): (SocketAddr, SocketAddr)) {
        self.phones[call * 2].to = a;
        self.phones[call * 2 + 1].to = b;
    }

    /// Each phone sends to the other one of its call.
    pub fn direct(&mut self) {
        for call in 0..self.calls() {
            let (a, b) = self.addresses(call);
            self.aim(call, (b, a));
        }
    }

    /// Sends for `span`, and reads until a little later.
    pub fn run(&mut self, span: Duration) -> anyhow::Result<Flood> {
        self.run += 1;
        let mut flood = Flood::default();
        let (start, mut turn, mut ready) = (self.begun.elapsed(), 0, Vec::new());
        let (end, last) = (start + span, start + span + LATE_MAX);
        loop {
            let now = self.begun.elapsed();
            if now >= last {
                return Ok(flood);
            }
            let mut due = start + Duration::from_millis(turn);
            while due <= now && due < end {
                self.send(turn as usize % SPREAD, &mut flood);
                turn += 1;
                due = start + Duration::from_millis(turn);
            }
            let until = if due < end { due } else { last };
            let wait = until.saturating_sub(self.begun.elapsed());
            self.poll.wait(Some(wait), &mut ready)?;
            for event in &ready {
                if let Ready::Readable(token) = event {
                    self.receive(*token as usize, &mut flood)?;
                }
            }
        }
    }

    /// The packets of the calls whose turn it is.
    fn send(&mut self, turn: usize, flood: &mut Flood) {
        for (place, phone) in self.phones.iter_mut().enumerate() {
            if place / 2 % SPREAD != turn {
                continue;
            }
            phone.sequence = phone.sequence.wrapping_add(1);
            let sent = self.begun.elapsed().as_micros() as u64;
            let (sequence, run) = (phone.sequence, self.run);
            phone.outbox.push_with(phone.to, |out| write(out, place as u32, sequence, run, sent));
            phone.socket.flush(&mut phone.outbox);
            flood.sent += 1;
        }
    }

    fn receive(&mut self, place: usize, flood: &mut Flood) -> anyhow::Result<()> {
        let phone = &mut self.phones[place];
        // To the end: many wait behind one event, and an edge tells of them once.
        while phone.socket.recv_batch(&mut self.batch).context("receiving")? > 0 {
            let now = self.begun.elapsed().as_micros() as u64;
            for (_, bytes) in self.batch.iter() {
                match read(bytes) {
                    Some((from, run, sent)) if from as usize == place ^ 1 => {
                        if run == self.run {
                            flood.came += 1;
                            flood.delays.push(now.saturating_sub(sent) as u32);
                        }
                    }
                    Some(_) | None => flood.wrong += 1,
                }
            }
        }
        Ok(())
    }
}

/// One packet of G.711: who sends it, in which run and when stand where the sound would. Spec: RFC 3550 §5.1.
fn write(out: &mut Vec<u8>, place: u32, sequence: u16, run: u32, sent: u64) {
    out.extend([0x80, 0]);
    out.extend(sequence.to_be_bytes());
    out.extend((u32::from(sequence) * PAYLOAD as u32).to_be_bytes());
    out.extend((0x5eed_0000 | place).to_be_bytes());
    out.extend(place.to_be_bytes());
    out.extend(run.to_be_bytes());
    out.extend(sent.to_be_bytes());
    out.resize(HEADER + PAYLOAD, 0x55);
}

fn read(bytes: &[u8]) -> Option<(u32, u32, u64)> {
    let payload = bytes.get(HEADER..HEADER + PAYLOAD)?;
    let (place, rest) = payload.split_first_chunk()?;
    let (run, rest) = rest.split_first_chunk()?;
    let sent = rest.first_chunk()?;
    Some((u32::from_be_bytes(*place), u32::from_be_bytes(*run), u64::from_be_bytes(*sent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_that_send_to_each_other_lose_nothing() {
        let mut streams = Streams::open(30).unwrap();
        streams.direct();
        let flood = streams.run(Duration::from_millis(100)).unwrap();
        // Each call has had five turns of its two phones.
        assert_eq!((flood.sent, flood.came, flood.wrong), (300, 300, 0));
        assert_eq!(flood.delays.len(), 300);
    }

    #[test]
    fn a_packet_that_comes_to_the_wrong_phone_is_told() {
        let mut streams = Streams::open(2).unwrap();
        let ((_, b), (c, _)) = (streams.addresses(0), streams.addresses(1));
        streams.aim(0, (c, c));
        streams.aim(1, (b, b));
        let flood = streams.run(Duration::from_millis(40)).unwrap();
        assert!(flood.wrong > 0 && flood.came == 0, "{flood:?}");
    }
}
