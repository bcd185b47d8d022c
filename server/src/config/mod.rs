//! The configuration: one TOML file, the environment over it, every key with a default.
//!
//! Picture     file --toml--> table with places --environment--> table --serde--> Tree --resolve--> Resolved
//! Rules       An unknown key is an error. Every error names its place: the line of the file, or the variable.
//! Limits      FILE_BYTES_MAX.
//! Not here    Making folders, keys and sockets (host).
//! Spec        none

mod read;
mod resolve;
mod units;

use std::collections::BTreeMap;
use std::path::Path;

use types::{Seconds, Secret, Setting};

pub use read::{ENVIRONMENT_PREFIX, FILE_BYTES_MAX, Fault};
pub use resolve::{Bind, Database, Place, Resolved, Webrtc};
pub use units::host;

types::settings! {
    /// This node (`[node]`).
    pub struct Node {
        /// Folder for the embedded store, blobs and keys; `:memory:` keeps nothing.
        data: String = "carillon-data".to_owned() => restart,
        /// SIP domain of our people.
        domain: String = "localhost".to_owned() => restart,
        /// How long running calls may go on after SIGTERM.
        drain: Seconds = Seconds(60) => live,
    }
}

types::settings! {
    /// SIP listeners and proofs (`[sip]`).
    pub struct Sip {
        /// Where SIP is received: `udp://`, `tcp://`, `tls://`, `ws://`, `wss://`.
        listen: Vec<String> = vec!["udp://127.0.0.1:5060".to_owned(), "tcp://127.0.0.1:5060".to_owned(), "ws://127.0.0.1:5062".to_owned()] => restart,
        /// What Via, Contact and Record-Route carry, when it differs from the listener: `HOST` or `HOST:PORT`, for one
        /// transport `tls://HOST:PORT`; several with commas.
        advertise: String = String::new() => restart,
        /// Pages that may open a WebSocket, as `https://phone.example`; empty: all.
        origins: Vec<String> = Vec::new() => restart,
        /// Name servers, as `192.0.2.53:53`; empty: the system's.
        resolver: Vec<String> = Vec::new() => restart,
        /// Digest for our own people; false only on loopback.
        require_auth: bool = true => restart,
        /// What a challenge offers, in order.
        digest: Vec<String> = vec!["SHA-256".to_owned(), "MD5".to_owned()] => restart,
        /// Event loops, one thread each. More than one pays when a core is full.
        shards: u16 = 1 => restart,
    }
}

types::settings! {
    /// Certificates of `tls://` and `wss://` (`[tls]`), in PEM. What the files hold is read again on SIGHUP and when
    /// they change; connections that stand stay.
    pub struct Tls {
        /// Our certificate, then those between it and its authority; `dev` makes one when it is empty.
        certificate: String = String::new() => restart,
        /// Its key.
        key: String = String::new() => restart,
        /// Authorities beside the system's, for servers that we dial and callers that we ask.
        authorities: String = String::new() => restart,
        /// Whether callers by TLS are asked for a certificate. Who has one that nobody vouches for is turned away, who has none
        /// is not. A carrier that shows one may get our calls by the connection that it opened (RFC 5923).
        ask_callers: bool = false => restart,
    }
}

types::settings! {
    /// RTP (`[media]`).
    pub struct Media {
        /// Where RTP is received.
        address: String = "127.0.0.1".to_owned() => restart,
        /// What SDP carries, when it differs.
        advertise: String = String::new() => restart,
        /// Ports for RTP: the first is even, the last is odd.
        ports: String = "20000-20999".to_owned() => restart,
        /// The first of the UDP ports that phones share, even and outside of `media.ports`: for each shard this many and the one
        /// above it. A phone that can be told from all others by its address is sent there, others get a pair of
        /// `media.ports`, which each leg reserves either way. 0: each has its own pair.
        shared_port: u16 = 0 => restart,
        /// Whether AMR and AMR-WB are spoken where the system has their libraries: `off`; `answer`: with those who offer it;
        /// `offer`: it is offered as well, behind all others, to whoever may speak nothing else.
        amr: String = "answer".to_owned() => restart,
        /// One UDP port for the media of all browsers, outside of `media.ports`, and the same for TCP, for browsers whose network
        /// lets no datagrams through; empty: browsers are refused. When it is not
        /// set, it is on `media.address`, and another port where this one is taken.
        webrtc: String = "udp://127.0.0.1:21000".to_owned() => restart,
    }
}

types::settings! {
    /// The HTTP door (`[http]`).
    pub struct Http {
        /// Console, API, metrics.
        listen: String = "127.0.0.1:8088".to_owned() => restart,
        /// Base of the addresses that we hand out; empty: the listener's.
        public: String = String::new() => restart,
    }
}

types::settings! {
    /// The administrator (`[admin]`).
    pub struct Admin {
        /// Bearer token; empty: made once and written to `.env.carillon`.
        token: Secret<String> = Secret::default() => restart,
        /// Twilio-shaped account; empty: made once.
        account_sid: String = String::new() => restart,
        /// Its secret; empty: made once.
        auth_token: Secret<String> = Secret::default() => restart,
    }
}

