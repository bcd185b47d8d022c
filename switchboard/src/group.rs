//! Groups of users with instructions: what is done with a member's calls and messages, and with those to the group.
//!
//! Picture     facts (everywhere) --plan--> who rings, in which order;  --handling--> what a member's call or message means
//! Rules       Pure: the same facts give the same answer. The instruction that is nearest counts: the member's for this
//!             kind, the member's for calls, the group's for this kind, the group's for calls, the default of the group.
//!             A listener never rings and never speaks for the group. What a member wants to hear is his own matter.
//! Limits      MEMBERS_MAX, SKILLS_MAX, ADDRESSES_MAX; EACH_MAX for a turn.
//! Not here    Where groups are kept and what follows from an instruction (services/groups), routes.
//! Spec        none

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Members of one group.
pub const MEMBERS_MAX: usize = 100;
/// Skills of one member.
pub const SKILLS_MAX: usize = 16;
/// Addresses of one group beside its name.
pub const ADDRESSES_MAX: usize = 32;
/// The longest turn of one member. Units: seconds.
pub const EACH_MAX: u32 = 300;
/// A turn when nothing was said. Units: seconds.
pub const EACH: u32 = 20;
/// Between the name of a group and a wanted skill in an address: `desk~billing`.
pub const SKILL_MARK: char = '~';

/// A group, as every shard knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// The user part of its address. Not part of a body: the path says it.
    #[serde(skip_deserializing)]
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// To show; empty when there is none.
    pub display_name: String,
    /// The number that it shows, and where it is called; empty without one.
    pub number: String,
    /// More addresses, each perhaps with the skill that is wanted there.
    pub addresses: Vec<Address>,
    /// Who belongs to it.
    pub members: Vec<Member>,
    /// Who rings when it is called.
    pub ring: RingPlan,
    /// What is done with members' calls and messages.
    pub instructions: Instructions,
}

/// What a group is for. It decides what holds where no instruction says something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its members ring together, and otherwise mind their own business.
    #[default]
    Ring,
    /// Its members act as one.
    Shared,
    /// Push-to-talk.
    Talk,
}

/// Another address of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Address {
    /// A name or a number.
    pub address: String,
    /// What its callers want; empty: nothing special.
    pub skill: String,
}

/// One who belongs to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// The user.
    pub user: String,
    /// Higher ones come first.
    pub priority: u8,
    /// What he may do.
    pub role: Role,
    /// What he can.
    pub skills: BTreeSet<String>,
    /// What holds for him instead of what the group says.
    pub instructions: Instructions,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Only hear of things.
    Listen,
    /// Everything.
    #[default]
    Talk,
}

/// Who rings when the group is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RingPlan {
    /// In which order.
    pub plan: Order,
    /// How long a turn lasts. Units: seconds.
    pub each: u32,
}

impl Default for RingPlan {
    fn default() -> Self {
        Self { plan: Order::All, each: EACH }
    }
}

/// In which order members ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// All at once.
    #[default]
    All,
    /// One after the other, by priority.
    InTurn,
    /// One after the other; each call begins behind the one who was first at the last one.
    RoundRobin,
    /// Those who have the wanted skill, by priority; all, when nobody has it or nothing is wanted.
    Skill,
}

impl Order {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::All => "all at once",
            Self::InTurn => "in turn",
            Self::RoundRobin => "in turn, each call beginning with the next one",
            Self::Skill => "by skill",
        }
    }
}

/// Instructions by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instructions {
    /// Calls, and video calls where nothing is said of them.
    pub call: Instruction,
    /// Messages.
    pub message: Instruction,
    /// Calls with a picture.
    pub video: Instruction,
}

/// What is done with one kind; `None`: whatever else says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instruction {
    /// As whom a member acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Whether the others get a copy of what a member sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<bool>,
    /// What the others may do with a member's outgoing call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Others>,
    /// Whether the others see who answered or replied, and a reply itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Showing>,
    /// Whether this member hears what the others do; his own instruction alone is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hears: Option<bool>,
}

/// As whom a member acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// As the group.
    Group,
    /// As himself.
    Member,
}

/// What the others may do with an outgoing call; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// Nothing: they do not hear of it.
    None,
    /// They are told.
    Told,
    /// They may listen in.
    Listen,
    /// They may join.
    Join,
}

/// Whether the others see what came of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Showing {
    /// They do not.
    Hidden,
    /// They do.
    Shown,
}

/// What kind of thing a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A call with sound.
    Call,
    /// A message.
    Message,
    /// A call with a picture.
    Video,
}

