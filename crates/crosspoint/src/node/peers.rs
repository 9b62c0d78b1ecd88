//! What a node does with peers.

use super::Node;
use crate::connection::Question;
use crate::peer::{
    Asked, Forward, HOPS_MAX, Incoming, Peer, PeerError, Presence, Request, Route, Service, Who,
    raw, typed,
};
use crate::{PeerId, PeerInfo};
use crosspoint_hub::PeerName;
use crosspoint_hub::command::{Addressee, DirectoryCommand, LinkOptions, Query};
use crosspoint_hub::payload::{Failure, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most peers that a hub may name in one answer, because it could go on without end.
const FOUND_MAX: usize = 100_000;

impl Node {
    /// Opens a link to a peer by its id or by its unique name.
    ///
    /// The hub decides which peer has a name. [`Peer::id`] returns that peer before anything is sent. To verify
    /// it, [pin](crate::NodeBuilder::pin) the name, or compare the id after [`Peer::secure`] with one from
    /// another source.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NoSuchPeer`](crate::Reason::NoSuchPeer),
    /// [`NotAllowed`](crate::Reason::NotAllowed), [`TooManyLinks`](crate::Reason::TooManyLinks) or
    /// [`Unsupported`](crate::Reason::Unsupported); [`PeerError::OtherPeer`], [`PeerError::NotPinned`],
    /// [`PeerError::Closed`], [`PeerError::Name`], [`PeerError::Unsupported`], and those of
    /// [`Peer::secure`] if encryption is [required](crate::NodeBuilder::require_encryption).
    pub async fn peer(&self, who: impl Into<Who>) -> Result<Peer, PeerError> {
        let to = who.into().addressee()?;
        self.opener().open(to, None, LinkOptions::default()).await
    }

    /// Opens a link to a peer at another hub, through nodes that [forward](Self::forward). The first of
    /// them is at the hub of this node, each further one at a hub of the one before. At most 8.
    ///
    /// The link is open when the first node has accepted it. If a further one refuses, the link ends with
    /// the reason. Only [`secure`](Peer::secure) proves which peer is at the far end.
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
        self.opener().open(first.addressee()?, Some((target, route)), options).await
    }

    /// Opens a link to the program at the other end of the connection, if that program is a node that
    /// [listens](crate::NodeBuilder::listen) and not a plain hub.
    ///
    /// # Errors
    /// [`PeerError::NoNeighbour`], and those of [`peer`](Self::peer).
    pub async fn neighbour(&self) -> Result<Peer, PeerError> {
        let home = self.connection.facts.home().filter(|home| *home != self.peer_id());
        self.peer(home.ok_or(PeerError::NoNeighbour)?).await
    }

    /// Returns the links that others open to this node, over all connections that were
    /// [joined](Self::join), including those from before this call.
    ///
    /// Until it is called, links serve the [handlers](Self::handle) only: streams are refused, and messages
    /// are dropped and [counted](Self::messages_dropped). There is one [`Incoming`] at a time: a later call
    /// ends the earlier one.
    pub fn incoming(&self) -> Incoming {
        Incoming::new(&self.connection, self.site.reception())
    }

    /// The number of messages that were dropped because nothing reads them, see [`incoming`](Self::incoming).
    pub fn messages_dropped(&self) -> u64 {
        self.terms().pool.dropped()
    }

    /// Sets the handler for requests and notifications to a method, from all peers and over all connections of
    /// this node. It replaces an earlier handler of this method. Methods are names joined with dots, such as
    /// `user.rename`. A request without a method goes to the handler of the empty method.
    ///
    /// Each request has its own task, which is dropped when the other side stops waiting. A panic of a
    /// handler fails the request.
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
        self.terms().handlers.insert(method.into(), raw(handler));
    }

    /// Like [`handle`](Self::handle), with typed values as MessagePack, or as JSON for requests in JSON.
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
        self.terms().handlers.insert(method.into(), typed(handler));
    }

    /// Removes the handler of a method.
    #[cfg(feature = "socketio")]
    pub(crate) fn unhandle(&self, method: &str) {
        self.terms().handlers.remove(method);
    }

    /// Provides a service: from now on its users may link to this node, and its
    /// [handlers](Self::handle) answer them.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NotAllowed`](crate::Reason::NotAllowed) or
    /// [`TooManyServices`](crate::Reason::TooManyServices); [`PeerError::Closed`], [`PeerError::Name`],
    /// [`PeerError::Unsupported`].
    pub async fn provide(&self, service: impl AsRef<str>) -> Result<(), PeerError> {
        self.offer(service.as_ref(), true).await
    }

    /// Stops providing a service. Existing links stay.
    ///
    /// # Errors
    /// As [`provide`](Self::provide).
    pub async fn withdraw(&self, service: impl AsRef<str>) -> Result<(), PeerError> {
        self.offer(service.as_ref(), false).await
    }

    async fn offer(&self, service: &str, on: bool) -> Result<(), PeerError> {
        self.need_native()?;
        let service = PeerName::new(service)?;
        let command = |request| DirectoryCommand::Provide { request, service, on };
        Ok(self.connection.ask(Question::Done, command).await?)
    }

    /// Returns a service with all of its providers. A request goes to the provider with the fewest unanswered
    /// requests. The service looks for further providers at most once a second.
    ///
    /// # Errors
    /// [`PeerError::Name`], [`PeerError::Unsupported`].
    pub fn service(&self, name: impl AsRef<str>) -> Result<Service, PeerError> {
        self.need_native()?;
        Ok(Service::new(self.opener(), PeerName::new(name)?))
    }

    /// Looks up a peer by its id or name. The answer is the hub's claim.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NotAllowed`](crate::Reason::NotAllowed), [`PeerError::OtherPeer`],
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
        self.terms().options.pins.check(&found)?;
        Ok(Some(found))
    }

    /// Returns all peers whose names have this prefix, ordered by name. Peers that come or go meanwhile may
    /// be included or not.
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
        self.need_native()?;
        let command = |request| DirectoryCommand::Look { request, query };
        Ok(self.connection.ask(Question::Look, command).await?)
    }

    /// Watches the peers with names that come and go from now on. 1024 events may wait to be read.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn watch(&self) -> Result<Presence, PeerError> {
        self.need_native()?;
        Ok(Presence::new(self.connection.watch().await?))
    }

    /// Forwards links that arrive at this node and have a further destination
    /// ([`peer_via`](Self::peer_via)) over another connection, if the policy allows it. The policy gets the
    /// peer that the link comes from and the route of the link, and must return at once. Of several
    /// connections the first whose policy agrees is used.
    ///
    /// The node does not inspect the data of such links. Forwarding lasts as long as both nodes.
    pub fn forward(
        &self,
        other: &Node,
        policy: impl Fn(&PeerInfo, &Route) -> bool + Send + Sync + 'static,
    ) {
        self.site.forward(Forward::new(&other.connection, policy));
    }

    /// # Errors
    /// [`PeerError::Unsupported`] if the protocol is not the native one.
    fn need_native(&self) -> Result<(), PeerError> {
        if self.connection.is_native() { Ok(()) } else { Err(PeerError::Unsupported) }
    }
}
