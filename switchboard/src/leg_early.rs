//! Reliable ringing: provisional answers that are acknowledged by PRACK, and the early dialogs that they make.
//!
//! Picture     to a caller:   Ring --RSeq n--> repeated until PRACK n --> the next one that waits, or the 200
//!             from a callee: 18x with RSeq --> early dialog --PRACK--> (with the answer, when it brought an offer)
//! Rules       One provisional answer waits for its PRACK at a time. A 200 waits while one with a description does.
//!             A caller who only supports it gets descriptions this way, and everything else plainly; one who
//!             requires it gets all this way. What a PRACK acknowledged is not said again in the 200.
//! Limits      HELD_MAX answers that wait, EARLY_MAX dialogs of one INVITE; 64*T1 for the PRACK, then 504.
//!             Numbers do not survive a restart: a gap would make the caller wait for ever, so a leg that comes
//!             back rings plainly, and not at all where PRACK is required.
//! Not here    Whether a description goes out early (rooms).
//! Spec        RFC 3262, RFC 6337 §3
use std::collections::VecDeque;
use std::time::Duration;

use sip::dialog::Dialog;
use sip::{Message, Method, Name};
use types::{Instant, LegId};

use crate::core::Core;
use crate::ladder::Lane;
use crate::leg::{Asked, AskedFor, Change, Leg, LegEvent, Phase};
use crate::leg_run::{description, finish};
use crate::requests::Login;
use crate::service::RequestId;

/// Provisional answers that wait for the PRACK of the one before; one more that has no description is left out,
/// and of descriptions only the newest waits.
pub const HELD_MAX: usize = 4;
/// Early dialogs that one INVITE of ours may make; provisional answers of further ones are not acknowledged.
pub const EARLY_MAX: usize = 8;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// The RSeq used last; 0 before the first.
    rseq: u32,
    unacked: Option<Unacked>,
    held: VecDeque<Held>,
    /// A 200 that waits for a PRACK, with its description.
    answer: Option<Option<Vec<u8>>>,
    /// Offer and answer are complete before the call is answered.
    pub agreed: bool,
    /// Reliable answers cannot be sent any more: a restart lost their number.
    pub lost: bool,
    dialogs: Vec<EarlyDialog>,
    /// An INVITE of ours to be sent again, with a proof or a longer session; and how often that was.
    pub again: Option<Vec<u8>>,
    pub tries: u32,
    /// For whoever challenges our INVITE.
    pub login: Option<Login>,
}

#[derive(Debug)]
struct Unacked {
    bytes: Vec<u8>,
    at: Instant,
    gap: Duration,
    until: Instant,
    /// It has a description, which is an offer: its PRACK brings the answer.
    described: bool,
    offers: bool,
}

#[derive(Debug)]
struct Held {
    status: u16,
    sdp: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
}

#[derive(Debug)]
struct EarlyDialog {
    dialog: Dialog,
    rseq: u32,
    /// The PRACK for this number waits for the owner's answer to an offer.
    owes: Option<(u32, u32)>,
}

impl Early {
    pub fn deadline(&self) -> Option<Instant> {
        self.unacked.as_ref().map(|unacked| unacked.at)
    }

    pub fn dialogs(&self) -> impl Iterator<Item = &Dialog> {
        self.dialogs.iter().map(|early| &early.dialog)
    }

    pub fn dialogs_mut(&mut self) -> impl Iterator<Item = &mut Dialog> {
        self.dialogs.iter_mut().map(|early| &mut early.dialog)
    }

    /// The dialog that answered last.
    pub fn latest(&mut self) -> Option<&mut Dialog> {
        self.dialogs.last_mut().map(|early| &mut early.dialog)
    }

    /// Takes the dialog with this tag of the far end out.
    pub fn take(&mut self, tag: &[u8]) -> Option<Dialog> {
        let place = self.dialogs.iter().position(|early| early.dialog.remote_tag() == tag)?;
        Some(self.dialogs.remove(place).dialog)
    }
}

impl Leg {
    pub(crate) fn early_mut(&mut self) -> &mut Early {
        self.early.get_or_insert_default()
    }

    /// Offer and answer are complete although the call is not answered.
    pub(crate) fn agreed_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.agreed)
    }
}

/// How reliable a caller wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Plain,
    Required,
    Supported,
}

/// Towards a caller.
impl Core {
    fn ring_wish(&self, request: RequestId) -> Wish {
        let Some(entry) = self.transactions.servers.get(request.0) else { return Wish::Plain };
        let Some(invite) = entry.request.message() else {
            return Wish::Plain;
        };
        if invite.has_token(Name::Require, "100rel") {
            Wish::Required
        } else if invite.has_token(Name::Supported, "100rel") {
            Wish::Supported
        } else {
            Wish::Plain
        }
    }

