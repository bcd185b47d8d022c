//! Ears: what callers say becomes words, by `[transcription]`. A shard only asks what was heard.
//!
//! Picture     pump --tap--> queue --task: where speech ends--> one piece after another --listener--> answers for the shard
//! Rules       A pump never waits. Pieces of one ear are heard in their order. Nothing is written to the disk but for a
//!             program that wants a file, and that file is gone with its answer.
//! Limits      [`EARS_MAX`] ears, and as many who tell people from machines; [`PIECES_MAX`] pieces of one wait; [`PROGRAMS_MAX`] programs at once; `hearing::HEARD_MAX`.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use media::TapId;
use media::machine::Judge;
use sound::ear::{Ear, Said};
use sound::listener::{self, LISTEN_TIME_MAX, Words};
use switchboard::fetch::{Fetch, FetchLimits};
use switchboard::hearing::HEARD_MAX;
use switchboard::{EarOrder, EarPlan, Hearing, JudgePlan, Reply, SoundFault, Ticket, Tongue};
use tokio::sync::{Semaphore, mpsc};
use web::client::{Client, ClientFault};

use super::doors::{Asked, Doors};
use super::media_streams::{Frame, waiting};
use crate::config::Transcription;

/// Ears at one time.
pub const EARS_MAX: usize = 2_000;
/// Pieces of one ear that wait for their words; those beyond are not understood.
pub const PIECES_MAX: usize = 8;
/// Programs that find words at one time.
pub const PROGRAMS_MAX: usize = 4;
/// Questions of a shard that wait for an ear.
const QUESTIONS_MAX: usize = 16;
/// Octets of a server's answer.
const ANSWER_MAX: usize = 256 * 1024;
/// What parts the fields of a request; no sound has it by chance.
const BOUNDARY: &str = "carillon-7f3b1c9a5e2d4860-field";

/// Who finds words.
pub enum Listener {
    /// A program and its words.
    Command(Vec<String>, Arc<Semaphore>),
    /// Nobody.
    Nobody,
    /// A server.
    Server(Client, Transcription),
}

/// The ears that listen, and who finds the words.
#[derive(Clone)]
pub struct Ears {
    listener: Arc<Listener>,
    open: Arc<Mutex<HashMap<TapId, mpsc::Sender<Option<Asked>>>>>,
    /// How many tell people from machines.
    judges: Arc<AtomicUsize>,
}

