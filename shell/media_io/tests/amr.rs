//! AMR by the libraries of the system: what we write is heard by us and by ffmpeg, and calls are turned to and from it.
#![allow(unsafe_code, reason = "a counting allocator can only be written with it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::f64::consts::TAU;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;

use media::amr::Amr;
use media::g711::Law;
use media::rtp::{Header, Packet};
use media::{
    Codec, Coders, Command, Decoder, Encoder, Engine, Format, PACKET_MAX, PAYLOAD_MAX, Rate, Seat,
    Sound, StreamKey, Voice,
};
use types::{BridgeId, Instant};

struct Counting;

std::thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a number of this thread alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TONE: f64 = 700.0;

fn coders() -> Coders {
    let found = media_io::Amr::open();
    let needs = "`apt-get install libopencore-amrnb0 libopencore-amrwb0 libvo-amrwbenc0`";
    assert!(found.has(false) && found.has(true), "{found:?}: this test needs {needs}");
    Coders::with_amr(Arc::new(found))
}

fn forms() -> [Amr; 4] {
    let form = |wide, aligned| Amr { wide, aligned, modes: u16::MAX };
    [form(false, false), form(false, true), form(true, false), form(true, true)]
}

fn tone(rate: Rate, pitch: f64, frames: usize) -> Vec<i16> {
    let at = |n: usize| (TAU * pitch * n as f64 / f64::from(rate.hertz())).sin() * 8000.0;
    (0..frames * rate.frame()).map(|n| at(n) as i16).collect()
}

/// How loud a pitch is.
fn level(pcm: &[i16], pitch: f64, rate: Rate) -> f64 {
    let step = TAU * pitch / f64::from(rate.hertz());
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (place, sample) in pcm.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * place as f64 / pcm.len() as f64).cos();
        sine += (step * place as f64).sin() * window * f64::from(*sample);
        cosine += (step * place as f64).cos() * window * f64::from(*sample);
    }
    4.0 * (sine * sine + cosine * cosine).sqrt() / pcm.len() as f64
}

#[track_caller]
fn assert_tone(pcm: &[i16], pitch: f64, rate: Rate) {
    let (own, other) = (level(pcm, pitch, rate), level(pcm, pitch * 2.3, rate));
    assert!((5000.0..10_500.0).contains(&own) && other < 500.0, "{own} {other}");
}

fn payloads(encoder: &mut Encoder, frames: usize) -> Vec<Vec<u8>> {
    let rate = encoder.rate();
    let sound = tone(rate, TONE, frames);
    let each = sound.chunks(rate.frame()).map(|frame| {
        let mut payload = [0; PAYLOAD_MAX];
        let octets = encoder.encode(frame, &mut payload);
        payload[..octets].to_vec()
    });
    each.collect()
}

fn decode(decoder: &mut Decoder, payloads: &[Vec<u8>]) -> Vec<i16> {
    let mut room = [0; PACKET_MAX];
    let each = payloads.iter().map(|payload| decoder.decode(payload, &mut room).unwrap().to_vec());
    each.collect::<Vec<_>>().concat()
}

#[test]
fn a_tone_is_heard_in_every_form_and_every_mode() {
    let coders = coders();
    for form in forms() {
        for mode in 0..if form.wide { 9 } else { 8 } {
            let codec = Codec::Amr(Amr { modes: 1 << mode, ..form });
            let mut encoder = coders.encoder(codec, Rate::Full).unwrap();
            let mut decoder = coders.decoder(codec, Rate::Full).unwrap();
            assert_eq!((encoder.rate(), decoder.rate()), (form.rate(), form.rate()));
            let payloads = payloads(&mut encoder, 50);
            assert!(payloads.iter().all(|payload| codec.ticks(payload) == Some(codec.pace())));
            let heard = decode(&mut decoder, &payloads);
            assert_eq!(heard.len(), 50 * form.rate().frame());
            let heard = &heard[heard.len() / 5..];
            let own = level(heard, TONE, form.rate());
            assert!((4000.0..11_000.0).contains(&own), "{form:?} {mode}: {own}");
            let other = level(heard, 1900.0, form.rate());
            assert!(other < 900.0, "{form:?} {mode}: {other}");
        }
    }
}

