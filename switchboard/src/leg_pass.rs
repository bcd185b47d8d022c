//! Requests inside of a dialog that the leg has no opinion of: they go to the owner, and his answer goes back.
//!
//! Picture     INFO | MESSAGE | REFER | NOTIFY of one --Request--> owner --Respond--> answer;  owner --Request--> far end --Response-->
//! Rules       Every request gets one answer: the owner's, or 481 when the leg is gone before. Bodies are carried as
//!             they are; of the header fields those that mean something to the other side.
//! Limits      PASSED_MAX that wait for the owner (leg); more get 500 with Retry-After.
//! Not here    What they mean (rooms).
//! Spec        RFC 3261 §12.2, RFC 6086, RFC 3428, RFC 3515
use sip::dialog::Dialog;
use sip::digest::{self, Challenge, Password, Target};
use sip::write::Writer;
use sip::{Framing, Message, Method, Name};
use types::{LegId, SessionId};

use crate::core::Core;
use crate::leg::{Asked, AskedFor, LegEvent, PASSED_MAX, Passed, Phase};
use crate::leg_run::SERVER;
use crate::leg_watch::session_expires;
use crate::service::RequestId;

/// Header fields that cross us with a request or its answer.
const CARRIED: &[Name] = &[
    Name::Accept,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLanguage,
    Name::Date,
    Name::Event,
    Name::Expires,
    Name::InReplyTo,
    Name::InfoPackage,
    Name::MimeVersion,
    Name::Priority,
    Name::RecvInfo,
    Name::ReferSub,
    Name::ReferTo,
    Name::ReferredBy,
    Name::RetryAfter,
    Name::Subject,
    Name::SubscriptionState,
    Name::UserToUser,
    Name::Warning,
];

/// Times that an INVITE is sent again because of its answer: a proof, a fresher nonce, a longer session.
const AGAIN_MAX: u32 = 3;

fn carried(message: &Message<'_>, number: u64) -> Box<Passed> {
    let fields = message.headers().filter(|header| CARRIED.contains(&header.name));
    let headers = fields.map(|header| {
        let value = sip::write::unfold(header.value);
        (header.name.as_str().to_owned(), String::from_utf8_lossy(&value).into_owned())
    });
    let kind = message.first(Name::ContentType).unwrap_or_default();
    Box::new(Passed {
        number,
        method: String::from_utf8_lossy(message.method().as_bytes()).into_owned(),
        cseq: message.cseq().map_or(0, |cseq| cseq.number),
        status: message.status().unwrap_or(0),
        headers: headers.collect(),
        content_type: String::from_utf8_lossy(kind).into_owned(),
        body: message.body().to_vec(),
    })
}

impl Core {
    /// Writes a request in the dialog of a leg and sends it; `None` when there is no dialog that could carry it.
    pub(crate) fn leg_in_dialog(
        &mut self,
        id: LegId,
        method: Method<'_>,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Option<u64> {
        let leg = self.legs.get_mut(&id)?;
        let flow = leg.flow;
        let early = leg.dialog.is_none();
        let dialog: &mut Dialog = match leg.dialog.as_deref_mut() {
            Some(dialog) => dialog,
            None => leg.early.as_mut()?.latest()?,
        };
        let new_block = dialog.reserve() && !early;
        // Taken out by value: the writer needs it while the transaction is made.
        let mut dialog = dialog.clone();
        let transaction = self.request(flow, id.slot(), Some(id), false, |via| {
            let mut out = Vec::with_capacity(700);
            let mut writer = dialog.request(method, &mut out, via);
            write(&mut writer);
            out
        });
        if let Some(leg) = self.legs.get_mut(&id) {
            let place = match leg.dialog.as_deref_mut() {
                Some(place) => Some(place),
                None => leg.early.as_mut().and_then(|early| early.latest()),
            };
            if let Some(place) = place {
                *place = dialog;
            }
        }
        if new_block {
            self.leg_keep(id);
        }
        Some(transaction)
    }

