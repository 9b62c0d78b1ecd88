//! The called end: registered objects, and what comes of a message to them.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::MemberNumber;

use super::wire::{Status, put_call_id, take_call_id, take_target};
use super::{CALL, DecodeError, EncodeError, MESSAGE, Reader, Value};

/// Who sent a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The owner of the channel.
    Owner,
    /// A member of the channel.
    Member(MemberNumber),
    /// The other side of a link.
    Peer,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Member(number) => write!(f, "member {number}"),
            Self::Peer => f.write_str("peer"),
        }
    }
}

/// Why an object did not do what it was called for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The object has fewer procedures.
    #[error("the object has no such procedure; are the traits at the two ends the same?")]
    UnknownProcedure,
    /// The arguments are not those of the procedure. It was not run.
    #[error("the arguments do not fit the procedure: {0}")]
    Arguments(#[from] DecodeError),
    /// The procedure was run, but its result cannot be sent.
    #[error("the result cannot be sent: {0}")]
    Result(EncodeError),
}

impl From<&Fault> for Status {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::UnknownProcedure => Self::UnknownProcedure,
            Fault::Arguments(_) => Self::Malformed,
            Fault::Result(_) => Self::ResultTooLarge,
        }
    }
}

/// Something whose procedures can be called by number; `#[remote]` writes this for a trait.
pub trait Object: Send {
    /// Decodes the arguments up to the end of `args`, runs the procedure, and encodes its result
    /// if it has one.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; the procedure is run only if its arguments were right.
    fn call(
        &mut self,
        origin: Origin,
        procedure: u8,
        args: &mut Reader,
    ) -> Result<Option<Bytes>, Fault>;
}

/// Encodes the result of a procedure, for [`Object::call`].
///
/// # Errors
///
/// [`Fault::Result`] if the value is too large to be sent.
pub fn encode_result<T: Value>(value: &T) -> Result<Option<Bytes>, Fault> {
    let mut out = BytesMut::new();
    value.encode(&mut out).map_err(Fault::Result)?;
    Ok(Some(out.freeze()))
}

/// A message that a well-behaved far end would not have sent.
///
/// Nothing is changed by it and the channel can go on; whether the far end is thrown out is for
/// the application to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malicious {
    /// An empty message.
    #[error("an empty message; a call has at least an object id and a procedure number")]
    Empty,
    /// A message of a kind that is not for objects.
    #[error("a message of kind {kind} is not for objects")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// A call that ends before its object id and procedure number, or has an ill-formed call id.
    #[error("a call without a complete head")]
    Head,
    /// No object is registered under the id.
    #[error("a call of procedure {procedure} of object {object}, which is not registered here")]
    UnknownObject {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
    },
    /// The object did not accept the call.
    #[error("a call of procedure {procedure} of object {object} failed: {fault}")]
    Refused {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
        /// What was wrong.
        #[source]
        fault: Fault,
    },
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The far end has registered an object under this id, and may be called now.
    Announced(u8),
    /// A procedure was run, and nobody waits for its result.
    Called {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
    },
    /// A reply has to be sent.
    Reply {
        /// The payload of a message of kind [`REPLY`](super::REPLY).
        payload: Bytes,
        /// What was wrong with the call, if it was not done.
        malicious: Option<Malicious>,
    },
    /// The message was refused and nothing is to be sent.
    Malicious(Malicious),
}

/// An object id is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("object id {id} is in use; remove the object or choose another id")]
pub struct IdInUse {
    /// The id.
    pub id: u8,
}

/// The objects that the far end of a channel may call.
///
/// A procedure that panics is not caught: the panic passes through [`handle`](Self::handle) to the
/// task that called it.
pub struct Objects {
    objects: BTreeMap<u8, Box<dyn Object>>,
    max_payload: usize,
}

impl Objects {
    /// No objects.
    pub fn new() -> Self {
        Self::with_max_payload(usize::MAX)
    }

    /// No objects, over a link whose messages have at most so many bytes. A result that would be
    /// larger is not sent, and its caller is told.
    pub fn with_max_payload(max_payload: usize) -> Self {
        Self { objects: BTreeMap::new(), max_payload }
    }

