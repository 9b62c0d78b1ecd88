//! What a node does with peers.

use super::forward::Forward;
use super::handlers::{Request, raw, typed};
use super::route::{HOPS_MAX, Route, Who};
use super::{Asked, Incoming, Peer, PeerError, Presence, Service};
use crate::node::{Node, NodeBuilder};
use crate::shared::{Question, Shared, lock};
use crate::{PeerId, PeerInfo, Protocol, Reason};
use crosspoint_hub::PeerName;
use crosspoint_hub::command::{
    Addressee, Command, DirectoryCommand, LinkCommand, LinkOptions, Query,
};
use crosspoint_hub::payload::{Failure, Payload};
use crosspoint_proto::identity::Identity;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::oneshot;

impl NodeBuilder {
    /// The key that the node's peer id comes from, which the hub checks. With it links can be
    /// [encrypted](Peer::secure). An id that was set is ignored then.
    ///
    /// Connecting fails with [`ConnectError::Unproven`](crate::ConnectError::Unproven) at a hub that
    /// does not ask for the proof, unless that is [accepted](Self::accept_unproven).
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(Arc::new(identity));
        self
    }

    /// Goes on with an [identity](Self::identity) at a hub that does not ask for the proof. The ids
    /// of all peers there are claims that nobody has checked, and that of this node is what the hub
    /// [says](Node::peer_id). Encrypted links are as safe as anywhere: each side proves its key to
    /// the other. Only needed for hubs that are no Crosspoint.
    #[must_use]
    pub fn accept_unproven(mut self) -> Self {
        self.accept_unproven = true;
        self
    }

    /// Every link of the node, opened by either side, is encrypted before anything else is sent or
    /// taken. Links to nodes without [identity](Self::identity) end.
    #[must_use]
    pub fn require_encryption(mut self) -> Self {
        self.require_encryption = true;
        self
    }

    /// Pins a name to the key that belongs to this id: a link to or from a peer of whom a hub says that
    /// it has the name is there only if the peer has the id, and proves it by encryption before
    /// anything is sent or taken. The same holds for each link at whose far end somebody says to have the id. A node
    /// of that name cannot pass on links of others to this one. Any other attempt fails, with [`PeerError::NotPinned`] if already
    /// the hub says so. Needs an [identity](Self::identity).
    ///
    /// Without a pin it is the hub alone that says whose a name is.
    #[must_use]
    pub fn pin(mut self, name: impl Into<String>, id: PeerId) -> Self {
        self.pins.insert(name.into(), id);
        self
    }

    /// How many bytes of each stream may be on their way to this node without having been read, 1
    /// to 2147483647; 256 KiB unless set. A larger window is faster over a long way.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes;
        self
    }

    /// How many bytes may wait to be read or handled from one [`Peer`], 64 for each event counted
    /// in; 16 MiB unless set. The message that goes beyond is still taken; with the next one the link
    /// ends with [`SlowReceiver`](Reason::SlowReceiver). Requests and streams that go beyond are
    /// refused.
    #[must_use]
    pub fn inbox_bytes(mut self, bytes: usize) -> Self {
        self.inbox_bytes = bytes;
        self
    }

    /// How many bytes of what others have sent this node holds, over all its connections: messages that are
    /// not whole, what waits in the inboxes of [`Peer`]s and in their handlers, streams that were not read,
    /// and links that are passed on; 64 MiB unless set. One peer may hold as much as is free then, so half of
    /// it if it is the only one. Its link that goes beyond ends with [`Exhausted`](Reason::Exhausted); a member
    /// of a channel is kicked, and an owner's channel is left.
    ///
    /// A message needs room for all of its bytes, and so does an inbox or a
    /// [window](Self::stream_window) that is to be filled. Up to 2 KiB of each link are free.
    #[must_use]
    pub fn held_bytes(mut self, bytes: usize) -> Self {
        self.held_bytes = bytes;
        self
    }

    /// How many links that others have opened there may be, over all connections; 16,384 unless set. One peer
    /// may have as many as are free then. Those above end with [`TooManyLinks`](Reason::TooManyLinks). A
    /// link takes about 2 KiB.
    #[must_use]
    pub fn incoming_max(mut self, links: usize) -> Self {
        self.incoming_max = links;
        self
    }

    /// See [`Node::handle`]; set here it is there before the first request can come.
    #[must_use]
    pub fn handle<F, T, P>(self, method: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Request) -> T + Send + Sync + 'static,
        T: Future<Output = Result<P, Failure>> + Send + 'static,
        P: Into<Payload>,
    {
        self.handlers.insert(method.into(), raw(handler));
        self
    }

    /// See [`Node::serve`]; set here it is there before the first request can come.
    #[must_use]
    pub fn serve<A, F, T, R>(self, method: impl Into<String>, handler: F) -> Self
    where
        A: DeserializeOwned,
        F: Fn(A) -> T + Send + Sync + 'static,
        T: Future<Output = Result<R, Failure>> + Send + 'static,
        R: Serialize,
    {
        self.handlers.insert(method.into(), typed(handler));
        self
    }
}

