//! What is said on the web socket of a media stream.
//!
//! Picture     frames, keys, marks that were heard --> JSON for the app;  JSON of the app --> [`Wish`]
//! Rules       All values are texts, but objects, lists and the numbers of the format. Messages of ours are numbered from
//!             1 on, frames of each track as well. What the app says and cannot be read is counted, and costs nothing else.
//! Limits      [`MESSAGE_MAX`] octets of a message; [`MARK_MAX`] of a mark's name; [`MARKS_MAX`] marks that nobody has
//!             reached yet: one more is answered at once.
//! Not here    The socket (shell), when a stream begins and ends (room).
//! Spec        programmable-voice §2.1

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use media::Direction;
use media::g711::Law;
use serde_json::{Value, json};
use switchboard::StreamPlan;

/// Octets of a message of the app: two minutes of sound and its frame.
pub const MESSAGE_MAX: usize = 2 * 1024 * 1024;
/// Octets of a mark's name.
pub const MARK_MAX: usize = 1_024;
/// Marks of one stream that wait to be heard.
pub const MARKS_MAX: usize = 256;
/// Samples of a millisecond.
const PER_MILLISECOND: u64 = 8;

/// What an app wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What it said and is not heard yet shall not be heard.
    Clear,
    /// It wants to know when all before this has been heard.
    Mark(u64),
    /// This shall be heard, at 8 kHz.
    Media(Vec<i16>),
    /// Nothing that we know, which is counted.
    Nonsense,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Wire {
    account: String,
    call: String,
    stream: String,
    tracks: Vec<&'static str>,
    parameters: Vec<(String, String)>,
    both_ways: bool,
    sequence: u64,
    chunks: [u64; 2],
    /// When the first frame was heard.
    began: Option<u64>,
    marks: BTreeMap<u64, String>,
    next_mark: u64,
}

impl Wire {
    /// The talk of a stream that nobody said a word on yet.
    pub fn new(plan: &StreamPlan) -> Self {
        let [account, call, stream] = plan.names.clone();
        let tracks = match plan.direction {
            Direction::Both => vec!["inbound", "outbound"],
            Direction::In => vec!["inbound"],
            Direction::Out => vec!["outbound"],
        };
        Self {
            account,
            call,
            stream,
            tracks,
            parameters: plan.parameters.clone(),
            both_ways: plan.feed.is_some(),
            sequence: 0,
            chunks: [0; 2],
            began: None,
            marks: BTreeMap::new(),
            next_mark: 0,
        }
    }

    /// The first messages.
    pub fn opening(&mut self) -> [String; 2] {
        let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
        let own = |(name, value): &(String, String)| (name.clone(), Value::from(value.clone()));
        let parameters: serde_json::Map<_, _> = self.parameters.iter().map(own).collect();
        let start = json!({
            "accountSid": self.account,
            "streamSid": self.stream,
            "callSid": self.call,
            "tracks": self.tracks,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        });
        [connected.to_string(), self.message("start", "start", &start)]
    }

    /// A frame of a tap: its channel, its place in samples, and what was heard.
    pub fn frame(&mut self, channel: u8, at: u64, samples: &[i16]) -> String {
        let began = *self.began.get_or_insert(at);
        let [inbound, outbound] = &mut self.chunks;
        let (track, chunk) =
            if channel == 0 { ("inbound", inbound) } else { ("outbound", outbound) };
        *chunk += 1;
        let chunk = chunk.to_string();
        let timestamp = (at.saturating_sub(began) / PER_MILLISECOND).to_string();
        let payload = STANDARD.encode(Law::Mu.encode_all(samples));
        let media =
            json!({"track": track, "chunk": chunk, "timestamp": timestamp, "payload": payload});
        self.message("media", "media", &media)
    }

    /// A key of the caller; only an app that may speak hears of it.
    pub fn key(&mut self, key: char) -> Option<String> {
        let dtmf = json!({"track": "inbound_track", "digit": key.to_string()});
        self.both_ways.then(|| self.message("dtmf", "dtmf", &dtmf))
    }

    /// A mark has been reached.
    pub fn reached(&mut self, mark: u64) -> Option<String> {
        let name = self.marks.remove(&mark)?;
        Some(self.message("mark", "mark", &json!({"name": name})))
    }

    /// The last message.
    pub fn stop(&mut self) -> String {
        let stop = json!({"accountSid": self.account, "callSid": self.call});
        self.message("stop", "stop", &stop)
    }

