//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod common;
mod control;
mod control_commands;
mod control_page;
mod control_top;
mod interop;
mod log;
mod memory;
mod operator;
mod program;
mod systemd;
mod tls;
