//! Load generator for realtime hubs: four workloads, driven over several wire protocols by the
//! same client code, so that what differs between two results is the server.
//!
//! * [`fanout`]: one sender, N receivers; deliveries per second.
//! * [`relay`]: round trips between two clients through the hub; rate and latency.
//! * [`stall`]: broadcasts at a fixed rate while one member never reads; latency of the others.
//! * [`idle`]: many quiet connections; the server's memory for each.
//!
//! A workload module has a `Plan`, a `Report` and `run(dialect, plan, progress)`. A
//! [`Dialect`] says how a protocol is spoken and to whom: [`Joint`], [`Native`], [`Nats`],
//! [`Redis`], or [`Bare`] sockets without any hub as the upper bound.
//!
//! The client is made to cost little next to the server, since both usually share a machine:
//! messages are prepared once and written many at a time, one thread reads all receivers through
//! one poll, and where only the amount of data matters it is dropped inside the kernel.

pub mod dialect;
mod error;
pub mod fanout;
pub mod idle;
mod latency;
mod net;
mod receivers;
pub mod relay;
pub mod stall;
pub mod unframe;

pub use dialect::{Dialect, bare::Bare, joint::Joint, native::Native, nats::Nats, redis::Redis};
pub use error::BenchError;
pub use latency::Latency;
pub use net::raise_file_limit;

/// Called now and then during a run with the finished fraction (0 to 1) and what is being done.
pub type Progress<'a> = dyn FnMut(f64, &str) + 'a;