#[test]
fn what_is_lost_or_damaged_is_filled_and_silence_goes_on() {
    let coders = coders();
    for form in forms().into_iter().filter(|form| form.aligned) {
        let (codec, size) = (Codec::Amr(form), form.rate().frame());
        let mut decoder = coders.decoder(codec, form.rate()).unwrap();
        let mut payloads = payloads(&mut coders.encoder(codec, form.rate()).unwrap(), 100);
        let mut heard = Vec::new();
        for (place, payload) in payloads.iter_mut().enumerate() {
            if place % 20 == 19 {
                let mut gap = vec![0; size];
                assert!(decoder.conceal(None, &mut gap));
                heard.extend(gap);
                continue;
            }
            if place % 20 == 9 {
                payload[1] &= !4; // Damaged on its way, as a radio says it.
                payload[2..].fill(0xff);
            }
            heard.extend(decode(&mut decoder, std::slice::from_ref(payload)));
        }
        // In short pieces: a gap is filled with the pitch that was before, not with its phase; after it the narrow decoder
        // needs ten frames to be as loud as before.
        let pieces = heard[size * 10..].chunks(size * 2);
        let levels: Vec<f64> = pieces.map(|piece| level(piece, TONE, form.rate())).collect();
        let mean = levels.iter().sum::<f64>() / levels.len() as f64;
        assert!((4000.0..10_500.0).contains(&mean), "{form:?} {levels:?}");
        assert!(!decoder.conceal(None, &mut vec![0; size / 2]));
        // It falls silent, says that its silence is that of the last frames, and then nothing comes.
        let mut encoder = coders.encoder(codec, form.rate()).unwrap();
        for _ in 0..20 {
            let mut payload = [0; PAYLOAD_MAX];
            let octets = encoder.encode(&vec![0; size], &mut payload);
            decode(&mut decoder, &[payload[..octets].to_vec()]);
        }
        let quiet = [0xf0, if form.wide { 9 } else { 8 } << 3 | 4, 0, 0, 0, 0, 0];
        assert!(!decoder.rests());
        decode(&mut decoder, &[quiet.to_vec()]);
        assert!(decoder.rests());
        let mut silence = vec![0; size];
        for _ in 0..20 {
            assert!(decoder.conceal(None, &mut silence));
        }
        assert!(silence.iter().all(|sample| sample.unsigned_abs() < 2000), "{silence:?}");
    }
}

#[test]
fn who_asks_for_a_mode_gets_it() {
    let coders = coders();
    for form in forms() {
        let codec = Codec::Amr(form);
        let mut encoder = coders.encoder(codec, form.rate()).unwrap();
        let mut decoder = coders.decoder(codec, form.rate()).unwrap();
        let loud = payloads(&mut encoder, 1)[0].len();
        // What the other side sends begins with what it asks for: the lowest mode.
        let mut asking = payloads(&mut coders.encoder(codec, form.rate()).unwrap(), 1).remove(0);
        assert_eq!(decoder.wish(), None);
        asking[0] &= 0x0f;
        decode(&mut decoder, &[asking]);
        encoder.wish(decoder.wish().unwrap());
        let low = payloads(&mut encoder, 30).last().unwrap().len();
        let lowest = if form.wide { 132 } else { 95 };
        let head = if form.aligned { 16 } else { 10 };
        assert_eq!(low, (lowest + head) as usize / 8 + 1, "{form:?}");
        assert!(low < loud);
    }
}

/// The frames as a file, read by decoders of others.
#[test]
fn ffmpeg_hears_what_we_write() {
    let coders = coders();
    for form in forms().into_iter().filter(|form| form.aligned) {
        let payloads = payloads(&mut coders.encoder(Codec::Amr(form), form.rate()).unwrap(), 100);
        let mut file = if form.wide { b"#!AMR-WB\n".to_vec() } else { b"#!AMR\n".to_vec() };
        file.extend(payloads.iter().flat_map(|payload| &payload[1..]));
        let mut ffmpeg = Program::new("ffmpeg")
            .args(["-v", "error", "-f", "amr", "-i", "pipe:0", "-f", "s16le", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg, from the package of that name");
        let mut input = ffmpeg.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&file));
        let out = ffmpeg.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(out.status.success());
        let samples = out.stdout.as_chunks::<2>().0;
        let heard: Vec<i16> = samples.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        assert_eq!(heard.len(), 100 * form.rate().frame());
        assert_tone(&heard[heard.len() / 5..], TONE, form.rate());
    }
}

