//! The program of a hub, as clients of Socket.IO know the plugin's server.

use super::args::{Args, ArgsError};
use super::error::{EmitError, check_event};
use super::incoming::Streams;
use super::mail::{AckFunction, Acknowledged, Acks, Letter, Mail, MailError, Mailbox};
use super::mail::{Notice, OnNotice, Receipt};
use super::rooms::Rooms;
use super::topics::{Topic, Topics};
use super::ways::Ways;
use crate::address::Address;
use crate::error::ConnectError;
use crate::node::{Node, NodeBuilder};
use crate::peer::{BoxFuture, Peer, PeerError, Stream};
use crate::{Failure, PeerInfo, Reason};
use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::DropGuard;

/// How long a client may take to take a stream, as with the plugin.
const STREAM_TIME: Duration = Duration::from_secs(10);

/// What a program that embeds a hub does with clients of Socket.IO, as the plugin's server does. Clones are the same.
///
/// It is a [`Node`] without a name, so that clients do not see it among others. It can be connected to a hub elsewhere as
/// well. [`node`](Self::node) is for all that is not special to Socket.IO.
#[derive(Clone)]
pub struct Application {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) node: Node,
    pub(super) ways: Ways,
    rooms: Arc<Rooms>,
    topics: Arc<Topics>,
    options: Options,
    acks: Arc<Acks>,
    mail: Option<(Arc<Mail>, DropGuard)>,
}

#[derive(Debug, Clone)]
struct Options {
    ack_time: Option<Duration>,
    stream_time: Duration,
}

/// Configures an [`Application`] before it connects.
pub struct ApplicationBuilder {
    node: NodeBuilder,
    options: Options,
    acks: Arc<Acks>,
    mailbox: Option<Mailbox>,
    on_notice: OnNotice,
}

/// Why a program cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// The hub cannot be reached, or does not let the program in.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Messages for absent clients cannot be kept.
    #[error(transparent)]
    Mail(#[from] MailError),
}

impl ApplicationBuilder {
    /// Sets the node: its token, its bounds, and a name if clients are to open streams to it.
    #[must_use]
    pub fn node(mut self, node: NodeBuilder) -> Self {
        self.node = node;
        self
    }

    /// Sets how long clients may take to acknowledge, unless [`Ask::timeout`] says otherwise. The default is for ever, as
    /// with the plugin: the acknowledgement comes, or the client goes.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.ack_time = timeout.into();
        self
    }

    /// Sets how long clients may take to take a stream. The default is 10 s.
    #[must_use]
    pub fn stream_timeout(mut self, timeout: Duration) -> Self {
        self.options.stream_time = timeout;
        self
    }

    /// Keeps messages for clients that are absent ([`Application::emit_persistent`]). Those that the mailbox has already
    /// are delivered from the beginning on, so the functions that they name are to be [set](Self::on_ack) here.
    #[must_use]
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.mailbox = Some(mailbox);
        self
    }

    /// Sets a function as [`Application::on_ack`] does, before the first message can be acknowledged.
    #[must_use]
    pub fn on_ack<F, T>(self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Acknowledged) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.acks.add(name.into(), function);
        self
    }

    /// Sets who gets what an operator may want to know. It has to return at once. The default writes warnings to the log
    /// ([`tracing`]).
    #[must_use]
    pub fn on_notice(mut self, function: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Arc::new(function);
        self
    }

    /// Connects to the hub, which may be [inside](crate::Server::inside) of this program.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn connect<A>(self, address: A) -> Result<Application, ApplicationError>
    where
        A: TryInto<Address>,
        A::Error: Into<ConnectError>,
    {
        let Self { node, options, acks, mailbox, on_notice } = self;
        let node = node.connect(address).await?;
        let mail = match mailbox {
            Some(mailbox) => Some(Mail::open(&node, mailbox, acks.clone(), on_notice).await?),
            None => None,
        };
        let (ways, rooms) = (Ways::new(&node), Arc::default());
        let topics = Topics::new(&node, &rooms);
        Ok(Application {
            shared: Arc::new(Shared { node, ways, rooms, topics, options, acks, mail }),
        })
    }
}

impl fmt::Debug for ApplicationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationBuilder")
            .field("node", &self.node)
            .field("options", &self.options)
            .field("mailbox", &self.mailbox)
            .finish_non_exhaustive()
    }
}

/// An event that a client has said to the program.
#[derive(Debug, Clone)]
pub struct Call {
    from: PeerInfo,
    event: String,
    args: Args,
}

impl Call {
    /// Who says it, as the hub states it.
    pub fn from(&self) -> &PeerInfo {
        &self.from
    }

    /// The event: the name of the service, or what the client emits.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Its arguments.
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// Its arguments as a tuple or a list.
    ///
    /// # Errors
    /// A [`Failure`] with [`Failure::UNREADABLE`], fit to be the answer.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        self.args.read().map_err(|error| Failure::new(Failure::UNREADABLE, error.to_string()))
    }
}

/// A stream that is to be opened to a client.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions {
    channel: String,
    args: Option<Args>,
}

