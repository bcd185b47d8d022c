//! Two sides that share no codec: what each is offered of what we can turn, and what each is told in the end.
//!
//! Picture     offer of one side --widen--> its formats, then ours --> the other
//!             answer with a format of the first --> it passes;  with one of ours --> turned: each keeps its own codec
//! Rules       The other's codecs come first, so whoever can, agrees on what passes. Only what may be missing is added:
//!             a law of G.711, Opus, and G.722 beside something that sounds as good; AMR where that is wished. Keys are offered only where the
//!             other side sends them. A format keeps the number under which a side knows it.
//! Limits      `sdp::PLAIN_MAX` formats of a section are looked at.
//! Not here    Writing descriptions (proto/sdp), turning sound (media), when it is done (pair).
//! Spec        RFC 3264 §5.1, §6.1, §8.3.2, RFC 3551 §6, RFC 7587 §7.

use media::g711::Law;
use media::{Codec, Events, Format, HEARD_MAX, Rate, Sound};
use sdp::{Amr, AmrKnown, PlainFormat, PlainSound, Reformat, Section, Spoken};

/// Payload types that are free for anything, RFC 3551 §6.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// What is offered to the other side beside the formats of `section`. `known`: what that side said last.
pub(crate) fn widen(
    section: &Section<'_>,
    known: Option<&PlainSound>,
    amr: AmrKnown,
) -> Option<Reformat> {
    let offered = sdp::plain_sound(section, amr)?;
    let has = |spoken: Spoken| offered.iter().any(|format| format.spoken.is_same(spoken));
    let mut wanted = Vec::new();
    if !has(Spoken::Opus) {
        wanted.push(Spoken::Opus);
    }
    let wide = |format: PlainFormat| codec(format.spoken).is_some_and(|c| c.rate() > Rate::Narrow);
    if !has(Spoken::G722) && offered.sounds().any(wide) {
        wanted.push(Spoken::G722);
    }
    if !has(Spoken::Pcma) && !has(Spoken::Pcmu) {
        wanted.extend([Spoken::Pcma, Spoken::Pcmu]);
    }
    if amr.offered {
        let forms = [true, false].into_iter().filter(|wide| amr.has(*wide)).map(Amr::ours);
        wanted.extend(forms.map(Spoken::Amr).filter(|spoken| !has(*spoken)));
    }
    if offered.events(8000).is_some() {
        let clocks = [8000, 16_000, 48_000].map(Spoken::Events);
        let sounds = |clock: Spoken| {
            let all = offered.sounds().map(|format| format.spoken).chain(wanted.iter().copied());
            all.into_iter().any(|spoken| spoken.clock() == clock.clock())
        };
        let missing =
            clocks.map(|clock| Some(clock).filter(|clock| !has(*clock) && sounds(*clock)));
        wanted.extend(missing.into_iter().flatten());
    }
    if wanted.is_empty() {
        return None;
    }
    let numbers = section.formats.iter().filter_map(|word| std::str::from_utf8(word).ok());
    let kept: Vec<u8> = numbers.filter_map(|number| number.parse().ok()).collect();
    let mut change = Reformat { kept, added: Vec::new() };
    for spoken in wanted {
        if let Some(payload_type) = number(spoken, known, &change) {
            change.added.push(PlainFormat { payload_type, spoken });
        }
    }
    Some(change)
}

/// A number for a format: the one under which it is known, else its own, else a free one.
fn number(spoken: Spoken, known: Option<&PlainSound>, taken: &Reformat) -> Option<u8> {
    let free = |number: &u8| {
        let added = taken.added.iter().any(|format| format.payload_type == *number);
        !added && !taken.kept.contains(number)
    };
    let before = known.and_then(|known| known.iter().find(|format| format.spoken.is_same(spoken)));
    let usual = match spoken {
        Spoken::Amr(Amr { wide: false, .. }) => Some(sdp::AMR.payload_type),
        Spoken::Amr(_) => Some(sdp::AMR_WB.payload_type),
        Spoken::Opus => Some(sdp::OPUS.payload_type),
        Spoken::Events(16_000) => Some(sdp::TELEPHONE_EVENT_16.payload_type),
        Spoken::Events(48_000) => Some(sdp::TELEPHONE_EVENT_48.payload_type),
        Spoken::Events(_) => Some(sdp::TELEPHONE_EVENT.payload_type),
        Spoken::G722 | Spoken::L16(_) | Spoken::Pcma | Spoken::Pcmu | Spoken::Silence => {
            spoken.fixed()
        }
    };
    let foreign = |number: &u8| {
        known.is_some_and(|known| known.iter().any(|format| format.payload_type == *number))
    };
    let before = before.map(|format| format.payload_type).filter(free);
    let usual = || usual.filter(free).filter(|number| spoken.fixed().is_some() || !foreign(number));
    let any = || DYNAMIC.into_iter().find(|number| free(number) && !foreign(number));
    before.or_else(usual).or_else(|| any().filter(|_| spoken.fixed().is_none()))
}