/// One end of a call.
struct Phone {
    port: u16,
    address: SocketAddr,
    encoder: Encoder,
    decoder: Decoder,
    payload_type: u8,
    pitch: f64,
    heard: Vec<i16>,
}

/// Packets of ten seconds that were made before, so that only the engine's work is counted.
fn wires(phone: &mut Phone, codec: Codec) -> Vec<Vec<u8>> {
    let rate = phone.encoder.rate();
    let sound = tone(rate, phone.pitch, 500);
    let each = sound.chunks(rate.frame()).enumerate().map(|(turn, frame)| {
        let mut payload = [0; PAYLOAD_MAX];
        let octets = phone.encoder.encode(frame, &mut payload);
        let header = Header {
            marker: false,
            payload_type: phone.payload_type,
            sequence: turn as u16,
            timestamp: turn as u32 * codec.pace(),
            ssrc: phone.port.into(),
        };
        Packet { header, payload: &payload[..octets] }.encode()
    });
    each.collect()
}

#[test]
fn a_call_between_amr_and_another_codec_is_turned_without_an_allocation() {
    let [narrow, _, _, wide] = forms();
    for (amr, other) in
        [(narrow, Codec::G711(Law::A)), (wide, Codec::G722), (wide, Codec::Amr(narrow))]
    {
        let coders = coders();
        let mut engine = Engine::with_coders(coders.clone());
        let stream = StreamKey { bridge: BridgeId(1), index: 0 };
        let mut now = Instant::seconds(1);
        engine.command(Command::Open { stream, ports: [100, 102] }, now);
        let (mut phones, mut sent) = (Vec::new(), Vec::new());
        for (place, codec) in [Codec::Amr(amr), other].into_iter().enumerate() {
            let (seat, port) = (Seat(place as u16), 100 + 2 * place as u16);
            let payload_type = [96, if other == Codec::G722 { 9 } else { 8 }][place];
            let sound = Sound::of(Format { payload_type, codec }, None);
            let sound = Some(Sound { passes: false, ..sound });
            let address = SocketAddr::from(([198, 51, 100, 7], 4000 + port));
            let (rtp, rtcp) = (address, address);
            engine.command(Command::Aim { stream, seat, rtp, rtcp, receives: true }, now);
            let (voice, chance) = (Voice::All, 7);
            engine.command(Command::Take { stream, seat, sound, voice, chance }, now);
            let mut phone = Phone {
                port,
                address,
                encoder: coders.encoder(codec, codec.rate()).unwrap(),
                decoder: coders.decoder(codec, codec.rate()).unwrap(),
                payload_type,
                pitch: [500.0, 900.0][place],
                heard: Vec::new(),
            };
            sent.push(wires(&mut phone, codec));
            phones.push(phone);
        }
        let mut allocated = 0;
        for turn in 0..500 {
            let before = COUNT.get();
            for (phone, sent) in phones.iter().zip(&mut sent) {
                engine.packet(phone.port, phone.address, &mut sent[turn], now);
            }
            now = now + media::TICK;
            let mut outside = 0;
            engine.tick(now, |_, to, wire| {
                let before = COUNT.get();
                let phone = phones.iter_mut().find(|phone| phone.address == to).unwrap();
                let Ok(Packet { header, payload }) = Packet::decode(wire) else { return };
                if header.payload_type == phone.payload_type {
                    let mut room = [0; PACKET_MAX];
                    phone.heard.extend(phone.decoder.decode(payload, &mut room).unwrap());
                }
                outside += COUNT.get() - before;
            });
            if turn >= 100 {
                allocated += COUNT.get() - before - outside;
            }
        }
        assert_eq!(allocated, 0, "{amr:?} {other:?}");
        for (own, far) in [(0, 1), (1, 0)] {
            let (phone, pitch) = (&phones[own], phones[far].pitch);
            let rate = phone.decoder.rate();
            assert!(phone.heard.len() > 480 * rate.frame());
            assert_tone(&phone.heard[phone.heard.len() / 2..], pitch, rate);
        }
    }
}
