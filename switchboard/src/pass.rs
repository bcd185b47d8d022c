//! Passes: what our own phones show instead of a password. Signed by the node, for one user, until a moment.
//!
//! Form: `exp.signature.user`, the user as its name is, since the signature covers it and nothing follows.
//!
//! Spec: RFC 8898 §2 (a bearer token takes the place of a digest)

use sip::Message;
use types::{Flow, UnixTime};

use crate::core::Core;
use crate::service::Caller;
use crate::{Keys, link};

const PURPOSE: &str = "sip-pass";

/// A pass for `user`, which holds until `until`.
pub fn mint(keys: &Keys, user: &str, until: UnixTime) -> String {
    let exp = until.as_seconds();
    format!("{exp}.{}.{user}", signature(keys, user, exp))
}

/// Whose pass this is, if it is one of ours and holds.
pub fn read(keys: &Keys, pass: &str, unix: UnixTime) -> Option<String> {
    let (exp, rest) = pass.split_once('.')?;
    let (shown, user) = rest.split_once('.')?;
    let exp: u64 = exp.parse().ok()?;
    let right = link::same(shown.as_bytes(), signature(keys, user, exp).as_bytes());
    (right && exp >= unix.as_seconds()).then(|| user.to_owned())
}

/// The pass in the value of an Authorization header.
pub(crate) fn shown(value: &[u8]) -> Option<&str> {
    let (scheme, pass) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| pass.trim())
}

impl Core {
    /// Whoever shows a pass of ours. One that ended, was never ours, or whose user is gone is no better than none.
    pub(crate) fn caller_by_pass(
        &mut self,
        flow: Flow,
        pass: &str,
        message: &Message<'_>,
    ) -> Option<Caller> {
        let user = read(&self.keys, pass, self.clock.unix);
        match user.filter(|user| self.directory.user(user).is_some()) {
            Some(user) => Some(Caller::User(user)),
            None => {
                self.suspect(flow, "sip.wrong_pass");
                self.challenge(flow, message, false, None);
                None
            }
        }
    }
}

fn signature(keys: &Keys, user: &str, exp: u64) -> String {
    link::token(&keys.links, PURPOSE, &format!("{exp}\n{user}"))
}

#[cfg(test)]
mod tests {
    use types::Rng;

    use super::*;

    #[test]
    fn a_pass_names_one_user_and_ends() {
        let keys = Keys::new([1; 32]);
        let pass = mint(&keys, "a.b", UnixTime::seconds(100));
        let value = format!("bearer  {pass}");
        let found = shown(value.as_bytes()).unwrap();
        assert_eq!(read(&keys, found, UnixTime::seconds(100)).as_deref(), Some("a.b"));
        assert_eq!(read(&keys, found, UnixTime::seconds(101)), None);
        assert_eq!(read(&Keys::new([2; 32]), found, UnixTime::seconds(1)), None);
        assert_eq!(read(&keys, &pass.replace("100.", "200."), UnixTime::seconds(1)), None);
        assert_eq!(read(&keys, &pass.replace("a.b", "a.c"), UnixTime::seconds(1)), None);
        assert_eq!(shown(b"Digest username=\"a\""), None);
    }

    #[test]
    fn no_altered_pass_holds() {
        let keys = Keys::new([1; 32]);
        let pass = mint(&keys, "1001", UnixTime::seconds(100)).into_bytes();
        let mut rng = Rng::from_number(7);
        for _ in 0..5_000 {
            let mut bytes = pass.clone();
            let place = rng.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << rng.below(8);
            bytes.truncate(bytes.len() - rng.below(3) as usize);
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(read(&keys, &text, UnixTime::seconds(1)), None, "{text}");
        }
    }
}
