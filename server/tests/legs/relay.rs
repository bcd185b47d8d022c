//! A bad network between a phone and the server: it loses packets and delays the rest, from a seed.
//!
//! Picture     phone --inner--> loses, delays --door--> server;  server --door--> inner --> phone, as it comes
//! Rules       What was lost and how late the rest is follows from the seed. Where the machine itself was late (the
//!             phone, the server or this thread), that is noted, so that nobody takes it for the network's doing.
//! Limits      LATE_MAX, BACK_LATE_MAX.
//! Not here    What that does to the sound.
//! Spec        RFC 3550 §5.1 (numbers of packets)

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use types::Rng;

use super::TICK;
use crate::support::namespace::Namespace;

/// How late a packet may be by the machine's fault before that is noted.
const LATE_MAX: Duration = Duration::from_millis(15);
/// The same of what comes from the far side, which two more processes have made late.
const BACK_LATE_MAX: Duration = Duration::from_millis(40);
/// Between two looks at its sockets.
const LOOK: Duration = Duration::from_millis(1);

/// How bad it is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub seed: u64,
    /// Percent of the packets.
    pub lost: u8,
    /// The longest delay; each is as likely as any other.
    pub late_max: Duration,
}

/// One such network. It ends with its value.
pub struct Relay {
    /// Where the server reaches the phone.
    pub door: SocketAddr,
    /// Where the phone reaches the server.
    inner: SocketAddr,
    ways: Arc<Ways>,
}

#[derive(Default)]
struct Ways {
    /// The phone and the server.
    ends: Mutex<Option<[SocketAddr; 2]>>,
    /// Packets that the phone has sent, and those of them that were lost.
    sent: AtomicUsize,
    lost: AtomicUsize,
    /// When the machine was late, counted from the first packet.
    stalls: Mutex<Vec<Duration>>,
    over: AtomicBool,
}

impl Relay {
    pub fn start(host: &Namespace, address: &str, weather: Weather) -> Self {
        let bound = || {
            let socket = host.enter(|| UdpSocket::bind((address, 0))).expect("a free port");
            socket.set_nonblocking(true).expect("a socket of ours");
            let own = socket.local_addr().expect("a bound socket");
            (socket, own)
        };
        let ((outside, door), (inside, inner)) = (bound(), bound());
        let ways = Arc::new(Ways::default());
        let run = Arc::clone(&ways);
        thread::spawn(move || carry(&outside, &inside, &weather, &run));
        Self { door, inner, ways }
    }

    /// Tells it its two ends; gives where the phone must send.
    pub fn join(&self, phone: SocketAddr, server: SocketAddr) -> SocketAddr {
        *self.ways.ends.lock().expect("nobody panicked with it") = Some([phone, server]);
        self.inner
    }

    /// Packets that the phone has sent so far, and those of them that were lost.
    pub fn counts(&self) -> [usize; 2] {
        [&self.ways.sent, &self.ways.lost].map(|count| count.load(Ordering::Relaxed))
    }

    /// When the machine was late, counted from the phone's first packet.
    pub fn stalls(&self) -> Vec<Duration> {
        self.ways.stalls.lock().expect("nobody panicked with it").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ways.over.store(true, Ordering::Relaxed);
    }
}

/// Tells how late a stream's packets are against those before them.
#[derive(Default)]
struct Pace {
    /// Source and number of its first packet, and when it would have come had it come in time.
    first: Option<(u32, u16, Instant)>,
}

impl Pace {
    /// Whether this packet is later than that. Those behind it may be as late as it is: some phones leave out what they
    /// were too late for, others catch up.
    fn is_late(&mut self, packet: &[u8], now: Instant, max: Duration) -> bool {
        let [_, _, a, b, _, _, _, _, c, d, e, f, ..] = *packet else { return false };
        let (number, source) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
        let known = self.first.filter(|(known, ..)| *known == source);
        let (_, first, began) = known.unwrap_or((source, number, now));
        let due = TICK * u32::from(number.wrapping_sub(first));
        let in_time = now.checked_sub(due).unwrap_or(now);
        let late = in_time > began + max;
        self.first = Some((source, first, if late { in_time } else { in_time.min(began) }));
        late
    }
}

/// Carries packets until it is over.
fn carry(outside: &UdpSocket, inside: &UdpSocket, weather: &Weather, ways: &Ways) {
    let mut rng = Rng::from_number(weather.seed);
    let (mut forth, mut back) = (Pace::default(), Pace::default());
    let mut wire: Vec<(Instant, Vec<u8>)> = Vec::new();
    let mut began = None;
    let mut octets = [0; 2_048];
    while !ways.over.load(Ordering::Relaxed) {
        thread::park_timeout(LOOK);
        let Some([phone, server]) = *ways.ends.lock().expect("nobody panicked with it") else {
            continue;
        };
        let now = Instant::now();
        let stalled = |began: Option<Instant>| {
            let at = began.map_or(Duration::ZERO, |began| now - began);
            ways.stalls.lock().expect("nobody panicked with it").push(at);
        };
        while let Ok((count, _)) = inside.recv_from(&mut octets) {
            began.get_or_insert(now);
            let packet = &octets[..count];
            if forth.is_late(packet, now, LATE_MAX) {
                stalled(began);
            }
            // Drawn for each, lost or not, so that the seed says what becomes of which.
            let late = Duration::from_micros(rng.below(weather.late_max.as_micros() as u64 + 1));
            let lost = rng.percent(weather.lost);
            ways.sent.fetch_add(1, Ordering::Relaxed);
            ways.lost.fetch_add(usize::from(lost), Ordering::Relaxed);
            if !lost {
                wire.push((now + late, packet.to_vec()));
            }
        }
        for (due, packet) in wire.extract_if(.., |(due, _)| *due <= now) {
            if now - due > LATE_MAX {
                stalled(began);
            }
            // The server may be gone.
            let _ = outside.send_to(&packet, server);
        }
        while let Ok((count, _)) = outside.recv_from(&mut octets) {
            let packet = &octets[..count];
            if back.is_late(packet, now, BACK_LATE_MAX) {
                stalled(began);
            }
            let _ = inside.send_to(packet, phone);
        }
    }
}
