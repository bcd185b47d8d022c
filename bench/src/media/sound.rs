//! `bench media --part sound`: what is played, spread, mixed and turned, each beside the barest thing that could do it.
//!
//! Picture     clip --pump--> legs' phones | bare loop: a packet by each leg's socket every 20 ms --> the same phones
//!             one voice --pump--> listeners;  250 voices --engine--> each but its own;  Opus <--engine--> G.711
//! Rules       The bare loop sends as many packets of the same size, by as many sockets, to the same addresses, in the same
//!             run: what it takes is the kernel's, and a ratio to it is what we add. One packet of a leg leaves in a tick,
//!             so there is nothing that one call could send together. Processor time is the thread's own, by the kernel.
//! Limits      `LEGS` at most, two ports each, from `PORTS` on.
//! Not here    The relay, which stands beside another program.
//! Spec        RFC 3551 §4.5.14 (20 ms of G.711).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant as Clock};

use anyhow::{Context, bail};
use media::g711::Law;
use media::rtp::{Header, Packet};
use media::{
    Clip, ClipId, Codec, Command, Decoder, Encoder, Engine, Event, Format, PACKET_MAX, PAYLOAD_MAX,
    Play, Rate, Seat, Sound, StreamKey, TICK, Voice,
};
use media_io::{Doors, Pump};
use types::{BridgeId, Instant};

use crate::tally::quantile;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Legs that hear a clip, step by step.
const LEGS: [usize; 3] = [100, 1000, 3000];
/// Listeners of one voice.
const LISTENERS: usize = 249;
/// Conferences of that many at once.
const HALLS: usize = 4;
/// The first port of ours.
const PORTS: u16 = 24_000;
/// Octets of a packet of G.711.
const PACKET: usize = 172;
/// Ticks of what is measured without sockets.
const TICKS: usize = 5_000;
/// How often each is measured.
const ROUNDS: usize = 3;
/// What runs before anything counts.
const WARM: Duration = Duration::from_millis(500);

/// Runs all of it and prints as it goes.
pub fn run(span: Duration) -> anyhow::Result<()> {
    for legs in LEGS {
        let rounds = (0..ROUNDS).map(|_| play(legs, span)).collect::<Result<Vec<_>, _>>()?;
        // The first round alone finds memory that nobody had before.
        let octets = rounds.first().map_or(0.0, |(_, octets)| *octets);
        let (ours, alone) = middle(rounds.into_iter().map(|(both, _)| both).collect());
        println!(
            "play to {legs} legs: {ours:.2} µs a packet, bare loop {alone:.2}: ratio {:.2}; {octets:.1} KB a leg; a core would be full with {:.0}",
            ours / alone,
            TICK.as_secs_f64() * 1e6 / ours,
        );
    }
    let rounds = (0..ROUNDS).map(|_| spread(span)).collect::<Result<Vec<_>, _>>()?;
    let (ours, alone) = middle(rounds);
    println!(
        "one voice to {LISTENERS} listeners, {HALLS} times: {ours:.2} µs a packet, bare loop {alone:.2}: {:.0} % of its packets per core",
        100.0 * alone / ours,
    );
    mix(250);
    let rounds = (0..ROUNDS).map(|_| turn()).collect::<Result<Vec<_>, _>>()?;
    let (ours, alone) = middle(rounds);
    println!(
        "Opus and G.711 turned into each other, without sockets: {ours:.1} µs for 20 ms of a call, the codecs alone {alone:.1}: ratio {:.2}",
        ours / alone
    );
    Ok(())
}

/// Of rounds, each with what ours and the bare thing took, the one whose ratio is in the middle: neighbours on a machine come and
/// go between rounds, less so within one.
fn middle(mut rounds: Vec<(f64, f64)>) -> (f64, f64) {
    rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    rounds.get(rounds.len() / 2).copied().unwrap_or((0.0, 1.0))
}

/// What a thread took of a core.
struct Taken {
    cpu: Duration,
    packets: usize,
}

impl Taken {
    fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.packets.max(1) as f64
    }
}

