//! The record of a call as tagged fields: written by the owner of the call, read by whoever keeps records.

use types::{SessionId, UnixTime, tagged};

use crate::notice::CallFacts;

impl CallFacts {
    /// As tagged fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(200));
        writer.number(1, self.session.0).text(2, &self.from).text(3, &self.to);
        writer.number(4, self.began.0.into());
        let texts = [
            (5, &self.from_name),
            (6, &self.outcome),
            (7, &self.hung_up_by),
            (8, &self.refusal),
            (9, &self.call_id),
        ];
        for (tag, text) in texts {
            if !text.is_empty() {
                writer.text(tag, text);
            }
        }
        for (tag, time) in [(10, self.rang), (11, self.answered), (12, self.ended)] {
            if let Some(time) = time {
                writer.number(tag, time.0.into());
            }
        }
        writer.number(13, self.status.into());
        writer.finish()
    }

    /// What [`encode`](Self::encode) wrote; `None` when it names no session.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            let text = || field.text().unwrap_or_default().to_owned();
            let time = || field.number().map(|number| UnixTime(number as u64));
            match tag {
                1 => facts.session = SessionId(field.number()?),
                2 => facts.from = text(),
                3 => facts.to = text(),
                4 => facts.began = time()?,
                5 => facts.from_name = text(),
                6 => facts.outcome = text(),
                7 => facts.hung_up_by = text(),
                8 => facts.refusal = text(),
                9 => facts.call_id = text(),
                10 => facts.rang = time(),
                11 => facts.answered = time(),
                12 => facts.ended = time(),
                13 => facts.status = field.number()? as u16,
                _ => (), // A field of a newer version.
            }
        }
        (facts.session != SessionId::default()).then_some(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_log() {
        let facts = CallFacts {
            session: SessionId(7),
            from: "sip:1001@localhost".into(),
            to: "sip:1002@localhost".into(),
            began: UnixTime(5),
            answered: Some(UnixTime(6)),
            outcome: "answered".into(),
            status: 200,
            ..CallFacts::default()
        };
        assert_eq!(CallFacts::decode(&facts.encode()), Some(facts));
        assert_eq!(CallFacts::decode(b"\x02\x01x"), None);
    }
}
