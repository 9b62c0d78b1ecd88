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

/// The most peers that a hub may name in answer to one question: it could go on without an end.
const FOUND_MAX: usize = 100_000;

impl Node {
    /// Opens a link to a peer: by its id, or by its unique name.
    ///
    /// Whom a name leads to is the word of the hub, and is shown by [`Peer::id`] before anything is
    /// sent. To be sure of it, [pin](crate::NodeBuilder::pin) the name, or compare the id with one that was
    /// learned elsewhere after [`Peer::secure`].
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
        self.opener().open(first.addressee()?, Some((target, route)), options).await
    }

    /// Opens a link to the program at the other end of the connection, if that
    /// [listens](crate::NodeBuilder::listen) itself and is no plain hub.
    ///
    /// # Errors
    /// [`PeerError::NoNeighbour`], and those of [`peer`](Self::peer).
    pub async fn neighbour(&self) -> Result<Peer, PeerError> {
        let home = self.connection.facts.home().filter(|home| *home != self.peer_id());
        self.peer(home.ok_or(PeerError::NoNeighbour)?).await
    }

    /// The links that others open to this node, over all connections that were
    /// [joined](Self::join). Those from before this call are among them.
    ///
    /// Until it is called, links live for the [handlers](Self::handle) alone: streams are refused,
    /// messages are dropped and [counted](Self::messages_dropped). One takes the links at a time:
    /// a later call ends the earlier one.
    pub fn incoming(&self) -> Incoming {
        Incoming::new(&self.connection, self.site.reception())
    }

    /// Messages that have arrived for nobody, see [`incoming`](Self::incoming).
    pub fn messages_dropped(&self) -> u64 {
        self.terms().pool.dropped()
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
        self.terms().handlers.insert(method.into(), raw(handler));
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
        self.terms().handlers.insert(method.into(), typed(handler));
    }

    /// Offers a service: from now on its users may link to this node, and its
    /// [handlers](Self::handle) answer.
    ///
    /// # Errors
    /// [`PeerError::Refused`] with [`NotAllowed`](crate::Reason::NotAllowed) or
    /// [`TooManyServices`](crate::Reason::TooManyServices); [`PeerError::Closed`], [`PeerError::Name`],
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
        self.need_native()?;
        let service = PeerName::new(service)?;
        let command = |request| DirectoryCommand::Provide { request, service, on };
        Ok(self.connection.ask(Question::Done, command).await?)
    }

    /// A service, with all of its providers. Its requests go to the provider that has the fewest to
    /// answer; further providers are looked for at most once in a second.
    ///
    /// # Errors
    /// [`PeerError::Name`], [`PeerError::Unsupported`].
    pub fn service(&self, name: impl AsRef<str>) -> Result<Service, PeerError> {
        self.need_native()?;
        Ok(Service::new(self.opener(), PeerName::new(name)?))
    }

    /// Looks for a peer by its id or name. What is found is the word of the hub.
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
        self.need_native()?;
        let command = |request| DirectoryCommand::Look { request, query };
        Ok(self.connection.ask(Question::Look, command).await?)
    }

    /// Who with a name comes and goes, from now on. 1024 events may wait to be read.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn watch(&self) -> Result<Presence, PeerError> {
        self.need_native()?;
        Ok(Presence::new(self.connection.watch().await?))
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
        self.site.forward(Forward::new(&other.connection, policy));
    }

    /// # Errors
    /// [`PeerError::Unsupported`] if the protocol is not the native one.
    fn need_native(&self) -> Result<(), PeerError> {
        if self.connection.is_native() { Ok(()) } else { Err(PeerError::Unsupported) }
    }
}
