//! Media streams: sound of a call for an app, and sound of the app for the caller.
//!
//! Picture     Connect | Fork --tap, feed--> `open_stream` --began--> callback;  keys and marks to the app;  end --> callback
//! Rules       Sound goes between media and the app's socket, never by here. `<Connect>` has the caller to itself until the
//!             socket ends; what `<Start>` began lasts as long as the call, also beyond a restart. The handshake is signed
//!             and has the cookies of the call.
//! Limits      [`STREAMS_MAX`] of one call; the patience of its address.
//! Not here    The words on the socket ([`wire`]), the socket (shell).
//! Spec        programmable-voice §1.3 (Stream), §2.1, §4, §5 (319xx)

pub mod wire;

use media::{Command, Direction, FeedId, Play, Rate, TapId};
use switchboard::ladder::Lane;
use switchboard::{Effects, Reply, StreamEnd, StreamFault, StreamPlan, Ticket};
use twiml::{Stream, Track};
use types::{CallId, SessionId, tagged};

use crate::address::Address;
use crate::call::{Call, read_hook, read_pair, write_hook};
use crate::hook::patience;
use crate::program::Event;
use crate::rest::notes;
use crate::{Room, sign};

/// Streams of one call at one time.
pub const STREAMS_MAX: usize = 4;

/// A stream that goes on.
#[derive(Clone, Debug)]
pub struct Streaming {
    /// How the app knows it.
    sid: String,
    what: Stream,
    tap: TapId,
    /// What the caller hears of it, and how the engine calls that; of `<Connect>` alone.
    feed: Option<(FeedId, u64)>,
    began: Ticket,
    ended: Ticket,
    /// By `<Start>`, so it lasts.
    forked: bool,
    /// It never began, and whoever wants to know was told.
    failed: bool,
}

/// Whose sound a track is; saved by its place.
const NAMES: [(Track, Direction); 3] = [
    (Track::Both, Direction::Both),
    (Track::Inbound, Direction::In),
    (Track::Outbound, Direction::Out),
];

impl Streaming {
    /// How apps know it: its id, and its name.
    pub(crate) fn named(&self) -> (&str, &str) {
        (&self.sid, &self.what.name)
    }

    /// `<Start>` or a request began it, so that it can be stopped.
    pub(crate) fn is_forked(&self) -> bool {
        self.forked
    }
}

impl Room {
    /// Begins a stream; `alone`: the app has the call, and is heard.
    pub(crate) fn open_stream(
        &mut self,
        session: SessionId,
        (what, alone): (Stream, bool),
        effects: &mut Effects<'_>,
    ) {
        let sid = format!("MZ{:016x}{:016x}", effects.rng().next_u64(), effects.rng().next_u64());
        self.stream_of(session, (sid, what, alone), effects);
    }

    fn stream_of(
        &mut self,
        session: SessionId,
        (sid, what, alone): (String, Stream, bool),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let plan = match call.plan(&what, effects) {
            Ok(plan) => plan,
            Err((code, sentence)) => {
                note(call, ("error", code), &sentence, effects);
                if alone {
                    call.program.handle(Event::Disconnected, effects.now());
                }
                return;
            }
        };
        let (stream, seat, tap) = (call.seat.stream(), Some(call.seat.place()), plan.tap);
        let direction = plan.direction;
        effects.media(Command::Tap { stream, seat, tap, rate: Rate::Narrow, direction });
        let feed = alone.then(|| {
            call.sounds += 1;
            let (feed, sound) = (FeedId(effects.rng().next_u64()), call.sounds);
            let play = Play::Feed { feed, rate: Rate::Narrow };
            effects.media(Command::Play { stream, seat, play, sound, alone: true });
            (feed, sound)
        });
        let [account, id, _] = plan.names;
        let names = [account, id, sid.clone()];
        let words = format!("GET {}", plan.url);
        effects.ladder(CallId(session.0), Lane::Web, &words);
        let (began, ended) =
            effects.open_stream(StreamPlan { feed: feed.map(|(feed, _)| feed), names, ..plan });
        self.tickets.insert(began, session);
        self.tickets.insert(ended, session);
        call.streams.push(Streaming {
            sid,
            what,
            tap,
            feed,
            began,
            ended,
            forked: !alone,
            failed: false,
        });
        Self::keep_answered(call, effects);
    }

    /// Ends a stream that `<Start>` began, by its name or its id; an empty one: the last.
    pub(crate) fn stop_stream(
        &mut self,
        session: SessionId,
        name: &str,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let fits = |one: &&Streaming| {
            one.forked && (name.is_empty() || one.what.name == name || one.sid == name)
        };
        match call.streams.iter().rev().find(fits) {
            Some(one) => effects.close_stream(one.tap),
            None => {
                let sentence = format!("no stream of this call is called {name}");
                note(call, ("error", 31952), &sentence, effects);
            }
        }
    }

