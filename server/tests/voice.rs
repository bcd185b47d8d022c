//! An app answers a number: `carillon dev`, our phone, and a server for the app that the test plays.

#[allow(dead_code, reason = "each test program uses a part of what they share")]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use support::disk::Disk;
use support::namespace::Namespace;
use support::phone::Phone;
use support::program::find;
use support::recorder::Recorder;
use support::server::Server;
use support::wave::{loudness, read as read_wave, tone};
use support::{STEP, turn, until};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

/// What the app plays. Units: hertz.
const PITCH: f64 = 600.0;
/// What the phone says.
const OWN_PITCH: f64 = 900.0;
/// How long.
const SECONDS: usize = 2;

/// A request that the app got.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The parameters of its body.
    fn said(&self) -> Vec<(String, String)> {
        let plain = |text: &str| {
            let mut octets = text.bytes();
            let mut out = Vec::new();
            while let Some(octet) = octets.next() {
                out.push(match octet {
                    b'+' => b' ',
                    b'%' => {
                        let digits: String = octets.by_ref().take(2).map(char::from).collect();
                        u8::from_str_radix(&digits, 16).expect("two digits")
                    }
                    other => other,
                });
            }
            String::from_utf8(out).expect("UTF-8")
        };
        let pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (plain(name), plain(value))).collect()
    }

    fn says(&self, name: &str) -> String {
        let found = self.said().into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).unwrap_or_default()
    }
}

/// The server and the app; shows what was said when the test fails.
struct House {
    server: Server,
    app: App,
}

impl Drop for House {
    fn drop(&mut self) {
        let asked = self.app.asked.lock().map(|asked| asked.clone()).unwrap_or_default();
        let (true, Some(first)) = (thread::panicking(), asked.first()) else { return };
        let paths: Vec<_> = asked.iter().map(|asked| &asked.path).collect();
        eprintln!("--- the app was asked for {paths:?}");
        let sid = first.says("CallSid");
        let id = sid.get(2..).and_then(|digits| u128::from_str_radix(digits, 16).ok());
        let id = types::CallId(id.unwrap_or_default());
        let ladder = self.server.door.get(&format!("/v1/calls/{id}/ladder"));
        for line in ladder["items"].as_array().into_iter().flatten() {
            eprintln!("{} {} {}", line["time"], line["lane"], line["text"]);
        }
    }
}

/// The app, and what it was asked.
struct App {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl App {
    fn start(host: &Namespace) -> Self {
        let listener = host.enter(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        // It ends with the test program.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                thread::spawn(move || serve(stream, &log));
            }
        });
        Self { url, asked }
    }

    fn asked(&self, path: &str) -> Asked {
        until(STEP, &format!("a request for {path}"), || {
            let asked = self.asked.lock().expect("nobody panicked with it");
            asked.iter().find(|asked| asked.path == path).cloned()
        })
    }
}

/// Answers on one connection until it ends.
fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>) {
    while let Some(asked) = read(&mut stream) {
        if asked.path == "/media" {
            let proof = derive_accept_key(asked.header("sec-websocket-key").as_bytes());
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
            );
            log.lock().expect("nobody panicked with it").push(asked);
            if stream.write_all(head.as_bytes()).is_ok() {
                echo(WebSocket::from_raw_socket(stream, Role::Server, None), log);
            }
            return;
        }
        let (kind, body) = match asked.path.as_str() {
            "/start" => (
                "text/xml",
                b"<Response><Gather numDigits='1' action='got' timeout='60'/></Response>".to_vec(),
            ),
            "/got" => (
                "text/xml",
                b"<Response><Play>sound.wav</Play>\
                  <Record maxLength='2' playBeep='false' action='recorded'/></Response>"
                    .to_vec(),
            ),
            "/kept" => (
                "text/xml",
                b"<Response><Record timeout='0' maxLength='60' playBeep='false' action='recorded'/>\
                  <Redirect>recorded</Redirect></Response>"
                    .to_vec(),
            ),
            "/recorded" => ("text/xml", b"<Response><Hangup/></Response>".to_vec()),
            "/sound.wav" => ("audio/wav", sound()),
            "/bot" => {
                let connect = "<Response><Connect><Stream url='media' statusCallback='streamed'>\
                               <Parameter name='who' value='me'/></Stream></Connect><Hangup/></Response>";
                ("text/xml", connect.as_bytes().to_vec())
            }
            "/taped" => {
                let start = "<Response><Start><Siprec connectorName='rec' name='one' statusCallback='taping'>\
                             <Parameter name='case' value='7'/></Siprec></Start>\
                             <Play loop='2'>sound.wav</Play><Hangup/></Response>";
                ("text/xml", start.as_bytes().to_vec())
            }
            _ => ("text/plain", b"fine".to_vec()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nSet-Cookie: s=7; Path=/\r\nContent-Length: {length}\r\n\r\n"
        );
        log.lock().expect("nobody panicked with it").push(asked);
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        if sent.is_err() {
            return;
        }
    }
}

