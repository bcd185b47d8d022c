//! What is looked at once a second: how each side comes through, which one is silent and why, who needs a report.
//!
//! Picture     sweep --> Quality, Figures (at the first packets, then ever more rarely, to every QUALITY_EVERY);
//!             Quiet --packets--> Back
//! Rules       A direction is silent when its far side wants packets and none that it could use came for [`QUIET_AFTER`].
//!             So it is when only silence came for [`SILENCE_AFTER`]: packets of one octet again and again, or of a few
//!             only, as muted phones and browsers send them.
//!             A side that sends reports and gets none, since the other sends none or is mixed, gets ours. Whoever begins to
//!             receive pictures gets a whole one: its sender is asked.
//! Limits      One look a second at all streams, however many packets pass.
//! Not here    Figures (quality), reports of mixes about themselves (mix).
//! Spec        RFC 3550 §6.2, §6.4.2, RFC 4585 §6.3.1.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use types::Instant;

use super::{Cover, Engine, Leg, Stream, reachable, target};
use crate::rtp::Kind;
use crate::words::{Hush, Seat, Side};
use crate::{Event, REPORT_EVERY};

/// Between two looks.
pub const WATCH_EVERY: Duration = Duration::from_secs(1);

/// How long a direction may have nothing before it is called silent.
pub const QUIET_AFTER: Duration = Duration::from_secs(5);

/// How long nothing but silence may come of a direction before it is called silent.
pub const SILENCE_AFTER: Duration = Duration::from_secs(10);

/// How long after the first figures the second ones are told; each time it is twice as long, since a short call needs them most.
const SECOND: Duration = Duration::from_secs(1);

/// How often figures are told at last.
pub const QUALITY_EVERY: Duration = Duration::from_secs(10);

/// What is known of one side since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// Packets that nobody could use.
    pub(super) useless: u64,
    /// Packets from addresses that are not its.
    pub(super) strange: u64,
    /// Packets that held only silence.
    pub(super) dull: u64,
    /// Packets with sound at the last look, and since when there are no more.
    loud: (u64, Option<Instant>),
    dulled: bool,
    /// Useful packets at the last look, and since when there are no more.
    useful: u64,
    since: Option<Instant>,
    /// What `useless` and `strange` were then.
    then: (u64, u64),
    quiet: bool,
    /// When it was reported to last; packets and reports of the other then.
    reported: Option<(Instant, u64, u64)>,
}

/// When the figures of a stream were told last, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tell {
    due: Option<Instant>,
    gap: Duration,
    packets: u64,
}

impl Engine {
    /// When [`watch`](Self::watch) wants to be called next; `None` while there is no stream.
    pub fn watch_due(&self) -> Option<Instant> {
        (!self.streams.is_empty()).then_some(self.watched + WATCH_EVERY)
    }

    /// Looks after all streams. Drain [`outgoing`](Self::outgoing) and [`poll`](Self::poll) afterwards.
    pub fn watch(&mut self, now: Instant) {
        if self.watch_due().is_none_or(|due| due > now) {
            return;
        }
        self.watched = now;
        for place in 0..self.slab.len() {
            for side in Side::BOTH {
                let stream = self.slab.get_mut(place).and_then(Option::as_mut);
                let Some(stream) = stream else { continue };
                let event = stream.look(side, now).or_else(|| stream.look_for_sound(side, now));
                let wire = stream.due_report(side, now);
                self.events.extend(event);
                if let Some((by, to, report)) = wire {
                    self.leaves(by, to, &report);
                }
            }
            if let Some(Some(stream)) = self.slab.get_mut(place) {
                stream.tell(now, &mut self.events);
            }
        }
    }

    /// Asks the sender of pictures for a whole one, since somebody else sees them now.
    ///
    /// Spec: RFC 4585 §6.3.1, RFC 5104 §4.3.1
    pub(super) fn ask_for_picture(&mut self, place: usize, viewer: Side) {
        let Some(Some(stream)) = self.slab.get_mut(place) else { return };
        let sender = match viewer {
            Side::A => &stream.b,
            Side::B => &stream.a,
        };
        let Some(source) = sender.meter.source().filter(|_| sender.meter.is_pictures()) else {
            return;
        };
        let Some((by, to)) = target(sender, Kind::Rtcp) else { return };
        let own = sender.trail.report().0;
        let mut wire = [0; 20];
        let words = [0x80c9_0001, own, 0x81ce_0002, own, source];
        write(&mut wire, words.iter().flat_map(|word| word.to_be_bytes()));
        self.leaves(by, to, &wire);
    }
}

