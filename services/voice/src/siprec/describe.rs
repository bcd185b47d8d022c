//! Descriptions of a recording session: one section for each track, each with its label.
//!
//! Rules       A seat knows one section; here several are put together and taken apart. We only send, so whatever is asked of
//!             us, we say no more than that. What a recording server sends is text: nothing of it is believed.
//! Limits      [`SECTIONS_MAX`] sections are looked at; those beyond are not there.
//! Spec        RFC 7866 §7.1.1, RFC 3264 §8, RFC 4574

/// Sections of one description.
pub const SECTIONS_MAX: usize = 8;

/// Descriptions of one section each as one. Labels are the places, from 1 on.
pub fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = parts.first().map(|part| split(part).0.to_vec()).unwrap_or_default();
    for (place, part) in parts.iter().enumerate() {
        for line in split(part).1.split_inclusive(|octet| *octet == b'\n') {
            whole.extend_from_slice(match line.trim_ascii_end() {
                b"a=sendrecv" => b"a=sendonly\r\n",
                b"a=recvonly" => b"a=inactive\r\n",
                _ => line,
            });
        }
        whole.extend_from_slice(format!("a=label:{}\r\n", place + 1).as_bytes());
    }
    whole
}

/// A description as one for each of its sections.
pub fn apart(whole: &[u8]) -> Vec<Vec<u8>> {
    let (head, mut rest) = split(whole);
    let mut parts = Vec::new();
    while !rest.is_empty() && parts.len() < SECTIONS_MAX {
        let next = rest.windows(3).position(|three| three == b"\nm=");
        let (section, behind) = rest.split_at(next.map_or(rest.len(), |at| at + 1));
        parts.push([head, section].concat());
        rest = behind;
    }
    parts
}

/// What stands before the first section, and the rest.
fn split(whole: &[u8]) -> (&[u8], &[u8]) {
    let first = whole.windows(3).position(|three| three == b"\nm=").map(|at| at + 1);
    whole.split_at(first.unwrap_or(whole.len()))
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    fn part(port: u16, way: &str) -> Vec<u8> {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na={way}\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn sections_are_put_together_and_taken_apart() {
        let whole = join(&[part(4000, "sendrecv"), part(4002, "sendonly"), part(4004, "recvonly")]);
        let text = String::from_utf8(whole.clone()).unwrap();
        assert_eq!(
            text,
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0\r\na=sendonly\r\na=label:1\r\n\
             m=audio 4002 RTP/AVP 0\r\na=sendonly\r\na=label:2\r\n\
             m=audio 4004 RTP/AVP 0\r\na=inactive\r\na=label:3\r\n"
        );
        let parts = apart(&whole);
        assert_eq!(parts.len(), 3);
        for (place, port) in [4000, 4002, 4004].into_iter().enumerate() {
            let session = sdp::Session::decode(&parts[place]).expect("a description");
            assert_eq!((session.media.len(), session.media[0].port), (1, port));
        }
        assert_eq!(apart(b"v=0\r\n"), Vec::<Vec<u8>>::new());
        assert_eq!(join(&[]), b"");
        let many: Vec<u8> = (0..20).flat_map(|_| b"\nm=audio 0 RTP/AVP 0".to_vec()).collect();
        assert_eq!(apart(&many).len(), SECTIONS_MAX);
    }

    #[test]
    fn hostile_descriptions_are_survived() {
        let whole = join(&[part(4000, "sendrecv"), part(4002, "sendonly")]);
        let mut rng = Rng::from_number(7866);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.next_u64() % 6 {
                let at = (rng.next_u64() as usize) % bytes.len().max(1);
                match rng.next_u64() % 3 {
                    0 => drop(bytes.drain(at..(at + 9).min(bytes.len()))),
                    1 => bytes.insert(at.min(bytes.len()), rng.next_u64() as u8),
                    _ => bytes.extend_from_slice(b"\nm="),
                }
            }
            let parts = apart(&bytes);
            assert!(parts.len() <= SECTIONS_MAX);
            let _ = join(&parts);
        }
    }
}