    /// A request for the owner.
    pub(crate) fn leg_passed(&mut self, id: LegId, request: RequestId, message: &Message<'_>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if matches!(leg.phase, Phase::Ending { .. }) {
            self.answer_plainly(request, 481, &[]);
            return;
        }
        if leg.passed.len() >= PASSED_MAX {
            self.count("switchboard.requests_waiting");
            self.answer_plainly(request, 500, &[("Retry-After", "2")]);
            return;
        }
        leg.passed.push(request);
        let owner = leg.owner;
        let passed = carried(message, request.0);
        self.tell(owner, id, LegEvent::Request { request, passed });
    }

    /// The owner answers it.
    pub(crate) fn leg_respond(&mut self, id: LegId, request: RequestId, response: &Passed) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(place) = leg.passed.iter().position(|known| *known == request) else { return };
        leg.passed.swap_remove(place);
        if leg.passed.is_empty() {
            leg.passed = Vec::new(); // Few calls have any.
        }
        let flow = leg.flow;
        let contact = self.contact(flow);
        let Some(entry) = self.transactions.servers.get(request.0) else { return };
        let Some(message) = entry.request.message() else { return };
        let (tag, from) = (Some(&entry.tag.0[..]), Some(entry.flow.remote));
        let mut out = Vec::with_capacity(500 + response.body.len());
        let status = response.status;
        let mut writer = sip::write::response_to(&mut out, &message, status, None, tag, from);
        if message.method() == Method::Refer && status < 300 {
            writer.header(Name::Contact, &contact);
        }
        writer.header(Name::Server, SERVER);
        ended(&mut writer, response);
        self.respond(request.0, status, out);
    }

    /// The owner asks the far end.
    pub(crate) fn leg_ask(&mut self, id: LegId, asked: &Passed) {
        let Some(leg) = self.legs.get(&id) else { return };
        let owner = leg.owner;
        let contact = self.contact(leg.flow);
        let method = Method::from_bytes(asked.method.as_bytes());
        let transaction = self.leg_in_dialog(id, method, |writer| {
            if matches!(method, Method::Notify | Method::Refer | Method::Subscribe) {
                writer.header(Name::Contact, &contact);
            }
            writer.header(Name::UserAgent, SERVER);
            ended(writer, asked);
        });
        let number = asked.number;
        match (transaction, self.legs.get_mut(&id)) {
            (Some(transaction), Some(leg)) => {
                leg.refers |= method == Method::Refer;
                leg.asked.push(Asked { transaction, what: AskedFor::Owner(number) });
            }
            (_, _) => {
                let method = asked.method.clone();
                let none = Passed { number, method, status: 481, ..Passed::default() };
                self.tell(owner, id, LegEvent::Response(Box::new(none)));
            }
        }
    }

    /// The answer to something that was asked in the dialog; `message`: `None` when none came.
    pub(crate) fn leg_asked(
        &mut self,
        id: LegId,
        transaction: u64,
        status: u16,
        message: Option<&Message<'_>>,
    ) {
        if status < 200 {
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let place = leg.asked.iter().position(|asked| asked.transaction == transaction);
        let Some(asked) = place.map(|place| leg.asked.swap_remove(place)) else { return };
        if leg.asked.is_empty() {
            leg.asked = Vec::new();
        }
        let (owner, established) = (leg.owner, matches!(leg.phase, Phase::Established));
        if let (200..=299, AskedFor::Refresh, Some(message), Some(dialog)) =
            (status, asked.what, message, &mut leg.dialog)
        {
            dialog.refresh_target(message);
        }
        match asked.what {
            AskedFor::Owner(number) => {
                let response = match message {
                    Some(message) => carried(message, number),
                    None => Box::new(Passed { number, status, ..Passed::default() }),
                };
                self.tell(owner, id, LegEvent::Response(response));
            }
            AskedFor::Prack | AskedFor::Probe => (),
            AskedFor::Refresh if matches!(status, 408 | 481) => (),
            AskedFor::Refresh => self.refreshed(id, status, message),
        }
        // RFC 3261 §12.2.1.2: these say that the dialog is gone at the other side.
        let asks_for_life = matches!(asked.what, AskedFor::Probe | AskedFor::Refresh);
        if established && (status == 481 || status == 408 && asks_for_life) {
            self.count("switchboard.far_end_gone");
            self.leg_bye(id, &[]);
            self.tell(owner, id, LegEvent::Ended { why: "gone".into() });
        }
    }
}

