//! A decision in words and as JSON.

use serde_json::{Value, json};

use super::{Aim, Cause, Decision, Diverted, Question, Stage, Target, When};
use types::Refuse;

impl Decision {
    /// Why no phone rings: the refusal, or that a program answers instead.
    pub fn no_phone(&self) -> Option<super::Refusal> {
        self.refusal.or_else(|| self.program.is_some().then_some(super::Refusal::NoRoute))
    }

    /// One line per candidate, numbered, for ladders and refusals.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.candidates.iter().enumerate().map(|(place, candidate)| {
            let fits = if candidate.fits { "yes" } else { "no" };
            let (kind, name, why) = (candidate.kind, &candidate.name, &candidate.why);
            format!("{} {kind} \"{name}\" {fits}: {why}", place + 1)
        })
    }

    /// What the API and `carillon route explain --json` say.
    pub fn json(&self, question: &Question) -> Value {
        let candidates: Vec<Value> = self
            .candidates
            .iter()
            .map(|known| {
                json!({"kind": known.kind, "name": known.name, "matched": known.fits, "why": known.why})
            })
            .collect();
        let refusal = self.refusal.map(|refusal| {
            let verdict = refusal.verdict();
            json!({
                "status": verdict.sip,
                "code": verdict.code,
                "number": format!("CAR-{:04}", verdict.number),
                "title": refusal.to_string(),
                "fix": verdict.fix,
            })
        });
        json!({
            "from": question.origin.to_string(),
            "to": question.dialled,
            "at": question.time.to_string(),
            "number": self.dialled.text,
            "emergency": self.dialled.emergency,
            "how": self.dialled.how,
            "candidates": candidates,
            "program": self.program,
            "stages": self.stages.iter().map(Stage::json).collect::<Vec<_>>(),
            "refusal": refusal,
        })
    }
}

impl Stage {
    fn json(&self) -> Value {
        let after =
            self.after.map(|(place, when)| json!({"stage": place + 1, "when": when.word()}));
        let targets: Vec<Value> = self.aims.iter().map(Aim::json).collect();
        json!({"targets": targets, "ring": self.ring, "after": after})
    }
}

impl Aim {
    fn json(&self) -> Value {
        let history: Vec<Value> = self
            .history
            .iter()
            .map(|step| json!({"from": step.from, "to": step.to, "why": step.cause.word()}))
            .collect();
        match &self.target {
            Target::User { name, .. } => json!({"user": name, "history": history}),
            Target::Trunk { name, number, identity, .. } => {
                json!({"trunk": name, "number": number, "identity": identity, "history": history})
            }
        }
    }
}

impl When {
    /// The word of the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::NoAnswer => "no_answer",
            Self::TrunkFailed => "trunk_failed",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Cause {
    /// The word of Diversion.
    ///
    /// Spec: RFC 5806 §4
    pub const fn word(self) -> &'static str {
        match self {
            Self::Always => "unconditional",
            Self::Busy => "user-busy",
            Self::DoNotDisturb => "do-not-disturb",
            Self::NoAnswer => "no-answer",
            Self::Unreachable => "unavailable",
        }
    }

    /// The cause of a History-Info entry.
    ///
    /// Spec: RFC 4458 §2
    const fn number(self) -> u16 {
        match self {
            Self::Always => 302,
            Self::Busy | Self::DoNotDisturb => 486,
            Self::NoAnswer => 408,
            Self::Unreachable => 503,
        }
    }
}

/// History-Info and Diversion of a call with these forwardings behind it. `address`: the URI of a user.
///
/// Spec: RFC 7044 §5, RFC 5806 §4
pub(crate) fn headers(
    history: &[Diverted],
    to: &str,
    address: impl Fn(&str) -> String,
) -> Vec<(String, String)> {
    if history.is_empty() {
        return Vec::new();
    }
    let mut entries = Vec::new();
    let mut index = "1".to_owned();
    let mut cause = None;
    let mut index_before = String::new();
    let goals = history.iter().map(|step| step.from.as_str()).chain(std::iter::once(to));
    for (place, goal) in goals.enumerate() {
        let reason =
            cause.map_or(String::new(), |cause: Cause| format!(";cause={}", cause.number()));
        let mapped = if place == 0 { String::new() } else { format!(";mp={index_before}") };
        entries.push(format!("<{}{reason}>;index={index}{mapped}", address(goal)));
        cause = history.get(place).map(|step| step.cause);
        index_before.clone_from(&index);
        index.push_str(".1");
    }
    let mut headers = vec![("History-Info".to_owned(), entries.join(", "))];
    // The latest stands first.
    for step in history.iter().rev() {
        let value = format!("<{}>;reason={};counter=1", address(&step.from), step.cause.word());
        headers.push(("Diversion".to_owned(), value));
    }
    headers
}
