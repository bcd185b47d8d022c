//! Contact: its star, and the parameters of an address that somebody can be reached at.

use super::{NameAddr, seconds};
use crate::{DecodeError, scan};

/// One value of Contact.
///
/// Spec: RFC 3261 §20.10
#[derive(Clone, Copy, Debug)]
pub enum Contact<'a> {
    /// Where somebody can be reached.
    Address(NameAddr<'a>),
    /// `*`: all bindings.
    Star,
}

impl<'a> Contact<'a> {
    /// Reads one value.
    pub fn decode(value: &'a [u8]) -> Result<Self, DecodeError> {
        match scan::trim(value) {
            b"*" => Ok(Self::Star),
            value => NameAddr::decode(value).map(Self::Address),
        }
    }

    /// The address; `None` for the star.
    pub fn address(&self) -> Option<&NameAddr<'a>> {
        match self {
            Self::Address(address) => Some(address),
            Self::Star => None,
        }
    }
}

impl<'a> NameAddr<'a> {
    /// The `expires` parameter of a contact: `None` when it is missing or not a number; saturates.
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").and_then(seconds)
    }

    /// The `q` parameter in thousandths; `None` when it is missing or malformed.
    ///
    /// Spec: RFC 3261 §25.1 (qvalue)
    pub fn q(&self) -> Option<u16> {
        let text = self.params.get("q")?;
        let (whole, part) = scan::split_once(text, b'.').unwrap_or((text, b""));
        let whole = scan::number(if whole.is_empty() { b"0" } else { whole })?;
        if part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut thousandths = 0;
        for place in 0..3 {
            let digit = part.get(place).map_or(0, |octet| u16::from(octet - b'0'));
            thousandths = thousandths * 10 + digit;
        }
        match (whole, thousandths) {
            (0, thousandths) => Some(thousandths),
            (1, 0) => Some(1000),
            _ => None,
        }
    }

    /// What names the device for good: the URN of `+sip.instance`, without quotes and brackets.
    ///
    /// Spec: RFC 5626 §4.1, §11
    pub fn instance(&self) -> Option<&'a [u8]> {
        let value = scan::trim(self.params.get("+sip.instance")?);
        let urn = value.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
        urn.filter(|urn| !urn.is_empty() && urn.iter().all(u8::is_ascii_graphic))
    }

    /// Which of a device's flows this is, from 1 on; `None` when it is missing or malformed.
    ///
    /// Spec: RFC 5626 §4.2, §11
    pub fn reg_id(&self) -> Option<u32> {
        let number = scan::number(self.params.get("reg-id")?)?;
        u32::try_from(number).ok().filter(|number| (1..=0x7fff_ffff).contains(number))
    }

    /// The lasting address of this very device, as a registrar made it.
    ///
    /// Spec: RFC 5627 §4.1, §9
    pub fn pub_gruu(&self) -> Option<&'a [u8]> {
        self.params.get("pub-gruu").filter(|uri| !uri.is_empty())
    }

    /// An address of this very device that does not tell whose it is.
    ///
    /// Spec: RFC 5627 §4.1, §9
    pub fn temp_gruu(&self) -> Option<&'a [u8]> {
        self.params.get("temp-gruu").filter(|uri| !uri.is_empty())
    }

    /// Whether this is the focus of a conference.
    ///
    /// Spec: RFC 4579 §5.2
    pub fn is_focus(&self) -> bool {
        self.params.has("isfocus")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_values() {
        for (text, q) in
            [("1", Some(1000)), ("0.75", Some(750)), ("1.0", Some(1000)), (".5", Some(500))]
        {
            let value = format!("<sip:a@b>;q={text}");
            assert_eq!(NameAddr::decode(value.as_bytes()).unwrap().q(), q);
        }
        for text in ["2", "1.1", "0.1234", "-1", "x", ""] {
            let value = format!("<sip:a@b>;q={text}");
            assert_eq!(
                NameAddr::decode(value.as_bytes()).unwrap().q().filter(|q| *q > 0),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn devices_and_their_flows() {
        let value = b"<sip:a@192.0.2.1;ob>;+sip.instance=\"<urn:uuid:1-2>\";reg-id=2;\
            pub-gruu=\"sip:a@h;gr=urn:uuid:1-2\";temp-gruu=\"sip:x@h;gr\";expires=9;isfocus";
        let contact = NameAddr::decode(value).unwrap();
        assert_eq!(contact.instance(), Some(&b"urn:uuid:1-2"[..]));
        assert_eq!((contact.reg_id(), contact.expires()), (Some(2), Some(9)));
        assert_eq!(contact.pub_gruu(), Some(&b"sip:a@h;gr=urn:uuid:1-2"[..]));
        assert_eq!(contact.temp_gruu(), Some(&b"sip:x@h;gr"[..]));
        assert!(contact.is_focus() && contact.uri().unwrap().wants_same_flow());
        for bad in ["0", "2147483648", "", "x", "-1"] {
            let value = format!("<sip:a@b>;reg-id={bad};+sip.instance=\"urn:x\"");
            let contact = NameAddr::decode(value.as_bytes()).unwrap();
            assert_eq!((contact.reg_id(), contact.instance()), (None, None), "{bad}");
        }
    }
}
