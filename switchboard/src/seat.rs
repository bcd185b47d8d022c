//! The media of one leg that we answer ourselves, or that listens to a stream of others or joins it: we are its far side.
//!
//! Picture     its offer --answer--> ours; our offer --settle--> its answer; Admit, Aim, Shield and Take to the pump.
//!             its own stream --travel--> one where others sit, and back
//! Rules       One section of sound with keys, in the codec that the leg likes best of ours; others are refused. Its port stays for as long as it sits. It may go
//!             over to another stream with the port that it has. A browser has a path of its own to us, a phone with
//!             keys in its description has keys with us.
//! Limits      One port pair for each; `media::GUESTS_MAX` at one stream.
//! Not here    Who may (rooms), what is heard (media), the sides of the stream (pair).
//! Spec        RFC 3264 §6, RFC 4566.

use std::net::SocketAddr;
use std::time::Duration;

use media::g711::Law;
use media::{Codec, Command, Events, Format, Shield, Sound, StreamKey, Voice};
use sdp::{PlainFormat, Spoken};
use types::{SessionId, tagged};

use crate::browser::{Path, Turn};
use crate::effects::Effects;
use crate::keyring::{self, Ring};
use crate::leg::{LegCommand, Passed};
use crate::pair::{Refusal, Told, decode_told, encode_told};
use crate::sound;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Seat {
    stream: StreamKey,
    seat: media::Seat,
    port: u16,
    voice: Voice,
    told: Told,
    aim: Option<Aim>,
    /// Of a browser.
    path: Option<Path>,
    /// Keys of a phone.
    ring: Ring,
    /// The pump knows a path or keys of it.
    shielded: bool,
    /// The port that many share; 0: its own.
    by: u16,
}

/// Where it wants its packets, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Aim {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    receives: bool,
    sound: Sound,
    /// Which section of its description it is, and the payload types there.
    section: usize,
    types: Vec<u8>,
}

impl Seat {
    /// A place for a leg, with a port of its own.
    pub fn new(
        stream: StreamKey,
        seat: media::Seat,
        voice: Voice,
        effects: &mut Effects<'_>,
    ) -> Result<Self, Refusal> {
        let port = effects.port().ok_or(Refusal::NoPorts)?;
        let told = Told { session: effects.rng().next_u64() >> 33, version: 0, hash: 0 };
        effects.media(Command::Admit { stream, seat, port });
        let (path, ring, shielded) = (None, Ring::default(), false);
        Ok(Self { stream, seat, port, voice, told, aim: None, path, ring, shielded, by: 0 })
    }

    /// Which place.
    pub fn place(&self) -> media::Seat {
        self.seat
    }

    /// At which stream.
    pub fn stream(&self) -> StreamKey {
        self.stream
    }

    /// Who hears it.
    pub fn voice(&self) -> Voice {
        self.voice
    }

    /// Answers its offer; packets pass.
    pub fn answer(&mut self, sdp: &[u8], effects: &mut Effects<'_>) -> Result<Vec<u8>, Refusal> {
        let before = (self.path.clone(), self.ring.clone());
        let answered = self.answered(sdp, effects);
        if answered.is_err() {
            (self.path, self.ring) = before;
        }
        answered
    }

    fn answered(&mut self, sdp: &[u8], effects: &mut Effects<'_>) -> Result<Vec<u8>, Refusal> {
        let plain = self.hear(Turn::Offer, sdp, effects)?;
        let sdp = plain.as_deref().unwrap_or(sdp);
        let theirs = sdp::Session::decode(sdp).map_err(|_| Refusal::BadDescription)?;
        self.told.version += 1;
        let aim = self.read(&theirs, &self.offered(Turn::Answer, effects), effects)?;
        keyring::settle(&mut self.ring, effects.rng())?;
        self.share(aim.rtp, effects);
        let plain = sdp::answer(&theirs, &self.offered(Turn::Answer, effects));
        let answer = match &mut self.path {
            Some(path) => {
                let door = effects.door().ok_or(Refusal::NoDoor)?;
                let dressed = path.dress(Turn::Answer, &plain, &door, effects.rng());
                dressed.ok_or(Refusal::BadDescription)?
            }
            None => {
                let nobody = Ring::default();
                let keyed = self.ring.dress(&plain, &nobody, false, (true, true), effects.rng())?;
                keyed.unwrap_or(plain)
            }
        };
        self.aim = Some(aim);
        self.tell(effects);
        Ok(answer)
    }

