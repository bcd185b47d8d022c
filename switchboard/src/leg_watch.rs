//! How a leg knows that its far end still lives: session timers, and questions to those who know none.
//!
//! Picture     success of INVITE --agree--> Ours (we refresh) | Theirs (they do) | Ask (OPTIONS)
//!             Ours, Ask: half of the interval --UPDATE | re-INVITE | OPTIONS--> again
//!             Theirs: nobody refreshed --> BYE, a little before the end
//! Rules       Every established leg is watched. 481 and no answer at all (408) end it, nothing else does. After a
//!             restart each leg is asked within SPREAD: an end that the log lost is found.
//! Limits      INTERVAL_MIN; looked at with each sweep, so some seconds late at most.
//! Not here    What the interval is (setting of the room that owns calls).
//! Spec        RFC 4028; RFC 3261 §12.2.1.2 for 408 and 481
use sip::{Message, Method, Name, header};
use types::{LegId, Seconds, UnixTime, tagged};

use crate::core::Core;
use crate::leg::{Asked, AskedFor, Change, Leg, LegEvent, Offered, Phase};
use crate::leg_run::{ALLOW, SERVER};

/// The shortest session that is agreed to; a request for a shorter one gets 422.
///
/// Spec: RFC 4028 §5
pub const INTERVAL_MIN: Seconds = Seconds(90);
/// How long a session lasts without a refresh unless a setting says otherwise.
pub const INTERVAL: Seconds = Seconds(1_800);
/// After a restart the legs are asked within this, not all at once.
const SPREAD: u64 = 20;
/// A refresh that could not be sent, or was refused for a reason that passes, is tried again after this.
const AGAIN: Seconds = Seconds(10);

/// Who sees to it that a session is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Nobody: the far end knows no session timers and is asked with OPTIONS.
    Ask,
    /// We do.
    Ours,
    /// The far end does.
    Theirs,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub manner: Manner,
    pub interval: Seconds,
    /// When the session ends unless it is refreshed.
    pub until: UnixTime,
    /// When we do something about it.
    pub next: UnixTime,
}

impl Watch {
    /// A session that begins, or begins again, now.
    pub fn new(manner: Manner, interval: Seconds, now: UnixTime) -> Self {
        let until = now + interval.into();
        let after = match manner {
            Manner::Ask | Manner::Ours => interval.0 / 2,
            Manner::Theirs => interval.0 - before_end(interval),
        };
        Self { manner, interval, until, next: now + Seconds(after).into() }
    }

    pub fn encode(&self, writer: &mut tagged::Writer) {
        let manner = match self.manner {
            Manner::Ask => 1,
            Manner::Ours => 2,
            Manner::Theirs => 3,
        };
        writer.number(1, manner).number(2, self.interval.0.into()).number(3, self.until.0.into());
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut manner, mut interval, mut until) = (Manner::Ask, INTERVAL, UnixTime(0));
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = field.number()? as u64;
            match tag {
                1 if number == 2 => manner = Manner::Ours,
                1 if number == 3 => manner = Manner::Theirs,
                2 => interval = Seconds(number as _),
                3 => until = UnixTime(number),
                _ => (), // A field of a newer version.
            }
        }
        Some(Self { manner, interval, until, next: until })
    }
}

/// What both sides of a session agree to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub interval: Seconds,
    /// Whoever sent the request refreshes (`uac`).
    pub by_asker: bool,
    /// The asker knows session timers.
    pub known: bool,
}

/// Reads Session-Expires: seconds, and whether the one who sent the request refreshes.
pub(crate) fn session_expires(message: &Message<'_>) -> Option<(Seconds, Option<bool>)> {
    let value = message.first(Name::SessionExpires)?;
    let refresher = header::tail(value).get("refresher");
    let by_asker = match refresher {
        Some(word) if word.eq_ignore_ascii_case(b"uac") => Some(true),
        Some(word) if word.eq_ignore_ascii_case(b"uas") => Some(false),
        Some(_) | None => None,
    };
    Some((Seconds(header::seconds(value)?), by_asker))
}