/// What follows for one member and one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// As whom he acts.
    pub identity: Identity,
    /// Whether the others get a copy.
    pub copies: bool,
    /// What the others may do with his call.
    pub others: Others,
    /// Whether the others see what came of it.
    pub result: Showing,
}

/// Users who ring at once, and how long; `None`: as long as calls ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Who.
    pub users: Vec<&'a str>,
    /// How long. Units: seconds.
    pub ring: Option<u32>,
}

impl Instructions {
    fn of(&self, deed: Deed) -> [Instruction; 2] {
        match deed {
            Deed::Call => [self.call; 2],
            Deed::Message => [self.message; 2],
            Deed::Video => [self.video, self.call],
        }
    }
}

impl Kind {
    /// What holds where nothing is said.
    fn handling(self) -> Handling {
        match self {
            Self::Ring | Self::Talk => Handling {
                identity: Identity::Member,
                copies: false,
                others: Others::None,
                result: Showing::Hidden,
            },
            Self::Shared => Handling {
                identity: Identity::Group,
                copies: true,
                others: Others::Told,
                result: Showing::Shown,
            },
        }
    }
}

impl Group {
    /// A member.
    pub fn member(&self, user: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.user == user)
    }

    /// What is done with something that a member does, or that is done to the group (`user` is empty then).
    pub fn handling(&self, user: &str, deed: Deed) -> Handling {
        let own = self.member(user).map(|member| member.instructions.of(deed));
        let all = own.into_iter().flatten().chain(self.instructions.of(deed));
        let mut found = Instruction::default();
        for one in all {
            found.identity = found.identity.or(one.identity);
            found.copies = found.copies.or(one.copies);
            found.others = found.others.or(one.others);
            found.result = found.result.or(one.result);
        }
        let otherwise = self.kind.handling();
        let listens = self.member(user).is_some_and(|member| member.role == Role::Listen);
        Handling {
            // A listener does not speak for the group.
            identity: match found.identity.unwrap_or(otherwise.identity) {
                Identity::Group if !listens => Identity::Group,
                Identity::Group | Identity::Member => Identity::Member,
            },
            copies: found.copies.unwrap_or(otherwise.copies),
            others: found.others.unwrap_or(otherwise.others),
            result: found.result.unwrap_or(otherwise.result),
        }
    }

    /// The members who hear what `user` does: all others who do not say that they do not want to.
    pub fn hearers<'a>(&'a self, user: &'a str, deed: Deed) -> impl Iterator<Item = &'a str> {
        let wants = move |member: &&Member| {
            let said = member.instructions.of(deed).into_iter().find_map(|one| one.hears);
            said.unwrap_or(true)
        };
        let others = self.members.iter().filter(move |member| member.user != user);
        others.filter(wants).map(|member| member.user.as_str())
    }

    /// Who rings, turn after turn. `skill`: what the caller wants; `first`: who begins a round.
    pub fn plan<'a>(&'a self, skill: &str, first: Option<&str>) -> Vec<Turn<'a>> {
        let mut able: Vec<&Member> =
            self.members.iter().filter(|member| member.role == Role::Talk).collect();
        able.sort_by_key(|member| std::cmp::Reverse(member.priority));
        let all = |members: &[&'a Member]| members.iter().map(|one| one.user.as_str()).collect();
        let each = Some(self.ring.each);
        let alone = |member: &&'a Member| Turn { users: vec![member.user.as_str()], ring: each };
        match self.ring.plan {
            _ if able.is_empty() => Vec::new(),
            Order::All => vec![Turn { users: all(&able), ring: None }],
            Order::InTurn => able.iter().map(alone).collect(),
            Order::RoundRobin => {
                let place = able.iter().position(|member| Some(member.user.as_str()) == first);
                able.rotate_left(place.unwrap_or(0));
                able.iter().map(alone).collect()
            }
            Order::Skill => {
                let skilled: Vec<&Member> = able
                    .iter()
                    .filter(|member| !skill.is_empty() && member.skills.contains(skill))
                    .copied()
                    .collect();
                if skilled.is_empty() {
                    return vec![Turn { users: all(&able), ring: None }];
                }
                let equal = skilled.chunk_by(|a, b| a.priority == b.priority);
                equal.map(|members| Turn { users: all(members), ring: each }).collect()
            }
        }
    }

    /// Who begins the round behind the one that `first` began.
    pub fn next_turn(&self, first: Option<&str>) -> Option<String> {
        let turns = self.plan("", first);
        let next = turns.get(1).or(turns.first())?;
        next.users.first().map(|user| (*user).to_owned())
    }
}

/// A group as somebody's face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// To show; may be empty.
    pub name: String,
    /// Its address.
    pub uri: String,
    /// Its number; may be empty.
    pub number: String,
}