/// A bot that says what it hears, until it heard a key and was heard itself for two seconds.
fn echo(mut socket: WebSocket<TcpStream>, log: &Mutex<Vec<Asked>>) {
    const FRAMES: usize = 100;
    let (mut frames, mut pressed, mut heard) = (0, false, false);
    while let Ok(message) = socket.read() {
        let Ok(text) = message.to_text() else { continue };
        let Ok(said) = serde_json::from_str::<Value>(text) else { continue };
        let event = said["event"].as_str().unwrap_or_default().to_owned();
        let name = &said["streamSid"];
        if event == "media" {
            frames += 1;
            let payload = &said["media"]["payload"];
            let back = json!({"event": "media", "streamSid": name, "media": {"payload": payload}});
            let mark = json!({"event": "mark", "streamSid": name, "mark": {"name": "end"}});
            let mark = (frames == FRAMES).then_some(mark);
            for word in std::iter::once(back).chain(mark) {
                if socket.send(Message::text(word.to_string())).is_err() {
                    return;
                }
            }
            continue;
        }
        pressed |= event == "dtmf";
        heard |= event == "mark";
        let (method, path, body) = ("WS".to_owned(), event, said.to_string());
        let asked = Asked { method, path, headers: Vec::new(), body };
        log.lock().expect("nobody panicked with it").push(asked);
        if pressed && heard {
            // The program goes on.
            let _ = socket.close(None);
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).ok()?;
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8(body).ok()? })
}

/// The file that the app plays.
fn sound() -> Vec<u8> {
    let form = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, form).expect("memory takes it");
    for sample in tone(PITCH, SECONDS) {
        writer.write_sample(sample).expect("memory takes it");
    }
    writer.finalize().expect("memory takes it");
    file.into_inner()
}

/// Seconds of a file of sound, as each of these programs says, and its amplitude at this pitch.
#[track_caller]
fn judged(file: &[u8], pitch: f64) -> ([f64; 2], f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("recording.wav");
    std::fs::write(&path, file).expect("the folder can be written");
    let name = path.to_string_lossy();
    let ask = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &name];
    let seconds = [("ffprobe", &ask[..]), ("soxi", &["-D", &name])].map(|(program, words)| {
        let output = Command::new(find(program)).args(words).output().expect("it starts");
        let (said, complaint) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}");
        String::from_utf8_lossy(said).trim().parse().expect("seconds")
    });
    (seconds, loudness(&read_wave(&path), pitch))
}

