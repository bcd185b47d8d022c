use std::sync::mpsc::{Receiver, channel};

use blobs::Blobs;
use media::{Clip, ClipId, Rate};

use super::*;
use crate::clips::Lender;

/// Nothing is played here.
struct Nobody;

impl Lender for Nobody {
    fn lend(&self, _id: ClipId, _clip: Clip) -> bool {
        true
    }

    fn forget(&self, _id: ClipId) {}
}

const WAIT_MAX: Duration = Duration::from_secs(60);

fn start(folder: &Path) -> (Clips, Recorder) {
    let clips = Clips::start(Blobs::open(folder).unwrap(), Box::new(Nobody)).unwrap();
    let recorder = Recorder::start(&clips).unwrap();
    (clips, recorder)
}

fn recording(tap: u64, format: RecordFormat) -> Recording {
    Recording {
        tap: TapId(tap),
        name: format!("test_{tap}"),
        rate: Rate::Narrow,
        channels: 1,
        format,
        trim: false,
        max: Duration::ZERO,
    }
}

type Answer = Receiver<Result<RecordedFact, SoundFault>>;

fn answer() -> (Done, Answer) {
    let (told, heard) = channel();
    (Box::new(move |recorded| told.send(recorded).unwrap()), heard)
}

fn play(sink: &mut Sink, tap: u64, frames: u64) {
    for frame in 0..frames {
        sink(Heard { tap: TapId(tap), channel: 0, at: frame * 160, samples: &[1_000; 160] });
    }
}

#[test]
fn recordings_end_when_they_are_told_or_their_tap_does() {
    for place in ["folder", blobs::MEMORY] {
        let folder = tempfile::tempdir().unwrap();
        let place = if place == "folder" { folder.path().to_owned() } else { place.into() };
        let (clips, recorder) = start(&place);
        for (tap, format) in [(1, RecordFormat::Wav), (2, RecordFormat::OggOpus)] {
            let (done, heard) = answer();
            recorder.begin(recording(tap, format), done);
            let mut sink = recorder.sink(TapId(tap));
            play(&mut sink, tap, 50);
            if tap == 1 {
                recorder.finish(TapId(tap));
            } else {
                drop(sink);
            }
            let fact = heard.recv_timeout(WAIT_MAX).unwrap().unwrap();
            assert_eq!(fact.length, Duration::from_secs(1));
            assert_eq!((fact.loudest, fact.end), (Some(1_000), RecordEnd::Asked));
            let file = clips.read(&fact.hash).unwrap();
            assert_eq!(file.len() as u64, fact.octets);
            let (begins, kind) = if tap == 1 { (b"RIFF", "wav") } else { (b"OggS", "ogg") };
            assert!(file.starts_with(begins) && fact.address.ends_with(kind));
            assert!(clips.list("", 10).iter().any(|one| one.hash == fact.hash));
            // Its name is known for a while.
            let (done, heard) = answer();
            recorder.recovered(&format!("test_{tap}"), done);
            assert_eq!(heard.recv_timeout(WAIT_MAX).unwrap(), Ok(fact));
        }
        assert_eq!((recorder.going(), recorder.lost()), (0, 0));
    }
}

#[test]
fn what_the_process_did_not_end_is_mended_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (_, recorder) = start(folder.path());
    let (done, heard) = answer();
    recorder.begin(recording(1, RecordFormat::Wav), done);
    let mut sink = recorder.sink(TapId(1));
    play(&mut sink, 1, 100);
    drop(recorder);
    assert!(heard.recv_timeout(WAIT_MAX).is_err(), "nobody ended it");
    let (clips, recorder) = start(folder.path());
    for (name, found) in [("test_1", true), ("test_1", true), ("test_2", false), ("../a", false)] {
        let (done, heard) = answer();
        recorder.recovered(name, done);
        let recovered = heard.recv_timeout(WAIT_MAX).unwrap();
        if found {
            let fact = recovered.unwrap();
            assert_eq!(fact.end, RecordEnd::Interrupted);
            assert_eq!(fact.length, Duration::from_millis(1_980), "the last frame was not whole");
            assert!(clips.read(&fact.hash).is_some());
        } else {
            assert_eq!(recovered, Err(SoundFault::Missing));
        }
    }
}

#[test]
fn what_nobody_asks_for_is_swept_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (clips, _) = start(folder.path());
    let home = clips.blobs().folder().unwrap().join(FOLDER);
    let day = Duration::from_secs(86_400);
    for (name, age, stays) in [
        ("old.wav", UNCLAIMED_FOR + day, false),
        ("old.ogg", UNCLAIMED_FOR + day, false),
        ("old.kept", KEPT_FOR + day, false),
        ("old.else", UNCLAIMED_FOR + day, true),
        ("new.wav", UNCLAIMED_FOR - day, true),
        ("new.kept", KEPT_FOR - day, true),
    ] {
        let path = home.join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
        drop(start(folder.path()));
        assert_eq!(path.exists(), stays, "{name}");
    }
}

#[test]
fn what_cannot_begin_is_refused_and_a_full_queue_loses_frames_only() {
    let folder = tempfile::tempdir().unwrap();
    let (_, recorder) = start(folder.path());
    let refused = |recording: Recording| {
        let (done, heard) = answer();
        recorder.begin(recording, done);
        heard.recv_timeout(WAIT_MAX).unwrap()
    };
    let bad = Recording { name: "../x".to_owned(), ..recording(1, RecordFormat::Wav) };
    assert_eq!(refused(bad), Err(SoundFault::Missing));
    let (done, _heard) = answer();
    recorder.begin(recording(1, RecordFormat::Wav), done);
    assert_eq!(refused(recording(1, RecordFormat::Wav)), Err(SoundFault::Store), "a name twice");
    let twice = Recording { name: "other".to_owned(), ..recording(1, RecordFormat::Wav) };
    assert_eq!(refused(twice), Err(SoundFault::Store), "a tap twice");
    let queue = Queue::default();
    let frame = || Taken { channel: 0, at: 0, samples: Vec::new() };
    let taken = (0..FRAMES_MAX + 5).filter(|_| queue.frame(TapId(1), frame())).count();
    assert_eq!(taken, FRAMES_MAX);
    queue.order(Order::Finish(TapId(1)));
    assert_eq!(queue.take().len(), FRAMES_MAX + 1);
}