/// Processor time of the threads of this name, ever.
fn cpu_of(name: &str) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            let stat = std::fs::read_to_string(path.join("schedstat"))?;
            let first = stat.split_whitespace().next().context("schedstat of a thread")?;
            nanos += first.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Octets of memory that the process has.
fn resident() -> anyhow::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
    Ok(kilobytes.parse::<usize>()? * 1024)
}

/// What a thread takes for the packets of so many legs while `span` passes.
fn taken(name: &str, legs: usize, span: Duration) -> anyhow::Result<Taken> {
    std::thread::sleep(WARM);
    let (before, since) = (cpu_of(name)?, Clock::now());
    std::thread::sleep(span);
    let ticks = since.elapsed().as_secs_f64() / TICK.as_secs_f64();
    Ok(Taken { cpu: cpu_of(name)?.saturating_sub(before), packets: (ticks * legs as f64) as usize })
}

/// A packet by each of the sockets every 20 ms, for as long as `span` and what comes before it.
fn bare(legs: usize, to: SocketAddr, span: Duration) -> anyhow::Result<Taken> {
    let sockets = (0..legs).map(|_| UdpSocket::bind((HERE, 0))).collect::<Result<Vec<_>, _>>()?;
    let (stop, stopped) = channel::<()>();
    let packet = [0x31; PACKET];
    let thread = std::thread::Builder::new().name("bare".into()).spawn(move || {
        let mut due = Clock::now();
        while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
            for socket in &sockets {
                // Nobody listens as fast: what is lost was sent.
                let _ = socket.send_to(&packet, to);
            }
            due += TICK;
            std::thread::sleep(due.saturating_duration_since(Clock::now()));
        }
    })?;
    let taken = taken("bare", legs, span);
    drop(stop);
    let _ = thread.join();
    taken
}

fn pump() -> anyhow::Result<(Pump, Receiver<Event>)> {
    let (sender, events) = channel();
    let pump = Pump::start(HERE, 64, Doors::default(), media::Coders::default(), move |event| {
        drop(sender.send(event))
    })?;
    Ok((pump, events))
}

fn stream(number: usize) -> StreamKey {
    StreamKey { bridge: BridgeId(number as u128 + 1), index: 0 }
}

/// A leg of G.711 sits down, and hears at this address.
fn sit(
    pump: &Pump,
    stream: StreamKey,
    seat: Seat,
    (port, to): (u16, SocketAddr),
    voice: Voice,
) -> anyhow::Result<()> {
    let sound = Some(Sound::of(Law::Mu.into(), None));
    for command in [
        Command::Admit { stream, seat, port },
        Command::Aim { stream, seat, rtp: to, rtcp: to, receives: true },
        Command::Take { stream, seat, sound, voice, chance: port.into() },
    ] {
        if !pump.send(command) {
            bail!("the pump takes no more commands");
        }
    }
    Ok(())
}

/// So many legs hear a clip, each alone: what a packet takes, ours and bare, and kilobytes of a leg.
fn play(legs: usize, span: Duration) -> anyhow::Result<((f64, f64), f64)> {
    let phone = UdpSocket::bind((HERE, 0))?;
    let to = phone.local_addr()?;
    let alone = bare(legs, to, span)?;
    let (pump, events) = pump()?;
    let form = |rate: Rate| {
        let pitch =
            |n: usize| (n as f64 * 440.0 * std::f64::consts::TAU / f64::from(rate.hertz())).sin();
        (0..10 * rate.hertz() as usize).map(|n| (pitch(n) * 4000.0) as i16).collect()
    };
    pump.lend(ClipId(1), Clip { forms: Rate::ALL.map(form) });
    let before = resident()?;
    for leg in 0..legs {
        let (stream, seat) = (stream(leg), Seat::FIRST_GUEST);
        sit(&pump, stream, seat, (PORTS + 2 * leg as u16, to), Voice::All)?;
        let play = Play::Clips { clips: vec![ClipId(1)], from: Duration::ZERO, times: 0 };
        let (seat, sound, alone) = (Some(seat), 1, true);
        pump.send(Command::Play { stream, seat, play, sound, alone });
    }
    let ours = taken("pump", legs, span)?;
    let octets = resident()?.saturating_sub(before) as f64 / legs as f64 / 1024.0;
    if let Ok(event) = events.try_recv() {
        bail!("a leg could not be played to: {event:?}");
    }
    Ok(((ours.micros(), alone.micros()), octets))
}

