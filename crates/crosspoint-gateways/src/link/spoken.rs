//! A link over which the peer layer is spoken on behalf of a client.
//!
//! What the other side makes the client send, such as answers, waits in the machine while the other side has no room, or
//! while the hub has yet to carry out many commands of the client. It is bounded.

use crosspoint_hub::payload::{Failure, Format, Outcome};
use crosspoint_hub::{Limits, LinkNumber};
use crosspoint_proto::peer::{Config, Machine, SendError, Side};
use std::collections::VecDeque;
use std::time::Instant;

/// The client's side of the peer layer on one link.
#[derive(Debug)]
pub struct Spoken {
    /// What is said. While it may transmit, all that it has is sent ([`Spoken::sent_all`]), else it is counted
    /// ([`Spoken::hold_back`]).
    pub machine: Machine,
    /// The other side has no room.
    is_paused: bool,
    /// It is one of those that a [`Backlog`] gives.
    is_behind: bool,
    /// What waits in the machine to be sent, in bytes, as it was counted last.
    unsent: usize,
}

/// What the links of one client hold back.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Links that have something to send as soon as fewer commands wait.
    behind: VecDeque<LinkNumber>,
    /// What the machines of all links hold back, in bytes.
    unsent: usize,
}

impl Spoken {
    /// A link that has just begun.
    pub fn new(side: Side, limits: &Limits) -> Self {
        let config = Config {
            own_clock: false,
            message_bytes_max: limits.message_bytes_max as usize,
            queue_bytes_max: limits.outbox_bytes_max,
            ..Config::default()
        };
        let machine = Machine::new(side, config);
        Self { machine, is_paused: false, is_behind: false, unsent: 0 }
    }

    /// The other side has no room, or has room again.
    pub fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Whether nothing is sent for now; `is_loaded` says that many commands wait already.
    pub fn is_held(&self, is_loaded: bool) -> bool {
        is_loaded || self.is_paused
    }

    /// Counts what waits here, as nothing is sent for now. Gives when the machine has to be called.
    pub fn hold_back(
        &mut self,
        link: LinkNumber,
        is_loaded: bool,
        backlog: &mut Backlog,
    ) -> Option<Instant> {
        let unsent = self.machine.unsent_bytes() + self.machine.held_bytes();
        let before = std::mem::replace(&mut self.unsent, unsent);
        backlog.unsent = backlog.unsent - before + unsent;
        if is_loaded && !std::mem::replace(&mut self.is_behind, true) {
            backlog.behind.push_back(link);
        }
        self.machine.deadline()
    }

    /// Whether more is held back than may be, where `free` bytes are left for all links.
    pub fn has_too_much(&self, free: usize) -> bool {
        self.unsent >= self.machine.config().queue_bytes_max || self.unsent > free
    }

    /// The machine has transmitted all that it has. Gives what it had held back, to be given to [`Backlog::sent`].
    #[must_use]
    pub fn sent_all(&mut self) -> usize {
        std::mem::take(&mut self.unsent)
    }

    /// What it holds back, as it was counted last, in bytes.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// It was taken from the [`Backlog`].
    pub fn catches_up(&mut self) {
        self.is_behind = false;
    }

    /// Answers a request of the other side, once the machine is asked to transmit.
    ///
    /// # Errors
    /// [`SendError::Full`] if too much waits, so that the link has to end; others if the hub takes no messages.
    pub fn answer(&mut self, id: u32, answer: &Outcome) -> Result<(), SendError> {
        let machine = &mut self.machine;
        let answered = match answer {
            Ok(payload) => machine.answer(id, payload.format, &payload.data),
            Err(Failure { code, message, details }) => {
                machine.fail(id, *code, message, details.format, &details.data)
            }
        };
        match answered {
            Err(SendError::TooLarge { .. }) => {
                let message = "the answer is larger than the hub allows";
                machine.fail(id, Failure::FAILED, message, Format::BYTES, b"")
            }
            answered => answered,
        }
    }
}

impl Backlog {
    /// What all links hold back, in bytes.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// So much is not held back any more, because it was sent or its link has gone.
    pub fn sent(&mut self, bytes: usize) {
        self.unsent -= bytes;
    }

    /// Whether links have something to send as soon as fewer commands wait.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The next of those links, which may have gone.
    pub fn next_behind(&mut self) -> Option<LinkNumber> {
        let link = self.behind.pop_front()?;
        if self.behind.is_empty() {
            self.behind = VecDeque::new();
        }
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkNumber = LinkNumber(7);

    fn notify(spoken: &mut Spoken, bytes: usize) {
        spoken.machine.notify("m", Format::BYTES, &vec![0; bytes]).unwrap();
    }

    #[test]
    fn what_a_link_holds_back_counts_until_it_was_sent() {
        let limits = Limits { outbox_bytes_max: 10_000, ..Limits::default() };
        let mut backlog = Backlog::default();
        let [mut one, mut two] =
            [Side::Opener, Side::Accepter].map(|side| Spoken::new(side, &limits));
        assert!(!one.is_held(false) && one.is_held(true));
        one.pause(true);
        assert!(one.is_held(false));
        notify(&mut one, 3000);
        notify(&mut two, 4000);
        for _ in 0..2 {
            one.hold_back(LINK, false, &mut backlog);
            two.hold_back(LinkNumber(8), true, &mut backlog);
        }
        assert_eq!(backlog.unsent(), one.unsent() + two.unsent());
        assert!((3000..3100).contains(&one.unsent()));
        assert!(!one.has_too_much(one.unsent()) && one.has_too_much(one.unsent() - 1));
        notify(&mut one, 7000);
        one.hold_back(LINK, false, &mut backlog);
        assert!(one.has_too_much(usize::MAX));

        // Only what waits for fewer commands is looked at, once.
        assert!(backlog.is_behind());
        assert_eq!(backlog.next_behind(), Some(LinkNumber(8)));
        assert_eq!(backlog.next_behind(), None);
        backlog.sent(one.sent_all());
        assert_eq!(backlog.unsent(), two.unsent());
        two.catches_up();
        two.hold_back(LinkNumber(8), true, &mut backlog);
        assert_eq!(backlog.next_behind(), Some(LinkNumber(8)));
        backlog.sent(two.sent_all());
        assert_eq!(backlog.unsent(), 0);
    }
}
