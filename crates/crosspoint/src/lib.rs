//! Crosspoint lets programs find and talk to each other, through a hub or directly.
//!
//! A [`Node`] is connected to a hub at an [`Address`] ([`Node::connect`], [`Node::builder`]), or
//! [listens](NodeBuilder::listen) for other nodes. Programs talk over peers or over channels.
//!
//! **Peers** are the two ends of a link. Both ends can do the same, no matter which one opened the link:
//!
//! * [`Node::peer`] opens a link to a [`Peer`] by name or id. [`Node::neighbour`] opens one to the program at
//!   the other end of the connection. [`Node::incoming`] yields the links that others open.
//! * A peer sends messages ([`Peer::send`]), requests ([`Peer::request`], [`Peer::call`]) and [`Stream`]s of
//!   bytes ([`Peer::open`]). Handlers answer requests ([`Node::handle`], [`Node::serve`]).
//! * [`Peer::secure`] encrypts a link end to end between peers that have an [`Identity`].
//! * A [`Service`] is a name with several providers. [`Node::find`], [`Node::peers`] and [`Node::watch`] tell who
//!   is connected.
//! * [`NodeBuilder::resume`] makes connections that reconnect without loss.
//! * [`Node::forward`] and [`Node::peer_via`] pass links on between hubs. [`Node::join`] adds a connection to a
//!   node.
//!
//! **Channels** have one owner and many members:
//!
//! * [`Node::create`] with [`ChannelOptions`] returns an [`Owner`], and [`Node::enter`] with [`EnterOptions`]
//!   returns a [`Member`]. Both yield typed events. [`OwnerSender`] and [`MemberSender`] send from other tasks.
//! * A peote-server is a hub that has channels only.
//!
//! For both:
//!
//! * [`mod@remote`]: calls of trait methods over a channel or a link
//! * [`Server`]: the hub inside a program, over the network or [in memory](Server::inside) with simulated
//!   lag and speed; [`Application`]: the hub application, which answers requests of AnySocket programs to the hub
//! * [`Heartbeat`]: how node and hub detect that the other one is gone; [`Node::ping`] and
//!   [`Node::round_trip`]: the round-trip time between them
//! * [`ConnectError`], [`PeerError`], [`RequestError`], [`ChannelError`], [`PingError`]: the errors;
//!   [`Reason`]: why something ended
//! * [`anysocket`]: a peer of AnySocket programs without a hub
//! * [`socketio`]: what a program that embeds the hub does with clients of Socket.IO; [`socketio::client`]: a client of
//!   Socket.IO servers and hubs
//! * `testing`, a [feature](#features): a hub with two nodes for tests
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `anysocket` | yes | the module [`anysocket`], and the gateway for AnySocket programs; `Server::secure` |
//! | `peote` | yes | connections to peote-servers ([`Protocol::Peote`]), and the gateway for peote-net programs |
//! | `socketio` | yes | the module [`socketio`], and the gateway for Socket.IO programs |
//! | `disk` | no | messages for absent clients of Socket.IO in a file |
//! | `http` | yes | HTTP on the port of the hub: health, metrics, files and your own routes; WebSockets from web pages |
//! | `tls` | yes | TLS: `tls://` and `wss://` addresses, certificates ([`tls`]), and TLS on the port of the hub |
//! | `credentials` | yes | secrets (argon2id) and tokens (JWT) in `crosspoint-auth` |
//! | `control` | no | the module `control`: the control center of an embedded hub, a web page and an API that show it live |
//! | `testing` | no | the module `testing`: a hub with two nodes, for tests |
//!
//! Without `http`, programs can upgrade to WebSocket and web pages cannot, and headers in which proxies name the client
//! are not read (the PROXY protocol is). Without `peote`, connecting to a peote-server fails with
//! [`ConnectError::NotBuiltIn`]. Without `tls`, connecting to an address with TLS fails so too, and the hub
//! refuses clients that begin with TLS and says that in its log. The feature `fuzz` is only for the fuzzers of this crate.
//!
//! # Peers
//!
//! ```
//! use crosspoint::{HubOptions, Node, PeerEvent, Reason, Server};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let hub = Server::new(HubOptions::default());
//! let address = format!("tcp://{}", hub.listen("127.0.0.1:0".parse()?)?);
//!
//! let ann = Node::builder().name("Ann").connect(&address).await?;
//! ann.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
//! let mut incoming = ann.incoming();
//!
//! let bob = Node::builder().name("Bob").connect(&address).await?;
//! let to_ann = bob.peer("Ann").await?;
//! assert_eq!(to_ann.call::<i32>("add", &(20, 22)).await?, 42);
//!
//! // Ann can use the same link.
//! let to_bob = incoming.next().await.ok_or("nobody came")?;
//! to_bob.send("hello").await?;
//! let Some(PeerEvent::Message(hello)) = to_ann.next().await else { panic!() };
//! assert_eq!(hello.data, "hello");
//!
//! // Without a handler, a request is an event, as every message of a JavaScript program with AnySocket is.
//! let ask = async { to_bob.request("ping").await };
//! let answer = async {
//!     let Some(PeerEvent::Request(request, responder)) = to_ann.next().await else { panic!() };
//!     assert_eq!(request.payload().data, "ping");
//!     responder.send(Ok("pong")).await
//! };
//! assert_eq!(tokio::try_join!(ask, answer)?.0.data, "pong");
//!
//! // A stream. A slow reader slows the writer. `open` waits for `accept` without a timeout, so one task that does
//! // both does them at the same time.
//! let bobs = async {
//!     let mut stream = to_ann.open("poem", "").await?;
//!     stream.write_all(b"roses are red").await?;
//!     stream.shutdown().await?;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! };
//! let anns = async {
//!     let Some(PeerEvent::Stream(offer)) = to_bob.next().await else { panic!() };
//!     assert_eq!(offer.name(), "poem");
//!     let mut poem = String::new();
//!     offer.accept().read_to_string(&mut poem).await?;
//!     Ok(poem)
//! };
//! assert_eq!(tokio::try_join!(bobs, anns)?.1, "roses are red");
//!
//! // Dropping the last handle ends the link, and the other end gets a reason.
//! drop(to_ann);
//! assert_eq!(to_bob.closed().await, Reason::Left);
//! # Ok(()) })}
//! ```
//!
//! # Channels
//!
//! ```
//! use crosspoint::{ChannelOptions, EnterOptions, HubOptions, MemberEvent, MemberNumber, Node};
//! use crosspoint::{OwnerEvent, Reason, Server, Shape};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let hub = Server::new(HubOptions::default());
//! let address = hub.listen("127.0.0.1:0".parse()?)?;
//!
//! // Two nodes in one program: the first uses TCP, the second an in-memory connection.
//! let ann = Node::builder().name("Ann").connect(format!("tcp://{address}")).await?;
//! let bob = Node::builder().name("Bob").connect(hub.inside(Shape::default())).await?;
//!
//! let mut owner = ann.create("game", ChannelOptions::new()).await?;
//! let mut member = bob.enter("game", EnterOptions::new()).await?;
//! member.send("hello").await?;
//!
//! let number = MemberNumber(0);
//! let Some(OwnerEvent::Entered { member: entered, peer }) = owner.next().await else { panic!() };
//! assert_eq!((entered, peer.name.as_deref()), (number, Some("Bob")));
//! let data = "hello".into();
//! assert_eq!(owner.next().await, Some(OwnerEvent::Message { member: number, data }));
//!
//! owner.broadcast("welcome", None).await?;
//! owner.delete().await?;
//! let data = "welcome".into();
//! assert_eq!(member.next().await, Some(MemberEvent::Message { from: None, data }));
//! let reason = Reason::ClosedByOwner;
//! assert_eq!(member.next().await, Some(MemberEvent::Ended { reason }));
//! hub.stop().await;
//! # Ok(()) })}
//! ```

