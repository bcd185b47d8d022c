//! Somebody is reached for a program, and talks with the caller: the second leg of its call.
//!
//! Picture     targets --route--> stages --hunt--> ringing --answer--> a seat beside the caller's --BYE--> over
//! Rules       All targets ring at once, or one after another where the document says so. What the program's own number
//!             shows is the caller, or who the document says. It calls with the rights of a user: who may write a
//!             program may call by the trunks that users may take.
//! Limits      `hunt` and `route`; ten targets (twiml).
//! Not here    What follows (program), how users are reached (switchboard::hunt).
//! Spec        programmable-voice §1.2 (Dial)

use switchboard::hunt::{Brief, Hunt};
use switchboard::ring::{Outcome, Plan};
use switchboard::route::{self, Origin, Question, Stage};
use switchboard::seat::Seat;
use switchboard::{Effects, Ticket};
use twiml::{Dial, Target, Who};
use types::{LegId, SessionId, UnixTime, tagged};

use crate::program::{Dialled, RING_MORE};

/// Where the second leg sits.
pub const SEAT: media::Seat = media::Seat(3);

/// A `<Dial>` that runs.
#[derive(Debug)]
pub struct Dialling {
    /// Its media, from the first offer on.
    pub seat: Seat,
    /// Whom to ring next, last first.
    left: Vec<Vec<Stage>>,
    brief: Brief,
    pub reach: Reach,
    /// The caller hears that it rings.
    pub rings: bool,
}

/// How far it is.
#[derive(Debug)]
pub enum Reach {
    /// Phones ring.
    Ringing(Box<Hunt>),
    /// Somebody answered.
    Talking(LegId, UnixTime),
}

/// Who dials, and as whom.
pub struct Dialler<'a> {
    pub session: SessionId,
    /// Our number, whose program this is.
    pub number: &'a str,
    /// Who calls it: his address, and his number where he has one.
    pub caller: (&'a str, &'a str),
    pub name: &'a str,
}

