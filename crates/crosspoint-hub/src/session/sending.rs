//! How a session sends messages: those to one target together, in the order in which they came, as there is room.

use super::{Held, Membership, Owned, Session, Step, overdue, owned};
use crate::batch::Batch;
use crate::channel::Audience;
use crate::command::Target;
use crate::delivery::Sent;
use crate::endpoint::{PendingWrites, Sending};
use crate::limit::Limit;
use crate::order::SendPath;
use crate::reason::Reason;
use crate::slots::Slots;
use crate::wire::Part;
use std::time::{Duration, Instant};

/// For how long a session counts as one that sends to several, after it did.
const MIXED: Duration = Duration::from_secs(60);

impl Session {
    pub(super) fn send(&mut self, now: Instant, to: Target, part: Part) -> Step {
        if self.endpoint.peer().is_none() {
            return Step::Close(Reason::Malformed);
        }
        if part.total > self.hub.limits.message_bytes_max {
            self.hub.metrics.hit(Limit::MessageBytes);
            return Step::Close(Reason::TooLarge);
        }
        let (own, entered, endpoint) = (&self.owned, &self.entered, &self.endpoint);
        let holds = |path| match path {
            SendPath::Own(number) | SendPath::Member(number, _) => owned(own, number).is_some(),
            SendPath::In(number) => entered.get(number.0).is_some(),
            SendPath::Link(number) => endpoint.links().get(number).is_some(),
        };
        let (begun, unheard) = (self.begun, self.unheard);
        let time = || overdue::time(begun, unheard, now);
        match self.order.follow(to, &part, self.endpoint.profile.framing, time, holds) {
            Ok(true) => self.gather(now, to, part),
            Ok(false) => {
                self.hub.metrics.dropped.inc();
                Step::Go
            }
            Err(reason) => Step::Close(reason),
        }
    }

    /// Puts a part to those that are sent together, or sends those first.
    pub(super) fn gather(&mut self, now: Instant, to: Target, part: Part) -> Step {
        let Err(part) = self.add(to, part) else {
            return Step::Go;
        };
        match self.send_batches(now) {
            Step::Go => match self.add(to, part) {
                Ok(()) => Step::Go,
                Err(_) => unreachable!("there is always room for one part"),
            },
            Step::Wait => {
                self.held = Some(Box::new(Held::Part(to, part)));
                Step::Wait
            }
            close => close,
        }
    }

    fn add(&mut self, to: Target, part: Part) -> Result<(), Part> {
        let own = &self.owned;
        let apart = |number| owned(own, number).is_some_and(|owned| owned.channel.is_apart());
        self.batches.add(to, part, apart)
    }

    /// Sends the collected messages. Messages for a single receiver without room stay.
    pub(super) fn send_batches(&mut self, now: Instant) -> Step {
        self.retry = None;
        while let Some(Batch { to, parts }) = self.batches.front() {
            if self.last.replace(*to).is_some_and(|last| last != *to) {
                self.switched = Some(now);
            }
            // One whose own events wait for what it says next is sent to by others.
            let is_awaited = self.endpoint.holds_events();
            let mixed = is_awaited || self.switched.is_some_and(|at| now < at + MIXED);
            let rate = self.hub.limits.receiver_bytes_per_second_min;
            let (from, paused) = (&self.endpoint, &mut self.paused);
            let sending = Sending { from, now, to: *to, mixed, rate, paused };
            let sent = route(&self.owned, &self.entered, sending, parts, &mut self.writes);
            let count = parts.len() as u64;
            let metrics = &self.hub.metrics;
            match sent {
                Sent::Congested(until) => {
                    metrics.hit(Limit::OutboxBytes);
                    self.retry = until;
                    return Step::Wait;
                }
                Sent::Refused(reason, limit) => {
                    if let Some(limit) = limit {
                        metrics.hit(limit);
                    }
                    metrics.dropped.inc_by(count);
                    let Target::Link(link) = *to else {
                        return Step::Close(reason);
                    };
                    self.batches.sent();
                    self.break_link(link, reason);
                    continue;
                }
                Sent::To(0) if !matches!(to, Target::Everyone(..)) => {
                    metrics.dropped.inc_by(count);
                }
                Sent::To(receivers) => {
                    metrics.messages_out.inc_by(count * receivers as u64);
                }
            }
            metrics.messages_in.inc_by(count);
            self.endpoint.spoke(count);
            if let Target::Up(number) = *to
                && let Some(Membership { limiter: Some(limiter), .. }) =
                    self.entered.get_mut(number.0)
            {
                let bytes = parts.iter().map(|part| part.data.len() as u64).sum();
                let (by_messages, by_bytes) = limiter.count(self.now, count, bytes);
                if by_messages.is_some() {
                    metrics.hit(Limit::RuleMessagesPerSecond);
                }
                if by_bytes.is_some() {
                    metrics.hit(Limit::RuleBytesPerSecond);
                }
                self.ruled = self.ruled.max(by_messages).max(by_bytes);
            }
            self.batches.sent();
        }
        Step::Go
    }
}

/// Hands messages to the channel that they are for.
fn route(
    own: &Slots<Owned>,
    entered: &Slots<Membership>,
    sending: Sending<'_>,
    parts: &[Part],
    writes: &mut PendingWrites,
) -> Sent {
    let (number, audience) = match sending.to {
        Target::Up(number) => {
            return match entered.get(number.0) {
                Some(Membership { channel, member: Some(member), .. }) => {
                    channel.send_up(sending, *member, parts, writes)
                }
                _ => Sent::To(0),
            };
        }
        Target::Link(number) => {
            let link = sending.from.links().get(number).cloned();
            return match link {
                Some((link, side)) => link.deliver(side, sending, parts, writes),
                None => Sent::To(0),
            };
        }
        Target::Member(number, member) => (number, Audience::Only(member)),
        Target::Everyone(number, except) => (number, Audience::AllBut(except)),
    };
    match owned(own, number) {
        Some(owned) => owned.channel.send_down(sending, audience, parts, writes),
        None => Sent::To(0),
    }
}
