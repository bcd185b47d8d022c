//! Transfers: somebody takes the place of one of two who talk. We do them for the phones, which need to know nothing.
//!
//! Picture     REFER to NAME:       Calling --answer--> Joining --the one who stays agrees--> done
//!                                  Calling --nobody--> the old call goes on
//!             REFER with Replaces: Asking --found--> Giving --taken--> done; the other call: --offered--> Joining
//!             INVITE with Replaces: the same, and what is given is the leg that the INVITE made
//! Rules       The one who asked hears by NOTIFY how it goes, unless he does not want to. The one who stays is told by
//!             a re-INVITE. Only the phone of a dialog, or somebody who proved who he is, may have it replaced.
//! Limits      One change of a call at a time; a second REFER gets 491.
//! Not here    How somebody is reached (ring), how a leg changes its owner (leg).
//! Spec        RFC 3515, RFC 3891, RFC 4488, RFC 5589, RFC 3725

mod take;

use media::Side;
use sip::uri::unescape;
use sip::{Message, Name, NameAddr, Scheme, Uri, header};
use switchboard::hunt::{Brief, Hunt};
use switchboard::ladder::Lane;
use switchboard::leg::{LegCommand, LegEvent};
use switchboard::pair::{Pair, without_hold};
use switchboard::ring::{Outcome, Plan};
use switchboard::route::{self, Origin, Question};
use switchboard::store::Durability;
use switchboard::{Caller, Effects, Found, Passed, RequestId, Ticket};
use types::{CallId, Flow, LegId, SessionId, tagged};

use crate::call::{Call, State};
use crate::{End, Refusal, Room};

/// What is under way in a call that changes.
#[derive(Debug)]
pub enum Moving {
    /// Which call is named? `user`: whom to call when it only rings.
    Asking { ticket: Ticket, early_only: bool, user: Option<String>, asker: Asker },
    /// A third person is called.
    Calling(Box<Calling>),
    /// The one who stays was offered to another call.
    Giving { asker: Asker },
    /// A leg takes a place here.
    Joining(Box<Joining>),
    /// The caller will be told of another phone than the one that he heard ringing.
    Retelling { sdp: Vec<u8> },
}

/// Who asked for a transfer, and how he hears of it.
#[derive(Clone, Debug)]
pub struct Asker {
    side: Side,
    /// The value of Event; `None`: he wants no word.
    event: Option<String>,
    /// What he heard last.
    heard: u16,
    /// He hung up, and the transfer goes on.
    gone: bool,
}

/// A third person is called.
#[derive(Debug)]
pub struct Calling {
    pub ring: Hunt,
    pair: Pair,
    asker: Asker,
}

/// A leg takes the place of a side.
#[derive(Debug)]
pub struct Joining {
    leg: LegId,
    side: Side,
    /// The pair of the two who talked before.
    old: Pair,
    then: Then,
    /// Another call gave it: until it is there, the old call can go on.
    given: bool,
}

/// What the new leg needs once the one who stays has agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Its answer came with an offer: the ACK brings ours.
    Ack,
    /// It waits for an answer to its INVITE.
    Answer,
    /// It is told by a re-INVITE.
    Change,
    /// Nothing: both know.
    Settle,
}

impl Joining {
    /// Whether this leg has its place still before it.
    pub fn waits_for(&self, leg: LegId) -> bool {
        self.given && self.leg == leg
    }
}

/// An INVITE that wants somebody's place in another call.
#[derive(Debug)]
pub struct Replacing {
    leg: LegId,
    ticket: Ticket,
    early_only: bool,
    proved: bool,
}

/// The dialog that a Replaces header names.
struct Named {
    call_id: Vec<u8>,
    ours: Vec<u8>,
    theirs: Vec<u8>,
    early_only: bool,
}

/// Spec: RFC 3891 §6.1
fn named(value: &[u8]) -> Option<Named> {
    let params = header::tail(value);
    Some(Named {
        call_id: Some(header::head(value)).filter(|id| !id.is_empty())?.to_vec(),
        ours: params.get("to-tag")?.to_vec(),
        theirs: params.get("from-tag")?.to_vec(),
        early_only: params.has("early-only"),
    })
}

