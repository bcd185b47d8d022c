//! Whether a person or a machine answered: of calls that apps make, and of those whom a `<Dial>` reaches.
//!
//! Picture     answer --tap--> judge --Answered--> AnsweredBy: in the first question (it waited) | at the callback
//! Rules       A call that an app makes waits for it with its first question, unless the app says otherwise. A `<Dial>` never
//!             waits: the two talk, and the callback hears who it was. What a restart interrupts is `unknown`; of a `<Dial>` it is not told.
//! Limits      The time-out of the wish, 60 seconds at most.
//! Not here    Telling them apart (media::machine), sound (shell).
//! Spec        programmable-voice §1.3 (machineDetection), §2 (AMD callback), §6.2 (MachineDetection)

use std::time::Duration;

use media::machine::Answerer;
use media::{Command, Direction, Rate, TapId};
use switchboard::{Effects, Hearing, JudgePlan, Ticket};
use twiml::{Class, Hook, Machine, Method};
use types::{SessionId, tagged};

use crate::Room;
use crate::act::note;
use crate::call::{Call, read_hook, write_hook};
use crate::hook::Question;
use crate::rest::ask::Ask;
use crate::rest::outgoing::{hook, method};
use crate::rest::say::No;
use crate::socket::Kind;
use crate::told::pairs;

/// Somebody listens to who answered.
#[derive(Clone, Debug)]
pub struct Judging {
    tap: TapId,
    ticket: Ticket,
    whose: Whose,
    hook: Option<Hook>,
}

/// Who answered what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One whom a `<Dial>` reached, by his place.
    Callee(usize),
    /// The call that an app makes; whether its program waits for it.
    Call {
        /// Its first question has to say who it was.
        waits: bool,
    },
}

/// What a request says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How it is found out, and who hears of it.
    pub machine: Machine,
    /// The program waits for it.
    pub waits: bool,
    /// What was wrong with it: the vendor's number, and a sentence.
    pub warnings: Vec<(u16, String)>,
}

impl Wish {
    /// Reads what `POST /Calls` says of machine detection; `None`: nothing.
    ///
    /// Spec: programmable-voice §5 (21234, 21262, 21263), §6.2
    pub fn read(ask: &Ask) -> Result<Option<Self>, No> {
        let Some(word) = ask.text("MachineDetection") else { return Ok(None) };
        let to_end = match word {
            "Enable" => false,
            "DetectMessageEnd" => true,
            other => {
                let words = format!(
                    "MachineDetection is {other}, and should be Enable or DetectMessageEnd"
                );
                return Err(No::invalid(21234, words));
            }
        };
        let mut warnings = Vec::new();
        let mut millis = |name: &str, (low, usual, high): (u64, u64, u64), unit: u64| {
            let given = ask.text(name);
            let found = given.and_then(|text| text.parse::<u64>().ok());
            let fits = found.filter(|number| (low..=high).contains(number));
            if given.is_some() && fits.is_none() {
                let words = format!("{name} takes a number from {low} to {high}; {usual} is used");
                warnings.push((21263, words));
            }
            Duration::from_millis(fits.unwrap_or(usual) * unit)
        };
        let timeout = millis("MachineDetectionTimeout", (3, 30, 60), 1_000);
        let speech = millis("MachineDetectionSpeechThreshold", (1_000, 2_400, 6_000), 1);
        let pause = millis("MachineDetectionSpeechEndThreshold", (500, 1_200, 5_000), 1);
        let silence = millis("MachineDetectionSilenceTimeout", (2_000, 5_000, 10_000), 1);
        let apart = ask.text("AsyncAmd").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        let url = ask.text("AsyncAmdStatusCallback");
        let told = url.map(|url| hook(url, method(ask, "AsyncAmdStatusCallbackMethod")?));
        let told = told.transpose()?;
        if apart && told.is_none() {
            let words = "AsyncAmd without AsyncAmdStatusCallback: nobody is told".to_owned();
            warnings.push((21262, words));
        }
        let told = told.filter(|_| apart);
        let machine = Machine { to_end, timeout, speech, pause, silence, told };
        Ok(Some(Self { machine, waits: !apart, warnings }))
    }
}

impl Room {
    /// Begins to listen to who answered.
    pub(crate) fn judge(
        &mut self,
        session: SessionId,
        (machine, whose): (&Machine, Whose),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let seat = match (whose, &call.dialling) {
            (Whose::Callee(_), Some(dialling)) => &dialling.seat,
            (Whose::Callee(_), None) => return,
            (Whose::Call { .. }, _) => &call.seat,
        };
        let (stream, seat) = (seat.stream(), Some(seat.place()));
        let tap = TapId(effects.rng().next_u64());
        let (rate, direction) = (Rate::Narrow, Direction::In);
        effects.media(Command::Tap { stream, seat, tap, rate, direction });
        let Machine { to_end, timeout, speech, pause, silence, ref told } = *machine;
        let terms = media::machine::Terms { to_end, timeout, speech, pause, silence };
        let ticket = effects.judge(JudgePlan { tap, terms });
        self.tickets.insert(ticket, session);
        call.judging.push(Judging { tap, ticket, whose, hook: told.clone() });
    }

