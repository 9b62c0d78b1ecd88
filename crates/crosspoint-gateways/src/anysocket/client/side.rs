//! A link with what a client has to know of it besides.

use super::SendError;
use crate::anysocket::link::{self, Link};
use crate::anysocket::packet::{Kind, Packet};
use crate::value::Json;
use crosspoint_hub::PeerId;
use std::sync::Arc;

/// Packets that the protocol itself may have waiting besides the application's.
pub(super) const ANSWERS_MAX: usize = 1024;
/// The same in bytes.
pub(super) const ANSWERS_BYTES_MAX: usize = 2 << 20;

/// What waits for a reply.
#[derive(Debug)]
pub(super) enum Asked<T> {
    /// A request of the application.
    Request(T),
    /// The question for a peer.
    Proxy(PeerId),
}

#[derive(Debug)]
pub(super) struct Side<T> {
    pub(super) link: Link<Asked<T>>,
    /// Whom its packets are forwarded to; `None` for the neighbour.
    pub(super) to: Option<PeerId>,
    /// Packets in the queue, heartbeats not counted.
    queued: usize,
    /// Bytes in unfinished packets.
    pub(super) joining: usize,
    /// It waits for its turn to write.
    pub(super) ready: bool,
    /// It has called for encryption and waits for the answer.
    pub(super) switching: bool,
    /// It ends when everything has been written.
    pub(super) closing: bool,
}

impl<T> Side<T> {
    pub(super) fn new(config: Arc<link::Config>, ours: PeerId, to: Option<PeerId>) -> Self {
        let mut link = Link::new(config, ours);
        if let Some(to) = to {
            link.set_peer(to.into());
        }
        Self { link, to, queued: 0, joining: 0, ready: false, switching: false, closing: false }
    }

    /// Whether the application may send so much. `config` are its own bounds.
    pub(super) fn room(&self, config: &link::Config, body: &Json) -> Result<(), SendError> {
        let waits = self.link.buffered() - self.joining;
        let bytes = waits.saturating_add(body.as_bytes().len());
        let full = self.queued >= config.queue_max.max(1) || bytes > config.queue_bytes_max;
        match self.closing {
            true => Err(SendError::Ended),
            false if full && self.queued > 0 => Err(link::SendError::Full.into()),
            false => Ok(()),
        }
    }

    /// Something was put into the queue.
    pub(super) fn put(&mut self) {
        self.queued += 1;
    }

    /// A packet or piece has left the queue.
    pub(super) fn taken(&mut self, packet: &Packet) {
        if packet.last && packet.kind != Kind::Heartbeat {
            self.queued = self.queued.saturating_sub(1);
        }
    }

    /// Whether something waits that will be written.
    pub(super) fn waits(&self) -> bool {
        self.queued > 0
    }
}
