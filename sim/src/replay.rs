//! A recording of a real server (`carillon serve --record FILE`), walked through again.
//!
//! Picture     frames --> one shard each --> hash of its outputs == the hash that was recorded
//! Rules       The same inputs at the same times give the same outputs, on any machine.
//! Limits      Those of the format (switchboard::record).
//! Not here    Reading files (main).
//! Spec        none

use std::collections::BTreeMap;
use std::fmt;

use switchboard::record::{Frame, Replay, hash_outputs};
use switchboard::{Input, Shard};

/// What came of a replay.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Shards that were started.
    pub shards: usize,
    /// Inputs that were given.
    pub inputs: u64,
    /// Octets at the end that were no whole frame.
    pub torn: usize,
    /// The first input whose outputs were others, and what the shard said then.
    pub differs: Option<String>,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} inputs on {} shards", self.inputs, self.shards)?;
        if self.torn > 0 {
            write!(f, ", {} octets at the end were torn", self.torn)?;
        }
        match &self.differs {
            None => write!(f, ": all output hashes are equal"),
            Some(what) => write!(f, ": {what}"),
        }
    }
}

/// Why a recording cannot be walked through.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is no recording of this version.
    Format,
    /// An input stands before the start of its shard.
    NoStart,
    /// It is the report of a panic: to be shown, not walked through.
    Report,
    /// The rooms' configuration cannot be read.
    Rooms,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "this is no recording, or one of another version",
            Self::NoStart => "an input stands before the start of its shard",
            Self::Report => "this is the report of a panic: it can only be shown",
            Self::Rooms => "the rooms' configuration in it cannot be read",
        })
    }
}

/// Octets of an input that are shown.
const SHOWN_MAX: usize = 4_000;

/// The report of a panic (`DATA/crashes/*.car`), one line for what is known, then one for each input; `None` when this
/// is no such file. It is what one session heard, not the whole shard with its directory and its stream of chance: so
/// it cannot be walked through with equal outputs as a recording can.
pub fn show(bytes: &[u8]) -> Option<Vec<String>> {
    let mut replay = Replay::new(bytes)?;
    let (shard, Frame::Crash(crash)) = replay.next()? else { return None };
    let session = crash.session.map_or("no session".to_owned(), |session| session.to_string());
    let (room, why) = (&crash.room, crash.why.escape_debug());
    let mut lines = vec![format!("the room {room} panicked on shard {shard} in {session}: {why}")];
    if crash.missing > 0 {
        lines.push(format!("{} inputs since the save are not here any more", crash.missing));
    }
    for (_, frame) in replay.by_ref() {
        let Frame::Step { clock, input, .. } = frame else { continue };
        let at = format!("{:.6}", clock.unix.0 as f64 / 1e6);
        let text = match &input {
            Input::Adopt(entry) => format!("saved state, as at the panic: {entry:?}"),
            Input::Message { flow, bytes } => {
                format!("{flow:?} {}", String::from_utf8_lossy(bytes).escape_debug())
            }
            other => format!("{other:?}"),
        };
        lines.push(format!("{at} {text:.SHOWN_MAX$}"));
    }
    if replay.left() > 0 {
        lines.push(format!("{} octets at the end are torn", replay.left()));
    }
    Some(lines)
}

/// Walks through a recording until its end or the first difference.
pub fn run(bytes: &[u8]) -> Result<Replayed, Unfit> {
    let mut replay = Replay::new(bytes).ok_or(Unfit::Format)?;
    let mut shards: BTreeMap<usize, Shard> = BTreeMap::new();
    let mut replayed = Replayed::default();
    for (index, frame) in replay.by_ref() {
        match frame {
            Frame::Start(start) => {
                let rooms: services::Config =
                    toml::from_str(&start.rooms).map_err(|_| Unfit::Rooms)?;
                let open = Box::new(move || services::open(&rooms));
                shards.insert(index, Shard::new(start.config(), open));
                replayed.shards = shards.len();
            }
            Frame::Crash(_) => return Err(Unfit::Report),
            Frame::Step { clock, input, hash } => {
                let shard = shards.get_mut(&index).ok_or(Unfit::NoStart)?;
                replayed.inputs += 1;
                let words = format!("{input:?}");
                shard.handle(input, clock);
                let found = hash_outputs(shard.outputs());
                if found != hash {
                    let outputs = &shard.outputs().list;
                    replayed.differs = Some(format!(
                        "input {} (shard {index}, {:?}) gave other outputs\ninput: {words:.2000}\noutputs now: {:.4000}",
                        replayed.inputs,
                        clock.now,
                        format!("{outputs:?}"),
                    ));
                    return Ok(replayed);
                }
                shard.outputs().clear();
            }
        }
    }
    replayed.torn = replay.left();
    Ok(replayed)
}
