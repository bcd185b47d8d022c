//! Who somebody is, and who is a stranger while not everybody has been read from the store.

use sip::{Message, Uri};

use crate::core::Core;
use crate::gruu::Gruu;

impl Core {
    /// The user that an address names; `None`: none at all, or nobody's name.
    pub(crate) fn user_in(&self, uri: &Uri<'_>) -> Option<String> {
        match Gruu::read(&self.keys, uri) {
            Some(gruu) => Some(gruu.user().to_owned()),
            None => String::from_utf8(uri.user_unescaped()?.into_owned()).ok(),
        }
    }

    /// Whether somebody whom this speaks of is a stranger, while not all have been read from the store yet.
    pub(crate) fn may_become_known(&self, message: &Message<'_>, target: &str) -> bool {
        if self.reading.is_empty() {
            return false;
        }
        let from = message.from().ok().and_then(|from| from.uri().ok());
        let own = from.filter(|uri| self.is_ours(uri));
        let caller = own.and_then(|uri| self.user_in(&uri));
        let is_stranger = |name: &str| !name.is_empty() && self.directory.user(name).is_none();
        is_stranger(target) || caller.is_some_and(|caller| is_stranger(&caller))
    }
}