    /// Before it hears an answer of ours: it goes by the port that many share while it can be told from all others there,
    /// if it does already or is new.
    fn share(&mut self, at: SocketAddr, effects: &mut Effects<'_>) {
        if self.by == 0 && self.aim.is_some() {
            return;
        }
        let web = self.path.is_some();
        let by = if web { None } else { effects.share(self.port, Some(at)) }.unwrap_or(0);
        if by != self.by {
            self.by = by;
            effects.media(Command::Share { port: self.port, by });
        }
    }

    /// Takes a browser's path or a phone's keys from its description: the plain form. `None` when it came so.
    fn hear(
        &mut self,
        turn: Turn,
        sdp: &[u8],
        effects: &mut Effects<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let session = sdp::Session::decode(sdp).map_err(|_| Refusal::BadDescription)?;
        let Some(browser) = sdp::web::browser(&session) else {
            self.path = None;
            return self.ring.hear(sdp, &session);
        };
        self.ring.clear();
        effects.door().ok_or(Refusal::NoDoor)?;
        let (address, rng) = (effects.media_address(), effects.rng());
        let mut path = self.path.take().unwrap_or_else(|| Path::new(rng));
        path.hear(turn, browser, rng);
        self.path = Some(path);
        sdp::web::undress(sdp, address).map(Some).map_err(|_| Refusal::BadDescription)
    }

    /// Our offer, for a leg that made none.
    pub fn offer(&mut self, effects: &Effects<'_>) -> Vec<u8> {
        self.told.version += 1;
        self.offered(Turn::Offer, effects).encode()
    }

    /// Our offer to somebody who only listens: a recording server. G.711 first, since that is what most of them know, and
    /// what calls are that are mixed.
    pub fn offer_one_way(&mut self, effects: &Effects<'_>) -> sdp::Offer {
        self.told.version += 1;
        let codecs = vec![sdp::PCMU, sdp::PCMA, sdp::G722, sdp::OPUS];
        sdp::Offer {
            codecs,
            direction: sdp::Direction::SendOnly,
            ..self.offered(Turn::Offer, effects)
        }
    }

    /// The codec that it is sent; `None` until that is agreed.
    pub fn codec(&self) -> Option<Codec> {
        self.aim.as_ref().map(|aim| aim.sound.sent.codec)
    }

    /// Whether it wants to hear: who holds does not.
    pub fn receives(&self) -> bool {
        self.aim.as_ref().is_none_or(|aim| aim.receives)
    }

    /// The same for a leg that is a browser. `None` without a door for browsers.
    pub fn offer_web(&mut self, effects: &mut Effects<'_>) -> Option<Vec<u8>> {
        let door = effects.door()?;
        let plain = self.offer(effects);
        let path = self.path.get_or_insert_with(|| Path::new(effects.rng()));
        path.dress(Turn::Offer, &plain, &door, effects.rng())
    }

    /// Takes the answer to our offer; packets pass.
    pub fn settle(&mut self, sdp: &[u8], effects: &mut Effects<'_>) -> Result<(), Refusal> {
        let plain = self.hear(Turn::Answer, sdp, effects)?;
        let sdp = plain.as_deref().unwrap_or(sdp);
        let theirs = sdp::Session::decode(sdp).map_err(|_| Refusal::BadDescription)?;
        let ours = self.offered(Turn::Answer, effects);
        self.aim = Some(self.read(&theirs, &ours, effects)?);
        keyring::settle(&mut self.ring, effects.rng())?;
        self.tell(effects);
        Ok(())
    }

    /// Its leg wants to change the call, or asks for our offer: what it is told. `owes`: it owes an answer to our offer.
    pub fn change(
        &mut self,
        sdp: Option<&[u8]>,
        owes: &mut bool,
        effects: &mut Effects<'_>,
    ) -> LegCommand {
        let answer = match sdp {
            Some(sdp) => self.answer(sdp, effects).ok(),
            None => {
                *owes = true;
                if self.path.is_some() {
                    self.offer_web(effects)
                } else {
                    Some(self.offer(effects))
                }
            }
        };
        let status = if answer.is_some() { 200 } else { 488 };
        LegCommand::AnswerChange { status, sdp: answer }
    }

