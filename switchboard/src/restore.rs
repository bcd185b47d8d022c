//! Legs that come back after a restart.

use std::borrow::Cow;

use sip::dialog::Dialog;
use sip::transaction::{AnswerRetransmit, ServerInvite, server_invite};
use sip::{Framing, Head, Message, Method, Name};
use types::{Flow, LegId, SessionId, Transport, UnixTime, tagged};

use crate::binding::{binding_key, encode_binding};
use crate::core::{Core, UNDO_MAX, Undo};
use crate::directory::{Binding, Known};
use crate::input::{Mark, Output};
use crate::leg::{Leg, Phase, SavedLeg, decode_flow, encode_flow};
use crate::leg_run::SERVER;
use crate::seal;
use crate::service::RequestId;
use crate::store::{Durability, Entry, kinds};
use crate::transactions::{ClientMachine, NewServer, ServerMachine, Tag};

/// Octets that a leg takes in the keeper, or a little less.
const LEG_SIZE: usize = 700;

impl Core {
    /// Appends to the keeper. What is put out behind a synced entry, in the same dispatch, waits for it.
    pub(crate) fn keep(&mut self, entry: Entry, durability: Durability) -> Mark {
        let mark = self.mark();
        self.out.list.push(Output::Save { mark, entry, durability });
        if durability == Durability::Synced {
            self.after = Some(mark);
        }
        mark
    }

    /// Notes how a binding was before the save `mark`.
    pub(crate) fn can_undo(
        &mut self,
        mark: Mark,
        user: &str,
        binding: &Known,
        before: Option<Known>,
    ) {
        if self.undo.len() >= UNDO_MAX {
            self.undo.pop_front();
        }
        let (user, binding) = (user.to_owned(), binding.clone());
        self.undo.push_back(Undo { mark, user, binding, before });
    }

    /// Keeps a session as its room saved it last, with its legs as they are now.
    pub(crate) fn save_session(&mut self, session: SessionId, durability: Durability) {
        if let Some(body) = self.session_body(session) {
            let (slot, key) = (session.slot(), session.0);
            let entry = Entry { slot, kind: kinds::SESSION, key, body, last: false };
            self.keep(entry, durability);
        }
    }

    pub(crate) fn session_body(&self, session: SessionId) -> Option<Vec<u8>> {
        let entry = self.sessions.get(&session)?;
        let state = entry.saved.as_deref()?;
        // Most are two legs, one with the answer that is said again until it is acknowledged.
        let legs = entry.legs.len() * LEG_SIZE;
        let mut writer = tagged::Writer::onto(Vec::with_capacity(state.len() + legs + 32));
        writer.text(1, self.name_of(entry.room)).bytes(2, state);
        let kept = entry.legs.iter().filter_map(|leg| self.legs.get(leg));
        for leg in kept.filter(|leg| !leg.apart) {
            writer.nested(3, |writer| self.encode_leg(leg, writer));
        }
        if let Some(bytes) = self.subscriptions.known.get(&session).and_then(|one| one.encode()) {
            writer.bytes(4, &bytes);
        }
        Some(writer.finish())
    }

