//! Numbers and addresses as text, without the machinery of formatting: every message has a dozen of them.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The decimal digits of a number; 20 places hold every one.
pub fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        begin -= 1;
        if number == 0 {
            break;
        }
    }
    digits.get(begin..).unwrap_or_default()
}

/// Writes a number in decimal digits behind what `out` holds.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(decimal(number, &mut [0; 20]));
}

/// Writes an address behind what `out` holds, IPv6 without brackets.
pub fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                push_number(out, octet.into());
            }
        }
        // Writing into a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Writes an address with its port behind what `out` holds, IPv6 in brackets.
pub fn push_socket(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(_) => {
            push_address(out, address.ip());
            out.push(b':');
            push_number(out, address.port().into());
        }
        SocketAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_formatting() {
        for number in [0, 7, 10, 99, 100, 65_535, 1_000_000, u64::MAX] {
            let mut out = b"x".to_vec();
            push_number(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
        for text in ["0.0.0.0:0", "192.0.2.255:5060", "[::1]:5060", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut out = Vec::new();
            push_socket(&mut out, address);
            assert_eq!(out, address.to_string().into_bytes());
            out.clear();
            push_address(&mut out, address.ip());
            assert_eq!(out, address.ip().to_string().into_bytes());
        }
    }
}
