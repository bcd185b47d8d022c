//! What lasts of a conference.

use switchboard::Effects;
use types::{CallId, SessionId, UnixTime, tagged};

use super::record::{Taping, Wish};
use super::teller::Teller;
use super::{Conference, Member, RETURN_MAX, Tickets};
use crate::word::Link;

/// What the state of a conference says that it is.
pub const KIND: &str = "conference";

impl Conference {
    /// As tagged fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(512));
        writer.text(200, KIND).text(2, &self.name).text(3, &self.sid);
        writer.time(4, self.began).time(5, self.changed).number(6, self.started.into());
        for member in &self.members {
            writer.nested(7, |writer| member.write(writer));
        }
        writer.number(8, self.numbered.into());
        if let Some((link, events)) = &self.status {
            writer.nested(9, |writer| {
                write_link(link, writer);
                writer.text(3, &events.join(" "));
            });
        }
        writer.nested(10, |writer| self.teller.encode(writer));
        if let Some(wish) = &self.record {
            writer.nested(11, |writer| {
                writer.number(3, wish.trim.into());
                if let Some(link) = &wish.link {
                    write_link(link, writer);
                }
            });
        }
        for taping in self.taping.iter().chain(&self.kept) {
            writer.nested(12, |writer| {
                writer.text(3, &taping.name).text(4, &taping.sid).time(5, taping.since);
                if let Some(link) = &taping.link {
                    write_link(link, writer);
                }
            });
        }
        writer.finish()
    }

    /// What [`encode`](Self::encode) wrote; who was in it comes back by himself.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> (Self, Tickets) {
        let mut conference = Self::new(session, "", effects);
        let mut tickets = Vec::new();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                2 => conference.name = field.string().unwrap_or_default(),
                3 => conference.sid = field.string().unwrap_or_default(),
                4 => conference.began = field.time().unwrap_or_default(),
                5 => conference.changed = field.time().unwrap_or_default(),
                6 => conference.started = field.number() == Some(1),
                7 => conference.members.push(Member::read(field.0)),
                8 => {
                    let numbered = field.number().and_then(|number| u64::try_from(number).ok());
                    conference.numbered = numbered.unwrap_or(0);
                }
                9 => {
                    let mut events = "";
                    for (tag, field) in tagged::Reader::new(field.0) {
                        if tag == 3 {
                            events = field.text().unwrap_or("");
                        }
                    }
                    let events = events.split_whitespace().map(str::to_owned).collect();
                    conference.status = read_link(field.0).map(|link| (link, events));
                }
                10 => conference.teller = Teller::decode(field.0),
                11 => {
                    let mut wish = Wish { trim: false, link: read_link(field.0) };
                    for (tag, field) in tagged::Reader::new(field.0) {
                        if tag == 3 {
                            wish.trim = field.number() == Some(1);
                        }
                    }
                    conference.record = Some(wish);
                }
                12 => {
                    let taping = read_taping(field.0, effects);
                    tickets.push(taping.ticket);
                    conference.kept.push(taping);
                }
                _ => (), // A field of a newer version.
            }
        }
        let ticket = effects.set_timer(effects.now() + RETURN_MAX);
        conference.returning = Some(ticket);
        tickets.push(ticket);
        tickets.extend(conference.teller.next(CallId(session.0), effects));
        (conference, tickets)
    }
}

/// The process that recorded it is gone: what it has of it is asked for.
fn read_taping(bytes: &[u8], effects: &mut Effects<'_>) -> Taping {
    let (mut name, mut sid, mut since) = (String::new(), String::new(), UnixTime(0));
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            3 => name = field.string().unwrap_or_default(),
            4 => sid = field.string().unwrap_or_default(),
            5 => since = field.time().unwrap_or_default(),
            _ => (), // The address, or a field of a newer version.
        }
    }
    let ticket = effects.recovered_recording(&name);
    let (tap, link) = (media::TapId(0), read_link(bytes));
    Taping { ticket, tap, name, since, sid, link }
}

fn write_link(link: &Link, writer: &mut tagged::Writer) {
    writer.text(1, &link.url).number(2, link.get.into());
}

fn read_link(bytes: &[u8]) -> Option<Link> {
    let mut link = Link::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => link.url = field.string().unwrap_or_default(),
            2 => link.get = field.number() == Some(1),
            _ => (), // What the address is for.
        }
    }
    Some(link).filter(|link| !link.url.is_empty())
}
