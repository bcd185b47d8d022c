//! Where a request goes by name, and the way from here to there.
//!
//! Rules       An address is answered here; a name by the shell, which looks it up (`sip::locate` has the order). What
//!             one shard finds out of a trunk's hop, all know.
//! Limits      HOPS_MAX hops of one answer; the rest is the resolver's. `route::HOP_FAILED_FOR` for what failed.
//! Not here    Lookups (shell/net), which hop is tried when (the rooms, hunt).
//! Spec        RFC 3263

use types::{Flow, Transport};

use crate::core::Core;
use crate::effects::Effects;
use crate::input::{Output, Reply, Ticket};
use crate::notice::Notice;
use crate::route::{Change, HOP_FAILED_FOR};

pub use sip::locate::{HOPS_MAX, Hop, Question};

impl Effects<'_> {
    /// Asks where a name leads; `on_reply` gets `Reply::Resolved`. The flow of a hop is [`way_to`](Self::way_to).
    pub fn resolve(&mut self, question: Question) -> Ticket {
        let ticket = self.core.ticket(self.room);
        match question.direct() {
            Some(hop) => self.core.reply(ticket, Reply::Resolved(Ok(vec![hop]))),
            None => self.core.out.list.push(Output::Resolve { ticket, question }),
        }
        ticket
    }

    /// Nobody answered at an address of a trunk, or it was not to be reached: all shards try others before it for a
    /// while, when the trunk has others.
    ///
    /// Spec: RFC 3263 §4.3
    pub fn hop_failed(&mut self, trunk: &str, hop: Flow) {
        let health = self.directory().routing().health.get(trunk);
        if health.is_some_and(|health| health.hops.len() > 1) {
            self.count("switchboard.hop_failed");
            let failed = Change::HopFailed(hop, self.unix() + HOP_FAILED_FOR);
            // What comes next here may not wait for the notice.
            self.put_routing(failed.clone());
            self.publish(Notice::RoutingChanged(Box::new(failed)));
        }
    }

    /// The flow to a hop, from the listener that fits it; `None`: we have none of its transport.
    pub fn way_to(&self, hop: &Hop) -> Option<Flow> {
        self.core.listener_for(hop.transport, hop.address.is_ipv6()).map(|place| hop.flow(place))
    }
}

impl Core {
    /// The first listener of a transport, of the same family if there is one.
    pub(crate) fn listener_for(&self, transport: Transport, is_v6: bool) -> Option<u8> {
        let listeners = || (0u8..).zip(&self.config.listeners);
        let fits = |(_, known): &(u8, &crate::Listener)| known.transport == transport;
        let same = |(_, known): &(u8, &crate::Listener)| known.sent_by.starts_with('[') == is_v6;
        let found = listeners().filter(fits).find(same).or_else(|| listeners().find(fits));
        found.map(|(place, _)| place)
    }
}
