//! What follows from an instruction: copies, words to the others, letters to all.

use sip::{Message, Name};
use switchboard::group::{Deed, Group, Kind, Order, Others, Showing};
use switchboard::notice::{CallFacts, LetterPlan, MessageFacts};
use switchboard::part::Part;
use switchboard::{Caller, Effects, Notice, RequestId};
use types::Seconds;

use crate::{Refusal, Room};

/// Those who wrote to a group and may be replied to; the one who wrote first gives way.
pub const REPLIES_MAX: usize = 10_000;
/// A member's word to somebody who wrote to the group counts as the reply for this long.
pub const REPLY_MAX: Seconds = Seconds(86_400);

impl Room {
    /// Looks whether an instruction speaks of what happened.
    pub(crate) fn follow(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        match notice {
            // Most calls are nobody's instruction.
            Notice::CallBegan(_) | Notice::CallAnswered(_)
                if effects.directory().groups().is_empty() => {}
            Notice::CallBegan(facts) => began(facts, effects),
            Notice::CallAnswered(facts) => answered(facts, effects),
            Notice::GroupWritten { name, from } => self.note_writer(name, from, effects),
            Notice::MessageSent(facts) => self.sent(facts, effects),
            _ => (),
        }
    }

    /// A message to a group: each member gets it as it came. False when it is for nobody here.
    ///
    /// Spec: RFC 3428 §7
    pub(crate) fn letter(
        &mut self,
        request: RequestId,
        message: &Message<'_>,
        caller: &Caller,
        effects: &mut Effects<'_>,
    ) -> bool {
        let target = message.request_uri().and_then(|uri| effects.user_at(uri));
        let groups = effects.directory().groups();
        let Some((group, _)) = target.as_deref().and_then(|target| groups.at(target)) else {
            return false;
        };
        let from_user = member_of(caller, effects);
        if message.body().len() > switchboard::requests::BODY_MAX {
            effects.refuse(request, &Refusal::Malformed);
            return true;
        }
        let from = Source::of(caller, message, effects);
        let to: Vec<String> = group
            .hearers(from_user.as_deref().unwrap_or_default(), Deed::Message)
            .map(str::to_owned)
            .collect();
        let name = group.name.clone();
        let kind = message.first(Name::ContentType).unwrap_or(b"text/plain");
        let plan = LetterPlan {
            from: from.name_addr,
            from_uri: from.uri.clone(),
            content_type: String::from_utf8_lossy(&sip::write::unfold(kind)).into_owned(),
            body: message.body().to_vec(),
            keep: true,
            ..LetterPlan::default()
        };
        effects.count("groups.messages");
        effects.publish(Notice::GroupWritten { name, from: from.uri });
        match target {
            Some(target) if !to.is_empty() => self.post(request, &target, to, plan, effects),
            _ => effects.respond(request, 202, &[]), // Nobody else is in it.
        }
        true
    }

    fn note_writer(&mut self, name: &str, from: &str, effects: &Effects<'_>) {
        let now = effects.now();
        if self.writers.len() >= REPLIES_MAX {
            self.writers.retain(|_, until| *until > now);
        }
        if self.writers.len() >= REPLIES_MAX {
            let first = self.writers.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.writers.remove(&first);
            }
        }
        self.writers.insert((name.to_owned(), from.to_owned()), now + REPLY_MAX);
    }

    /// A member sent a message: the others see it when they shall, and when it is a reply that they shall see.
    fn sent(&self, facts: &MessageFacts, effects: &mut Effects<'_>) {
        let to_uri = address(&facts.to, effects);
        let now = effects.now();
        let mut letters_to: Vec<String> = Vec::new();
        for group in effects.directory().groups().of(&facts.from_user) {
            let handling = group.handling(&facts.from_user, Deed::Message);
            let key = (group.name.clone(), to_uri.clone());
            let reply = self.writers.get(&key).is_some_and(|until| *until > now);
            if handling.copies || (reply && handling.result == Showing::Shown) {
                let hearers = group.hearers(&facts.from_user, Deed::Message);
                letters_to.extend(hearers.map(str::to_owned));
            }
        }
        letters_to.sort_unstable();
        letters_to.dedup();
        // Whom it is for has it already.
        letters_to.retain(|user| *user != facts.to);
        let plan = LetterPlan {
            from: from_to(&facts.from_user, &facts.to, effects),
            from_uri: address(&facts.from_user, effects),
            content_type: facts.content_type.clone(),
            body: facts.body.clone(),
            keep: true,
            ..LetterPlan::default()
        };
        letters(&letters_to, &plan, effects);
    }
}

