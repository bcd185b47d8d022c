//! Media streams: sound between the pump and apps, by web sockets. A shard only says when.
//!
//! Picture     pump --tap--> queue --task: the room's words--> socket --> app;  app --> task --feed--> pump
//!             shard --Key, Mark, Close--> task --StreamBegan, StreamEnded--> shard
//! Rules       A pump never waits: frames that find the queue full are lost and counted. An app that says more than is
//!             read waits. The tap's end ends the stream with its last words.
//! Limits      [`FRAMES_MAX`] frames wait for a task; [`WORDS_MAX`] words of the shard; those of `web::app_socket` and of a feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use media::{FeedId, Heard, Sink, Taken, TapId};
use media_io::Pump;
use switchboard::{Reply, StreamEnd, StreamFault, StreamOrder};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use voice::stream::wire::{MESSAGE_MAX, Wire, Wish};
use web::app_socket::AppSocket;

use super::doors::Doors;

/// Frames of a tap that wait for the task of their stream: two seconds of both tracks.
pub const FRAMES_MAX: usize = 200;
/// Words of the shard that wait for it: keys, and marks that were heard.
pub const WORDS_MAX: usize = 512;

/// What a shard says to a stream.
enum Word {
    Close,
    Key(char),
    Mark(u64),
}

/// The streams that go on, by their taps.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<TapId, mpsc::Sender<Word>>>>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<TapId, mpsc::Sender<Word>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, tap: TapId, word: Word) {
        let mut streams = self.lock();
        let full = streams
            .get(&tap)
            .is_some_and(|stream| matches!(stream.try_send(word), Err(TrySendError::Full(_))));
        if full {
            // It does not listen any more: its task sees its words end, and ends.
            streams.remove(&tap);
        }
    }
}

impl Doors {
    /// Does what a shard says about streams.
    pub fn stream_order(&self, shard: usize, order: StreamOrder) {
        match order {
            StreamOrder::Close(tap) => self.streams.say(tap, Word::Close),
            StreamOrder::Key { tap, key } => self.streams.say(tap, Word::Key(key)),
            StreamOrder::Mark { tap, mark } => self.streams.say(tap, Word::Mark(mark)),
            StreamOrder::Open { began, ended, plan } => {
                let busy = StreamFault::Busy;
                let (Some(began_asked), Some(ended_asked)) =
                    (self.ask(shard, began), self.ask(shard, ended))
                else {
                    let end = StreamEnd { fault: Some(busy), ..StreamEnd::default() };
                    self.refuse(shard, began, Reply::StreamBegan(Err(busy)));
                    return self.refuse(shard, ended, Reply::StreamEnded(end));
                };
                let (sink, frames) = waiting();
                self.pump.tap(plan.tap, sink);
                let (words, said) = mpsc::channel(WORDS_MAX);
                self.streams.lock().insert(plan.tap, words);
                let (client, streams) = (Arc::clone(&self.client), self.streams.clone());
                let pump = Arc::clone(&self.pump);
                self.runtime.spawn(async move {
                    let headers = &plan.headers;
                    let socket = client.socket(&plan.url, headers, plan.patience, MESSAGE_MAX);
                    let end = match socket.await {
                        Ok(socket) => {
                            began_asked.answer(Reply::StreamBegan(Ok(())));
                            let wire = Wire::new(&plan);
                            let end = StreamEnd::default();
                            let talk = Talk { wire, feed: plan.feed, pump: &pump, end };
                            talk.run(socket, frames, said).await
                        }
                        Err(fault) => {
                            began_asked.answer(Reply::StreamBegan(Err(fault)));
                            StreamEnd { fault: Some(fault), ..StreamEnd::default() }
                        }
                    };
                    streams.lock().remove(&plan.tap);
                    ended_asked.answer(Reply::StreamEnded(end));
                });
            }
        }
    }
}

/// A frame, or how many were lost before it.
pub struct Frame {
    pub lost: u64,
    pub taken: Taken,
}

/// A sink that never waits, and where its frames come out.
pub fn waiting() -> (Sink, mpsc::Receiver<Frame>) {
    let (frames, receiver) = mpsc::channel(FRAMES_MAX);
    let mut lost = 0;
    let sink = move |heard: Heard<'_>| {
        match frames.try_send(Frame { lost, taken: heard.taken() }) {
            Ok(()) => lost = 0,
            Err(TrySendError::Full(_)) => lost += 1,
            // The task is gone; the tap ends soon.
            Err(TrySendError::Closed(_)) => {}
        }
    };
    (Box::new(sink), receiver)
}

/// A stream whose socket is open.
struct Talk<'a> {
    wire: Wire,
    feed: Option<FeedId>,
    pump: &'a Pump,
    end: StreamEnd,
}

impl Talk<'_> {
    async fn run(
        mut self,
        socket: AppSocket,
        mut frames: mpsc::Receiver<Frame>,
        mut said: mpsc::Receiver<Word>,
    ) -> StreamEnd {
        let AppSocket { mut from_app, to_app, mut end } = socket;
        // What was heard while hands were shaken is no longer new.
        while frames.try_recv().is_ok() {}
        for text in self.wire.opening() {
            self.tell(&to_app, text);
        }
        loop {
            let text = tokio::select! {
                biased;
                fault = &mut end => {
                    self.end.fault = fault.unwrap_or(None);
                    return self.end;
                }
                word = said.recv() => match word {
                    Some(Word::Key(key)) => self.wire.key(key),
                    Some(Word::Mark(mark)) => self.wire.reached(mark),
                    Some(Word::Close) | None => break,
                },
                frame = frames.recv() => match frame {
                    Some(Frame { lost, taken }) => {
                        self.end.lost += lost;
                        Some(self.wire.frame(taken.channel, taken.at, &taken.samples))
                    }
                    None => break,
                },
                Some(text) = from_app.recv() => {
                    self.heard(&text);
                    None
                }
            };
            if let Some(text) = text {
                self.tell(&to_app, text);
            }
        }
        let stop = self.wire.stop();
        // This waits behind what is to be sent, for as long as an app may be silent.
        if to_app.send(stop).await.is_ok() {
            drop(to_app);
            loop {
                tokio::select! {
                    fault = &mut end => {
                        self.end.fault = fault.unwrap_or(None);
                        break;
                    }
                    // Nobody hears it any more.
                    Some(_) = from_app.recv() => {}
                }
            }
        }
        self.end
    }

    /// An app that is too slow misses something.
    fn tell(&mut self, to_app: &mpsc::Sender<String>, text: String) {
        if matches!(to_app.try_send(text), Err(TrySendError::Full(_))) {
            self.end.lost += 1;
        }
    }

    fn heard(&mut self, text: &str) {
        let wish = self.wire.heard(text);
        let Some(feed) = self.feed else { return };
        let taken = match wish {
            Wish::Clear => self.pump.clear(feed),
            Wish::Mark(mark) => self.pump.mark(feed, mark),
            Wish::Media(samples) => self.pump.feed(feed, samples),
            Wish::Nonsense => {
                self.end.malformed += 1;
                return;
            }
        };
        if !taken {
            self.end.lost += 1;
        }
    }
}
