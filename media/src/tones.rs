//! The tones that a network says to its callers, as each country knows them.
//!
//! Picture     (country, signal) --row--> frequencies and beats --fill(rate)--> frames without end
//! Rules       A row is two frequencies, 0 where there is one alone, and lengths of sound and silence in turn; without
//!             lengths it never pauses. Phases go on from frame to frame. Where a country has no row for congestion, it
//!             says busy.
//! Not here    When a tone is played, and to whom (engine).
//! Spec        ITU-T E.180 (what the tones mean), ITU-T E.180 Supplement 2 (the tones of the countries), and the
//!             national documents that the rows name.

use std::f32::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::codec::Rate;

/// The peak of each of two frequencies: about -16 dBm0.
const LOUD: f32 = 3500.0;

/// Whose tones, by the country's code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Country {
    /// Austria.
    At,
    /// Australia.
    Au,
    /// Germany.
    De,
    /// Spain.
    Es,
    /// Finland.
    Fi,
    /// France.
    Fr,
    /// United Kingdom.
    Gb,
    /// Italy.
    It,
    /// Netherlands.
    Nl,
    /// Norway.
    No,
    /// New Zealand.
    Nz,
    /// Sweden.
    Se,
    /// United States and Canada.
    #[default]
    Us,
}

impl Country {
    /// The country of a two-letter code, in either case; `uk` is the United Kingdom, too, and `ca` as the United States.
    pub fn of(code: &str) -> Option<Self> {
        let known = [
            ("at", Self::At),
            ("au", Self::Au),
            ("ca", Self::Us),
            ("de", Self::De),
            ("es", Self::Es),
            ("fi", Self::Fi),
            ("fr", Self::Fr),
            ("gb", Self::Gb),
            ("it", Self::It),
            ("nl", Self::Nl),
            ("no", Self::No),
            ("nz", Self::Nz),
            ("se", Self::Se),
            ("uk", Self::Gb),
            ("us", Self::Us),
        ];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(code)).map(|(_, found)| found)
    }
}

/// What a tone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// The one who was called talks to somebody else.
    Busy,
    /// The network has no way.
    Congestion,
    /// Dial now.
    Dial,
    /// The phone of the one who was called rings.
    Ringing,
}

/// One tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub country: Country,
    /// What it says.
    pub signal: Signal,
    /// Hertz; 0 is none.
    pub tones: [u16; 2],
    /// Milliseconds of sound and of silence, in turn.
    pub beats: &'static [u16],
    /// Where it stands.
    pub source: &'static str,
}

const E180: &str = "ITU-T E.180 Supplement 2";
const SIN350: &str = "BT SIN 350";

const fn row(
    country: Country,
    signal: Signal,
    tones: [u16; 2],
    beats: &'static [u16],
    source: &'static str,
) -> Row {
    Row { country, signal, tones, beats, source }
}

