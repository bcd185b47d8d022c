//! The fake shell of one node: what the real one does with threads, sockets and a disk, done step by step.
//!
//! Picture     Input --> shard --> outputs, in order: Save --> keeper; the rest leaves, or is held behind its mark
//! Rules       The contract of the real shell: what a batch saved is written before anything of it leaves; what
//!             names a mark leaves when the log is synced up to it. A kill may come between any two outputs.
//! Limits      HELD_MAX outputs of one shard that wait for the disk.
//! Not here    When things happen (world), what must hold (check).
//! Spec        DESIGN §5.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use store::keeper::{Keeper, MemoryDisk, Position, Writer};
use switchboard::store::{Durability, Entry};
use switchboard::{Clock, Config, Input, Keys, Listener, Output, Service, Shard};
use types::{Flow, Rng, Transport};

/// Outputs of one shard that may wait for the disk; more is a failure of the run.
pub const HELD_MAX: usize = 10_000;

/// Makes the rooms of one shard.
pub type Rooms = Arc<dyn Fn() -> Vec<Box<dyn Service>> + Send + Sync>;

/// What does not change between two starts.
#[derive(Clone)]
pub struct Setup {
    /// The rooms.
    pub rooms: Rooms,
    /// Whether an INVITE needs a proof.
    pub require_auth: bool,
    /// The node's lasting secret.
    pub secret: [u8; 32],
}

/// SIP domain of the fake world.
pub const DOMAIN: &str = "home.test";
/// Base of the addresses that the server hands out.
pub const PUBLIC: &str = "http://home.test:8088";
/// RTP ports of the server.
pub const MEDIA_PORTS: std::ops::RangeInclusive<u16> = 20_000..=21_999;
/// Where the server listens.
pub const SERVER: &str = "192.0.2.1:5060";

/// Something that leaves a shard.
#[derive(Debug)]
pub enum Leaving {
    /// A datagram.
    Packet(Flow, Vec<u8>),
    /// Any other output but a save.
    Other(Output),
}

struct Seat {
    shard: Shard,
    writer: Writer,
    /// The position behind each mark, from mark 1 on.
    marks: Vec<Position>,
    held: VecDeque<(Position, Leaving)>,
}

/// One run of the server, from its start to its end.
pub struct Host {
    keeper: Keeper,
    seats: Vec<Seat>,
    log_failed: bool,
}

impl Host {
    /// Starts on a disk as it was left: adopts, but does not begin yet. Gives what the log remembered.
    pub fn start(
        setup: &Setup,
        disk: &MemoryDisk,
        shards: usize,
        rng: &mut Rng,
        clock: Clock,
    ) -> (Self, Vec<Entry>) {
        let writers = u16::try_from(shards).unwrap_or(1);
        let (keeper, recovered) = match Keeper::on(Arc::new(disk.clone()), writers) {
            Ok(opened) => opened,
            Err(fault) => panic!("the keeper does not open: {fault}"),
        };
        let mut seats: Vec<Seat> = (0..shards)
            .map(|index| {
                let mut seed = [0; 32];
                rng.fill(&mut seed);
                let rooms = Arc::clone(&setup.rooms);
                let shard =
                    Shard::new(config(setup, index, shards, seed), Box::new(move || rooms()));
                let writer = keeper.writer(index as u16);
                Seat { shard, writer, marks: Vec::new(), held: VecDeque::new() }
            })
            .collect();
        for entry in recovered.entries.iter().chain(&recovered.over) {
            let seat = &mut seats[entry.slot.shard(shards)];
            seat.shard.handle(Input::Adopt(entry.clone()), clock);
        }
        (Self { keeper, seats, log_failed: false }, recovered.entries)
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.seats.len()
    }

    /// One shard.
    pub fn shard(&mut self, index: usize) -> &mut Shard {
        &mut self.seats[index].shard
    }

    /// The log.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Gives one input to one shard; says what leaves now, and whether somebody waits for the disk.
    pub fn handle(&mut self, index: usize, input: Input<'_>, clock: Clock) -> (Vec<Leaving>, bool) {
        let seat = &mut self.seats[index];
        seat.shard.handle(input, clock);
        self.carry_out(index)
    }