    /// It is known who answered. False: the answer is for somebody else.
    pub(crate) fn judged(
        &mut self,
        session: SessionId,
        (ticket, hearing): (Ticket, &Hearing),
        effects: &mut Effects<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&session) else { return false };
        let place = call.judging.iter().position(|judging| judging.ticket == ticket);
        let Some(judging) = place.map(|place| call.judging.remove(place)) else { return false };
        effects.media(Command::Untap { tap: judging.tap });
        let (by, after) = match hearing {
            Hearing::Answered { by, after } => (*by, *after),
            // Too many listen, or its sound ended.
            Hearing::Began { .. } | Hearing::Failed(_) | Hearing::Over | Hearing::Words { .. } => {
                (Answerer::Unknown, Duration::ZERO)
            }
        };
        let found = pairs([
            ("AnsweredBy", word(by).to_owned()),
            ("MachineDetectionDuration", after.as_millis().to_string()),
        ]);
        self.answered_by(session, &judging, found, effects);
        true
    }

    fn answered_by(
        &mut self,
        session: SessionId,
        judging: &Judging,
        found: Vec<(String, String)>,
        effects: &mut Effects<'_>,
    ) {
        let Some(mut call) = self.calls.remove(&session) else { return };
        match judging.whose {
            Whose::Call { .. } => {
                if let Some(hook) = &judging.hook {
                    self.tell_hook(&call, hook, found.clone(), effects);
                }
                call.said.extend(found);
                Self::keep(&call, effects);
            }
            Whose::Callee(place) => {
                let parent = call.said.clone();
                let callees = call.dialling.as_mut().map(|dialling| &mut dialling.callees);
                if let Some(callee) = callees.and_then(|callees| callees.get_mut(place)) {
                    let by = found.first().map(|(_, value)| value.clone());
                    callee.answered_by = by.unwrap_or_default();
                    let mut parameters = callee.said(&parent);
                    parameters.push(("CallStatus".to_owned(), "in-progress".to_owned()));
                    parameters.extend(found);
                    if let Some(Hook { url, method }) = judging.hook.clone() {
                        let kind = Kind::Status;
                        let question = Question { url, method, parameters, kind };
                        self.tell(session, &call.jar, question, effects);
                    }
                }
            }
        }
        self.calls.insert(session, call);
        self.carry(session, effects);
    }

    /// Nobody listens any more to whom a `<Dial>` reached.
    pub(crate) fn forget_judged(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        let of_dial = |judging: &Judging| matches!(judging.whose, Whose::Callee(_));
        let (gone, left) = std::mem::take(&mut call.judging).into_iter().partition(of_dial);
        let gone: Vec<Judging> = gone;
        call.judging = left;
        for judging in gone {
            self.tickets.remove(&judging.ticket);
            effects.media(Command::Untap { tap: judging.tap });
        }
    }

    /// After a restart nobody knows who it was.
    pub(crate) fn unjudged(
        &mut self,
        session: SessionId,
        judging: Option<Judging>,
        effects: &mut Effects<'_>,
    ) {
        let Some(judging) = judging else { return };
        let found = pairs([("AnsweredBy", word(Answerer::Unknown).to_owned())]);
        self.answered_by(session, &judging, found, effects);
    }

    /// What was wrong with a wish is told with the call.
    pub(crate) fn complain_of_wish(
        &mut self,
        session: SessionId,
        wish: &Wish,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        for (code, sentence) in &wish.warnings {
            note(call, (Class::Warning, *code), sentence, effects);
        }
    }
}

impl Call {
    /// Whether its program waits until it is known who answered.
    pub(crate) fn is_judged(&self) -> bool {
        self.judging.iter().any(|judging| judging.whose == Whose::Call { waits: true })
    }

    /// What it waits for.
    pub(crate) fn judging_tickets(&self) -> impl Iterator<Item = Ticket> {
        self.judging.iter().map(|judging| judging.ticket)
    }
}

impl Judging {
    /// As tagged fields: what is told when it was interrupted.
    pub fn write(all: &[Self], tag: u8, writer: &mut tagged::Writer) {
        let of_call = |judging: &&Self| matches!(judging.whose, Whose::Call { .. });
        if let Some(judging) = all.iter().find(of_call) {
            writer.nested(tag, |writer| {
                if let Some(hook) = &judging.hook {
                    writer.nested(1, |writer| write_hook(hook, writer));
                }
            });
        }
    }

    /// What [`write`](Self::write) wrote.
    pub fn read(bytes: &[u8]) -> Self {
        let (tap, ticket) = (TapId(0), Ticket::default());
        let mut judging = Self { tap, ticket, whose: Whose::Call { waits: false }, hook: None };
        // Others are fields of a newer version.
        let hook = tagged::Reader::new(bytes).find(|(tag, _)| *tag == 1);
        judging.hook = hook.map(|(_, field)| read_hook(field.0));
        judging
    }
}

/// A document that asks for the first one: what waits may be interrupted, and a document is what is kept.
pub(crate) fn asking(hook: &Hook) -> String {
    let method = if hook.method == Method::Get { "GET" } else { "POST" };
    let url = hook.url.replace('&', "&amp;").replace('<', "&lt;");
    format!("<Response><Redirect method=\"{method}\">{url}</Redirect></Response>")
}

/// The vendor's word.
///
/// Spec: programmable-voice §2 (AMD callback)
fn word(by: Answerer) -> &'static str {
    match by {
        Answerer::Fax => "fax",
        Answerer::Human => "human",
        Answerer::MachineEndBeep => "machine_end_beep",
        Answerer::MachineEndOther => "machine_end_other",
        Answerer::MachineEndSilence => "machine_end_silence",
        Answerer::MachineStart => "machine_start",
        Answerer::Unknown => "unknown",
    }
}
