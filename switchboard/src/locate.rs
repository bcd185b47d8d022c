//! On which slot a message is handled, from a cheap look.
//!
//! Rules       A response by our branch; an in-dialog request by the slot in our tag; REGISTER, and news and messages of a
//!             user, at his home; everything else by its Call-ID, so that a CANCEL meets its INVITE.

use sip::{Framing, Message, Method, Uri};
use types::Slot;

use crate::core::Keys;
use crate::gruu::Gruu;
use crate::transactions::{Branch, Tag};

/// The slot on which a message of ours was made.
pub fn locate_own(bytes: &[u8]) -> Option<Slot> {
    let message = Message::decode(bytes, Framing::Datagram).ok()?;
    if message.is_request() {
        let branch = message.via().ok()?.branch();
        return branch.and_then(Branch::parse).map(|(slot, _)| slot);
    }
    message.to().ok()?.tag().and_then(Tag::slot)
}

/// The slot on which a message is to be handled, for the shell's sorting of datagrams; `None` for nonsense,
/// which any shard may count.
pub fn locate(bytes: &[u8], keys: &Keys) -> Option<Slot> {
    let message = Message::decode(bytes, Framing::Datagram).ok()?;
    Some(slot(&message, keys))
}

/// Where a message is to be handled, from a cheap look.
pub(crate) fn slot(message: &Message<'_>, keys: &Keys) -> Slot {
    let slot_of = |name: &[u8]| keys.slot(name);
    if !message.is_request() {
        let branch = message.via().ok().and_then(|via| via.branch());
        return branch.and_then(Branch::parse).map_or(Slot(0), |(slot, _)| slot);
    }
    let tag = message.to().ok().and_then(|to| to.tag());
    if let Some(slot) = tag.and_then(Tag::slot) {
        return slot;
    }
    if message.method() == Method::Register
        && let Ok(to) = message.to()
        && let Ok(uri) = to.uri()
    {
        return slot_of(&uri.user_unescaped().unwrap_or_default());
    }
    // News and messages of a user are kept at his home, and are asked for and brought there.
    if matches!(message.method(), Method::Message | Method::Publish | Method::Subscribe)
        && let Some(Ok(uri)) = message.request_uri().map(Uri::decode)
        && let Some(user) = uri.user_unescaped()
    {
        // An address of one device may hide whose it is.
        return match Gruu::read(keys, &uri) {
            Some(gruu) => slot_of(gruu.user().as_bytes()),
            None => slot_of(&user),
        };
    }
    slot_of(message.call_id())
}
