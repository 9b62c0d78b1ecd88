//! The links of one connection.

use super::core::Core;
use super::forward::Lane;
use crate::budget::Charge;
use crate::shared::lock;
use crosspoint_hub::wire::Part;
use crosspoint_hub::{LinkNumber, Reason};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Where a link leads inside this program.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// To a peer's handle and the handlers.
    Peer(Arc<Core>),
    /// To another connection.
    Lane(Arc<Lane>),
}

#[derive(Debug, Default)]
pub(crate) struct Links {
    map: Mutex<HashMap<LinkNumber, Known>>,
}

#[derive(Debug)]
struct Known {
    entry: Entry,
    /// Its place among those that others have opened.
    place: Option<Charge>,
}

impl Links {
    pub(crate) fn insert(&self, link: LinkNumber, entry: Entry) {
        lock(&self.map).insert(link, Known { entry, place: None });
    }

    /// Keeps the place of a link for as long as the link is there.
    pub(crate) fn occupy(&self, link: LinkNumber, place: Charge) {
        if let Some(known) = lock(&self.map).get_mut(&link) {
            known.place = Some(place);
        }
    }

    pub(crate) fn contains(&self, link: LinkNumber) -> bool {
        lock(&self.map).contains_key(&link)
    }

    pub(crate) fn remove(&self, link: LinkNumber) -> Option<Entry> {
        lock(&self.map).remove(&link).map(|known| known.entry)
    }

    fn get(&self, link: LinkNumber) -> Option<Entry> {
        lock(&self.map).get(&link).map(|known| known.entry.clone())
    }

    /// Something has arrived. What is for a link that has ended here is dropped.
    pub(crate) async fn receive(&self, link: LinkNumber, part: Part) {
        let entry = self.get(link);
        let crowded = match entry {
            Some(Entry::Peer(core)) => core.receive(part),
            Some(Entry::Lane(lane)) => {
                lane.push(part).await;
                false
            }
            None => false,
        };
        if crowded {
            // Readers that are ready get a turn. Those that are not are not waited for.
            tokio::task::yield_now().await;
        }
    }

    /// The hub has room for what a link has to send.
    pub(crate) fn resumed(&self, link: LinkNumber) {
        let entry = self.get(link);
        if let Some(Entry::Peer(core)) = entry {
            core.resumed();
        }
    }

    /// A link has ended at the other side.
    pub(crate) fn ended(&self, link: LinkNumber, reason: Reason) {
        let entry = self.remove(link);
        end(entry, reason);
    }

    /// The connection has ended.
    pub(crate) fn end_all(&self, reason: Reason) {
        let all = std::mem::take(&mut *lock(&self.map));
        all.into_values().for_each(|known| end(Some(known.entry), reason));
    }

    /// All that lead to peers.
    pub(crate) fn cores(&self) -> Vec<Arc<Core>> {
        let core = |known: &Known| match &known.entry {
            Entry::Peer(core) => Some(core.clone()),
            Entry::Lane(_) => None,
        };
        lock(&self.map).values().filter_map(core).collect()
    }
}

fn end(entry: Option<Entry>, reason: Reason) {
    match entry {
        Some(Entry::Peer(core)) => core.ended(reason),
        Some(Entry::Lane(lane)) => lane.finish(reason),
        None => {}
    }
}
