//! What is answered to an upgrade to WebSocket.

use crate::remote::Remote;
use crate::ws::Deflate;
use crate::ws::handshake::{self, Upgrade};
#[cfg(feature = "http")]
use axum::http::StatusCode;
#[cfg(feature = "http")]
use axum::http::header::CONTENT_TYPE;
#[cfg(feature = "http")]
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use crosspoint_hub::Hub;

/// An upgrade that is accepted.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The answer.
    pub(crate) answer: Bytes,
    /// Where the request comes from.
    pub(crate) remote: Remote,
    /// What is agreed on compression.
    pub(crate) deflate: Option<Deflate>,
}

impl Accepted {
    /// Accepts an upgrade, with compression if the client offers it and the hub wants it.
    pub(crate) fn new(
        hub: &Hub,
        upgrade: &Upgrade,
        protocol: Option<&str>,
        remote: Remote,
    ) -> Self {
        let agreed = upgrade.deflate.zip(hub.limits.compressed_bytes_min);
        let answer = handshake::response(&upgrade.key, protocol, agreed.map(|(answer, _)| answer));
        // The bounds of frames and messages hold for what is inflated.
        let deflate =
            agreed.map(|(_, bytes_min)| Deflate { bytes_min, inflated_bytes_max: u32::MAX });
        Self { answer, remote, deflate }
    }
}

/// What is answered to an upgrade that is refused. The connection is closed after it.
#[cfg(feature = "http")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

#[cfg(feature = "http")]
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(CONTENT_TYPE, self.kind)], self.text).into_response()
    }
}

#[cfg(feature = "http")]
impl Refusal {
    /// A status of 400 or more and a text. Any lower status becomes 403.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self::of_kind(status, "text/plain; charset=utf-8", text)
    }

    /// As [`new`](Self::new), with JSON instead of a text.
    pub fn json(status: StatusCode, json: impl Into<String>) -> Self {
        Self::of_kind(status, "application/json", json)
    }

    fn of_kind(status: StatusCode, kind: &'static str, text: impl Into<String>) -> Self {
        let refuses = status.is_client_error() || status.is_server_error();
        let status = if refuses { status } else { StatusCode::FORBIDDEN };
        Self { status, kind, text: text.into() }
    }

    /// The answer, with these lines among its headers.
    pub(crate) fn answer(&self, extra: &str) -> Bytes {
        handshake::answer(self.status.as_u16(), extra, self.kind, self.text.as_bytes())
    }
}
