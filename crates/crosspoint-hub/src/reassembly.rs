//! Whole messages out of parts (docs/protocol.md, section 6.3).

use crate::reason::Reason;
use crate::wire::{Part, Place};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;

/// Gathers parts until their messages are whole. Memory: at most one message for each place.
#[derive(Debug, Default)]
pub struct Reassembly {
    open: HashMap<Place, Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    kind: u8,
    total: u32,
    bytes: BytesMut,
}

impl Reassembly {
    /// Takes a part. Gives kind and bytes of the message that it completes. The rest of a message
    /// whose beginning went elsewhere is dropped, and so is a beginning whose rest does not come:
    /// in a room of raw mode a sender may go, and another get its number, without a word.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] above `message_bytes_max`, [`Reason::Malformed`] if the part does not
    /// continue what came before it.
    pub fn receive(
        &mut self,
        place: Place,
        part: Part,
        message_bytes_max: u32,
    ) -> Result<Option<(u8, Bytes)>, Reason> {
        if part.total > message_bytes_max {
            return Err(Reason::TooLarge);
        }
        let begun = self.open.remove(&place);
        self.bytes -= begun.as_ref().map_or(0, |begun| begun.bytes.len());
        if part.is_first() && part.is_last() {
            return Ok(Some((part.kind, part.data)));
        }
        let mut open = match begun {
            _ if part.is_first() => {
                Open { kind: part.kind, total: part.total, bytes: BytesMut::new() }
            }
            Some(open) => open,
            None => return Ok(None),
        };
        let expected = (open.kind, open.total, open.bytes.len());
        if expected != (part.kind, part.total, part.offset as usize) {
            return Err(Reason::Malformed);
        }
        open.bytes.extend_from_slice(&part.data);
        if part.is_last() {
            return Ok(Some((open.kind, open.bytes.freeze())));
        }
        self.bytes += open.bytes.len();
        self.open.insert(place, open);
        Ok(None)
    }

    /// Bytes of all messages that have begun.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the message that has begun at a place.
    pub fn begun(&self, place: Place) -> usize {
        self.open.get(&place).map_or(0, |begun| begun.bytes.len())
    }

    /// Forgets what has begun at places that are gone.
    pub fn forget(&mut self, gone: impl Fn(&Place) -> bool) {
        self.open.retain(|place, open| {
            let gone = gone(place);
            self.bytes -= if gone { open.bytes.len() } else { 0 };
            !gone
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JoinedChannelId;

    fn part(total: u32, offset: u32, data: &'static [u8]) -> Part {
        Part { kind: 0, total, offset, data: Bytes::from_static(data) }
    }

    #[test]
    fn parts_become_a_message_and_a_rest_or_beginning_alone_is_dropped() {
        let place = Place::In(JoinedChannelId(0));
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.receive(place, part(4, 2, b"xx"), 9), Ok(None));
        assert_eq!(reassembly.receive(place, part(4, 0, b"ab"), 9), Ok(None));
        assert_eq!(
            reassembly.receive(place, part(4, 2, b"cd"), 9),
            Ok(Some((0, Bytes::from_static(b"abcd"))))
        );
        assert_eq!(reassembly.receive(place, part(10, 0, b"a"), 9), Err(Reason::TooLarge));
        assert_eq!(reassembly.receive(place, part(4, 0, b"ab"), 9), Ok(None));
        assert_eq!(reassembly.receive(place, part(3, 0, b"c"), 9), Ok(None));
        assert_eq!(
            reassembly.receive(place, part(3, 1, b"de"), 9),
            Ok(Some((0, Bytes::from_static(b"cde"))))
        );
        assert_eq!(reassembly.receive(place, part(4, 0, b"ab"), 9), Ok(None));
        assert_eq!(reassembly.bytes(), 2);
        assert_eq!(reassembly.receive(place, part(4, 3, b"d"), 9), Err(Reason::Malformed));
        assert_eq!(reassembly.bytes(), 0);
        let other = Place::In(JoinedChannelId(1));
        assert_eq!(reassembly.receive(place, part(4, 0, b"abc"), 9), Ok(None));
        assert_eq!(reassembly.receive(other, part(4, 0, b"de"), 9), Ok(None));
        reassembly.forget(|gone| *gone == place);
        assert_eq!(reassembly.bytes(), 2);
    }
}