/// REFER: where to.
struct Target {
    user: Option<String>,
    replaces: Option<Named>,
}

fn target(passed: &Passed, effects: &Effects<'_>) -> Result<Target, Refusal> {
    let mut fields =
        passed.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Refer-To"));
    let (Some((_, value)), None) = (fields.next(), fields.next()) else {
        return Err(Refusal::NoTransfer);
    };
    let address = NameAddr::decode(value.as_bytes()).map_err(|_| Refusal::NoTransfer)?;
    let uri = address.uri().map_err(|_| Refusal::NoTransfer)?;
    if uri.params.get("method").is_some_and(|method| method != b"INVITE") {
        return Err(Refusal::NoTransfer);
    }
    let user = match uri.scheme {
        Scheme::Sip | Scheme::Sips if effects.is_ours(&uri) => uri.user_unescaped(),
        Scheme::Tel => uri.user_unescaped(),
        Scheme::Sip | Scheme::Sips | Scheme::Other => None,
    };
    let user = user.map(|user| String::from_utf8_lossy(&user).into_owned());
    let replaces = uri.headers.split(|octet| *octet == b'&').find_map(|field| {
        let at = field.iter().position(|octet| *octet == b'=')?;
        let (name, value) = (field.get(..at)?, field.get(at + 1..)?);
        name.eq_ignore_ascii_case(b"Replaces").then(|| unescape(value).into_owned())
    });
    let replaces = match replaces {
        Some(value) => Some(named(&value).ok_or(Refusal::CannotReplace)?),
        None => None,
    };
    Ok(Target { user, replaces })
}

/// The question for the one who decides: whoever transfers must be allowed to call the target.
fn question(call: &Call, asker: Side, dialled: &str, effects: &Effects<'_>) -> Question {
    let who = match asker {
        Side::A => &call.facts.from,
        Side::B => &call.facts.to,
    };
    let uri = Uri::decode(who.as_bytes()).ok().filter(|uri| effects.is_ours(uri));
    let user = uri.and_then(|uri| uri.user_unescaped());
    let user = user.map(|user| String::from_utf8_lossy(&user).into_owned());
    let origin = match user.filter(|user| effects.directory().user(user).is_some()) {
        Some(user) => Origin::User(user),
        None => Origin::Stranger,
    };
    // The same chance both times it is asked: nothing is drawn for a transfer.
    Question { origin, shows: None, dialled: dialled.to_owned(), time: effects.unix(), chance: 0 }
}

/// What is said of a leg that is given to another call.
fn note(replaces: LegId, told: &[u8], early_only: bool) -> Vec<u8> {
    let mut writer = tagged::Writer::new();
    writer.number(1, replaces.0).bytes(2, told).number(3, early_only.into());
    writer.finish()
}

/// REFER.
impl Room {
    pub(crate) fn refer(
        &mut self,
        session: SessionId,
        side: Side,
        request: RequestId,
        passed: &Passed,
        effects: &mut Effects<'_>,
    ) {
        if let Err(refusal) = self.referred(session, side, request, passed, effects) {
            let Some(leg) = self.calls.get(&session).and_then(|call| call.leg(side)) else {
                return;
            };
            let verdict = types::Refuse::verdict(&refusal);
            effects.count(verdict.code);
            let mut response = Passed::status(verdict.sip);
            response.headers = Effects::refusal_headers(&refusal);
            effects.leg(session, leg, LegCommand::Respond { request, response });
        }
    }

