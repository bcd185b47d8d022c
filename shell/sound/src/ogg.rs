//! Opus in Ogg, as recordings are written: page by page, so that a file is whole up to its last page at any time.
//!
//! Rules       A page has [`PAGE_PACKETS`] packets of 20 ms; a file that ends in the middle of a page is read up to it.
//! Not here    Reading (decode), which is symphonia's.
//! Spec        RFC 3533 §6 (pages), RFC 7845 §4, §5

/// Packets of one page: 200 ms, which is what a killed process may lose.
pub const PAGE_PACKETS: usize = 10;
/// Samples a second of every position in the file, whatever was encoded. Spec: RFC 7845 §4
pub const CLOCK: u64 = 48_000;

/// The first page of a stream, and its last. Spec: RFC 3533 §6
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// A packet of 255 octets or more takes several segments; a page has 255.
const SEGMENT: usize = 255;

/// Writes the pages of one stream.
#[derive(Debug)]
pub struct Pages {
    serial: u32,
    sequence: u32,
    packets: Vec<Vec<u8>>,
    /// Where the last packet ends.
    position: u64,
}

impl Pages {
    /// A stream of this number, which tells it from others in the same file.
    pub fn new(serial: u32) -> Self {
        Self { serial, sequence: 0, packets: Vec::new(), position: 0 }
    }

    /// The two pages before any sound. `skip`: samples that the decoder leaves out, at 48 kHz.
    ///
    /// Spec: RFC 7845 §5.1, §5.2
    pub fn head(&mut self, channels: u8, skip: u16, hertz: u32) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend(skip.to_le_bytes());
        head.extend(hertz.to_le_bytes());
        head.extend([0, 0, 0]); // No gain; one stream, one or two channels.
        let vendor = b"Carillon";
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0u32.to_le_bytes());
        let mut pages = self.page(&[head], 0, FIRST);
        pages.extend(self.page(&[tags], 0, 0));
        pages
    }

    /// Takes a packet that ends at `position` (at 48 kHz, with what is skipped), and gives a page when one is full.
    pub fn packet(&mut self, packet: Vec<u8>, position: u64) -> Vec<u8> {
        let mut pages = Vec::new();
        // The page before is written only now: the last one must say that it is.
        if self.packets.len() >= PAGE_PACKETS {
            let (packets, position) = (std::mem::take(&mut self.packets), self.position);
            pages = self.page(&packets, position, 0);
        }
        self.packets.push(packet);
        self.position = position;
        pages
    }

    /// The last page. `position`: where the sound ends; what is beyond in the last packet is left out by the decoder.
    pub fn end(&mut self, position: u64) -> Vec<u8> {
        let packets = std::mem::take(&mut self.packets);
        self.page(&packets, position, LAST)
    }

    fn page(&mut self, packets: &[Vec<u8>], position: u64, kind: u8) -> Vec<u8> {
        let mut segments = Vec::new();
        for packet in packets {
            let mut left = packet.len();
            while left >= SEGMENT {
                segments.push(SEGMENT as u8);
                left -= SEGMENT;
            }
            segments.push(left as u8);
        }
        let mut page = b"OggS\0".to_vec();
        page.push(kind);
        page.extend(position.to_le_bytes());
        page.extend(self.serial.to_le_bytes());
        page.extend(self.sequence.to_le_bytes());
        page.extend([0; 4]);
        page.push(segments.len() as u8);
        page.extend(&segments);
        packets.iter().for_each(|packet| page.extend(packet));
        let sum = checksum(&page).to_le_bytes();
        page.iter_mut().skip(22).zip(sum).for_each(|(place, octet)| *place = octet);
        self.sequence += 1;
        page
    }
}

/// The last whole page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Where the sound ends.
    pub position: u64,
    /// Where the page begins and ends.
    pub page: (usize, usize),
}

