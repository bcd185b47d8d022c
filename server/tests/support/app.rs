//! A web app of the test: answers each path with its document and keeps what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::namespace::Namespace;
use super::{STEP, until};

/// What an unknown path gets.
const NOTHING: &str = "<Response/>";

/// An app on loopback of a host. It ends with the test program.
pub struct App {
    url: String,
    /// Path and body of each request.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl App {
    /// Answers each of these paths with the document beside it.
    #[track_caller]
    pub fn start(host: &Namespace, documents: &[(&'static str, &'static str)]) -> Self {
        let listener = host.enter(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, documents) = (Arc::clone(&asked), Arc::new(documents.to_vec()));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, documents) = (Arc::clone(&log), Arc::clone(&documents));
                thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    while answered(&mut reader, &stream, &documents, &log).is_some() {}
                });
            }
        });
        Self { url, asked }
    }

    /// Where it answers for this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// How often it was asked.
    pub fn count(&self) -> usize {
        self.asked.lock().expect("nobody panicked with it").len()
    }

    /// The body of the first request for this path.
    #[track_caller]
    pub fn said(&self, path: &str) -> String {
        until(STEP, &format!("a request for {path}"), || {
            let asked = self.asked.lock().expect("nobody panicked with it");
            asked.iter().find(|(known, _)| known == path).map(|(_, body)| body.clone())
        })
    }
}

/// Reads one request and answers it; `None`: there is none any more.
fn answered(
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    documents: &[(&str, &str)],
    log: &Mutex<Vec<(String, String)>>,
) -> Option<()> {
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let known = documents.iter().find(|(known, _)| *known == path);
    let document = known.map_or(NOTHING, |(_, document)| document);
    let body = String::from_utf8_lossy(&body).into_owned();
    log.lock().expect("nobody panicked with it").push((path, body));
    let length = document.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{document}").as_bytes()).ok()
}
