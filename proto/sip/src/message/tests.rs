use super::*;

const REQUEST: &[u8] = b"INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b\r\n\
    Route: <sip:p1,x;lr>,<sip:p2>\r\nv: SIP/2.0/TCP c\r\nX-Odd: \"a,b\" , , c\r\nSupported: path, OutBound\r\n\
    From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nX-Two: 2\r\n\r\n";

#[test]
fn lines_and_values() {
    let message = Message::decode(REQUEST, Framing::Datagram).unwrap();
    let hosts: Vec<_> =
        message.values(Name::Via).map(|via| Via::decode(via).unwrap().host).collect();
    assert_eq!(hosts, [b"a", b"b", b"c"]);
    assert_eq!(message.all(Name::Via).count(), 2);
    assert_eq!(message.values(Name::Route).next(), Some(&b"<sip:p1,x;lr>"[..]));
    assert_eq!(message.first_named("x-odd"), Some(&b"\"a,b\" , , c"[..]));
    assert_eq!(header::elements(b"\"a,b\" , , c").collect::<Vec<_>>(), [&b"\"a,b\""[..], b"c"]);
    assert_eq!(message.all(Name::Other).count(), 2);
    assert_eq!(message.first(Name::Event), None);
    assert!(message.has_token(Name::Supported, "outbound"));
    assert!(!message.has_token(Name::Supported, "out"));
    assert_eq!(message.headers().last().map(|header| header.raw_name), Some(&b"X-Two"[..]));
    assert_eq!(message.check(), Ok(()));
}

#[test]
fn every_cut_is_an_error_or_a_shorter_body() {
    for end in 0..REQUEST.len() {
        assert!(Message::decode(&REQUEST[..end], Framing::Datagram).is_err(), "{end}");
        let _ = Message::for_refusal(&REQUEST[..end]);
    }
}

#[test]
fn debug_output_holds_no_address() {
    let message = Message::decode(REQUEST, Framing::Datagram).unwrap();
    assert_eq!(
        format!("{message:?}"),
        format!(
            "Message {{ method: INVITE, status: None, headers: 10, octets: {} }}",
            REQUEST.len()
        )
    );
}

#[test]
fn the_longest_datagram_fits_the_offsets() {
    let mut bytes = b"MESSAGE sip:b@h SIP/2.0\r\nCall-ID: 1\r\n\r\n".to_vec();
    bytes.resize(limits::MESSAGE_MAX, b'x');
    let message = Message::decode(&bytes, Framing::Datagram).unwrap();
    assert_eq!(message.body().len(), limits::MESSAGE_MAX - 39);
    bytes.push(b'x');
    assert_eq!(Message::decode(&bytes, Framing::Datagram).unwrap_err(), DecodeError::MessageLong);
}
