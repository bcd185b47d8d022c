use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::Instant;

use switchboard::store::Entry;
use types::{Rng, Slot};

use super::record::HEADER_LEN;
use super::*;

fn entry(key: u128, body: &[u8]) -> Entry {
    Entry { slot: Slot(key as u8), kind: 1, key, body: body.to_vec(), last: false }
}

fn over(key: u128) -> Entry {
    Entry { last: true, ..entry(key, b"over") }
}

fn open(disk: &MemoryDisk, writers: u16) -> (Keeper, Recovered) {
    Keeper::on(Arc::new(disk.clone()), writers).unwrap()
}

fn keys(recovered: &Recovered) -> Vec<u128> {
    recovered.entries.iter().map(|entry| entry.key).collect()
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    disk.list().unwrap()
}

#[test]
fn last_entries_win_and_what_is_over_stays_over() {
    let disk = MemoryDisk::new();
    let (keeper, recovered) = open(&disk, 2);
    assert!(recovered.entries.is_empty() && recovered.damage.is_empty());
    let (mut even, mut odd) = (keeper.writer(0), keeper.writer(1));
    even.append(&entry(2, b"old"));
    even.append(&entry(4, b"here"));
    let position = even.append(&entry(2, b"new"));
    odd.append(&entry(1, b"gone"));
    odd.append(&over(1));
    assert_eq!(even.write().unwrap(), position);
    odd.write().unwrap();
    assert!(even.synced() < position);
    keeper.sync_round();
    assert_eq!(even.synced(), position);
    // Another number of writers adopts the same things, and newer entries of them win.
    let (keeper, recovered) = open(&disk.kill(), 1);
    assert_eq!(recovered.entries, [entry(2, b"new"), entry(4, b"here")]);
    assert!(recovered.damage.is_empty());
    let mut only = keeper.writer(0);
    assert!(only.append(&over(4)) > position, "positions grow over restarts");
}

#[test]
fn torn_tails_are_cut_and_flipped_bits_are_told() {
    let disk = MemoryDisk::new();
    let (keeper, _) = open(&disk, 1);
    let mut writer = keeper.writer(0);
    for key in 0..5 {
        writer.append(&entry(key, &[7; 50]));
    }
    writer.write().unwrap();
    let name = segments(&disk).remove(0);
    let record = record::length(&entry(0, &[7; 50]));
    let length = disk.read(&name, 0, usize::MAX).unwrap().len();
    for cut in 1..record {
        let torn = disk.kill();
        torn.cut(&name, (length - cut) as u64).unwrap();
        let (_, recovered) = open(&torn, 1);
        assert_eq!(keys(&recovered), [0, 1, 2, 3]);
        let offset = (HEADER_LEN + 4 * record) as u64;
        let bytes = (record - cut) as u64;
        assert_eq!(recovered.damage, [Damage::Torn { segment: name.clone(), offset, bytes }]);
        let (_, again) = open(&torn, 1);
        assert_eq!(keys(&again), [0, 1, 2, 3]);
        assert!(again.damage.is_empty(), "cut for good");
    }
    for octet in 0..record {
        let flipped = disk.kill();
        flipped.flip(&name, HEADER_LEN + 2 * record + octet, octet as u8);
        let (_, recovered) = open(&flipped, 1);
        assert_eq!(keys(&recovered), [0, 1, 3, 4]);
        let offset = (HEADER_LEN + 2 * record) as u64;
        let bytes = record as u64;
        assert_eq!(recovered.damage, [Damage::Flipped { segment: name.clone(), offset, bytes }]);
    }
    for octet in 0..2 {
        disk.flip(&name, octet * HEADER_LEN / 2, 0);
    }
    let (_, recovered) = open(&disk, 1);
    assert_eq!(recovered.damage, [Damage::Header { segment: name }]);
}

/// Bodies, `None` when over, with the positions behind them.
type History = Vec<(Option<Vec<u8>>, Position)>;

/// One life of a log under test: what it must give back.
#[derive(Default)]
struct Memory {
    /// Per key all bodies written, in order, and how many of them are synced. `None`: over.
    bodies: BTreeMap<u128, History>,
}

impl Memory {
    /// The possible states of a key when everything up to `sure` must be there and nothing else need be.
    fn check(&self, recovered: &Recovered, sure: &[Position], exact: bool) {
        let found: BTreeMap<u128, &Vec<u8>> =
            recovered.entries.iter().map(|entry| (entry.key, &entry.body)).collect();
        for (key, history) in &self.bodies {
            let sure = sure[(*key % 2) as usize];
            let first = history.iter().rposition(|(_, position)| *position <= sure);
            let mut possible: Vec<Option<&Vec<u8>>> =
                history[first.unwrap_or(0)..].iter().map(|(body, _)| body.as_ref()).collect();
            if first.is_none() {
                possible.push(None);
            }
            if exact {
                possible.truncate(0);
                possible.push(history.last().and_then(|(body, _)| body.as_ref()));
            }
            assert!(possible.contains(&found.get(key).copied()), "key {key}");
        }
        let known: BTreeSet<_> = self.bodies.keys().collect();
        assert!(found.keys().all(|key| known.contains(key)), "nothing is invented");
    }