    /// The program goes on without the app that had the call.
    pub(crate) fn disconnect(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let (stream, seat) = (call.seat.stream(), Some(call.seat.place()));
        for one in &mut call.streams {
            if let Some((_, sound)) = one.feed.take() {
                effects.close_stream(one.tap);
                effects.media(Command::Stop { stream, seat, sound: Some(sound) });
            }
        }
    }

    /// What became of a stream.
    pub(crate) fn streamed(
        &mut self,
        session: SessionId,
        (ticket, reply): (Ticket, &Reply),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let place = call.streams.iter().position(|one| [one.began, one.ended].contains(&ticket));
        let Some(place) = place else { return };
        if let Reply::StreamBegan(began) = reply {
            let Some(one) = call.streams.get_mut(place) else { return };
            one.failed = began.is_err();
            let (one, fault) = (one.clone(), began.err());
            self.tell_stream(session, &one, ("stream-started", fault), effects);
        } else if let Reply::StreamEnded(end) = reply {
            let one = call.streams.remove(place);
            self.stream_over(session, &one, *end, effects);
        }
    }

    fn stream_over(
        &mut self,
        session: SessionId,
        one: &Streaming,
        end: StreamEnd,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        effects.media(Command::Untap { tap: one.tap });
        if let Some((_, sound)) = one.feed {
            let (stream, seat) = (call.seat.stream(), Some(call.seat.place()));
            effects.media(Command::Stop { stream, seat, sound: Some(sound) });
        }
        if let Some(fault) = end.fault {
            note(call, ("error", code(fault)), &fault.to_string(), effects);
        }
        for (count, code, what) in
            [(end.lost, 31931, "frames were lost"), (end.malformed, 31951, "messages mean nothing")]
        {
            if count > 0 {
                note(call, ("warning", code), &format!("{count} {what}"), effects);
            }
        }
        Self::keep_answered(call, effects);
        if !one.failed {
            self.tell_stream(session, one, ("stream-stopped", end.fault), effects);
        }
        if one.feed.is_some() {
            self.drive(session, Event::Disconnected, effects);
        }
    }

    fn tell_stream(
        &mut self,
        session: SessionId,
        one: &Streaming,
        (event, fault): (&str, Option<StreamFault>),
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.remove(&session) else { return };
        self.tell_of_stream(&call, one, (event, fault), effects);
        self.calls.insert(session, call);
    }

    fn tell_of_stream(
        &mut self,
        call: &Call,
        one: &Streaming,
        (event, fault): (&str, Option<StreamFault>),
        effects: &mut Effects<'_>,
    ) {
        let Some(hook) = &one.what.status else { return };
        let row = |name: &str, value: String| (name.to_owned(), value);
        let mut more = vec![
            row("StreamSid", one.sid.clone()),
            row("StreamName", one.what.name.clone()),
            row("StreamEvent", event.to_owned()),
            row("Timestamp", effects.unix().to_string()),
        ];
        if let Some(fault) = fault {
            // In place of what it would have been.
            more.retain(|(name, _)| name != "StreamEvent");
            more.push(row("StreamEvent", "stream-error".to_owned()));
            more.push(row("StreamError", fault.to_string()));
            more.push(row("StreamErrorCode", code(fault).to_string()));
        }
        self.tell_hook(call, hook, more, effects);
    }

    /// The call is over: its streams are as well.
    pub(crate) fn end_streams(&mut self, call: &mut Call, effects: &mut Effects<'_>) {
        for one in std::mem::take(&mut call.streams) {
            effects.close_stream(one.tap);
            effects.media(Command::Untap { tap: one.tap });
            self.tell_of_stream(call, &one, ("stream-stopped", None), effects);
        }
    }

    /// Begins again, after a restart, what `<Start>` had begun.
    pub(crate) fn restart_streams(
        &mut self,
        session: SessionId,
        streams: Vec<(String, Stream)>,
        effects: &mut Effects<'_>,
    ) {
        for (sid, what) in streams {
            self.stream_of(session, (sid, what, false), effects);
        }
    }

    fn keep_answered(call: &Call, effects: &mut Effects<'_>) {
        if call.facts.answered.is_some() {
            Self::keep(call, effects);
        }
    }
}