    /// What the app said. An app that nobody hears may say what it likes.
    pub fn heard(&mut self, text: &str) -> Wish {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return Wish::Nonsense };
        let ours = message.get("streamSid").and_then(Value::as_str) == Some(&*self.stream);
        if !self.both_ways || !ours {
            return Wish::Nonsense;
        }
        let word = |object: &str, name: &str| {
            message.get(object).and_then(|object| object.get(name)).and_then(Value::as_str)
        };
        match message.get("event").and_then(Value::as_str) {
            Some("clear") => Wish::Clear,
            Some("mark") => {
                let name = word("mark", "name").filter(|name| name.len() <= MARK_MAX);
                let Some(name) = name.filter(|_| self.marks.len() < MARKS_MAX) else {
                    return Wish::Nonsense;
                };
                self.next_mark += 1;
                self.marks.insert(self.next_mark, name.to_owned());
                Wish::Mark(self.next_mark)
            }
            Some("media") => match word("media", "payload").map(|text| STANDARD.decode(text)) {
                Some(Ok(octets)) => Wish::Media(Law::Mu.decode_all(&octets)),
                Some(Err(_)) | None => Wish::Nonsense,
            },
            Some(_) | None => Wish::Nonsense,
        }
    }

    fn message(&mut self, event: &str, name: &str, value: &Value) -> String {
        self.sequence += 1;
        let sequence = self.sequence.to_string();
        json!({
            "event": event,
            "sequenceNumber": sequence,
            "streamSid": self.stream,
            name: value,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::{FeedId, TapId};
    use types::Rng;

    use super::*;

    fn wire(feed: Option<FeedId>, direction: Direction) -> Wire {
        Wire::new(&StreamPlan {
            url: "wss://app.example/".into(),
            headers: Vec::new(),
            patience: Duration::from_secs(5),
            tap: TapId(1),
            direction,
            feed,
            names: ["AC1".into(), "CA1".into(), "MZ1".into()],
            parameters: vec![("who".into(), "me \"&\"".into())],
        })
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_app_hears_in_the_vendors_words() {
        let mut wire = wire(Some(FeedId(1)), Direction::In);
        let [connected, start] = wire.opening();
        assert_eq!(
            value(&connected),
            json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        );
        let wanted = json!({
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": "MZ1",
            "start": {
                "accountSid": "AC1",
                "streamSid": "MZ1",
                "callSid": "CA1",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"who": "me \"&\""},
            },
        });
        assert_eq!(value(&start), wanted);
        wire.frame(0, 1_600, &[0; 160]);
        let frame = value(&wire.frame(0, 1_760, &[0; 160]));
        assert_eq!((&frame["sequenceNumber"], &frame["event"]), (&json!("3"), &json!("media")));
        let media = &frame["media"];
        assert_eq!(media["chunk"], "2");
        assert_eq!((&media["track"], &media["timestamp"]), (&json!("inbound"), &json!("20")));
        let octets = STANDARD.decode(media["payload"].as_str().unwrap()).unwrap();
        assert_eq!(octets, [255; 160]);
        let dtmf = value(&wire.key('5').unwrap());
        assert_eq!(dtmf["dtmf"], json!({"track": "inbound_track", "digit": "5"}));
        let stop = value(&wire.stop());
        assert_eq!(stop["stop"], json!({"accountSid": "AC1", "callSid": "CA1"}));
        assert_eq!(stop["sequenceNumber"], "5");
    }

    #[test]
    fn the_app_is_heard() {
        let mut wire = wire(Some(FeedId(1)), Direction::In);
        let media =
            json!({"event": "media", "streamSid": "MZ1", "media": {"payload": "//8="}}).to_string();
        assert_eq!(wire.heard(&media), Wish::Media(vec![0, 0]));
        let mark = r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"end"}}"#;
        assert_eq!(wire.heard(mark), Wish::Mark(1));
        assert_eq!(wire.heard(r#"{"event":"clear","streamSid":"MZ1"}"#), Wish::Clear);
        let told = value(&wire.reached(1).unwrap());
        assert_eq!(told["mark"], json!({"name": "end"}));
        assert_eq!(wire.reached(1), None);
        for nonsense in [
            "",
            "[]",
            "{}",
            r#"{"event":"clear","streamSid":"MZ2"}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"%"}}"#,
            r#"{"event":"mark","streamSid":"MZ1"}"#,
            r#"{"event":"sing","streamSid":"MZ1"}"#,
        ] {
            assert_eq!(wire.heard(nonsense), Wish::Nonsense, "{nonsense}");
        }
        for _ in 0..MARKS_MAX {
            assert!(matches!(wire.heard(mark), Wish::Mark(_)));
        }
        assert_eq!(wire.heard(mark), Wish::Nonsense);
    }

    #[test]
    fn one_way_is_one_way() {
        let mut wire = wire(None, Direction::Both);
        let [_, start] = wire.opening();
        assert_eq!(value(&start)["start"]["tracks"], json!(["inbound", "outbound"]));
        assert_eq!(value(&wire.frame(1, 0, &[0]))["media"]["track"], "outbound");
        assert_eq!(value(&wire.frame(0, 0, &[0]))["media"]["chunk"], "1");
        assert_eq!(wire.key('1'), None);
        assert_eq!(wire.heard(r#"{"event":"clear","streamSid":"MZ1"}"#), Wish::Nonsense);
    }

    #[test]
    fn hostile_messages_are_survived() {
        let mut rng = Rng::from_number(7);
        let good = [
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#,
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"end"}}"#,
        ];
        let mut wire = wire(Some(FeedId(1)), Direction::In);
        for round in 0..20_000 {
            let mut octets = good[round % 2].as_bytes().to_vec();
            for _ in 0..1 + rng.below(3) {
                let place = rng.below(octets.len() as u64) as usize;
                octets[place] = rng.next_u64() as u8;
            }
            wire.heard(&String::from_utf8_lossy(&octets));
        }
    }
}
