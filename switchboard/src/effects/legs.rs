//! What a room asks about legs and their media.

use std::net::SocketAddr;

use types::{BridgeId, Flow, LegId, Seconds, SessionId, Slot, Transport};

use super::Effects;
use crate::input::{Mail, Output, Ticket};
use crate::leg::{InvitePlan, LegCommand};
use crate::service::{Attachment, LegPlan};

/// Legs and media.
impl Effects<'_> {
    /// The id of a new session on a slot.
    pub fn session_id(&mut self, slot: Slot) -> SessionId {
        SessionId::mint(slot, &mut self.core.rng)
    }

    /// A tag of ours on a slot.
    pub fn tag(&mut self, slot: Slot) -> String {
        String::from_utf8_lossy(&self.core.tag(slot).0).into_owned()
    }

    /// A Call-ID of ours: a UUID whose first octet names the slot.
    pub fn call_id(&mut self, slot: Slot) -> String {
        self.core.new_call_id(slot)
    }

    /// Tells a leg of this session what to do.
    pub fn leg(&mut self, session: SessionId, leg: LegId, command: LegCommand) {
        let slot = leg.slot();
        if self.core.hosts(slot) {
            self.core.leg_command(leg, session, command);
        } else {
            self.core.mail(slot, Mail::Command { leg, from: session, command });
        }
    }

    /// Asks which leg has a dialog, by our tag and the far end's; `on_reply` gets `Reply::Found`.
    ///
    /// Spec: RFC 3891 §3
    pub fn find(
        &mut self,
        session: SessionId,
        call_id: &[u8],
        local: &[u8],
        remote: &[u8],
    ) -> Ticket {
        let ticket = self.core.ticket(self.room);
        let slot = crate::transactions::Tag::slot(local);
        let (call_id, local, remote) = (call_id.to_vec(), local.to_vec(), remote.to_vec());
        match slot {
            Some(slot) => {
                let mail = Mail::Find { call_id, local, remote, session, ticket };
                self.core.mail(slot, mail);
            }
            // No tag of ours: there is no such dialog.
            None => self.core.mail(session.slot(), Mail::Found { ticket, session, found: None }),
        }
        ticket
    }

    /// What the far end of a leg described last; `None` when it lives on another shard, or a restart lost it.
    pub fn described(&self, leg: LegId) -> Option<Vec<u8>> {
        self.core.legs.get(&leg)?.sdp.clone()
    }

    /// Who is at the far end of a leg that lives here: the address without brackets, and where it is.
    pub fn peer_of(&self, leg: LegId) -> Option<(String, Flow)> {
        let leg = self.core.legs.get(&leg)?;
        let dialog = leg.dialog.as_ref()?;
        Some((String::from_utf8_lossy(dialog.remote_uri()).into_owned(), leg.flow))
    }

    /// How long sessions last without a refresh; for the room that has the setting.
    pub fn set_session_expires(&mut self, interval: Seconds) {
        self.core.session_expires = interval.max(crate::leg_watch::INTERVAL_MIN);
    }

    /// Calls somebody: a new leg of this session, on the session's slot.
    pub fn invite(&mut self, plan: InvitePlan) -> LegId {
        let session = plan.session;
        let leg = LegId::mint(session.slot(), &mut self.core.rng);
        self.leg(session, leg, LegCommand::Invite(Box::new(plan)));
        leg
    }

    /// Asks all other rooms what they add to a planned leg.
    pub fn attachments(&mut self, plan: &LegPlan<'_>) -> Vec<Attachment> {
        let mut found = Vec::new();
        for place in 0..self.rooms.len() {
            let Some(mut room) = self.rooms.get_mut(place).and_then(Option::take) else { continue };
            let mut effects =
                Effects { core: &mut *self.core, rooms: &mut *self.rooms, room: place };
            found.extend(room.attach(plan, &mut effects));
            if let Some(home) = self.rooms.get_mut(place) {
                *home = Some(room);
            }
        }
        found
    }

    /// A new bridge of this session.
    pub fn bridge(&mut self, session: SessionId) -> BridgeId {
        let bridge = BridgeId::mint(session.slot(), &mut self.core.rng);
        self.core.bridges.insert(bridge, session);
        bridge
    }

    /// A bridge that comes back after a restart, with its ports.
    pub fn claim(&mut self, session: SessionId, bridge: BridgeId, ports: &[u16]) {
        self.core.bridges.insert(bridge, session);
        for port in ports {
            self.core.ports.claim(*port);
            self.core.ports_taken.insert(*port, self.room);
        }
    }

    /// Two free RTP ports, for both sides of a stream; `None` when the range is used up.
    pub fn ports(&mut self) -> Option<[u16; 2]> {
        let first = self.core.ports.take()?;
        match self.core.ports.take() {
            Some(second) => {
                self.core.ports_taken.extend([(first, self.room), (second, self.room)]);
                Some([first, second])
            }
            None => {
                self.core.ports.give_back(first, self.core.clock.now);
                None
            }
        }
    }

    /// One free RTP port, for a leg that takes part in a mix.
    pub fn port(&mut self) -> Option<u16> {
        let port = self.core.ports.take()?;
        self.core.ports_taken.insert(port, self.room);
        Some(port)
    }

    /// A leg would go by the port that many share: which one, where it can be told from all others there. `port` names the
    /// leg. `at`: where its phone says it is; `None`: it said nothing yet, and is where its signalling is.
    pub fn share(&mut self, port: u16, at: Option<SocketAddr>) -> Option<u16> {
        let by = self.core.config.shared_port?.checked_add(2 * self.core.config.index as u16)?;
        let ours = self.core.config.media_address;
        // A call that comes back to us would be told from its own other half by nothing.
        let loops = at.is_some_and(|at| at.ip() == ours && self.is_shared(at.port() & !1));
        let shares = !loops && self.core.shared.claim(port, at, ours);
        if !shares {
            self.core.shared.release(port);
        }
        shares.then_some(by)
    }

    /// Whether this is a port of this node that many share.
    pub fn is_shared(&self, port: u16) -> bool {
        let config = &self.core.config;
        let above = config.shared_port.and_then(|first| port.checked_sub(first));
        above.is_some_and(|above| above % 2 == 0 && usize::from(above / 2) < config.shards)
    }

    /// Whether each phone of a user is where its packets come from, as far as its registration shows. False also where
    /// another shard keeps his phones.
    pub fn is_direct(&self, user: &str) -> bool {
        let known = self.core.directory.bindings(user);
        !known.is_empty()
            && known.iter().all(|binding| {
                let contact = sip::Uri::decode(binding.contact.as_bytes()).ok();
                let host = contact.and_then(|uri| std::str::from_utf8(uri.host).ok()?.parse().ok());
                let web = matches!(binding.flow.transport, Transport::Ws | Transport::Wss);
                !web && host == Some(binding.flow.remote.ip().to_canonical())
            })
    }

    /// Ports that are not used any more.
    pub fn give_back(&mut self, ports: &[u16]) {
        for port in ports {
            self.core.shared.release(*port);
            self.core.ports_taken.remove(port);
            self.core.ports.give_back(*port, self.core.clock.now);
        }
    }

    /// Ports that another program holds.
    pub fn spoil(&mut self, ports: &[u16]) {
        for port in ports {
            self.core.shared.release(*port);
            self.core.ports.spoil(*port, self.core.clock.now);
        }
    }

    /// A command to the pump.
    pub fn media(&mut self, command: media::Command) {
        if let media::Command::Close { bridge } = &command {
            self.core.bridges.remove(bridge);
        }
        self.core.out.list.push(Output::Media(command));
    }
}
