//! The record of a call as the keeper has it: written by the room that owns the call, read by the one that keeps records.

use std::time::Duration;

use media::Quality;
use serde_json::{Value, json};
use types::{CallId, SessionId, tagged};

use crate::effects::Effects;
use crate::ladder::Lane;
use crate::notice::{CallFacts, GuestFacts, RecordingFacts};

/// What tells the record of a call from other records.
const MARK: &str = "call";

impl CallFacts {
    /// As tagged fields, for [`Effects::end`](crate::Effects::end).
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(256));
        self.write(&mut writer);
        writer.finish()
    }

    /// The same, behind what is written already.
    pub fn write(&self, writer: &mut tagged::Writer) {
        writer.text(1, MARK).number(2, self.session.0).time(3, self.began);
        for (tag, time) in [(4, self.rang), (5, self.answered), (6, self.ended)] {
            if let Some(time) = time {
                writer.time(tag, time);
            }
        }
        for (tag, text) in [
            (7, &self.from),
            (8, &self.to),
            (9, &self.from_name),
            (10, &self.outcome),
            (11, &self.hung_up_by),
            (12, &self.refusal),
            (13, &self.call_id),
            (15, &self.answered_by),
        ] {
            if !text.is_empty() {
                writer.text(tag, text);
            }
        }
        writer.number(14, self.status.into());
        if self.video {
            writer.number(16, 1);
        }
        for guest in &self.guests {
            writer.nested(17, |inner| {
                inner.text(1, &guest.user).number(2, guest.joined.into());
                inner.time(3, guest.began);
                if let Some(ended) = guest.ended {
                    inner.time(4, ended);
                }
                if let Some(quality) = &guest.quality {
                    inner.nested(5, |inner| write_quality(quality, inner));
                }
            });
        }
        let sides = self.quality.iter().flat_map(|sides| sides.iter());
        for (tag, side) in (18..).zip(sides) {
            writer.nested(tag, |inner| write_quality(side, inner));
        }
        for recording in &self.recordings {
            writer.nested(20, |inner| recording.write(inner));
        }
    }

    /// Reads what [`encode`](Self::encode) wrote, in this version or another; `None` for any other record.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        let mut marked = false;
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => marked = field.0 == MARK.as_bytes(),
                2 => facts.session = SessionId(field.number()?),
                3 => facts.began = field.time()?,
                4 => facts.rang = Some(field.time()?),
                5 => facts.answered = Some(field.time()?),
                6 => facts.ended = Some(field.time()?),
                7 => facts.from = field.string()?,
                8 => facts.to = field.string()?,
                9 => facts.from_name = field.string()?,
                10 => facts.outcome = field.string()?,
                11 => facts.hung_up_by = field.string()?,
                12 => facts.refusal = field.string()?,
                13 => facts.call_id = field.string()?,
                14 => facts.status = u16::try_from(field.number()?).ok()?,
                15 => facts.answered_by = field.string()?,
                16 => facts.video = field.number()? != 0,
                17 => facts.guests.push(guest(field.0)?),
                18 => facts.quality.get_or_insert_default()[0] = read_quality(field.0)?,
                19 => facts.quality.get_or_insert_default()[1] = read_quality(field.0)?,
                20 => facts.recordings.push(RecordingFacts::read(field.0)?),
                _ => (), // A field of a newer version.
            }
        }
        marked.then_some(facts)
    }
}

impl RecordingFacts {
    /// As tagged fields.
    pub fn write(&self, writer: &mut tagged::Writer) {
        writer.text(1, &self.name).time(2, self.began).number(3, self.channels.into());
        writer.text(4, &self.address).number(5, self.length.as_micros());
        writer.number(6, self.octets.into()).text(7, &self.end);
    }

    /// What [`write`](Self::write) wrote.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => facts.name = field.string()?,
                2 => facts.began = field.time()?,
                3 => facts.channels = field.number()? as u8,
                4 => facts.address = field.string()?,
                5 => facts.length = Duration::from_micros(field.number()? as u64),
                6 => facts.octets = field.number()? as u64,
                7 => facts.end = field.string()?,
                _ => (), // A field of a newer version.
            }
        }
        Some(facts)
    }
}

