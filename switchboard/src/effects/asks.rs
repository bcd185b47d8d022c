//! What a room asks of the outside: the store, providers of pushes, pictures, timers, the event log.

use std::borrow::Cow;
use std::sync::Arc;

use media::TapId;
use types::Instant;

use super::Effects;
use crate::clip::{ClipSource, Recording, SoundOrder};
use crate::fetch::Fetch;
use crate::hearing::{EarOrder, EarPlan, JudgePlan, Tongue};
use crate::input::{EventLine, EventText, Output, Ticket};
use crate::store::{Batch, Query};
use crate::stream::{StreamOrder, StreamPlan};
use crate::timers::Reason;

/// Store, providers, pictures, timers.
impl Effects<'_> {
    /// A change of the database; `on_reply` gets `Reply::Written`.
    pub fn write(&mut self, batch: Batch) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.out.list.push(Output::Write { ticket, batch });
        ticket
    }

    /// A question to the database; `on_reply` gets `Reply::Rows`.
    pub fn load(&mut self, query: Query) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.out.list.push(Output::Load { ticket, query });
        ticket
    }

    /// A push; `on_reply` gets `Reply::Push`.
    pub fn push(&mut self, delivery: pns::Delivery) -> Ticket {
        let ticket = self.core.ticket(self.room);
        let after = self.core.after;
        let delivery = Box::new(delivery);
        self.core.out.list.push(Output::Deliver { ticket, delivery, after });
        ticket
    }

    /// A question to an address of the outside; `on_reply` gets `Reply::Fetched`. It leaves when what was saved before
    /// is written, so that whoever answers knows no more of the session than we do.
    pub fn fetch(&mut self, fetch: Fetch) -> Ticket {
        let ticket = self.core.ticket(self.room);
        let after = self.core.after;
        self.core.out.list.push(Output::Fetch { ticket, fetch: Box::new(fetch), after });
        ticket
    }

    /// A picture in our sizes; `on_reply` gets `Reply::Picture`.
    pub fn render(&mut self, bytes: Vec<u8>, content_type: &str) -> Ticket {
        let ticket = self.core.ticket(self.room);
        let content_type = content_type.to_owned();
        self.core.out.list.push(Output::Render { ticket, bytes, content_type });
        ticket
    }

    /// Wakes this room at `at` with `on_timer`.
    pub fn set_timer(&mut self, at: Instant) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.timers.push(at, Reason::Room(ticket));
        ticket
    }

    /// The timer is not wanted any more.
    pub fn cancel_timer(&mut self, ticket: Ticket) {
        self.core.tickets.remove(&ticket);
    }

    /// Says whether a part of this room is ready; `fault`: why not.
    pub fn part(&mut self, name: &'static str, fault: Option<&'static str>) {
        match fault {
            Some(_) => self.core.reading.insert(name),
            None => self.core.reading.remove(name),
        };
        self.core.out.list.push(Output::Part { name, fault });
    }

    /// A line of the ordered event log.
    pub fn event(
        &mut self,
        kind: impl Into<Cow<'static, str>>,
        subject: &str,
        data: &serde_json::Value,
    ) {
        self.event_line(kind.into(), subject.to_owned(), EventText::Text(data.to_string()));
    }

    /// The same, its data made by who reads it: for what happens with every call.
    pub fn event_later(
        &mut self,
        kind: &'static str,
        subject: String,
        data: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) {
        self.event_line(kind.into(), subject, EventText::Later(Arc::new(data)));
    }

    fn event_line(&mut self, kind: Cow<'static, str>, subject: String, data: EventText) {
        let line = EventLine { kind, subject, time: self.core.clock.unix, data };
        self.core.out.list.push(Output::Event(line));
    }
}

