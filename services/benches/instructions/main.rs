//! What one call and one registration cost a shard, with all its rooms: instructions and allocations, which a busy
//! machine does not change.
//!
//! Picture     phones as text --> Shard::handle (measured) --> messages as text; the store answers at once
//! Rules       Only what the shard itself does is measured: `measured` is what callgrind counts, and allocations are
//!             counted around it alone. Calls end one after the other, twenty milliseconds of virtual time apart, so that
//!             transactions of hundreds of calls are alive, as in a busy server.
//! Not here    Sockets, the log's file, the database, media: `bench sip` has them all.
//! Spec        docs/benchmarks.md says how it is run (`cargo xtask bench instructions`).
#![allow(unsafe_code)] // An allocator cannot be written without.

mod svg;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use driver::House;
use driver::text::{crlf, header};
use sip::digest::{Algorithm, Challenge, Login, Password, Target, answer};
use switchboard::directory::Verifier;
use switchboard::store::{Query, Row, Value};
use switchboard::{Clock, Config, Input, Listener, Output, Reply, Shard};
use types::{Flow, Transport};

struct Counting;

static BLOCKS: AtomicU64 = AtomicU64::new(0);
static OCTETS: AtomicU64 = AtomicU64::new(0);
/// Octets that are in use now.
static KEPT: AtomicI64 = AtomicI64::new(0);