/// One voice to many who listen: what a packet takes, ours and bare.
fn spread(span: Duration) -> anyhow::Result<(f64, f64)> {
    let phone = UdpSocket::bind((HERE, 0))?;
    let to = phone.local_addr()?;
    let legs = HALLS * LISTENERS;
    let alone = bare(legs, to, span)?;
    let (pump, events) = pump()?;
    let mut speakers = Vec::new();
    for hall in 0..HALLS {
        let port = |seat: usize| PORTS + 2 * (hall * (LISTENERS + 1) + seat) as u16;
        let speaker = UdpSocket::bind((HERE, 0))?;
        let seat = Seat::FIRST_GUEST;
        sit(&pump, stream(hall), seat, (port(0), speaker.local_addr()?), Voice::All)?;
        for seat in 1..=LISTENERS {
            let place = Seat(seat as u16 + 2);
            sit(&pump, stream(hall), place, (port(seat), to), Voice::Nobody)?;
        }
        speakers.push((speaker, port(0)));
    }
    let until = Clock::now() + WARM + span + WARM;
    let talk = std::thread::spawn(move || {
        let mut due = Clock::now();
        for sequence in 0u16.. {
            let timestamp = u32::from(sequence) * 160;
            let header = Header { sequence, timestamp, ssrc: 7, ..Header::default() };
            let packet = Packet { header, payload: &[0x31; 160] }.encode();
            for (speaker, port) in &speakers {
                let _ = speaker.send_to(&packet, (HERE, *port));
            }
            due += TICK;
            if due > until {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Clock::now()));
        }
    });
    let ours = taken("pump", legs + HALLS, span)?;
    let _ = talk.join();
    // How it goes is told all the time; anything else is a leg that failed.
    let failed = events.try_iter().find(|event| !matches!(event, Event::Figures { .. }));
    if let Some(event) = failed {
        bail!("a listener could not sit down: {event:?}");
    }
    Ok((ours.micros(), alone.micros()))
}