/// Whether a refusal names the formats as its reason, so that keys would change nothing.
///
/// Spec: RFC 3261 §20.43 (305 Incompatible media format)
fn is_of_formats(answer: &Message<'_>) -> bool {
    answer.all(Name::Warning).any(|value| value.trim_ascii_start().starts_with(b"305 "))
}

/// Writes what crosses us, and ends the message.
fn ended(writer: &mut Writer<'_>, passed: &Passed) {
    for (name, value) in &passed.headers {
        writer.raw_header(name.as_bytes(), value);
    }
    if passed.body.is_empty() {
        writer.end();
    } else {
        writer.body(&passed.content_type, &passed.body);
    }
}

/// An INVITE of ours that is to be sent again.
impl Core {
    /// Whether this failure makes us send the INVITE again: then it leaves with the next tick, behind its ACK.
    ///
    /// A phone that takes no description with keys beside the plain protocol is asked by the protocol that demands them,
    /// and the other way round: which one it wants nobody can know before. So is one that takes no plain description.
    ///
    /// Spec: RFC 3261 §22.2, RFC 4028 §7.4, RFC 8643 §3
    pub(crate) fn leg_again(&mut self, id: LegId, transaction: u64, answer: &Message<'_>) -> bool {
        let status = answer.status().unwrap_or(0);
        if !matches!(status, 401 | 407 | 422 | 488 | 606) {
            return false;
        }
        let Some(entry) = self.transactions.clients.get(transaction) else { return false };
        let Ok(invite) = Message::decode(entry.machine.message(), Framing::Datagram) else {
            return false;
        };
        let Ok(cseq) = invite.cseq().map(|cseq| cseq.number) else { return false };
        let Some(leg) = self.legs.get(&id) else { return false };
        let tries = leg.early.as_ref().map_or(0, |early| early.tries);
        if tries >= AGAIN_MAX {
            return false;
        }
        let other = match status {
            488 | 606 if tries == 0 => {
                let second = || crate::keyring::second(&self.keys.seal, id, invite.body());
                let plain = leg.keys_else && !is_of_formats(answer);
                sdp::keys::other(invite.body()).or_else(|| plain.then(second).flatten())
            }
            _ => None,
        };
        let mut out = Vec::with_capacity(entry.machine.message().len() + 300);
        let cnonce = format!("{:016x}", self.rng.next_u64());
        let proof = match status {
            422 => None,
            488 | 606 if other.is_some() => None,
            488 | 606 => return false,
            _ => {
                let login = leg.early.as_ref().and_then(|early| early.login.as_ref());
                let Some(proof) = login.and_then(|login| prove(login, &invite, answer, &cnonce))
                else {
                    return false;
                };
                Some(proof)
            }
        };
        let least = answer.first(Name::MinSe).and_then(sip::header::seconds);
        if status == 422 && least.is_none() {
            return false;
        }
        let uri = invite.request_uri().unwrap_or_default();
        let mut writer = Writer::request(&mut out, b"INVITE", uri);
        writer.header(Name::Via, "@"); // Its place; the real one comes with its transaction.
        let proofs = [Name::Authorization, Name::ProxyAuthorization];
        writer.copy_where(&invite, |name| {
            let timer = matches!(name, Name::SessionExpires | Name::MinSe);
            let own = matches!(name, Name::Via | Name::CSeq | Name::ContentLength);
            let replaced = status == 422 && timer || proof.is_some() && proofs.contains(&name);
            !own && !replaced
        });
        writer.header(Name::CSeq, format!("{} INVITE", cseq + 1));
        if let (422, Some(least)) = (status, least) {
            let asked = session_expires(&invite).map_or(0, |(asked, _)| asked.0);
            writer.header(Name::SessionExpires, format!("{};refresher=uas", asked.max(least)));
            writer.number(Name::MinSe, least.into());
        }
        if let Some((name, proof)) = proof {
            writer.header(name, proof);
        }
        // Content-Type was copied.
        writer.body("", other.as_deref().unwrap_or(invite.body()));
        let now = self.clock.now;
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let early = leg.early_mut();
        early.again = Some(out);
        early.tries = tries + 1;
        self.timers.push(now, crate::timers::Reason::Leg(id));
        true
    }

