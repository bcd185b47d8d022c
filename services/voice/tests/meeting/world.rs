//! Two shards, phones that call numbers, an app that answers by path, and who sits where in the media.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use driver::phones::{flow, request};
use driver::text::header;
use driver::{House, config};
use media::{Command, Seat, StreamKey, Voice};
use switchboard::clip::{ClipFact, ClipSource};
use switchboard::fetch::Fetched;
use switchboard::route::{Change, Number};
use switchboard::store::{Entry, Value as Cell};
use switchboard::{
    ApiRequest, ApiResponse, Config, Effects, Input, Mail, Manifest, Notice, Output, Reply,
    Service, Session, SoundOrder, Ticket,
};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// Knows the numbers.
struct Routes;

impl Service for Routes {
    fn manifest(&self) -> &'static Manifest {
        static MANIFEST: Manifest = Manifest { name: "routes", ..Manifest::EMPTY };
        &MANIFEST
    }

    fn offer(&mut self, _: &Session<'_>, _: &mut Effects<'_>) -> bool {
        false
    }

    fn on_notice(&mut self, notice: &Notice, effects: &mut Effects<'_>) {
        if let Notice::RoutingChanged(change) = notice {
            effects.put_routing((**change).clone());
        }
    }
}

/// What an app was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub said: BTreeMap<String, String>,
}

impl Asked {
    pub fn says(&self, name: &str) -> &str {
        self.said.get(name).map_or("", String::as_str)
    }
}

/// A call that was answered.
#[derive(Clone, Debug)]
pub struct Caller {
    pub phone: u8,
    pub sid: String,
    ok: String,
    cseq: u32,
}

pub struct World {
    pub house: House,
    pub log: Vec<Entry>,
    /// What the app was asked, in order.
    pub asked: Vec<Asked>,
    /// What the app says, by path.
    pub documents: BTreeMap<String, String>,
    /// Who sits where: the port, and who hears it.
    pub seats: BTreeMap<(StreamKey, Seat), (u16, Voice)>,
    /// What was played to whom.
    pub played: Vec<(StreamKey, Option<Seat>, u64)>,
    /// Recordings that began.
    pub records: Vec<(usize, Ticket)>,
    pub sent: Vec<(u8, String)>,
    pub answers: Vec<ApiResponse>,
    /// What was written down, newest last: kind and name, and the cells of its row.
    pub things: Vec<((Cell, Cell), Vec<Cell>)>,
    next: u32,
    cseq: u32,
}

impl World {
    pub fn new(documents: &[(&str, &str)]) -> Self {
        let whole = documents
            .iter()
            .map(|(path, inner)| ((*path).to_owned(), format!("<Response>{inner}</Response>")));
        Self::from(Vec::new(), whole.collect())
    }

    fn from(log: Vec<Entry>, documents: BTreeMap<String, String>) -> Self {
        let open = || {
            let room = voice::Room::new(voice::Config::default());
            vec![Box::new(room) as Box<dyn Service>, Box::new(Routes)]
        };
        let config = Config { require_auth: false, ..config() };
        let mut world = Self {
            house: House::several(2, &config, open),
            log: Vec::new(),
            asked: Vec::new(),
            documents,
            seats: BTreeMap::new(),
            played: Vec::new(),
            records: Vec::new(),
            sent: Vec::new(),
            answers: Vec::new(),
            things: Vec::new(),
            next: 0,
            cseq: 10,
        };
        let mut inputs = VecDeque::new();
        for shard in 0..2 {
            for at in 0..5 {
                let number = format!("+1555010{at}");
                let number = Number {
                    number: number.clone(),
                    voice_url: format!("http://app.example/{at}"),
                    ..Number::default()
                };
                let change = Change::Number(number.number.clone(), Some(number));
                let notice = Notice::RoutingChanged(Box::new(change));
                inputs.push_back((shard, Input::Mail(Mail::Notice(notice))));
            }
        }
        for entry in log {
            world.log.push(entry.clone());
            let shard = entry.slot.shard(2);
            inputs.push_back((shard, Input::Adopt(entry)));
        }
        inputs.extend([(0, Input::Begin), (1, Input::Begin)]);
        world.run(inputs);
        world
    }

