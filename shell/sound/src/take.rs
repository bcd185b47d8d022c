//! One recording while it is made: frames of a tap in, a file that can be read at any time out.
//!
//! Picture     frame --time--> silence for what is missing, both channels --trim--> file --end--> its head is right
//! Rules       Time in the file is time at the tap, but for what was paused or trimmed. What was written is in the
//!             hands of the system at once and on the disk every [`SYNC_EVERY`]; a process that is killed leaves a file
//!             that [`mend`] makes whole.
//! Limits      [`RECORD_LENGTH_MAX`]; [`RECORD_BYTES_MAX`]; [`QUIET_MAX`] of silence is held back when it is to be trimmed.
//! Not here    Threads, queues, where files go (recorder).
//! Spec        RIFF WAVE; RFC 7845.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use switchboard::{RecordEnd, RecordFormat, Recording};

use crate::decode::length;
use crate::ogg::{self, Pages};
use crate::wav;

/// The longest recording.
pub const RECORD_LENGTH_MAX: Duration = Duration::from_secs(4 * 3_600);
/// The largest file: what a blob may have.
pub const RECORD_BYTES_MAX: u64 = blobs::BLOB_BYTES_MAX as u64 - (1 << 20);
/// How much sound the disk may not have yet.
pub const SYNC_EVERY: Duration = Duration::from_secs(5);
/// Silence that is held back until it is known whether it is the end; more is written.
pub const QUIET_MAX: Duration = Duration::from_secs(30);
/// What is louder is no silence: -44 dBFS.
pub const QUIET_LEVEL: u16 = 200;
/// How much silence stays before the first sound and behind the last.
const MARGIN: Duration = Duration::from_millis(100);
/// Bits a second of a channel of Opus.
const OPUS_BITS: i32 = 24_000;
/// The largest packet of Opus. Spec: RFC 6716 §3.2.1
const OPUS_OCTETS_MAX: usize = 1_276;

/// A recording that goes on.
pub struct Take {
    recording: Recording,
    file: File,
    form: Form,
    /// The frame of this moment; what follows may be its other channel.
    moment: Option<Moment>,
    /// Samples of the tap's time that are dealt with; `None`: the next frame says.
    due: Option<u64>,
    pause: Pause,
    /// Interleaved, held back since it is silence so far.
    quiet: Vec<i16>,
    /// Something was heard.
    begun: bool,
    /// Samples of a channel in the file.
    samples: u64,
    samples_max: u64,
    octets: u64,
    synced: u64,
    loudest: u16,
}

/// Whether what comes is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    No,
    /// Silence stands in its place.
    Silent,
    /// Nothing does.
    Skipped,
}

struct Moment {
    at: u64,
    channels: [Vec<i16>; 2],
}

enum Form {
    Ogg { encoder: opus::Encoder, pages: Pages, waiting: Vec<i16>, encoded: u64, skip: u64 },
    Wav,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How long it plays.
    pub length: Duration,
    /// The largest sample; `None`: not known.
    pub loudest: Option<u16>,
    /// Why.
    pub end: RecordEnd,
}

