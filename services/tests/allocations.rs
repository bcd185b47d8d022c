//! How often a message is copied on its way to a decision: counted by an allocator that counts.
#![allow(unsafe_code)] // An allocator cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use sip::{Framing, Message, Method, Name};
use switchboard::directory::Directory;
use switchboard::route::{self, Origin, Question};
use switchboard::{Keys, locate};
use types::{HashKey, UnixTime};

struct Counting;

static BLOCKS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BLOCKS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Blocks that `work` takes.
fn blocks<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BLOCKS.load(Relaxed);
    let done = work();
    (done, BLOCKS.load(Relaxed) - before)
}

/// Blocks that a decision may take: its words for the ladder, and the stages.
const DECISION_MAX: usize = 12;

const INVITE: &str = "INVITE sip:bob@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice Example\" <sip:alice@example.org>;tag=1928301774\r\n\
    To: \"Bob\" <sip:bob@example.org>\r\n\
    Call-ID: a84b4c76e66710@pc33.example.org\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@192.0.2.1:5060;transport=udp>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY\r\n\
    Supported: replaces, timer, 100rel\r\n\
    Session-Expires: 1800\r\n\
    User-Agent: A usual phone/7.1\r\n\
    Accept: application/sdp\r\n\
    Allow-Events: talk, hold, conference, refer\r\n\
    Date: Sun, 22 Nov 2026 10:00:00 GMT\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 230\r\n\r\n\
    v=0\r\no=- 13760799956958020 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

// One test, for the counter is one.
#[test]
fn an_invite_is_read_without_a_copy_and_decided_with_few() {
    let wire = INVITE.as_bytes();
    assert!((850..1_000).contains(&wire.len()), "of a usual length: {}", wire.len());
    let keys = Keys::new([7; 32]);
    let (slot, taken) = blocks(|| locate(wire, &keys));
    assert!(slot.is_some());
    assert_eq!(taken, 0, "to find its shard");
    let (user, taken) = blocks(|| {
        let message = Message::decode(wire, Framing::Datagram).ok()?;
        message.check().ok()?;
        assert_eq!(message.method(), Method::Invite);
        assert!(message.via().is_ok_and(|via| via.unique_branch().is_some() && via.asks_rport()));
        assert!(message.from().is_ok_and(|from| from.tag().is_some()));
        assert!(message.to().is_ok_and(|to| to.tag().is_none()));
        assert!(message.has_token(Name::Supported, "timer"));
        assert!(message.contacts().all(|contact| contact.is_ok()));
        assert_eq!(message.max_forwards(), Ok(Some(70)));
        let uri = sip::Uri::decode(message.request_uri()?).ok()?;
        uri.user_unescaped()
    });
    assert_eq!(taken, 0, "to read all that decides where it goes");
    let user = String::from_utf8_lossy(&user.unwrap()).into_owned();
    let directory = Directory::new(HashKey::default());
    let question = Question {
        origin: Origin::Stranger,
        shows: None,
        dialled: user,
        time: UnixTime::seconds(1_800_000_000),
        chance: 0,
    };
    let (decision, taken) = blocks(|| route::decide(&directory, &question));
    println!("{taken} blocks for a decision, {} stages", decision.stages.len());
    assert!(taken <= DECISION_MAX, "{taken}");
}