impl Stream {
    /// Whether one side has fallen silent, or is heard again.
    fn look(&mut self, side: Side, now: Instant) -> Option<Event> {
        let (near, far) = self.both(side);
        let count = near.count.packets;
        let useful = count - near.watch.useless.min(count);
        let wanted = near.cover != Cover::Lost
            // Who has put the other on hold may well say nothing.
            && near.aim.as_ref().is_some_and(|aim| aim.receives && reachable(aim.source.target()))
            && far.aim.as_ref().is_some_and(|aim| aim.receives);
        let watch = &mut near.watch;
        let since = *watch.since.get_or_insert(now);
        if !wanted || useful != watch.useful {
            let back = std::mem::take(&mut watch.quiet) && wanted;
            (watch.useful, watch.since) = (useful, Some(now));
            watch.then = (watch.useless, watch.strange);
            let after = now.since(since);
            return back.then_some(Event::Back { stream: self.key, side, after });
        }
        if watch.quiet || now.since(since) < QUIET_AFTER {
            return None;
        }
        watch.quiet = true;
        let why = match watch.then {
            (useless, _) if watch.useless > useless => Hush::Format,
            (_, strange) if watch.strange > strange => Hush::Elsewhere,
            _ if useful == 0 => Hush::Never,
            _ => Hush::Nothing,
        };
        Some(Event::Quiet { stream: self.key, side, why })
    }

    /// Whether one side sends nothing but silence, or is heard again.
    fn look_for_sound(&mut self, side: Side, now: Instant) -> Option<Event> {
        let (near, far) = self.both(side);
        let wanted = far.aim.as_ref().is_some_and(|aim| aim.receives)
            && near.aim.as_ref().is_some_and(|aim| aim.receives);
        let watch = &mut near.watch;
        let loud = near.count.packets.saturating_sub(watch.dull);
        let (before, since) = watch.loud;
        let since = since.filter(|_| wanted && !watch.quiet && loud == before);
        let after = watch.loud.1.map_or(Duration::ZERO, |since| now.since(since));
        let Some(since) = since else {
            watch.loud = (loud, Some(now));
            let back = std::mem::take(&mut watch.dulled) && wanted && loud != before;
            return back.then_some(Event::Back { stream: self.key, side, after });
        };
        if watch.dulled || now.since(since) < SILENCE_AFTER {
            return None;
        }
        watch.dulled = true;
        Some(Event::Quiet { stream: self.key, side, why: Hush::Silence })
    }

    fn both(&mut self, near: Side) -> (&mut Leg, &mut Leg) {
        match near {
            Side::A => (&mut self.a, &mut self.b),
            Side::B => (&mut self.b, &mut self.a),
        }
    }

    /// The figures, when it is time.
    fn tell(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        let guests = self.mix.iter().flat_map(|mix| mix.guests.iter().flatten());
        let sides = self.a.count.packets + self.b.count.packets;
        let packets = sides + guests.map(|guest| guest.count.packets).sum::<u64>();
        if packets == self.told.packets || self.told.due.is_some_and(|due| now < due) {
            return;
        }
        let gap = (self.told.gap * 2).clamp(SECOND, QUALITY_EVERY);
        self.told = Tell { due: Some(now + gap), gap, packets };
        let stream = self.key;
        if sides > 0 {
            let sides = Box::new([self.a.figures(), self.b.figures()]);
            events.push_back(Event::Quality { stream, sides });
        }
        let guests = self.mix.iter().flat_map(|mix| mix.guests.iter().zip(2..));
        for (guest, seat) in guests {
            if let Some(guest) = guest.as_ref().filter(|guest| guest.count.packets > 0) {
                let (seat, quality) = (Seat(seat), Box::new(guest.figures()));
                events.push_back(Event::Figures { stream, seat, quality });
            }
        }
    }

    /// A report to one side about what it sends, when nobody else makes one.
    ///
    /// Spec: RFC 3550 §6.4.2
    fn due_report(&mut self, side: Side, now: Instant) -> Option<(u16, SocketAddr, [u8; 52])> {
        let passes = self.mix.as_ref().is_none_or(|mix| mix.desk.passes()) && !self.a.is_turned();
        let (near, far) = self.both(side);
        let (packets, reports) = (near.count.packets, far.count.rtcp);
        let (at, packets_then, reports_then) =
            *near.watch.reported.get_or_insert((now, packets, reports));
        if now.since(at) < REPORT_EVERY {
            return None;
        }
        near.watch.reported = Some((now, packets, reports));
        let alone = !passes || reports == reports_then;
        let speaks = near.count.rtcp > 0 && packets != packets_then;
        let own = near.trail.report().0;
        if !alone || !speaks || own == 0 {
            return None;
        }
        let (by, to) = target(near, Kind::Rtcp)?;
        let block = near.meter.block(now)?;
        let mut wire = [0; 52];
        let head = [0x81c9_0007, own].into_iter().flat_map(u32::to_be_bytes);
        let name = [0x81ca_0004, own, 0x0108_0000].into_iter().flat_map(u32::to_be_bytes);
        let name = name.take(10).chain(format!("{own:08x}").into_bytes());
        write(&mut wire, head.chain(block).chain(name));
        Some((by, to, wire))
    }
}

impl Leg {
    /// What came from it.
    pub(super) fn figures(&self) -> crate::Quality {
        crate::Quality { dropped: self.count.dropped, ..self.meter.figures }
    }
}

fn write(wire: &mut [u8], octets: impl Iterator<Item = u8>) {
    for (place, octet) in wire.iter_mut().zip(octets) {
        *place = octet;
    }
}
