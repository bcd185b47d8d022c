//! Mixes, heard: every leg says a tone of its own, and what each gets is measured tone by tone.

mod room;

use media::rtp::{Header, Packet};
use media::{Command, Event, Seat, Voice};
use room::{EVENTS, Phone, Room, STREAM, level};
use types::Rng;

/// Loud enough to be told from what a codec adds.
const HEARD: f64 = 1000.0;
/// What a tone that is not there may measure.
const SILENT: f64 = 60.0;

#[track_caller]
fn hears(room: &Room, phone: usize, others: &[usize]) {
    let pcm = room.phones[phone].recent(4000);
    for (place, other) in room.phones.iter().enumerate() {
        let measured = level(&pcm, other.tone);
        if others.contains(&place) {
            assert!(measured > HEARD, "{phone} hears {measured} of {place}");
        } else {
            assert!(measured < SILENT, "{phone} hears {measured} of {place}");
        }
    }
}

/// Each packet one number on, each time as far on as sound passed; one source all along.
#[track_caller]
fn unbroken(phone: &Phone) {
    for pair in phone.heads.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(step % 160 == 0 && (1..=3).contains(&(step / 160)), "{step}");
    }
}

#[test]
fn a_third_joins_and_leaves_without_a_gap() {
    for seed in 0..20 {
        let mut room = Room::call(seed, 2);
        room.run(1000);
        hears(&room, 0, &[1]);
        let third = room.join(Voice::All);
        room.run(2000);
        hears(&room, 0, &[1, third]);
        hears(&room, 1, &[0, third]);
        hears(&room, third, &[0, 1]);
        room.leave(third);
        room.run(2000);
        hears(&room, 0, &[1]);
        hears(&room, 1, &[0]);
        for phone in &room.phones[..2] {
            unbroken(phone);
            // From the first packet on something was always heard.
            let silent = phone.heard.chunks(160).filter(|frame| frame.iter().all(|s| *s == 0));
            assert_eq!(silent.count(), 0);
        }
        unbroken(&room.phones[third]);
    }
}

#[test]
fn who_listens_hears_both_and_nothing_changes_for_them() {
    for seed in 0..20 {
        let mut room = Room::call(seed, 2);
        room.run(500);
        let third = room.join(Voice::Nobody);
        room.run(1500);
        hears(&room, third, &[0, 1]);
        hears(&room, 0, &[1]);
        hears(&room, 1, &[0]);
        // What the sides get is what was sent, octet by octet.
        assert_eq!(room.touched, 0);
    }
}

#[test]
fn a_whisper_is_heard_by_one() {
    let mut room = Room::call(3, 2);
    let coach = room.join(Voice::One(Seat::A));
    room.run(1500);
    hears(&room, 0, &[1, coach]);
    hears(&room, 1, &[0]);
    hears(&room, coach, &[0, 1]);
    // The same leg may be let in to all, and be muted again.
    room.voice(coach, Voice::All);
    room.run(1500);
    hears(&room, 1, &[0, coach]);
    room.voice(coach, Voice::Nobody);
    room.run(1500);
    hears(&room, 0, &[1]);
    hears(&room, 1, &[0]);
}

#[test]
fn a_muted_side_is_not_heard_but_hears() {
    let mut room = Room::call(4, 2);
    room.run(500);
    room.voice(0, Voice::Nobody);
    room.run(1500);
    hears(&room, 1, &[]);
    hears(&room, 0, &[1]);
    assert!(room.phones[1].recent(1000).iter().all(|sample| sample.abs() < 16));
    room.voice(0, Voice::All);
    room.run(1500);
    hears(&room, 1, &[0]);
    unbroken(&room.phones[1]);
}

/// Any number of legs, both laws, packets late, lost and out of order: each hears all who are heard but itself.
#[test]
fn each_hears_the_others_and_not_itself() {
    for seed in 0..12 {
        let mut rng = Rng::from_number(seed);
        let guests = 1 + rng.below(10) as usize;
        let mut room = Room::call(seed, 2);
        room.jitter_max = rng.below(40);
        room.lost = rng.below(3) as u8;
        let mut heard = vec![0, 1];
        for _ in 0..guests {
            let voice = if rng.percent(70) { Voice::All } else { Voice::Nobody };
            let guest = room.join(voice);
            if voice == Voice::All {
                heard.push(guest);
            }
            room.run(rng.below(200));
        }
        room.run(3000);
        for phone in 0..room.phones.len() {
            let pcm = room.phones[phone].recent(8000);
            for (other, known) in room.phones.iter().enumerate() {
                let measured = level(&pcm, known.tone);
                let wanted = heard.contains(&other) && other != phone;
                // With losses and joints a tone smears into its neighbours.
                assert_eq!(measured > 500.0, wanted, "seed {seed}: {phone} of {other}: {measured}");
            }
        }
    }
}

