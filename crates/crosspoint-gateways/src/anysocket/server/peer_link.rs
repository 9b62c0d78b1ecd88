//! One link of the hub: whose it is, and which side of the client waits for what on it.
//!
//! What travels over the link is the business of the peer layer's machine.

use super::{Reply, With, payload};
use crate::anysocket::internal::rpc::{self, Outcome, Value};
use crate::anysocket::link::Ticket;
use crate::link::{Kept, Spoken, Weight};
use crate::value::payload::is_nothing;
use crate::value::{Json, Unreadable};
use crosspoint_hub::command::Addressee;
use crosspoint_hub::payload::{self as hub_payload, Failure, Payload};
use crosspoint_hub::{Limits, LinkNumber, PeerId};
use crosspoint_proto::peer::{Machine, NAME_BYTES_MAX, Side};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The longest method, in bytes.
pub(super) const METHOD_BYTES_MAX: usize = NAME_BYTES_MAX;
/// How long a request waits that says it waits for ever.
pub(super) const INCOMING_TIME_MAX: Duration = Duration::from_secs(3600);
/// Questions of one side for the clock of the other that may wait.
pub(super) const CLOCKS_MAX: usize = 64;

/// What may be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Link(LinkNumber),
    Peer(PeerId),
}

/// One link of the hub.
#[derive(Debug)]
pub(super) struct PeerLink {
    /// As whom the client hears what comes here.
    pub(super) with: With,
    /// Who is at the other side.
    pub(super) peer: PeerId,
    /// For whom it was opened, if for own requests.
    pub(super) to: Option<Addressee>,
    /// The client's side of the peer layer; nothing between two clients of AnySocket, whose packets pass as they
    /// are.
    pub(super) spoken: Option<Box<Spoken>>,
    /// Requests that the client has yet to answer, and the packets in which it was asked.
    pub(super) incoming: HashMap<u32, Incoming>,
    /// The same for questions for the clock of the client, by their tokens.
    pub(super) clocks_in: BTreeMap<[u8; 8], Incoming>,
    /// Requests that the other side has yet to answer. Their ids count upwards.
    pub(super) outgoing: BTreeMap<u32, Asker>,
    /// Questions for the clock of the other side. The first one is asked.
    clocks: VecDeque<Clock>,
    /// When it was last used.
    pub(super) used: Instant,
    /// When it is looked at, as [`Totals`](super::proxy::Totals) know it.
    pub(super) due: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Incoming {
    /// The packet in which the client was asked.
    pub(super) number: i32,
    _weight: Weight,
}

/// What of the client's side waits.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) what: Asked,
    _weight: Weight,
}

#[derive(Debug)]
pub(super) enum Asked {
    /// A message, which may or may not be answered.
    Message(Ticket),
    Call(Reply),
}

/// The client waits for the clock of the other side.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) ticket: Ticket,
    pub(super) asked: Json,
    _weight: Weight,
}

/// What the client was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) link: LinkNumber,
    pub(super) what: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The answer to the other side's request with this id.
    Message(u32),
    /// The same, where the request has a method.
    Call(u32),
    Clock([u8; 8]),
    /// A sign that it knows the peer.
    Known {
        peer: PeerId,
        serial: u64,
    },
}

/// A request that waits for its link.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) method: String,
    pub(super) payload: Payload,
    /// Who asked and until when it waits; nobody for a notice.
    pub(super) asker: Option<(Reply, Instant)>,
    pub(super) _weight: Weight,
}

impl Incoming {
    /// What it takes here, in the machine, and where the answer of the client is waited for.
    pub(super) const BYTES: usize = 320;

    pub(super) fn new(number: i32, kept: &Kept) -> Self {
        Self { number, _weight: kept.weigh(Self::BYTES) }
    }
}

impl Asker {
    /// What it takes in the machine.
    const MACHINE_BYTES: usize = 128;

    pub(super) fn new(what: Asked, kept: &Kept) -> Self {
        Self { what, _weight: kept.weigh(size_of::<Self>() + Self::MACHINE_BYTES) }
    }
}

