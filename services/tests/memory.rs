//! What a call and a binding cost in memory, and that nothing of a call stays: measured by an allocator that counts.
#![allow(unsafe_code)] // An allocator cannot be written without.

#[path = "hostile/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rig::*;
use sip::digest::Algorithm;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Relaxed);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Calls that run at once.
const CALLS: usize = 2_000;
/// Users that register.
const BINDINGS: usize = 10_000;
/// Octets that one established call may take, without ladder and media.
const CALL_MAX: usize = 6 * 1_024;
/// Octets that one binding may take.
const BINDING_MAX: usize = 1_024;
/// Octets that a call may leave behind: the tables keep their room, but they do not grow by what is over.
const LEFT_MAX: usize = 16;

fn live(rig: &mut Rig) -> usize {
    rig.sent = Vec::new();
    rig.others = Vec::new();
    LIVE.load(Relaxed)
}

fn talk(rig: &mut Rig) -> Talk {
    let talk = rig.talk();
    // Not all in one moment, or what is measured is the room for transactions.
    rig.wait(Duration::from_millis(50));
    rig.forget();
    talk
}

fn hang_up(rig: &mut Rig, talks: Vec<Talk>) {
    for talk in talks {
        rig.say(ALICE, &talk.alice("BYE", 10, &format!("b{}", talk.number), "", ""));
        let bye = rig.one(BOB, "BYE");
        rig.say(BOB, &reply(&bye, "200 OK", BOB, ""));
        rig.others.clear();
    }
    rig.is_clean();
}

// One test, for the counter is one.
#[test]
fn calls_and_bindings_are_small_and_leave_nothing() {
    let mut setting = config(false, vec![Algorithm::Md5]);
    setting.ladder_memory = 0;
    setting.media_ports = 10_000..=59_999;
    let mut rig = Rig::with(setting);
    rig.all_register();
    let first = talk(&mut rig);
    hang_up(&mut rig, vec![first]);
    let before = live(&mut rig);
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let talks: Vec<_> = (0..CALLS).map(|_| talk(&mut rig)).collect();
        let size = |talk: &Talk| talk.invite.capacity() + talk.ok.capacity();
        let ours = talks.iter().map(size).sum::<usize>() + talks.capacity() * size_of::<Talk>();
        let fresh = (live(&mut rig) - before - ours) / CALLS;
        rig.wait(Duration::from_secs(200));
        let running = (live(&mut rig) - before - ours) / CALLS;
        hang_up(&mut rig, talks);
        let left = live(&mut rig) - before;
        println!("octets a call: {fresh} when just answered, {running} later; {left} left of all");
        rounds.push((running, left));
    }
    assert!(rounds.iter().all(|(running, _)| *running <= CALL_MAX), "{rounds:?}");
    let grown = rounds[2].1.saturating_sub(rounds[1].1) / CALLS;
    assert!(grown <= LEFT_MAX, "{grown} octets of each call stay");
    bindings();
}

fn bindings() {
    let mut rig = Rig::crowd(config(true, vec![Algorithm::Md5]), BINDINGS);
    let before = live(&mut rig);
    for n in 0..BINDINGS {
        let who = format!("10.2.{}.{}:5060", n / 250, n % 250 + 1);
        rig.register(&crowd_name(n), &who);
        rig.wait(Duration::from_millis(20));
        rig.forget();
    }
    rig.wait(Duration::from_secs(600));
    rig.register("alice", ALICE);
    rig.wait(Duration::from_secs(60));
    assert_eq!(rig.gauge("bindings"), BINDINGS as u64 + 1);
    let each = (live(&mut rig) - before) / BINDINGS;
    println!("octets a binding: {each}");
    assert!(each <= BINDING_MAX, "{each}");
}
