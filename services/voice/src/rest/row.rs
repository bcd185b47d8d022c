//! A call as the API shows it, live or over.
//!
//! Spec: programmable-voice §6.3 (Call)

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::{UnixTime, tagged};

use crate::call::date;

/// What apps know of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its name.
    pub sid: String,
    /// The call that it is a part of; empty: of none.
    pub parent: String,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// `queued`, `ringing`, `in-progress`, `completed`, `busy`, `failed`, `no-answer` or `canceled`.
    pub status: String,
    /// `inbound`, `outbound-api` or `outbound-dial`.
    pub direction: String,
    /// Our number in it; empty: none.
    pub number: String,
    /// Who forwarded it; empty: nobody.
    pub forwarded: String,
    /// The caller's name; empty: he gave none.
    pub name: String,
    /// `human`, `machine_start`, …; empty: nobody listened for that.
    pub answered_by: String,
    /// When it began.
    #[serde(with = "micros")]
    pub began: UnixTime,
    /// When it was answered.
    #[serde(with = "some")]
    pub answered: Option<UnixTime>,
    /// When it ended.
    #[serde(with = "some")]
    pub ended: Option<UnixTime>,
}

impl Row {
    /// When it starts, for apps: with the answer, or else with the first word of it.
    pub fn start(&self) -> UnixTime {
        self.answered.unwrap_or(self.began)
    }

    /// As a text for the store, and between shards.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What [`text`](Self::text) wrote.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Behind what is written of the call already.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        writer.text(1, &self.text());
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (_, text) = tagged::Reader::new(bytes).find(|(tag, _)| *tag == 1)?;
        Self::read(&text.string()?)
    }

    /// The mark by which a list goes on behind it.
    pub fn mark(&self) -> String {
        format!("{}_{}", self.began.0, self.sid)
    }

    /// What [`mark`](Self::mark) wrote; an empty one stands before all.
    pub fn unmark(text: &str) -> Option<(UnixTime, String)> {
        if text.is_empty() {
            return Some((UnixTime(i64::MAX as u64), String::new()));
        }
        let (began, sid) = text.split_once('_')?;
        Some((UnixTime(began.parse().ok().filter(|at| *at <= i64::MAX as u64)?), sid.to_owned()))
    }

    /// As apps read it.
    pub fn json(&self, account: &str) -> Value {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let uri = format!("/2010-04-01/Accounts/{account}/Calls/{}", self.sid);
        let part = |name: &str| format!("{uri}/{name}.json");
        let number = super::number_sid(&self.number);
        json!({
            "sid": self.sid,
            "date_created": date(self.began),
            "date_updated": date(self.ended.or(self.answered).unwrap_or(self.began)),
            "parent_call_sid": some(&self.parent),
            "account_sid": account,
            "to": self.to,
            "to_formatted": formatted(&self.to),
            "from": self.from,
            "from_formatted": formatted(&self.from),
            "phone_number_sid": number,
            "status": self.status,
            "start_time": (self.answered.is_some() || self.ended.is_some()).then(|| date(self.start())),
            "end_time": self.ended.map(date),
            "duration": self.ended.map(|ended| {
                self.answered.map_or(0, |answered| ended.since(answered).as_secs()).to_string()
            }),
            "price": null,
            "price_unit": null,
            "direction": self.direction,
            "answered_by": some(&self.answered_by),
            "api_version": "2010-04-01",
            "forwarded_from": some(&self.forwarded),
            "group_sid": null,
            "caller_name": some(&self.name),
            "queue_time": "0",
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
            "subresource_uris": {
                "notifications": part("Notifications"),
                "recordings": part("Recordings"),
                "payments": part("Payments"),
                "events": part("Events"),
                "siprec": part("Siprec"),
                "streams": part("Streams"),
                "transcriptions": part("Transcriptions"),
                "user_defined_message_subscriptions": part("UserDefinedMessageSubscriptions"),
                "user_defined_messages": part("UserDefinedMessages"),
            },
        })
    }
}

/// `+15550100123` is `(555) 010-0123`; others stay as they are.
fn formatted(text: &str) -> String {
    let digits = text.strip_prefix("+1").filter(|rest| rest.len() == 10);
    let digits = digits.filter(|rest| rest.bytes().all(|octet| octet.is_ascii_digit()));
    match digits.map(|all| (all.get(..3), all.get(3..6), all.get(6..))) {
        Some((Some(area), Some(office), Some(line))) => format!("({area}) {office}-{line}"),
        Some(_) | None => text.to_owned(),
    }
}

/// Moments as microseconds.
mod micros {
    use serde::{Deserialize, Deserializer, Serializer};
    use types::UnixTime;

    pub fn serialize<S: Serializer>(time: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(from).map(UnixTime)
    }
}

/// The same where there may be none.
mod some {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use types::UnixTime;

    pub fn serialize<S: Serializer>(time: &Option<UnixTime>, to: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.0).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UnixTime>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(UnixTime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = Row {
            sid: "CA1".into(),
            to: "+15550100123".into(),
            status: "completed".into(),
            began: UnixTime::seconds(1_800_000_000),
            answered: Some(UnixTime::seconds(1_800_000_003)),
            ended: Some(UnixTime::seconds(1_800_000_010)),
            ..Row::default()
        };
        let mut writer = tagged::Writer::new();
        row.encode(&mut writer);
        assert_eq!(Row::decode(&writer.finish()), Some(row.clone()));
        assert_eq!(Row::decode(b"\x01\x02{}"), Some(Row::default()));
        assert_eq!(Row::unmark(&row.mark()), Some((row.began, "CA1".to_owned())));
        let shown = row.json("AC1");
        assert_eq!(
            (&shown["duration"], &shown["to_formatted"]),
            (&json!("7"), &json!("(555) 010-0123"))
        );
        assert_eq!(shown["parent_call_sid"], Value::Null);
        for odd in ["x", "_", "1", "99999999999999999999_CA1"] {
            assert_eq!(Row::unmark(odd), None, "{odd}");
        }
    }
}
