//! The decision itself: a walk over the facts that notes every step.

use types::Rng;

use super::facts::{CallSettings, Route, Routing, Rung, Trunk, Way};
use super::number::{Dialled, differ_by_plus, rewrite};
use super::{
    Aim, CANDIDATES_MAX, Candidate, Cause, Decision, Diverted, FORWARDS_MAX, Origin, Question,
    Refusal, STAGES_MAX, Stage, Target, When,
};
use crate::directory::Directory;
use crate::group::{Group, Kind, Turn};

/// Decides where a call goes.
pub fn decide(directory: &Directory, question: &Question) -> Decision {
    let mut walk = Walk {
        directory,
        routing: directory.routing(),
        question,
        candidates: Vec::new(),
        stages: Vec::new(),
        program: None,
        rng: None,
    };
    let dialled = walk.understand(&question.dialled);
    let start = Start { origin: question.origin.clone(), after: None, history: Vec::new() };
    let refusal = walk.reach(&dialled, &start).err();
    let Walk { candidates, stages, program, .. } = walk;
    let nowhere = stages.is_empty() && program.is_none();
    let refusal = if nowhere { refusal.or(Some(Refusal::NoRoute)) } else { None };
    Decision { dialled, stages, program, candidates, refusal }
}

struct Walk<'a> {
    directory: &'a Directory,
    routing: &'a Routing,
    question: &'a Question,
    candidates: Vec<Candidate>,
    stages: Vec<Stage>,
    program: Option<String>,
    /// Made when the first share is drawn.
    rng: Option<Rng>,
}

/// Where a part of the walk begins.
#[derive(Clone)]
struct Start {
    /// On whose rights.
    origin: Origin,
    /// The stage that it follows.
    after: Option<(usize, When)>,
    /// Forwardings up to here.
    history: Vec<Diverted>,
}

