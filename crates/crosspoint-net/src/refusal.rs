//! What a connection is told that does not become a session.

use crate::detect::Spoken;
use crate::resume::record::Record;
use crate::ws::{self, handshake};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_proto as native;

/// A fatal alert of TLS, `handshake_failure`: the word for "not here" that its clients understand.
const TLS_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 40];

/// When a client that finds no room should come back, in seconds.
const RETRY_AFTER_S: u32 = 5;

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
    /// Whether it speaks TLS, which some programs try first each time.
    pub(crate) tls: bool,
}

impl Refusal {
    /// The connection is lost: nobody hears anything.
    pub(crate) const LOST: Self = Self::silent(Reason::ConnectionLost);

    pub(crate) const fn silent(reason: Reason) -> Self {
        Self { reason, fault: None, answer: None, tls: false }
    }

    pub(crate) fn answered(reason: Reason, answer: Bytes) -> Self {
        Self { reason, fault: None, answer: Some(answer), tls: false }
    }

    pub(crate) fn because(self, fault: impl ToString) -> Self {
        Self { fault: Some(fault.to_string()), ..self }
    }

    /// Closes a WebSocket in which no protocol is spoken.
    pub(crate) fn in_websocket(reason: Reason, code: ws::CloseCode, fault: Option<String>) -> Self {
        let answer = close(code, reason, fault.as_deref());
        Self { reason, fault, answer: Some(answer), tls: false }
    }

    /// Nobody here speaks what a connection speaks, inside a WebSocket or not. `first` is what it began
    /// with.
    pub(crate) fn unknown(spoken: Spoken, first: &[u8], websocket: bool) -> Self {
        let fault = match spoken {
            Spoken::Tls => {
                "TLS is not served here; connect without it, or through a proxy".to_owned()
            }
            Spoken::Joint => {
                "programs of peote-net are not served here: they are switched off, or cannot present the credentials that are demanded (peote.enabled)".to_owned()
            }
            Spoken::AnySocket => {
                "programs of AnySocket are not served here (anysocket.enabled)".to_owned()
            }
            Spoken::Resumable => "sessions are not resumed here (resume.enabled)".to_owned(),
            Spoken::Panda3d => "programs of LibPUNS are not served here".to_owned(),
            Spoken::Native | Spoken::Http | Spoken::Unknown => {
                let shown = &first[..first.len().min(SHOWN_BYTES_MAX)];
                format!("no protocol begins with \"{}\"", shown.escape_ascii())
            }
        };
        let reason = Reason::UnknownProtocol;
        if websocket {
            return Self::in_websocket(reason, ws::CloseCode::POLICY, Some(fault));
        }
        let tls = spoken == Spoken::Tls;
        Self { reason, fault: Some(fault), answer: words(spoken, reason), tls }
    }
}

/// A WebSocket close frame that says a reason, and what was wrong.
pub(crate) fn close(code: ws::CloseCode, reason: Reason, fault: Option<&str>) -> Bytes {
    let reason = match fault {
        Some(fault) => format!("{reason}: {fault}"),
        None => reason.to_string(),
    };
    ws::frame::close_frame(Some(&ws::CloseFrame { code, reason }), None)
}

/// The answer to a request for which there is no room.
pub(crate) fn later(reason: Reason) -> Bytes {
    let extra = format!("Retry-After: {RETRY_AFTER_S}\r\n");
    handshake::answer(503, &extra, "text/plain; charset=utf-8", format!("{reason}\n").as_bytes())
}

/// How a protocol says that a connection is not wanted, if it can.
pub(crate) fn words(spoken: Spoken, reason: Reason) -> Option<Bytes> {
    let mut out = FrameWriter::default();
    match spoken {
        Spoken::Native => native::message::put_close(reason, None, &mut out),
        Spoken::Resumable => Record::Refused(reason).put(&mut out),
        Spoken::Tls => return Some(Bytes::from_static(TLS_ALERT)),
        Spoken::Http | Spoken::Joint | Spoken::Panda3d | Spoken::AnySocket | Spoken::Unknown => {
            return None;
        }
    }
    Some(out.take().first)
}
