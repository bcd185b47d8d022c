use super::*;
use crate::decode::{Bounds, decode};

fn words(line: &[&str]) -> Door {
    Door::Command(line.iter().map(|word| (*word).to_owned()).collect())
}

fn seconds(file: Vec<u8>) -> f64 {
    decode(file, &Bounds::default()).unwrap().length().as_secs_f64()
}

#[test]
fn programs_of_the_system_speak() {
    let voices = Voices::new(Door::System, "");
    let speak = |text: &str, language: &str, voice: &str| {
        voices.source(text, language, voice).unwrap();
        voices.speak(text, language, voice).expect("flite and espeak-ng: `cargo xtask install`")
    };
    let short = seconds(speak("Hello.", "", ""));
    let long = seconds(speak("Please hold the line, somebody will be with you soon.", "en-GB", ""));
    assert!((0.2..2.0).contains(&short) && (2.0..8.0).contains(&long), "{short} {long}");
    let german = seconds(speak("Bitte warten Sie einen Augenblick.", "de", ""));
    assert!((1.0..5.0).contains(&german), "{german}");
    // Another voice is another sound; a name that nobody knows is no trouble.
    assert_ne!(speak("Hello.", "en", "rms"), speak("Hello.", "en", "slt"));
    assert_eq!(speak("Hello.", "en", "alice"), speak("Hello.", "en", "slt"));
    // No word of a text is a word of a command line.
    assert!(seconds(speak("-h; $(reboot) `id` -o /tmp/x", "de", "")) > 0.5);
}

#[test]
fn texts_and_names_have_bounds() {
    let voices = Voices::new(Door::System, "slt");
    let source = |text: &str, language: &str, voice: &str| voices.source(text, language, voice);
    for text in ["", "  \n", &"a".repeat(TEXT_MAX + 1)] {
        assert_eq!(source(text, "", ""), Err(SoundFault::TextBounds));
    }
    for name in ["/etc/passwd", "a b", "-v", "http://x", "é", &"a".repeat(65)] {
        assert_eq!(source("Hello", name, ""), Err(SoundFault::NoVoice), "{name}");
        assert_eq!(source("Hello", "", name), Err(SoundFault::NoVoice), "{name}");
    }
    assert_eq!(source("Hello", "", ""), source("Hello", "", "slt"));
    assert_ne!(source("Hello", "en", ""), source("Hello", "de", ""));
    assert_ne!(source("ab", "c", ""), source("a", "bc", ""));
    assert!(voices.speak("Hallo", "xx-nobody", "").is_err());
}

#[test]
fn a_program_of_the_operators_gets_the_text_and_gives_the_sound() {
    let tone = crate::wav::head(8_000, 1, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard");
    let line = format!("cat > {}.{{voice}}.{{language}}; printf 'RIFF'", path.display());
    // A shell, since the operator says so: the text is its input and none of its words.
    let voices = Voices::new(words(&["sh", "-c", &line]), "ann");
    assert_eq!(voices.speak("Hello; exit 1", "en", "").unwrap(), tone[..4]);
    let heard = fs::read_to_string(folder.path().join("heard.ann.en")).unwrap();
    assert_eq!(heard, "Hello; exit 1");
}

#[test]
fn programs_that_fail_are_late_or_never_end_are_left() {
    let fault = |line: &[&str], time: Duration| {
        let voices = Voices { time, ..Voices::new(words(line), "") };
        voices.speak("Hello", "", "").unwrap_err()
    };
    let (soon, late) = (Duration::from_millis(200), Duration::from_secs(60));
    assert_eq!(fault(&["no-such-program-of-voices"], late), SoundFault::NoVoice);
    assert_eq!(fault(&["false"], late), SoundFault::SpeechFailed);
    assert_eq!(fault(&["sleep", "3600"], soon), SoundFault::SpeechFailed);
    assert_eq!(fault(&["yes"], late), SoundFault::SpeechFailed);
    // It closes its output and stays.
    assert_eq!(fault(&["sh", "-c", "exec >&- 2>&-; sleep 3600"], soon), SoundFault::SpeechFailed);
    assert_eq!(fault(&["sh", "-c", "yes >&2"], soon), SoundFault::SpeechFailed);
    let voices = Voices::new(Door::Server(Arc::new(|_, _| Err(SoundFault::SpeechFailed))), "");
    assert_eq!(voices.speak("Hello", "", ""), Err(SoundFault::SpeechFailed));
}
