//! Speech becomes words: by a program of the operator's, or by a server.
//!
//! Picture     a file of speech --> one listener --> words, and how sure they are
//! Rules       No shell reads a word of the file or of its language. What the program or the server said goes no further
//!             than its words. A program that is late is ended, with what it started.
//! Limits      [`LISTEN_TIME_MAX`]; [`WORDS_MAX`] octets of words.
//! Not here    Where speech ends (ear), the HTTP client (the roof gives it).
//! Spec        OpenAI's `/v1/audio/transcriptions` for the form of requests and answers.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use switchboard::{SoundFault, Tongue};

use crate::ear::RATE;
use crate::speech::{Ran, run};
use crate::wav;

/// How long finding words may take.
pub const LISTEN_TIME_MAX: Duration = Duration::from_secs(30);
/// Octets of words of one piece.
pub const WORDS_MAX: usize = 16 * 1024;
/// How sure words are of which nobody said it, of 100.
const SURE: u8 = 90;

/// What somebody said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// As text.
    pub text: String,
    /// How sure, of 100.
    pub confidence: u8,
}

/// A file of what was heard, at [`RATE`].
pub fn file(samples: &[i16]) -> Vec<u8> {
    let octets = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = wav::head(RATE, 1, octets).to_vec();
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Has a program find the words of a file. `{file}`, `{language}` and `{hints}` are filled in; without `{file}` it comes on its
/// input. It writes the words, or JSON with `text` and perhaps `confidence` from 0 to 1. Waits until it has.
pub fn command(words: &[String], file: &[u8], tongue: &Tongue) -> Result<Words, SoundFault> {
    let (program, words) = words.split_first().ok_or(SoundFault::NoListener)?;
    let mut kept =
        tempfile::Builder::new().suffix(".wav").tempfile().map_err(|_| SoundFault::Store)?;
    kept.write_all(file).and_then(|()| kept.flush()).map_err(|_| SoundFault::Store)?;
    let path = kept.path().to_string_lossy().into_owned();
    let named = words.iter().any(|word| word.contains("{file}"));
    let language: String = tongue.language.chars().filter(|c| plain(*c)).collect();
    let fill = |word: &String| {
        let word = word.replace("{file}", &path).replace("{language}", &language);
        word.replace("{hints}", &tongue.hints)
    };
    let input = (!named).then(|| file.to_vec());
    let output = run(Command::new(program).args(words.iter().map(fill)), input, LISTEN_TIME_MAX);
    let output = output.map_err(|ran| match ran {
        Ran::Failed => SoundFault::ListenerFailed,
        Ran::Missing => SoundFault::NoListener,
    })?;
    Ok(read(&String::from_utf8_lossy(&output)))
}

/// The words of an answer.
pub fn read(answer: &str) -> Words {
    let object = serde_json::from_str::<Value>(answer).ok().filter(Value::is_object);
    let text = match &object {
        Some(object) => object.get("text").and_then(Value::as_str).unwrap_or_default(),
        None => answer,
    };
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut end = text.len().min(WORDS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    let confidence = object.as_ref().and_then(|object| object.get("confidence")?.as_f64());
    let percent = confidence.map_or(SURE, |sure| (sure.clamp(0.0, 1.0) * 100.0).round() as u8);
    Words { text, confidence: percent }
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let words = |text: &str, confidence| Words { text: text.into(), confidence };
        assert_eq!(read("two  \n pizzas\n"), words("two pizzas", SURE));
        assert_eq!(read(r#"{"text":" yes "}"#), words("yes", SURE));
        assert_eq!(read(r#"{"text":"no","confidence":0.256}"#), words("no", 26));
        assert_eq!(read(r#"{"words":1}"#), words("", SURE));
        assert_eq!(read(&"ä".repeat(WORDS_MAX)).text.len(), WORDS_MAX);
    }

    #[test]
    fn programs_are_asked() {
        let list = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let tongue = Tongue { language: "en-US; rm".into(), hints: "$(date)".into() };
        let wav = file(&[0; 80]);
        let told = command(&list(&["echo", "{language}", "{hints}"]), &wav, &tongue);
        assert_eq!(told.unwrap().text, "en-USrm $(date)");
        let size = command(&list(&["wc", "-c"]), &wav, &tongue);
        assert_eq!(size.unwrap().text, "204");
        let size = command(&list(&["stat", "-c", "%s", "{file}"]), &wav, &tongue);
        assert_eq!(size.unwrap().text, "204");
        assert_eq!(command(&[], &wav, &tongue), Err(SoundFault::NoListener));
        assert_eq!(
            command(&list(&["no-such-listener"]), &wav, &tongue),
            Err(SoundFault::NoListener)
        );
        assert_eq!(command(&list(&["false"]), &wav, &tongue), Err(SoundFault::ListenerFailed));
    }
}
