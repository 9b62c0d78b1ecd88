//! A peer of AnySocket programs: connects to a server made with AnySocket, or to a Crosspoint hub,
//! and does what its JavaScript clients do.
//!
//! * [`Client::builder`] says who one is, and what one answers; it connects and gives the [`Peer`]
//!   at the other end
//! * [`Peer`]: messages, requests, calls, the clock, encryption; the same for the neighbour and for
//!   peers behind it, which come from [`Peer::proxy`] or [`Peer::accept`]
//! * [`Message`] and [`Call`] are what handlers get; [`Arg`] is a JSON value or bytes
//! * [`ConnectError`], [`PeerError`], [`Ended`]: what went wrong, and how a link has ended
//!
//! Messages are handled one after the other for each peer, in the order in which they came; calls
//! run side by side. What waits for its handler is bounded: at the bound nothing more is read until
//! a handler is done.
//!
//! Only `ws://` addresses can be connected to. Unlike the original this client does not try
//! `wss://` first, and a late reply fails its request, not the connection.
//!
//! ```no_run
//! use crosspoint::anysocket::{Arg, Call, Client};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Client::builder()
//!     .auth(json!("open sesame"))
//!     .serve("hello", |call: Call| async move {
//!         let name: String = call.read(0)?;
//!         Ok::<_, crosspoint::anysocket::PeerError>(format!("Hello {name}"))
//!     })
//!     .connect("ws://127.0.0.1:3000/")
//!     .await?;
//!
//! server.send(&json!({"hello": "world"})).await?;
//! let answer = server.request(&json!("how are you?")).await?;
//! let sum = server.call("ns.sum", [1, 2]).await?;
//! let joined = server.call("bytes.join", [Arg::from(vec![1u8]), Arg::from(vec![2u8])]).await?;
//! server.secure().await?;
//! # let _ = (answer, sum, joined);
//! server.close().await;
//! # Ok(()) }
//! ```

mod arg;
mod builder;
mod driver;
mod error;
mod handlers;
mod peer;
mod request;
mod shared;

pub use arg::Arg;
pub use builder::{Client, ClientBuilder};
pub use crosspoint_gateways::anysocket::client::{Ended, Fault, ProxyError};
pub use crosspoint_gateways::anysocket::internal::Offset;
pub use crosspoint_gateways::anysocket::{Id, Json};
pub use error::{CallFailure, ConnectError, PeerError};
pub use handlers::{Call, Message, Reply};
pub use peer::{Fingerprint, Peer, peer_id};
pub use request::{CallRequest, Request};
pub use serde_json::Value;
