//! Files against foreign readers, and files that were cut at any octet.

use std::f64::consts::TAU;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use media::{Rate, TapId};

use super::*;
use crate::decode::{Bounds, Decoded, decode};
use crate::hear::level;

fn recording(format: RecordFormat, channels: u8, rate: Rate) -> Recording {
    Recording {
        tap: TapId(1),
        name: "test".to_owned(),
        rate,
        channels,
        format,
        trim: false,
        max: Duration::ZERO,
    }
}

/// A tap that says one tone and hears another.
struct Tap {
    rate: Rate,
    at: u64,
}

impl Tap {
    fn tone(&self, hertz: f64) -> Vec<i16> {
        let step = TAU * hertz / f64::from(self.rate.hertz());
        let at = |n: usize| (step * (self.at + n as u64) as f64).sin() * 8_000.0;
        (0..self.rate.frame()).map(|n| at(n) as i16).collect()
    }

    /// `hertz`: of each channel; 0 is silence.
    fn hear(&mut self, take: &mut Take, hertz: [f64; 2], frames: usize) -> Option<RecordEnd> {
        for _ in 0..frames {
            for (channel, hertz) in (0..).zip(hertz) {
                let over = take.frame(channel, self.at, &self.tone(hertz));
                if over.is_some() {
                    return over;
                }
            }
            self.at += self.rate.frame() as u64;
        }
        None
    }
}

struct Desk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn desk(name: &str) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    Desk { _folder: folder, path }
}