    fn referred(
        &mut self,
        session: SessionId,
        side: Side,
        request: RequestId,
        passed: &Passed,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        let Some(call) = self.calls.get_mut(&session) else { return Ok(()) };
        let busy = call.moving.is_some() || call.changing.is_some() || call.late.is_some();
        if busy || !matches!(call.state, State::Talking { .. }) {
            return Err(Refusal::TransferPending);
        }
        let target = target(passed, effects)?;
        let user = target.user.filter(|user| {
            route::decide(effects.directory(), &question(call, side, user, effects))
                .no_phone()
                .is_none()
        });
        if user.is_none() && target.replaces.is_none() {
            return Err(Refusal::NoTransfer);
        }
        let Some(leg) = call.leg(side) else { return Ok(()) };
        // RFC 3515 §2.4.6: from the second on, an id tells them apart.
        let id = if call.transfers > 0 { format!(";id={}", passed.cseq) } else { String::new() };
        call.transfers += 1;
        let silent = passed.header("Refer-Sub").is_some_and(|value| value.trim() == "false");
        let mut response = Passed::status(if silent { 200 } else { 202 });
        if silent {
            response.headers.push(("Refer-Sub".into(), "false".into()));
        }
        effects.leg(session, leg, LegCommand::Respond { request, response });
        let event = (!silent).then(|| format!("refer{id}"));
        let mut asker = Asker { side, event, heard: 0, gone: false };
        tell(session, call, &mut asker, 100, effects);
        effects.ladder(CallId(session.0), Lane::Note, "a transfer was asked for");
        match target.replaces {
            Some(named) => {
                let ticket = effects.find(session, &named.call_id, &named.ours, &named.theirs);
                self.tickets.insert(ticket, session);
                let early_only = named.early_only;
                let asking = Moving::Asking { ticket, early_only, user, asker };
                call.moving = Some(Box::new(asking));
            }
            None => {
                let by = passed.header("Referred-By").map(str::to_owned);
                self.call_third(session, user.unwrap_or_default(), by, asker, effects);
            }
        }
        Ok(())
    }

    /// Calls the target for the one who stays.
    fn call_third(
        &mut self,
        session: SessionId,
        user: String,
        referred_by: Option<String>,
        asker: Asker,
        effects: &mut Effects<'_>,
    ) {
        let ring = self.config.ring_max;
        let Some(call) = self.calls.get_mut(&session) else { return };
        let stays = asker.side.other();
        let mut pair = call.pair.beside(stays, &[], session, effects);
        let offer = call
            .leg(stays)
            .and_then(|leg| effects.described(leg))
            .and_then(|sdp| pair.offer(stays, &without_hold(&sdp), effects).ok());
        let offer_web =
            offer.as_deref().and_then(|plain| pair.for_browsers(stays.other(), plain, effects));
        let offer_strict = offer.as_deref().and_then(|sdp| pair.demanding(stays.other(), sdp));
        let (whom, other) = match stays {
            Side::A => (&call.facts.from, &call.facts.to),
            Side::B => (&call.facts.to, &call.facts.from),
        };
        let name = Some(call.facts.from_name.clone());
        let name = name.filter(|name| stays == Side::A && !name.is_empty());
        let from = match &name {
            Some(name) => format!("{} <{whom}>", sip::write::quote(name)),
            None => format!("<{whom}>"),
        };
        let by = referred_by.unwrap_or_else(|| format!("<{other}>"));
        let asked = question(call, asker.side, &user, effects);
        let decision = route::decide(effects.directory(), &asked);
        let plan = Plan {
            session,
            from,
            caller_uri: whom.clone(),
            caller_name: name,
            offer,
            offer_web,
            offer_strict,
            keys_else: pair.may_be_keyed(stays.other()),
            headers: vec![("Referred-By".into(), by)],
            max_forwards: 69,
            wake: effects.push_wait(),
            ring: ring.into(),
            user,
            ..Plan::default()
        };
        let gate = crate::gate(&asked, &decision, session, None, effects);
        let brief = Brief { plan, stages: decision.stages, gate, private: false };
        let (ring, outcome) = Hunt::start(brief, effects);
        call.moving = Some(Box::new(Moving::Calling(Box::new(Calling { ring, pair, asker }))));
        self.index(session);
        self.outcome(session, outcome, effects);
    }

