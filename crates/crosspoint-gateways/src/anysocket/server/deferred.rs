//! What the client says before it has answered the hub's call for encryption.
//!
//! It is carried out behind the answer. The session waits for nobody else until then, and the answer is read
//! however little room others have.

use super::peer_link::Token;
use crate::anysocket::json::Json;
use crate::anysocket::link::Received;
use crate::anysocket::packet::Forward;
use std::collections::VecDeque;

/// What each of it counts besides its text.
const ENTRY_BYTES: usize = 128;

/// Something that the client has said.
#[derive(Debug)]
pub(super) enum Said {
    /// To the hub.
    Received(Received<Token>),
    /// To a peer.
    Forward(Forward),
}

impl Said {
    fn cost(&self) -> usize {
        let text = |body: &Json| body.as_bytes().len();
        ENTRY_BYTES
            + match self {
                Self::Forward(forward) => forward.inner.len(),
                Self::Received(
                    Received::Auth(body)
                    | Received::Message { body, .. }
                    | Received::Internal { body, .. }
                    | Received::Reply { body, .. },
                ) => text(body),
                Self::Received(Received::Encrypted { .. }) => 0,
            }
    }
}

/// What waits. Nothing is allocated while nothing does.
#[derive(Debug, Default)]
pub(super) struct Deferred(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    said: VecDeque<Said>,
    bytes: usize,
}

impl Deferred {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    pub(super) fn push(&mut self, said: Said) {
        let waiting = self.0.get_or_insert_default();
        waiting.bytes += said.cost();
        waiting.said.push_back(said);
    }

    /// Takes out what came first.
    pub(super) fn pop(&mut self) -> Option<Said> {
        let waiting = self.0.as_mut()?;
        let said = waiting.said.pop_front();
        waiting.bytes -= said.as_ref().map_or(0, Said::cost);
        if waiting.said.is_empty() {
            self.0 = None;
        }
        said
    }
}
