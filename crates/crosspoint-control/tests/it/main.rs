//! The control center at a real server, asked over HTTP.

#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod access;
mod common;
mod events;
mod lists;
mod openapi;
mod page;
