use types::{Rng, UnixTime};

use super::*;

/// The examples of the RFCs: what a server says, what a client knows and asks, what it must answer.
struct Example {
    challenge: &'static str,
    user: &'static str,
    password: &'static str,
    target: Target<'static>,
    cnonce: &'static str,
    response: &'static str,
}

const NONCE_7616: &str = "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\"";
const INDEX: Target<'static> = Target { method: b"GET", uri: b"/dir/index.html" };

fn examples() -> Vec<Example> {
    let rfc_7616 = |algorithm: &str| -> &'static str {
        let text = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             {NONCE_7616}, opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        Box::leak(text.into_boxed_str())
    };
    vec![
        // RFC 7616 §3.9.1
        Example {
            challenge: rfc_7616("MD5"),
            user: "Mufasa",
            password: "Circle of Life",
            target: INDEX,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            response: "8ca523f5e9506fed4657c9700eebdbec",
        },
        Example {
            challenge: rfc_7616("SHA-256"),
            user: "Mufasa",
            password: "Circle of Life",
            target: INDEX,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            response: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        },
        // RFC 7616 §3.9.2 as corrected by erratum 4897: the printed hash was a cut SHA-512.
        Example {
            challenge: "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
                        nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
                        opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", \
                        charset=UTF-8, userhash=true",
            user: "J\u{e4}s\u{f8}n Doe",
            password: "Secret, or not?",
            target: Target { method: b"GET", uri: b"/doe.json" },
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            response: "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        },
        // RFC 2617 §3.5
        Example {
            challenge: "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                        opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            user: "Mufasa",
            password: "Circle Of Life",
            target: INDEX,
            cnonce: "0a4f113b",
            response: "6629fae49393a05397450978507c4ef1",
        },
    ]
}

fn field<'a>(value: &'a str, name: &str) -> &'a str {
    let (_, rest) = value.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

#[test]
fn the_examples_of_the_rfcs_hold_on_both_sides() {
    for example in examples() {
        let challenge = Challenge::decode(example.challenge.as_bytes()).unwrap();
        let password = Password::Text(example.password.as_bytes());
        let login = Login { user: example.user.as_bytes(), password, realm: None };
        let cnonce = example.cnonce.as_bytes();
        let value = answer(&challenge, &login, example.target, cnonce, 1).unwrap();
        let text = String::from_utf8(value.clone()).unwrap();
        assert_eq!(field(&text, "response"), example.response);
        assert!(text.contains("qop=auth, nc=00000001"), "{text}");

        let credentials = Credentials::decode(&value).unwrap();
        assert_eq!(*credentials.username, *example.user.as_bytes());
        let algorithm = challenge.algorithm.unwrap();
        let good = ha1(algorithm, login.user, &challenge.realm, example.password.as_bytes());
        assert!(credentials.verify(Some(&good), example.target));

        let bad = ha1(algorithm, login.user, &challenge.realm, b"wrong");
        let post = Target { method: b"POST", ..example.target };
        let elsewhere = Target { uri: b"/else", ..example.target };
        assert!(!credentials.verify(Some(&bad), example.target));
        assert!(!credentials.verify(None, example.target));
        assert!(!credentials.verify(Some(&good), post));
        assert!(!credentials.verify(Some(&good), elsewhere));
    }
}

#[test]
fn algorithms_have_names_and_an_order() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::parse(algorithm.name().as_bytes()), Some(algorithm));
        assert_eq!(Algorithm::parse(algorithm.name().to_lowercase().as_bytes()), Some(algorithm));
        let hashed = ha1(algorithm, b"alice", b"hall", b"secret");
        assert_eq!(Ha1::from_hex(algorithm, hashed.hex().as_bytes()), Some(hashed));
        assert_eq!(format!("{hashed:?}"), format!("Ha1({}, secret)", algorithm.name()));
    }
    assert_eq!(Algorithm::parse(b"MD5-sess"), None);
    assert!(Algorithm::ALL.is_sorted_by(|a, b| a > b));
    assert_eq!(Ha1::from_hex(Algorithm::Sha256, &[b'a'; 32]), None);
    assert!(size_of::<Ha1>() <= 40);
}

#[test]
fn the_strongest_known_challenge_is_answered() {
    let realm = "Digest realm=\"hall\", nonce=\"n\"";
    let lines =
        ["MD5", "SHA-256", "SHA-999"].map(|name| format!("{realm}, qop=auth, algorithm={name}"));
    let decoded = lines.iter().map(|line| Challenge::decode(line.as_bytes()).unwrap());
    assert_eq!(strongest(decoded).unwrap().algorithm, Some(Algorithm::Sha256));
    let only = format!("{realm}, qop=\"auth-int\"");
    assert_eq!(strongest([Challenge::decode(only.as_bytes()).unwrap()]), None);
}

