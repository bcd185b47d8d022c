//! What a connection that ended takes with it.

use types::Flow;

use crate::effects::Effects;
use crate::transactions::ClientMachine;

/// A device that keeps its flows open by itself is reached by these alone: its binding ends with its connection, unless
/// it can be woken. Every other binding stays, with a fresh connection to be made. A request that nobody answered yet
/// fails at once, so that another way can be tried.
///
/// Spec: RFC 5626 §5.3, §7; RFC 3261 §17.1.4
pub(crate) fn closed(flow: Flow, effects: &mut Effects<'_>) {
    let mut over = Vec::new();
    for (user, home) in &mut effects.core.directory.homes {
        for binding in &mut home.bindings {
            if binding.flow != flow {
                continue;
            }
            binding.flow.connection = 0;
            if binding.is_cut() && binding.push.is_none() {
                over.push((user.clone(), binding.clone()));
            }
        }
    }
    over.sort_by(|a, b| (&a.0, &a.1.contact, a.1.reg_id).cmp(&(&b.0, &b.1.contact, b.1.reg_id)));
    for (user, binding) in over {
        effects.unbind(&user, &binding, "flow gone");
    }
    for leg in effects.core.legs.values_mut() {
        if leg.flow == flow {
            leg.flow.connection = 0;
        }
    }
    for one in effects.core.subscriptions.known.values_mut() {
        if one.flow == flow {
            one.flow.connection = 0;
        }
    }
    let now = effects.core.clock.now;
    for id in effects.core.transactions.clients.ids(|entry| entry.flow == flow) {
        let Some(entry) = effects.core.transactions.clients.get_mut(id) else { continue };
        match &mut entry.machine {
            ClientMachine::Invite(machine) => {
                machine.handle(sip::transaction::client_invite::Event::TransportFailed, now);
            }
            ClientMachine::Other(machine) => {
                machine.handle(sip::transaction::client::Event::TransportFailed, now);
            }
        }
        effects.core.drive_client(id, None);
    }
}