/// A recording as the API shows it.
pub fn recording_json(recording: &RecordingFacts) -> Value {
    let RecordingFacts { name, began, channels, address, length, octets, end } = recording;
    let state = match (end.as_str(), address.as_str()) {
        ("", _) => "recording",
        (_, "") => "lost",
        (_, _) => "kept",
    };
    json!({
        "name": name,
        "state": state,
        "channels": channels,
        "began_at": began.to_string(),
        "address": (!address.is_empty()).then_some(address),
        "seconds": length.as_millis() as f64 / 1_000.0,
        "octets": octets,
        "end": (!end.is_empty()).then_some(end),
    })
}

fn write_quality(quality: &Quality, writer: &mut tagged::Writer) {
    let micros = |time: Duration| time.as_micros();
    let known = [
        (1, Some(quality.packets.into())),
        (2, Some(quality.lost.into())),
        (3, Some(quality.holes.into())),
        (4, Some(quality.longest.into())),
        (5, Some(quality.late.into())),
        (6, Some(quality.twice.into())),
        (7, Some(quality.dropped.into())),
        (8, Some(micros(quality.jitter))),
        (9, quality.round_trip.map(micros)),
        (10, quality.told_lost.map(u128::from)),
        (11, quality.told_opinion.map(u128::from)),
        (12, Some(quality.fragile.into())),
        (13, Some(quality.capped.into())),
    ];
    for (tag, number) in known {
        if let Some(number) = number {
            writer.number(tag, number);
        }
    }
}

fn read_quality(bytes: &[u8]) -> Option<Quality> {
    let mut quality = Quality::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        let number = field.number()? as u64;
        match tag {
            1 => quality.packets = number,
            2 => quality.lost = number,
            3 => quality.holes = number,
            4 => quality.longest = number as u32,
            5 => quality.late = number,
            6 => quality.twice = number,
            7 => quality.dropped = number,
            8 => quality.jitter = Duration::from_micros(number),
            9 => quality.round_trip = Some(Duration::from_micros(number)),
            10 => quality.told_lost = Some(number as u8),
            11 => quality.told_opinion = Some(number as u8),
            12 => quality.fragile = number != 0,
            13 => quality.capped = number,
            _ => (), // A field of a newer version.
        }
    }
    Some(quality)
}

/// How the media of caller and callee came through, as the API shows it. `null` where nothing was told.
pub fn quality_json(sides: Option<&[Quality; 2]>) -> Value {
    let Some([caller, callee]) = sides else { return Value::Null };
    json!({ "caller": side_json(caller), "callee": side_json(callee) })
}

/// How one leg came through. `null` where nothing came.
pub fn side_json(side: &Quality) -> Value {
    if *side == Quality::default() {
        return Value::Null;
    }
    let milliseconds = |time: Duration| time.as_micros() as f64 / 1_000.0;
    json!({
        "packets": side.packets,
        "lost": side.lost,
        "holes": side.holes,
        "longest_hole": side.longest,
        "late": side.late,
        "twice": side.twice,
        "dropped": side.dropped,
        "capped": side.capped,
        "jitter_ms": milliseconds(side.jitter),
        "round_trip_ms": side.round_trip.map(milliseconds),
        "told_lost_percent": side.told_lost.map(|lost| f64::from(lost) / 2.56),
        "told_mos": side.told_opinion.map(|opinion| f64::from(opinion) / 10.0),
        "mos": side.opinion().map(|opinion| f64::from(opinion) / 100.0),
    })
}

/// Who took part in a call beside the two who made it, as the API shows them when it is over.
pub fn guests_json(facts: &CallFacts) -> Value {
    let shown = facts.guests.iter().map(|guest| {
        json!({
            "user": guest.user,
            "as": if guest.joined { "joined" } else { "listened" },
            "from": guest.began.to_string(),
            "until": guest.ended.map(|ended| ended.to_string()),
            "quality": guest.quality.as_deref().map(side_json),
        })
    });
    Value::Array(shown.collect())
}

impl CallFacts {
    /// The call is over: what its ladder and the counters say of its sound.
    pub fn sum_up(&self, effects: &mut Effects<'_>) {
        /// Below this opinion many people are dissatisfied (R of 60), times a hundred.
        ///
        /// Spec: ITU-T G.107 Annex B
        const POOR: u16 = 310;
        let Some(sides) = &self.quality else { return };
        let came = |side: &&Quality| **side != Quality::default();
        for (name, quality) in ["caller", "callee"].into_iter().zip(sides.iter()) {
            if came(&quality) {
                let words = format!("from the {name}: {}", quality_words(quality));
                effects.ladder(CallId(self.session.0), Lane::Note, &words);
            }
        }
        effects.count("media.judged");
        if sides.iter().filter_map(Quality::opinion).any(|opinion| opinion < POOR) {
            effects.count("media.poor");
        }
    }
}

