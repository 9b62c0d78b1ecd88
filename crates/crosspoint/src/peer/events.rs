//! What a peer hears.

use super::Peer;
use super::handlers::{Request, Responder};
use super::link::{Item, Served};
use super::stream::StreamOffer;
use crate::remote::{CALL, MESSAGE, Malicious};
use crosspoint_hub::payload::Payload;

/// What a peer hears, see [`Peer::next`].
#[derive(Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// A message.
    Message(Payload),
    /// A message to a method for which the node has no handler.
    Notification {
        /// The method.
        method: String,
        /// What it says.
        payload: Payload,
    },
    /// A request for which the node has no handler, to be answered with the [`Responder`]. Messages of JavaScript
    /// programs with AnySocket arrive so, with an empty [method](Request::method). Dropping the responder answers
    /// with an error.
    ///
    /// ```
    /// # use crosspoint::{HubOptions, Node, PeerEvent, Server, Shape};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let hub = Server::new(HubOptions::default());
    /// # let ann = Node::builder().name("Ann").connect(hub.inside(Shape::default())).await?;
    /// # let bob = Node::builder().connect(hub.inside(Shape::default())).await?;
    /// # let (mut incoming, to_ann) = (ann.incoming(), bob.peer("Ann").await?);
    /// # tokio::spawn(async move {
    /// let peer = incoming.next().await.expect("somebody links to this node");
    /// while let Some(event) = peer.next().await {
    ///     if let PeerEvent::Request(request, responder) = event {
    ///         assert_eq!(request.payload().data, "ping");
    ///         responder.send(Ok("pong")).await?;
    ///     }
    /// }
    /// # Ok::<_, crosspoint::RequestError>(())
    /// # });
    /// # assert_eq!(to_ann.request("ping").await?.data, "pong");
    /// # Ok(()) })}
    /// ```
    Request(Request, Responder),
    /// The other side offers a stream. Dropping the offer refuses it.
    Stream(StreamOffer),
    /// The other side has registered an object, which can be called now.
    Announced {
        /// Its id.
        object: u8,
    },
    /// The other side has sent a typed call that a well-behaved program would not send. Nothing
    /// came of it.
    Malicious(Malicious),
}

impl Peer {
    /// The event that an item is for the user, if it is one.
    pub(super) fn event(&self, item: Item) -> Option<PeerEvent> {
        let core = &self.handle.core;
        Some(match item {
            Item::Message(payload) => PeerEvent::Message(payload),
            Item::Notification { method, payload } => PeerEvent::Notification { method, payload },
            Item::Request { id, method, payload, until } => PeerEvent::Request(
                Request::new(core, method, payload),
                Responder::new(self.clone(), id, until),
            ),
            Item::Offer { stream, name, metadata } => {
                PeerEvent::Stream(StreamOffer::new(self.clone(), stream, name, metadata))
            }
            Item::Typed { kind: kind @ (MESSAGE | CALL), body } => {
                return core.serve(kind, body).map(|served| match served {
                    Served::Announced(object) => PeerEvent::Announced { object },
                    Served::Malicious(error) => PeerEvent::Malicious(error),
                });
            }
            Item::Typed { kind, .. } => PeerEvent::Malicious(Malicious::Kind { kind }),
            Item::Malicious(what) => PeerEvent::Malicious(what),
        })
    }
}
