//! The sum of many voices, from which each hearer's own is taken away again.
//!
//! Picture     voices of one tick --choose the loudest, add--> sum;  sum - own + whispers --> what one hears
//! Rules       Added once, subtracted per hearer: the cost grows with the number of voices, not with its square.
//!             Who was among the loudest stays so until somebody is clearly louder. The sum is cut at full scale.
//! Limits      [`LOUDEST_MAX`] voices in one sum.
//! Not here    Whose voice counts and who hears (engine), codecs.
//! Spec        RFC 7667 §3.6.1 (media mixing).

use crate::codec::FRAME;

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
    sum: [i32; FRAME],
    /// Those who are heard by all, each with its level.
    voiced: Vec<Voiced>,
}

impl Default for Mixer {
    fn default() -> Self {
        Self { sum: [0; FRAME], voiced: Vec::new() }
    }
}

impl Mixer {
    /// A new tick of some mix.
    pub(crate) fn begin(&mut self) {
        self.sum = [0; FRAME];
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
    pub(crate) fn add(&mut self, pcm: &[i16; FRAME]) {
        for (sum, sample) in self.sum.iter_mut().zip(pcm) {
            *sum += i32::from(*sample);
        }
    }

    /// What one hears: the sum without `own`, cut at full scale.
    pub(crate) fn heard(
        &self,
        own: Option<&[i16; FRAME]>,
        whispers: &[i32; FRAME],
    ) -> [i16; FRAME] {
        let mut out = [0; FRAME];
        match own {
            Some(own) => {
                let parts = self.sum.iter().zip(own).zip(whispers);
                for (out, ((sum, own), whisper)) in out.iter_mut().zip(parts) {
                    *out = cut(sum - i32::from(*own) + whisper);
                }
            }
            None => {
                for (out, (sum, whisper)) in out.iter_mut().zip(self.sum.iter().zip(whispers)) {
                    *out = cut(sum + whisper);
                }
            }
        }
        out
    }
}

/// How loud a frame is: the mean of its samples without their sign.
pub(crate) fn level(pcm: &[i16; FRAME]) -> u32 {
    let sum: u32 = pcm.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
    sum / FRAME as u32
}

fn cut(sum: i32) -> i16 {
    sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: [i32; FRAME] = [0; FRAME];

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
        assert_eq!(mixer.heard(None, &SILENCE), [117; FRAME]);
        assert_eq!(mixer.heard(Some(&[100; FRAME]), &SILENCE), [17; FRAME]);
        assert_eq!(mixer.heard(Some(&[20; FRAME]), &[1000; FRAME]), [1097; FRAME]);
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
        assert_eq!(mixer.heard(None, &SILENCE), [32_766; FRAME]);
        assert_eq!(mixer.heard(Some(&[i16::MIN; FRAME]), &SILENCE), [i16::MAX; FRAME]);
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