types::settings! {
    /// Where rows and blobs are kept (`[store]`).
    pub struct Store {
        /// Empty: SQLite in the data folder; or `postgres://USER:PASSWORD@HOST/DATABASE`, with TLS unless the host is this
        /// computer.
        url: Secret<String> = Secret::default() => restart,
        /// Empty: a folder in the data folder.
        blobs: String = String::new() => restart,
    }
}

types::settings! {
    /// Other nodes (`[bus]`).
    pub struct Bus {
        /// Empty: this node alone.
        url: Secret<String> = Secret::default() => restart,
    }
}

types::settings! {
    /// MSRP (`[msrp]`); not used by this version.
    pub struct Msrp {
        /// Where MSRP is received.
        listen: Vec<String> = vec!["tcp://127.0.0.1:2855".to_owned()] => restart,
    }
}

types::settings! {
    /// IMAP (`[imap]`); not used by this version.
    pub struct Imap {
        /// Where IMAP is received; empty: nowhere.
        listen: String = String::new() => restart,
    }
}

types::settings! {
    /// Outgoing HTTP (`[guard]`).
    pub struct Guard {
        /// Webhooks and media: `public` refuses loopback, private and link-local addresses; `any` in dev.
        http_targets: String = "public".to_owned() => restart,
    }
}

types::settings! {
    /// Who speaks texts (`[speech]`). Empty: `flite` for English and `espeak-ng` for the rest, where they are installed.
    pub struct Speech {
        /// A program and its words; `{language}` and `{voice}` are filled in. It reads the text and writes a file of sound.
        command: Vec<String> = Vec::new() => restart,
        /// What the server of `speech.url` wants to see.
        key: Secret<String> = Secret::default() => restart,
        /// Its model.
        model: String = "tts-1".to_owned() => restart,
        /// A server that takes `{"model","input","voice","response_format"}`, as `https://HOST/v1/audio/speech`.
        url: String = String::new() => restart,
        /// Who speaks when nobody is named.
        voice: String = String::new() => restart,
    }
}

types::settings! {
    /// Who turns speech into words (`[transcription]`). Empty: nobody, and only keys are heard.
    pub struct Transcription {
        /// A program and its words; `{file}`, `{language}` and `{hints}` are filled in; without `{file}` the WAV comes on its
        /// input. It writes the words.
        command: Vec<String> = Vec::new() => restart,
        /// What the server of `transcription.url` wants to see.
        key: Secret<String> = Secret::default() => restart,
        /// Its model.
        model: String = "whisper-1".to_owned() => restart,
        /// A server that takes files as `https://HOST/v1/audio/transcriptions` of OpenAI does.
        url: String = String::new() => restart,
    }
}

types::settings! {
    /// The ladder of each call (`[ladder]`).
    pub struct Ladder {
        /// Memory for the newest calls of this node.
        memory: String = "64MB".to_owned() => restart,
    }
}