/// What a request of the far end gets; `None`: no session timer.
///
/// Spec: RFC 4028 §9, table 2
pub(crate) fn terms(request: &Message<'_>, ours: Seconds) -> Option<Terms> {
    let known = request.has_token(Name::Supported, "timer");
    let asked = session_expires(request);
    if !known && asked.is_none() {
        return None;
    }
    let least = request.first(Name::MinSe).and_then(header::seconds).unwrap_or(0);
    let least = INTERVAL_MIN.0.max(least);
    let (most, by_asker) = asked.unwrap_or((ours.max(Seconds(least)), None));
    let interval = Seconds(most.0.min(ours.0).max(least)).min(most.max(INTERVAL_MIN));
    // A phone behind NAT should be the one that speaks.
    Some(Terms { interval, by_asker: known && by_asker.unwrap_or(true), known })
}

/// Whether a request asks for a session shorter than we agree to, and would understand that answer.
pub(crate) fn too_short(request: &Message<'_>) -> bool {
    request.has_token(Name::Supported, "timer")
        && session_expires(request).is_some_and(|(asked, _)| asked < INTERVAL_MIN)
}

impl Terms {
    /// Header fields of the success.
    pub fn write(self, writer: &mut sip::write::Writer<'_>) {
        let word = if self.by_asker { "uac" } else { "uas" };
        let value = format!("{};refresher={word}", self.interval.0);
        writer.header(Name::SessionExpires, value);
        if self.by_asker {
            writer.header(Name::Require, "timer");
        }
    }
}

impl Core {
    /// A request of the far end is answered with success.
    pub(crate) fn watch_answered(&mut self, id: LegId, terms: Option<Terms>) {
        let watch = match terms {
            Some(terms) if terms.by_asker => (Manner::Theirs, terms.interval),
            Some(terms) => (Manner::Ours, terms.interval),
            None => (Manner::Ask, self.session_expires),
        };
        self.watch(id, Some(Watch::new(watch.0, watch.1, self.clock.unix)));
    }

    /// A request of ours was answered with success.
    pub(crate) fn watch_asked(&mut self, id: LegId, response: &Message<'_>) {
        let watch = match session_expires(response) {
            Some((interval, Some(false))) => (Manner::Theirs, interval.max(INTERVAL_MIN)),
            Some((interval, _)) => (Manner::Ours, interval.max(INTERVAL_MIN)),
            None => (Manner::Ask, self.session_expires),
        };
        self.watch(id, Some(Watch::new(watch.0, watch.1, self.clock.unix)));
    }

    /// A leg is back: whoever had no sign of its end must not wait half an hour for it.
    pub(crate) fn watch_restored(&mut self, id: LegId, saved: Option<Watch>) {
        let unix = self.clock.unix;
        let soon = unix + std::time::Duration::from_millis(1_000 * self.rng.below(SPREAD));
        let saved = saved.filter(|watch| watch.until > unix);
        let watch = match saved {
            Some(watch) => Watch { next: soon, ..watch },
            None => Watch { next: soon, ..Watch::new(Manner::Ask, self.session_expires, unix) },
        };
        self.watch(id, Some(watch));
    }

    pub(crate) fn watch(&mut self, id: LegId, watch: Option<Watch>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Some(old) = leg.watch {
            self.watches.remove(&(old.next, id));
        }
        leg.watch = watch;
        if let Some(new) = watch {
            self.watches.insert((new.next, id));
        }
    }

    /// Does what is due.
    pub(crate) fn watch_due(&mut self) {
        let unix = self.clock.unix;
        while let Some((next, id)) = self.watches.first().copied().filter(|(at, _)| *at <= unix) {
            self.watches.remove(&(next, id));
            let Some(leg) = self.legs.get(&id) else { continue };
            let Some(watch) = leg.watch else { continue };
            let asked = leg.asked.iter().any(|asked| asked.what == AskedFor::Probe);
            let (soon, half) = (unix + AGAIN.into(), unix + Seconds(watch.interval.0 / 2).into());
            let next = match (&leg.phase, watch.manner) {
                (Phase::Established, Manner::Ask) if !asked => {
                    self.probe(id);
                    half
                }
                (Phase::Established, Manner::Theirs) if unix >= expiry(&watch) => {
                    self.watch_over(id);
                    continue;
                }
                // Somebody must ask it after a restart: it may have gone before.
                (Phase::Established, Manner::Theirs) if !asked => {
                    self.probe(id);
                    expiry(&watch)
                }
                (Phase::Established, Manner::Ours) if unix >= watch.until => {
                    self.watch_over(id);
                    continue;
                }
                (Phase::Established, Manner::Ours) => {
                    self.refresh_session(id);
                    soon.min(watch.until)
                }
                (_, _) => soon, // Not yet agreed, or ending by itself.
            };
            if let Some(watch) = self.legs.get(&id).and_then(|leg| leg.watch) {
                self.watch(id, Some(Watch { next, ..watch }));
            }
        }
    }

