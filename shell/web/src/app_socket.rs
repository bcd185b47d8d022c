//! Web sockets that we open to apps: for sound of calls, and for questions about them.
//!
//! Picture     address --guard of [`Client`]--> handshake over HTTP/1.1 --upgrade--> texts both ways, until one end goes
//! Rules       The connection is made as every other to an app: resolved, judged, pinned, its certificate checked. An app
//!             that does not answer pings is gone. Reading and writing never wait for each other.
//! Limits      [`SOCKETS_MAX`]; [`TO_APP_MAX`] and [`FROM_APP_MAX`] messages wait; [`PING_EVERY`], [`SILENCE_MAX`], [`CLOSE_MAX`].
//! Not here    What the texts say (rooms).
//! Spec        RFC 6455

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Upgraded, Url};
use switchboard::StreamFault;
use switchboard::fetch::{FetchFault, URL_MAX};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::client::{Client, fault};

/// Sockets to apps at one time.
pub const SOCKETS_MAX: usize = 4_000;
/// Messages that wait for an app: five seconds of frames. Whoever sends says what becomes of those beyond.
pub const TO_APP_MAX: usize = 250;
/// Messages of an app that wait for us; then it waits as well.
pub const FROM_APP_MAX: usize = 16;
/// Between two pings.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// How long an app may be silent, answers to pings included.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long an app may take to say goodbye.
pub const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A socket that is open.
#[derive(Debug)]
pub struct AppSocket {
    /// What the app says. Ends with the socket.
    pub from_app: mpsc::Receiver<String>,
    /// What it is told; dropping it closes the socket when all of it was sent.
    pub to_app: mpsc::Sender<String>,
    /// How it ended; `None`: well.
    pub end: oneshot::Receiver<Option<StreamFault>>,
}

type Socket = WebSocketStream<Upgraded>;

impl Client {
    /// Opens a socket. `message_max`: octets of a message of the app.
    pub async fn socket(
        &self,
        url: &str,
        headers: &[(String, String)],
        patience: Duration,
        message_max: usize,
    ) -> Result<AppSocket, StreamFault> {
        let held = Arc::clone(&self.sockets).try_acquire_owned();
        let held = held.map_err(|_| StreamFault::Busy)?;
        let shaken = timeout(patience, self.shake(url, headers)).await;
        let upgraded = shaken.map_err(|_| StreamFault::Timeout)??;
        let config = WebSocketConfig::default()
            .max_message_size(Some(message_max))
            .max_frame_size(Some(message_max));
        let socket = Socket::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        let (to_app, to_send) = mpsc::channel(TO_APP_MAX);
        let (heard, from_app) = mpsc::channel(FROM_APP_MAX);
        let (ended, end) = oneshot::channel();
        tokio::spawn(run(socket, to_send, heard, ended, held));
        Ok(AppSocket { from_app, to_app, end })
    }