    pub(crate) fn name_of(&self, room: usize) -> &'static str {
        self.room_names.get(room).copied().unwrap_or("")
    }

    /// Keeps a leg whose owner lives on another slot.
    pub(crate) fn save_leg(&mut self, leg: LegId) {
        if let Some(entry) = self.leg_entry(leg) {
            self.keep(entry, Durability::Written);
        }
    }

    pub(crate) fn forget_leg(&mut self, leg: LegId) {
        let (slot, kind, key) = (leg.slot(), kinds::LEG, leg.0);
        self.keep(Entry { slot, kind, key, body: Vec::new(), last: true }, Durability::Written);
    }

    pub(crate) fn leg_entry(&self, id: LegId) -> Option<Entry> {
        let leg = self.legs.get(&id).filter(|leg| leg.apart)?;
        let mut writer = tagged::Writer::onto(Vec::with_capacity(LEG_SIZE));
        self.encode_leg(leg, &mut writer);
        let body = writer.finish();
        Some(Entry { slot: id.slot(), kind: kinds::LEG, key: id.0, body, last: false })
    }

    pub(crate) fn binding_entry(&self, user: &str, binding: &Binding) -> Entry {
        Entry {
            slot: self.home(user),
            kind: kinds::BINDING,
            key: binding_key(&self.keys, user, binding),
            body: encode_binding(user, binding),
            last: false,
        }
    }

    /// A leg as the keeper needs it.
    fn encode_leg(&self, leg: &Leg, writer: &mut tagged::Writer) {
        let request = match &leg.phase {
            Phase::Incoming { request } => {
                let entry = self.transactions.servers.get(request.0);
                entry.map(|entry| Cow::Borrowed(entry.request.bytes()))
            }
            Phase::Calling { transaction, .. } => {
                let entry = self.transactions.clients.get(*transaction);
                match entry.map(|entry| &entry.machine) {
                    Some(ClientMachine::Invite(machine)) => head(machine.message()).map(Cow::Owned),
                    Some(ClientMachine::Other(_)) | None => None,
                }
            }
            Phase::Answered { retransmit, .. } => Some(Cow::Borrowed(retransmit.message())),
            Phase::Accepted { .. } | Phase::Ending { .. } | Phase::Established => None,
        };
        let key = &self.keys.seal;
        let request = request.as_deref().map(|request| seal::keyless(key, request));
        let said = leg.said.as_deref().map(|said| seal::keyless(key, said));
        leg.encode(request.as_deref(), said.as_deref(), writer);
    }

    /// A leg is back. One that rang here waits for its answer again; one that we called is given up: its
    /// transaction died with the process, so its phone is told to stop ringing.
    pub(crate) fn restore_leg(&mut self, bytes: &[u8]) {
        let mut saved = SavedLeg::decode(bytes);
        let unsealed = |kept| seal::unsealed(&self.keys.seal, kept);
        saved.request = saved.request.map(unsealed);
        saved.said = saved.said.map(|said| unsealed(said.into_vec()).into());
        // It was handed over when the process died, and both sides had it: the newer version counts.
        if let Some(known) = self.legs.get(&saved.id) {
            if known.version >= saved.version {
                return;
            }
            let (owner, phase) = (known.owner, &known.phase);
            if let Phase::Incoming { request } = phase {
                self.transactions.remove_server(request.0);
            }
            if let Some(entry) = self.sessions.get_mut(&owner) {
                entry.legs.retain(|leg| *leg != saved.id);
            }
        }
        let Some(flow) = saved.flow else { return };
        let flow = dialled_again(flow);
        let phase = match saved.phase {
            1 => {
                self.cancel_lost(flow, saved.request.as_deref());
                return;
            }
            2 => {
                let Some(request) = self.wait_again(saved.id, flow, saved.request, &saved.dialog)
                else {
                    return;
                };
                Phase::Incoming { request }
            }
            // The 200 may never have arrived: it is said again until its ACK comes.
            5 if saved.until > self.clock.unix => {
                let answer = saved.request.unwrap_or_default();
                self.absorb_again(saved.id, flow, &answer);
                let retransmit = AnswerRetransmit::new(answer, self.config.timers, self.clock.now);
                Phase::Answered { retransmit, until: saved.until, restored: true }
            }
            _ => Phase::Established,
        };
        let Some(dialog) = saved.dialog else { return };
        self.leg_index(saved.id, &dialog);
        if let Some(entry) = self.sessions.get_mut(&saved.owner) {
            entry.legs.push(saved.id);
        }
        let mut leg = Leg::new(saved.id, saved.owner, phase, flow);
        leg.call = saved.call;
        leg.version = saved.version;
        leg.dialog = Some(Box::new(dialog));
        leg.offer_sent = true;
        leg.apart = saved.apart;
        leg.updates = saved.updates;
        leg.said = saved.said;
        if saved.early {
            leg.early_mut().lost = true;
        }
        let watched = !matches!(leg.phase, Phase::Incoming { .. });
        self.legs.insert(saved.id, Box::new(leg));
        if watched {
            self.watch_restored(saved.id, saved.watch);
        }
        self.leg_arm(saved.id);
    }

    /// Says BYE again to those of an ended session who may not have heard it, as it died with the process: in time it
    /// is answered with 200, or with 481 by who had heard it.
    pub(crate) fn part_again(&mut self, body: &[u8]) {
        let (mut ended, mut parting) = (UnixTime::default(), Vec::new());
        for (tag, field) in tagged::Reader::new(body) {
            match tag {
                5 => parting.push(field.0),
                6 => ended = UnixTime(field.number().unwrap_or(0) as u64),
                _ => (),
            }
        }
        // Until then the BYE would have been repeated.
        if ended + self.config.timers.give_up() < self.clock.unix {
            return;
        }
        for bytes in parting {
            let (mut leg, mut flow, mut dialog) = (LegId::default(), None, None);
            for (tag, field) in tagged::Reader::new(bytes) {
                match tag {
                    1 => leg = LegId(field.number().unwrap_or(0)),
                    2 => flow = decode_flow(field.0),
                    3 => dialog = Dialog::decode(tagged::Reader::new(field.0)),
                    _ => (),
                }
            }
            let (Some(flow), Some(mut dialog)) = (flow, dialog) else { continue };
            self.count("switchboard.bye_again");
            self.request(dialled_again(flow), leg.slot(), None, false, |via| {
                let mut out = Vec::with_capacity(500);
                let mut writer = dialog.request(Method::Bye, &mut out, via);
                writer.header(Name::UserAgent, SERVER);
                writer.end();
                out
            });
        }
    }

    /// The transaction of an INVITE that was answered: the same INVITE, come again, is no new call.
    fn absorb_again(&mut self, leg: LegId, flow: Flow, answer: &[u8]) {
        // The answer has the Via of its INVITE, which names the transaction.
        let Ok(message) = Message::decode(answer, Framing::Datagram) else { return };
        let key = self.transactions.key(&message, Method::Invite, flow.remote.ip());
        let tag = message.to().ok().and_then(|to| to.tag()).and_then(|tag| tag.try_into().ok());
        let mut machine =
            ServerInvite::new(flow.transport.reliable(), self.config.timers, self.clock.now);
        let event = server_invite::Event::Respond { status: 200, message: answer.to_vec() };
        machine.handle(event, self.clock.now);
        // The leg repeats it.
        while machine.poll().is_some() {}
        let (machine, tag) = (ServerMachine::Invite(machine), Tag(tag.unwrap_or_default()));
        let use_number = self.use_number();
        let new = NewServer { machine, flow, request: Head::default(), tag };
        let id = self.transactions.add_server(key, use_number, new);
        if let Some(entry) = self.transactions.servers.get_mut(id) {
            entry.leg = Some(leg);
        }
        self.drive_server(id, None);
    }

    /// The transaction of an INVITE that still waits for our answer.
    fn wait_again(
        &mut self,
        leg: LegId,
        flow: Flow,
        request: Option<Vec<u8>>,
        dialog: &Option<sip::dialog::Dialog>,
    ) -> Option<RequestId> {
        let request = Head::decode(&request?).ok()?;
        let tag: [u8; 18] = dialog.as_ref()?.local_tag().try_into().ok()?;
        let key = self.transactions.key(&request.message()?, Method::Invite, flow.remote.ip());
        let machine =
            ServerInvite::new(flow.transport.reliable(), self.config.timers, self.clock.now);
        let new =
            NewServer { machine: ServerMachine::Invite(machine), flow, request, tag: Tag(tag) };
        let use_number = self.use_number();
        let id = self.transactions.add_server(key, use_number, new);
        if let Some(entry) = self.transactions.servers.get_mut(id) {
            entry.leg = Some(leg);
        }
        self.drive_server(id, None); // 100 will be due: what it heard before has no place in the log.
        Some(RequestId(id))
    }

    fn cancel_lost(&mut self, flow: Flow, invite: Option<&[u8]>) {
        let mut cancel = Vec::new();
        let Some(invite) = invite else { return };
        let Ok(invite) = Message::decode(invite, Framing::Datagram) else { return };
        if invite.first(Name::Via).is_some()
            && sip::transaction::cancel_for(&invite, None, &mut cancel).is_ok()
        {
            self.send(flow, &cancel, None);
        }
    }
}

/// By TCP it is dialled again; the number of another connection names one that is gone.
fn dialled_again(flow: Flow) -> Flow {
    match flow.transport {
        Transport::Tcp => Flow { connection: 0, ..flow },
        Transport::Udp | Transport::Tls | Transport::Ws | Transport::Wss => flow,
    }
}

/// Adds a leg that a BYE is about to leave for to the fields of its session's last entry.
pub(crate) fn parting(known: Vec<u8>, leg: &Leg, dialog: &Dialog) -> Vec<u8> {
    let mut writer = tagged::Writer::onto(known);
    writer.nested(5, |writer| {
        writer.number(1, leg.id.0).nested(2, |writer| encode_flow(leg.flow, writer));
        writer.nested(3, |writer| dialog.encode(writer));
    });
    writer.finish()
}

/// A message without its body, and without the Content-Length that would make it one cut short.
fn head(message: &[u8]) -> Option<Vec<u8>> {
    let message = Message::decode(message, Framing::Datagram).ok()?;
    Some(message.head_without(Name::ContentLength).bytes().to_vec())
}
