//! What one seed does: who lives in the world, who calls whom, what breaks and when.
//!
//! Picture     seed --> people, telephones, network --> calls, kills, cuts, moves at their times --> quiet
//! Rules       Everything follows from the seed. The last part of each world is quiet, so that what is left over
//!             is left over for ever.
//! Limits      USERS_MIN, CALLS_MIN; the times below.
//! Not here    How the world runs it (world), what must hold (check).
//! Spec        none

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use types::{Instant, Rng};

use crate::agent::{Agent, CallPlan, PushToken};
use crate::host::{DOMAIN, Setup};
use crate::network::Network;
use crate::providers::TokenState;
use crate::world::{Step, World};

/// Users of one world, at least.
pub const USERS_MIN: u64 = 50;
/// Calls of one world, at least.
pub const CALLS_MIN: u64 = 200;
/// When calls begin.
const CALLS_FROM: u64 = 30_000;
/// When the last call begins.
const CALLS_UNTIL: u64 = 300_000;
/// From here on nobody registers any more. Every call is over: the longest rings 215 s.
const HUSH: Instant = Instant::seconds(570);
/// All has been quiet for two minutes.
const END: Instant = Instant::seconds(700);

/// Builds the world of a seed and lets it run to its end.
pub fn run(seed: u64, trace: bool) -> World {
    let mut rng = Rng::from_number(seed);
    let mut secret = [0; 32];
    rng.fill(&mut secret);
    let setup = Setup {
        rooms: Arc::new(|| services::open(&services::Config::default())),
        require_auth: rng.percent(40),
        secret,
    };
    let shards = 1 + rng.below(3) as usize;
    let network = Network::of(&mut rng);
    let mut world = World::new(setup, network, shards, rng.fork());
    world.trace = trace;
    let users = people(&mut world, &mut rng);
    calls(&mut world, &users, &mut rng);
    faults(&mut world, shards, &mut rng);
    world.run_until(HUSH);
    world.hush();
    world.run_until(END);
    crate::check::settle(&mut world);
    world
}

fn pick<'a, T>(from: &'a [T], rng: &mut Rng) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

/// Who answers calls by telephones that never sleep.
struct Users {
    names: Vec<String>,
    callers: Vec<usize>,
}

fn people(world: &mut World, rng: &mut Rng) -> Users {
    let mut users = Users { names: Vec::new(), callers: Vec::new() };
    let count = USERS_MIN + rng.below(14);
    for number in 0..count {
        let name = (1001 + number).to_string();
        world.at(Instant::millis(rng.below(2_000)), Step::MakeUser(name.clone()));
        let devices = 1 + u64::from(rng.percent(20));
        for device in 0..devices {
            let host = IpAddr::from([198, 51, device as u8, number as u8 + 1]);
            let address = SocketAddr::new(host, 5_060 + rng.below(100) as u16);
            let mut agent = Agent::new(&name, DOMAIN, address, rng.fork());
            let sleeps = rng.percent(25);
            if sleeps {
                let prid = format!("{:032x}", u128::from(rng.next_u64()));
                let state = match rng.below(20) {
                    0 => TokenState::Gone,
                    1 | 2 => TokenState::Busy(1 + rng.below(3) as u8),
                    _ => TokenState::Good,
                };
                world.providers.set(&prid, state);
                let (provider, param) =
                    *pick(&[("fcm", "project"), ("apns", "TEAM.org.example.voip")], rng);
                agent.push = Some(PushToken { provider, prid, param: param.into() });
            }
            let place = world.add(agent);
            if !sleeps {
                users.callers.push(place);
            }
            // Some never register.
            if !rng.percent(4) {
                let seconds = if sleeps { 3_600 } else { 60 + rng.below(400) as u32 };
                let at = Instant::millis(4_000 + rng.below(18_000));
                world.at(at, Step::Register(place, seconds));
            }
        }
        users.names.push(name);
    }
    users
}

fn calls(world: &mut World, users: &Users, rng: &mut Rng) {
    let count = CALLS_MIN + rng.below(50);
    for _ in 0..count {
        // Whole tenths of a second: many things happen at the same moment.
        let at = CALLS_FROM + 100 * rng.below((CALLS_UNTIL - CALLS_FROM) / 100);
        let caller = *pick(&users.callers, rng);
        let to = match rng.below(100) {
            0 | 1 => "nobody".to_owned(),
            2 => world.agents[caller].user.clone(),
            _ => pick(&users.names, rng).clone(),
        };
        let half_seconds = |rng: &mut Rng, most: u64| Duration::from_millis(500 * rng.below(most));
        let mut plan = CallPlan {
            to: to.clone(),
            hang_up_after: Some(half_seconds(rng, 60)),
            ..CallPlan::default()
        };
        if rng.percent(25) {
            plan.cancel_after = Some(half_seconds(rng, 14));
        }
        if rng.percent(15) {
            plan.reinvite_after = plan.hang_up_after.map(|after| after / 2);
        }
        if rng.percent(30) {
            plan.refresh_after = plan.hang_up_after.map(|after| after / 3);
        }
        match rng.below(100) {
            0 => plan.acks_withheld = u8::MAX,
            1..=6 => plan.acks_withheld = 1 + rng.below(3) as u8,
            7..=11 => plan.offerless = true,
            _ => (),
        }
        world.at(Instant::millis(at), Step::Call(caller, plan.clone()));
        // Both call each other at the same moment.
        if rng.percent(5) {
            let back = world.agents[caller].user.clone();
            let other = users.callers.iter().find(|place| world.agents[**place].user == to);
            if let Some(other) = other.copied() {
                let plan = CallPlan { to: back, call_id: None, ..plan };
                world.at(Instant::millis(at), Step::Call(other, plan));
            }
        }
    }
}

fn faults(world: &mut World, shards: usize, rng: &mut Rng) {
    let mut audits = vec![27_000, 150_000, 320_000];
    let kills = *pick(&[0, 1, 1, 2, 3], rng);
    let mut shards_now = shards;
    for _ in 0..kills {
        let at = 25_000 + rng.below(CALLS_UNTIL);
        if rng.percent(30) {
            shards_now = 1 + rng.below(3) as usize;
        }
        let power = rng.percent(25);
        if rng.percent(8) {
            world.at(Instant::millis(at.saturating_sub(8_000)), Step::DiskFails);
        }
        world.at(Instant::millis(at), Step::Kill { power, shards: shards_now });
        audits.push(at + 7_000);
    }
    if rng.percent(20) {
        let at = rng.below(CALLS_UNTIL);
        let until = at + rng.below(15_000);
        world.at(Instant::millis(at), Step::Database { up: false });
        world.at(Instant::millis(until), Step::Database { up: true });
    }
    for _ in 0..rng.below(5) {
        let place = rng.below(world.agents.len() as u64) as usize;
        let old = world.agents[place].address;
        let moved = SocketAddr::new(old.ip(), 6_060 + rng.below(100) as u16);
        let at = CALLS_FROM + rng.below(CALLS_UNTIL - CALLS_FROM);
        world.at(Instant::millis(at), Step::Move(place, moved));
    }
    for _ in 0..rng.below(3) {
        world.at(Instant::millis(rng.below(CALLS_UNTIL)), Step::Snapshot);
    }
    for at in audits {
        world.at(Instant::millis(at), Step::Audit);
    }
}
