use std::collections::BTreeMap;

use types::Rng;

use super::*;

#[test]
fn a_transaction_is_small() {
    for (name, size) in [
        ("client", size_of::<Client>()),
        ("client_invite", size_of::<ClientInvite>()),
        ("server", size_of::<Server>()),
        ("server_invite", size_of::<ServerInvite>()),
        ("answer", size_of::<AnswerRetransmit>()),
    ] {
        assert!(size <= 96, "{name}: {size} octets");
    }
}

#[test]
fn the_queue_keeps_order_and_empties() {
    let mut queue = Queue::new();
    queue.push(1);
    queue.push(2);
    assert_eq!(queue.pop(), Some(1));
    queue.push(3);
    assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(2), Some(3), None]);
}

#[test]
fn gaps_double_up_to_their_limit() {
    let timers = Timers::default();
    let mut resend = Resend::first(timers.t1(), Instant::default());
    let mut gaps = Vec::new();
    for _ in 0..5 {
        gaps.push(resend.gap_ms);
        resend = resend.doubled(timers.t2(), resend.at);
    }
    assert_eq!(gaps, [500, 1_000, 2_000, 4_000, 4_000]);
    assert_eq!(resend.at, Instant::millis(500 + 1_000 + 2_000 + 4_000 + 4_000 + 4_000));
}

/// What travels between the two ends of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Request,
    Response(u16),
    Ack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Caller,
    Callee,
}

/// A network that loses and delays, in virtual time.
struct Network {
    rng: Rng,
    loss: u8,
    now: Instant,
    sent: u64,
    under_way: BTreeMap<(Instant, u64), (End, Wire)>,
}

impl Network {
    fn new(seed: u64, loss: u8) -> Self {
        let rng = Rng::from_number(seed);
        Self { rng, loss, now: Instant::default(), sent: 0, under_way: BTreeMap::new() }
    }

    fn send(&mut self, to: End, wire: Wire) {
        self.sent += 1;
        if !self.rng.percent(self.loss) {
            let at = self.now + Duration::from_millis(self.rng.below(200));
            self.under_way.insert((at, self.sent), (to, wire));
        }
    }

    /// Moves on to the next arrival or deadline, whichever is first. `None`: nothing is left.
    fn step(&mut self, deadlines: &[Option<Instant>]) -> Option<Option<(End, Wire)>> {
        let deadline = deadlines.iter().flatten().min().copied();
        let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
        self.now = deadline.into_iter().chain(arrival).min()?.max(self.now);
        let arrived = arrival.is_some_and(|at| at <= self.now);
        Some(arrived.then(|| self.under_way.pop_first().unwrap().1))
    }
}

/// When the callee's user answers.
const ANSWER: Instant = Instant::seconds(3);

/// An INVITE that is answered with `status`. Gives the final answers the caller saw, and whether
/// the callee's user learned that its answer arrived.
fn call(seed: u64, loss: u8, status: u16) -> (usize, bool) {
    use client_invite::{Action as Out, Event as In};
    use server_invite::{Action, AnswerAction, AnswerEvent, Event};
    let mut network = Network::new(seed, loss);
    let mut caller = ClientInvite::start(b"INVITE".to_vec(), false, Timers::default(), network.now);
    let mut callee: Option<ServerInvite> = None;
    let mut repeat: Option<AnswerRetransmit> = None;
    let (mut finals, mut acked, mut answered) = (0, false, false);
    let mut arrived = None;
    loop {
        let now = network.now;
        match arrived.take() {
            Some((End::Caller, Wire::Response(status))) => {
                caller.handle(In::Response(status), now);
                while let Some(action) = caller.poll() {
                    match action {
                        Out::Deliver => {
                            finals += usize::from(status >= 200);
                            if Class::of(status) == Class::Success {
                                network.send(End::Callee, Wire::Ack);
                            }
                        }
                        Out::SendAck => caller.set_ack(b"ACK".to_vec()),
                        Out::Transmit => network.send(End::Callee, Wire::Ack),
                        Out::Terminated => (),
                        Out::Failed | Out::TimedOut => panic!("{action:?} on a response"),
                    }
                }
            }
            Some((End::Callee, wire)) => {
                let callee =
                    callee.get_or_insert_with(|| ServerInvite::new(false, Timers::default(), now));
                callee.handle(if wire == Wire::Ack { Event::Ack } else { Event::Request }, now);
            }
            Some((End::Caller, wire)) => panic!("{wire:?} at the caller"),
            None => caller.handle(In::Deadline, now),
        }
        while let Some(action) = caller.poll() {
            if action == Out::Transmit {
                network.send(End::Callee, Wire::Request);
            }
        }
        if let Some(callee) = &mut callee {
            if now >= ANSWER && !answered {
                answered = true;
                callee.handle(Event::Respond { status, message: b"final".to_vec() }, now);
            }
            callee.handle(Event::Deadline, now);
            while let Some(action) = callee.poll() {
                match action {
                    Action::Transmit => {
                        let status = if callee.message() == b"100" { 100 } else { status };
                        network.send(End::Caller, Wire::Response(status));
                        if let Some(answer) = callee.take_message() {
                            repeat = Some(AnswerRetransmit::new(answer, Timers::default(), now));
                        }
                    }
                    Action::Acked => {
                        repeat.as_mut().unwrap().handle(AnswerEvent::Ack, now);
                    }
                    Action::Try => {
                        callee
                            .handle(Event::Respond { status: 100, message: b"100".to_vec() }, now);
                    }
                    Action::Failed => panic!("nothing failed"),
                    Action::Terminated | Action::TimedOut => (),
                }
            }
        }
        if let Some(repeat) = &mut repeat {
            repeat.handle(AnswerEvent::Deadline, now);
            while let Some(action) = repeat.poll() {
                match action {
                    AnswerAction::Transmit => network.send(End::Caller, Wire::Response(status)),
                    AnswerAction::Acked => acked = true,
                    AnswerAction::TimedOut => (),
                }
            }
        }
        let user = callee.is_some() && !answered;
        let deadlines = [
            caller.deadline(),
            callee.as_ref().and_then(ServerInvite::deadline),
            repeat.as_ref().and_then(AnswerRetransmit::deadline),
            user.then_some(ANSWER),
        ];
        match network.step(&deadlines) {
            Some(next) => arrived = next,
            None => return (finals, acked),
        }
        assert!(network.now < Instant::seconds(120) && network.sent < 200, "seed {seed}: no end");
    }
}

