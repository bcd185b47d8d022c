//! Keys of media that stand in descriptions: what one side of a pair asks for, what it is offered, what was agreed.
//!
//! Picture     keyed description --[`Ring::hear`]--> plain form; plain form --[`Ring::dress`]--> keyed for the other side
//!             answer --[`agree`]--> keys of each side with us, or none: they pass from end to end
//! Rules       Two phones with keys of their own keep them, and packets pass, as long as nobody has to open them: the
//!             callee is offered the caller's lines. Whoever must hear such a call opens it with the very keys that the
//!             two told each other, so that neither is asked for others ([`open`]). Everywhere else each side has keys with us, and ours are made for
//!             one side of one section and one suite. Whether a phone knows keys is told by what it said last; one that
//!             has said nothing is offered them beside the plain protocol where the other side's media is protected. A
//!             phone that refuses plain media is asked once more with the protocol that demands keys; these follow from the
//!             name of its leg, so that nobody makes or keeps any for the many that never refuse.
//! Limits      Those of `sdp::keys`.
//! Not here    Writing descriptions (proto/sdp), ciphers (proto/srtp), when to offer (rooms).
//! Spec        RFC 4568 §5.1, §7.1, RFC 8643 §3.

use std::fmt;

use hmac::{Hmac, Mac};
use media::{Keys, Suite};
use sdp::keys::{KeyLine, Keyed, Lines, Manner};
use sha2::Sha256;
use types::{LegId, Rng, tagged};

use crate::pair::Refusal;
use crate::seal;

/// What a side does about keys, by its last description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It has said nothing yet.
    #[default]
    Unknown,
    /// It has none.
    Plain,
    /// It asks for them so.
    Keyed(Manner),
}

impl Habit {
    pub(crate) fn number(self) -> u128 {
        match self {
            Self::Unknown => 0,
            Self::Plain => 1,
            Self::Keyed(Manner::Beside) => 2,
            Self::Keyed(Manner::Strict) => 3,
        }
    }

    pub(crate) fn of(number: u128) -> Self {
        match number {
            1 => Self::Plain,
            2 => Self::Keyed(Manner::Beside),
            3 => Self::Keyed(Manner::Strict),
            _ => Self::Unknown,
        }
    }
}

/// What a side was offered last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Offered {
    #[default]
    Nothing,
    /// Keys of ours.
    Ours,
    /// The lines of the other side, as they came.
    Theirs,
}

/// A key of ours.
#[derive(Clone, PartialEq, Eq)]
struct Own {
    suite: Suite,
    key: Vec<u8>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("suite", &self.suite).finish()
    }
}

/// One section of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Section {
    /// Its lines, by its last description.
    said: Vec<KeyLine>,
    offered: Offered,
    own: Vec<Own>,
    /// The line that was taken, and the keys between the side and us.
    agreed: Option<(u32, Keys)>,
    /// The keys of both sides pass from end to end.
    passes: bool,
}

/// One side of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    pub habit: Habit,
    sections: Vec<Section>,
    /// What was agreed, of no use without the node's key.
    sealed: Vec<u8>,
    /// The leg that speaks for it, where that may have been asked a second time.
    leg: Option<LegId>,
}

impl Ring {
    /// Of a side that is known from another pair.
    pub(crate) fn of(habit: Habit) -> Self {
        Self { habit, ..Self::default() }
    }

    /// Takes what a phone says about its keys: the description without them, if there were any.
    pub(crate) fn hear(
        &mut self,
        sdp: &[u8],
        session: &sdp::Session<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let found = sdp::keys::read(session);
        let first = found.iter().flatten().next();
        self.habit = first.map_or(Habit::Plain, |keyed| Habit::Keyed(keyed.manner));
        let any = first.is_some();
        if !any && self.sections.is_empty() {
            return Ok(None); // Most calls have no keys, and keep nothing of them.
        }
        let lines = |keyed: Option<Keyed>| keyed.map_or(Vec::new(), |keyed| keyed.lines);
        self.grow(found.len());
        for (section, keyed) in self.sections.iter_mut().zip(found) {
            section.said = lines(keyed);
        }
        if !any {
            return Ok(None);
        }
        sdp::keys::without(sdp, session).map(Some).map_err(|_| Refusal::BadDescription)
    }

    /// What comes next is said by this leg, which may have been asked for keys when it refused plain media.
    pub(crate) fn speaks(&mut self, leg: LegId) {
        self.leg = Some(leg);
    }

