//! One link of the hub: whose it is, and who waits for what on it.

use super::kept::Weight;
use super::recent::Recent;
use super::{Reply, With, payload, peer_layer};
use crate::anysocket::internal::rpc::{self, Outcome, Value};
use crate::anysocket::json::Json;
use crate::anysocket::link::Ticket;
use crosspoint_hub::LinkNumber;
use crosspoint_hub::command::Addressee;
use crosspoint_hub::payload::{self as hub_payload, Failure, Payload};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Requests of the other side of a link that may wait for the client.
pub(super) const INCOMING_MAX: usize = 1024;
/// How long a request waits that says it waits for ever.
pub(super) const INCOMING_TIME_MAX: Duration = Duration::from_secs(3600);
/// Questions for the other side's clock that may wait.
pub(super) const CLOCKS_MAX: usize = 64;
/// How long a link for requests is kept that nobody uses.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);

/// One link of the hub.
#[derive(Debug)]
pub(super) struct Road {
    /// As whom the client hears what comes here.
    pub(super) with: With,
    /// For whom it was opened, if for own requests.
    pub(super) to: Option<Addressee>,
    /// Requests that the client has yet to answer.
    pub(super) incoming: HashMap<u32, Incoming>,
    pub(super) serial: u64,
    /// Requests that the other side has yet to answer.
    pub(super) outgoing: Recent<Asker>,
    pub(super) clocks: VecDeque<Clock>,
    pub(super) clock: u64,
    /// When it was last used.
    pub(super) used: Instant,
}

#[derive(Debug)]
pub(super) struct Incoming {
    /// The packet in which the client was asked.
    pub(super) number: i32,
    pub(super) serial: u64,
    pub(super) _weight: Weight,
}

/// Who of the client's side waits.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) what: Asked,
    pub(super) until: Option<Instant>,
    pub(super) _weight: Weight,
}

#[derive(Debug)]
pub(super) enum Asked {
    /// A message, which may or may not be answered.
    Message(Ticket),
    Call(Reply),
}

/// The client waits for the other side's clock.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) token: u64,
    pub(super) ticket: Ticket,
    pub(super) asked: Json,
    pub(super) _weight: Weight,
}

/// What the client was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) road: LinkNumber,
    pub(super) what: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Message {
        id: u32,
        serial: u64,
    },
    Call {
        id: u32,
        serial: u64,
    },
    Clock([u8; 8]),
    /// A sign that it knows the peer.
    Known {
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
    /// What it takes here, and where the client's answer is waited for.
    pub(super) const BYTES: usize = 192;
}

impl Road {
    pub(super) fn new(now: Instant, with: With, to: Option<Addressee>) -> Self {
        Self {
            with,
            to,
            incoming: HashMap::new(),
            serial: 0,
            outgoing: Recent::default(),
            clocks: VecDeque::new(),
            clock: 0,
            used: now,
        }
    }

    /// Whether nothing waits here.
    pub(super) fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty()
    }

    /// Takes a request that the client has answered, unless it was cancelled.
    pub(super) fn finish(&mut self, id: u32, serial: u64) -> bool {
        let current = self.incoming.get(&id).is_some_and(|incoming| incoming.serial == serial);
        if current {
            self.incoming.remove(&id);
        }
        current
    }
}

/// The method and payload of a client's call.
///
/// # Errors
/// What the caller is told.
pub(super) fn asked(path: &[String], params: &[Value]) -> Result<(String, Payload), rpc::Failure> {
    let method = path.join(".");
    // The empty method is that of messages.
    if method.is_empty() || method.len() > peer_layer::METHOD_BYTES_MAX {
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
        Ok(result) if payload::is_nothing(result) => return Outcome::Returned(None),
        Ok(result) => match payload::value(result, bytes_max) {
            Ok(value) => return Outcome::Returned(Some(value)),
            Err(_) => rpc::Failure::failed(payload::Unreadable::TEXT, path),
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
