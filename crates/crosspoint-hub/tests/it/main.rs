//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod answers;
mod asks;
mod bounds;
mod claims;
mod common;
mod crowds;
mod entry;
mod inventory;
mod leaving;
mod ledger;
mod links;
mod model_channels;
mod model_links;
mod pauses;
mod presence;
mod secrecy;
mod stateful;
mod succession;
mod threads;
mod unfinished;
mod waiting;