#[test]
fn an_app_hears_a_key_and_is_heard() {
    let _turn = turn();
    let host = Namespace::alone();
    let app = App::start(&host);
    let house = House { server: Server::dev(&host, "127.0.0.1"), app };
    let (server, app) = (&house.server, &house.app);
    let number = json!({
        "voice_url": format!("{}/start", app.url),
        "status_callback": format!("{}/status", app.url),
    });
    let body = number.to_string();
    server.door.put("/v1/numbers/+15550177", "application/json", body.as_bytes());
    let sip = server.sip.to_string();
    let env = server.env.to_string_lossy();
    let login = ["--server", &sip, "--env", &env, "--user", "1001"];
    let action = ["call", "+15550177", "--dtmf", "4"];
    let mut phone = Phone::start(&host, &login, &action, &tone(OWN_PITCH, 30));
    phone.event(STEP, "answered");
    phone.event(STEP, "ended");
    phone.ended();
    let heard = loudness(&phone.heard(), PITCH);
    let other = loudness(&phone.heard(), 1_100.0);
    assert!(heard > 10.0 * other, "{heard} of the app's tone, {other} of another");

    let first = app.asked("/start");
    assert_eq!((&*first.method, &*first.says("CallStatus")), ("POST", "ringing"));
    assert_eq!(first.says("To"), "+15550177");
    assert_eq!(first.says("AccountSid"), server.written["TWILIO_ACCOUNT_SID"]);
    let key = &server.written["TWILIO_AUTH_TOKEN"];
    let signature = voice::sign::signature(key, &format!("{}/start", app.url), &first.said());
    assert_eq!(first.header("x-twilio-signature"), signature);
    let second = app.asked("/got");
    assert_eq!((&*second.says("Digits"), second.header("cookie")), ("4", "s=7"));
    assert_eq!(second.says("CallSid"), first.says("CallSid"));
    app.asked("/sound.wav");
    // What he said then was recorded: as long as it says, and readable by others.
    let third = app.asked("/recorded");
    assert_eq!(third.says("RecordingDuration"), "2");
    let url = third.says("RecordingUrl");
    let path = url.strip_prefix(&format!("http://{}", server.door.address)).expect("of ours");
    let file = server.door.ask("GET", path, None, "", b"");
    assert_eq!(file.status, 200, "{url}");
    let (seconds, own) = judged(&file.body, OWN_PITCH);
    assert!(seconds.iter().all(|seconds| (seconds - 2.0).abs() < 0.1), "{seconds:?}");
    let (_, other) = judged(&file.body, 1_100.0);
    assert!(own > 10.0 * other, "{own} of what he said, {other} of another tone");
    let end = app.asked("/status");
    assert_eq!((&*end.says("CallStatus"), end.header("cookie")), ("completed", "s=7"));

    let records = until(STEP, "the record", || {
        Some(server.door.items("/v1/records")).filter(|records| !records.is_empty())
    });
    assert_eq!(
        (&records[0]["outcome"], &records[0]["hung_up_by"]),
        (&json!("answered"), &json!("server"))
    );
    let id = records[0]["id"].as_str().expect("an id");
    let ladder = server.door.get(&format!("/v1/calls/{id}/ladder")).to_string();
    for words in ["/start", "/got", "/status", "200 "] {
        assert!(ladder.contains(words), "{words}: {ladder}");
    }
}

#[test]
fn a_bot_on_a_media_stream_is_heard() {
    let _turn = turn();
    let host = Namespace::alone();
    let app = App::start(&host);
    let house = House { server: Server::dev(&host, "127.0.0.1"), app };
    let (server, app) = (&house.server, &house.app);
    let number = json!({"voice_url": format!("{}/bot", app.url)}).to_string();
    server.door.put("/v1/numbers/+15550178", "application/json", number.as_bytes());
    let sip = server.sip.to_string();
    let env = server.env.to_string_lossy();
    let login = ["--server", &sip, "--env", &env, "--user", "1001"];
    let words = ["call", "+15550178", "--dtmf", "4"];
    let mut phone = Phone::start(&host, &login, &words, &tone(PITCH, 10));
    phone.event(STEP, "answered");
    phone.event(STEP, "ended");
    phone.ended();
    let heard = loudness(&phone.heard(), PITCH);
    let other = loudness(&phone.heard(), 1_100.0);
    assert!(heard > 10.0 * other, "{heard} of his own tone, {other} of another");

    let socket = app.asked("/media");
    let url = format!("{}/media", app.url.replacen("http", "ws", 1));
    let signature = voice::sign::signature(&server.written["TWILIO_AUTH_TOKEN"], &url, &[]);
    assert_eq!(
        (socket.header("x-twilio-signature"), socket.header("cookie")),
        (&*signature, "s=7")
    );
    let value = |asked: Asked| -> Value { serde_json::from_str(&asked.body).expect("JSON") };
    let sid = app.asked("/bot").says("CallSid");
    assert_eq!(value(app.asked("connected"))["protocol"], "Call");
    let start = value(app.asked("start"));
    assert_eq!((&start["start"]["callSid"], &start["sequenceNumber"]), (&json!(sid), &json!("1")));
    assert_eq!(start["start"]["customParameters"], json!({"who": "me"}));
    assert_eq!(value(app.asked("dtmf"))["dtmf"]["digit"], "4");
    assert_eq!(value(app.asked("mark"))["mark"]["name"], "end");
    let told = app.asked("/streamed");
    assert_eq!((told.says("StreamEvent"), told.says("CallSid")), ("stream-started".into(), sid));
}