impl Dialling {
    /// Begins; `Err`: nobody can be reached, with how that is called.
    pub fn start(
        dial: &Dial,
        dialler: &Dialler<'_>,
        mut seat: Seat,
        effects: &mut Effects<'_>,
    ) -> Result<(Self, Outcome), &'static str> {
        let shown = dial.caller_id.as_deref();
        let mut groups: Vec<Vec<Stage>> = Vec::new();
        for target in &dial.targets {
            if let Some(stages) = stages(target, shown, dialler, effects) {
                groups.push(stages);
            }
        }
        if !dial.sequential && groups.len() > 1 {
            // At once: nobody's forwardings are followed then, as nobody waits for them.
            let first = groups.iter_mut().filter_map(|stages| stages.drain(..).next());
            let aims = first.flat_map(|stage| stage.aims).collect();
            groups = vec![vec![Stage { aims, ..Stage::default() }]];
        }
        groups.reverse();
        let Some(stages) = groups.pop() else {
            seat.close(effects);
            return Err("failed");
        };
        let (uri, number) = dialler.caller;
        let from = match shown {
            Some(id) => address(id, effects),
            None if number.starts_with('+') => address(number, effects),
            None => uri.to_owned(),
        };
        let named = match (dialler.name, shown) {
            ("", _) | (_, Some(_)) => format!("<{from}>"),
            (name, None) => format!("{} <{from}>", sip::write::quote(name)),
        };
        let plan = Plan {
            session: dialler.session,
            from: named,
            caller_uri: from,
            caller_name: Some(dialler.name.to_owned()).filter(|name| !name.is_empty()),
            caller_user: shown.map_or_else(|| effects.user_at(uri.as_bytes()), |_| None),
            offer: Some(seat.offer(effects)),
            max_forwards: 69,
            wake: effects.push_wait(),
            ring: dial.timeout + RING_MORE,
            ..Plan::default()
        };
        let brief = Brief { plan, stages, gate: None, private: false };
        let (hunt, outcome) = Hunt::start(brief.clone(), effects);
        let reach = Reach::Ringing(Box::new(hunt));
        Ok((Self { seat, left: groups, brief, reach, rings: false }, outcome))
    }

    /// Rings whoever is next, after those who rang in vain.
    pub fn next(&mut self, effects: &mut Effects<'_>) -> Option<Outcome> {
        let stages = self.left.pop()?;
        let brief = Brief { stages, ..self.brief.clone() };
        let (hunt, outcome) = Hunt::start(brief, effects);
        self.reach = Reach::Ringing(Box::new(hunt));
        Some(outcome)
    }

    /// The hunt that runs.
    pub fn hunt(&mut self) -> Option<&mut Hunt> {
        match &mut self.reach {
            Reach::Ringing(hunt) => Some(hunt),
            Reach::Talking(..) => None,
        }
    }

    /// What it waits for.
    pub fn tickets(&self) -> Vec<Ticket> {
        match &self.reach {
            Reach::Ringing(hunt) => hunt.tickets(),
            Reach::Talking(..) => Vec::new(),
        }
    }

    /// The leg that talks.
    pub fn leg(&self) -> Option<LegId> {
        match &self.reach {
            Reach::Ringing(_) => None,
            Reach::Talking(leg, _) => Some(*leg),
        }
    }

    /// How it ended, when it ends now.
    pub fn ended(&self, status: &'static str, now: UnixTime) -> Dialled {
        match &self.reach {
            Reach::Ringing(_) => Dialled { status, ..Dialled::default() },
            Reach::Talking(leg, since) => Dialled {
                status: "completed",
                sid: crate::call::call_sid(leg.0),
                seconds: Some(now.since(*since).as_secs()),
                more: Vec::new(),
            },
        }
    }

    /// As tagged fields; only one that talks outlives the process.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        if let Reach::Talking(leg, since) = &self.reach {
            writer.number(1, leg.0).bytes(2, &self.seat.encode()).time(3, *since);
        }
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Option<Self> {
        let (mut leg, mut seat, mut since) = (None, None, UnixTime(0));
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => leg = field.number().map(LegId),
                2 => seat = Seat::restore(field.0, session, effects),
                3 => since = field.time()?,
                _ => (), // A field of a newer version.
            }
        }
        let reach = Reach::Talking(leg?, since);
        let (left, brief) = (Vec::new(), Brief::default());
        Some(Self { seat: seat?, left, brief, reach, rings: false })
    }

    /// Ends whatever is left of it.
    pub fn close(&mut self, effects: &mut Effects<'_>) {
        match &mut self.reach {
            Reach::Ringing(hunt) => hunt.cancel(effects),
            Reach::Talking(leg, _) => {
                let end = switchboard::LegCommand::End { status: 487, headers: Vec::new() };
                let session = self.brief.plan.session;
                effects.leg(session, *leg, end);
            }
        }
        self.seat.close(effects);
    }

    /// It belongs to this session; after a restart.
    pub fn of(mut self, session: SessionId) -> Self {
        self.brief.plan.session = session;
        self
    }
}

/// What those who ring are told when nobody answers them any more, in an app's word.
pub fn word(outcome: &str, status: u16) -> &'static str {
    match outcome {
        "busy" | "declined" => "busy",
        "missed" => "no-answer",
        _ if status == 480 => "no-answer",
        _ => "failed",
    }
}

/// Where one target leads; `None`: nowhere.
fn stages(
    target: &Target,
    shown: Option<&str>,
    dialler: &Dialler<'_>,
    effects: &mut Effects<'_>,
) -> Option<Vec<Stage>> {
    let dialled = match &target.who {
        Who::Client(name) => name.clone(),
        Who::Number(number) => number.clone(),
        Who::Sip(text) => {
            let bare = text.split_once('?').map_or(&**text, |(bare, _)| bare);
            effects.user_at(bare.as_bytes())?
        }
    };
    let question = Question {
        origin: Origin::User(dialler.number.to_owned()),
        shows: shown.or(Some(dialler.caller.1)).filter(|id| id.starts_with('+')).map(str::to_owned),
        dialled,
        time: effects.unix(),
        chance: effects.rng().next_u64(),
    };
    let decision = route::decide(effects.directory(), &question);
    for line in decision.lines() {
        let words = format!("route {line}");
        effects.ladder(types::CallId(dialler.session.0), switchboard::ladder::Lane::Note, &words);
    }
    // A program does not call programs.
    decision.no_phone().is_none().then_some(decision.stages)
}

fn address(id: &str, effects: &Effects<'_>) -> String {
    if id.starts_with("sip:") {
        return id.chars().filter(|c| !matches!(c, '<' | '>' | '"')).collect();
    }
    let user = id.strip_prefix("client:").unwrap_or(id);
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}
