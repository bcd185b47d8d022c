//! Addresses that reach exactly one device of a user.
//!
//! A public one is the user's address with a keyed hash of the instance: it is the same for ever and does not show
//! the instance. A temporary one hides the user as well: a sealed text that only this node's secret opens, good while
//! the registration of that Call-ID stands. Neither is kept anywhere.
//!
//! Spec: RFC 5627 §3.1, §5.2, §5.4

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sip::Uri;
use types::Rng;

use crate::core::Keys;
use crate::directory::Binding;
use crate::link;

/// What the user part of a temporary address begins with.
const TEMPORARY: &str = "tgruu.";
/// Octets of the sealed text's number, which is never used twice.
const NONCE: usize = 12;
/// Octets that name the device and its registration in a temporary address.
const MARK: usize = 8;
/// The longest user that is read out of a temporary address. Units: octets.
const USER_MAX: usize = 256;

/// One device of one user, as an address of ours named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gruu {
    user: String,
    device: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// No address that we handed out.
    Nobody,
    Public(String),
    Temporary(u64),
}

impl Gruu {
    /// Reads the address of a request; `None` when it names a whole user. An address that we did not make names
    /// nobody's device.
    pub fn read(keys: &Keys, uri: &Uri<'_>) -> Option<Self> {
        let value = uri.params.get("gr")?;
        let user = String::from_utf8_lossy(&uri.user_unescaped().unwrap_or_default()).into_owned();
        if !value.is_empty() {
            let device = Which::Public(String::from_utf8_lossy(value).into_owned());
            return Some(Self { user, device });
        }
        let opened = user.strip_prefix(TEMPORARY).and_then(|sealed| open(keys, sealed));
        Some(match opened {
            Some((user, mark)) => Self { user, device: Which::Temporary(mark) },
            None => Self { user, device: Which::Nobody },
        })
    }

    /// Whose device it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether it was handed out for one registration only.
    pub fn is_temporary(&self) -> bool {
        !matches!(self.device, Which::Public(_))
    }

    /// Whether this binding of the user belongs to the device.
    pub fn names(&self, keys: &Keys, binding: &Binding) -> bool {
        if binding.instance.is_empty() {
            return false;
        }
        match &self.device {
            Which::Nobody => false,
            Which::Public(value) => {
                let own = hash(keys, &self.user, &binding.instance);
                link::same(own.as_bytes(), value.as_bytes())
            }
            Which::Temporary(known) => *known == mark(keys, binding),
        }
    }
}

/// The lasting address of a device, without brackets.
pub fn public(keys: &Keys, user: &str, domain: &str, instance: &str) -> String {
    let name = sip::write::escape_user(user.as_bytes());
    format!("sip:{name}@{domain};gr={}", hash(keys, user, instance))
}

/// A new address of the device of this binding, without brackets; `None` when it cannot be sealed.
pub fn temporary(
    keys: &Keys,
    rng: &mut Rng,
    user: &str,
    domain: &str,
    binding: &Binding,
) -> Option<String> {
    let mut nonce = [0; NONCE];
    rng.fill(&mut nonce);
    let mut sealed = mark(keys, binding).to_be_bytes().to_vec();
    sealed.extend_from_slice(user.as_bytes());
    let number = Nonce::assume_unique_for_key(nonce);
    key(keys)?.seal_in_place_append_tag(number, Aad::empty(), &mut sealed).ok()?;
    let mut text = String::with_capacity(TEMPORARY.len() + 2 * (NONCE + sealed.len()));
    text.push_str(TEMPORARY);
    for octet in nonce.iter().chain(&sealed) {
        text.push_str(&format!("{octet:02x}"));
    }
    Some(format!("sip:{text}@{domain};gr"))
}

fn open(keys: &Keys, sealed: &str) -> Option<(String, u64)> {
    if sealed.len() > 2 * (NONCE + MARK + USER_MAX + AES_128_GCM.tag_len()) {
        return None;
    }
    let mut octets = Vec::with_capacity(sealed.len() / 2);
    for pair in sealed.as_bytes().chunks(2) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        octets.push(u8::from_str_radix(pair, 16).ok()?);
    }
    let (nonce, sealed) = octets.split_first_chunk_mut::<NONCE>()?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = key(keys)?.open_in_place(nonce, Aad::empty(), sealed).ok()?;
    let (mark, user) = opened.split_first_chunk::<MARK>()?;
    Some((String::from_utf8(user.to_vec()).ok()?, u64::from_be_bytes(*mark)))
}

