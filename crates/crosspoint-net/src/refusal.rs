//! What a connection is told that does not become a session.

use crate::ws::{self, handshake};
use bytes::Bytes;
use crosspoint_hub::Reason;

/// A fatal alert of TLS, `handshake_failure`: the word for "not here" that its clients understand.
const TLS_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 40];

/// When a client that finds no room should come back, in seconds.
pub(crate) const RETRY_AFTER_S: &str = "5";

/// The most bytes of a strange beginning that the log shows.
const SHOWN_BYTES_MAX: usize = 32;

/// Why a connection ends before it is a session.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// What it did, or what it would need, for the log.
    pub(crate) fault: Option<String>,
    /// What it is told, if there are words for it.
    pub(crate) answer: Option<Bytes>,
    /// Whether it speaks TLS.
    pub(crate) tls: Option<RefusedTls>,
}

/// How a connection speaks TLS and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedTls {
    /// TLS is served, and failed.
    Broken,
    /// TLS is not served. Some programs try it first each time.
    NotServed,
}

impl Refusal {
    /// The connection is lost: nobody hears anything.
    pub(crate) const LOST: Self = Self::silent(Reason::ConnectionLost);

    pub(crate) const fn silent(reason: Reason) -> Self {
        Self { reason, fault: None, answer: None, tls: None }
    }

    pub(crate) fn answered(reason: Reason, answer: Bytes) -> Self {
        Self { reason, fault: None, answer: Some(answer), tls: None }
    }

    pub(crate) fn because(self, fault: impl ToString) -> Self {
        Self { fault: Some(fault.to_string()), ..self }
    }

    /// Closes a WebSocket in which no protocol is spoken.
    pub(crate) fn in_websocket(reason: Reason, code: ws::CloseCode, fault: Option<String>) -> Self {
        let answer = close(code, reason, fault.as_deref());
        Self { reason, fault, answer: Some(answer), tls: None }
    }

    /// TLS is served, and it failed. Its client was told by its own words.
    pub(crate) fn broken_tls(error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::InvalidData => Reason::Malformed,
            _ => Reason::ConnectionLost,
        };
        let fault = (reason == Reason::Malformed).then(|| error.to_string());
        // Nothing more is to be said, and that has to be read.
        Self { reason, fault, answer: Some(Bytes::new()), tls: Some(RefusedTls::Broken) }
    }

    /// Nothing but TLS is served, because of this setting.
    pub(crate) fn no_tls(setting: &str, is_http: bool) -> Self {
        let fault = format!("only TLS is served here ({setting})");
        let answer = is_http.then(|| {
            let kind = "text/plain; charset=utf-8";
            handshake::answer(426, "Upgrade: TLS/1.3\r\n", kind, format!("{fault}\n").as_bytes())
        });
        Self { reason: Reason::NotAllowed, fault: Some(fault), answer, tls: None }
    }

    /// TLS is not served. The word for that is the one that its clients understand.
    pub(crate) fn tls() -> Self {
        let fault = "TLS is not served here (tls.cert); programs of AnySocket try it first, and then connect without it".to_owned();
        let answer = Some(Bytes::from_static(TLS_ALERT));
        Self {
            reason: Reason::UnknownProtocol,
            fault: Some(fault),
            answer,
            tls: Some(RefusedTls::NotServed),
        }
    }

    /// What the fault is of a connection that begins with what nobody here knows.
    pub(crate) fn unknown(first: &[u8]) -> String {
        let shown = &first[..first.len().min(SHOWN_BYTES_MAX)];
        format!("no protocol begins with \"{}\"", shown.escape_ascii())
    }
}

/// A WebSocket close frame that says a reason, and what was wrong.
pub(crate) fn close(code: ws::CloseCode, reason: Reason, fault: Option<&str>) -> Bytes {
    ws::frame::close_frame(Some(&ws::CloseFrame::because(code, reason, fault)), None)
}

/// The answer to a request for which there is no room.
pub(crate) fn later(reason: Reason) -> Bytes {
    let extra = format!("Retry-After: {RETRY_AFTER_S}\r\n");
    handshake::answer(503, &extra, "text/plain; charset=utf-8", format!("{reason}\n").as_bytes())
}
