//! Who may upgrade to WebSocket.

use super::host::settle_host;
use crate::upgraded::Refusal;
use crate::ws::handshake::{HEADERS_MAX, RequestError};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request};
use httparse::{EMPTY_HEADER, Header};
use std::fmt;
use std::sync::Arc;

/// An embedder's say in who may upgrade to WebSocket, from the head of the request: path, headers,
/// cookies, and the client's address as an extension
/// ([`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo)).
#[derive(Clone)]
pub struct UpgradeCheck(Arc<Check>);

type Check = dyn Fn(&Parts) -> Result<(), Refusal> + Send + Sync;

impl UpgradeCheck {
    /// A check. It is called once for each upgrade, in the connection's task, so it must not block.
    pub fn new(check: impl Fn(&Parts) -> Result<(), Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    pub(super) fn check(&self, head: &Parts) -> Result<(), Refusal> {
        (self.0)(head)
    }
}

impl fmt::Debug for UpgradeCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpgradeCheck")
    }
}

/// The cookies of a request, as they were sent: names and values, without any decoding. What is no
/// pair, or not ASCII, is left out.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, _)| !name.is_empty())
}

/// The head of a request that [`handshake::parse_request`] has taken.
pub(super) fn head_of(bytes: &[u8]) -> Result<Parts, RequestError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(bytes)?;
    let mut request = Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default());
    for header in parsed.headers {
        request = request.header(header.name, header.value);
    }
    // What is left to be wrong is the target.
    let request = request.body(()).map_err(|_| RequestError::Malformed(httparse::Error::Token))?;
    let mut head = request.into_parts().0;
    settle_host(&mut head.headers, head.uri.authority());
    Ok(head)
}

/// Headers as the handshake wants them.
pub(super) fn headers_of(headers: &HeaderMap) -> Vec<Header<'_>> {
    let header = |(name, value)| {
        let (name, value): (&axum::http::HeaderName, &HeaderValue) = (name, value);
        Header { name: name.as_str(), value: value.as_bytes() }
    };
    headers.iter().map(header).collect()
}
