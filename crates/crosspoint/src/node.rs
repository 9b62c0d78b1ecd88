//! A connection to a hub, and what can be opened over it.

use crate::connectivity::Resume;
use crate::peer::{Common, Handlers, Pins};
use crate::router::Router;
use crate::shared::{Facts, Question, Shared};
use crate::{
    Address, ChannelError, ChannelOptions, ConnectError, EnterOptions, Heartbeat, Member, Owner,
    Protocol,
};
use bytes::Bytes;
use crosspoint_gateways::peote;
use crosspoint_hub::command::{ChannelCommand, Command, Event, Hello};
use crosspoint_hub::protocol::{Activity, Client};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{ChannelName, PeerId, Reason};
use crosspoint_net::client::run;
use crosspoint_proto::client::{Native, Options};
use crosspoint_proto::identity::Identity;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// A connection to a hub. Clones are the same connection.
///
/// It lasts until [`close`](Self::close), or until the node, its clones and all its [`Owner`]s,
/// [`Member`]s and [`Peer`](crate::Peer)s have been dropped.
///
/// # Panics
/// Connecting and all that waits needs a tokio runtime with I/O and time.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

/// How a node introduces itself, and its bounds.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    pub(crate) hello: Hello,
    agent: Option<String>,
    timeout: Duration,
    pub(crate) queue_bytes: u32,
    pub(crate) inbox_bytes: usize,
    pub(crate) held_bytes: usize,
    pub(crate) incoming_max: usize,
    pub(crate) stream_window: u32,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) accept_unproven: bool,
    pub(crate) require_encryption: bool,
    pub(crate) pins: Pins,
    pub(crate) resume: Resume,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) handlers: Handlers,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self {
            hello: Hello::default(),
            agent: None,
            timeout: Duration::from_secs(10),
            queue_bytes: 1 << 20,
            inbox_bytes: 16 << 20,
            held_bytes: 64 << 20,
            incoming_max: 16_384,
            stream_window: 256 * 1024,
            identity: None,
            accept_unproven: false,
            require_encryption: false,
            pins: Pins::default(),
            resume: Resume::default(),
            heartbeat: Heartbeat::default(),
            handlers: Handlers::default(),
        }
    }
}

impl NodeBuilder {
    /// A name to show to others, and to be found by. It is unique at the hub: if somebody has it
    /// already, connecting fails with [`NameTaken`](Reason::NameTaken), or that one has to go,
    /// as the hub is set up. It has 1 to 255 bytes; the empty name is none.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.hello.name = Some(name.into());
        self
    }

    /// The hub's access token. With [`listen`](Self::listen): what those have to show who connect.
    #[must_use]
    pub fn token(mut self, token: impl Into<Bytes>) -> Self {
        self.hello.token = Some(token.into());
        self
    }

    /// The id to be known by. The hub gives one if none is set. It is a claim: with an
    /// [`identity`](Self::identity) it is proven.
    #[must_use]
    pub fn peer_id(mut self, peer: PeerId) -> Self {
        self.hello.peer = Some(peer);
        self
    }

    /// The program's name and version, for the hub's logs.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// How long connecting may take until the hub's welcome; 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes may wait to be read from one owner or member, 64 for each event counted in;
    /// 1 MiB unless set. While more wait, the node reads nothing more from the hub.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: u32) -> Self {
        self.queue_bytes = bytes.max(1);
        self
    }

    /// Connects to a hub and waits for its welcome. A peote-server has none, so there it is only
    /// known that something listens.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect<A>(self, address: A) -> Result<Node, ConnectError>
    where
        A: TryInto<Address>,
        A::Error: Into<ConnectError>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let hello = self.hello.clone();
        connect(&Common::new(self), hello, address).await
    }
}

/// Connects to a hub within the time.
pub(crate) async fn connect(
    common: &Arc<Common>,
    hello: Hello,
    address: Address,
) -> Result<Node, ConnectError> {
    let after = common.settings.timeout;
    let welcomed = tokio::time::timeout(after, welcomed(common, hello, &address)).await;
    welcomed.unwrap_or_else(|_elapsed| {
        Err(ConnectError::TimedOut { address: Box::new(address), after })
    })
}

