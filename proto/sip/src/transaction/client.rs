//! A request of ours that is not an INVITE.
//!
//! Picture     Trying --1xx--> Proceeding --final--> Completed --K--> Terminated
//!             Trying --final--> Completed; timer F or a broken transport end Trying and
//!             Proceeding.
//! Rules       Over UDP the request is repeated until a final answer comes (timer E: T1 doubling to
//!             T2, T2 once a provisional answer came). A repeated final answer is absorbed.
//! Limits      64*T1 in all (timer F), T4 in Completed (timer K; none over reliable transports).
//! Not here    INVITE (`client_invite`) and ACK, which has no transaction of its own.
//! Spec        RFC 3261 §17.1.2

use types::Instant;

use super::{Class, Queue, Resend, Timers};

/// What happens to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time of [`Client::deadline`] has come.
    Deadline,
    /// A response with this status code came.
    Response(u16),
    /// The request could not be sent.
    TransportFailed,
}

/// What the caller does for the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand the response at hand to the user of the transaction.
    Deliver,
    /// Tell the user that the transport failed; a proxy answers 503 for it.
    Failed,
    /// The transaction is over: drop it.
    Terminated,
    /// Tell the user that no final answer came; a proxy answers nothing (RFC 4320 §4.2).
    TimedOut,
    /// Send [`Client::message`] now.
    Transmit,
}

/// One client transaction for any method but INVITE and ACK.
#[derive(Clone, Debug)]
pub struct Client {
    request: Vec<u8>,
    state: State,
    timers: Timers,
    reliable: bool,
    actions: Queue<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `until`: timer F; `resend`: timer E.
    Trying {
        resend: Option<Resend>,
        until: Instant,
    },
    Proceeding {
        resend: Option<Resend>,
        until: Instant,
    },
    /// `until`: timer K.
    Completed {
        until: Instant,
    },
    Terminated,
}