/// What becomes of one section when its answer is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What both say passes; the one who offered is told of these formats of the answer only.
    Passes(Option<Reformat>),
    /// The answer took a codec of ours: the one who offered keeps its own.
    Turned {
        /// What the one who offered speaks.
        offered: Box<PlainSound>,
        /// What the one who offered is told.
        told: Reformat,
    },
}

/// Judges the answer to an offer that was widened by `added`.
pub(crate) fn outcome(
    offered: Option<&PlainSound>,
    added: &[PlainFormat],
    section: &Section<'_>,
    amr: AmrKnown,
) -> Outcome {
    let ours = |number: u8| added.iter().any(|format| format.payload_type == number);
    let answered = sdp::plain_sound(section, amr);
    let turned = answered.zip(offered).and_then(|(answered, offered)| {
        // By what it is: an answer may give a codec a number of its own (RFC 3264 §6.1).
        let shared =
            |first: &PlainFormat| offered.iter().any(|own| own.spoken.is_same(first.spoken));
        let first = answered.sounds().next().filter(|first| !shared(first))?;
        let own = offered.sounds().next()?;
        let keys = offered.events(own.spoken.clock());
        let keys = keys.filter(|_| answered.events(first.spoken.clock()).is_some());
        let told: Vec<PlainFormat> = [Some(own), keys].into_iter().flatten().collect();
        let offered = Box::new(PlainSound::of(told.iter().copied()));
        let told = Reformat { kept: Vec::new(), added: told };
        Some(Outcome::Turned { offered, told })
    });
    turned.unwrap_or_else(|| {
        let numbers = section.formats.iter().filter_map(|word| std::str::from_utf8(word).ok());
        let numbers: Vec<u8> = numbers.filter_map(|number| number.parse().ok()).collect();
        let kept: Vec<u8> = numbers.iter().copied().filter(|number| !ours(*number)).collect();
        let narrowed = kept.len() < numbers.len() && !kept.is_empty();
        Outcome::Passes(narrowed.then_some(Reformat { kept, added: Vec::new() }))
    })
}

/// How a side sounds in the engine. `turned`: its far side speaks otherwise.
pub(crate) fn sound(own: &PlainSound, other: Option<&PlainSound>, turned: bool) -> Option<Sound> {
    let both = |format: &PlainFormat| {
        other.is_none_or(|other| other.iter().any(|known| known.spoken.is_same(format.spoken)))
    };
    // What only the offer had may not be heard any more (RFC 3264 §7).
    let shared = own.sounds().find(|format| turned || both(format));
    let sent = format(shared.or_else(|| own.sounds().next())?)?;
    let clock = sent.codec.clock();
    let events = own
        .events(clock)
        .map(|known| Events { payload_type: known.payload_type, clock: known.spoken.clock() });
    // What has a number of its own is known by it.
    let free = |known: &PlainFormat| known.spoken.fixed().is_none();
    let theirs = other.into_iter().filter(|_| !turned).flat_map(PlainSound::sounds);
    let mut heard = [None; HEARD_MAX];
    for known in own.sounds().chain(theirs).filter(free).filter_map(format) {
        let place = heard.iter_mut().find(|slot| slot.is_none_or(|other| other == known));
        if let Some(slot) = place {
            *slot = Some(known);
        }
    }
    Some(Sound { sent, heard, events, passes: !turned })
}

/// As the engine says it.
pub(crate) fn format(known: PlainFormat) -> Option<Format> {
    Some(Format { payload_type: known.payload_type, codec: codec(known.spoken)? })
}

fn codec(spoken: Spoken) -> Option<Codec> {
    match spoken {
        Spoken::Amr(Amr { wide, aligned, modes }) => {
            Some(Codec::Amr(media::amr::Amr { wide, aligned, modes }))
        }
        Spoken::Events(_) | Spoken::Silence => None,
        Spoken::G722 => Some(Codec::G722),
        Spoken::L16(clock) => Rate::of(clock).map(Codec::L16),
        Spoken::Opus => Some(Codec::Opus),
        Spoken::Pcma => Some(Codec::G711(Law::A)),
        Spoken::Pcmu => Some(Codec::G711(Law::Mu)),
    }
}

