//! What an agent writes.

use sip::digest::{Challenge, Login, Password, Target, answer, strongest};
use sip::transaction::{Client, ClientInvite, client_invite, server, server_invite};
use sip::write::Writer;
use sip::{Framing, Message, Name};
use types::Instant;

use super::{Agent, ClientEntry, ClientMachine, Key, Purpose, ServerMachine};

/// The session that every agent offers: it hears µ-law.
pub(crate) fn offer(agent: &Agent, version: u64) -> sdp::Offer {
    sdp::Offer {
        session: 1,
        version,
        address: agent.address.ip(),
        port: 4_000,
        codecs: vec![sdp::PCMU, sdp::PCMA, sdp::TELEPHONE_EVENT],
        direction: sdp::Direction::SendRecv,
    }
}

impl Agent {
    pub(crate) fn token(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    pub(crate) fn via(&mut self) -> (Vec<u8>, Vec<u8>) {
        let branch = format!("z9hG4bK{}", self.token()).into_bytes();
        let mut via = format!("SIP/2.0/UDP {};rport;branch=", self.address).into_bytes();
        via.extend_from_slice(&branch);
        (via, branch)
    }

    /// The contact URI, with what wakes it.
    pub fn contact(&self) -> String {
        let mut uri = format!("sip:{}@{}", self.user, self.address);
        if let Some(push) = &self.push {
            uri.push_str(&format!(
                ";pn-provider={};pn-param={};pn-prid={}",
                push.provider, push.param, push.prid
            ));
        }
        uri
    }

    /// The Authorization for the challenge of a response.
    pub(crate) fn proof(
        &mut self,
        response: &Message<'_>,
        method: &[u8],
        uri: &[u8],
    ) -> Option<Vec<u8>> {
        let offered: Vec<_> = response
            .all(Name::WwwAuthenticate)
            .filter_map(|value| Challenge::decode(value).ok())
            .collect();
        let challenge = strongest(offered)?;
        let cnonce = self.token();
        let password = Password::Text(self.password.as_bytes());
        let login = Login { user: self.user.as_bytes(), password, realm: None };
        answer(&challenge, &login, Target { method, uri }, cnonce.as_bytes(), 1)
    }

    pub(crate) fn start_client(
        &mut self,
        branch: Vec<u8>,
        method: &str,
        bytes: Vec<u8>,
        purpose: Purpose,
        now: Instant,
    ) {
        let machine = if method == "INVITE" {
            ClientMachine::Invite(ClientInvite::start(bytes, false, self.timers, now))
        } else {
            ClientMachine::Other(Client::start(bytes, false, self.timers, now))
        };
        let key: Key = (branch, method.as_bytes().to_vec());
        self.clients.insert(key.clone(), ClientEntry { machine, purpose });
        self.drive_client(&key, None, now);
    }

    /// Sends the CANCEL of an INVITE, when that is allowed already.
    pub(crate) fn send_cancel(&mut self, branch: &[u8], now: Instant) -> bool {
        let key: Key = (branch.to_vec(), b"INVITE".to_vec());
        let Some(entry) = self.clients.get_mut(&key) else { return false };
        let ClientMachine::Invite(machine) = &mut entry.machine else { return false };
        if !machine.is_cancellable() {
            return false;
        }
        let mut bytes = Vec::new();
        if let Ok(invite) = Message::decode(machine.message(), Framing::Datagram) {
            let _ = sip::transaction::cancel_for(&invite, None, &mut bytes);
        }
        machine.handle(client_invite::Event::Cancelled, now);
        self.drive_client(&key, None, now);
        self.start_client(branch.to_vec(), "CANCEL", bytes, Purpose::Cancel, now);
        true
    }

    /// Answers a request. `tag`: ours, where the answer makes or belongs to a dialog.
    pub(crate) fn respond(
        &mut self,
        key: &Key,
        status: u16,
        tag: Option<&str>,
        sdp: Option<&[u8]>,
        now: Instant,
    ) -> Vec<u8> {
        let contact = format!("<{}>", self.contact());
        let fresh = self.token();
        let Some(entry) = self.servers.get_mut(key) else { return Vec::new() };
        let Ok(request) = Message::decode(&entry.request, Framing::Datagram) else {
            return Vec::new();
        };
        let tag = if status == 100 { None } else { Some(tag.unwrap_or(&fresh).as_bytes()) };
        let mut out = Vec::with_capacity(600);
        let mut writer: Writer<'_> =
            sip::write::response_to(&mut out, &request, status, None, tag, None);
        if status < 300 && status > 100 {
            writer.copy(&request, Name::RecordRoute).header(Name::Contact, contact);
        }
        match sdp {
            Some(sdp) => writer.body("application/sdp", sdp),
            None => writer.end(),
        }
        let message = out.clone();
        match &mut entry.machine {
            ServerMachine::Invite(machine) => {
                machine.handle(server_invite::Event::Respond { status, message }, now);
            }
            ServerMachine::Other(machine) => {
                machine.handle(server::Event::Respond { status, message }, now);
            }
        }
        self.drive_server(key);
        out
    }
}
