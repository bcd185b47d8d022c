//! One side of a call: an INVITE and the dialog that it makes.
//!
//! Picture     theirs: Incoming --answer--> Answered --ACK--> Established
//!             ours:   Calling --2xx--> (Accepted --ack-->) Established
//!             both:   Established --end--> Ending --> gone;  a re-INVITE runs inside Established (`Change`),
//!             an UPDATE inside a leg that is answered or whose early answer was acknowledged
//! Rules       A leg stays on the slot where its first message was located; its owner may live elsewhere
//!             and changes only by `Hand` and `Accept`: the giver owns until the taker accepted.
//!             Only the owner is obeyed. An event for an owner that is gone ends the leg.
//!             A request that the owner shall answer (INFO, MESSAGE, REFER and its NOTIFY) is answered, or the leg is gone.
//! Limits      RING_MAX for a call of ours without a final answer, CHANGE_MAX for a re-INVITE, GLARE_MAX tries of
//!             one that collides, PASSED_MAX requests that wait for the owner; 64*T1 for ACK and PRACK.
//! Not here    Why a leg rings or ends (rooms), what its description says (pair), octets of SIP (sip). Reliable
//!             ringing stands in leg_early, session timers in leg_watch, other requests in leg_pass.
//! Spec        RFC 3261 §12 to §15, RFC 3264 §8 for re-INVITE, RFC 3311 for UPDATE, RFC 6141 for their failure.

use serde::{Deserialize, Serialize};
use sip::dialog::Dialog;
use sip::transaction::AnswerRetransmit;
use sip::{Message, Name};
use types::{Flow, Instant, LegId, SessionId, UnixTime, tagged};

use crate::leg_early::Early;
use crate::leg_watch::Watch;
use crate::requests::Login;
use crate::service::RequestId;

/// A call of ours without a final answer ends after this; rooms usually end it earlier.
pub const RING_MAX: types::Seconds = types::Seconds(180);
/// A re-INVITE of ours that was heard but not answered is given up after this.
pub const CHANGE_MAX: types::Seconds = types::Seconds(60);
/// Times that a change of ours is sent when both sides change at once; then the owner hears 491.
pub const GLARE_MAX: u8 = 5;
/// Requests of the far end that wait for the owner's answer; one more gets 500 with Retry-After.
pub const PASSED_MAX: usize = 8;

/// What an owner may tell a leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LegCommand {
    /// The taker accepts the leg that was offered with this version.
    Accept {
        /// The version of the offer.
        version: u32,
    },
    /// Sends the ACK that was held back because the offer came in the answer.
    Ack {
        /// The description.
        sdp: Option<Vec<u8>>,
    },
    /// Answers the INVITE with 200.
    Answer {
        /// The description.
        sdp: Option<Vec<u8>>,
    },
    /// Answers a re-INVITE.
    AnswerChange {
        /// Status code.
        status: u16,
        /// The description, with a success.
        sdp: Option<Vec<u8>>,
    },
    /// Sends a re-INVITE.
    Change {
        /// The new offer; `None` asks the other side for one.
        sdp: Option<Vec<u8>>,
    },
    /// Ends the leg in the way that fits its phase: a final answer, CANCEL or BYE.
    End {
        /// Status for a leg that waits for our answer.
        status: u16,
        /// More header fields of that answer, BYE or CANCEL.
        headers: Vec<(String, String)>,
    },
    /// Gives a leg that was offered back to its owner.
    Decline {
        /// The version of the offer.
        version: u32,
    },
    /// Offers the leg to another session.
    Hand {
        /// The taker.
        to: SessionId,
        /// What the giver wants the taker to know, as tagged fields of the rooms that do this.
        note: Vec<u8>,
    },
    /// Sends the INVITE of a new leg.
    Invite(Box<InvitePlan>),
    /// Sends a request inside of the dialog; its answer comes as [`LegEvent::Response`].
    Request(Box<Passed>),
    /// Answers a request of the far end that came as [`LegEvent::Request`].
    Respond {
        /// Which.
        request: RequestId,
        /// The answer.
        response: Box<Passed>,
    },
    /// Sends a provisional answer.
    Ring {
        /// 101 to 199.
        status: u16,
        /// A description for early media.
        sdp: Option<Vec<u8>>,
        /// More header fields.
        headers: Vec<(String, String)>,
    },
}

