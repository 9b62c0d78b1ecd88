//! The links of one connection.

use super::budget::Charge;
use crate::lock::lock;
use crosspoint_hub::wire::Part;
use crosspoint_hub::{LinkNumber, Reason};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

/// What is at this end of a link.
pub(crate) trait LinkEnd: Send + Sync + fmt::Debug {
    /// A part has arrived.
    fn receive(self: Arc<Self>, part: Part) -> Flow;

    /// The hub has room for what waits to be sent.
    fn resumed(self: Arc<Self>);

    /// The other side has ended the link, or the connection is lost.
    fn ended(self: Arc<Self>, reason: Reason);
}

/// How the connection goes on after a part.
pub(crate) enum Flow {
    /// At once.
    Go,
    /// After readers that are ready have had a turn. Those that are not are not waited for.
    Yield,
    /// After this.
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
}

#[derive(Debug, Default)]
pub(crate) struct Links {
    map: Mutex<HashMap<LinkNumber, Known>>,
}

#[derive(Debug)]
struct Known {
    end: Arc<dyn LinkEnd>,
    /// Its place among those that others have opened.
    place: Option<Charge>,
}

impl Links {
    pub(crate) fn insert(&self, link: LinkNumber, end: Arc<dyn LinkEnd>) {
        lock(&self.map).insert(link, Known { end, place: None });
    }

    /// Keeps the place of a link for as long as the link is there.
    pub(super) fn occupy(&self, link: LinkNumber, place: Charge) {
        if let Some(known) = lock(&self.map).get_mut(&link) {
            known.place = Some(place);
        }
    }

    pub(super) fn contains(&self, link: LinkNumber) -> bool {
        lock(&self.map).contains_key(&link)
    }

    pub(crate) fn remove(&self, link: LinkNumber) -> Option<Arc<dyn LinkEnd>> {
        lock(&self.map).remove(&link).map(|known| known.end)
    }

    fn get(&self, link: LinkNumber) -> Option<Arc<dyn LinkEnd>> {
        lock(&self.map).get(&link).map(|known| known.end.clone())
    }

    /// Something has arrived. What is for a link that has ended here is dropped.
    pub(super) async fn receive(&self, link: LinkNumber, part: Part) {
        let end = self.get(link);
        match end.map_or(Flow::Go, |end| end.receive(part)) {
            Flow::Go => {}
            Flow::Yield => tokio::task::yield_now().await,
            Flow::Wait(ready) => ready.await,
        }
    }

    /// The hub has room for what a link has to send.
    pub(super) fn resumed(&self, link: LinkNumber) {
        let end = self.get(link);
        if let Some(end) = end {
            end.resumed();
        }
    }

    /// A link has ended at the other side.
    pub(super) fn ended(&self, link: LinkNumber, reason: Reason) {
        let end = self.remove(link);
        if let Some(end) = end {
            end.ended(reason);
        }
    }

    /// The connection has ended.
    pub(super) fn end_all(&self, reason: Reason) {
        let all = std::mem::take(&mut *lock(&self.map));
        all.into_values().for_each(|known| known.end.ended(reason));
    }
}