impl StreamOptions {
    /// In no channel and without arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the channel, of at most 255 bytes. The empty one is none.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = channel.into();
        self
    }

    /// Sets what the client gets as `argArray`, without attachments, of at most 16 KiB.
    #[must_use]
    pub fn args(mut self, args: Args) -> Self {
        self.args = Some(args);
        self
    }
}

/// An event that wants an acknowledgement. It is sent when it is awaited, and gives what the client acknowledges with.
#[must_use = "an event is sent when it is awaited"]
pub struct Ask {
    application: Application,
    to: String,
    event: String,
    args: Args,
    timeout: Option<Duration>,
}

impl Ask {
    /// How long to wait for the acknowledgement; `None` for ever.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    async fn ask(self) -> Result<Args, EmitError> {
        let Self { application, to, event, args, timeout } = self;
        check_event(&event)?;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let asking = async {
            let peer = application.shared.ways.to(&to).await?;
            ask_peer(&peer, &event, &args).await
        };
        match until {
            Some(until) => timeout_at(until, asking).await.unwrap_or(Err(EmitError::TimedOut)),
            None => asking.await,
        }
    }
}

/// Says an event to a peer, and waits until it is acknowledged.
pub(super) async fn ask_peer(peer: &Peer, event: &str, args: &Args) -> Result<Args, EmitError> {
    let payload = args.event_payload(peer.info().protocol)?;
    let answer = peer.request(payload).method(event).timeout(None).await?;
    Ok(Args::of_answer(&answer)?)
}

impl IntoFuture for Ask {
    type Output = Result<Args, EmitError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("to", &self.to).field("event", &self.event).finish()
    }
}

impl Application {
    /// Returns a builder that sets credentials and times before it connects.
    pub fn builder() -> ApplicationBuilder {
        let options = Options { ack_time: None, stream_time: STREAM_TIME };
        let on_notice: OnNotice = Arc::new(|notice| tracing::warn!(%notice, "Socket.IO program"));
        let acks = Arc::default();
        ApplicationBuilder { node: Node::builder(), options, acks, mailbox: None, on_notice }
    }

    /// The node that it is.
    pub fn node(&self) -> &Node {
        &self.shared.node
    }

    /// Says an event to the client with this name, and wants no acknowledgement. It waits while too much waits to be sent
    /// to it, and returns when the event is queued. Events to one client arrive in their order.
    ///
    /// # Errors
    /// [`EmitError::NotConnected`], [`EmitError::Event`], [`EmitError::Args`], [`EmitError::Peer`].
    pub async fn emit(&self, to: &str, event: &str, args: Args) -> Result<(), EmitError> {
        check_event(event)?;
        let peer = self.shared.ways.to(to).await?;
        let payload = args.event_payload(peer.info().protocol)?;
        Ok(peer.tell(event, &payload).await?)
    }

    /// Says an event to the client with this name, which is to acknowledge it. Await what it gives for the arguments of
    /// the acknowledgement.
    ///
    /// # Errors
    /// As [`emit`](Self::emit); [`EmitError::Gone`], [`EmitError::TimedOut`], [`EmitError::Refused`].
    pub fn ask(&self, to: impl Into<String>, event: impl Into<String>, args: Args) -> Ask {
        let timeout = self.shared.options.ack_time;
        Ask { application: self.clone(), to: to.into(), event: event.into(), args, timeout }
    }

    /// Says an event to the client with this name, now or as soon as it is there, and keeps it until the client has
    /// acknowledged it. It returns when the message is written down; until then nothing is sent.
    ///
    /// Messages for one client are sent in their order, 32 ahead of its acknowledgements. A client may get one twice: if
    /// it has gone before the acknowledgement has come. What a client refuses stays, and is sent again when it comes the
    /// next time.
    ///
    /// # Errors
    /// [`MailError::NoMailbox`], [`MailError::Emit`], [`MailError::Name`]; [`MailError::Keep`], if a bound of the mailbox
    /// is reached or the store has failed.
    pub async fn emit_persistent(&self, to: &str, letter: &Letter) -> Result<Receipt, MailError> {
        let (mail, _) = self.shared.mail.as_ref().ok_or(MailError::NoMailbox)?;
        mail.keep(to, letter).await
    }

