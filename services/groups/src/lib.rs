//! Groups of users with an identity of their own and instructions for what members do.
//!
//! Picture     PUT --> judged --> write --> GroupChanged (everywhere) --> every shard's directory; calls and messages ask that.
//!             CallBegan | CallAnswered | MessageSent --> instructions --> letters to the other members
//!             MESSAGE to the group --> kept until each member's letter is (posting)
//! Rules       What is answered is written. A deleted user leaves his groups. Who may act as the group and who rings is
//!             decided by pure functions over the directory (`switchboard::group`); what follows is done here alone.
//!             Nobody gets a copy of his own. A letter of ours never brings another one.
//! Limits      groups_max; members, skills and addresses as in `switchboard::group`; NAME_MAX, DISPLAY_NAME_MAX, BODY_MAX;
//!             POSTINGS_MAX; REPLIES_MAX of those who wrote to a group, for REPLY_MAX. The round of a ring plan begins anew at a restart.
//! Not here    Ringing (calls), delivery (messaging), the floor of talk groups. Who may listen in or join is told the
//!             address by which he does (`switchboard::part`); the room of calls asks again when he comes.
//! Spec        RFC 3325 §9.2 (which identity is preferred), RFC 3428.
#![deny(missing_docs)]

mod api;
mod body;
mod config;
mod follow;
mod loading;
mod posting;
pub mod refusal;
pub mod store;

use std::collections::BTreeMap;

use sip::Method;
use switchboard::group::{Group, Kind};
use switchboard::leg::LegCommand;
use switchboard::store::StoreFault;
use switchboard::{ApiResponse, Effects, Manifest, Notice, Reply, Service, Session, Ticket, Usual};
use types::{Instant, LegId, Refuse, SessionId};

pub use api::ENDPOINTS;
pub use body::{DISPLAY_NAME_MAX, NAME_MAX};
pub use config::Config;
pub use follow::{REPLIES_MAX, REPLY_MAX};
use loading::Loading;
use posting::Postings;
pub use posting::{POSTED_AFTER, POSTINGS_MAX};
pub use refusal::{REFUSALS, Refusal};

/// Largest JSON body. Units: octets.
pub const BODY_MAX: usize = 256 << 10;

static MANIFEST: Manifest = Manifest {
    name: "groups",
    purpose: "Groups of users with an identity of their own and instructions.",
    settings: Config::REFERENCE,
    migrations: store::MIGRATIONS,
    tables: store::TABLES,
    endpoints: ENDPOINTS,
    refusals: REFUSALS,
    ..Manifest::EMPTY
};

/// A refusal with what was tried.
type Refused = switchboard::Refused<Refusal>;

/// See the head of this file. The groups themselves live in the switchboard's directory.
#[derive(Debug)]
pub struct Room {
    config: Config,
    /// Reading all from the store; `None` when that is done.
    loading: Option<Loading>,
    pending: BTreeMap<Ticket, Pending>,
    /// Who wrote to which group, and until when a member's word to him counts as the reply.
    writers: BTreeMap<(String, String), Instant>,
    postings: Postings,
}

/// What a write is for. `api`: the request that waits.
#[derive(Debug)]
enum Pending {
    /// Nobody waits: a member was deleted.
    Leave(Group),
    Put {
        api: u64,
        group: Group,
        new: bool,
    },
    Remove {
        api: u64,
        name: String,
    },
}

impl Room {
    /// A room that knows no group until it hears that the shard began.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            loading: None,
            pending: BTreeMap::new(),
            writers: BTreeMap::new(),
            postings: Postings::default(),
        }
    }

    /// A call to a talk group; `None`: it is for others.
    fn refuses(&self, target: &str, effects: &Effects<'_>) -> Option<Refusal> {
        let (group, _) = effects.directory().groups().at(target)?;
        (group.kind == Kind::Talk).then_some(Refusal::TalkGroup)
    }
}

