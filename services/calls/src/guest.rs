//! Others in a call of two: they call the address of that call, and listen in or join.
//!
//! Picture     INVITE listen-CALL | join-CALL --> Arriving --hand--> the call: may he? --> seated --BYE--> gone
//! Rules       Groups of the caller say who may, at the moment when he comes. Two people make the call: when one of
//!             them goes it is over for all, when a guest goes it goes on. A guest keeps his place through holds,
//!             transfers and restarts. Each is in the record.
//! Limits      GUESTS_MAX at once, GUESTS_TOLD in the record, ARRIVING_MAX until the call takes the leg.
//! Not here    Sums and buffers (media), what a seat is told (switchboard::seat), who is told of the call (groups).
//! Spec        RFC 3911 (Join, whose place the address takes), RFC 4575, RFC 4579 §4, §5.1 (dialling into a conference).

use media::Voice;
use sip::Message;
use switchboard::group::{Deed, Others};
use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::notice::{ConferenceFacts, ConferenceUser, GuestFacts, Notice};
use switchboard::part::Part;
use switchboard::seat::Seat;
use switchboard::store::Durability;
use switchboard::{Caller, Effects, Passed, Ticket};
use types::{CallId, LegId, Refuse, Seconds, SessionId, UnixTime, tagged};

use crate::call::{Call, State};
use crate::caller::identity;
use crate::transfer::Moving;
use crate::{Refusal, Room};

/// Guests of one call; more are refused with `calls.guests_full`.
pub const GUESTS_MAX: usize = 32;
/// Guests of one call that its record names; of more, the first ones give way.
pub const GUESTS_TOLD: usize = 64;
/// How long a guest waits until the call takes his leg; then there is no such call.
pub const ARRIVING_MAX: Seconds = Seconds(5);

/// One who listens in or joined.
#[derive(Debug)]
pub struct Guest {
    pub leg: LegId,
    pub user: String,
    pub joined: bool,
    began: UnixTime,
    seat: Seat,
    /// He owes the answer to our offer.
    late: bool,
}

/// An INVITE to the address of a call, whose leg that call shall have.
#[derive(Debug)]
pub struct Arriving {
    leg: LegId,
    pub ticket: Ticket,
}

impl Guest {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.number(1, self.leg.0).text(2, &self.user).number(3, self.joined.into());
        writer.number(4, self.began.0.into()).bytes(5, &self.seat.encode());
        writer.finish()
    }

    /// What [`encode`](Self::encode) wrote; he sits down again.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Option<Self> {
        let (mut leg, mut user, mut joined, mut began) = (0, "", false, UnixTime(0));
        let mut seat = None;
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => leg = field.number()?,
                2 => user = field.text()?,
                3 => joined = field.number()? != 0,
                4 => began = UnixTime(u64::try_from(field.number()?).ok()?),
                5 => seat = Seat::restore(field.0, session, effects),
                _ => (), // A field of a newer version.
            }
        }
        let user = user.to_owned();
        Some(Self { leg: LegId(leg), user, joined, began, seat: seat?, late: false })
    }
}

/// What the one who gives a guest's leg says of him.
fn note(part: Part, user: &str) -> Vec<u8> {
    let mut writer = tagged::Writer::new();
    // Numbers that a note about somebody's place (transfer) does not have.
    writer.number(11, (part == Part::Join).into()).text(12, user);
    writer.finish()
}

/// Reads it; `None` when the leg is offered for something else.
pub fn wish(note: &[u8]) -> Option<(Part, String)> {
    let (mut part, mut user) = (None, String::new());
    for (tag, field) in tagged::Reader::new(note) {
        match tag {
            11 => part = Some(if field.number()? == 0 { Part::Listen } else { Part::Join }),
            12 => field.text()?.clone_into(&mut user),
            _ => (), // Of another wish, or of a newer version.
        }
    }
    part.map(|part| (part, user))
}

