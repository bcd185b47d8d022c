//! How many messages wait. Plain text, but it travels with the documents beside it.

use crate::{DOCUMENT_MAX, DecodeError};

/// What waits for somebody.
///
/// Spec: RFC 3842 §5
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// Whether anything new waits.
    pub waiting: bool,
    /// Whose messages.
    pub account: Option<String>,
    /// Of voice.
    pub voice: Option<Waiting>,
    /// Of text.
    pub text: Option<Waiting>,
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Not yet heard or read.
    pub new: u32,
    /// Heard or read, and kept.
    pub old: u32,
    /// The urgent ones of both, if they are told apart.
    pub urgent: Option<(u32, u32)>,
}

impl MessageSummary {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/simple-message-summary";

    /// Reads a summary. Lines of other kinds are left out.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > DOCUMENT_MAX {
            return Err(DecodeError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Encoding)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let mut summary = Self::default();
        match lines.next() {
            Some((name, word)) if name.trim().eq_ignore_ascii_case("Messages-Waiting") => {
                summary.waiting = match word.trim() {
                    word if word.eq_ignore_ascii_case("yes") => true,
                    word if word.eq_ignore_ascii_case("no") => false,
                    _ => return Err(DecodeError::Value("Messages-Waiting")),
                };
            }
            _ => return Err(DecodeError::Missing("Messages-Waiting")),
        }
        for (name, value) in lines {
            match name.trim().to_ascii_lowercase().as_str() {
                "message-account" => summary.account = Some(value.trim().to_owned()),
                "voice-message" => summary.voice = Some(Waiting::read(value, "Voice-Message")?),
                "text-message" => summary.text = Some(Waiting::read(value, "Text-Message")?),
                _ => (),
            }
        }
        Ok(summary)
    }

    /// The summary.
    pub fn encode(&self) -> String {
        let word = if self.waiting { "yes" } else { "no" };
        let mut out = format!("Messages-Waiting: {word}\r\n");
        if let Some(account) = &self.account {
            let account: String = account.chars().filter(|c| !c.is_control()).collect();
            out.push_str(&format!("Message-Account: {}\r\n", account.trim()));
        }
        for (name, waiting) in [("Voice-Message", self.voice), ("Text-Message", self.text)] {
            if let Some(Waiting { new, old, urgent }) = waiting {
                out.push_str(&format!("{name}: {new}/{old}"));
                if let Some((new, old)) = urgent {
                    out.push_str(&format!(" ({new}/{old})"));
                }
                out.push_str("\r\n");
            }
        }
        out
    }
}

impl Waiting {
    /// `2/8` or `2/8 (0/2)`.
    fn read(value: &str, what: &'static str) -> Result<Self, DecodeError> {
        let pair = |text: &str| {
            let (new, old) = text.trim().split_once('/')?;
            Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
        };
        let (counts, urgent) = match value.split_once('(') {
            Some((counts, rest)) => (counts, rest.trim().strip_suffix(')').map(Some)),
            None => (value, Some(None)),
        };
        let read = || {
            let (new, old) = pair(counts)?;
            let urgent = match urgent? {
                Some(text) => Some(pair(text)?),
                None => None,
            };
            Some(Self { new, old, urgent })
        };
        read().ok_or(DecodeError::Value(what))
    }
}
