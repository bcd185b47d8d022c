//! What an answer of an app means.

use twiml::{Class, Document, Play, Say, Sound, Step, Verb};

use super::Answer;

/// The vendor's number, and what is wrong.
type Complaint = (u16, String);

/// A document, what is wrong with it, and what it wants to hear again.
pub(super) type Understood = (Document, Vec<Complaint>, Option<String>);

/// What an answer of an app means, and what is wrong with it; or why it means nothing.
///
/// Spec: programmable-voice §1.1
pub(super) fn read(answer: &Answer) -> Result<Understood, Complaint> {
    let kind = answer.content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let one = |verb| Document { steps: vec![Step { verb, place: twiml::Place::default() }] };
    if kind.starts_with("audio/") {
        let sound = Sound::Url(answer.url.clone());
        return Ok((one(Verb::Play(Play { sound, times: 1 })), Vec::new(), None));
    }
    let known = ["", "application/json", "text/xml", "application/xml", "text/html", "text/plain"];
    if !known.contains(&&*kind) {
        return Err((12300, format!("{kind} is neither a document nor sound")));
    }
    let reading = match &*kind {
        "application/json" => twiml::read_json(&answer.body),
        _ => twiml::read(&answer.body),
    };
    let text = String::from_utf8_lossy(&answer.body);
    let row = |finding: &twiml::Finding| {
        let (line, column) = finding.line_and_column(&text);
        let sentence = format!("{line}:{column} {}", finding.sentence);
        (finding.code.unwrap_or(12200), sentence)
    };
    match reading.document {
        Some(document) => Ok((document, reading.findings.iter().map(row).collect(), reading.state)),
        None if kind == "text/plain" && !text.trim().is_empty() => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let language = "en-US".to_owned();
            let say = Say { text, voice: String::new(), language, times: 1 };
            Ok((one(Verb::Say(say)), Vec::new(), None))
        }
        None => {
            let fatal = reading.findings.iter().find(|finding| finding.class == Class::Error);
            Err(fatal.map(row).unwrap_or((12100, "the document cannot be read".to_owned())))
        }
    }
}
