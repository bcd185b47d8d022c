//! Two phones in a world that loses, repeats and delays.

use std::net::SocketAddr;
use std::time::Duration;

use types::{Instant, Rng, Transport};

use crate::{Action, Config, Event, Media, Phone, PhoneEvent, Stream, Why};

/// Two phones that call each other's address.
struct World {
    phones: [Phone; 2],
    addresses: [SocketAddr; 2],
    now: Instant,
    /// Arrival, receiver, message.
    wire: Vec<(Instant, usize, Vec<u8>)>,
    chance: Rng,
    loss: u8,
    said: [Vec<PhoneEvent>; 2],
    streams: [Option<Stream>; 2],
    sent: usize,
}

impl World {
    fn new(seed: u64, loss: u8, transport: Transport) -> Self {
        let mut chance = Rng::from_number(seed);
        let addresses: [SocketAddr; 2] =
            [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 5060)));
        let phones = [0, 1].map(|which| {
            let media = SocketAddr::new(addresses[which].ip(), 4000 + which as u16 * 2);
            let name = ["1001", "1002"][which];
            let mut config = Config::new(name, "localhost", addresses[which], media);
            config.transport = transport;
            config.display_name = Some(format!("Phone \"{name}\""));
            Phone::new(config, chance.fork())
        });
        let (said, streams) = (Default::default(), [None, None]);
        let now = Instant::default();
        Self { phones, addresses, now, wire: Vec::new(), chance, loss, said, streams, sent: 0 }
    }

    fn command(&mut self, which: usize, event: Event) {
        self.phones[which].handle(event, self.now);
        self.drain(which);
    }

    fn drain(&mut self, which: usize) {
        while let Some(action) = self.phones[which].poll() {
            match action {
                Action::Send { to, bytes } => self.carry(to, bytes),
                Action::Said(event) => self.said[which].push(event),
                Action::Media(Media::Start(stream)) => self.streams[which] = Some(stream),
                Action::Media(Media::Stop) => self.streams[which] = None,
                other => panic!("{other:?}"),
            }
        }
    }

    fn carry(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.sent += 1;
        let receiver = self.addresses.iter().position(|known| *known == to).expect("an address");
        for _ in 0..=u8::from(self.loss > 0 && self.chance.percent(10)) {
            if !self.chance.percent(self.loss) {
                let delay =
                    Duration::from_millis(5 + self.chance.below(60) * u64::from(self.loss > 0));
                self.wire.push((self.now + delay, receiver, bytes.clone()));
            }
        }
    }

    /// Lets the next thing happen. `false`: nothing is left to happen before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let arrival = (0..self.wire.len()).min_by_key(|at| self.wire[*at].0);
        let deadlines = [0, 1].map(|which| self.phones[which].deadline());
        let alarm =
            (0..2).filter(|which| deadlines[*which].is_some()).min_by_key(|w| deadlines[*w]);
        let arrives = arrival.map(|at| self.wire[at].0);
        let alarms = alarm.and_then(|which| deadlines[which]);
        let Some(next) = arrives.into_iter().chain(alarms).min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        match arrival.filter(|_| arrives == Some(next)) {
            Some(at) => {
                let (_, which, bytes) = self.wire.remove(at);
                let from = self.addresses[1 - which];
                self.command(which, Event::Received { from, bytes });
            }
            None => self.command(alarm.expect("an alarm"), Event::Deadline),
        }
        true
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.step(end) {}
    }

    /// Runs until phone `which` has said something that `wanted` likes.
    #[track_caller]
    fn until(&mut self, which: usize, wanted: impl Fn(&PhoneEvent) -> bool) {
        let end = self.now + Duration::from_secs(40);
        while !self.said[which].iter().any(&wanted) {
            assert!(self.step(end), "{which} waits in vain: {:?}", self.said);
        }
    }

    fn call(&mut self) {
        let uri = format!("sip:1002@{}", self.addresses[1]);
        self.command(0, Event::Call { uri });
    }

    fn ended(&self, which: usize) -> Option<(Why, u16)> {
        self.said[which].iter().find_map(|event| match event {
            PhoneEvent::Ended { why, status, .. } => Some((*why, *status)),
            _ => None,
        })
    }

    /// Both phones have forgotten everything and nothing is on the way.
    #[track_caller]
    fn check_quiet(&mut self) {
        self.run(400);
        for phone in &self.phones {
            assert!(!phone.is_busy());
            assert_eq!(phone.deadline(), None);
            assert_eq!(phone.served.len() + phone.offered.len(), 0);
            assert_eq!(phone.requests.len() + phone.inviting.len(), 0);
        }
        assert_eq!(self.streams, [None, None]);
        for said in &self.said {
            let ends = said.iter().filter(|event| matches!(event, PhoneEvent::Ended { .. }));
            assert!(ends.count() <= 1, "{said:?}");
        }
    }
}

fn incoming(event: &PhoneEvent) -> bool {
    matches!(event, PhoneEvent::Incoming { .. })
}

fn answered(event: &PhoneEvent) -> bool {
    matches!(event, PhoneEvent::Answered { .. })
}

fn over(event: &PhoneEvent) -> bool {
    matches!(event, PhoneEvent::Ended { .. })
}

