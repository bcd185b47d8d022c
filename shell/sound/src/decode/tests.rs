//! Files of every format that ffmpeg makes here, whole, cut, forged, and made to be slow.

use std::process::{Command, Stdio};

use types::Rng;

use super::*;
use crate::hear::level;

/// Formats: name of the file, what ffmpeg is told beyond it.
const FORMATS: &[(&str, &[&str])] = &[
    ("wav", &["-c:a", "pcm_s16le"]),
    ("wav", &["-c:a", "pcm_f32le"]),
    ("wav", &["-c:a", "pcm_mulaw", "-ar", "8000"]),
    ("wav", &["-c:a", "pcm_alaw", "-ar", "8000"]),
    // Its blocks are filled up: small ones keep what is added short.
    ("wav", &["-c:a", "adpcm_ima_wav", "-block_size", "256"]),
    ("mp3", &["-c:a", "libmp3lame", "-b:a", "64k"]),
    ("mp3", &["-c:a", "libmp3lame", "-q:a", "4", "-ar", "22050"]),
    ("ogg", &["-c:a", "libvorbis"]),
    ("ogg", &["-c:a", "libopus"]),
    ("flac", &["-c:a", "flac"]),
    ("m4a", &["-c:a", "aac"]),
    ("m4a", &["-c:a", "aac", "-movflags", "+faststart", "-ar", "48000"]),
];

/// How long the files are: no number of any format's frames.
const SECONDS: f64 = 1.5;
const TONE: f64 = 700.0;

/// Two channels at 44.1 kHz with a sine, as a file.
fn file(name: &str, more: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("tone.{name}"));
    let sine = format!("sine=frequency={TONE}:sample_rate=44100:duration={SECONDS}");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &sine, "-ac", "2"])
        .args(more)
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is needed: `cargo xtask install`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).unwrap()
}

fn is_about(decoded: &Decoded, seconds: f64, what: &str) {
    let difference = decoded.length().as_secs_f64() - seconds;
    assert!(difference.abs() <= 0.02, "{what}: {difference} s too long");
}

#[test]
fn every_format_plays_as_long_and_as_high_as_it_should() {
    for (name, more) in FORMATS {
        let what = format!("{name} {more:?}");
        let decoded = decode(file(name, more), &Bounds::default()).expect(&what);
        is_about(&decoded, SECONDS, &what);
        let hertz = decoded.rate.hertz();
        let loud = level(&decoded.samples, TONE, hertz);
        let second = level(&decoded.samples, 2.0 * TONE, hertz);
        assert!((2_500.0..3_300.0).contains(&loud), "{what}: {loud}");
        assert!(second < loud / 20.0, "{what}: {second} beside {loud}");
        assert!(level(&decoded.samples, TONE * 1.03, hertz) < loud / 10.0, "{what}: pitch");
    }
}

#[test]
fn what_is_cut_or_lies_is_refused() {
    let cut = |mut bytes: Vec<u8>, share: f64| {
        bytes.truncate((bytes.len() as f64 * share) as usize);
        decode(bytes, &Bounds::default())
    };
    assert_eq!(cut(file("wav", &[]), 0.5), Err(SoundFault::CutOff));
    assert_eq!(cut(file("flac", &[]), 0.5), Err(SoundFault::CutOff));
    // The index of an MP4 stands at its end.
    assert!(cut(file("m4a", &[]), 0.5).is_err());
    let fast = ["-movflags", "+faststart"];
    assert_eq!(cut(file("m4a", &fast), 0.5), Err(SoundFault::CutOff));
    for name in ["wav", "flac", "m4a", "mp3", "ogg"] {
        assert!(cut(file(name, &[]), 0.01).is_err(), "{name}");
    }
    // A stream that broke off is as long as it is: Ogg says nothing of its length before its end.
    let ogg = cut(file("ogg", &["-c:a", "libopus", "-page_duration", "20000"]), 0.5).unwrap();
    assert!((0.3..1.2).contains(&ogg.length().as_secs_f64()), "{:?}", ogg.length());
    // A header that names a day.
    let mut wav = crate::wav::head(8_000, 1, 8_000 * 2 * 86_400).to_vec();
    wav.extend([0; 16_000]);
    assert_eq!(decode(wav, &Bounds::default()), Err(SoundFault::CutOff));
    let mut wav = crate::wav::head(8_000, 1, u32::MAX).to_vec();
    wav.extend([0; 16_000]);
    is_about(&decode(wav, &Bounds::default()).unwrap(), 1.0, "an open length");
    for (bytes, fault) in [
        (&b""[..], SoundFault::Unsupported),
        (b"<!doctype html>", SoundFault::Unsupported),
        (b"RIFF\0\0\0\0WAVE", SoundFault::Damaged),
        (b"\xff\xd8\xff\xe0 a picture", SoundFault::Unsupported),
    ] {
        let refused = decode(bytes.to_vec(), &Bounds::default());
        assert!(refused == Err(fault) || refused == Err(SoundFault::CutOff), "{refused:?}");
    }
}

#[test]
fn files_that_grow_when_decoded_are_stopped() {
    // A day of silence in a few hundred kilobytes, which says nothing of its length.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.flac");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "1200"])
        .args(["-c:a", "flac"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is needed: `cargo xtask install`");
    assert!(output.status.success());
    let mut long = std::fs::read(path).unwrap();
    assert_eq!(decode(long.clone(), &Bounds::default()), Err(SoundFault::TooLong));
    // STREAMINFO has 36 bits for the samples, from the 22nd octet: 0 says that nobody knows.
    long[21] &= 0xf0;
    long[22..26].fill(0);
    assert_eq!(decode(long.clone(), &Bounds::default()), Err(SoundFault::TooLong));
    let hurry = Bounds { time: Duration::ZERO, ..Bounds::default() };
    assert_eq!(decode(long, &hurry), Err(SoundFault::TooLate));
}

#[test]
fn forged_files_never_panic_and_never_hang() {
    let mut rng = Rng::from_number(22);
    let bounds = Bounds { length: Duration::from_secs(4), time: Duration::from_secs(10) };
    let mut refused = 0;
    for (name, more) in FORMATS {
        let whole = file(name, more);
        for _ in 0..60 {
            let mut bad = whole.clone();
            for _ in 0..=rng.below(8) {
                // Most of what can go wrong stands in the head.
                let reach = if rng.below(3) == 0 { bad.len() } else { bad.len().min(300) };
                let place = rng.below(reach as u64) as usize;
                bad[place] = rng.below(256) as u8;
            }
            if rng.below(4) == 0 {
                bad.truncate(rng.below(bad.len() as u64) as usize);
            }
            match decode(bad, &bounds) {
                Ok(decoded) => assert!(decoded.length() <= bounds.length),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused}");
}
