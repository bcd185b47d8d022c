//! Typed views of header values. Each is a function over the octets of one value; nothing is
//! copied. [`Message::read`](crate::Message::read) asks for those that are [`Typed`],
//! [`Writer::typed`](crate::write::Writer::typed) writes them.

pub mod auth;
mod contact;
mod cseq;
mod name;
mod name_addr;
mod params;
mod typed;
mod via;

pub use answer_mode::Answering;
pub use contact::Contact;
pub use cseq::CSeq;
pub use diversion::{HISTORY_DEPTH_MAX, Mapping, diversion, history_entry};
pub use event::Standing;
pub use identity::IDENTITIES_MAX;
pub(crate) use name::COUNT as NAME_COUNT;
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::Params;
pub use rack::RSEQ_FIRST_MAX;
pub use reason::{Protocol, q850_of_status, status_of_q850};
pub use refer::refer_to;
pub use session_expires::{Refresher, SESSION_EXPIRES_MIN};
pub use typed::{FlowTimer, MinExpires, MinSe, Typed};
pub use via::Via;

use crate::{DecodeError, scan};

/// The list of typed headers: the file and its types. A new one is one file and one line here.
macro_rules! typed {
    ($($file:ident: $($kind:ident)+;)+) => {
        $(mod $file; pub use $file::{$($kind),+};)+
        typed!(@rewrite $($($kind)+)+ FlowTimer MinExpires MinSe);
    };
    (@rewrite $($kind:ident)+) => {
        /// One value of any typed header in our spelling, or what is wrong with it; `None` for
        /// names without a type.
        pub fn rewrite(name: Name, value: &[u8]) -> Option<Result<String, DecodeError>> {
            $(if name == <$kind as Typed>::NAME {
                return Some(<$kind as Typed>::decode(value).map(|read| read.encode()));
            })+
            None
        }
    };
}

typed! {
    accept: Accept;
    answer_mode: AnswerMode PrivAnswerMode;
    call_info: AlertInfo CallInfo ErrorInfo;
    diversion: Diversion HistoryInfo;
    entity_tag: EntityTag IfMatch;
    event: Event SubscriptionState;
    identity: PAssertedIdentity PPreferredIdentity Privacy;
    rack: RAck RSeq;
    reason: Reason;
    refer: ReferSub ReferTo ReferredBy;
    replaces: Join Replaces TargetDialog;
    retry_after: RetryAfter;
    routes: Path RecordRoute Route ServiceRoute;
    session_expires: SessionExpires;
}

/// The values of a comma-separated header line, trimmed, with quotes and `<>` respected. Not for
/// the headers of authentication, whose commas separate parameters.
///
/// Spec: RFC 3261 §7.3.1
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::Elements(value)
}

/// A value that is one number, such as Expires or Min-SE; parameters behind a `;` and comments are
/// left aside. Saturates; `None` when it is not a number.
pub fn seconds(value: &[u8]) -> Option<u32> {
    let end = value.iter().position(|octet| matches!(octet, b';' | b'(')).unwrap_or(value.len());
    let number = scan::number(scan::trim(scan::split(value, end).0))?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The first part of a value, before any parameters: the type of Content-Type, the package of
/// Event.
pub fn head(value: &[u8]) -> &[u8] {
    let end = scan::find_outside(value, b';', true).unwrap_or(value.len());
    scan::trim(scan::split(value, end).0)
}

/// The parameters behind the first part of a value, as in `multipart/mixed;boundary=x`.
pub fn tail(value: &[u8]) -> Params<'_> {
    let end = scan::find_outside(value, b';', true).unwrap_or(value.len());
    Params::of_header(scan::split(value, end).1)
}