/// From the side of the one who comes.
impl Room {
    /// Somebody calls the address of a call.
    pub(crate) fn arrive(
        &mut self,
        (session, leg): (SessionId, LegId),
        (part, call): (Part, SessionId),
        message: &Message<'_>,
        caller: &Caller,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        // Whoever is none of ours is told nothing of calls.
        let user = identity(caller, message, effects).user.ok_or(Refusal::MayNotJoin)?;
        let ticket = effects.set_timer(effects.now() + ARRIVING_MAX);
        self.tickets.insert(ticket, session);
        self.arriving.insert(session, Arriving { leg, ticket });
        let note = note(part, &user);
        effects.leg(session, leg, LegCommand::Hand { to: call, note });
        Ok(())
    }

    /// Nobody took the leg: there is no such call.
    pub(crate) fn not_arrived(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(arriving) = self.arriving.remove(&session) else { return };
        self.tickets.remove(&arriving.ticket);
        crate::refuse(session, arriving.leg, &Refusal::NoSuchCall, effects);
    }
}

/// From the side of the call.
impl Room {
    /// A guest's leg is offered to this call.
    pub(crate) fn guest_offered(
        &mut self,
        session: SessionId,
        leg: LegId,
        (version, waiting, sdp): (u32, bool, Option<Vec<u8>>),
        (part, user): (Part, String),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session).filter(|_| waiting) else {
            effects.leg(session, leg, LegCommand::Decline { version });
            return;
        };
        effects.leg(session, leg, LegCommand::Accept { version });
        match let_in(call, (leg, part, &user), sdp.as_deref(), effects) {
            Ok(sdp) => {
                let words = match part {
                    Part::Join => format!("{user} joins this call"),
                    Part::Listen => format!("{user} listens in"),
                };
                effects.ladder(CallId(session.0), Lane::Note, &words);
                effects.count("calls.guests");
                effects.leg(session, leg, LegCommand::Answer { sdp: Some(sdp) });
                effects.save(session, call.encode(), Durability::Written);
                call.show(session, effects);
            }
            Err(refusal) => {
                let verdict = refusal.verdict();
                effects.count(verdict.code);
                let words = format!("{user} may not take part: {}", verdict.code);
                effects.ladder(CallId(session.0), Lane::Note, &words);
                let headers = Effects::refusal_headers(refusal.as_ref());
                effects.leg(session, leg, LegCommand::End { status: verdict.sip, headers });
            }
        }
    }

    /// A guest's leg says something.
    pub(crate) fn guest_leg(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(guest) = call.guests.iter_mut().find(|guest| guest.leg == leg) else { return };
        match event {
            LegEvent::Cancelled | LegEvent::Ended { .. } | LegEvent::Failed { .. } => {
                self.guest_gone(session, leg, false, effects);
            }
            LegEvent::Changed { sdp } => {
                let told = guest.seat.change(sdp.as_deref(), &mut guest.late, effects);
                effects.leg(session, leg, told);
                effects.save(session, call.encode(), Durability::Written);
            }
            LegEvent::Confirmed { sdp } => {
                if guest.seat.confirm(sdp.as_deref(), &mut guest.late, effects) == Some(true) {
                    effects.save(session, call.encode(), Durability::Written);
                }
            }
            LegEvent::Request { request, .. } => {
                let response = Passed::status(480);
                effects.leg(session, leg, LegCommand::Respond { request, response });
            }
            LegEvent::Answered { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Response(_)
            | LegEvent::Restored => (),
        }
    }

    /// A guest leaves. `spoiled`: another program has his port.
    pub(crate) fn guest_gone(
        &mut self,
        session: SessionId,
        leg: LegId,
        spoiled: bool,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(place) = call.guests.iter().position(|guest| guest.leg == leg) else { return };
        let mut guest = call.guests.remove(place);
        if spoiled {
            guest.seat.spoil(effects);
            let end = LegCommand::End { status: 503, headers: Vec::new() };
            effects.leg(session, leg, end);
        } else {
            guest.seat.close(effects);
        }
        call.note_left(&guest, effects.unix());
        let words = format!("{} left", guest.user);
        effects.ladder(CallId(session.0), Lane::Note, &words);
        effects.save(session, call.encode(), Durability::Written);
        call.show(session, effects);
    }

    /// The path to a guest's browser is gone: it leaves.
    pub(crate) fn guest_lost(
        &mut self,
        session: SessionId,
        seat: media::Seat,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get(&session) else { return };
        let found = call.guests.iter().find(|guest| guest.seat.place() == seat);
        if let Some(leg) = found.map(|guest| guest.leg) {
            let end = LegCommand::End { status: 480, headers: Vec::new() };
            effects.leg(session, leg, end);
            self.guest_gone(session, leg, false, effects);
        }
    }

    /// The port of a guest cannot be had.
    pub(crate) fn guest_failed(
        &mut self,
        session: SessionId,
        seat: media::Seat,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get(&session) else { return };
        let found = call.guests.iter().find(|guest| guest.seat.place() == seat);
        if let Some(leg) = found.map(|guest| guest.leg) {
            self.guest_gone(session, leg, true, effects);
        }
    }
}

