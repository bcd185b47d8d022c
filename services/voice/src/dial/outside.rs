//! A SIP address outside, for a `<Dial>`: looked up, judged, called.
//!
//! Picture     start --resolve--> hops that may be called --INVITE--> answered | the next hop | failed
//! Rules       With `voice.sip_targets = "public"` only public addresses are called, and what was judged is what is
//!             called. The name and password of the document answer a challenge.
//! Limits      `sip::locate::HOPS_MAX` addresses; the ring time of the `<Dial>` for all of them.
//! Not here    Our own people and numbers (hunt).
//! Spec        RFC 3261 §19.1.5, RFC 3263, programmable-voice §1.3 (Sip)

use std::net::SocketAddr;

use switchboard::hop::{Hop, Question};
use switchboard::ladder::Lane;
use switchboard::leg::{InvitePlan, LegCommand, LegEvent};
use switchboard::requests::Login;
use switchboard::ring::{Outcome, Plan};
use switchboard::{Effects, Ticket};
use twiml::{Target, Who};
use types::{CallId, Flow, Instant, LegId, Secret, Transport, is_public};

use super::callee::bare;

/// See the head of this file.
#[derive(Debug)]
pub struct Outside {
    state: State,
    /// The INVITE, but for its way.
    plan: InvitePlan,
    web: Option<Vec<u8>>,
    /// Best last.
    hops: Vec<Flow>,
    public_only: bool,
    until: Instant,
    /// The far end has said something.
    heard: bool,
}

#[derive(Debug)]
enum State {
    Done,
    Looking(Ticket),
    Trying { leg: LegId, timer: Ticket },
}

/// Stands where no hop is known yet.
const NOBODY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
/// Stands where a flow is asked for and none is known.
pub fn no_way() -> Flow {
    Hop { transport: Transport::Udp, address: NOBODY, peer: 0 }.flow(0)
}

const NOWHERE: Outcome = Outcome::Failed { status: 404, outcome: "failed", text: None };

impl Outside {
    /// Begins to look it up.
    pub fn start(
        target: &Target,
        plan: &Plan,
        public_only: bool,
        effects: &mut Effects<'_>,
    ) -> (Self, Outcome) {
        let text = match &target.who {
            Who::Sip(text) => bare(text),
            Who::Client(_) | Who::Number(_) => "",
        };
        let login = target.login.as_ref().map(|(user, password)| Login {
            user: user.clone(),
            password: Secret::new(password.clone()),
        });
        let slot = plan.session.slot();
        let invite = InvitePlan {
            session: plan.session,
            // Each hop has its own.
            flow: no_way(),
            uri: text.to_owned(),
            route: String::new(),
            from: plan.from.clone(),
            from_tag: effects.tag(slot),
            to: format!("<{text}>"),
            call_id: effects.call_id(slot),
            cseq: 1,
            max_forwards: plan.max_forwards,
            headers: plan.headers.clone(),
            sdp: plan.offer.clone(),
            beside: None,
            early_offer: false,
            login,
            keys_else: false,
        };
        let until = effects.now() + plan.ring;
        Self::call_up(invite, (plan.offer_web.clone(), public_only, until), effects)
    }

    /// The same for an INVITE that is written already, but for its way.
    pub fn call_up(
        invite: InvitePlan,
        (web, public_only, until): (Option<Vec<u8>>, bool, Instant),
        effects: &mut Effects<'_>,
    ) -> (Self, Outcome) {
        let question = question(&invite.uri);
        let (hops, heard) = (Vec::new(), false);
        let mut outside =
            Self { state: State::Done, plan: invite, web, hops, public_only, until, heard };
        match question {
            Some(question) => {
                outside.state = State::Looking(effects.resolve(question));
                (outside, Outcome::Pending)
            }
            None => (outside, NOWHERE),
        }
    }

    /// What it waits for.
    pub fn tickets(&self) -> Vec<Ticket> {
        match self.state {
            State::Done => Vec::new(),
            State::Looking(ticket) | State::Trying { timer: ticket, .. } => vec![ticket],
        }
    }

    /// Its leg.
    pub fn leg(&self) -> Option<LegId> {
        match self.state {
            State::Trying { leg, .. } => Some(leg),
            State::Done | State::Looking(_) => None,
        }
    }

    /// Where the name leads.
    pub fn resolved(
        &mut self,
        ticket: Ticket,
        found: &Result<Vec<Hop>, String>,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        if !matches!(self.state, State::Looking(known) if known == ticket) {
            return Outcome::Pending;
        }
        let call = CallId(self.plan.session.0);
        let hops = match found {
            Ok(hops) => hops.as_slice(),
            Err(why) => {
                effects.ladder(
                    call,
                    Lane::Note,
                    &format!("{} leads nowhere: {why}", self.plan.uri),
                );
                &[]
            }
        };
        let may = |hop: &&Hop| !self.public_only || is_public(hop.address.ip());
        let fitting: Vec<&Hop> = hops.iter().filter(may).collect();
        if fitting.len() < hops.len() {
            let words =
                "warning 13254: an address that is not public is not called (voice.sip_targets)";
            effects.ladder(call, Lane::Note, words);
        }
        self.hops = fitting.into_iter().rev().filter_map(|hop| effects.way_to(hop)).collect();
        let timer = effects.set_timer(self.until);
        if self.call(timer, effects) {
            return Outcome::Pending;
        }
        effects.cancel_timer(timer);
        self.state = State::Done;
        NOWHERE
    }

