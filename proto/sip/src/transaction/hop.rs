//! The two requests that follow an INVITE hop by hop: the ACK of a failure, and CANCEL.

use crate::write::Writer;
use crate::{DecodeError, Message, Name};

/// Writes the ACK of a failure that an INVITE of ours got: same Request-URI, Call-ID, From, Route,
/// CSeq number and top Via as the INVITE, the To of the response.
///
/// Errors: the INVITE or the response lacks one of these. Then `out` is as it was.
///
/// Spec: RFC 3261 §17.1.1.3
pub fn ack_for(
    invite: &Message<'_>,
    response: &Message<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let to = response.first(Name::To).ok_or(DecodeError::Missing(Name::To))?;
    follow(invite, b"ACK", to, out)?.end();
    Ok(())
}

/// Writes the CANCEL of an INVITE of ours. Send it only once a provisional answer came, in a
/// `client` transaction of its own, to where the INVITE went. `reason`: the value of a Reason
/// header, such as that the call was answered elsewhere.
///
/// Errors: the INVITE lacks what a CANCEL repeats. Then `out` is as it was.
///
/// Spec: RFC 3261 §9.1, RFC 3326
pub fn cancel_for(
    invite: &Message<'_>,
    reason: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let to = invite.first(Name::To).ok_or(DecodeError::Missing(Name::To))?;
    let mut writer = follow(invite, b"CANCEL", to, out)?;
    if let Some(reason) = reason {
        writer.header(Name::Reason, reason);
    }
    writer.end();
    Ok(())
}

fn follow<'b>(
    invite: &Message<'_>,
    method: &[u8],
    to: &[u8],
    out: &'b mut Vec<u8>,
) -> Result<Writer<'b>, DecodeError> {
    let missing = |name| DecodeError::Missing(name);
    let uri = invite.request_uri().ok_or(DecodeError::StartLine)?;
    let via = invite.values(Name::Via).next().ok_or(missing(Name::Via))?;
    let from = invite.first(Name::From).ok_or(missing(Name::From))?;
    let number = invite.cseq()?.number.to_string();
    let mut writer = Writer::request(out, method, uri);
    writer
        .header(Name::Via, via)
        .copy(invite, Name::Route)
        .number(Name::MaxForwards, MAX_FORWARDS)
        .header(Name::From, from)
        .header(Name::To, to)
        .header(Name::CallId, invite.call_id())
        .header_parts(Name::CSeq, &[number.as_bytes(), b" ", method]);
    Ok(writer)
}

/// How many hops a request of ours may take.
///
/// Spec: RFC 3261 §8.1.1.6
pub(crate) const MAX_FORWARDS: u64 = 70;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Framing;

    const INVITE: &str = "INVITE sip:bob@biloxi.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff, SIP/2.0/UDP below;branch=z9hG4bK2\r\n\
        Via: SIP/2.0/UDP lower;branch=z9hG4bK3\r\n\
        To: Bob <sip:bob@biloxi.com>\r\n\
        From: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\n\
        Max-Forwards: 12\r\n\
        Route: <sip:one;lr>\r\n\
        Route: <sip:two;lr>\r\n\
        Call-ID: 987asjd97y7atg\r\n\
        CSeq: 986759 INVITE\r\n\
        Content-Length: 0\r\n\r\n";

    const FOLLOWED: &str = " sip:bob@biloxi.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff\r\n\
        Route: <sip:one;lr>\r\n\
        Route: <sip:two;lr>\r\n\
        Max-Forwards: 70\r\n\
        From: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\n";

    fn message(text: &str) -> Message<'_> {
        Message::decode(text.as_bytes(), Framing::Datagram).unwrap()
    }

    #[test]
    fn the_ack_of_a_failure_takes_its_to() {
        let busy = "SIP/2.0 486 Busy Here\r\nTo: Bob <sip:bob@biloxi.com>;tag=99sa0xk\r\n\r\n";
        let mut out = Vec::new();
        ack_for(&message(INVITE), &message(busy), &mut out).unwrap();
        let expected = format!(
            "ACK{FOLLOWED}To: Bob <sip:bob@biloxi.com>;tag=99sa0xk\r\n\
             Call-ID: 987asjd97y7atg\r\nCSeq: 986759 ACK\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_cancel_takes_the_to_of_its_invite() {
        let mut out = Vec::new();
        cancel_for(&message(INVITE), Some(b"SIP;cause=200"), &mut out).unwrap();
        let expected = format!(
            "CANCEL{FOLLOWED}To: Bob <sip:bob@biloxi.com>\r\n\
             Call-ID: 987asjd97y7atg\r\nCSeq: 986759 CANCEL\r\n\
             Reason: SIP;cause=200\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_not_an_invite_of_ours_leaves_nothing() {
        let mut out = Vec::new();
        let response = message("SIP/2.0 486 Busy Here\r\nFrom: <sip:a@b>\r\n\r\n");
        assert!(ack_for(&message(INVITE), &response, &mut out).is_err());
        assert!(cancel_for(&response, None, &mut out).is_err());
        assert_eq!(out, []);
    }
}
