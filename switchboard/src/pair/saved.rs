//! What is kept of a pair, as tagged fields: for the time after a kill, and for a pair that a side goes over to.

use media::Side;
use types::{BridgeId, SessionId, tagged};

use super::{Aim, Pair, Told};
use crate::browser::Path;
use crate::effects::Effects;
use crate::keyring::{Habit, Ring};
use crate::sound;

impl Pair {
    /// What a side was told last, for a pair that it goes over to.
    pub fn told(&self, side: Side) -> Vec<u8> {
        let mut writer = tagged::Writer::new();
        write_told(&self.told[side.index()], &mut writer);
        if let Some(path) = &self.paths[side.index()] {
            writer.nested(4, |writer| path.write(writer));
        }
        writer.number(5, self.rings[side.index()].habit.number());
        writer.finish()
    }

    /// As tagged fields.
    pub fn encode(&self, writer: &mut tagged::Writer) {
        writer.number(1, self.bridge.0);
        for ports in &self.ports {
            let [a, b] = ports.unwrap_or([0, 0]);
            writer.number(2, u128::from(a) << 16 | u128::from(b));
        }
        for (tag, told) in [(3, &self.told[0]), (4, &self.told[1])] {
            writer.nested(tag, |writer| write_told(told, writer));
        }
        for (tag, aims) in [(5, &self.aims[0]), (6, &self.aims[1])] {
            for aim in aims {
                let flags = u128::from(aim.mux)
                    | u128::from(aim.receives) << 1
                    | u128::from(aim.rejected) << 2
                    | u128::from(aim.is_mute) << 3;
                writer.nested(tag, |writer| {
                    writer.socket(1, aim.rtp).socket(2, aim.rtcp).number(3, flags);
                    for format in aim.sound.iter().flat_map(sdp::PlainSound::iter) {
                        writer.number(5, sound::save(format));
                    }
                    if aim.sound.is_some_and(|sound| sound.alone) {
                        writer.number(6, 1);
                    }
                    if aim.sound.is_some_and(|sound| !sound.leads) {
                        writer.number(7, 1);
                    }
                });
            }
        }
        for (tag, path) in [(9, &self.paths[0]), (10, &self.paths[1])] {
            if let Some(path) = path {
                writer.nested(tag, |writer| path.write(writer));
            }
        }
        if self.plain {
            writer.number(7, 1);
        }
        if let Some(index) = self.mixed {
            writer.number(8, index.into());
        }
        if self.turned != 0 {
            writer.number(11, self.turned.into());
        }
        for (tag, ring) in [(12, &self.rings[0]), (13, &self.rings[1])] {
            if ring.habit != Habit::Plain {
                writer.nested(tag, |writer| ring.write(writer));
            }
        }
        if self.ends_keys {
            writer.number(14, 1);
        }
        if self.opened {
            writer.number(17, 1);
        }
        for (tag, shares) in [(15, &self.shares[0]), (16, &self.shares[1])] {
            if shares.iter().any(|by| *by != 0) {
                for by in shares {
                    writer.number(tag, (*by).into());
                }
            }
        }
    }

    /// Who went by a port that many share does so again, where there is one yet.
    fn share_again(&mut self, effects: &mut Effects<'_>) {
        for side in Side::BOTH {
            let places = self.shares[side.index()].iter_mut().zip(&self.ports);
            for (place, (by, ports)) in places.enumerate() {
                let aim = self.aims[side.index()].get(place).map(|aim| aim.rtp);
                match ports {
                    Some(ports) if *by != 0 && effects.is_shared(*by) => {
                        effects.share(ports[side.index()], aim);
                    }
                    Some(_) | None => *by = 0,
                }
            }
        }
    }

