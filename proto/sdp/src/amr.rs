//! AMR and AMR-WB as descriptions say them.

/// All modes of AMR, and of AMR-WB.
const NARROW_MODES: u16 = 0xff;
const WIDE_MODES: u16 = 0x1ff;

/// Which of the two, and how its packets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Amr {
    /// AMR-WB.
    pub wide: bool,
    /// Each part of a packet begins with an octet of its own.
    pub aligned: bool,
    /// By bit: the modes that may be sent.
    pub modes: u16,
}

/// What we know of it: the libraries that the system has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AmrKnown {
    /// AMR.
    pub narrow: bool,
    /// AMR-WB.
    pub wide: bool,
    /// It is offered to whoever may speak nothing else, behind all others.
    pub offered: bool,
}

impl AmrKnown {
    /// Whether this one is there.
    pub const fn has(self, wide: bool) -> bool {
        if wide { self.wide } else { self.narrow }
    }
}

impl Amr {
    /// As we offer it: every mode, in whole octets, which all that speak it have.
    pub const fn ours(wide: bool) -> Self {
        Self { wide, aligned: true, modes: if wide { WIDE_MODES } else { NARROW_MODES } }
    }

    /// The codec of that name and clock.
    pub(crate) fn named(name: &[u8], clock: u32) -> Option<bool> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match clock {
            8000 if is("AMR") => Some(false),
            16_000 if is("AMR-WB") => Some(true),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        if self.wide { "AMR-WB" } else { "AMR" }
    }

    /// Ticks per second.
    pub const fn clock(self) -> u32 {
        if self.wide { 16_000 } else { 8000 }
    }

    /// Whether a packet of one is a packet of the other; the modes are the sender's.
    pub const fn is_same(self, other: Self) -> bool {
        self.wide == other.wide && self.aligned == other.aligned
    }

    /// What its parameters say; `None` for what we do not take apart: checksums, sorted bits, interleaved frames.
    ///
    /// Spec: RFC 4867 §8.1, §8.2 (parameters), §8.3 (their form)
    pub(crate) fn read(wide: bool, parameters: Option<&[u8]>) -> Option<Self> {
        let mut found = Self { aligned: false, ..Self::ours(wide) };
        for parameter in parameters.unwrap_or_default().split(|octet| *octet == b';') {
            let mut halves = parameter.splitn(2, |octet| *octet == b'=');
            let name = halves.next().unwrap_or_default().trim_ascii();
            let value = halves.next().unwrap_or_default().trim_ascii();
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("octet-align") {
                found.aligned = flag(value)?;
            } else if is("crc") || is("robust-sorting") {
                flag(value).filter(|set| !set)?;
            } else if is("interleaving") {
                return None;
            } else if is("mode-set") {
                found.modes &= modes(value)?;
            }
        }
        (found.modes != 0).then_some(found)
    }

    /// Its parameters; `None` where they are the usual ones.
    pub(crate) fn words(self) -> Option<String> {
        let aligned = self.aligned.then(|| "octet-align=1".to_owned());
        let listed = || {
            let known = (0..9).filter(|mode| self.modes >> mode & 1 == 1);
            known.map(|mode: u8| mode.to_string()).collect::<Vec<_>>().join(",")
        };
        let narrowed = self.modes != Self::ours(self.wide).modes;
        let modes = narrowed.then(|| format!("mode-set={}", listed()));
        let both: Vec<String> = [aligned, modes].into_iter().flatten().collect();
        (!both.is_empty()).then(|| both.join(";"))
    }
}

fn flag(value: &[u8]) -> Option<bool> {
    match value {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

/// `0,2,5,7`
fn modes(value: &[u8]) -> Option<u16> {
    let mut modes = 0;
    for word in value.split(|octet| *octet == b',') {
        match word.trim_ascii() {
            [digit @ b'0'..=b'8'] => modes |= 1 << (digit - b'0'),
            _ => return None,
        }
    }
    Some(modes)
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    #[test]
    fn parameters_are_read_and_written_again() {
        let of = |wide, aligned, modes| Some(Amr { wide, aligned, modes });
        for (wide, parameters, expected, again) in [
            (false, "", of(false, false, 0xff), None),
            (false, "octet-align=1", of(false, true, 0xff), Some("octet-align=1")),
            (
                true,
                "octet-align=0; mode-change-capability=2; max-red=0",
                of(true, false, 0x1ff),
                None,
            ),
            (
                false,
                "mode-set=0,2,5,7; Octet-Align=1; mode-change-period=2; mode-change-neighbor=1",
                of(false, true, 0b1010_0101),
                Some("octet-align=1;mode-set=0,2,5,7"),
            ),
            (true, "mode-set=8", of(true, false, 0x100), Some("mode-set=8")),
            (true, "crc=0;robust-sorting=0", of(true, false, 0x1ff), None),
            (false, "mode-set=8", None, None),
            (false, "mode-set=9", None, None),
            (false, "mode-set=", None, None),
            (false, "octet-align=2", None, None),
            (false, "octet-align", None, None),
            (false, "octet-align=1;crc=1", None, None),
            (false, "robust-sorting=1", None, None),
            (true, "interleaving=30", None, None),
        ] {
            let read = Amr::read(wide, Some(parameters.as_bytes()));
            assert_eq!(read, expected, "{parameters}");
            assert_eq!(read.and_then(Amr::words).as_deref(), again, "{parameters}");
        }
        assert_eq!(Amr::read(true, None), of(true, false, 0x1ff));
    }

    #[test]
    fn hostile_parameters_never_panic() {
        let mut rng = Rng::from_number(4867);
        let good = b"octet-align=1; mode-set=0,2,5,7; mode-change-period=2; crc=0";
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            for wide in [false, true] {
                if let Some(read) = Amr::read(wide, Some(&bytes)) {
                    let words = read.words();
                    let again = Amr::read(wide, words.as_ref().map(String::as_bytes));
                    assert_eq!(again, Some(read));
                }
            }
        }
    }
}