impl Call {
    /// What the shell is told of a stream; or what is wrong with it.
    fn plan(&self, what: &Stream, effects: &mut Effects<'_>) -> Result<StreamPlan, (u16, String)> {
        if self.streams.len() >= STREAMS_MAX {
            return Err((31960, format!("a call has {STREAMS_MAX} streams at most")));
        }
        let web = what.url.strip_prefix("ws").map(|rest| format!("http{rest}"));
        let address = web.as_deref().and_then(Address::parse);
        let address = address.ok_or((31923, format!("{} is no address", what.url)))?;
        let patience = patience(&address)
            .ok_or((11243, "the address says behind # how to ask, but not so".to_owned()))?;
        let url = address.sent().replacen("http", "ws", 1);
        let signature = sign::signature(effects.apps().token.reveal(), &url, &[]);
        let mut headers = vec![(sign::HEADER.to_owned(), signature)];
        let cookie = self.jar.give(&address, effects.unix());
        headers.extend(cookie.map(|value| ("cookie".to_owned(), value)));
        let direction = NAMES.iter().find(|(track, _)| *track == what.track);
        Ok(StreamPlan {
            url,
            headers,
            patience,
            tap: TapId(effects.rng().next_u64()),
            direction: direction.map_or(Direction::In, |(_, direction)| *direction),
            feed: None,
            names: [
                effects.apps().sid.clone(),
                crate::call::call_sid(self.session.0),
                String::new(),
            ],
            parameters: what.parameters.clone(),
        })
    }

    /// A key of the caller, for the app that has the call.
    pub(crate) fn stream_key(&self, key: char, effects: &mut Effects<'_>) {
        for one in self.streams.iter().filter(|one| one.feed.is_some()) {
            effects.stream_key(one.tap, key);
        }
    }

    /// What an app said before a mark has been heard.
    pub(crate) fn stream_mark(&self, feed: FeedId, mark: u64, effects: &mut Effects<'_>) {
        let fits = |one: &&Streaming| one.feed.is_some_and(|(known, _)| known == feed);
        if let Some(one) = self.streams.iter().find(fits) {
            effects.stream_mark(one.tap, mark);
        }
    }

    /// What streams wait for.
    pub(crate) fn stream_tickets(&self) -> impl Iterator<Item = Ticket> {
        self.streams.iter().flat_map(|one| [one.began, one.ended])
    }
}

impl Streaming {
    /// As tagged fields; `<Connect>` begins again with its verb.
    pub(crate) fn encode(streams: &[Self], tag: u8, writer: &mut tagged::Writer) {
        for one in streams.iter().filter(|one| one.forked) {
            writer.nested(tag, |writer| {
                let Stream { name, url, track, status, parameters } = &one.what;
                writer.text(1, &one.sid).text(2, name).text(3, url);
                let place = NAMES.iter().position(|(known, _)| known == track).unwrap_or(0);
                writer.number(4, place as u128);
                if let Some(hook) = status {
                    writer.nested(5, |writer| write_hook(hook, writer));
                }
                for (name, value) in parameters {
                    writer.nested(6, |writer| {
                        writer.text(1, name).text(2, value);
                    });
                }
            });
        }
    }

    /// What [`encode`](Self::encode) wrote of one.
    pub(crate) fn decode(bytes: &[u8]) -> (String, Stream) {
        let (mut sid, mut what) = (String::new(), Stream::default());
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => sid = field.string().unwrap_or_default(),
                2 => what.name = field.string().unwrap_or_default(),
                3 => what.url = field.string().unwrap_or_default(),
                4 => {
                    let place = field.number().and_then(|place| usize::try_from(place).ok());
                    let found = place.and_then(|place| NAMES.get(place));
                    what.track = found.map(|(track, _)| *track).unwrap_or_default();
                }
                5 => what.status = Some(read_hook(field.0)),
                6 => what.parameters.push(read_pair(field.0)),
                _ => (), // A field of a newer version.
            }
        }
        (sid, what)
    }
}

/// The vendor's number.
///
/// Spec: programmable-voice §5
fn code(fault: StreamFault) -> u16 {
    match fault {
        StreamFault::Broken => 31903,
        StreamFault::Busy => 31960,
        StreamFault::Closed => 31921,
        StreamFault::Handshake => 31920,
        StreamFault::Protocol => 31924,
        StreamFault::Refused => 31902,
        StreamFault::Target => 31904,
        StreamFault::Timeout => 31901,
        StreamFault::Tls => 31910,
        StreamFault::Url => 31923,
    }
}

/// Tells of a call what is wrong, in its ladder and for whoever asks the API.
fn note(call: &mut Call, (class, code): (&str, u16), sentence: &str, effects: &mut Effects<'_>) {
    if class == "error" {
        effects.count("voice.errors");
    }
    let words = format!("{class} {code}: {sentence}");
    effects.ladder(CallId(call.session.0), Lane::Note, &words);
    notes::note(call, (class, code), sentence, effects);
}