    /// After a start: what was found is all there is.
    fn reset(&mut self, recovered: &Recovered) {
        self.bodies = recovered
            .entries
            .iter()
            .map(|entry| (entry.key, vec![(Some(entry.body.clone()), Position(0))]))
            .collect();
    }
}

/// The state of one random run between two crashes.
struct Run {
    writers: Vec<Writer>,
    /// Appended, not yet written.
    pending: Vec<(Entry, Position)>,
    memory: Memory,
}

impl Run {
    fn live(&self, index: usize) -> Vec<Entry> {
        let own = self.memory.bodies.iter().filter(|(key, _)| (**key % 2) as usize == index);
        let mut live: BTreeMap<u128, Entry> = own
            .filter_map(|(key, history)| Some((*key, entry(*key, history.last()?.0.as_ref()?))))
            .collect();
        for (entry, _) in self.pending.iter().filter(|(e, _)| (e.key % 2) as usize == index) {
            live.insert(entry.key, entry.clone());
        }
        live.into_values().filter(|entry| !entry.last).collect()
    }

    fn append(&mut self, entry: Entry) {
        let position = self.writers[(entry.key % 2) as usize].append(&entry);
        self.pending.push((entry, position));
    }

    fn written(&mut self, index: usize) {
        for (entry, position) in
            self.pending.extract_if(.., |(entry, _)| (entry.key % 2) as usize == index)
        {
            let body = (!entry.last).then_some(entry.body);
            self.memory.bodies.entry(entry.key).or_default().push((body, position));
        }
    }

    fn step(&mut self, keeper: &Keeper, rng: &mut Rng) {
        let index = rng.below(2) as usize;
        match rng.below(20) {
            0..12 => {
                let key = u128::from(rng.below(12));
                let mut body = vec![0; rng.below(40) as usize];
                rng.fill(&mut body);
                let known = self.live((key % 2) as usize).iter().any(|entry| entry.key == key);
                let ended = known && rng.percent(30);
                self.append(if ended { over(key) } else { entry(key, &body) });
            }
            12..16 => {
                self.writers[index].write().unwrap();
                self.written(index);
            }
            16..18 => keeper.sync_round(),
            18 => self.snapshot(index),
            _ => keeper.projected(index as u16, self.writers[index].synced()),
        }
    }

    fn snapshot(&mut self, index: usize) {
        self.writers[index].begin_snapshot().unwrap();
        self.written(index);
        for entry in self.live(index) {
            self.append(entry);
        }
        self.writers[index].finish_snapshot().unwrap();
        self.written(index);
    }
}

#[test]
fn power_cuts_lose_nothing_synced_and_kills_nothing_written() {
    for seed in 0..300 {
        let mut rng = Rng::from_number(seed);
        let mut disk = MemoryDisk::new();
        let mut memory = Memory::default();
        for _life in 0..6 {
            let (keeper, recovered) = open(&disk, 2);
            memory.reset(&recovered);
            let writers = vec![keeper.writer(0), keeper.writer(1)];
            let mut run = Run { writers, pending: Vec::new(), memory };
            for _ in 0..rng.below(120) {
                run.step(&keeper, &mut rng);
            }
            let power = rng.percent(50);
            let next = if power { disk.crash(&mut rng) } else { disk.kill() };
            let sure: Vec<_> = run.writers.iter().map(Writer::synced).collect();
            // Look at it from a copy: the next life starts with the same files.
            let (_, recovered) = open(&next.kill(), 1 + (seed % 3) as u16);
            let flipped = |damage: &Damage| !matches!(damage, Damage::Torn { .. });
            assert!(!recovered.damage.iter().any(flipped), "seed {seed}");
            run.memory.check(&recovered, &sure, !power);
            (disk, memory) = (next, run.memory);
        }
    }
}