impl Service for Room {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn offer(&mut self, session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
        match session {
            Session::Api(request) => {
                if let Err(refused) = self.api(request, effects) {
                    refused.answer(request.id, effects);
                }
                true
            }
            Session::Invite { session, leg, target, .. } => {
                match self.refuses(target, effects) {
                    Some(refusal) => refuse_call(*session, *leg, refusal, effects),
                    None => return false,
                }
                true
            }
            Session::Request { request, message, caller, .. }
                if message.method() == Method::Message =>
            {
                self.letter(*request, message, caller, effects)
            }
            Session::Opened { .. } | Session::Request { .. } => false,
        }
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if matches!(notice, Notice::Started | Notice::Restarted) {
            self.load(effects);
            self.send_postings(effects);
        }
        if let Notice::GroupChanged(group) = notice {
            self.touched(&group.name);
            effects.put_group((**group).clone());
        }
        if let Notice::GroupGone { name } = notice {
            self.touched(name);
            effects.remove_group(name);
        }
        if let Notice::GroupCalled { name } = notice
            && let Some(first) = effects.directory().groups().next_turn(name)
        {
            effects.publish(Notice::GroupTurned { name: name.clone(), first });
        }
        if let Notice::GroupTurned { name, first } = notice {
            effects.turn_group(name, first);
        }
        if let Notice::UserGone { name } = notice {
            self.leave(name, effects);
        }
        self.follow(notice, effects);
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, effects: &mut Effects<'_>) {
        if let Reply::Rows(rows) = reply {
            self.loaded(ticket, rows, effects);
        } else if let Reply::Written(result) = reply
            && let Some(pending) = self.pending.remove(&ticket)
        {
            match result {
                Ok(()) => self.written(pending, effects),
                Err(fault) => not_written(pending, &fault, effects),
            }
        }
    }

    fn on_timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) {
        if !self.posted(ticket, effects) {
            self.load_again(ticket, effects);
        }
    }

    fn adopt(&mut self, session: SessionId, state: &[u8], effects: &mut Effects<'_>) {
        self.adopt_posting(session, state, effects);
    }
}

impl Room {
    fn written(&mut self, pending: Pending, effects: &mut Effects<'_>) {
        match pending {
            Pending::Leave(group) => effects.publish(Notice::GroupChanged(Box::new(group))),
            Pending::Put { api, group, new } => {
                let shown = api::show(&group, effects);
                effects.publish(Notice::GroupChanged(Box::new(group)));
                effects.answer(api, ApiResponse::json(if new { 201 } else { 200 }, &shown));
            }
            Pending::Remove { api, name } => {
                effects.publish(Notice::GroupGone { name });
                effects.answer(api, ApiResponse::empty(204));
            }
        }
    }

    /// A user was deleted: the home of each of his groups lets him go.
    fn leave(&mut self, user: &str, effects: &mut Effects<'_>) {
        let own = effects.directory().groups().of(user);
        let own: Vec<Group> =
            own.filter(|group| effects.hosts(effects.home(&group.name))).cloned().collect();
        for mut group in own {
            group.members.retain(|member| member.user != user);
            let ticket = effects.write(store::put(&group, effects.unix()));
            self.pending.insert(ticket, Pending::Leave(group));
        }
    }
}

fn not_written(pending: Pending, fault: &StoreFault, effects: &mut Effects<'_>) {
    let refusal = match (&pending, fault) {
        (Pending::Remove { .. }, StoreFault::Mismatch { .. }) => Refusal::NoSuchGroup,
        (_, fault) => Refusal::of_store(fault.clone()),
    };
    match pending {
        // He does not ring all the same: there is no such user.
        Pending::Leave(_) => effects.count("groups.member_not_removed"),
        Pending::Put { api, .. } | Pending::Remove { api, .. } => {
            effects.refuse_api(api, &refusal);
        }
    }
}

fn refuse_call(session: SessionId, leg: LegId, refusal: Refusal, effects: &mut Effects<'_>) {
    let verdict = refusal.verdict();
    effects.count(verdict.code);
    let words = format!("refused {} {} CAR-{:04}", verdict.sip, verdict.code, verdict.number);
    effects.ladder(types::CallId(session.0), switchboard::ladder::Lane::Note, &words);
    let headers = Effects::refusal_headers(&refusal);
    effects.leg(session, leg, LegCommand::End { status: verdict.sip, headers });
    effects.end(session, None);
}