    /// Its leg said ACK: whether that brought the answer that it owed; `None` when it owed none.
    pub fn confirm(
        &mut self,
        sdp: Option<&[u8]>,
        owes: &mut bool,
        effects: &mut Effects<'_>,
    ) -> Option<bool> {
        let owed = std::mem::take(owes);
        owed.then(|| sdp.is_some_and(|sdp| self.settle(sdp, effects).is_ok()))
    }

    /// Who hears it from now on.
    pub fn speak(&mut self, voice: Voice, effects: &mut Effects<'_>) {
        self.voice = voice;
        let Some(Aim { sound, .. }) = self.aim else { return };
        let (stream, seat, chance) = (self.stream, self.seat, effects.rng().next_u64());
        effects.media(Command::Take { stream, seat, sound: Some(sound), voice, chance });
    }

    /// It sits down at another stream: the old one is gone.
    pub fn reseat(&mut self, stream: StreamKey, effects: &mut Effects<'_>) {
        self.stream = stream;
        self.share_again(effects);
        effects.media(Command::Admit { stream, seat: self.seat, port: self.port });
        self.tell(effects);
    }

    fn share_again(&self, effects: &mut Effects<'_>) {
        if self.by != 0 {
            effects.media(Command::Share { port: self.port, by: self.by });
        }
    }

    /// It goes over to another stream, in a place that is free there, and takes its numbers, its path and what taps it
    /// with it. What is played to it ends.
    pub fn travel(&mut self, to: StreamKey, place: media::Seat, effects: &mut Effects<'_>) {
        let Self { stream, seat, .. } = *self;
        (self.stream, self.seat) = (to, place);
        effects.media(Command::Move { stream, seat, to, place });
    }

    /// It leaves, and its port is free.
    pub fn close(&mut self, effects: &mut Effects<'_>) {
        effects.media(Command::Leave { stream: self.stream, seat: self.seat });
        effects.give_back(&[self.port]);
    }

    /// Another program has its port, which is left alone for a while.
    pub fn spoil(&mut self, effects: &mut Effects<'_>) {
        effects.media(Command::Leave { stream: self.stream, seat: self.seat });
        effects.spoil(&[self.port]);
    }

    /// What we answer is measured by all that we know; what we offer has AMR only where that is wished.
    fn offered(&self, turn: Turn, effects: &Effects<'_>) -> sdp::Offer {
        let mut codecs = vec![sdp::OPUS, sdp::G722, sdp::PCMU, sdp::PCMA];
        let amr = effects.amr();
        if turn == Turn::Answer || amr.offered {
            let known = [sdp::AMR_WB, sdp::AMR].into_iter();
            codecs.extend(known.filter(|codec| codec.amr.is_some_and(|form| amr.has(form.wide))));
        }
        let has_16 = codecs.iter().any(|codec| codec.clock == 16_000);
        codecs.push(sdp::TELEPHONE_EVENT);
        codecs.extend(has_16.then_some(sdp::TELEPHONE_EVENT_16));
        codecs.push(sdp::TELEPHONE_EVENT_48);
        sdp::Offer {
            session: self.told.session,
            version: self.told.version,
            address: effects.media_address(),
            port: if self.by == 0 { self.port } else { self.by },
            codecs,
            direction: sdp::Direction::SendRecv,
        }
    }

    fn read(
        &self,
        theirs: &sdp::Session<'_>,
        ours: &sdp::Offer,
        effects: &Effects<'_>,
    ) -> Result<Aim, Refusal> {
        let agreed = sdp::agreed(theirs, ours).ok_or(Refusal::BadDescription)?;
        let spoken = spoken(&agreed.codec).ok_or(Refusal::BadDescription)?;
        let payload_type = agreed.codec.payload_type;
        let sent = sound::format(PlainFormat { payload_type, spoken });
        let sent = sent.ok_or(Refusal::BadDescription)?;
        let aims = sdp::aims(theirs);
        let aim = aims.get(agreed.section).ok_or(Refusal::BadDescription)?;
        let usable = match sdp::reach(aim.rtp.ip()) {
            // Only a server on loopback has business with loopback.
            sdp::Reach::Loopback => effects.media_address().is_loopback(),
            sdp::Reach::One | sdp::Reach::Unspecified => true,
            sdp::Reach::Unusable => false,
        };
        let clock = agreed.codec.clock;
        let events = agreed.events.map(|payload_type| Events { payload_type, clock });
        let sound = Sound::of(sent, events);
        // Our answer does not take RTCP on the same port.
        let types = theirs.media.get(agreed.section).map(|section| {
            let number = |format: &&[u8]| std::str::from_utf8(format).ok()?.parse().ok();
            section.formats.iter().filter_map(number).collect()
        });
        let (section, types) = (agreed.section, types.unwrap_or_default());
        let (rtp, rtcp, receives) = (aim.rtp, aim.rtcp, aim.receives);
        let found = Aim { rtp, rtcp, receives, sound, section, types };
        if usable { Ok(found) } else { Err(Refusal::BadDescription) }
    }

