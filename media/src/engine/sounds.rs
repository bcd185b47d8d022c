//! What is played and tapped at the streams of an engine.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use types::Instant;

use super::Engine;
use crate::clip::{Clip, ClipId, TapId};
use crate::codec::Coders;
use crate::feed::{Feed, FeedId};
use crate::gauge::GAUGE_MIN;
use crate::mixer::Mixer;
use crate::play::{Clips, Ending, Playing};
use crate::tap::{Direction, Heard, Takes};
use crate::vad::{Change, Speech};
use crate::{Event, Rate, Seat, StreamKey, events};

/// What a tick works with, whoever's stream it is.
pub(super) struct Work<'a> {
    pub(super) mixer: &'a mut Mixer,
    pub(super) clips: &'a Clips,
    pub(super) coders: &'a Coders,
    pub(super) takes: &'a mut Takes,
    pub(super) events: &'a mut VecDeque<Event>,
    /// Streams of which something that was played has ended.
    pub(super) ended: &'a mut Vec<StreamKey>,
}

/// Tells what happens at one stream.
pub(super) struct Notes<'a> {
    pub(super) stream: StreamKey,
    pub(super) events: &'a mut VecDeque<Event>,
    pub(super) ended: &'a mut Vec<StreamKey>,
}

impl Notes<'_> {
    pub(super) fn played(&mut self, seat: Option<Seat>, playing: &Playing, how: Ending) {
        let (stream, sound, after) = (self.stream, playing.sound, playing.after());
        self.events.push_back(Event::Played { stream, seat, sound, after, how });
        self.ended.push(stream);
    }

    /// Marks that a feed has reached.
    pub(super) fn fed(&mut self, seat: Option<Seat>, playing: &mut Playing) {
        let Some(feed) = playing.feed() else { return };
        let (stream, id) = (self.stream, feed.id);
        while let Some(mark) = feed.reached() {
            self.events.push_back(Event::Fed { stream, seat, feed: id, mark });
        }
    }

    /// Somebody begins or ceases to speak.
    pub(super) fn speech(&mut self, seat: Seat, change: Change) {
        let stream = self.stream;
        self.events.push_back(match change {
            Change::Silent(after) => Event::Silent { stream, seat, after },
            Change::Voiced => Event::Voiced { stream, seat },
        });
    }

    /// How loud somebody was.
    pub(super) fn level(&mut self, seat: Seat, level: u8) {
        self.events.push_back(Event::Level { stream: self.stream, seat, level });
    }

    /// A key by its code; other events are nobody's business.
    pub(super) fn key(&mut self, seat: Seat, code: u8, held: Duration) {
        key(self.events, self.stream, seat, (code, held));
    }
}

/// Tells of a key by its code.
pub(super) fn key(
    events: &mut VecDeque<Event>,
    stream: StreamKey,
    seat: Seat,
    (code, held): (u8, Duration),
) {
    if let Some(key) = events::key(code) {
        events.push_back(Event::Key { stream, seat, key, held });
    }
}

/// Who hears each feed.
pub(super) type Feeds = BTreeMap<FeedId, (StreamKey, Option<Seat>)>;

/// What is played from a feed, in the parts of an engine that know.
pub(super) fn fed<'a>(
    feed: FeedId,
    (feeds, streams, slab): (&Feeds, &BTreeMap<StreamKey, usize>, &'a mut [Option<super::Stream>]),
) -> Option<&'a mut Feed> {
    let (key, seat) = *feeds.get(&feed)?;
    let stream = slab.get_mut(*streams.get(&key)?)?.as_mut()?;
    stream.mix.as_mut()?.sounds().feed(seat, feed)
}

impl Engine {
    /// Lends a clip to whatever is played; one of the same name before is forgotten.
    pub fn lend(&mut self, id: ClipId, clip: Clip) {
        self.clips.insert(id, clip);
    }

    /// Takes a clip back: who hears it hears what follows it.
    pub fn forget(&mut self, id: ClipId) {
        self.clips.remove(&id);
    }

    /// Takes samples of a feed; how many had no room, which are all where nothing is played from it.
    pub fn feed(&mut self, feed: FeedId, samples: &[i16]) -> usize {
        self.fed(feed).map_or(samples.len(), |feed| feed.put(samples))
    }

    /// Forgets what waits of a feed.
    pub fn clear(&mut self, feed: FeedId) {
        if let Some(feed) = self.fed(feed) {
            feed.clear();
        }
    }

    /// [`Event::Fed`] will tell when all that was fed so far has been heard.
    pub fn mark(&mut self, feed: FeedId, mark: u64) {
        if let Some(feed) = self.fed(feed) {
            feed.mark(mark);
        }
    }

    /// What is played from a feed.
    fn fed(&mut self, feed: FeedId) -> Option<&mut Feed> {
        fed(feed, (&self.feeds, &self.streams, &mut self.slab))
    }

    /// Somebody wants to know when a leg speaks, or nobody any more.
    pub(super) fn listen(
        &mut self,
        key: StreamKey,
        seat: Seat,
        silence: Option<Duration>,
        now: Instant,
    ) {
        if self.port(key, seat).is_none() {
            return; // Late, not wrong.
        }
        if let Some(stream) = self.stream_mut(key) {
            let speech = silence.map(|silence| Speech::new(silence, now));
            stream.mix.get_or_insert_default().listen(seat, speech);
        }
        self.mix_or_not(key, now);
    }

