//! An INVITE of ours.
//!
//! Picture     Calling --1xx--> Proceeding --2xx--> Accepted --M--> Terminated
//!             Calling, Proceeding --3xx..6xx--> Answered --set_ack--> Completed --D--> Terminated
//!             Calling, and Proceeding after Cancelled --no answer--> Terminated
//! Rules       Over UDP the INVITE is repeated until any answer comes (timer A, doubling).
//!             Successes all go up, repeated ones and those of other branches too: the user
//!             acknowledges each. A failure goes up once; its ACK is ours, built by the caller
//!             (`ack_for`) and sent again for each repetition.
//! Limits      64*T1 in Calling (timer B), Accepted (timer M), Completed (timer D, UDP only) and
//!             after a CANCEL.
//! Not here    How long it may ring. The ACK of a success (`Dialog::ack`). CANCEL, which is a
//!             `client` transaction of its own and may be sent only once a provisional answer came.
//! Spec        RFC 3261 §17.1.1, §9.1; RFC 6026 §7.2, §8.4

use types::Instant;

use super::{Class, Queue, Resend, Timers};

/// What happens to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller has sent a CANCEL for this INVITE.
    Cancelled,
    /// The time of [`ClientInvite::deadline`] has come.
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
    /// Build the ACK of the failure at hand from [`ClientInvite::message`] and give it to
    /// [`ClientInvite::set_ack`].
    SendAck,
    /// The transaction is over: drop it.
    Terminated,
    /// Tell the user that no final answer came; a proxy answers 408 for it.
    TimedOut,
    /// Send [`ClientInvite::message`] now.
    Transmit,
}

/// One client transaction for INVITE.
#[derive(Clone, Debug)]
pub struct ClientInvite {
    /// The INVITE, then the ACK of its failure; never both.
    message: Vec<u8>,
    state: State,
    timers: Timers,
    reliable: bool,
    actions: Queue<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `resend`: timer A; `until`: timer B.
    Calling {
        resend: Option<Resend>,
        until: Instant,
    },
    /// `until`: set once we cancelled.
    Proceeding {
        until: Option<Instant>,
    },
    /// A failure came, its ACK is not built yet. `until`: timer D.
    Answered {
        until: Instant,
    },
    /// `until`: timer D.
    Completed {
        until: Instant,
    },
    /// `until`: timer M.
    Accepted {
        until: Instant,
    },
    Terminated,
}

impl ClientInvite {
    /// Begins with the first transmission, which waits in [`poll`](Self::poll).
    /// `reliable`: not UDP.
    pub fn start(invite: Vec<u8>, reliable: bool, timers: Timers, now: Instant) -> Self {
        let mut actions = Queue::new();
        actions.push(Action::Transmit);
        let resend = (!reliable).then(|| Resend::first(timers.t1(), now));
        let state = State::Calling { resend, until: now + timers.give_up() };
        Self { message: invite, state, timers, reliable, actions }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match (self.state, event) {
            (State::Calling { .. }, Event::Response(status)) => {
                if Class::of(status) == Class::Provisional {
                    self.state = State::Proceeding { until: None };
                }
                self.answered(status, now);
            }
            (State::Proceeding { .. }, Event::Response(status)) => self.answered(status, now),
            (State::Answered { .. }, Event::Response(status)) => {
                if Class::of(status) == Class::Failure {
                    self.actions.push(Action::SendAck); // The caller still owes it.
                }
            }
            (State::Completed { .. }, Event::Response(status)) => {
                if Class::of(status) == Class::Failure {
                    self.actions.push(Action::Transmit); // Our ACK was lost.
                }
            }
            (State::Accepted { .. }, Event::Response(status)) => {
                if Class::of(status) == Class::Success {
                    // The user acknowledges again (RFC 6026 §7.2).
                    self.actions.push(Action::Deliver);
                }
            }
            (State::Terminated, Event::Response(_)) => (),

            (State::Calling { until, .. }, Event::Deadline) if until <= now => {
                self.end(Some(Action::TimedOut)); // Timer B.
            }
            (State::Calling { resend: Some(resend), until }, Event::Deadline)
                if resend.at <= now =>
            {
                // Timer A has no upper limit but timer B (RFC 3261 §17.1.1.2).
                let resend = Some(resend.doubled(self.timers.give_up(), now));
                self.state = State::Calling { resend, until };
                self.actions.push(Action::Transmit);
            }
            (State::Proceeding { until: Some(until) }, Event::Deadline) if until <= now => {
                self.end(Some(Action::TimedOut));
            }
            (
                State::Answered { until } | State::Completed { until } | State::Accepted { until },
                Event::Deadline,
            ) if until <= now => self.end(None), // Timers D and M.
            (
                State::Calling { .. }
                | State::Proceeding { .. }
                | State::Answered { .. }
                | State::Completed { .. }
                | State::Accepted { .. }
                | State::Terminated,
                Event::Deadline,
            ) => (), // Woken early: harmless.

            // An old peer may never answer the INVITE that it lets be cancelled (RFC 3261 §9.1).
            (State::Proceeding { until: None }, Event::Cancelled) => {
                self.state = State::Proceeding { until: Some(now + self.timers.give_up()) };
            }
            (State::Proceeding { until: Some(_) }, Event::Cancelled) => (),
            // Bounded by timer B, or too late.
            (
                State::Calling { .. }
                | State::Answered { .. }
                | State::Completed { .. }
                | State::Accepted { .. }
                | State::Terminated,
                Event::Cancelled,
            ) => (),

            (
                State::Calling { .. } | State::Answered { .. } | State::Completed { .. },
                Event::TransportFailed,
            ) => self.end(Some(Action::Failed)),
            // A peer that has answered may still answer by another connection; nothing of ours
            // waits.
            (
                State::Proceeding { .. } | State::Accepted { .. } | State::Terminated,
                Event::TransportFailed,
            ) => (),
        }
    }