/// The most peers that a hub may name in answer to one question: it could go on without an end.
const FOUND_MAX: usize = 100_000;

impl Node {
    /// Opens a link to a peer: by its id, or by its unique name.
    ///
    /// Whom a name leads to is the word of the hub, and is shown by [`Peer::id`] before anything is
    /// sent. To be sure of it, [pin](NodeBuilder::pin) the name, or compare the id with one that was
    /// learned elsewhere after [`Peer::secure`].
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NoSuchPeer`](Reason::NoSuchPeer),
    /// [`NotAllowed`](Reason::NotAllowed), [`TooManyLinks`](Reason::TooManyLinks) or
    /// [`Unsupported`](Reason::Unsupported); [`PeerError::OtherPeer`], [`PeerError::NotPinned`],
    /// [`PeerError::Closed`], [`PeerError::Name`], [`PeerError::Unsupported`], and those of
    /// [`Peer::secure`] if encryption is [required](NodeBuilder::require_encryption).
    pub async fn peer(&self, who: impl Into<Who>) -> Result<Peer, PeerError> {
        let to = who.into().addressee()?;
        self.shared.link(to, None, LinkOptions::default()).await
    }

    /// Opens a link to a peer at another hub, over nodes that [forward](Self::forward): the first of
    /// them is at the hub of this node, each next one at a hub of the one before. At most 8.
    ///
    /// The link is there when the first node has it. If one of the further ones refuses, it ends
    /// with the reason. Who is at the far end is proven by [`secure`](Peer::secure) alone.
    ///
    /// # Errors
    /// As [`peer`](Self::peer), for the first node; [`PeerError::TooFar`].
    pub async fn peer_via(&self, hops: &[Who], target: PeerId) -> Result<Peer, PeerError> {
        if hops.len() > HOPS_MAX {
            return Err(PeerError::TooFar(hops.len()));
        }
        let Some((first, further)) = hops.split_first() else {
            return self.peer(target).await;
        };
        let via = further.iter().cloned().chain([Who::Id(target)]).collect();
        let route = Route { via, from: Vec::new() };
        let options = LinkOptions { purpose: route.purpose(), ..LinkOptions::default() };
        self.shared.link(first.addressee()?, Some((target, route)), options).await
    }

    /// Opens a link to the program at the other end of the connection, if that
    /// [listens](NodeBuilder::listen) itself and is no plain hub.
    ///
    /// # Errors
    /// [`PeerError::NoNeighbour`], and those of [`peer`](Self::peer).
    pub async fn neighbour(&self) -> Result<Peer, PeerError> {
        let home = self.shared.facts.home().filter(|home| *home != self.peer_id());
        self.peer(home.ok_or(PeerError::NoNeighbour)?).await
    }

    /// The links that others open to this node, over all connections that were
    /// [joined](Self::join). Those from before this call are among them.
    ///
    /// Until it is called, links live for the [handlers](Self::handle) alone: streams are refused,
    /// messages are dropped and [counted](Self::messages_dropped). One takes the links at a time:
    /// a later call ends the earlier one.
    pub fn incoming(&self) -> Incoming {
        Incoming::new(&self.shared)
    }

    /// Messages that have arrived for nobody, see [`incoming`](Self::incoming).
    pub fn messages_dropped(&self) -> u64 {
        self.shared.common.dropped()
    }

    /// Answers requests and notifications to a method, of all peers and over all connections of
    /// this node. It takes the place of an earlier handler of this method. Methods are names joined
    /// with dots, such as `user.rename`; a request without a method is for the handler of the empty
    /// one.
    ///
    /// Each request has a task of its own, which is dropped when the other side stops to wait. A
    /// handler that panics fails the request.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use crosspoint::{Failure, Request, testing};
    ///
    /// let (_hub, ann, bob) = testing::two_nodes().await;
    /// ann.handle("greet", |request: Request| async move {
    ///     let name = request.from().name.clone().ok_or(Failure::new(1000, "who are you?"))?;
    ///     Ok(format!("hello, {name}"))
    /// });
    /// let ann = bob.peer("Ann").await?;
    /// assert_eq!(ann.request("").method("greet").await?.data, "hello, Bob");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle<F, T, P>(&self, method: impl Into<String>, handler: F)
    where
        F: Fn(Request) -> T + Send + Sync + 'static,
        T: Future<Output = Result<P, Failure>> + Send + 'static,
        P: Into<Payload>,
    {
        self.shared.common.settings.handlers.insert(method.into(), raw(handler));
    }

    /// As [`handle`](Self::handle), from values to values: MessagePack, and JSON where that comes.
    /// Several arguments are a tuple. The other side uses [`Peer::call`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let (_hub, ann, bob) = crosspoint::testing::two_nodes().await;
    /// ann.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    /// let ann = bob.peer("Ann").await?;
    /// assert_eq!(ann.call::<i32>("add", &(20, 22)).await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve<A, F, T, R>(&self, method: impl Into<String>, handler: F)
    where
        A: DeserializeOwned,
        F: Fn(A) -> T + Send + Sync + 'static,
        T: Future<Output = Result<R, Failure>> + Send + 'static,
        R: Serialize,
    {
        self.shared.common.settings.handlers.insert(method.into(), typed(handler));
    }

    /// Offers a service: from now on its users may link to this node, and its
    /// [handlers](Self::handle) answer.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NotAllowed`](Reason::NotAllowed) or
    /// [`TooManyServices`](Reason::TooManyServices); [`PeerError::Closed`], [`PeerError::Name`],
    /// [`PeerError::Unsupported`].
    pub async fn provide(&self, service: impl AsRef<str>) -> Result<(), PeerError> {
        self.offer(service.as_ref(), true).await
    }

    /// Takes the offer of a service back. Links that are there stay.
    ///
    /// # Errors
    /// As [`provide`](Self::provide).
    pub async fn withdraw(&self, service: impl AsRef<str>) -> Result<(), PeerError> {
        self.offer(service.as_ref(), false).await
    }

    async fn offer(&self, service: &str, on: bool) -> Result<(), PeerError> {
        self.shared.need_native()?;
        let service = PeerName::new(service)?;
        let (answer, answered) = oneshot::channel();
        let command =
            |request| Command::Directory(DirectoryCommand::Provide { request, service, on });
        self.shared.ask(Question::Done { answer }, command).await?;
        answered.await.unwrap_or_else(|_| Err(self.shared.lost().into()))
    }

    /// A service, with all of its providers. Its requests go to the provider that has the fewest to
    /// answer; further providers are looked for at most once in a second.
    ///
    /// # Errors
    /// [`PeerError::Name`], [`PeerError::Unsupported`].
    pub fn service(&self, name: impl AsRef<str>) -> Result<Service, PeerError> {
        self.shared.need_native()?;
        Ok(Service::new(&self.shared, PeerName::new(name)?))
    }

    /// Looks for a peer by its id or name. What is found is the word of the hub.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NotAllowed`](Reason::NotAllowed), [`PeerError::OtherPeer`],
    /// [`PeerError::NotPinned`], [`PeerError::Closed`],
    /// [`PeerError::Name`], [`PeerError::Unsupported`].
    pub async fn find(&self, who: impl Into<Who>) -> Result<Option<PeerInfo>, PeerError> {
        let query = match who.into().addressee()? {
            Addressee::Peer(id) => Query::Peer(id),
            Addressee::Name(name) | Addressee::Service(name) => Query::Name(name),
        };
        let asked = Asked::look(&query);
        let (mut found, _) = self.look(query).await?;
        if let [_, more, ..] = &found[..] {
            return Err(asked.contradicts(more));
        }
        let Some(found) = found.pop() else {
            return Ok(None);
        };
        asked.check(&found)?;
        self.shared.common.settings.pins.check(&found)?;
        Ok(Some(found))
    }

    /// All peers whose names begin so, in the order of their names. Those who come and go meanwhile
    /// may be among them or not.
    ///
    /// # Errors
    /// As [`find`](Self::find), and [`PeerError::TooManyFound`] above 100,000.
    pub async fn peers(&self, prefix: impl Into<String>) -> Result<Vec<PeerInfo>, PeerError> {
        let prefix = prefix.into();
        if prefix.len() > PeerName::BYTES_MAX {
            return Ok(Vec::new());
        }
        let mut all: Vec<PeerInfo> = Vec::new();
        loop {
            let after = all.last().and_then(|last| last.name.as_deref());
            let after = after.map(PeerName::new).transpose()?;
            let query = Query::Names { prefix: prefix.clone(), after };
            let asked = Asked::look(&query);
            let (found, more) = self.look(query).await?;
            let more = more && !found.is_empty();
            for peer in found {
                asked.check(&peer)?;
                // Otherwise a hub could answer without an end.
                if all.last().is_some_and(|last| last.name >= peer.name) {
                    return Err(asked.contradicts(&peer));
                }
                if all.len() >= FOUND_MAX {
                    return Err(PeerError::TooManyFound(FOUND_MAX));
                }
                all.push(peer);
            }
            if !more {
                return Ok(all);
            }
        }
    }

    async fn look(&self, query: Query) -> Result<(Vec<PeerInfo>, bool), PeerError> {
        self.shared.need_native()?;
        let (answer, answered) = oneshot::channel();
        let command = |request| Command::Directory(DirectoryCommand::Look { request, query });
        self.shared.ask(Question::Look { answer }, command).await?;
        answered.await.unwrap_or_else(|_| Err(self.shared.lost().into()))
    }

    /// Who with a name comes and goes, from now on. 1024 events may wait to be read.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn watch(&self) -> Result<Presence, PeerError> {
        self.shared.need_native()?;
        Presence::new(&self.shared).await
    }

    /// Passes links on that arrive at this node and are to go further
    /// ([`peer_via`](Self::peer_via)): over another connection, if the policy says so. It is asked
    /// with the peer from whom the link comes and the way that it has and is to take, and has to
    /// answer at once. Of several connections the first whose policy agrees is taken.
    ///
    /// What goes over such links is not looked at. It lasts as long as both nodes.
    pub fn forward(
        &self,
        other: &Node,
        policy: impl Fn(&PeerInfo, &Route) -> bool + Send + Sync + 'static,
    ) {
        lock(&self.shared.forwards).push(Forward::new(&other.shared, policy));
    }
}

