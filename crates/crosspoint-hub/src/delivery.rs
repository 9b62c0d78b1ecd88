//! Data on its way to one receiver or many: encoded once for all who get the same bytes.

mod link;

use crate::endpoint::{Endpoint, PendingWrites, Pushed, Room, Sending};
use crate::gathering::{Gathering, Unfinished};
use crate::ledger::{Account, Common};
use crate::limit::Limit;
use crate::messages::Run;
use crate::reason::Reason;
use crate::segment::{Logged, Tails};
use crate::wire::{Edge, Encoded, FrameWriter, Part, Place};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Instant;

/// What became of a batch of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It reached this many receivers.
    To(usize),
    /// The only receiver has no room; nothing was sent. There may be some at this time, if no
    /// earlier.
    Congested(Option<Instant>),
    /// The sender is at fault: it breaks the channel's rules, or leaves more unfinished than the
    /// bound allows.
    Refused(Reason, Option<Limit>),
}

impl From<Unfinished> for Sent {
    fn from(Unfinished { reason, limit }: Unfinished) -> Self {
        Self::Refused(reason, Some(limit))
    }
}

/// Small data is copied in any case.
fn is_small(part: &Part) -> bool {
    part.data.len() <= FrameWriter::COPY_BYTES_MAX
}

/// Whether large data must not keep alive the read that it came in. Only data that is large asks for it:
/// all sessions change what the answer depends on.
fn is_tight(payer: &Account, parts: &[Part]) -> bool {
    !parts.iter().all(is_small) && payer.is_tight()
}

fn encode(
    endpoint: &Endpoint,
    place: Place,
    edge: Edge,
    parts: &[Part],
    payer: &Account,
) -> Encoded {
    const HEADER_BYTES_GUESS: usize = 8;
    let tight = is_tight(payer, parts);
    let mut writer = FrameWriter::new(endpoint.profile.prefix).copying(tight);
    let lengths = parts.iter().map(|part| part.data.len());
    let copied = |length: usize| if length > FrameWriter::COPY_BYTES_MAX { 0 } else { length };
    writer.reserve(lengths.map(|length| copied(length) + HEADER_BYTES_GUESS).sum());
    for part in parts {
        endpoint.wire.encode(place, edge.chunk(), part, &mut writer);
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
    endpoint: &Arc<Endpoint>,
    sending: &mut Sending<'_>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    gathering: Option<&mut Gathering>,
    writes: &mut PendingWrites,
) -> Sent {
    let bytes = parts.iter().map(|part| part.data.len()).sum();
    // Asked first: what has to wait comes again, and must not be gathered twice.
    let room = endpoint.room_for(sending, bytes);
    if let Room::None(until) = room {
        return Sent::Congested(until);
    }
    let sent = match gathering.filter(|_| endpoint.profile.whole) {
        None => push_one(endpoint, place, edge, parts, writes),
        Some(gathering) => match gathering.receive(sending.from.account(), parts) {
            Ok(whole) => push_one(endpoint, place, edge, &whole, writes),
            Err(refused) => return refused.into(),
        },
    };
    if room == Room::UpToBound {
        endpoint.end_above_bound();
    }
    sent
}

fn push_one(
    endpoint: &Arc<Endpoint>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    writes: &mut PendingWrites,
) -> Sent {
    let payer = endpoint.account();
    if endpoint.profile.stateful {
        return match endpoint.push_data(place, compact(parts, payer), writes) {
            Pushed::Dead => Sent::To(0),
            Pushed::Accepted => Sent::To(1),
        };
    }
    let data = encode(endpoint, place, edge, parts, payer);
    match endpoint.push_alone(&data, writes) {
        Pushed::Dead => Sent::To(0),
        Pushed::Accepted => Sent::To(1),
    }
}

/// A batch that goes to many: encoded once for all receivers that get the same bytes.
pub(crate) struct Shared<'a> {
    common: &'a Common,
    parts: &'a [Part],
    /// The parts for receivers whose own tasks encode, once there is one.
    run: Option<Run>,
    encoded: Vec<Kind>,
    /// Where the last receiver's bytes are: most receivers are alike.
    last: usize,
}

/// Receivers that get the same bytes.
pub(crate) type Key = (u8, Place, Edge);

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
    pub(crate) fn new(common: &'a Common, parts: &'a [Part]) -> Self {
        Self { common, parts, run: None, encoded: Vec::new(), last: 0 }
    }

    /// Gives 1 if the receiver lives.
    pub(crate) fn push(
        &mut self,
        endpoint: &Arc<Endpoint>,
        place: Place,
        edge: Edge,
        tails: &mut Tails<Key>,
        writes: &mut PendingWrites,
    ) -> usize {
        if self.parts.is_empty() {
            return 0;
        }
        if endpoint.profile.stateful {
            let Self { common, parts, run, .. } = self;
            let compact = || Run::new(common, compact(parts, common.payer()));
            let run = run.get_or_insert_with(compact);
            return usize::from(endpoint.push_run(place, run, writes) == Pushed::Accepted);
        }
        let key = (endpoint.profile.id, place, edge);
        if self.encoded.get(self.last).is_none_or(|kind| kind.key != key) {
            self.last = match self.encoded.iter().position(|kind| kind.key == key) {
                Some(index) => index,
                None => {
                    let data = encode(endpoint, place, edge, self.parts, self.common.payer());
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
        usize::from(endpoint.push_shared(data, lag, writes) == Pushed::Accepted)
    }
}