    /// It answered to what [`second`] asked: then it was offered these keys of ours.
    pub(crate) fn take_second(&mut self, secret: &[u8; 32]) {
        let Some(leg) = self.leg.filter(|_| self.habit == Habit::Keyed(Manner::Strict)) else {
            return;
        };
        if self.sections.iter().any(|section| section.offered != Offered::Nothing) {
            return;
        }
        for (place, section) in self.sections.iter_mut().enumerate() {
            if !section.said.is_empty() && section.own.is_empty() {
                section.derive(secret, leg, place);
                section.offered = Offered::Ours;
            }
        }
    }

    /// Whether this side, which `from` describes itself to, may be asked a second time with keys.
    pub(crate) fn may_be_asked(&self, from: &Self) -> bool {
        self.habit == Habit::Unknown && from.sections.iter().all(|section| section.said.is_empty())
    }

    /// A browser speaks for this side: its keys come by a handshake.
    pub(crate) fn clear(&mut self) {
        *self = Self::of(Habit::Plain);
    }

    /// The keys between this side and us.
    pub(crate) fn agreed(&self, place: usize) -> Option<&Keys> {
        self.sections.get(place)?.agreed.as_ref().map(|(_, keys)| keys)
    }

    /// Whether this side has, or may be offered, keys at all.
    fn has_keys(&self, from: &Self, protected: bool) -> bool {
        !self.sections.is_empty()
            || match self.habit {
                Habit::Plain => false,
                Habit::Keyed(_) => true,
                Habit::Unknown => {
                    protected || from.sections.iter().any(|section| !section.said.is_empty())
                }
            }
    }

    fn grow(&mut self, sections: usize) {
        while self.sections.len() < sections {
            self.sections.push(Section::default());
        }
    }

    /// The lines of an offer to this side, whose other side said what `from` has. `protected`: that one's media is. `ends`: it must not
    /// pass without us.
    fn offer(
        &mut self,
        place: usize,
        from: &Self,
        (protected, ends): (bool, bool),
        rng: &mut Rng,
    ) -> Option<Lines> {
        let said = from.sections.get(place).map(|section| &section.said[..]).unwrap_or_default();
        let section = self.sections.get_mut(place)?;
        section.offered = Offered::Nothing;
        let manner = match self.habit {
            Habit::Plain => return None,
            Habit::Keyed(manner) => manner,
            Habit::Unknown if protected || !said.is_empty() => Manner::Beside,
            Habit::Unknown => return None,
        };
        if !said.is_empty() && !ends {
            section.offered = Offered::Theirs;
            return Some((manner, said.iter().map(|line| line.value.clone()).collect()));
        }
        section.offered = Offered::Ours;
        let lines = (1..)
            .zip(Suite::ALL)
            .map(|(tag, suite)| KeyLine::new(tag, suite.word(), section.own(suite, rng)).value);
        Some((manner, lines.collect()))
    }

    /// The line of an answer to this side.
    fn answer(&self, place: usize, from: &Self) -> Option<Lines> {
        let section = self.sections.get(place)?;
        let Habit::Keyed(manner) = self.habit else { return None };
        if section.passes {
            let said = from.sections.get(place)?.said.first()?;
            return Some((manner, vec![said.value.clone()]));
        }
        let (tag, keys) = section.agreed.as_ref()?;
        Some((manner, vec![KeyLine::new(*tag, keys.suite.word(), &keys.ours).value]))
    }

    /// A description in the plain form, with the keys that this side shall hear of.
    pub(crate) fn dress(
        &mut self,
        plain: &[u8],
        from: &Self,
        is_offer: bool,
        how: (bool, bool),
        rng: &mut Rng,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        if !self.has_keys(from, how.0) {
            return Ok(None);
        }
        let session = sdp::Session::decode(plain).map_err(|_| Refusal::BadDescription)?;
        self.grow(session.media.len());
        let mut plan = Vec::with_capacity(session.media.len());
        for (place, section) in session.media.iter().enumerate() {
            let used = section.port != 0 && section.is_rtp();
            plan.push(match is_offer {
                _ if !used => None,
                true => self.offer(place, from, how, rng),
                false => self.answer(place, from),
            });
        }
        if plan.iter().all(Option::is_none) {
            return Ok(None);
        }
        sdp::keys::with(plain, &session, &plan).map(Some).map_err(|_| Refusal::BadDescription)
    }