    /// Takes the ACK of a failure, sends it, and keeps it for repetitions. Ignored unless the
    /// machine asked with `SendAck`.
    pub fn set_ack(&mut self, ack: Vec<u8>) {
        match self.state {
            State::Answered { until } => {
                self.message = ack;
                self.actions.push(Action::Transmit);
                self.state = State::Completed { until };
                if self.reliable {
                    self.end(None); // Timer D is zero.
                }
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Accepted { .. }
            | State::Terminated => (),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When to call `handle(Event::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { resend, until } => {
                Some(resend.map_or(until, |resend| resend.at.min(until)))
            }
            State::Proceeding { until } => until,
            State::Answered { until } | State::Completed { until } | State::Accepted { until } => {
                Some(until)
            }
            State::Terminated => None,
        }
    }

    /// The INVITE; the ACK once it was set; nothing behind a success.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Whether a CANCEL may be sent now: a provisional answer came and no final one.
    pub fn is_cancellable(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    fn answered(&mut self, status: u16, now: Instant) {
        self.actions.push(Action::Deliver);
        let until = now + self.timers.give_up();
        match Class::of(status) {
            Class::Provisional => (),
            Class::Success => {
                self.message = Vec::new();
                self.state = State::Accepted { until };
            }
            Class::Failure => {
                self.actions.push(Action::SendAck);
                self.state = State::Answered { until };
            }
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

    /// A script goes in (milliseconds, event), actions come out; the caller gives an ACK when
    /// asked.
    #[track_caller]
    fn check(reliable: bool, script: &[(u64, Event)], expected: &[(u64, Action, &str)]) {
        let mut client = ClientInvite::start(
            b"INVITE".to_vec(),
            reliable,
            Timers::default(),
            Instant::default(),
        );
        let mut seen = Vec::new();
        let mut drain = |client: &mut ClientInvite, at| {
            while let Some(action) = client.poll() {
                let sent = if action == Transmit { client.message() } else { b"" };
                seen.push((at, action, String::from_utf8(sent.to_vec()).unwrap()));
                if action == SendAck {
                    client.set_ack(b"ACK".to_vec());
                }
            }
        };
        drain(&mut client, 0);
        for (at, event) in script {
            client.handle(*event, Instant::millis(*at));
            drain(&mut client, *at);
        }
        let seen: Vec<_> = seen.iter().map(|(at, act, sent)| (*at, *act, sent.as_str())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn every_success_goes_up() {
        check(
            false,
            &[
                (10, Response(100)),
                (500, Deadline),
                (900, Response(180)),
                (2_000, Response(200)),
                (2_500, Response(200)),
                (2_600, Response(486)),
                (34_000, Deadline),
                (34_001, Response(200)),
            ],
            &[
                (0, Transmit, "INVITE"),
                (10, Deliver, ""),
                (900, Deliver, ""),
                (2_000, Deliver, ""),
                (2_500, Deliver, ""),
                (34_000, Terminated, ""),
            ],
        );
    }

    #[test]
    fn a_failure_goes_up_once_and_its_ack_is_repeated() {
        check(
            false,
            &[
                (10, Response(486)),
                (510, Response(486)),
                (511, Response(180)),
                (512, Response(200)),
                (32_009, Deadline),
                (32_010, Deadline),
            ],
            &[
                (0, Transmit, "INVITE"),
                (10, Deliver, ""),
                (10, SendAck, ""),
                (10, Transmit, "ACK"),
                (510, Transmit, "ACK"),
                (32_010, Terminated, ""),
            ],
        );
        check(
            true,
            &[(10, Response(486)), (11, Response(486))],
            &[
                (0, Transmit, "INVITE"),
                (10, Deliver, ""),
                (10, SendAck, ""),
                (10, Transmit, "ACK"),
                (10, Terminated, ""),
            ],
        );
    }

    #[test]
    fn lost_invites_are_sent_again_until_timer_b() {
        for (reliable, expected) in
            [(false, vec![500, 1_500, 3_500, 7_500, 15_500, 31_500]), (true, vec![])]
        {
            let mut client =
                ClientInvite::start(Vec::new(), reliable, Timers::default(), Instant::default());
            client.poll();
            let mut sent = Vec::new();
            let mut last = Vec::new();
            while let Some(at) = client.deadline() {
                client.handle(Deadline, at);
                last = std::iter::from_fn(|| client.poll()).collect();
                if last == [Transmit] {
                    sent.push(at.0 / 1_000);
                }
            }
            assert_eq!((sent, last), (expected, vec![TimedOut, Terminated]));
        }
    }

    #[test]
    fn a_cancelled_call_that_stays_silent_ends() {
        let mut client =
            ClientInvite::start(Vec::new(), true, Timers::default(), Instant::default());
        assert!(!client.is_cancellable());
        client.handle(Response(180), Instant::seconds(1));
        assert!(client.is_cancellable());
        assert_eq!(client.deadline(), None);
        client.handle(Cancelled, Instant::seconds(10));
        client.handle(Cancelled, Instant::seconds(20));
        while client.poll().is_some() {}
        assert_eq!(client.deadline(), Some(Instant::seconds(42)));
        client.handle(Deadline, Instant::seconds(42));
        assert_eq!([client.poll(), client.poll()], [Some(TimedOut), Some(Terminated)]);
    }

    #[test]
    fn every_state_meets_every_event() {
        let events =
            [Cancelled, Deadline, Response(180), Response(200), Response(486), TransportFailed];
        let roads: [(&[Event], bool); 6] = [
            (&[], false),
            (&[Response(180)], false),
            (&[Response(486)], false),
            (&[Response(486)], true),
            (&[Response(200)], false),
            (&[TransportFailed], false),
        ];
        let up: &[Action] = &[Deliver];
        let failure: &[Action] = &[Deliver, SendAck];
        let gone: &[Action] = &[Failed, Terminated];
        let expected: [[&[Action]; 6]; 6] = [
            [&[], &[], up, up, failure, gone],
            [&[], &[], up, up, failure, &[]],
            [&[], &[], &[], &[], &[SendAck], gone],
            [&[], &[], &[], &[], &[Transmit], gone],
            [&[], &[], &[], up, &[], &[]],
            [&[], &[], &[], &[], &[], &[]],
        ];
        for ((road, acked), row) in roads.iter().zip(expected) {
            for (event, actions) in events.iter().zip(row) {
                let now = Instant::default();
                let mut client = ClientInvite::start(Vec::new(), false, Timers::default(), now);
                road.iter().for_each(|event| client.handle(*event, now));
                while client.poll().is_some() {}
                if *acked {
                    client.set_ack(Vec::new());
                    client.poll();
                }
                client.handle(*event, now);
                let seen: Vec<_> = std::iter::from_fn(|| client.poll()).collect();
                assert_eq!(seen, actions, "{road:?} {event:?}");
            }
        }
    }

    #[test]
    fn an_ack_nobody_asked_for_is_ignored() {
        let now = Instant::default();
        let mut client = ClientInvite::start(b"INVITE".to_vec(), false, Timers::default(), now);
        client.poll();
        client.set_ack(b"ACK".to_vec());
        assert_eq!((client.poll(), client.message()), (None, b"INVITE".as_slice()));
    }
}
