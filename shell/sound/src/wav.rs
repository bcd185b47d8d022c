//! The file that is kept of every clip: WAV with PCM of 16 bits, and the head of such files for recordings.
//!
//! Spec: RIFF WAVE, format 1.

use media::Rate;

use crate::decode::Decoded;

/// Octets before the samples.
pub const HEAD: usize = 44;

/// The head of a file with so many octets of samples.
pub fn head(hertz: u32, channels: u8, octets: u32) -> [u8; HEAD] {
    let frame = u16::from(channels) * 2;
    let mut head = [0; HEAD];
    let parts: [&[u8]; 13] = [
        b"RIFF",
        &octets.saturating_add(HEAD as u32 - 8).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &u16::from(channels).to_le_bytes(),
        &hertz.to_le_bytes(),
        &(hertz * u32::from(frame)).to_le_bytes(),
        &frame.to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &octets.to_le_bytes(),
    ];
    let octets = parts.into_iter().flatten();
    head.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
    head
}

/// The file of a clip. Equal sound is an equal file, whatever it came from.
pub fn encode(clip: &Decoded) -> Vec<u8> {
    let octets = clip.samples.len() * 2;
    let mut file = Vec::with_capacity(HEAD + octets);
    file.extend(head(clip.rate.hertz(), 1, u32::try_from(octets).unwrap_or(u32::MAX)));
    file.extend(clip.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Reads what [`encode`] wrote; `None` for anything else, a recording for instance.
pub fn decode(file: &[u8]) -> Option<Decoded> {
    let octets = file.len().checked_sub(HEAD)?;
    let rate = Rate::ALL.into_iter().find(|rate| {
        u32::try_from(octets).is_ok_and(|octets| file.starts_with(&head(rate.hertz(), 1, octets)))
    })?;
    let samples = file.get(HEAD..)?.chunks_exact(2);
    let samples = samples.filter_map(|two| Some(i16::from_le_bytes(*two.first_chunk()?)));
    Some(Decoded { rate, samples: samples.collect() })
}

/// How long a file of ours plays, by its head and its octets; `None`: it is no such file.
pub fn seconds(file: &[u8], octets: u64) -> Option<f64> {
    let head = file.first_chunk::<HEAD>().filter(|head| head.starts_with(b"RIFF"))?;
    let rate = u32::from_le_bytes(*head.get(28..32)?.first_chunk()?);
    let samples = octets.saturating_sub(HEAD as u64);
    (rate > 0).then(|| samples as f64 / f64::from(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_come_back() {
        for rate in Rate::ALL {
            let clip = Decoded { rate, samples: vec![0, 1, -1, i16::MAX, i16::MIN] };
            let file = encode(&clip);
            assert_eq!(file.len(), HEAD + 10);
            assert_eq!(decode(&file), Some(clip));
            let seconds = seconds(&file, file.len() as u64);
            assert_eq!(seconds, Some(5.0 / f64::from(rate.hertz())));
            assert_eq!(decode(&file[..file.len() - 1]), None);
        }
        assert_eq!(decode(&head(8_000, 2, 0)), None);
        assert_eq!(decode(b""), None);
        assert_eq!(seconds(b"OggS", 1_000), None);
    }
}
