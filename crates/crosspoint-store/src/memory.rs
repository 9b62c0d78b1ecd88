//! Messages in memory.

use crate::messages::{Change, Entry, Kept, MessageStore, StoreError};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Keeps messages until the program ends.
#[derive(Debug, Default)]
pub struct Memory {
    messages: HashMap<Arc<str>, BTreeMap<u64, (u64, Bytes)>>,
    next: u64,
}

impl MessageStore for Memory {
    fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError> {
        let entries = self.messages.iter().flat_map(|(to, messages)| {
            messages.iter().map(|(number, (since_ms, data))| Entry {
                to: to.clone(),
                number: *number,
                since_ms: *since_ms,
                bytes: data.len() as u32,
            })
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|entry| entry.number);
        entries.into_iter().for_each(each);
        Ok(self.next)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Keep { entry, data } => {
                    let messages = self.messages.entry(entry.to.clone()).or_default();
                    messages.insert(entry.number, (entry.since_ms, data.clone()));
                    self.next = self.next.max(entry.number + 1);
                }
                Change::Forget { to, number } => {
                    if let Some(messages) = self.messages.get_mut(to) {
                        messages.remove(number);
                        if messages.is_empty() {
                            self.messages.remove(to);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, to: &str, from: u64, bytes_max: usize) -> Result<Vec<Kept>, StoreError> {
        let Some(messages) = self.messages.get(to) else { return Ok(Vec::new()) };
        let mut bytes = 0_usize;
        let fits = |(index, kept): &(usize, Kept)| {
            bytes = bytes.saturating_add(kept.data.len());
            *index == 0 || bytes <= bytes_max
        };
        let kept = messages.range(from..);
        let kept = kept.map(|(number, (_, data))| Kept { number: *number, data: data.clone() });
        Ok(kept.enumerate().take_while(fits).map(|(_, kept)| kept).collect())
    }
}