impl Take {
    /// Begins a file. `serial` tells its stream from others (Ogg).
    pub fn begin(recording: Recording, path: &Path, serial: u32) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let (hertz, channels) = (recording.rate.hertz(), recording.channels.clamp(1, 2));
        let recording = Recording { channels, ..recording };
        let (form, head) = match recording.format {
            RecordFormat::Wav => (Form::Wav, wav::head(hertz, channels, 0).to_vec()),
            RecordFormat::OggOpus => {
                let kind =
                    if channels == 1 { opus::Channels::Mono } else { opus::Channels::Stereo };
                let mut encoder =
                    opus::Encoder::new(hertz, kind, opus::Application::Audio).map_err(other)?;
                let bits = opus::Bitrate::Bits(OPUS_BITS * i32::from(channels));
                encoder.set_bitrate(bits).map_err(other)?;
                let ahead = encoder.get_lookahead().map_err(other)?;
                let skip = u64::try_from(ahead).unwrap_or(0) * ogg::CLOCK / u64::from(hertz);
                let mut pages = Pages::new(serial);
                let head = pages.head(channels, u16::try_from(skip).unwrap_or(0), hertz);
                let (waiting, encoded) = (Vec::new(), 0);
                (Form::Ogg { encoder, pages, waiting, encoded, skip }, head)
            }
        };
        file.write_all(&head)?;
        let max = if recording.max.is_zero() { RECORD_LENGTH_MAX } else { recording.max };
        let max = max.min(RECORD_LENGTH_MAX);
        Ok(Self {
            samples_max: (max.as_micros() as u64).saturating_mul(hertz.into()) / 1_000_000,
            recording,
            file,
            form,
            moment: None,
            due: Some(0),
            pause: Pause::No,
            quiet: Vec::new(),
            begun: false,
            samples: 0,
            octets: head.len() as u64,
            synced: 0,
            loudest: 0,
        })
    }

    /// Takes one frame. `Some`: it is over by itself, and [`end`](Self::end) is due.
    pub fn frame(&mut self, channel: u8, at: u64, samples: &[i16]) -> Option<RecordEnd> {
        if self.pause == Pause::Skipped {
            return None;
        }
        if self.moment.as_ref().is_some_and(|moment| moment.at != at)
            && let Err(end) = self.settle()
        {
            return Some(end);
        }
        let moment = self.moment.get_or_insert_with(|| Moment { at, channels: Default::default() });
        if let Some(place) = moment.channels.get_mut(usize::from(channel)) {
            place.clear();
            match self.pause {
                Pause::Silent => place.resize(samples.len(), 0),
                Pause::No | Pause::Skipped => place.extend_from_slice(samples),
            }
        }
        None
    }

    /// What comes from now on is left out; `silent`: its time goes on, in silence.
    pub fn pause(&mut self, silent: bool) -> Option<RecordEnd> {
        let settled = self.settle();
        self.pause = if silent { Pause::Silent } else { Pause::Skipped };
        if !silent {
            self.due = None;
        }
        settled.err()
    }

    /// Goes on with the next frame.
    pub fn resume(&mut self) {
        self.pause = Pause::No;
    }

    /// Makes the file whole. `Err`: the disk; what is written stays, for [`mend`].
    pub fn end(mut self, end: RecordEnd) -> io::Result<Ended> {
        let end = match self.settle() {
            Err(over) if end == RecordEnd::Asked => over,
            Ok(()) | Err(_) => end,
        };
        if end == RecordEnd::Disk {
            return Err(io::Error::other("the disk took no more before"));
        }
        // Behind the last sound a margin stays; of a recording of silence alone nothing does.
        let kept = if self.begun { self.margin().min(self.quiet.len()) } else { 0 };
        let quiet: Vec<i16> = self.quiet.drain(..).take(kept).collect();
        self.write(&quiet)?;
        self.close()?;
        self.head()?;
        self.file.sync_all()?;
        let hertz = self.recording.rate.hertz();
        let length = length(usize::try_from(self.samples).unwrap_or(usize::MAX), hertz);
        Ok(Ended { length, loudest: Some(self.loudest), end })
    }

    /// Samples of all channels that stay beside sound.
    fn margin(&self) -> usize {
        let samples = MARGIN.as_millis() as usize * self.recording.rate.hertz() as usize / 1_000;
        samples * usize::from(self.recording.channels)
    }

    /// The frame of this moment is whole: it goes on, behind silence for what is missing before it.
    fn settle(&mut self) -> Result<(), RecordEnd> {
        let Some(moment) = self.moment.take() else { return Ok(()) };
        let [said, heard] = &moment.channels;
        let count = said.len().max(heard.len());
        let at = |channel: &[i16], place: usize| channel.get(place).copied().unwrap_or(0);
        let channels = usize::from(self.recording.channels);
        let mut frame = Vec::with_capacity(count * channels);
        for place in 0..count {
            let (said, heard) = (at(said, place), at(heard, place));
            match channels {
                1 => frame.push(said.saturating_add(heard)),
                _ => frame.extend([said, heard]),
            }
        }
        let missing = moment.at.saturating_sub(self.due.unwrap_or(moment.at));
        self.due = Some(moment.at + count as u64);
        if missing > 0 {
            // As much as may be recorded at all: a forged time fills no disk.
            let missing = missing.min(self.samples_max.saturating_sub(self.samples) + 1);
            let step = u64::from(self.recording.rate.hertz());
            let mut left = missing;
            while left > 0 {
                let part = left.min(step);
                left -= part;
                self.sound(&vec![0; part as usize * channels])?;
            }
        }
        self.sound(&frame)
    }

    /// Holds silence back where it may have to go.
    fn sound(&mut self, frame: &[i16]) -> Result<(), RecordEnd> {
        let loudest = frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let is_quiet = loudest < QUIET_LEVEL;
        let held = if self.recording.trim && is_quiet {
            self.quiet.extend_from_slice(frame);
            let hertz = self.recording.rate.hertz() as usize;
            let channels = usize::from(self.recording.channels);
            let max = QUIET_MAX.as_secs() as usize * hertz * channels;
            // Before the first sound only a margin stays.
            let max = if self.begun { max } else { self.margin() };
            let over = self.quiet.len().saturating_sub(max);
            let over: Vec<i16> = self.quiet.drain(..over).collect();
            if !self.begun {
                return Ok(());
            }
            over
        } else {
            self.begun = true;
            let mut held = std::mem::take(&mut self.quiet);
            held.extend_from_slice(frame);
            held
        };
        self.loudest = self.loudest.max(loudest);
        let channels = u64::from(self.recording.channels);
        let room = (self.samples_max.saturating_sub(self.samples) * channels) as usize;
        let fits = held.get(..room.min(held.len())).unwrap_or_default();
        self.write(fits).map_err(|_| RecordEnd::Disk)?;
        let is_full = self.samples >= self.samples_max || self.octets >= RECORD_BYTES_MAX;
        if is_full { Err(RecordEnd::Length) } else { Ok(()) }
    }

    fn write(&mut self, interleaved: &[i16]) -> io::Result<()> {
        let channels = usize::from(self.recording.channels);
        let count = (interleaved.len() / channels) as u64;
        let octets = match &mut self.form {
            Form::Wav => interleaved.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
            Form::Ogg { encoder, pages, waiting, encoded, .. } => {
                waiting.extend_from_slice(interleaved);
                let rate = self.recording.rate;
                let mut out = Vec::new();
                while waiting.len() >= rate.frame() * channels {
                    let frame: Vec<i16> = waiting.drain(..rate.frame() * channels).collect();
                    let packet = encoder.encode_vec(&frame, OPUS_OCTETS_MAX).map_err(other)?;
                    *encoded += 960;
                    out.extend(pages.packet(packet, *encoded));
                }
                out
            }
        };
        self.file.write_all(&octets)?;
        self.octets += octets.len() as u64;
        self.samples += count;
        if self.samples - self.synced
            >= SYNC_EVERY.as_secs() * u64::from(self.recording.rate.hertz())
        {
            self.synced = self.samples;
            if matches!(self.form, Form::Wav) {
                self.head()?;
            }
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The end of what is encoded: the sound, and as much silence as the decoder is behind.
    fn close(&mut self) -> io::Result<()> {
        let Form::Ogg { encoder, pages, waiting, encoded, skip } = &mut self.form else {
            return Ok(());
        };
        let clock = ogg::CLOCK / u64::from(self.recording.rate.hertz());
        let position = *skip + self.samples * clock;
        let frame = self.recording.rate.frame() * usize::from(self.recording.channels);
        let mut out = Vec::new();
        while *encoded < position {
            waiting.resize(frame, 0);
            let packet = encoder.encode_vec(waiting, OPUS_OCTETS_MAX).map_err(other)?;
            waiting.clear();
            *encoded += 960;
            out.extend(pages.packet(packet, *encoded));
        }
        out.extend(pages.end(position));
        self.file.write_all(&out)?;
        self.octets += out.len() as u64;
        Ok(())
    }

    /// Writes the head anew, with the length of now.
    fn head(&mut self) -> io::Result<()> {
        if !matches!(self.form, Form::Wav) {
            return Ok(());
        }
        let channels = self.recording.channels;
        // A disk that took half a sample: what is beyond the last whole one goes.
        let octets = self.samples * u64::from(channels) * 2;
        self.file.set_len(wav::HEAD as u64 + octets)?;
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&wav::head(self.recording.rate.hertz(), channels, octets))?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

fn other(error: opus::Error) -> io::Error {
    io::Error::other(error)
}

/// Makes a file whole that a killed process left, and says how long it is. Errors: the disk, or it is no such file.
pub fn mend(path: &Path) -> io::Result<Ended> {
    let bytes = std::fs::read(path)?;
    let no = || io::Error::new(io::ErrorKind::InvalidData, "no recording of ours");
    let mut file = OpenOptions::new().write(true).open(path)?;
    let end = RecordEnd::Interrupted;
    if bytes.starts_with(b"OggS") {
        let last = ogg::whole(&bytes).ok_or_else(no)?;
        let (_, samples) = ogg::played(&bytes).ok_or_else(no)?;
        let (from, to) = last.page;
        // No more pages come: readers want the last one to say so.
        file.seek(SeekFrom::Start(from as u64))?;
        file.write_all(&ogg::last(bytes.get(from..to).unwrap_or_default()))?;
        file.set_len(to as u64)?;
        file.sync_all()?;
        let length = Duration::from_micros(samples * 1_000_000 / ogg::CLOCK);
        return Ok(Ended { length, loudest: None, end });
    }
    let head = bytes.first_chunk::<{ wav::HEAD }>().filter(|head| head.starts_with(b"RIFF"));
    let head = head.ok_or_else(no)?;
    let channels = *head.get(22).filter(|channels| (1..=2).contains(*channels)).ok_or_else(no)?;
    let hertz = head.get(24..28).and_then(|four| four.first_chunk()).ok_or_else(no)?;
    let hertz = u32::from_le_bytes(*hertz);
    let frame = usize::from(channels) * 2;
    let sound = bytes.get(wav::HEAD..).unwrap_or_default();
    let count = sound.len() / frame;
    let octets = u32::try_from(count * frame).unwrap_or(u32::MAX);
    file.set_len((wav::HEAD + count * frame) as u64)?;
    file.write_all(&wav::head(hertz, channels, octets))?;
    file.sync_all()?;
    let samples =
        sound.chunks_exact(2).filter_map(|two| Some(i16::from_le_bytes(*two.first_chunk()?)));
    let loudest = samples.map(i16::unsigned_abs).max().unwrap_or(0);
    Ok(Ended { length: length(count, hertz), loudest: Some(loudest), end })
}

#[cfg(test)]
mod tests;
