//! What runs, but hardly as it was meant; and what only a document of another use may say.

use crate::finding::{Class, Finding};
use crate::tree::{Attribute, Element};

/// What a document is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// It has no address of its own: it came with the request that made the call.
    pub inline: bool,
    /// It is played to those who wait.
    pub waiting: bool,
}

/// What may stand in a document for those who wait.
///
/// Spec: programmable-voice §1.3
const WAITING: [&str; 4] = ["Pause", "Play", "Redirect", "Say"];

pub(crate) fn lint(root: &Element, purpose: Use) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut over: Option<&str> = None;
    for verb in root.elements() {
        if let Some(before) = over {
            let sentence =
                format!("<{}> is never reached: <{before}> ends the document.", verb.name);
            findings.push(Finding::hint(verb.place, sentence));
            over = None;
        }
        if purpose.waiting && !WAITING.contains(&&*verb.name) {
            let sentence =
                format!("<{}> may not stand in a document for those who wait.", verb.name);
            findings.push(Finding::new(Class::Error, 13238, verb.place, sentence));
        }
        let action = verb.attribute("action");
        let asks = ["Gather", "Record"].contains(&&*verb.name);
        match action {
            None if asks && purpose.inline => {
                let sentence = format!(
                    "<{}> without an action asks for its own document, which has no address.",
                    verb.name
                );
                findings.push(Finding::new(Class::Error, 15004, verb.place, sentence));
            }
            None if asks => {
                let sentence = format!(
                    "<{}> without an action asks for this document again: an endless loop.",
                    verb.name
                );
                findings.push(Finding::hint(verb.place, sentence));
            }
            Some(action) if asks && purpose.inline && !is_absolute(action) => {
                let sentence = "A relative action of a document without an address.";
                findings.push(Finding::new(Class::Error, 15004, action.place, sentence));
            }
            _ => {}
        }
        let ends = match &*verb.name {
            "Hangup" | "Leave" | "Redirect" | "Reject" => true,
            "Dial" | "Enqueue" => action.is_some_and(|action| !action.value.is_empty()),
            _ => false,
        };
        over = if ends { Some(&verb.name) } else { over };
    }
    findings
}

fn is_absolute(action: &Attribute) -> bool {
    ["http://", "https://"].iter().any(|scheme| action.value.starts_with(scheme))
}
