//! What proves to an app that a request is ours.
//!
//! Spec: programmable-voice §4

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

/// The header that carries it.
pub const HEADER: &str = "x-twilio-signature";

/// Of a request to this address, without its fragment; `form`: the parameters of a body of that kind.
pub fn signature(token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = form.iter().collect();
    pairs.sort();
    pairs.dedup();
    let mut text = url.to_owned();
    for (name, value) in pairs {
        text.push_str(name);
        text.push_str(value);
    }
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else { return String::new() };
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let pairs = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
            rows.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let call = pairs(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
            ("Caller", "+14158675309"),
        ]);
        let many = pairs(&[
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ]);
        let text = pairs(&[("Body", "Grüße"), ("Empty", "")]);
        let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        for (url, form, expected) in [
            ("https://mycompany.com/myapp.php?foo=1&bar=2", &call, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            (
                "https://mycompany.com:443/myapp.php?foo=1&bar=2",
                &call,
                "kvajT1Ptam85bY51eRf/AJRuM3w=",
            ),
            (
                "https://mycompany.com:1234/myapp.php?foo=1&bar=2",
                &call,
                "CYn1h0gLBdNxDGkKJg6hYohgeD8=",
            ),
            ("http://mycompany.com/myapp.php?foo=1&bar=2", &call, "OyGYPqTF6ztdbRNCvuQO/oPvqQ4="),
            (
                "http://mycompany.com:80/myapp.php?foo=1&bar=2",
                &call,
                "0ZXoZLH/DfblKGATFgpif+LLRf4=",
            ),
            (
                "http://mycompany.com:1234/myapp.php?foo=1&bar=2",
                &call,
                "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
            ),
            ("https://mycompany.com/myapp.php?foo=1&bar=2", &many, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
            (
                "https://example.com/voice?CallSid=CA1&From=%2B15005550006",
                &vec![],
                "W+ksGkYSFDLsfj0P77w48O82h6g=",
            ),
            ("wss://example.com/media", &vec![], "7PR3qMkpDyEJtMrVOY/LDyNq8J8="),
            ("https://example.com/voice", &text, "g8Qcp5eQ1t2tc+4PelqoQtrBzzw="),
            (
                &format!("https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256={hash}"),
                &vec![],
                "a9nBmqA0ju/hNViExpshrM61xv4=",
            ),
        ] {
            assert_eq!(signature("12345", url, form), expected, "{url}");
        }
    }
}
