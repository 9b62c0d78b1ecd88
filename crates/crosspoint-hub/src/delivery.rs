//! Data on its way to one receiver or many: encoded once for all who get the same bytes.

mod link;

use crate::endpoint::{Endpoint, PendingWrites, Pushed, Room, Sending};
use crate::envelope::Compressed;
use crate::gathering::{Gathering, Unfinished};
use crate::ledger::{Account, Common};
use crate::limit::Limit;
use crate::messages::Run;
use crate::reason::Reason;
use crate::segment::{Logged, Tails};
use crate::wire::{Content, Edge, Encoded, FrameWriter, Part, Place, Stateful};
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
    (payer, compressed): (&Account, &mut Compressed),
) -> Encoded {
    const HEADER_BYTES_GUESS: usize = 8;
    let tight = is_tight(payer, parts);
    let mut writer = endpoint.frame_writer().copying(tight);
    writer.share(compressed);
    let lengths = parts.iter().map(|part| part.data.len());
    let copied = |length: usize| if length > FrameWriter::COPY_BYTES_MAX { 0 } else { length };
    writer.reserve(lengths.map(|length| copied(length) + HEADER_BYTES_GUESS).sum());
    for part in parts {
        let chunk = edge.chunk();
        endpoint.wire.encode(&Content::Part { place, chunk, part }, &mut writer);
    }
    writer.give_back(compressed);
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
    let pushed = match endpoint.profile.stateful {
        Stateful::Yes => push_for_task(endpoint, place, parts, writes),
        Stateful::LinksBut(kind) if matches!(place, Place::Link(_)) => {
            let is_encoded = |part: &Part| part.kind == kind;
            // Behind each other in one outbox, they keep their order.
            let runs = parts.chunk_by(|one, next| is_encoded(one) == is_encoded(next));
            let push = |run: &[Part]| match run.first().is_some_and(is_encoded) {
                true => push_encoded(endpoint, place, edge, run, writes),
                false => push_for_task(endpoint, place, run, writes),
            };
            runs.map(push).last().unwrap_or(Pushed::Accepted)
        }
        Stateful::No | Stateful::LinksBut(_) => push_encoded(endpoint, place, edge, parts, writes),
    };
    match pushed {
        Pushed::Dead => Sent::To(0),
        Pushed::Accepted => Sent::To(1),
    }
}

/// To a receiver whose own task encodes it.
fn push_for_task(
    endpoint: &Arc<Endpoint>,
    place: Place,
    parts: &[Part],
    writes: &mut PendingWrites,
) -> Pushed {
    endpoint.push_data(place, compact(parts, endpoint.account()), writes)
}

fn push_encoded(
    endpoint: &Arc<Endpoint>,
    place: Place,
    edge: Edge,
    parts: &[Part],
    writes: &mut PendingWrites,
) -> Pushed {
    let compressed = &mut Compressed::default();
    let data = encode(endpoint, place, edge, parts, (endpoint.account(), compressed));
    endpoint.push_alone((parts.len(), &data), writes)
}

/// What may go to many at once. Messages of channels do; what comes besides them is another type.
pub(crate) trait Shareable {
    /// What tells receivers with one wire apart that get different bytes.
    type To: Copy + PartialEq;
    /// The form in which it waits for receivers whose own tasks encode it.
    type Waiting;

    /// How many messages and parts it is; 0 if there is nothing to send.
    fn count(&self) -> usize;

    /// Encodes it for an endpoint. The account pays for it, and `Compressed` keeps what is compressed for the next
    /// receivers.
    fn encode(
        &self,
        endpoint: &Endpoint,
        to: Self::To,
        payer: (&Account, &mut Compressed),
    ) -> Encoded;

    /// The form in which it waits. What it holds is charged to `common`.
    fn wait(&self, common: &Common) -> Self::Waiting;

    /// Adds it to the outbox of an endpoint whose own task encodes it.
    fn push(
        waiting: &Self::Waiting,
        endpoint: &Arc<Endpoint>,
        to: Self::To,
        writes: &mut PendingWrites,
    ) -> Pushed;

    /// Whether many receivers get the same bytes, so that those who lag share them.
    fn is_common(to: Self::To) -> bool;
}

impl Shareable for [Part] {
    type To = (Place, Edge);
    type Waiting = Run;

    fn count(&self) -> usize {
        self.len()
    }

    fn encode(
        &self,
        endpoint: &Endpoint,
        (place, edge): Self::To,
        payer: (&Account, &mut Compressed),
    ) -> Encoded {
        encode(endpoint, place, edge, self, payer)
    }

    fn wait(&self, common: &Common) -> Run {
        Run::new(common, compact(self, common.payer()))
    }

    fn push(
        run: &Run,
        endpoint: &Arc<Endpoint>,
        (place, _): Self::To,
        writes: &mut PendingWrites,
    ) -> Pushed {
        endpoint.push_run(place, run, writes)
    }

    /// In a room each sender makes a kind of receivers of its own.
    fn is_common((place, _): Self::To) -> bool {
        matches!(place, Place::In(_))
    }
}

/// Something that goes to many: encoded once for all receivers that get the same bytes.
pub(crate) struct Shared<'a, S: Shareable + ?Sized> {
    common: &'a Common,
    what: &'a S,
    /// Its form for receivers whose own tasks encode, once there is one.
    waiting: Option<S::Waiting>,
    encoded: Vec<Kind<S::To>>,
    /// What was compressed for all of them.
    compressed: Compressed,
    /// Where the last receiver's bytes are: most receivers are alike.
    last: usize,
}

/// Receivers that get the same bytes: the number of their wire, whether they are compressed, and what else tells
/// them apart.
type Key<To> = ((u8, bool), To);

