//! Vectors of the RFCs, round trips, replays, nonsense.

use types::Rng;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect()
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let [h, l] = sequence.to_be_bytes();
    let mut packet = vec![0x80, 0, h, l, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
    packet.extend_from_slice(payload);
    packet
}

fn pair(suite: Suite) -> (Sealer, Opener) {
    let (key, salt) = (vec![7; suite.key()], vec![9; suite.salt()]);
    (Sealer::new(suite, &key, &salt).unwrap(), Opener::new(suite, &key, &salt).unwrap())
}

/// RFC 3711 §B.3: the session keys of a master key, seen by what they do to zeros.
#[test]
fn keys_are_derived_as_in_the_appendix() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    for (label, stream) in [
        (0, "C61E7A93744F39EE10734AFE3FF7A087"),
        (2, "30CBBC08863D8C85D49DB34A9AE17AC6"),
        (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
    ] {
        let wanted = hex(stream);
        let mut out = vec![0; wanted.len()];
        cipher::stretch(&key, &salt, label, &mut out).unwrap();
        if label == 2 {
            out[14..].copy_from_slice(&wanted[14..]); // A salt has 14 octets.
        }
        assert_eq!(out, wanted, "{label}");
    }
}

/// A well-known packet under counter mode, as several libraries have it in their tests.
#[test]
fn counter_mode_gives_the_known_packet() {
    let key = hex("e1f97a0d3e018be0d64fa32c06de4139");
    let salt = hex("0ec675ad498afeebb6960b3aabe6");
    let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
    let sealed =
        hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
    let suite = Suite::AesCm128HmacSha1Tag80;
    let mut made = plain.clone();
    Sealer::new(suite, &key, &salt).unwrap().seal_rtp(&mut made).unwrap();
    assert_eq!(made, sealed);
    let mut opened = sealed;
    let length = Opener::new(suite, &key, &salt).unwrap().open_rtp(&mut opened).unwrap();
    assert_eq!(opened[..length], plain);
}

/// RFC 7714 §16.1.1: the session key stands there, so the cipher is asked and not the derivation.
#[test]
fn aead_gives_the_packet_of_its_rfc() {
    use aes_gcm::KeyInit;
    let session = hex("000102030405060708090a0b0c0d0e0f");
    let salt: [u8; 12] = hex("517569642070726f2071756f").try_into().unwrap();
    let cipher =
        Cipher::Gcm128(Box::new(aes_gcm::Aes128Gcm::new_from_slice(&session).unwrap()), salt);
    let plain = hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
         69736120 696e2070 61727465 73207472 6573");
    let sealed = hex("8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
         0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439
         0cce");
    let (mut made, index) = (plain.clone(), 0xf17b);
    cipher.seal_rtp(&mut made, HEADER_MIN, 0x5501_a0b2, index).unwrap();
    assert_eq!(made, sealed);
    let length = cipher.open_rtp(&mut made, HEADER_MIN, 0x5501_a0b2, index).unwrap();
    assert_eq!(made[..length], plain);
}

#[test]
fn packets_round_trip_over_roll_overs_and_out_of_order() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(suite);
        let mut late = None;
        for number in 65_000u32..200_000 {
            let plain = packet(number as u16, &number.to_be_bytes());
            let mut wire = plain.clone();
            sealer.seal_rtp(&mut wire).unwrap();
            assert!(wire.len() <= plain.len() + GROWTH_MAX);
            if number % 1000 == 535 {
                late = Some((wire, plain)); // Also the last before a roll-over.
                continue;
            }
            let length = opener.open_rtp(&mut wire).unwrap();
            assert_eq!(wire[..length], plain);
            if let Some((mut wire, plain)) = late.take() {
                let mut again = wire.clone();
                let length = opener.open_rtp(&mut wire).unwrap();
                assert_eq!(wire[..length], plain);
                assert_eq!(opener.open_rtp(&mut again), Err(Refused::Replayed));
            }
        }
    }
}