/// A request or a response inside of a dialog that the leg itself has no opinion of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// Names the request for its owner.
    pub number: u64,
    /// The method, of a request and of its response.
    pub method: String,
    /// CSeq number, of a request of the far end.
    pub cseq: u32,
    /// Status, of a response.
    pub status: u16,
    /// Header fields that mean something to the other side.
    pub headers: Vec<(String, String)>,
    /// Content-Type; empty without a body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Passed {
    /// A response without a body.
    pub fn status(status: u16) -> Box<Self> {
        Box::new(Self { status, ..Self::default() })
    }

    /// The first header field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A call of ours to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvitePlan {
    /// Its owner.
    pub session: SessionId,
    /// The way out.
    pub flow: Flow,
    /// Request-URI.
    pub uri: String,
    /// Values of Route, already joined; empty without.
    pub route: String,
    /// From without its tag: a name-addr.
    pub from: String,
    /// Our tag; the same for all branches of a fork.
    pub from_tag: String,
    /// To: a name-addr.
    pub to: String,
    /// Call-ID; the same for all branches of a fork.
    pub call_id: String,
    /// CSeq number.
    pub cseq: u32,
    /// Hops left.
    pub max_forwards: u8,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// The offer.
    pub sdp: Option<Vec<u8>>,
    /// What goes with the offer; `None`: nothing.
    pub beside: Option<Box<Beside>>,
    /// Whether an offer in a reliable provisional answer can be answered before the call is.
    pub early_offer: bool,
    /// For whoever challenges the INVITE. A leg is begun on its session's own slot, so it never crosses shards.
    #[serde(skip)]
    pub login: Option<Login>,
    /// Whether a far end that takes no plain media may be asked once more, with keys.
    pub keys_else: bool,
}

/// A second part of the body of an INVITE, and what is said of us with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Parameters of our Contact, each with its semicolon.
    pub contact: String,
    /// Content-Type of the part.
    pub content_type: String,
    /// Content-Disposition of the part.
    pub disposition: String,
    /// The part.
    pub body: Vec<u8>,
}

impl Beside {
    /// Both parts, and their Content-Type. `boundary` is a word that is in neither of them.
    ///
    /// Spec: RFC 2046 §5.1
    pub fn with(&self, sdp: &[u8], boundary: &str) -> (String, Vec<u8>) {
        let Self { content_type, disposition, body, .. } = self;
        let mut whole =
            format!("--{boundary}\r\nContent-Type: application/sdp\r\n\r\n").into_bytes();
        whole.extend_from_slice(sdp);
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Disposition: {disposition}\r\n\r\n"
        );
        whole.extend_from_slice(head.as_bytes());
        whole.extend_from_slice(body);
        whole.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        (format!("multipart/mixed;boundary={boundary}"), whole)
    }
}

