//! Others are reached for a program, and one of them talks with the caller: the second leg of its call.
//!
//! Picture     targets --launch--> ways (a hunt, or an address outside) --first answer--> greeting: keys, a document of
//!             his own --over--> talking, a seat beside the caller's --BYE--> over, once its recording is kept
//! Rules       All targets ring at once, or one after another where the document says so; the first answer ends the
//!             others. What the program's own number shows is the caller, or who the document says. It calls with the rights of a user: who may
//!             write a program may call by the trunks that users may take. Until the greeting is over neither hears the
//!             other. Each target is a call of its own for apps, with a name that it has before it rings.
//! Limits      `hunt`, `route`, `outside`; ten targets (twiml).
//! Not here    What follows (program), how users are reached (switchboard::hunt).
//! Spec        programmable-voice §1.2 (Dial), §1.3

mod callee;
mod greet;
mod outside;
mod run;
mod tape;

use switchboard::hunt::{Brief, Hunt};
use switchboard::ring::{Outcome, Plan};
use switchboard::route::{self, Origin, Question, Stage};
use switchboard::seat::Seat;
use switchboard::{Effects, Ticket};
use twiml::{Dial, Target, Who};
use types::{LegId, SessionId, UnixTime, tagged};

pub use callee::{Callee, News, bare};
pub use greet::Greeting;
pub use outside::{Outside, no_way};
pub use tape::{Tape, sid as tape_sid};

use crate::program::{Dialled, RING_MORE};

/// Where the second leg sits.
pub const SEAT: media::Seat = media::Seat(3);

/// A `<Dial>` that runs.
#[derive(Debug)]
pub struct Dialling {
    /// Its media, from the first offer on.
    pub seat: Seat,
    pub callees: Vec<Callee>,
    /// Who talks owes the answer to an offer of ours.
    pub owes: bool,
    /// Whom to ring next, last first.
    left: Vec<usize>,
    /// Who rings.
    ways: Vec<(usize, Way)>,
    brief: Brief,
    /// Our number, and whom it shows.
    number: String,
    shown: Option<String>,
    pub reach: Reach,
    /// The caller hears that it rings.
    pub rings: bool,
    /// The country of the tone that he hears.
    pub country: media::tones::Country,
    /// The most telling failure so far, with its SIP status.
    failed: Option<(&'static str, u16)>,
    /// What apps have to be told.
    pub news: Vec<News>,
    /// Call-IDs of pushes, by which their devices may reply.
    pub pushed: Vec<String>,
    public_only: bool,
}

/// How far it is.
#[derive(Debug)]
pub enum Reach {
    /// One answered and hears what is meant for him alone.
    Greeting(usize, LegId, Box<Greeting>),
    /// Phones ring.
    Ringing,
    /// One talks with the caller.
    Talking(usize, LegId, UnixTime),
}

/// How one target is reached.
#[derive(Debug)]
pub enum Way {
    /// One of ours, or a number.
    Hunt(Box<Hunt>),
    /// Somebody elsewhere.
    Outside(Box<Outside>),
}

/// Who dials, and as whom.
pub struct Dialler<'a> {
    pub session: SessionId,
    /// Our number, whose program this is.
    pub number: &'a str,
    /// Who calls it: his address, and his number where he has one.
    pub caller: (&'a str, &'a str),
    pub name: &'a str,
    /// Addresses outside have to be public ones.
    pub public_only: bool,
}

