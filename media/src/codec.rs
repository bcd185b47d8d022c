//! Payloads to samples and back: the one door through which every codec is reached.
//!
//! Picture     payload --Decoder--> samples at its rate;  20 ms of samples --Encoder--> payload
//! Rules       Opus decodes to and encodes from the rate that is asked for; the others have one of their own, and
//!             whoever needs another resamples. Time on the wire is counted in ticks of the codec's clock, which for
//!             G.722 is not its rate. A decoder is fed in the order of the sender, or told what is missing.
//! Limits      [`PACKET_MAX`] samples in a packet, 120 ms; [`PAYLOAD_MAX`] octets that we write; [`HEARD_MAX`] formats
//!             that one leg may send beside the static ones.
//! Not here    Order and loss (jitter), rates (resample), frames of AMR (amr).
//! Spec        RFC 3551 §4.5, RFC 4867 §3.2, RFC 7587 §4, ITU-T G.711, ITU-T G.722, RFC 6716.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use serde::{Deserialize, Serialize};

use crate::amr::{self, Amr};
use crate::g711::Law;

/// Samples of one tick, 20 ms, at the highest rate.
pub const FRAME_MAX: usize = 960;

/// Samples that one packet may hold at the highest rate: 120 ms. Longer packets are dropped by whoever decodes.
pub const PACKET_MAX: usize = 5760;

/// Octets of the longest payload that we write: 20 ms of L16 at the highest rate.
pub const PAYLOAD_MAX: usize = 2 * FRAME_MAX;

/// Formats of sound that a leg may send beside the static ones.
pub const HEARD_MAX: usize = 6;

/// Bits a second that Opus is written with: good speech at the full width.
const OPUS_BITS: i32 = 32_000;

/// How hard the encoder of Opus tries, of ten: half the time for a difference that speech hardly shows.
const OPUS_EFFORT: i32 = 5;

/// Packets of a hundred that the encoder of Opus expects to be lost, so that each carries a little of the one before.
const OPUS_LOSS: i32 = 5;

/// Samples per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rate {
    /// 8000, as telephones have always had.
    #[default]
    Narrow,
    /// 16000.
    Wide,
    /// 48000.
    Full,
}

impl Rate {
    /// All, the lowest first.
    pub const ALL: [Self; 3] = [Self::Narrow, Self::Wide, Self::Full];

    /// As a number.
    pub const fn hertz(self) -> u32 {
        match self {
            Self::Narrow => 8000,
            Self::Wide => 16_000,
            Self::Full => 48_000,
        }
    }

    /// Samples of one tick.
    pub const fn frame(self) -> usize {
        self.hertz() as usize / 50
    }

    /// The rate of that many hertz.
    pub const fn of(hertz: u32) -> Option<Self> {
        match hertz {
            8000 => Some(Self::Narrow),
            16_000 => Some(Self::Wide),
            48_000 => Some(Self::Full),
            _ => None,
        }
    }
}

/// How sound is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// AMR or AMR-WB, where [`Coders`] know it.
    Amr(Amr),
    /// G.711: an octet per sample.
    G711(Law),
    /// G.722: two bands, an octet for two samples.
    G722,
    /// Samples as they are, the high octet first.
    L16(Rate),
    /// Opus, one channel.
    Opus,
}

impl Codec {
    /// The codec of a static payload type that we know.
    ///
    /// Spec: RFC 3551 §6
    pub const fn of(payload_type: u8) -> Option<Self> {
        match (Law::of(payload_type), payload_type) {
            (Some(law), _) => Some(Self::G711(law)),
            (None, 9) => Some(Self::G722),
            (None, _) => None,
        }
    }

    /// Ticks per second of its timestamps.
    ///
    /// Spec: RFC 3551 §4.5.2 (G.722 says 8000 and always will), RFC 4867 §3.2, RFC 7587 §4.1
    pub const fn clock(self) -> u32 {
        match self {
            Self::Amr(form) => form.rate().hertz(),
            Self::G711(_) | Self::G722 => 8000,
            Self::L16(rate) => rate.hertz(),
            Self::Opus => 48_000,
        }
    }

    /// Ticks of 20 ms.
    pub const fn pace(self) -> u32 {
        self.clock() / 50
    }