/// The last whole page of a file; `None`: it has none.
pub fn whole(file: &[u8]) -> Option<Whole> {
    let (mut place, mut last) = (0, None);
    while let Some(page) = file.get(place..).filter(|page| page.starts_with(b"OggS\0")) {
        let Some(count) = page.get(26) else { break };
        let Some(segments) = page.get(27..27 + usize::from(*count)) else { break };
        let octets: usize = segments.iter().map(|octets| usize::from(*octets)).sum();
        let octets = 27 + segments.len() + octets;
        let Some(page) = page.get(..octets) else { break };
        let mut plain = page.to_vec();
        plain.iter_mut().skip(22).take(4).for_each(|octet| *octet = 0);
        if page.get(22..26) != Some(&checksum(&plain).to_le_bytes()) {
            break;
        }
        let page = (place, place + octets);
        place += octets;
        let position = plain.get(6..14).and_then(|eight| eight.first_chunk());
        // All ones: no packet ends on the page.
        let position = position.map(|eight| u64::from_le_bytes(*eight));
        if let Some(position) = position.filter(|position| *position != u64::MAX) {
            last = Some(Whole { position, page });
        }
    }
    last
}

/// A page again, now the last of its stream.
pub fn last(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    page.iter_mut().skip(5).take(1).for_each(|kind| *kind |= LAST);
    page.iter_mut().skip(22).take(4).for_each(|octet| *octet = 0);
    let sum = checksum(&page).to_le_bytes();
    page.iter_mut().skip(22).zip(sum).for_each(|(place, octet)| *place = octet);
    page
}

/// The part of a file of Opus that is to be played, in samples at 48 kHz: from, how many. `None`: it is another file.
///
/// Spec: RFC 7845 §4.2 (pre-skip), §4.4 (the end)
pub fn played(file: &[u8]) -> Option<(u64, u64)> {
    // The head is the only packet of the first page, whose table has one entry.
    let head = file.get(28..).filter(|head| head.starts_with(b"OpusHead"))?;
    let skip = u64::from(u16::from_le_bytes(*head.get(10..12)?.first_chunk()?));
    Some((skip, whole(file)?.position.saturating_sub(skip)))
}

/// Spec: RFC 3533 §6, field 7 (polynomial 0x04c11db7, nothing reflected)
fn checksum(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |sum, octet| {
        let place = (sum >> 24) as u8 ^ octet;
        sum << 8 ^ TABLE.get(usize::from(place)).copied().unwrap_or_default()
    })
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut place = 0;
    while place < 256 {
        let (mut value, mut bit) = ((place as u32) << 24, 0);
        while bit < 8 {
            value = if value >> 31 == 1 { value << 1 ^ 0x04c1_1db7 } else { value << 1 };
            bit += 1;
        }
        table[place] = value;
        place += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_whole_and_long_packets_take_several_segments() {
        let mut pages = Pages::new(7);
        let mut file = pages.head(1, 312, 8_000);
        assert_eq!(whole(&file).map(|whole| (whole.position, whole.page.1)), Some((0, file.len())));
        for n in 1..=PAGE_PACKETS as u64 {
            assert!(pages.packet(vec![9; 300], n * 960).is_empty());
        }
        let page = pages.packet(vec![9; 255], 11 * 960);
        assert_eq!(page[26], 2 * PAGE_PACKETS as u8);
        assert_eq!(page.len(), 27 + 20 + 3_000);
        file.extend(page);
        let first = whole(&file).unwrap();
        assert_eq!((first.position, first.page.1), (9_600, file.len()));
        let before = file.len();
        let end = pages.end(10_000);
        assert_eq!(end[5], LAST);
        assert_eq!(&end[26..29], &[2, 255, 0]);
        file.extend(end);
        let page = (before, file.len());
        assert_eq!(whole(&file), Some(Whole { position: 10_000, page }));
        assert_eq!(played(&file), Some((312, 9_688)));
        assert_eq!(last(&file[before..]), file[before..]);
        assert_eq!(whole(&file[..file.len() - 1]), Some(first));
        file[before + 30] ^= 1;
        assert_eq!(whole(&file), Some(first));
        let (from, to) = first.page;
        let ended = last(&file[from..to]);
        assert_eq!(ended[5], LAST);
        assert!(whole(&ended).is_some());
        assert_eq!(whole(b""), None);
    }
}