impl Shared {
    /// # Errors
    /// [`PeerError::Unsupported`] if the protocol is not the native one.
    fn need_native(&self) -> Result<(), PeerError> {
        match self.protocol {
            Protocol::Native => Ok(()),
            Protocol::Peote => Err(PeerError::Unsupported),
        }
    }

    /// Opens a link, and encrypts it if that is required. `behind` says who is at the far end if
    /// others forward it.
    pub(crate) async fn link(
        self: &Arc<Self>,
        to: Addressee,
        behind: Option<(PeerId, Route)>,
        options: LinkOptions,
    ) -> Result<Peer, PeerError> {
        self.need_native()?;
        let (answer, answered) = oneshot::channel();
        let asked = Asked::link(&to, &options.except);
        let question = Question::Link { asked, behind, answer };
        self.ask(question, |request| Command::Link(LinkCommand::Open { request, to, options }))
            .await?;
        let peer = answered.await.unwrap_or_else(|_| Err(self.lost().into()))?;
        if peer.handle.core.encryption_required {
            peer.secure().await?;
        }
        Ok(peer)
    }

    /// The end of the connection.
    pub(crate) fn end_reason(&self) -> Reason {
        let reason = *self.closed.borrow();
        reason.unwrap_or(Reason::ConnectionLost)
    }
}
