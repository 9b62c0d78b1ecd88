//! Data on its way to one receiver or many: encoded once for all who get the same bytes.

use super::Sent;
use crate::outbox::{Outbox, Pushed, Touched};
use crate::wire::{Edge, Encoded, FrameWriter, Part, Place, Wire};
use std::sync::Arc;

fn encode(wire: &'static dyn Wire, place: Place, edge: Edge, parts: &[Part]) -> Encoded {
    const HEADER_BYTES_GUESS: usize = 8;
    let mut writer = FrameWriter::new(wire.prefix());
    let lengths = parts.iter().map(|part| part.data.len());
    let copied = |length: usize| if length > FrameWriter::COPY_BYTES_MAX { 0 } else { length };
    writer.reserve(lengths.map(|length| copied(length) + HEADER_BYTES_GUESS).sum());
    for part in parts {
        wire.encode(place, edge.chunk(), part, &mut writer);
    }
    writer.take()
}

pub(super) fn push_one(
    outbox: &Arc<Outbox>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    touched: &mut Touched,
) -> Sent {
    let data = encode(outbox.wire, place, edge, parts);
    match outbox.push_alone(&data, touched) {
        Pushed::Dead => Sent::To(0),
        Pushed::Accepted => Sent::To(1),
    }
}

/// A batch that goes to many: encoded once for all receivers that get the same bytes.
pub(super) struct Shared<'a> {
    parts: &'a [Part],
    encoded: Vec<(Key, Encoded)>,
    /// Where the last receiver's bytes are: most receivers are alike.
    last: usize,
}

type Key = (u8, Place, Edge);

impl<'a> Shared<'a> {
    pub(super) fn new(parts: &'a [Part]) -> Self {
        Self { parts, encoded: Vec::new(), last: 0 }
    }

    /// Gives 1 if the receiver lives.
    pub(super) fn push(
        &mut self,
        outbox: &Arc<Outbox>,
        place: Place,
        edge: Edge,
        touched: &mut Touched,
    ) -> usize {
        if self.parts.is_empty() {
            return 0;
        }
        let key = (outbox.wire.id(), place, edge);
        if self.encoded.get(self.last).is_none_or(|(known, _)| *known != key) {
            self.last = match self.encoded.iter().position(|(known, _)| *known == key) {
                Some(index) => index,
                None => {
                    self.encoded.push((key, encode(outbox.wire, place, edge, self.parts)));
                    self.encoded.len() - 1
                }
            };
        }
        let data = &self.encoded[self.last].1;
        usize::from(data.is_empty() || outbox.push_shared(data, touched) == Pushed::Accepted)
    }
}