impl Dialling {
    /// Begins; what came of each target that was tried follows.
    pub fn start(
        dial: &Dial,
        dialler: &Dialler<'_>,
        mut seat: Seat,
        effects: &mut Effects<'_>,
    ) -> (Self, Vec<(usize, Outcome)>) {
        let plan = plan(dial, dialler, &mut seat, effects);
        let shows = dial.caller_id.clone().unwrap_or_else(|| dialler.caller.1.to_owned());
        let callee = |target: &Target| {
            Callee::new(target.clone(), &shows, dialler.session.slot(), effects.rng())
        };
        let callees: Vec<Callee> = dial.targets.iter().map(callee).collect();
        let mut left: Vec<usize> = (0..callees.len()).rev().collect();
        let first =
            if dial.sequential { left.pop().into_iter().collect() } else { left.split_off(0) };
        let country = dial.ring_tone.as_deref().and_then(media::tones::Country::of);
        let mut dialling = Self {
            seat,
            callees,
            owes: false,
            left,
            ways: Vec::new(),
            brief: Brief { plan, ..Brief::default() },
            number: dialler.number.to_owned(),
            shown: Some(shows).filter(|id| id.starts_with('+')),
            reach: Reach::Ringing,
            rings: false,
            country: country.unwrap_or_default(),
            failed: None,
            news: Vec::new(),
            pushed: Vec::new(),
            public_only: dialler.public_only,
        };
        let launched =
            first.into_iter().rev().map(|place| (place, dialling.launch(place, effects)));
        let outcomes = launched.collect();
        (dialling, outcomes)
    }

    /// Whether somebody hears something alone before he talks with the caller.
    pub fn greets(dial: &Dial) -> bool {
        dial.targets.iter().any(|target| target.whisper.is_some() || target.send_digits.is_some())
    }

    /// Rings whoever is next, after those who rang in vain.
    pub fn next(&mut self, effects: &mut Effects<'_>) -> Option<(usize, Outcome)> {
        let place = self.left.pop()?;
        Some((place, self.launch(place, effects)))
    }

    /// Rings one target.
    fn launch(&mut self, place: usize, effects: &mut Effects<'_>) -> Outcome {
        let nowhere = Outcome::Failed { status: 404, outcome: "failed", text: None };
        let Some(target) = self.callees.get(place).map(|callee| callee.target.clone()) else {
            return nowhere;
        };
        self.tell(place, "initiated");
        let mut brief = self.brief.clone();
        brief.plan.headers.extend(callee::headers(&target));
        let (way, outcome) = match &target.who {
            Who::Sip(text) if effects.user_at(callee::bare(text).as_bytes()).is_none() => {
                let (outside, outcome) =
                    Outside::start(&target, &brief.plan, self.public_only, effects);
                (Way::Outside(Box::new(outside)), outcome)
            }
            Who::Client(_) | Who::Number(_) | Who::Sip(_) => {
                let Some(stages) = self.stages(&target.who, effects) else { return nowhere };
                let (hunt, outcome) = Hunt::start(Brief { stages, ..brief }, effects);
                (Way::Hunt(Box::new(hunt)), outcome)
            }
        };
        self.ways.push((place, way));
        outcome
    }

    /// Where one of ours or a number leads; `None`: nowhere.
    fn stages(&self, who: &Who, effects: &mut Effects<'_>) -> Option<Vec<Stage>> {
        let dialled = match who {
            Who::Client(name) => name.clone(),
            Who::Number(number) => number.clone(),
            Who::Sip(text) => effects.user_at(callee::bare(text).as_bytes())?,
        };
        let question = Question {
            origin: Origin::User(self.number.clone()),
            shows: self.shown.clone(),
            dialled,
            time: effects.unix(),
            chance: effects.rng().next_u64(),
        };
        let decision = route::decide(effects.directory(), &question);
        for line in decision.lines() {
            let call = types::CallId(self.brief.plan.session.0);
            effects.ladder(call, switchboard::ladder::Lane::Note, &format!("route {line}"));
        }
        // A program does not call programs.
        decision.no_phone().is_none().then_some(decision.stages)
    }

