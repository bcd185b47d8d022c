//! Where a request goes by name, and the way from here to there.
//!
//! Rules       An address is answered here; a name by the shell, which looks it up (`sip::locate` has the order).
//! Limits      HOPS_MAX hops of one answer; the rest is the resolver's.
//! Not here    Lookups (shell/net), which hop is tried when (the rooms).
//! Spec        RFC 3263

use types::{Flow, Transport};

use crate::core::Core;
use crate::effects::Effects;
use crate::input::{Output, Reply, Ticket};

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
