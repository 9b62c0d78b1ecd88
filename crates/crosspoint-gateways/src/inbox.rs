//! Messages of a WebSocket out of the pieces in which they come.

use bytes::{Bytes, BytesMut};
use crosspoint_hub::Reason;
use std::collections::VecDeque;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Whether it was sent as text, where the protocol has been told
    /// ([`Protocol::message_begins`](crosspoint_hub::Protocol::message_begins)).
    pub(crate) is_text: bool,
    pub(crate) bytes: Bytes,
}

/// Whole messages, and the one that is coming.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    whole: VecDeque<Message>,
    coming: Coming,
    /// Whether the one that is coming is text.
    is_text: bool,
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
    /// A message begins.
    pub(crate) fn begin(&mut self, is_text: bool) {
        self.is_text = is_text;
    }

    /// Takes a piece of a message of at most `bytes_max`.
    pub(crate) fn receive(&mut self, piece: Bytes, bytes_max: usize) {
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
    pub(crate) fn bytes(&self) -> usize {
        let whole: usize = self.whole.iter().map(|message| message.bytes.len()).sum();
        let coming = match &self.coming {
            Coming::Several(pieces) => pieces.capacity(),
            one => one.len(),
        };
        whole + self.whole.capacity() * size_of::<Message>() + coming
    }

    /// The number of the message of which some pieces are here and some have not come.
    pub(crate) fn midway(&self) -> Option<u64> {
        (self.coming.len() > 0).then_some(self.ended)
    }

    /// The message has come whole.
    pub(crate) fn end(&mut self) {
        self.ended += 1;
        if !self.too_large {
            // It would begin with room for four, and few messages wait for others.
            if self.whole.capacity() == 0 {
                self.whole.reserve_exact(1);
            }
            let bytes = match std::mem::take(&mut self.coming) {
                Coming::Nothing => Bytes::new(),
                Coming::One(piece) => piece,
                Coming::Several(pieces) => pieces.freeze(),
            };
            self.whole.push_back(Message { is_text: self.is_text, bytes });
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] where the messages that may be looked at end.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, Reason> {
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
            inbox.begin(!message.is_empty());
            message.iter().for_each(|piece| inbox.receive((*piece).into(), 5));
            inbox.end();
        }
        inbox.receive("1234".into(), 5);
        for message in ["abcde", "", "12345", "one"] {
            let next = inbox.next().unwrap().unwrap();
            assert_eq!((next.is_text, &next.bytes[..]), (!message.is_empty(), message.as_bytes()));
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