    fn tell(&mut self, effects: &mut Effects<'_>) {
        let Some(aim) = &self.aim else { return };
        let Aim { rtp, rtcp, receives, sound, .. } = *aim;
        let Self { stream, seat, voice, .. } = *self;
        effects.media(Command::Aim { stream, seat, rtp, rtcp, receives });
        let keys = self.ring.agreed(aim.section);
        let shield = match &self.path {
            Some(path) => path.shield(&aim.types),
            None if keys.is_some() => keys.cloned().map(Box::new).map(Shield::Keys),
            None => self.shielded.then_some(Shield::Bare),
        };
        self.shielded = self.path.is_some() || keys.is_some();
        if let Some(shield) = shield {
            let chance = Some(effects.rng().next_u64());
            effects.media(Command::Shield { stream, seat, shield, chance });
        }
        let key = effects.keys().seal;
        self.ring.keep(&key, effects.rng());
        let chance = effects.rng().next_u64();
        effects.media(Command::Take { stream, seat, sound: Some(sound), voice, chance });
    }

    /// As tagged fields, as if it sat at this stream: one that will come back to its own after a restart.
    pub fn encode_at(&self, stream: StreamKey, seat: media::Seat) -> Vec<u8> {
        Self { stream, seat, voice: Voice::All, ..self.clone() }.encode()
    }

    /// As tagged fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        writer.number(1, self.seat.0.into()).number(2, self.port.into());
        writer.number(3, self.stream.bridge.0).number(4, self.stream.index.into());
        let voice = match self.voice {
            Voice::All => 0,
            Voice::Nobody => 1,
            Voice::One(to) => 2 + u128::from(to.0),
        };
        writer.number(5, voice).bytes(6, &encode_told(&self.told));
        if let Some(aim) = &self.aim {
            writer.text(7, &aim.rtp.to_string()).text(8, &aim.rtcp.to_string());
            writer.number(9, aim.receives.into());
            let Format { payload_type, codec } = aim.sound.sent;
            if let Codec::G711(law) = codec {
                writer.number(10, law.payload_type().into()); // For the version before.
            }
            if let Some(events) = aim.sound.events {
                writer.number(11, events.payload_type.into()).number(13, events.clock.into());
            }
            let spoken = sound::spoken(codec);
            writer.number(12, sound::save(PlainFormat { payload_type, spoken }));
            writer.number(14, aim.section as u128).bytes(15, &aim.types);
        }
        if let Some(path) = &self.path {
            writer.nested(16, |writer| path.write(writer));
        }
        writer.nested(17, |writer| self.ring.write(writer));
        if self.by != 0 {
            writer.number(18, self.by.into());
        }
        writer.finish()
    }

    /// What [`encode`](Self::encode) wrote; claims its port and sits down again.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Option<Self> {
        let (mut seat, mut port, mut bridge, mut index) = (None, 0, 0, 0);
        let (mut voice, mut told) = (Voice::Nobody, Told::default());
        let (mut rtp, mut rtcp, mut receives, mut sent, mut events) =
            (None, None, false, None, None);
        let (mut clock, mut by) = (8000, 0);
        let (mut section, mut types, mut path, mut ring) = (0, Vec::new(), None, Ring::default());
        let key = effects.keys().seal;
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = || field.number();
            match tag {
                1 => seat = u16::try_from(number()?).ok().map(media::Seat),
                2 => port = u16::try_from(number()?).ok()?,
                3 => bridge = number()?,
                4 => index = number()? as u8,
                5 => {
                    voice = match number()? {
                        0 => Voice::All,
                        1 => Voice::Nobody,
                        to => Voice::One(media::Seat((to - 2) as u16)),
                    };
                }
                6 => told = decode_told(field.0),
                7 => rtp = field.text()?.parse().ok(),
                8 => rtcp = field.text()?.parse().ok(),
                9 => receives = number()? != 0,
                10 => sent = Law::of(number()? as u8).map(Format::from).or(sent),
                11 => events = Some(number()? as u8),
                12 => sent = sound::load(number()?).and_then(sound::format).or(sent),
                13 => clock = number()? as u32,
                14 => section = number()? as usize,
                15 => types = field.0.to_vec(),
                16 => path = Path::read(field.0).map(Path::after_restart),
                17 => ring = Ring::read(field.0, &key),
                18 => by = number()? as u16,
                _ => (), // A field of a newer version.
            }
        }
        let events = events.map(|payload_type| Events { payload_type, clock });
        let aim = match (rtp, rtcp, sent) {
            (Some(rtp), Some(rtcp), Some(sent)) => {
                Some(Aim { rtp, rtcp, receives, sound: Sound::of(sent, events), section, types })
            }
            (_, _, _) => None,
        };
        let stream = StreamKey { bridge: types::BridgeId(bridge), index };
        let seat = seat?;
        let shielded = false;
        let mut known = Self { stream, seat, port, voice, told, aim, path, ring, shielded, by };
        effects.claim(session, stream.bridge, &[port]);
        if effects.is_shared(by) {
            effects.share(port, rtp);
            known.share_again(effects);
        } else {
            known.by = 0;
        }
        effects.media(Command::Admit { stream, seat: known.seat, port });
        known.tell(effects);
        Some(known)
    }
}

