//! Messages of the WebSocket out of the pieces in which they come.

use bytes::{Bytes, BytesMut};
use crosspoint_hub::Reason;
use std::collections::VecDeque;

/// Whole messages, and the one that is coming.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    whole: VecDeque<Bytes>,
    coming: Coming,
    /// How many have come whole.
    ended: u64,
    /// More has come than a message may have.
    too_large: bool,
}

#[derive(Debug, Default)]
enum Coming {
    #[default]
    Nothing,
    /// Most messages come in one piece, which need not be copied.
    One(Bytes),
    Several(BytesMut),
}

impl Coming {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::Several(pieces) => pieces.len(),
        }
    }
}

impl Inbox {
    /// Takes a piece of a message of at most `bytes_max`.
    pub(super) fn receive(&mut self, piece: Bytes, bytes_max: usize) {
        if piece.len() > bytes_max - self.coming.len().min(bytes_max) {
            self.too_large = true;
            self.coming = Coming::Nothing;
        }
        if self.too_large {
            return;
        }
        self.coming = match std::mem::take(&mut self.coming) {
            Coming::Nothing => Coming::One(piece),
            Coming::One(first) => {
                let mut pieces = BytesMut::with_capacity(2 * (first.len() + piece.len()));
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&piece);
                Coming::Several(pieces)
            }
            Coming::Several(mut pieces) => {
                pieces.extend_from_slice(&piece);
                Coming::Several(pieces)
            }
        };
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        let whole: usize = self.whole.iter().map(Bytes::len).sum();
        let coming = match &self.coming {
            Coming::Several(pieces) => pieces.capacity(),
            one => one.len(),
        };
        whole + self.whole.capacity() * size_of::<Bytes>() + coming
    }

    /// The number of the message of which some pieces are here and some have not come.
    pub(super) fn midway(&self) -> Option<u64> {
        (self.coming.len() > 0).then_some(self.ended)
    }

    /// The message has come whole.
    pub(super) fn end(&mut self) {
        self.ended += 1;
        if !self.too_large {
            // It would begin with room for four, and few messages wait for others.
            if self.whole.capacity() == 0 {
                self.whole.reserve_exact(1);
            }
            self.whole.push_back(match std::mem::take(&mut self.coming) {
                Coming::Nothing => Bytes::new(),
                Coming::One(piece) => piece,
                Coming::Several(pieces) => pieces.freeze(),
            });
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] where the messages that may be looked at end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Reason> {
        let next = self.whole.pop_front();
        if self.whole.is_empty() && self.whole.capacity() > 64 {
            self.whole = VecDeque::new();
        }
        match next {
            None if self.too_large => Err(Reason::TooLarge),
            next => Ok(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_messages_up_to_the_largest() {
        let mut inbox = Inbox::default();
        for message in [&["ab", "", "cde"][..], &[], &["", "12345"], &["one"]] {
            message.iter().for_each(|piece| inbox.receive((*piece).into(), 5));
            inbox.end();
        }
        inbox.receive("1234".into(), 5);
        for message in ["abcde", "", "12345", "one"] {
            assert_eq!(inbox.next(), Ok(Some(message.into())));
        }
        assert_eq!(inbox.next(), Ok(None));
        inbox.receive("56".into(), 5);
        assert_eq!(inbox.next(), Err(Reason::TooLarge));
        inbox.end();
        inbox.receive("small".into(), 5);
        inbox.end();
        assert_eq!(inbox.next(), Err(Reason::TooLarge));
    }
}