    /// What came of calling the target.
    pub(crate) fn called(
        &mut self,
        session: SessionId,
        outcome: Outcome,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let moving = call.moving.take();
        let Some(Moving::Calling(mut calling)) = moving.map(|moving| *moving) else { return };
        match outcome {
            Outcome::Progress { status, .. } => {
                tell(session, call, &mut calling.asker, status, effects);
                call.moving = Some(Box::new(Moving::Calling(calling)));
            }
            // The phone itself follows.
            Outcome::AnsweredByReply { .. } | Outcome::Pending => {
                call.moving = Some(Box::new(Moving::Calling(calling)));
            }
            Outcome::Failed { status, .. } => {
                tell(session, call, &mut calling.asker, status, effects);
                calling.pair.close(effects);
                self.unindex(&calling.ring);
                let words = format!("the transfer failed: {status}");
                effects.ladder(CallId(session.0), Lane::Note, &words);
                if calling.asker.gone {
                    let by = if calling.asker.side == Side::A { "caller" } else { "callee" };
                    self.finish(session, End::failed(200, "answered", by), effects);
                }
            }
            Outcome::Answered { leg, sdp } => {
                self.unindex(&calling.ring);
                self.third_answered(session, *calling, leg, sdp, effects);
            }
        }
    }

    fn third_answered(
        &mut self,
        session: SessionId,
        mut calling: Calling,
        leg: LegId,
        sdp: Option<Vec<u8>>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let side = calling.asker.side;
        let offered = calling.ring.offer().is_some();
        calling.pair.speaks(side, leg);
        let words = match (&sdp, offered) {
            (Some(sdp), true) => calling.pair.answer(side, sdp, effects).ok(),
            (Some(sdp), false) => calling.pair.offer(side, sdp, effects).ok(),
            (None, _) => None,
        };
        let (Some(words), Some(stays)) = (words, call.leg(side.other())) else {
            tell(session, call, &mut calling.asker, 488, effects);
            effects.leg(session, leg, LegCommand::End { status: 488, headers: Vec::new() });
            calling.pair.close(effects);
            if calling.asker.gone {
                self.finish(session, End::failed(200, "answered", "server"), effects);
            }
            return;
        };
        tell(session, call, &mut calling.asker, 200, effects);
        if let Some(gone) = call.leg(side).filter(|_| !calling.asker.gone) {
            effects.leg(session, gone, LegCommand::End { status: 480, headers: Vec::new() });
        }
        call.set_leg(side, leg);
        call.lines = effects.lines_of(session);
        let old = std::mem::replace(&mut call.pair, calling.pair);
        let then = if offered { Then::Settle } else { Then::Ack };
        let joining = Joining { leg, side, old, then, given: false };
        call.moving = Some(Box::new(Moving::Joining(Box::new(joining))));
        effects.leg(session, stays, LegCommand::Change { sdp: Some(words) });
        effects.save(session, call.encode(), Durability::Written);
        effects.count("calls.transferred");
    }

    /// The one who asked hung up: his transfer goes on without him. `true`: the call goes on.
    pub(crate) fn left_by_mover(&mut self, session: SessionId, side: Side) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let asker = match call.moving.as_deref_mut() {
            Some(Moving::Calling(calling)) => &mut calling.asker,
            Some(Moving::Asking { asker, .. } | Moving::Giving { asker }) => asker,
            Some(Moving::Joining(_) | Moving::Retelling { .. }) | None => return false,
        };
        let his = asker.side == side;
        asker.gone |= his;
        his
    }

    /// Ends a transfer with its call.
    pub(crate) fn stop_moving(
        &mut self,
        session: SessionId,
        call: &mut Call,
        effects: &mut Effects<'_>,
    ) {
        match call.moving.take().map(|moving| *moving) {
            Some(Moving::Asking { ticket, .. }) => drop(self.tickets.remove(&ticket)),
            Some(Moving::Calling(mut calling)) => {
                self.unindex(&calling.ring);
                calling.ring.cancel(effects);
                calling.pair.close(effects);
            }
            Some(Moving::Joining(mut joining)) => {
                joining.old.close(effects);
                if joining.given {
                    let end = LegCommand::End { status: 480, headers: Vec::new() };
                    effects.leg(session, joining.leg, end);
                }
            }
            Some(Moving::Giving { .. } | Moving::Retelling { .. }) | None => (),
        }
    }
}

