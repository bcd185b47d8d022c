//! Other directions for sections of a description.

use crate::line::Lines;
use crate::{Attribute, DecodeError, Direction};

/// The same description where the sections that the plan names have these directions, whatever they or the session said.
///
/// Errors: a line that cannot be read.
///
/// Spec: RFC 8866 §6.7
pub fn directed(input: &[u8], plan: &[Option<Direction>]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(input.len() + 16);
    let mut place: Option<usize> = None;
    let mut due = None;
    let write = |out: &mut Vec<u8>, due: Option<Direction>| {
        if let Some(direction) = due {
            out.extend_from_slice(format!("a={}\r\n", direction.word()).as_bytes());
        }
    };
    for line in Lines::new(input) {
        let line = line?;
        if line.letter == b'm' {
            write(&mut out, due.take());
            place = Some(place.map_or(0, |place| place + 1));
            due = place.and_then(|place| plan.get(place).copied().flatten());
        }
        let is_direction = || Direction::decode(Attribute::decode(line.value).name).is_some();
        if due.is_some() && line.letter == b'a' && is_direction() {
            continue;
        }
        out.extend_from_slice(line.whole);
        out.extend_from_slice(b"\r\n");
    }
    write(&mut out, due);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;

    #[test]
    fn sections_are_turned_one_by_one() {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        let one = "m=audio 4000 RTP/AVP 0\r\na=inactive\r\na=ptime:20\r\n";
        let two = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
        let text = format!("{head}a=recvonly\r\n{one}{two}");
        let told = |plan: &[Option<Direction>]| {
            let out = directed(text.as_bytes(), plan).unwrap();
            let session = Session::decode(&out).unwrap();
            session.media.iter().map(|section| section.direction).collect::<Vec<_>>()
        };
        use Direction::{Inactive, RecvOnly, SendOnly};
        assert_eq!(told(&[]), [Inactive, RecvOnly]);
        assert_eq!(told(&[Some(SendOnly)]), [SendOnly, RecvOnly]);
        assert_eq!(told(&[None, Some(Inactive)]), [Inactive, Inactive]);
        let same = directed(text.as_bytes(), &[None, None]).unwrap();
        assert_eq!(same, text.as_bytes());
    }
}