fn output(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(words).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|_| panic!("{program} is needed: `cargo xtask install`"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Both foreign readers agree with us on the length, to a frame of theirs.
fn readers_agree(path: &Path, seconds: f64, channels: u8) {
    let path = path.to_str().unwrap();
    let entries = "stream=channels:format=duration";
    let words = ["-v", "warning", "-show_entries", entries, "-of", "csv=p=0", path];
    let said = output("ffprobe", &words);
    let mut said = said.lines();
    assert_eq!(said.next(), Some(channels.to_string().as_str()));
    let measured: f64 = said.next().unwrap().parse().unwrap();
    assert!((measured - seconds).abs() < 0.02, "ffprobe {measured}, not {seconds}");
    if path.ends_with(".ogg") {
        return opusinfo_agrees(path, seconds);
    }
    let measured: f64 = output("soxi", &["-D", path]).trim().parse().unwrap();
    assert!((measured - seconds).abs() < 0.02, "soxi {measured}, not {seconds}");
    assert_eq!(output("soxi", &["-c", path]).trim(), channels.to_string());
}

/// Debian's sox has no Opus: the makers' own reader has, and complains of every fault of a page.
fn opusinfo_agrees(path: &str, seconds: f64) {
    let said = output("opusinfo", &[path]);
    assert!(!said.to_lowercase().contains("warning"), "{said}");
    let (_, length) = said.split_once("Playback length: ").unwrap();
    let (minutes, rest) = length.split_once("m:").unwrap();
    let (rest, _) = rest.split_once('s').unwrap();
    let measured = minutes.parse::<f64>().unwrap() * 60.0 + rest.parse::<f64>().unwrap();
    assert!((measured - seconds).abs() < 0.02, "opusinfo {measured}, not {seconds}");
}

#[test]
fn foreign_readers_read_every_kind() {
    for format in [RecordFormat::Wav, RecordFormat::OggOpus] {
        for channels in [1, 2] {
            for rate in Rate::ALL {
                let desk = desk(if format == RecordFormat::Wav { "a.wav" } else { "a.ogg" });
                let recording = recording(format, channels, rate);
                let mut take = Take::begin(recording, &desk.path, 7).unwrap();
                let mut tap = Tap { rate, at: 0 };
                // No whole number of pages.
                assert_eq!(tap.hear(&mut take, [440.0, 1_000.0], 113), None);
                let ended = take.end(RecordEnd::Asked).unwrap();
                assert_eq!(ended.length, Duration::from_millis(2_260));
                assert_eq!(ended.end, RecordEnd::Asked);
                readers_agree(&desk.path, 2.26, channels);
                let heard = decode(std::fs::read(&desk.path).unwrap(), &Bounds::default()).unwrap();
                let difference = heard.length().as_secs_f64() - 2.26;
                assert!(difference.abs() < 0.001, "{format:?} {channels} {rate:?}: {difference}");
                for hertz in [440.0, 1_000.0] {
                    let loud = level(&heard.samples, hertz, heard.rate.hertz());
                    let full = if channels == 1 { 8_000.0 } else { 4_000.0 };
                    assert!((loud - full).abs() < full / 8.0, "{format:?} {rate:?}: {loud}");
                }
            }
        }
    }
}

#[test]
fn foreign_readers_read_what_is_kept_of_a_clip() {
    for rate in Rate::ALL {
        let desk = desk("clip.wav");
        let tap = Tap { rate, at: 0 };
        let clip = Decoded { rate, samples: tap.tone(440.0).repeat(55) };
        std::fs::write(&desk.path, crate::wav::encode(&clip)).unwrap();
        readers_agree(&desk.path, 1.1, 1);
    }
}

/// What a WAV of one channel has.
fn heard(path: &Path) -> Decoded {
    crate::wav::decode(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn time_stays_true_where_frames_are_missing_and_pauses_are_left_out() {
    let desk = desk("a.wav");
    let recording = recording(RecordFormat::Wav, 1, Rate::Narrow);
    let mut take = Take::begin(recording, &desk.path, 7).unwrap();
    let mut tap = Tap { rate: Rate::Narrow, at: 320 };
    tap.hear(&mut take, [440.0, 0.0], 50);
    tap.at += 8_000; // A second that never came.
    tap.hear(&mut take, [440.0, 0.0], 50);
    assert_eq!(take.pause(false), None);
    tap.hear(&mut take, [440.0, 0.0], 50);
    take.resume();
    tap.hear(&mut take, [440.0, 0.0], 50);
    // A pause whose time goes on.
    assert_eq!(take.pause(true), None);
    tap.hear(&mut take, [440.0, 0.0], 50);
    take.resume();
    tap.hear(&mut take, [440.0, 0.0], 50);
    let ended = take.end(RecordEnd::Asked).unwrap();
    assert_eq!(ended.length, Duration::from_millis(40 + 6_000));
    let heard = heard(&desk.path);
    assert_eq!(heard.length(), ended.length);
    let level = |from: usize| level(&heard.samples[from..from + 8_000], 440.0, 8_000);
    assert!(level(320) > 7_000.0 && level(8_320) < 10.0 && level(16_320) > 7_000.0);
    assert!(level(24_320) > 7_000.0 && level(32_320) < 10.0 && level(40_320) > 7_000.0);
    assert!(heard.samples[..320].iter().all(|sample| *sample == 0));
}

#[test]
fn silence_is_trimmed_at_both_ends_only() {
    for format in [RecordFormat::Wav, RecordFormat::OggOpus] {
        let desk = desk("a");
        let recording = Recording { trim: true, ..recording(format, 2, Rate::Wide) };
        let mut take = Take::begin(recording.clone(), &desk.path, 7).unwrap();
        let mut tap = Tap { rate: Rate::Wide, at: 0 };
        for hertz in [0.0, 440.0, 0.0, 440.0, 0.0] {
            tap.hear(&mut take, [hertz, 0.0], 100);
        }
        let ended = take.end(RecordEnd::Asked).unwrap();
        assert_eq!(ended.length, Duration::from_millis(6_200), "{format:?}");
        // Nothing but silence leaves nothing.
        let path = desk.path.with_extension("silent");
        let mut take = Take::begin(recording, &path, 7).unwrap();
        tap.hear(&mut take, [0.0, 0.0], 2_000);
        let ended = take.end(RecordEnd::Asked).unwrap();
        assert_eq!((ended.length, ended.loudest), (Duration::ZERO, Some(0)));
    }
}

#[test]
fn it_ends_by_itself_at_its_length_and_forged_times_fill_no_disk() {
    for jump in [0, 1 << 40] {
        let desk = desk("a.wav");
        let max = Duration::from_millis(1_010);
        let recording = Recording { max, ..recording(RecordFormat::Wav, 1, Rate::Narrow) };
        let mut take = Take::begin(recording, &desk.path, 7).unwrap();
        let mut tap = Tap { rate: Rate::Narrow, at: 0 };
        assert_eq!(tap.hear(&mut take, [440.0, 440.0], 10), None);
        tap.at += jump;
        assert_eq!(tap.hear(&mut take, [440.0, 440.0], 100), Some(RecordEnd::Length));
        let ended = take.end(RecordEnd::Length).unwrap();
        assert_eq!((ended.length, ended.end), (max, RecordEnd::Length));
        assert_eq!(heard(&desk.path).length(), max);
    }
}

#[test]
fn whatever_a_killed_process_leaves_can_be_read() {
    for (format, channels) in [(RecordFormat::Wav, 2), (RecordFormat::OggOpus, 1)] {
        let name = if format == RecordFormat::Wav { "a.wav" } else { "a.ogg" };
        let desk = desk(name);
        let recording = recording(format, channels, Rate::Narrow);
        let mut take = Take::begin(recording, &desk.path, 7).unwrap();
        let mut tap = Tap { rate: Rate::Narrow, at: 0 };
        tap.hear(&mut take, [440.0, 0.0], 150);
        // The process ends here: nothing is told, nothing is closed.
        let left = std::fs::read(&desk.path).unwrap();
        drop(take);
        for cut in [0, 1, 2, 3, 101] {
            std::fs::write(&desk.path, &left[..left.len() - cut]).unwrap();
            let ended = mend(&desk.path).unwrap();
            assert_eq!(ended.end, RecordEnd::Interrupted);
            let missing = Duration::from_secs(3) - ended.length;
            assert!(missing <= Duration::from_millis(620), "{format:?}: {missing:?} are missing");
            readers_agree(&desk.path, ended.length.as_secs_f64(), channels);
        }
        for cut in 0..left.len().min(300) {
            std::fs::write(&desk.path, &left[..cut]).unwrap();
            drop(mend(&desk.path));
        }
    }
}

#[test]
fn a_disk_that_takes_no_more_ends_it_and_keeps_what_it_has() {
    for format in [RecordFormat::Wav, RecordFormat::OggOpus] {
        let desk = desk("a");
        let mut take = Take::begin(recording(format, 1, Rate::Narrow), &desk.path, 7).unwrap();
        let mut tap = Tap { rate: Rate::Narrow, at: 0 };
        assert_eq!(tap.hear(&mut take, [440.0, 0.0], 100), None);
        // A file that is not open for writing takes nothing.
        take.file = File::open(&desk.path).unwrap();
        assert_eq!(tap.hear(&mut take, [440.0, 0.0], 100), Some(RecordEnd::Disk));
        assert!(take.end(RecordEnd::Disk).is_err());
        let ended = mend(&desk.path).unwrap();
        let missing = Duration::from_secs(2) - ended.length;
        assert!(missing <= Duration::from_millis(220), "{format:?}: {missing:?}");
    }
}