    /// Registers a function that messages name ([`Letter::on_ack`]). A name may have several, which are called one after
    /// the other, before the message is forgotten: if the program ends in between, they are called again. While it runs,
    /// that client gets no further messages above the 32.
    pub fn on_ack<F, T>(&self, name: impl Into<String>, function: F) -> AckFunction
    where
        F: Fn(Acknowledged) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.shared.acks.add(name.into(), function)
    }

    /// Removes a function.
    pub fn off_ack(&self, function: &AckFunction) {
        self.shared.acks.remove(function);
    }

    /// Says an event to all in a room. Nothing happens if there is no such room.
    ///
    /// # Errors
    /// [`EmitError::Event`], [`EmitError::Args`], [`EmitError::Room`].
    pub async fn emit_room(&self, room: &str, event: &str, args: Args) -> Result<(), EmitError> {
        check_event(event)?;
        self.shared.rooms.emit(&self.shared.node, room, event, &args).await
    }

    /// Answers an event that clients emit to this program: to its name or id, or to a service of it. What the handler
    /// gives is the acknowledgement, if the client wants one. Clients have no form for a failure, so people are told.
    /// It replaces an earlier handler of the event.
    pub fn on<F, T>(&self, event: impl Into<String>, handler: F)
    where
        F: Fn(Call) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Args, Failure>> + Send + 'static,
    {
        let event = event.into();
        self.shared.node.handle(event, move |request: crate::Request| {
            let from = request.from().clone();
            let protocol = from.protocol;
            let args = Args::of_event(request.payload());
            let call = args.map(|args| Call { from, event: request.method().to_owned(), args });
            let answering = call.map(&handler).map_err(unreadable);
            async move {
                let args = answering?.await?;
                args.answer_payload(protocol).map_err(|error| {
                    Failure::new(Failure::FAILED, format!("the answer of the hub: {error}"))
                })
            }
        });
    }

    /// Provides a service, which clients use with `USE_API`. What the handler gives is the acknowledgement. Clients cannot
    /// end it.
    ///
    /// # Errors
    /// [`EmitError::Event`] if no event can have the name; [`EmitError::Peer`], as for [`Node::provide`].
    pub async fn provide<F, T>(&self, service: &str, handler: F) -> Result<(), EmitError>
    where
        F: Fn(Call) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Args, Failure>> + Send + 'static,
    {
        check_event(service)?;
        self.on(service, handler);
        let provided = self.shared.node.provide(service).await;
        Ok(provided.inspect_err(|_| self.shared.node.unhandle(service))?)
    }

    /// Provides a service no longer.
    ///
    /// # Errors
    /// [`EmitError::Peer`], as for [`Node::withdraw`].
    pub async fn withdraw(&self, service: &str) -> Result<(), EmitError> {
        self.shared.node.unhandle(service);
        Ok(self.shared.node.withdraw(service).await?)
    }

    /// Offers a topic of a service, which clients of the plugin's version 1.5 subscribe (`subscribeTopic`). The service is
    /// provided from now on. A topic that is there already is the same.
    ///
    /// # Errors
    /// [`EmitError::Event`] if the names are too long; [`EmitError::Peer`], as for [`Node::provide`].
    pub async fn topic(&self, service: &str, topic: &str) -> Result<Topic, EmitError> {
        self.shared.topics.offer(service, topic).await
    }

    /// Opens a stream to the client with this name, and waits until it has taken it. The client hears of no target, and
    /// its end is called `…--server-side` there, as with the plugin. Dropping the stream destroys the client's end.
    ///
    /// # Errors
    /// [`EmitError::NotConnected`]; [`EmitError::Peer`] with [`PeerError::StreamRefused`], which has the words of the
    /// client, or [`PeerError::TimedOut`].
    pub async fn open(&self, to: &str, options: StreamOptions) -> Result<Stream, EmitError> {
        let StreamOptions { channel, args } = options;
        let metadata = match args {
            Some(args) if !args.attachments().is_empty() => {
                return Err(ArgsError::Value("a stream takes no attachments".to_owned()).into());
            }
            Some(args) => {
                args.check()?;
                args.json()
            }
            None => String::new(),
        };
        let until = Instant::now() + self.shared.options.stream_time;
        let opening = async {
            let peer = self.shared.ways.to(to).await?;
            Ok(peer.open(channel, metadata).await?)
        };
        timeout_at(until, opening).await.unwrap_or(Err(PeerError::TimedOut.into()))
    }

    /// The streams that clients open to this program: to its name or id, or to the name of one of its services. There is
    /// one receiver at a time: a later call ends the earlier one.
    pub fn streams(&self) -> Streams {
        Streams::new(&self.shared.node)
    }

    /// The names of all who are connected, of whatever protocol, in their order.
    ///
    /// # Errors
    /// As [`Node::peers`].
    pub async fn clients(&self) -> Result<Vec<String>, PeerError> {
        let peers = self.shared.node.peers("").await?;
        Ok(peers.into_iter().filter_map(|peer| peer.name).map(|name| name.to_string()).collect())
    }

    /// Who has this name, if somebody has.
    ///
    /// # Errors
    /// As [`Node::find`].
    pub async fn client(&self, name: &str) -> Result<Option<PeerInfo>, PeerError> {
        self.shared.node.find(name).await
    }

    /// Closes the connection after everything that was sent, and waits until it has ended.
    ///
    /// The mailbox is closed before, after what it was told, so that another program can open it.
    pub async fn close(&self) {
        if let Some((mail, _)) = &self.shared.mail {
            mail.close().await;
        }
        self.shared.node.close().await;
    }

    /// Waits for the end of the connection to the hub, and returns the reason.
    pub async fn closed(&self) -> Reason {
        self.shared.node.closed().await
    }
}

fn unreadable(error: ArgsError) -> Failure {
    Failure::new(Failure::UNREADABLE, error.to_string())
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("node", &self.shared.node).finish_non_exhaustive()
    }
}
