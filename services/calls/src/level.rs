//! How loud the two of a call are, for whoever asks.
//!
//! Picture     GET --> Gauge --what is heard for MEASURE--> the answer, and nobody measures any more
//! Rules       Who asks while it is measured hears the same. Nothing of it costs a call about which nobody asks.
//! Limits      MEASURE, ASKED_MAX.
//! Not here    Measuring (media).
//! Spec        RFC 6464 §3 (the scale)

use std::time::Duration;

use media::{Command, Event, Seat, Side, StreamKey};
use serde_json::json;
use switchboard::{ApiRequest, ApiResponse, Effects, Ticket};
use types::SessionId;

use crate::call::State;
use crate::{Refusal, Room};

/// How long is listened.
const MEASURE: Duration = Duration::from_millis(500);
/// Requests that wait for one measurement; further ones are answered with what is known by then.
const ASKED_MAX: usize = 32;
/// Nothing at all.
const SILENCE: u8 = 127;

/// Somebody wants to know how loud the two are.
#[derive(Debug)]
pub struct Gauging {
    stream: StreamKey,
    ticket: Ticket,
    /// By side: the loudest so far, in dB below full scale.
    levels: [u8; 2],
    asked: Vec<u64>,
}

impl Gauging {
    fn answer(&self) -> ApiResponse {
        let [caller, callee] = self.levels.map(|level| json!({ "dbov": -i16::from(level) }));
        ApiResponse::json(200, &json!({ "caller": caller, "callee": callee }))
    }
}

impl Room {
    /// A request: answered when it was listened for long enough.
    pub(crate) fn ask_levels(
        &mut self,
        request: &ApiRequest,
        effects: &mut Effects<'_>,
    ) -> Result<Option<ApiResponse>, Refusal> {
        let (session, call) = self.find_mut(request.arg(0))?;
        if !matches!(call.state, State::Talking { .. }) {
            return Err(Refusal::NotAnswered);
        }
        let stream = call.pair.take_apart(effects).ok_or(Refusal::CannotRecord)?;
        if let Some(gauging) = self.levels.get_mut(&session) {
            if gauging.asked.len() >= ASKED_MAX {
                return Ok(Some(gauging.answer()));
            }
            gauging.asked.push(request.id);
            return Ok(None);
        }
        gauge(stream, Some(MEASURE), effects);
        let ticket = effects.set_timer(effects.now() + MEASURE + MEASURE / 4);
        self.tickets.insert(ticket, session);
        let (levels, asked) = ([SILENCE; 2], vec![request.id]);
        self.levels.insert(session, Box::new(Gauging { stream, ticket, levels, asked }));
        Ok(None)
    }

    /// One of them was this loud.
    pub(crate) fn measured(&mut self, session: SessionId, event: &Event) {
        let Event::Level { stream, seat, level } = event else { return };
        let gauging = self.levels.get_mut(&session).filter(|gauging| gauging.stream == *stream);
        let place = seat.side().map(Side::index);
        if let Some((gauging, place)) = gauging.zip(place) {
            let known = &mut gauging.levels[place];
            *known = (*known).min(*level);
        }
    }

    /// It was listened for long enough; whether the timer was one of these.
    pub(crate) fn tell_levels(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        effects: &mut Effects<'_>,
    ) -> bool {
        if self.levels.get(&session).is_none_or(|gauging| gauging.ticket != ticket) {
            return false;
        }
        if let Some(gauging) = self.levels.remove(&session) {
            gauge(gauging.stream, None, effects);
            for request in &gauging.asked {
                effects.answer(*request, gauging.answer());
            }
        }
        true
    }
}

fn gauge(stream: StreamKey, every: Option<Duration>, effects: &mut Effects<'_>) {
    for seat in [Seat::A, Seat::B].map(Some) {
        effects.media(Command::Gauge { stream, seat, every });
    }
}
