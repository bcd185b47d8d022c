//! Calls that are put through by phones: a phone is asked to call somebody else, or asks for that itself.
//!
//! Picture     Refer --REFER, once his ACK came--> Asked --2xx--> Accepted --NOTIFY with a final status--> the program goes on
//!             REFER of one who talks in a `<Dial>` --202, NOTIFY 200--> he is let go, `referUrl` says how it goes on for the other
//! Rules       The subscription that a REFER makes is the dialog's own: its NOTIFYs come to the leg that was asked, and to no
//!             other. A phone that makes none (Refer-Sub: false) is believed when it takes the wish. Who asks to be replaced leaves at
//!             once, since it is the app that says what follows; if the caller asks, who was dialled takes his place.
//! Limits      `REFER_MAX` (program) until the outcome is known; one wish at a time.
//! Not here    What follows (program), plain calls (calls).
//! Spec        RFC 3515 §2.4, RFC 4488, programmable-voice §1.2 (Refer, referUrl), §2

use sip::NameAddr;
use switchboard::leg::{LegCommand, Passed};
use switchboard::service::RequestId;
use switchboard::{Effects, ladder::Lane};
use twiml::{Class, Refer};
use types::{CallId, LegId, SessionId};

use crate::Room;
use crate::act::note;
use crate::call::Call;
use crate::dial::Reach;
use crate::hook::Failure;
use crate::program::{Ask, Event, Referred};

/// The number of our question among those of a leg: it asks nothing else of its own.
const NUMBER: u64 = 1;
/// Octets of an address that an app is told.
const TARGET_MAX: usize = 2_048;

/// A wish that a phone has, or gets with its ACK.
#[derive(Clone, Debug)]
pub struct Referring {
    to: String,
    sent: bool,
    known: Referred,
}

impl Referring {
    /// What an app hears of it when nothing more will come.
    fn outcome(&self) -> Referred {
        let status = match (self.known.answer, self.known.told) {
            (_, Some(told)) if told >= 200 => word(told),
            (Some(answer), _) if answer >= 300 => word(answer),
            (Some(_), _) => "in-progress",
            (None, _) => "failed",
        };
        Referred { status, ..self.known }
    }
}

/// A wish of the program's.
impl Room {
    pub(crate) fn refer(&mut self, session: SessionId, refer: &Refer, effects: &mut Effects<'_>) {
        let now = effects.now();
        let Some(call) = self.calls.get_mut(&session) else { return };
        if !call.is_sip() {
            let sentence = "only a SIP phone can be asked to call somebody else".to_owned();
            let url = call.program.position().0.url.clone();
            return call.tell(Event::Failed(Failure { code: 13801, sentence, url }), now);
        }
        let (to, known) = (refer.to.clone(), Referred::default());
        call.referring = Some(Referring { to, sent: false, known });
        call.send_refer(effects);
    }

    /// Nobody waits any more: what is known is what it came to.
    pub(crate) fn end_refer(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(referring) = call.referring.take() else { return };
        let outcome = match referring.outcome() {
            known if known.told.is_none() => Referred { status: "no-answer", ..known },
            known => known,
        };
        call.program.handle(Event::Referred(outcome), effects.now());
    }

    /// The phone answered to the wish.
    pub(crate) fn refer_answered(
        &mut self,
        session: SessionId,
        answer: &Passed,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(referring) = call.referring.as_mut().filter(|_| answer.number == NUMBER) else {
            return;
        };
        referring.known.answer = Some(answer.status);
        let silent = answer.header("Refer-Sub").is_some_and(|value| value.trim() == "false");
        if answer.status >= 300 || silent {
            self.refer_over(session, effects);
        }
    }

    /// The phone tells how its call goes.
    ///
    /// Spec: RFC 3515 §2.4.5
    pub(crate) fn refer_told(
        &mut self,
        session: SessionId,
        (request, notify): (RequestId, &Passed),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let package = notify.header("Event").unwrap_or_default().split(';').next();
        let status = match (package.map(str::trim), &call.referring) {
            (Some("refer"), Some(_)) => 200,
            (Some("refer"), None) => 481,
            (_, _) => 489,
        };
        let response = Passed::status(status);
        effects.leg(session, call.leg, LegCommand::Respond { request, response });
        let Some(referring) = call.referring.as_mut().filter(|_| status == 200) else { return };
        referring.known.told = line(&notify.body).or(referring.known.told);
        let state = notify.header("Subscription-State").unwrap_or_default();
        let over = state.trim_start().to_ascii_lowercase().starts_with("terminated");
        if over || referring.known.told.is_some_and(|told| told >= 200) {
            self.refer_over(session, effects);
        }
    }

    fn refer_over(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(referring) = call.referring.take() else { return };
        self.drive(session, Event::Referred(referring.outcome()), effects);
    }

    /// The caller is gone: perhaps since he did as he was asked.
    pub(crate) fn leave_refer(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let Some(referring) = call.referring.take() else { return };
        if let Some(hook) = call.program.refer_action() {
            self.tell_hook(call, &hook, referring.outcome().said(), effects);
        }
    }
}