impl Speaker {
    /// As a name-addr.
    pub fn header(&self) -> String {
        match self.name.as_str() {
            "" => format!("<{}>", self.uri),
            name => format!("{} <{}>", sip::write::quote(name), self.uri),
        }
    }
}

/// All groups. In the directory of every shard.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<String, Group>,
    /// Who begins the next round, by group.
    turns: BTreeMap<String, String>,
}

impl Groups {
    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.by_name.values()
    }

    /// The group that an address names, and the skill that is wanted there.
    pub fn at<'a>(&'a self, address: &'a str) -> Option<(&'a Group, &'a str)> {
        if let Some(group) = self.by_name.get(address) {
            return Some((group, ""));
        }
        if let Some((name, skill)) = address.split_once(SKILL_MARK)
            && let Some(group) = self.by_name.get(name)
        {
            return Some((group, skill));
        }
        let other = |group: &'a Group| {
            if !group.number.is_empty() && group.number == address {
                return Some((group, ""));
            }
            let known = group.addresses.iter().find(|known| known.address == address)?;
            Some((group, known.skill.as_str()))
        };
        self.by_name.values().find_map(other)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The groups of a user.
    pub fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Group> {
        self.by_name.values().filter(move |group| group.member(user).is_some())
    }

    /// The group as which a user acts towards `to`; among its own people nobody does. `wish`: an address that he says
    /// he wants to show; his own one is respected.
    ///
    /// Spec: RFC 3325 §9.2 (P-Preferred-Identity)
    pub fn acting<'a>(
        &'a self,
        user: &'a str,
        to: &'a str,
        deed: Deed,
        wish: Option<&'a str>,
    ) -> Option<&'a Group> {
        let called = self.at(to).map(|(group, _)| group.name.as_str());
        let mut able: Vec<&Group> = self
            .of(user)
            .filter(|group| group.handling(user, deed).identity == Identity::Group)
            .filter(|group| group.member(to).is_none() && called != Some(group.name.as_str()))
            .collect();
        if let Some(wish) = wish {
            if wish == user {
                return None;
            }
            let wanted = self.at(wish).map(|(group, _)| group.name.as_str());
            if let Some(group) = able.iter().find(|group| Some(group.name.as_str()) == wanted) {
                return Some(group);
            }
        }
        let priority = |group: &&Group| group.member(user).map_or(0, |member| member.priority);
        // By name among equals: the sort keeps the order.
        able.sort_by_key(|group| std::cmp::Reverse(priority(group)));
        able.first().copied()
    }

    /// What `member` may do with a call of `caller` to `to`, by the groups that both belong to. Calls to a group are no
    /// calls of the group, and who only listens there never joins.
    pub fn others(&self, member: &str, caller: &str, to: &str, deed: Deed) -> Others {
        let called = self.at(to).map(|(group, _)| group.name.as_str());
        let common = self.of(caller).filter(|group| Some(group.name.as_str()) != called);
        let may = common.filter_map(|group| {
            let most = match group.member(member)?.role {
                Role::Listen => Others::Listen,
                Role::Talk => Others::Join,
            };
            Some(group.handling(caller, deed).others.min(most))
        });
        if member == caller { Others::None } else { may.max().unwrap_or(Others::None) }
    }

    /// Whether anybody at all may listen to such a call, so that its sound has to be such that he can.
    pub fn opens(&self, caller: &str, to: &str, deed: Deed) -> bool {
        let called = self.at(to).map(|(group, _)| group.name.as_str());
        self.of(caller).any(|group| {
            Some(group.name.as_str()) != called
                && group.members.len() > 1
                && group.handling(caller, deed).others >= Others::Listen
        })
    }

    /// Who rings when this group is called.
    pub fn plan<'a>(&'a self, group: &'a Group, skill: &str) -> Vec<Turn<'a>> {
        group.plan(skill, self.turns.get(&group.name).map(String::as_str))
    }

    /// Who begins the round after the next one.
    pub fn next_turn(&self, name: &str) -> Option<String> {
        let group = self.by_name.get(name)?;
        if group.ring.plan != Order::RoundRobin {
            return None;
        }
        group.next_turn(self.turns.get(name).map(String::as_str))
    }

    pub(crate) fn put(&mut self, group: Group) {
        self.by_name.insert(group.name.clone(), group);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
        self.turns.remove(name);
    }

    pub(crate) fn turn(&mut self, name: &str, first: String) {
        if self.by_name.contains_key(name) {
            self.turns.insert(name.to_owned(), first);
        }
    }
}

#[cfg(test)]
mod tests;
