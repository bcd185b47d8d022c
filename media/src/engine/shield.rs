//! Legs whose packets are protected on their way: which of them, and where packets cross over.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant as Clock;

use types::{Instant, Rng};

use super::{Arrival, Cover, Engine, Leg};
use crate::{Identity, Seat, Shield, StreamKey};

/// Stands where a packet goes by a path of its own.
pub(super) const SOMEWHERE: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

impl Engine {
    /// Browsers come by this port from now on. `epoch`: what `Instant` zero is on the clock of the caller, which
    /// handshakes go by.
    pub fn serve_browsers(&mut self, port: u16, identity: Identity, epoch: Clock) {
        self.browsers.open(port, identity, epoch);
    }

    /// Gives away what was made here: our port, where it goes, the datagram.
    pub fn outgoing(&mut self, send: impl FnMut(u16, SocketAddr, &[u8])) {
        self.outbox.drain(send);
    }

    /// A datagram on the door of browsers.
    pub(super) fn at_the_door(&mut self, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        match self.browsers.packet(from, bytes, now, &mut self.outbox) {
            Arrival::Done => (),
            Arrival::Media { port, length } => {
                let Some(bytes) = bytes.get_mut(..length) else { return };
                let Some((by, to)) = self.judge(port, from, (bytes, Cover::Web), now) else {
                    return;
                };
                if self.browsers.has(by) {
                    self.browsers.send(by, bytes, &mut self.outbox);
                } else {
                    let mut datagram = self.outbox.room();
                    datagram.extend_from_slice(bytes);
                    self.outbox.push(by, to, datagram);
                }
            }
            Arrival::Refused { port } => {
                if let Some(door) = self.door(port)
                    && let Some(Some(stream)) = self.slab.get_mut(door.place as usize)
                    && let Some(leg) = stream.leg_mut(Seat(door.seat))
                {
                    leg.count.dropped += 1;
                }
            }
        }
    }

    pub(super) fn shield(
        &mut self,
        (key, seat): (StreamKey, Seat),
        shield: Shield,
        chance: Option<u64>,
        now: Instant,
    ) {
        let Some(port) = self.port(key, seat) else { return };
        let (cover, before) = match shield {
            Shield::Bare => (Cover::Bare, None),
            Shield::Lost => (Cover::Lost, None),
            Shield::Web(web) => (Cover::Web, self.browsers.lead((key, seat, port), *web, now)),
        };
        if cover != Cover::Web {
            self.browsers.forget(port, now);
        }
        // The numbers that the browser hears go on from where it was before.
        let old = before.and_then(|before| {
            let leg = self.stream_mut(before.stream)?.leg_mut(before.seat)?;
            leg.cover = Cover::Lost;
            Some(std::mem::take(&mut leg.trail))
        });
        let Some(leg) = self.stream_mut(key).and_then(|stream| stream.leg_mut(seat)) else {
            return;
        };
        leg.cover = cover;
        if let Some(chance) = chance.filter(|_| cover != Cover::Bare) {
            match old {
                Some(trail) => leg.trail = trail.led_on(),
                None => leg.own_source(chance),
            }
        }
    }
}

impl Leg {
    fn own_source(&mut self, chance: u64) {
        self.trail.own_source(&mut Rng::from_number(chance));
    }
}