    /// The highest rate that it carries.
    pub const fn rate(self) -> Rate {
        match self {
            Self::Amr(form) => form.rate(),
            Self::G711(_) => Rate::Narrow,
            Self::G722 => Rate::Wide,
            Self::L16(rate) => rate,
            Self::Opus => Rate::Full,
        }
    }

    /// The rate at which it is decoded and encoded where `wanted` is needed.
    pub const fn works_at(self, wanted: Rate) -> Rate {
        match self {
            Self::Opus => wanted,
            Self::Amr(_) | Self::G711(_) | Self::G722 | Self::L16(_) => self.rate(),
        }
    }

    /// How long a payload lasts, in ticks; `None` for none at all, or one longer than 120 ms.
    pub fn ticks(self, payload: &[u8]) -> Option<u32> {
        let ticks = match self {
            Self::Amr(form) => amr::Payload::decode(form, payload)?.count * self.rate().frame(),
            Self::G711(_) | Self::G722 => payload.len(),
            Self::L16(_) => payload.len() / 2,
            Self::Opus => opus::packet::get_nb_samples(payload, self.clock()).ok()?,
        };
        let longest = 6 * self.pace();
        u32::try_from(ticks).ok().filter(|ticks| (1..=longest).contains(ticks))
    }
}

/// A codec under the payload type that a description gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// In its packets.
    pub payload_type: u8,
    /// What they hold.
    pub codec: Codec,
}

impl From<Law> for Format {
    fn from(law: Law) -> Self {
        Self { payload_type: law.payload_type(), codec: Codec::G711(law) }
    }
}

/// Telephone events under the payload type that a description gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// In its packets.
    pub payload_type: u8,
    /// Ticks per second: that of the sound beside it, most of the time.
    pub clock: u32,
}

/// How a leg sounds: what we send it, and what it may send us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// What it is sent.
    pub sent: Format,
    /// What it may send, beside G.711 and G.722 under their static payload types.
    pub heard: [Option<Format>; HEARD_MAX],
    /// Telephone events, where it takes them.
    pub events: Option<Events>,
    /// Whether what it and the far side send may pass to each other as it is.
    pub passes: bool,
}

impl Sound {
    /// One format both ways.
    pub fn of(sent: Format, events: Option<Events>) -> Self {
        let mut heard = [None; HEARD_MAX];
        heard[0] = Some(sent);
        Self { sent, heard, events, passes: true }
    }

    /// The codec of a payload type that it may send.
    pub(crate) fn codec(&self, payload_type: u8) -> Option<Codec> {
        let mut heard = self.heard.iter().flatten();
        let known = heard.find(|format| format.payload_type == payload_type);
        known.map(|format| format.codec).or_else(|| Codec::of(payload_type))
    }
}

/// What makes coders: what is built in, and what the shell found in the system.
#[derive(Clone, Debug, Default)]
pub struct Coders {
    amr: Option<Arc<dyn amr::Library>>,
}

impl Coders {
    /// With AMR, as far as its libraries are there.
    pub fn with_amr(library: Arc<dyn amr::Library>) -> Self {
        Self { amr: Some(library) }
    }

    /// A decoder that has heard nothing. `wanted` is the rate that is needed; see [`Decoder::rate`].
    /// `None`: the library has no memory left, or is not there.
    pub fn decoder(&self, codec: Codec, wanted: Rate) -> Option<Decoder> {
        let rate = codec.works_at(wanted);
        let state = match codec {
            Codec::Amr(form) => {
                let coder = self.amr.as_ref()?.decoder(form.wide)?;
                Decoding::Amr(amr::Hearing::new(form, coder))
            }
            Codec::G711(_) | Codec::L16(_) => Decoding::Plain,
            Codec::G722 => Decoding::G722(Box::default()),
            Codec::Opus => {
                Decoding::Opus(opus::Decoder::new(rate.hertz(), opus::Channels::Mono).ok()?)
            }
        };
        Some(Decoder { codec, rate, state })
    }

    /// An encoder that has said nothing. `given` is the rate that there is; see [`Encoder::rate`].
    /// `None`: the library has no memory left, or is not there.
    pub fn encoder(&self, codec: Codec, given: Rate) -> Option<Encoder> {
        let rate = codec.works_at(given);
        let state = match codec {
            Codec::Amr(form) => {
                let coder = self.amr.as_ref()?.encoder(form.wide)?;
                Encoding::Amr(amr::Saying::new(form, coder))
            }
            Codec::G711(_) | Codec::L16(_) => Encoding::Plain,
            Codec::G722 => Encoding::G722(Box::default()),
            Codec::Opus => Encoding::Opus(opus_encoder(rate).ok()?),
        };
        Some(Encoder { codec, rate, state })
    }
}