types::settings! {
    /// Log lines (`[log]`).
    pub struct Log {
        /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,net=debug`.
        level: String = "info".to_owned() => live,
    }
}

types::settings! {
    /// Our account with Apple (`[push.apns]`).
    pub struct Apns {
        /// The `.p8` file; empty: no pushes to Apple.
        key_file: String = String::new() => restart,
        /// Name of that key.
        key_id: String = String::new() => restart,
        /// Our team.
        team_id: String = String::new() => restart,
        /// Bundle id of the app.
        topic: String = String::new() => restart,
        /// Base to which `/3/device/TOKEN` is added.
        endpoint: String = push_io::Apns::ENDPOINT.to_owned() => restart,
    }
}

types::settings! {
    /// Our account with Google (`[push.fcm]`).
    pub struct Fcm {
        /// The service account's JSON file; empty: no pushes to Google.
        service_account_file: String = String::new() => restart,
        /// Base to which `/v1/projects/PROJECT/messages:send` is added.
        endpoint: String = push_io::Fcm::ENDPOINT.to_owned() => restart,
        /// Where access tokens come from; empty: where the account's file says.
        token_endpoint: String = String::new() => restart,
    }
}

types::settings! {
    /// Our identity for Web Push (`[push.webpush]`); its keys are made once.
    pub struct Webpush {
        /// How push services reach us: `mailto:` or `https:`.
        subject: String = String::new() => restart,
    }
}

/// The whole file, typed, nothing judged yet.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `[node]`.
    pub node: Node,
    /// `[sip]`.
    pub sip: Sip,
    /// `[tls]`.
    pub tls: Tls,
    /// `[media]`.
    pub media: Media,
    /// `[http]`.
    pub http: Http,
    /// `[admin]`.
    pub admin: Admin,
    /// `[store]`.
    pub store: Store,
    /// `[bus]`.
    pub bus: Bus,
    /// `[msrp]`.
    pub msrp: Msrp,
    /// `[imap]`.
    pub imap: Imap,
    /// `[guard]`.
    pub guard: Guard,
    /// `[speech]`.
    pub speech: Speech,
    /// `[transcription]`.
    pub transcription: Transcription,
    /// `[ladder]`.
    pub ladder: Ladder,
    /// `[log]`.
    pub log: Log,
    /// `[push.apns]`.
    pub apns: Apns,
    /// `[push.fcm]`.
    pub fcm: Fcm,
    /// `[push.webpush]`.
    pub webpush: Webpush,
    /// One section for each room.
    pub rooms: services::Config,
    /// The rooms' sections as text, for the recorder.
    pub rooms_text: String,
    /// Every value that was set, by its dotted key, as text.
    pub values: BTreeMap<String, String>,
}

/// Sections of the doors and of the roof, with the rows of the reference. Those of the rooms stand in their manifests.
pub const SECTIONS: &[(&str, &[Setting])] = &[
    ("node", Node::REFERENCE),
    ("sip", Sip::REFERENCE),
    ("tls", Tls::REFERENCE),
    ("media", Media::REFERENCE),
    ("http", Http::REFERENCE),
    ("admin", Admin::REFERENCE),
    ("store", Store::REFERENCE),
    ("bus", Bus::REFERENCE),
    ("msrp", Msrp::REFERENCE),
    ("imap", Imap::REFERENCE),
    ("guard", Guard::REFERENCE),
    ("speech", Speech::REFERENCE),
    ("transcription", Transcription::REFERENCE),
    ("ladder", Ladder::REFERENCE),
    ("log", Log::REFERENCE),
    ("push.apns", Apns::REFERENCE),
    ("push.fcm", Fcm::REFERENCE),
    ("push.webpush", Webpush::REFERENCE),
];

impl Loaded {
    /// Keys whose values differ between this and `other`, in order.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let (old, new) = (&self.tree.values, &other.tree.values);
        let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
    }
}

/// A file with the environment over it, read and judged.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What was asked for.
    pub tree: Tree,
    /// What it means.
    pub resolved: Resolved,
    /// SHA-256 over everything that was read, in hexadecimal.
    pub digest: String,
}

/// Which values a role starts from, below the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `carillon dev`: MD5 alone, any webhook target.
    Dev,
    /// Everything else.
    Serve,
}

/// Reads a file (`None`: none), lays `environment` over it and judges the whole.
pub fn load(
    file: Option<&Path>,
    base: Base,
    environment: &[(String, String)],
) -> Result<Loaded, Fault> {
    let text = match file {
        Some(path) => read::text(path)?,
        None => String::new(),
    };
    let name = file.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
    let source = read::Source::new(&name, &text, environment);
    let (tree, places) = read::tree(&source, base)?;
    let resolved = resolve::resolve(&tree, base, &places)?;
    Ok(Loaded { tree, resolved, digest: source.digest() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[node]\ndata = \"x\"\ndomain = \"example.com\"\ndrain = \"60s\"\n\
        [sip]\nlisten = [\"udp://127.0.0.1:5060\", \"tcp://[::1]:5060\"]\nshards = 2\ndigest = [\"MD5\"]\n\
        advertise = \"tls://sip.example.com:443\"\n[media]\nports = \"20000-20999\"\n[ladder]\nmemory = \"64MB\"\n\
        [calls]\nring_max = \"120s\"\nfork_by_q = true\n";

    /// Every complaint names its place, whatever the file holds.
    #[test]
    fn hostile_files_never_panic_and_complaints_have_places() {
        let mut rng = types::Rng::from_number(1_701);
        let words =
            ["\"", "[", "]", "=", "\n", "\\u0000", "99999999999999999999", "-1", "é", "s", "://"];
        let (mut good, mut bad) = (0, 0);
        for _ in 0..5_000 {
            let mut text = FILE.to_owned();
            let place = |rng: &mut types::Rng, text: &str| {
                let at = rng.below(text.len() as u64 + 1) as usize;
                (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
            };
            for _ in 0..=rng.below(3) {
                let at = place(&mut rng, &text);
                match rng.below(3) {
                    0 => text.truncate(at),
                    1 => text.insert_str(at, words[rng.below(words.len() as u64) as usize]),
                    _ => {
                        let end = text[at..].char_indices().map(|(n, _)| at + n).nth(9);
                        text.replace_range(at..end.unwrap_or(at), "");
                    }
                }
            }
            let variables = [("CARILLON_SIP__SHARDS".to_owned(), "1".to_owned())];
            let source = read::Source::new("c.toml", &text, &variables);
            let judged = read::tree(&source, Base::Serve)
                .and_then(|(tree, places)| resolve::resolve(&tree, Base::Serve, &places));
            match judged {
                Ok(_) => good += 1,
                Err(Fault(why)) => {
                    bad += 1;
                    assert!(why.starts_with("c.toml") || why.starts_with("CARILLON_"), "{why}");
                }
            }
        }
        assert!(good > 100 && bad > 100, "{good} {bad}");
    }
}
