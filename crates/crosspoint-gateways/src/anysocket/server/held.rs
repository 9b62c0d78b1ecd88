//! What has come from one peer while the client may not know of it.

use crate::link::Weight;
use bytes::Bytes;
use crosspoint_hub::LinkNumber;
use std::collections::VecDeque;

/// What each held message counts besides its length.
const ENTRY_BYTES: usize = 64;

/// What came from a peer while the client may not know it. Links that end meanwhile leave nothing else.
#[derive(Debug)]
pub(super) struct Held {
    /// Tells the answer to this question from those to earlier ones.
    pub(super) serial: u64,
    messages: VecDeque<Message>,
    bytes: usize,
    /// The client knows the peer, and is told step by step what has come.
    pub(super) is_known: bool,
    /// The peer itself, which may have no link any more.
    _weight: Weight,
}

/// A message that came over a link.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) link: LinkNumber,
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

impl Message {
    /// What it takes while it waits, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.body.len() + ENTRY_BYTES
    }
}

impl Held {
    /// Nothing has come. `weight` is what the peer itself takes.
    pub(super) fn new(serial: u64, weight: Weight) -> Self {
        Self { serial, messages: VecDeque::new(), bytes: 0, is_known: false, _weight: weight }
    }

    /// What the messages take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.cost();
        self.messages.push_back(message);
    }

    /// The next message, if the client may be told of it.
    pub(super) fn next(&mut self) -> Option<Message> {
        let message = if self.is_known { self.messages.pop_front() } else { None }?;
        self.bytes -= message.cost();
        Some(message)
    }
}