    /// Keeps what was agreed, for the time after a kill.
    pub(crate) fn keep(&mut self, key: &[u8; 32], rng: &mut Rng) {
        self.sealed.clear();
        if self.sections.iter().all(|section| section.agreed.is_none()) {
            return;
        }
        let mut writer = tagged::Writer::new();
        for (place, section) in self.sections.iter().enumerate() {
            let Some((tag, keys)) = &section.agreed else { continue };
            writer.nested(1, |writer| {
                writer.number(1, place as u128).number(2, (*tag).into());
                writer.text(3, keys.suite.word()).bytes(4, &keys.ours).bytes(5, &keys.theirs);
            });
        }
        self.sealed = seal::seal(key, &writer.finish(), rng);
    }

    pub(crate) fn write(&self, writer: &mut tagged::Writer) {
        writer.number(1, self.habit.number());
        if !self.sealed.is_empty() {
            writer.bytes(2, &self.sealed);
        }
    }

    pub(crate) fn read(bytes: &[u8], key: &[u8; 32]) -> Self {
        let mut ring = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => ring.habit = Habit::of(field.number().unwrap_or(0)),
                2 => ring.sealed = field.0.to_vec(),
                _ => (), // Of a newer version.
            }
        }
        let opened = seal::open(key, &ring.sealed).unwrap_or_default();
        for (_, field) in tagged::Reader::new(&opened).filter(|(tag, _)| *tag == 1) {
            ring.read_section(field.0);
        }
        ring
    }

    fn read_section(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut place, mut line, mut suite) = (None, 0, None);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for (tag, field) in tagged::Reader::new(bytes) {
            match tag {
                1 => place = field.number().map(|place| place as usize),
                2 => line = field.number()? as u32,
                3 => suite = field.text().and_then(Suite::of),
                4 => ours = field.0.to_vec(),
                5 => theirs = field.0.to_vec(),
                _ => (), // Of a newer version.
            }
        }
        let (place, suite) = (place.filter(|place| *place < crate::pair::SECTIONS_MAX)?, suite?);
        self.grow(place + 1);
        let section = self.sections.get_mut(place)?;
        section.own.push(Own { suite, key: ours.clone() });
        section.agreed = Some((line, Keys { suite, ours, theirs }));
        Some(())
    }
}

impl Section {
    /// Our key for this suite, made when it is wanted first.
    fn own(&mut self, suite: Suite, rng: &mut Rng) -> &[u8] {
        let known = self.own.iter().position(|own| own.suite == suite);
        let place = known.unwrap_or_else(|| {
            let mut key = vec![0; octets(suite)];
            rng.fill(&mut key);
            self.own.push(Own { suite, key });
            self.own.len() - 1
        });
        self.own.get(place).map(|own| &own.key[..]).unwrap_or_default()
    }

    /// Keys of ours for a leg, which follow from its name.
    fn derive(&mut self, secret: &[u8; 32], leg: LegId, place: usize) {
        let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret) else { return };
        mac.update(b"keys of media");
        mac.update(&leg.0.to_be_bytes());
        mac.update(&(place as u64).to_be_bytes());
        let mut rng = Rng::new(mac.finalize().into_bytes().into());
        for suite in Suite::ALL {
            self.own(suite, &mut rng);
        }
    }

    /// What the first line that we can use comes to, with a key of ours.
    fn with_ours(&mut self, rng: &mut Rng) -> Option<(u32, Keys)> {
        let (tag, suite, theirs) = self.said.iter().find_map(usable)?;
        let ours = self.own(suite, rng).to_vec();
        Some((tag, Keys { suite, ours, theirs }))
    }
}

fn octets(suite: Suite) -> usize {
    suite.key() + suite.salt()
}

fn usable(line: &KeyLine) -> Option<(u32, Suite, Vec<u8>)> {
    let suite = Suite::of(&line.suite)?;
    let key = line.key.clone().filter(|key| key.len() == octets(suite))?;
    Some((line.tag, suite, key))
}