    /// Sends a provisional answer, reliably where the caller wants that.
    pub(crate) fn leg_ring(
        &mut self,
        id: LegId,
        status: u16,
        mut sdp: Option<Vec<u8>>,
        headers: &[(String, String)],
    ) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Phase::Incoming { request } = leg.phase else { return };
        let wish = self.ring_wish(request);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let lost = leg.early.as_ref().is_some_and(|early| early.lost);
        if leg.agreed_early() {
            sdp = None; // Its PRACK settled it.
        }
        let reliably = match wish {
            Wish::Plain => false,
            Wish::Supported => sdp.is_some() && !lost,
            Wish::Required if lost => return,
            Wish::Required => true,
        };
        if !reliably {
            if let Some(bytes) = self.leg_response(id, request, status, sdp.as_deref(), headers) {
                self.respond(request.0, status, bytes);
            }
            return;
        }
        let early = leg.early_mut();
        if early.unacked.is_some() {
            if sdp.is_some() {
                early.held.retain(|held| held.sdp.is_none());
            }
            if early.held.len() < HELD_MAX {
                early.held.push_back(Held { status, sdp, headers: headers.to_vec() });
            }
            return;
        }
        self.ring_reliably(id, request, Held { status, sdp, headers: headers.to_vec() });
    }

    fn ring_reliably(&mut self, id: LegId, request: RequestId, what: Held) {
        let first = (self.rng.below(0x7fff_0000) + 1) as u32;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let offers = what.sdp.is_some() && !leg.offer_sent;
        let early = leg.early_mut();
        early.rseq = if early.rseq == 0 { first } else { early.rseq + 1 };
        let rseq = early.rseq;
        let mut headers = what.headers;
        headers.push(("Require".into(), "100rel".into()));
        headers.push(("RSeq".into(), rseq.to_string()));
        let bytes = self.leg_response(id, request, what.status, what.sdp.as_deref(), &headers);
        let Some(bytes) = bytes else { return };
        let (now, timers) = (self.clock.now, self.config.timers);
        if let Some(leg) = self.legs.get_mut(&id) {
            let described = what.sdp.is_some();
            let (gap, until) = (timers.t1(), now + timers.give_up());
            let at = now + gap;
            let bytes = bytes.clone();
            leg.early_mut().unacked = Some(Unacked { bytes, at, gap, until, described, offers });
        }
        self.respond(request.0, what.status, bytes);
    }

    /// Whether the 200 must wait for a PRACK; then it is kept.
    ///
    /// Spec: RFC 3262 §3
    pub(crate) fn answer_waits(&mut self, id: LegId, sdp: &Option<Vec<u8>>) -> bool {
        let Some(early) = self.legs.get_mut(&id).and_then(|leg| leg.early.as_mut()) else {
            return false;
        };
        early.held.clear();
        let waits = early.unacked.as_ref().is_some_and(|unacked| unacked.described);
        if waits {
            early.answer = Some(sdp.clone());
        } else {
            early.unacked = None; // The final answer says more.
        }
        waits
    }

    /// A reliable answer is repeated, or given up.
    pub(crate) fn early_timer(&mut self, id: LegId) {
        let now = self.clock.now;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (owner, call, phase) = (leg.owner, leg.call, &leg.phase);
        let Phase::Incoming { request } = *phase else { return };
        let Some(early) = &mut leg.early else { return };
        let Some(unacked) = &mut early.unacked else { return };
        if unacked.at > now {
            return;
        }
        if unacked.until <= now {
            self.count("switchboard.no_prack");
            if let Some(bytes) = self.leg_response(id, request, 504, None, &[]) {
                self.respond(request.0, 504, bytes);
            }
            self.leg_gone(id);
            self.tell(owner, id, LegEvent::Ended { why: "no prack".into() });
            return;
        }
        unacked.gap *= 2;
        unacked.at = (now + unacked.gap).min(unacked.until);
        let bytes = unacked.bytes.clone();
        let Some(flow) = self.transactions.servers.get(request.0).map(|entry| entry.flow) else {
            return;
        };
        self.note(call, Lane::SipOut, Some(flow), &bytes);
        self.send(flow, &bytes, self.after);
    }

    /// A caller acknowledges a provisional answer.
    ///
    /// Spec: RFC 3262 §3, §5
    pub(crate) fn leg_pracked(&mut self, id: LegId, request: RequestId, message: &Message<'_>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (owner, incoming) = (leg.owner, matches!(leg.phase, Phase::Incoming { .. }));
        let Some(early) = &mut leg.early else {
            self.answer_plainly(request, 481, &[]);
            return;
        };
        let fits = rack(message) == Some(early.rseq);
        let Some(unacked) = early.unacked.take_if(|_| fits && incoming) else {
            // It may cross the final answer; an old or strange number acknowledges nothing.
            let status = if fits && !incoming { 200 } else { 481 };
            self.answer_plainly(request, status, &[]);
            return;
        };
        early.agreed |= unacked.described;
        let sdp = description(message);
        match sdp {
            Some(sdp) if unacked.offers => {
                leg.sdp = Some(sdp.clone());
                self.answer_plainly(request, 200, &[]);
                self.tell(owner, id, LegEvent::Confirmed { sdp: Some(sdp) });
            }
            Some(sdp) if matches!(leg.change, Change::Idle) && unacked.described => {
                leg.change = Change::Incoming { request, acked: false };
                self.tell(owner, id, LegEvent::Confirmed { sdp: None });
                self.tell(owner, id, LegEvent::Changed { sdp: Some(sdp) });
            }
            Some(_) => self.answer_plainly(request, 488, &[]),
            None => {
                self.answer_plainly(request, 200, &[]);
                if unacked.described {
                    self.tell(owner, id, LegEvent::Confirmed { sdp: None });
                }
            }
        }
        self.go_on_ringing(id);
    }

    /// What waited for the PRACK leaves now.
    fn go_on_ringing(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Phase::Incoming { request } = leg.phase else { return };
        let Some(early) = &mut leg.early else { return };
        if let Some(sdp) = early.answer.take() {
            self.leg_answer(id, sdp);
            return;
        }
        if let Some(mut held) = early.held.pop_front() {
            if early.agreed {
                held.sdp = None;
            }
            self.ring_reliably(id, request, held);
        }
    }
}

