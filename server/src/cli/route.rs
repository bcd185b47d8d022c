//! `carillon route explain`: asks a running server where a call would go, and prints each candidate and why.

use std::process::ExitCode;

use serde_json::Value;

use super::FAILED;
use super::door::{Door, DoorArguments, Fault};

/// `carillon route`.
#[derive(Debug, clap::Subcommand)]
pub enum RouteCommand {
    /// Where a call would go and why: the same decision that live calls get.
    Explain(Explain),
}

/// The words of `carillon route explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Who calls: a user's name, `user/NAME`, `trunk/NAME` or `stranger`.
    #[arg(value_name = "FROM", required_unless_present = "caller")]
    from: Option<String>,
    /// What is dialled.
    #[arg(value_name = "TO", required_unless_present = "dialled")]
    to: Option<String>,
    /// The same as FROM.
    #[arg(long = "from", value_name = "FROM", conflicts_with = "from")]
    caller: Option<String>,
    /// The same as TO.
    #[arg(long = "to", value_name = "TO", conflicts_with = "to")]
    dialled: Option<String>,
    /// When, such as 2026-11-22T10:00:00Z; else now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The number that the caller shows.
    #[arg(long, value_name = "NUMBER")]
    shows: Option<String>,
    /// The whole answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: DoorArguments,
}

/// Asks and prints.
pub fn main(command: RouteCommand) -> ExitCode {
    let RouteCommand::Explain(words) = command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        eprintln!("cannot set up a client");
        return ExitCode::from(FAILED);
    };
    match runtime.block_on(ask(&words)) {
        Ok(said) if words.json => println!("{said:#}"),
        Ok(said) => print!("{}", page(&said)),
        Err(fault) => {
            eprintln!("{fault}");
            return fault.code();
        }
    }
    ExitCode::SUCCESS
}

async fn ask(words: &Explain) -> Result<Value, Fault> {
    let door = Door::open(&words.door)?;
    let from = words.from.as_ref().or(words.caller.as_ref()).map_or("", String::as_str);
    let plain = !from.contains('/') && from != "stranger";
    let from = if plain { format!("user/{from}") } else { from.to_owned() };
    let to = words.to.as_ref().or(words.dialled.as_ref()).map_or("", String::as_str);
    let mut query = vec![("from", from.as_str()), ("to", to)];
    for (name, value) in [("at", &words.at), ("shows", &words.shows)] {
        query.extend(value.as_ref().map(|value| (name, value.as_str())));
    }
    door.get(&["v1", "route", "explain"], &query).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The answer for people.
fn page(said: &Value) -> String {
    let none = Vec::new();
    let list = |name: &str| said[name].as_array().unwrap_or(&none);
    let mut out =
        format!("{} from {} at {}\n", text(&said["to"]), text(&said["from"]), text(&said["at"]));
    if !text(&said["how"]).is_empty() {
        out.push_str(&format!("  {}\n", text(&said["how"])));
    }
    let candidates = list("candidates");
    let names: Vec<_> = candidates
        .iter()
        .map(|one| format!("{} \"{}\"", text(&one["kind"]), text(&one["name"])))
        .collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (place, (one, name)) in candidates.iter().zip(&names).enumerate() {
        let fits = if one["matched"] == true { "yes" } else { "no " };
        out.push_str(&format!("{:>3}  {name:<width$}  {fits}  {}\n", place + 1, text(&one["why"])));
    }
    for (place, stage) in list("stages").iter().enumerate() {
        out.push_str(&format!("Stage {}: {}\n", place + 1, stage_words(stage)));
    }
    let refusal = &said["refusal"];
    if !refusal.is_null() {
        let (status, title) = (&refusal["status"], text(&refusal["title"]));
        let (number, fix) = (text(&refusal["number"]), text(&refusal["fix"]));
        out.push_str(&format!("Answer: {status}, {title} ({number})\nTo do: {fix}\n"));
    }
    out
}

fn stage_words(stage: &Value) -> String {
    let none = Vec::new();
    let targets = stage["targets"].as_array().unwrap_or(&none).iter().map(|target| {
        if let Some(user) = target["user"].as_str() {
            return format!("user {user}");
        }
        let shown = target["identity"].as_str().unwrap_or("nobody");
        format!(
            "trunk {} with {}, shown as {shown}",
            text(&target["trunk"]),
            text(&target["number"])
        )
    });
    let mut words = targets.collect::<Vec<_>>().join(" and ");
    if let Some(seconds) = stage["ring"].as_u64() {
        words.push_str(&format!(", {seconds} s"));
    }
    if let (Some(before), when) = (stage["after"]["stage"].as_u64(), text(&stage["after"]["when"]))
    {
        words.push_str(&format!(" (after stage {before}: {})", when.replace('_', " ")));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_each_candidate_and_why() {
        let said = serde_json::json!({
            "from": "trunk/acme", "to": "15550100", "at": "2026-11-22T10:00:00.000Z", "how": "",
            "candidates": [
                {"kind": "route", "name": "office hours", "matched": false, "why": "Sun 11:00 Europe/Berlin is outside of Mon 09:00-18:00"},
                {"kind": "default", "name": "default", "matched": true, "why": "reject 404"},
            ],
            "stages": [
                {"targets": [{"user": "1001", "history": []}], "ring": 20, "after": null},
                {"targets": [{"trunk": "acme", "number": "+1", "identity": null}], "ring": null, "after": {"stage": 1, "when": "no_answer"}},
            ],
            "refusal": {"status": 404, "number": "CAR-1653", "title": "nothing fits", "fix": "ask"},
        });
        let expected = "15550100 from trunk/acme at 2026-11-22T10:00:00.000Z\n  \
            1  route \"office hours\"  no   Sun 11:00 Europe/Berlin is outside of Mon 09:00-18:00\n  \
            2  default \"default\"     yes  reject 404\n\
            Stage 1: user 1001, 20 s\n\
            Stage 2: trunk acme with +1, shown as nobody (after stage 1: no answer)\n\
            Answer: 404, nothing fits (CAR-1653)\nTo do: ask\n";
        assert_eq!(page(&said), expected);
    }
}