    /// Nobody refreshed the session.
    fn watch_over(&mut self, id: LegId) {
        let Some(owner) = self.legs.get(&id).map(|leg| leg.owner) else { return };
        self.count("switchboard.session_expired");
        let reason = "SIP;cause=408;text=\"Session timer expired\"".to_owned();
        self.leg_bye(id, &[("Reason".into(), reason)]);
        self.tell(owner, id, LegEvent::Ended { why: "session expired".into() });
    }

    fn probe(&mut self, id: LegId) {
        let Some(transaction) = self.leg_in_dialog(id, Method::Options, |writer| {
            writer.header(Name::Accept, "application/sdp").end();
        }) else {
            return;
        };
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.asked.push(Asked { transaction, what: AskedFor::Probe });
        }
    }

    fn refresh_session(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        let under_way = leg.asked.iter().any(|asked| asked.what == AskedFor::Refresh);
        if under_way || !matches!(leg.change, Change::Idle) {
            return;
        }
        let (Some(watch), flow) = (leg.watch, leg.flow) else { return };
        if !leg.updates {
            match leg.said.clone() {
                Some(said) => {
                    let sdp = Some(said.into_vec());
                    self.leg_reinvite(id, Offered { sdp, tries: 0, own: true });
                }
                None => self.probe(id),
            }
            return;
        }
        let contact = self.contact(flow);
        let Some(transaction) = self.leg_in_dialog(id, Method::Update, |writer| {
            writer.header(Name::Contact, &contact).header(Name::Allow, ALLOW);
            refreshing(writer, &watch);
            writer.header(Name::UserAgent, SERVER).end();
        }) else {
            return;
        };
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.asked.push(Asked { transaction, what: AskedFor::Refresh });
        }
    }

    /// What a refresh came to, by UPDATE or by re-INVITE. 408 and 481 ended the leg before.
    pub(crate) fn refreshed(&mut self, id: LegId, status: u16, message: Option<&Message<'_>>) {
        let unix = self.clock.unix;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(watch) = leg.watch else { return };
        match (status, message) {
            (200..=299, Some(message)) => {
                self.watch_asked(id, message);
                self.leg_keep(id);
                return;
            }
            // It said that it takes UPDATE and does not.
            (405 | 501, _) => leg.updates = false,
            (422, Some(message)) => {
                let least = message.first(Name::MinSe).and_then(header::seconds).unwrap_or(0);
                let interval = watch.interval.max(Seconds(least));
                let next = unix;
                self.watch(id, Some(Watch { interval, next, ..watch }));
                return;
            }
            (_, _) => (), // Tried again until the session ends.
        }
        let next = (unix + AGAIN.into()).min(watch.until);
        self.watch(id, Some(Watch { next, ..watch }));
    }

    /// Keeps a leg as it is now, where it is kept.
    pub(crate) fn leg_keep(&mut self, id: LegId) {
        match self.legs.get(&id).map(|leg| (leg.apart, leg.owner)) {
            Some((true, _)) => self.save_leg(id),
            Some((false, owner)) => {
                self.save_session(owner, crate::store::Durability::Written);
            }
            None => (),
        }
    }
}

/// When a session that the far end should have refreshed is given up.
fn expiry(watch: &Watch) -> UnixTime {
    UnixTime(watch.until.0.saturating_sub(u64::from(before_end(watch.interval)) * 1_000_000))
}

/// Seconds before the end of a session at which it is given up, so that the BYE still finds a dialog.
///
/// Spec: RFC 4028 §10
fn before_end(interval: Seconds) -> u32 {
    32.min(interval.0 / 3)
}

/// Header fields of a request of ours that refreshes.
pub(crate) fn refreshing(writer: &mut sip::write::Writer<'_>, watch: &Watch) {
    let word = match watch.manner {
        Manner::Ours => "uac",
        Manner::Ask | Manner::Theirs => "uas",
    };
    let value = format!("{};refresher={word}", watch.interval.0);
    writer.header(Name::Supported, "timer").header(Name::SessionExpires, value);
    writer.header(Name::MinSe, INTERVAL_MIN.0.to_string());
}

/// Whether the words of a leg must be kept: it is refreshed by us, and only by saying them again.
pub(crate) fn keeps_said(leg: &Leg) -> bool {
    !leg.updates && leg.watch.is_some_and(|watch| watch.manner == Manner::Ours)
}
