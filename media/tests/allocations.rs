//! What the engine asks of the allocator while packets run: nothing.
//!
//! Spec: none; it is what lets one pump serve many streams.
#![allow(unsafe_code, reason = "a counting allocator can only be written with it")]

mod room;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use media::Voice;
use media::rtp::{Header, Packet};
use room::Room;

struct Counting;

std::thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a number of this thread alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets of all phones and the ticks between, ten seconds of them, without the phones of the test itself.
fn run(room: &mut Room, packets: &mut [Vec<u8>]) -> (u64, usize) {
    let mut sent = 0;
    let before = COUNT.get();
    for turn in 0..500u32 {
        room.now = room.now + media::TICK;
        for (phone, wire) in room.phones.iter().zip(packets.iter_mut()) {
            wire[2..4].copy_from_slice(&(turn as u16).to_be_bytes());
            wire[4..8].copy_from_slice(&(turn * 160).to_be_bytes());
            wire[8..12].copy_from_slice(&phone.ssrc.to_be_bytes()); // Renumbered by the last turn.
            let passed = room.engine.packet(phone.port, phone.address, wire, room.now);
            sent += usize::from(passed.is_some());
        }
        room.engine.tick(room.now, |_, _, _| sent += 1);
    }
    (COUNT.get() - before, sent)
}

fn packets(room: &Room) -> Vec<Vec<u8>> {
    let each = room.phones.iter().map(|phone| {
        let header = Header {
            payload_type: phone.law.payload_type(),
            ssrc: phone.ssrc,
            ..Header::default()
        };
        Packet { header, payload: &[0x31; 160] }.encode()
    });
    each.collect()
}

#[test]
fn no_packet_allocates() {
    for (guests, voice) in [(0, Voice::All), (1, Voice::Nobody), (1, Voice::All), (248, Voice::All)]
    {
        let mut room = Room::call(1, 2);
        for _ in 0..guests {
            room.join(voice);
        }
        let mut packets = packets(&room);
        run(&mut room, &mut packets); // The rooms that are made once.
        let (allocated, sent) = run(&mut room, &mut packets);
        assert_eq!(allocated, 0, "{guests} guests");
        assert!(sent >= 500 * (2 + guests) - 10, "{guests} guests: {sent} packets");
    }
}
