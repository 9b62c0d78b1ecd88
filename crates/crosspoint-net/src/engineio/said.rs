//! What a session has said that comes by requests, and nobody has got yet.

use crate::memory::ReadEnd;
use crate::reading::{READ_BYTES_MAX, poll_into_scratch};
use crate::ws::Opcode;
use crate::ws::decoder::server_frame;
use bytes::{Buf, Bytes, BytesMut};
use crosspoint_gateways::engineio::payload::Message;
use crosspoint_hub::ledger::Tab;
use std::future::poll_fn;

/// The way from the session, which gives frames of a WebSocket.
#[derive(Debug)]
pub(super) struct Said {
    way: ReadEnd,
    /// What was read and is no whole frame.
    frames: BytesMut,
    /// The session says nothing more.
    ended: bool,
    /// The close frame with which it has ended.
    farewell: Option<Bytes>,
    /// The session wants to hear that its client lives.
    pinged: bool,
    /// Pays for the frames.
    tab: Tab,
}

impl Said {
    pub(super) fn new(way: ReadEnd, tab: Tab) -> Self {
        Self { way, frames: BytesMut::new(), ended: false, farewell: None, pinged: false, tab }
    }

    /// Whether the session says nothing more than what was read.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The close frame with which the session has ended, once.
    pub(super) fn farewell(&mut self) -> Option<Bytes> {
        self.farewell.take()
    }

    /// Whether the session wants to hear that its client lives, which a request shows that comes after that.
    pub(super) fn is_pinged(&self) -> bool {
        self.pinged
    }

    /// As [`is_pinged`](Self::is_pinged). It hears that now.
    pub(super) fn take_ping(&mut self) -> bool {
        std::mem::take(&mut self.pinged)
    }

    /// Reads some more. Cancelling it loses nothing.
    pub(super) async fn read(&mut self) {
        let read = poll_fn(|cx| {
            poll_into_scratch(READ_BYTES_MAX, |buffer| self.way.poll_read(cx, buffer))
        });
        let read = read.await;
        let bytes = read.unwrap_or_default();
        self.ended |= bytes.is_empty();
        self.frames.unsplit(bytes);
        self.tab.settle(self.frames.capacity());
    }

    /// Takes the messages that were read and are whole.
    pub(super) fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let is_closed = loop {
            match server_frame(&self.frames) {
                Ok(None) => break false,
                Ok(Some((Opcode::Close, header, payload))) => {
                    self.farewell = Some(self.frames.split_to(header + payload).freeze());
                    break true;
                }
                Err(_) => break true,
                Ok(Some((opcode, header, payload))) => {
                    self.frames.advance(header);
                    let bytes = self.frames.split_to(payload).freeze();
                    self.pinged |= opcode == Opcode::Ping;
                    if matches!(opcode, Opcode::Text | Opcode::Binary) {
                        messages.push(Message { is_text: opcode == Opcode::Text, bytes });
                    }
                }
            }
        };
        self.ended |= is_closed;
        if self.frames.is_empty() || self.ended {
            // An empty buffer may still hold on to the memory of its last read.
            self.frames = BytesMut::new();
        }
        self.tab.settle(self.frames.capacity());
        messages
    }

    /// Has the session wait that wants to say more.
    pub(super) fn hold(&self) {
        self.way.hold();
    }

    /// Some of what the session has said before it had to wait, as it is. `None` when nothing is left.
    pub(super) async fn rest(&mut self) -> Option<BytesMut> {
        if self.frames.is_empty() && !self.ended && !self.way.is_empty() {
            self.read().await;
        }
        Some(std::mem::take(&mut self.frames)).filter(|frames| !frames.is_empty())
    }

    /// The way, once nothing is left in it.
    pub(super) fn into_way(self) -> ReadEnd {
        self.way
    }
}