    /// Tells every way that rings something: what came of it.
    pub fn each(
        &mut self,
        effects: &mut Effects<'_>,
        mut tell: impl FnMut(&mut Way, &mut Effects<'_>) -> Outcome,
    ) -> Vec<(usize, Outcome)> {
        let told = self.ways.iter_mut().map(|(place, way)| (*place, tell(way, effects)));
        told.filter(|(_, outcome)| *outcome != Outcome::Pending).collect()
    }

    /// The hunts that run.
    pub fn hunts(&self) -> impl Iterator<Item = &Hunt> {
        self.ways.iter().filter_map(|(_, way)| match way {
            Way::Hunt(hunt) => Some(&**hunt),
            Way::Outside(_) => None,
        })
    }

    /// One answered: the others end. Returns the user, when it is one of ours.
    pub fn won(&mut self, place: usize, effects: &mut Effects<'_>) -> String {
        let mut user = String::new();
        for (other, mut way) in std::mem::take(&mut self.ways) {
            match &mut way {
                Way::Hunt(hunt) if other == place => hunt.answered_by().clone_into(&mut user),
                Way::Outside(outside) if other == place => outside.stop_clock(effects),
                Way::Hunt(_) | Way::Outside(_) => {
                    way.cancel(effects);
                    self.tell(other, "canceled");
                }
            }
        }
        self.left.clear();
        user
    }

    /// One failed. Whether nobody rings any more.
    pub fn lost(&mut self, place: usize, (status, outcome): (u16, &str)) -> bool {
        self.ways.retain(|(known, _)| *known != place);
        let word = word(outcome, status);
        self.tell(place, word);
        let rank = |word: &str| ["failed", "no-answer", "busy"].iter().position(|one| *one == word);
        if self.failed.is_none_or(|(known, _)| rank(known) <= rank(word)) {
            self.failed = Some((word, status));
        }
        self.ways.is_empty()
    }

    /// How it stands with one target, for apps that want to know.
    pub fn tell(&mut self, place: usize, status: &'static str) {
        self.tell_for(place, status, None);
    }

    fn tell_for(&mut self, place: usize, status: &'static str, seconds: Option<u64>) {
        let Some(callee) = self.callees.get_mut(place) else { return };
        if let Some((hook, more)) = callee.is_now(status, seconds) {
            self.news.push(News { place, hook, more });
        }
    }

    /// A phone of this target rings.
    pub fn rang(&mut self, place: usize) {
        let Some(callee) = self.callees.get_mut(place) else { return };
        if !std::mem::replace(&mut callee.rang, true) {
            self.tell(place, "ringing");
        }
    }

    /// How the whole ended when nobody answered.
    pub fn why_not(&self) -> &'static str {
        self.failed.map_or("failed", |(word, _)| word)
    }

    /// Whoever answered.
    pub fn answerer(&self) -> Option<&Callee> {
        match &self.reach {
            Reach::Greeting(place, ..) | Reach::Talking(place, ..) => self.callees.get(*place),
            Reach::Ringing => None,
        }
    }

    /// What it waits for.
    pub fn tickets(&self) -> Vec<Ticket> {
        let ways = self.ways.iter().flat_map(|(_, way)| way.tickets());
        let greeting = match &self.reach {
            Reach::Greeting(_, _, greeting) => greeting.tickets(),
            Reach::Ringing | Reach::Talking(..) => Vec::new(),
        };
        ways.chain(greeting).collect()
    }

    /// The leg that answered.
    pub fn leg(&self) -> Option<LegId> {
        match &self.reach {
            Reach::Ringing => None,
            Reach::Greeting(_, leg, _) | Reach::Talking(_, leg, _) => Some(*leg),
        }
    }

    /// How it ended, when it ends now.
    pub fn ended(&mut self, status: &'static str, now: UnixTime) -> Dialled {
        let (place, seconds) = match &self.reach {
            Reach::Greeting(place, ..) => (*place, None),
            Reach::Talking(place, _, since) => (*place, Some(now.since(*since).as_secs())),
            Reach::Ringing => {
                let word = if status == "canceled" { "no-answer" } else { status };
                for (place, _) in std::mem::take(&mut self.ways) {
                    self.tell(place, word);
                }
                let sip = self.failed.map(|(_, sip)| sip);
                let sid = self.only().map(|callee| callee.sid.clone()).unwrap_or_default();
                return Dialled { status: word, sid, sip, ..Dialled::default() };
            }
        };
        self.tell_for(place, "completed", Some(seconds.unwrap_or(0)));
        let Some(callee) = self.callees.get(place) else { return Dialled::default() };
        let (sid, sip) = (callee.sid.clone(), callee.is_sip().then_some(200));
        Dialled { status: "completed", sid, seconds, sip, ..Dialled::default() }
    }