/// As descriptions say it.
pub(crate) fn spoken(codec: Codec) -> Spoken {
    match codec {
        Codec::Amr(media::amr::Amr { wide, aligned, modes }) => {
            Spoken::Amr(Amr { wide, aligned, modes })
        }
        Codec::G711(Law::A) => Spoken::Pcma,
        Codec::G711(Law::Mu) => Spoken::Pcmu,
        Codec::G722 => Spoken::G722,
        Codec::L16(rate) => Spoken::L16(rate.hertz()),
        Codec::Opus => Spoken::Opus,
    }
}

/// A format as a saved number: what it holds, its clock, its payload type.
pub(crate) fn save(format: PlainFormat) -> u128 {
    let kind = match format.spoken {
        Spoken::Amr(Amr { aligned, modes, .. }) => {
            8 | u128::from(aligned) << 8 | u128::from(modes) << 16
        }
        Spoken::Events(_) => 1,
        Spoken::G722 => 2,
        Spoken::L16(_) => 3,
        Spoken::Opus => 4,
        Spoken::Pcma => 5,
        Spoken::Pcmu => 6,
        Spoken::Silence => 7,
    };
    kind << 40 | u128::from(format.spoken.clock()) << 8 | u128::from(format.payload_type)
}

/// What [`save`] wrote; `None` for what a newer version knows.
pub(crate) fn load(number: u128) -> Option<PlainFormat> {
    let clock = (number >> 8) as u32;
    let spoken = match number >> 40 {
        1 => Spoken::Events(clock),
        2 => Spoken::G722,
        3 => Spoken::L16(clock),
        4 => Spoken::Opus,
        5 => Spoken::Pcma,
        6 => Spoken::Pcmu,
        7 => Spoken::Silence,
        form if form & 0xff == 8 && form >> 32 == 0 => {
            let (aligned, modes) = (form >> 8 & 0xff == 1, (form >> 16) as u16);
            Spoken::Amr(Amr { wide: clock == 16_000, aligned, modes })
        }
        _ => return None,
    };
    Some(PlainFormat { payload_type: number as u8, spoken })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMR: AmrKnown = AmrKnown { narrow: true, wide: true, offered: false };

    fn with(formats: &str, lines: &str) -> Vec<u8> {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        format!("{head}m=audio 4000 RTP/AVP {formats}\r\n{lines}").into_bytes()
    }

    fn added(formats: &str, lines: &str, known: Option<&PlainSound>) -> Vec<u128> {
        let sdp = with(formats, lines);
        let session = sdp::Session::decode(&sdp).unwrap();
        let change = widen(&session.media[0], known, AMR);
        change.map_or(Vec::new(), |change| change.added.into_iter().map(save).collect())
    }

    fn numbers(formats: &[(u8, Spoken)]) -> Vec<u128> {
        let all = formats.iter();
        all.map(|&(payload_type, spoken)| save(PlainFormat { payload_type, spoken })).collect()
    }

    const KEYS: &str = "a=rtpmap:101 telephone-event/8000\r\n";
    const OPUS: &str = "a=rtpmap:96 opus/48000/2\r\n";

    #[test]
    fn only_what_may_be_missing_is_offered() {
        use Spoken::{Events, G722, Opus, Pcma, Pcmu};
        assert_eq!(added("0 8", "", None), numbers(&[(111, Opus)]));
        let both = [(111, Opus), (110, Events(48_000))];
        assert_eq!(added("0 101", KEYS, None), numbers(&both));
        let lower = [(9, G722), (8, Pcma), (0, Pcmu)];
        assert_eq!(added("96", OPUS, None), numbers(&lower));
        assert_eq!(added("9", "", None), numbers(&[(111, Opus), (8, Pcma), (0, Pcmu)]));
        assert_eq!(added("96 9 0", OPUS, None), []);
        assert_eq!(added("18", "", None), []); // Nothing that we could turn.
        // A number that is taken, or that the other side knows for something else, is not used.
        assert_eq!(added("0 111", "a=rtpmap:111 speex/8000\r\n", None), numbers(&[(96, Opus)]));
        let known = PlainSound::of([PlainFormat { payload_type: 111, spoken: Events(8000) }]);
        assert_eq!(added("0", "", Some(&known)), numbers(&[(96, Opus)]));
        let known = PlainSound::of([PlainFormat { payload_type: 120, spoken: Opus }]);
        assert_eq!(added("0", "", Some(&known)), numbers(&[(120, Opus)]));
    }

    #[test]
    fn an_answer_with_our_codec_is_turned_and_any_other_passes() {
        let offer = with("96 101", &format!("{OPUS}{KEYS}"));
        let offer = sdp::Session::decode(&offer).unwrap();
        let change = widen(&offer.media[0], None, AMR).unwrap();
        let offered = sdp::plain_sound(&offer.media[0], AMR).unwrap();
        let judged = |formats: &str, lines: &str| {
            let answer = with(formats, lines);
            let session = sdp::Session::decode(&answer).unwrap();
            outcome(Some(&offered), &change.added, &session.media[0], AMR)
        };
        assert_eq!(judged("96 101", &format!("{OPUS}{KEYS}")), Outcome::Passes(None));
        let narrowed = Reformat { kept: vec![96], added: Vec::new() };
        assert_eq!(judged("96 0", OPUS), Outcome::Passes(Some(narrowed)));
        let Outcome::Turned { offered, told } = judged("0 101", KEYS) else {
            panic!("the answer has none of the offer's codecs");
        };
        assert_eq!(
            told.added.iter().map(|format| format.payload_type).collect::<Vec<_>>(),
            [96, 101]
        );
        let answer = with("0 101", KEYS);
        let answer = sdp::Session::decode(&answer).unwrap();
        let answered = sdp::plain_sound(&answer.media[0], AMR).unwrap();
        let (a, b) =
            (sound(&offered, Some(&answered), true), sound(&answered, Some(&offered), true));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.sent.codec, b.sent.codec), (Codec::Opus, Codec::G711(Law::Mu)));
        assert!(!a.passes && !b.passes);
        assert_eq!(a.heard[0], Some(a.sent));
        assert_eq!(b.heard, [None; HEARD_MAX]);
        // Who answers without keys is sent none, and the other is not told of any.
        let Outcome::Turned { told, .. } = judged("0", "") else { panic!("not turned") };
        assert_eq!(told.added.len(), 1);
    }

    #[test]
    fn amr_passes_to_amr_and_is_turned_for_others() {
        let lines = "a=rtpmap:96 AMR-WB/16000\r\na=fmtp:96 mode-set=0,1,2\r\n\
            a=rtpmap:97 telephone-event/16000\r\n";
        let offer = with("96 97", lines);
        let offer = sdp::Session::decode(&offer).unwrap();
        let change = widen(&offer.media[0], None, AMR).unwrap();
        let kinds: Vec<Spoken> = change.added.iter().map(|format| format.spoken).collect();
        use Spoken::{G722, Opus, Pcma, Pcmu};
        assert_eq!(kinds, [Opus, G722, Pcma, Pcmu, Spoken::Events(8000), Spoken::Events(48_000)]);
        let offered = sdp::plain_sound(&offer.media[0], AMR).unwrap();
        let judged = |formats: &str, lines: &str| {
            let answer = with(formats, lines);
            let session = sdp::Session::decode(&answer).unwrap();
            outcome(Some(&offered), &change.added, &session.media[0], AMR)
        };
        // A set of modes that became smaller is no other codec.
        let smaller = lines.replace("0,1,2", "2");
        assert_eq!(judged("96 97", &smaller), Outcome::Passes(None));
        let Outcome::Turned { offered, told } = judged("8", "") else { panic!("not turned") };
        let own = sound(&offered, None, true).unwrap().sent;
        let form = media::amr::Amr { wide: true, aligned: false, modes: 7 };
        assert_eq!(own, Format { payload_type: 96, codec: Codec::Amr(form) });
        assert_eq!(told.added.len(), 1);
        // Without its library it is a codec of others, as any other.
        assert_eq!(widen(&offer.media[0], None, AmrKnown::default()), None);
        // Offered where that is wished, behind all others.
        let plain = with("0 101", KEYS);
        let plain = sdp::Session::decode(&plain).unwrap();
        let wished = AmrKnown { offered: true, ..AMR };
        let added = widen(&plain.media[0], None, wished).unwrap().added;
        let ours = |wide| Spoken::Amr(Amr::ours(wide));
        let expected = [
            (111, Opus),
            (104, ours(true)),
            (102, ours(false)),
            (105, Spoken::Events(16_000)),
            (110, Spoken::Events(48_000)),
        ];
        let expected: Vec<PlainFormat> = expected
            .into_iter()
            .map(|(payload_type, spoken)| PlainFormat { payload_type, spoken })
            .collect();
        assert_eq!(added, expected);
    }

    #[test]
    fn formats_are_saved_and_read_again() {
        for spoken in [
            Spoken::Amr(Amr { wide: true, aligned: false, modes: 0x1ff }),
            Spoken::Amr(Amr { wide: false, aligned: true, modes: 0x81 }),
            Spoken::Events(8000),
            Spoken::Events(48_000),
            Spoken::G722,
            Spoken::L16(16_000),
            Spoken::Opus,
            Spoken::Pcma,
            Spoken::Pcmu,
            Spoken::Silence,
        ] {
            let format = PlainFormat { payload_type: 127, spoken };
            assert_eq!(load(save(format)), Some(format));
        }
        assert_eq!(load(0), None);
        assert_eq!(load(u128::MAX), None);
    }
}
