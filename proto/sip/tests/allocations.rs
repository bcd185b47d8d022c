//! Reading a usual message asks the allocator for nothing. A file of its own, as the allocator
//! counts for the whole process.

#![expect(unsafe_code, reason = "an allocator that counts is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sip::{Framing, Message, Name};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INVITE: &[u8] = b"INVITE sip:bob@hall.example;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-524287-1---d8a1b2c3d4e5f607;rport\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK776asdhds;received=203.0.113.9;rport=40112\r\n\
    Max-Forwards: 69\r\n\
    Record-Route: <sip:192.0.2.10;lr>\r\n\
    Contact: <sip:alice@198.51.100.7:5060;transport=udp>;+sip.instance=\"<urn:uuid:00000000-0000-1000>\"\r\n\
    To: \"Bob\" <sip:bob@hall.example>\r\n\
    From: \"Alice Adler\" <sip:alice@hall.example>;tag=6f1a2b3c\r\n\
    Call-ID: 84711YzQ5MDk0MjZhNzk0OTU5YTdiZmI1NTU2MTQxNjE\r\n\
    CSeq: 1 INVITE\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, PRACK, UPDATE\r\n\
    Content-Type: application/sdp\r\n\
    Supported: replaces, outbound, gruu, 100rel\r\n\
    User-Agent: Softphone 5.1\r\n\
    Content-Length: 132\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

#[test]
fn reading_an_invite_allocates_nothing() {
    let before = COUNT.load(Ordering::Relaxed);
    let message = Message::decode(INVITE, Framing::Datagram);
    let seen = message.as_ref().is_ok_and(|message| {
        message.check().is_ok()
            && message.via().is_ok_and(|via| via.unique_branch().is_some() && via.asks_rport())
            && message.from().is_ok_and(|from| from.tag().is_some() && from.uri().is_ok())
            && message.to().is_ok_and(|to| to.tag().is_none())
            && message.cseq().is_ok_and(|cseq| cseq.number == 1)
            && !message.call_id().is_empty()
            && message.request_uri().is_some()
            && message.values(Name::Allow).count() == 12
            && message.contacts().all(|contact| contact.is_ok())
    });
    let allocations = COUNT.load(Ordering::Relaxed) - before;
    assert!(seen, "{:?}", message.map(|message| message.check()));
    assert_eq!(allocations, 0);
}
