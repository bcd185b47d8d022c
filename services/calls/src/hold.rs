//! Music for whoever is kept waiting.
//!
//! Picture     Hold --the one who holds says nothing for SILENCE--> Music --he is heard--> Hold
//!             either --he takes sound again, or the other wants none--> nothing
//! Rules       A phone that plays something of its own to the one who waits is left alone, for as long as it does. Where
//!             a guest talks, too, nobody waits.
//! Limits      SILENCE.
//! Not here    Who waits (switchboard::pair), playing and loudness (media), files (shell).
//! Spec        RFC 3264 §8.4

use std::time::Duration;

use media::{ClipId, Command, Event, Play, Seat, Side, StreamKey};
use switchboard::ladder::Lane;
use switchboard::pair::Pair;
use switchboard::{ClipFact, ClipSource, Effects, SoundFault};
use types::{CallId, SessionId};

use crate::Room;
use crate::call::{Call, State};
use crate::transfer::Moving;

/// How long the one who holds must have said nothing.
const SILENCE: Duration = Duration::from_secs(1);

/// The setting that stands for the music that comes with the server.
pub const HOUSE: &str = "house";

/// Somebody is kept waiting.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    stream: StreamKey,
    /// Who waits.
    waits: Side,
    /// What is played to him.
    clip: Option<ClipId>,
    /// The one who holds says nothing.
    silent: bool,
    /// The music that plays, as the pump knows it.
    sound: Option<u64>,
}

impl Hold {
    fn holder(&self) -> Seat {
        self.waits.other().into()
    }

    /// Plays or falls silent, whichever is due.
    fn settle(&mut self, effects: &mut Effects<'_>) {
        let (stream, seat) = (self.stream, Some(self.waits.into()));
        match (self.silent, self.clip, self.sound) {
            (true, Some(clip), None) => {
                let sound = effects.rng().next_u64();
                let play = Play::Clips { clips: vec![clip], from: Duration::ZERO, times: 0 };
                effects.media(Command::Play { stream, seat, play, sound, alone: true });
                self.sound = Some(sound);
                effects.count("calls.hold_music");
            }
            (false, _, Some(sound)) => {
                effects.media(Command::Stop { stream, seat, sound: Some(sound) });
                self.sound = None;
            }
            (_, _, _) => (),
        }
    }

    fn end(mut self, effects: &mut Effects<'_>) {
        self.silent = false;
        self.settle(effects);
        let (stream, seat) = (self.stream, self.holder());
        effects.media(Command::Listen { stream, seat, silence: None });
    }
}

impl Call {
    /// Who waits, when that is settled and nobody else talks to him.
    fn waiting(&self) -> Option<Side> {
        let talks = matches!(self.state, State::Talking { .. });
        let guest = self.guests.iter().any(|guest| guest.joined);
        self.pair.waiting().filter(|_| talks && !guest)
    }

    /// Whether a change of its descriptions is under way, so that nobody knows yet who will wait.
    pub fn is_unsettled(&self) -> bool {
        let joining = matches!(self.moving.as_deref(), Some(Moving::Joining(_)));
        self.changing.is_some() || self.late.is_some() || joining
    }
}

impl Room {
    /// Whoever waits in this pair will hear music.
    pub(crate) fn entertain(&self, pair: &mut Pair) {
        if !self.config.hold_music.is_empty() {
            pair.entertain();
        }
    }

    /// Looks whether somebody is kept waiting in a call, or not any more.
    pub(crate) fn see_hold(&mut self, session: SessionId, effects: &mut Effects<'_>) {
        if self.config.hold_music.is_empty() {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.hold.is_none() && call.pair.waiting().is_none() || call.is_unsettled() {
            return;
        }
        let (waits, bridge) = (call.waiting(), call.pair.bridge());
        let same = |hold: &Hold| Some(hold.waits) == waits && hold.stream.bridge == bridge;
        if call.hold.as_deref().is_some_and(same) {
            return;
        }
        if let Some(hold) = call.hold.take() {
            hold.end(effects);
        }
        let Some(waits) = waits else { return };
        let Some(stream) = call.pair.take_apart(effects) else { return };
        let hold = Hold { stream, waits, clip: None, silent: false, sound: None };
        let (seat, silence) = (hold.holder(), Some(SILENCE));
        effects.media(Command::Listen { stream, seat, silence });
        call.hold = Some(Box::new(hold));
        self.ask_for_music(session, self.music, effects);
    }

    /// Asks for the clip: by its name where that is known, else by where it comes from.
    fn ask_for_music(
        &mut self,
        session: SessionId,
        known: Option<ClipId>,
        effects: &mut Effects<'_>,
    ) {
        let source = known.map(ClipSource::Known);
        let ticket = effects.clip(source.unwrap_or_else(|| source_of(&self.config.hold_music)));
        self.tickets.insert(ticket, session);
    }

    /// The clip is there, or not.
    pub(crate) fn music_came(
        &mut self,
        session: SessionId,
        came: Result<ClipFact, SoundFault>,
        effects: &mut Effects<'_>,
    ) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(hold) = call.hold.as_deref_mut() else { return };
        match came {
            Ok(clip) => {
                hold.clip = Some(clip.id);
                hold.settle(effects);
                self.music = Some(clip.id);
            }
            // It was deleted, or had to give way, and is made anew.
            Err(_) if self.music.take().is_some() => self.ask_for_music(session, None, effects),
            Err(fault) => {
                let words = format!("no music for the one who waits: {fault}");
                effects.ladder(CallId(session.0), Lane::Note, &words);
                effects.count("calls.no_hold_music");
            }
        }
    }

    /// The one who holds is heard, or not any more.
    pub(crate) fn holder_heard(
        &mut self,
        session: SessionId,
        event: &Event,
        effects: &mut Effects<'_>,
    ) {
        let (Event::Silent { stream, seat, .. } | Event::Voiced { stream, seat }) = event else {
            return;
        };
        let silent = matches!(event, Event::Silent { .. });
        let hold = self.calls.get_mut(&session).and_then(|call| call.hold.as_deref_mut());
        if let Some(hold) = hold.filter(|hold| hold.stream == *stream && hold.holder() == *seat) {
            hold.silent = silent;
            hold.settle(effects);
        }
    }
}

/// What a setting names: music of ours, a clip of the library by its address, or a file of somebody's server.
fn source_of(setting: &str) -> ClipSource {
    let name = setting.strip_prefix("/media/").and_then(|file| file.get(..32));
    match name.and_then(|name| u128::from_str_radix(name, 16).ok()) {
        _ if setting == HOUSE => {
            ClipSource::Bytes { bytes: switchboard::music::wav().to_vec(), even: false }
        }
        Some(id) => ClipSource::Known(ClipId(id)),
        None => ClipSource::Url { url: setting.to_owned(), even: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_a_clip() {
        assert!(matches!(source_of(HOUSE), ClipSource::Bytes { bytes, .. } if bytes.len() > 1000));
        let known = format!("/media/{}.wav", "0f".repeat(32));
        let ClipSource::Known(ClipId(id)) = source_of(&known) else { panic!("no clip") };
        assert_eq!(format!("{id:032x}"), "0f".repeat(16));
        for url in ["http://127.0.0.1/music.mp3", "/media/short", "/media/"] {
            assert!(matches!(source_of(url), ClipSource::Url { url: asked, .. } if asked == url));
        }
    }
}