    /// Spec: RFC 6455 §4.1
    async fn shake(
        &self,
        url: &str,
        headers: &[(String, String)],
    ) -> Result<Upgraded, StreamFault> {
        let plain = match url.split_once("://") {
            Some(("ws", rest)) => format!("http://{rest}"),
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(_) | None => return Err(StreamFault::Url),
        };
        let plain = Some(plain).filter(|plain| plain.len() <= URL_MAX);
        let url = Url::parse(&plain.ok_or(StreamFault::Url)?).map_err(|_| StreamFault::Url)?;
        self.judge(&url).map_err(named)?;
        let key = generate_key();
        let mut request = self.upgrades.get(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let response = request.send().await.map_err(|error| named(fault(&error)))?;
        let proof = response.headers().get("sec-websocket-accept").map(|proof| proof.as_bytes());
        let shaken = response.status().as_u16() == 101
            && proof == Some(derive_accept_key(key.as_bytes()).as_bytes());
        if !shaken {
            return Err(StreamFault::Handshake);
        }
        response.upgrade().await.map_err(|_| StreamFault::Handshake)
    }
}

/// What a fault of asking is called here.
fn named(fault: FetchFault) -> StreamFault {
    match fault {
        FetchFault::Busy => StreamFault::Busy,
        FetchFault::Connection => StreamFault::Broken,
        FetchFault::ConnectTimeout | FetchFault::ReadTimeout | FetchFault::TotalTimeout => {
            StreamFault::Timeout
        }
        FetchFault::Long | FetchFault::Redirects | FetchFault::Stalled | FetchFault::Syntax => {
            StreamFault::Handshake
        }
        FetchFault::Refused => StreamFault::Refused,
        FetchFault::Resolve | FetchFault::Target => StreamFault::Target,
        FetchFault::Tls => StreamFault::Tls,
        FetchFault::Url => StreamFault::Url,
    }
}

async fn run(
    socket: Socket,
    to_send: mpsc::Receiver<String>,
    heard: mpsc::Sender<String>,
    ended: oneshot::Sender<Option<StreamFault>>,
    _held: OwnedSemaphorePermit,
) {
    let (mut writer, mut reader) = socket.split();
    let end = {
        let reading = read(&mut reader, &heard);
        tokio::pin!(reading);
        let written = tokio::select! {
            end = &mut reading => Err(end),
            written = write(&mut writer, to_send) => written.map_err(Some),
        };
        match written {
            // All was said, and so was goodbye: the app has a moment for its own, or just goes.
            Ok(()) => {
                let _ = timeout(CLOSE_MAX, reading).await;
                None
            }
            Err(end) => end,
        }
    };
    // Whoever opened it may have lost interest.
    let _ = ended.send(end);
    let _ = timeout(CLOSE_MAX, writer.close()).await;
}

/// Until nobody has anything more to say.
async fn write(
    writer: &mut SplitSink<Socket, Message>,
    mut to_send: mpsc::Receiver<String>,
) -> Result<(), StreamFault> {
    let mut pings = interval(PING_EVERY);
    pings.tick().await; // The first one comes at once.
    loop {
        let message = tokio::select! {
            text = to_send.recv() => match text {
                Some(text) => Message::text(text),
                None => Message::Close(None),
            },
            _ = pings.tick() => Message::Ping(Vec::new().into()),
        };
        let last = message.is_close();
        match timeout(SILENCE_MAX, writer.send(message)).await {
            Ok(Ok(())) if last => return Ok(()),
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(why(&error)),
            Err(_) => return Err(StreamFault::Timeout),
        }
    }
}

/// Until the app goes; how.
async fn read(
    reader: &mut SplitStream<Socket>,
    heard: &mpsc::Sender<String>,
) -> Option<StreamFault> {
    loop {
        let text = match timeout(SILENCE_MAX, reader.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => text.as_str().to_owned(),
            // Nobody here speaks in octets; whoever reads texts says what he thinks of it.
            Ok(Some(Ok(Message::Binary(octets)))) => String::from_utf8_lossy(&octets).into_owned(),
            Ok(Some(Ok(Message::Close(frame)))) => {
                let code = frame.map_or(1000, |frame| u16::from(frame.code));
                return (![1000, 1001, 1005].contains(&code)).then_some(StreamFault::Closed);
            }
            Ok(Some(Ok(Message::Frame(_) | Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Err(error))) => return Some(why(&error)),
            Ok(None) => return Some(StreamFault::Broken),
            Err(_) => return Some(StreamFault::Timeout),
        };
        if heard.send(text).await.is_err() {
            return None;
        }
    }
}

fn why(error: &Error) -> StreamFault {
    match error {
        Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => StreamFault::Protocol,
        _ => StreamFault::Broken,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Takes one connection and shakes hands, with this proof added.
    async fn shaken(listener: TcpListener, spoil: &'static str) -> WebSocketStream<TcpStream> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        assert!(head.contains("x-twilio-signature: abc"), "{head}");
        let proof = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {spoil}{proof}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        WebSocketStream::from_raw_socket(stream, Role::Server, None).await
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/media?x=1", listener.local_addr().unwrap());
        (listener, url)
    }

    fn signed() -> Vec<(String, String)> {
        vec![("x-twilio-signature".to_owned(), "abc".to_owned())]
    }

    #[tokio::test]
    async fn texts_go_both_ways() {
        let (listener, url) = listener().await;
        let client = Client::new(false).unwrap();
        let app = tokio::spawn(async move {
            let mut socket = shaken(listener, "").await;
            let heard = socket.next().await.unwrap().unwrap();
            assert_eq!(heard, Message::text("question"));
            socket.send(Message::text("answer")).await.unwrap();
            // Ours is the goodbye.
            assert!(socket.next().await.unwrap().unwrap().is_close());
        });
        let mut socket = client.socket(&url, &signed(), PATIENCE, 1_000).await.unwrap();
        socket.to_app.send("question".into()).await.unwrap();
        assert_eq!(socket.from_app.recv().await.as_deref(), Some("answer"));
        drop(socket.to_app);
        assert_eq!(socket.end.await, Ok(None));
        app.await.unwrap();
    }

    #[tokio::test]
    async fn ends_have_names() {
        let client = Client::new(false).unwrap();
        let long = "a".repeat(2_000);
        for (said, wanted) in [
            (Message::text(long), Some(StreamFault::Protocol)),
            (
                Message::Close(Some(tungstenite::protocol::CloseFrame {
                    code: 1011.into(),
                    reason: "".into(),
                })),
                Some(StreamFault::Closed),
            ),
            (Message::Close(None), None),
        ] {
            let (listener, url) = listener().await;
            tokio::spawn(async move {
                let mut socket = shaken(listener, "").await;
                socket.send(said).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            });
            let socket = client.socket(&url, &signed(), PATIENCE, 1_000).await.unwrap();
            assert_eq!(socket.end.await, Ok(wanted));
        }
        let (listener, url) = listener().await;
        tokio::spawn(shaken(listener, "x"));
        let odd = client.socket(&url, &signed(), PATIENCE, 1_000).await;
        assert_eq!(odd.unwrap_err(), StreamFault::Handshake);
        for (url, wanted) in [
            ("http://127.0.0.1/", StreamFault::Url),
            ("ws://no-such-name.invalid/", StreamFault::Target),
        ] {
            let refused = client.socket(url, &[], PATIENCE, 1_000).await;
            assert_eq!(refused.unwrap_err(), wanted, "{url}");
        }
        let guarded = Client::new(true).unwrap();
        let refused = guarded.socket("ws://127.0.0.1:9/", &[], PATIENCE, 1_000).await;
        assert_eq!(refused.unwrap_err(), StreamFault::Target);
    }
}