fn key(keys: &Keys) -> Option<LessSafeKey> {
    let (key, _) = keys.devices.split_at_checked(AES_128_GCM.key_len())?;
    UnboundKey::new(&AES_128_GCM, key).ok().map(LessSafeKey::new)
}

fn hash(keys: &Keys, user: &str, instance: &str) -> String {
    link::token(&keys.devices, "gruu", &format!("{user}\n{instance}"))
}

/// A phone that starts again registers with a new Call-ID, and its old temporary addresses end.
///
/// Spec: RFC 5627 §5.2
fn mark(keys: &Keys, binding: &Binding) -> u64 {
    keys.slots.hash_bytes(format!("{}\n{}", binding.instance, binding.call_id).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(instance: &str, call_id: &str) -> Binding {
        Binding { instance: instance.into(), call_id: call_id.into(), ..Binding::default() }
    }

    #[track_caller]
    fn check(address: &str, user: &str, named: &[(&Binding, bool)]) {
        let keys = Keys::new([7; 32]);
        let gruu = Gruu::read(&keys, &Uri::decode(address.as_bytes()).unwrap()).expect(address);
        assert_eq!(gruu.user(), user, "{address}");
        for (binding, is) in named {
            assert_eq!(gruu.names(&keys, binding), *is, "{address} {binding:?}");
        }
    }

    #[test]
    fn an_address_reaches_its_device_and_no_other() {
        let keys = Keys::new([7; 32]);
        let (desk, again) = (binding("<urn:uuid:1>", "a"), binding("<urn:uuid:1>", "b"));
        let (hand, plain) = (binding("<urn:uuid:2>", "a"), binding("", "a"));
        let address = public(&keys, "1001", "example.org", &desk.instance);
        assert!(address.starts_with("sip:1001@example.org;gr=") && !address.contains("uuid"));
        assert_eq!(address, public(&Keys::new([7; 32]), "1001", "example.org", "<urn:uuid:1>"));
        check(&address, "1001", &[(&desk, true), (&again, true), (&hand, false), (&plain, false)]);
        let others = address.replace("1001", "1002");
        check(&others, "1002", &[(&desk, false)]);
        let mut rng = Rng::from_number(1);
        let one = temporary(&keys, &mut rng, "1001", "example.org", &desk).unwrap();
        let two = temporary(&keys, &mut rng, "1001", "example.org", &desk).unwrap();
        assert!(one != two && !one.contains("1001"), "{one} {two}");
        for address in [&one, &two] {
            // A new Call-ID is a new life of the phone.
            let named = [(&desk, true), (&again, false), (&hand, false), (&plain, false)];
            check(address, "1001", &named);
        }
        let uri = Uri::decode(b"sip:1001@example.org").unwrap();
        assert_eq!(Gruu::read(&keys, &uri), None);
    }

    #[test]
    fn forged_and_hostile_addresses_name_nobody() {
        let keys = Keys::new([7; 32]);
        let desk = binding("<urn:uuid:1>", "a");
        let mut rng = Rng::from_number(5627);
        let good = temporary(&keys, &mut rng, "1001", "h", &desk).unwrap();
        for bad in
            ["sip:1001@h;gr", "sip:tgruu.@h;gr", "sip:tgruu.zz@h;gr", "sip:h;gr", "sip:h;gr=x"]
        {
            let gruu = Gruu::read(&keys, &Uri::decode(bad.as_bytes()).unwrap()).unwrap();
            assert!(!gruu.names(&keys, &desk), "{bad}");
        }
        let other = temporary(&Keys::new([8; 32]), &mut rng, "1001", "h", &desk).unwrap();
        let gruu = Gruu::read(&keys, &Uri::decode(other.as_bytes()).unwrap()).unwrap();
        assert!(!gruu.names(&keys, &desk) && gruu.is_temporary());
        let end = good.find('@').unwrap();
        for _ in 0..5_000 {
            let mut bytes = good.clone().into_bytes();
            let at = rng.below(end as u64 - 10) as usize + 10;
            bytes[at] = *b"0123456789abcdefg%".get(rng.below(18) as usize).unwrap();
            let Ok(uri) = Uri::decode(&bytes) else { continue };
            let gruu = Gruu::read(&keys, &uri).unwrap();
            assert!(bytes == good.as_bytes() || !gruu.names(&keys, &desk));
        }
    }
}