/// A call: a round of the group goes on, and the others of the caller's groups hear of it.
fn began(facts: &CallFacts, effects: &mut Effects<'_>) {
    let target = effects.user_at(facts.to.as_bytes()).unwrap_or_default();
    let caller = effects.user_at(facts.from.as_bytes()).unwrap_or_default();
    let groups = effects.directory().groups();
    let deed = deed(facts);
    let called = groups.at(&target).map(|(group, _)| group);
    let turns = called.filter(|group| group.ring.plan == Order::RoundRobin);
    let turns = turns.map(|group| group.name.clone());
    let own = called.map(|group| group.name.as_str());
    let told = |group: &&Group| {
        Some(group.name.as_str()) != own && group.handling(&caller, deed).others >= Others::Told
    };
    let others = hearers(groups.of(&caller).filter(told), &caller, deed);
    if let Some(name) = turns {
        effects.publish(Notice::GroupCalled { name });
    }
    let words = format!("{} calls {}", show(&caller, effects), show(&target, effects));
    tell(&others, &caller, &words, effects);
}

/// An answer: the members of the group that was called see who has it, the others of the caller's groups who answered.
fn answered(facts: &CallFacts, effects: &mut Effects<'_>) {
    let target = effects.user_at(facts.to.as_bytes()).unwrap_or_default();
    let caller = effects.user_at(facts.from.as_bytes()).unwrap_or_default();
    let by = facts.answered_by.as_str();
    let deed = deed(facts);
    let groups = effects.directory().groups();
    let shown = |group: &&Group, who: &str| {
        group.handling(who, deed).result == Showing::Shown && group.kind != Kind::Talk
    };
    let called = groups.at(&target).map(|(group, _)| group);
    let called_shown = called.filter(|group| shown(group, ""));
    let mut others = hearers(called_shown.into_iter(), by, deed);
    let own = called.map(|group| group.name.as_str());
    let outgoing = |group: &&Group| {
        let others = group.handling(&caller, deed).others;
        Some(group.name.as_str()) != own
            && (others >= Others::Listen || (others >= Others::Told && shown(group, &caller)))
    };
    others.extend(hearers(groups.of(&caller).filter(outgoing), &caller, deed));
    others.retain(|user| user != by && *user != caller);
    others.sort_unstable();
    others.dedup();
    let from = if caller.is_empty() { facts.from.clone() } else { show(&caller, effects) };
    let who = if by.is_empty() { "somebody".to_owned() } else { show(by, effects) };
    let words = format!("{who} answered the call of {from} to {}", show(&target, effects));
    for user in others {
        let may = effects.directory().groups().others(&user, &caller, &target, deed);
        let words = format!("{words}{}", ways_in(may, facts, effects));
        tell(&[user], by, &words, effects);
    }
}

/// The addresses by which somebody takes part in a call, a line each.
fn ways_in(may: Others, facts: &CallFacts, effects: &Effects<'_>) -> String {
    let ways: &[(&str, Part)] = match may {
        Others::None | Others::Told => &[],
        Others::Listen => &[("Listen in", Part::Listen)],
        Others::Join => &[("Listen in", Part::Listen), ("Join", Part::Join)],
    };
    let lines = ways.iter().map(|(words, part)| {
        format!("\n{words}: sip:{}@{}", part.address(facts.session), effects.domain())
    });
    lines.collect()
}

