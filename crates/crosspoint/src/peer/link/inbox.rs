//! Dispatches what arrives over a link: to handlers, to waiting tasks, or into the inbox.

use super::handlers::{Call, Work};
use super::later::Later;
use super::{Core, State};
use crate::peer::error::RequestError;
use crate::remote::{Malicious, REPLY};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::payload::{Failure, Format, Payload};
use crosspoint_proto::peer::{self, Event, StreamId, code};
use std::sync::Arc;
use std::time::Instant;

/// What waits in the inbox.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Payload),
    Notification { method: String, payload: Payload },
    Request { id: u32, method: String, payload: Payload, until: Option<Instant> },
    Offer { stream: StreamId, name: String, metadata: Bytes },
    Typed { kind: u8, body: Bytes },
    Malicious(Malicious),
}

/// What an item costs beside its bytes.
const ITEM_BYTES: usize = 64;

impl Item {
    fn cost(&self) -> usize {
        let bytes = match self {
            Self::Message(payload) => payload.data.len(),
            Self::Notification { method, payload } | Self::Request { method, payload, .. } => {
                method.len() + payload.data.len()
            }
            Self::Offer { name, metadata, .. } => name.len() + metadata.len(),
            Self::Typed { body, .. } => body.len(),
            Self::Malicious(_) => 0,
        };
        ITEM_BYTES + bytes
    }
}

impl State {
    /// Takes an event of the machine.
    pub(super) fn take(&mut self, core: &Arc<Core>, event: Event, later: &mut Later) {
        match event {
            Event::Typed { kind: REPLY, body } => later.reply(body),
            Event::Typed { kind, body } => self.put(core, Item::Typed { kind, body }, later),
            Event::Message(message) => self.put(core, Item::Message(message), later),
            Event::Notify { method, payload } => {
                self.notified(core, method.as_str().to_owned(), payload, later);
            }
            Event::Request { id, method, payload, until } => {
                let method = method.as_str().to_owned();
                self.requested(core, id, (method, payload), until, later);
            }
            Event::Cancelled { id } => self.cancelled(id, later),
            Event::Result { id, outcome } => {
                let answer = match outcome {
                    peer::Outcome::Result(result) => Ok(result),
                    peer::Outcome::Failure(failed) => Err(RequestError::Failed(failed)),
                    peer::Outcome::TimedOut => Err(RequestError::TimedOut),
                };
                if let Some(to) = self.answers.remove(&id) {
                    later.answer(to, answer);
                }
            }
            Event::Opened { stream, name, metadata } => {
                let name = name.as_str().to_owned();
                self.offered(core, Item::Offer { stream, name, metadata }, stream, later);
            }
            Event::Accepted { stream } => self.stream_accepted(stream, later),
            Event::Readable { stream } | Event::Ended { stream } => {
                self.stream_readable(stream, later);
            }
            Event::Writable { stream } => self.stream_writable(stream, later),
            Event::Reset { stream, code, text } => {
                self.stream_reset(stream, code, text.as_str(), later);
            }
            Event::Time(time) => later.time(std::mem::take(&mut self.clocks), time),
            Event::Room => later.room(),
            // This side answers with its own clock.
            Event::Clock { .. } => {}
        }
    }

    /// Whether one more is taken, however large it is.
    fn has_room(&self, core: &Core) -> bool {
        self.held <= core.terms.options.inbox_bytes
    }

    /// Whether the reader should get a turn before more is put in.
    pub(super) fn is_crowded(&self, core: &Core) -> bool {
        self.held > core.terms.options.inbox_bytes / 2
    }

    fn push(&mut self, item: Item, later: &mut Later) {
        self.held += item.cost();
        self.inbox.push_back(item);
        later.inbox();
    }

    /// Puts something into the inbox that has no credit of its own.
    fn put(&mut self, core: &Arc<Core>, item: Item, later: &mut Later) {
        if !self.attended {
            core.terms.pool.count_dropped();
        } else if self.has_room(core) {
            self.push(item, later);
        } else {
            self.break_off(Reason::SlowReceiver, later);
        }
    }

