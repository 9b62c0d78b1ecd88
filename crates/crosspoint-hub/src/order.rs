//! The order of a message's parts: they follow each other, with nothing between them.

use crate::command::Target;
use crate::ids::{InNumber, LinkNumber, MemberNumber, OwnNumber};
use crate::reason::Reason;
use crate::wire::{Framing, Part};
use std::collections::HashMap;

/// A channel from the sender's view. One message at a time travels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Road {
    Own(OwnNumber),
    /// A gateway that turns pieces into messages does so for each member by itself.
    Member(OwnNumber, MemberNumber),
    In(InNumber),
    Link(LinkNumber),
}

/// Messages of which some parts have come and some have not.
#[derive(Debug, Default)]
pub(crate) struct Order {
    open: HashMap<Road, Open>,
}

#[derive(Debug, PartialEq)]
struct Open {
    to: Target,
    kind: u8,
    total: u32,
    offset: u32,
}

impl Order {
    /// Takes note of a part. Gives whether it has a receiver: what continues a message whose
    /// channel has gone has none. `holds` says whether the session has the channel of a road.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if the part contradicts itself or what came before it.
    pub(crate) fn follow(
        &mut self,
        to: Target,
        part: &Part,
        framing: Framing,
        holds: impl Fn(Road) -> bool,
    ) -> Result<bool, Reason> {
        if part.is_first() && part.is_last() && self.open.is_empty() {
            return Ok(true);
        }
        let end = u64::from(part.offset) + part.data.len() as u64;
        if end > u64::from(part.total) || (part.data.is_empty() && part.total > 0) {
            return Err(Reason::Malformed);
        }
        let road = match to {
            Target::Up(number) => Road::In(number),
            Target::Link(number) => Road::Link(number),
            Target::Member(number, member) if framing == Framing::Pieces => {
                Road::Member(number, member)
            }
            Target::Member(number, _) | Target::Everyone(number, _) => Road::Own(number),
        };
        let open = Open { to, kind: part.kind, total: part.total, offset: part.offset };
        match self.open.remove(&road) {
            Some(expected) if expected != open => return Err(Reason::Malformed),
            None if !part.is_first() || !holds(road) => return Ok(false),
            _ => {}
        }
        if !part.is_last() {
            let offset = part.offset + part.data.len() as u32;
            self.open.insert(road, Open { offset, ..open });
        }
        Ok(true)
    }

    /// What was begun on a road does not go on.
    pub(crate) fn forget(&mut self, road: Road) {
        self.open.remove(&road);
    }

    /// An own channel is gone.
    pub(crate) fn forget_own(&mut self, number: OwnNumber) {
        self.open.retain(
            |road, _| !matches!(road, Road::Own(own) | Road::Member(own, _) if *own == number),
        );
    }
}
