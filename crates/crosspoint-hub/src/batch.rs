//! Messages that one session has sent and that are handed over together.
//!
//! Handing a message to a thousand receivers costs most for finding each of them in memory, so
//! whatever arrived in one read goes to each receiver at once.

use crate::command::Target;
use crate::ids::OwnedChannelId;
use crate::wire::Part;
use std::collections::VecDeque;

/// Messages to one target.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) to: Target,
    pub(crate) parts: Vec<Part>,
}

/// Messages to some targets. Each receiver gets its messages in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    list: VecDeque<Batch>,
    parts: usize,
    bytes: usize,
    /// How many parts the last batch had. The next is likely to be as large, and is not made to grow.
    expected: usize,
}

impl Batches {
    /// Parts that are sent together at most.
    const PARTS_MAX: usize = 1024;
    /// Bytes that are sent together at most, unless it is one part. Whether a receiver has room is
    /// asked once for all that is sent together.
    const BYTES_MAX: usize = 64 * 1024;
    /// Targets at most; each is looked at for each message.
    const TARGETS_MAX: usize = 16;

    /// Adds a part, or gives it back if what is there has to be sent before. `apart` says of an
    /// own channel that its members have no other channel, so that nobody can tell in which order
    /// messages to it and to another such channel were sent.
    pub(crate) fn add(
        &mut self,
        to: Target,
        part: Part,
        apart: impl Fn(OwnedChannelId) -> bool,
    ) -> Result<(), Part> {
        if self.parts >= Self::PARTS_MAX
            || (self.parts > 0 && self.bytes + part.data.len() > Self::BYTES_MAX)
        {
            return Err(part);
        }
        let index = match self.list.back() {
            Some(last) if last.to == to => self.list.len() - 1,
            Some(_) => match self.place(to, apart) {
                Some(index) => index,
                None => return Err(part),
            },
            None => 0,
        };
        if index == self.list.len() {
            // Only for the first target: the others would take as much each.
            let expected = std::mem::take(&mut self.expected);
            self.list.push_back(Batch { to, parts: Vec::with_capacity(expected) });
        }
        self.parts += 1;
        self.bytes += part.data.len();
        self.list[index].parts.push(part);
        Ok(())
    }

    /// Where messages to a target can go without changing the order for any receiver.
    fn place(&self, to: Target, apart: impl Fn(OwnedChannelId) -> bool) -> Option<usize> {
        let channel = |to| match to {
            Target::Everyone(own, _) => Some(own),
            Target::Up(_) | Target::Member(..) | Target::Link(_) => None,
        };
        let own = channel(to).filter(|own| apart(*own))?;
        let mut index = self.list.len();
        for (at, batch) in self.list.iter().enumerate() {
            let other = channel(batch.to).filter(|other| apart(*other))?;
            match batch.to == to {
                true => index = at,
                // The same channel, but not the same members of it.
                false if other == own => return None,
                false => {}
            }
        }
        (index < Self::TARGETS_MAX).then_some(index)
    }

    /// What has to be sent next.
    pub(crate) fn front(&self) -> Option<&Batch> {
        self.list.front()
    }

    /// The memory of what waits to be sent, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let parts: usize = self.list.iter().map(|batch| batch.parts.capacity()).sum();
        self.bytes + parts * size_of::<Part>()
    }

    /// What was first has been sent.
    pub(crate) fn sent(&mut self) {
        if let Some(sent) = self.list.pop_front() {
            self.expected = sent.parts.len();
        }
        if self.list.is_empty() {
            self.parts = 0;
            self.bytes = 0;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JoinedChannelId, MemberNumber};

    fn all(own: u32) -> Target {
        Target::Everyone(OwnedChannelId(own), None)
    }

    /// Adds one message for each target, and shows how they were put together.
    fn gather(targets: &[Target], apart: bool) -> (Vec<(Target, usize)>, usize) {
        let mut batches = Batches::default();
        let taken = targets
            .iter()
            .take_while(|to| batches.add(**to, Part::whole(&b"x"[..]), |_| apart).is_ok())
            .count();
        (batches.list.iter().map(|batch| (batch.to, batch.parts.len())).collect(), taken)
    }

    #[test]
    fn messages_to_channels_without_common_members_go_together() {
        let (batches, taken) = gather(&[all(0), all(1), all(0), all(1)], true);
        assert_eq!((batches, taken), (vec![(all(0), 2), (all(1), 2)], 4));
    }

    #[test]
    fn where_somebody_could_see_the_order_what_is_there_goes_first() {
        assert_eq!(gather(&[all(0), all(0), all(1)], false).1, 2);
        let but = Target::Everyone(OwnedChannelId(0), Some(MemberNumber(3)));
        assert_eq!(gather(&[all(0), but], true).1, 1);
        assert_eq!(gather(&[all(1), all(0), but], true).1, 2);
        let one = Target::Member(OwnedChannelId(1), MemberNumber(0));
        assert_eq!(gather(&[all(0), one], true).1, 1);
        assert_eq!(gather(&[one, all(0)], true).1, 1);
        assert_eq!(gather(&[Target::Up(JoinedChannelId(0)), all(0)], true).1, 1);
    }

    #[test]
    fn a_batch_is_bounded_in_parts_bytes_and_targets() {
        assert_eq!(gather(&[all(0); 2000], true).1, Batches::PARTS_MAX);
        let many: Vec<_> = (0..40).map(all).collect();
        assert_eq!(gather(&many, true).1, Batches::TARGETS_MAX);
        let mut batches = Batches::default();
        let large = || Part::whole(vec![0; Batches::BYTES_MAX]);
        assert!(batches.add(all(0), large(), |_| true).is_ok());
        assert!(batches.add(all(0), Part::whole(&b"x"[..]), |_| true).is_err());
    }
}
