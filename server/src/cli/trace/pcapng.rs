//! SIP messages as a capture file, each in a packet of its own with its true addresses.
//!
//! Streams have no beginning and no end here, and a message is one segment, however long: readers put them together by
//! their numbers, which count on. What the ladder cut says so in the packet's true length.
//!
//! Spec: draft-ietf-opsawg-pcapng §4, RFC 791 §3.1, RFC 8200 §3, RFC 768, RFC 9293 §3.1

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::rung::{Rung, Way};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Packets begin with the header of IP.
const RAW: u16 = 101;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// What the length field of IP can say.
const LENGTH_MAX: usize = 65_535;
/// Octets of a TCP header without options.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// PSH and ACK.
const FLAGS: u8 = 0x18;
const HOPS: u8 = 64;

/// One direction of one connection.
type Stream = (u64, SocketAddr, SocketAddr);

/// The file.
pub fn file(rungs: &[Rung]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut section = Vec::new();
    section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&1_u16.to_le_bytes());
    section.extend_from_slice(&0_u16.to_le_bytes());
    section.extend_from_slice(&u64::MAX.to_le_bytes()); // The length is not said.
    block(&mut out, SECTION, &section);
    let mut interface = Vec::new();
    interface.extend_from_slice(&RAW.to_le_bytes());
    interface.extend_from_slice(&[0; 6]); // No limit of a packet's length. Times are in microseconds.
    block(&mut out, INTERFACE, &interface);
    let mut streams = BTreeMap::new();
    for rung in rungs {
        let Some(way) = &rung.way else { continue };
        let (packet, whole) = packet(way, rung, &mut streams);
        let mut body = Vec::new();
        body.extend_from_slice(&0_u32.to_le_bytes());
        body.extend_from_slice(&((rung.micros >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(rung.micros as u32).to_le_bytes());
        body.extend_from_slice(&(packet.len() as u32).to_le_bytes());
        body.extend_from_slice(&(whole as u32).to_le_bytes());
        body.extend_from_slice(&packet);
        block(&mut out, PACKET, &body);
    }
    out
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = (12 + body.len() + padding) as u32;
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
    out.extend(std::iter::repeat_n(0, padding));
    out.extend_from_slice(&length.to_le_bytes());
}

/// A packet and the length that it had on the wire.
fn packet(way: &Way, rung: &Rung, streams: &mut BTreeMap<Stream, u32>) -> (Vec<u8>, usize) {
    let (from, to) = if way.inward { (way.remote, way.local) } else { (way.local, way.remote) };
    let (from, to) = one_family(from, to);
    let datagram = way.transport == "udp";
    let header = if datagram { UDP_HEADER } else { TCP_HEADER };
    // The IP header counts with the rest in version 4.
    let room = LENGTH_MAX - header - TCP_HEADER;
    let octets = rung.octets.get(..room).unwrap_or(&rung.octets);
    let whole = (octets.len() + rung.cut).min(room);
    let mut segment = Vec::with_capacity(header + octets.len());
    segment.extend_from_slice(&from.port().to_be_bytes());
    segment.extend_from_slice(&to.port().to_be_bytes());
    if datagram {
        segment.extend_from_slice(&((header + whole) as u16).to_be_bytes());
        segment.extend_from_slice(&[0; 2]);
    } else {
        let (sent, heard) = ((way.connection, from, to), (way.connection, to, from));
        let acknowledged = *streams.entry(heard).or_insert(1);
        let sequence = streams.entry(sent).or_insert(1);
        segment.extend_from_slice(&sequence.to_be_bytes());
        segment.extend_from_slice(&acknowledged.to_be_bytes());
        segment.extend_from_slice(&[0x50, FLAGS, 0xff, 0xff, 0, 0, 0, 0]);
        *sequence = sequence.wrapping_add(whole as u32);
    }
    segment.extend_from_slice(octets);
    let protocol = if datagram { UDP } else { TCP };
    let length = header + whole;
    let checksum = checksum(&pseudo(from.ip(), to.ip(), protocol, length), &segment);
    let place = if datagram { 6 } else { 16 };
    // Of a message that was cut nobody can tell the sum.
    if rung.cut == 0
        && let Some(field) = segment.get_mut(place..place + 2)
    {
        // Zero would mean that there is none.
        let checksum = if checksum == 0 { 0xffff } else { checksum };
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    let mut out = ip(from.ip(), to.ip(), protocol, length);
    let whole = out.len() + length;
    out.extend_from_slice(&segment);
    (out, whole)
}

/// Both addresses in the same version of IP.
fn one_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let [from, to] = [from, to].map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let wide = |at: SocketAddr| match at.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), at.port()),
        IpAddr::V6(_) => at,
    };
    (wide(from), wide(to))
}

fn ip(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((20 + length) as u16).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let sum = checksum(&[], &out);
            if let Some(field) = out.get_mut(10..12) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        }
        (from, to) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
            out.extend_from_slice(&[protocol, HOPS]);
            out.extend_from_slice(&octets(from));
            out.extend_from_slice(&octets(to));
        }
    }
    out
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// What a checksum covers beside the segment.
fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut out = octets(from);
    out.extend(octets(to));
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, protocol]);
    out
}

/// Spec: RFC 1071
fn checksum(head: &[u8], rest: &[u8]) -> u16 {
    let words = |octets: &[u8]| -> u64 {
        let pairs = octets.chunks(2).map(|pair| match *pair {
            [high, low] => u64::from(u16::from_be_bytes([high, low])),
            [high] => u64::from(high) << 8,
            _ => 0,
        });
        pairs.sum()
    };
    let mut sum = words(head) + words(rest);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