/// What the log of a channel has, by the receivers of its messages.
pub(crate) type ChannelTails = Tails<Key<(Place, Edge)>>;

struct Kind<To> {
    key: Key<To>,
    data: Encoded,
    /// The data in the channel's log, once somebody who lags needs it.
    logged: Option<Logged>,
}

impl<'a, S: Shareable + ?Sized> Shared<'a, S> {
    /// What waits for the receivers is charged to `common`.
    pub(crate) fn new(common: &'a Common, what: &'a S) -> Self {
        let (encoded, compressed) = (Vec::new(), Compressed::default());
        Self { common, what, waiting: None, encoded, compressed, last: 0 }
    }

    /// Gives 1 if the receiver lives.
    pub(crate) fn push(
        &mut self,
        endpoint: &Arc<Endpoint>,
        to: S::To,
        tails: &mut Tails<Key<S::To>>,
        writes: &mut PendingWrites,
    ) -> usize {
        let count = self.what.count();
        if count == 0 {
            return 0;
        }
        if endpoint.profile.stateful == Stateful::Yes {
            let waiting = self.waiting.get_or_insert_with(|| self.what.wait(self.common));
            return usize::from(S::push(waiting, endpoint, to, writes) == Pushed::Accepted);
        }
        let key = ((endpoint.profile.id, endpoint.compresses()), to);
        if self.encoded.get(self.last).is_none_or(|kind| kind.key != key) {
            self.last = match self.encoded.iter().position(|kind| kind.key == key) {
                Some(index) => index,
                None => {
                    let payer = (&**self.common.payer(), &mut self.compressed);
                    let data = self.what.encode(endpoint, to, payer);
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
        // Small data of a kind that many receivers are of.
        let lag = || {
            let small = data.rest.is_empty() && !Common::is_charged(&data.first);
            if logged.is_none() && small && S::is_common(to) {
                *logged = tails.add(self.common, key, &data.first);
            }
            logged.clone()
        };
        usize::from(endpoint.push_shared((count, data), lag, writes) == Pushed::Accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{ApplicationEvent, Event};
    use crate::hub::{Hub, HubOptions};
    use crate::limits::Limits;
    use crate::outbox::Tag;
    use crate::payload::{Format, Payload};
    use crate::session::Session;
    use crate::testing::{Arrived, EVENTS, LINES, open_as, take};
    use crate::wire::Wire;
    use std::cell::Cell;

    /// Something that is no message: where things are, each told to those who see one part of the world.
    struct Positions {
        text: &'static str,
        encoded: Cell<usize>,
    }

    impl Shareable for Positions {
        type To = u8;
        type Waiting = Payload;

        fn count(&self) -> usize {
            usize::from(!self.text.is_empty())
        }

        fn encode(
            &self,
            endpoint: &Endpoint,
            zone: u8,
            (_, compressed): (&Account, &mut Compressed),
        ) -> Encoded {
            self.encoded.set(self.encoded.get() + 1);
            let mut out = endpoint.frame_writer();
            out.share(compressed);
            out.small(format!("{zone}: {}", self.text).as_bytes());
            out.give_back(compressed);
            out.take()
        }

        fn wait(&self, _common: &Common) -> Payload {
            Payload::new(Format::JSON, self.text)
        }

        fn push(
            payload: &Payload,
            endpoint: &Arc<Endpoint>,
            _zone: u8,
            writes: &mut PendingWrites,
        ) -> Pushed {
            let event = ApplicationEvent::Told { payload: payload.clone() };
            endpoint.push_event(Tag::default(), Event::Application(event), writes);
            Pushed::Accepted
        }

        fn is_common(_zone: u8) -> bool {
            true
        }
    }

    fn open(hub: &Arc<Hub>, wire: &'static dyn Wire) -> Session {
        open_as(hub, Instant::now(), wire, None, Default::default())
    }

    #[test]
    fn what_is_no_message_is_encoded_once_for_all_who_get_the_same_too() {
        let hub = Hub::new(HubOptions::default());
        let account = hub.ledger.account(None, "hub");
        let common = Common::new(account, Limit::ChannelBytes, Limits::default().channel_bytes_max);
        let mut sessions: Vec<Session> = (0..6).map(|_| open(&hub, &LINES)).collect();
        sessions.push(open(&hub, &EVENTS));
        let positions = Positions { text: "(1, 2)", encoded: Cell::new(0) };
        let mut shared = Shared::new(&common, &positions);
        let (mut tails, mut writes) = (Tails::default(), PendingWrites::default());
        let zones = [3, 3, 4, 3, 4, 4, 3];
        for (session, zone) in sessions.iter().zip(zones) {
            assert_eq!(shared.push(session.endpoint(), zone, &mut tails, &mut writes), 1);
        }
        assert_eq!(positions.encoded.get(), 2, "once for each zone, never for the own task");
        drop((shared, writes));
        let last = take(&mut sessions.pop().expect("there are seven"));
        let payload = Payload::new(Format::JSON, "(1, 2)");
        let told = Event::Application(ApplicationEvent::Told { payload });
        assert_eq!(last, [Arrived::Event(told)]);
        for (session, zone) in sessions.iter_mut().zip(zones) {
            let text = format!("{zone}: (1, 2)");
            assert_eq!(take(session), [Arrived::Data(text.into())]);
        }
        let nothing = Positions { text: "", encoded: Cell::new(0) };
        let mut shared = Shared::new(&common, &nothing);
        let mut writes = PendingWrites::default();
        assert_eq!(shared.push(sessions[0].endpoint(), 3, &mut tails, &mut writes), 0);
    }
}
