//! Where a description wants its packets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{Kind, Section, Session};

/// What one section says about packets, seen from who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// What the section carries.
    pub kind: Kind,
    /// Whether it is RTP; other sections have no RTCP.
    pub is_rtp: bool,
    /// Where the writer wants RTP.
    pub rtp: SocketAddr,
    /// Where the writer wants RTCP: the next port, what a=rtcp says, or after [`settle`] the RTP
    /// port.
    pub rtcp: SocketAddr,
    /// Whether the writer can take both on one port.
    pub mux: bool,
    /// Whether the writer sends.
    pub sends: bool,
    /// Whether the writer takes packets: it receives, and its address is not 0.0.0.0.
    pub receives: bool,
    /// Port 0: the section is not used.
    pub rejected: bool,
    /// The writer put the other side on hold: 0.0.0.0, sendonly or inactive.
    pub held: bool,
}

/// One aim per section, in order.
///
/// Spec: RFC 3264 §5.1, §8.4, RFC 3605 §2.1
pub fn aims(session: &Session<'_>) -> Vec<Aim> {
    session.media.iter().map(aim).collect()
}

fn aim(section: &Section<'_>) -> Aim {
    // Only a rejected section may lack an address.
    let ip = section.connection.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let rtcp = section.rtcp();
    let rtcp_port = rtcp.map_or(section.port.saturating_add(1), |rtcp| rtcp.port);
    let rtcp_ip = rtcp.and_then(|rtcp| rtcp.address).unwrap_or(ip);
    let rejected = section.port == 0;
    let receives = section.direction.receives() && !ip.is_unspecified();
    Aim {
        kind: section.kind,
        is_rtp: section.is_rtp(),
        rtp: SocketAddr::new(ip, section.port),
        rtcp: SocketAddr::new(rtcp_ip, rtcp_port),
        mux: section.rtcp_mux(),
        sends: !rejected && section.direction.sends(),
        receives: !rejected && receives,
        rejected,
        held: !rejected && !receives,
    }
}

/// Applies what an answer agreed to: RTP and RTCP share a port where both sides said so.
///
/// Spec: RFC 5761 §5.1.1
pub fn settle(offer: &mut [Aim], answer: &mut [Aim]) {
    for (offered, answered) in offer.iter_mut().zip(answer) {
        if offered.mux && answered.mux && !answered.rejected {
            offered.rtcp = offered.rtp;
            answered.rtcp = answered.rtp;
        }
    }
}

/// What kind of place an address is, so that policy can refuse it as a target of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// One host.
    One,
    /// 0.0.0.0 or `::`, the old way to say hold.
    Unspecified,
    /// Broadcast, multicast: never a target.
    Unusable,
}

/// Tells what kind of place an address is. An IPv4 address inside IPv6 is judged as what it is.
pub fn reach(ip: IpAddr) -> Reach {
    let ip = ip.to_canonical();
    let broadcast = match ip {
        // The whole of 0/8 and of 240/4 name no host.
        IpAddr::V4(v4) => !v4.is_unspecified() && matches!(v4.octets(), [0, ..] | [240..=255, ..]),
        IpAddr::V6(_) => false,
    };
    if ip.is_unspecified() {
        Reach::Unspecified
    } else if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_multicast() || broadcast {
        Reach::Unusable
    } else {
        Reach::One
    }
}

/// What a caller offers, for the push that wakes the callee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

/// Which media a description offers. A section inside a bundle counts, though its port is 0.
pub fn media_wanted(session: &Session<'_>) -> Wanted {
    let offers = |kind| {
        session.media.iter().any(|section| {
            section.kind == kind
                && (section.port != 0 || section.attribute("bundle-only").is_some())
        })
    };
    Wanted { audio: offers(Kind::Audio), video: offers(Kind::Video) }
}