    /// Registers an object, and gives the payload of the [`MESSAGE`] that announces it to the far
    /// end.
    ///
    /// # Errors
    ///
    /// [`IdInUse`] if there is an object with that id.
    pub fn register(&mut self, id: u8, object: impl Object + 'static) -> Result<Bytes, IdInUse> {
        if self.objects.contains_key(&id) {
            return Err(IdInUse { id });
        }
        self.objects.insert(id, Box::new(object));
        Ok(announcement(id))
    }

    /// Removes an object. There is no message for that: later calls of it are refused.
    pub fn remove(&mut self, id: u8) -> Option<Box<dyn Object>> {
        self.objects.remove(&id)
    }

    /// The announcements of all objects, for somebody who has just entered.
    pub fn announcements(&self) -> impl Iterator<Item = Bytes> {
        self.objects.keys().map(|&id| announcement(id))
    }

    /// Takes a message of any kind. Replies are not for objects, see
    /// [`Calls::reply`](super::Calls::reply).
    pub fn handle(&mut self, origin: Origin, kind: u8, payload: Bytes) -> Outcome {
        match kind {
            MESSAGE => self.message(origin, payload),
            CALL => self.call(origin, payload),
            kind => Outcome::Malicious(Malicious::Kind { kind }),
        }
    }

    /// Takes a message of kind [`MESSAGE`]: an announcement, or a call without reply.
    pub fn message(&mut self, origin: Origin, payload: Bytes) -> Outcome {
        match payload[..] {
            [] => return Outcome::Malicious(Malicious::Empty),
            [id] => return Outcome::Announced(id),
            _ => {}
        }
        let mut input = Reader::new(payload);
        let Ok((object, procedure)) = take_target(&mut input) else {
            return Outcome::Malicious(Malicious::Head);
        };
        match self.run(origin, object, procedure, &mut input) {
            Ok(_) => Outcome::Called { object, procedure },
            Err(malicious) => Outcome::Malicious(malicious),
        }
    }

    /// Takes a message of kind [`CALL`]: a call whose sender waits for a reply.
    pub fn call(&mut self, origin: Origin, payload: Bytes) -> Outcome {
        let mut input = Reader::new(payload);
        let Some(id) = take_call_id(&mut input) else {
            return Outcome::Malicious(Malicious::Head);
        };
        let done = match take_target(&mut input) {
            Ok((object, procedure)) => self.run(origin, object, procedure, &mut input),
            Err(_) => Err(Malicious::Head),
        };
        let (payload, malicious) = match done {
            Ok(Ran::Done(result)) => (reply(id, Status::Ok, &result), None),
            Ok(Ran::ResultTooLarge) => (reply(id, Status::ResultTooLarge, &[]), None),
            Err(malicious) => {
                let status = match &malicious {
                    Malicious::UnknownObject { .. } => Status::UnknownObject,
                    Malicious::Refused { fault, .. } => fault.into(),
                    Malicious::Empty | Malicious::Kind { .. } | Malicious::Head => {
                        Status::Malformed
                    }
                };
                (reply(id, status, &[]), Some(malicious))
            }
        };
        let payload = match payload.len() <= self.max_payload {
            true => payload,
            false => reply(id, Status::ResultTooLarge, &[]),
        };
        Outcome::Reply { payload, malicious }
    }

    fn run(
        &mut self,
        origin: Origin,
        object: u8,
        procedure: u8,
        args: &mut Reader,
    ) -> Result<Ran, Malicious> {
        let called = self
            .objects
            .get_mut(&object)
            .ok_or(Malicious::UnknownObject { object, procedure })?
            .call(origin, procedure, args);
        match called {
            Ok(result) => Ok(Ran::Done(result.unwrap_or_default())),
            // The one who called has done nothing wrong.
            Err(Fault::Result(_)) => Ok(Ran::ResultTooLarge),
            Err(fault) => Err(Malicious::Refused { object, procedure, fault }),
        }
    }
}

/// How a procedure was run.
enum Ran {
    /// With its encoded result, if it has one.
    Done(Bytes),
    /// With a result that cannot be sent.
    ResultTooLarge,
}

impl Default for Objects {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("ids", &self.objects.keys()).finish()
    }
}

fn announcement(id: u8) -> Bytes {
    Bytes::copy_from_slice(&[id])
}

fn reply(id: u32, status: Status, result: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(super::wire::MAX_CALL_ID_BYTES + 1 + result.len());
    put_call_id(id, &mut out);
    out.put_u8(status as u8);
    out.put_slice(result);
    out.freeze()
}