impl Call {
    /// How a guest comes through.
    pub fn judge_guest(&mut self, seat: media::Seat, quality: &media::Quality) {
        let Some(guest) = self.guests.iter().find(|guest| guest.seat.place() == seat) else {
            return;
        };
        let known = self.facts.guests.iter_mut().find(|facts| {
            facts.ended.is_none() && facts.user == guest.user && facts.began == guest.began
        });
        if let Some(facts) = known {
            facts.quality = Some(Box::new(*quality));
        }
    }

    /// How a guest came through so far, as the API shows it.
    pub fn quality_of(&self, guest: &Guest) -> serde_json::Value {
        let known = self.facts.guests.iter().find(|facts| {
            facts.ended.is_none() && facts.user == guest.user && facts.began == guest.began
        });
        let quality = known.and_then(|facts| facts.quality.as_deref());
        quality.map_or(serde_json::Value::Null, switchboard::facts::side_json)
    }

    /// A guest's time is over, for the record.
    fn note_left(&mut self, guest: &Guest, now: UnixTime) {
        let known = self.facts.guests.iter_mut().find(|facts| {
            facts.ended.is_none() && facts.user == guest.user && facts.began == guest.began
        });
        if let Some(facts) = known {
            facts.ended = Some(now);
        }
    }

    /// Tells those who watch the addresses of a call that others may hear who takes part.
    ///
    /// Spec: RFC 4575
    pub fn show(&self, session: SessionId, effects: &mut Effects<'_>) {
        if !self.pair.is_plain() || self.facts.answered.is_none() {
            return;
        }
        let over = self.facts.ended.is_some();
        let users = if over { Vec::new() } else { self.everybody(effects) };
        for part in [Part::Listen, Part::Join] {
            let facts = ConferenceFacts {
                address: part.address(session),
                caller: user_of(&self.facts.from, effects).unwrap_or_default(),
                called: user_of(&self.facts.to, effects).unwrap_or_default(),
                video: self.facts.video,
                users: users.clone(),
            };
            effects.publish(Notice::ConferenceChanged(Box::new(facts)));
        }
    }

    fn everybody(&self, effects: &Effects<'_>) -> Vec<ConferenceUser> {
        let address = |user: &str| {
            format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
        };
        let name = |user: &str| {
            let known = effects.directory().user(user);
            known.map(|known| known.display_name.clone()).unwrap_or_default()
        };
        let facts = &self.facts;
        let side = |uri: &str, name: String| {
            let uri = uri.to_owned();
            ConferenceUser { uri, name, heard: true, guest: false }
        };
        let callee = match facts.answered_by.as_str() {
            "" => side(&facts.to, String::new()),
            user => side(&address(user), name(user)),
        };
        let mut users = vec![side(&facts.from, facts.from_name.clone()), callee];
        users.extend(self.guests.iter().map(|guest| ConferenceUser {
            uri: address(&guest.user),
            name: name(&guest.user),
            heard: guest.joined,
            guest: true,
        }));
        users
    }