#[test]
fn a_login_answers_its_own_realm_and_algorithm_only() {
    let challenge = Challenge::decode(b"Digest realm=\"hall\", nonce=\"n\", qop=\"auth\"").unwrap();
    let login = |realm, password| Login { user: b"alice", password, realm };
    let sent = |login: &Login<'_>| answer(&challenge, login, INDEX, b"c", 1).is_some();
    let text = Password::Text(b"secret");
    let hashed = |algorithm| Password::Hashed(ha1(algorithm, b"alice", b"hall", b"secret"));
    assert!(sent(&login(Some(b"hall"), text)));
    assert!(sent(&login(None, hashed(Algorithm::Md5))));
    assert!(!sent(&login(Some(b"cellar"), text)));
    assert!(!sent(&login(None, hashed(Algorithm::Sha256))));
    assert_eq!(format!("{:?}", login(None, text).password), "(secret)");
}

#[test]
fn an_old_server_gets_the_old_form_and_an_old_client_nothing() {
    let challenge = Challenge::decode(b"Digest realm=\"hall\", nonce=\"n\"").unwrap();
    let login = Login { user: b"alice", password: Password::Text(b"secret"), realm: None };
    let value = answer(&challenge, &login, INDEX, b"c", 1).unwrap();
    let credentials = Credentials::decode(&value).unwrap();
    assert_eq!(credentials.qop, Qop::Absent);
    let right = ha1(Algorithm::Md5, b"alice", b"hall", b"secret");
    assert!(!credentials.verify(Some(&right), INDEX));
}

#[test]
fn names_with_quotes_survive_and_nothing_begins_a_header() {
    let challenge =
        Challenge::decode(b"Digest realm=\"a \\\"hall\\\"\", nonce=\"n\", qop=auth").unwrap();
    assert_eq!(*challenge.realm, *b"a \"hall\"");
    let login =
        Login { user: b"al\"ice\r\nX: y", password: Password::Text(b"secret"), realm: None };
    let value = answer(&challenge, &login, INDEX, b"c", 1).unwrap();
    assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
    assert_eq!(*Credentials::decode(&value).unwrap().username, *b"al\"iceX: y");
    let header = challenge_header("a \"hall\"\r\n", "n", Algorithm::Sha256, true);
    let expected =
        "Digest realm=\"a \\\"hall\\\"\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\", stale=true";
    assert_eq!(header, expected);
    let challenge = Challenge::decode(header.as_bytes()).unwrap();
    assert!(challenge.stale && challenge.offer == Offer::Auth);
}

/// The whole way: what a server and a client of ours say to each other.
struct Round {
    nonces: Nonces,
    ha1: Ha1,
    value: Vec<u8>,
}

const REGISTER: Target<'static> = Target { method: b"REGISTER", uri: b"sip:example.com" };
const START: UnixTime = UnixTime::seconds(1_800_000_000);

fn round() -> Round {
    let mut nonces = Nonces::new([3; 32], &mut Rng::from_number(9));
    let nonce = nonces.mint(START, b"192.0.2.1");
    let header = challenge_header("hall", &nonce, Algorithm::Sha256, false);
    let challenge = Challenge::decode(header.as_bytes()).unwrap();
    let login = Login { user: b"alice", password: Password::Text(b"secret"), realm: None };
    let value = answer(&challenge, &login, REGISTER, b"c", 1).unwrap();
    Round { nonces, ha1: ha1(Algorithm::Sha256, b"alice", b"hall", b"secret"), value }
}

#[test]
fn a_proof_counts_once_from_its_source_in_its_time() {
    let Round { mut nonces, ha1: right, value } = round();
    let proof = Credentials::decode(&value).unwrap();
    let here: &[u8] = b"192.0.2.1";
    let weak = ha1(Algorithm::Md5, b"alice", b"hall", b"secret");
    let other = Target { method: b"INVITE", ..REGISTER };
    let mut admit = |ha1: Option<&Ha1>, target, source: &[u8], minutes: u64| {
        let now = UnixTime::seconds(START.as_seconds() + minutes * 60);
        nonces.admit(&proof, ha1, target, source, now)
    };
    assert_eq!(admit(Some(&right), REGISTER, b"203.0.113.9", 0), Admission::Forged);
    assert_eq!(admit(None, REGISTER, here, 0), Admission::Wrong);
    assert_eq!(admit(Some(&weak), REGISTER, here, 0), Admission::Wrong);
    assert_eq!(admit(Some(&right), other, here, 0), Admission::Wrong);
    assert_eq!(admit(Some(&right), REGISTER, here, 6), Admission::Stale);
    assert_eq!(admit(Some(&right), REGISTER, here, 1), Admission::Accepted);
    assert_eq!(admit(Some(&right), REGISTER, here, 1), Admission::Stale);
    assert_eq!(admit(None, REGISTER, here, 1), Admission::Wrong);
    assert_eq!(nonces.used(), 1);
}

