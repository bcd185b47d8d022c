//! Sound that is played, and sound that is kept: what a room asks of the door that decodes, speaks and records.
//!
//! Picture     clip(source) -> ticket -> Reply::Clip
//!             record(tap) -> ticket, pause, resume, finish(tap) or an end of its own -> Reply::Recorded
//! Rules       A clip is named by its content: whoever asks twice gets the same one, and it is decoded once. A recording
//!             is answered once, at its end, however it ends; what was recorded until then is kept.
//! Limits      Those of the door; what is over one has a row below.
//! Not here    Decoding, voices and files (shell/sound); playing and tapping (media).
//! Spec        None.

use std::time::Duration;

use media::{ClipId, TapId};
use serde::{Deserialize, Serialize};

use crate::input::Ticket;
use crate::service::RefusalRow;

/// Where a clip comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClipSource {
    /// A file: wav, mp3, ogg (Opus, Vorbis), flac, m4a. Its content decides which, not its label.
    Bytes {
        /// As it was offered.
        bytes: Vec<u8>,
        /// Brought to -19 LUFS, so that clips of all makers are as loud as each other.
        even: bool,
    },
    /// One that was made before and is perhaps no longer at hand.
    Known(ClipId),
    /// Words to be spoken.
    Speech {
        /// At most `TEXT_MAX` octets.
        text: String,
        /// As in BCP 47; empty: the voice's own.
        language: String,
        /// One of `[speech]`; empty: the first that speaks the language.
        voice: String,
    },
    /// A file of somebody else's server, fetched under `guard.http_targets`.
    Url {
        /// `http://` or `https://`.
        url: String,
        /// As of [`ClipSource::Bytes`].
        even: bool,
    },
}

/// A clip that can be played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipFact {
    /// How the media engine calls it.
    pub id: ClipId,
    /// How long it plays.
    pub length: Duration,
    /// Where it can be fetched: `/media/{hash}.wav`, as long as it is kept.
    pub address: String,
    /// Octets of that file.
    pub octets: u64,
}

/// How a recording is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordFormat {
    /// Opus in Ogg, RFC 7845.
    OggOpus,
    /// PCM of 16 bits.
    #[default]
    Wav,
}

/// What is to be recorded, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The tap that it listens by; the room opens and closes it.
    pub tap: TapId,
    /// How the room finds it again after a restart: letters, digits and `_`, at most 64, never used twice.
    pub name: String,
    /// Samples a second of the tap.
    pub rate: media::Rate,
    /// 1, or 2: the leg's own voice left, what it hears right.
    pub channels: u8,
    /// The kind of file.
    pub format: RecordFormat,
    /// Silence at both ends is left out.
    pub trim: bool,
    /// The longest; then it ends by itself. Zero: as long as any may be.
    pub max: Duration,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordEnd {
    /// The room said so, or the tap was closed.
    Asked,
    /// The disk took no more.
    Disk,
    /// The process ended; the file was mended at the next start.
    Interrupted,
    /// It became as long as it may be.
    Length,
}

/// A recording that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedFact {
    /// The SHA-256 of its file.
    pub hash: String,
    /// Where it can be fetched: `/media/{hash}.{wav|ogg}`.
    pub address: String,
    /// How long it plays.
    pub length: Duration,
    /// Octets of its file.
    pub octets: u64,
    /// The largest sample, without its sign: 0 of only silence, `None` where it is not known (a mended Ogg).
    pub loudest: Option<u16>,
    /// Why it ended.
    pub end: RecordEnd,
}

/// Samples of one channel as a WAV file, for [`ClipSource::Bytes`].
pub fn file(rate: u32, samples: &[i16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(44 + samples.len() * 2);
    let octets = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&octets.saturating_add(36).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&(rate * 2).to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&octets.to_le_bytes());
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}

/// What the rest of the house is to do about sound.
#[derive(Clone, Debug, PartialEq)]
pub enum SoundOrder {
    /// Makes a clip; answered by `Reply::Clip`.
    Clip {
        /// Names the answer.
        ticket: Ticket,
        /// Of what.
        source: ClipSource,
    },
    /// Ends a recording; its own ticket is answered.
    Finish(TapId),
    /// Deletes what is kept of a clip or a recording.
    Forget {
        /// The SHA-256 of its file.
        hash: String,
    },
    /// Leaves out what comes from now on.
    Pause {
        /// Of which recording.
        tap: TapId,
        /// Its time goes on, in silence; else nothing is left of it.
        silent: bool,
    },
    /// Begins a recording; answered by `Reply::Recorded` at its end.
    Record {
        /// Names the answer.
        ticket: Ticket,
        /// What and how.
        recording: Recording,
    },
    /// Asks for a recording that this process did not end; answered by `Reply::Recorded`.
    Recovered {
        /// Names the answer.
        ticket: Ticket,
        /// [`Recording::name`].
        name: String,
    },
    /// Takes up again what was paused.
    Resume(TapId),
}

