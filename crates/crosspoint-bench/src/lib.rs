//! A load generator for realtime hubs. It runs seven workloads over several wire protocols with the
//! same client code, so two results differ only by the server.
//!
//! * [`fanout`]: one sender, N receivers; deliveries per second.
//! * [`relay`]: round trips between two clients through the hub; rate and latency.
//! * [`requests`]: one connection asks, the server or another connection answers; rate and latency. Or many such.
//! * [`stream`]: bytes from one client through the hub to another, slowed by the receiver.
//! * [`stalled`]: streams whose receivers have stopped; server memory per stream.
//! * [`stall`]: broadcasts at a fixed rate while one member never reads; latency of the others.
//! * [`idle`]: many quiet connections; server memory per connection.
//!
//! Each workload module has a `Plan`, a `Report` and `run(dialect, plan, progress)`. A [`Dialect`]
//! implements a protocol for the workloads: [`Joint`], [`Native`], [`Encrypted`], [`AnySocket`], [`SocketIo`],
//! [`Nats`], [`Redis`], a [`Proxied`] connection, or [`Bare`] sockets without a hub as the upper bound. A dialect
//! that has no form for a workload returns [`BenchError::Unsupported`].
//!
//! A [`Transport`] says where the server is and whether TLS is spoken. Inside TLS the load generator decrypts
//! all that arrives.
//!
//! The client is cheap compared to the server, because both usually share a machine. It prepares
//! messages once and writes many at a time. One thread reads all receivers with one poll. Where only
//! the amount of data matters, and it is not inside TLS, the kernel drops the data.

mod anysocket_frame;
mod connection;
pub mod dialect;
mod error;
pub mod fanout;
mod head;
pub mod idle;
mod in_flight;
mod latency;
mod net;
mod receivers;
pub mod relay;
pub mod requests;
mod schedule;
mod socketio_frame;
pub mod stall;
pub mod stalled;
pub mod stream;
mod tls;
mod transport;
pub mod unframe;
mod websocket;

pub use connection::Connection;
pub use dialect::{
    Dialect, anysocket::AnySocket, bare::Bare, encrypted::Encrypted, joint::Joint, native::Native,
    nats::Nats, proxied::Proxied, redis::Redis, socketio::SocketIo,
};
pub use error::BenchError;
pub use latency::Latency;
pub use net::raise_file_limit;
pub use transport::Transport;

/// Called now and then during a run with the finished fraction (0 to 1) and what is being done.
pub type Progress<'a> = dyn FnMut(f64, &str) + 'a;