/// The key of an INFO that tells of one, in ASCII, and how long it was held.
///
/// Spec: none; `application/dtmf-relay` and `application/dtmf` as phones have always sent them
pub fn key_of(passed: &Passed) -> Option<(u8, Duration)> {
    /// As long as a key is held where nobody says how long.
    const HELD: Duration = Duration::from_millis(250);
    if passed.method != "INFO" {
        return None;
    }
    let body = std::str::from_utf8(&passed.body).ok()?;
    let kind = passed.content_type.split(';').next().unwrap_or_default().trim();
    let (key, held) = if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        let value = |name: &str| {
            let lines = body.lines().filter_map(|line| line.split_once('='));
            let mut found = lines.filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.trim())
        };
        let held =
            value("Duration").and_then(|held| held.parse().ok()).map(|held: u16| held.into());
        (value("Signal")?, held.map_or(HELD, Duration::from_millis))
    } else if kind.eq_ignore_ascii_case("application/dtmf") {
        (body.trim(), HELD)
    } else {
        return None;
    };
    // Some phones say the number of the event.
    let key = match key {
        "10" => "*",
        "11" => "#",
        key => key,
    };
    let code = match key.as_bytes() {
        [key] => media::events::code((*key).into())?,
        _ => return None,
    };
    Some((media::events::key(code)?, held))
}

/// What a codec of ours is called when it is taken apart.
fn spoken(codec: &sdp::Codec) -> Option<Spoken> {
    if let Some(form) = codec.amr {
        return Some(Spoken::Amr(form));
    }
    [
        (sdp::OPUS, Spoken::Opus),
        (sdp::G722, Spoken::G722),
        (sdp::PCMU, Spoken::Pcmu),
        (sdp::PCMA, Spoken::Pcma),
    ]
    .into_iter()
    .find(|(known, _)| known.name == codec.name)
    .map(|(_, spoken)| spoken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(content_type: &str, body: &str) -> Option<(u8, u128)> {
        let method = "INFO".to_owned();
        let (content_type, body) = (content_type.to_owned(), body.as_bytes().to_vec());
        let passed = Passed { method, content_type, body, ..Passed::default() };
        key_of(&passed).map(|(key, held)| (key, held.as_millis()))
    }

    #[test]
    fn keys_of_info_are_read() {
        let relay = "application/dtmf-relay";
        assert_eq!(info(relay, "Signal=5\r\nDuration=160\r\n"), Some((b'5', 160)));
        assert_eq!(info(relay, "Signal= *\nDuration= x"), Some((b'*', 250)));
        assert_eq!(info(relay, "signal=11"), Some((b'#', 250)));
        assert_eq!(info("Application/DTMF; x=y", "d"), Some((b'D', 250)));
        for (kind, body) in [(relay, ""), (relay, "Signal=55"), ("text/plain", "5"), (relay, "5")] {
            assert_eq!(info(kind, body), None, "{kind} {body}");
        }
    }
}
