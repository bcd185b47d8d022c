//! Legs whose packets are protected on their way: which of them, and where packets cross over.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant as Clock;

use types::{Instant, Rng};

use super::{Arrival, Cover, Engine, Leg};
use crate::webrtc::over_stream;
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
    pub fn outgoing(&mut self, mut send: impl FnMut(u16, SocketAddr, &[u8])) {
        let Self { outbox, shared, .. } = self;
        outbox.drain(|port, to, bytes| send(shared.exit(port), to, bytes));
    }

    /// A datagram on the door of browsers.
    pub(super) fn at_the_door(&mut self, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        self.of_browser(from, bytes, now);
    }

    /// What a browser says over TCP: the number of its connection, where it comes from. What it hears goes to an address of
    /// which [`connection`](crate::connection) tells the number.
    ///
    /// Spec: RFC 6544 §3
    pub fn frame(&mut self, connection: u32, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        self.of_browser(over_stream(from, connection), bytes, now);
    }

    fn of_browser(&mut self, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        match self.browsers.packet(from, bytes, now, &mut self.outbox) {
            Arrival::Done => (),
            Arrival::Media { port, length } => {
                let Some(bytes) = bytes.get_mut(..length) else { return };
                let Some((by, to)) = self.judge(port, from, (bytes, Cover::Web), now) else {
                    return;
                };
                self.leaves(by, to, bytes);
            }
            Arrival::Refused { port } => {
                if let Some(leg) = self.leg_at(port) {
                    leg.count.dropped += 1;
                }
            }
        }
    }

    /// A datagram of a phone whose keys we have.
    pub(super) fn keyed(&mut self, port: u16, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        let plain = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Some(leg) = self.leg_at(port) else { return };
        if leg.floods(now) {
            leg.count.dropped += 1;
            return;
        }
        // Work is done only for those who may be it.
        let may = leg.aim.as_ref().is_some_and(|aim| !aim.source.is_foreign(plain));
        let may = may || leg.aim.as_ref().is_some_and(|aim| plain == aim.rtcp);
        let opened = if may { self.keyrings.open(port, bytes) } else { None };
        let Some(bytes) = opened.and_then(|length| bytes.get_mut(..length)) else {
            if let Some(leg) = self.leg_at(port) {
                leg.count.dropped += 1;
            }
            return;
        };
        if let Some((by, to)) = self.judge(port, from, (bytes, Cover::Keyed), now) {
            self.leaves(by, to, bytes);
        }
    }

    fn leg_at(&mut self, port: u16) -> Option<&mut Leg> {
        let door = self.door(port)?;
        self.slab.get_mut(door.place as usize)?.as_mut()?.leg_mut(Seat(door.seat))
    }

    /// Seals a packet that leaves by this port, if it must be; whether it was.
    pub(super) fn sealed(&mut self, by: u16, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.browsers.has(by) {
            self.browsers.send(by, bytes, &mut self.outbox);
        } else if self.keyrings.has(by) {
            self.keyrings.send(by, to, bytes, &mut self.outbox);
        } else {
            return false;
        }
        true
    }

    /// The same for one that is no datagram as it came.
    pub(super) fn leaves(&mut self, by: u16, to: SocketAddr, bytes: &[u8]) {
        if !self.sealed(by, to, bytes) {
            let mut datagram = self.outbox.room();
            datagram.extend_from_slice(bytes);
            self.outbox.push(by, to, datagram);
        }
    }

    /// What protected the leg of this port is forgotten.
    pub(super) fn unshield(&mut self, port: u16, now: Instant) {
        self.browsers.forget(port, now);
        self.keyrings.forget(port);
    }

    pub(super) fn shield(
        &mut self,
        (key, seat): (StreamKey, Seat),
        shield: Shield,
        chance: Option<u64>,
        now: Instant,
    ) {
        let Some(port) = self.port(key, seat) else { return };
        if !matches!(shield, Shield::Keys(_)) {
            self.keyrings.forget(port);
        }
        let mut fresh = false;
        let (cover, before) = match shield {
            Shield::Bare => (Cover::Bare, None),
            Shield::Keys(keys) => match self.keyrings.give(port, *keys) {
                Some(new) => {
                    fresh = new;
                    (Cover::Keyed, None)
                }
                // Of another length than their suite wants: the switchboard gives none such.
                None => {
                    self.keyrings.forget(port);
                    (Cover::Lost, None)
                }
            },
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
                None => leg.own_source(chance, fresh),
            }
        }
    }
}

impl Leg {
    /// `fresh`: the keys are new, and so must be the source under them.
    fn own_source(&mut self, chance: u64, fresh: bool) {
        let mut chance = Rng::from_number(chance);
        if fresh {
            self.trail.other_source(&mut chance);
        } else {
            self.trail.own_source(&mut chance);
        }
    }
}