/// The number that a PRACK acknowledges; it must name an INVITE.
fn rack(message: &Message<'_>) -> Option<u32> {
    let value = std::str::from_utf8(message.first(Name::RAck)?).ok()?;
    let mut words = value.split_ascii_whitespace();
    let (rseq, cseq, method) = (words.next()?, words.next()?, words.next()?);
    cseq.parse::<u32>().ok()?;
    (method == "INVITE").then(|| rseq.parse().ok())?
}

/// From a callee.
impl Core {
    /// A provisional answer came. `false`: it was heard before, or out of order, and the owner must not hear it.
    ///
    /// Spec: RFC 3262 §4
    pub(crate) fn leg_reliable(&mut self, id: LegId, message: &Message<'_>) -> bool {
        let rseq = message.first(Name::RSeq).and_then(sip::header::seconds);
        let tag = message.to().ok().and_then(|to| to.tag());
        let reliable = message.has_token(Name::Require, "100rel");
        let (Some(rseq), Some(tag), true) = (rseq, tag, reliable) else { return true };
        let Ok(cseq) = message.cseq().map(|cseq| cseq.number) else { return true };
        let local = message.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        leg.hears_allow(message);
        let offers = !leg.offer_sent && description(message).is_some();
        let described = description(message).is_some();
        let early = leg.early_mut();
        early.agreed |= described && !offers;
        let full = early.dialogs.len() >= EARLY_MAX;
        let known = early.dialogs.iter_mut().find(|known| known.dialog.remote_tag() == tag);
        let owes = offers.then_some((rseq, cseq));
        match known {
            Some(known) if rseq != known.rseq.wrapping_add(1) => return false,
            Some(known) => {
                known.rseq = rseq;
                known.owes = owes;
                known.dialog.refresh_target(message);
            }
            None if full => return false,
            None => {
                let Ok(dialog) = Dialog::uac(message, local) else { return true };
                early.dialogs.push(EarlyDialog { dialog: dialog.clone(), rseq, owes });
                self.leg_index(id, &dialog);
            }
        }
        if owes.is_none() {
            self.leg_prack(id, tag, (rseq, cseq), None);
        }
        true
    }

    fn leg_prack(&mut self, id: LegId, tag: &[u8], of: (u32, u32), sdp: Option<&[u8]>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let flow = leg.flow;
        let Some(mut dialog) = leg.early.as_mut().and_then(|early| early.take(tag)) else { return };
        let transaction = self.request(flow, id.slot(), Some(id), false, |via| {
            let mut out = Vec::with_capacity(500);
            let mut writer = dialog.request(Method::Prack, &mut out, via);
            writer.header(Name::RAck, format!("{} {} INVITE", of.0, of.1));
            finish(&mut writer, sdp);
            out
        });
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.asked.push(Asked { transaction, what: AskedFor::Prack });
            leg.early_mut().dialogs.push(EarlyDialog { dialog, rseq: of.0, owes: None });
        }
    }

    /// The owner answers an offer that a provisional answer brought.
    pub(crate) fn leg_prack_owed(&mut self, id: LegId, sdp: Option<&[u8]>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(early) = &mut leg.early else { return };
        let owed = early.dialogs.iter_mut().find_map(|early| {
            let of = early.owes.take()?;
            Some((early.dialog.remote_tag().to_vec(), of))
        });
        let Some((tag, of)) = owed else { return };
        early.agreed = sdp.is_some();
        leg.offer_sent = sdp.is_some();
        self.leg_prack(id, &tag, of, sdp);
    }

    /// Early dialogs are not needed any more.
    pub(crate) fn early_over(&mut self, id: LegId, early: &Early) {
        for dialog in early.dialogs() {
            let key = self.dialog_key(dialog.call_id(), dialog.local_tag(), dialog.remote_tag());
            if self.dialogs.get(&key) == Some(&id) {
                self.dialogs.remove(&key);
            }
        }
    }
}
