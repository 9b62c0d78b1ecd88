//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod anysocket_client_rules;
mod anysocket_client_transcripts;
mod anysocket_common;
mod anysocket_link;
mod anysocket_server_holds;
mod anysocket_server_peers;
mod anysocket_server_rooms;
mod anysocket_server_secure;
mod anysocket_server_strangers;
mod anysocket_server_transcripts;
mod anysocket_switch;
mod anysocket_transcripts;
mod common;
mod fuzz;
mod mixed_channels;
mod peote_chunks_and_calls;
mod peote_mirror;
mod peote_transcripts;
mod sizes;
mod socketio_client_rules;
mod socketio_client_transcripts;
mod socketio_common;
mod socketio_peers;
mod socketio_recorded;
mod socketio_server;
mod socketio_topics;
mod socketio_transcripts;
