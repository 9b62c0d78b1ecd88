//! HTTP on the one port: health, metrics, an embedder's routes, files, and who may upgrade.
//!
//! * A request that asks for WebSocket is answered by our own codec ([`crate::ws`]), and goes on as
//!   a session. It may be the first request of a connection or a later one, since proxies keep
//!   connections and upgrade them when they like. [`UpgradeCheck`] may refuse it.
//! * Every other request is answered by an axum router. What is asked, in this order: the bundle of
//!   AnySocket, `/health` and `/metrics` if they are on, [`HttpOptions::routes`],
//!   [`HttpOptions::files`]; then it is 404. Without routes and files for it, `/` is a short text.
//! * Pages of other origins may neither upgrade nor change anything ([`HttpOptions::origins`]).
//! * Connections are kept as HTTP/1.1 says, idle ones for [`HttpOptions::keep_alive`]. A head has at most
//!   20 KiB and 64 headers, and [`HttpOptions::head_time_max`] from its first byte to its last. A client that takes nothing of an answer for `outbox_stall_max` is cut off. When the server stops, a
//!   request that runs is answered first, if it ends in time.
//! * A connection counts in the hub's admission for as long as it lives. A client that ends its own side is
//!   answered. As long as there is no answer it gets interim ones (102). If it refuses one, takes nothing for
//!   `outbox_stall_max`, or the connection is lost, the handler that works for it is dropped.
//! * Handlers find the client's address as [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo);
//!   connections inside the program have none. [`Arrival`] is how the request has come, and says when the server
//!   stops. A handler that panics is answered with 500.

mod arrival;
mod body;
mod connection;
mod files;
mod forwarded;
mod host;
mod io;
mod metrics;
mod origins;
mod pace;
mod parking;
mod process;
mod range;
mod regular_files;
mod site;
mod upgrade;

pub use crate::upgraded::Refusal;
pub use arrival::Arrival;
pub(crate) use connection::{Outcome, Upgraded, serve};
pub use files::{FileOptions, Files, FilesError};
pub use host::Host;
#[cfg(feature = "socketio")]
pub(crate) use io::client_io;
pub use metrics::MetricsToken;
pub use origins::Origin;
pub use parking::Hang;
pub(crate) use site::{Site, counted};
pub use upgrade::{UpgradeCheck, cookies};

pub use axum::http::HeaderValue;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use crosspoint_hub::PeerId;
use std::path::PathBuf;
use std::time::Duration;

/// Path of the browser bundle of AnySocket (docs/anysocket.md, section 12).
pub const BUNDLE_PATH: &str = "/@anysocket";

/// Header with the id of the node that answers (docs/anysocket.md, section 12).
pub const ID_HEADER: &str = "anysocket-id";

/// What is answered to HTTP requests.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `/health` says `ok`, and `/ready` whether a new connection would be served.
    pub health: bool,
    /// `/metrics` gives the hub's metrics, in the text format of Prometheus or as OpenMetrics if `Accept`
    /// prefers that.
    pub metrics: bool,
    /// `/metrics` is there only for those who come by
    /// [`Server::listen_for_metrics`](crate::server::Server::listen_for_metrics).
    pub metrics_apart: bool,
    /// The embedder's routes. `/health` and `/metrics` come first unless they are switched off. If
    /// there are `files` as well, they take the place of the router's own fallback.
    pub routes: Option<Router>,
    /// Directories of files, asked after `routes`; the longest prefix that fits is taken.
    pub files: Vec<Files>,
    /// How the files are served.
    pub file_options: FileOptions,
    /// What `/metrics` has to be asked with, as `Authorization: Bearer`, if anything.
    pub metrics_token: Option<MetricsToken>,
    /// The browser bundle of AnySocket, served at exactly [`BUNDLE_PATH`], whatever the method.
    pub anysocket_bundle: Option<PathBuf>,
    /// The id that each answer carries in [`ID_HEADER`]. The bundle, upgrades and answers to what
    /// is not HTTP have none.
    pub node_id: Option<PeerId>,
    /// Origins, such as `https://game.example`, whose pages may open WebSockets and change something by
    /// requests, besides those served under the same host name; `*` is all, `null` is pages without an
    /// origin. Programs that are no browsers say no origin and are not asked.
    pub origins: Vec<String>,
    /// Names under which pages of the same host name may use the hub even from browsers in its own
    /// network, besides addresses and local names (against DNS rebinding).
    pub hosts: Vec<String>,
    /// Who else may upgrade to WebSocket; `None` is everybody.
    pub upgrade: Option<UpgradeCheck>,
    /// How long the head of a request may take from its first byte to its last, if that is less than
    /// [`Limits::handshake_max`](crosspoint_hub::Limits). Above: the connection is closed.
    pub head_time_max: Duration,
    /// How long a connection may be idle between two requests. Above: it is closed.
    pub keep_alive: Duration,
    /// Largest body of a request in bytes. Above: 413.
    pub body_bytes_max: usize,
    /// How long a handler may have to wait for the body of its request, over all its reads. Above:
    /// reading it fails, and the connection is closed after the answer.
    pub body_time_max: Duration,
}

/// An answer that is a short text.
fn text(status: StatusCode, text: &'static str) -> Response {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    (status, [(CONTENT_TYPE, TEXT)], text).into_response()
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            health: true,
            metrics: true,
            metrics_apart: false,
            routes: None,
            files: Vec::new(),
            file_options: FileOptions::default(),
            metrics_token: None,
            anysocket_bundle: None,
            node_id: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            upgrade: None,
            head_time_max: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            body_bytes_max: 1024 * 1024,
            body_time_max: Duration::from_secs(30),
        }
    }
}
