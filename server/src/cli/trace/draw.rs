//! Calls and ladders as text for a terminal.

use serde_json::Value;
use types::UnixTime;

use super::rung::{Rung, Way};

/// Peers that have a lane of their own; those beyond share the last one.
const LANES_MAX: usize = 6;
/// Columns before the first lane: number and time.
const MARGIN: usize = 20;
/// Columns between two lanes.
const GAP: usize = 30;
/// Shortest shaft of an arrow.
const SHAFT: usize = 3;
/// Columns of the longest line of words.
const WORDS_MAX: usize = 200;

/// A list of calls, newest first.
pub fn list(calls: &[Value]) -> String {
    if calls.is_empty() {
        return "No call yet.\n".to_owned();
    }
    let text = |call: &Value, name: &str| plain(call[name].as_str().unwrap_or_default());
    let mut rows = Vec::new();
    for call in calls {
        let began = call["began_at"].as_str().or(call["began"].as_str()).unwrap_or_default();
        let whom = format!("{} → {}", short(&text(call, "from")), short(&text(call, "to")));
        let state = call["state"].as_str().map(|state| format!("{state} now"));
        let state = state.unwrap_or_else(|| outcome(call));
        rows.push([text(call, "id"), plain(began), whom, state]);
    }
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out + "\ncarillon trace CALL shows the ladder of one.\n"
}

/// How a call ended.
fn outcome(call: &Value) -> String {
    let text = |name: &str| plain(call[name].as_str().unwrap_or_default());
    let (status, refusal) = (call["status"].as_u64().unwrap_or(0), text("refusal"));
    match (text("outcome").as_str(), &*refusal) {
        ("answered", _) => format!(
            "answered, {} s, {} hung up",
            call["talk_seconds"].as_u64().unwrap_or(0),
            text("hung_up_by")
        ),
        (outcome, "") => format!("{outcome} {status}"),
        (outcome, refusal) => format!("{outcome} {status} {refusal}"),
    }
}

/// `sip:1001@host` as `1001`.
fn short(uri: &str) -> String {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split(['@', ';']).next().unwrap_or(rest).to_owned()
}

/// One message, whole, with where it went.
pub fn message(rung: &Rung) -> String {
    let mut out = format!("{}  {}", rung.number, UnixTime(rung.micros));
    match &rung.way {
        Some(Way { inward, transport, remote, local, .. }) => {
            let (from, to) = if *inward { (remote, local) } else { (local, remote) };
            out += &format!("  {from} → {to} over {}", plain(transport));
        }
        None => out += &format!("  {}", plain(&rung.lane)),
    }
    if let Some(first) = rung.repeats {
        out += &format!("  (again, as {first})");
    }
    out += "\n\n";
    for line in rung.text.lines() {
        out += &plain(line);
        out.push('\n');
    }
    if rung.cut > 0 {
        out += &format!("\n({} more octets were not kept)\n", rung.cut);
    }
    out
}

/// The whole ladder: a lane for each peer, ours between the first and the others.
pub fn ladder(id: &str, call: &Value, rungs: &[Rung]) -> String {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    let mut out = plain(id);
    if !call.is_null() {
        let (from, to) = (plain(&short(text("from"))), plain(&short(text("to"))));
        let state = call["state"].as_str().map(plain).unwrap_or_else(|| outcome(call));
        out += &format!("  {from} → {to} · {state}");
    }
    out += "\n\n";
    let peers = peers(rungs);
    let lanes = Lanes { count: peers.len().max(1) + 1 };
    out += &lanes.titles(&peers);
    let begin = rungs.first().map_or(0, |rung| rung.micros);
    for (place, rung) in rungs.iter().enumerate() {
        let time = match place {
            0 => UnixTime(rung.micros).to_string().get(11..23).unwrap_or_default().to_owned(),
            _ => since(rung.micros.saturating_sub(begin)),
        };
        let row = match &rung.way {
            Some(way) => {
                let peer = peers.iter().position(|peer| *peer == peer_of(way));
                let lane = lanes.of(peer.unwrap_or(peers.len().saturating_sub(1)));
                lanes.arrow(lane, way.inward, &label(rung)) + &aside(rung)
            }
            None => lanes.words(&format!("{}: {}", rung.lane, plain(rung.text.trim_end()))),
        };
        out += format!("{:>4} {time:>12}   {row}", rung.number).trim_end();
        out.push('\n');
    }
    out + "\ncarillon trace CALL NUMBER shows one message whole.\n"
}