fn deed(facts: &CallFacts) -> Deed {
    if facts.video { Deed::Video } else { Deed::Call }
}

/// Members of these groups who hear what `user` does, each once.
fn hearers<'a>(groups: impl Iterator<Item = &'a Group>, user: &str, deed: Deed) -> Vec<String> {
    let mut found = Vec::new();
    for group in groups {
        found.extend(group.hearers(user, deed).map(str::to_owned));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Words of the server in the name of a user. They are of no use later, and are not kept for those who are away.
fn tell(to: &[String], about: &str, words: &str, effects: &mut Effects<'_>) {
    let from_uri = if about.is_empty() {
        format!("sip:{}", effects.domain())
    } else {
        address(about, effects)
    };
    let plan = LetterPlan {
        from: format!("<{from_uri}>"),
        from_uri,
        content_type: "text/plain".to_owned(),
        body: words.as_bytes().to_vec(),
        keep: false,
        ..LetterPlan::default()
    };
    letters(to, &plan, effects);
}

pub(crate) fn letters(to: &[String], plan: &LetterPlan, effects: &mut Effects<'_>) {
    for user in to {
        effects.count("groups.letters");
        let plan = LetterPlan { to: user.clone(), ..plan.clone() };
        effects.publish(Notice::LetterWanted(Box::new(plan)));
    }
}

/// Who sends a message to a group.
struct Source {
    name_addr: String,
    uri: String,
}

impl Source {
    /// A user who proved himself goes out as himself; a stranger keeps what he claims.
    fn of(caller: &Caller, message: &Message<'_>, effects: &Effects<'_>) -> Self {
        let said = message.from().ok().map(|from| from.display_text()).unwrap_or_default();
        match member_of(caller, effects) {
            Some(user) => {
                let known = effects.directory().user(&user);
                let name = known.map(|known| known.display_name.clone()).unwrap_or_default();
                let uri = address(&user, effects);
                let name = if name.is_empty() { said } else { name };
                Self { name_addr: name_addr(&name, &uri), uri }
            }
            None => {
                let from = message.from().ok();
                let uri = from.map(|from| String::from_utf8_lossy(from.uri).into_owned());
                let uri: String = uri
                    .unwrap_or_default()
                    .chars()
                    .filter(|letter| !matches!(letter, '<' | '>' | '"'))
                    .collect();
                Self { name_addr: name_addr(&said, &uri), uri }
            }
        }
    }
}

/// The user who sends, when he is one of ours. Without proof a name of ours is worth as much as `sip.require_auth` says.
fn member_of(caller: &Caller, effects: &Effects<'_>) -> Option<String> {
    let user = match caller {
        Caller::User(user) => Some(user.clone()),
        Caller::Claimed(uri) => effects.user_at(uri.as_bytes()),
        Caller::Trunk(_) => None,
    };
    user.filter(|user| effects.directory().user(user).is_some())
}

fn address(user: &str, effects: &Effects<'_>) -> String {
    format!("sip:{}@{}", sip::write::escape_user(user.as_bytes()), effects.domain())
}

fn name_addr(name: &str, uri: &str) -> String {
    match name {
        "" => format!("<{uri}>"),
        name => format!("{} <{uri}>", sip::write::quote(name)),
    }
}

/// A copy names both ends, as phones show the name only.
fn from_to(from: &str, to: &str, effects: &Effects<'_>) -> String {
    let name = format!("{} to {}", show(from, effects), show(to, effects));
    name_addr(&name, &address(from, effects))
}

/// A user, a group or an address as people know it.
fn show(name: &str, effects: &Effects<'_>) -> String {
    let directory = effects.directory();
    let user = directory.user(name).map(|user| user.display_name.as_str());
    let group = directory.groups().at(name).map(|(group, _)| group.display_name.as_str());
    let shown = user.or(group).filter(|shown| !shown.is_empty()).unwrap_or(name);
    shown.to_owned()
}