#[test]
fn an_invite_gets_through_a_network_that_loses_a_third() {
    for seed in 0..200 {
        let (finals, _) = call(seed, 33, 486);
        assert!(finals <= 1, "seed {seed}: {finals} failures");
        let (finals, acked) = call(seed, 33, 200);
        assert!(finals > 0 || !acked, "seed {seed}: acknowledged what was not delivered");
    }
    let delivered = (0..200).filter(|seed| call(*seed, 33, 486).0 == 1).count();
    let answered = (0..200).filter(|seed| call(*seed, 33, 200).1).count();
    assert!(delivered >= 198 && answered >= 198, "{delivered}, {answered}");
    assert_eq!((call(1, 0, 486).0, call(1, 0, 200)), (1, (1, true)));
    assert_eq!(call(1, 100, 200), (0, false));
}

#[test]
fn a_request_gets_through_a_network_that_loses_a_third() {
    use client::{Action as Out, Event as In};
    use server::{Action, Event};
    let mut delivered = 0;
    for seed in 0..200 {
        let mut network = Network::new(seed, 33);
        let mut caller = Client::start(b"BYE".to_vec(), false, Timers::default(), network.now);
        let mut callee: Option<Server> = None;
        let mut arrived = None;
        let (mut finals, mut ends) = (0, 0);
        loop {
            match arrived.take() {
                Some((End::Caller, Wire::Response(status))) => {
                    caller.handle(In::Response(status), network.now);
                }
                Some((_, _)) => match &mut callee {
                    Some(callee) => callee.handle(Event::Request, network.now),
                    None => {
                        let server = callee.insert(Server::new(false, Timers::default()));
                        let message = b"200".to_vec();
                        server.handle(Event::Respond { status: 200, message }, network.now);
                    }
                },
                None => caller.handle(In::Deadline, network.now),
            }
            while let Some(action) = caller.poll() {
                match action {
                    Out::Deliver => finals += 1,
                    Out::Transmit => network.send(End::Callee, Wire::Request),
                    Out::Terminated => ends += 1,
                    Out::Failed | Out::TimedOut => (),
                }
            }
            if let Some(callee) = &mut callee {
                callee.handle(Event::Deadline, network.now);
                while let Some(action) = callee.poll() {
                    if action == Action::Transmit {
                        network.send(End::Caller, Wire::Response(200));
                    }
                }
            }
            let deadlines = [caller.deadline(), callee.as_ref().and_then(Server::deadline)];
            match network.step(&deadlines) {
                Some(next) => arrived = next,
                None => break,
            }
        }
        assert!(finals <= 1 && ends == 1, "seed {seed}: {finals} answers, {ends} ends");
        delivered += finals;
    }
    assert!(delivered >= 198, "{delivered}");
}
