//! A recording walks through again with equal hashes, and a change is found at its input.

use std::time::Duration;

use sim::replay::{Unfit, run};
use switchboard::record::{MAGIC, Recorder, Start, hash_outputs};
use switchboard::{ApiRequest, Clock, Config, Input, Listener, Shard};
use types::{Flow, Instant, Transport, UnixTime};

const OPTIONS: &str = "OPTIONS sip:home.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK1\r\n\
    From: <sip:a@home.test>;tag=1\r\nTo: <sip:home.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
    Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

fn config() -> Config {
    Config {
        index: 0,
        shards: 1,
        seed: [3; 32],
        secret: [4; 32],
        domain: "home.test".into(),
        hosts: Vec::new(),
        listeners: vec![Listener { transport: Transport::Udp, sent_by: "192.0.2.1:5060".into() }],
        require_auth: true,
        digest: vec![sip::digest::Algorithm::Sha256],
        media_address: [192, 0, 2, 1].into(),
        media_ports: 20_000..=20_099,
        shared_port: None,
        amr: sdp::AmrKnown::default(),
        door: None,
        public: "http://home.test".into(),
        push_wait: Duration::from_secs(20),
        apps: switchboard::Apps::default(),
        ladder_memory: 1 << 16,
        timers: sip::transaction::Timers::default(),
    }
}

/// A shard begins, hears OPTIONS and REGISTER, and is asked for its calls.
fn recording() -> Vec<u8> {
    let mut shard = Shard::new(config(), Box::new(|| services::open(&services::Config::default())));
    let mut out = MAGIC.to_vec();
    let mut recorder = Recorder::new(0, &Start::new(&config(), ""), &mut out);
    let register = OPTIONS.replace("OPTIONS", "REGISTER");
    let flow = Flow::udp(([198, 51, 100, 1], 5060).into());
    let calls = ApiRequest { id: 1, room: "calls".into(), ..ApiRequest::default() };
    let inputs = [
        Input::Begin,
        Input::Message { flow, bytes: OPTIONS.as_bytes() },
        Input::Message { flow, bytes: register.as_bytes() },
        Input::Api(calls),
        Input::Tick,
    ];
    for (second, input) in inputs.into_iter().enumerate() {
        let clock = Clock {
            now: Instant::seconds(10 + second as u64),
            unix: UnixTime::seconds(1_790_000_000 + second as u64),
        };
        recorder.input(&input, clock);
        shard.handle(input, clock);
        recorder.outputs(hash_outputs(shard.outputs()), &mut out);
        shard.outputs().clear();
    }
    out
}

#[test]
fn a_recording_walks_through_again() {
    let bytes = recording();
    let replayed = run(&bytes).unwrap();
    assert_eq!((replayed.shards, replayed.inputs, replayed.torn), (1, 5, 0));
    assert_eq!(replayed.differs, None);
    let torn = run(&bytes[..bytes.len() - 3]).unwrap();
    assert_eq!((torn.inputs, torn.torn > 0, torn.differs), (4, true, None));
}

#[test]
fn another_input_is_told() {
    let mut bytes = recording();
    let place = bytes.windows(9).position(|part| part == b"z9hG4bK1\r").unwrap();
    bytes[place + 7] = b'2';
    let differs = run(&bytes).unwrap().differs.unwrap();
    assert!(differs.starts_with("input 2 (shard 0"), "{differs}");
    assert_eq!(run(b"something else"), Err(Unfit::Format));
}