/// What an owner hears of a leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LegEvent {
    /// The other side answered our INVITE with success.
    Answered {
        /// The description: an answer, or an offer when our INVITE had none.
        sdp: Option<Vec<u8>>,
    },
    /// The caller gave up before we answered. The leg is gone.
    Cancelled,
    /// The other side wants to change the session.
    Changed {
        /// Its offer; `None`: it asks for ours.
        sdp: Option<Vec<u8>>,
    },
    /// Our re-INVITE was answered.
    ChangeAnswered {
        /// Status code.
        status: u16,
        /// The description, with a success.
        sdp: Option<Vec<u8>>,
    },
    /// The ACK of our answer came, or the PRACK of a reliable provisional answer with a description.
    Confirmed {
        /// The description, when the offer was ours.
        sdp: Option<Vec<u8>>,
    },
    /// The taker does not want the leg: it stays ours.
    Declined {
        /// Who was asked.
        by: SessionId,
    },
    /// The leg is gone.
    Ended {
        /// `bye`, `no ack`, `no prack`, `timeout`, `transport`, `gone`, `session expired`.
        why: String,
    },
    /// The other side refused our INVITE. The leg is gone.
    Failed {
        /// Status code; 408 without any answer, 503 when it could not be sent.
        status: u16,
        /// Its reason phrase.
        phrase: String,
    },
    /// The taker accepted: the leg is not ours any more.
    Handed {
        /// Who has it.
        to: SessionId,
    },
    /// A leg is offered to this session.
    Offered {
        /// Who gives it.
        from: SessionId,
        /// To be named in `Accept`.
        version: u32,
        /// Whether it waits for our answer (true) or is established.
        waiting: bool,
        /// The description that the far end sent last.
        sdp: Option<Vec<u8>>,
        /// What the giver says of it.
        note: Vec<u8>,
    },
    /// The other side works on our INVITE.
    Provisional {
        /// 101 to 199.
        status: u16,
        /// A description for early media.
        sdp: Option<Vec<u8>>,
    },
    /// Why the far end does what the next event tells: the value of its Reason header.
    Reason {
        /// The value.
        value: String,
    },
    /// The far end asks something that the owner answers by [`LegCommand::Respond`].
    Request {
        /// Names the answer.
        request: RequestId,
        /// What it asks.
        passed: Box<Passed>,
    },
    /// The answer to a [`LegCommand::Request`]; 408 when none came, 481 when it could not be asked.
    Response(Box<Passed>),
    /// A restart is over and this leg is here again.
    Restored,
}

/// What a leg is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Our INVITE was accepted; the owner owes the ACK with the answer.
    Accepted { cseq: u32 },
    /// We said 200; its ACK is awaited until then. `restored`: perhaps it came before the restart.
    Answered { retransmit: AnswerRetransmit, until: UnixTime, restored: bool },
    /// Our INVITE is out.
    Calling { transaction: u64, cancel: Cancel, since: Instant },
    /// The owner ended it before our 200 was acknowledged: BYE follows the ACK.
    Ending { retransmit: AnswerRetransmit },
    /// Both sides agree.
    Established,
    /// Their INVITE waits for our final answer.
    Incoming { request: RequestId },
}

impl Phase {
    pub fn is_established(&self) -> bool {
        matches!(self, Self::Established)
    }
}

/// Whether a call of ours is being given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// The other side knows: its CANCEL was answered.
    Answered,
    /// It goes on.
    No,
    /// CANCEL is out and is repeated at `at`, then after `gap` more.
    Sent { at: Instant, gap: std::time::Duration },
    /// To be sent as soon as a provisional answer came (RFC 3261 §9.1).
    Wanted,
}

/// What a re-INVITE, or an UPDATE with an offer, is doing.
#[derive(Debug)]
pub(crate) enum Change {
    /// Ours was accepted; the owner owes the ACK with the answer.
    Accepted { cseq: u32 },
    /// We said 200 to theirs; its ACK is awaited.
    Answered { retransmit: AnswerRetransmit },
    /// It collided with one of theirs and is sent again then (RFC 3261 §14.1).
    Glared { at: Instant, offer: Offered },
    /// Nothing.
    Idle,
    /// Theirs waits for our answer. `acked`: it is an INVITE, whose success is acknowledged.
    Incoming { request: RequestId, acked: bool },
    /// Ours is out, until then at most.
    Outgoing { offer: Offered, transaction: u64, until: Instant },
}

/// What a change of ours offers.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// `None`: the other side is asked for an offer.
    pub sdp: Option<Vec<u8>>,
    /// How often it was sent.
    pub tries: u8,
    /// It only refreshes the session; the owner does not know of it.
    pub own: bool,
}

/// A request of ours inside of the dialog, but for INVITE and BYE, whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub transaction: u64,
    pub what: AskedFor,
}

