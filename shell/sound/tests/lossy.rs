//! A phone two minutes long behind a bad network, recorded: the engine and the recorder in a time of their own.
//!
//! The relay loses 5% of the packets and delays each by up to 60 ms (30 ms about the mean), from one seed.

mod judge;

use std::net::SocketAddr;
use std::time::Duration;

use judge::{Judgement, judge, voice};
use media::g711::Law;
use media::rtp::{Header, Packet};
use media::{Command, Direction, Engine, Rate, Seat, Sound, StreamKey, TapId, Voice};
use sound::take::Take;
use switchboard::{RecordEnd, RecordFormat, Recording};
use types::{BridgeId, Instant, Rng};

const STREAM: StreamKey = StreamKey { bridge: BridgeId(9), index: 0 };
const SEAT: Seat = Seat(2);
const PORT: u16 = 200;
const TAP: TapId = TapId(3);
const SECONDS: usize = 120;
const LOST: u8 = 5;
const JITTER_MAX: u64 = 60_000;
/// What the recorder makes of the voice behind the network.
fn record(sent: &[i16], format: RecordFormat, folder: &std::path::Path) -> Vec<i16> {
    let mut rng = Rng::from_number(530);
    let (mut engine, mut now) = (Engine::new(), Instant::seconds(1));
    let phone: SocketAddr = "198.51.100.1:4000".parse().unwrap();
    let rtcp = SocketAddr::new(phone.ip(), 4_001);
    let sound = Some(Sound::of(Law::Mu.into(), None));
    for command in [
        Command::Admit { stream: STREAM, seat: SEAT, port: PORT },
        Command::Aim { stream: STREAM, seat: SEAT, rtp: phone, rtcp, receives: true },
        Command::Take { stream: STREAM, seat: SEAT, sound, voice: Voice::Nobody, chance: 1 },
        Command::Tap {
            stream: STREAM,
            seat: Some(SEAT),
            tap: TAP,
            rate: Rate::Narrow,
            direction: Direction::In,
        },
    ] {
        engine.command(command, now);
    }
    let recording = Recording {
        tap: TAP,
        name: "lossy".to_owned(),
        rate: Rate::Narrow,
        channels: 1,
        format,
        trim: false,
        max: Duration::ZERO,
    };
    let path = folder.join("recording");
    let mut take = Take::begin(recording, &path, 1).unwrap();
    let mut wire: Vec<(Instant, Vec<u8>)> = Vec::new();
    for ms in 0..SECONDS as u64 * 1_000 {
        if ms % 20 == 0 {
            let place = (ms * 8) as usize;
            let header = Header {
                payload_type: Law::Mu.payload_type(),
                sequence: (ms / 20) as u16,
                timestamp: place as u32,
                ssrc: 7,
                ..Header::default()
            };
            let payload = Law::Mu.encode_all(&sent[place..place + 160]);
            let packet = Packet { header, payload: &payload }.encode();
            let late = Duration::from_micros(rng.below(JITTER_MAX + 1));
            if !rng.percent(LOST) {
                wire.push((now + late, packet));
            }
        }
        for (_, mut packet) in wire.extract_if(.., |(at, _)| *at <= now) {
            engine.packet(PORT, phone, &mut packet, now);
        }
        if engine.deadline().is_some_and(|due| due <= now) {
            engine.tick(now, |_, _, _| ());
        }
        engine.taken(|heard| {
            assert_eq!(take.frame(heard.channel, heard.at, heard.samples), None);
        });
        now = now + Duration::from_millis(1);
    }
    let ended = take.end(RecordEnd::Asked).unwrap();
    let seconds = ended.length.as_secs_f64();
    let off = (seconds / SECONDS as f64 - 1.0).abs();
    assert!(off < 0.002, "{seconds} s of {SECONDS}");
    let heard = sound::decode(std::fs::read(path).unwrap(), &sound::Bounds::default()).unwrap();
    assert!((heard.length().as_secs_f64() - seconds).abs() < 0.001);
    let from = heard.rate;
    match format {
        RecordFormat::Wav => heard.samples,
        // Opus comes back at 48 kHz: every sixth sample, since nothing above 4 kHz is in it.
        RecordFormat::OggOpus => {
            heard.samples.iter().step_by(from.hertz() as usize / 8_000).copied().collect()
        }
    }
}

#[test]
fn a_recording_behind_a_bad_network_is_as_long_as_the_call_and_has_no_long_clicks() {
    let folder = tempfile::tempdir().unwrap();
    let sent = voice(SECONDS);
    let heard = record(&sent, RecordFormat::Wav, folder.path());
    let Judgement { count, bad, longest, score, moved, late } = judge(&heard, &sent, |_| false);
    println!(
        "recorded behind {LOST}% loss and {} ms of jitter: {} s of {SECONDS}, delay {} to {} ms, moved {moved} times, \
         score {score:.4} of 1, {bad} of {count} blocks of 20 ms unlike what was sent, the longest run {longest} ms",
        JITTER_MAX / 2_000,
        heard.len() as f64 / 8_000.0,
        late[0],
        late[1],
    );
    assert!(longest <= 40, "a click of {longest} ms");
    assert!(score > 0.95, "score {score}");
    // Fewer than were lost: most of what is made up cannot be told from what was sent.
    assert!(bad * 100 < count * usize::from(LOST), "{bad} of {count}");
}

#[test]
fn as_ogg_it_is_as_long() {
    let folder = tempfile::tempdir().unwrap();
    let sent = voice(SECONDS);
    let heard = record(&sent, RecordFormat::OggOpus, folder.path());
    let off = (heard.len() as f64 / sent.len() as f64 - 1.0).abs();
    assert!(off < 0.002, "{} of {} samples", heard.len(), sent.len());
}
