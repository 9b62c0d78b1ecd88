//! What a client tells its owner, and what waits for acknowledgements.

use super::args::Args;
use super::ended::Ended;
use super::streams::StreamId;

/// A question that waits for its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AskId(pub(super) u64);

/// What an event is acknowledged by, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(pub(super) u64);

/// What a client tells its owner. `T` is what the owner of a question wants back.
#[derive(Debug)]
pub enum Event<T> {
    /// The client is in its namespace. Comes first, and once.
    Connected {
        /// Its id there.
        sid: Box<str>,
        /// Whether it goes on with the session of the connection before. What it has missed comes.
        recovered: bool,
    },
    /// An event.
    Said {
        /// What it is called.
        name: Box<str>,
        /// What is said.
        args: Args,
        /// If it is to be acknowledged, with [`answer`](super::Client::answer).
        ticket: Option<Ticket>,
    },
    /// A question was acknowledged.
    Answered {
        /// As it was given.
        token: T,
        /// The acknowledgement.
        args: Args,
    },
    /// A question will not be acknowledged, as the connection has ended.
    Abandoned {
        /// As it was given.
        token: T,
    },
    /// Another client has named this one its target. It waits until that is acknowledged with no arguments.
    TargetAdded {
        /// The other client.
        id: String,
        /// For the acknowledgement.
        ticket: Option<Ticket>,
    },
    /// A client has gone with which this one had a link. Comes once for each link.
    TargetGone {
        /// The other client.
        id: String,
    },
    /// Another client has paired with this one.
    Paired {
        /// The other client.
        id: String,
    },
    /// The pair has ended.
    Unpaired {
        /// The other client.
        id: String,
    },
    /// Another client opens a stream, which waits for [`accept`](super::Client::accept).
    StreamOffered(Offer),
    /// A stream that was asked for is open.
    StreamOpened {
        /// As it was given.
        token: T,
        /// The stream.
        stream: StreamId,
    },
    /// A stream is not opened.
    StreamRefused {
        /// As it was given.
        token: T,
        /// What the server or the other client says.
        why: String,
    },
    /// There may be something to read from a stream, or room to write, or its end.
    StreamMoved(StreamId),
    /// What the server says that has gone wrong.
    ServerError(String),
    /// The connection has ended. The last event.
    Gone(Ended),
}

/// Who waits for an acknowledgement.
#[derive(Debug)]
pub(super) enum Waiting<T> {
    Owner(T),
    /// What was said last of a stream.
    Stream(StreamId),
    Opening(Box<Opening<T>>),
    /// A pair with this client.
    Pair(String, Option<T>),
    /// The end of the pair.
    Unpair(T),
}

/// A stream that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// The client at the other end.
    pub to: String,
    /// The id of the own end, which no other stream of this client has. A random one.
    pub own: Box<str>,
    /// The same of the other end.
    pub theirs: Box<str>,
    /// Who listens there, if not everybody.
    pub channel: Option<String>,
    /// What the other client is told.
    pub args: Option<Args>,
}

/// A stream on its way to be opened.
#[derive(Debug)]
pub(super) struct Opening<T> {
    /// Nothing if nobody waits any more.
    pub(super) token: Option<T>,
    pub(super) to: String,
    pub(super) own: Box<str>,
    pub(super) theirs: Box<str>,
}

/// A stream that another client opens. Dropping it leaves the other client without an answer, as when nobody listens.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    /// The other client.
    pub from: String,
    /// Who is to listen, if not everybody.
    pub channel: Option<String>,
    /// What else the other client says.
    pub args: Args,
    pub(super) own: Box<str>,
    pub(super) theirs: Box<str>,
    pub(super) ticket: Option<Ticket>,
}
