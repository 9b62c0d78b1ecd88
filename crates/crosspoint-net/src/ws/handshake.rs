//! The opening handshake (RFC 6455 section 4) and the little HTTP around it.
//!
//! The port that takes WebSocket upgrades also answers plain HTTP, so a request without an upgrade
//! is a result and not an error. What follows a head is never looked at.

use super::extensions;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use httparse::{EMPTY_HEADER, Status};
use sha1::{Digest, Sha1};
use thiserror::Error;

/// Longest request or response head in bytes, including the blank line.
pub const HEAD_BYTES_MAX: usize = 20480;

/// Most headers in a head.
pub const HEADERS_MAX: usize = 64;

/// Longest `Sec-WebSocket-Key` in bytes. Real keys have 24, but nothing depends on that.
pub const KEY_BYTES_MAX: usize = 128;

/// What section 1.3 appends to the key before hashing.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A complete HTTP request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method as sent, such as `GET`.
    pub method: String,
    /// Target as sent, such as `/metrics?all=1`.
    pub target: String,
    /// `Host`. Always there with an upgrade.
    pub host: Option<String>,
    /// `Origin`; sent by browsers.
    pub origin: Option<String>,
    /// The wish to speak WebSocket; `None` is plain HTTP.
    pub upgrade: Option<Upgrade>,
}

/// The parts of a request that ask for WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// `Sec-WebSocket-Key`, 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: String,
    /// Offered subprotocols in order. Entries that are not tokens are left out.
    pub protocols: Vec<String>,
    /// `Sec-WebSocket-Version`: 13, 8, or `None` if there was none.
    pub version: Option<u8>,
    /// What accepts an offer of permessage-deflate, if there is one that this side can meet.
    pub deflate: Option<&'static str>,
}

/// Why a request is refused. [`RequestError::answer`] is what to send before closing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not HTTP/1. The answer also ends the attempt of a client that tries TLS first.
    #[error("request is not HTTP/1: {0}")]
    Malformed(httparse::Error),
    /// The head is longer than [`HEAD_BYTES_MAX`].
    #[error("request head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    /// There are more headers than [`HEADERS_MAX`].
    #[error("request has more than {HEADERS_MAX} headers")]
    TooManyHeaders,
    /// A header that matters is not UTF-8.
    #[error("header {name} is not text")]
    HeaderNotText {
        /// Name of the header.
        name: &'static str,
    },
    /// A header that may be there once is there again.
    #[error("header {name} is repeated")]
    HeaderRepeated {
        /// Name of the header.
        name: &'static str,
    },
    /// An upgrade lacks a header that it needs.
    #[error("WebSocket upgrade without header {name}")]
    HeaderMissing {
        /// Name of the header.
        name: &'static str,
    },
    /// An upgrade with a method other than GET.
    #[error("WebSocket upgrade must be a GET request")]
    NotGet,
    /// An upgrade in HTTP/1.0.
    #[error("WebSocket upgrade needs HTTP/1.1")]
    OldHttp,
    /// An upgrade with a body, whose bytes could not be told from frames.
    #[error("WebSocket upgrade must not have a body")]
    HasBody,
    /// `Upgrade: websocket` while `Connection` does not name `Upgrade`, often the doing of a proxy.
    #[error("header Connection does not contain Upgrade; a proxy must pass it on")]
    ConnectionNotUpgrade,
    /// A key of no sane length.
    #[error("Sec-WebSocket-Key has {len} bytes, expected 1 to {KEY_BYTES_MAX}")]
    KeyLength {
        /// Its length in bytes.
        len: usize,
    },
    /// A WebSocket version other than 13 and 8.
    #[error("WebSocket version {offered:?} is not supported, only 13 and 8")]
    Version {
        /// The header as sent.
        offered: String,
    },
}

impl RequestError {
    /// The HTTP status that fits.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::Version { .. } => 426,
            Self::Malformed(httparse::Error::Version) => 505,
            _ => 400,
        }
    }

    /// The complete HTTP answer. The connection must be closed after it.
    #[must_use]
    pub fn answer(&self) -> Bytes {
        let extra = match self {
            // RFC 6455 section 4.4 and RFC 9110 section 15.5.22.
            Self::Version { .. } => "Upgrade: websocket\r\nSec-WebSocket-Version: 13, 8\r\n",
            _ => "",
        };
        let body = format!("{self}\n");
        answer(self.status(), extra, "text/plain; charset=utf-8", body.as_bytes())
    }
}

impl From<httparse::Error> for RequestError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            other => Self::Malformed(other),
        }
    }
}

