//! What the client says before it has answered the hub's call for encryption.
//!
//! It is carried out behind the answer. The session waits for nobody else until then, and the answer is read
//! however little room others have.

use super::peer_link::Token;
use crate::anysocket::link::Received;
use crate::anysocket::packet::Forward;
use crate::value::Json;
use bytes::Bytes;
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
    /// The same, without the large read that it came in.
    fn compact(self) -> Self {
        match self {
            Self::Forward(forward) => {
                let inner = Bytes::copy_from_slice(&forward.inner);
                Self::Forward(Forward { inner, ..forward })
            }
            Self::Received(received) => Self::Received(match received {
                Received::Auth(body) => Received::Auth(body.compact()),
                Received::Message { body, ticket } => {
                    Received::Message { body: body.compact(), ticket }
                }
                Received::Internal { body, ticket } => {
                    Received::Internal { body: body.compact(), ticket }
                }
                Received::Reply { token, body } => Received::Reply { token, body: body.compact() },
                encrypted @ Received::Encrypted { .. } => encrypted,
            }),
        }
    }

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
    /// How much of it may be carried out until the answers to what was have left.
    turn: usize,
}

/// How much is carried out in one turn.
const TURN: usize = 64;

impl Deferred {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    pub(super) fn push(&mut self, said: Said) {
        let said = said.compact();
        let waiting = self.0.get_or_insert_default();
        waiting.bytes += said.cost();
        waiting.said.push_back(said);
    }

    /// All that was carried out before has been answered, and the answers have left.
    pub(super) fn begin_turn(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.turn = TURN;
        }
    }

    /// Whether something may be carried out in this turn.
    pub(super) fn has_turn(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.turn > 0)
    }

    /// Takes out what came first.
    pub(super) fn pop(&mut self) -> Option<Said> {
        let waiting = self.0.as_mut()?;
        waiting.turn = waiting.turn.saturating_sub(1);
        let said = waiting.said.pop_front();
        waiting.bytes -= said.as_ref().map_or(0, Said::cost);
        if waiting.said.is_empty() {
            self.0 = None;
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::PeerId;

    #[test]
    fn what_waits_does_not_keep_the_read_that_it_came_in() {
        let read = Bytes::from([&b"[1]"[..], &[b' '; 60_000]].concat());
        let body = || Json::parse(read.clone()).expect("JSON with white space behind it");
        let (to, from) = (PeerId::new([1; 16]), PeerId::new([2; 16]));
        let mut deferred = Deferred::default();
        deferred.push(Said::Received(Received::Internal { body: body(), ticket: None }));
        deferred.push(Said::Received(Received::Message { body: body(), ticket: None }));
        deferred.push(Said::Forward(Forward { to, from, inner: read.slice(..3) }));
        assert!(read.is_unique(), "nothing else has it");
        assert_eq!(deferred.bytes(), 3 * (3 + ENTRY_BYTES));
        assert!(!deferred.has_turn());
        deferred.begin_turn();
        while deferred.has_turn() {
            assert!(deferred.pop().is_some());
        }
        assert_eq!((deferred.bytes(), deferred.is_empty()), (0, true));
    }
}
