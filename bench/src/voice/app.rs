//! The app behind the number: three documents, a prompt, and how long it took itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;

/// What the app says of itself.
pub struct App {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// How long each answer took, in microseconds.
    took: Arc<Mutex<Vec<u32>>>,
}

impl App {
    /// Listens on loopback until the program ends.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the app")?;
        let url = format!("http://{}", listener.local_addr()?);
        let took = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&took);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || serve(stream, &notes));
            }
        });
        Ok(Self { url, took })
    }

    /// How long its answers took.
    pub fn took(&self) -> Vec<u32> {
        self.took.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to count anew.
    pub fn forget(&self) {
        self.took.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Answers on one connection until it ends.
fn serve(stream: TcpStream, notes: &Mutex<Vec<u32>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (path, body) = read(&mut reader)?;
        let began = Instant::now();
        let (kind, answer) = answer(&path, &body);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        let whole = [head.as_bytes(), &answer].concat();
        let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        notes.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        reader.get_mut().write_all(&whole).ok()?;
    }
}

/// One request: its path and its body.
fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut row = String::new();
        reader.read_line(&mut row).ok().filter(|count| *count > 0)?;
        match row.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?;
            }
            Some(_) => (),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, String::from_utf8(body).ok()?))
}

/// A caller whose name says so listens; all others get the menu.
fn answer(path: &str, body: &str) -> (&'static str, Vec<u8>) {
    let document = match path {
        "/prompt.wav" => return ("audio/wav", prompt()),
        "/start" if body.contains("SipHeader_X-Script=listen") => {
            "<Gather timeout=\"600\"><Play loop=\"0\">prompt.wav</Play></Gather>"
        }
        "/start" => "<Gather numDigits=\"1\" action=\"two\"/>",
        "/two" => "<Redirect>three</Redirect>",
        _ => "<Hangup/>",
    };
    ("text/xml", format!("<Response>{document}</Response>").into_bytes())
}

/// Two seconds of 440 Hz, 16 bits, 8 kHz.
fn prompt() -> Vec<u8> {
    let samples: Vec<u8> = (0..16_000u32)
        .map(|n| (f64::from(n) * 440.0 / 8_000.0 * std::f64::consts::TAU).sin() * 6_000.0)
        .flat_map(|sample| (sample as i16).to_le_bytes())
        .collect();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = b"RIFF".to_vec();
    out.extend(number(36 + samples.len()));
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend(number(8_000));
    out.extend(number(16_000));
    out.extend(b"\x02\0\x10\0data");
    out.extend(number(samples.len()));
    out.extend(samples);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_has_three_documents() {
        let text = |path: &str, body: &str| String::from_utf8(answer(path, body).1).unwrap();
        assert!(text("/start", "").contains("numDigits"));
        assert!(text("/start", "a=b&SipHeader_X-Script=listen").contains("prompt.wav"));
        assert!(text("/two", "").contains("Redirect") && text("/three", "").contains("Hangup"));
        assert_eq!(prompt().len(), 44 + 32_000);
    }
}
