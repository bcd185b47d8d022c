//! How a relay learns of a call: by SIP, both phones in one thread, or by the control protocol of rtpengine.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::caller::DOMAIN;
use crate::digest::Challenge;
use crate::http;
use crate::peers::Running;
use crate::registers::PASSWORD;
use crate::wire::{Seen, scan, uri};

/// The longest wait for one message.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Who is called.
const CALLED: &str = "m0";

/// An open way to tell the relay.
pub enum Door {
    /// By calls.
    Sip {
        /// Where the relay listens.
        server: SocketAddr,
        /// The calling phones.
        caller: UdpSocket,
        /// The called phones.
        callee: UdpSocket,
    },
    /// By its control protocol.
    Control {
        /// Where it listens.
        server: SocketAddr,
        /// Ours.
        socket: UdpSocket,
    },
}

impl Door {
    /// Makes the one who is called known where that is needed.
    pub fn open(running: &Running) -> anyhow::Result<Self> {
        let server = running.sip;
        if !running.speaks_sip() {
            return Ok(Self::Control { server, socket: socket()? });
        }
        let (caller, callee) = (socket()?, socket()?);
        if let Some((admin, token)) = &running.admin {
            let body = format!("{{\"password\":\"{PASSWORD}\",\"digest\":[\"MD5\"]}}");
            http::put_all(*admin, token, 1, |_| format!("/v1/users/{CALLED}"), &body)?;
        }
        register(server, &callee)?;
        Ok(Self::Sip { server, caller, callee })
    }

    /// Sets up one call between these two; gives where each of them sends.
    pub fn call(
        &mut self,
        call: usize,
        a: SocketAddr,
        b: SocketAddr,
    ) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        match self {
            Self::Sip { server, caller, callee } => by_sip(*server, (caller, callee), call, (a, b)),
            Self::Control { server, socket } => by_control(*server, socket, call, (a, b)),
        }
    }
}

fn socket() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    Ok(socket)
}

/// The description of a phone that speaks G.711 there.
fn description(at: SocketAddr) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 3841021 3841021 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Where a description wants its sound.
fn target(body: &[u8]) -> anyhow::Result<SocketAddr> {
    let text = std::str::from_utf8(body).context("a description")?;
    let after = |mark: &str| text.lines().find_map(|row| row.strip_prefix(mark));
    let ip = after("c=IN IP4 ").context("no address")?;
    let port = after("m=audio ").and_then(|row| row.split(' ').next()).context("no port")?;
    Ok(SocketAddr::new(ip.trim().parse()?, port.parse()?))
}

