//! What a phone is told before it begins.

use std::net::SocketAddr;
use std::time::Duration;

use sip::transaction::Timers;
use types::{Seconds, Secret, Transport};

/// How long it rings, here or at the other end, before the phone gives up.
pub const RING_MAX: Duration = Duration::from_secs(180);

/// Who this phone is and how it reaches the world.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the user.
    pub user: String,
    /// The user's password; empty answers no challenge.
    pub password: Secret<String>,
    /// Domain of the user.
    pub domain: String,
    /// Name shown to the other side.
    pub display_name: Option<String>,
    /// Where everything goes and from where alone requests are taken. `None`: the phone calls the
    /// address in a URI and takes calls from anybody.
    pub server: Option<SocketAddr>,
    /// UDP or TCP.
    pub transport: Transport,
    /// Our end of the flow: Via and Contact.
    pub contact: SocketAddr,
    /// Where we take RTP.
    pub media: SocketAddr,
    /// Wished life of the registration.
    pub expires: Seconds,
    /// How to wake this phone.
    pub push: Option<Push>,
    /// How a call that came by push is answered.
    pub answer_by: AnswerBy,
    /// How long it rings.
    pub ring_max: Duration,
    /// Durations of the transactions.
    pub timers: Timers,
}

impl Config {
    /// A phone on UDP with the usual waits.
    pub fn new(user: &str, domain: &str, contact: SocketAddr, media: SocketAddr) -> Self {
        Self {
            user: user.to_owned(),
            password: Secret::new(String::new()),
            domain: domain.to_owned(),
            display_name: None,
            server: None,
            transport: Transport::Udp,
            contact,
            media,
            expires: Seconds(3600),
            push: None,
            answer_by: AnswerBy::Register,
            ring_max: RING_MAX,
            timers: Timers::default(),
        }
    }
}

/// The `pn-*` parameters of our Contact.
///
/// Spec: RFC 8599 §6.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// `apns`, `fcm`, `webpush` or a service of somebody else.
    pub provider: String,
    /// Our name at the service.
    pub prid: String,
    /// What else the service needs.
    pub param: Option<String>,
}

/// How a call that came by push is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerBy {
    /// By registering and taking the INVITE.
    #[default]
    Register,
    /// By a reply before registering; the INVITE brings the media.
    Reply,
    /// By a reply that carries our session description: they talk before we have registered.
    ReplySdp,
}
