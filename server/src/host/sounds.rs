//! Clips and recordings, as shards and the library ask for them.
//!
//! Rules       Nothing here waits but where it says so. Each ticket is answered once, by a worker.

use std::sync::Arc;
use std::time::Duration;

use media::{Clip, ClipId};
use media_io::Pump;
use sound::clips::Done;
use sound::decode::CLIP_BYTES_MAX;
use sound::speech::{Ask, Door, SPEECH_TIME_MAX};
use sound::{Clips, Lender, Voices, recorder};
use switchboard::fetch::{Fetch, FetchFault, FetchLimits};
use switchboard::{ClipSource, Reply, SoundFault, SoundOrder, Ticket};
use tokio::runtime::Handle;
use web::client::{Client, ClientFault};
use web::{Kept, Uploaded};

use super::doors::Doors;
use crate::config::Speech;

/// Clips that are fetched at once: each may have 40 MiB before it is decoded.
pub const CLIP_FETCHES_MAX: usize = 8;
/// How long fetching a clip may take. A server that never ends is left after `total`, one that sends too much at once.
const FETCH_LIMITS: FetchLimits = FetchLimits {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(10),
    total: Duration::from_secs(60),
    body: CLIP_BYTES_MAX,
    redirects: 5,
};

/// The engine, which plays clips, behind its pump.
pub struct Engine(pub Arc<Pump>);

impl Lender for Engine {
    fn lend(&self, id: ClipId, clip: Clip) -> bool {
        self.0.lend(id, clip)
    }

    fn forget(&self, id: ClipId) {
        // A full queue: the pump keeps the clip until it is lent and forgotten again.
        if !self.0.forget(id) {
            tracing::warn!(clip = ?id, "clip_not_forgotten");
        }
    }
}

/// The clips as the HTTP door shows them.
pub struct Library(pub Clips);

impl web::Sounds for Library {
    fn add(&self, bytes: Vec<u8>, even: bool, done: Uploaded) {
        self.0.file(bytes, even, done);
    }

    fn forget(&self, hash: &str) -> bool {
        self.0.forget(hash)
    }

    fn list(&self, after: &str, max: usize) -> Vec<Kept> {
        let kept = |one: sound::Listed| Kept {
            hash: one.hash,
            address: one.address,
            octets: one.octets,
            seconds: one.seconds,
        };
        self.0.list(after, max).into_iter().map(kept).collect()
    }

    fn read(&self, hash: &str) -> Option<Vec<u8>> {
        self.0.read(hash)
    }
}

/// Who speaks here.
pub fn voices(speech: &Speech, runtime: Handle) -> Result<Voices, ClientFault> {
    let door = if !speech.url.is_empty() {
        // The operator named it: it may be in the house.
        let client = Client::new(false)?;
        Door::Server(server(client, runtime, speech.clone()))
    } else if speech.command.is_empty() {
        Door::System
    } else {
        Door::Command(speech.command.clone())
    };
    Ok(Voices::new(door, &speech.voice))
}

fn server(client: Client, runtime: Handle, speech: Speech) -> Ask {
    Arc::new(move |text: &str, voice: &str| {
        let body = serde_json::json!({
            "model": speech.model,
            "input": text,
            // Servers of this kind want one.
            "voice": if voice.is_empty() { "alloy" } else { voice },
            "response_format": "wav",
        });
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if !speech.key.reveal().is_empty() {
            headers.push(("authorization".to_owned(), format!("Bearer {}", speech.key.reveal())));
        }
        let limits = FetchLimits { total: SPEECH_TIME_MAX, redirects: 0, ..FETCH_LIMITS };
        let (method, url) = ("POST".to_owned(), speech.url.clone());
        let fetch = Fetch { method, url, headers, body: body.to_string().into_bytes(), limits };
        // On a worker, which may wait.
        match runtime.block_on(client.fetch(fetch)) {
            Ok(fetched) if fetched.status == 200 => Ok(fetched.body),
            Ok(fetched) => {
                tracing::warn!(status = fetched.status, "voice_refused");
                Err(SoundFault::SpeechFailed)
            }
            Err(fault) => {
                tracing::warn!(%fault, "voice_not_reached");
                Err(SoundFault::SpeechFailed)
            }
        }
    })
}

impl Doors {
    /// Does what a shard says about sound.
    pub fn sound(&self, shard: usize, order: SoundOrder) {
        match order {
            SoundOrder::Clip { ticket, source } => {
                let Some(asked) = self.ask(shard, ticket) else {
                    return self.refuse(shard, ticket, Reply::Clip(Err(SoundFault::Busy)));
                };
                let done: Done = Box::new(move |made| asked.answer(Reply::Clip(made)));
                match source {
                    ClipSource::Bytes { bytes, even } => self.clips.file(bytes, even, done),
                    ClipSource::Known(id) => self.clips.known(id, done),
                    ClipSource::Speech { text, language, voice } => {
                        self.clips.spoken(&self.voices, &text, (&language, &voice), done);
                    }
                    ClipSource::Url { url, even } => self.fetch_clip(url, even, done),
                }
            }
            SoundOrder::Forget { hash } => {
                self.clips.forget(&hash);
            }
            SoundOrder::Finish(tap) => self.recorder.finish(tap),
            SoundOrder::Pause { tap, silent } => self.recorder.pause(tap, silent),
            SoundOrder::Record { ticket, recording } => {
                let Some(done) = self.recorded(shard, ticket) else { return };
                let tap = recording.tap;
                let sink = self.recorder.sink(tap);
                self.recorder.begin(recording, done);
                // A pump that takes nothing lets go of the sink, which ends the recording.
                self.pump.tap(tap, sink);
            }
            SoundOrder::Recovered { ticket, name } => {
                let Some(done) = self.recorded(shard, ticket) else { return };
                self.recorder.recovered(&name, done);
            }
            SoundOrder::Resume(tap) => self.recorder.resume(tap),
        }
    }

    /// Where the end of a recording is told; `None`: too much waits, and it was told so.
    fn recorded(&self, shard: usize, ticket: Ticket) -> Option<recorder::Done> {
        let Some(asked) = self.ask(shard, ticket) else {
            self.refuse(shard, ticket, Reply::Recorded(Err(SoundFault::Busy)));
            return None;
        };
        Some(Box::new(move |recorded| asked.answer(Reply::Recorded(recorded))))
    }

    /// Has a file of somebody else's server fetched, under the guard of all such requests.
    fn fetch_clip(&self, url: String, even: bool, done: Done) {
        let Ok(held) = Arc::clone(&self.clip_fetches).try_acquire_owned() else {
            return done(Err(SoundFault::Busy));
        };
        let (client, clips) = (Arc::clone(&self.client), self.clips.clone());
        let (method, headers, body) = ("GET".to_owned(), Vec::new(), Vec::new());
        let fetch = Fetch { method, url, headers, body, limits: FETCH_LIMITS };
        self.runtime.spawn(async move {
            let fetched = client.fetch(fetch).await;
            match fetched {
                Ok(fetched) if fetched.status == 200 => clips.file(fetched.body, even, done),
                Err(FetchFault::Long) => done(Err(SoundFault::TooLarge)),
                Err(FetchFault::Busy) => done(Err(SoundFault::Busy)),
                Ok(_) | Err(_) => done(Err(SoundFault::NotFetched)),
            }
            drop(held);
        });
    }
}