/// So many who all talk, without sockets.
fn mix(legs: u16) {
    let mut engine = Engine::new();
    let mut now = Instant::seconds(1);
    let (law, stream) = (Law::Mu, stream(0));
    let mut phones = Vec::new();
    for leg in 0..legs {
        let (seat, port) = (Seat(leg + 2), 2 * leg + 100);
        let rtp = SocketAddr::from(([198, 51, 100, 7], 4000 + port));
        let (sound, voice, chance) = (Some(Sound::of(law.into(), None)), Voice::All, 7);
        engine.command(Command::Admit { stream, seat, port }, now);
        engine.command(Command::Aim { stream, seat, rtp, rtcp: rtp, receives: true }, now);
        engine.command(Command::Take { stream, seat, sound, voice, chance }, now);
        let header = Header { ssrc: leg.into(), ..Header::default() };
        let payload: Vec<u8> = (0..160).map(|n| law.encode(n * 7 + leg as i16)).collect();
        phones.push((port, rtp, Packet { header, payload: &payload }.encode()));
    }
    let (mut ticks, mut sent) = (Vec::with_capacity(TICKS), 0);
    let begun = Clock::now();
    for turn in 0..TICKS {
        let since = Clock::now();
        for (port, from, wire) in &mut phones {
            if let Some(numbers) = wire.get_mut(2..8) {
                let [s0, s1] = (turn as u16).to_be_bytes();
                let [t0, t1, t2, t3] = (turn as u32 * 160).to_be_bytes();
                numbers.copy_from_slice(&[s0, s1, t0, t1, t2, t3]);
            }
            engine.packet(*port, *from, wire, now);
        }
        now = now + TICK;
        engine.tick(now, |_, _, _| sent += 1);
        ticks.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / (TICKS * usize::from(legs)) as f64;
    println!(
        "{legs} who talk in one conference, without sockets: {each:.2} µs a participant and tick, a tick p50 {:.2} ms, p99.9 {:.2} ms of 20 ({sent} packets)",
        quantile(&ticks, 50.0).as_secs_f64() * 1e3,
        quantile(&ticks, 99.9).as_secs_f64() * 1e3,
    );
}

/// Opus on one side, G.711 on the other, beside the codecs alone.
fn turn() -> anyhow::Result<(f64, f64)> {
    let opus = Codec::Opus;
    let law = Codec::G711(Law::Mu);
    let rate = Rate::Narrow;
    let voice: Vec<i16> = (0..rate.frame())
        .map(|n| ((n as f64 * 0.3).sin() * 4000.0 + (n as f64 * 0.11).sin() * 3000.0) as i16)
        .collect();
    let encoder = |codec| Encoder::new(codec, rate).context("an encoder");
    let decoder = |codec| Decoder::new(codec, rate).context("a decoder");
    let mut room = [0; PAYLOAD_MAX];
    let mut payload = |codec| -> anyhow::Result<Vec<u8>> {
        let octets = encoder(codec)?.encode(&voice, &mut room);
        Ok(room.get(..octets).unwrap_or_default().to_vec())
    };
    let payloads = [payload(opus)?, payload(law)?];
    let (mut decoders, mut encoders) =
        ([decoder(opus)?, decoder(law)?], [encoder(law)?, encoder(opus)?]);
    let (mut pcm, mut out) = ([0; PACKET_MAX], [0; PAYLOAD_MAX]);
    let begun = Clock::now();
    for _ in 0..TICKS {
        for ((decoder, encoder), payload) in decoders.iter_mut().zip(&mut encoders).zip(&payloads) {
            let said = decoder.decode(payload, &mut pcm).context("a payload")?;
            encoder.encode(said.get(..rate.frame()).unwrap_or(said), &mut out);
        }
    }
    let alone = begun.elapsed().as_secs_f64() * 1e6 / TICKS as f64;
    let mut engine = Engine::new();
    let mut now = Instant::seconds(1);
    let stream = stream(0);
    engine.command(Command::Open { stream, ports: [100, 102] }, now);
    let mut phones = Vec::new();
    for (place, (codec, payload)) in [opus, law].into_iter().zip(&payloads).enumerate() {
        let (seat, port, payload_type) =
            (Seat(place as u16), 100 + 2 * place as u16, [111, 0][place]);
        let rtp = SocketAddr::from(([198, 51, 100, 7], 4000 + port));
        let sound = Sound { passes: false, ..Sound::of(Format { payload_type, codec }, None) };
        engine.command(Command::Aim { stream, seat, rtp, rtcp: rtp, receives: true }, now);
        let (sound, voice, chance) = (Some(sound), Voice::All, 7);
        engine.command(Command::Take { stream, seat, sound, voice, chance }, now);
        let header = Header { payload_type, ssrc: 7, ..Header::default() };
        phones.push((port, rtp, codec.pace(), Packet { header, payload }.encode()));
    }
    let mut sent = 0;
    let begun = Clock::now();
    for turn in 0..TICKS {
        for (port, from, pace, wire) in &mut phones {
            if let Some(numbers) = wire.get_mut(2..8) {
                let [s0, s1] = (turn as u16).to_be_bytes();
                let [t0, t1, t2, t3] = (turn as u32 * *pace).to_be_bytes();
                numbers.copy_from_slice(&[s0, s1, t0, t1, t2, t3]);
            }
            engine.packet(*port, *from, wire, now);
        }
        now = now + TICK;
        engine.tick(now, |_, _, _| sent += 1);
    }
    let ours = begun.elapsed().as_secs_f64() * 1e6 / TICKS as f64;
    anyhow::ensure!(sent > TICKS, "nobody was spoken to");
    Ok((ours, alone))
}