    /// A reply to a typed call that cannot be read.
    pub(super) fn put_malicious(&mut self, core: &Arc<Core>, what: Malicious, later: &mut Later) {
        self.put(core, Item::Malicious(what), later);
    }

    fn notified(&mut self, core: &Arc<Core>, method: String, what: Payload, later: &mut Later) {
        let Some(handler) = core.terms.handlers.get(&method) else {
            return self.put(core, Item::Notification { method, payload: what }, later);
        };
        let bytes = ITEM_BYTES + method.len() + what.data.len();
        if !self.has_room(core) {
            return self.break_off(Reason::SlowReceiver, later);
        }
        self.held += bytes;
        let call = Call { core: core.clone(), method, payload: what };
        later.work(Work::on_notification(handler, call, bytes));
    }

    fn requested(
        &mut self,
        core: &Arc<Core>,
        id: u32,
        (method, what): (String, Payload),
        until: Option<Instant>,
        later: &mut Later,
    ) {
        let handler = core.terms.handlers.get(&method);
        if handler.is_none() && !self.attended {
            return self.refuse(id, &Failure::no_method(&method));
        }
        let bytes = ITEM_BYTES + method.len() + what.data.len();
        if !self.has_room(core) {
            let text = "too much waits to be worked on; ask again later";
            return self.refuse(id, &Failure::new(Failure::TOO_MANY, text));
        }
        let Some(handler) = handler else {
            return self.push(Item::Request { id, method, payload: what, until }, later);
        };
        self.held += bytes;
        let call = Call { core: core.clone(), method, payload: what };
        let (work, cancel) = Work::on_request(handler, call, bytes, (id, until));
        self.working.insert(id, cancel);
        later.work(work);
    }

    fn refuse(&mut self, id: u32, failure: &Failure) {
        // If even the refusal has no room, the requester hears of its time-out.
        let _ = self.answer(id, &Err(failure.clone()));
    }

    fn offered(&mut self, core: &Arc<Core>, offer: Item, stream: StreamId, later: &mut Later) {
        let (code, text) = if !self.attended {
            (peer::code::NOT_FOUND, "nobody accepts streams here")
        } else if !self.has_room(core) {
            (peer::code::TOO_MANY, "too much waits to be read")
        } else {
            return self.push(offer, later);
        };
        // It was offered a moment ago, so it is there.
        let _ = self.machine.reset(stream, code, text);
    }

    /// The other side waits no more for an answer.
    fn cancelled(&mut self, id: u32, later: &mut Later) {
        if let Some(cancel) = self.working.remove(&id) {
            return later.cancel(cancel);
        }
        let is_it = |item: &Item| matches!(item, Item::Request { id: waits, .. } if *waits == id);
        if let Some(index) = self.inbox.iter().position(is_it)
            && let Some(item) = self.inbox.remove(index)
        {
            self.plain -= usize::from(index < self.plain);
            self.held -= item.cost();
        }
    }

    /// Drops what has come in plain, now that the link is encrypted.
    pub(crate) fn forget_plain(&mut self, later: &mut Later) {
        const WHY: &str = "it came before the link was encrypted";
        while self.plain > 0 {
            match self.pull() {
                // If these fail the other side has given up.
                Some(Item::Request { id, .. }) => {
                    let _ = self.machine.fail(id, code::FAILED, WHY, Format::BYTES, &[]);
                }
                Some(Item::Offer { stream, .. }) => {
                    let _ = self.machine.reset(stream, code::NOT_WANTED, WHY);
                }
                Some(_) => {}
                None => break,
            }
        }
        self.forget_plain_streams(WHY, later);
    }

    /// Takes the next item out of the inbox.
    pub(crate) fn pull(&mut self) -> Option<Item> {
        let item = self.inbox.pop_front()?;
        self.plain = self.plain.saturating_sub(1);
        self.held -= item.cost();
        if self.inbox.is_empty() {
            // An idle link owns no buffers.
            self.inbox = Default::default();
        }
        // There is less, for which there is always room.
        self.pay();
        Some(item)
    }
}