#[test]
fn a_failed_sync_is_final() {
    let disk = MemoryDisk::new();
    let (keeper, _) = open(&disk, 2);
    let (mut writer, mut other) = (keeper.writer(0), keeper.writer(1));
    writer.append(&entry(0, b"kept"));
    let kept = writer.write().unwrap();
    keeper.sync_round();
    disk.fail_sync(true);
    writer.append(&entry(2, b"lost"));
    let position = writer.write().unwrap();
    keeper.sync_round();
    disk.fail_sync(false);
    keeper.sync_round();
    assert!(writer.failed() && writer.written() == position && writer.synced() == kept);
    writer.append(&entry(4, b"late"));
    assert!(matches!(writer.write(), Err(Fault::LogFailed)));
    other.append(&entry(1, b"well"));
    let position = other.write().unwrap();
    keeper.sync_round();
    assert_eq!(other.synced(), position);
}

#[test]
fn a_full_disk_keeps_the_entries_and_recovers() {
    let disk = MemoryDisk::new();
    let (keeper, _) = open(&disk, 1);
    let mut writer = keeper.writer(0);
    writer.append(&entry(0, b"first"));
    let first = writer.write().unwrap();
    disk.space(Some(20));
    // More than what was set aside.
    let second = (0..3).map(|_| writer.append(&entry(1, &vec![7; BODY_BYTES_MAX]))).max();
    let second = second.unwrap();
    assert!(writer.write().is_err_and(|fault| fault.retry_helps()));
    assert_eq!(writer.written(), first);
    let third = writer.append(&entry(2, b"third"));
    assert!(writer.write().is_err());
    let (_, recovered) = open(&disk.kill(), 1);
    assert_eq!(keys(&recovered), [0]);
    // A start while the disk is full works as well: nothing is created before the first write.
    disk.space(None);
    assert!(second < third);
    assert_eq!(writer.write().unwrap(), third);
    let (_, recovered) = open(&disk.kill(), 1);
    assert_eq!(keys(&recovered), [0, 1, 2]);
    assert!(recovered.damage.is_empty());
}

#[test]
fn a_full_disk_is_noticed_while_what_was_begun_can_be_kept() {
    let disk = MemoryDisk::new();
    let (keeper, _) = open(&disk, 1);
    let mut writer = keeper.writer(0);
    disk.space(Some(RESERVE_BYTES + 1_000));
    writer.reserve().unwrap();
    assert!(!writer.short());
    disk.space(Some(0));
    let body = vec![7; BODY_BYTES_MAX / 4];
    let mut kept = 0;
    while !writer.short() {
        writer.append(&entry(kept, &body));
        writer.write().unwrap();
        kept += 1;
    }
    assert!(kept > 1);
    assert!(writer.reserve().is_err_and(|fault| fault.retry_helps()) && writer.short());
    // What was begun still ends.
    for _ in 0..2 {
        writer.append(&entry(kept, &body));
        writer.write().unwrap();
        kept += 1;
    }
    let (_, recovered) = open(&disk.kill(), 1);
    assert_eq!(recovered.entries.len() as u128, kept);
    disk.space(None);
    writer.reserve().unwrap();
    assert!(!writer.short());
    writer.append(&entry(kept, &body));
    writer.write().unwrap();
    let (_, recovered) = open(&disk.kill(), 1);
    assert_eq!(recovered.entries.len() as u128, kept + 1);
    assert!(recovered.damage.is_empty());
}

#[test]
fn room_is_set_aside_on_a_real_disk_without_growing_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, _) = Keeper::open(folder.path(), 1).unwrap();
    let mut writer = keeper.writer(0);
    writer.reserve().unwrap();
    writer.append(&entry(1, b"kept"));
    writer.write().unwrap();
    let mut files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap());
    let segment = files.find(|file| file.file_name() != "lock").expect("a segment");
    let found = segment.metadata().unwrap();
    let set_aside = std::os::unix::fs::MetadataExt::blocks(&found) * 512;
    println!("{} octets, {set_aside} on the disk", found.len());
    assert!(found.len() < 1_000);
    drop(writer);
    keeper.stop();
    drop(keeper);
    let (_, recovered) = Keeper::open(folder.path(), 1).unwrap();
    assert_eq!((keys(&recovered), recovered.damage.len()), (vec![1], 0));
}

#[test]
fn entries_over_a_limit_are_refused_for_certain() {
    let (keeper, _) = open(&MemoryDisk::new(), 1);
    let mut writer = keeper.writer(0);
    assert_eq!(writer.append(&entry(0, &vec![0; BODY_BYTES_MAX + 1])), Position::NEVER);
    let position = writer.append(&entry(1, &vec![0; BODY_BYTES_MAX]));
    assert!(matches!(writer.write(), Err(Fault::EntryRefused { .. })));
    assert_eq!(writer.write().unwrap(), position);
    for _ in 0..BUFFER_BYTES_MAX / BODY_BYTES_MAX - 1 {
        assert!(writer.append(&entry(1, &vec![0; BODY_BYTES_MAX])) > position);
    }
    assert_eq!(writer.append(&entry(1, &vec![0; BODY_BYTES_MAX])), Position::NEVER);
}

