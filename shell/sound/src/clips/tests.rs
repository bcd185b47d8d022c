use std::f64::consts::TAU;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// What the engine was lent and what it gave back.
#[derive(Clone, Default)]
struct Engine(Arc<Mutex<BTreeMap<ClipId, Clip>>>);

impl Lender for Engine {
    fn lend(&self, id: ClipId, clip: Clip) -> bool {
        lock(&self.0).insert(id, clip);
        true
    }

    fn forget(&self, id: ClipId) {
        lock(&self.0).remove(&id);
    }
}

/// A WAV of one second.
fn tone(hertz: f64) -> Vec<u8> {
    let at = |n: u32| (TAU * hertz * f64::from(n) / 16_000.0).sin() * 4_000.0;
    let samples = (0..16_000).map(|n| at(n) as i16).collect();
    wav::encode(&Decoded { rate: Rate::Wide, samples })
}

fn wait(ask: impl FnOnce(Done)) -> Result<ClipFact, SoundFault> {
    let (told, heard) = mpsc::channel();
    ask(Box::new(move |made| told.send(made).unwrap()));
    heard.recv_timeout(Duration::from_secs(60)).unwrap()
}

#[test]
fn a_file_becomes_one_clip_in_all_forms() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::default();
    let open = || Blobs::open(folder.path()).unwrap();
    let clips = Clips::start(open(), Box::new(engine.clone())).unwrap();
    let fact = wait(|done| clips.file(tone(440.0), false, done)).unwrap();
    assert_eq!(fact.length, Duration::from_secs(1));
    assert_eq!(fact.octets, 32_044);
    let clip = lock(&engine.0).get(&fact.id).cloned().unwrap();
    for rate in Rate::ALL {
        let (form, hertz) = (clip.at(rate), rate.hertz());
        assert_eq!(form.len(), hertz as usize);
        let measured = crate::hear::level(form, 440.0, hertz);
        assert!((measured - 4_000.0).abs() < 60.0, "{hertz}: {measured}");
    }
    // Again, by its content and by its name.
    assert_eq!(wait(|done| clips.file(tone(440.0), false, done)).as_ref(), Ok(&fact));
    assert_eq!(wait(|done| clips.known(fact.id, done)).as_ref(), Ok(&fact));
    let hash = fact.address.strip_prefix("/media/").unwrap().strip_suffix(".wav").unwrap();
    assert_eq!(clips.read(hash).unwrap(), tone(440.0));
    let louder = wait(|done| clips.file(tone(440.0), true, done)).unwrap();
    assert_ne!(louder.id, fact.id);
    // After a restart it is lent again.
    let later = Engine::default();
    let again = Clips::start(open(), Box::new(later.clone())).unwrap();
    assert_eq!(wait(|done| again.known(fact.id, done)).as_ref(), Ok(&fact));
    assert!(lock(&later.0).contains_key(&fact.id));
    // And deleted it is nowhere.
    let listed = again.list("", 10);
    assert_eq!(listed.len(), 2);
    let place = listed.iter().position(|one| one.hash == hash).unwrap();
    assert_eq!(listed[place].address, fact.address);
    assert_eq!((listed[place].octets, listed[place].seconds), (32_044, Some(1.0)));
    assert_eq!(again.list(&listed[0].hash, 10), listed[1..]);
    assert!(again.forget(hash));
    assert!(!again.forget(hash) && !again.forget("nothing"));
    assert!(!lock(&later.0).contains_key(&fact.id));
    assert_eq!(wait(|done| again.known(fact.id, done)), Err(SoundFault::Missing));
}

#[test]
fn what_was_asked_for_longest_ago_makes_room() {
    let engine = Engine::default();
    let memory = 2 * (8_000 + 16_000 + 48_000) * 2; // Two clips of one second.
    let blobs = Blobs::open(blobs::MEMORY).unwrap();
    let lender = Box::new(engine.clone());
    let clips = Clips::start_with(blobs, lender, Bounds::default(), memory).unwrap();
    let make = |hertz: f64| wait(|done| clips.file(tone(hertz), false, done)).unwrap().id;
    let (first, second) = (make(300.0), make(400.0));
    wait(|done| clips.known(first, done)).unwrap();
    let third = make(500.0);
    let held: Vec<ClipId> = lock(&engine.0).keys().copied().collect();
    assert!(held.contains(&first) && held.contains(&third) && held.len() == 2, "{held:?}");
    wait(|done| clips.known(second, done)).unwrap();
    assert!(lock(&engine.0).contains_key(&second));
}

#[test]
fn what_is_no_clip_is_refused_and_the_worker_goes_on() {
    let blobs = Blobs::open(blobs::MEMORY).unwrap();
    let clips = Clips::start(blobs, Box::new(Engine::default())).unwrap();
    let file = |bytes: Vec<u8>| wait(|done| clips.file(bytes, false, done));
    assert_eq!(file(b"<html>".to_vec()), Err(SoundFault::Unsupported));
    assert_eq!(file(vec![0; CLIP_BYTES_MAX + 1]), Err(SoundFault::TooLarge));
    let panics: Maker = Box::new(|| panic!("as a decoder might"));
    let made = wait(|done| clips.make(&clips.pool, source(&[b"x"]), false, panics, done));
    assert_eq!(made, Err(SoundFault::Damaged));
    assert!(file(tone(440.0)).is_ok());
}

#[test]
fn the_same_words_are_spoken_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::speech::{Door, Voices};

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = move |text: &str, voice: &str| {
        count.fetch_add(1, Ordering::Relaxed);
        if voice == "ann" { Ok(tone(text.len() as f64 * 100.0)) } else { Ok(b"<html>".to_vec()) }
    };
    let voices = Voices::new(Door::Server(Arc::new(server)), "ann");
    let blobs = Blobs::open(blobs::MEMORY).unwrap();
    let clips = Clips::start(blobs, Box::new(Engine::default())).unwrap();
    let speak =
        |text: &str, voice: &str| wait(|done| clips.spoken(&voices, text, ("en", voice), done));
    let hello = speak("Hello", "").unwrap();
    assert_eq!(speak("Hello", "ann"), Ok(hello.clone()));
    assert_ne!(speak("Good-bye", "").unwrap().id, hello.id);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // Gone and wanted again: it is spoken again.
    let hash = hello.address.strip_prefix("/media/").unwrap().strip_suffix(".wav").unwrap();
    assert!(clips.forget(hash));
    assert_eq!(speak("Hello", ""), Ok(hello));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert_eq!(speak("Hello", "bob"), Err(SoundFault::Unsupported));
    assert_eq!(speak("", ""), Err(SoundFault::TextBounds));
}