    fn carry_out(&mut self, index: usize) -> (Vec<Leaving>, bool) {
        let seat = &mut self.seats[index];
        let outputs = std::mem::take(seat.shard.outputs());
        let mut listed = Vec::with_capacity(outputs.list.len());
        let mut wanted = None;
        for output in outputs.list {
            let after = match &output {
                Output::Save { mark, entry, durability } => {
                    let position = seat.writer.append(entry);
                    seat.marks.push(position);
                    assert_eq!(seat.marks.len() as u64, mark.0, "marks grow by one");
                    if *durability == Durability::Synced {
                        wanted = Some(position);
                    }
                    continue;
                }
                Output::Send { after, .. }
                | Output::Mail { after, .. }
                | Output::Deliver { after, .. }
                | Output::Fetch { after, .. }
                | Output::Api { after, .. } => *after,
                Output::Write { .. }
                | Output::Load { .. }
                | Output::Render { .. }
                | Output::Resolve { .. }
                | Output::Media(_)
                | Output::Ear(_)
                | Output::Event(_)
                | Output::Part { .. }
                | Output::Sound(_)
                | Output::Stream(_)
                | Output::Suspect { .. }
                | Output::Crashed { .. } => None,
            };
            let after =
                after.and_then(|mark| seat.marks.get((mark.0 as usize).wrapping_sub(1)).copied());
            let leaving = match output {
                Output::Send { flow, range, .. } => {
                    Leaving::Packet(flow, outputs.arena.get(range).unwrap_or_default().to_vec())
                }
                other => Leaving::Other(other),
            };
            listed.push((after, leaving));
        }
        // A broken disk: what names a mark never leaves. The shard hears of it with the next sync.
        drop(seat.writer.write());
        if let Some(position) = wanted {
            seat.writer.want_sync(position);
        }
        let mut leaving = Vec::with_capacity(listed.len());
        for (after, output) in listed {
            let position = after.filter(|position| *position > seat.writer.synced());
            let behind =
                seat.held.iter().filter(|(_, held)| same_way(held, &output)).map(|held| held.0);
            // Outputs of one flow leave in the order in which they were made.
            match position.into_iter().chain(behind).max() {
                None => leaving.push(output),
                Some(_) if seat.writer.failed() => (),
                Some(position) => seat.held.push_back((position, output)),
            }
        }
        (leaving, !seat.held.is_empty())
    }

    /// The disk did its round: what may leave now, by shard, and which shards must hear that their log failed.
    pub fn sync(&mut self) -> (Vec<(usize, Vec<Leaving>)>, Vec<usize>) {
        self.keeper.sync_round();
        let mut released = Vec::new();
        let mut failed = Vec::new();
        for (index, seat) in self.seats.iter_mut().enumerate() {
            if seat.writer.failed() {
                seat.held.clear();
                if !self.log_failed {
                    failed.push(index);
                }
                continue;
            }
            let synced = seat.writer.synced();
            let mut leaving = Vec::new();
            while seat.held.front().is_some_and(|(position, _)| *position <= synced) {
                leaving.extend(seat.held.pop_front().map(|(_, output)| output));
            }
            if !leaving.is_empty() {
                released.push((index, leaving));
            }
        }
        self.log_failed |= !failed.is_empty();
        (released, failed)
    }

    /// Outputs of one shard that wait for the disk.
    pub fn held(&self, index: usize) -> usize {
        self.seats[index].held.len()
    }

    /// Writes all live entries of one shard again, so that older parts of the log may go.
    pub fn snapshot(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if seat.writer.begin_snapshot().is_err() {
            return;
        }
        for entry in seat.shard.snapshot() {
            seat.writer.append(&entry);
        }
        // A disk that fails here is heard of at the next sync.
        drop(seat.writer.finish_snapshot());
    }
}

fn same_way(one: &Leaving, other: &Leaving) -> bool {
    match (one, other) {
        (Leaving::Packet(one, _), Leaving::Packet(other, _)) => one == other,
        (Leaving::Packet(..) | Leaving::Other(_), Leaving::Packet(..) | Leaving::Other(_)) => false,
    }
}

fn config(setup: &Setup, index: usize, shards: usize, seed: [u8; 32]) -> Config {
    Config {
        index,
        shards,
        seed,
        secret: setup.secret,
        domain: DOMAIN.into(),
        hosts: vec![SERVER.into()],
        listeners: vec![Listener { transport: Transport::Udp, sent_by: SERVER.into() }],
        require_auth: setup.require_auth,
        push_wait: types::Seconds(20).into(),
        apps: switchboard::Apps::default(),
        digest: vec![sip::digest::Algorithm::Md5],
        media_address: IpAddr::from([192, 0, 2, 1]),
        media_ports: MEDIA_PORTS,
        shared_port: None,
        amr: sdp::AmrKnown::default(),
        door: None,
        public: PUBLIC.into(),
        ladder_memory: 256 << 10,
        timers: sip::transaction::Timers::default(),
    }
}

/// The keys of the node, for those who look for slots.
pub fn keys(setup: &Setup) -> Keys {
    Keys::new(setup.secret)
}
