//! As much of an HTTP client as making many users takes: several connections, one request at a time on each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Connections at once: enough for the server to commit many users in one group.
const CONNECTIONS: usize = 32;
/// The longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The longest answer.
const BODY_MAX: usize = 1 << 20;

/// Puts `path(n)` with `body` for each `n` below `count`.
pub fn put_all(
    server: SocketAddr,
    token: &str,
    count: usize,
    path: impl Fn(usize) -> String + Sync,
    body: &str,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> anyhow::Result<()> {
            let mut connection = Connection::open(server)?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(());
                }
                let status = connection.put(&path(n), token, body)?;
                ensure!((200..300).contains(&status), "PUT {} was answered {status}", path(n));
            }
        };
        let workers: Vec<_> = (0..CONNECTIONS.min(count)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => bail!("a connection panicked"),
        })
    })
}

struct Connection {
    server: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, ANSWER_MAX).context("HTTP connection")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { server, reader: BufReader::new(stream) })
    }

    fn put(&mut self, path: &str, token: &str, body: &str) -> anyhow::Result<u16> {
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.server,
            body.len()
        );
        self.reader.get_mut().write_all(request.as_bytes()).context("sending a PUT")?;
        self.answer().context("reading the answer to a PUT")
    }

    /// Reads one answer and gives its status. Spec: RFC 9112 §6.
    fn answer(&mut self) -> anyhow::Result<u16> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("no status in {status_line:?}"))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let row = self.line()?.to_ascii_lowercase();
            match row.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse()?,
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => (),
            }
        }
        if !chunked {
            self.skip(length)?;
            return Ok(status);
        }
        loop {
            let size = usize::from_str_radix(self.line()?.trim(), 16).context("chunk size")?;
            self.skip(size)?;
            self.line()?;
            if size == 0 {
                return Ok(status);
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut row = String::new();
        ensure!(self.reader.read_line(&mut row)? > 0, "the server closed the connection");
        Ok(row.trim_end().to_owned())
    }

    fn skip(&mut self, length: usize) -> anyhow::Result<()> {
        ensure!(length <= BODY_MAX, "an answer of {length} octets");
        let mut body = vec![0; length];
        Ok(self.reader.read_exact(&mut body)?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn plain_and_chunked_answers_are_read_on_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let answers = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}\
                       HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let peer = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(answers.as_bytes()).unwrap();
            let mut seen = String::new();
            stream.read_to_string(&mut seen).unwrap();
            seen
        });
        let mut connection = Connection::open(server).unwrap();
        assert_eq!(connection.put("/a", "t", "{}").unwrap(), 201);
        assert_eq!(connection.put("/b", "t", "{}").unwrap(), 200);
        drop(connection);
        let seen = peer.join().unwrap();
        assert!(
            seen.contains("PUT /b HTTP/1.1\r\n") && seen.contains("Authorization: Bearer t\r\n")
        );
    }
}
