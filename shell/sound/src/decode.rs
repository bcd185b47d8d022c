//! Foreign files in, our samples out: one channel of 16 bits at a rate that legs know.
//!
//! Picture     sniff -> container -> packets -> decoder -> one channel -> rate -> samples
//! Rules       The content decides what it is, not its label. A file that promises more than it has is refused; one that
//!             says that it does not know its length is taken as it is. Between any two packets the decoder can be
//!             stopped, so that no file holds a worker for longer than its time.
//! Limits      [`CLIP_BYTES_MAX`], [`CLIP_LENGTH_MAX`], [`DECODE_TIME_MAX`], [`CHANNELS_MAX`], [`RATE_MAX`].
//! Not here    Who asks, where it is kept (clips).
//! Spec        None; the formats are symphonia's, Opus is libopus's.

use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use media::Rate;
use switchboard::SoundFault;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::rate::Conversion;
use crate::{edits, ogg};

/// The largest file.
pub const CLIP_BYTES_MAX: usize = 40 << 20;
/// The longest clip.
pub const CLIP_LENGTH_MAX: Duration = Duration::from_secs(15 * 60);
/// How long one file may hold a worker.
pub const DECODE_TIME_MAX: Duration = Duration::from_secs(20);
/// Channels of a file; all are mixed into one.
pub const CHANNELS_MAX: usize = 8;
/// Samples a second of a file.
pub const RATE_MAX: u32 = 192_000;
/// The slowest.
pub const RATE_MIN: u32 = 4_000;
/// One packet in so many may be damaged, beside the first few: decoders of MP3 need some of what came before.
const DAMAGED_SHARE: usize = 50;
const DAMAGED_MIN: usize = 3;
/// How much of the promised sound may be missing: encoders round to their own frames.
const MISSING_MAX: Duration = Duration::from_millis(200);
/// Samples of one packet of Opus, RFC 6716 §2.1.4: 120 ms at 48 kHz.
const OPUS_PACKET_MAX: usize = 5_760;

/// The limits that tests make smaller.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// See [`CLIP_LENGTH_MAX`].
    pub length: Duration,
    /// See [`DECODE_TIME_MAX`].
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { length: CLIP_LENGTH_MAX, time: DECODE_TIME_MAX }
    }
}

/// Sound of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The lowest of ours that holds what the file has.
    pub rate: Rate,
    /// In order.
    pub samples: Vec<i16>,
}

impl Decoded {
    /// How long it plays.
    pub fn length(&self) -> Duration {
        length(self.samples.len(), self.rate.hertz())
    }
}

/// How long so many samples are.
pub fn length(samples: usize, hertz: u32) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(hertz.max(1)))
}

/// Decodes a file.
pub fn decode(bytes: Vec<u8>, bounds: &Bounds) -> Result<Decoded, SoundFault> {
    let octets = bytes.len();
    // A decoder that panics on hostile octets must not take the process along.
    catch_unwind(AssertUnwindSafe(|| decode_checked(bytes, bounds))).unwrap_or_else(|_| {
        tracing::error!(octets, "clip_decoder_panicked");
        Err(SoundFault::Damaged)
    })
}

fn decode_checked(mut bytes: Vec<u8>, bounds: &Bounds) -> Result<Decoded, SoundFault> {
    if bytes.len() > CLIP_BYTES_MAX {
        return Err(SoundFault::TooLarge);
    }
    let kind = sniff(&bytes).ok_or(SoundFault::Unsupported)?;
    let wanted = match kind {
        Kind::Wav if !edits::open_ended(&mut bytes) => return Err(SoundFault::CutOff),
        Kind::M4a => edits::edit(&bytes),
        Kind::Ogg => ogg::played(&bytes),
        Kind::Adts | Kind::Flac | Kind::Mp3 | Kind::Wav => None,
    };
    let mut hint = Hint::new();
    hint.with_extension(kind.extension());
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let probe = symphonia::default::get_probe();
    let (format, meta) = (FormatOptions::default(), MetadataOptions::default());
    let mut reader = probe.probe(&hint, source, format, meta).map_err(judge)?;
    let mut run = Run::open(reader.as_mut(), bounds, wanted)?;
    loop {
        match next(reader.as_mut()) {
            Ok(Some(packet)) => run.packet(&packet)?,
            Ok(None) => return run.end(),
            // What breaks off in the middle of a packet is cut off; anything else is damage.
            Err(_) if run.is_short() => return Err(SoundFault::CutOff),
            Err(fault) => return Err(fault),
        }
    }
}

