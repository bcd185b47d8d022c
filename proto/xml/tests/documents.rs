//! The documents: golden ones of `tests/wire` as others write them, and the same as we write them.

use std::fmt::Debug;

use xml::{
    Conference, Contact, ContactEvent, ContactState, CopyControl, DecodeError, Dialog, DialogInfo,
    DialogReference, DialogState, Endpoint, EndpointStatus, Entry, List, Media, MessageSummary,
    Participant, Person, Presence, Reginfo, Registration, RegistrationState, ResourceLists, Tuple,
    User, Waiting,
};

fn golden(file: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/wire/{file}.xml", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The golden document means this, and so does what we write.
#[track_caller]
fn check<T: Debug + PartialEq>(
    file: &str,
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> String,
    expected: T,
) {
    assert_eq!(decode(&golden(file)), Ok(expected));
    let read = decode(&golden(file)).unwrap();
    let written = encode(&read);
    assert_eq!(decode(written.as_bytes()), Ok(read), "{written}");
    assert_eq!(
        decode(b"<x/>").map(|_| ()).unwrap_err().to_string(),
        format!(
            "not a {} document",
            match file {
                "pidf" => "presence",
                file => file,
            }
        )
    );
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Spec: RFC 3680 §5, RFC 5628
#[test]
fn registrations() {
    let gone = Contact {
        id: "77".into(),
        state: ContactState::Terminated,
        event: ContactEvent::Probation,
        uri: "sip:ann@192.0.2.8".into(),
        display_name: None,
        registered: None,
        expires: None,
        retry_after: Some(30),
        q: None,
        call_id: None,
        cseq: None,
        pub_gruu: None,
        temp_gruu: None,
    };
    let new = Contact {
        id: "76".into(),
        state: ContactState::Active,
        event: ContactEvent::Registered,
        uri: "sip:ann@192.0.2.7;x=<1>".into(),
        display_name: some("Ann & Co."),
        registered: Some(7322),
        expires: Some(278),
        retry_after: None,
        q: some("0.8"),
        call_id: some("9@h\""),
        cseq: Some(4),
        pub_gruu: some("sip:ann@hall.example;gr=urn:uuid:1"),
        temp_gruu: some("sip:t@hall.example;gr"),
    };
    let registration = Registration {
        aor: "sip:ann@hall.example".into(),
        id: "a7".into(),
        state: RegistrationState::Active,
        contacts: vec![new, gone],
    };
    let reginfo = Reginfo { version: 1, full: false, registrations: vec![registration] };
    check("reginfo", Reginfo::decode, Reginfo::encode, reginfo);
    let empty = Reginfo { version: 0, full: true, registrations: Vec::new() };
    assert_eq!(
        empty.encode(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\"/>\r\n"
    );
}

/// Spec: RFC 4235 §4
#[test]
fn dialogs() {
    let reference = |call_id: &str, local: &str, remote: &str| {
        Some(DialogReference {
            call_id: call_id.into(),
            local_tag: some(local),
            remote_tag: some(remote),
        })
    };
    let over = Dialog {
        id: "as7d900as8".into(),
        reference: reference("a84b4c76e66710", "1928301774", "456"),
        outgoing: Some(true),
        state: DialogState::Terminated,
        event: some("remote-bye"),
        code: Some(200),
        duration: Some(274),
        replaces: reference("hg287s98s89", "6762h7", "09278hsb"),
        referred_by: some("sip:bob@hall.example"),
        local: Some(Participant {
            identity: some("sip:ann@hall.example"),
            display: some("Ann"),
            target: some("sip:ann@192.0.2.7"),
            params: vec![("+sip.rendering".into(), "no".into())],
        }),
        remote: Some(Participant {
            identity: some("sip:carol@hall.example"),
            ..Participant::default()
        }),
    };
    let ringing = Dialog {
        id: "2".into(),
        reference: None,
        outgoing: None,
        state: DialogState::Early,
        event: None,
        code: None,
        duration: None,
        replaces: None,
        referred_by: None,
        local: None,
        remote: None,
    };
    let entity = "sip:ann@hall.example".into();
    let document = DialogInfo { version: 2, full: true, entity, dialogs: vec![over, ringing] };
    check("dialog-info", DialogInfo::decode, DialogInfo::encode, document);
}

/// Spec: RFC 3863 §4, RFC 4480
#[test]
fn presence() {
    let open = Tuple {
        id: "bs35r9".into(),
        open: Some(true),
        contact: some("sip:ann@192.0.2.7"),
        priority: some("0.8"),
        notes: vec!["Do \u{201c}knock\u{201d}".into()],
        timestamp: some("2026-01-02T03:04:05Z"),
    };
    let closed = Tuple { id: "eg92n8".into(), open: Some(false), ..Tuple::default() };
    let person = Person {
        id: "p1".into(),
        activities: vec!["on-the-phone", "meeting"],
        notes: vec!["In the mill".into()],
        timestamp: some("2026-01-02T03:04:06Z"),
    };
    let document = Presence {
        entity: "pres:ann@hall.example".into(),
        tuples: vec![open, closed],
        notes: vec!["Back at <noon>".into()],
        person: Some(person),
    };
    assert!(document.is_open() && !Presence::default().is_open());
    check("pidf", Presence::decode, Presence::encode, document);
}

/// Spec: RFC 4575 §5
#[test]
fn conferences() {
    let media = Media {
        id: "1".into(),
        kind: some("audio"),
        status: some("sendrecv"),
        source: some("583398"),
    };
    let endpoint = Endpoint {
        entity: "sip:bob@192.0.2.9".into(),
        display: some("Desk"),
        status: Some(EndpointStatus::OnHold),
        joining: some("dialed-in"),
        disconnection: None,
        media: vec![media],
    };
    let bob = User {
        entity: "sip:bob@hall.example".into(),
        deleted: false,
        display: some("Bob"),
        roles: vec!["host".into(), "speaker".into()],
        endpoints: vec![endpoint],
    };
    let ann = User { entity: "sip:ann@hall.example".into(), deleted: true, ..User::default() };
    let document = Conference {
        entity: "sips:mill@hall.example".into(),
        version: 7,
        full: true,
        display: some("Mill"),
        subject: some("Grain"),
        user_count_max: Some(9),
        user_count: Some(2),
        active: Some(true),
        locked: Some(false),
        users: vec![bob, ann],
    };
    check("conference-info", Conference::decode, Conference::encode, document);
}

/// Spec: RFC 4826 §3, RFC 5364
#[test]
fn lists() {
    let entry = |uri: &str| Entry { uri: uri.into(), ..Entry::default() };
    let close = List { name: some("close"), entries: vec![entry("tel:+1")], ..List::default() };
    let ann = Entry { copy: Some(CopyControl::To), ..entry("sip:ann@hall.example") };
    let bob = Entry {
        display_name: some("Bob"),
        copy: Some(CopyControl::Bcc),
        anonymous: true,
        ..entry("sip:bob@hall.example?Subject=a&Priority=b")
    };
    let friends = List {
        name: some("friends"),
        display_name: some("Friends"),
        entries: vec![ann, bob],
        lists: vec![close],
    };
    let document = ResourceLists { lists: vec![friends, List::default()] };
    assert_eq!(document.entries().count(), 3);
    check("resource-lists", ResourceLists::decode, ResourceLists::encode, document);
}

/// Spec: RFC 3842 §5
#[test]
fn summaries() {
    let text = "messages-waiting : YES\r\nMessage-Account: sip:ann@hall.example\r\n\
                Fax-Message: 1/1\r\nvoice-message: 4/8 (1/2)\r\nText-Message: 0 / 1\r\n";
    let expected = MessageSummary {
        waiting: true,
        account: some("sip:ann@hall.example"),
        voice: Some(Waiting { new: 4, old: 8, urgent: Some((1, 2)) }),
        text: Some(Waiting { new: 0, old: 1, urgent: None }),
    };
    assert_eq!(MessageSummary::decode(text.as_bytes()), Ok(expected.clone()));
    assert_eq!(
        expected.encode(),
        "Messages-Waiting: yes\r\nMessage-Account: sip:ann@hall.example\r\n\
         Voice-Message: 4/8 (1/2)\r\nText-Message: 0/1\r\n"
    );
    let odd = MessageSummary { account: some("a\r\nX: y"), ..MessageSummary::default() };
    assert_eq!(odd.encode().lines().count(), 2);
    for bad in [
        "",
        "Voice-Message: 1/2",
        "Messages-Waiting: maybe",
        "Messages-Waiting: no\r\nVoice-Message: 1",
        "Messages-Waiting: no\r\nVoice-Message: 1/x",
        "Messages-Waiting: no\r\nVoice-Message: 1/2 (3/4",
        "Messages-Waiting: no\r\nVoice-Message: 4294967296/2",
    ] {
        assert!(MessageSummary::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

/// A name without an identity and a parameter without a target belong to nothing: they are left out when read, as they
/// could not be written.
#[test]
fn what_belongs_to_nothing_is_left_out() {
    let golden = String::from_utf8(golden("dialog-info")).unwrap();
    let bare = golden.replace("<d:target uri=", "<d:target uui=");
    assert_ne!(golden, bare);
    let read = DialogInfo::decode(bare.as_bytes()).unwrap();
    let local = read.dialogs.first().and_then(|dialog| dialog.local.as_ref()).unwrap();
    assert_eq!((local.target.as_ref(), local.params.len()), (None, 0));
    assert_eq!(DialogInfo::decode(read.encode().as_bytes()), Ok(read));
}

#[test]
fn what_a_document_must_have() {
    let reginfo = |inner: &str| {
        let text = format!("<reginfo xmlns='urn:ietf:params:xml:ns:reginfo' {inner}</reginfo>");
        Reginfo::decode(text.as_bytes()).unwrap_err()
    };
    assert_eq!(reginfo("state='full'>"), DecodeError::Missing("version"));
    assert_eq!(reginfo("version='-1' state='full'>"), DecodeError::Value("version"));
    assert_eq!(reginfo("version='4294967296'>"), DecodeError::Value("version"));
    assert_eq!(reginfo("version='1' state='half'>"), DecodeError::Value("state"));
    assert_eq!(
        reginfo("version='1'><registration id='1' state='active'/>"),
        DecodeError::Missing("aor")
    );
    assert_eq!(
        reginfo("version='1'><registration aor='a' id='1' state='odd'/>"),
        DecodeError::Value("state")
    );
    let tuple =
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a'><tuple id='1'/></presence>";
    assert_eq!(Presence::decode(tuple.as_bytes()), Err(DecodeError::Missing("status")));
}
