//! The order of a message's parts: they follow each other, with nothing between them, and the last one
//! comes in time.

use crate::command::Target;
use crate::ids::{JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId};
use crate::rare_map::RareMap;
use crate::reason::Reason;
use crate::wire::{Framing, Part};
use std::time::Duration;

/// A channel from the sender's view. One message at a time travels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SendPath {
    Own(OwnedChannelId),
    /// A gateway that turns pieces into messages does so for each member by itself.
    Member(OwnedChannelId, MemberNumber),
    In(JoinedChannelId),
    Link(LinkNumber),
}

impl SendPath {
    /// The one that leads to a target.
    fn to(target: Target, framing: Framing) -> Self {
        match target {
            Target::Up(number) => Self::In(number),
            Target::Link(number) => Self::Link(number),
            Target::Member(number, member) if framing == Framing::Pieces => {
                Self::Member(number, member)
            }
            Target::Member(number, _) | Target::Everyone(number, _) => Self::Own(number),
        }
    }
}

/// Messages of which some parts have come and some have not.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Most sessions send whole messages.
    open: RareMap<SendPath, Open>,
    /// When the first of them began, at the earliest: it may have ended since.
    earliest: Option<Duration>,
}

#[derive(Debug)]
struct Open {
    next: Next,
    /// In the time of the session. `None` if that counts anew from when somebody looks.
    begun: Option<Duration>,
}

/// What has to come next.
#[derive(Debug, PartialEq)]
struct Next {
    to: Target,
    kind: u8,
    total: u32,
    offset: u32,
}

/// A message that is not whole in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) path: SendPath,
    pub(crate) to: Target,
}

/// How long nobody looks again for messages that are late, after somebody has.
const PAUSE: Duration = Duration::from_secs(1);

impl Order {
    /// Takes note of a part. Gives whether it has a receiver: what continues a message whose
    /// channel has gone has none. `holds` says whether the session has the channel of a path, `time` is that
    /// of the session.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if the part contradicts itself or what came before it.
    #[inline]
    pub(crate) fn follow(
        &mut self,
        to: Target,
        part: &Part,
        framing: Framing,
        time: impl FnOnce() -> Duration,
        holds: impl Fn(SendPath) -> bool,
    ) -> Result<bool, Reason> {
        match part.is_first() && part.is_last() && self.is_empty() {
            true => Ok(true),
            false => self.follow_part(to, part, framing, time, holds),
        }
    }

    /// As [`Order::follow`], where the part is not the whole message or another message has begun.
    fn follow_part(
        &mut self,
        to: Target,
        part: &Part,
        framing: Framing,
        time: impl FnOnce() -> Duration,
        holds: impl Fn(SendPath) -> bool,
    ) -> Result<bool, Reason> {
        let end = u64::from(part.offset) + part.data.len() as u64;
        if end > u64::from(part.total) || (part.data.is_empty() && part.total > 0) {
            return Err(Reason::Malformed);
        }
        let path = SendPath::to(to, framing);
        let next = Next { to, kind: part.kind, total: part.total, offset: part.offset };
        let known = self.open.remove(&path);
        match &known {
            Some(open) if open.next != next => return Err(Reason::Malformed),
            None if !part.is_first() || !holds(path) => return Ok(false),
            _ => {}
        }
        if part.is_last() {
            self.rest();
            return Ok(true);
        }
        let begun = known.and_then(|open| open.begun).unwrap_or_else(time);
        self.earliest = Some(self.earliest.map_or(begun, |earliest| earliest.min(begun)));
        let next = Next { offset: part.offset + part.data.len() as u32, ..next };
        self.open.insert(path, Open { next, begun: Some(begun) });
        Ok(true)
    }

    /// What was begun on a path does not go on.
    pub(crate) fn forget(&mut self, path: SendPath) {
        self.open.remove(&path);
        self.rest();
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Nothing can be late where nothing is open.
    fn rest(&mut self) {
        if self.is_empty() {
            self.earliest = None;
        }
    }

    /// When the first message that is not whole began, at the earliest, in the time of the session.
    pub(crate) fn earliest(&self) -> Option<Duration> {
        self.earliest
    }

    /// The time of what goes to a target begins anew, as the sender was told to pause it until now.
    pub(crate) fn excuse(&mut self, target: Target, framing: Framing) {
        let path = SendPath::to(target, framing);
        if let Some(open) = self.open.get_mut(&path).filter(|open| open.next.to == target) {
            open.begun = None;
        }
    }

    /// Takes out what is not whole after `most`. `paused` says of a target whether its sender was told to
    /// pause it.
    pub(crate) fn late(
        &mut self,
        time: Duration,
        most: Duration,
        paused: impl Fn(&Target) -> bool,
    ) -> Vec<Late> {
        let mut late = Vec::new();
        let mut earliest: Option<Duration> = None;
        if self.is_empty() {
            return late;
        }
        self.open.retain(|path, open| {
            let mut begun = *open.begun.get_or_insert(time);
            if begun + most <= time {
                if !paused(&open.next.to) {
                    late.push(Late { path: *path, to: open.next.to });
                    return false;
                }
                begun = time;
                open.begun = Some(time);
            }
            earliest = Some(earliest.map_or(begun, |earliest| earliest.min(begun)));
            true
        });
        // A session may have very many.
        self.earliest = earliest.map(|begun| begun.max((time + PAUSE).saturating_sub(most)));
        late
    }

    /// An own channel is gone.
    pub(crate) fn forget_own(&mut self, number: OwnedChannelId) {
        self.open.retain(
            |path, _| !matches!(path, SendPath::Own(own) | SendPath::Member(own, _) if *own == number),
        );
        self.rest();
    }
}