async fn welcomed(
    common: &Arc<Common>,
    hello: Hello,
    address: &Address,
) -> Result<Node, ConnectError> {
    let NodeBuilder { agent, identity, accept_unproven, resume, heartbeat, .. } = &common.settings;
    let dialing = resume.dial(address, heartbeat.of_connections()).await;
    let (dialed, connectivity) = dialing.map_err(|source| {
        let address = Box::new(address.clone());
        ConnectError::Unreachable { address, source }
    })?;
    let facts = Arc::new(Facts::new(connectivity));
    // With an identity the protocol itself checks it.
    let asked = hello.peer.filter(|_| identity.is_none());
    let mut written = FrameWriter::new(None);
    let client: Box<dyn Client> = match address.protocol {
        Protocol::Native => {
            let (agent, identity) = (agent.clone(), identity.clone());
            let heartbeat = heartbeat.settings(dialed.away_max());
            let accept_unproven = *accept_unproven;
            let hello = Hello { pauses: true, ..hello };
            let options = Options { hello, agent, identity, accept_unproven, heartbeat };
            let now = tokio::time::Instant::now().into_std();
            Box::new(Observed {
                native: Native::new(now, options, &mut written),
                facts: facts.clone(),
            })
        }
        Protocol::Peote => {
            let peer = hello.peer.map_or_else(PeerId::random, Ok);
            let peer = peer.map_err(|error| ConnectError::NoPeerId(error.to_string()))?;
            Box::new(peote::client::Joint::new(peer))
        }
    };
    let mut connection = run(dialed, client, written);
    let peer = match connection.events.recv().await {
        Some(Event::Welcome { peer }) => match asked {
            Some(asked) if asked != peer => {
                let address = Box::new(address.clone());
                return Err(ConnectError::OtherId { address, asked, answered: peer });
            }
            _ => peer,
        },
        other => {
            let reason = match other {
                Some(Event::Closed { reason }) => reason,
                Some(_) => Reason::Malformed,
                None => Reason::ConnectionLost,
            };
            let address = Box::new(address.clone());
            return Err(match reason {
                Reason::Unproven => ConnectError::Unproven { address },
                reason => ConnectError::Refused { address, reason },
            });
        }
    };
    let (closed_sender, closed) = watch::channel(None);
    let (protocol, ways) = (address.protocol, (connection.commands, connection.pings));
    let shared = Shared::new(peer, protocol, facts, ways, closed, common.clone());
    tokio::spawn(Router::new(&shared).run(connection.events, closed_sender));
    Ok(Node { shared })
}

impl Node {
    /// Connects without name, token or wishes, see [`NodeBuilder::connect`].
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

    /// Sets name, token and bounds before connecting.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The id under which the hub knows this node. On a peote-server it has no meaning to others.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer
    }

    /// What is spoken to the hub.
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// The largest message that the hub takes, in bytes. A peote-server does not tell.
    pub fn message_bytes_max(&self) -> u32 {
        self.shared.facts.message_bytes_max()
    }

    /// Opens a channel.
    ///
    /// Giving up the wait deletes the channel if it was opened meanwhile.
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
        options.check(self.shared.protocol)?;
        let name = ChannelName::new(name.as_ref().to_vec())?;
        let (answer, answered) = oneshot::channel();
        let ChannelOptions { command: options, calls, admit_if } = options;
        let mode = options.mode;
        let question = Question::Create { mode, calls, admit_if, answer };
        let command = |request| Command::Channel(ChannelCommand::Create { request, name, options });
        self.shared.ask(question, command).await?;
        answered.await.unwrap_or(Err(self.shared.lost()))
    }

    /// Enters a channel or room. An owner that decides about each entry may take its time.
    ///
    /// Giving up the wait leaves the channel if it was entered meanwhile.
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
        options.check(self.shared.protocol)?;
        let name = ChannelName::new(name.as_ref().to_vec())?;
        let (answer, answered) = oneshot::channel();
        let EnterOptions { command: options, calls } = options;
        let question = Question::Enter { calls, answer };
        let command = |request| Command::Channel(ChannelCommand::Enter { request, name, options });
        self.shared.ask(question, command).await?;
        answered.await.unwrap_or(Err(self.shared.lost()))
    }

    /// Waits for the end of the connection, and gives the reason: [`Bye`](Reason::Bye) if it was
    /// closed here, [`ConnectionLost`](Reason::ConnectionLost) if it broke, or what the hub says.
    pub async fn closed(&self) -> Reason {
        let mut closed = self.shared.closed.clone();
        let reason = closed.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| *reason);
        reason.unwrap_or(Reason::ConnectionLost)
    }

    /// Says goodbye after everything that was sent, and waits until the connection has ended.
    ///
    /// Its channels and memberships end on purpose: their members hear
    /// [`ClosedByOwner`](Reason::ClosedByOwner), or who has the channel now if there is a
    /// [successor](Owner::set_successor), their owners [`Left`](Reason::Left). What arrives here
    /// meanwhile is dropped.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.release();
        self.closed().await;
        if let Some(host) = self.shared.host.get() {
            host.stop().await;
        }
    }
}

/// The native protocol, and what it has learned where handles can see it.
struct Observed {
    native: Native,
    facts: Arc<Facts>,
}

impl Client for Observed {
    fn command(
        &mut self,
        now: Instant,
        command: Command,
        out: &mut FrameWriter,
    ) -> Result<(), Reason> {
        self.native.command(now, command, out)
    }

    fn receive(&mut self, now: Instant, bytes: Bytes) {
        self.native.receive(now, bytes);
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Event> {
        let event = self.native.poll(now, out);
        if let Some(event) = &event {
            self.facts.pauses.observe(event);
        }
        if matches!(event, Some(Event::Welcome { .. })) {
            self.facts.learn(self.native.message_bytes_max(), self.native.home());
        }
        event
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        self.native.deadline(activity)
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        self.native.tick(now, activity, out)
    }

    fn ask_now(&mut self, now: Instant, out: &mut FrameWriter) -> Option<u64> {
        self.native.ask_now(now, out)
    }

    fn answered(&mut self) -> Option<u64> {
        let answered = self.native.answered()?;
        if let Some(round_trip) = self.native.round_trip() {
            self.facts.measured(round_trip);
        }
        Some(answered)
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        self.native.farewell(reason, out);
    }
}