/// Why it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedFor {
    /// For the owner, under this number.
    Owner(u64),
    /// To acknowledge a provisional answer.
    Prack,
    /// To hear whether the far end lives.
    Probe,
    /// To refresh the session.
    Refresh,
}

/// One side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    pub id: LegId,
    pub owner: SessionId,
    pub call: types::CallId,
    pub version: u32,
    /// To whom it is offered.
    pub offered: Option<SessionId>,
    pub phase: Phase,
    pub change: Change,
    /// Until the first answer with a tag there is none on legs of ours.
    pub dialog: Option<Box<Dialog>>,
    /// What reliable ringing needs; few calls have it, and none once it is answered and acknowledged.
    pub early: Option<Box<Early>>,
    /// How we know that the far end lives.
    pub watch: Option<Watch>,
    /// What we described last, when it may have to be said again to refresh the session.
    pub said: Option<Box<[u8]>>,
    /// The far end takes UPDATE.
    pub updates: bool,
    /// Requests of ours that wait for an answer.
    pub asked: Vec<Asked>,
    /// The owner asked the far end to call somebody else: it tells how that goes.
    pub refers: bool,
    /// Requests of the far end that wait for the owner's.
    pub passed: Vec<RequestId>,
    pub flow: Flow,
    /// Our INVITE had an offer, or theirs had.
    pub offer_sent: bool,
    /// Our plain offer may be said once more, with keys.
    pub keys_else: bool,
    /// What the far end described last, kept for a taker.
    pub sdp: Option<Vec<u8>>,
    pub armed: Option<Instant>,
    /// Saved in an entry of its own because the owner lives on another slot.
    pub apart: bool,
}

impl Leg {
    /// A leg at its beginning.
    pub fn new(id: LegId, owner: SessionId, phase: Phase, flow: Flow) -> Self {
        Self {
            id,
            owner,
            call: types::CallId(owner.0),
            version: 0,
            offered: None,
            phase,
            change: Change::Idle,
            dialog: None,
            early: None,
            watch: None,
            said: None,
            updates: false,
            asked: Vec::new(),
            refers: false,
            passed: Vec::new(),
            flow,
            offer_sent: false,
            keys_else: false,
            sdp: None,
            armed: None,
            apart: false,
        }
    }

    /// Whether the far end takes UPDATE, when it says what it takes: silence takes nothing back.
    ///
    /// Spec: RFC 3261 §20.5
    pub fn hears_allow(&mut self, message: &Message<'_>) {
        if message.first(Name::Allow).is_some() {
            self.updates = message.has_token(Name::Allow, "UPDATE");
        }
    }

    /// The dialog that a request of the far end belongs to.
    pub fn dialog_of(&self, message: &Message<'_>) -> Option<&Dialog> {
        let own = self.dialog.as_deref().filter(|dialog| dialog.matches(message));
        own.or_else(|| self.early.as_ref()?.dialogs().find(|dialog| dialog.matches(message)))
    }