/// Clips and recordings.
impl Effects<'_> {
    /// A clip that can be played; `on_reply` gets `Reply::Clip`.
    pub fn clip(&mut self, source: ClipSource) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.sound(SoundOrder::Clip { ticket, source });
        ticket
    }

    /// Deletes what is kept of a clip or a recording, by the hash of its file.
    pub fn forget_sound(&mut self, hash: &str) {
        self.sound(SoundOrder::Forget { hash: hash.to_owned() });
    }

    /// Records what a tap hears; `on_reply` gets `Reply::Recorded`, once, when it has ended.
    pub fn record(&mut self, recording: Recording) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.sound(SoundOrder::Record { ticket, recording });
        ticket
    }

    /// What comes from now on is left out; `silent`: silence stands in its place.
    pub fn pause_recording(&mut self, tap: TapId, silent: bool) {
        self.sound(SoundOrder::Pause { tap, silent });
    }

    /// What was paused goes on.
    pub fn resume_recording(&mut self, tap: TapId) {
        self.sound(SoundOrder::Resume(tap));
    }

    /// The end; the ticket of [`record`](Self::record) is answered.
    pub fn finish_recording(&mut self, tap: TapId) {
        self.sound(SoundOrder::Finish(tap));
    }

    /// What became of a recording that an earlier process did not end; `on_reply` gets `Reply::Recorded`.
    pub fn recovered_recording(&mut self, name: &str) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.sound(SoundOrder::Recovered { ticket, name: name.to_owned() });
        ticket
    }

    fn sound(&mut self, order: SoundOrder) {
        self.core.out.list.push(Output::Sound(order));
    }
}

/// Words.
impl Effects<'_> {
    /// Listens to somebody, until [`close_ear`](Self::close_ear).
    pub fn open_ear(&mut self, plan: EarPlan) {
        self.core.out.list.push(Output::Ear(EarOrder::Open(Box::new(plan))));
    }

    /// Tells a person from a machine by a tap; `on_reply` gets `Reply::Heard`, once.
    pub fn judge(&mut self, plan: JudgePlan) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.out.list.push(Output::Ear(EarOrder::Judge { ticket, plan }));
        ticket
    }

    /// The next thing that an ear hears; `on_reply` gets `Reply::Heard`.
    pub fn hear(&mut self, tap: TapId) -> Ticket {
        let ticket = self.core.ticket(self.room);
        self.core.out.list.push(Output::Ear(EarOrder::Next { ticket, tap }));
        ticket
    }

    /// Nobody listens any more; who asked hears that it is over.
    pub fn close_ear(&mut self, tap: TapId) {
        self.core.out.list.push(Output::Ear(EarOrder::Close(tap)));
    }

    /// The words of a recording, by the hash of its file; `on_reply` gets `Reply::Heard`.
    pub fn read_words(&mut self, hash: &str, tongue: Tongue) -> Ticket {
        let ticket = self.core.ticket(self.room);
        let hash = hash.to_owned();
        self.core.out.list.push(Output::Ear(EarOrder::Read { ticket, hash, tongue }));
        ticket
    }
}

/// Streams of sound.
impl Effects<'_> {
    /// Sound to an app and back; `on_reply` gets `Reply::StreamBegan` for the first ticket and `Reply::StreamEnded` for
    /// the second one, each once.
    pub fn open_stream(&mut self, plan: StreamPlan) -> (Ticket, Ticket) {
        let [began, ended] = [self.core.ticket(self.room), self.core.ticket(self.room)];
        self.stream(StreamOrder::Open { began, ended, plan: Box::new(plan) });
        (began, ended)
    }

    /// The end of the stream that hears this tap; its tickets are answered.
    pub fn close_stream(&mut self, tap: TapId) {
        self.stream(StreamOrder::Close(tap));
    }

    /// A key that the app of a stream shall know of.
    pub fn stream_key(&mut self, tap: TapId, key: char) {
        self.stream(StreamOrder::Key { tap, key });
    }

    /// What the app of a stream fed before this mark has been heard, or was cleared.
    pub fn stream_mark(&mut self, tap: TapId, mark: u64) {
        self.stream(StreamOrder::Mark { tap, mark });
    }

    fn stream(&mut self, order: StreamOrder) {
        self.core.out.list.push(Output::Stream(order));
    }
}
