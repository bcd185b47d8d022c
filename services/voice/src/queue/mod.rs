//! A queue: who waits in it, in which order, and who wants the first of them.
//!
//! Picture     call --Enqueue--> the end of the line --Want--> Go: the first leaves the line --Come--> beside who wanted him
//!             Want and nobody waits --> the line of those who want --Enqueue--> Go at once
//! Rules       It is a session on the slot of its name, made by whoever comes first, and stays when nobody waits any more.
//!             First come, first served, over restarts too: places are kept before anybody hears of them. Who was sent to somebody that is
//!             gone gets his place back, before all others. Calls keep their legs; what is here is the order only.
//! Limits      `maxQueueSize` of who made it; [`AGENTS_MAX`]; [`RETURN_MAX`] after a restart.
//! Not here    What is heard meanwhile (aside), the bridge (meeting).
//! Spec        programmable-voice §1.2 (Enqueue), §1.3 (Queue), §2

use std::collections::VecDeque;

use switchboard::ladder::Lane;
use switchboard::store::Durability;
use switchboard::{Effects, Ticket};
use types::{CallId, Seconds, SessionId, UnixTime, tagged};

use crate::call::call_sid;
use crate::word::{FromQueue, Link, Standing};

/// Calls that wait for somebody to come into one queue; of more the oldest is forgotten, and waits until its time is over.
pub const AGENTS_MAX: usize = 1_000;
/// How many may wait in a queue, unless its maker says otherwise.
pub const MOST: u32 = 1_000;
/// The most that he may say.
pub const MOST_MAX: u32 = 5_000;
/// How long after a restart a queue waits for those who stood in it.
pub const RETURN_MAX: Seconds = Seconds(20);
/// What the state of a queue says that it is.
pub const KIND: &str = "queue";

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Queue {
    /// The session of its name.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// Its name for apps.
    pub sid: String,
    /// How many may wait.
    pub most: u32,
    /// When it was made.
    pub began: UnixTime,
    /// When something last changed.
    pub changed: UnixTime,
    /// Who waits, the next one first.
    pub line: VecDeque<Waiting>,
    /// Who wants somebody, the first of them first.
    agents: VecDeque<(SessionId, Option<Link>)>,
    /// How many were fetched, and how long they waited together. Units: seconds.
    served: (u64, u64),
    /// When those who did not come back are given up.
    pub returning: Option<Ticket>,
}

/// Somebody who waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// His call.
    pub call: SessionId,
    /// Since when.
    pub since: UnixTime,
    /// A restart is over and he did not come back yet.
    pub away: bool,
}

impl Queue {
    /// One in which nobody waits.
    pub fn new(session: SessionId, name: &str, effects: &mut Effects<'_>) -> Self {
        let sid = format!("QU{:032x}", effects.session_id(session.slot()).0);
        let (now, name) = (effects.unix(), name.to_owned());
        Self { session, name, sid, began: now, changed: now, ..Self::default() }
    }

    /// Writes down how it stands.
    pub fn keep(&mut self, effects: &mut Effects<'_>) {
        self.changed = effects.unix();
        effects.save(self.session, self.encode(), Durability::Written);
    }

    fn say(&self, word: FromQueue, call: SessionId, effects: &mut Effects<'_>) {
        word.tell(self.session, call, effects);
    }

    /// How long those who were fetched waited, on average. Units: seconds.
    pub fn average(&self) -> u64 {
        let (count, seconds) = self.served;
        seconds.checked_div(count).unwrap_or(0)
    }

    fn place_of(&self, call: SessionId) -> Option<usize> {
        self.line.iter().position(|waiting| waiting.call == call)
    }

    /// How somebody who waits stands.
    pub fn standing(&self, place: usize, now: UnixTime) -> Standing {
        let since = self.line.get(place).map_or(now, |waiting| waiting.since);
        let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Standing {
            sid: self.sid.clone(),
            position: whole(place + 1),
            size: whole(self.line.len()),
            most: self.most,
            since,
            waited: now.since(since).as_secs(),
            average: self.average(),
        }
    }