    /// The same, to remember its number.
    pub fn dialog_mut(&mut self, message: &Message<'_>) -> Option<&mut Dialog> {
        if self.dialog.as_ref().is_some_and(|dialog| dialog.matches(message)) {
            return self.dialog.as_deref_mut();
        }
        self.early.as_mut()?.dialogs_mut().find(|dialog| dialog.matches(message))
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Answered { retransmit, .. } | Phase::Ending { retransmit } => {
                retransmit.deadline()
            }
            Phase::Calling { cancel: Cancel::Sent { at, .. }, .. } => Some(*at),
            Phase::Calling { cancel: Cancel::No, since, .. } => Some(*since + RING_MAX),
            // The transaction ends by itself.
            Phase::Calling { cancel: Cancel::Answered | Cancel::Wanted, .. } => None,
            Phase::Accepted { .. } | Phase::Established | Phase::Incoming { .. } => None,
        };
        let change = match &self.change {
            Change::Answered { retransmit } => retransmit.deadline(),
            Change::Glared { at, .. } | Change::Outgoing { until: at, .. } => Some(*at),
            Change::Accepted { .. } | Change::Idle | Change::Incoming { .. } => None,
        };
        let early = self.early.as_ref().and_then(|early| early.deadline());
        [phase, change, early].into_iter().flatten().min()
    }

    /// What must be known of it after a restart: `request` is the INVITE that it waits on, or its answer that was
    /// not acknowledged. `said`: what we described last.
    pub fn encode(&self, request: Option<&[u8]>, said: Option<&[u8]>, writer: &mut tagged::Writer) {
        writer.number(1, self.id.0).number(2, self.owner.0).number(3, self.call.0);
        writer.number(4, self.version.into());
        writer.nested(5, |writer| encode_flow(self.flow, writer));
        let phase = match self.phase {
            Phase::Calling { .. } => 1,
            Phase::Incoming { .. } => 2,
            Phase::Accepted { .. } | Phase::Established => 3,
            Phase::Ending { .. } => 4,
            Phase::Answered { until, .. } => {
                writer.number(10, until.0.into());
                5
            }
        };
        writer.number(6, phase);
        if let Some(dialog) = &self.dialog {
            writer.nested(7, |writer| dialog.encode(writer));
        }
        if let Some(request) = request {
            writer.bytes(8, request);
        }
        writer.number(9, self.apart.into()).number(11, self.updates.into());
        if let Some(watch) = &self.watch {
            writer.nested(12, |writer| watch.encode(writer));
        }
        if let Some(said) = said {
            writer.bytes(13, said);
        }
        if self.early.is_some() {
            writer.number(14, 1);
        }
    }
}

/// A leg as the keeper had it.
#[derive(Debug, Default)]
pub(crate) struct SavedLeg {
    pub id: LegId,
    pub owner: SessionId,
    pub call: types::CallId,
    pub version: u32,
    pub flow: Option<Flow>,
    pub phase: u8,
    pub dialog: Option<Dialog>,
    pub request: Option<Vec<u8>>,
    pub apart: bool,
    pub until: UnixTime,
    pub updates: bool,
    pub watch: Option<Watch>,
    pub said: Option<Box<[u8]>>,
    /// Reliable ringing was under way: where its numbers stood is not known.
    pub early: bool,
}

impl SavedLeg {
    pub fn decode(bytes: &[u8]) -> Self {
        let mut saved = Self::default();
        for (tag, field) in tagged::Reader::new(bytes) {
            let number = field.number().unwrap_or(0);
            match tag {
                1 => saved.id = LegId(number),
                2 => saved.owner = SessionId(number),
                3 => saved.call = types::CallId(number),
                4 => saved.version = number as u32,
                5 => saved.flow = decode_flow(field.0),
                6 => saved.phase = number as u8,
                7 => saved.dialog = Dialog::decode(tagged::Reader::new(field.0)),
                8 => saved.request = Some(field.0.to_vec()),
                9 => saved.apart = number == 1,
                10 => saved.until = UnixTime(number as u64),
                11 => saved.updates = number == 1,
                12 => saved.watch = Watch::decode(field.0),
                13 => saved.said = Some(field.0.into()),
                14 => saved.early = number == 1,
                _ => (), // A field of a newer version.
            }
        }
        saved
    }
}

/// A flow as tagged fields. The connection of a stream does not outlive the process: its number names nobody then.
pub(crate) fn encode_flow(flow: Flow, writer: &mut tagged::Writer) {
    writer.text(1, flow.transport.param()).number(2, flow.listener.into());
    writer.socket(3, flow.remote).number(4, flow.connection.into());
}

pub(crate) fn decode_flow(bytes: &[u8]) -> Option<Flow> {
    let mut flow = Flow::NONE;
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => flow.transport = types::Transport::parse(field.0)?,
            2 => flow.listener = field.number()? as u8,
            3 => flow.remote = field.text()?.parse().ok()?,
            4 => flow.connection = field.number()? as u64,
            _ => (),
        }
    }
    Some(flow)
}
