//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod anysocket;
mod hub;
mod node;
mod socketio;
mod tls;
mod workloads;