/// Says how a transfer goes.
///
/// Spec: RFC 3515 §2.4.4, §2.4.5
fn tell(
    session: SessionId,
    call: &Call,
    asker: &mut Asker,
    status: u16,
    effects: &mut Effects<'_>,
) {
    let (Some(event), Some(leg)) = (&asker.event, call.leg(asker.side)) else { return };
    if asker.gone || asker.heard == status {
        return;
    }
    asker.heard = status;
    let state = match status {
        100..=199 => "active;expires=180",
        _ => "terminated;reason=noresource",
    };
    let headers = vec![
        ("Event".to_owned(), event.clone()),
        ("Subscription-State".to_owned(), state.to_owned()),
    ];
    let line = format!("SIP/2.0 {status} {}\r\n", sip::reason_phrase(status));
    let notify = Passed {
        method: "NOTIFY".into(),
        headers,
        content_type: "message/sipfrag;version=2.0".into(),
        body: line.into_bytes(),
        ..Passed::default()
    };
    effects.leg(session, leg, LegCommand::Request(Box::new(notify)));
}

/// Replaces: from the side of those who give.
impl Room {
    /// An INVITE that wants a place in another call.
    ///
    /// Spec: RFC 3891 §3
    pub(crate) fn replace(
        &mut self,
        session: SessionId,
        leg: LegId,
        message: &Message<'_>,
        caller: &Caller,
        effects: &mut Effects<'_>,
    ) -> Result<(), Refusal> {
        if message.first(Name::Join).is_some() {
            return Err(Refusal::CannotJoin);
        }
        let mut values = message.all(Name::Replaces);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refusal::CannotReplace);
        };
        let named = named(&sip::write::unfold(value)).ok_or(Refusal::CannotReplace)?;
        let ticket = effects.find(session, &named.call_id, &named.ours, &named.theirs);
        self.tickets.insert(ticket, session);
        let (early_only, proved) = (named.early_only, caller.user().is_some());
        self.replacing.insert(session, Replacing { leg, ticket, early_only, proved });
        Ok(())
    }

    /// The dialog that was asked for.
    pub(crate) fn found(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        found: Option<Found>,
        effects: &mut Effects<'_>,
    ) {
        if let Some(replacing) = self.replacing.get(&session) {
            let (leg, early_only) = (replacing.leg, replacing.early_only);
            let from = effects.flow_of(leg);
            let found = found.filter(|found| replacing.proved || same_host(from, found.flow));
            match found {
                Some(found) if !found.early && !early_only => {
                    let note = note(found.leg, &[], false);
                    effects.leg(session, leg, LegCommand::Hand { to: found.session, note });
                }
                // RFC 3891 §3: answered already, and only an unanswered one was wanted.
                Some(found) if !found.early => self.not_replaced(session, 486, effects),
                Some(_) | None => self.not_replaced(session, 481, effects),
            }
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let moving = call.moving.take().map(|moving| *moving);
        let Some(Moving::Asking { ticket: asked, early_only, user, mut asker }) = moving else {
            call.moving = moving.map(Box::new);
            return;
        };
        if asked != ticket {
            call.moving = Some(Box::new(Moving::Asking { ticket: asked, early_only, user, asker }));
            return;
        }
        let peer = call.leg(asker.side).and_then(|leg| effects.peer_of(leg));
        let known = match asker.side {
            Side::A => &call.facts.from,
            Side::B => &call.facts.to,
        };
        let (who, flow) = peer.map_or((known.clone(), None), |(who, flow)| (who, Some(flow)));
        let found = found.filter(|found| {
            found.session != session
                && (same_person(&who, &found.peer) || same_host(flow, found.flow))
        });
        let stays = asker.side.other();
        match (found, call.leg(stays), user) {
            (Some(found), Some(leg), _) if !found.early && !early_only => {
                let note = note(found.leg, &call.pair.told(stays), false);
                call.moving = Some(Box::new(Moving::Giving { asker }));
                effects.leg(session, leg, LegCommand::Hand { to: found.session, note });
            }
            // It only rings there: whoever transfers gives that call up, and the target is called afresh.
            (Some(found), Some(_), Some(user)) if found.early => {
                self.call_third(session, user, None, asker, effects);
            }
            (found, _, _) => {
                let status = if found.is_some_and(|found| !found.early) { 486 } else { 481 };
                self.not_moved(session, &mut asker, status, effects);
            }
        }
    }

    /// A transfer came to nothing: the call goes on as it was, if both are still there.
    fn not_moved(
        &mut self,
        session: SessionId,
        asker: &mut Asker,
        status: u16,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get(&session) else { return };
        tell(session, call, asker, status, effects);
        let words = format!("the transfer failed: {status}");
        effects.ladder(CallId(session.0), Lane::Note, &words);
        if asker.gone {
            let by = if asker.side == Side::A { "caller" } else { "callee" };
            self.finish(session, End::failed(200, "answered", by), effects);
        }
    }

    fn not_replaced(&mut self, session: SessionId, status: u16, effects: &mut Effects<'_>) {
        let Some(replacing) = self.replacing.remove(&session) else { return };
        self.tickets.remove(&replacing.ticket);
        let headers = Effects::refusal_headers(&Refusal::CannotReplace);
        effects.count("calls.cannot_replace");
        effects.leg(session, replacing.leg, LegCommand::End { status, headers });
        effects.end(session, None);
    }

    /// The leg of an INVITE that another call shall have: one with Replaces, or one to the address of a call.
    pub(crate) fn leg_between_calls(
        &mut self,
        session: SessionId,
        leg: LegId,
        event: LegEvent,
        effects: &mut Effects<'_>,
    ) {
        if self.replacing.get(&session).is_some_and(|replacing| replacing.leg != leg) {
            return;
        }
        match event {
            // It is one of both.
            LegEvent::Declined { .. } => {
                self.not_replaced(session, 481, effects);
                self.not_arrived(session, effects);
            }
            LegEvent::Cancelled | LegEvent::Ended { .. } | LegEvent::Handed { .. } => {
                let replacing = self.replacing.remove(&session).map(|one| one.ticket);
                let arriving = self.arriving.remove(&session).map(|one| one.ticket);
                if let Some(ticket) = replacing.or(arriving) {
                    self.tickets.remove(&ticket);
                }
                effects.end(session, None);
            }
            LegEvent::Request { request, .. } => {
                let response = Passed::status(480);
                effects.leg(session, leg, LegCommand::Respond { request, response });
            }
            LegEvent::Answered { .. }
            | LegEvent::Changed { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Failed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Provisional { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Response(_)
            | LegEvent::Restored => (),
        }
    }

    /// The other call has the one who stayed: this one is over.
    pub(crate) fn handed(&mut self, session: SessionId, side: Side, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let moving = call.moving.take().map(|moving| *moving);
        let Some(Moving::Giving { mut asker }) = moving else { return };
        call.set_leg(side, LegId::default());
        tell(session, call, &mut asker, 200, effects);
        effects.ladder(CallId(session.0), Lane::Note, "transferred into another call");
        effects.count("calls.transferred");
        let by = if asker.side == Side::A { "caller" } else { "callee" };
        self.finish(session, End::failed(200, "answered", by), effects);
    }

    /// The other call does not take him.
    pub(crate) fn declined(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let moving = call.moving.take().map(|moving| *moving);
        let Some(Moving::Giving { mut asker }) = moving else { return };
        self.not_moved(session, &mut asker, 481, effects);
    }
}

/// Whether two addresses name one person.
fn same_person(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (Uri::decode(one.as_bytes()), Uri::decode(other.as_bytes())) else {
        return false;
    };
    one.user.is_some()
        && one.user_unescaped() == other.user_unescaped()
        && one.host.eq_ignore_ascii_case(other.host)
}

/// Whether a dialog is with the place that a request came from.
fn same_host(one: Option<Flow>, other: Flow) -> bool {
    one.is_some_and(|one| one.remote.ip() == other.remote.ip())
}
