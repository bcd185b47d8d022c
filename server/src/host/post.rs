//! What other threads put before a shard, and the two boxes they put it in.
//!
//! Rules       Work that may be refused (datagrams, stream messages, API requests) has a bounded box; answers and facts
//!             have a box of their own, whose bound is never reached because what is asked for is bounded.

use media::Event as MediaEvent;
use net::mailbox::Mailbox;
use net::wake::Waker;
use switchboard::{ApiRequest, Mail, Reply, Ticket};
use types::Flow;

/// Messages and requests that may wait for one shard: datagrams beyond are dropped, requests get 503.
pub const WORK_MAX: usize = 16_384;
/// Answers, mail and facts that may wait for one shard. What exceeds it is dropped and counted.
pub const FACTS_MAX: usize = 262_144;

/// One item for a shard.
#[derive(Debug)]
pub enum Post {
    /// A request of the API.
    Api(ApiRequest),
    /// No new calls from now on.
    Drain,
    /// A connection ended.
    FlowClosed(Flow),
    /// From another shard.
    Mail(Box<Mail>),
    /// From the pump.
    Media(MediaEvent),
    /// A message of a stream, or a datagram that another shard read.
    Message {
        /// The way it came.
        flow: Flow,
        /// Its octets.
        bytes: Vec<u8>,
    },
    /// The answer to a ticket.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// What.
        reply: Reply,
    },
    /// A message of ours that did not leave.
    Undelivered {
        /// The way that it was to go.
        flow: Flow,
        /// Its octets.
        bytes: Vec<u8>,
    },
    /// The end: write what is there and return.
    Stop,
}

/// The boxes of one shard. Clones are the same boxes.
#[derive(Clone, Debug)]
pub struct Door {
    /// What may be refused.
    pub work: Mailbox<Post>,
    /// What may not.
    pub facts: Mailbox<Post>,
    /// The bell of both.
    pub waker: Waker,
}

impl Door {
    /// Empty boxes with a bell.
    pub fn new() -> std::io::Result<Self> {
        let waker = Waker::new()?;
        let work = Mailbox::new(WORK_MAX, waker.clone());
        let facts = Mailbox::new(FACTS_MAX, waker.clone());
        Ok(Self { work, facts, waker })
    }

    /// Puts a fact in.
    pub fn tell(&self, post: Post) {
        if self.facts.send(post).is_err() {
            tracing::error!("shard_facts_dropped");
        }
    }
}
