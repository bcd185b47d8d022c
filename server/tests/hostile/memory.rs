//! Memory behind the storm: what strangers and silent connections took is given back.

use std::io::Write as _;

use types::Rng;

use crate::letter::Letter;
use crate::siege::Siege;
use crate::support::STEP;
use crate::support::until;

/// Messages of one storm.
const MESSAGES: usize = 20_000;
/// Connections of one storm: ten times one address's share, one after the other.
const CONNECTIONS: usize = 10_000;
/// Connections that are open at once, below the share of one address.
const AT_ONCE: usize = 500;

/// The same storm twice: the first is the warm-up, in which tables get the size that they keep and the allocator its
/// arenas. What the second one needs beyond is what would grow for ever. Nothing is trimmed by hand: the allocator gives
/// back what is not used by itself, and what it keeps is used again.
#[test]
fn rows_1_to_72_memory_is_back_behind_the_storm() {
    let mut siege = Siege::lay();
    let mut rng = Rng::from_number(72);
    storm(&siege, &mut rng);
    siege.forgets("the first storm");
    let before = settled(&siege);
    storm(&siege, &mut rng);
    siege.forgets("the second storm");
    let mut after = 0;
    until(STEP * 2, "memory is given back", || {
        after = settled(&siege);
        (after <= before + before / 10).then_some(())
    });
    println!(
        "{} kB before, {} kB behind {MESSAGES} messages and {CONNECTIONS} connections",
        before >> 10,
        after >> 10
    );
    siege.stands("the storm", &["sip.nonsense", "sip.malformed", "sip.challenged"]);
}

/// Resident octets, of several looks the least: what is being given back is not counted.
fn settled(siege: &Siege) -> u64 {
    (0..5)
        .map(|_| {
            siege.gauge("carillon_flows{");
            siege.resident()
        })
        .min()
        .unwrap_or(0)
}

fn storm(siege: &Siege, rng: &mut Rng) {
    let strangers: Vec<_> = (20..60).map(|host| siege.stranger(host)).collect();
    let methods =
        ["INVITE", "REGISTER", "OPTIONS", "SUBSCRIBE", "MESSAGE", "CANCEL", "BYE", "FROB"];
    for turn in 0..MESSAGES {
        let stranger = &strangers[turn / 50 % strangers.len()];
        let method = methods[rng.below(methods.len() as u64) as usize];
        let mut letter = Letter::user(method, ["bob", "nobody"][rng.below(2) as usize]);
        if rng.percent(20) {
            letter = letter.tagged("00ffffffffffffffff");
        }
        if rng.percent(10) {
            letter = letter.with(&format!("X: {}\n", "x".repeat(rng.below(30_000) as usize)));
        }
        let mut octets = letter.offer(&stranger.own).octets("UDP", &stranger.own);
        if rng.percent(40) {
            let at = rng.below(octets.len() as u64) as usize;
            octets[at] = rng.next_u64() as u8;
            octets.truncate(at + rng.below(octets.len() as u64) as usize);
        }
        stranger.send(&octets);
        if turn % 50 == 49 {
            stranger.heard();
        }
    }
    drop(strangers);
    for round in 0..CONNECTIONS / AT_ONCE {
        let streams = siege.dials(AT_ONCE, [5060, 5062][round % 2]);
        for stream in streams.iter().step_by(5) {
            // Some begin to speak; what the server thinks of it shows elsewhere.
            let _ = (&*stream).write_all(b"OPTIONS sip:x SIP/2.0\r\nVia: ");
        }
        drop(streams);
    }
    until(STEP * 2, "all connections are gone", || {
        (siege.gauge("carillon_flows{") == 0).then_some(())
    });
}