/// The peers in the order in which they spoke or were spoken to.
fn peers(rungs: &[Rung]) -> Vec<String> {
    let mut peers = Vec::new();
    for way in rungs.iter().filter_map(|rung| rung.way.as_ref()) {
        let peer = peer_of(way);
        if !peers.contains(&peer) && peers.len() < LANES_MAX {
            peers.push(peer);
        }
    }
    peers
}

fn peer_of(way: &Way) -> String {
    match &*way.transport {
        "udp" => way.remote.to_string(),
        other => format!("{} {}", plain(other), way.remote),
    }
}

/// What an arrow says.
fn label(rung: &Rung) -> String {
    let line = plain(rung.text.lines().next().unwrap_or_default());
    let words = match line.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let method = rung.header("CSeq").and_then(|value| value.split(' ').nth(1));
            // Whose answer it is needs no words with the usual one.
            match method.filter(|method| !["INVITE", ""].contains(method)) {
                Some(method) => format!("{status} ({})", plain(method)),
                None => status.to_owned(),
            }
        }
        None => {
            let mut words = line.split(' ');
            let (method, uri) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            format!("{method} {}", short(uri))
        }
    };
    let kind = rung.header("Content-Type").or(rung.header("c")).unwrap_or_default();
    let kind = if kind.starts_with("application/sdp") { " SDP" } else { "" };
    format!("{words}{kind}")
}

/// What stands beside an arrow.
fn aside(rung: &Rung) -> String {
    let mut out = String::new();
    if let Some(first) = rung.repeats {
        out += &format!("  again, as {first}");
    }
    for name in ["Warning", "Reason"] {
        if let Some(value) = rung.header(name) {
            out += &format!("  {name}: {}", plain(value));
        }
    }
    if rung.cut > 0 {
        out += &format!("  {} octets cut", rung.cut);
    }
    out
}

/// Where the lanes stand. Ours is the second.
struct Lanes {
    count: usize,
}

impl Lanes {
    /// The lane of a peer by its place.
    fn of(&self, peer: usize) -> usize {
        if peer == 0 { 0 } else { peer + 1 }
    }

    fn column(lane: usize) -> usize {
        lane * (GAP + 1)
    }

    fn bars(&self) -> Vec<char> {
        let mut row = vec![' '; Self::column(self.count - 1) + 1];
        for lane in 0..self.count {
            put(&mut row, Self::column(lane), "│");
        }
        row
    }

    /// Names above the lanes.
    fn titles(&self, peers: &[String]) -> String {
        let mut row = vec![' '; MARGIN + Self::column(self.count - 1) + GAP];
        for lane in 0..self.count {
            let peer = if lane == 0 { 0 } else { lane.saturating_sub(1) };
            let name =
                if lane == 1 { "carillon" } else { peers.get(peer).map_or("", String::as_str) };
            let name = cut(name, GAP - 2);
            let middle = MARGIN + Self::column(lane);
            put(&mut row, middle.saturating_sub(name.chars().count() / 2), &name);
        }
        text(&row) + "\n"
    }

    /// A message between a peer's lane and ours.
    fn arrow(&self, lane: usize, inward: bool, label: &str) -> String {
        let mut row = self.bars();
        let (left, right) = (Self::column(lane.min(1)), Self::column(lane.max(1)));
        let label = cut(label, GAP - SHAFT - 4);
        let length = label.chars().count();
        // The first lane speaks to the right, the others to the left.
        let rightward = inward == (lane == 0);
        let (begin, end) = (left + 2, right - 2);
        for column in begin..=end {
            put(
                &mut row,
                column,
                if (column - begin + 2).is_multiple_of(GAP + 1) { "┼" } else { "─" },
            );
        }
        if rightward {
            put(&mut row, begin, &format!("{label} "));
            put(&mut row, end, "▶");
        } else {
            put(&mut row, begin, "◀");
            put(&mut row, end - length, &format!(" {label}"));
        }
        text(&row)
    }

    /// Words of ours, over the lanes.
    fn words(&self, words: &str) -> String {
        let mut row = self.bars();
        row.truncate(Self::column(1) + 1);
        format!("{} {}", text(&row), cut(words, WORDS_MAX))
    }
}

fn put(row: &mut [char], column: usize, text: &str) {
    for (place, letter) in row.iter_mut().skip(column).zip(text.chars()) {
        *place = letter;
    }
}

fn text(row: &[char]) -> String {
    row.iter().collect::<String>().trim_end().to_owned()
}

/// A text of at most so many columns.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A span as people say it.
fn since(micros: u64) -> String {
    match micros {
        0..10_000 => format!("+{}.{} ms", micros / 1_000, micros / 100 % 10),
        10_000..1_000_000 => format!("+{} ms", micros / 1_000),
        _ => format!("+{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000),
    }
}

/// A peer's words without what would move a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
