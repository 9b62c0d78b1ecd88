//! The session of the connection before, which a server may let a client go on with (connection state recovery of
//! protocol 5).

use crate::socketio::elements::{self, Elements};
use serde::Deserialize;

/// The longest secret and the longest offset that are kept, in bytes.
const BYTES_MAX: usize = 256;

/// By what a server finds the session of a client that comes back, and what the client has not got. What it is given to
/// the server, it may not be shown: who has it can take the session over.
#[derive(Clone, PartialEq, Eq)]
pub struct Before {
    pid: Box<str>,
    /// The last argument of the last event, if that was a text: servers put the offset there.
    offset: Option<Box<str>>,
}

/// What a server says of a session that can be gone on with.
#[derive(Deserialize)]
struct Welcome {
    pid: Option<Box<str>>,
}

impl Before {
    /// As the data of the answer to CONNECT says. `None`: the session cannot be gone on with.
    pub(super) fn of_welcome(data: &str) -> Option<Self> {
        let Welcome { pid } = serde_json::from_str(data).ok()?;
        pid.filter(|pid| pid.len() <= BYTES_MAX).map(|pid| Self { pid, offset: None })
    }

    /// Whether it is the same session.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.pid == other.pid
    }

    /// An event has come, whose elements these are.
    pub(super) fn heard(&mut self, event: &Elements<'_>) {
        let last = event.len().checked_sub(1).and_then(|last| event.text(last));
        if let Some(offset) = last.filter(|offset| offset.len() <= BYTES_MAX) {
            self.offset = Some(offset.into());
        }
    }

    /// What is given to the server, together with this JSON object, whose fields come first.
    pub(super) fn with_auth(&self, auth: Option<&str>) -> String {
        let Self { pid, offset } = self;
        let mut all = format!("{{\"pid\":{}", super::args::quoted(pid));
        if let Some(offset) = offset {
            all.push_str(",\"offset\":");
            all.push_str(&super::args::quoted(offset));
        }
        let fields = auth.and_then(|auth| auth.trim().strip_prefix('{')?.strip_suffix('}'));
        if let Some(fields) = fields.map(|fields| fields.trim_matches(elements::WHITE_SPACE))
            && !fields.is_empty()
        {
            all.push(',');
            all.push_str(fields);
        }
        all.push('}');
        all
    }
}

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Before").field("offset", &self.offset).finish_non_exhaustive()
    }
}
