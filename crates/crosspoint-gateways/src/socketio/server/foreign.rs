//! The client's side of a link to a peer that speaks something else than Socket.IO.

use super::streams::Streams;
use crate::link::{Backlog, Schedule, Shares, Spoken};
use crate::socketio::carry::NUMBER_MAX;
use crosspoint_hub::payload::Format;
use crosspoint_hub::{Limits, LinkNumber, PeerId};
use crosspoint_proto::peer::{Machine, Side, StreamId};
use std::collections::BTreeMap;
use std::time::Instant;

/// The client's side of one link.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) peer: PeerId,
    pub(super) spoken: Spoken,
    /// What the client has yet to acknowledge, by the numbers of the ids.
    asked: BTreeMap<u32, Wanted>,
    next: u32,
    pub(super) streams: Streams,
    /// What the machine holds of what has come, in bytes, as it was counted last.
    unread: usize,
    /// When its machine has to be called, as [`Shared`] knows it.
    pub(super) due: Option<Instant>,
}

/// What all such links of a session share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) backlog: Backlog,
    /// When which machine has to be called.
    pub(super) due: Schedule<LinkNumber>,
    /// When which stream is given up that is not there yet.
    pub(super) unanswered: Schedule<(LinkNumber, StreamId)>,
    /// How much peers have asked the client for.
    asking: Shares,
    asked: usize,
    /// What machines hold of what has come, in bytes.
    unread: usize,
    /// What the client has sent to streams and no machine has taken, in bytes.
    pub(super) chunks: usize,
}

/// What the client was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The answer to a request of the other side, which was in this format.
    Request(u32, Format),
    /// Whether it takes a stream.
    Stream(StreamId),
    /// That it has taken a chunk of a stream.
    Chunk(StreamId),
}

impl Foreign {
    /// What one question takes that the client has yet to answer, here and in the machine.
    const ASKED_BYTES: usize = 256;

    /// A link that has just begun.
    pub(super) fn new(peer: PeerId, side: Side, limits: &Limits) -> Self {
        Self {
            peer,
            spoken: Spoken::new(side, limits),
            asked: BTreeMap::new(),
            next: 0,
            streams: Streams::default(),
            unread: 0,
            due: None,
        }
    }

    /// Whether something would be missed if the link were closed.
    pub(super) fn is_used(&self) -> bool {
        !self.asked.is_empty() || !self.streams.is_empty()
    }

    pub(super) fn machine(&mut self) -> &mut Machine {
        &mut self.spoken.machine
    }

    /// The number under which the client was asked for something.
    pub(super) fn number_of(&self, is_it: impl Fn(&Wanted) -> bool) -> Option<u32> {
        self.asked.iter().find(|(_, wanted)| is_it(wanted)).map(|(number, _)| *number)
    }
}

impl Shared {
    /// What waits on all such links, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.backlog.unsent() + self.asked * Foreign::ASKED_BYTES + self.chunks + self.unread
    }

    /// Notes that a peer asks the client for something. Gives its number. `None`: the peer has asked for too much
    /// already, where all may ask for `most`.
    pub(super) fn ask(
        &mut self,
        foreign: &mut Foreign,
        wanted: Wanted,
        most: usize,
    ) -> Option<u32> {
        if !self.asking.may_ask(foreign.peer, most) {
            return None;
        }
        while foreign.asked.contains_key(&foreign.next) {
            foreign.next = (foreign.next + 1) & NUMBER_MAX;
        }
        let number = foreign.next;
        foreign.next = (number + 1) & NUMBER_MAX;
        foreign.asked.insert(number, wanted);
        self.asking.asks(foreign.peer);
        self.asked += 1;
        Some(number)
    }

    /// What the client was asked for under this number, if it was and has not answered.
    pub(super) fn take(&mut self, foreign: &mut Foreign, number: u32) -> Option<Wanted> {
        let wanted = foreign.asked.remove(&number)?;
        self.asking.asked(foreign.peer, 1);
        self.asked -= 1;
        Some(wanted)
    }

    /// Counts what a machine holds of what has come.
    pub(super) fn count(&mut self, foreign: &mut Foreign) {
        let unread = foreign.spoken.machine.unread_bytes();
        self.unread = self.unread - std::mem::replace(&mut foreign.unread, unread) + unread;
    }

    /// A link has gone, and with it all that waits there.
    pub(super) fn forget(&mut self, link: LinkNumber, foreign: &mut Foreign) {
        self.backlog.sent(foreign.spoken.sent_all());
        self.due.remove(link, foreign.due.take());
        for (id, stream) in &mut foreign.streams.0 {
            self.unanswered.remove((link, *id), stream.until.take());
        }
        self.asking.asked(foreign.peer, foreign.asked.len());
        self.asked -= foreign.asked.len();
        self.chunks -= foreign.streams.waiting_bytes();
        self.unread -= foreign.unread;
    }
}