#[test]
fn fifty_are_all_heard_by_each() {
    let mut room = Room::call(5, 2);
    room.quiet = true;
    for _ in 0..48 {
        room.join(Voice::All);
    }
    room.run(3000);
    for phone in 0..50 {
        let pcm = room.phones[phone].recent(8000);
        for (other, known) in room.phones.iter().enumerate() {
            let measured = level(&pcm, known.tone);
            assert_eq!(measured > 100.0, other != phone, "{phone} of {other}: {measured}");
        }
    }
}

#[test]
fn in_a_large_mix_the_loudest_are_heard() {
    let mut room = Room::call(6, 2);
    room.quiet = true;
    for _ in 0..248 {
        room.join(Voice::All);
    }
    // Only three of them are loud; tones repeat every fifty phones.
    for loud in [10, 120, 230] {
        room.phones[loud].tone = [433.0, 877.0, 1511.0][loud / 100];
        room.phones[loud].loud = 8000;
    }
    room.run(1000);
    for phone in [0, 120, 249] {
        let pcm = room.phones[phone].recent(4000);
        for loud in [10, 120, 230] {
            let measured = level(&pcm, room.phones[loud].tone);
            assert_eq!(measured > HEARD, loud != phone, "{phone} of {loud}: {measured}");
        }
    }
}

#[test]
fn a_conference_needs_no_sides() {
    let mut room = Room::empty(7);
    let guests: Vec<usize> = (0..4).map(|_| room.join(Voice::All)).collect();
    room.run(1500);
    hears(&room, guests[0], &[guests[1], guests[2], guests[3]]);
    assert_eq!(room.engine.ports(STREAM.bridge).len(), 4);
    room.engine.command(Command::Close { bridge: STREAM.bridge }, room.now);
    assert!(room.engine.ports(STREAM.bridge).is_empty());
    assert_eq!(room.engine.deadline(), None);
}

#[test]
fn keys_reach_those_who_are_heard() {
    let mut room = Room::call(8, 2);
    let (third, listener) = (room.join(Voice::All), room.join(Voice::Nobody));
    room.run(500);
    room.press(0, b'5');
    room.run(500);
    for (phone, expected) in [(0, false), (1, true), (third, true), (listener, false)] {
        let keys = &room.phones[phone].keys;
        assert_eq!(!keys.is_empty(), expected, "{phone}");
        let times: Vec<u32> = keys.iter().map(|(header, _)| header.timestamp).collect();
        assert!(times.windows(2).all(|pair| pair[0] == pair[1]), "{times:?}");
        assert!(keys.iter().all(|(_, payload)| payload[0] == 5));
        assert_eq!(keys.iter().filter(|(header, _)| header.marker).count(), usize::from(expected));
    }
}

#[test]
fn hold_and_reports() {
    let mut room = Room::call(9, 2);
    let third = room.join(Voice::All);
    room.run(6000);
    for phone in [0, 1, third] {
        let reports = &room.phones[phone].reports;
        assert!(!reports.is_empty());
        assert!(reports.iter().all(|wire| wire.len() == 48 && wire[1] == 200 && wire[29] == 202));
        let ssrc = room.phones[phone].heads.last().unwrap().ssrc.to_be_bytes();
        assert_eq!(reports.last().unwrap()[4..8], ssrc);
    }
    let before = room.phones[1].heads.len();
    room.aim(1, false);
    room.run(500);
    assert!(room.phones[1].heads.len() <= before + 1);
    room.aim(1, true);
    room.run(2000);
    hears(&room, 1, &[0, third]);
}

#[test]
fn a_stall_of_the_pump_is_made_up_for_or_left_out() {
    let mut room = Room::call(10, 2);
    let third = room.join(Voice::All);
    room.run(500);
    let count = |room: &Room| room.phones[third].heads.len();
    let before = count(&room);
    room.stall(80);
    assert_eq!(count(&room), before + 4);
    let before = count(&room);
    room.stall(10_000);
    assert_eq!(count(&room), before + 1);
    // The time that was left out shows in the timestamps.
    let heads = &room.phones[third].heads;
    let last = heads[heads.len() - 1].timestamp.wrapping_sub(heads[heads.len() - 2].timestamp);
    room.run(40);
    let heads = &room.phones[third].heads;
    let next = heads[heads.len() - 1].timestamp.wrapping_sub(heads[before - 1].timestamp);
    assert!(next - last >= 9_000 * 8, "{next} {last}");
    assert_eq!(room.engine.deadline().map(|due| due.0 % 20_000), Some(room.phase));
}

