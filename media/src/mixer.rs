//! The sum of many voices, from which each hearer's own is taken away again.
//!
//! Picture     voices of one tick --choose the loudest, add--> sum;  sum - own + whispers --> what one hears
//! Rules       Added once, subtracted per hearer: the cost grows with the number of voices, not with its square.
//!             Who was among the loudest stays so until somebody is clearly louder. The sum is cut at full scale.
//! Limits      [`LOUDEST_MAX`] voices in one sum.
//! Not here    Whose voice counts and who hears (engine), codecs.
//! Spec        RFC 7667 §3.6.1 (media mixing).

use crate::codec::{FRAME_MAX, Rate};

/// Voices that are added up; where more are speaking, the loudest are. Fifty people in a conference are all heard.
pub const LOUDEST_MAX: usize = 50;

/// One voice in one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voiced {
    /// Whose it is.
    pub(crate) seat: u16,
    /// How loud it was lately.
    pub(crate) level: u32,
}

/// The work space of all mixes of a pump.
#[derive(Debug)]
pub(crate) struct Mixer {
    /// At the rate of the mix, and as long as its frame.
    sum: [i32; FRAME_MAX],
    /// Something is in it.
    used: bool,
    /// Those who are heard by all, each with its level.
    voiced: Vec<Voiced>,
}

impl Default for Mixer {
    fn default() -> Self {
        Self { sum: [0; FRAME_MAX], used: false, voiced: Vec::new() }
    }
}

impl Mixer {
    /// A new tick of some mix.
    pub(crate) fn begin(&mut self) {
        if self.used {
            self.sum = [0; FRAME_MAX];
            self.used = false;
        }
        self.voiced.clear();
    }

    /// Somebody speaks to all. Who was heard the tick before counts twice as loud.
    pub(crate) fn offer(&mut self, seat: u16, level: u32, was_heard: bool) {
        let level = level.saturating_mul(if was_heard { 2 } else { 1 });
        self.voiced.push(Voiced { seat, level });
    }

    /// Leaves the loudest; the others are not in this tick's sum. Of equals the first seats stay.
    pub(crate) fn choose(&mut self) {
        if self.voiced.len() > LOUDEST_MAX {
            let order = |voiced: &Voiced| (std::cmp::Reverse(voiced.level), voiced.seat);
            self.voiced.select_nth_unstable_by_key(LOUDEST_MAX, order);
            self.voiced.truncate(LOUDEST_MAX);
            self.voiced.sort_unstable_by_key(|voiced| voiced.seat);
        }
    }

    /// Who is in the sum: one of them, by place; `None` behind the last.
    pub(crate) fn chosen(&self, place: usize) -> Option<u16> {
        self.voiced.get(place).map(|voiced| voiced.seat)
    }

    /// Adds a voice to the sum.
    pub(crate) fn add(&mut self, pcm: &[i16]) {
        self.used = true;
        for (sum, sample) in self.sum.iter_mut().zip(pcm) {
            *sum += i32::from(*sample);
        }
    }

    /// What one hears, at the rate of the mix: the sum without `own`, with what is whispered to him, cut at full scale.
    pub(crate) fn heard<'a>(
        &self,
        rate: Rate,
        own: Option<&[i16]>,
        whispers: Option<&[i32; FRAME_MAX]>,
        out: &'a mut [i16; FRAME_MAX],
    ) -> &'a [i16] {
        let out = out.get_mut(..rate.frame()).unwrap_or_default();
        match (own, whispers) {
            (None, None) => {
                for (out, sum) in out.iter_mut().zip(&self.sum) {
                    *out = cut(*sum);
                }
            }
            (Some(own), None) => {
                for (out, (sum, own)) in out.iter_mut().zip(self.sum.iter().zip(own)) {
                    *out = cut(sum - i32::from(*own));
                }
            }
            (own, Some(whispers)) => {
                let own = own.unwrap_or_default().iter().copied().chain(std::iter::repeat(0));
                let parts = self.sum.iter().zip(whispers).zip(own);
                for (out, ((sum, whisper), own)) in out.iter_mut().zip(parts) {
                    *out = cut(sum + whisper - i32::from(own));
                }
            }
        }
        out
    }
}

/// How loud a frame is: the mean of its samples without their sign.
pub(crate) fn level(pcm: &[i16]) -> u32 {
    let sum: u64 = pcm.iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
    (sum / pcm.len().max(1) as u64) as u32
}

/// A sum of its own, cut at full scale.
pub(crate) fn cut_all<'a>(
    rate: Rate,
    sum: &[i32; FRAME_MAX],
    out: &'a mut [i16; FRAME_MAX],
) -> &'a [i16] {
    let out = out.get_mut(..rate.frame()).unwrap_or_default();
    for (out, sum) in out.iter_mut().zip(sum) {
        *out = cut(*sum);
    }
    out
}

fn cut(sum: i32) -> i16 {
    sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    fn heard(mixer: &Mixer, own: Option<i16>, whispers: Option<i32>) -> Vec<i16> {
        let (own, whispers) = (own.map(|own| [own; FRAME]), whispers.map(|loud| [loud; FRAME_MAX]));
        let own = own.as_ref().map(|own| own.as_slice());
        mixer.heard(Rate::Narrow, own, whispers.as_ref(), &mut [0; FRAME_MAX]).to_vec()
    }

    fn chosen(mixer: &Mixer) -> Vec<u16> {
        (0..).map_while(|place| mixer.chosen(place)).collect()
    }

    #[test]
    fn each_hears_all_but_itself() {
        let mut mixer = Mixer::default();
        mixer.begin();
        for value in [100, 20, -3] {
            mixer.add(&[value; FRAME]);
        }
        assert_eq!(heard(&mixer, None, None), [117; FRAME]);
        assert_eq!(heard(&mixer, Some(100), None), [17; FRAME]);
        assert_eq!(heard(&mixer, None, Some(3)), [120; FRAME]);
        assert_eq!(heard(&mixer, Some(20), Some(1000)), [1097; FRAME]);
    }

    #[test]
    fn a_sum_beyond_the_scale_is_cut_only_where_it_is_heard() {
        let mut mixer = Mixer::default();
        mixer.begin();
        for _ in 0..3 {
            mixer.add(&[i16::MAX; FRAME]);
        }
        mixer.add(&[-2 * (i16::MAX / 2) - 1; FRAME]);
        mixer.add(&[i16::MIN; FRAME]);
        assert_eq!(heard(&mixer, None, None), [32_766; FRAME]);
        assert_eq!(heard(&mixer, Some(i16::MIN), None), [i16::MAX; FRAME]);
    }

    #[test]
    fn above_the_limit_the_loudest_are_heard_and_do_not_flutter() {
        let mut mixer = Mixer::default();
        mixer.begin();
        for seat in 0..200 {
            mixer.offer(seat, if seat >= 150 { 900 } else { 500 }, false);
        }
        mixer.choose();
        assert_eq!(chosen(&mixer), (150..200).collect::<Vec<_>>());
        mixer.begin();
        for seat in 0..200 {
            mixer.offer(seat, if seat < 100 { 900 } else { 500 }, seat >= 150);
        }
        mixer.choose();
        assert_eq!(chosen(&mixer), (150..200).collect::<Vec<_>>());
    }
}
