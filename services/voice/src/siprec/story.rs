//! What a recording server is told of the call: who takes part, and whose sound each stream is.
//!
//! Rules       Told whole with the INVITE, and then only what has changed. Whoever joins in the place of another gets a name of
//!             his own, and the other has left. Who holds does not hear.
//! Limits      [`PARAMETERS_MAX`] values of an app, [`TEXT_MAX`] octets of each text: what is beyond is left out.
//! Spec        RFC 7865 §6, RFC 7866 §9

use media::Direction;
use types::{UnixTime, tagged};
use xml::{
    RecordedParticipant, RecordedSession, RecordedShare, RecordedStream, RecordingId,
    RecordingMetadata, Span,
};

/// Values of an app that are told.
pub const PARAMETERS_MAX: usize = 99;
/// Octets of a name, an address or a value.
pub const TEXT_MAX: usize = 500;

/// Who is at one end, and whether he hears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub aor: String,
    pub name: String,
}

/// The call as it is at a moment: who is near, who is far, whether the one who is near hears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    pub near: Person,
    pub far: Person,
    pub hears: bool,
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    session: u128,
    began: UnixTime,
    /// Names of the two persons.
    near: u128,
    far: u128,
    /// What was told last.
    scene: Scene,
    /// Each of the streams, and whose: what is said, or what is heard.
    streams: Vec<(u128, Direction)>,
}

impl Story {
    pub fn new(
        scene: Scene,
        tracks: &[Direction],
        now: UnixTime,
        mut name: impl FnMut() -> u128,
    ) -> Self {
        let streams = tracks.iter().map(|track| (name(), *track)).collect();
        Self { session: name(), began: now, near: name(), far: name(), scene, streams }
    }

    /// All of it, for a server that knows nothing yet.
    pub fn whole(&self, parameters: &[(String, String)]) -> String {
        let id = RecordingId(self.session);
        let parameters = parameters.iter().take(PARAMETERS_MAX);
        let stream = |(place, (name, _)): (usize, &(u128, Direction))| RecordedStream {
            id: RecordingId(*name),
            session: id,
            label: (place + 1).to_string(),
        };
        let since = Span { from: Some(self.began.to_string()), until: None };
        let told = RecordingMetadata {
            complete: true,
            session: Some(RecordedSession {
                id,
                began: since.from.clone(),
                ended: None,
                parameters: parameters.map(|(name, value)| (cut(name), cut(value))).collect(),
            }),
            participants: vec![
                participant(self.near, &self.scene.near),
                participant(self.far, &self.scene.far),
            ],
            streams: self.streams.iter().enumerate().map(stream).collect(),
            recorded: vec![(id, since.clone())],
            took_part: [self.near, self.far]
                .map(|person| (RecordingId(person), id, since.clone()))
                .to_vec(),
            shares: vec![self.near_share(), self.far_share()],
        };
        told.encode()
    }

    /// The call is like this now: what the server is told of it; `None`: it knows.
    pub fn change(
        &mut self,
        scene: Scene,
        now: UnixTime,
        mut name: impl FnMut() -> u128,
    ) -> Option<String> {
        if scene == self.scene {
            return None;
        }
        let (id, now) = (RecordingId(self.session), now.to_string());
        let mut told = RecordingMetadata::default();
        let before = std::mem::replace(&mut self.scene, scene);
        let ends = [
            (&mut self.near, &before.near, &self.scene.near),
            (&mut self.far, &before.far, &self.scene.far),
        ];
        for (person, old, new) in ends {
            if old == new {
                continue;
            }
            let gone = Span { from: None, until: Some(now.clone()) };
            told.took_part.push((RecordingId(*person), id, gone));
            *person = name();
            let come = Span { from: Some(now.clone()), until: None };
            told.took_part.push((RecordingId(*person), id, come));
            told.participants.push(participant(*person, new));
        }
        let far_changed = before.far != self.scene.far;
        if before.near != self.scene.near || before.hears != self.scene.hears {
            told.shares.push(self.near_share());
        }
        if far_changed {
            told.shares.push(self.far_share());
        }
        Some(told.encode())
    }

    fn near_share(&self) -> RecordedShare {
        let hears = if self.scene.hears { self.of(Direction::Out) } else { Vec::new() };
        let participant = RecordingId(self.near);
        RecordedShare { participant, sends: self.of(Direction::In), hears }
    }

