//! Messages that have begun and are not whole in time.
//!
//! They are timed in the time of the session, which stands still while the endpoint is not listened to: what
//! it had sent further may be here already. A sender that was told to pause a target is excused as well.

use super::{Session, Step};
use crate::command::Target;
use crate::limit::Limit;
use crate::order::{Late, SendPath};
use crate::reason::Reason;
use crate::wire::Framing;
use std::time::{Duration, Instant};

/// The time of a session that began then, and was not listened to for so long.
pub(super) fn time(begun: Instant, unheard: Duration, now: Instant) -> Duration {
    now.saturating_duration_since(begun).saturating_sub(unheard)
}

impl Session {
    /// The endpoint was not listened to for so long, since this was called last. That does not count where
    /// it has to say something in time.
    pub fn unheard(&mut self, time: Duration) {
        self.unheard += time;
    }

    /// The time when [`Session::overdue`] has to be called, if nothing arrives until then.
    pub fn overdue_at(&self) -> Option<Instant> {
        let begun = self.order.earliest()?;
        self.begun.checked_add(begun + self.unheard + self.hub.limits.message_time_max)
    }

    /// Ends the links over which messages have begun that are not whole in time, or the session if they came
    /// over no link.
    pub fn overdue(&mut self, now: Instant) -> Step {
        self.now = now;
        let (time, most) = (time(self.begun, self.unheard, now), self.hub.limits.message_time_max);
        let paused = &self.paused;
        let late = self.order.late(time, most, |to| paused.get(to).is_some());
        let mut step = Step::Go;
        for Late { path, to } in late {
            self.hub.metrics.hit(Limit::MessageTime);
            match (path, to) {
                (SendPath::Link(link), _) => self.break_link(link, Reason::IdleTimeout),
                // An owner whose protocol has no borders does not know what its members take for a message.
                (SendPath::Member(channel, member), _) => self.kick(now, channel, member, None),
                (SendPath::Own(_) | SendPath::In(_), to) => {
                    let complaint = self.complain(to, most).into();
                    self.wrong.get_or_insert_default().complaint = Some(complaint);
                    step = Step::Close(Reason::IdleTimeout);
                }
            }
        }
        self.writes.flush();
        step
    }

    /// The error of the endpoint, in words, if the session ends because of it.
    pub fn complaint(&self) -> Option<&str> {
        self.wrong.as_ref()?.complaint.as_deref()
    }

    fn complain(&self, to: Target, most: Duration) -> String {
        let what = match self.endpoint.profile.framing {
            Framing::Messages => "a message",
            Framing::Pieces => "a chunk",
        };
        let to = match to {
            Target::Up(number) => format!("in channel {}", number.0),
            Target::Member(own, member) => {
                format!("to member {} of own channel {}", member.0, own.0)
            }
            Target::Everyone(own, _) => format!("to all members of own channel {}", own.0),
            Target::Link(link) => format!("over link {}", link.0),
        };
        format!("{what} {to} was not whole after {} s", most.as_secs())
    }
}