#[test]
fn a_sender_that_has_rolled_over_is_found() {
    for suite in Suite::ALL {
        for rolls in [1, 2, ROLLS_MAX, ROLLS_MAX + 1] {
            let (mut sealer, mut opener) = pair(suite);
            sealer.sources.note(0xcafe_babe, rolls << 16).unwrap();
            for number in 1..4u16 {
                let plain = packet(number, b"late");
                let mut wire = plain.clone();
                sealer.seal_rtp(&mut wire).unwrap();
                let opened = opener.open_rtp(&mut wire);
                if rolls > ROLLS_MAX {
                    assert_eq!(opened, Err(Refused::NotAuthentic));
                } else {
                    assert_eq!(wire[..opened.unwrap()], plain);
                }
            }
        }
    }
}

#[test]
fn control_round_trips_and_is_opened_once() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(suite);
        let plain = vec![0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4];
        for _ in 0..200 {
            let mut wire = plain.clone();
            sealer.seal_rtcp(&mut wire).unwrap();
            assert!(wire.len() <= plain.len() + GROWTH_MAX);
            let mut again = wire.clone();
            let length = opener.open_rtcp(&mut wire).unwrap();
            assert_eq!(wire[..length], plain);
            assert_eq!(opener.open_rtcp(&mut again), Err(Refused::Replayed));
        }
    }
}

#[test]
fn nothing_is_sealed_twice_under_one_index() {
    let (mut sealer, _) = pair(Suite::AeadAes128Gcm);
    sealer.seal_rtp(&mut packet(7, b"one")).unwrap();
    assert_eq!(sealer.seal_rtp(&mut packet(7, b"two")), Err(Refused::Replayed));
    for source in 0..SOURCES_MAX as u32 {
        let mut other = packet(7, b"x");
        other[8..12].copy_from_slice(&source.to_be_bytes());
        let sealed = sealer.seal_rtp(&mut other);
        let full = source as usize == SOURCES_MAX - 1;
        assert_eq!(sealed, if full { Err(Refused::TooManySources) } else { Ok(()) });
    }
}

#[test]
fn changed_packets_are_refused_and_change_nothing() {
    let mut rng = Rng::from_number(3);
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(suite);
        for round in 0..2_000u32 {
            let plain = packet(round as u16, b"twenty octets of talk");
            let mut wire = plain.clone();
            sealer.seal_rtp(&mut wire).unwrap();
            let mut control = vec![0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4];
            sealer.seal_rtcp(&mut control).unwrap();
            for (is_rtp, wire) in [(true, &wire), (false, &control)] {
                let mut bad = wire.clone();
                let at = rng.below(bad.len() as u64) as usize;
                bad[at] ^= 1 << rng.below(8);
                if rng.percent(30) {
                    bad.truncate(rng.below(bad.len() as u64) as usize);
                }
                let opened =
                    if is_rtp { opener.open_rtp(&mut bad) } else { opener.open_rtcp(&mut bad) };
                assert!(opened.is_err(), "{suite:?} {round}");
            }
            let length = opener.open_rtp(&mut wire).unwrap();
            assert_eq!(wire[..length], plain);
            opener.open_rtcp(&mut control).unwrap();
        }
    }
}

#[test]
fn hostile_octets_never_panic() {
    let mut rng = Rng::from_number(4);
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(suite);
        for _ in 0..4_000 {
            let mut wire = vec![0; rng.below(80) as usize];
            rng.fill(&mut wire);
            if let Some(first) = wire.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            let _ = sealer.seal_rtp(&mut wire.clone());
            let _ = sealer.seal_rtcp(&mut wire.clone());
            assert!(opener.open_rtp(&mut wire.clone()).is_err());
            assert!(opener.open_rtcp(&mut wire).is_err());
        }
    }
    assert!(Sealer::new(Suite::AeadAes128Gcm, &[0; 16], &[0; 14]).is_none());
}