    /// A call waits from now on, or again after a restart.
    pub fn enqueue(&mut self, call: SessionId, most: u32, effects: &mut Effects<'_>) {
        if let Some(place) = self.place_of(call) {
            if let Some(waiting) = self.line.get_mut(place) {
                waiting.away = false;
            }
            return self.where_is(call, effects);
        }
        if self.most == 0 {
            self.most = most;
        }
        if self.line.len() >= self.most as usize {
            self.keep(effects);
            return self.say(FromQueue::Full, call, effects);
        }
        self.line.push_back(Waiting { call, since: effects.unix(), away: false });
        effects.count("voice.enqueued");
        let words = format!("{} waits in {}", call_sid(call.0), self.name);
        effects.ladder(CallId(call.0), Lane::Note, &words);
        self.keep(effects);
        self.serve(effects);
        self.where_is(call, effects);
    }

    /// Tells a call how it stands.
    pub fn where_is(&self, call: SessionId, effects: &mut Effects<'_>) {
        let Some(place) = self.place_of(call) else { return };
        let standing = self.standing(place, effects.unix());
        self.say(FromQueue::Standing(standing), call, effects);
    }

    /// A call waits no more, or wants its place back.
    pub fn unqueue(&mut self, call: SessionId, back: bool, effects: &mut Effects<'_>) {
        if let Some(place) = self.place_of(call) {
            self.line.remove(place);
        }
        if back {
            let since = effects.unix();
            self.line.push_front(Waiting { call, since, away: false });
        }
        self.keep(effects);
        if back {
            self.serve(effects);
            self.where_is(call, effects);
        }
    }

    /// Somebody wants whoever waits longest.
    pub fn want(&mut self, agent: SessionId, whisper: Option<Link>, effects: &mut Effects<'_>) {
        self.enough(agent);
        if self.agents.len() >= AGENTS_MAX {
            self.agents.pop_front();
        }
        self.agents.push_back((agent, whisper));
        self.serve(effects);
    }

    /// He wants nobody any more.
    pub fn enough(&mut self, agent: SessionId) {
        self.agents.retain(|(known, _)| *known != agent);
    }

    /// Brings together who can be.
    fn serve(&mut self, effects: &mut Effects<'_>) {
        // Who did not come back yet after a restart keeps his place, but cannot be sent to anybody.
        while let Some(place) = self.line.iter().position(|waiting| !waiting.away) {
            let Some((agent, whisper)) = self.agents.pop_front() else { return };
            let standing = self.standing(place, effects.unix());
            let Some(waiting) = self.line.remove(place) else { return };
            self.served.0 += 1;
            self.served.1 += standing.waited;
            self.keep(effects);
            let sid = call_sid(agent.0);
            self.say(FromQueue::Go { agent, sid, whisper, standing }, waiting.call, effects);
        }
    }

    /// Those who did not come back after a restart are gone.
    pub fn give_up(&mut self, effects: &mut Effects<'_>) {
        self.returning = None;
        self.line.retain(|waiting| !waiting.away);
        self.keep(effects);
    }

    /// As tagged fields.
    fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.text(200, KIND).text(2, &self.name).text(3, &self.sid);
        writer.number(4, self.most.into()).time(5, self.began).time(6, self.changed);
        writer.number(7, self.served.0.into()).number(8, self.served.1.into());
        for waiting in &self.line {
            writer.nested(9, |writer| {
                writer.number(1, waiting.call.0).time(2, waiting.since);
            });
        }
        writer.finish()
    }

    /// What was kept; those who waited come back by themselves.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Self {
        let mut queue = Self { session, ..Self::default() };
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = || field.number().and_then(|number| u64::try_from(number).ok());
            match tag {
                2 => queue.name = field.string().unwrap_or_default(),
                3 => queue.sid = field.string().unwrap_or_default(),
                4 => queue.most = number().and_then(|most| u32::try_from(most).ok()).unwrap_or(0),
                5 => queue.began = field.time().unwrap_or_default(),
                6 => queue.changed = field.time().unwrap_or_default(),
                7 => queue.served.0 = number().unwrap_or(0),
                8 => queue.served.1 = number().unwrap_or(0),
                9 => {
                    let mut waiting = Waiting { away: true, ..Waiting::default() };
                    for (tag, field) in tagged::Reader::new(field.0) {
                        match tag {
                            1 => waiting.call = SessionId(field.number().unwrap_or(0)),
                            2 => waiting.since = field.time().unwrap_or_default(),
                            _ => (), // A field of a newer version.
                        }
                    }
                    queue.line.push_back(waiting);
                }
                _ => (), // A field of a newer version.
            }
        }
        queue.returning = Some(effects.set_timer(effects.now() + RETURN_MAX));
        queue
    }
}
