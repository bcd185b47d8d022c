//! The packets of a talk: what is played becomes RTP, what is heard becomes samples and keys.
//!
//! Picture     every 20 ms: tick --> packets to send; each datagram: hear --> a key, perhaps
//! Rules       There is always something to send, silence if need be, so that a relay learns where we
//!             are. A key takes the place of sound while it lasts; what is played waits for it.
//! Limits      RECORD_MAX samples are kept of what is heard, JITTER of them in order of their time.
//! Not here    Sockets, files, the 20 ms.
//! Spec        RFC 3550 §5.1, RFC 3551 §4.5.14, RFC 4733 §2.5

use std::collections::VecDeque;
use std::time::Duration;

use media::rtp::Packet;
use media::{RtpSender, Track, events};
use types::Rng;

use crate::words::Stream;

/// The time between two packets.
pub const TICK: Duration = Duration::from_millis(20);

/// Samples of one packet.
const SAMPLES: u16 = 160;

/// Samples of one key: 100 ms.
const KEY_SAMPLES: u16 = 800;

/// Packets of sound between two keys.
const KEY_GAP: u8 = 5;

/// Keys that wait to be sent.
const KEYS_MAX: usize = 64;

/// Samples that may still change their order: one second.
const JITTER: usize = 8_000;

/// Samples that are kept: one hour.
pub const RECORD_MAX: usize = 3_600 * 8_000;

/// Whether what is heard is kept.
#[derive(Clone, Debug)]
enum Ear {
    Counts,
    Keeps { track: Box<Track>, heard: Vec<i16> },
}

/// Both directions of one talk.
#[derive(Debug)]
pub struct Voice {
    stream: Stream,
    sender: RtpSender,
    played: Vec<i16>,
    at: usize,
    begun: u64,
    keys: VecDeque<char>,
    /// Packets of the key that is being sent, one group a tick.
    pressing: VecDeque<Vec<Vec<u8>>>,
    gap: u8,
    ear: Ear,
    listening: events::Keys,
    packets: u64,
}

impl Voice {
    /// Begins to play `played` (8,000 samples a second), then silence.
    pub fn new(stream: Stream, played: Vec<i16>, rng: &mut Rng) -> Self {
        Self {
            stream,
            sender: RtpSender::new(rng),
            played,
            at: 0,
            begun: 0,
            keys: VecDeque::new(),
            pressing: VecDeque::new(),
            gap: 0,
            ear: Ear::Counts,
            listening: events::Keys::default(),
            packets: 0,
        }
    }

    /// Keeps what is heard from now on.
    pub fn record(mut self) -> Self {
        self.ear = Ear::Keeps { track: Box::default(), heard: Vec::new() };
        self
    }

    /// The sides agreed anew.
    pub fn change(&mut self, stream: Stream) {
        self.stream = stream;
    }

    /// What the sides agreed on.
    pub const fn stream(&self) -> Stream {
        self.stream
    }

    /// Sends these keys, one behind the other; others than `0-9*#A-D` are left out.
    pub fn press(&mut self, keys: &str) {
        let known = keys.chars().filter(|key| events::code(*key).is_some());
        let room = KEYS_MAX - self.keys.len();
        self.keys.extend(known.take(room));
    }

    /// Whether everything was played and pressed.
    pub fn is_done(&self) -> bool {
        self.at >= self.played.len() && self.keys.is_empty() && self.pressing.is_empty()
    }

    /// Packets heard so far.
    pub const fn heard(&self) -> u64 {
        self.packets
    }

    /// The packets of the next 20 ms.
    pub fn tick(&mut self) -> Vec<Vec<u8>> {
        if !self.stream.sends {
            self.sender.skip(SAMPLES.into()); // On hold time passes without packets.
            return Vec::new();
        }
        if let Some(packets) = self.pressing.pop_front() {
            self.gap = KEY_GAP;
            return packets;
        }
        self.gap = self.gap.saturating_sub(1);
        if let (0, Some(payload_type), Some(key)) =
            (self.gap, self.stream.keys, self.keys.front().copied())
        {
            self.keys.pop_front();
            return self.begin_key(payload_type, key);
        }
        if self.stream.keys.is_none() {
            self.keys.clear(); // The other side knows no keys: nothing waits for ever.
        }
        vec![self.sound()]
    }