/// The next packet; `None` at the end, and where a file breaks off: whether that matters is seen later.
fn next(reader: &mut dyn FormatReader) -> Result<Option<Packet>, SoundFault> {
    match reader.next_packet() {
        Ok(packet) => Ok(packet),
        // Another stream is chained on: the first is the clip.
        Err(Error::ResetRequired) => Ok(None),
        Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(judge(error)),
    }
}

fn judge(error: Error) -> SoundFault {
    match error {
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => SoundFault::CutOff,
        Error::Unsupported(_) => SoundFault::Unsupported,
        Error::DecodeError(_)
        | Error::IoError(_)
        | Error::LimitError(_)
        | Error::ResetRequired
        | Error::SeekError(_) => SoundFault::Damaged,
        // Later versions may have more.
        _ => SoundFault::Damaged,
    }
}

enum Decoder {
    Opus { decoder: Box<opus::Decoder>, channels: usize },
    Other(Box<dyn AudioDecoder>),
}

/// One file on its way.
struct Run {
    track: u32,
    decoder: Decoder,
    /// Of the file.
    hertz: u32,
    channels: usize,
    /// Samples of a channel that the file promises.
    promised: Option<u64>,
    /// Samples of a channel that were decoded.
    heard: u64,
    /// What an edit list or the pages of Opus leave: from, how many.
    wanted: Option<(u64, u64)>,
    packets: usize,
    damaged: usize,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    conversion: Conversion,
    out: Vec<i16>,
    samples_max: usize,
    until: Instant,
}

impl Run {
    fn open(
        reader: &mut dyn FormatReader,
        bounds: &Bounds,
        wanted: Option<(u64, u64)>,
    ) -> Result<Self, SoundFault> {
        let track = reader.default_track(TrackType::Audio).ok_or(SoundFault::Empty)?;
        let codec = track.codec_params.as_ref().and_then(|params| params.audio());
        let codec = codec.ok_or(SoundFault::Empty)?;
        let is_opus = codec.codec == CODEC_ID_OPUS;
        let hertz = if is_opus { 48_000 } else { codec.sample_rate.ok_or(SoundFault::Damaged)? };
        let channels = codec.channels.as_ref().map_or(1, |channels| channels.count());
        if !(RATE_MIN..=RATE_MAX).contains(&hertz) || !(1..=CHANNELS_MAX).contains(&channels) {
            return Err(SoundFault::Unsupported);
        }
        let promised = track.num_frames;
        let longest = bounds.length.as_secs_f64() * f64::from(hertz);
        if promised.is_some_and(|promised| promised as f64 > longest) {
            return Err(SoundFault::TooLong);
        }
        let decoder = if is_opus {
            let kind = if channels == 1 { opus::Channels::Mono } else { opus::Channels::Stereo };
            // More than two channels are several streams in one packet, RFC 7845 §5.1.1.
            if channels > 2 {
                return Err(SoundFault::Unsupported);
            }
            let decoder = opus::Decoder::new(hertz, kind).map_err(|_| SoundFault::Damaged)?;
            Decoder::Opus { decoder: Box::new(decoder), channels }
        } else {
            let codecs = symphonia::default::get_codecs();
            let made = codecs.make_audio_decoder(codec, &AudioDecoderOptions::default());
            Decoder::Other(made.map_err(judge)?)
        };
        let rate = ours(hertz);
        let samples_max = (bounds.length.as_secs_f64() * f64::from(rate.hertz())) as usize;
        Ok(Self {
            track: track.id,
            decoder,
            hertz,
            channels,
            promised,
            heard: 0,
            wanted,
            packets: 0,
            damaged: 0,
            interleaved: Vec::new(),
            mono: Vec::new(),
            conversion: Conversion::new(hertz, rate)?,
            out: Vec::new(),
            samples_max,
            until: Instant::now() + bounds.time,
        })
    }