fn note(size: usize) {
    BLOCKS.fetch_add(1, Relaxed);
    OCTETS.fetch_add(size as u64, Relaxed);
    KEPT.fetch_add(size as i64, Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        KEPT.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        KEPT.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What callgrind is told to count (`--toggle-collect`), by this name.
#[inline(never)]
#[unsafe(no_mangle)]
fn measured(shard: &mut Shard, input: Input<'_>, clock: Clock) {
    shard.handle(input, clock);
}

/// Users; each registers once before anything is measured.
const USERS: usize = 200;
/// Units before those that are measured: tables have grown, and the first pages are touched.
const WARM: usize = 300;
/// Virtual time between two units.
const GAP: Duration = Duration::from_millis(20);

const US: &str = "10.0.0.100:5060";
const CALLER: &str = "10.0.0.1:5060";
const OFFER: &str = "v=0\no=- 13760799956958020 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\n\
    m=audio 40000 RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
    a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na=sendrecv\n";

fn config() -> Config {
    Config {
        domain: "bench.test".into(),
        hosts: vec![US.into(), "10.0.0.100".into()],
        listeners: vec![Listener { transport: Transport::Udp, sent_by: US.into() }],
        require_auth: false,
        digest: vec![Algorithm::Md5],
        media_address: [10, 0, 0, 100].into(),
        media_ports: 1_024..=65_535,
        shared_port: None,
        amr: Default::default(),
        door: None,
        public: "http://10.0.0.100:8088".into(),
        ladder_memory: 4 << 20,
        ..driver::config()
    }
}

/// An offer of nothing yet: a call without media, which takes no ports. Spec: RFC 3264 §5.
const NO_MEDIA: &str =
    "v=0\no=- 13760799956958020 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\n";

/// A shard under load, and what it sent.
struct Load {
    house: House,
    offer: &'static str,
    sent: Vec<(SocketAddr, String)>,
    counts: bool,
    blocks: u64,
    octets: u64,
    timed: bool,
    spent: Duration,
    number: usize,
}

impl Load {
    fn new() -> Self {
        let house = House::new(config(), || services::open(&services::Config::default()));
        let (sent, counts) = (Vec::new(), false);
        let spent = Duration::ZERO;
        let mut load = Self {
            house,
            offer: OFFER,
            sent,
            counts,
            blocks: 0,
            octets: 0,
            timed: false,
            spent,
            number: 0,
        };
        load.give(Input::Begin);
        for user in 0..USERS {
            load.register(user);
        }
        load
    }

    fn give(&mut self, input: Input<'_>) {
        let (shard, clock) = (&mut self.house.shard, self.house.clock);
        if self.counts {
            let before = (BLOCKS.load(Relaxed), OCTETS.load(Relaxed));
            measured(shard, input, clock);
            self.blocks += BLOCKS.load(Relaxed) - before.0;
            self.octets += OCTETS.load(Relaxed) - before.1;
        } else if self.timed {
            #[expect(clippy::disallowed_methods, reason = "a stopwatch, and no part of the house")]
            let begun = Instant::now();
            shard.handle(input, clock);
            self.spent += begun.elapsed();
        } else {
            shard.handle(input, clock);
        }
        let mut replies = Vec::new();
        let outputs = self.house.shard.outputs();
        for output in outputs.list.drain(..) {
            match output {
                Output::Send { flow, range, .. } => {
                    let text = String::from_utf8_lossy(&outputs.arena[range]).into_owned();
                    self.sent.push((flow.remote, text));
                }
                Output::Load { ticket, query } => {
                    replies.push((ticket, Reply::Rows(Ok(rows(&query)))));
                }
                Output::Write { ticket, .. } => replies.push((ticket, Reply::Written(Ok(())))),
                Output::Crashed { room, why, .. } => panic!("{room}: {why}"),
                Output::Api { .. }
                | Output::Deliver { .. }
                | Output::Ear(_)
                | Output::Event(_)
                | Output::Fetch { .. }
                | Output::Mail { .. }
                | Output::Media(_)
                | Output::Part { .. }
                | Output::Render { .. }
                | Output::Resolve { .. }
                | Output::Save { .. }
                | Output::Sound(_)
                | Output::Stream(_)
                | Output::Suspect { .. } => (),
            }
        }
        outputs.clear();
        for (ticket, reply) in replies {
            self.give(Input::Reply { ticket, reply });
        }
    }

    /// One message from there; what the shard said before is forgotten.
    fn say(&mut self, who: &str, text: &str) {
        self.sent.clear();
        let flow = Flow::udp(who.parse().expect("an address"));
        self.give(Input::Message { flow, bytes: crlf(text).as_bytes() });
    }

    /// What went to there and begins so.
    fn heard(&self, who: &str, begin: &str) -> String {
        let who: SocketAddr = who.parse().expect("an address");
        let found = self.sent.iter().find(|(to, text)| *to == who && text.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} to {who} in {:#?}", self.sent)).1.clone()
    }

    fn pass(&mut self, span: Duration) {
        let end = self.house.clock.now + span;
        while self.house.advance(end) {
            self.give(Input::Tick);
        }
    }

    /// Challenge, proof, 200.
    fn register(&mut self, user: usize) {
        self.number += 1;
        let (number, who) = (self.number, phone(user));
        let ask = |cseq: u32, proof: &str| {
            format!(
                "REGISTER sip:bench.test SIP/2.0\nVia: SIP/2.0/UDP {who};branch=z9hG4bKr{number}.{cseq};rport\n\
                 Max-Forwards: 70\nFrom: <sip:u{user}@bench.test>;tag=r{number}\nTo: <sip:u{user}@bench.test>\n\
                 Call-ID: r{user}-77v1\nCSeq: {} REGISTER\nContact: <sip:u{user}-0@{who}>;expires=3600\n{proof}\
                 User-Agent: Load generator\nContent-Length: 0\n\n",
                number * 2 + cseq as usize,
            )
        };
        self.say(&who, &ask(0, ""));
        let refused = self.heard(&who, "SIP/2.0 401");
        let value = header(&refused, "WWW-Authenticate");
        let challenge = Challenge::decode(value.as_bytes()).expect("a challenge");
        let (name, word) = (format!("u{user}"), word(user));
        let password = Password::Text(word.as_bytes());
        let login = Login { user: name.as_bytes(), password, realm: Some(b"bench.test") };
        let target = Target { method: b"REGISTER", uri: b"sip:bench.test" };
        let proof = answer(&challenge, &login, target, b"cnonce", 1).expect("a proof");
        let proof = String::from_utf8(proof).expect("text");
        self.say(&who, &ask(1, &format!("Authorization: {proof}\n")));
        self.heard(&who, "SIP/2.0 200");
        self.pass(GAP);
    }

    /// INVITE, 180, 200, ACK, BYE, 200.
    fn call(&mut self, user: usize) {
        let talk = self.set_up(user);
        self.hang_up(&talk);
        self.pass(GAP);
    }

    /// INVITE, 180, 200, ACK.
    fn set_up(&mut self, user: usize) -> Talk {
        self.number += 1;
        let (number, callee) = (self.number, phone(user));
        let ids = format!(
            "From: \"Load Caller\" <sip:u{}@bench.test>;tag=f{number}\nCall-ID: c{number}-77v1\n",
            (user + 1) % USERS
        );
        self.say(
            CALLER,
            &format!(
                "INVITE sip:u{user}@bench.test SIP/2.0\n{}{ids}To: <sip:u{user}@bench.test>\nCSeq: 1 INVITE\n\
                 Contact: <sip:caller@{CALLER}>\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY\n\
                 Accept: application/sdp\nAllow-Events: talk, hold, refer\nSupported: replaces\n\
                 User-Agent: Load generator\nContent-Type: application/sdp\nContent-Length: LENGTH\n\n{}",
                via(number, 'i'),
                self.offer
            ),
        );
        let invite = self.heard(&callee, "INVITE ");
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\n", header(&invite, name)))
            .collect();
        let to = header(&invite, "To");
        let dialog = format!("To: {to};tag=s{number}-77v1\nContact: <sip:callee@{callee}>\n");
        self.say(&callee, &format!("SIP/2.0 180 Ringing\n{copied}{dialog}Content-Length: 0\n\n"));
        let answer = self.offer.replace("40000", "41000");
        self.say(
            &callee,
            &format!(
                "SIP/2.0 200 OK\n{copied}{dialog}Content-Type: application/sdp\nContent-Length: LENGTH\n\n{answer}"
            ),
        );
        let ok = self.heard(CALLER, "SIP/2.0 200");
        let target = header(&ok, "Contact").trim_matches(['<', '>']).to_owned();
        let to = header(&ok, "To").to_owned();
        let talk = Talk { number, callee, ids, target, to };
        self.say(CALLER, &talk.request("ACK", 1, 'a'));
        talk
    }

    /// BYE and 200 on both sides.
    fn hang_up(&mut self, talk: &Talk) {
        self.say(CALLER, &talk.request("BYE", 2, 'b'));
        self.heard(CALLER, "SIP/2.0 200");
        let bye = self.heard(&talk.callee, "BYE ");
        let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\n", header(&bye, name)))
            .collect();
        self.say(&talk.callee, &format!("SIP/2.0 200 OK\n{copied}Content-Length: 0\n\n"));
    }
}

/// A call that stands, as the caller knows it.
struct Talk {
    number: usize,
    callee: String,
    ids: String,
    target: String,
    to: String,
}

impl Talk {
    fn request(&self, method: &str, cseq: u32, part: char) -> String {
        let Self { number, ids, target, to, .. } = self;
        format!(
            "{method} {target} SIP/2.0\n{}{ids}To: {to}\nCSeq: {cseq} {method}\nContent-Length: 0\n\n",
            via(*number, part)
        )
    }
}

fn via(number: usize, part: char) -> String {
    format!(
        "Via: SIP/2.0/UDP {CALLER};branch=z9hG4bKc{number}-{part}77v1;rport\nMax-Forwards: 70\n"
    )
}

fn phone(user: usize) -> String {
    format!("10.1.{}.{}:5060", user / 250, user % 250 + 1)
}

fn word(user: usize) -> String {
    format!("secret of u{user}")
}

/// The users behind the name that the question gives, by name; nothing else is in the store.
fn rows(query: &Query) -> Vec<Row> {
    let [Value::Text(after), Value::Int(most)] = query.values.as_slice() else { return vec![] };
    if !query.sql.contains("people_users") {
        return vec![];
    }
    let mut users: Vec<_> = (0..USERS).map(|user| (format!("u{user}"), word(user))).collect();
    users.sort();
    let row = |(name, word): (String, String)| -> Row {
        // One verifier, as for phones that know MD5 alone.
        let verifiers = Verifier::all(&name, "bench.test", &word);
        vec![
            Value::Text(name),
            Value::Text(String::new()),
            Value::Text(String::new()),
            Value::Text(serde_json::to_string(&verifiers).expect("text")),
            Value::Null,
            Value::Null,
        ]
    };
    users.into_iter().filter(|(name, _)| name > after).take(*most as usize).map(row).collect()
}

/// Live calls beside which one more is measured, all without media: the ports of one address end at 16,128 calls.
const LIVE: [usize; 7] = [100, 1_000, 2_500, 5_000, 10_000, 15_000, 20_000];
/// Calls of one measurement, and measurements of which the quickest counts: the others met a neighbour.
const GROUP: usize = 200;
const GROUPS: usize = 7;

/// What one call more costs beside many that stand, as rows and as a picture.
fn growth(picture: Option<&str>) {
    let mut load = Load { offer: NO_MEDIA, ..Load::new() };
    (0..WARM).for_each(|number| load.call(number % USERS));
    let mut points = Vec::new();
    for live in LIVE {
        let before = KEPT.load(Relaxed);
        let mut talks = Vec::with_capacity(live);
        for number in 0..live {
            talks.push(load.set_up(number % USERS));
            load.pass(GAP);
        }
        // Their transactions end: what is left are the calls.
        load.pass(Duration::from_secs(64));
        load.sent = Vec::new();
        let ours: usize = talks.iter().map(Talk::size).sum();
        let octets = (KEPT.load(Relaxed) - before) as usize - ours;
        let quickest = (0..GROUPS).map(|_| {
            load.spent = Duration::ZERO;
            load.timed = true;
            (0..GROUP).for_each(|number| load.call(number % USERS));
            load.timed = false;
            load.spent / GROUP as u32
        });
        let each = quickest.min().unwrap_or_default();
        println!("{live} live calls: {each:?} for one more, {} octets each", octets / live);
        points.push((live as f64, each.as_secs_f64() * 1e6, (octets / live) as f64));
        talks.iter().for_each(|talk| load.hang_up(talk));
        load.pass(Duration::from_secs(64));
    }
    if let Some(path) = picture {
        std::fs::write(path, svg::page(&points)).expect("the picture can be written");
    }
}

impl Talk {
    /// Octets of the heap that the test itself keeps of a call.
    fn size(&self) -> usize {
        let texts = [&self.callee, &self.ids, &self.target, &self.to];
        texts.iter().map(|text| text.capacity()).sum::<usize>() + size_of::<Self>()
    }
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let kind = words.next().unwrap_or_else(|| "calls".to_owned());
    let rest = words.next();
    let unit = match kind.as_str() {
        "calls" => Load::call,
        "growth" => return growth(rest.as_deref()),
        "registers" => Load::register,
        other => panic!("`calls`, `growth` or `registers`, not `{other}`"),
    };
    let number = |word: Option<String>, usual| word.and_then(|n| n.parse().ok()).unwrap_or(usual);
    let units: usize = number(rest, 1_000);
    // Calls without media that stand meanwhile.
    let live: usize = number(words.next(), 0);
    let mut load = Load::new();
    if live > 0 {
        load.offer = NO_MEDIA;
        (0..live).for_each(|number| {
            load.set_up(number % USERS);
            load.pass(GAP);
        });
        load.pass(Duration::from_secs(64));
        load.sent = Vec::new();
    }
    for number in 0..WARM + units {
        load.counts = number >= WARM;
        unit(&mut load, number % USERS);
    }
    let each = |count: u64| count as f64 / units as f64;
    println!(
        "{kind}: {units} units, {:.1} allocations and {:.0} octets each",
        each(load.blocks),
        each(load.octets)
    );
}