impl Ears {
    /// By the settings.
    pub fn new(config: &Transcription) -> Result<Self, ClientFault> {
        let listener = if !config.url.is_empty() {
            // The operator named it: it may be in the house.
            Listener::Server(Client::new(false)?, config.clone())
        } else if config.command.is_empty() {
            Listener::Nobody
        } else {
            let programs = Arc::new(Semaphore::new(PROGRAMS_MAX));
            Listener::Command(config.command.clone(), programs)
        };
        Ok(Self { listener: Arc::new(listener), open: Arc::default(), judges: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TapId, mpsc::Sender<Option<Asked>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doors {
    /// Does what a shard says about words.
    pub fn ear_order(&self, shard: usize, order: EarOrder) {
        match order {
            EarOrder::Close(tap) => {
                let ear = self.ears.lock().remove(&tap);
                // A full one sees its questions end.
                let _ = ear.map(|ear| ear.try_send(None));
            }
            EarOrder::Judge { ticket, plan } => self.judge(shard, ticket, plan),
            EarOrder::Next { ticket, tap } => {
                let Some(asked) = self.ask(shard, ticket) else {
                    return self.refuse(shard, ticket, Reply::Heard(Hearing::Over));
                };
                let ear = self.ears.lock().get(&tap).cloned();
                let left = match ear {
                    Some(ear) => ear.try_send(Some(asked)).err().and_then(|full| full.into_inner()),
                    None => Some(asked),
                };
                if let Some(asked) = left {
                    asked.answer(Reply::Heard(Hearing::Over));
                }
            }
            EarOrder::Open(plan) => self.open_ear(*plan),
            EarOrder::Read { ticket, hash, tongue } => {
                let Some(asked) = self.ask(shard, ticket) else {
                    let busy = Hearing::Failed(SoundFault::Busy);
                    return self.refuse(shard, ticket, Reply::Heard(busy));
                };
                let (ears, clips) = (self.ears.clone(), self.clips.clone());
                self.runtime.spawn(async move {
                    let file = tokio::task::spawn_blocking(move || clips.read(&hash)).await;
                    let heard = match file.ok().flatten() {
                        Some(file) => {
                            heard(0, Duration::ZERO, ears.listener.words(file, &tongue).await)
                        }
                        None => Hearing::Failed(SoundFault::Missing),
                    };
                    asked.answer(Reply::Heard(heard));
                });
            }
        }
    }

    /// Tells a person from a machine.
    fn judge(&self, shard: usize, ticket: Ticket, plan: JudgePlan) {
        let Some(asked) = self.ask(shard, ticket) else {
            return self.refuse(shard, ticket, Reply::Heard(Hearing::Over));
        };
        let judges = Arc::clone(&self.ears.judges);
        if judges.fetch_add(1, Ordering::Relaxed) >= EARS_MAX {
            judges.fetch_sub(1, Ordering::Relaxed);
            return asked.answer(Reply::Heard(Hearing::Over));
        }
        let (sink, mut frames) = waiting();
        self.pump.tap(plan.tap, sink);
        self.runtime.spawn(async move {
            let mut judge = Judge::new(plan.terms);
            let mut answer = Hearing::Over;
            while let Some(Frame { taken, .. }) = frames.recv().await {
                if let Some(by) = judge.frame(taken.at, &taken.samples) {
                    answer = Hearing::Answered { by, after: judge.heard() };
                    break;
                }
            }
            judges.fetch_sub(1, Ordering::Relaxed);
            asked.answer(Reply::Heard(answer));
        });
    }

    fn open_ear(&self, plan: EarPlan) {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let mut open = self.ears.lock();
        if open.len() >= EARS_MAX {
            return; // Who asks hears that it is over.
        }
        open.insert(plan.tap, questions);
        drop(open);
        let (sink, frames) = waiting();
        self.pump.tap(plan.tap, sink);
        let ears = self.ears.clone();
        self.runtime.spawn(async move {
            listen(&ears.listener, &plan, frames, asked).await;
            ears.lock().remove(&plan.tap);
        });
    }
}

/// What waits for the shard, and the questions that wait for something.
#[derive(Default)]
struct Answers {
    heard: VecDeque<Hearing>,
    asked: VecDeque<Asked>,
}

impl Answers {
    fn heard(&mut self, hearing: Hearing) {
        if self.heard.len() >= HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(hearing);
        self.give();
    }

    fn give(&mut self) {
        while !self.heard.is_empty()
            && let Some(asked) = self.asked.pop_front()
            && let Some(hearing) = self.heard.pop_front()
        {
            asked.answer(Reply::Heard(hearing));
        }
    }
}

/// Listens until nobody wants to know any more, or there is nothing more to hear.
async fn listen(
    listener: &Arc<Listener>,
    plan: &EarPlan,
    mut frames: mpsc::Receiver<Frame>,
    mut questions: mpsc::Receiver<Option<Asked>>,
) {
    let mut ear = Ear::new(plan);
    let mut answers = Answers::default();
    let (pieces, mut found) = words_of(Arc::clone(listener), plan.tongue.clone());
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                Some(Some(asked)) => {
                    answers.asked.push_back(asked);
                    answers.give();
                }
                Some(None) | None => break,
            },
            Some(hearing) = found.recv() => answers.heard(hearing),
            frame = frames.recv() => {
                let Some(Frame { taken, .. }) = frame else { break };
                match ear.frame(taken.channel, taken.at, &taken.samples) {
                    Some(Said::Began { channel }) => answers.heard(Hearing::Began { channel }),
                    Some(Said::Piece { channel, length, samples })
                        if pieces
                            .try_send((channel, length, listener::file(&samples)))
                            .is_err() =>
                    {
                        answers.heard(Hearing::Failed(SoundFault::Busy));
                    }
                    Some(Said::Piece { .. }) | None => {}
                }
            }
        }
    }
    for asked in answers.asked {
        asked.answer(Reply::Heard(Hearing::Over));
    }
}

type Piece = (u8, Duration, Vec<u8>);

/// Finds the words of pieces, one after another.
fn words_of(
    listener: Arc<Listener>,
    tongue: Tongue,
) -> (mpsc::Sender<Piece>, mpsc::Receiver<Hearing>) {
    let (pieces, mut waiting) = mpsc::channel::<Piece>(PIECES_MAX);
    let (found, answers) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        while let Some((channel, length, file)) = waiting.recv().await {
            let words = listener.words(file, &tongue).await;
            if found.send(heard(channel, length, words)).await.is_err() {
                return;
            }
        }
    });
    (pieces, answers)
}

