//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod common;
mod examples;
mod fuzz;
mod heartbeats;
mod peer_fuzz;
mod peer_md;
mod peer_model;
mod peer_rules;
mod proof;
mod protocol_md;
mod roles;
mod secure_attacks;
mod secure_peers_md;
mod secure_speed;
