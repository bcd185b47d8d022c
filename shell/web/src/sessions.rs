//! Who is signed in: links that work once, cookies, and tokens for phones on other pages.
//!
//! Rules       A cookie and a token are signed words, so a restart signs nobody out; a link is known to the process that
//!             made it and to nobody else. Signing out is remembered until the cookie would have ended, or a restart.
//! Limits      LINKS_MAX, LINK_LIFE, SESSION_LIFE, TOKEN_LIFE, SIGNED_OUT_MAX.
//! Not here    Requests and answers (account.rs).
//! Spec        RFC 6265bis (SameSite)

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard::link;
use types::UnixTime;

use crate::Chance;

/// How long a link waits to be opened.
pub const LINK_LIFE: Duration = Duration::from_secs(30 * 60);
/// Links that wait at one time; the one that ends first gives way.
pub const LINKS_MAX: usize = 1_024;
/// How long somebody stays signed in.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);
/// Sessions that were signed out and would still hold; the one that ends first is forgotten first.
pub const SIGNED_OUT_MAX: usize = 4_096;
/// How long a token of a phone on another page may be used to begin.
pub const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);

const SESSION: &str = "console-session";
const TOKEN: &str = "phone-token";

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose phone it is; none: an administrator without a phone.
    pub user: Option<String>,
    /// Whether the administrator's requests are open.
    pub admin: bool,
    pub until: UnixTime,
    /// Tells one signing-in from another.
    id: String,
}

pub struct Sessions {
    key: [u8; 32],
    chance: Chance,
    links: Mutex<BTreeMap<String, Session>>,
    /// Ids of sessions that were ended, with when they would have.
    ended: Mutex<BTreeMap<String, UnixTime>>,
}

impl Sessions {
    pub fn new(key: [u8; 32], chance: Chance) -> Self {
        Self { key, chance, links: Mutex::default(), ended: Mutex::default() }
    }

    /// Makes the key of a link that works once.
    pub fn link(&self, user: Option<String>, admin: bool, now: UnixTime) -> (String, UnixTime) {
        let until = now + LINK_LIFE;
        let key = self.word();
        let mut links = lock(&self.links);
        links.retain(|_, waiting| waiting.until > now);
        if links.len() >= LINKS_MAX
            && let Some(first) =
                links.iter().min_by_key(|(_, one)| one.until).map(|(key, _)| key.clone())
        {
            links.remove(&first);
        }
        links.insert(key.clone(), Session { user, admin, until, id: String::new() });
        (key, until)
    }

    /// Opens a link: it is gone then. The session, and the value of its cookie.
    pub fn open(&self, key: &str, now: UnixTime) -> Option<(Session, String)> {
        let waiting = lock(&self.links).remove(key)?;
        if waiting.until < now {
            return None;
        }
        let session = Session { until: now + SESSION_LIFE, id: self.word(), ..waiting };
        let cookie = self.cookie(&session);
        Some((session, cookie))
    }

    /// Who shows this cookie.
    pub fn read(&self, cookie: &str, now: UnixTime) -> Option<Session> {
        let (words, shown) = cookie.rsplit_once('.')?;
        if !link::same(link::token(&self.key, SESSION, words).as_bytes(), shown.as_bytes()) {
            return None;
        }
        let [user, admin, until, id] = words.split('.').collect::<Vec<_>>().try_into().ok()?;
        let session = Session {
            user: unhex(user)?,
            admin: admin == "1",
            until: UnixTime::seconds(until.parse().ok()?),
            id: id.to_owned(),
        };
        let gone = session.until < now || lock(&self.ended).contains_key(&session.id);
        (!gone).then_some(session)
    }

