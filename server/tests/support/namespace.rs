//! Hosts for one test: network namespaces, alone or joined by a pair of wires, with no way to anywhere else.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{process, thread};

use nix::sched::{CloneFlags, setns};

use super::program::find;

/// The server's host on the wire of [`Namespace::pair`].
pub const SERVER: &str = "198.18.0.1";
/// The phones' host on that wire.
pub const PHONES: &str = "198.18.0.2";

/// Every namespace of these tests begins with this, then come the process and a number.
const PREFIX: &str = "carillon-test";

/// One host. Clones are the same host; it is removed with the last.
#[derive(Clone)]
pub struct Namespace(Arc<Named>);

struct Named {
    name: String,
}

impl Namespace {
    /// A host that has loopback and nothing else.
    pub fn alone() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        remove_left_over();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let named = Named { name: format!("{PREFIX}-{}-{number}", process::id()) };
        ip(&["netns", "add", &named.name]);
        let host = Self(Arc::new(named));
        host.ip(&["link", "set", "lo", "up"]);
        host
    }

    /// A host that has a wire which ends in itself, with [`PHONES`] on it: for programs that want an address besides
    /// loopback.
    pub fn with_address() -> Self {
        let host = Self::alone();
        host.ip(&["link", "add", "wire0", "type", "veth", "peer", "name", "wire1"]);
        host.ip(&["address", "add", &format!("{PHONES}/24"), "dev", "wire0"]);
        host.ip(&["link", "set", "wire0", "up"]);
        host.ip(&["link", "set", "wire1", "up"]);
        host
    }

    /// Two hosts on one wire: [`SERVER`] and [`PHONES`].
    pub fn pair() -> (Self, Self) {
        let (server, phones) = (Self::alone(), Self::alone());
        // Both ends are made inside, so nothing ever shows on the machine itself.
        server.ip(&[
            "link",
            "add",
            "wire0",
            "type",
            "veth",
            "peer",
            "name",
            "wire0",
            "netns",
            phones.name(),
        ]);
        for (host, address) in [(&server, SERVER), (&phones, PHONES)] {
            host.ip(&["address", "add", &format!("{address}/24"), "dev", "wire0"]);
            host.ip(&["link", "set", "wire0", "up"]);
        }
        // Some phones ask their host by which address it would reach the world, and write that into their
        // descriptions. The way ends at the server's host, which passes nothing on.
        phones.ip(&["route", "add", "default", "via", SERVER]);
        (server, phones)
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Does `work` on this host: sockets made there stay there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let here = || {
            let path = Path::new("/run/netns").join(self.name());
            let host = File::open(path).expect("the namespace is there");
            setns(host, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            work()
        };
        // A thread of its own, since a thread keeps the host that it has entered.
        thread::scope(|scope| scope.spawn(here).join()).unwrap_or_else(|why| {
            std::panic::resume_unwind(why);
        })
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", self.name()], words].concat());
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // Failing here would hide why a test failed.
        let _ = Command::new(find("ip")).args(["netns", "delete", &self.name]).status();
    }
}

#[track_caller]
fn ip(words: &[&str]) {
    let output = Command::new(find("ip")).args(words).output().expect("ip starts");
    assert!(
        output.status.success(),
        "ip {}: {} (network namespaces are for root: run the tests as root, or in a container)",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// Removes the namespaces of test programs that were killed before they could.
fn remove_left_over() {
    let list = Command::new(find("ip")).args(["netns", "list"]).output().expect("ip starts");
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            drop(Named { name: name.to_owned() });
        }
    }
}
