//! Legs that a room answers itself: early sound, keys by packets and by INFO, and two of them put together.

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;

use common::{House, header};
use media::events::Tone;
use media::g711::Law;
use media::rtp::{Header, Packet};
use media::tones::{Country, Signal};
use media::{Command, Engine, Play, Seat as Place, StreamKey, TICK, Voice};
use switchboard::leg::{LegCommand, LegEvent, Passed};
use switchboard::seat::{self, Seat};
use switchboard::{Effects, Event, Input, Session};
use types::{Instant, LegId, SessionId};

/// A leg of the room, and what it was told.
struct Known {
    session: SessionId,
    leg: LegId,
    seat: Seat,
    home: StreamKey,
    sdp: Vec<u8>,
}

thread_local! {
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// Whoever calls hears it ring before anybody answers.
fn offer(session: &Session<'_>, effects: &mut Effects<'_>) -> bool {
    let Session::Invite { session, leg, message, .. } = session else { return false };
    let (session, leg) = (*session, *leg);
    let home = StreamKey { bridge: effects.bridge(session), index: 0 };
    let mut seat = Seat::new(home, Place::FIRST_GUEST, Voice::All, effects).expect("a port");
    let sdp = seat.answer(message.body(), effects).expect("a description");
    let ring = LegCommand::Ring { status: 183, sdp: Some(sdp.clone()), headers: Vec::new() };
    effects.leg(session, leg, ring);
    let play = Play::Tone { country: Country::De, signal: Signal::Dial };
    let (stream, place, sound, alone) = (home, Some(seat.place()), 1, true);
    effects.media(Command::Play { stream, seat: place, play, sound, alone });
    KNOWN.with_borrow_mut(|known| known.push(Known { session, leg, seat, home, sdp }));
    true
}

/// 1 answers, 2 goes to the first who is there, 3 goes back.
fn on_event(session: SessionId, event: &Event, effects: &mut Effects<'_>) {
    match event {
        Event::Media(media::Event::Key { stream, seat, key, .. }) => {
            let this =
                |known: &Known| (known.seat.stream(), known.seat.place()) == (*stream, *seat);
            pressed(this, *key, effects);
        }
        Event::Leg(leg, LegEvent::Request { request, passed }) => {
            let response = Passed::status(200);
            effects.leg(session, *leg, LegCommand::Respond { request: *request, response });
            if let Some((key, _)) = seat::key_of(passed) {
                pressed(|known| known.leg == *leg, key, effects);
            }
        }
        _ => (),
    }
}

fn pressed(who: impl Fn(&Known) -> bool, key: u8, effects: &mut Effects<'_>) {
    KNOWN.with_borrow_mut(|all| {
        let first = all[0].home;
        let known = all.iter_mut().find(|known| who(known)).expect("one of ours");
        match key {
            b'1' => {
                let (stream, place) = (known.home, Some(known.seat.place()));
                effects.media(Command::Stop { stream, seat: place, sound: None });
                let sdp = Some(known.sdp.clone());
                effects.leg(known.session, known.leg, LegCommand::Answer { sdp });
            }
            b'2' => known.seat.travel(first, Place(3), effects),
            b'3' => known.seat.travel(known.home, Place::FIRST_GUEST, effects),
            other => panic!("{other}"),
        }
    });
}

/// The house with an engine behind it, and what each phone heard: by the port of its media.
struct World {
    house: House,
    engine: Engine,
    now: Instant,
    heard: Vec<(u16, Vec<i16>)>,
}

impl World {
    fn new() -> Self {
        let house = House::new(offer, on_event);
        Self { house, engine: Engine::new(), now: Instant::seconds(1), heard: Vec::new() }
    }

    /// What the pump was told happens, and what it tells is heard; SIP that left.
    fn settle(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            for command in std::mem::take(&mut self.house.media) {
                self.engine.command(command, self.now);
            }
            let Some(event) = self.engine.poll() else { return sent };
            sent.extend(self.house.give(Input::Media(event)));
        }
    }

    fn say(&mut self, text: &str) -> Vec<String> {
        let mut sent = self.house.say(text);
        sent.extend(self.settle());
        sent
    }

    /// Everybody of `speakers` says a packet each tick, of one level; what each phone heard last.
    fn talk(&mut self, ticks: u32, speakers: &[(&Caller, i16)]) -> Vec<String> {
        let mut sent = Vec::new();
        self.heard.clear();
        for _ in 0..ticks {
            for (caller, level) in speakers {
                let time = (self.now.0 / 20_000) as u32;
                let header = Header {
                    sequence: time as u16,
                    timestamp: time * 160,
                    ssrc: caller.media.into(),
                    ..Header::default()
                };
                let payload = [Law::Mu.encode(*level); 160];
                let mut wire = Packet { header, payload: &payload }.encode();
                self.engine.packet(caller.port, caller.address(), &mut wire, self.now);
            }
            self.now = self.now + TICK;
            let heard = &mut self.heard;
            self.engine.tick(self.now, |_, to, wire| {
                let packet = Packet::decode(wire).expect("a packet");
                if packet.header.payload_type == 0 {
                    heard.push((to.port(), Law::Mu.decode_all(packet.payload)));
                }
            });
            sent.extend(self.settle());
        }
        sent
    }

    /// How loud the last packet of a phone was.
    fn level(&self, caller: &Caller) -> i16 {
        let last = self.heard.iter().rev().find(|(port, _)| *port == caller.media);
        let pcm = &last.expect("something was heard").1;
        pcm.iter().map(|sample| sample.abs()).max().unwrap_or(0)
    }

    fn press(&mut self, caller: &Caller, key: char) -> Vec<String> {
        let event = media::events::code(key).expect("a key");
        for (end, duration) in [(false, 160), (true, 800)] {
            let payload = Tone { event, end, volume: 10, duration }.encode();
            let timestamp = (self.now.0 / 125) as u32;
            let header = Header { payload_type: 101, timestamp, ssrc: 1, ..Header::default() };
            let mut wire = Packet { header, payload: &payload }.encode();
            self.engine.packet(caller.port, caller.address(), &mut wire, self.now);
        }
        self.settle()
    }
}