#[test]
fn a_crash_at_any_step_of_a_snapshot_is_harmless() {
    let disk = MemoryDisk::new();
    let (keeper, _) = open(&disk, 1);
    keeper.projected(0, Position::NEVER);
    let mut writer = keeper.writer(0);
    for key in 0..10 {
        writer.append(&entry(key, b"old"));
    }
    writer.append(&over(3));
    writer.append(&entry(5, b"new"));
    writer.write().unwrap();
    keeper.sync_round();
    let mut rng = Rng::from_number(4);
    let mut check = |step: &str| {
        for _ in 0..20 {
            let (_, recovered) = open(&disk.crash(&mut rng), 1);
            assert_eq!(keys(&recovered), [0, 1, 2, 4, 5, 6, 7, 8, 9], "{step}");
            assert_eq!(recovered.entries[4].body, b"new", "{step}");
        }
    };
    let live = open(&disk.kill(), 1).1.entries;
    writer.begin_snapshot().unwrap();
    check("begun");
    for entry in &live {
        writer.append(entry);
        writer.write().unwrap();
        check("entry written");
    }
    writer.finish_snapshot().unwrap();
    check("finished");
    assert_eq!(segments(&disk).len(), 2);
    keeper.sync_round();
    check("synced");
    assert_eq!(segments(&disk).len(), 1, "the older segment is gone");
}

#[test]
fn segments_stay_until_they_are_projected_and_every_writer_is_compact() {
    let disk = MemoryDisk::new();
    {
        let (keeper, _) = open(&disk, 2);
        let mut writer = keeper.writer(1);
        writer.append(&entry(1, b"live"));
        writer.append(&over(3));
        writer.write().unwrap();
        keeper.sync_round();
    }
    let (keeper, recovered) = open(&disk, 2);
    let (mut first, mut second) = (keeper.writer(0), keeper.writer(1));
    let snapshot = |writer: &mut Writer, entries: &[Entry]| {
        writer.begin_snapshot().unwrap();
        for entry in entries {
            writer.append(entry);
        }
        writer.finish_snapshot().unwrap();
        keeper.sync_round();
    };
    assert!(!first.wants_snapshot());
    snapshot(&mut second, &recovered.entries);
    assert_eq!(segments(&disk).len(), 2);
    assert!(first.wants_snapshot(), "the others wait for it");
    snapshot(&mut first, &[]);
    assert_eq!(segments(&disk).len(), 3, "something in it is not projected");
    keeper.projected(1, second.synced());
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(keys(&open(&disk.kill(), 1).1), [1]);
    snapshot(&mut second, &recovered.entries);
    assert_eq!(segments(&disk).len(), 2);
}

#[test]
fn a_folder_keeps_what_was_written_and_is_opened_once() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, _) = Keeper::open(folder.path(), 1).unwrap();
    assert!(matches!(Keeper::open(folder.path(), 1), Err(Fault::InUse { .. })));
    let mut writer = keeper.writer(0);
    let (sender, woken) = channel();
    writer.set_waker(Arc::new(move || {
        let _ = sender.send(());
    }));
    let position = writer.append(&entry(9, b"body"));
    writer.write().unwrap();
    writer.want_sync(position);
    while writer.synced() < position {
        woken.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    writer.append(&entry(10, b"not written"));
    drop(writer);
    keeper.stop();
    drop(keeper);
    let (keeper, recovered) = Keeper::open(folder.path(), 1).unwrap();
    assert_eq!(keys(&recovered), [9, 10]);
    keeper.stop();
}

#[test]
fn memory_keeps_nothing() {
    for _ in 0..2 {
        let (keeper, recovered) = Keeper::open(MEMORY, 1).unwrap();
        assert!(recovered.entries.is_empty());
        let mut writer = keeper.writer(0);
        writer.append(&entry(1, b"body"));
        writer.write().unwrap();
    }
}

/// Not a promise, a number to look at.
#[test]
fn cost_of_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, _) = Keeper::open(folder.path(), 1).unwrap();
    let mut writer = keeper.writer(0);
    let body = [5; 300];
    for per_write in [1, 16] {
        let (count, start) = (20_000, Instant::now());
        let before = writer.written().0;
        for key in 0..count {
            writer.append(&entry(key, &body));
            if key % per_write == 0 {
                writer.write().unwrap();
            }
        }
        let last = writer.write().unwrap().0;
        let micros = start.elapsed().as_secs_f64() * 1e6 / count as f64;
        let bytes = (last - before) as f64 / count as f64;
        println!("{per_write} per write: {micros:.2} us and {bytes:.0} bytes per entry of 300");
    }
}
