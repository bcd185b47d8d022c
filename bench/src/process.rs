//! What a server's processes have used, read from /proc: the server and all that it started.

use std::fs;
use std::time::Duration;

/// Ticks a second in /proc/PID/stat: Linux shows every program 100, whatever it counts in.
const TICKS: u64 = 100;

/// `root` and its descendants, as they are now.
pub fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut tree = vec![root];
    let mut seen = 0;
    while seen < tree.len() {
        let parent = tree[seen];
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        seen += 1;
    }
    tree
}

/// Processor time of the tree, with that of children that ended.
pub fn cpu(root: u32) -> Duration {
    let ticks: u64 = tree(root).into_iter().filter_map(stat).map(|stat| stat.ticks).sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

/// Resident octets of the tree. Pages that several of its processes share count once (PSS).
pub fn memory(root: u32) -> u64 {
    let one = |pid: u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let row = rollup.lines().find_map(|row| row.strip_prefix("Pss:"))?;
        row.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    tree(root).into_iter().filter_map(one).sum::<u64>() * 1_024
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&text)
}

/// Fields are counted from behind the name, which may hold anything. Spec: proc(5), fields 4 and 14 to 17.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    Some(Stat { parent: u32::try_from(number(4)?).ok()?, ticks: ticks.unsigned_abs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_does_not_shift_the_fields() {
        let stat = parse("7 (a ) b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 100));
    }

    #[test]
    fn our_own_tree_is_found() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(memory(own) > 100_000);
    }
}