#[test]
fn they_talk_and_either_hangs_up_whatever_is_lost() {
    for seed in 0..300 {
        let loss = [0, 10, 30][seed as usize % 3];
        let leaver = (seed / 3 % 2) as usize;
        let mut world = World::new(seed, loss, Transport::Udp);
        world.call();
        world.until(1, incoming);
        world.command(1, Event::Answer);
        world.until(0, answered);
        world.run(30);
        let [one, two] = world.streams.map(|stream| stream.expect("sound on both sides"));
        assert_eq!((one.remote.port(), two.remote.port()), (4002, 4000));
        assert!(one.sends && one.receives && two.sends && two.receives);
        assert_eq!((one.keys, two.keys), (Some(101), Some(101)));
        world.command(leaver, Event::HangUp);
        world.until(1 - leaver, over);
        assert_eq!(world.ended(leaver), Some((Why::Ours, 0)));
        assert_eq!(world.ended(1 - leaver), Some((Why::Theirs, 0)));
        world.check_quiet();
    }
}

#[test]
fn the_caller_hears_who_refused() {
    for seed in 0..60 {
        for (event, status) in [(Event::Decline, 603), (Event::Busy, 486)] {
            let mut world = World::new(seed, if seed == 0 { 0 } else { 20 }, Transport::Udp);
            world.call();
            world.until(1, incoming);
            world.command(1, event);
            world.until(0, over);
            assert_eq!(world.ended(0), Some((Why::Refused, status)));
            assert_eq!(world.ended(1), Some((Why::Ours, status)));
            world.check_quiet();
        }
    }
}

#[test]
fn a_cancel_and_an_answer_may_cross() {
    let mut seen = [0; 3];
    for seed in 0..400 {
        let mut world = World::new(seed, if seed % 2 == 0 { 0 } else { 20 }, Transport::Udp);
        world.call();
        world.until(1, incoming);
        let wait = Duration::from_millis(world.chance.below(100));
        let (first, second) = if seed % 4 < 2 { (0, 1) } else { (1, 0) };
        let event = |which| if which == 0 { Event::HangUp } else { Event::Answer };
        world.command(first, event(first));
        let end = world.now + wait;
        while world.step(end) {}
        world.command(second, event(second));
        world.until(0, over);
        world.run(60);
        match world.ended(1) {
            Some((Why::Cancelled, 487)) => seen[0] += 1,
            Some((Why::Theirs, 0)) => seen[1] += 1,
            other => panic!("{seed}: {other:?} {:?}", world.said),
        }
        seen[2] += usize::from(world.said[0].iter().any(answered));
        world.check_quiet();
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_caller_that_gives_up_before_anything_was_heard_cancels_later() {
    let mut world = World::new(1, 0, Transport::Udp);
    world.call();
    world.command(0, Event::HangUp);
    world.until(1, over);
    assert_eq!(world.ended(1), Some((Why::Cancelled, 487)));
    world.until(0, over);
    assert_eq!(world.ended(0), Some((Why::Ours, 487)));
    world.check_quiet();
}

#[test]
fn nobody_answers() {
    let mut world = World::new(2, 100, Transport::Udp);
    world.call();
    world.run(60);
    assert_eq!(world.ended(0), Some((Why::Unreachable, 408)));
    assert_eq!(world.sent, 7); // Timer A: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s.
    world.check_quiet();
}

#[test]
fn it_rings_only_so_long() {
    let mut world = World::new(3, 0, Transport::Udp);
    world.call();
    world.run(200);
    // Both limits are the same; the caller began first.
    assert_eq!(world.ended(0).map(|(why, _)| why), Some(Why::NoAnswer));
    assert!(world.ended(1).is_some());
    world.check_quiet();
}

#[test]
fn hold_stops_one_direction_and_resume_brings_it_back() {
    for seed in 0..40 {
        let mut world = World::new(seed, if seed == 0 { 0 } else { 20 }, Transport::Udp);
        world.call();
        world.until(1, incoming);
        world.command(1, Event::Answer);
        world.until(0, answered);
        world.run(40);
        world.command(1, Event::Hold);
        world.run(40);
        let [one, two] = world.streams.map(|stream| stream.expect("sound"));
        assert_eq!((one.sends, one.receives), (false, true), "{seed}");
        assert_eq!((two.sends, two.receives), (true, false), "{seed}");
        world.command(1, Event::Resume);
        world.run(40);
        for stream in world.streams {
            assert!(stream.is_some_and(|stream| stream.sends && stream.receives), "{seed}");
        }
        world.command(0, Event::HangUp);
        world.until(1, over);
        world.check_quiet();
    }
}

#[test]
fn a_stream_needs_no_repetition() {
    let mut world = World::new(4, 0, Transport::Tcp);
    world.call();
    world.until(1, incoming);
    world.command(1, Event::Answer);
    world.until(0, answered);
    world.run(1);
    world.command(0, Event::HangUp);
    world.until(1, over);
    assert_eq!(world.sent, 6); // INVITE, 180, 200, ACK, BYE, 200.
    world.check_quiet();
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let log = |seed| {
        let mut world = World::new(seed, 30, Transport::Udp);
        world.call();
        world.until(1, incoming);
        world.command(1, Event::Answer);
        world.run(60);
        (world.sent, world.now, format!("{:?}", world.said))
    };
    assert_eq!(log(77), log(77));
    assert_ne!(log(77).2, log(78).2);
}