    fn packet(&mut self, packet: &Packet) -> Result<(), SoundFault> {
        if Instant::now() > self.until {
            return Err(SoundFault::TooLate);
        }
        if packet.track_id != self.track {
            return Ok(());
        }
        self.packets += 1;
        if !self.samples_of(packet)? {
            self.damaged += 1;
            let allowed = DAMAGED_MIN + self.packets / DAMAGED_SHARE;
            return if self.damaged > allowed { Err(SoundFault::Damaged) } else { Ok(()) };
        }
        self.mix();
        self.conversion.push(&self.mono, &mut self.out)?;
        if self.out.len() > self.samples_max {
            return Err(SoundFault::TooLong);
        }
        Ok(())
    }

    /// Decodes one packet into `interleaved`; `false`: it is damaged.
    fn samples_of(&mut self, packet: &Packet) -> Result<bool, SoundFault> {
        self.interleaved.clear();
        match &mut self.decoder {
            Decoder::Opus { decoder, channels } => {
                self.interleaved.resize(OPUS_PACKET_MAX * *channels, 0.0);
                let decoded = decoder.decode_float(&packet.data, &mut self.interleaved, false);
                let Ok(count) = decoded else { return Ok(false) };
                self.interleaved.truncate(count * *channels);
            }
            Decoder::Other(decoder) => match decoder.decode(packet) {
                Ok(sound) => {
                    // The decoder knows better than the header, but may not change its mind.
                    if self.heard == 0 && sound.spec().rate() == self.hertz {
                        self.channels = sound.spec().channels().count();
                    }
                    let (rate, channels) = (sound.spec().rate(), sound.spec().channels().count());
                    if rate != self.hertz || channels != self.channels || channels > CHANNELS_MAX {
                        return Err(SoundFault::Unsupported);
                    }
                    sound.copy_to_vec_interleaved(&mut self.interleaved);
                }
                Err(Error::DecodeError(_) | Error::IoError(_)) => return Ok(false),
                Err(error) => return Err(judge(error)),
            },
        }
        Ok(true)
    }

    /// All channels in one, without what is not to be played.
    fn mix(&mut self) {
        self.mono.clear();
        let share = 1.0 / self.channels as f32;
        let frames = self.interleaved.chunks_exact(self.channels);
        for frame in frames {
            let place = self.heard;
            self.heard += 1;
            if let Some((from, count)) = self.wanted
                && (place < from || place - from >= count)
            {
                continue;
            }
            // Floats in a file may be no numbers at all.
            let sum: f32 = frame.iter().filter(|sample| sample.is_finite()).sum();
            self.mono.push(sum * share);
        }
    }

    /// Whether the file promised more than it has given.
    fn is_short(&self) -> bool {
        let missing_max = MISSING_MAX.as_secs_f64() * f64::from(self.hertz);
        let missing = self.promised.map_or(0, |promised| promised.saturating_sub(self.heard));
        missing as f64 > missing_max
    }

    fn end(mut self) -> Result<Decoded, SoundFault> {
        self.conversion.end(&mut self.out)?;
        if self.heard == 0 || self.out.is_empty() {
            return Err(if self.damaged > 0 { SoundFault::Damaged } else { SoundFault::Empty });
        }
        if self.is_short() {
            return Err(SoundFault::CutOff);
        }
        if self.out.len() > self.samples_max {
            return Err(SoundFault::TooLong);
        }
        Ok(Decoded { rate: ours(self.hertz), samples: self.out })
    }
}

/// The lowest of our rates that holds a rate of others.
fn ours(hertz: u32) -> Rate {
    let all = [Rate::Narrow, Rate::Wide, Rate::Full];
    all.into_iter().find(|rate| rate.hertz() >= hertz).unwrap_or(Rate::Full)
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Adts,
    Flac,
    M4a,
    Mp3,
    Ogg,
    Wav,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Adts => "aac",
            Self::Flac => "flac",
            Self::M4a => "m4a",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Wav => "wav",
        }
    }
}

/// By the first octets; anything else is none of ours.
fn sniff(bytes: &[u8]) -> Option<Kind> {
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Kind::Wav),
        [b'f', b'L', b'a', b'C', ..] => Some(Kind::Flac),
        [b'O', b'g', b'g', b'S', ..] => Some(Kind::Ogg),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Kind::M4a),
        [b'I', b'D', b'3', ..] => Some(Kind::Mp3),
        // Frames of MPEG begin with eleven or twelve ones; the layer follows.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Kind::Adts),
        [0xff, second, ..] if second & 0xe6 == 0xe2 => Some(Kind::Mp3),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