    fn far_share(&self) -> RecordedShare {
        let participant = RecordingId(self.far);
        RecordedShare { participant, sends: self.of(Direction::Out), hears: self.of(Direction::In) }
    }

    fn of(&self, direction: Direction) -> Vec<RecordingId> {
        let fits = self.streams.iter().filter(|(_, of)| *of == direction);
        fits.map(|(name, _)| RecordingId(*name)).collect()
    }

    /// As tagged fields.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        writer.number(1, self.session).number(2, self.began.0.into());
        writer.number(3, self.near).number(4, self.far);
        for (tag, person) in [(5, &self.scene.near), (6, &self.scene.far)] {
            writer.nested(tag, |writer| {
                writer.text(1, &person.aor).text(2, &person.name);
            });
        }
        writer.number(7, self.scene.hears.into());
        for (name, direction) in &self.streams {
            writer.nested(8, |writer| {
                writer.number(1, *name).number(2, (*direction == Direction::Out).into());
            });
        }
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut story = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = field.number().unwrap_or(0);
            match tag {
                1 => story.session = number,
                2 => story.began = UnixTime(number as u64),
                3 => story.near = number,
                4 => story.far = number,
                5 => story.scene.near = person(field.0),
                6 => story.scene.far = person(field.0),
                7 => story.scene.hears = number == 1,
                8 => {
                    let (mut name, mut direction) = (0, Direction::In);
                    for (tag, field) in tagged::Reader::new(field.0) {
                        match (tag, field.number()) {
                            (1, known) => name = known.unwrap_or(0),
                            (2, Some(1)) => direction = Direction::Out,
                            (_, _) => (), // A field of a newer version.
                        }
                    }
                    story.streams.push((name, direction));
                }
                _ => (), // A field of a newer version.
            }
        }
        story
    }
}

fn person(bytes: &[u8]) -> Person {
    let (aor, name) = crate::call::read_pair(bytes);
    Person { aor, name }
}

fn participant(name: u128, person: &Person) -> RecordedParticipant {
    RecordedParticipant {
        id: RecordingId(name),
        aor: cut(&person.aor),
        display: (!person.name.is_empty()).then(|| cut(&person.name)),
    }
}

/// As much of a text as is told.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(far: &str, hears: bool) -> Scene {
        let person = |aor: &str| Person { aor: aor.into(), name: String::new() };
        Scene { near: person("sip:alice@example.com"), far: person(far), hears }
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut names = 0..;
        let mut name = move || names.next().unwrap_or(0);
        let tracks = [Direction::In, Direction::Out];
        let began = UnixTime::parse("2026-11-22T10:00:00Z").unwrap();
        let mut story = Story::new(scene("sip:shop@example.com", true), &tracks, began, &mut name);
        let parameters = [("case".to_owned(), "7".to_owned())];
        let whole = story.whole(&parameters);
        for part in [
            "<datamode>complete</datamode>",
            "aor=\"sip:alice@example.com\"",
            "aor=\"sip:shop@example.com\"",
            "<label>1</label>",
            "<label>2</label>",
            ">7</parameter>",
            "<associate-time>2026-11-22T10:00:00",
        ] {
            assert!(whole.contains(part), "{part}: {whole}");
        }
        let now = UnixTime::parse("2026-11-22T10:00:09Z").unwrap();
        assert_eq!(story.change(scene("sip:shop@example.com", true), now, &mut name), None);
        let held = story.change(scene("sip:shop@example.com", false), now, &mut name).unwrap();
        assert!(held.contains("<datamode>partial</datamode><participantstreamassoc"), "{held}");
        assert!(held.contains("<send>") && !held.contains("<recv>"), "{held}");
        // As it is kept, it goes on.
        let mut writer = tagged::Writer::new();
        story.encode(&mut writer);
        let mut story = Story::decode(&writer.finish());
        let bob = story.change(scene("sip:bob@example.com", false), now, &mut name).unwrap();
        assert!(bob.contains("aor=\"sip:bob@example.com\"") && !bob.contains("alice"), "{bob}");
        let (left, came) = (bob.find("<disassociate-time>"), bob.find("<associate-time>"));
        assert!(left.is_some() && came.is_some(), "{bob}");
        assert_eq!(bob.matches("<participantstreamassoc").count(), 1);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(TEXT_MAX);
        assert_eq!(cut(&long).len(), TEXT_MAX);
        assert_eq!(cut("short"), "short");
    }
}