#[test]
fn a_recording_server_hears_both_sides_apart() {
    let _turn = turn();
    let host = Namespace::alone();
    let (app, recorder) = (App::start(&host), Recorder::start(&host));
    let address = format!("sip:rec@{};transport=tcp", recorder.address);
    let more = format!("[[voice.siprec]]\nname = \"rec\"\naddress = \"{address}\"\n");
    let house = House { server: Server::dev_with(&host, "127.0.0.1", &more), app };
    let (server, app) = (&house.server, &house.app);
    let number = json!({"voice_url": format!("{}/taped", app.url)}).to_string();
    server.door.put("/v1/numbers/+15550179", "application/json", number.as_bytes());
    let sip = server.sip.to_string();
    let env = server.env.to_string_lossy();
    let login = ["--server", &sip, "--env", &env, "--user", "1001"];
    let mut phone = Phone::start(&host, &login, &["call", "+15550179"], &tone(OWN_PITCH, 30));
    phone.event(STEP, "answered");
    phone.event(STEP, "ended");
    phone.ended();
    recorder.asked("BYE");

    let invite = recorder.asked("INVITE");
    assert_eq!(invite.field("Require"), Some("siprec"));
    assert!(invite.field("Contact").is_some_and(|contact| contact.ends_with(";+sip.src")));
    let kind = invite.field("Content-Type").unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/mixed;boundary=").expect("two parts");
    let parts: Vec<&str> = invite.text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "{}", invite.text);
    assert!(parts[1].contains("a=label:1\r\n") && parts[1].contains("a=label:2\r\n"));
    for part in ["application/rs-metadata+xml", "sip:1001@", "sip:+15550179@", ">7</parameter>"] {
        assert!(parts[2].contains(part), "{part}: {}", parts[2]);
    }
    // Each of the two is heard at its own place, and only there.
    for (track, own, other) in [(0, OWN_PITCH, PITCH), (1, PITCH, OWN_PITCH)] {
        let heard = recorder.heard(track);
        assert!(heard.len() > 16_000, "track {track}: {} samples", heard.len());
        let [own, other] = [own, other].map(|pitch| loudness(&heard, pitch));
        assert!(own > 10.0 * other, "track {track}: {own} of its own, {other} of the other");
    }
    until(STEP, "what the app is told", || {
        let asked = app.asked.lock().expect("nobody panicked with it");
        let told = asked.iter().filter(|asked| asked.path == "/taping");
        let told: Vec<_> = told.map(|asked| asked.says("SiprecEvent")).collect();
        (told == ["siprec-started", "siprec-stopped"]).then_some(())
    });
}

#[test]
fn a_disk_that_fills_up_costs_the_rest_of_a_recording() {
    let _turn = turn();
    let host = Namespace::alone();
    let app = App::start(&host);
    let folder = tempfile::tempdir().expect("a folder for the server");
    let disk = Disk::mount(folder.path().join("disk"));
    let data = disk.folder.join("data");
    let house = House { server: Server::dev_at(&host, "127.0.0.1", &data, "", folder), app };
    let (server, app) = (&house.server, &house.app);
    let number = json!({"voice_url": format!("{}/kept", app.url)}).to_string();
    server.door.put("/v1/numbers/+15550176", "application/json", number.as_bytes());
    let sip = server.sip.to_string();
    let env = server.env.to_string_lossy();
    let login = ["--server", &sip, "--env", &env, "--user", "1001"];
    let mut phone = Phone::start(&host, &login, &["call", "+15550176"], &tone(OWN_PITCH, 60));
    phone.event(STEP, "answered");
    // A second and a half of it is on the disk before nothing fits any more.
    until(STEP, "a recording that grows", || recorded(&data).filter(|octets| *octets > 24_000));
    disk.fill();
    // The rest is lost, and what was written is kept: whoever asks is told so when the log can be written again.
    until(STEP, "a recording that ends", || recorded(&data).is_none().then_some(()));
    disk.free();
    let told = app.asked("/recorded");
    let seconds: f64 = told.says("RecordingDuration").parse().expect("a length");
    let url = told.says("RecordingUrl");
    let path = url.strip_prefix(&format!("http://{}", server.door.address)).expect("of ours");
    let file = server.door.ask("GET", path, None, "", b"");
    assert_eq!(file.status, 200, "{url}");
    let (lengths, own) = judged(&file.body, OWN_PITCH);
    assert!(lengths.iter().all(|length| (length - seconds).abs() < 0.6), "{lengths:?} {seconds}");
    let (_, other) = judged(&file.body, 1_100.0);
    assert!(own > 10.0 * other, "{own} of what he said, {other} of another tone");
    phone.event(STEP, "ended");
    phone.ended();
}

/// Octets of the recording that goes on.
fn recorded(folder: &Path) -> Option<u64> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().find_map(|file| {
        let path = file.path();
        if path.is_dir() {
            return recorded(&path);
        }
        let goes_on = path.parent().is_some_and(|parent| parent.ends_with("recordings"));
        let sound = path.extension().is_some_and(|extension| extension == "wav");
        (goes_on && sound).then(|| file.metadata().ok().map(|known| known.len())).flatten()
    })
}