    /// Calls the next address. False: there is none.
    fn call(&mut self, timer: Ticket, effects: &mut Effects<'_>) -> bool {
        let Some(flow) = self.hops.pop() else { return false };
        let words = format!("trying {} at {flow:?}", self.plan.uri);
        effects.ladder(CallId(self.plan.session.0), Lane::Note, &words);
        let mut plan = InvitePlan { flow, ..self.plan.clone() };
        if matches!(flow.transport, Transport::Ws | Transport::Wss) && self.web.is_some() {
            plan.sdp.clone_from(&self.web);
        }
        let leg = effects.invite(plan);
        self.state = State::Trying { leg, timer };
        true
    }

    /// Its leg says something.
    pub fn event(&mut self, leg: LegId, event: &LegEvent, effects: &mut Effects<'_>) -> Outcome {
        let State::Trying { leg: own, timer } = self.state else { return Outcome::Pending };
        if own != leg {
            return Outcome::Pending;
        }
        let status = match event {
            LegEvent::Answered { sdp } => return Outcome::Answered { leg, sdp: sdp.clone() },
            LegEvent::Provisional { status, .. } => {
                self.heard = true;
                return Outcome::Progress { status: *status, sdp: None, why: None };
            }
            LegEvent::Failed { status, .. } => *status,
            LegEvent::Ended { .. } => 480,
            LegEvent::Cancelled
            | LegEvent::Changed { .. }
            | LegEvent::ChangeAnswered { .. }
            | LegEvent::Confirmed { .. }
            | LegEvent::Declined { .. }
            | LegEvent::Handed { .. }
            | LegEvent::Offered { .. }
            | LegEvent::Reason { .. }
            | LegEvent::Request { .. }
            | LegEvent::Response(_)
            | LegEvent::Restored => return Outcome::Pending,
        };
        // Nobody was there: the next address may know more.
        if !self.heard && matches!(status, 408 | 503) && self.call(timer, effects) {
            return Outcome::Pending;
        }
        self.stop_clock(effects);
        self.state = State::Done;
        let outcome = match status {
            486 | 600 | 603 => "busy",
            480 | 408 | 487 => "missed",
            _ => "failed",
        };
        Outcome::Failed { status, outcome, text: None }
    }

    /// It rang long enough.
    pub fn timer(&mut self, ticket: Ticket, effects: &mut Effects<'_>) -> Outcome {
        if !matches!(self.state, State::Trying { timer, .. } if timer == ticket) {
            return Outcome::Pending;
        }
        self.cancel(effects);
        Outcome::Failed { status: 480, outcome: "missed", text: None }
    }

    /// Its leg answered: nothing ends it any more.
    pub fn stop_clock(&mut self, effects: &mut Effects<'_>) {
        if let State::Trying { timer, .. } = self.state {
            effects.cancel_timer(timer);
        }
    }

    /// Nobody is wanted there.
    pub fn cancel(&mut self, effects: &mut Effects<'_>) {
        self.stop_clock(effects);
        if let Some(leg) = self.leg() {
            let end = LegCommand::End { status: 487, headers: Vec::new() };
            effects.leg(self.plan.session, leg, end);
        }
        self.state = State::Done;
    }
}

/// Where an address leads, to be looked up.
///
/// Spec: RFC 3263 §4.1, §4.2
fn question(text: &str) -> Option<Question> {
    let uri = sip::Uri::decode(text.as_bytes()).ok()?;
    let secure = match uri.scheme {
        sip::Scheme::Sip => false,
        sip::Scheme::Sips => true,
        sip::Scheme::Other | sip::Scheme::Tel => return None,
    };
    let transport = uri.params.get("transport").map(|value| value.to_ascii_lowercase());
    let transport = match transport.as_deref() {
        None => None,
        Some(b"udp") => Some(Transport::Udp),
        Some(b"tcp") => Some(Transport::Tcp),
        Some(b"tls") => Some(Transport::Tls),
        Some(_) => return None,
    };
    let host = String::from_utf8(uri.host.to_vec()).ok()?;
    Some(Question { host, port: uri.port, transport, secure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_where_they_lead() {
        let found = question("sip:a@b.example:5070;transport=TCP;edge=x").unwrap();
        let Question { host, port, transport, secure } = found;
        assert_eq!(
            (&*host, port, transport, secure),
            ("b.example", Some(5070), Some(Transport::Tcp), false)
        );
        assert!(question("sips:a@b.example").unwrap().secure);
        for odd in ["tel:+1", "", "sip:", "sip:a@b.example;transport=carrier"] {
            assert!(question(odd).is_none(), "{odd}");
        }
    }
}
