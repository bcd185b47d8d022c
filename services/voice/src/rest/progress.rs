//! What apps are told while a call goes on, and what the API keeps beside it.
//!
//! Spec: programmable-voice §2 (Call statusCallback)

use types::{UnixTime, tagged};

/// How far a call is, for whoever is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was answered.
    Answered,
    /// It is over.
    Completed,
    /// Whoever is called is being reached.
    Initiated,
    /// A phone rings.
    Ringing,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Completed, Self::Initiated, Self::Ringing];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
        }
    }
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// An app made the call.
    pub made: bool,
    /// A phone rang.
    pub rang: bool,
    /// Words of the stages that are told; empty: the end alone.
    pub stages: Vec<String>,
    /// How often something was told.
    pub told: u32,
    /// Errors and warnings that were kept.
    pub notes: u32,
    /// When the call ends at the latest.
    pub until: Option<UnixTime>,
}

impl Progress {
    /// Whether this stage is told.
    pub fn tells(&self, stage: Stage) -> bool {
        match self.stages.is_empty() {
            true => stage == Stage::Completed,
            false => self.stages.iter().any(|word| word == stage.word()),
        }
    }

    /// The number of what is told next.
    pub fn number(&mut self) -> String {
        let number = self.told;
        self.told += 1;
        number.to_string()
    }

    /// As tagged fields.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        writer.number(1, self.made.into()).number(2, self.rang.into());
        for word in &self.stages {
            writer.text(3, word);
        }
        writer.number(4, self.told.into());
        if let Some(until) = self.until {
            writer.time(5, until);
        }
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut progress = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => progress.made = field.number() == Some(1),
                2 => progress.rang = field.number() == Some(1),
                3 => progress.stages.extend(field.string()),
                4 => progress.told = field.number().unwrap_or(0) as u32,
                5 => progress.until = field.time(),
                _ => (), // A field of a newer version.
            }
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_unless_others_are_wanted() {
        let mut progress = Progress::default();
        assert!(progress.tells(Stage::Completed) && !progress.tells(Stage::Ringing));
        progress.stages = vec!["ringing".into(), "answered".into()];
        assert!(progress.tells(Stage::Ringing) && !progress.tells(Stage::Completed));
        assert_eq!((progress.number(), progress.number()), ("0".into(), "1".into()));
        progress.until = Some(UnixTime(5));
        let mut writer = tagged::Writer::new();
        progress.encode(&mut writer);
        assert_eq!(Progress::decode(&writer.finish()), progress);
    }
}
