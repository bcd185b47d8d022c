//! Sockets for SIP: datagrams in batches for the shard threads, streams as tasks beside them.
//!
//! Picture     shard thread: poll (udp | mailbox's waker | deadline) -> recv_batch -> … -> Outbox -> flush
//!             stream tasks: accept | dial -> frames -> deliver(StreamEvent);  send(flow, bytes) -> queue -> socket
//! Rules       A socket error of one peer never ends a loop. What cannot be sent waits for the next flush, in bounds,
//!             and is then dropped and counted. A stream gives Opened, then messages, then Closed, once each end.
//! Limits      BATCH, OUTBOX_BYTES_MAX, SOCKET_BUFFER; streams: CONNECTIONS_MAX, ADDRESS_CONNECTIONS_MAX, IDLE_MAX,
//!             FIRST_MESSAGE_MAX, MESSAGE_MAX, DIAL_MAX, HANDSHAKE_MAX, PINGS_MAX, WRITE_MAX, QUEUE_MAX, QUEUE_BYTES_MAX;
//!             a mailbox its capacity.
//! Not here    What a message means (proto/sip, switchboard), who may speak (guards of the rooms), RTP (shell/media_io).
//! Spec        RFC 3261 §18, RFC 5626 §3.5.1 (CRLF keep-alive).
#![deny(missing_docs)]

pub mod dns;
pub mod mailbox;
pub mod poll;
pub mod stream;
pub mod stun;
mod sys;
pub mod tls;
pub mod udp;
pub mod wake;

pub use sys::{Usage, available_cores, pin_thread, thread_usage};
