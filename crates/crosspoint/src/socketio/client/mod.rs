//! A client of Socket.IO: takes part where `socket.io-client` does, at a server made with node or at a Crosspoint hub, and
//! speaks the words of the plugin `socket.io-p2p-plugin` in both of its generations.
//!
//! * [`Client::builder`] says who one is, and what one handles; it connects and gives the [`Socket`]
//! * [`Socket`]: events to the server, to other clients and in rooms, with acknowledgement or without; services, targets,
//!   pairs and streams
//! * [`Event`], [`Notice`] and [`Stream`] are what handlers get; [`Args`] is what events say
//! * [`ConnectError`], [`SocketError`], [`Ended`]: what went wrong, and how a connection has ended
//!
//! Events without acknowledgement are handled one after the other, in the order in which they came; those that want one
//! run side by side. What waits for its handler is bounded: at the bound nothing more is read until a handler is done.
//!
//! ```
//! use crosspoint::socketio::client::{Client, Event, SocketError};
//! use crosspoint::{HubOptions, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // A hub, or any server made with socket.io and the plugin.
//! let hub = Server::new(HubOptions::default());
//! let url = format!("http://{}", hub.listen("127.0.0.1:0".parse()?)?);
//!
//! let ann = Client::builder()
//!     .client_id("ann")
//!     .on("sum", |event: Event| async move {
//!         let (a, b): (i32, i32) = event.read()?;
//!         event.ack(&(a + b)).await
//!     })
//!     .connect(&url)
//!     .await?;
//!
//! let bob = Client::builder().client_id("bob").connect(&url).await?;
//! let sum: i32 = bob.emit_to_with_ack("ann", "sum", &(20, 22)).await?.value()?;
//! assert_eq!(sum, 42);
//! bob.close().await;
//! ann.close().await;
//! hub.stop().await;
//! # Ok(()) })}
//! ```
//!
//! A stream, which reads and writes as a TCP connection does:
//!
//! ```
//! # use crosspoint::{HubOptions, Server};
//! use crosspoint::socketio::client::{Client, Stream, StreamOptions};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let hub = Server::new(HubOptions::default());
//! # let url = format!("http://{}", hub.listen("127.0.0.1:0".parse()?)?);
//! let ann = Client::builder()
//!     .client_id("ann")
//!     .on_stream_in("shout", |mut stream: Stream| async move {
//!         let mut text = String::new();
//!         stream.read_to_string(&mut text).await?;
//!         stream.write_all(text.to_uppercase().as_bytes()).await?;
//!         stream.shutdown().await
//!     })
//!     .connect(&url)
//!     .await?;
//!
//! let bob = Client::builder().client_id("bob").connect(&url).await?;
//! let options = StreamOptions::new().channel("shout");
//! let mut stream = bob.open_stream_with("ann", options).await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "HELLO");
//! # drop(stream);
//! # ann.close().await;
//! # hub.stop().await;
//! # Ok(()) })}
//! ```

mod address;
mod builder;
mod driver;
mod error;
mod handlers;
mod notice;
mod registry;
mod services;
mod shared;
mod socket;
mod stream;
mod turns;

pub use address::Address;
pub use builder::{Client, ClientBuilder};
pub use crosspoint_gateways::engineio::Revision;
pub use crosspoint_gateways::socketio::client::{
    Backoff, Ended, Fault, Generation, SendError, StreamEnd,
};
pub use crosspoint_net::engineio::client::Transports;
pub use error::{ConnectError, SocketError};
pub use handlers::{Event, Outcome};
pub use notice::Notice;
pub use shared::Status;
pub use socket::Socket;
pub use stream::{Stream, StreamOptions};

pub use super::args::{Args, ArgsError, Binary, ToArgs};

use crosspoint_gateways::socketio::client::Config;
