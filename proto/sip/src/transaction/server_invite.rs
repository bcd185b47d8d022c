//! An INVITE of the peer.
//!
//! Picture     Proceeding --2xx--> Accepted --L--> Terminated
//!             Proceeding --3xx..6xx--> Completed --ACK--> Confirmed --I--> Terminated
//!                                      Completed --H (no ACK)--> Terminated
//! Rules       100 is asked for when nothing was answered for TRYING_AFTER: most calls ring before
//!             that. A repeated INVITE gets the last provisional or the failure again; behind a
//!             success it is absorbed. A failure is repeated by us (timer G, UDP only) until its ACK. A success is
//!             repeated by the dialog's user, end to end, on every transport: [`AnswerRetransmit`].
//! Limits      64*T1 in Accepted (timer L) and Completed (timer H), T4 in Confirmed (timer I, UDP
//!             only).
//! Not here    How long it may ring. CANCEL, which is a `server` transaction of its own.
//! Spec        RFC 3261 §17.2.1, §13.3.1.4; RFC 6026 §7.1, §8.5

use std::time::Duration;

use types::Instant;

use super::{Class, Queue, Resend, Timers};

/// What happens to the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An ACK came.
    Ack,
    /// The time of [`ServerInvite::deadline`] has come.
    Deadline,
    /// The INVITE came again.
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
    /// Hand the ACK at hand to the user: it belongs to a success.
    Acked,
    /// Tell the user that the transport failed.
    Failed,
    /// The transaction is over: drop it.
    Terminated,
    /// Tell the user that no ACK came for its failure.
    TimedOut,
    /// Respond with 100: the user takes his time.
    Try,
    /// Send [`ServerInvite::message`] now.
    Transmit,
}

/// How long the user may be silent before the peer gets 100. Until then the peer may repeat its INVITE, so that one
/// which a crash made us forget begins anew.
///
/// Spec: RFC 3261 §17.2.1
pub const TRYING_AFTER: Duration = Duration::from_millis(200);

/// One server transaction for INVITE.
#[derive(Clone, Debug)]
pub struct ServerInvite {
    response: Vec<u8>,
    state: State,
    timers: Timers,
    reliable: bool,
    actions: Queue<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `trying`: when 100 is due.
    Proceeding {
        trying: Option<Instant>,
    },
    /// `until`: timer L.
    Accepted {
        until: Instant,
    },
    /// `resend`: timer G; `until`: timer H.
    Completed {
        resend: Option<Resend>,
        until: Instant,
    },
    /// `until`: timer I.
    Confirmed {
        until: Instant,
    },
    Terminated,
}

