//! A request of the peer that is not an INVITE.
//!
//! Picture     Trying --1xx--> Proceeding --final--> Completed --J--> Terminated
//!             Trying --final--> Completed; a broken transport ends Proceeding and Completed.
//! Rules       A repeated request gets the last answer again, and nothing while there is none. The
//!             first final answer stays.
//! Limits      64*T1 in Completed (timer J; none over reliable transports).
//! Not here    INVITE (`server_invite`). The user sends no other provisional answer than 100, and
//!             that not before timer E of the client has reached T2; it does not answer 408 either
//!             (RFC 4320 §4).
//! Spec        RFC 3261 §17.2.2

use types::Instant;

use super::{Class, Queue, Timers};

/// What happens to the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time of [`Server::deadline`] has come.
    Deadline,
    /// The request came again.
    Request,
    /// The user answers.
    Respond {
        /// Status code of the answer.
        status: u16,
        /// The whole answer.
        message: Vec<u8>,
    },
    /// The answer could not be sent.
    TransportFailed,
}

/// What the caller does for the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the user that the transport failed.
    Failed,
    /// The transaction is over: drop it.
    Terminated,
    /// Send [`Server::message`] now.
    Transmit,
}

/// One server transaction for any method but INVITE and ACK.
#[derive(Clone, Debug)]
pub struct Server {
    response: Vec<u8>,
    state: State,
    timers: Timers,
    reliable: bool,
    actions: Queue<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    /// `until`: timer J.
    Completed {
        until: Instant,
    },
    Terminated,
}

impl Server {
    /// Begins when the request has come. `reliable`: not UDP.
    pub fn new(reliable: bool, timers: Timers) -> Self {
        let (response, actions) = (Vec::new(), Queue::new());
        Self { response, state: State::Trying, timers, reliable, actions }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match (self.state, event) {
            (State::Trying, Event::Request) => (), // The user is still at work.
            (State::Proceeding | State::Completed { .. }, Event::Request) => {
                self.actions.push(Action::Transmit);
            }
            (State::Terminated, Event::Request) => (),

            (State::Trying | State::Proceeding, Event::Respond { status, message }) => {
                self.response = message;
                self.actions.push(Action::Transmit);
                match Class::of(status) {
                    Class::Provisional => self.state = State::Proceeding,
                    Class::Success | Class::Failure if self.reliable => self.end(None),
                    Class::Success | Class::Failure => {
                        self.state = State::Completed { until: now + self.timers.give_up() };
                    }
                }
            }
            // The first final answer stays (RFC 3261 §17.2.2).
            (State::Completed { .. } | State::Terminated, Event::Respond { .. }) => (),

            (State::Completed { until }, Event::Deadline) if until <= now => self.end(None), // J.
            (
                State::Trying | State::Proceeding | State::Completed { .. } | State::Terminated,
                Event::Deadline,
            ) => (), // Woken early: harmless.

            (State::Proceeding | State::Completed { .. }, Event::TransportFailed) => {
                self.end(Some(Action::Failed));
            }
            // Nothing was sent, or nothing more will be.
            (State::Trying | State::Terminated, Event::TransportFailed) => (),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When to call `handle(Event::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { until } => Some(until),
            State::Trying | State::Proceeding | State::Terminated => None,
        }
    }

    /// The last answer.
    pub fn message(&self) -> &[u8] {
        &self.response
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

    fn answer(status: u16) -> Event {
        Respond { status, message: status.to_string().into_bytes() }
    }

    /// A script goes in (milliseconds, event), actions come out; a transmission shows what is sent.
    #[track_caller]
    fn check(reliable: bool, script: Vec<(u64, Event)>, expected: &[(u64, Action, &str)]) {
        let mut server = Server::new(reliable, Timers::default());
        let mut seen = Vec::new();
        for (at, event) in script {
            server.handle(event, Instant::millis(at));
            while let Some(action) = server.poll() {
                let sent = if action == Transmit { server.message() } else { b"" };
                seen.push((at, action, String::from_utf8(sent.to_vec()).unwrap()));
            }
        }
        let seen: Vec<_> = seen.iter().map(|(at, act, sent)| (*at, *act, sent.as_str())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lost_answers_are_sent_again_when_asked() {
        check(
            false,
            vec![
                (0, Request),
                (1, answer(100)),
                (2, Request),
                (3, answer(200)),
                (4, Request),
                (5, answer(500)),
                (6, Request),
                (32_002, Deadline),
                (32_003, Deadline),
                (32_004, Request),
            ],
            &[
                (1, Transmit, "100"),
                (2, Transmit, "100"),
                (3, Transmit, "200"),
                (4, Transmit, "200"),
                (6, Transmit, "200"),
                (32_003, Terminated, ""),
            ],
        );
    }

    #[test]
    fn a_reliable_transport_needs_no_waiting() {
        check(true, vec![(1, answer(404))], &[(1, Transmit, "404"), (1, Terminated, "")]);
    }

    #[test]
    fn every_state_meets_every_event() {
        let events = || [Deadline, Request, answer(100), answer(200), TransportFailed];
        let roads =
            [vec![], vec![answer(100)], vec![answer(200)], vec![answer(200), TransportFailed]];
        let expected: [[&[Action]; 5]; 4] = [
            [&[], &[], &[Transmit], &[Transmit], &[]],
            [&[], &[Transmit], &[Transmit], &[Transmit], &[Failed, Terminated]],
            [&[], &[Transmit], &[], &[], &[Failed, Terminated]],
            [&[], &[], &[], &[], &[]],
        ];
        for (road, row) in roads.iter().zip(expected) {
            for (event, actions) in events().into_iter().zip(row) {
                let now = Instant::default();
                let mut server = Server::new(false, Timers::default());
                road.iter().for_each(|event| server.handle(event.clone(), now));
                while server.poll().is_some() {}
                let label = format!("{road:?} {event:?}");
                server.handle(event, now);
                let seen: Vec<_> = std::iter::from_fn(|| server.poll()).collect();
                assert_eq!(seen, actions, "{label}");
            }
        }
    }
}