/// All that we know.
pub const ROWS: [Row; 50] = [
    row(Country::At, Signal::Busy, [440, 0], &[400, 400], E180),
    row(Country::At, Signal::Congestion, [440, 0], &[200, 200], E180),
    row(Country::At, Signal::Dial, [440, 0], &[], E180),
    row(Country::At, Signal::Ringing, [440, 0], &[1000, 5000], E180),
    row(Country::Au, Signal::Busy, [425, 0], &[375, 375], E180),
    row(Country::Au, Signal::Dial, [413, 438], &[], E180),
    row(Country::Au, Signal::Ringing, [413, 438], &[400, 200, 400, 2000], E180),
    row(Country::De, Signal::Busy, [425, 0], &[480, 480], E180),
    row(Country::De, Signal::Congestion, [425, 0], &[240, 240], E180),
    row(Country::De, Signal::Dial, [425, 0], &[], E180),
    row(Country::De, Signal::Ringing, [425, 0], &[1000, 4000], E180),
    row(Country::Es, Signal::Busy, [425, 0], &[200, 200], E180),
    row(Country::Es, Signal::Congestion, [425, 0], &[200, 200, 200, 200, 200, 600], E180),
    row(Country::Es, Signal::Dial, [425, 0], &[], E180),
    row(Country::Es, Signal::Ringing, [425, 0], &[1500, 3000], E180),
    row(Country::Fi, Signal::Busy, [425, 0], &[300, 300], E180),
    row(Country::Fi, Signal::Congestion, [425, 0], &[200, 200], E180),
    row(Country::Fi, Signal::Dial, [425, 0], &[], E180),
    row(Country::Fi, Signal::Ringing, [425, 0], &[1000, 4000], E180),
    row(Country::Fr, Signal::Busy, [440, 0], &[500, 500], E180),
    row(Country::Fr, Signal::Dial, [440, 0], &[], E180),
    row(Country::Fr, Signal::Ringing, [440, 0], &[1500, 3500], E180),
    row(Country::Gb, Signal::Busy, [400, 0], &[375, 375], SIN350),
    row(Country::Gb, Signal::Congestion, [400, 0], &[400, 350, 225, 525], SIN350),
    row(Country::Gb, Signal::Dial, [350, 440], &[], SIN350),
    row(Country::Gb, Signal::Ringing, [400, 450], &[400, 200, 400, 2000], SIN350),
    row(Country::It, Signal::Busy, [425, 0], &[500, 500], E180),
    row(Country::It, Signal::Congestion, [425, 0], &[200, 200], E180),
    row(Country::It, Signal::Dial, [425, 0], &[200, 200, 600, 1000], E180),
    row(Country::It, Signal::Ringing, [425, 0], &[1000, 4000], E180),
    row(Country::Nl, Signal::Busy, [425, 0], &[500, 500], E180),
    row(Country::Nl, Signal::Congestion, [425, 0], &[250, 250], E180),
    row(Country::Nl, Signal::Dial, [425, 0], &[], E180),
    row(Country::Nl, Signal::Ringing, [425, 0], &[1000, 4000], E180),
    row(Country::No, Signal::Busy, [425, 0], &[500, 500], E180),
    row(Country::No, Signal::Congestion, [425, 0], &[200, 200], E180),
    row(Country::No, Signal::Dial, [425, 0], &[], E180),
    row(Country::No, Signal::Ringing, [425, 0], &[1000, 4000], E180),
    row(Country::Nz, Signal::Busy, [400, 0], &[500, 500], E180),
    row(Country::Nz, Signal::Congestion, [400, 0], &[250, 250], E180),
    row(Country::Nz, Signal::Dial, [400, 0], &[], E180),
    row(Country::Nz, Signal::Ringing, [400, 450], &[400, 200, 400, 2000], E180),
    row(Country::Se, Signal::Busy, [425, 0], &[250, 250], E180),
    row(Country::Se, Signal::Congestion, [425, 0], &[250, 750], E180),
    row(Country::Se, Signal::Dial, [425, 0], &[], E180),
    row(Country::Se, Signal::Ringing, [425, 0], &[1000, 5000], E180),
    row(Country::Us, Signal::Busy, [480, 620], &[500, 500], E180),
    row(Country::Us, Signal::Congestion, [480, 620], &[250, 250], E180),
    row(Country::Us, Signal::Dial, [350, 440], &[], E180),
    row(Country::Us, Signal::Ringing, [440, 480], &[2000, 4000], E180),
];

/// Up to two frequencies with their beats, being played.
#[derive(Clone, Copy, Debug)]
pub struct Chord {
    tones: [f32; 2],
    beats: &'static [u16],
    loud: f32,
    /// Milliseconds since it began, by frames.
    at: u32,
    phases: [f32; 2],
}

