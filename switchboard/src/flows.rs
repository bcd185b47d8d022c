//! Whether a message came the way that is known, and what a connection that ended takes with it.

use sip::Uri;
use sip::dialog::Dialog;
use types::Flow;

use crate::effects::Effects;

/// A device that keeps its flows open by itself is reached by these alone: its binding ends with its connection, unless
/// it can be woken. Every other binding stays, with a fresh connection to be made.
///
/// Spec: RFC 5626 §5.3
pub(crate) fn closed(flow: Flow, effects: &mut Effects<'_>) {
    let mut over = Vec::new();
    for (user, bindings) in effects.core.directory.homes() {
        let cut = bindings.iter().filter(|binding| {
            binding.flow == flow && binding.is_outbound() && binding.push.is_none()
        });
        over.extend(cut.map(|binding| (user.clone(), binding.clone())));
    }
    over.sort_by(|a, b| (&a.0, &a.1.contact, a.1.reg_id).cmp(&(&b.0, &b.1.contact, b.1.reg_id)));
    for (user, binding) in over {
        effects.unbind(&user, &binding, "flow gone");
    }
    effects.core.flow_closed(flow);
}

/// Whether a request comes from where the peer of a dialog was before or says that it is.
pub(crate) fn is_near(known: Flow, dialog: &Dialog, flow: Flow) -> bool {
    let source = flow.remote.ip();
    let names_source =
        |uri: &[u8]| Uri::decode(uri).ok().and_then(|uri| uri.ip()) == Some(source.to_canonical());
    known.remote.ip() == source || names_source(dialog.target()) || names_source(dialog.next_hop())
}