/// The same in words, for one side.
pub fn quality_words(side: &Quality) -> String {
    let share = side.lost as f64 * 100.0 / (side.packets + side.lost).max(1) as f64;
    let mut words = format!(
        "{} packets, {share:.1}% lost (longest hole {}), jitter {} ms",
        side.packets,
        side.longest,
        side.jitter.as_millis()
    );
    if let Some(trip) = side.round_trip {
        words.push_str(&format!(", round trip {} ms", trip.as_millis()));
    }
    if let Some(opinion) = side.opinion() {
        words.push_str(&format!(", MOS about {}.{:02}", opinion / 100, opinion % 100));
    }
    words
}

fn guest(bytes: &[u8]) -> Option<GuestFacts> {
    let mut guest = GuestFacts::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => guest.user = field.string()?,
            2 => guest.joined = field.number()? != 0,
            3 => guest.began = field.time()?,
            4 => guest.ended = Some(field.time()?),
            5 => guest.quality = Some(Box::new(read_quality(field.0)?)),
            _ => (), // A field of a newer version.
        }
    }
    Some(guest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Rng, UnixTime};

    fn facts() -> CallFacts {
        CallFacts {
            session: SessionId(7 << 120 | 9),
            from: "sip:1001@localhost".into(),
            to: "sip:1002@localhost".into(),
            from_name: "Änn".into(),
            began: UnixTime(1_700_000_000_000_001),
            rang: None,
            answered: Some(UnixTime(1_700_000_003_000_000)),
            ended: Some(UnixTime(1_700_000_009_000_000)),
            outcome: "answered".into(),
            hung_up_by: "caller".into(),
            status: 200,
            refusal: String::new(),
            call_id: "abc@host".into(),
            answered_by: "1002".into(),
            video: true,
            guests: vec![
                GuestFacts {
                    user: "1003".into(),
                    joined: true,
                    began: UnixTime(5),
                    ..GuestFacts::default()
                },
                GuestFacts {
                    ended: Some(UnixTime(7)),
                    quality: Some(Box::new(Quality { packets: 9, ..Quality::default() })),
                    ..GuestFacts::default()
                },
            ],
            quality: Some(Box::new([
                Quality {
                    packets: 500,
                    lost: 25,
                    holes: 20,
                    longest: 3,
                    late: 1,
                    twice: 2,
                    dropped: 3,
                    jitter: Duration::from_micros(2_500),
                    round_trip: Some(Duration::from_millis(80)),
                    told_lost: Some(12),
                    told_opinion: Some(41),
                    fragile: true,
                    capped: 9,
                },
                Quality::default(),
            ])),
            recordings: vec![RecordingFacts {
                name: "rec_1".into(),
                began: UnixTime(5),
                channels: 2,
                address: "/media/x.wav".into(),
                length: Duration::from_millis(1_500),
                octets: 24_044,
                end: "asked".into(),
            }],
        }
    }

    #[test]
    fn figures_are_shown_to_people_and_programs() {
        let sides = facts().quality.unwrap();
        let words = quality_words(&sides[0]);
        let begin =
            "500 packets, 4.8% lost (longest hole 3), jitter 2 ms, round trip 80 ms, MOS about ";
        assert!(words.starts_with(begin), "{words}");
        let shown = quality_json(Some(&sides));
        assert_eq!(shown["caller"]["round_trip_ms"], 80.0);
        assert_eq!(shown["callee"]["mos"], Value::Null);
        assert_eq!(quality_json(None), Value::Null);
    }

    #[test]
    fn a_record_round_trips_and_others_are_not_taken_for_one() {
        assert_eq!(CallFacts::decode(&facts().encode()), Some(facts()));
        assert_eq!(CallFacts::decode(&CallFacts::default().encode()), Some(CallFacts::default()));
        let mut other = tagged::Writer::new();
        other.text(1, "conference").number(2, 5);
        assert_eq!(CallFacts::decode(&other.finish()), None);
        assert_eq!(CallFacts::decode(b""), None);
    }

    #[test]
    fn hostile_octets_never_panic() {
        let good = facts().encode();
        let mut rng = Rng::from_number(14);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let _ = CallFacts::decode(&bytes);
        }
    }
}