impl ServerInvite {
    /// Begins when the INVITE has come. `reliable`: not UDP.
    pub fn new(reliable: bool, timers: Timers, now: Instant) -> Self {
        let (response, actions) = (Vec::new(), Queue::new());
        let state = State::Proceeding { trying: Some(now + TRYING_AFTER) };
        Self { response, state, timers, reliable, actions }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match (self.state, event) {
            (State::Proceeding { .. }, Event::Request) if self.response.is_empty() => (),
            (State::Proceeding { .. } | State::Completed { .. }, Event::Request) => {
                self.actions.push(Action::Transmit);
            }
            // Absorbed: the user repeats the success itself; behind an ACK the INVITE is only late.
            (
                State::Accepted { .. } | State::Confirmed { .. } | State::Terminated,
                Event::Request,
            ) => (),

            (State::Proceeding { .. }, Event::Respond { status, message }) => {
                self.answer(status, message, now);
            }
            (State::Accepted { .. }, Event::Respond { status, message }) => {
                // A further success: of another branch, or repeated by the user (RFC 6026 §7.1).
                if Class::of(status) == Class::Success {
                    self.response = message;
                    self.actions.push(Action::Transmit);
                }
            }
            // The first final answer stays.
            (
                State::Completed { .. } | State::Confirmed { .. } | State::Terminated,
                Event::Respond { .. },
            ) => (),

            (State::Accepted { .. }, Event::Ack) => self.actions.push(Action::Acked),
            (State::Completed { .. }, Event::Ack) => {
                self.response = Vec::new();
                if self.reliable {
                    self.end(None);
                } else {
                    self.state = State::Confirmed { until: now + self.timers.t4() };
                }
            }
            // There is nothing yet to acknowledge, or it has been.
            (
                State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated,
                Event::Ack,
            ) => (),

            (State::Proceeding { trying: Some(at) }, Event::Deadline) if at <= now => {
                self.state = State::Proceeding { trying: None };
                self.actions.push(Action::Try);
            }

            (State::Accepted { until } | State::Confirmed { until }, Event::Deadline)
                if until <= now =>
            {
                self.end(None); // Timers L and I.
            }
            (State::Completed { until, .. }, Event::Deadline) if until <= now => {
                self.end(Some(Action::TimedOut)); // Timer H.
            }
            (State::Completed { resend: Some(resend), until }, Event::Deadline)
                if resend.at <= now =>
            {
                let resend = Some(resend.doubled(self.timers.t2(), now));
                self.state = State::Completed { resend, until };
                self.actions.push(Action::Transmit); // Timer G.
            }
            (
                State::Proceeding { .. }
                | State::Accepted { .. }
                | State::Completed { .. }
                | State::Confirmed { .. }
                | State::Terminated,
                Event::Deadline,
            ) => (), // Woken early: harmless.

            (State::Proceeding { .. } | State::Completed { .. }, Event::TransportFailed) => {
                self.end(Some(Action::Failed));
            }
            // Stays, to absorb what is under way (RFC 6026 §7.1): the user hears and decides.
            (State::Accepted { .. }, Event::TransportFailed) => self.actions.push(Action::Failed),
            (State::Confirmed { .. } | State::Terminated, Event::TransportFailed) => (),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When to call `handle(Event::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { resend, until } => {
                Some(resend.map_or(until, |resend| resend.at.min(until)))
            }
            State::Accepted { until } | State::Confirmed { until } => Some(until),
            State::Proceeding { trying } => trying,
            State::Terminated => None,
        }
    }

    /// The last answer.
    pub fn message(&self) -> &[u8] {
        &self.response
    }

    /// Gives a success away once it was sent, for [`AnswerRetransmit`]: one copy is enough.
    /// `None` in any other state.
    pub fn take_message(&mut self) -> Option<Vec<u8>> {
        match self.state {
            State::Accepted { .. } => Some(std::mem::take(&mut self.response)),
            State::Proceeding { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Terminated => None,
        }
    }

    fn answer(&mut self, status: u16, message: Vec<u8>, now: Instant) {
        self.response = message;
        self.actions.push(Action::Transmit);
        let until = now + self.timers.give_up();
        match Class::of(status) {
            Class::Provisional => self.state = State::Proceeding { trying: None },
            Class::Success => self.state = State::Accepted { until },
            Class::Failure => {
                let resend = (!self.reliable).then(|| Resend::first(self.timers.t1(), now));
                self.state = State::Completed { resend, until };
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

/// Repeats a success of ours to an INVITE until its ACK comes, whatever the transport.
///
/// The user of the dialog keeps one from the success on: `Waiting --ACK--> done`, or `TimedOut`
/// after 64*T1, upon which the user ends the dialog with BYE.
///
/// Spec: RFC 3261 §13.3.1.4
#[derive(Clone, Debug)]
pub struct AnswerRetransmit {
    answer: Vec<u8>,
    waiting: Option<Waiting>,
    timers: Timers,
    actions: Queue<AnswerAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    resend: Resend,
    until: Instant,
}

/// What happens to an [`AnswerRetransmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEvent {
    /// The ACK with the CSeq number of the INVITE came.
    Ack,
    /// The time of [`AnswerRetransmit::deadline`] has come.
    Deadline,
}

/// What the caller does for an [`AnswerRetransmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerAction {
    /// The ACK came, for the first time: drop this machine.
    Acked,
    /// No ACK came: end the dialog with BYE and drop this machine.
    TimedOut,
    /// Send [`AnswerRetransmit::message`] now.
    Transmit,
}

impl AnswerRetransmit {
    /// Begins when `answer` was sent for the first time.
    pub fn new(answer: Vec<u8>, timers: Timers, now: Instant) -> Self {
        let resend = Resend::first(timers.t1(), now);
        let waiting = Some(Waiting { resend, until: now + timers.give_up() });
        Self { answer, waiting, timers, actions: Queue::new() }
    }

    /// Applies one event. `now` never goes backwards. Drain [`poll`](Self::poll) after each call.
    pub fn handle(&mut self, event: AnswerEvent, now: Instant) {
        match (self.waiting, event) {
            (Some(_), AnswerEvent::Ack) => self.end(AnswerAction::Acked),
            (Some(waiting), AnswerEvent::Deadline) if waiting.until <= now => {
                self.end(AnswerAction::TimedOut);
            }
            (Some(Waiting { resend, until }), AnswerEvent::Deadline) if resend.at <= now => {
                let resend = resend.doubled(self.timers.t2(), now);
                self.waiting = Some(Waiting { resend, until });
                self.actions.push(AnswerAction::Transmit);
            }
            (Some(_), AnswerEvent::Deadline) => (), // Woken early: harmless.
            (None, AnswerEvent::Ack | AnswerEvent::Deadline) => (), // A repeated ACK.
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<AnswerAction> {
        self.actions.pop()
    }

    /// When to call `handle(AnswerEvent::Deadline, ..)` next.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.map(|waiting| waiting.resend.at.min(waiting.until))
    }

    /// The answer; empty once it was acknowledged or given up.
    pub fn message(&self) -> &[u8] {
        &self.answer
    }

    fn end(&mut self, why: AnswerAction) {
        self.waiting = None;
        self.answer = Vec::new();
        self.actions.push(why);
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
        let mut server = ServerInvite::new(reliable, Timers::default(), Instant::default());
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
    fn a_success_absorbs_repeated_invites_and_passes_the_ack() {
        for reliable in [false, true] {
            check(
                reliable,
                vec![
                    (0, answer(100)),
                    (1, Request),
                    (2, answer(180)),
                    (3, Request),
                    (4, answer(200)),
                    (5, Request),
                    (6, answer(200)),
                    (7, answer(486)),
                    (8, Ack),
                    (9, Ack),
                    (32_003, Deadline),
                    (32_004, Deadline),
                ],
                &[
                    (0, Transmit, "100"),
                    (1, Transmit, "100"),
                    (2, Transmit, "180"),
                    (3, Transmit, "180"),
                    (4, Transmit, "200"),
                    (6, Transmit, "200"),
                    (8, Acked, ""),
                    (9, Acked, ""),
                    (32_004, Terminated, ""),
                ],
            );
        }
    }

    #[test]
    fn a_lost_failure_is_repeated_until_its_ack() {
        check(
            false,
            vec![
                (0, answer(100)),
                (100, answer(486)),
                (599, Deadline),
                (600, Deadline),
                (700, Request),
                (1_600, Deadline),
                (1_700, Ack),
                (1_800, Ack),
                (1_900, Request),
                (6_700, Deadline),
            ],
            &[
                (0, Transmit, "100"),
                (100, Transmit, "486"),
                (600, Transmit, "486"),
                (700, Transmit, "486"),
                (1_600, Transmit, "486"),
                (6_700, Terminated, ""),
            ],
        );
        check(true, vec![(0, answer(486)), (1, Ack)], &[(0, Transmit, "486"), (1, Terminated, "")]);
    }

    #[test]
    fn a_failure_without_ack_gives_up() {
        for (reliable, times) in [(false, 11), (true, 1)] {
            let mut server = ServerInvite::new(reliable, Timers::default(), Instant::default());
            server.handle(answer(600), Instant::default());
            let mut seen = Vec::new();
            seen.extend(std::iter::from_fn(|| server.poll()));
            while let Some(at) = server.deadline() {
                server.handle(Deadline, at);
                seen.extend(std::iter::from_fn(|| server.poll()));
                assert!(at <= Instant::seconds(32));
            }
            assert_eq!(seen.iter().filter(|action| **action == Transmit).count(), times);
            assert!(seen.ends_with(&[TimedOut, Terminated]));
        }
    }

    #[test]
    fn every_state_meets_every_event() {
        let events =
            || [Ack, Deadline, Request, answer(180), answer(200), answer(486), TransportFailed];
        let roads = [
            vec![answer(100)],
            vec![answer(200)],
            vec![answer(486)],
            vec![answer(486), Ack],
            vec![answer(486), TransportFailed],
        ];
        let t: &[Action] = &[Transmit];
        let gone: &[Action] = &[Failed, Terminated];
        let expected: [[&[Action]; 7]; 5] = [
            [&[], &[], t, t, t, t, gone],
            [&[Acked], &[], &[], &[], t, &[], &[Failed]],
            [&[], &[], t, &[], &[], &[], gone],
            [&[], &[], &[], &[], &[], &[], &[]],
            [&[], &[], &[], &[], &[], &[], &[]],
        ];
        for (road, row) in roads.iter().zip(expected) {
            for (event, actions) in events().into_iter().zip(row) {
                let now = Instant::default();
                let mut server = ServerInvite::new(false, Timers::default(), Instant::default());
                for event in road {
                    server.handle(event.clone(), now);
                    while server.poll().is_some() {}
                }
                let label = format!("{road:?} {event:?}");
                server.handle(event, now);
                let seen: Vec<_> = std::iter::from_fn(|| server.poll()).collect();
                assert_eq!(seen, actions, "{label}");
            }
        }
    }

    #[test]
    fn who_is_silent_is_asked_for_100_and_before_that_a_repeated_invite_gets_nothing() {
        let quiet = || vec![(0, Request), (1, Ack), (199, Deadline)];
        check(false, quiet(), &[]);
        for reliable in [false, true] {
            let more = vec![(200, Deadline), (201, answer(100)), (500, Request), (900, Deadline)];
            check(
                reliable,
                [quiet(), more].concat(),
                &[(200, Try, ""), (201, Transmit, "100"), (500, Transmit, "100")],
            );
            check(reliable, vec![(100, answer(180)), (200, Deadline)], &[(100, Transmit, "180")]);
        }
    }

    #[test]
    fn a_success_moves_to_the_retransmitter() {
        let mut server = ServerInvite::new(false, Timers::default(), Instant::default());
        server.handle(answer(180), Instant::default());
        assert_eq!(server.take_message(), None);
        server.handle(answer(200), Instant::default());
        while server.poll().is_some() {}
        assert_eq!(server.take_message().unwrap(), b"200");
        assert_eq!(server.message(), b"");
    }

    /// Milliseconds of the transmissions, and how it ended.
    fn repeat(ack: Option<u64>) -> (Vec<u64>, Vec<(u64, AnswerAction)>) {
        let mut machine =
            AnswerRetransmit::new(b"200".to_vec(), Timers::default(), Instant::default());
        let mut seen = Vec::new();
        while let Some(at) = machine.deadline() {
            let late = ack.map(Instant::millis).filter(|ack| *ack <= at);
            let (event, at) = late.map_or((AnswerEvent::Deadline, at), |a| (AnswerEvent::Ack, a));
            machine.handle(event, at);
            while let Some(action) = machine.poll() {
                assert_eq!(machine.message().is_empty(), action != AnswerAction::Transmit);
                seen.push((at.0 / 1_000, action));
            }
        }
        machine.handle(AnswerEvent::Ack, Instant::seconds(99));
        assert_eq!(machine.poll(), None);
        let (sent, end): (Vec<_>, Vec<_>) =
            seen.into_iter().partition(|(_, action)| *action == AnswerAction::Transmit);
        (sent.into_iter().map(|(at, _)| at).collect(), end)
    }

    #[test]
    fn a_success_is_repeated_until_its_ack() {
        assert_eq!(repeat(Some(2_000)), (vec![500, 1_500], vec![(2_000, AnswerAction::Acked)]));
        assert_eq!(
            repeat(None),
            (
                vec![500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500],
                vec![(32_000, AnswerAction::TimedOut)]
            )
        );
    }
}
