//! What two containers say of their length beside what their reader looks at.
//!
//! Spec: ISO/IEC 14496-12 §8.6.6 (edit lists); RIFF WAVE, whose writers to a pipe leave the length open.

/// Boxes are looked at down to this depth.
const DEPTH_MAX: usize = 6;

/// A WAV that was written to a pipe has no length, or the largest that there is: then it becomes what follows. `false`:
/// it names more than follows.
pub fn open_ended(wav: &mut [u8]) -> bool {
    close(wav).unwrap_or(true)
}

fn close(wav: &mut [u8]) -> Option<bool> {
    let (mut place, end) = (12usize, wav.len());
    while let Some(head) = wav.get(place..place.checked_add(8)?) {
        let length = number(head.get(4..8)?.iter().rev())? as usize;
        if head.starts_with(b"data") {
            let left = end - place - 8;
            // 0 with something behind it, or what no 40 MiB can hold: the writers' words for "unknown".
            let is_open = (length == 0 && left > 0) || length >= 0x7fff_0000;
            if is_open && let Ok(left) = u32::try_from(left) {
                wav.get_mut(place + 4..place + 8)?.copy_from_slice(&left.to_le_bytes());
            }
            return Some(is_open || length <= left);
        }
        place = place.checked_add(8)?.checked_add(length)?.checked_add(length % 2)?;
    }
    None
}

/// The part of an MP4's only track of sound that is to be played, in samples of it: from, how many. The first
/// packets of AAC are the encoder's own start, and the edit list leaves them out.
pub fn edit(mp4: &[u8]) -> Option<(u64, u64)> {
    let movie = find(mp4, b"moov", 0)?;
    let head = find(movie, b"mvhd", 1)?;
    let movie_scale = match head.first()? {
        0 => number(head.get(12..16)?)?,
        _ => number(head.get(20..24)?)?,
    };
    let track = find(movie, b"trak", 1)?;
    let media = find(find(track, b"mdia", 2)?, b"mdhd", 3)?;
    let media_scale = match media.first()? {
        0 => number(media.get(12..16)?)?,
        _ => number(media.get(20..24)?)?,
    };
    let list = find(find(track, b"edts", 2)?, b"elst", 3)?;
    // One edit that begins within the sound; anything more is not about the encoder's start.
    if number(list.get(4..8)?)? != 1 || movie_scale == 0 {
        return None;
    }
    let (length, from) = match list.first()? {
        0 => (number(list.get(8..12)?)?, number(list.get(12..16)?)?),
        _ => (number(list.get(8..16)?)?, number(list.get(16..24)?)?),
    };
    let count = u128::from(length) * u128::from(media_scale) / u128::from(movie_scale);
    let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
    // All ones: an empty edit.
    (from < u64::from(u32::MAX)).then_some((from, count))
}

/// What is in the first box of this name.
fn find<'a>(mut boxes: &'a [u8], name: &[u8; 4], depth: usize) -> Option<&'a [u8]> {
    if depth > DEPTH_MAX {
        return None;
    }
    loop {
        let head = boxes.get(..8)?;
        let (length, start) = match number(head.get(..4)?)? {
            0 => (boxes.len(), 8),
            1 => (usize::try_from(number(boxes.get(8..16)?)?).ok()?, 16),
            length => (usize::try_from(length).ok()?, 8),
        };
        let inner = boxes.get(start..length)?;
        if head.get(4..8)? == name {
            return Some(inner);
        }
        boxes = boxes.get(length..)?;
    }
}

/// A number whose highest octet comes first.
fn number<'a>(octets: impl IntoIterator<Item = &'a u8>) -> Option<u64> {
    octets.into_iter().try_fold(0u64, |sum, octet| Some(sum.checked_mul(256)? + u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_are_open_become_what_follows() {
        let wav = |length: u32| {
            let mut wav = b"RIFF\0\0\0\0WAVEfmt \x03\0\0\0abc\0data".to_vec();
            wav.extend_from_slice(&length.to_le_bytes());
            wav.extend_from_slice(&[7; 10]);
            wav
        };
        for (given, kept) in [(0, 10), (u32::MAX, 10), (0x7fff_ffff, 10), (10, 10), (4_000, 4_000)]
        {
            let mut changed = wav(given);
            assert_eq!(open_ended(&mut changed), given != 4_000);
            assert_eq!(changed, wav(kept), "{given}");
        }
        assert!(open_ended(&mut b"RIFF".to_vec()));
    }

    fn atom(name: &[u8; 4], inner: &[u8]) -> Vec<u8> {
        let length = (inner.len() as u32 + 8).to_be_bytes();
        [&length, &name[..], inner].concat()
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn an_edit_list_names_what_is_played() {
        let list = |edits: &[u32]| {
            let track = [
                atom(b"tkhd", &[0; 20]),
                atom(b"edts", &atom(b"elst", &numbers(edits))),
                atom(b"mdia", &atom(b"mdhd", &numbers(&[0, 0, 0, 44_100, 90_000]))),
            ]
            .concat();
            let movie =
                [atom(b"mvhd", &numbers(&[0, 0, 0, 1_000, 2_000])), atom(b"trak", &track)].concat();
            [atom(b"ftyp", b"M4A "), atom(b"moov", &movie)].concat()
        };
        assert_eq!(edit(&list(&[0, 1, 2_000, 1_024, 0x1_0000])), Some((1_024, 88_200)));
        assert_eq!(edit(&list(&[0, 1, 2_000, u32::MAX, 0x1_0000])), None);
        assert_eq!(edit(&list(&[0, 2, 2_000, 0, 0x1_0000, 1, 1, 1])), None);
        assert_eq!(edit(&list(&[0, 1])), None);
        let whole = list(&[0, 1, 2_000, 1_024, 0x1_0000]);
        for cut in 0..whole.len() {
            edit(&whole[..cut]);
        }
        let mut rng = types::Rng::from_number(5);
        for _ in 0..20_000 {
            let mut bad = whole.clone();
            for _ in 0..=rng.below(4) {
                let place = rng.below(bad.len() as u64) as usize;
                bad[place] = rng.below(256) as u8;
            }
            edit(&bad);
            open_ended(&mut bad);
        }
    }
}
