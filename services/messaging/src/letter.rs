//! One message: what is kept of it while it waits, and what is told when it is over.

use types::{MessageId, SessionId, UnixTime, tagged};

/// What tells the record of a message from other records.
const MARK: &str = "message";

/// A message on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    /// Its session; the message's id is the same number.
    pub session: SessionId,
    /// From for the copies: a name-addr without a tag.
    pub from: String,
    /// The sender's address, for people.
    pub from_uri: String,
    /// The user it is for.
    pub to: String,
    /// Header fields that travel with it.
    pub headers: Vec<(String, String)>,
    /// Type of the body.
    pub content_type: String,
    /// The body as it came.
    pub body: Vec<u8>,
    /// When it was taken.
    pub sent: UnixTime,
    /// When it is thrown away; the moment of sending itself: it is not stored at all.
    pub until: UnixTime,
    /// Tries so far. It counts up before a try, so that no two copies to one phone have the same number.
    pub tries: u32,
}

impl Letter {
    /// Its id.
    pub fn id(&self) -> MessageId {
        MessageId(self.session.0)
    }

    /// Octets that it takes.
    pub fn octets(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + self.from.len() + self.to.len() + headers + 200
    }

    /// As tagged fields, for the keeper.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(self.octets()));
        writer.text(1, &self.from).text(2, &self.from_uri).text(3, &self.to);
        for (name, value) in &self.headers {
            writer.text(4, name).text(5, value);
        }
        writer.text(6, &self.content_type).bytes(7, &self.body);
        writer.time(8, self.sent).time(9, self.until);
        writer.number(10, self.tries.into());
        writer.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote, in this version or a neighbouring one.
    pub fn decode(session: SessionId, bytes: &[u8]) -> Option<Self> {
        let mut letter = Self { session, ..Self::default() };
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => letter.from = field.string()?,
                2 => letter.from_uri = field.string()?,
                3 => letter.to = field.string()?,
                4 => letter.headers.push((field.string()?, String::new())),
                5 => letter.headers.last_mut()?.1 = field.string()?,
                6 => letter.content_type = field.string()?,
                7 => letter.body = field.0.to_vec(),
                8 => letter.sent = field.time()?,
                9 => letter.until = field.time()?,
                10 => letter.tries = u32::try_from(field.number()?).ok()?,
                _ => (), // A field of a newer version.
            }
        }
        (!letter.to.is_empty()).then_some(letter)
    }
}

/// What SQL keeps of a message that is over. The text is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: MessageId,
    /// The sender's address.
    pub from: String,
    /// The address it was for.
    pub to: String,
    /// Type of the body.
    pub content_type: String,
    /// Octets of the body.
    pub size: u32,
    /// When it was taken.
    pub sent: UnixTime,
    /// When it was over.
    pub ended: UnixTime,
    /// `delivered`, `expired`, `refused` or `dropped`.
    pub outcome: String,
}

impl Record {
    /// As tagged fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(200));
        writer.text(1, MARK).number(2, self.id.0).text(3, &self.from).text(4, &self.to);
        writer.text(5, &self.content_type).number(6, self.size.into());
        writer.time(7, self.sent).time(8, self.ended);
        writer.text(9, &self.outcome);
        writer.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for any other record.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut record = Self::default();
        let mut marked = false;
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => marked = field.0 == MARK.as_bytes(),
                2 => record.id = MessageId(field.number()?),
                3 => record.from = field.string()?,
                4 => record.to = field.string()?,
                5 => record.content_type = field.string()?,
                6 => record.size = u32::try_from(field.number()?).ok()?,
                7 => record.sent = field.time()?,
                8 => record.ended = field.time()?,
                9 => record.outcome = field.string()?,
                _ => (), // A field of a newer version.
            }
        }
        marked.then_some(record)
    }
}

/// A moment as SIP's Date wants it.
///
/// Spec: RFC 3261 §20.17
pub fn date(time: UnixTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = DAYS[(time.0 / 86_400_000_000 % 7) as usize];
    // `2026-01-31T12:00:00.000Z`.
    let text = time.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse().ok().and_then(|month: usize| MONTHS.get(month.checked_sub(1)?));
    let month = month.copied().unwrap_or_default();
    format!("{day}, {} {month} {} {} GMT", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Rng;

    fn letter() -> Letter {
        Letter {
            session: SessionId(7 << 120 | 9),
            from: "\"Ann\" <sip:1001@localhost>".into(),
            from_uri: "sip:1001@localhost".into(),
            to: "1002".into(),
            headers: vec![("Subject".into(), "x".into()), ("Priority".into(), "urgent".into())],
            content_type: "text/plain".into(),
            body: b"hello".to_vec(),
            sent: UnixTime(1_700_000_000_000_001),
            until: UnixTime(1_700_000_009_000_000),
            tries: 3,
        }
    }

    #[test]
    fn letters_and_records_round_trip() {
        assert_eq!(Letter::decode(letter().session, &letter().encode()), Some(letter()));
        let record = Record {
            id: letter().id(),
            from: "sip:a@x".into(),
            to: "sip:b@x".into(),
            content_type: "text/plain".into(),
            size: 5,
            sent: UnixTime(1),
            ended: UnixTime(2),
            outcome: "delivered".into(),
        };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        assert_eq!(Record::decode(&letter().encode()), None);
    }

    #[test]
    fn hostile_octets_never_panic() {
        let good = letter().encode();
        let mut rng = Rng::from_number(17);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let _ = (Letter::decode(SessionId(1), &bytes), Record::decode(&bytes));
        }
    }

    #[test]
    fn dates_are_written_as_sip_wants() {
        assert_eq!(date(UnixTime(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(UnixTime::seconds(1_800_000_000)), "Fri, 15 Jan 2027 08:00:00 GMT");
    }
}