fn heard(channel: u8, length: Duration, words: Result<Words, SoundFault>) -> Hearing {
    match words {
        Ok(Words { text, confidence }) => Hearing::Words { channel, length, text, confidence },
        Err(fault) => Hearing::Failed(fault),
    }
}

impl Listener {
    async fn words(&self, file: Vec<u8>, tongue: &Tongue) -> Result<Words, SoundFault> {
        match self {
            Self::Nobody => Err(SoundFault::NoListener),
            Self::Command(words, programs) => {
                let (words, tongue) = (words.clone(), tongue.clone());
                let held = Arc::clone(programs).acquire_owned().await;
                let run = tokio::task::spawn_blocking(move || {
                    let _held = held;
                    listener::command(&words, &file, &tongue)
                });
                run.await.unwrap_or(Err(SoundFault::ListenerFailed))
            }
            Self::Server(client, config) => {
                let fetched = client.fetch(request(config, &file, tongue)).await;
                match fetched {
                    Ok(fetched) if fetched.status == 200 => {
                        Ok(listener::read(&String::from_utf8_lossy(&fetched.body)))
                    }
                    Ok(fetched) => {
                        tracing::warn!(status = fetched.status, "listener_refused");
                        Err(SoundFault::ListenerFailed)
                    }
                    Err(fault) => {
                        tracing::warn!(%fault, "listener_not_reached");
                        Err(SoundFault::ListenerFailed)
                    }
                }
            }
        }
    }
}

/// Spec: RFC 7578
fn request(config: &Transcription, file: &[u8], tongue: &Tongue) -> Fetch {
    // As such servers know languages.
    let language = tongue.language.split('-').next().unwrap_or_default();
    let fields = [
        ("model", config.model.as_str()),
        ("response_format", "json"),
        ("language", language),
        ("prompt", tongue.hints.as_str()),
    ];
    let mut body = Vec::with_capacity(file.len() + 1_024);
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        let field = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        body.extend_from_slice(field.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut headers = vec![("content-type".to_owned(), kind)];
    if !config.key.reveal().is_empty() {
        headers.push(("authorization".to_owned(), format!("Bearer {}", config.key.reveal())));
    }
    let limits = FetchLimits {
        connect: Duration::from_secs(5),
        read: LISTEN_TIME_MAX,
        total: LISTEN_TIME_MAX,
        body: ANSWER_MAX,
        redirects: 0,
    };
    Fetch { method: "POST".to_owned(), url: config.url.clone(), headers, body, limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_asked_in_their_form() {
        let config = Transcription {
            model: "whisper-1".into(),
            url: "https://words.example/v1/audio/transcriptions".into(),
            ..Transcription::default()
        };
        let tongue = Tongue { language: "de-CH".into(), hints: String::new() };
        let fetch = request(&config, b"RIFF", &tongue);
        let body = String::from_utf8(fetch.body).unwrap();
        assert!(body.contains("name=\"language\"\r\n\r\nde\r\n"), "{body}");
        assert!(body.contains("audio/wav\r\n\r\nRIFF\r\n") && !body.contains("prompt"), "{body}");
        assert!(body.ends_with("-field--\r\n"), "{body}");
    }
}