/// Turns payloads of one sender into samples.
pub struct Decoder {
    codec: Codec,
    rate: Rate,
    state: Decoding,
}

enum Decoding {
    Amr(amr::Hearing),
    Plain,
    G722(Box<G722Decoder>),
    Opus(opus::Decoder),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Decoder({:?}, {:?})", self.codec, self.rate)
    }
}

impl Decoder {
    /// Of a codec that is built in; see [`Coders::decoder`].
    pub fn new(codec: Codec, wanted: Rate) -> Option<Self> {
        Coders::default().decoder(codec, wanted)
    }

    /// What it decodes.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Of the samples that come out.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// The samples of a payload; `None` when there are none, or more than fit.
    pub fn decode<'a>(
        &mut self,
        payload: &[u8],
        room: &'a mut [i16; PACKET_MAX],
    ) -> Option<&'a [i16]> {
        self.codec.ticks(payload)?;
        let count = match (&mut self.state, self.codec) {
            (Decoding::Amr(hearing), _) => hearing.decode(payload, room)?,
            (Decoding::Opus(decoder), _) => decoder.decode(payload, room, false).ok()?,
            (Decoding::G722(decoder), _) => decoder.decode_into(payload, room).ok()?,
            (Decoding::Plain, Codec::G711(law)) => {
                law.decode_into(payload, room);
                payload.len()
            }
            (Decoding::Plain, _) => {
                let pairs = payload.as_chunks::<2>().0;
                for (sample, pair) in room.iter_mut().zip(pairs) {
                    *sample = i16::from_be_bytes(*pair);
                }
                pairs.len()
            }
        };
        room.get(..count)
    }

    /// Fills a gap as the codec itself would; false where it has no way to. `next`: the payload that follows the gap
    /// at once, which may tell of what was lost.
    ///
    /// Spec: RFC 6716 §4.4 (concealment), §2.1.7 (forward error correction)
    pub fn conceal(&mut self, next: Option<&[u8]>, gap: &mut [i16]) -> bool {
        let decoder = match &mut self.state {
            Decoding::Amr(hearing) => return hearing.conceal(gap),
            Decoding::Opus(decoder) => decoder,
            Decoding::G722(_) | Decoding::Plain => return false,
        };
        let step = self.rate.frame() / 8; // 2.5 ms
        if gap.is_empty() || !gap.len().is_multiple_of(step) || gap.len() > PACKET_MAX {
            return false;
        }
        let told = match next.filter(|next| !next.is_empty()) {
            Some(next) => decoder.decode(next, gap, true),
            None => decoder.decode(&[], gap, false),
        };
        told.is_ok_and(|count| count == gap.len())
    }

    /// The mode in which the sender wants to be spoken to, if it ever said so.
    pub const fn wish(&self) -> Option<u8> {
        match &self.state {
            Decoding::Amr(hearing) => hearing.wish,
            Decoding::G722(_) | Decoding::Opus(_) | Decoding::Plain => None,
        }
    }

    /// Whether the sender fell silent and told how that sounds: gaps are its silence.
    pub const fn rests(&self) -> bool {
        match &self.state {
            Decoding::Amr(hearing) => hearing.rests,
            Decoding::G722(_) | Decoding::Opus(_) | Decoding::Plain => false,
        }
    }
}

/// Turns samples into the payloads of one receiver.
pub struct Encoder {
    codec: Codec,
    rate: Rate,
    state: Encoding,
}

enum Encoding {
    Amr(amr::Saying),
    Plain,
    G722(Box<G722Encoder>),
    Opus(opus::Encoder),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Encoder({:?}, {:?})", self.codec, self.rate)
    }
}

impl Encoder {
    /// Of a codec that is built in; see [`Coders::encoder`].
    pub fn new(codec: Codec, given: Rate) -> Option<Self> {
        Coders::default().encoder(codec, given)
    }

