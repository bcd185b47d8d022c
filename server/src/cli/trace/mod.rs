//! `carillon trace`: which calls there were, what was said in one, and one message whole.
//!
//! Picture     Door --> list of calls | ladder --> draw (lanes and arrows) | pcapng (a file for other programs)
//! Rules       Shows what the server shows, which is redacted there. What peers wrote never reaches the terminal as
//!             anything but letters.
//! Limits      LIST_MAX calls are listed, LANES_MAX lanes drawn (draw.rs).
//! Not here    The API (door), the ladder itself (switchboard).

mod draw;
mod pcapng;
mod rung;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::FAILED;
use super::door::{Door, DoorArguments, Fault};
use rung::Rung;

/// Calls that are listed.
const LIST_MAX: usize = 20;

/// `carillon trace`.
#[derive(Debug, clap::Args)]
pub struct TraceArguments {
    /// The call: its id, or how that begins. Without it the newest calls are listed.
    call: Option<String>,
    /// The message, by its number in the ladder: it is printed whole.
    number: Option<usize>,
    /// The newest call.
    #[arg(long, conflicts_with_all = ["call", "last_failed"])]
    last: bool,
    /// The newest call that was not answered.
    #[arg(long, conflicts_with = "call")]
    last_failed: bool,
    /// What the API says, as JSON.
    #[arg(long)]
    json: bool,
    /// Writes the SIP messages into a file that Wireshark and tshark read.
    #[arg(long, value_name = "FILE")]
    pcapng: Option<PathBuf>,
    #[command(flatten)]
    door: DoorArguments,
}

/// Does what the words say.
pub fn main(arguments: TraceArguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        eprintln!("cannot set up a client");
        return ExitCode::from(FAILED);
    };
    match runtime.block_on(run(&arguments)) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}");
            fault.code()
        }
    }
}

async fn run(arguments: &TraceArguments) -> Result<String, Fault> {
    let door = Door::open(&arguments.door)?;
    let calls = calls(&door).await?;
    let wrong = |key, why: String| Err(Fault::Wrong { key, why });
    let failed = |call: &&Value| !call["outcome"].is_null() && call["outcome"] != "answered";
    let call = match &arguments.call {
        Some(begin) => Some(named(&calls, begin)?),
        None if arguments.last || arguments.last_failed => {
            let mut newest = calls.iter().filter(|call| arguments.last || failed(call));
            match newest.next().and_then(|call| call["id"].as_str()) {
                Some(id) => Some(id.to_owned()),
                None if arguments.last => return wrong("--last", "there was no call".into()),
                None => return wrong("--last-failed", "no call failed lately".into()),
            }
        }
        None => None,
    };
    let Some(id) = call else {
        if arguments.pcapng.is_some() {
            return wrong("--pcapng", "wants a call: `carillon trace` lists them".into());
        }
        return Ok(if arguments.json {
            lines(&json!({ "items": calls }))
        } else {
            draw::list(&calls)
        });
    };
    let ladder = door.get(&["v1", "calls", &id, "ladder"], &[]).await?;
    let rungs = Rung::all(&ladder);
    if let Some(file) = &arguments.pcapng {
        return write(file, &rungs);
    }
    let call = calls.iter().find(|call| call["id"] == *id).unwrap_or(&Value::Null);
    match arguments.number {
        Some(number) => {
            let at = number.checked_sub(1);
            let Some((rung, item)) = at.and_then(|at| Some((rungs.get(at)?, &ladder["items"][at])))
            else {
                return wrong("NUMBER", format!("the ladder of {id} ends with {}", rungs.len()));
            };
            Ok(if arguments.json { lines(item) } else { draw::message(rung) })
        }
        None if arguments.json => Ok(lines(&ladder)),
        None => Ok(draw::ladder(&id, call, &rungs)),
    }
}

/// Live calls and those that are over, newest first.
async fn calls(door: &Door) -> Result<Vec<Value>, Fault> {
    let live = door.get(&["v1", "calls"], &[]).await?;
    let limit = LIST_MAX.to_string();
    let over = door.get(&["v1", "records"], &[("limit", &limit)]).await?;
    let items = |list: &Value| list["items"].as_array().cloned().unwrap_or_default();
    let mut all = items(&live);
    all.reverse();
    // A call may end between the two questions.
    all.extend(
        items(&over)
            .into_iter()
            .filter(|call| !items(&live).iter().any(|known| known["id"] == call["id"])),
    );
    all.truncate(LIST_MAX);
    Ok(all)
}

/// The id that begins so. One that is not listed is left to the server.
fn named(calls: &[Value], begin: &str) -> Result<String, Fault> {
    let ids: Vec<&str> = calls.iter().filter_map(|call| call["id"].as_str()).collect();
    let short =
        |id: &&&str| id.starts_with(begin) || id.trim_start_matches("call_").starts_with(begin);
    let found: Vec<&&str> = ids.iter().filter(short).collect();
    match found[..] {
        [] => Ok(begin.to_owned()),
        [id] => Ok((*id).to_owned()),
        _ if found.iter().any(|id| **id == begin) => Ok(begin.to_owned()),
        _ => {
            let why = format!("`{begin}` begins {} of the newest calls", found.len());
            Err(Fault::Wrong { key: "CALL", why })
        }
    }
}

fn write(file: &Path, rungs: &[Rung]) -> Result<String, Fault> {
    let octets = pcapng::file(rungs);
    let sip = rungs.iter().filter_map(|rung| rung.way.as_ref());
    let (count, sealed) = sip.fold((0, None), |(count, sealed), way| {
        let other = !["udp", "tcp"].contains(&&*way.transport);
        (count + 1, sealed.or_else(|| other.then_some(way.local.port())))
    });
    std::fs::write(file, octets).map_err(|why| Fault::File { place: file.to_owned(), why })?;
    let mut said = format!("{count} messages in {}\n", file.display());
    if let Some(port) = sealed {
        said += &format!(
            "Some came over TLS or WebSocket; they lie open in the file: tshark -d tcp.port=={port},sip -r FILE\n"
        );
    }
    Ok(said)
}

fn lines(value: &Value) -> String {
    // A tree of JSON is always JSON.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
