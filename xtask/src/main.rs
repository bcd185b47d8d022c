//! `cargo xtask`: the house's own commands. Exit status 0 done, 1 it failed, 2 the words are wrong.

use std::env;
use std::process::ExitCode;

use xtask::finding::judge;
use xtask::tree::{Tree, root};
use xtask::{bench, ci, console, floors, fuzz, licences, new_service, reference};

const USAGE: &str = "cargo xtask COMMAND

  dev [-- WORDS]      install what is missing, build, start `carillon dev WORDS`
  test [WORDS]        install what is missing, run every test (WORDS go to cargo test)
  ci                  every check and every test, as before a merge
  console             install what is missing, build the console for the binary and for pages of others
  bench NAME [WORDS]  measure: sip beside a peer, media beside another, voice, instructions and parser alone (cache and ptt are to come)
  fuzz [--for 30s]    the targets of libFuzzer, where a nightly compiler is at hand
  floors              manifests against the tables of ARCHITECTURE.md
  licences            outside crates against deny.toml
  new-service NAME    write the folder of a new room and its lines in the corridor
  reference [--check] write docs/reference, or say what is stale
  tidy                names, sizes, heads, stub words, paths in documents";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let Some((command, rest)) = words.split_first() else { return usage("no command") };
    let result = match (command.as_str(), rest) {
        ("bench", [name, rest @ ..]) if bench::is_known(name) => bench::bench(name, rest),
        ("ci", []) => ci::ci(),
        ("console", []) => console::run_console(),
        ("dev", [dashes, rest @ ..]) if dashes == "--" => ci::dev(rest),
        ("dev", rest) => ci::dev(rest),
        ("floors", []) => {
            Tree::read(&root()).and_then(|tree| judge("floors", floors::check(&tree)))
        }
        ("fuzz", rest) => fuzz::fuzz(rest),
        ("licences", []) => licences::check().and_then(|findings| judge("licences", findings)),
        ("new-service", [name]) => new_service::write(name),
        ("reference", []) => reference::run(reference::Mode::Write, reference::Binary::Build),
        ("reference", [flag]) if flag == "--check" => {
            reference::run(reference::Mode::Check, reference::Binary::Build)
        }
        ("test", rest) => ci::run_tests(rest),
        ("tidy", []) => ci::run_tidy(),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        (other, _) => return usage(&format!("`{other}` is not known, or its words are wrong")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("{why}\n\n{USAGE}");
    ExitCode::from(2)
}