#[test]
fn the_uri_may_be_written_differently_but_names_the_same() {
    for (signed, sent, same) in [
        ("sip:example.com", "sip:example.com", true),
        ("sip:example.com", "SIP:Example.COM;transport=udp", true),
        ("sip:example.com:5060", "sip:example.com", true),
        ("sip:bob@example.com;user=phone", "sip:bob@example.com", true),
        ("sip:b%6fb@example.com", "sip:bob@example.com", true),
        ("sip:bob@example.com", "sip:Bob@example.com", false),
        ("sip:bob@example.com", "sip:example.com", false),
        ("sip:example.com", "sips:example.com", false),
        ("sip:example.com:5070", "sip:example.com", false),
        ("sip:example.com", "sip:example.org", false),
        ("tel:+1", "tel:+1", true),
        ("tel:+1", "tel:+2", false),
        ("", "sip:example.com", false),
        ("*", "sip:example.com", false),
    ] {
        assert_eq!(uri_matches(signed.as_bytes(), sent.as_bytes()), same, "{signed} {sent}");
    }
}

#[test]
fn odd_but_legal_spellings_are_read() {
    let hash = "0123456789abcdefABCDEF0123456789";
    for value in [
        format!("Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"u\",response=\"{hash}\""),
        format!(
            "digest  USERNAME = \"a\" ,, realm=r,\r\n\tnonce=n==, uri=sip:b@c, x=y, response={hash},"
        ),
        format!(
            "Digest username=\"\",realm=\"r\",nonce=\"n\",uri=\"u\",response=\"{hash}\",qop=auth-int"
        ),
    ] {
        let decoded = Credentials::decode(value.as_bytes());
        assert_eq!(decoded.unwrap().algorithm, Some(Algorithm::Md5), "{value}");
    }
}

#[test]
fn garbage_is_refused() {
    let hash = "0123456789abcdef0123456789abcdef";
    let full = format!("username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"{hash}\"");
    let long = "x".repeat(9_000);
    for value in [
        String::new(),
        "Digest".into(),
        "Basic dXNlcjpwYXNz".into(),
        full.clone(),
        format!("DigestX {full}"),
        format!("Digest {full}, realm=\"other\""),
        format!("Digest {full}, qop=auth"),
        format!("Digest {full}, qop=auth, nc=1, cnonce=\"c\""),
        format!("Digest {full}, qop=auth, nc=0000000g, cnonce=\"c\""),
        format!("Digest {full}, qop=\"auth"),
        format!("Digest {full}, qop"),
        format!("Digest {full}, =x"),
        format!("Digest {full}, x=\"y\" z"),
        format!("Digest {full}, x=\"y\u{7}\""),
        format!("Digest {full}, x=\"y\\"),
        format!("Digest {full}, x={long}"),
        format!("Digest {}", full.replace(hash, "xyz")),
        format!("Digest {}", full.replace(hash, "ab")),
        format!("Digest {full}{}", ",x=y".repeat(100)),
    ] {
        assert!(Credentials::decode(value.as_bytes()).is_err(), "{value}");
    }
    for value in ["", "Digest", "Digest realm=\"r\"", "Digest nonce=\"r\"", "Basic realm=\"r\""] {
        assert!(Challenge::decode(value.as_bytes()).is_err(), "{value}");
    }
}

#[test]
fn hostile_octets_never_panic() {
    let Round { mut nonces, ha1, value } = round();
    let challenge = examples()[0].challenge.as_bytes();
    let mut rng = Rng::from_number(7616);
    let login = Login { user: b"alice", password: Password::Text(b"secret"), realm: None };
    for _ in 0..20_000 {
        for seed in [challenge, &value] {
            let mut bytes = seed.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64 + 1) as usize;
                match rng.below(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, rng.next_u64() as u8),
                    2 => bytes.insert(at, b"\",\\= "[rng.below(5) as usize]),
                    _ => {
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte = rng.next_u64() as u8;
                        }
                    }
                }
            }
            if let Ok(proof) = Credentials::decode(&bytes) {
                let _ = nonces.admit(&proof, Some(&ha1), REGISTER, b"192.0.2.1", START);
            }
            if let Ok(challenge) = Challenge::decode(&bytes)
                && let Some(value) = answer(&challenge, &login, REGISTER, b"c", 1)
            {
                assert!(value.iter().all(|byte| *byte == b'\t' || *byte >= b' '));
                let read = Credentials::decode(&value);
                assert!(read.is_ok() || value.len() > VALUE_MAX, "{value:?}");
            }
        }
    }
    assert!(nonces.used() <= 2);
}