impl Walk<'_> {
    fn note(&mut self, kind: &'static str, name: &str, fits: bool, why: impl Into<String>) {
        if self.candidates.len() < CANDIDATES_MAX {
            let (name, why) = (name.to_owned(), why.into());
            self.candidates.push(Candidate { kind, name, fits, why });
        }
    }

    fn understand(&self, dialled: &str) -> Dialled {
        if self.directory.user(dialled).is_some() {
            return Dialled { text: dialled.to_owned(), ..Dialled::default() };
        }
        match &self.question.origin {
            Origin::Trunk(name) => match self.routing.trunks.get(name) {
                Some(trunk) => self.routing.plan.understand_from(trunk.numbers_format, dialled),
                None => self.routing.plan.understand(dialled),
            },
            Origin::Stranger | Origin::User(_) => self.routing.plan.understand(dialled),
        }
    }

    /// Finds who is meant, and adds stages for him.
    fn reach(&mut self, dialled: &Dialled, start: &Start) -> Result<(), Refusal> {
        let by_name = match &start.origin {
            Origin::Stranger | Origin::User(_) => true,
            Origin::Trunk(name) => {
                self.routing.trunks.get(name).is_some_and(|trunk| trunk.reaches_users)
            }
        };
        if self.directory.user(&dialled.text).is_some() {
            if by_name {
                return self.user(&dialled.text, start);
            }
            self.note("user", &dialled.text, false, "this trunk may not name users, only numbers");
        }
        let directory = self.directory;
        if by_name
            && let Some((group, skill)) = directory.groups().at(&dialled.text)
            && !dialled.international
        {
            return self.group(group, skill, start);
        }
        let routing = self.routing;
        let mut outward = Vec::new();
        for route in &routing.routes {
            match self.judge(route, dialled, start) {
                Err(why) => self.note("route", &route.name, false, why),
                Ok(_) if !route.ways.is_empty() => outward.push(route),
                Ok(why) => {
                    self.note("route", &route.name, true, why);
                    return match route.reject {
                        Some(status) => Err(Refusal::Rejected { status }),
                        None => self.rings(&route.rings, start),
                    };
                }
            }
        }
        if let Some(number) = routing.numbers.get(&dialled.text) {
            for route in outward {
                self.note(
                    "route",
                    &route.name,
                    false,
                    format!("{} is a number of ours", dialled.text),
                );
            }
            if number.rings.is_empty() {
                // A program has no phone that could take a forwarded call.
                let direct = start.after.is_none() && start.history.is_empty();
                let (fits, why) = match (number.voice_url.is_empty(), direct) {
                    (true, _) => (false, "rings nobody"),
                    (false, true) => (true, "is answered by its call program"),
                    (false, false) => (false, "has a call program, which takes no forwarded calls"),
                };
                self.note("number", &number.number, fits, why);
                if !fits {
                    return self.nothing(dialled);
                }
                self.program = Some(number.number.clone());
                return Ok(());
            }
            self.note("number", &number.number, true, "is a number of ours");
            return self.rings(&number.rings, start);
        }
        if let Some((group, skill)) = directory.groups().at(&dialled.text)
            && (by_name || dialled.international)
        {
            return self.group(group, skill, start);
        }
        // The first route whose trunks can carry it decides.
        let mut refusal = None;
        for route in outward {
            let why = self.judge(route, dialled, start).unwrap_or_else(|why| why);
            self.note("route", &route.name, true, why);
            match self.ways(route, dialled, start) {
                Ok(()) => return Ok(()),
                Err(why) => refusal = Some(why),
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None => self.nothing(dialled),
        }
    }

    fn nothing(&mut self, dialled: &Dialled) -> Result<(), Refusal> {
        let near = self.routing.numbers.keys().find(|known| differ_by_plus(known, &dialled.text));
        if let Some(known) = near.cloned() {
            let why = format!("{known} is wanted, {} came: they differ only by +", dialled.text);
            self.note("number", &known, false, why);
        }
        self.note("default", "default", true, "reject 404");
        Err(Refusal::NoRoute)
    }

    /// Whether a route is for this call; why, or why not.
    fn judge(&self, route: &Route, dialled: &Dialled, start: &Start) -> Result<String, String> {
        let named = start.origin.to_string();
        let class = match start.origin {
            Origin::Stranger => "strangers",
            Origin::Trunk(_) => "trunks",
            Origin::User(_) => "users",
        };
        if !route.from.is_empty()
            && !route.from.iter().any(|known| *known == named || known == class)
        {
            return Err(format!("is for {}, not for {named}", route.from.join(", ")));
        }
        if !route.ways.is_empty() {
            match start.origin {
                Origin::Stranger => return Err("strangers do not go out by trunks".to_owned()),
                Origin::Trunk(_) if route.from.is_empty() => {
                    return Err(
                        "calls from trunks go out only by routes that name trunks".to_owned()
                    );
                }
                Origin::Trunk(_) | Origin::User(_) => (),
            }
        }
        let to = &dialled.text;
        if !route.to.is_empty() && !route.to.iter().any(|pattern| pattern.fits(to)) {
            let near = route.to.iter().find(|pattern| differ_by_plus(&pattern.0, to));
            return Err(match near {
                Some(pattern) => format!("wants {}, got {to} - differs only by +", pattern.0),
                None => {
                    let wanted: Vec<_> =
                        route.to.iter().map(|pattern| pattern.0.as_str()).collect();
                    format!("wants {}, got {to}", wanted.join(", "))
                }
            });
        }
        let hours = match &route.when {
            Some(schedule) => match schedule.holds(self.question.time) {
                (true, why) => format!(", {why}"),
                (false, why) => return Err(why),
            },
            None => String::new(),
        };
        let does = match (route.reject, route.ways.is_empty()) {
            (Some(status), _) => format!("refuses with {status}"),
            (None, true) => {
                let rings: Vec<_> = route.rings.iter().map(Rung::to_string).collect();
                format!("rings {}", rings.join(", "))
            }
            (None, false) => "goes out".to_owned(),
        };
        Ok(format!("{does}{hours}"))
    }

    /// Adds the stages of a user and of his forwardings.
    fn user(&mut self, name: &str, start: &Start) -> Result<(), Refusal> {
        let directory = self.directory;
        let Some(user) = directory.user(name) else {
            self.note("user", name, false, "there is no user of this name");
            return Err(Refusal::NoRoute);
        };
        if start.history.iter().any(|step| step.from == name) {
            self.note("forward", name, false, "the call has been forwarded by this user already");
            return Err(Refusal::ForwardLoop);
        }
        let Some(settings) = user.calls.as_deref() else {
            self.note("user", name, true, "is a user of ours");
            return self.ring_user(name, &CallSettings::default(), start).map(|_| ());
        };
        if let Some(to) = &settings.forward_always {
            return self.forward(name, to, Cause::Always, start);
        }
        if settings.do_not_disturb {
            return match &settings.forward_busy {
                Some(to) => self.forward(name, to, Cause::DoNotDisturb, start),
                None => {
                    self.note("user", name, false, "does not want to be disturbed");
                    Err(Refusal::DoNotDisturb)
                }
            };
        }
        self.note("user", name, true, "is a user of ours");
        let place = self.ring_user(name, settings, start)?;
        let conditions = [
            (When::Busy, Cause::Busy, &settings.forward_busy),
            (When::NoAnswer, Cause::NoAnswer, &settings.forward_no_answer),
            (When::Unreachable, Cause::Unreachable, &settings.forward_unreachable),
        ];
        for (when, cause, to) in conditions {
            if let Some(to) = to {
                let start = Start { after: Some((place, when)), ..start.clone() };
                // Why it leads nowhere is noted; the user himself rings all the same.
                let _ = self.forward(name, to, cause, &start);
            }
        }
        Ok(())
    }

    fn ring_user(
        &mut self,
        name: &str,
        settings: &CallSettings,
        start: &Start,
    ) -> Result<usize, Refusal> {
        let target = Target::User { name: name.to_owned(), waiting: settings.call_waiting };
        let ring = settings.forward_no_answer.is_some().then_some(settings.no_answer_after);
        self.stage(vec![Aim { target, history: start.history.clone() }], ring, start.after)
    }

    fn forward(
        &mut self,
        name: &str,
        to: &str,
        cause: Cause,
        start: &Start,
    ) -> Result<(), Refusal> {
        if start.history.len() >= FORWARDS_MAX {
            self.note(
                "forward",
                name,
                false,
                format!("{FORWARDS_MAX} forwardings in a row are enough"),
            );
            return Err(Refusal::ForwardLoop);
        }
        self.note("forward", name, true, format!("{} to {to}", cause.words()));
        let mut history = start.history.clone();
        history.push(Diverted { from: name.to_owned(), to: to.to_owned(), cause });
        let bare = to.strip_prefix("user/").unwrap_or(to);
        let dialled = if self.directory.user(bare).is_some() {
            Dialled { text: bare.to_owned(), ..Dialled::default() }
        } else {
            self.routing.plan.understand(bare)
        };
        // He forwards on his own rights, whoever calls.
        let start = Start { origin: Origin::User(name.to_owned()), after: start.after, history };
        self.reach(&dialled, &start)
    }

    /// Adds what a number or a route rings.
    fn rings(&mut self, rings: &[Rung], start: &Start) -> Result<(), Refusal> {
        let groups = self.directory.groups();
        if let [Rung::Group(name)] = rings
            && let Some(group) = groups.get(name)
        {
            return self.group(group, "", start);
        }
        let mut users: Vec<&str> = Vec::new();
        for rung in rings {
            match rung {
                Rung::User(name) => users.push(name),
                Rung::Group(name) => match groups.get(name) {
                    Some(group) => {
                        users.extend(groups.plan(group, "").iter().flat_map(|turn| &turn.users));
                    }
                    None => self.note("group", name, false, "there is no group of this name"),
                },
            }
        }
        if let [user] = users.as_slice() {
            return self.user(user, start);
        }
        let aims = self.together(&users, start);
        if aims.is_empty() {
            return Err(Refusal::NoRoute);
        }
        self.stage(aims, None, start.after).map(|_| ())
    }

    /// Users who ring at once, each once.
    fn together(&mut self, users: &[&str], start: &Start) -> Vec<Aim> {
        let mut aims: Vec<Aim> = Vec::new();
        for user in users {
            for aim in self.member(user, start) {
                if !aims.iter().any(|known| known.target == aim.target) {
                    aims.push(aim);
                }
            }
        }
        aims
    }

    /// Adds the turns of a group. Who calls his own group does not ring himself.
    fn group(&mut self, group: &Group, skill: &str, start: &Start) -> Result<(), Refusal> {
        if group.kind == Kind::Talk {
            self.note("group", &group.name, false, "is for push-to-talk, and does not ring");
            return Err(Refusal::NoRoute);
        }
        let wanted = if skill.is_empty() { String::new() } else { format!(", {skill} is wanted") };
        self.note("group", &group.name, true, format!("rings {}{wanted}", group.ring.plan.words()));
        let (mut after, mut found) = (start.after, Err(Refusal::NoRoute));
        for Turn { users, ring } in self.directory.groups().plan(group, skill) {
            let others = users
                .into_iter()
                .filter(|user| !matches!(&start.origin, Origin::User(caller) if caller == user));
            let others: Vec<&str> = others.collect();
            let aims = self.together(&others, start);
            if aims.is_empty() {
                continue;
            }
            let place = self.stage(aims, ring, after)?;
            after = Some((place, When::Any));
            found = Ok(());
        }
        found
    }

    /// One of several who ring together: what he wants for all his calls counts, the rest does not.
    fn member(&mut self, name: &str, start: &Start) -> Vec<Aim> {
        let alone = Start { after: None, ..start.clone() };
        let (stages, before) = (std::mem::take(&mut self.stages), self.candidates.len());
        let found = self.user(name, &alone);
        let own = std::mem::replace(&mut self.stages, stages);
        if found.is_err() {
            return Vec::new();
        }
        let conditional =
            own.iter().any(|stage| stage.after.is_some_and(|(_, when)| when != When::TrunkFailed));
        if conditional && self.candidates.len() > before {
            self.note(
                "forward",
                name,
                false,
                "conditions do not count where several ring together",
            );
        }
        own.into_iter().next().map(|stage| stage.aims).unwrap_or_default()
    }

    /// Adds one stage per trunk of a route, best first.
    fn ways(&mut self, route: &Route, dialled: &Dialled, start: &Start) -> Result<(), Refusal> {
        let mut after = start.after;
        let mut found = Err(Refusal::NoneUp);
        for way in self.drawn(&route.ways) {
            let routing = self.routing;
            let Some(trunk) = routing.trunks.get(&way.trunk) else {
                self.note("trunk", &way.trunk, false, "there is no trunk of this name");
                continue;
            };
            if self.question.origin == Origin::Trunk(trunk.name.clone()) {
                self.note("trunk", &trunk.name, false, "the call came from there");
                continue;
            }
            let health = routing.health.get(&trunk.name);
            match health.and_then(|health| health.down.as_ref()) {
                Some(why) if !dialled.emergency => {
                    self.note("trunk", &trunk.name, false, format!("is down: {why}"));
                    continue;
                }
                Some(_) | None => (),
            }
            let number = if dialled.emergency {
                dialled.text.clone()
            } else {
                let number = rewrite(&dialled.text, route.strip, &route.prefix);
                routing.plan.write(trunk.numbers_format, &number)
            };
            let why = format!("priority {}, weight {}; is sent {number}", way.priority, way.weight);
            self.note("trunk", &trunk.name, true, why);
            let identity = self.identity(trunk, start);
            let target = Target::Trunk {
                name: trunk.name.clone(),
                number,
                identity,
                emergency: dialled.emergency,
            };
            let aim = Aim { target, history: start.history.clone() };
            let place = self.stage(vec![aim], None, after)?;
            after = Some((place, When::TrunkFailed));
            found = Ok(());
        }
        found
    }

    /// The trunks of a route in the order in which they are tried: by priority, and by share within one.
    fn drawn(&mut self, ways: &[Way]) -> Vec<Way> {
        let mut left = ways.to_vec();
        left.sort_by_key(|way| way.priority);
        let mut drawn = Vec::with_capacity(left.len());
        while let Some(first) = left.first() {
            let priority = first.priority;
            let equal = left.iter().take_while(|way| way.priority == priority);
            let total: u64 = equal.clone().map(|way| u64::from(way.weight)).sum();
            let count = equal.count();
            let place = if count < 2 || total == 0 {
                0
            } else {
                let rng = self.rng.get_or_insert_with(|| Rng::from_number(self.question.chance));
                let mut point = rng.below(total);
                left.iter()
                    .position(|way| match point.checked_sub(u64::from(way.weight)) {
                        Some(rest) => {
                            point = rest;
                            false
                        }
                        None => true,
                    })
                    .unwrap_or(0)
            };
            drawn.push(left.remove(place));
        }
        drawn
    }

    /// Which number the far end is shown.
    fn identity(&mut self, trunk: &Trunk, start: &Start) -> Option<String> {
        let routing = self.routing;
        let groups = self.directory.groups();
        let ours = |number: &str| {
            routing.numbers.contains_key(number)
                || number == trunk.identity
                || groups.iter().any(|group| group.number == number)
        };
        let allowed = |number: &str| match trunk.identities.as_slice() {
            [] => ours(number),
            patterns => patterns.iter().any(|pattern| pattern.fits(number)),
        };
        let mut wanted: Vec<(String, &str)> = Vec::new();
        if let Some(shows) = &self.question.shows {
            let shown = routing.plan.understand(shows);
            let own = match &self.question.origin {
                Origin::User(user) => {
                    routing.numbers_of(user).any(|number| number.number == shown.text)
                        || groups.of(user).any(|group| group.number == shown.text)
                }
                Origin::Stranger | Origin::Trunk(_) => trunk.keeps_caller,
            };
            if shown.international && own {
                wanted.push((shown.text, "the caller's own"));
            } else if shown.international {
                self.note("identity", &shown.text, false, "is not the caller's to show here");
            }
        }
        // The forwarder's number stands in for a caller who may not be shown.
        let users = [&self.question.origin, &start.origin];
        for origin in users {
            if let Origin::User(user) = origin {
                let numbers = routing.numbers_of(user).map(|number| number.number.clone());
                wanted.extend(numbers.take(1).map(|number| (number, "a number of the user")));
            }
        }
        if !trunk.identity.is_empty() {
            wanted.push((trunk.identity.clone(), "the trunk's own"));
        }
        for (number, whose) in wanted {
            let kept = whose == "the caller's own" && trunk.keeps_caller;
            if kept || number == trunk.identity || allowed(&number) {
                self.note("identity", &number, true, format!("{whose}, allowed on {}", trunk.name));
                return Some(number);
            }
            self.note(
                "identity",
                &number,
                false,
                format!("{whose}, not allowed on {}", trunk.name),
            );
        }
        None
    }

    fn stage(
        &mut self,
        aims: Vec<Aim>,
        ring: Option<u32>,
        after: Option<(usize, When)>,
    ) -> Result<usize, Refusal> {
        if self.stages.len() >= STAGES_MAX {
            self.note(
                "default",
                "stages",
                false,
                format!("more than {STAGES_MAX} stages are left out"),
            );
            return Err(Refusal::ForwardLoop);
        }
        self.stages.push(Stage { aims, ring, after });
        Ok(self.stages.len() - 1)
    }
}

impl Cause {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Always => "forwards always",
            Self::Busy => "forwards when busy",
            Self::DoNotDisturb => "does not want to be disturbed and forwards",
            Self::NoAnswer => "forwards when nobody answers",
            Self::Unreachable => "forwards when unreachable",
        }
    }
}
