//! The toy room: whoever calls `meet-KEY` meets whoever else does. The smallest room that uses the whole middle.
//!
//! Picture     INVITE meet-KEY --> guest (on the caller's slot) --open, hand--> table (on the key's slot)
//!             table: Waiting --second guest--> Meeting --BYE of one--> both end
//! Rules       A guest owns its leg until the table accepted it. Each step is saved before anybody hears of it.
//! Limits      Two guests meet; a third one is refused after HAND_WAIT.
//! Not here    Anything that a person would want: it is here to prove the middle.
//! Spec        none

use std::collections::BTreeMap;

use media::{Command, Side, StreamKey};
use switchboard::notice::CallFacts;
use switchboard::store::Durability;
use switchboard::{
    Attachment, Effects, Event, LegCommand, LegEvent, LegPlan, Manifest, Notice, Service, Session,
    Ticket,
};
use types::{BridgeId, CallId, LegId, Seconds, SessionId, tagged};

/// How long a guest waits until the table takes its leg.
pub const HAND_WAIT: Seconds = Seconds(5);
/// Whom to call: this, then the key.
pub const PREFIX: &str = "meet-";
const WHY: &str = "meet";

/// The room where callers meet.
pub fn room() -> Box<dyn Service> {
    Box::new(Meet::default())
}

/// A second room that adds a header to what the first plans, and hears of its facts.
pub fn sign() -> Box<dyn Service> {
    Box::new(Sign)
}

static MEET: Manifest =
    Manifest { name: "meet", purpose: "Two callers of one key meet.", ..Manifest::EMPTY };
static SIGN: Manifest =
    Manifest { name: "sign", purpose: "Says where one waits.", ..Manifest::EMPTY };

#[derive(Default)]
struct Meet {
    sessions: BTreeMap<SessionId, State>,
    timers: BTreeMap<Ticket, SessionId>,
    restarted: bool,
}

enum State {
    /// Owns a leg that the table shall have.
    Guest { leg: LegId, key: String },
    /// Has the legs.
    Table(Table),
}

#[derive(Default)]
struct Table {
    key: String,
    guests: Vec<Guest>,
    bridge: Option<(BridgeId, [u16; 2])>,
}

struct Guest {
    leg: LegId,
    sdp: Vec<u8>,
}