crate::refusals! {
    /// Why there is no clip or no recording: see the rows of [`ROWS`], which stand in the same order.
    #[derive(serde::Serialize, serde::Deserialize)]
    pub enum SoundFault {
        /// Too many wait for a worker.
        Busy,
        /// The file ends before the sound that it promises.
        CutOff,
        /// The file cannot be decoded.
        Damaged,
        /// The file has no sound.
        Empty,
        /// The address did not give a file.
        NotFetched,
        /// Nothing is kept under this name.
        Missing,
        /// No voice speaks this.
        NoVoice,
        /// The program or the server of the voice failed.
        SpeechFailed,
        /// The disk did not take it, or did not give it back.
        Store,
        /// The text is too long, or empty.
        TextBounds,
        /// It took longer than a clip may take.
        TooLate,
        /// The sound is too long.
        TooLong,
        /// The file is too large.
        TooLarge,
        /// The content is no sound that we decode.
        Unsupported,
        /// Nobody turns speech into words here.
        NoListener,
        /// The program or the server that finds words failed.
        ListenerFailed,
    }
    rows ROWS;
    retry 5: Busy | Store;
}

/// The rows for help pages, in the order of the variants.
pub const ROWS: &[RefusalRow] = &[
    RefusalRow::new(
        ("sound.busy", 2201, 503, 503),
        "try again in a moment",
        "too many clips or recordings are being made",
        "The workers that decode, speak and record are busy and their queue is full. If it stays, the node has too few cores for what it is asked.",
    ),
    RefusalRow::new(
        ("sound.cut_off", 2202, 488, 422),
        "upload the whole file",
        "the file ends before the sound that it promises",
        "Its header names more sound than follows: an upload that broke off, or a header that lies. `ffprobe FILE` shows what it promises.",
    ),
    RefusalRow::new(
        ("sound.damaged", 2203, 488, 422),
        "encode the file anew, for instance `ffmpeg -i FILE new.wav`",
        "the file cannot be decoded",
        "It looks like sound, but what follows is not what its format allows. AAC must be AAC-LC; WAV may hold PCM, floats, A-law, mu-law or ADPCM.",
    ),
    RefusalRow::new(
        ("sound.empty", 2204, 488, 422),
        "choose a file with at least one sample",
        "the file has no sound",
        "The file can be read, but there is no track of sound, or the track is empty.",
    ),
    RefusalRow::new(
        ("sound.not_fetched", 2205, 502, 502),
        "fetch it with `curl -v` from the machine of the node",
        "the address did not give a file",
        "The server did not answer in time, answered with something other than 200, sent more than a clip may have, or `guard.http_targets` does not allow the address.",
    ),
    RefusalRow::new(
        ("sound.missing", 2206, 404, 404),
        "upload it again, or list /v1/media",
        "nothing is kept under this name",
        "The clip or recording was deleted, or belongs to another node.",
    ),
    RefusalRow::new(
        ("sound.no_voice", 2207, 488, 422),
        "install `flite` (English) or `espeak-ng` (others), or set `[speech]`",
        "no voice speaks this",
        "Speech is made by programs of the system: `apt install flite espeak-ng`. Another program or a server is named in `[speech]`. `tried` names the voice and the language.",
    ),
    RefusalRow::new(
        ("sound.speech_failed", 2208, 502, 502),
        "look into the log for what the voice said",
        "the voice failed",
        "The program of the voice ended with an error, took too long, or gave something that is no sound; or the server of the voice did.",
    ),
    RefusalRow::new(
        ("sound.store", 2209, 500, 500),
        "make room on the disk of `node.data`",
        "the disk did not take the sound, or did not give it back",
        "The disk is full, cannot be written to, or gave back other octets than were written. The log names the file.",
    ),
    RefusalRow::new(
        ("sound.text_bounds", 2210, 488, 422),
        "say it in several parts",
        "the text is empty or too long to be spoken at once",
        "A text has 1 to 4,096 octets.",
    ),
    RefusalRow::new(
        ("sound.too_late", 2211, 488, 422),
        "use a shorter or simpler file, WAV or MP3 for instance",
        "the file took too long to decode",
        "Decoding is given 20 seconds; files that need more are mostly made to be slow.",
    ),
    RefusalRow::new(
        ("sound.too_long", 2212, 488, 422),
        "cut it to at most 15 minutes",
        "the sound is longer than 15 minutes",
        "A clip has 15 minutes at most. A longer one can be played as a list of several.",
    ),
    RefusalRow::new(
        ("sound.too_large", 2213, 488, 413),
        "use MP3, Ogg or a lower rate: 8 kHz and one channel are enough for most phones",
        "the file has more than 40 MiB",
        "A file has 40 MiB at most; no phone hears more than 48 kHz with one channel.",
    ),
    RefusalRow::new(
        ("sound.unsupported", 2214, 488, 415),
        "use wav, mp3, ogg, flac or m4a",
        "the content is no sound that the server decodes",
        "The content decides, not the name or the label. A web page instead of a file is the usual cause when an address was given.",
    ),
    RefusalRow::new(
        ("sound.no_listener", 2215, 488, 422),
        "set `transcription.url` or `transcription.command`",
        "nobody turns speech into words here",
        "Speech is recognised by a server that takes files as OpenAI's transcriptions do, or by a program of the operator's: `[transcription]` names it. Keys are heard without it.",
    ),
    RefusalRow::new(
        ("sound.listener_failed", 2216, 502, 502),
        "look into the log for what it said",
        "the program or the server that finds words failed",
        "It ended with an error, took too long, or answered with something that has no words.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use types::Refuse as _;

    #[test]
    fn rows_stand_in_the_order_of_the_variants() {
        assert_eq!(SoundFault::ALL.len(), ROWS.len());
        for (place, fault) in (2201..).zip(SoundFault::ALL) {
            assert_eq!(fault.verdict().number, place, "{fault:?}");
        }
        assert_eq!(SoundFault::Unsupported.verdict().code, "sound.unsupported");
    }
}
