//! A connection to a hub, and what can be opened over it.

mod builder;
mod host;
mod listen;
mod peers;
mod site;

pub use builder::NodeBuilder;

use crate::address::{Address, Protocol};
use crate::channel::{Member, Owner};
use crate::connection::{self, Connection, Question};
use crate::error::{ChannelError, ConnectError, PingError};
use crate::options::{ChannelOptions, EnterOptions};
use crate::peer::{Opener, Reception, Terms};
use crosspoint_hub::command::{ChannelCommand, Hello, Mode};
use crosspoint_hub::{ChannelName, PeerId, PeerName, Reason};
use crosspoint_net::resume::Connectivity;
use site::Site;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A connection to a hub. Clones are the same connection.
///
/// It lasts until [`close`](Self::close), or until the node, its clones and all its [`Owner`]s,
/// [`Member`]s and [`Peer`](crate::Peer)s have been dropped.
///
/// # Panics
/// Connecting and all methods that wait need a tokio runtime with I/O and time enabled.
#[derive(Debug, Clone)]
pub struct Node {
    connection: Arc<Connection>,
    site: Arc<Site>,
}

impl NodeBuilder {
    /// Connects to a hub and waits for its welcome. A peote-server sends none, so success only means that
    /// something listens there.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect<A>(self, address: A) -> Result<Node, ConnectError>
    where
        A: TryInto<Address>,
        A::Error: Into<ConnectError>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let hello = self.options.hello.clone();
        let Self { options, handlers } = self;
        let reception = Reception::new(Terms::new(options, handlers));
        connect(&reception, hello, address).await
    }
}

/// Connects to a hub within the time.
async fn connect(
    reception: &Arc<Reception>,
    hello: Hello,
    address: Address,
) -> Result<Node, ConnectError> {
    // The empty name is none.
    if let Some(name) = hello.name.as_ref().filter(|name| !name.is_empty()) {
        PeerName::new(name)?;
    }
    let site = Site::new(reception);
    let terms = reception.terms();
    let above = (&terms.pool, site.clone() as Arc<_>);
    let connection = connection::connect(&terms.options, above, hello, address).await?;
    Ok(Node { connection, site })
}

impl Node {
    /// Connects without a name, a token or other options, see [`NodeBuilder::connect`].
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect<A>(address: A) -> Result<Self, ConnectError>
    where
        A: TryInto<Address>,
        A::Error: Into<ConnectError>,
    {
        Self::builder().connect(address).await
    }

    /// Returns a builder that sets the name, credentials and limits before it connects.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The peer id of this node at the hub. On a peote-server others do not know it.
    pub fn peer_id(&self) -> PeerId {
        self.connection.peer
    }

    /// The protocol of the connection.
    pub fn protocol(&self) -> Protocol {
        self.connection.protocol
    }

    /// The largest message that the hub accepts, in bytes. A peote-server does not announce it.
    pub fn message_bytes_max(&self) -> u32 {
        self.connection.facts.message_bytes_max()
    }

    /// Creates a channel.
    ///
    /// If the future is dropped, a channel that was created meanwhile is deleted.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] with [`NameTaken`](Reason::NameTaken),
    /// [`TooManyChannels`](Reason::TooManyChannels) or [`TooLarge`](Reason::TooLarge) for the name;
    /// [`ChannelError::Unsupported`] on a peote-server, [`ChannelError::Closed`], and what is wrong
    /// with the arguments.
    pub async fn create(
        &self,
        name: impl AsRef<[u8]>,
        options: ChannelOptions,
    ) -> Result<Owner, ChannelError> {
        options.check(self.connection.protocol)?;
        let name = ChannelName::new(name.as_ref().to_vec())?;
        let ChannelOptions { command: options, calls, admit_if } = options;
        let mode = options.mode;
        let question = |answer| Question::Create { mode, calls, answer };
        let command = |request| ChannelCommand::Create { request, name, options };
        let owned = self.connection.ask(question, command).await?;
        Ok(Owner::new(owned, admit_if))
    }

    /// Enters a channel or room. If the owner decides about each entry, this waits for the decision.
    ///
    /// If the future is dropped, a channel that was entered meanwhile is left.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] with [`NoSuchName`](Reason::NoSuchName), [`Full`](Reason::Full),
    /// [`WrongPassword`](Reason::WrongPassword), [`Banned`](Reason::Banned),
    /// [`NotAdmitted`](Reason::NotAdmitted), [`AlreadyEntered`](Reason::AlreadyEntered),
    /// [`OwnChannel`](Reason::OwnChannel), [`TooManyChannels`](Reason::TooManyChannels) or
    /// [`TooManyPending`](Reason::TooManyPending), and for rooms [`NotAllowed`](Reason::NotAllowed);
    /// otherwise as [`create`](Self::create).
    pub async fn enter(
        &self,
        name: impl AsRef<[u8]>,
        options: EnterOptions,
    ) -> Result<Member, ChannelError> {
        options.check(self.connection.protocol)?;
        let name = ChannelName::new(name.as_ref().to_vec())?;
        let EnterOptions { command: options, calls } = options;
        let question = |answer| Question::Enter { calls, answer };
        let command = |request| ChannelCommand::Enter { request, name, options };
        let membership = self.connection.ask(question, command).await?;
        if calls && membership.core.mode == Mode::Raw {
            // Dropping it leaves the channel.
            return Err(ChannelError::Raw);
        }
        Ok(Member::new(membership))
    }

    /// Waits for the end of the connection, and returns the reason: [`Bye`](Reason::Bye) if it was
    /// closed here, [`ConnectionLost`](Reason::ConnectionLost) if it broke, or what the hub says.
    pub async fn closed(&self) -> Reason {
        self.connection.closed().await
    }

    /// Closes the connection after everything that was sent, and waits until it has ended.
    ///
    /// Members of its channels are told [`ClosedByOwner`](Reason::ClosedByOwner), or the new owner if there is a
    /// [successor](Owner::set_successor). Owners of channels that it has entered are told
    /// [`Left`](Reason::Left). Data that arrives meanwhile is dropped.
    pub async fn close(&self) {
        self.connection.close().await;
        if let Some(host) = self.site.host() {
            host.stop().await;
        }
    }

    /// The state of the connection, for a node that [reconnects](NodeBuilder::resume) automatically.
    pub fn connectivity(&self) -> Option<watch::Receiver<Connectivity>> {
        self.connection.facts.connectivity()
    }

    /// The round trip to the hub that was measured last, by a probe or
    /// [`ping`](Self::ping). `None` before the first, and on a peote-server.
    pub fn round_trip(&self) -> Option<Duration> {
        self.connection.facts.round_trip()
    }

    /// Measures the round trip to the hub now. It includes the time of data that waits in front of the probe, in
    /// either direction: there is no answer while the events that this node has received are not read.
    /// While a [resumable](NodeBuilder::resume) connection is lost, this waits.
    ///
    /// # Errors
    /// [`PingError`]
    pub async fn ping(&self) -> Result<Duration, PingError> {
        self.connection.ping().await
    }

    /// What opens links of this node.
    pub(crate) fn opener(&self) -> Opener {
        Opener::new(&self.connection, self.terms())
    }

    fn terms(&self) -> &Arc<Terms> {
        self.site.reception().terms()
    }
}