impl Service for Meet {
    fn manifest(&self) -> &'static Manifest {
        &MEET
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Invite { session, leg, target, .. } => {
                let Some(key) = target.strip_prefix(PREFIX) else { return false };
                self.sessions.insert(*session, State::Guest { leg: *leg, key: key.to_owned() });
                self.keep(*session, effects);
                self.lead(*session, effects);
                true
            }
            Session::Opened { session, key, why } if *why == WHY => {
                let table = Table { key: (*key).to_owned(), ..Table::default() };
                self.sessions.insert(*session, State::Table(table));
                self.keep(*session, effects);
                true
            }
            Session::Api(_) | Session::Opened { .. } | Session::Request { .. } => false,
        }
    }

    fn on_event(&mut self, session: SessionId, event: Event, effects: &mut Effects<'_>) {
        let Event::Leg(leg, event) = event else { return };
        match (self.sessions.get_mut(&session), event) {
            // The table is gone, or took it: nothing is left to do here.
            (Some(State::Guest { .. }), LegEvent::Handed { .. }) => {
                self.sessions.remove(&session);
                effects.end(session, None);
            }
            (Some(State::Guest { .. }), LegEvent::Cancelled | LegEvent::Ended { .. }) => {
                self.sessions.remove(&session);
                effects.end(session, None);
            }
            (
                Some(State::Table(table)),
                LegEvent::Offered { version, waiting: true, sdp: Some(sdp), .. },
            ) if table.guests.len() < 2 && table.guests.iter().all(|guest| guest.leg != leg) => {
                table.guests.push(Guest { leg, sdp });
                self.keep(session, effects);
                effects.leg(session, leg, LegCommand::Accept { version });
                self.seated(session, leg, effects);
            }
            (Some(State::Table(_)), LegEvent::Cancelled | LegEvent::Ended { .. }) => {
                self.left(session, leg, effects);
            }
            (Some(_) | None, _) => (),
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        match notice {
            Notice::Started | Notice::Restarted if !self.restarted => {
                self.restarted = true;
                let known: Vec<_> = self.sessions.keys().copied().collect();
                for session in known {
                    self.go_on(session, effects);
                }
            }
            _ => (),
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        let Some(session) = self.timers.remove(&ticket) else { return };
        if let Some(State::Guest { leg, .. }) = self.sessions.get(&session) {
            let end = LegCommand::End { status: 486, headers: Vec::new() };
            effects.leg(session, *leg, end);
            self.sessions.remove(&session);
            effects.end(session, None);
        }
    }

    fn save(&self, session: SessionId) -> Option<Vec<u8>> {
        let mut writer = tagged::Writer::new();
        match self.sessions.get(&session)? {
            State::Guest { leg, key } => writer.text(1, key).number(2, leg.0),
            State::Table(table) => {
                writer.text(3, &table.key);
                for guest in &table.guests {
                    writer.number(4, guest.leg.0).bytes(5, &guest.sdp);
                }
                if let Some((bridge, ports)) = table.bridge {
                    writer.number(6, bridge.0);
                    ports.into_iter().for_each(|port| {
                        writer.number(7, port.into());
                    });
                }
                &mut writer
            }
        };
        Some(writer.finish())
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        let (mut key, mut guest_leg, mut table) = (String::new(), None, None::<Table>);
        let mut bridge = BridgeId::default();
        let mut ports = Vec::new();
        for (tag, field) in tagged::Reader::new(state) {
            let number = field.number().unwrap_or(0);
            let text = || field.text().unwrap_or("").to_owned();
            match tag {
                1 => key = text(),
                2 => guest_leg = Some(LegId(number)),
                3 => table = Some(Table { key: text(), ..Table::default() }),
                4 => {
                    let guest = Guest { leg: LegId(number), sdp: Vec::new() };
                    table
                        .iter_mut()
                        .for_each(|table| table.guests.push(Guest { sdp: Vec::new(), ..guest }));
                }
                5 => {
                    if let Some(guest) = table.as_mut().and_then(|table| table.guests.last_mut()) {
                        guest.sdp = field.0.to_vec();
                    }
                }
                6 => bridge = BridgeId(number),
                7 => ports.push(number as u16),
                _ => (),
            }
        }
        if let (Some(table), Ok(ports)) = (&mut table, <[u16; 2]>::try_from(ports)) {
            effects.claim(session, bridge, &ports);
            effects.media(Command::Open { stream: StreamKey { bridge, index: 0 }, ports });
            table.bridge = Some((bridge, ports));
        }
        let state = match (table, guest_leg) {
            (Some(table), _) => State::Table(table),
            (None, Some(leg)) => State::Guest { leg, key },
            (None, None) => return,
        };
        self.sessions.insert(session, state);
    }
}

impl Meet {
    fn keep(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        if let Some(state) = self.save(session) {
            effects.save(session, state, Durability::Written);
        }
    }

    /// Leads a guest to its table.
    fn lead(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(State::Guest { leg, key }) = self.sessions.get(&session) else { return };
        let (leg, key) = (*leg, key.clone());
        let table = effects.open(&key, WHY);
        effects.leg(session, leg, LegCommand::Hand { to: table, note: Vec::new() });
        let ticket = effects.set_timer(effects.now() + HAND_WAIT);
        self.timers.insert(ticket, session);
    }

    /// A restart is over.
    fn go_on(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        match self.sessions.get(&session) {
            Some(State::Guest { .. }) => self.lead(session, effects),
            Some(State::Table(table)) => {
                // A leg that did not come back says so.
                let legs: Vec<_> = table.guests.iter().map(|guest| guest.leg).collect();
                let meet = table.guests.len() == 2;
                for leg in legs {
                    let ring = LegCommand::Ring { status: 180, sdp: None, headers: Vec::new() };
                    effects.leg(session, leg, ring);
                }
                if meet {
                    self.meet(session, effects);
                } else if table_is_empty(self.sessions.get(&session)) {
                    self.sessions.remove(&session);
                    effects.end(session, None);
                }
            }
            None => (),
        }
    }

    fn seated(&mut self, session: SessionId, leg: LegId, effects: &mut Effects<'_>) {
        let Some(State::Table(table)) = self.sessions.get(&session) else { return };
        if table.guests.len() == 2 {
            self.meet(session, effects);
            return;
        }
        let until = effects.unix();
        let plan =
            LegPlan { session, call: CallId(session.0), callee: &table.key, caller: None, until };
        let headers = effects
            .attachments(&plan)
            .into_iter()
            .map(|Attachment::Header(name, value)| (name, value))
            .collect();
        effects.leg(session, leg, LegCommand::Ring { status: 180, sdp: None, headers });
    }

    /// Both are here: each gets the other's description, through a bridge.
    fn meet(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(State::Table(table)) = self.sessions.get_mut(&session) else { return };
        let [a, b] = table.guests.as_slice() else { return };
        let (bridge, ports) = match table.bridge {
            Some(known) => known,
            None => {
                let Some(ports) = effects.ports() else { return };
                let bridge = effects.bridge(session);
                effects.media(Command::Open { stream: StreamKey { bridge, index: 0 }, ports });
                (bridge, ports)
            }
        };
        table.bridge = Some((bridge, ports));
        let legs = [(a.leg, b.sdp.clone(), ports[0]), (b.leg, a.sdp.clone(), ports[1])];
        let aims = [(Side::A, a.sdp.clone()), (Side::B, b.sdp.clone())];
        self.keep(session, effects);
        for (side, sdp) in aims {
            aim(bridge, side, &sdp, effects);
        }
        for (leg, theirs, port) in legs {
            let plan = sdp::Relay {
                session: 1,
                version: 1,
                address: effects.media_address(),
                ports: vec![Some(port)],
            };
            let sdp = sdp::relay(&theirs, &plan).ok();
            effects.leg(session, leg, LegCommand::Answer { sdp });
        }
        let facts = CallFacts { session, outcome: "answered".into(), ..CallFacts::default() };
        effects.publish(Notice::CallAnswered(facts.into()));
    }

    /// A guest left: so does the other.
    fn left(&mut self, session: SessionId, leg: LegId, effects: &mut Effects<'_>) {
        let Some(State::Table(table)) = self.sessions.get_mut(&session) else { return };
        table.guests.retain(|guest| guest.leg != leg);
        let others: Vec<_> = table.guests.iter().map(|guest| guest.leg).collect();
        let Some((bridge, ports)) = table.bridge else {
            if others.is_empty() {
                self.sessions.remove(&session);
                effects.end(session, None);
            } else {
                self.keep(session, effects);
            }
            return;
        };
        for leg in others {
            effects.leg(session, leg, LegCommand::End { status: 480, headers: Vec::new() });
        }
        effects.media(Command::Close { bridge });
        effects.give_back(&ports);
        self.sessions.remove(&session);
        effects.end(session, None);
    }
}

fn table_is_empty(state: Option<&State>) -> bool {
    matches!(state, Some(State::Table(table)) if table.guests.is_empty())
}

fn aim(bridge: BridgeId, side: Side, description: &[u8], effects: &mut Effects<'_>) {
    let Ok(session) = sdp::Session::decode(description) else { return };
    if let Some(aim) = sdp::aims(&session).first() {
        let stream = StreamKey { bridge, index: 0 };
        let (rtp, rtcp, receives) = (aim.rtp, aim.rtcp, aim.receives);
        effects.media(Command::Aim { stream, seat: side.into(), rtp, rtcp, receives });
    }
}

struct Sign;

impl Service for Sign {
    fn manifest(&self) -> &'static Manifest {
        &SIGN
    }

    fn attach(&mut self, plan: &LegPlan<'_>, _effects: &mut Effects<'_>) -> Vec<Attachment> {
        vec![Attachment::Header("Subject".into(), format!("waiting at {}", plan.callee))]
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::CallAnswered(_) = notice {
            effects.count("sign.heard_of_a_meeting");
        }
    }
}