#[test]
fn seats_that_cannot_be_had_fail() {
    let mut room = Room::call(11, 2);
    let third = room.join(Voice::All);
    let taken = room.phones[third].port;
    for (seat, port) in [(1, 900), (2, 901), (2, 0), (252, 900), (3, taken), (3, 100)] {
        let command = Command::Admit { stream: STREAM, seat: Seat(seat), port };
        room.engine.command(command, room.now);
        let failed = Event::Failed { stream: STREAM, seat: Seat(seat), port };
        assert_eq!(room.engine.poll(), Some(failed), "{seat} {port}");
    }
    // The same again is harmless, and another port takes the old one's place.
    for port in [taken, 902] {
        room.engine.command(Command::Admit { stream: STREAM, seat: Seat(2), port }, room.now);
        assert_eq!(room.engine.poll(), None);
        assert_eq!(room.engine.port(STREAM, Seat(2)), Some(port));
    }
    assert!(!room.engine.listens(taken) && room.engine.listens(902));
}

#[test]
fn what_cannot_be_taken_apart_passes() {
    let mut room = Room::call(12, 2);
    let part =
        Command::Take { stream: STREAM, seat: Seat::B, sound: None, voice: Voice::All, chance: 1 };
    room.engine.command(part, room.now);
    room.join(Voice::All);
    room.run(1000);
    hears(&room, 0, &[1]);
    assert_eq!(room.touched, 0);
}

/// Whatever is sent to a mix: no panic, and nothing goes to anybody who is not in it.
#[test]
fn hostile_packets_stay_harmless() {
    let mut rng = Rng::from_number(13);
    let mut room = Room::call(13, 2);
    let third = room.join(Voice::All);
    let coach = room.join(Voice::One(Seat::B));
    for round in 0..30_000u64 {
        let phone = [0, 1, third, coach][rng.below(4) as usize];
        let payload_type = [0, 8, 13, EVENTS, 9, 127][rng.below(6) as usize];
        let header = Header {
            marker: rng.percent(5),
            payload_type,
            sequence: rng.next_u64() as u16,
            timestamp: if rng.percent(50) { rng.next_u64() as u32 } else { round as u32 * 160 },
            ssrc: rng.below(4) as u32,
        };
        let mut payload = vec![0; rng.below(1200) as usize];
        rng.fill(&mut payload);
        let mut wire = Packet { header, payload: &payload }.encode();
        if rng.percent(30) {
            wire.truncate(rng.below(40) as usize);
        }
        if let Some(first) = wire.first_mut().filter(|_| rng.percent(20)) {
            *first = rng.next_u64() as u8;
        }
        let from = match rng.below(10) {
            0 => "203.0.113.9:9".parse().unwrap(),
            _ => room.phones[phone].address,
        };
        room.datagram(phone, from, &mut wire);
        if round % 5 == 0 {
            room.advance(1 + rng.below(30));
        }
        if rng.percent(1) {
            let voice = [Voice::All, Voice::Nobody, Voice::One(Seat(rng.below(6) as u16))];
            room.voice(coach, voice[rng.below(3) as usize]);
        }
    }
    // They still talk afterwards.
    room.voice(coach, Voice::One(Seat::B));
    room.run(3000);
    hears(&room, 0, &[1, third]);
}

#[test]
fn a_strange_payload_type_or_source_is_not_heard() {
    let mut room = Room::call(14, 2);
    let third = room.join(Voice::All);
    room.run(500);
    let before = room.now;
    while room.now < before + std::time::Duration::from_secs(1) {
        // Loud noise, in a payload type that nobody agreed on, and from another source in between.
        for (payload_type, ssrc) in [(97, room.phones[0].ssrc), (0, 4711)] {
            let header = Header { payload_type, ssrc, sequence: 7, timestamp: 9, marker: false };
            let mut wire = Packet { header, payload: &[0x80; 160] }.encode();
            let from = room.phones[0].address;
            room.datagram(0, from, &mut wire);
        }
        room.run(20);
    }
    hears(&room, third, &[0, 1]);
}