/// What an answer of `answered` comes to, where the other side is `asked`. `turned`: whether a section's sound is, so that its packets
/// are opened. Keys that are in use stay as they are where the answer says the same.
/// `opened`: packets are, whoever has the keys.
pub(crate) fn agree(
    answered: &mut Ring,
    asked: &mut Ring,
    turned: impl Fn(usize) -> bool,
    opened: bool,
    rng: &mut Rng,
) -> Result<(), Refusal> {
    let sections = answered.sections.len().max(asked.sections.len());
    answered.grow(sections);
    asked.grow(sections);
    let both = answered.sections.iter_mut().zip(&mut asked.sections);
    for (place, (answered, asked)) in both.enumerate() {
        let taken = answered.said.first();
        let same = |taken: &&KeyLine| asked.said.iter().find(|line| line.tag == taken.tag);
        let theirs = answered.offered == Offered::Theirs;
        let passes = theirs && !turned(place) && taken.as_ref().is_some_and(|l| same(l).is_some());
        (answered.passes, asked.passes) = (passes, passes);
        if passes {
            (answered.agreed, asked.agreed) = (None, None);
            if opened {
                open_section(answered, asked);
            }
            continue;
        }
        answered.agreed = match (taken, answered.offered) {
            // Who takes keys that nobody offered seals nothing.
            (None, _) | (_, Offered::Nothing) => None,
            (Some(_), Offered::Ours) => Some(answered.with_ours(rng).ok_or(Refusal::OtherKeys)?),
            // It was offered the other side's key, so that is what it opens with.
            (Some(taken), Offered::Theirs) => {
                let ours = same(&taken).and_then(usable);
                let (tag, suite, theirs) = usable(taken).ok_or(Refusal::OtherKeys)?;
                let (_, known, ours) = ours.ok_or(Refusal::OtherKeys)?;
                (known == suite).then_some(()).ok_or(Refusal::OtherKeys)?;
                Some((tag, Keys { suite, ours, theirs }))
            }
        };
        asked.agreed = match asked.said.is_empty() {
            true => None,
            false => Some(asked.with_ours(rng).ok_or(Refusal::OtherKeys)?),
        };
    }
    Ok(())
}

/// A plain offer once more, for a phone that takes no plain media: by the protocol that demands keys, with keys of ours for
/// this leg. `None` where it has keys already, or no sound or picture.
///
/// Spec: RFC 4568 §5.1.1
pub(crate) fn second(secret: &[u8; 32], leg: LegId, plain: &[u8]) -> Option<Vec<u8>> {
    let session = sdp::Session::decode(plain).ok()?;
    if sdp::keys::read(&session).iter().any(Option::is_some) {
        return None;
    }
    let lines = |place: usize| {
        let mut section = Section::default();
        section.derive(secret, leg, place);
        let own = (1..).zip(&section.own);
        own.map(|(tag, own)| KeyLine::new(tag, own.suite.word(), &own.key).value).collect()
    };
    let plan = session.media.iter().enumerate().map(|(place, section)| {
        let plain = section.port != 0
            && section.attribute("fingerprint").is_none()
            && [&b"RTP/AVP"[..], b"RTP/AVPF"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(section.protocol));
        plain.then(|| (Manner::Strict, lines(place)))
    });
    let plan: Vec<Option<Lines>> = plan.collect();
    plan.iter().any(Option::is_some).then_some(())?;
    sdp::keys::with(plain, &session, &plan).ok()
}

/// Two who settled their keys between themselves shall be heard: those very keys are used towards each of them, under sources
/// of ours. False where keys pass that are not known, or not ours to use.
pub(crate) fn open(one: &mut Ring, other: &mut Ring) -> bool {
    let keyed = |ring: &Ring| matches!(ring.habit, Habit::Keyed(_));
    if !keyed(one) || !keyed(other) {
        return true; // What keys there are, are with us.
    }
    let both = one.sections.iter_mut().zip(&mut other.sections);
    let mut known = false;
    for (one, other) in both {
        if one.passes && one.agreed.is_none() && !open_section(one, other) {
            return false;
        }
        known |= one.agreed.is_some();
    }
    // After a restart nobody knows keys that passed.
    known
}

/// Takes the keys that both sides of a section told each other.
fn open_section(one: &mut Section, other: &mut Section) -> bool {
    let pairs = one.said.iter().flat_map(|line| {
        other.said.iter().filter(|far| far.tag == line.tag).map(move |far| (line, far))
    });
    let found = pairs.filter_map(|(line, far)| {
        let ((tag, suite, near), (_, same, far)) = (usable(line)?, usable(far)?);
        (suite == same).then_some((tag, suite, near, far))
    });
    let Some((tag, suite, near, far)) = { found }.next() else { return false };
    other.agreed = Some((tag, Keys { suite, ours: near.clone(), theirs: far.clone() }));
    one.agreed = Some((tag, Keys { suite, ours: far, theirs: near }));
    true
}

/// What an answer to something that we said comes to when the other side is not concerned.
pub(crate) fn settle(answered: &mut Ring, rng: &mut Rng) -> Result<(), Refusal> {
    for section in &mut answered.sections {
        section.passes = false;
        section.agreed = match section.said.is_empty() {
            true => None,
            false => Some(section.with_ours(rng).ok_or(Refusal::OtherKeys)?),
        };
    }
    Ok(())
}
