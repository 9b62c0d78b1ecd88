//! Crosspoint: channels, rooms and typed calls between programs, over a hub.
//!
//! * [`Node`]: a connection to a hub, made by [`Node::connect`] or [`Node::builder`] from an
//!   [`Address`]; peote-servers are hubs too
//! * [`Owner`] and [`Member`]: the two ends of a channel, from [`Node::create`] with
//!   [`ChannelOptions`] and [`Node::enter`] with [`EnterOptions`]; they give typed events, and
//!   their [`OwnerSender`] and [`MemberSender`] write from other tasks
//! * [`mod@remote`]: calls of traits over a channel
//! * [`Server`]: the hub inside the program, over a network or [without one](Server::inside), with
//!   lag and speed as in a real one
//! * [`ConnectError`], [`ChannelError`], [`Reason`]: what went wrong, and why something ended
//! * [`testing`]: a hub and two nodes for tests
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
//! // Two programs, here in one: the first over TCP, the second without a network.
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
mod channel;
mod commands;
mod error;
mod member;
mod node;
mod options;
mod owner;
mod queue;
pub mod remote;
mod router;
mod server;
mod shared;
pub mod testing;

pub use address::{Address, NoAddress, Protocol};
pub use bytes::Bytes;
pub use crosspoint_hub::command::{Ban, Mode, Peer};
pub use crosspoint_hub::hub::RoomOptions;
pub use crosspoint_hub::{ChannelName, Hub, HubOptions, Limits, MemberNumber, PeerId, Reason};
pub use crosspoint_macros::remote;
pub use crosspoint_net::client::Endpoint;
pub use crosspoint_net::memory::Shape;
pub use crosspoint_net::server::ServerOptions;
pub use error::{ChannelError, ConnectError};
pub use member::{Member, MemberEvent, MemberSender};
pub use node::{Node, NodeBuilder};
pub use options::{ChannelOptions, EnterOptions};
pub use owner::{Applicant, Owner, OwnerEvent, OwnerSender};
pub use server::Server;

/// The code in the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
