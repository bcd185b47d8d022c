//! Challenges met so far, and the answers to them.

use sip::digest::{self, Challenge, Login, Password, Target};
use sip::{Message, Name};
use types::Rng;

use crate::config::Config;

/// Realms that are remembered; beyond, the oldest is forgotten.
pub const REALMS_MAX: usize = 4;

/// How often one request answers one realm when the server says that only the nonce was old.
const STALE_MAX: usize = 2;

/// What this phone was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Realms(Vec<Known>);

/// One challenge and how often its nonce was used.
#[derive(Clone, Debug)]
struct Known {
    asked: Name,
    realm: Vec<u8>,
    challenge: Vec<u8>,
    nc: u32,
}

/// The realms that one request has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried(Vec<Vec<u8>>);

impl Realms {
    /// Learns the challenges of a 401 or 407. `false`: there is nothing new to answer.
    ///
    /// Spec: RFC 3261 §22.2, §22.3
    pub fn learn(&mut self, response: &Message<'_>, tried: &mut Tried) -> bool {
        let mut learnt = false;
        for asked in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
            let mut realms: Vec<Vec<u8>> = Vec::new();
            for challenge in response.all(asked).filter_map(|value| Challenge::decode(value).ok()) {
                if !realms.iter().any(|realm| **realm == *challenge.realm) {
                    realms.push(challenge.realm.into_owned());
                }
            }
            for realm in realms {
                learnt |= self.learn_realm(response, asked, realm, tried);
            }
        }
        learnt
    }

    fn learn_realm(
        &mut self,
        response: &Message<'_>,
        asked: Name,
        realm: Vec<u8>,
        tried: &mut Tried,
    ) -> bool {
        let read = |value| Some((Challenge::decode(value).ok()?, value));
        let of_realm = response.all(asked).filter_map(read).filter(|(c, _)| *c.realm == *realm);
        let offers: Vec<(Challenge<'_>, &[u8])> = of_realm.collect();
        let Some(best) = digest::strongest(offers.iter().map(|(c, _)| c.clone())) else {
            return false;
        };
        let Some((_, value)) = offers.iter().find(|(c, _)| *c == best) else { return false };
        let times = tried.0.iter().filter(|known| **known == realm).count();
        if times > 0 && !(best.stale && times < STALE_MAX) {
            return false;
        }
        tried.0.push(realm.clone());
        self.0.retain(|known| known.asked != asked || known.realm != realm);
        if self.0.len() == REALMS_MAX {
            self.0.remove(0);
        }
        self.0.push(Known { asked, realm, challenge: value.to_vec(), nc: 0 });
        true
    }

    /// The headers that answer every realm we know, each counted.
    pub fn lines(
        &mut self,
        config: &Config,
        method: &[u8],
        uri: &[u8],
        rng: &mut Rng,
    ) -> Vec<(Name, Vec<u8>)> {
        if config.password.reveal().is_empty() {
            return Vec::new();
        }
        let login = Login {
            user: config.user.as_bytes(),
            password: Password::Text(config.password.reveal().as_bytes()),
            realm: None,
        };
        let mut lines = Vec::new();
        for known in &mut self.0 {
            let Ok(challenge) = Challenge::decode(&known.challenge) else { continue };
            known.nc = known.nc.saturating_add(1);
            let cnonce = format!("{:016x}", rng.next_u64());
            let target = Target { method, uri };
            let answer = digest::answer(&challenge, &login, target, cnonce.as_bytes(), known.nc);
            let name = match known.asked {
                Name::ProxyAuthenticate => Name::ProxyAuthorization,
                _ => Name::Authorization,
            };
            lines.extend(answer.map(|answer| (name, answer)));
        }
        lines
    }
}
