//! The integration tests of this crate, in one program: it links once.
#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

mod anysocket_bounds;
mod anysocket_interop;
mod bounds;
mod channel_rules;
mod claims;
mod common;
mod concurrency;
mod deflate;
mod engineio;
mod entrance;
mod fuzz;
mod gateways;
mod heartbeats;
mod hostile;
mod http_anysocket;
mod http_connection;
mod http_site;
mod inventory;
mod logs;
mod messages;
mod metrics_md;
mod one_port;
mod origins;
mod outboxes;
mod panics;
mod proxies;
mod resume_absence;
mod resume_conversation;
mod resume_hostile;
mod resume_receipts;
mod resume_world;
mod socketio_recovery;
mod tls;
#[cfg(unix)]
mod unix;
mod vanish;
mod ws_codec;
mod ws_connection;
mod ws_deflate;
mod ws_handshake;