    /// Signs somebody out.
    pub fn end(&self, session: &Session, now: UnixTime) {
        let mut ended = lock(&self.ended);
        ended.retain(|_, until| *until > now);
        if ended.len() >= SIGNED_OUT_MAX
            && let Some(first) =
                ended.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone())
        {
            ended.remove(&first);
        }
        ended.insert(session.id.clone(), session.until);
    }

    /// A token by which a page of others may be the phone of this user.
    pub fn token(&self, user: &str, now: UnixTime) -> (String, UnixTime) {
        let until = now + TOKEN_LIFE;
        let words = format!("{}.{}", hex(user.as_bytes()), until.as_seconds());
        let signature = link::token(&self.key, TOKEN, &words);
        (format!("{words}.{signature}"), until)
    }

    /// Whose phone a token begins.
    pub fn of_token(&self, token: &str, now: UnixTime) -> Option<String> {
        let (words, shown) = token.rsplit_once('.')?;
        if !link::same(link::token(&self.key, TOKEN, words).as_bytes(), shown.as_bytes()) {
            return None;
        }
        let (user, until) = words.split_once('.')?;
        (UnixTime::seconds(until.parse().ok()?) >= now).then(|| unhex(user))?.flatten()
    }

    fn cookie(&self, session: &Session) -> String {
        let user = hex(session.user.as_deref().unwrap_or_default().as_bytes());
        let (admin, until) = (u8::from(session.admin), session.until.as_seconds());
        let words = format!("{user}.{admin}.{until}.{}", session.id);
        let signature = link::token(&self.key, SESSION, &words);
        format!("{words}.{signature}")
    }

    /// A word that nobody guesses.
    fn word(&self) -> String {
        hex(&(self.chance)()[..16])
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A text in hexadecimal; `None` inside: it is empty.
fn unhex(text: &str) -> Option<Option<String>> {
    let octets: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let text = String::from_utf8(octets?).ok()?;
    Some((!text.is_empty()).then_some(text))
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn sessions() -> Sessions {
        let count = AtomicU8::new(0);
        Sessions::new([7; 32], Arc::new(move || [count.fetch_add(1, Ordering::Relaxed); 32]))
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::seconds(seconds)
    }

    #[test]
    fn a_link_works_once_and_not_for_ever() {
        let sessions = sessions();
        let (key, until) = sessions.link(Some("1001".into()), true, at(0));
        assert_eq!(until, at(1_800));
        let (session, cookie) = sessions.open(&key, at(1_800)).unwrap();
        assert_eq!(sessions.open(&key, at(1_800)), None);
        assert_eq!(sessions.read(&cookie, at(2_000)), Some(session.clone()));
        assert_eq!((session.user.as_deref(), session.admin), (Some("1001"), true));
        assert_eq!(sessions.read(&cookie, session.until + Duration::from_secs(1)), None);
        let (late, _) = sessions.link(None, true, at(0));
        assert_eq!(sessions.open(&late, at(1_801)), None);
        assert_eq!(sessions.open("", at(0)), None);
    }

    #[test]
    fn signing_out_holds_for_one_session_alone() {
        let sessions = sessions();
        let open = || {
            let (key, _) = sessions.link(Some("1001".into()), false, at(0));
            sessions.open(&key, at(0)).unwrap()
        };
        let ((first, cookie), (_, other)) = (open(), open());
        sessions.end(&first, at(1));
        assert_eq!(sessions.read(&cookie, at(1)), None);
        assert!(sessions.read(&other, at(1)).is_some_and(|session| !session.admin));
    }

    #[test]
    fn altered_cookies_and_tokens_are_nobodys() {
        let sessions = sessions();
        let (key, _) = sessions.link(Some("1001".into()), false, at(0));
        let (_, cookie) = sessions.open(&key, at(0)).unwrap();
        let (token, _) = sessions.token("1001", at(0));
        assert_eq!(sessions.of_token(&token, at(300)).as_deref(), Some("1001"));
        assert_eq!(sessions.of_token(&token, at(301)), None);
        assert_eq!(sessions.of_token(&cookie, at(0)), None);
        assert_eq!(sessions.read(&token, at(0)), None);
        let mut rng = types::Rng::from_number(3);
        for _ in 0..10_000 {
            for whole in [&cookie, &token] {
                let mut octets = whole.clone().into_bytes();
                let place = rng.below(octets.len() as u64) as usize;
                octets[place] = (rng.below(94) + 33) as u8;
                let text = String::from_utf8(octets).unwrap();
                if text != *whole {
                    assert_eq!(sessions.read(&text, at(0)), None, "{text}");
                    assert_eq!(sessions.of_token(&text, at(0)), None, "{text}");
                }
            }
        }
    }

    #[test]
    fn links_are_bounded() {
        let count = std::sync::atomic::AtomicU64::new(0);
        let chance: Chance = Arc::new(move || {
            let mut octets = [0; 32];
            octets[..8].copy_from_slice(&count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            octets
        });
        let sessions = Sessions::new([7; 32], chance);
        let (first, _) = sessions.link(None, true, at(0));
        for _ in 0..LINKS_MAX {
            sessions.link(None, true, at(1));
        }
        assert_eq!(lock(&sessions.links).len(), LINKS_MAX);
        assert_eq!(sessions.open(&first, at(1)), None);
    }
}