    /// The process is killed and begins again.
    pub fn killed(self) -> Self {
        let (now, unix) = (self.house.clock.now, self.house.clock.unix);
        let (next, cseq) = (self.next, self.cseq);
        let mut world = Self::from(self.log, self.documents);
        (world.next, world.cseq) = (next, cseq);
        world.house.clock.now = now;
        world.house.clock.unix = unix;
        world.seconds(1);
        world
    }

    pub fn give(&mut self, shard: usize, input: Input<'static>) {
        self.run(VecDeque::from([(shard, input)]));
    }

    fn run(&mut self, mut inputs: VecDeque<(usize, Input<'static>)>) {
        while let Some((shard, input)) = inputs.pop_front() {
            let out = self.house.feed(shard, input);
            for (to, text) in &out.letters {
                let std::net::IpAddr::V4(host) = to.ip() else { panic!("{to}") };
                self.sent.push((host.octets()[3], text.clone()));
            }
            for output in out.list {
                match output {
                    Output::Save { entry, .. } => {
                        let same =
                            |known: &Entry| (known.kind, known.key) == (entry.kind, entry.key);
                        self.log.retain(|known| !same(known));
                        if !entry.last {
                            self.log.push(entry);
                        }
                    }
                    Output::Mail { shard, mail: Mail::Api(request), .. } => {
                        inputs.push_back((shard, Input::Api(request)));
                    }
                    Output::Mail { shard, mail, .. } => {
                        inputs.push_back((shard, Input::Mail(mail)))
                    }
                    Output::Media(command) => self.media(command),
                    Output::Api { response, .. } => self.answers.push(response),
                    Output::Fetch { ticket, fetch, .. } => {
                        if let Some(body) = self.ask(&fetch) {
                            let reply = Reply::Fetched(Ok(Box::new(Fetched {
                                status: if body.is_empty() { 404 } else { 200 },
                                headers: vec![("content-type".into(), "text/xml".into())],
                                body: body.into_bytes(),
                                url: String::new(),
                                took: Duration::from_millis(3),
                            })));
                            inputs.push_back((shard, Input::Reply { ticket, reply }));
                        }
                    }
                    Output::Write { ticket, batch } => {
                        for statement in batch.statements {
                            self.write(statement.sql, statement.values);
                        }
                        let reply = Reply::Written(Ok(()));
                        inputs.push_back((shard, Input::Reply { ticket, reply }));
                    }
                    Output::Load { ticket, query } => {
                        let reply = Reply::Rows(Ok(self.load(&query)));
                        inputs.push_back((shard, Input::Reply { ticket, reply }));
                    }
                    Output::Sound(SoundOrder::Clip { ticket, source }) => {
                        let id = match source {
                            ClipSource::Bytes { bytes, .. } => bytes.len() as u128,
                            _ => 5,
                        };
                        let fact = ClipFact {
                            id: media::ClipId(id),
                            length: Duration::from_secs(2),
                            address: "/media/5.wav".into(),
                            octets: 9,
                        };
                        let reply = Reply::Clip(Ok(fact));
                        inputs.push_back((shard, Input::Reply { ticket, reply }));
                    }
                    Output::Sound(SoundOrder::Record { ticket, .. }) => {
                        self.records.push((shard, ticket));
                    }
                    _ => {}
                }
            }
        }
    }

    /// A store of things, as far as these tests need one.
    fn write(&mut self, sql: &str, values: Vec<Cell>) {
        let [kind, name, rest @ ..] = &*values else { return };
        if sql.starts_with("insert into voice_things") {
            let key = (kind.clone(), name.clone());
            let made = self.things.iter().find(|(known, _)| *known == key);
            let made = made.map(|(_, cells)| cells[4].clone());
            self.things.retain(|(known, _)| *known != key);
            let mut cells = vec![name.clone()];
            cells.extend(rest.iter().cloned());
            cells[4] = made.unwrap_or(cells[4].clone());
            self.things.push((key, cells));
        } else if sql.starts_with("delete from voice_things where kind = ?1 and sid") {
            self.things.retain(|(known, _)| *known != (kind.clone(), name.clone()));
        }
    }

    fn load(&self, query: &switchboard::store::Query) -> Vec<Vec<Cell>> {
        let [kind, first, rest @ ..] = &*query.values else { return Vec::new() };
        let nothing = Cell::Text(String::new());
        let fits = |((known, sid), cells): &&((Cell, Cell), Vec<Cell>)| {
            let all = [(Some(first), &cells[1]), (rest.first(), &cells[2])];
            let listed = all.iter().all(|(wanted, cell)| {
                wanted.is_none_or(|wanted| *wanted == nothing || wanted == *cell)
            });
            known == kind && if rest.is_empty() { sid == first } else { listed }
        };
        self.things.iter().rev().filter(fits).map(|(_, cells)| cells.clone()).collect()
    }

    fn ask(&mut self, fetch: &switchboard::fetch::Fetch) -> Option<String> {
        let plain = |text: &str| {
            let decoded = text.replace('+', " ");
            let mut parts = decoded.split('%');
            let mut out = parts.next().unwrap_or("").as_bytes().to_vec();
            for part in parts {
                out.push(u8::from_str_radix(&part[..2], 16).unwrap());
                out.extend(part[2..].bytes());
            }
            String::from_utf8(out).unwrap()
        };
        let url = fetch.url.strip_prefix("http://app.example").expect("the app");
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let body = String::from_utf8(fetch.body.clone()).unwrap();
        let pairs = body.split('&').chain(query.split('&')).filter_map(|pair| pair.split_once('='));
        let said = pairs.map(|(name, value)| (plain(name), plain(value))).collect();
        self.asked.push(Asked { path: path.to_owned(), said });
        // What is not written is asked and never answered.
        self.documents.get(path).cloned()
    }

    /// What the engine would do; whoever moves must be there, and where he goes nobody may be.
    fn media(&mut self, command: Command) {
        match command {
            Command::Admit { stream, seat, port } => {
                self.seats.insert((stream, seat), (port, Voice::All));
            }
            Command::Move { stream, seat, to, place } => {
                let leg = self.seats.remove(&(stream, seat)).expect("somebody sits there");
                assert_eq!(self.seats.insert((to, place), leg), None, "the place is free");
            }
            Command::Take { stream, seat, voice, .. } => {
                self.seats.get_mut(&(stream, seat)).expect("somebody sits there").1 = voice;
            }
            Command::Leave { stream, seat } => {
                self.seats.remove(&(stream, seat));
            }
            Command::Close { bridge } => {
                self.seats.retain(|(stream, _), _| stream.bridge != bridge)
            }
            Command::Play { stream, seat, sound, .. } => self.played.push((stream, seat, sound)),
            _ => {}
        }
    }

    /// Everybody at one stream, when there are so many of them.
    pub fn together(&self, count: usize) -> StreamKey {
        let mut streams: BTreeMap<StreamKey, usize> = BTreeMap::new();
        for (stream, _) in self.seats.keys() {
            *streams.entry(*stream).or_default() += 1;
        }
        let found = streams.iter().find(|(_, seats)| **seats == count);
        *found.unwrap_or_else(|| panic!("nowhere sit {count}: {:?}", self.seats)).0
    }

    /// Somebody calls a number from the phone, whose call lives on this shard.
    pub fn call(&mut self, shard: usize, phone: u8, number: u8) -> Caller {
        let headers = "Contact: <sip:alice@192.0.2.1>\r\nContent-Type: application/sdp\r\n";
        let to = format!("+1555010{number}");
        let text = loop {
            self.next += 1;
            let text = request("INVITE", "alice", phone, &to, self.next, headers, SDP);
            let bytes = text.as_bytes();
            if self.house.whom(&Input::Message { flow: flow(phone), bytes }).start == shard {
                break text;
            }
        };
        let before = self.asked.len();
        self.say(shard, phone, text);
        let mut sent = self.sent.iter().rev();
        let ok = sent.find(|(to, text)| *to == phone && text.starts_with("SIP/2.0 200"));
        let ok = ok.expect("an answer").1.clone();
        let sid = self.asked[before].says("CallSid").to_owned();
        let mut caller = Caller { phone, sid, ok, cseq: 1 };
        self.within("ACK", &mut caller);
        caller
    }

    fn say(&mut self, shard: usize, phone: u8, text: String) {
        let bytes = Box::leak(text.into_bytes().into_boxed_slice());
        self.give(shard, Input::Message { flow: flow(phone), bytes });
    }

    fn within(&mut self, method: &str, caller: &mut Caller) {
        let ok = &caller.ok;
        let text = format!(
            "{method} sip:+15550100@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.{};branch=z9hG4bKd{method}{}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContent-Length: 0\r\n\r\n",
            caller.phone,
            self.cseq,
            header(ok, "From"),
            header(ok, "To"),
            header(ok, "Call-ID"),
            caller.cseq,
        );
        self.cseq += 1;
        caller.cseq += 1;
        let bytes = text.as_bytes();
        let shard = self.house.whom(&Input::Message { flow: flow(caller.phone), bytes }).start;
        self.say(shard, caller.phone, text);
    }

    /// He hangs up.
    pub fn bye(&mut self, caller: &mut Caller) {
        self.within("BYE", caller);
    }

    /// A key of whoever sits there.
    pub fn key(&mut self, stream: StreamKey, seat: Seat, key: u8) {
        let held = Duration::from_millis(100);
        let event = media::Event::Key { stream, seat, key, held };
        self.give(stream.bridge.slot().shard(2), Input::Media(event));
    }

    /// What was played to him last has come to its end.
    pub fn heard(&mut self, caller: &Caller) {
        let (at, place, _) = self.seat_of(caller);
        let mut played = self.played.iter().rev();
        let found = played.find(|(stream, seat, _)| (*stream, *seat) == (at, Some(place)));
        let (stream, seat, sound) = *found.expect("something plays");
        let (after, how) = (Duration::from_secs(2), media::Ending::Ended);
        let event = media::Event::Played { stream, seat, sound, after, how };
        self.give(stream.bridge.slot().shard(2), Input::Media(event));
    }

    /// Where a phone's seat is, by the port that its description told it.
    pub fn seat_of(&self, caller: &Caller) -> (StreamKey, Seat, Voice) {
        let line = caller.ok.split("m=audio ").nth(1).expect("its sound");
        let port: u16 = line.split(' ').next().unwrap().parse().unwrap();
        let found = self.seats.iter().find(|(_, (known, _))| *known == port);
        let ((stream, seat), (_, voice)) = found.expect("it sits somewhere");
        (*stream, *seat, *voice)
    }

    pub fn seconds(&mut self, seconds: u64) {
        let end = self.house.clock.now + Duration::from_secs(seconds);
        while self.house.advance(end) {
            self.run(VecDeque::from([(0, Input::Tick), (1, Input::Tick)]));
        }
    }

    /// An app asks the API of the account; `path`: behind it, with its suffix. It comes to the slot in its name.
    pub fn api(
        &mut self,
        method: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> (u16, serde_json::Value) {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        let form: Vec<_> = form.iter().map(own).collect();
        let row = ["GET", "POST", "DELETE"].iter().position(|known| *known == method).unwrap() + 1;
        let whole = format!("Accounts/AC{}{path}", "0".repeat(32));
        let slot =
            path.split('/').nth(2).and_then(|sid| u8::from_str_radix(sid.get(2..4)?, 16).ok());
        let (query, body) = match method {
            "POST" => (Vec::new(), voice::address::form(&form).into_bytes()),
            _ => (form, Vec::new()),
        };
        let request = ApiRequest {
            id: 7,
            room: "voice".into(),
            endpoint: row as u16,
            path: whole.split('/').map(str::to_owned).collect(),
            query,
            body,
            ..ApiRequest::default()
        };
        self.give(types::Slot(slot.unwrap_or(0)).shard(2), Input::Api(request));
        let answer = self.answers.pop().expect("an answer");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// What the app was asked at a path, in order.
    pub fn at(&self, path: &str) -> Vec<&Asked> {
        self.asked.iter().filter(|asked| asked.path == path).collect()
    }

    /// The one question at a path.
    #[track_caller]
    pub fn once(&self, path: &str) -> &Asked {
        let found = self.at(path);
        let paths: Vec<_> = self.asked.iter().map(|asked| &asked.path).collect();
        assert_eq!(found.len(), 1, "{path} among {paths:?}");
        found[0]
    }
}