    /// Whoever was dialled, when it was one.
    fn only(&self) -> Option<&Callee> {
        self.callees.first().filter(|_| self.callees.len() == 1)
    }

    /// As tagged fields; only one that talks outlives the process, and what is recorded of it.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        let Reach::Talking(place, leg, since) = &self.reach else { return };
        writer.number(1, leg.0).bytes(2, &self.seat.encode()).time(3, *since);
        if let Some(callee) = self.callees.get(*place) {
            writer.nested(4, |writer| callee.write(writer));
        }
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Option<Self> {
        let (mut leg, mut seat, mut since) = (None, None, UnixTime(0));
        let mut callee = Callee::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => leg = field.number().map(LegId),
                2 => seat = Seat::restore(field.0, session, effects),
                3 => since = field.time()?,
                4 => callee = Callee::read(field.0),
                _ => (), // A field of a newer version.
            }
        }
        let plan = Plan { session, ..Plan::default() };
        Some(Self {
            seat: seat?,
            callees: vec![callee],
            owes: false,
            left: Vec::new(),
            ways: Vec::new(),
            brief: Brief { plan, ..Brief::default() },
            number: String::new(),
            shown: None,
            reach: Reach::Talking(0, leg?, since),
            rings: false,
            country: media::tones::Country::default(),
            failed: None,
            news: Vec::new(),
            pushed: Vec::new(),
            public_only: true,
        })
    }

    /// An app wants one of those who ring no more. False: he does not ring, he has answered.
    pub fn give_up(&mut self, place: usize, effects: &mut Effects<'_>) -> bool {
        let found = self.ways.iter_mut().find(|(known, _)| *known == place);
        if let Some((_, way)) = found {
            way.cancel(effects);
            self.tell(place, "canceled");
            return true;
        }
        false
    }

    /// Ends whatever is left of it.
    pub fn close(&mut self, effects: &mut Effects<'_>) {
        for (_, way) in &mut self.ways {
            way.cancel(effects);
        }
        if let Some(leg) = self.leg() {
            let end = switchboard::LegCommand::End { status: 487, headers: Vec::new() };
            effects.leg(self.brief.plan.session, leg, end);
        }
        if let Reach::Greeting(_, _, greeting) = &mut self.reach {
            greeting.close(effects);
        }
        self.seat.close(effects);
    }
}

impl Way {
    pub fn tickets(&self) -> Vec<Ticket> {
        match self {
            Self::Hunt(hunt) => hunt.tickets(),
            Self::Outside(outside) => outside.tickets(),
        }
    }

    fn cancel(&mut self, effects: &mut Effects<'_>) {
        match self {
            Self::Hunt(hunt) => hunt.cancel(effects),
            Self::Outside(outside) => outside.cancel(effects),
        }
    }
}

/// What all targets are told.
fn plan(dial: &Dial, dialler: &Dialler<'_>, seat: &mut Seat, effects: &mut Effects<'_>) -> Plan {
    let shown = dial.caller_id.as_deref();
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
    let offer = seat.offer(effects);
    Plan {
        session: dialler.session,
        from: named,
        caller_uri: from,
        caller_name: Some(dialler.name.to_owned()).filter(|name| !name.is_empty()),
        caller_user: shown.map_or_else(|| effects.user_at(uri.as_bytes()), |_| None),
        offer_web: seat.offer_web(effects),
        offer: Some(offer),
        max_forwards: 69,
        wake: effects.push_wait(),
        ring: dial.timeout + RING_MORE,
        ..Plan::default()
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

fn address(id: &str, effects: &Effects<'_>) -> String {
    if id.starts_with("sip:") {
        return id.chars().filter(|c| !matches!(c, '<' | '>' | '"')).collect();
    }
    let user = id.strip_prefix("client:").unwrap_or(id);
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}
