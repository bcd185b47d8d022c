//! The record of a call as the keeper has it: written by the room that owns the call, read by the one that keeps records.

use types::{SessionId, tagged};

use crate::notice::{CallFacts, GuestFacts};

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
            });
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
                _ => (), // A field of a newer version.
            }
        }
        marked.then_some(facts)
    }
}

fn guest(bytes: &[u8]) -> Option<GuestFacts> {
    let mut guest = GuestFacts::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => guest.user = field.string()?,
            2 => guest.joined = field.number()? != 0,
            3 => guest.began = field.time()?,
            4 => guest.ended = Some(field.time()?),
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
                GuestFacts { user: "1003".into(), joined: true, began: UnixTime(5), ended: None },
                GuestFacts { ended: Some(UnixTime(7)), ..GuestFacts::default() },
            ],
        }
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