    /// The receiver asks for a mode of its codec; nothing where it has none.
    pub fn wish(&mut self, mode: u8) {
        if let Encoding::Amr(saying) = &mut self.state {
            saying.wish(mode);
        }
    }

    /// What it writes.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Of the samples that go in.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether it keeps nothing, so that two receivers who shall hear the same may get the same octets.
    pub const fn is_plain(&self) -> bool {
        matches!(self.state, Encoding::Plain)
    }

    /// Writes the payload of one frame of its rate; how many octets it has. 0: nothing could be written.
    pub fn encode(&mut self, pcm: &[i16], payload: &mut [u8; PAYLOAD_MAX]) -> usize {
        if pcm.len() != self.rate.frame() {
            return 0;
        }
        match (&mut self.state, self.codec) {
            (Encoding::Amr(saying), _) => saying.encode(pcm, payload),
            (Encoding::Opus(encoder), _) => encoder.encode(pcm, payload).unwrap_or(0),
            (Encoding::G722(encoder), _) => encoder.encode_into(pcm, payload).unwrap_or(0),
            (Encoding::Plain, Codec::G711(law)) => {
                law.encode_into(pcm, payload);
                pcm.len()
            }
            (Encoding::Plain, _) => {
                let octets = pcm.iter().flat_map(|sample| sample.to_be_bytes());
                for (octet, value) in payload.iter_mut().zip(octets) {
                    *octet = value;
                }
                2 * pcm.len()
            }
        }
    }
}

fn opus_encoder(rate: Rate) -> opus::Result<opus::Encoder> {
    let voice = opus::Application::Voip;
    let mut encoder = opus::Encoder::new(rate.hertz(), opus::Channels::Mono, voice)?;
    encoder.set_bitrate(opus::Bitrate::Bits(OPUS_BITS))?;
    encoder.set_complexity(OPUS_EFFORT)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(OPUS_LOSS)?;
    Ok(encoder)
}