    /// What [`encode`](Self::encode) wrote; claims its ports and opens its streams again.
    pub fn restore(bytes: &[u8], session: SessionId, effects: &mut Effects<'_>) -> Self {
        let key = effects.keys().seal;
        let mut pair = Self::without_media(BridgeId(0), Default::default());
        pair.rings = [Ring::of(Habit::Plain), Ring::of(Habit::Plain)];
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => pair.bridge = BridgeId(field.number().unwrap_or(0)),
                2 => {
                    let both = field.number().unwrap_or(0);
                    let ports = [(both >> 16) as u16, both as u16];
                    pair.ports.push((both != 0).then_some(ports));
                    pair.open.push(false);
                }
                3 => pair.told[0] = decode_told(field.0),
                4 => pair.told[1] = decode_told(field.0),
                5 => pair.aims[0].extend(decode_aim(field.0)),
                6 => pair.aims[1].extend(decode_aim(field.0)),
                7 => pair.plain = field.number().is_some_and(|plain| plain != 0),
                8 => pair.mixed = field.number().map(|index| index as u8),
                9 => pair.paths[0] = Path::read(field.0).map(Path::after_restart),
                10 => pair.paths[1] = Path::read(field.0).map(Path::after_restart),
                11 => pair.turned = field.number().unwrap_or(0) as u32,
                12 => pair.rings[0] = Ring::read(field.0, &key),
                13 => pair.rings[1] = Ring::read(field.0, &key),
                14 => pair.ends_keys = field.number().is_some_and(|ends| ends != 0),
                15 => pair.shares[0].push(field.number().unwrap_or(0) as u16),
                16 => pair.shares[1].push(field.number().unwrap_or(0) as u16),
                17 => pair.opened = field.number().is_some_and(|opened| opened != 0),
                _ => (),
            }
        }
        let ports: Vec<u16> = pair.ports.iter().flatten().flatten().copied().collect();
        effects.claim(session, pair.bridge, &ports);
        pair.share_again(effects);
        pair.aim(effects);
        pair
    }
}

/// What a version before wrote: two laws and the events, 255 where there is none.
fn decode_laws(number: u128) -> sdp::PlainSound {
    let octet = |place: u32| Some((number >> (8 * place)) as u8).filter(|octet| *octet != 255);
    let law = |payload_type| sdp::PlainFormat {
        payload_type,
        spoken: if payload_type == 8 { sdp::Spoken::Pcma } else { sdp::Spoken::Pcmu },
    };
    let events = octet(0)
        .map(|payload_type| sdp::PlainFormat { payload_type, spoken: sdp::Spoken::Events(8000) });
    sdp::PlainSound::of([octet(2).map(law), octet(1).map(law), events].into_iter().flatten())
}

pub(crate) fn encode_told(told: &Told) -> Vec<u8> {
    let mut writer = tagged::Writer::new();
    write_told(told, &mut writer);
    writer.finish()
}

fn write_told(told: &Told, writer: &mut tagged::Writer) {
    writer.number(1, told.session.into()).number(2, told.version.into());
    writer.number(3, told.hash.into());
}

pub(crate) fn decode_told(bytes: &[u8]) -> Told {
    let mut told = Told::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        let number = field.number().unwrap_or(0) as u64;
        match tag {
            1 => told.session = number,
            2 => told.version = number,
            3 => told.hash = number,
            _ => (),
        }
    }
    told
}

/// The path of a side that goes over to another pair, out of what [`Pair::told`] says.
pub(super) fn decode_path(told: &[u8]) -> Option<Path> {
    let mut fields = tagged::Reader::new(told);
    fields.find(|(tag, _)| *tag == 4).and_then(|(_, field)| Path::read(field.0))
}

/// The same for what it does about keys.
pub(super) fn decode_habit(told: &[u8]) -> Habit {
    let mut fields = tagged::Reader::new(told);
    let habit = fields.find(|(tag, _)| *tag == 5).and_then(|(_, field)| field.number());
    Habit::of(habit.unwrap_or(0))
}

fn decode_aim(bytes: &[u8]) -> Option<Aim> {
    let (mut rtp, mut rtcp, mut flags, mut sound) = (None, None, 0, None);
    let (mut formats, mut alone, mut leads) = (Vec::new(), false, true);
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => rtp = field.text()?.parse().ok(),
            2 => rtcp = field.text()?.parse().ok(),
            3 => flags = field.number()?,
            4 => sound = field.number().map(decode_laws),
            5 => formats.extend(field.number().and_then(sound::load)),
            6 => alone = field.number().is_some_and(|alone| alone != 0),
            7 => leads = field.number().is_none_or(|follows| follows == 0),
            _ => (),
        }
    }
    if !formats.is_empty() {
        sound = Some(sdp::PlainSound { alone, leads, ..sdp::PlainSound::of(formats) });
    }
    Some(Aim {
        rtp: rtp?,
        rtcp: rtcp?,
        mux: flags & 1 != 0,
        receives: flags & 2 != 0,
        rejected: flags & 4 != 0,
        is_mute: flags & 8 != 0,
        sound,
        web: None,
    })
}