/// Reads a request head from the beginning of `bytes`: the request and the length of its head, or
/// `None` if the head is not complete yet. An `Upgrade` header that does not name `websocket` is
/// ignored, as RFC 9110 section 7.8 allows.
///
/// Every call starts at the beginning. A caller that gathers bytes should call it for the first
/// ones, to refuse at once what is not HTTP, and after that only when a line feed is among the new
/// ones: that limits the work a sender of single bytes can cause.
///
/// # Errors
/// When the request, or the upgrade it asks for, cannot be served.
pub fn parse_request(bytes: &[u8]) -> Result<Option<(Request, usize)>, RequestError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let visible = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let Status::Complete(head_len) = parsed.parse(visible)? else {
        return if visible.len() == HEAD_BYTES_MAX {
            Err(RequestError::HeadTooLarge)
        } else {
            Ok(None)
        };
    };
    let method = parsed.method.unwrap_or_default();
    let upgrade = upgrade_of(method, parsed.version == Some(1), parsed.headers)?;
    let headers = Headers(parsed.headers);
    let request = Request {
        method: method.to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        host: headers.one("Host")?.map(str::to_owned),
        origin: headers.one("Origin")?.map(str::to_owned),
        upgrade,
    };
    Ok(Some((request, head_len)))
}

/// The wish to speak WebSocket in a request head that was parsed already, if there is one.
/// `http11` says whether the request is HTTP/1.1.
///
/// # Errors
/// When there is such a wish and it cannot be served.
pub(crate) fn upgrade_of(
    method: &str,
    http11: bool,
    headers: &[httparse::Header<'_>],
) -> Result<Option<Upgrade>, RequestError> {
    let headers = Headers(headers);
    let host = headers.one("Host")?;
    if !headers.lists("Upgrade", "websocket") {
        return Ok(None);
    }
    if method != "GET" {
        return Err(RequestError::NotGet);
    }
    if !http11 {
        return Err(RequestError::OldHttp);
    }
    if host.is_none() {
        return Err(RequestError::HeaderMissing { name: "Host" });
    }
    let lengths = headers.values("Content-Length").any(|length| length != b"0");
    if lengths || headers.values("Transfer-Encoding").next().is_some() {
        return Err(RequestError::HasBody);
    }
    read_upgrade(&headers).map(Some)
}

fn read_upgrade(headers: &Headers<'_, '_>) -> Result<Upgrade, RequestError> {
    if !headers.lists("Connection", "upgrade") {
        return Err(RequestError::ConnectionNotUpgrade);
    }
    let version = match headers.one("Sec-WebSocket-Version")? {
        None => None,
        Some("13") => Some(13),
        Some("8") => Some(8),
        Some(other) => {
            return Err(RequestError::Version { offered: other.to_owned() });
        }
    };
    let name = "Sec-WebSocket-Key";
    let key = headers.one(name)?.ok_or(RequestError::HeaderMissing { name })?;
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(RequestError::KeyLength { len: key.len() });
    }
    let protocols = headers
        .elements("Sec-WebSocket-Protocol")
        .filter(|element| is_token(element))
        .map(|element| String::from_utf8_lossy(element).into_owned())
        .collect();
    let deflate = extensions::answer(headers.values(extensions::HEADER));
    Ok(Upgrade { key: key.to_owned(), protocols, version, deflate })
}

/// The answer that accepts an upgrade.
///
/// `key` is [`Upgrade::key`] and `protocol` one of [`Upgrade::protocols`]. A `protocol` that is not
/// a token is left out, because it could not be written without breaking the head. `deflate` is
/// [`Upgrade::deflate`], if the offer is accepted.
#[must_use]
pub fn response(key: &str, protocol: Option<&str>, deflate: Option<&'static str>) -> Bytes {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        accept_of(key)
    );
    if let Some(protocol) = protocol.filter(|protocol| is_token(protocol.as_bytes())) {
        head.push_str("Sec-WebSocket-Protocol: ");
        head.push_str(protocol);
        head.push_str("\r\n");
    }
    if let Some(deflate) = deflate {
        head.push_str(extensions::HEADER);
        head.push_str(": ");
        head.push_str(deflate);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    Bytes::from(head)
}

/// A complete HTTP answer with `Content-Length` and `Connection: close`; the connection must be
/// closed after it. `status` is a three-digit HTTP status. `extra` are more header lines, each with
/// its line end.
pub(crate) fn answer(status: u16, extra: &str, content_type: &str, body: &[u8]) -> Bytes {
    let mut bytes = format!(
        "HTTP/1.1 {status:03} {}\r\n\
         {extra}Content-Type: {content_type}\r\n\
         Content-Length: {}\r\n\
         Connection: {}close\r\n\r\n",
        phrase_of(status),
        body.len(),
        if status == 426 { "Upgrade, " } else { "" },
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Bytes::from(bytes)
}

const fn phrase_of(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // The phrase may be empty (RFC 9112 section 4).
        _ => "",
    }
}