/// Ticks of 20 ms in a length of time, to the nearest whole one.
pub(crate) fn frames(span: Duration) -> u32 {
    const FRAME_MICROS: u64 = 20_000;
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let frames = micros.saturating_add(FRAME_MICROS / 2) / FRAME_MICROS;
    u32::try_from(frames).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use types::Rng;

    use super::*;
    use crate::hear::level;

    const ALL: [Codec; 7] = [
        Codec::G711(Law::A),
        Codec::G711(Law::Mu),
        Codec::G722,
        Codec::L16(Rate::Narrow),
        Codec::L16(Rate::Wide),
        Codec::L16(Rate::Full),
        Codec::Opus,
    ];

    fn tone(rate: Rate, hertz: f64, count: usize) -> Vec<i16> {
        let at = |n: usize| (TAU * hertz * n as f64 / f64::from(rate.hertz())).sin() * 8000.0;
        (0..count).map(|n| at(n) as i16).collect()
    }

    #[test]
    fn a_tone_survives_every_codec_at_every_rate() {
        for codec in ALL {
            for wanted in Rate::ALL {
                let mut encoder = Encoder::new(codec, wanted).unwrap();
                let mut decoder = Decoder::new(codec, wanted).unwrap();
                let rate = decoder.rate();
                assert_eq!(rate, encoder.rate());
                let (mut payload, mut room) = ([0; PAYLOAD_MAX], [0; PACKET_MAX]);
                let mut heard = Vec::new();
                for frame in tone(rate, 700.0, rate.frame() * 50).chunks(rate.frame()) {
                    let octets = encoder.encode(frame, &mut payload);
                    assert_eq!(codec.ticks(&payload[..octets]), Some(codec.pace()), "{codec:?}");
                    heard.extend_from_slice(decoder.decode(&payload[..octets], &mut room).unwrap());
                }
                assert_eq!(heard.len(), rate.frame() * 50);
                let measured = level(&heard[rate.frame() * 10..], 700.0, rate);
                assert!((6500.0..9500.0).contains(&measured), "{codec:?} {wanted:?} {measured}");
                let other = level(&heard[rate.frame() * 10..], 1900.0, rate);
                assert!(other < 300.0, "{codec:?} {wanted:?} {other}");
            }
        }
    }

    #[test]
    fn static_types_and_clocks_are_those_of_the_registry() {
        let known: Vec<u8> = (0..=255).filter(|number| Codec::of(*number).is_some()).collect();
        assert_eq!(known, [0, 8, 9]);
        let clocks = ALL.map(|codec| (codec.clock(), codec.rate().hertz()));
        let expected = [
            (8000, 8000),
            (8000, 8000),
            (8000, 16_000),
            (8000, 8000),
            (16_000, 16_000),
            (48_000, 48_000),
            (48_000, 48_000),
        ];
        assert_eq!(clocks, expected);
    }

    #[test]
    fn only_sound_that_fits_is_decoded() {
        let mut room = [0; PACKET_MAX];
        let mut decoder = Decoder::new(Codec::G711(Law::A), Rate::Full).unwrap();
        assert_eq!(decoder.decode(&[0xd5, 0x55], &mut room), Some(&[8, -8][..]));
        assert_eq!(decoder.decode(&[], &mut room), None);
        assert_eq!(decoder.decode(&[0; 961], &mut room), None);
        let mut plain = Decoder::new(Codec::L16(Rate::Narrow), Rate::Full).unwrap();
        assert_eq!(plain.decode(&[1, 2, 3], &mut room), Some(&[258][..]));
        let mut encoder = Encoder::new(Codec::Opus, Rate::Full).unwrap();
        assert_eq!(encoder.encode(&[0; 160], &mut [0; PAYLOAD_MAX]), 0);
    }

    #[test]
    fn a_lost_packet_of_opus_is_told_by_the_next_one() {
        let rate = Rate::Wide;
        let mut encoder = Encoder::new(Codec::Opus, rate).unwrap();
        let mut decoder = Decoder::new(Codec::Opus, rate).unwrap();
        let sent = tone(rate, 300.0, rate.frame() * 40);
        let mut payloads = Vec::new();
        for frame in sent.chunks(rate.frame()) {
            let mut payload = [0; PAYLOAD_MAX];
            let octets = encoder.encode(frame, &mut payload);
            payloads.push(payload[..octets].to_vec());
        }
        let (mut room, mut heard) = ([0; PACKET_MAX], Vec::new());
        for (place, payload) in payloads.iter().enumerate() {
            if place % 10 == 9 {
                let mut gap = vec![0; rate.frame()];
                let next = payloads.get(place + 1).map(Vec::as_slice);
                assert!(decoder.conceal(next, &mut gap));
                heard.extend(gap);
            } else {
                heard.extend_from_slice(decoder.decode(payload, &mut room).unwrap());
            }
        }
        let measured = level(&heard[rate.frame() * 5..], 300.0, rate);
        assert!((6000.0..9500.0).contains(&measured), "{measured}");
        assert!(!decoder.conceal(None, &mut [0; 33]));
        let mut plain = Decoder::new(Codec::G711(Law::A), rate).unwrap();
        assert!(!plain.conceal(None, &mut [0; 160]));
    }

    #[test]
    fn hostile_payloads_never_panic() {
        let mut rng = Rng::from_number(21);
        let mut room = [0; PACKET_MAX];
        for codec in ALL {
            for rate in Rate::ALL {
                let mut decoder = Decoder::new(codec, rate).unwrap();
                for _ in 0..3000 {
                    let mut payload = vec![0; rng.below(1400) as usize];
                    rng.fill(&mut payload);
                    if rng.percent(50) {
                        payload.truncate(rng.below(60) as usize);
                    }
                    let ticks = codec.ticks(&payload);
                    if let Some(pcm) = decoder.decode(&payload, &mut room) {
                        assert!(ticks.is_some() && pcm.len() <= PACKET_MAX);
                    }
                    if rng.percent(10) {
                        decoder.conceal(Some(&payload), &mut vec![0; rate.frame()]);
                        decoder.conceal(None, &mut vec![0; rate.frame()]);
                    }
                }
                let mut encoder = Encoder::new(codec, rate).unwrap();
                for _ in 0..200 {
                    let mut pcm = vec![0; encoder.rate().frame()];
                    pcm.fill_with(|| rng.next_u64() as i16);
                    assert!(encoder.encode(&pcm, &mut [0; PAYLOAD_MAX]) > 0);
                }
            }
        }
    }

    #[test]
    fn time_is_counted_in_whole_frames() {
        for (ms, count) in [(0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (60_000, 3000)] {
            assert_eq!(frames(Duration::from_millis(ms)), count);
        }
    }
}
