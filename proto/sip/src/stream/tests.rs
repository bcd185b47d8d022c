use super::*;

const HEAD: &[u8] = b"OPTIONS sip:h SIP/2.0\r\nl: 0\r\n\r\n";

#[test]
fn after_an_error_nothing_comes_out() {
    let mut framer = Framer::new();
    framer.push(b"OPTIONS sip:h SIP/2.0\r\nl: 0\r\nl: 1\r\n\r\n");
    framer.push(HEAD);
    let Some(Err(broken)) = framer.next() else { panic!("no error") };
    assert_eq!(broken.error, DecodeError::ContentLengthDiffers);
    assert!(broken.head.starts_with(b"OPTIONS"));
    framer.push(HEAD);
    assert_eq!(framer.next(), None);
}

#[test]
fn a_head_that_never_ends_is_bounded() {
    let mut framer = Framer::new();
    framer.push(b"OPTIONS sip:h SIP/2.0\r\n");
    let mut pushed = 0;
    loop {
        pushed += 10;
        framer.push(b"Subject: x");
        match framer.next() {
            None => assert!(pushed <= limits::HEADER_SECTION_MAX),
            Some(end) => {
                assert_eq!(end.unwrap_err().error, DecodeError::HeaderSectionLong);
                break;
            }
        }
    }
}

#[test]
fn silence_is_suspicious_only_within_a_message() {
    let mut framer = Framer::new();
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Some(Ok(Frame::Pong)));
    assert_eq!(framer.next(), None);
    assert!(!framer.is_within_message());
    framer.push(&HEAD[..9]);
    assert_eq!(framer.next(), None);
    assert!(framer.is_within_message());
    framer.push(&HEAD[9..]);
    assert_eq!(framer.next(), Some(Ok(Frame::Message(HEAD.to_vec()))));
    assert!(!framer.is_within_message());
}
