//! Parts that become whole messages before their receivers get them: in rooms, where parts of two
//! senders must not be mixed, and for receivers whose protocol has no parts.
//!
//! What is gathered is charged to its sender. So a sender that leaves messages unfinished takes
//! nothing away from its receivers and from other senders.

use crate::ledger::{Account, Charge, Exhausted, Purpose};
use crate::limit::Limit;
use crate::reason::Reason;
use crate::wire::Part;
use std::sync::Arc;

/// At most one message of which not all parts have come.
#[derive(Debug, Default)]
pub(crate) struct Gathering(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    kind: u8,
    total: u32,
    bytes: Vec<u8>,
    charge: Charge,
}

/// Why the parts of a message are not kept until it is whole. The sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfinished {
    pub(crate) reason: Reason,
    /// The setting of the bound.
    pub(crate) limit: Limit,
}

impl Gathering {
    /// Whether nothing has begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes parts, and gives the messages that they make whole. A rest without its beginning is
    /// dropped, and so is a beginning without its rest.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] above [`unfinished_bytes_max`](crate::Limits::unfinished_bytes_max),
    /// [`Reason::Exhausted`] where the memory of the hub, or of the sender's address, is used up.
    pub(crate) fn receive(
        &mut self,
        sender: &Arc<Account>,
        parts: &[Part],
    ) -> Result<Vec<Part>, Unfinished> {
        let mut whole = Vec::with_capacity(parts.len());
        for part in parts {
            if part.is_first() {
                self.0 = None;
                if part.is_last() {
                    whole.push(part.clone());
                    continue;
                }
                let charge = sender.charge(Purpose::Unfinished, 0);
                let (kind, total) = (part.kind, part.total);
                self.0 = Some(Box::new(Open { kind, total, bytes: Vec::new(), charge }));
            }
            let Some(open) = &mut self.0 else { continue };
            let expected = (open.kind, open.total, open.bytes.len());
            if expected != (part.kind, part.total, part.offset as usize) {
                self.0 = None;
                continue;
            }
            if let Err(refused) = open.add(sender, &part.data) {
                self.0 = None;
                return Err(refused);
            }
            if part.is_last()
                && let Some(open) = self.0.take()
            {
                let Open { kind, total, bytes, .. } = *open;
                whole.push(Part { kind, total, offset: 0, data: bytes.into() });
            }
        }
        Ok(whole)
    }
}

impl Open {
    fn add(&mut self, sender: &Arc<Account>, data: &[u8]) -> Result<(), Unfinished> {
        let (needed, has) = (self.bytes.len() + data.len(), self.bytes.capacity());
        if needed > has {
            // What is announced is not believed, but never exceeded.
            let capacity = needed.max(2 * has).min(self.total as usize);
            let cost = size_of::<Self>() + capacity;
            if sender.unfinished_above(cost - self.charge.bytes()) {
                let (reason, limit) = (Reason::TooLarge, Limit::UnfinishedBytes);
                return Err(Unfinished { reason, limit });
            }
            let exhausted = |Exhausted { limit }| Unfinished { reason: Reason::Exhausted, limit };
            self.charge.try_resize(cost).map_err(exhausted)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}
