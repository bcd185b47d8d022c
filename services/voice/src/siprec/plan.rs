//! What a recording server is asked with, and the call as it is told of.

use switchboard::Effects;
use switchboard::leg::{Beside, InvitePlan};
use twiml::Who;
use xml::RecordingMetadata;

use super::story::{Person, Scene};
use super::{DISPOSITION, Line, describe};
use crate::call::Call;
use crate::config::Connector;
use crate::dial::{Reach, bare, no_way};

/// That we are a recording client.
///
/// Spec: RFC 7866 §6.1.1
const FEATURE: &str = ";+sip.src";
/// Hops of an INVITE of ours.
const HOPS: u8 = 70;

/// Our offer: a section for each track.
pub fn offer(lines: &mut [Line], effects: &Effects<'_>) -> Vec<u8> {
    let parts: Vec<Vec<u8>> =
        lines.iter_mut().map(|line| line.seat.offer_one_way(effects).encode()).collect();
    describe::join(&parts)
}

/// The INVITE to a recording server, but for its way.
///
/// Spec: RFC 7866 §6.1, §7.1, §9.1
pub fn plan(
    call: &Call,
    connector: &Connector,
    (lines, document): (&mut [Line], String),
    effects: &mut Effects<'_>,
) -> InvitePlan {
    let slot = call.session.slot();
    let beside = Beside {
        contact: FEATURE.to_owned(),
        content_type: RecordingMetadata::CONTENT_TYPE.to_owned(),
        disposition: DISPOSITION.to_owned(),
        body: document.into_bytes(),
    };
    InvitePlan {
        session: call.session,
        flow: no_way(),
        uri: connector.address.clone(),
        route: String::new(),
        from: format!("<sip:{}>", effects.domain()),
        from_tag: effects.tag(slot),
        to: format!("<{}>", connector.address),
        call_id: effects.call_id(slot),
        cseq: 1,
        max_forwards: HOPS,
        headers: vec![("Require".to_owned(), "siprec".to_owned())],
        sdp: Some(offer(lines, effects)),
        beside: Some(Box::new(beside)),
        early_offer: false,
        login: None,
        keys_else: false,
    }
}

/// The call as it is now.
pub fn scene(call: &Call, effects: &Effects<'_>) -> Scene {
    let facts = &call.facts;
    let caller = Person { aor: facts.from.clone(), name: facts.from_name.clone() };
    let called = Person { aor: facts.to.clone(), name: String::new() };
    // Of a call that an app made, the near end is who was called.
    let (near, far) = if call.progress.made { (called, caller) } else { (caller, called) };
    let talking = call.dialling.as_ref().filter(|one| matches!(one.reach, Reach::Talking(..)));
    let dialled = talking.and_then(|one| one.answerer()).map(|one| {
        let aor = match &one.target.who {
            Who::Client(name) | Who::Number(name) => format!("sip:{name}@{}", effects.domain()),
            Who::Sip(text) => bare(text).to_owned(),
        };
        Person { aor, name: String::new() }
    });
    Scene { near, far: dialled.unwrap_or(far), hears: call.seat.receives() }
}