/// Wishes of phones.
impl Room {
    /// One of the two who talk in a `<Dial>` wants the other to talk with somebody else.
    pub(crate) fn phone_refers(
        &mut self,
        session: SessionId,
        (leg, request, refer): (LegId, RequestId, &Passed),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let talks = call
            .dialling
            .as_ref()
            .is_some_and(|dialling| matches!(dialling.reach, Reach::Talking(..)));
        let hook = call.program.dial_that_runs().filter(|_| talks).and_then(|dial| dial.refer);
        let (Some(hook), Some(target)) = (hook, target(refer)) else {
            if talks {
                let words = "a phone wants to put the call through: no `referUrl` says how";
                note(call, (Class::Error, 13802), words, effects);
            }
            let response = Passed::status(603);
            return effects.leg(session, leg, LegCommand::Respond { request, response });
        };
        let silent = refer.header("Refer-Sub").is_some_and(|value| value.trim() == "false");
        let mut response = Passed::status(if silent { 200 } else { 202 });
        if silent {
            response.headers.push(("Refer-Sub".to_owned(), "false".to_owned()));
        }
        effects.leg(session, leg, LegCommand::Respond { request, response });
        if !silent {
            effects.leg(session, leg, LegCommand::Request(Box::new(taken(refer.cseq))));
        }
        self.put_through(session, (leg, hook, target), effects);
    }

    /// Who asked leaves, and the program goes on with the other.
    fn put_through(
        &mut self,
        session: SessionId,
        (leg, hook, target): (LegId, twiml::Hook, String),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let words = format!("a phone wants the call put through to {target}");
        effects.ladder(CallId(session.0), Lane::Note, &words);
        let more = vec![("ReferTransferTarget".to_owned(), target)];
        let ask = Ask { url: hook.url, method: hook.method, more };
        call.program.divert(ask);
        if leg == call.leg
            && let Some(dialling) = &mut call.dialling
            && let Reach::Talking(_, other, _) = &mut dialling.reach
        {
            // Who was dialled takes the caller's place, so that it is the caller who is let go.
            std::mem::swap(&mut call.leg, other);
            std::mem::swap(&mut call.seat, &mut dialling.seat);
            std::mem::swap(&mut call.late, &mut dialling.owes);
            self.end_dial(session, "completed", effects);
            let Some(call) = self.calls.get_mut(&session) else { return };
            call.seat.travel(call.stream, media::Seat::FIRST_GUEST, effects);
            Self::keep(call, effects);
        }
        self.carry(session, effects);
    }
}

impl Call {
    /// Whether its phone speaks SIP, and not by a carrier.
    pub(crate) fn is_sip(&self) -> bool {
        let said = |wanted: &str| {
            let found = self.said.iter().find(|(name, _)| name == wanted);
            found.map_or("", |(_, value)| value.as_str())
        };
        match said("Direction") {
            "outbound-api" => {
                ["client:", "sip:", "sips:"].iter().any(|s| said("To").starts_with(s))
            }
            _ => !said("SipDomain").is_empty(),
        }
    }

    /// His ACK came: what waited for it goes out.
    pub(crate) fn acked(&mut self, effects: &mut Effects<'_>) {
        self.acked = true;
        self.send_refer(effects);
    }

    fn send_refer(&mut self, effects: &mut Effects<'_>) {
        let Some(referring) = self.referring.as_mut().filter(|_| self.acked) else { return };
        if std::mem::replace(&mut referring.sent, true) {
            return;
        }
        let refer = Passed {
            number: NUMBER,
            method: "REFER".to_owned(),
            headers: vec![
                ("Refer-To".to_owned(), format!("<{}>", referring.to)),
                ("Referred-By".to_owned(), format!("<{}>", self.facts.to)),
            ],
            ..Passed::default()
        };
        effects.leg(self.session, self.leg, LegCommand::Request(Box::new(refer)));
    }
}

/// Whom a phone wants to be called, as it wrote it.
fn target(refer: &Passed) -> Option<String> {
    let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("Refer-To");
    let mut fields = refer.headers.iter().filter(named);
    let (Some((_, value)), None) = (fields.next(), fields.next()) else { return None };
    let address = NameAddr::decode(value.as_bytes()).ok()?;
    address.uri().ok()?;
    let uri = String::from_utf8_lossy(address.uri).into_owned();
    (uri.len() <= TARGET_MAX).then_some(uri)
}

/// The app has it in hand: the one NOTIFY that a phone gets whose wish was taken.
///
/// Spec: RFC 3515 §2.4.4
fn taken(cseq: u32) -> Passed {
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Passed {
        method: "NOTIFY".to_owned(),
        headers: vec![
            row("Event", &format!("refer;id={cseq}")),
            row("Subscription-State", "terminated;reason=noresource"),
        ],
        content_type: "message/sipfrag;version=2.0".to_owned(),
        body: b"SIP/2.0 200 OK\r\n".to_vec(),
        ..Passed::default()
    }
}

/// The status in the first line of a message.
fn line(body: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(body.get(..body.len().min(64))?).ok()?;
    let mut words = text.split_ascii_whitespace();
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    (version.eq_ignore_ascii_case("SIP/2.0") && (100..700).contains(&status)).then_some(status)
}

/// The vendor's word for how a call came out.
fn word(status: u16) -> &'static str {
    match status {
        200..=299 => "completed",
        486 | 600 => "busy",
        408 | 480 => "no-answer",
        487 => "canceled",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_phones_tell_is_read() {
        assert_eq!(line(b"SIP/2.0 180 Ringing\r\n"), Some(180));
        assert_eq!(line(b"sip/2.0 486"), Some(486));
        for odd in [&b""[..], b"SIP/2.0", b"SIP/2.0 99999 x", b"HTTP/1.1 200 OK", b"\xff 200"] {
            assert_eq!(line(odd), None);
        }
        let mut rng = types::Rng::from_number(9);
        for _ in 0..2_000 {
            let mut body = b"SIP/2.0 200 OK\r\n".to_vec();
            let place = rng.below(body.len() as u64) as usize;
            body[place] = rng.next_u64() as u8;
            let _ = line(&body);
            let value = String::from_utf8_lossy(&body).into_owned();
            let refer = Passed { headers: vec![("Refer-To".into(), value)], ..Passed::default() };
            let _ = target(&refer);
        }
    }
}
