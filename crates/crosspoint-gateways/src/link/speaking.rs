//! How a session sends what the machines of its links have.

use super::spoken::{Backlog, Spoken};
use bytes::Bytes;
use crosspoint_hub::command::{Command, Target};
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{LinkNumber, Reason};
use std::time::Instant;

/// How many commands may wait to be carried out before what links have to send waits as well.
pub const COMMANDS_MAX: usize = 4096;

/// A session that speaks the peer layer on behalf of its client.
pub trait Speaking {
    /// What is spoken on a link, if anything is.
    fn spoken(&mut self, link: LinkNumber) -> Option<&mut Spoken>;
    /// What all links hold back.
    fn backlog(&mut self) -> &mut Backlog;
    /// What all links hold back, in bytes.
    fn unsent(&self) -> usize;
    /// Whether links have something to send as soon as fewer commands wait.
    fn is_behind(&self) -> bool;
    /// Counts what waits on a link over which nothing is sent for now ([`Spoken::hold_back`]), and gives when its
    /// machine has to be called. Nothing if something may be sent ([`Spoken::is_held`]).
    fn hold_back(&mut self, link: LinkNumber, is_loaded: bool) -> Option<Option<Instant>>;
    /// Whether more than [`COMMANDS_MAX`] commands wait.
    fn is_loaded(&self) -> bool;
    /// What all links may hold back, in bytes.
    fn unsent_max(&self) -> usize;
    /// The machine of a link has to be called then.
    fn schedule_link(&mut self, link: LinkNumber, at: Option<Instant>);
    /// Has a command carried out.
    fn command(&mut self, command: Command);
    /// Ends a link. The client is told.
    fn break_link(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter);

    /// Sends a message over a link.
    fn post(&mut self, link: LinkNumber, kind: u8, body: Bytes) {
        let part = Part { kind, ..Part::whole(body) };
        self.command(Command::Send { to: Target::Link(link), part });
    }

    /// Sends what the machine of a link has for the other side, because of something that the other side did. If
    /// that has no room, it waits in the machine. The link ends if it is too much.
    fn transmit(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        loop {
            if !self.holds_back(link) {
                self.post_all(link);
            } else if self.has_too_much(link) {
                return self.break_link(link, Reason::TooManyPending, out);
            }
            if !self.heed(link, out) {
                return;
            }
        }
    }

    /// Hands on what the machine of a link has to tell. Gives whether there was something, after which it may have more
    /// to send. Without streams nothing happens when something was sent.
    fn heed(&mut self, link: LinkNumber, out: &mut FrameWriter) -> bool {
        let _ = (link, out);
        false
    }

    /// The same, because of something that the client has said by itself. If it is too much, the hub lets the client
    /// wait, as it does with all who send.
    fn speak(&mut self, link: LinkNumber) {
        if !self.holds_back(link) || self.has_too_much(link) {
            self.post_all(link);
        }
    }

    /// Whether nothing is sent over a link for now. If so, looks how much waits there.
    fn holds_back(&mut self, link: LinkNumber) -> bool {
        let is_loaded = self.is_loaded();
        let Some(deadline) = self.hold_back(link, is_loaded) else { return false };
        self.schedule_link(link, deadline);
        true
    }

    /// Whether a link holds back more than it may, or more than is left for all others.
    fn has_too_much(&mut self, link: LinkNumber) -> bool {
        let free = self.unsent_max().saturating_sub(self.unsent());
        self.spoken(link).is_some_and(|spoken| spoken.has_too_much(free))
    }

    /// The other side of a link has no room.
    fn pause(&mut self, link: LinkNumber) {
        if let Some(spoken) = self.spoken(link) {
            spoken.pause(true);
        }
    }

    /// The other side of a link has room again.
    fn resume(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        if let Some(spoken) = self.spoken(link) {
            spoken.pause(false);
            self.transmit(link, out);
        }
    }

    /// Sends what has waited until fewer commands wait. Gives whether there was something.
    fn catch_up(&mut self, out: &mut FrameWriter) -> bool {
        if !self.is_behind() {
            return false;
        }
        let Some(link) = self.backlog().next_behind() else { return false };
        if let Some(spoken) = self.spoken(link) {
            spoken.catches_up();
            self.transmit(link, out);
        }
        true
    }

    /// Sends all that the machine of a link has.
    fn post_all(&mut self, link: LinkNumber) {
        // The clock is that of the client, which the machine is told with each answer.
        const NO_CLOCK: u64 = 0;
        while let Some((kind, body)) =
            self.spoken(link).and_then(|spoken| spoken.machine.transmit(NO_CLOCK))
        {
            self.post(link, kind, body);
        }
        let Some(spoken) = self.spoken(link) else { return };
        let (deadline, unsent) = (spoken.machine.deadline(), spoken.sent_all());
        if unsent > 0 {
            self.backlog().sent(unsent);
        }
        self.schedule_link(link, deadline);
    }
}