/// The first message that `wanted` takes; others are of the past.
fn wait<T>(
    socket: &UdpSocket,
    what: &str,
    mut wanted: impl FnMut(&Seen<'_>) -> Option<anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let (begun, mut buffer) = (Instant::now(), [0; 8_192]);
    while begun.elapsed() < ANSWER_MAX {
        let length = socket.recv(&mut buffer).with_context(|| format!("waiting for {what}"))?;
        let Some(seen) = buffer.get(..length).and_then(scan) else { continue };
        if let Some(found) = wanted(&seen) {
            return found;
        }
    }
    bail!("no {what} within {ANSWER_MAX:?}")
}

fn register(server: SocketAddr, callee: &UdpSocket) -> anyhow::Result<()> {
    let own = callee.local_addr()?;
    let target = format!("sip:{DOMAIN}");
    let mut proof = String::new();
    for cseq in 1..=2 {
        let request = format!(
            "REGISTER {target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKm{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{CALLED}@{DOMAIN}>;tag=m\r\nTo: <sip:{CALLED}@{DOMAIN}>\r\nCall-ID: m-register\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:{CALLED}@{own}>;expires=3600\r\n{proof}Content-Length: 0\r\n\r\n"
        );
        callee.send_to(request.as_bytes(), server)?;
        let challenge = wait(callee, "an answer to REGISTER", |seen| match seen.status {
            0 | 100..200 => None,
            200 => Some(Ok(None)),
            401 => {
                let challenge = seen.challenges.iter().find_map(|value| Challenge::decode(value));
                Some(challenge.map(Some).context("no MD5 challenge"))
            }
            status => Some(Err(anyhow::anyhow!("REGISTER was answered {status}"))),
        })?;
        let Some(challenge) = challenge else { return Ok(()) };
        let answer = challenge.answer(CALLED, PASSWORD, "REGISTER", &target, "media");
        proof = format!("Authorization: {answer}\r\n");
    }
    bail!("REGISTER with a proof was refused")
}

fn by_sip(
    server: SocketAddr,
    (caller, callee): (&UdpSocket, &UdpSocket),
    call: usize,
    (a, b): (SocketAddr, SocketAddr),
) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let own = caller.local_addr()?;
    let ids = format!(
        "Max-Forwards: 70\r\nFrom: <sip:load@{DOMAIN}>;tag=f{call}\r\nCall-ID: media-{call}\r\n"
    );
    let offer = description(a);
    let invite = format!(
        "INVITE sip:{CALLED}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKi{call};rport\r\n{ids}\
         To: <sip:{CALLED}@{DOMAIN}>\r\nCSeq: 1 INVITE\r\nContact: <sip:load@{own}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
        offer.len()
    );
    caller.send_to(invite.as_bytes(), server)?;
    let at = callee.local_addr()?;
    let (ok, for_b) = wait(callee, "the call", |seen| {
        (seen.status == 0 && seen.method == b"INVITE").then(|| {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let vias: String =
                seen.vias.iter().map(|via| format!("Via: {}\r\n", text(via))).collect();
            let answer = description(b);
            let ok = format!(
                "SIP/2.0 200 OK\r\n{vias}From: {}\r\nTo: {};tag=t{call}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
                 Contact: <sip:{CALLED}@{at}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{answer}",
                text(seen.from),
                text(seen.to),
                text(seen.call_id),
                text(seen.cseq),
                answer.len()
            );
            Ok((ok, target(seen.body)?))
        })
    })?;
    callee.send_to(ok.as_bytes(), server)?;
    let wanted = format!("media-{call}");
    let (ack, for_a) = wait(caller, "the answer", |seen| {
        if seen.call_id != wanted.as_bytes() || seen.status < 200 {
            return None;
        }
        if seen.status != 200 {
            return Some(Err(anyhow::anyhow!("the call was answered {}", seen.status)));
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let ack = format!(
            "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKa{call};rport\r\n{ids}To: {}\r\n\
             CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            text(uri(seen.contact)),
            text(seen.to)
        );
        Some(target(seen.body).map(|target| (ack, target)))
    })?;
    caller.send_to(ack.as_bytes(), server)?;
    Ok((for_a, for_b))
}

/// Offer and answer by the protocol `ng`: a cookie, then a dictionary in bencode.
fn by_control(
    server: SocketAddr,
    socket: &UdpSocket,
    call: usize,
    (a, b): (SocketAddr, SocketAddr),
) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let mut asked = 0;
    let mut ask = |command: &str, to_tag: Option<&str>, sdp: &str| {
        asked += 1;
        let cookie = format!("{call}-{asked}");
        let (name, from) = (format!("media-{call}"), format!("f{call}"));
        let mut words = vec![("ICE", "remove"), ("call-id", &name), ("command", command)];
        words.extend([("from-tag", from.as_str()), ("sdp", sdp)]);
        words.extend(to_tag.map(|tag| ("to-tag", tag)));
        let text: String = words.iter().map(|(key, value)| word(key) + &word(value)).collect();
        socket.send_to(format!("{cookie} d{text}e").as_bytes(), server)?;
        let mut buffer = [0; 8_192];
        let length = socket.recv(&mut buffer).context("waiting for the relay's control")?;
        let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let body = said.strip_prefix(&cookie).and_then(description_in);
        target(body.with_context(|| format!("no description in {said:?}"))?.as_bytes())
    };
    let tag = format!("t{call}");
    let for_b = ask("offer", None, &description(a))?;
    let for_a = ask("answer", Some(&tag), &description(b))?;
    Ok((for_a, for_b))
}

fn word(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// The value behind the key `sdp`.
fn description_in(text: &str) -> Option<&str> {
    let rest = &text[text.find("3:sdp")? + 5..];
    let (length, rest) = rest.split_once(':')?;
    rest.get(..length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_says_where_sound_goes() {
        let at = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(target(description(at).as_bytes()).unwrap(), at);
        assert!(target(b"v=0\r\n").is_err());
    }

    #[test]
    fn the_description_is_found_in_an_answer() {
        assert_eq!(word("offer"), "5:offer");
        assert_eq!(description_in("d6:result2:ok3:sdp3:v=0e"), Some("v=0"));
        assert_eq!(description_in("d6:result5:errore"), None);
        assert_eq!(description_in("3:sdp99:v=0"), None);
    }
}
