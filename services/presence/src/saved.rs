//! What the room keeps of a session: a watcher, or a publication.

use switchboard::notice::{LineFacts, LineState};
use types::{SessionId, UnixTime, tagged};

/// An event package that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Package {
    /// RFC 4575.
    Conference,
    /// RFC 4235.
    Dialog,
    /// RFC 3842.
    MessageSummary,
    /// RFC 3856.
    Presence,
    /// RFC 3680.
    Reg,
}

impl Package {
    /// Every package, in the order of Allow-Events.
    pub const ALL: [Self; 5] =
        [Self::Conference, Self::Dialog, Self::MessageSummary, Self::Presence, Self::Reg];

    /// As Event says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conference => "conference",
            Self::Dialog => "dialog",
            Self::MessageSummary => "message-summary",
            Self::Presence => "presence",
            Self::Reg => "reg",
        }
    }

    /// The type of its documents.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Conference => xml::Conference::CONTENT_TYPE,
            Self::Dialog => "application/dialog-info+xml",
            Self::MessageSummary => "application/simple-message-summary",
            Self::Presence => "application/pidf+xml",
            Self::Reg => "application/reginfo+xml",
        }
    }

    /// The package of this name. Case matters (RFC 6665 §8.2.1).
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|package| package.name().as_bytes() == name)
    }
}

/// A subscription as the room knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Who is watched.
    pub user: String,
    /// Who watches.
    pub watcher: String,
    /// What of him.
    pub package: Package,
}

/// What a phone published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Whose.
    pub user: String,
    /// Its tag of the moment.
    pub tag: String,
    /// When it ends.
    pub until: UnixTime,
    /// When its document came.
    pub since: UnixTime,
    /// The document.
    pub body: Vec<u8>,
}

/// A state as the keeper had it.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// A publication.
    Publication(Publication),
    /// A subscription, and the calls of its user.
    Watch(Watch, Vec<LineFacts>),
}

const WATCH: u128 = 1;
const PUBLICATION: u128 = 2;

impl Watch {
    /// With the calls of the user, so that a lamp is right behind a restart.
    pub fn encode<'a>(&self, lines: impl Iterator<Item = &'a LineFacts>) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.number(1, WATCH).text(2, &self.user).text(3, &self.watcher);
        writer.text(4, self.package.name());
        for line in lines {
            let mut inner = tagged::Writer::new();
            inner.number(1, line.call.0).text(2, &line.call_id).number(3, line.calls.into());
            inner.text(4, &line.remote).text(5, &line.remote_name);
            inner.number(6, line.state as u128);
            writer.bytes(5, &inner.finish());
        }
        writer.finish()
    }
}

impl Publication {
    /// As tagged fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::onto(Vec::with_capacity(self.body.len() + 100));
        writer.number(1, PUBLICATION).text(2, &self.user).text(6, &self.tag);
        writer.time(7, self.until).time(8, self.since).bytes(9, &self.body);
        writer.finish()
    }
}

impl Saved {
    /// Reads what was written, in this version or a neighbouring one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut kind, mut package, mut watcher) = (0, None, String::new());
        let mut one = Publication::default();
        let mut lines = Vec::new();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => kind = field.number()?,
                2 => one.user = field.string()?,
                3 => watcher = field.string()?,
                4 => package = Package::parse(field.0),
                5 => lines.extend(line(field.0)),
                6 => one.tag = field.string()?,
                7 => one.until = field.time()?,
                8 => one.since = field.time()?,
                9 => one.body = field.0.to_vec(),
                _ => (), // A field of a newer version.
            }
        }
        match kind {
            WATCH => {
                let watch = Watch { user: one.user, watcher, package: package? };
                Some(Self::Watch(watch, lines))
            }
            PUBLICATION => Some(Self::Publication(one)),
            _ => None,
        }
    }
}

fn line(bytes: &[u8]) -> Option<LineFacts> {
    let mut line = LineFacts {
        call: SessionId(0),
        call_id: String::new(),
        calls: false,
        remote: String::new(),
        remote_name: String::new(),
        state: LineState::Trying,
    };
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => line.call = SessionId(field.number()?),
            2 => line.call_id = field.string()?,
            3 => line.calls = field.number()? == 1,
            4 => line.remote = field.string()?,
            5 => line.remote_name = field.string()?,
            6 => {
                let all = [LineState::Trying, LineState::Early, LineState::Confirmed];
                line.state = *all.get(usize::try_from(field.number()?).ok()?)?;
            }
            _ => (),
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Rng;

    fn states() -> [Vec<u8>; 2] {
        let line = LineFacts {
            call: SessionId(7),
            call_id: "c".into(),
            calls: true,
            remote: "sip:x".into(),
            remote_name: String::new(),
            state: LineState::Confirmed,
        };
        let watch = Watch { user: "bob".into(), watcher: "alice".into(), package: Package::Dialog };
        let publication = Publication {
            user: "bob".into(),
            tag: "t".into(),
            until: UnixTime(9),
            since: UnixTime(8),
            body: b"<presence/>".to_vec(),
        };
        let (one, two) = (watch.encode(std::iter::once(&line)), publication.encode());
        assert_eq!(Saved::decode(&one), Some(Saved::Watch(watch, vec![line])));
        assert_eq!(Saved::decode(&two), Some(Saved::Publication(publication)));
        [one, two]
    }

    #[test]
    fn states_round_trip_and_hostile_octets_never_panic() {
        let mut rng = Rng::from_number(18);
        for good in states() {
            for _ in 0..10_000 {
                let mut bytes = good.clone();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(bytes.len() as u64) as usize;
                    bytes[at] = rng.below(256) as u8;
                }
                bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
                let _ = Saved::decode(&bytes);
            }
        }
    }
}
