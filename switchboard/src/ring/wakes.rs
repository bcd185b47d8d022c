//! Waking devices for a call, and what their pushes say.

use types::CallId;

use crate::directory::Device;
use crate::effects::Effects;
use crate::ladder::Lane;
use crate::notice::{Notice, Wake};

use super::{BRANCHES_MAX, Ring, WakeState, Waking};

impl Ring {
    pub(super) fn wake(&mut self, device: Device, effects: &mut Effects<'_>) {
        // One device may have several bindings, and be known by the API as well: it gets one push.
        let prid = device.target.prid.clone();
        if self.wakes.len() >= BRANCHES_MAX || self.wakes.iter().any(|wake| wake.prid == prid) {
            return;
        }
        let token = crate::link::token(&effects.keys().links, &self.call_id, &prid);
        let invite = self.push_invite(token.clone(), effects);
        let call = CallId(self.plan.session.0);
        let line = format!("waking {} {}", device.target.provider, types::Pii(&prid));
        effects.ladder(call, Lane::Push, &line);
        effects.publish(Notice::WakeNeeded(Box::new(Wake {
            session: self.plan.session,
            user: self.plan.user.clone(),
            device,
            invite,
            until: self.woke + self.plan.wake,
        })));
        self.wakes.push(Waking { prid, token, state: WakeState::Waiting });
    }

    pub(super) fn push_invite(&self, reply_token: String, effects: &Effects<'_>) -> pns::Invite {
        let plan = &self.plan;
        let until = self.began + plan.ring;
        let image = plan.caller_user.as_deref().and_then(|caller| {
            let user = effects.directory().user(caller)?;
            let path = format!("/v1/images/{}", user.picture.as_ref()?);
            let link = crate::link::sign(&effects.keys().links, &path, until);
            let url = format!("{}{link}", effects.public());
            Some(pns::Image { url, inline: user.picture_tiny.clone() })
        });
        pns::Invite {
            call_id: self.call_id.clone(),
            caller_uri: plan.caller_uri.clone(),
            caller_name: plan.caller_name.clone(),
            caller_user: plan.caller_user.clone(),
            caller_addr: plan.caller_addr.clone(),
            to: format!("sip:{}@{}", plan.user, effects.domain()),
            media: wanted(plan.offer.as_deref()),
            reply_url: format!("{}/v1/push/replies/{}", effects.public(), self.call_id),
            reply_token,
            iat: self.began.as_seconds(),
            exp: (self.woke + plan.wake).as_seconds(),
            image,
        }
    }
}

/// What an offer offers; without one sound is assumed.
fn wanted(offer: Option<&[u8]>) -> pns::Media {
    match offer.map(sdp::Session::decode) {
        Some(Ok(session)) => {
            let wanted = sdp::media_wanted(&session);
            pns::Media { audio: wanted.audio, video: wanted.video }
        }
        Some(Err(_)) | None => pns::Media { audio: true, video: false },
    }
}
