//! Test programs side by side: most of them wait for other programs most of their time.
//!
//! Each keeps the traffic of its servers in network namespaces of its own, so they do not meet. What one says is shown
//! whole when it ends.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cargo::{Count, Show, run_counted, shown, target_folder, test, test_environment};

/// Programs that run at one time: two at the seats that tests in real time share, and one that needs none.
const LANES: usize = 3;

/// Black-box tests that are run a second time with their rows on PostgreSQL: phones, calls, records, groups, trunks,
/// messages, kills.
const ON_POSTGRES: [&str; 8] =
    ["baresip", "groups", "kill", "phones", "restart", "scenarios", "trunk", "waking"];

/// The variable that says where the servers of a test keep their rows, and its one value.
const STORE: (&str, &str) = ("CARILLON_TEST_STORE", "postgres");

/// Those that take longest come first, so that no lane waits for one of them alone at the end.
const LONG: [&str; 12] = [
    "server hostile",
    "sim planted",
    "server phones",
    "server lossy",
    "server scenarios",
    "server kill",
    "server database",
    "server baresip",
    "server trunk",
    "server browser",
    "server groups",
    "server apps",
];

/// One run of a test program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    name: String,
    program: PathBuf,
    /// Of its package: where cargo would run it.
    folder: PathBuf,
    on_postgres: bool,
}

impl Job {
    fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_test = line["reason"] == "compiler-artifact" && line["profile"]["test"] == true;
        let program = line["executable"].as_str().filter(|_| is_test)?;
        let folder = Path::new(line["manifest_path"].as_str()?).parent()?;
        let package = folder.file_name()?.to_string_lossy();
        let target = line["target"]["name"].as_str()?;
        let is_lib = line["target"]["kind"].as_array()?.iter().all(|kind| kind != "test");
        let name = if is_lib { package.into_owned() } else { format!("{package} {target}") };
        Some(Self { name, program: program.into(), folder: folder.into(), on_postgres: false })
    }

    /// The last word of its name is the file below `tests`.
    fn file(&self) -> &str {
        self.name.rsplit(' ').next().unwrap_or_default()
    }

    fn place(&self) -> usize {
        LONG.iter().position(|name| self.name == *name).unwrap_or(LONG.len())
    }

    fn title(&self) -> String {
        let store = if self.on_postgres { " on PostgreSQL" } else { "" };
        format!("{}{store}", self.name)
    }

    /// Runs it to its end; gives what it said and whether it ended well.
    fn run(&self, environment: &[(&str, String)]) -> Result<(String, bool)> {
        let folder = target_folder().join("tmp/said");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.log", self.title().replace(' ', "-")));
        let said = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        if self.on_postgres {
            command.env(STORE.0, STORE.1);
        }
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let status = command.status().with_context(|| format!("starting {}", shown(&command)))?;
        Ok((String::from_utf8_lossy(&fs::read(&path)?).into_owned(), status.success()))
    }
}

/// Every test program, those that judge the store twice, and the examples of the documentation.
pub fn run_all(count: &mut Count) -> Result<()> {
    let jobs = jobs()?;
    let environment = test_environment();
    let queue = Mutex::new(VecDeque::from(jobs));
    let failed = Mutex::new(Vec::new());
    let shared = Mutex::new(&mut *count);
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    // The lock is given back before the work begins.
                    let job = held(&queue).pop_front();
                    let Some(job) = job else { break };
                    let began = Instant::now();
                    let (said, good) = match job.run(&environment) {
                        Ok(done) => done,
                        Err(error) => (format!("{error:#}\n"), false),
                    };
                    // One holds the pen: what two say does not mix.
                    let mut count = held(&shared);
                    println!("\n-- {} ({:.1} s)", job.title(), began.elapsed().as_secs_f64());
                    for line in said.lines() {
                        count.add(line);
                        println!("{line}");
                    }
                    if !good {
                        held(&failed).push(job.title());
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let words = ["--doc", "--quiet"].map(str::to_owned);
    if run_counted(&mut test(&words), Show::OnFailure, count).is_err() {
        failed.push("examples of the documentation".to_owned());
    }
    if !failed.is_empty() {
        failed.sort_unstable();
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds the test programs and lists their runs, the longest first.
fn jobs() -> Result<Vec<Job>> {
    let words = ["--no-run", "--message-format=json-render-diagnostics"].map(str::to_owned);
    let mut command = test(&words);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("its output is ours")?).lines();
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    if !child.wait()?.success() {
        bail!("the tests do not build");
    }
    Ok(runs(lines.iter().filter_map(|line| Job::read(line)).collect()))
}

/// Adds the second runs, and puts them in order.
fn runs(mut jobs: Vec<Job>) -> Vec<Job> {
    let judges = |job: &&Job| job.name.starts_with("server ") && ON_POSTGRES.contains(&job.file());
    let again: Vec<Job> =
        jobs.iter().filter(judges).map(|job| Job { on_postgres: true, ..job.clone() }).collect();
    jobs.extend(again);
    jobs.sort_by_key(Job::place);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(name: &str, kind: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/x/server/Cargo.toml","target":{{"kind":["{kind}"],
            "name":"{name}"}},"profile":{{"test":{test}}},"executable":"/x/target/debug/deps/{name}-1"}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn programs_are_read_from_what_cargo_says() {
        let lines = [
            artifact("server", "lib", true),
            artifact("words", "test", true),
            artifact("kill", "test", true),
            artifact("carillon", "bin", false),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "no JSON".to_owned(),
        ];
        let jobs = runs(lines.iter().filter_map(|line| Job::read(line)).collect());
        let titles: Vec<String> = jobs.iter().map(Job::title).collect();
        assert_eq!(titles, ["server kill", "server kill on PostgreSQL", "server", "server words"]);
        assert_eq!(jobs[0].folder, Path::new("/x/server"));
    }
}