impl Client {
    /// Begins with the first transmission, which waits in [`poll`](Self::poll).
    /// `reliable`: not UDP.
    pub fn start(request: Vec<u8>, reliable: bool, timers: Timers, now: Instant) -> Self {
        let mut actions = Queue::new();
        actions.push(Action::Transmit);
        let resend = (!reliable).then(|| Resend::first(timers.t1(), now));
        let state = State::Trying { resend, until: now + timers.give_up() };
        Self { request, state, timers, reliable, actions }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match (self.state, event) {
            (State::Trying { resend, until }, Event::Response(status)) => match Class::of(status) {
                Class::Provisional => {
                    self.state = State::Proceeding { resend, until };
                    self.actions.push(Action::Deliver);
                }
                Class::Success | Class::Failure => self.complete(now),
            },
            (State::Proceeding { .. }, Event::Response(status)) => match Class::of(status) {
                Class::Provisional => self.actions.push(Action::Deliver),
                Class::Success | Class::Failure => self.complete(now),
            },
            // Repetitions of the final answer: the user has it.
            (State::Completed { .. } | State::Terminated, Event::Response(_)) => (),

            (State::Trying { until, .. } | State::Proceeding { until, .. }, Event::Deadline)
                if until <= now =>
            {
                self.end(Some(Action::TimedOut)); // Timer F.
            }
            (State::Trying { resend: Some(resend), until }, Event::Deadline)
                if resend.at <= now =>
            {
                let resend = Some(resend.doubled(self.timers.t2(), now));
                self.state = State::Trying { resend, until };
                self.actions.push(Action::Transmit); // Timer E.
            }
            (State::Proceeding { resend: Some(resend), until }, Event::Deadline)
                if resend.at <= now =>
            {
                let resend = Some(Resend::first(self.timers.t2(), now));
                self.state = State::Proceeding { resend, until };
                self.actions.push(Action::Transmit); // Timer E, at T2 from now on.
            }
            (State::Completed { until }, Event::Deadline) if until <= now => self.end(None), // K.
            (
                State::Trying { .. }
                | State::Proceeding { .. }
                | State::Completed { .. }
                | State::Terminated,
                Event::Deadline,
            ) => (), // Woken early: harmless.

            (State::Trying { .. } | State::Proceeding { .. }, Event::TransportFailed) => {
                self.end(Some(Action::Failed));
            }
            // Nothing more will be sent.
            (State::Completed { .. } | State::Terminated, Event::TransportFailed) => (),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When to call `handle(Event::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { resend, until } | State::Proceeding { resend, until } => {
                Some(resend.map_or(until, |resend| resend.at.min(until)))
            }
            State::Completed { until } => Some(until),
            State::Terminated => None,
        }
    }

    /// The request; empty once a final answer came.
    pub fn message(&self) -> &[u8] {
        &self.request
    }

    fn complete(&mut self, now: Instant) {
        self.request = Vec::new();
        self.actions.push(Action::Deliver);
        if self.reliable {
            self.end(None);
        } else {
            self.state = State::Completed { until: now + self.timers.t4() };
        }
    }

    fn end(&mut self, why: Option<Action>) {
        self.state = State::Terminated;
        if let Some(why) = why {
            self.actions.push(why);
        }
        self.actions.push(Action::Terminated);
    }
}

#[cfg(test)]
mod tests {
    use super::Action::*;
    use super::Event::*;
    use super::*;

    /// A script goes in (milliseconds, event), actions come out with their time.
    #[track_caller]
    fn check(reliable: bool, script: &[(u64, Event)], expected: &[(u64, Action)]) {
        let mut client =
            Client::start(b"OPTIONS".to_vec(), reliable, Timers::default(), Instant::default());
        let mut seen: Vec<_> = std::iter::from_fn(|| client.poll()).map(|a| (0, a)).collect();
        for (at, event) in script {
            client.handle(*event, Instant::millis(*at));
            seen.extend(std::iter::from_fn(|| client.poll()).map(|action| (*at, action)));
        }
        assert_eq!(seen, expected);
    }

    /// Lets the deadlines pass until `end`; gives the actions and the last deadline.
    fn run(client: &mut Client, end: u64) -> Vec<(u64, Action)> {
        let mut seen = Vec::new();
        while let Some(at) = client.deadline().filter(|at| *at <= Instant::millis(end)) {
            client.handle(Deadline, at);
            seen.extend(std::iter::from_fn(|| client.poll()).map(|action| (at.0 / 1_000, action)));
        }
        seen
    }

    #[test]
    fn an_answer_ends_it() {
        check(true, &[(9, Response(200))], &[(0, Transmit), (9, Deliver), (9, Terminated)]);
        check(
            false,
            &[(9, Response(404)), (10, Response(404)), (5_008, Deadline), (5_009, Deadline)],
            &[(0, Transmit), (9, Deliver), (5_009, Terminated)],
        );
        check(
            true,
            &[(1, Response(100)), (2, Response(183)), (3, Response(200)), (4, Response(200))],
            &[(0, Transmit), (1, Deliver), (2, Deliver), (3, Deliver), (3, Terminated)],
        );
    }

    #[test]
    fn lost_requests_are_sent_again_until_timer_f() {
        let mut client =
            Client::start(b"BYE".to_vec(), false, Timers::default(), Instant::default());
        assert_eq!(client.message(), b"BYE");
        assert_eq!(client.poll(), Some(Transmit));
        let seen = run(&mut client, 100_000);
        let sent: Vec<_> = seen.iter().filter(|(_, a)| *a == Transmit).map(|(at, _)| *at).collect();
        assert_eq!(
            sent,
            [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
        );
        assert_eq!(seen[sent.len()..], [(32_000, TimedOut), (32_000, Terminated)]);
    }

    #[test]
    fn a_provisional_answer_slows_the_repetition() {
        let mut client =
            Client::start(b"BYE".to_vec(), false, Timers::default(), Instant::default());
        client.poll();
        client.handle(Response(100), Instant::millis(100));
        assert_eq!(client.poll(), Some(Deliver));
        assert_eq!(
            run(&mut client, 9_000),
            [(500, Transmit), (4_500, Transmit), (8_500, Transmit)]
        );
        client.handle(Response(200), Instant::millis(9_000));
        assert_eq!(client.message(), b"");
        assert_eq!(client.deadline(), Some(Instant::millis(14_000)));
    }

    #[test]
    fn a_reliable_transport_sends_once_and_times_out() {
        let mut client =
            Client::start(b"BYE".to_vec(), true, Timers::default(), Instant::default());
        client.poll();
        assert_eq!(run(&mut client, 100_000), [(32_000, TimedOut), (32_000, Terminated)]);
    }

    #[test]
    fn every_state_meets_every_event() {
        let events = [Deadline, Response(100), Response(200), Response(500), TransportFailed];
        let roads: [&[Event]; 4] = [&[], &[Response(100)], &[Response(200)], &[TransportFailed]];
        let expected: [[&[Action]; 5]; 4] = [
            [&[], &[Deliver], &[Deliver], &[Deliver], &[Failed, Terminated]],
            [&[], &[Deliver], &[Deliver], &[Deliver], &[Failed, Terminated]],
            [&[], &[], &[], &[], &[]],
            [&[], &[], &[], &[], &[]],
        ];
        for (road, row) in roads.iter().zip(expected) {
            for (event, actions) in events.iter().zip(row) {
                let now = Instant::default();
                let mut client = Client::start(Vec::new(), false, Timers::default(), now);
                road.iter().for_each(|event| client.handle(*event, now));
                while client.poll().is_some() {}
                client.handle(*event, now);
                let seen: Vec<_> = std::iter::from_fn(|| client.poll()).collect();
                assert_eq!(seen, actions, "{road:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_broken_transport_ends_it() {
        check(
            false,
            &[(1, TransportFailed), (2, Response(200)), (32_000, Deadline)],
            &[(0, Transmit), (1, Failed), (1, Terminated)],
        );
    }
}
