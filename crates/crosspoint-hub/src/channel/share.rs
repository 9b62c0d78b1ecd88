//! Data on its way to one receiver or many: encoded once for all who get the same bytes.

use super::Sent;
use crate::gathering::Gathering;
use crate::ledger::{Account, Common};
use crate::outbox::{Outbox, Pushed, Room, Sending, SharedParts, Touched};
use crate::segment::{Logged, Tails};
use crate::wire::{Edge, Encoded, FrameWriter, Part, Place};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Small data is copied in any case.
fn is_small(part: &Part) -> bool {
    part.data.len() <= FrameWriter::COPY_BYTES_MAX
}

/// Whether large data must not keep alive the read that it came in. Only data that is large asks for it:
/// all sessions change what the answer depends on.
fn is_tight(payer: &Account, parts: &[Part]) -> bool {
    !parts.iter().all(is_small) && payer.is_tight()
}

fn encode(outbox: &Outbox, place: Place, edge: Edge, parts: &[Part], payer: &Account) -> Encoded {
    const HEADER_BYTES_GUESS: usize = 8;
    let tight = is_tight(payer, parts);
    let mut writer = FrameWriter::new(outbox.profile.prefix).copying(tight);
    let lengths = parts.iter().map(|part| part.data.len());
    let copied = |length: usize| if length > FrameWriter::COPY_BYTES_MAX { 0 } else { length };
    writer.reserve(lengths.map(|length| copied(length) + HEADER_BYTES_GUESS).sum());
    for part in parts {
        outbox.wire.encode(place, edge.chunk(), part, &mut writer);
    }
    writer.take()
}

/// Parts that may wait as they are: small data must not keep alive the large read that it came in.
/// It is copied next to each other, as its receiver takes it together.
fn compact(parts: &[Part], payer: &Account) -> Vec<Part> {
    let tight = is_tight(payer, parts);
    let small = parts.iter().filter(|part| is_small(part)).map(|part| part.data.len()).sum();
    let mut copied = BytesMut::with_capacity(small);
    let compact = |part: &Part| {
        if !is_small(part) {
            return match tight {
                true => Part { data: Bytes::copy_from_slice(&part.data), ..part.clone() },
                false => part.clone(),
            };
        }
        copied.extend_from_slice(&part.data);
        Part { data: copied.split().freeze(), ..part.clone() }
    };
    parts.iter().map(compact).collect()
}

/// To a single receiver, if it has room. If that has to have messages whole, `gathering` takes the
/// parts; receivers that own channels need none.
pub(crate) fn send_one(
    outbox: &Arc<Outbox>,
    sending: &mut Sending<'_>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    gathering: Option<&mut Gathering>,
    touched: &mut Touched,
) -> Sent {
    let bytes = parts.iter().map(|part| part.data.len()).sum();
    // Asked first: what has to wait comes again, and must not be gathered twice.
    let room = outbox.room_for(sending, bytes);
    if let Room::None(until) = room {
        return Sent::Congested(until);
    }
    let sent = match gathering.filter(|_| outbox.profile.whole) {
        None => push_one(outbox, place, edge, parts, touched),
        Some(gathering) => match gathering.receive(sending.outbox.account(), parts) {
            Ok(whole) => push_one(outbox, place, edge, &whole, touched),
            Err(refused) => return refused.into(),
        },
    };
    if room == Room::UpToBound {
        outbox.end_above_bound();
    }
    sent
}

fn push_one(
    outbox: &Arc<Outbox>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    touched: &mut Touched,
) -> Sent {
    let payer = outbox.account();
    if outbox.profile.stateful {
        return match outbox.push_data(place, compact(parts, payer), touched) {
            Pushed::Dead => Sent::To(0),
            Pushed::Accepted => Sent::To(1),
        };
    }
    let data = encode(outbox, place, edge, parts, payer);
    match outbox.push_alone(&data, touched) {
        Pushed::Dead => Sent::To(0),
        Pushed::Accepted => Sent::To(1),
    }
}

/// A batch that goes to many: encoded once for all receivers that get the same bytes.
pub(super) struct Shared<'a> {
    common: &'a Common,
    parts: &'a [Part],
    /// The parts for receivers whose own tasks encode, once there is one, and as many of them share them.
    compact: Option<Vec<Part>>,
    for_many: Option<Arc<SharedParts>>,
    encoded: Vec<Kind>,
    /// Where the last receiver's bytes are: most receivers are alike.
    last: usize,
}

/// Receivers that get the same bytes.
pub(super) type Key = (u8, Place, Edge);

struct Kind {
    key: Key,
    data: Encoded,
    /// The data in the channel's log, once somebody who lags needs it.
    logged: Option<Logged>,
}

/// Adds small data to the channel's log, where those who lag share it. In a room each sender makes a kind of
/// receivers of its own, for which that is not worth its while.
fn log(common: &Common, tails: &mut Tails<Key>, key: Key, data: &Encoded) -> Option<Logged> {
    let small = data.rest.is_empty() && !Common::is_charged(&data.first);
    let goes = small && matches!(key.1, Place::In(_));
    goes.then(|| tails.add(common, key, &data.first)).flatten()
}

impl<'a> Shared<'a> {
    /// What waits for the receivers is charged to `common`.
    pub(super) fn new(common: &'a Common, parts: &'a [Part]) -> Self {
        Self { common, parts, compact: None, for_many: None, encoded: Vec::new(), last: 0 }
    }

    /// Gives 1 if the receiver lives.
    pub(super) fn push(
        &mut self,
        outbox: &Arc<Outbox>,
        place: Place,
        edge: Edge,
        tails: &mut Tails<Key>,
        touched: &mut Touched,
    ) -> usize {
        if self.parts.is_empty() {
            return 0;
        }
        if outbox.profile.stateful {
            let Self { common, compact: parts, for_many, .. } = self;
            let parts = parts.get_or_insert_with(|| compact(self.parts, common.payer()));
            let shared = || for_many.get_or_insert_with(|| SharedParts::new(common, parts)).clone();
            let pushed = outbox.push_shared_data(place, parts, shared, touched);
            return usize::from(pushed == Pushed::Accepted);
        }
        let key = (outbox.profile.id, place, edge);
        if self.encoded.get(self.last).is_none_or(|kind| kind.key != key) {
            self.last = match self.encoded.iter().position(|kind| kind.key == key) {
                Some(index) => index,
                None => {
                    let data = encode(outbox, place, edge, self.parts, self.common.payer());
                    let data = data.map(|piece| self.common.charge(piece));
                    self.encoded.push(Kind { key, data, logged: None });
                    self.encoded.len() - 1
                }
            };
        }
        let Kind { data, logged, .. } = &mut self.encoded[self.last];
        if data.is_empty() {
            return 1;
        }
        let lag = || {
            if logged.is_none() {
                *logged = log(self.common, tails, key, data);
            }
            logged.clone()
        };
        usize::from(outbox.push_shared(data, lag, touched) == Pushed::Accepted)
    }
}