impl Chord {
    /// The tone of a country.
    pub fn new(country: Country, signal: Signal) -> Self {
        let row =
            |signal| ROWS.iter().find(move |row| row.country == country && row.signal == signal);
        let known = row(signal).or_else(|| row(Signal::Busy));
        let (tones, beats) = known.map_or(([0, 0], &[][..]), |row| (row.tones, row.beats));
        Self { beats, ..Self::of(tones.map(f32::from), LOUD) }
    }

    /// Two frequencies without a pause, of this peak each.
    pub const fn of(tones: [f32; 2], loud: f32) -> Self {
        Self { tones, beats: &[], loud, at: 0, phases: [0.0; 2] }
    }

    /// The next 20 ms. Beats begin and end within a frame where their lengths ask for it.
    pub fn fill(&mut self, rate: Rate, out: &mut [i16]) {
        let hertz = rate.hertz();
        for (place, sample) in out.iter_mut().enumerate() {
            let ms = self.at + (place as u32 * 1000) / hertz;
            let mut value = 0.0;
            for (tone, phase) in self.tones.iter().zip(&mut self.phases) {
                if *tone > 0.0 {
                    value += phase.sin();
                    *phase = (*phase + TAU * *tone / hertz as f32) % TAU;
                }
            }
            *sample = if self.sounds(ms) { (value * self.loud) as i16 } else { 0 };
        }
        self.at = (self.at + 20) % self.round().max(20);
    }

    /// Milliseconds until it begins anew.
    fn round(&self) -> u32 {
        self.beats.iter().map(|beat| u32::from(*beat)).sum()
    }

    fn sounds(&self, ms: u32) -> bool {
        let mut left = ms % self.round().max(1);
        for (place, beat) in self.beats.iter().enumerate() {
            match left.checked_sub(u32::from(*beat)) {
                None => return place % 2 == 0,
                Some(rest) => left = rest,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hear::level;

    #[test]
    fn no_country_has_a_tone_twice_and_each_has_those_it_needs() {
        for row in ROWS {
            let same = |other: &&Row| (other.country, other.signal) == (row.country, row.signal);
            assert_eq!(ROWS.iter().filter(same).count(), 1, "{row:?}");
            assert!(row.beats.len() % 2 == 0 && !row.source.is_empty(), "{row:?}");
            for signal in [Signal::Busy, Signal::Dial, Signal::Ringing] {
                assert!(ROWS.iter().any(|r| (r.country, r.signal) == (row.country, signal)));
            }
        }
    }

    #[test]
    fn countries_are_known_by_their_code() {
        assert_eq!(Country::of("DE"), Some(Country::De));
        assert_eq!(Country::of("uk"), Some(Country::Gb));
        assert_eq!(Country::of("xx"), None);
    }

    #[test]
    fn tones_are_as_high_and_as_long_as_their_row_says() {
        for row in ROWS {
            for rate in [Rate::Narrow, Rate::Full] {
                let mut tone = Chord::new(row.country, row.signal);
                let mut sound = Vec::new();
                for _ in 0..750 {
                    let mut frame = vec![0; rate.frame()];
                    tone.fill(rate, &mut frame);
                    sound.extend(frame);
                }
                let mut from = 0;
                let beats = if row.beats.is_empty() { &[4000, 0][..] } else { row.beats };
                for (place, beat) in beats.iter().cycle().take(beats.len() + 2).enumerate() {
                    let count = usize::from(*beat) * rate.hertz() as usize / 1000;
                    let part = &sound[from..from + count];
                    from += count;
                    if place % 2 == 1 {
                        assert!(part.iter().all(|sample| *sample == 0), "{row:?} {place}");
                        continue;
                    }
                    for hertz in row.tones.into_iter().filter(|hertz| *hertz > 0) {
                        let loud = level(part, hertz.into(), rate);
                        assert!((2700.0..4300.0).contains(&loud), "{row:?} {hertz} {loud}");
                    }
                    if row.beats.is_empty() {
                        break;
                    }
                }
            }
        }
    }
}