mod address;
#[cfg(feature = "anysocket")]
pub mod anysocket;
mod channel;
mod connection;
mod error;
pub mod gateway;
#[cfg(any(feature = "anysocket", feature = "socketio"))]
mod handling;
mod lock;
mod node;
mod options;
mod peer;
mod queue;
pub mod remote;
mod server;
#[cfg(feature = "socketio")]
pub mod socketio;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::{Address, NoAddress, Protocol};
pub use bytes::Bytes;
pub use channel::{Member, MemberSender, Owner, OwnerSender};
pub use connection::{MemberEvent, OwnerEvent, PresenceEvent};
#[cfg(feature = "control")]
pub use crosspoint_control as control;
pub use crosspoint_hub::application::{Application, Reply};
pub use crosspoint_hub::command::{Ban, Mode, Peer as PeerInfo};
pub use crosspoint_hub::hub::RoomOptions;
pub use crosspoint_hub::ids::NotAPeerId;
pub use crosspoint_hub::operators::{ChannelInfo, Participant, Whom};
pub use crosspoint_hub::payload::{Ask, Failure, Format, Payload};
pub use crosspoint_hub::peers::Duplicates;
pub use crosspoint_hub::rules;
pub use crosspoint_hub::{ChannelName, Hub, HubOptions, Limits, MemberNumber, PeerId, Reason};
pub use crosspoint_macros::remote;
pub use crosspoint_net::client::Endpoint;
pub use crosspoint_net::gateways;
pub use crosspoint_net::memory::Shape;
pub use crosspoint_net::resume::{Connectivity, Lost, Receipt, Why};
pub use crosspoint_net::server::ServerOptions;
pub use crosspoint_net::tls;
pub use crosspoint_proto::identity::{Fingerprint, Identity, NotAnIdentity, PublicKey};
pub use crosspoint_proto::peer::secure::{Pin, SecureError};
pub use error::{ChannelError, ConnectError, EncryptError, PingError};
pub use node::{Node, NodeBuilder};
pub use options::{Applicant, ChannelOptions, EnterOptions, Heartbeat};
pub use peer::{
    Asked, BoxFuture, CallBuilder, Clock, CodecError, Counters, Incoming, Peer, PeerError,
    PeerEvent, Presence, Request, RequestBuilder, RequestError, Responder, Route, Service, Stream,
    StreamOffer, StreamReset, Who,
};
pub use server::Server;

/// The code in the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The code in the page about Socket.IO is compiled.
#[cfg(all(doctest, feature = "disk"))]
#[doc = include_str!("../../../docs/socketio.md")]
struct SocketIo;

/// The code in the page about resume is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/resume.md")]
struct Resume;
