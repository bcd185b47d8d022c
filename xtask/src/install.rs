//! Installs what is missing: Debian packages, Python packages into a venv below the target folder, npm packages.
//!
//! What is there is not touched: a program is looked up, a folder of packages carries the hash of what it was made from.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs, io};

use anyhow::{Context, Result, bail};

use crate::cargo::{shown, target_folder};
use crate::tree::{Tree, root};

/// What is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Bench,
    Build,
    Test,
}

enum Check {
    /// A program of this name on the path or in the folders for administrators.
    Program(&'static str),
    /// A command that succeeds.
    Succeeds(&'static [&'static str]),
}

struct Package {
    name: &'static str,
    why: &'static str,
    check: Check,
    /// A service that the package starts by itself: we want the program, and its ports free.
    service: Option<&'static str>,
    purposes: &'static [Purpose],
}

/// Debian packages, in the order in which they are installed.
const PACKAGES: &[Package] = &[
    Package {
        name: "build-essential",
        why: "compiles SQLite and the cryptography library",
        check: Check::Program("cc"),
        service: None,
        purposes: &[Purpose::Bench, Purpose::Build, Purpose::Test],
    },
    Package {
        name: "baresip-core",
        why: "a foreign SIP phone that calls through the server",
        check: Check::Program("baresip"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "chromium",
        why: "a browser whose pages speak SIP over WebSocket",
        check: Check::Program("chromium"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "cmake",
        why: "builds libopus from the source in its crate",
        check: Check::Program("cmake"),
        service: None,
        purposes: &[Purpose::Bench, Purpose::Build, Purpose::Test],
    },
    Package {
        name: "espeak-ng",
        why: "speaks languages other than English",
        check: Check::Program("espeak-ng"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "ffmpeg",
        why: "makes files of every format of sound, and reads our recordings",
        check: Check::Program("ffmpeg"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "firefox-esr",
        why: "a browser that takes pushes from a push service of ours",
        check: Check::Program("firefox-esr"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "fiu-utils",
        why: "libfiu: calls of the system that fail, as on a broken disk",
        check: Check::Program("fiu-run"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "flite",
        why: "speaks English",
        check: Check::Program("flite"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "iproute2",
        why: "network namespaces: server and phones on hosts of their own",
        check: Check::Program("ip"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "kamailio",
        why: "the SIP server that ours is measured beside, and a carrier's edge in the tests",
        check: Check::Program("kamailio"),
        service: Some("kamailio"),
        purposes: &[Purpose::Bench, Purpose::Test],
    },
    Package {
        name: "libopencore-amrnb0",
        why: "AMR, which we open when we start",
        check: Check::Succeeds(&["sh", "-c", "/sbin/ldconfig -p | grep -q libopencore-amrnb.so.0"]),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "libopencore-amrwb0",
        why: "the decoder of AMR-WB, which we open when we start",
        check: Check::Succeeds(&["sh", "-c", "/sbin/ldconfig -p | grep -q libopencore-amrwb.so.0"]),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "libvo-amrwbenc0",
        why: "the encoder of AMR-WB, which we open when we start",
        check: Check::Succeeds(&["sh", "-c", "/sbin/ldconfig -p | grep -q libvo-amrwbenc.so.0"]),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "linphone-cli",
        why: "a second foreign SIP phone, of another make",
        check: Check::Program("linphonec"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "openssl",
        why: "a foreign client of TLS, which asks for what we refuse",
        check: Check::Program("openssl"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "opus-tools",
        why: "opusinfo: a second reader of recordings in Ogg",
        check: Check::Program("opusinfo"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "postgresql",
        why: "the database server that the tests keep rows on, in clusters of their own",
        check: Check::Succeeds(&["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"]),
        service: Some("postgresql"),
        purposes: &[Purpose::Test],
    },
    Package {
        name: "python3-venv",
        why: "runs public push senders and other foreign programs against the server",
        check: Check::Succeeds(&["python3", "-c", "import ensurepip, venv"]),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "rtpengine-daemon",
        why: "the media relay that ours is measured beside",
        check: Check::Program("rtpengine"),
        service: Some("rtpengine-daemon"),
        purposes: &[Purpose::Bench],
    },
    Package {
        name: "sip-tester",
        why: "sipp: a foreign load of thousands of calls",
        check: Check::Program("sipp"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "sox",
        why: "a second reader of recordings",
        check: Check::Program("sox"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "tshark",
        why: "a second reader of what goes over the wire",
        check: Check::Program("tshark"),
        service: None,
        purposes: &[Purpose::Test],
    },
    Package {
        name: "valgrind",
        why: "counts the instructions of a call, which no busy machine changes",
        check: Check::Program("valgrind"),
        service: None,
        purposes: &[Purpose::Bench],
    },
];

const NPM: Package = Package {
    name: "npm",
    why: "builds the console and runs JavaScript clients",
    check: Check::Program("npm"),
    service: None,
    purposes: &[Purpose::Build, Purpose::Test],
};

/// Installs what `purpose` needs and is not there.
pub fn install(purpose: Purpose) -> Result<()> {
    let tree = Tree::read(&root())?;
    let folders: Vec<&str> =
        tree.iter().filter_map(|(path, _)| path.strip_suffix("package.json")).collect();
    // What only tests need is not installed to build; a package without a lock file is ours and needs nothing.
    let is_wanted = |folder: &&str| {
        let has_lock = tree.text(&format!("{folder}package-lock.json")).is_some();
        has_lock && (purpose == Purpose::Test || !folder.contains("tests/"))
    };
    let folders: Vec<&str> = folders.into_iter().filter(is_wanted).collect();
    let npm = (!folders.is_empty()).then_some(&NPM);
    let wanted = PACKAGES.iter().chain(npm).filter(|package| package.purposes.contains(&purpose));
    debian(&wanted.filter(|package| !package.check.holds()).collect::<Vec<_>>())?;
    if purpose == Purpose::Test {
        python_packages(&tree)?;
    }
    if purpose != Purpose::Bench {
        folders.iter().try_for_each(|folder| npm_packages(&tree, folder))?;
    }
    Ok(())
}

impl Check {
    fn holds(&self) -> bool {
        match self {
            Self::Program(name) => find_program(name).is_some(),
            Self::Succeeds(words) => {
                let mut command = Command::new(words[0]);
                command
                    .args(&words[1..])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command.status().is_ok_and(|status| status.success())
            }
        }
    }
}

/// Where a program is; Debian keeps some outside the path of ordinary people.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn debian(missing: &[&Package]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    println!("Installing {} with apt-get:", count(missing.len(), "Debian package"));
    for package in missing {
        println!("  {:15} {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!("sudo apt-get update && sudo apt-get install {}", names.join(" "));
    if find_program("apt-get").is_none() {
        bail!("there is no apt-get here; install by hand what holds {}", names.join(", "));
    }
    step("package lists", &by_hand, &mut apt_get(&["update"]))?;
    for (at, package) in missing.iter().enumerate() {
        let name = format!("{}/{} {}", at + 1, missing.len(), package.name);
        let words = ["install", "--yes", "--no-install-recommends", package.name];
        step(&name, &by_hand, &mut apt_get(&words))?;
        if !package.check.holds() {
            bail!(
                "{} was installed, yet its program is not found. By hand: {by_hand}",
                package.name
            );
        }
        package.service.map_or(Ok(()), stop)?;
    }
    Ok(())
}

/// Ends the service that a package has just started, where services are run at all.
fn stop(service: &str) -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    let mut command = as_administrator();
    command.args(["systemctl", "disable", "--now", service]);
    let by_hand = format!("sudo systemctl disable --now {service}");
    step(&format!("ending the service {service}"), &by_hand, &mut command)
}

fn apt_get(words: &[&str]) -> Command {
    let mut command = as_administrator();
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    command.arg("--option=DPkg::Lock::Timeout=120").args(words);
    command
}

/// `env`, as root or through sudo. Without a terminal nobody can type a password: then sudo fails instead of waiting.
fn as_administrator() -> Command {
    let user = Command::new("id").arg("-u").output();
    if user.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        return Command::new("env");
    }
    let mut command = Command::new("sudo");
    let can_ask = io::IsTerminal::is_terminal(&io::stdin());
    command.args((!can_ask).then_some("--non-interactive")).arg("env");
    command
}

/// The venv's interpreter, once it was made.
pub fn python() -> Option<PathBuf> {
    Some(target_folder().join("venv/bin/python")).filter(|python| python.exists())
}

/// One venv for every `tests/requirements.txt`.
fn python_packages(tree: &Tree) -> Result<()> {
    let is_list =
        |path: &str| path == "tests/requirements.txt" || path.ends_with("/tests/requirements.txt");
    let lists: Vec<(&str, &str)> = tree.iter().filter(|(path, _)| is_list(path)).collect();
    let stamp = Stamp::new("python", lists.iter().map(|(_, text)| *text));
    if lists.is_empty() || (python().is_some() && stamp.holds()) {
        return Ok(());
    }
    let packages: Vec<&str> = lists
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter(|line| is_requirement(line))
        .collect();
    let paths: Vec<&str> = lists.iter().map(|(path, _)| *path).collect();
    println!(
        "Installing {} into target/venv, for {}:",
        count(packages.len(), "Python package"),
        paths.join(", ")
    );
    packages.iter().for_each(|package| println!("  {package}"));
    let venv = target_folder().join("venv");
    let by_hand = format!(
        "python3 -m venv --clear {0} && {0}/bin/python -m pip install -r {1}",
        venv.display(),
        paths.join(" -r ")
    );
    let mut make = Command::new("python3");
    step("venv", &by_hand, make.args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]);
    for path in &paths {
        pip.arg("-r").arg(root().join(path));
    }
    step("Python packages", &by_hand, &mut pip)?;
    stamp.write()
}

fn is_requirement(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with(['#', '-'])
}

/// `node_modules` beside one `package.json`; by its lock file where there is one.
fn npm_packages(tree: &Tree, folder: &str) -> Result<()> {
    let text = |name: &str| tree.text(&format!("{folder}{name}")).unwrap_or_default();
    let lock = text("package-lock.json");
    let stamp =
        Stamp::new(&format!("npm-{}", folder.replace('/', "-")), [text("package.json"), lock]);
    let place = root().join(folder);
    if place.join("node_modules").exists() && stamp.holds() {
        return Ok(());
    }
    println!("Installing the npm packages of {folder}package.json");
    let verb = if lock.is_empty() { "install" } else { "ci" };
    let mut command = Command::new("npm");
    command.args([verb, "--no-fund", "--no-audit"]).current_dir(&place);
    step("npm packages", &format!("cd {} && npm {verb}", place.display()), &mut command)?;
    stamp.write()
}

/// Remembers from which content something was installed.
struct Stamp {
    path: PathBuf,
    hash: String,
}

impl Stamp {
    fn new<'a>(name: &str, contents: impl IntoIterator<Item = &'a str>) -> Self {
        // FNV-1a: no secret hangs on it, and its value stays the same between compilers.
        let bytes = contents.into_iter().flat_map(|text| text.bytes().chain([0]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { path: made_folder().join(name), hash: format!("{hash:016x}\n") }
    }

    fn holds(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.hash)
    }

    fn write(&self) -> Result<()> {
        fs::write(&self.path, &self.hash)
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

fn made_folder() -> PathBuf {
    target_folder().join("installed")
}

/// Runs one step with its output in a file; says how long it took, or how it failed and what to do by hand.
fn step(name: &str, by_hand: &str, command: &mut Command) -> Result<()> {
    print!("  {name} … ");
    io::stdout().flush()?;
    let began = Instant::now();
    fs::create_dir_all(made_folder())?;
    let log = made_folder().join("last.log");
    let file = fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    if !io::IsTerminal::is_terminal(&io::stdin()) {
        command.stdin(Stdio::null());
    }
    let status = command
        .status()
        .with_context(|| format!("starting {}. By hand: {by_hand}", shown(command)))?;
    if status.success() {
        println!("{:.1} s", began.elapsed().as_secs_f64());
        return Ok(());
    }
    println!("failed");
    bail!("{} ended with {status}\n{}\nBy hand: {by_hand}", shown(command), tail(&log));
}

/// The last lines of a log, indented.
fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_follows_the_content_and_its_parting() {
        let hash = |parts: &[&str]| Stamp::new("x", parts.iter().copied()).hash;
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
        assert_ne!(hash(&["a"]), hash(&["b"]));
    }

    #[test]
    fn packages_stand_in_order_after_the_compiler_and_say_why() {
        let names: Vec<&str> = PACKAGES.iter().skip(1).map(|package| package.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(
            PACKAGES.iter().all(|package| !package.why.is_empty() && !package.purposes.is_empty())
        );
    }

    #[test]
    fn comments_and_flags_are_no_requirements() {
        let text = "# senders\naioapns==4.0\n\n--no-deps\nhttp-ece==1.2.1\n";
        assert_eq!(text.lines().filter(|line| is_requirement(line)).count(), 2);
    }
}
