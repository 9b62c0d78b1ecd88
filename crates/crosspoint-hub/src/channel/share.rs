//! Data on its way to one receiver or many: encoded once for all who get the same bytes.

use super::Sent;
use crate::outbox::{Outbox, Pushed, Room, Sending, Touched};
use crate::wire::{Edge, Encoded, FrameWriter, Part, Place};
use bytes::Bytes;
use std::sync::Arc;

fn encode(outbox: &Outbox, place: Place, edge: Edge, parts: &[Part]) -> Encoded {
    const HEADER_BYTES_GUESS: usize = 8;
    let mut writer = FrameWriter::new(outbox.profile.prefix);
    let lengths = parts.iter().map(|part| part.data.len());
    let copied = |length: usize| if length > FrameWriter::COPY_BYTES_MAX { 0 } else { length };
    writer.reserve(lengths.map(|length| copied(length) + HEADER_BYTES_GUESS).sum());
    for part in parts {
        outbox.wire.encode(place, edge.chunk(), part, &mut writer);
    }
    writer.take()
}

/// Parts that may wait as they are: small data must not keep alive the large read that it came in.
fn compact(parts: &[Part]) -> Vec<Part> {
    let compact = |part: &Part| match part.data.len() {
        ..=FrameWriter::COPY_BYTES_MAX => {
            Part { data: Bytes::copy_from_slice(&part.data), ..part.clone() }
        }
        _ => part.clone(),
    };
    parts.iter().map(compact).collect()
}

/// To a single receiver, if it has room.
pub(crate) fn send_one(
    outbox: &Arc<Outbox>,
    sending: &mut Sending<'_>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    touched: &mut Touched,
) -> Sent {
    let bytes = parts.iter().map(|part| part.data.len()).sum();
    match outbox.room_for(sending, bytes) {
        Room::None(until) => Sent::Congested(until),
        Room::Free => push_one(outbox, place, edge, parts, touched),
        Room::UpToBound => {
            let sent = push_one(outbox, place, edge, parts, touched);
            outbox.end_above_bound();
            sent
        }
    }
}

fn push_one(
    outbox: &Arc<Outbox>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    touched: &mut Touched,
) -> Sent {
    if outbox.profile.stateful {
        return match outbox.push_data(place, &compact(parts), touched) {
            Pushed::Dead => Sent::To(0),
            Pushed::Accepted => Sent::To(1),
        };
    }
    let data = encode(outbox, place, edge, parts);
    match outbox.push_alone(&data, touched) {
        Pushed::Dead => Sent::To(0),
        Pushed::Accepted => Sent::To(1),
    }
}

/// A batch that goes to many: encoded once for all receivers that get the same bytes.
pub(super) struct Shared<'a> {
    parts: &'a [Part],
    /// The parts for receivers whose own tasks encode, once there is one.
    compact: Option<Vec<Part>>,
    encoded: Vec<(Key, Encoded)>,
    /// Where the last receiver's bytes are: most receivers are alike.
    last: usize,
}

type Key = (u8, Place, Edge);

impl<'a> Shared<'a> {
    pub(super) fn new(parts: &'a [Part]) -> Self {
        Self { parts, compact: None, encoded: Vec::new(), last: 0 }
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
        if outbox.profile.stateful {
            let parts = self.compact.get_or_insert_with(|| compact(self.parts));
            let pushed = outbox.push_shared_data(place, parts, touched);
            return usize::from(pushed == Pushed::Accepted);
        }
        let key = (outbox.profile.id, place, edge);
        if self.encoded.get(self.last).is_none_or(|(known, _)| *known != key) {
            self.last = match self.encoded.iter().position(|(known, _)| *known == key) {
                Some(index) => index,
                None => {
                    self.encoded.push((key, encode(outbox, place, edge, self.parts)));
                    self.encoded.len() - 1
                }
            };
        }
        let data = &self.encoded[self.last].1;
        usize::from(data.is_empty() || outbox.push_shared(data, touched) == Pushed::Accepted)
    }
}