    /// Takes a datagram. Gives the key when a new one was pressed.
    pub fn hear(&mut self, datagram: &[u8]) -> Option<char> {
        let packet = Packet::decode(datagram).ok()?;
        let payload_type = packet.header.payload_type;
        if Some(payload_type) == self.stream.keys {
            return self.listening.hear(&packet);
        }
        if payload_type != self.stream.payload_type {
            return None;
        }
        self.packets += 1;
        if let Ear::Keeps { track, heard } = &mut self.ear {
            track.put(packet.header.timestamp, &self.stream.law.decode_all(packet.payload));
            keep(heard, track.take(JITTER));
        }
        None
    }

    /// Everything that was heard. Nothing when nothing was kept.
    pub fn recorded(self) -> Vec<i16> {
        match self.ear {
            Ear::Counts => Vec::new(),
            Ear::Keeps { mut track, mut heard } => {
                keep(&mut heard, track.take(0));
                heard
            }
        }
    }

    fn begin_key(&mut self, payload_type: u8, key: char) -> Vec<Vec<u8>> {
        let packets = events::press(&mut self.sender, payload_type, key, KEY_SAMPLES, SAMPLES);
        let mut packets = packets.unwrap_or_default();
        let repeats = packets.split_off(packets.len().saturating_sub(events::END_REPEATS));
        self.pressing.extend(packets.into_iter().map(|packet| vec![packet]));
        // The end is said three times at once: one of them arrives.
        self.pressing.push_back(repeats);
        self.pressing.pop_front().unwrap_or_default()
    }

    fn sound(&mut self) -> Vec<u8> {
        let end = self.played.len().min(self.at + usize::from(SAMPLES));
        let mut pcm = self.played.get(self.at..end).unwrap_or_default().to_vec();
        self.at = end;
        pcm.resize(usize::from(SAMPLES), 0);
        let payload = self.stream.law.encode_all(&pcm);
        let marker = self.begun == 0;
        self.begun += 1;
        self.sender.packet(self.stream.payload_type, marker, SAMPLES.into(), &payload)
    }
}

fn keep(heard: &mut Vec<i16>, mut samples: Vec<i16>) {
    samples.truncate(RECORD_MAX.saturating_sub(heard.len()));
    heard.append(&mut samples);
}

#[cfg(test)]
mod tests {
    use media::g711::Law;

    use super::*;

    fn stream() -> Stream {
        let remote = "127.0.0.1:9".parse().unwrap();
        let (law, payload_type) = (Law::Mu, 0);
        Stream { remote, law, payload_type, keys: Some(101), sends: true, receives: true }
    }

    fn pair(played: Vec<i16>) -> (Voice, Voice) {
        let mut rng = Rng::from_number(4733);
        let speaker = Voice::new(stream(), played, &mut rng);
        (speaker, Voice::new(stream(), Vec::new(), &mut rng).record())
    }

    #[test]
    fn what_is_played_is_heard() {
        let mut rng = Rng::from_number(1);
        let sound: Vec<i16> = (0..8_000).map(|_| rng.next_u64() as i16 / 4).collect();
        let (mut speaker, mut listener) = pair(sound.clone());
        while !speaker.is_done() {
            for packet in speaker.tick() {
                assert_eq!(listener.hear(&packet), None);
            }
        }
        assert_eq!(listener.heard(), 50);
        let law = Law::Mu;
        let expected: Vec<i16> = sound.iter().map(|s| law.decode(law.encode(*s))).collect();
        assert_eq!(listener.recorded(), expected);
    }

    #[test]
    fn keys_are_heard_once_and_sound_waits_for_them() {
        let (mut speaker, mut listener) = pair(vec![1_000; 1_600]);
        speaker.press("12x#A");
        let (mut heard, mut ticks) = (String::new(), 0);
        while !speaker.is_done() {
            ticks += 1;
            for packet in speaker.tick() {
                heard.extend(listener.hear(&packet));
            }
        }
        assert_eq!(heard, "12#A");
        assert!((24..60).contains(&ticks), "{ticks}");
        let loud = listener.recorded().into_iter().filter(|sample| *sample > 900).count();
        assert_eq!(loud, 1_600);
    }

    #[test]
    fn hold_sends_nothing_and_noise_is_no_sound() {
        let (mut speaker, mut listener) = pair(vec![1; 160]);
        speaker.change(Stream { sends: false, ..stream() });
        assert_eq!(speaker.tick(), Vec::<Vec<u8>>::new());
        let mut rng = Rng::from_number(9);
        for _ in 0..5_000 {
            let mut noise = vec![0; rng.below(64) as usize];
            rng.fill(&mut noise);
            let _ = listener.hear(&noise);
        }
    }
}
