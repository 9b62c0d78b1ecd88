//! Load generator for realtime hubs: seven workloads, driven over several wire protocols by the
//! same client code, so that what differs between two results is the server.
//!
//! * [`fanout`]: one sender, N receivers; deliveries per second.
//! * [`relay`]: round trips between two clients through the hub; rate and latency.
//! * [`requests`]: one connection asks, the server or another connection answers; rate and latency.
//! * [`stream`]: bytes from one client through the hub to another, slowed by the receiver.
//! * [`stalled`]: streams whose receivers have stopped; the server's memory for each.
//! * [`stall`]: broadcasts at a fixed rate while one member never reads; latency of the others.
//! * [`idle`]: many quiet connections; the server's memory for each.
//!
//! A workload module has a `Plan`, a `Report` and `run(dialect, plan, progress)`. A
//! [`Dialect`] says how a protocol is spoken and to whom: [`Joint`], [`Native`], [`Encrypted`], [`AnySocket`],
//! [`Nats`], [`Redis`], a [`Proxied`] connection, or [`Bare`] sockets without any hub as the upper
//! bound. Not every dialect has every workload: [`BenchError::Unsupported`] says so.
//!
//! The client is made to cost little next to the server, since both usually share a machine:
//! messages are prepared once and written many at a time, one thread reads all receivers through
//! one poll, and where only the amount of data matters it is dropped inside the kernel.

mod anysocket_frame;
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
pub mod stall;
pub mod stalled;
pub mod stream;
pub mod unframe;

pub use dialect::{
    Dialect, anysocket::AnySocket, bare::Bare, encrypted::Encrypted, joint::Joint, native::Native,
    nats::Nats, proxied::Proxied, redis::Redis,
};
pub use error::BenchError;
pub use latency::Latency;
pub use net::raise_file_limit;

/// Called now and then during a run with the finished fraction (0 to 1) and what is being done.
pub type Progress<'a> = dyn FnMut(f64, &str) + 'a;
