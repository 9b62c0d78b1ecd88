//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod anysocket_common;
mod anysocket_hub;
mod anysocket_proxy;
mod anysocket_scripted;
mod anysocket_server;
mod channels;
mod client_certificates;
mod common;
mod dishonest;
mod examples;
mod fuzz;
mod heartbeats;
mod held;
mod lag;
mod peer_calls;
mod peer_direct;
mod peer_forward;
mod peer_security;
mod peer_services;
mod peer_streams;
mod peer_threads;
mod peers;
mod peote;
mod relayed_proof;
mod remote;
mod remote_channels;
mod remote_haxe;
mod resume;
mod socketio_application;
mod socketio_common;
mod socketio_mail;
mod socketio_transcripts;
mod succession;
mod transports;