/// Why this side, as a client, could not upgrade a connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpgradeError {
    /// A part that cannot stand in a request.
    #[error("{what} {value:?} cannot be sent in a request")]
    Unsendable {
        /// `host`, `path` or `key`.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes for the WebSocket key: {0}")]
    Random(#[from] getrandom::Error),
    /// The answer is not HTTP/1.
    #[error("server's answer is not HTTP/1: {0}")]
    Malformed(#[from] httparse::Error),
    /// The head of the answer is longer than [`HEAD_BYTES_MAX`].
    #[error("head of the server's answer is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    /// The server answered with a status other than 101.
    #[error("server answered with HTTP status {status} instead of upgrading{}", remedy(*status))]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// A status 101 that does not complete the handshake.
    #[error("server's answer to the upgrade has a missing or wrong {name} header")]
    WrongHeader {
        /// Name of the header.
        name: &'static str,
    },
    /// The server chose an extension, parameters or a subprotocol that were not offered.
    #[error("server's answer has a {name} header with what was not offered")]
    NotOffered {
        /// Name of the header.
        name: &'static str,
    },
}

/// What to do about a status, if that is known.
fn remedy(status: u16) -> &'static str {
    match status {
        426 => "; it takes connections with TLS only: use wss://",
        _ => "",
    }
}

/// A fresh `Sec-WebSocket-Key`: 16 random bytes in base64.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn new_key() -> Result<String, UpgradeError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(STANDARD.encode(nonce))
}

/// The upgrade request of a client, which offers permessage-deflate if `deflate` is true. `host` is host and, unless
/// it is the default, port; `path` is an absolute path with an optional query; `key` comes from [`new_key`].
///
/// # Errors
/// When `host`, `path` or `key` has characters that cannot stand in a request head.
pub fn client_request(
    host: &str,
    path: &str,
    key: &str,
    deflate: bool,
) -> Result<Bytes, UpgradeError> {
    let graphic = |value: &str| !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
    let checks = [
        ("host", host, graphic(host) && !host.contains(['/', '?', '#', '@'])),
        ("path", path, graphic(path) && path.starts_with('/') && !path.contains('#')),
        ("key", key, graphic(key) && key.len() <= KEY_BYTES_MAX),
    ];
    for (what, value, sendable) in checks {
        if !sendable {
            let value = value.to_owned();
            return Err(UpgradeError::Unsendable { what, value });
        }
    }
    let (name, offer) = (extensions::HEADER, extensions::AGREED);
    let offer = if deflate { format!("{name}: {offer}\r\n") } else { String::new() };
    Ok(Bytes::from(format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {host}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\n{offer}\r\n"
    )))
}

/// What a server has answered to [`client_request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The length of the head in bytes, after which frames follow.
    pub head_len: usize,
    /// Whether the server has accepted permessage-deflate.
    pub deflate: bool,
}

/// Checks the answer to [`client_request`] at the beginning of `bytes` (section 4.1), where permessage-deflate was
/// `offered` or not. `None` if it is not complete yet.
///
/// # Errors
/// When the server refuses, or its answer does not prove that it understood the upgrade.
pub fn parse_response(
    bytes: &[u8],
    key: &str,
    offered: bool,
) -> Result<Option<Accepted>, UpgradeError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let visible = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let Status::Complete(head_len) = parsed.parse(visible)? else {
        return if visible.len() == HEAD_BYTES_MAX {
            Err(UpgradeError::HeadTooLarge)
        } else {
            Ok(None)
        };
    };
    let status = parsed.code.unwrap_or_default();
    if status != 101 {
        return Err(UpgradeError::Refused { status });
    }
    let headers = Headers(parsed.headers);
    let accept = accept_of(key);
    let mut accepts = headers.values("Sec-WebSocket-Accept");
    let accepted = accepts.next() == Some(accept.as_bytes()) && accepts.next().is_none();
    for (name, right) in [
        ("Upgrade", headers.lists("Upgrade", "websocket")),
        ("Connection", headers.lists("Connection", "upgrade")),
        ("Sec-WebSocket-Accept", accepted),
    ] {
        if !right {
            return Err(UpgradeError::WrongHeader { name });
        }
    }
    let name = extensions::HEADER;
    let deflate = headers.values(name).next().is_some();
    if deflate && !(offered && extensions::is_accepted(headers.values(name))) {
        return Err(UpgradeError::NotOffered { name });
    }
    let name = "Sec-WebSocket-Protocol";
    if headers.values(name).next().is_some() {
        return Err(UpgradeError::NotOffered { name });
    }
    Ok(Some(Accepted { head_len, deflate }))
}

/// `Sec-WebSocket-Accept` for a key (section 1.3).
fn accept_of(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize();
    STANDARD.encode(hash)
}

/// Whether `value` is a token (RFC 9110 section 5.6.2), so that it can stand in a header.
fn is_token(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// The headers of a head; names are compared without regard to case.
struct Headers<'a, 'h>(&'a [httparse::Header<'h>]);

impl<'h> Headers<'_, 'h> {
    /// All values of a header.
    fn values(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }

    /// All elements of a header whose value is a comma-separated list.
    fn elements(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.values(name).flat_map(|value| value.split(|&b| b == b',')).map(<[u8]>::trim_ascii)
    }

    /// Whether a list header has that element, without regard to case.
    fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// The value of a header that may be there once.
    fn one(&self, name: &'static str) -> Result<Option<&'h str>, RequestError> {
        let mut values = self.values(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(RequestError::HeaderRepeated { name });
        }
        str::from_utf8(value).map(Some).map_err(|_| RequestError::HeaderNotText { name })
    }
}