    /// Sends it.
    pub(crate) fn leg_sent_again(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let flow = leg.flow;
        let Some(again) = leg.early.as_mut().and_then(|early| early.again.take()) else { return };
        let transaction = self.request(flow, id.slot(), Some(id), true, |via| {
            let place = again.windows(6).position(|part| part == b"Via: @").unwrap_or(0);
            let (before, behind) = again.split_at(place);
            let mut out = Vec::with_capacity(again.len() + via.len());
            out.extend_from_slice(before);
            out.extend_from_slice(b"Via: ");
            out.extend_from_slice(via);
            out.extend_from_slice(behind.get(6..).unwrap_or_default());
            out
        });
        if let Some(leg) = self.legs.get_mut(&id)
            && let Phase::Calling { transaction: place, .. } = &mut leg.phase
        {
            *place = transaction;
        }
    }
}

/// The header that proves who we are to whoever challenged.
fn prove(
    login: &crate::requests::Login,
    invite: &Message<'_>,
    answer: &Message<'_>,
    cnonce: &str,
) -> Option<(Name, Vec<u8>)> {
    let (asks, name) = match answer.status() {
        Some(407) => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        _ => (Name::WwwAuthenticate, Name::Authorization),
    };
    let offered = answer.all(asks).filter_map(|value| Challenge::decode(value).ok());
    let challenge = digest::strongest(offered.collect::<Vec<_>>())?;
    // The same password again helps only when nothing but the nonce was too old.
    if invite.first(name).is_some() && !challenge.stale {
        return None;
    }
    let password = Password::Text(login.password.reveal().as_bytes());
    let login = digest::Login { user: login.user.as_bytes(), password, realm: None };
    let uri = invite.request_uri()?;
    let proof =
        digest::answer(&challenge, &login, Target { method: b"INVITE", uri }, cnonce.as_bytes(), 1);
    Some((name, proof?))
}

/// Where a dialog is, for a session that was told its name.
impl Core {
    /// The leg of ours with this dialog.
    ///
    /// Spec: RFC 3891 §3
    pub(crate) fn find_dialog(
        &self,
        call_id: &[u8],
        local: &[u8],
        remote: &[u8],
    ) -> Option<crate::input::Found> {
        let leg = *self.dialogs.get(&self.dialog_key(call_id, local, remote))?;
        let known = self.legs.get(&leg)?;
        let dialog = known.dialog.as_deref();
        let early = || known.early.as_ref().and_then(|early| early.dialogs().next());
        let dialog = dialog.or_else(early)?;
        let same = dialog.call_id() == call_id && dialog.local_tag() == local;
        let session: SessionId = known.owner;
        same.then(|| crate::input::Found {
            leg,
            session,
            early: matches!(known.phase, Phase::Incoming { .. } | Phase::Calling { .. }),
            ours: matches!(known.phase, Phase::Calling { .. }),
            peer: String::from_utf8_lossy(dialog.remote_uri()).into_owned(),
            flow: known.flow,
        })
    }
}
