//! The gate of the middle: two legs on different shards meet, one is handed over, and a kill changes nothing.

use std::sync::Arc;
use std::time::Duration;

use sim::agent::{Agent, CallPlan, Phase};
use sim::host::{DOMAIN, Setup, keys};
use sim::network::Network;
use sim::toy;
use sim::world::{Step, World};
use types::{Instant, Rng};

fn setup() -> Setup {
    Setup {
        rooms: Arc::new(|| vec![toy::sign(), toy::room()]),
        require_auth: false,
        secret: [7; 32],
    }
}

fn world(seed: u64, network: Network, shards: usize) -> World {
    World::new(setup(), network, shards, Rng::from_number(seed))
}

/// A Call-ID whose leg lives on this shard.
fn call_id(shard: usize, shards: usize, rng: &mut Rng) -> String {
    loop {
        let text = format!("{:016x}", rng.next_u64());
        if keys(&setup()).slot(text.as_bytes()).shard(shards) == shard {
            return text;
        }
    }
}

fn plan(call_id: String, hang_up_after: Option<u64>) -> CallPlan {
    CallPlan {
        to: "meet-hall".into(),
        call_id: Some(call_id),
        hang_up_after: hang_up_after.map(Duration::from_secs),
        ..CallPlan::default()
    }
}

/// Two callers whose legs live on different shards. One of them hangs up 30 s after the answer.
fn meet(seed: u64, network: Network, shards: usize, first_hangs_up: bool) -> World {
    let mut rng = Rng::from_number(seed ^ 0x7079);
    let mut world = world(seed, network, shards);
    for (place, name) in ["alice", "bob"].into_iter().enumerate() {
        let address = format!("198.51.100.{}:5060", place + 1).parse().unwrap();
        let who = world.add(Agent::new(name, DOMAIN, address, rng.fork()));
        // The other one gives up as well in the end: a power cut may take the call away from one side only.
        let hang_up = if first_hangs_up == (place == 0) { 30 } else { 150 };
        let plan = plan(call_id(place % shards, shards, &mut rng), Some(hang_up));
        world.at(Instant::seconds(1 + place as u64), Step::Call(who, plan));
    }
    world
}

fn phases(world: &World) -> Vec<Phase> {
    world.agents.iter().flat_map(|agent| agent.calls.values()).map(|call| call.phase).collect()
}

#[track_caller]
fn quiet(world: &mut World) {
    let host = world.host.as_mut().expect("the server runs");
    for shard in 0..host.shards() {
        for (name, value) in host.shard(shard).gauges() {
            let expected = match name {
                "ports_left" => 1_000 / host.shards() as u64,
                "timers" => continue,
                _ => 0,
            };
            let close = if name == "ports_left" {
                value.abs_diff(expected) <= 1
            } else {
                value == expected
            };
            assert!(close, "shard {shard}: {name} is {value}, expected {expected}");
        }
    }
    assert_eq!(world.checks.bridges(), 0);
    world.checks.settle_invites();
    assert_eq!(world.checks.violations, Vec::<String>::new());
}

#[test]
fn two_callers_on_different_shards_meet_and_each_may_end_it() {
    for first_hangs_up in [true, false] {
        let mut world = meet(1, Network::PERFECT, 2, first_hangs_up);
        world.run_until(Instant::seconds(10));
        assert_eq!(phases(&world), [Phase::Up, Phase::Up]);
        assert_eq!(world.checks.bridges(), 1);
        world.run_until(Instant::seconds(33));
        assert_eq!(phases(&world), [Phase::Over, Phase::Over]);
        world.run_until(Instant::seconds(120));
        quiet(&mut world);
    }
}

#[test]
fn a_kill_after_they_met_changes_nothing() {
    for (seed, first_hangs_up, power, shards) in [
        (1, true, false, 2),
        (2, false, false, 2),
        (3, true, true, 2),
        (4, true, false, 3),
        (5, false, false, 1),
    ] {
        let mut world = meet(seed, Network::PERFECT, 2, first_hangs_up);
        world.at(Instant::seconds(10), Step::Kill { power, shards });
        world.run_until(Instant::seconds(20));
        assert_eq!(phases(&world), [Phase::Up, Phase::Up], "seed {seed}");
        assert_eq!(world.checks.kills, 1);
        assert_eq!(world.checks.bridges(), 1, "the bridge is open again");
        world.run_until(Instant::seconds(60));
        assert_eq!(phases(&world), [Phase::Over, Phase::Over], "seed {seed}");
        world.run_until(Instant::seconds(180));
        quiet(&mut world);
    }
}

#[test]
fn a_kill_at_any_moment_leaves_no_orphan() {
    let full = Network {
        lost: 5,
        doubled: 10,
        delay_min: Duration::from_millis(5),
        jitter: Duration::from_millis(40),
        late: 5,
    };
    for seed in 0..600 {
        let mut world = meet(seed, full, 1 + seed as usize % 3, seed % 2 == 0);
        // Both callers hang up in the end, however far they came.
        let moment = Instant::millis(1_000 + seed * 15);
        let shards = 1 + (seed as usize / 3) % 3;
        world.at(moment, Step::Kill { power: seed % 5 == 0, shards });
        world.run_until(Instant::seconds(420));
        let over = phases(&world).iter().all(|phase| *phase == Phase::Over);
        assert!(over, "seed {seed}: {:?}", phases(&world));
        quiet(&mut world);
    }
}

#[test]
fn a_leg_that_was_handed_over_within_its_slot_survives() {
    let mut rng = Rng::from_number(11);
    let hall = keys(&setup()).slot(b"hall");
    let near = loop {
        let text = format!("{:016x}", rng.next_u64());
        if keys(&setup()).slot(text.as_bytes()) == hall {
            break text;
        }
    };
    let mut world = world(11, Network::PERFECT, 2);
    for (place, id) in [near, "far".to_owned()].into_iter().enumerate() {
        let address = format!("198.51.100.{}:5060", place + 1).parse().unwrap();
        let who = world.add(Agent::new("guest", DOMAIN, address, rng.fork()));
        world.at(Instant::seconds(1 + 10 * place as u64), Step::Call(who, plan(id, Some(20))));
    }
    world.at(Instant::seconds(5), Step::Kill { power: false, shards: 2 });
    world.run_until(Instant::seconds(15));
    assert_eq!(phases(&world), [Phase::Up, Phase::Up]);
    world.run_until(Instant::seconds(150));
    quiet(&mut world);
}

#[test]
fn a_third_caller_is_refused_and_a_lonely_one_may_leave() {
    let mut world = meet(9, Network::PERFECT, 2, true);
    let mut rng = Rng::from_number(99);
    let address = "198.51.100.3:5060".parse().unwrap();
    let third = world.add(Agent::new("carol", DOMAIN, address, rng.fork()));
    world.at(Instant::seconds(8), Step::Call(third, plan("third".into(), None)));
    let mut lonely = plan("lonely".into(), None);
    lonely.to = "meet-attic".into();
    lonely.cancel_after = Some(Duration::from_secs(3));
    world.at(Instant::seconds(30), Step::Call(third, lonely));
    world.run_until(Instant::seconds(20));
    assert_eq!(
        world.agents[third].calls.values().map(|call| call.status).collect::<Vec<_>>(),
        [486]
    );
    world.run_until(Instant::seconds(150));
    let ends: Vec<u16> = world.agents[third].calls.values().map(|call| call.status).collect();
    assert_eq!(ends, [486, 487]);
    quiet(&mut world);
}
