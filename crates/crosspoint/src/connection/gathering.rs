//! Whole messages of channels and rooms out of parts, at the expense of those who send them.

use super::budget::{Budget, Charge, Source};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::reassembly::Reassembly;
use crosspoint_hub::wire::{Part, Place};
use std::collections::HashMap;
use std::sync::Arc;

/// What became of a part.
pub(crate) enum Gathered {
    /// A message of this kind is whole.
    Whole(u8, Bytes),
    /// More has to come.
    Begun,
    /// Its sender has too much begun already. The message is dropped.
    TooMuch,
}

/// What has begun over one connection. Each place has one message at a time.
#[derive(Debug)]
pub(crate) struct Gathering {
    reassembly: Reassembly,
    charges: HashMap<Place, Charge>,
    budget: Arc<Budget>,
}

impl Gathering {
    /// What has begun is charged in multiples of this, so that little ones are no cheaper than they are.
    const STEP_BYTES: usize = 4096;

    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        let (reassembly, charges) = (Reassembly::default(), HashMap::new());
        Self { reassembly, charges, budget: budget.clone() }
    }

    /// Takes a part.
    ///
    /// # Errors
    /// Those of [`Reassembly::receive`].
    pub(crate) fn receive(
        &mut self,
        place: Place,
        source: Source,
        part: Part,
        bytes_max: u32,
    ) -> Result<Gathered, Reason> {
        if let Some((kind, data)) = self.reassembly.receive(place, part, bytes_max)? {
            if !self.charges.is_empty() {
                self.charges.remove(&place);
            }
            return Ok(Gathered::Whole(kind, data));
        }
        let bytes = self.reassembly.begun(place).next_multiple_of(Self::STEP_BYTES);
        let charge = self.charges.entry(place).or_insert_with(|| Charge::new(&self.budget, source));
        if charge.set(bytes) {
            return Ok(Gathered::Begun);
        }
        self.forget(|gone| *gone == place);
        Ok(Gathered::TooMuch)
    }

    /// Forgets what has begun at places that are gone.
    pub(crate) fn forget(&mut self, gone: impl Fn(&Place) -> bool) {
        self.reassembly.forget(&gone);
        self.charges.retain(|place, _| !gone(place));
    }
}
