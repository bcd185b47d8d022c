//! The path between us and the browser of one side: names, keys, and what the browser said of its own end.

use types::{Rng, tagged};

use crate::core::Door;

/// Our end, and the browser's as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    ufrag: String,
    password: String,
    /// The names of the sections.
    mids: Vec<String>,
    peer: Option<Peer>,
    /// We begin the handshake.
    active: bool,
    /// The process that had its keys is gone: the next description begins a new path.
    lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    ufrag: String,
    fingerprint: [u8; 32],
}

/// What a description is in the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Answer,
    Offer,
}

/// Octets of a password and of a user fragment: 128 and 64 bits of chance, four to a letter.
///
/// Spec: RFC 8445 §5.3
const PASSWORD: usize = 32;
const UFRAG: usize = 16;

impl Path {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            ufrag: word(UFRAG, rng),
            password: word(PASSWORD, rng),
            mids: Vec::new(),
            peer: None,
            active: false,
            lost: false,
        }
    }

    /// New names, so that the browser looks for a new path.
    fn renew(&mut self, rng: &mut Rng) {
        *self = Self { mids: std::mem::take(&mut self.mids), ..Self::new(rng) };
    }

    /// Takes what a browser says of its end.
    ///
    /// Spec: RFC 8445 §5.3 (other names are a new path), RFC 8842 §5.3 (who begins stays)
    pub(crate) fn hear(&mut self, turn: Turn, browser: sdp::web::Browser, rng: &mut Rng) {
        let sdp::web::Browser { ufrag, fingerprint, setup, mids } = browser;
        let moved = self.peer.as_ref().is_some_and(|peer| peer.ufrag != ufrag);
        let same = self.peer.as_ref().is_some_and(|peer| peer.fingerprint == fingerprint);
        let (lost, active) = (self.lost, self.active);
        if turn == Turn::Offer && (moved || lost) {
            self.renew(rng);
        }
        self.active = match setup {
            sdp::web::Setup::Active => false,
            sdp::web::Setup::Passive => true,
            sdp::web::Setup::ActPass => same && !lost && active,
        };
        self.mids = mids;
        self.peer = Some(Peer { ufrag, fingerprint });
    }

    /// A plain description as the browser gets it. `None` when the description cannot be read.
    pub(crate) fn dress(
        &mut self,
        turn: Turn,
        plain: &[u8],
        door: &Door,
        rng: &mut Rng,
    ) -> Option<Vec<u8>> {
        if self.lost && turn == Turn::Offer {
            self.renew(rng);
        }
        let setup = match turn {
            Turn::Offer => sdp::web::Setup::ActPass,
            Turn::Answer if self.active => sdp::web::Setup::Active,
            Turn::Answer => sdp::web::Setup::Passive,
        };
        let dress = sdp::web::Dress {
            ufrag: self.ufrag.clone(),
            password: self.password.clone(),
            fingerprint: door.fingerprint,
            setup,
            mids: self.mids.clone(),
            address: door.address,
            streams: door.streams,
        };
        sdp::web::dress(plain, &dress).ok()
    }

    /// What the pump is told of a section that carries these payload types; nothing before the browser has spoken.
    pub(crate) fn shield(&self, types: &[u8]) -> Option<media::Shield> {
        if self.lost {
            return Some(media::Shield::Lost);
        }
        let peer = self.peer.as_ref()?;
        Some(media::Shield::Web(Box::new(media::Web {
            ufrag: self.ufrag.clone(),
            password: self.password.clone(),
            peer: peer.ufrag.clone(),
            fingerprint: peer.fingerprint,
            active: self.active,
            types: types.to_vec(),
        })))
    }

    pub(crate) fn write(&self, writer: &mut tagged::Writer) {
        writer.text(1, &self.ufrag).text(2, &self.password);
        for mid in &self.mids {
            writer.text(3, mid);
        }
        if let Some(peer) = &self.peer {
            writer.text(4, &peer.ufrag).bytes(5, &peer.fingerprint);
        }
        writer.number(6, u128::from(self.active) | u128::from(self.lost) << 1);
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut ufrag, mut password, mut mids, mut flags) = (None, None, Vec::new(), 0);
        let (mut name, mut fingerprint) = (None, None);
        for (tag, field) in tagged::Reader::new(bytes) {
            let text = || field.text().map(str::to_owned);
            match tag {
                1 => ufrag = text(),
                2 => password = text(),
                3 => mids.extend(text()),
                4 => name = text(),
                5 => fingerprint = field.0.try_into().ok(),
                6 => flags = field.number()?,
                _ => (), // Of a newer version.
            }
        }
        let peer = name.zip(fingerprint).map(|(ufrag, fingerprint)| Peer { ufrag, fingerprint });
        let (active, lost) = (flags & 1 != 0, flags & 2 != 0);
        Some(Self { ufrag: ufrag?, password: password?, mids, peer, active, lost })
    }

    /// The same after the process that had its keys.
    pub(crate) fn after_restart(self) -> Self {
        Self { lost: true, ..self }
    }
}

fn word(letters: usize, rng: &mut Rng) -> String {
    let mut octets = vec![0; letters];
    rng.fill(&mut octets);
    // Letters of ICE, of which sixteen make four bits each.
    octets.iter().map(|octet| char::from(b'a' + (octet & 0x0f))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser(ufrag: &str, setup: sdp::web::Setup) -> sdp::web::Browser {
        let (ufrag, mids) = (ufrag.to_owned(), vec!["0".to_owned()]);
        sdp::web::Browser { ufrag, fingerprint: [1; 32], setup, mids }
    }

    #[test]
    fn a_path_is_renewed_when_the_browser_restarts_or_we_did() {
        let mut rng = Rng::from_number(1);
        let mut path = Path::new(&mut rng);
        path.hear(Turn::Offer, browser("a", sdp::web::Setup::ActPass), &mut rng);
        let first = path.ufrag.clone();
        path.hear(Turn::Offer, browser("a", sdp::web::Setup::ActPass), &mut rng);
        assert_eq!(path.ufrag, first);
        path.hear(Turn::Answer, browser("b", sdp::web::Setup::Active), &mut rng);
        assert_eq!(path.ufrag, first, "an answer follows what we offered");
        path.hear(Turn::Offer, browser("c", sdp::web::Setup::Passive), &mut rng);
        assert_ne!(path.ufrag, first);
        assert!(path.active);
        let second = path.ufrag.clone();
        let mut writer = tagged::Writer::new();
        path.write(&mut writer);
        let mut read = Path::read(&writer.finish()).unwrap();
        assert_eq!(read, path);
        read = read.after_restart();
        assert_eq!(read.shield(&[0]), Some(media::Shield::Lost));
        read.hear(Turn::Offer, browser("c", sdp::web::Setup::ActPass), &mut rng);
        assert_ne!(read.ufrag, second);
        assert!(!read.active);
        assert!(matches!(read.shield(&[0]), Some(media::Shield::Web(_))));
    }
}