struct Caller {
    name: &'static str,
    /// Where it hears.
    media: u16,
    /// Our port for it.
    port: u16,
    to: String,
}

impl Caller {
    fn address(&self) -> SocketAddr {
        ([192, 0, 2, 7], self.media).into()
    }

    fn request(&self, method: &str, cseq: u32, kind: &str, body: &str) -> String {
        let Self { name, to, .. } = self;
        format!(
            "{method} sip:198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{name}{method}{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{name}@example.org>;tag={name}\r\nTo: {to}\r\nCall-ID: {name}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{name}@192.0.2.7:5060>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Calls, and hears it ring.
    #[track_caller]
    fn calls(world: &mut World, name: &'static str, media: u16) -> Self {
        let to = "<sip:desk@example.org>".to_owned();
        let mut caller = Self { name, media, port: 0, to };
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
             m=audio {media} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        );
        let invite = caller.request("INVITE", 1, "Content-Type: application/sdp\r\n", &sdp);
        let sent = world.say(&invite.replace("sip:198.51.100.1:5060 ", "sip:desk@example.org "));
        let ringing = sent.iter().find(|text| text.starts_with("SIP/2.0 183")).expect("183");
        caller.to = header(ringing, "To").to_owned();
        let section = ringing.split("m=audio ").nth(1).expect("a description");
        caller.port = section.split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        world.talk(20, &[]);
        assert!(world.level(&caller) > 1000, "{name} hears the tone before the answer");
        caller
    }

    /// Is answered by a key of its own.
    #[track_caller]
    fn is_answered(&self, world: &mut World) {
        let sent = world.press(self, '1');
        assert!(sent.iter().any(|text| text.starts_with("SIP/2.0 200")), "{sent:?}");
        world.say(&self.request("ACK", 1, "", ""));
        world.talk(5, &[]);
        assert!(world.level(self) < 16, "nothing more is played");
    }
}

#[test]
fn legs_are_answered_played_to_put_together_and_taken_apart() {
    let mut world = World::new();
    let alice = Caller::calls(&mut world, "alice", 4000);
    alice.is_answered(&mut world);
    let bob = Caller::calls(&mut world, "bob", 5000);
    bob.is_answered(&mut world);
    let both = [(&alice, 1000), (&bob, 3000)];
    world.talk(20, &both);
    assert!(world.level(&alice) < 16 && world.level(&bob) < 16, "each is alone");
    // Bob's phone sends keys by INFO, too.
    let body = "Signal=2\r\nDuration=160\r\n";
    let info = bob.request("INFO", 2, "Content-Type: application/dtmf-relay\r\n", body);
    let sent = world.say(&info);
    assert!(sent.iter().any(|text| text.starts_with("SIP/2.0 200")), "{sent:?}");
    world.talk(20, &both);
    let near = |heard: i16, said: i16| (heard - said).abs() < 200;
    assert!(
        near(world.level(&alice), 3000) && near(world.level(&bob), 1000),
        "both hear the other"
    );
    world.press(&bob, '3');
    world.talk(20, &both);
    assert!(world.level(&alice) < 16 && world.level(&bob) < 16, "each is alone again");
    KNOWN.with_borrow_mut(Vec::clear);
}
