//! The media of one leg that listens to a stream of others, or joins it: we are its far side.
//!
//! Picture     its offer --answer--> ours; our offer --settle--> its answer; Admit, Aim and Take to the pump.
//! Rules       One section of sound with keys, in the codec that the leg likes best of ours; others are refused. Its port stays for as long as it sits. It may go
//!             over to another stream with the port that it has.
//! Limits      One port pair for each; `media::GUESTS_MAX` at one stream.
//! Not here    Who may (rooms), what is heard (media), the sides of the stream (pair).
//! Spec        RFC 3264 §6, RFC 4566.

use std::net::SocketAddr;

use media::g711::Law;
use media::{Codec, Command, Events, Format, Sound, StreamKey, Voice};
use sdp::{PlainFormat, Spoken};
use types::{SessionId, tagged};

use crate::effects::Effects;
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
}

/// Where it wants its packets, and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aim {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    receives: bool,
    sound: Sound,
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
        Ok(Self { stream, seat, port, voice, told, aim: None })
    }

    /// Which place.
    pub fn place(&self) -> media::Seat {
        self.seat
    }

    /// Who hears it.
    pub fn voice(&self) -> Voice {
        self.voice
    }

    /// Answers its offer; packets pass.
    pub fn answer(&mut self, sdp: &[u8], effects: &mut Effects<'_>) -> Result<Vec<u8>, Refusal> {
        let theirs = sdp::Session::decode(sdp).map_err(|_| Refusal::BadDescription)?;
        self.told.version += 1;
        let ours = self.offered(effects);
        self.aim = Some(self.read(&theirs, &ours, effects)?);
        self.tell(effects);
        Ok(sdp::answer(&theirs, &ours))
    }

    /// Our offer, for a leg that made none.
    pub fn offer(&mut self, effects: &Effects<'_>) -> Vec<u8> {
        self.told.version += 1;
        self.offered(effects).encode()
    }

    /// Takes the answer to our offer; packets pass.
    pub fn settle(&mut self, sdp: &[u8], effects: &mut Effects<'_>) -> Result<(), Refusal> {
        let theirs = sdp::Session::decode(sdp).map_err(|_| Refusal::BadDescription)?;
        let ours = self.offered(effects);
        self.aim = Some(self.read(&theirs, &ours, effects)?);
        self.tell(effects);
        Ok(())
    }

    /// Who hears it from now on.
    pub fn speak(&mut self, voice: Voice, effects: &mut Effects<'_>) {
        self.voice = voice;
        self.tell(effects);
    }

    /// It sits down at another stream: the old one is gone.
    pub fn reseat(&mut self, stream: StreamKey, effects: &mut Effects<'_>) {
        self.stream = stream;
        effects.media(Command::Admit { stream, seat: self.seat, port: self.port });
        self.tell(effects);
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

    fn offered(&self, effects: &Effects<'_>) -> sdp::Offer {
        sdp::Offer {
            session: self.told.session,
            version: self.told.version,
            address: effects.media_address(),
            port: self.port,
            codecs: vec![
                sdp::OPUS,
                sdp::G722,
                sdp::PCMU,
                sdp::PCMA,
                sdp::TELEPHONE_EVENT,
                sdp::TELEPHONE_EVENT_48,
            ],
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
        let found = Aim { rtp: aim.rtp, rtcp: aim.rtcp, receives: aim.receives, sound };
        if usable { Ok(found) } else { Err(Refusal::BadDescription) }
    }

    fn tell(&self, effects: &mut Effects<'_>) {
        let Some(Aim { rtp, rtcp, receives, sound }) = self.aim else { return };
        let Self { stream, seat, voice, .. } = *self;
        let chance = effects.rng().next_u64();
        effects.media(Command::Aim { stream, seat, rtp, rtcp, receives });
        effects.media(Command::Take { stream, seat, sound: Some(sound), voice, chance });
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
        }
        writer.finish()
    }

    /// What [`encode`](Self::encode) wrote; claims its port and sits down again.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Option<Self> {
        let (mut seat, mut port, mut bridge, mut index) = (None, 0, 0, 0);
        let (mut voice, mut told) = (Voice::Nobody, Told::default());
        let (mut rtp, mut rtcp, mut receives, mut sent, mut events) =
            (None, None, false, None, None);
        let mut clock = 8000;
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
                _ => (), // A field of a newer version.
            }
        }
        let events = events.map(|payload_type| Events { payload_type, clock });
        let aim = match (rtp, rtcp, sent) {
            (Some(rtp), Some(rtcp), Some(sent)) => {
                Some(Aim { rtp, rtcp, receives, sound: Sound::of(sent, events) })
            }
            (_, _, _) => None,
        };
        let stream = StreamKey { bridge: types::BridgeId(bridge), index };
        let known = Self { stream, seat: seat?, port, voice, told, aim };
        effects.claim(session, stream.bridge, &[port]);
        effects.media(Command::Admit { stream, seat: known.seat, port });
        known.tell(effects);
        Some(known)
    }
}

/// What a codec of ours is called when it is taken apart.
fn spoken(codec: &sdp::Codec) -> Option<Spoken> {
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