impl PeerLink {
    /// A link that has just begun, over which two clients of AnySocket send each other packets.
    pub(super) fn of_packets(now: Instant, with: With, peer: PeerId) -> Self {
        Self {
            with,
            peer,
            to: None,
            spoken: None,
            incoming: HashMap::new(),
            clocks_in: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            clocks: VecDeque::new(),
            used: now,
            due: None,
        }
    }

    /// A link that has just begun, over which the peer layer is spoken.
    pub(super) fn new(now: Instant, with: With, peer: PeerId, side: Side, limits: &Limits) -> Self {
        let spoken = Some(Box::new(Spoken::new(side, limits)));
        Self { spoken, ..Self::of_packets(now, with, peer) }
    }

    /// The same, for requests to somebody.
    pub(super) fn for_requests(now: Instant, to: Addressee, peer: PeerId, limits: &Limits) -> Self {
        Self { to: Some(to), ..Self::new(now, With::Hub, peer, Side::Opener, limits) }
    }

    /// What speaks the peer layer here, if it is spoken.
    pub(super) fn machine(&mut self) -> Option<&mut Machine> {
        self.spoken.as_deref_mut().map(|spoken| &mut spoken.machine)
    }

    /// Whether nothing waits here.
    pub(super) fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty()
    }

    /// Adds a question for the clock of the other side. They are asked one after the other, as an answer
    /// measures the last one only. Gives whether there was room.
    pub(super) fn ask_clock(
        &mut self,
        now: Instant,
        ticket: Ticket,
        asked: Json,
        kept: &Kept,
    ) -> bool {
        let Some(spoken) = self.spoken.as_deref_mut() else { return false };
        let free = self.clocks.len() < CLOCKS_MAX;
        if free {
            if self.clocks.is_empty() {
                spoken.machine.measure_clock(now);
            }
            let _weight = kept.weigh(size_of::<Clock>() + asked.as_bytes().len());
            self.clocks.push_back(Clock { ticket, asked, _weight });
        }
        free
    }

    /// The other side has told its clock. Gives who asked for it, and asks for the next one.
    pub(super) fn clock_told(&mut self, now: Instant) -> Option<Clock> {
        let told = self.clocks.pop_front();
        if let (Some(spoken), false) = (self.spoken.as_deref_mut(), self.clocks.is_empty()) {
            spoken.machine.measure_clock(now);
        }
        told
    }
}

/// The method and payload of a client's call.
///
/// # Errors
/// What the caller is told.
pub(super) fn asked(path: &[String], params: &[Value]) -> Result<(String, Payload), rpc::Failure> {
    let method = path.join(".");
    // The empty method is that of messages.
    if method.is_empty() || method.len() > METHOD_BYTES_MAX {
        return Err(rpc::Failure::not_found(path));
    }
    let payload = payload::from_params(params);
    let payload = payload.ok_or_else(|| rpc::Failure {
        code: Failure::UNREADABLE.into(),
        ..rpc::Failure::failed("a parameter is nested too deeply", path)
    })?;
    Ok((method, payload))
}

/// An answer as the caller is told.
pub(super) fn outcome(answer: &hub_payload::Outcome, path: &[String], bytes_max: usize) -> Outcome {
    Outcome::Failed(match answer {
        Ok(result) if is_nothing(result) => return Outcome::Returned(None),
        Ok(result) => match payload::value(result, bytes_max) {
            Ok(value) => return Outcome::Returned(Some(value)),
            Err(_) => rpc::Failure::failed(Unreadable::TEXT, path),
        },
        // As the original says it.
        Err(failure) if failure.code == Failure::NO_METHOD => rpc::Failure::not_found(path),
        Err(failure) => rpc::Failure {
            code: failure.code.into(),
            ..rpc::Failure::failed(&failure.message, path)
        },
    })
}

/// How a call failed, as others are told.
pub(super) fn failure(failed: rpc::Failure) -> Failure {
    let rpc::Failure { error, details, code } = failed;
    let code = u32::try_from(code).unwrap_or(Failure::FAILED);
    let text: Option<String> =
        error.as_ref().and_then(|error| serde_json::from_slice(error.as_bytes()).ok());
    match (text, error) {
        (Some(message), _) => Failure::new(code, message),
        // The error is an object or the like.
        (None, Some(error)) => {
            Failure { code, message: details, details: payload::from_json(error) }
        }
        (None, None) => Failure::new(code, details),
    }
}
