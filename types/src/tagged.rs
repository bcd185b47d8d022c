//! Tagged fields: the form of what must be read again by the next version and the one before.
//!
//! A value is a sequence of fields; each is a tag (one byte), a length (LEB128) and that many octets. A reader
//! takes the tags it knows and skips the others, so a newer version may add fields and an older one still reads.

use crate::UnixTime;

/// Writes fields one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on behind what `buffer` holds, so that a caller's allocation is used again.
    pub fn onto(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }

    /// One field of octets.
    pub fn bytes(&mut self, tag: u8, value: &[u8]) -> &mut Self {
        self.0.push(tag);
        let mut length = value.len();
        while length >= 0x80 {
            self.0.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
        self.0.extend_from_slice(value);
        self
    }

    /// One field whose octets `write` writes, in place: what it writes is copied once at most.
    pub fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) -> &mut Self {
        // The usual length takes one octet; a longer one makes room for itself.
        self.0.extend_from_slice(&[tag, 0]);
        let begin = self.0.len();
        write(self);
        let mut length = self.0.len() - begin;
        let mut at = begin - 1;
        while length >= 0x80 {
            if let Some(place) = self.0.get_mut(at) {
                *place = length as u8 | 0x80;
            }
            at += 1;
            self.0.insert(at, 0);
            length >>= 7;
        }
        if let Some(place) = self.0.get_mut(at) {
            *place = length as u8;
        }
        self
    }

    /// An address with its port, as text.
    pub fn socket(&mut self, tag: u8, address: std::net::SocketAddr) -> &mut Self {
        self.nested(tag, |writer| crate::digits::push_socket(&mut writer.0, address))
    }

    /// One field of text.
    pub fn text(&mut self, tag: u8, value: &str) -> &mut Self {
        self.bytes(tag, value.as_bytes())
    }

    /// One number, without its leading zero octets.
    pub fn number(&mut self, tag: u8, value: u128) -> &mut Self {
        let octets = value.to_be_bytes();
        let zeros = value.leading_zeros() as usize / 8;
        self.bytes(tag, octets.get(zeros..).unwrap_or_default())
    }

    /// One moment.
    pub fn time(&mut self, tag: u8, value: UnixTime) -> &mut Self {
        self.number(tag, value.0.into())
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Goes through the fields of a value. Stops at the first one that is cut off.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (u8, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, mut rest) = self.0.split_first()?;
        let mut length = 0usize;
        let mut shift = 0;
        loop {
            let (octet, tail) = rest.split_first()?;
            rest = tail;
            length |= usize::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return None;
            }
        }
        let (value, tail) = rest.split_at_checked(length)?;
        self.0 = tail;
        Some((*tag, Field(value)))
    }
}

/// The octets of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a>(pub &'a [u8]);

impl<'a> Field<'a> {
    /// As text; `None` when it is not UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }

    /// The same, to keep.
    pub fn string(self) -> Option<String> {
        self.text().map(str::to_owned)
    }

    /// As a moment.
    pub fn time(self) -> Option<UnixTime> {
        u64::try_from(self.number()?).ok().map(UnixTime)
    }

    /// As a number; `None` beyond 16 octets.
    pub fn number(self) -> Option<u128> {
        (self.0.len() <= 16).then(|| self.0.iter().fold(0, |n, octet| n << 8 | u128::from(*octet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_field_is_written_as_from_a_buffer() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let octets = vec![7; length];
            let (mut plain, mut nested) = (Writer::new(), Writer::new());
            let mut inner = Writer::new();
            inner.bytes(5, &octets).number(6, 9);
            plain.text(1, "a").bytes(2, &inner.finish()).text(3, "b");
            nested.text(1, "a");
            nested.nested(2, |inner| {
                inner.bytes(5, &octets).number(6, 9);
            });
            nested.text(3, "b");
            assert_eq!(plain.finish(), nested.finish());
        }
    }

    #[test]
    fn fields_round_trip_and_a_torn_tail_is_left_out() {
        let mut writer = Writer::new();
        writer.number(1, 0).number(2, u128::MAX).text(3, "hall").bytes(4, &[0; 300]);
        let wire = writer.finish();
        let fields: Vec<_> = Reader::new(&wire).collect();
        assert_eq!(fields[0].1.number(), Some(0));
        assert_eq!(fields[1].1.number(), Some(u128::MAX));
        assert_eq!(fields[2].1.text(), Some("hall"));
        assert_eq!(fields[3].1.0.len(), 300);
        assert_eq!((fields[0].1.time(), fields[1].1.time()), (Some(UnixTime(0)), None));
        assert_eq!(fields[2].1.string().as_deref(), Some("hall"));
        for end in 0..wire.len() {
            assert!(Reader::new(&wire[..end]).count() < 4);
        }
    }

    #[test]
    fn hostile_octets_never_panic_and_fields_write_back() {
        let mut writer = Writer::new();
        writer.number(1, 7).text(2, "hall").bytes(3, &[9; 300]).bytes(4, b"");
        let seed = writer.finish();
        let mut rng = crate::Rng::from_number(1);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut wire = seed.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(wire.len() as u64) as usize;
                match rng.below(3) {
                    0 => wire[at] = rng.next_u64() as u8,
                    1 => wire.insert(at, [0x80, 0xff, 0x7f, 0][rng.below(4) as usize]),
                    _ => wire.truncate(at.max(1)),
                }
            }
            let fields: Vec<_> = Reader::new(&wire).collect();
            assert!(fields.iter().map(|(_, field)| field.0.len() + 2).sum::<usize>() <= wire.len());
            let mut writer = Writer::new();
            for (tag, field) in &fields {
                let _ = (field.number(), field.text());
                writer.bytes(*tag, field.0);
                read += 1;
            }
            let again = writer.finish();
            assert_eq!(Reader::new(&again).collect::<Vec<_>>(), fields);
        }
        assert!(read > 20_000, "the mutator is too wild: {read}");
    }
}
