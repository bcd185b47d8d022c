//! Words of settings that are more than text.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Reads `64MB`, `512kB`, `1GB` (powers of 1024).
pub fn octets(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

/// Reads `20000-20999`: pairs of an even and an odd port, in order, at least one.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const FORM: &str = "wants a range such as \"20000-20999\"";
    let (first, last) = text.split_once('-').ok_or(FORM)?;
    let first: u16 = first.trim().parse().map_err(|_| FORM)?;
    let last: u16 = last.trim().parse().map_err(|_| FORM)?;
    if first < 1024 {
        return Err("wants ports from 1024 on");
    }
    if last <= first {
        return Err("wants the larger port last");
    }
    if !first.is_multiple_of(2) {
        return Err("wants an even port first: RTP takes the even one of each pair");
    }
    if last.is_multiple_of(2) {
        return Err("wants an odd port last: RTCP takes the odd one of each pair");
    }
    Ok(first..=last)
}

/// Splits `udp://127.0.0.1:5060`.
pub fn listener(text: &str) -> Result<(&str, SocketAddr), &'static str> {
    const FORM: &str = "wants the form \"udp://ADDRESS:PORT\"";
    let (scheme, address) = text.split_once("://").ok_or(FORM)?;
    let address = address.trim_end_matches('/').parse().map_err(|_| FORM)?;
    Ok((scheme, address))
}

/// Reads `host` or `host:port` of an `advertise` key.
pub fn advertised(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((host(address.ip()), Some(address.port())));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((host(ip), None));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let good = |letter: u8| letter.is_ascii_alphanumeric() || b".-".contains(&letter);
    (!name.is_empty() && name.bytes().all(good)).then(|| (name.to_owned(), port))
}

/// An address as URIs write it.
pub fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The address by which this machine reaches others: of a socket that is aimed at a documentation address. Nothing
/// is sent.
pub fn outward(v6: bool) -> Option<IpAddr> {
    let (own, far) = if v6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let socket = std::net::UdpSocket::bind(own).ok()?;
    socket.connect(far).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_pairs_in_order() {
        assert_eq!(ports("20000-20999"), Ok(20000..=20999));
        for bad in ["", "20000", "20001-20999", "20000-20998", "20999-20000", "20-21", "a-b"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_with_units() {
        assert_eq!(octets("64MB"), Some(64 << 20));
        assert_eq!(octets("64"), None);
        assert_eq!(advertised("pbx.example:5080"), Some(("pbx.example".into(), Some(5080))));
        assert_eq!(advertised("2001:db8::1"), Some(("[2001:db8::1]".into(), None)));
        assert_eq!(advertised("a b"), None);
    }
}
