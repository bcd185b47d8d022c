//! How one leg of a mix is heard, and how it is spoken to.

use std::time::Duration;

use types::Instant;

use super::keys::{Key, Keys, Press};
use crate::codec::{Codec, Coders, Encoder, FRAME_MAX, PAYLOAD_MAX, Rate};
use crate::dtmf::Detector;
use crate::events::{self, Tone};
use crate::gauge::Gauge;
use crate::jitter::Jitter;
use crate::resample::{Resampler, resampled};
use crate::vad::Speech;

/// What one leg says, and what was done with it.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) jitter: Jitter,
    resampler: Option<Resampler>,
    /// One frame at the rate of the mix.
    pub(super) pcm: Box<[i16; FRAME_MAX]>,
    /// Mean of the samples without their sign, falling slowly.
    pub(super) level: u32,
    /// It is in the sum of this tick.
    pub(super) chosen: bool,
    pub(super) reported: Option<Instant>,
    /// The key that it presses.
    pub(super) pressing: Option<Press>,
    /// Keys in its sound, for a leg without telephone events.
    detector: Detector,
    /// The key that it plays now, by its code, and since when.
    dialing: Option<(u8, Instant)>,
    /// Somebody wants to know when it speaks.
    pub(super) speech: Option<Speech>,
    /// How often somebody wants to know how loud it is.
    pub(super) gauged: Option<Duration>,
    pub(super) gauge: Gauge,
}

/// What makes the payloads of one leg.
#[derive(Debug, Default)]
pub(super) struct Mouth {
    pub(super) encoder: Option<Encoder>,
    resampler: Option<Resampler>,
}

impl Mouth {
    /// An encoder for this codec, fed from a mix of this rate.
    pub(super) fn ready(
        &mut self,
        codec: Codec,
        rate: Rate,
        coders: &Coders,
    ) -> Option<&mut Encoder> {
        let fits = |known: &Encoder| known.codec() == codec && known.rate() == codec.works_at(rate);
        if !self.encoder.as_ref().is_some_and(fits) {
            self.encoder = coders.encoder(codec, rate);
        }
        self.encoder.as_mut()
    }

    /// The payload of one frame of the mix; its octets. `wish`: the mode that the receiver asks for.
    pub(super) fn speak(
        &mut self,
        (codec, wish): (Codec, Option<u8>),
        (rate, pcm): (Rate, &[i16]),
        coders: &Coders,
        payload: &mut [u8; PAYLOAD_MAX],
    ) -> usize {
        let mut room = [0; FRAME_MAX];
        let to = codec.works_at(rate);
        let pcm = resampled(&mut self.resampler, (rate, pcm), to, &mut room);
        let Some(encoder) = self.ready(codec, rate, coders) else { return 0 };
        if let Some(mode) = wish {
            encoder.wish(mode);
        }
        encoder.encode(pcm, payload)
    }
}

impl Ear {
    pub(super) fn new() -> Self {
        Self {
            jitter: Jitter::new(),
            resampler: None,
            pcm: Box::new([0; FRAME_MAX]),
            level: 0,
            chosen: false,
            reported: None,
            pressing: None,
            detector: Detector::default(),
            dialing: None,
            speech: None,
            gauged: None,
            gauge: Gauge::default(),
        }
    }

    /// Whether what it says matters though nobody hears it.
    pub(super) fn matters(&self) -> bool {
        self.speech.is_some() || self.gauged.is_some()
    }

    /// Takes the next frame, at the rate of the mix.
    pub(super) fn listen(&mut self, rate: Rate, coders: &Coders) {
        let (mut room, mut turned) = ([0; FRAME_MAX], [0; FRAME_MAX]);
        self.jitter.want(rate);
        let (from, pcm, _) = self.jitter.take(coders, &mut room);
        let pcm = resampled(&mut self.resampler, (from, pcm), rate, &mut turned);
        for (place, sample) in self.pcm.iter_mut().zip(pcm) {
            *place = *sample;
        }
    }

    /// Looks for keys in its sound: they go on as telephone events, and their tones do not. Gives a key that was let
    /// go, and how long it was held.
    ///
    /// Spec: RFC 4733 §2.5.1
    pub(super) fn detect(
        &mut self,
        seat: u16,
        rate: Rate,
        due: Instant,
        keys: &mut Keys,
    ) -> Option<(u8, Duration)> {
        let frame = self.pcm.get(..rate.frame()).unwrap_or_default();
        let pressed = self.detector.hear(rate, frame).and_then(events::code);
        let before = self.dialing.filter(|_| pressed.is_some());
        if let Some(code) = pressed {
            self.dialing = Some((code, due));
        }
        let over = |(event, began): (u8, Instant)| Some((event, due.since(began)));
        let (event, began) = self.dialing?;
        let end = self.detector.held().is_none();
        let frames = crate::codec::frames(due.since(began)) + u32::from(!end);
        let clock = Rate::Narrow.hertz();
        let duration = u16::try_from(frames * clock / 50).unwrap_or(u16::MAX);
        let payload = Tone { event, end, volume: events::VOLUME, duration }.encode();
        for _ in 0..if end { events::END_REPEATS } else { 1 } {
            keys.push(Key { seat, marker: pressed.is_some(), began, payload, clock });
        }
        if end {
            return self.dialing.take().and_then(over);
        }
        self.pcm.fill(0);
        // Another one without a pause between: the first is over.
        before.and_then(over)
    }

    pub(super) fn frame(&self, rate: Rate) -> &[i16] {
        self.pcm.get(..rate.frame()).unwrap_or_default()
    }
}