    /// All guests leave with the call.
    pub fn end_guests(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        for mut guest in std::mem::take(&mut self.guests) {
            guest.seat.close(effects);
            self.note_left(&guest, effects.unix());
            let end = LegCommand::End { status: 480, headers: Vec::new() };
            effects.leg(session, guest.leg, end);
        }
    }

    /// The sides sit at another bridge now: the guests follow them.
    pub fn reseat_guests(&mut self, effects: &mut Effects<'_>) {
        if self.guests.is_empty() {
            return;
        }
        if let Some(stream) = self.pair.mix(effects) {
            for guest in &mut self.guests {
                guest.seat.reseat(stream, effects);
            }
        }
    }
}

/// Lets a guest in: what he is told.
fn let_in(
    call: &mut Call,
    (leg, part, user): (LegId, Part, &str),
    sdp: Option<&[u8]>,
    effects: &mut Effects<'_>,
) -> Result<Vec<u8>, Box<dyn Refuse>> {
    may(call, part, user, effects).map_err(boxed)?;
    if !matches!(call.state, State::Talking { b } if b != LegId::default()) {
        return Err(Box::new(Refusal::NotAnswered));
    }
    if matches!(call.moving.as_deref(), Some(Moving::Joining(_))) {
        return Err(Box::new(Refusal::TransferPending));
    }
    if call.guests.len() >= GUESTS_MAX {
        return Err(Box::new(Refusal::GuestsFull));
    }
    let stream = call.pair.mix(effects).ok_or(Refusal::CannotMix).map_err(boxed)?;
    let taken = |seat: media::Seat| call.guests.iter().any(|guest| guest.seat.place() == seat);
    let first = media::Seat::FIRST_GUEST.0;
    let place = (first..).map(media::Seat).find(|seat| !taken(*seat));
    let place = place.ok_or(Refusal::GuestsFull).map_err(boxed)?;
    let joined = part == Part::Join;
    let voice = if joined { Voice::All } else { Voice::Nobody };
    let mut seat = Seat::new(stream, place, voice, effects).map_err(boxed)?;
    let told = match sdp {
        Some(sdp) => seat.answer(sdp, effects),
        None => Ok(seat.offer(effects)),
    };
    let told = match told {
        Ok(told) => told,
        Err(refusal) => {
            seat.close(effects);
            return Err(Box::new(refusal));
        }
    };
    let (user, began) = (user.to_owned(), effects.unix());
    if call.facts.guests.len() >= GUESTS_TOLD {
        call.facts.guests.remove(0);
    }
    call.facts.guests.push(GuestFacts {
        user: user.clone(),
        joined,
        began,
        ended: None,
        quality: None,
    });
    call.guests.push(Guest { leg, user, joined, began, seat, late: sdp.is_none() });
    Ok(told)
}

fn boxed<R: Refuse + 'static>(refusal: R) -> Box<dyn Refuse> {
    Box::new(refusal)
}

/// Whether the groups of the caller let a user take part so.
fn may(call: &Call, part: Part, user: &str, effects: &Effects<'_>) -> Result<(), Refusal> {
    let caller = user_of(&call.facts.from, effects).unwrap_or_default();
    let called = user_of(&call.facts.to, effects).unwrap_or_default();
    let deed = if call.facts.video { Deed::Video } else { Deed::Call };
    let may = effects.directory().groups().others(user, &caller, &called, deed);
    let wanted = match part {
        Part::Join => Others::Join,
        Part::Listen => Others::Listen,
    };
    // The two who talk are in it already.
    let inside = user == caller || user == called || user == call.facts.answered_by;
    if may >= wanted && !inside { Ok(()) } else { Err(Refusal::MayNotJoin) }
}

/// The user part of an address of ours.
fn user_of(uri: &str, effects: &Effects<'_>) -> Option<String> {
    let uri = sip::Uri::decode(uri.as_bytes()).ok().filter(|uri| effects.is_ours(uri))?;
    String::from_utf8(uri.user_unescaped()?.into_owned()).ok()
}
