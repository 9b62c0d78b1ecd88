//! What waits to be written on a link, in order.

use super::Sending;
use crate::anysocket::packet::Kind;
use crate::value::Json;
use bytes::Bytes;
use std::collections::VecDeque;

/// One packet of which not all pieces have been written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) seq: i32,
    pub(super) rest: Bytes,
    /// For SWITCH: what may be sent behind it.
    pub(super) then: Option<Sending>,
}

impl Entry {
    pub(super) fn new(kind: Kind, seq: i32, body: Json) -> Self {
        Self { kind, seq, rest: body.into_bytes(), then: None }
    }

    pub(super) fn switch(seq: i32, body: Json, then: Sending) -> Self {
        Self { then: Some(then), ..Self::new(Kind::Switch, seq, body) }
    }
}

/// The first has a place of its own, so that the memory of a queue is only taken when one is needed.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: Option<Entry>,
    others: VecDeque<Entry>,
    bytes: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.rest.len();
        if self.first.is_none() {
            self.first = Some(entry);
        } else {
            self.others.push_back(entry);
        }
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.first.as_ref()
    }

    /// The next `length` bytes of the first packet, and whether these are its last.
    pub(super) fn take(&mut self, length: usize) -> (Bytes, bool) {
        let Some(entry) = &mut self.first else {
            return (Bytes::new(), true);
        };
        let piece = entry.rest.split_to(length);
        let last = entry.rest.is_empty();
        self.bytes -= length;
        if last {
            self.first = self.others.pop_front();
            if self.others.is_empty() {
                self.others = VecDeque::new();
            }
        }
        (piece, last)
    }

    /// Makes an answer of our call for encryption, which has not been written yet.
    pub(super) fn answer(&mut self, body: Json) {
        let mut entries = self.first.iter_mut().chain(&mut self.others);
        if let Some(entry) = entries.find(|entry| entry.kind == Kind::Switch) {
            let body = body.into_bytes();
            self.bytes = self.bytes - entry.rest.len() + body.len();
            entry.rest = body;
            entry.then = Some(Sending::Sealed);
        }
    }
}
