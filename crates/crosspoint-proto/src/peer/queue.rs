//! The application's messages that wait to be sent.

use super::body::Form;
use super::error::SendError;
use bytes::Bytes;
use std::collections::VecDeque;

/// Messages in the order in which they were sent. Requests and answers are kept with their
/// request, so that they are gone at once when it is cancelled; here is only their place.
#[derive(Debug)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// What they cost together.
    cost: usize,
    cost_max: usize,
    message_bytes_max: usize,
}

#[derive(Debug)]
pub(super) enum Entry {
    Message(u8, Bytes),
    Request(u32),
    Answer(u32),
}

impl Queue {
    /// The memory that an entry needs besides its bytes.
    const OVERHEAD: usize = 64;

    pub(super) fn new(cost_max: usize, message_bytes_max: usize) -> Self {
        Self { entries: VecDeque::new(), cost: 0, cost_max, message_bytes_max }
    }

    /// What waits, with the memory that it needs besides its bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Writes a body that is to be put in here. There is always room for one more message below
    /// the bound, however large it is.
    pub(super) fn write(&self, form: &Form<'_>) -> Result<Bytes, SendError> {
        self.check(form.len())?;
        Ok(form.write())
    }

    pub(super) fn check(&self, bytes: usize) -> Result<(), SendError> {
        let most = self.message_bytes_max;
        if bytes > most {
            return Err(SendError::TooLarge { bytes, most });
        }
        if self.cost >= self.cost_max { Err(SendError::Full) } else { Ok(()) }
    }

    /// Adds an entry; `bytes` is the length of its body, which may be kept elsewhere.
    pub(super) fn add(&mut self, entry: Entry, bytes: usize) {
        self.cost += Self::OVERHEAD + bytes;
        self.entries.push_back(entry);
    }

    /// To be called when the body of a request or an answer is taken or dropped.
    pub(super) fn release(&mut self, bytes: usize) {
        self.cost -= bytes;
    }

    /// The next entry, which may be that of a request that was cancelled.
    pub(super) fn next(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.cost -= Self::OVERHEAD;
        if let Entry::Message(_, body) = &entry {
            self.cost -= body.len();
        }
        Some(entry)
    }

    /// Whether half of the room is free.
    pub(super) fn has_room(&self) -> bool {
        self.cost <= self.cost_max / 2
    }
}
