//! A node as a child process, and just enough of a client to ask it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use cluster::rows;
use sip::digest::{Challenge, Login, Password, Target, answer};

/// How long any one step may take.
pub const STEP_MAX: Duration = Duration::from_secs(30);

/// The binary, without variables of whoever runs the tests.
pub fn carillon() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carillon"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARILLON_")) {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn run(words: &[&str]) -> Output {
    carillon().args(words).output().unwrap()
}

/// Writes a file that lets the system choose every port.
pub fn config(folder: &Path, shards: u16) -> PathBuf {
    let path = folder.join("carillon.toml");
    let data = folder.join("data");
    let text = format!(
        "[node]\ndata = {data:?}\n[sip]\nlisten = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\ndigest = [\"MD5\"]\nshards = {shards}\n\
         [http]\nlisten = \"127.0.0.1:0\"\n{}",
        rows::section()
    );
    fs::write(&path, text).unwrap();
    path
}

/// A node that runs; killed when dropped.
pub struct Node {
    child: Child,
    pub ready: serde_json::Value,
    pub sip: SocketAddr,
    pub http: SocketAddr,
    pub token: String,
}

impl Node {
    /// Starts it and waits for its line.
    pub fn start(role: &str, config: &Path) -> Self {
        let mut child = carillon()
            .args([role, "--json", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        });
        let line = lines.recv_timeout(STEP_MAX).expect("a line in time").unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let env = fs::read_to_string(ready["env"].as_str().unwrap()).unwrap();
        let token = env.lines().find_map(|line| line.strip_prefix("CARILLON_TOKEN=")).unwrap();
        let http = ready["http"].as_str().unwrap().strip_prefix("http://").unwrap();
        Self {
            sip: ready["sip"].as_str().unwrap().parse().unwrap(),
            http: http.parse().unwrap(),
            token: token.to_owned(),
            child,
            ready,
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A signal by its name, by the system's own command.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Its exit code, once it has ended by itself.
    pub fn ended(mut self) -> Option<i32> {
        let (sender, code) = mpsc::channel();
        // The wait must not outlast the test: the drop at the end kills.
        let id = self.child.id();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(self.child.wait().unwrap().code()));
            code.recv_timeout(STEP_MAX).unwrap_or_else(|_| {
                let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status();
                panic!("did not end")
            })
        })
    }

    /// One request; status and body.
    pub fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(STEP_MAX)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.http,
            self.token,
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A phone that can register, on a socket of its own.
pub struct Registrant {
    socket: UdpSocket,
    own: SocketAddr,
    node: SocketAddr,
    sequence: u32,
}

impl Registrant {
    pub fn new(node: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let own = socket.local_addr().unwrap();
        Self { socket, own, node, sequence: 0 }
    }

    /// Sends one request without a body and gives the final answer.
    pub fn ask(&mut self, method: &str, user: &str, more: &str) -> String {
        self.sequence += 1;
        let (own, sequence) = (self.own, self.sequence);
        let request = format!(
            "{method} sip:localhost SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{user}-{sequence}\r\n\
             From: <sip:{user}@localhost>;tag=t{user}\r\nTo: <sip:{user}@localhost>\r\nCall-ID: c-{user}@{own}\r\n\
             CSeq: {sequence} {method}\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
        );
        let mut room = [0; 8192];
        for _ in 0..5 {
            self.socket.send_to(request.as_bytes(), self.node).unwrap();
            let Ok(length) = self.socket.recv(&mut room) else { continue };
            return String::from_utf8_lossy(&room[..length]).into_owned();
        }
        panic!("no answer to {method}")
    }

    /// Registers with a proof; the status of the last answer.
    pub fn register(&mut self, user: &str, password: &str) -> u16 {
        let contact = format!("Contact: <sip:{user}@{}>\r\nExpires: 600\r\n", self.own);
        let first = self.ask("REGISTER", user, &contact);
        if status(&first) != 401 {
            return status(&first);
        }
        let header = first.lines().find_map(|line| line.strip_prefix("WWW-Authenticate: "));
        let challenge = Challenge::decode(header.unwrap().as_bytes()).unwrap();
        let password = Password::Text(password.as_bytes());
        let login = Login { user: user.as_bytes(), password, realm: Some(b"localhost") };
        let target = Target { method: b"REGISTER", uri: b"sip:localhost" };
        let proof = answer(&challenge, &login, target, b"0a4f113b", 1).unwrap();
        let proof = String::from_utf8(proof).unwrap();
        let more = format!("{contact}Authorization: {proof}\r\n");
        status(&self.ask("REGISTER", user, &more))
    }
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
