//! Reading a usual INVITE down to what decides where it goes, beside the parser of rsipstack: time by criterion, blocks and
//! octets by an allocator that counts.
//!
//! Picture     octets --ours--> user, tags, branch, contact;  the same octets --rsipstack--> the same facts
//! Rules       Both must find the same user, or nothing is measured. The peer copies its message first, as its own
//!             transports do with what a socket gave them; ours borrows.
//! Not here    What the shard does with it (`services/benches`), sockets (`bench`).
//! Spec        RFC 3261 §7. `cargo xtask bench parser` runs it and prints the ratios.
#![expect(unsafe_code, reason = "an allocator that counts is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use criterion::Criterion;
use rsipstack::sip::{HeadersExt, SipMessage, ToTypedHeader};
use sip::{Framing, Message, Name, Uri};

struct Counting;

static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static OCTETS: AtomicUsize = AtomicUsize::new(0);

fn note(size: usize) {
    BLOCKS.fetch_add(1, Relaxed);
    OCTETS.fetch_add(size, Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

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

/// Gives a length of what it found, so that none of it can be left out.
type Reader = fn(&[u8]) -> Option<usize>;

/// What is measured: the name of the row, who reads, how far.
const READERS: [(&str, Reader); 4] = [
    ("carillon, message", ours_message),
    ("rsipstack, message", theirs_message),
    ("carillon, to the decision", ours),
    ("rsipstack, to the decision", theirs),
];

fn ours_message(wire: &[u8]) -> Option<usize> {
    Some(Message::decode(wire, Framing::Datagram).ok()?.body().len())
}

fn theirs_message(wire: &[u8]) -> Option<usize> {
    match SipMessage::try_from(wire.to_vec()).ok()? {
        SipMessage::Request(request) => Some(request.body.len()),
        SipMessage::Response(_) => None,
    }
}

/// Transaction, dialog, peer and target: all that decides. Gives the length of the user that is called.
fn ours(wire: &[u8]) -> Option<usize> {
    let message = Message::decode(wire, Framing::Datagram).ok()?;
    message.check().ok()?;
    let via = message.via().ok()?;
    via.unique_branch()?;
    message.from().ok()?.tag()?;
    (message.to().ok()?.tag().is_none() && !message.call_id().is_empty()).then_some(())?;
    message.cseq().ok()?;
    message.has_token(Name::Supported, "timer").then_some(())?;
    message.contacts().all(|contact| contact.is_ok()).then_some(())?;
    Some(Uri::decode(message.request_uri()?).ok()?.user_unescaped()?.len())
}

/// The same facts by the other one.
fn theirs(wire: &[u8]) -> Option<usize> {
    let SipMessage::Request(request) = SipMessage::try_from(wire.to_vec()).ok()? else {
        return None;
    };
    request.top_via_header().ok()?.typed().ok()?.branch()?;
    request.from_header().ok()?.tag().ok()??;
    request.to_header().ok()?.tag().ok()?.is_none().then_some(())?;
    request.call_id_header().ok()?;
    request.cseq_header().ok()?.typed().ok()?;
    request.contact_header().ok()?.typed().ok()?;
    Some(request.uri.user()?.len())
}

fn main() {
    let wire = INVITE.as_bytes();
    assert_eq!((ours(wire), theirs(wire)), (Some(3), Some(3)), "both find bob");
    assert_eq!(ours_message(wire), theirs_message(wire), "both find the body");
    for (name, read) in READERS {
        let before = (BLOCKS.load(Relaxed), OCTETS.load(Relaxed));
        black_box(read(black_box(wire)));
        let (blocks, octets) = (BLOCKS.load(Relaxed) - before.0, OCTETS.load(Relaxed) - before.1);
        println!("{name}: {blocks} blocks, {octets} octets for {} octets", wire.len());
    }
    let span = Duration::from_secs(2);
    let mut criterion = Criterion::default().measurement_time(span).warm_up_time(span / 4);
    let mut group = criterion.benchmark_group("INVITE");
    for (name, read) in READERS {
        group.bench_function(name, |bench| bench.iter(|| black_box(read(black_box(wire)))));
    }
    group.finish();
    criterion.final_summary();
}
