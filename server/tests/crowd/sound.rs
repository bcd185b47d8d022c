//! The sound of a crowd's calls: a packet from each end now and then, and what has come there.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Crowd;
use crate::support::STEP;
use crate::support::namespace::Namespace;

/// The end of a call where sound comes and goes.
pub struct Ear {
    socket: UdpSocket,
    /// Of the crowd's ends.
    pub end: usize,
    heard: usize,
}

impl Ear {
    /// An ear of nobody yet, where the phones are.
    pub fn new(host: &Namespace, phones: &str) -> Self {
        let socket = host.enter(|| UdpSocket::bind((phones, 0))).expect("a free port");
        socket.set_nonblocking(true).expect("a socket of ours");
        Self { socket, end: usize::MAX, heard: 0 }
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().expect("a bound socket").port()
    }
}

/// Both ends of every call with sound.
pub struct Sound {
    pub ears: Vec<Ear>,
    sequence: u16,
}

impl Sound {
    /// Of nobody yet.
    pub fn new() -> Self {
        Self { ears: Vec::new(), sequence: 0 }
    }

    /// One packet from each, and what has come.
    fn turn(&mut self, server: IpAddr, crowd: &Crowd) {
        self.sequence += 1;
        for ear in &mut self.ears {
            let Some(port) = crowd.ends[ear.end].media else { continue };
            let mut packet = vec![0x80, 0];
            packet.extend_from_slice(&self.sequence.to_be_bytes());
            packet.extend_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
            packet.extend_from_slice(&(ear.end as u32 + 1).to_be_bytes());
            packet.resize(172, 0xff);
            // While the server is away nobody takes it.
            let _ = ear.socket.send_to(&packet, SocketAddr::new(server, port));
        }
        for ear in &mut self.ears {
            let mut octets = [0; 2_048];
            loop {
                match ear.socket.recv_from(&mut octets) {
                    Ok(_) => ear.heard += 1,
                    Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => (), // Refused: said once for what was sent while nobody listened.
                }
            }
        }
    }

    /// Sends until every ear has heard something new; how long that took.
    #[track_caller]
    pub fn until_all_hear(&mut self, server: IpAddr, crowd: &mut Crowd) -> Duration {
        let began = Instant::now();
        self.ears.iter_mut().for_each(|ear| ear.heard = 0);
        loop {
            self.turn(server, crowd);
            let deaf = self.ears.iter().filter(|ear| ear.heard == 0).count();
            if deaf == 0 {
                return began.elapsed();
            }
            assert!(began.elapsed() < STEP, "{deaf} of {} hear nothing", self.ears.len());
            crowd.go_on(Duration::from_millis(20));
        }
    }
}