    /// Somebody wants to know how loud legs are, or nobody any more.
    pub(super) fn gauge(
        &mut self,
        key: StreamKey,
        seat: Option<Seat>,
        every: Option<Duration>,
        now: Instant,
    ) {
        if seat.is_some_and(|seat| self.port(key, seat).is_none()) {
            return; // Late, not wrong.
        }
        if let Some(stream) = self.stream_mut(key) {
            let every = every.map(|every| every.max(GAUGE_MIN));
            stream.mix.get_or_insert_default().gauge(seat, every);
        }
        self.mix_or_not(key, now);
    }

    /// A guest goes over to another stream.
    pub(super) fn carry(
        &mut self,
        (key, seat): (StreamKey, Seat),
        (to, place): (StreamKey, Seat),
        now: Instant,
    ) {
        let Some(port) = self.port(key, seat) else { return }; // Late, not wrong.
        if !place.is_guest() || self.port(to, place).is_some() {
            if (key, seat) != (to, place) {
                self.events.push_back(Event::Failed { stream: to, seat: place, port });
            }
            return;
        }
        self.stop(key, (Some(seat), None), now);
        let mix = self.stream_mut(key).and_then(|stream| stream.mix.as_mut());
        let Some(guest) = mix.and_then(|mix| mix.lift(seat)) else { return };
        for tap in guest.taps() {
            self.tapped.insert(tap, to);
        }
        let slot = match self.streams.get(&to) {
            Some(slot) => *slot,
            None => self.put(super::Stream::new(to, [0, 0])),
        };
        self.set_door(port, Some(super::Door { place: slot as u32, seat: place.0 }));
        self.browsers.carried(port, (to, place));
        if let Some(stream) = self.stream_mut(to) {
            stream.mix.get_or_insert_default().set(place, guest);
        }
        self.mix_or_not(key, now);
        self.mix_or_not(to, now);
    }

    /// Gives away what taps heard.
    pub fn taken(&mut self, sink: impl FnMut(Heard<'_>)) {
        self.takes.drain(sink);
    }

    /// Begins what is played to one leg, or to all.
    pub(super) fn play(
        &mut self,
        key: StreamKey,
        seat: Option<Seat>,
        mut playing: Playing,
        now: Instant,
    ) {
        let there = seat.is_none_or(|seat| self.port(key, seat).is_some());
        let place = self.streams.get(&key).filter(|_| there).copied();
        let Self { slab, events, ended, feeds, .. } = self;
        let mut note = Notes { stream: key, events, ended };
        if let Some(feed) = playing.feed() {
            feeds.insert(feed.id, (key, seat));
        }
        match place.and_then(|place| slab.get_mut(place)?.as_mut()) {
            Some(stream) => {
                stream.mix.get_or_insert_default().sounds().begin(seat, playing, &mut note);
            }
            None => note.played(seat, &playing, Ending::Missing),
        }
        self.ended.clear();
        self.mix_or_not(key, now);
    }

    /// Ends what is played to one leg, or to all.
    pub(super) fn stop(
        &mut self,
        key: StreamKey,
        (seat, sound): (Option<Seat>, Option<u64>),
        now: Instant,
    ) {
        let place = self.streams.get(&key).copied();
        let Self { slab, events, ended, .. } = self;
        let mut note = Notes { stream: key, events, ended };
        if let Some(stream) = place.and_then(|place| slab.get_mut(place)?.as_mut())
            && let Some(mix) = &mut stream.mix
        {
            mix.sounds().stop(seat, sound, &mut note);
        }
        self.ended.clear();
        self.mix_or_not(key, now);
    }

    /// Begins a tap.
    pub(super) fn tap(
        &mut self,
        key: StreamKey,
        seat: Option<Seat>,
        (tap, rate, direction): (TapId, Rate, Direction),
        now: Instant,
    ) {
        self.untap(tap, now);
        let there = seat.is_none_or(|seat| self.port(key, seat).is_some());
        let stream = self.stream_mut(key).filter(|_| there);
        let begun = stream.is_some_and(|stream| {
            stream.mix.get_or_insert_default().taps().begin(tap, seat, rate, direction)
        });
        if begun {
            self.tapped.insert(tap, key);
        } else {
            self.takes.forget(tap);
            self.events.push_back(Event::Untapped { stream: key, tap });
        }
        self.mix_or_not(key, now);
    }

    /// Ends a tap.
    pub(super) fn untap(&mut self, tap: TapId, now: Instant) {
        let Some(stream) = self.tapped.remove(&tap) else { return };
        self.takes.forget(tap);
        if let Some(mix) = self.stream_mut(stream).and_then(|stream| stream.mix.as_mut()) {
            mix.taps().end(tap);
        }
        self.events.push_back(Event::Untapped { stream, tap });
        self.mix_or_not(stream, now);
    }

    /// Ends the taps and feeds of a leg that leaves, or of a whole stream.
    pub(super) fn untap_all(&mut self, key: StreamKey, seat: Option<Seat>) {
        self.feeds.retain(|_, fed| fed.0 != key || (seat.is_some() && fed.1 != seat));
        let Some(stream) = self.stream_mut(key) else { return };
        let Some(mix) = &mut stream.mix else { return };
        let gone = mix.taps().leave(seat);
        for tap in gone {
            self.tapped.remove(&tap);
            self.takes.forget(tap);
            self.events.push_back(Event::Untapped { stream: key, tap });
        }
    }

    /// Lets packets pass again where nothing is played any more.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(stream) = self.ended.pop() {
            self.mix_or_not(stream, now);
        }
    }
}
