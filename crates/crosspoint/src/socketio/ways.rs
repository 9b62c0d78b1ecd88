//! The links over which the program of a hub speaks to clients.

use super::error::EmitError;
use crate::Reason;
use crate::lock::lock;
use crate::node::Node;
use crate::peer::{Peer, PeerError, Who};
use bytes::Bytes;
use crosspoint_gateways::link::{FOR_REQUESTS, IDLE_TIME};
use crosspoint_hub::command::LinkOptions;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Links to clients by name. Each is opened when it is needed and kept for a while.
///
/// Who has a name may change, so a link is used for [`IDLE_TIME`] at the most and then opened anew.
#[derive(Debug)]
pub(super) struct Ways {
    node: Node,
    ways: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Box<str>, Arc<Way>>,
    /// So many are looked through.
    tidy_at: usize,
}

/// The link to one client. Who opens it has the lock, so that what is said first goes first.
#[derive(Debug, Default)]
struct Way(tokio::sync::Mutex<Option<Link>>);

#[derive(Debug)]
struct Link {
    peer: Peer,
    opened: Instant,
}

impl Link {
    fn is_fresh(&self) -> bool {
        self.peer.is_open() && self.opened.elapsed() < IDLE_TIME
    }
}

impl Known {
    const TIDY_LEAST: usize = 64;

    fn way(&mut self, name: &str) -> Arc<Way> {
        if let Some(way) = self.by_name.get(name) {
            return way.clone();
        }
        if self.by_name.len() >= self.tidy_at.max(Self::TIDY_LEAST) {
            self.by_name.retain(|_, way| way.is_needed());
            self.tidy_at = 2 * self.by_name.len();
        }
        self.by_name.entry(name.into()).or_default().clone()
    }

    /// Forgets the oldest link. Gives whether there was one.
    fn make_room(&mut self) -> bool {
        let opened = |way: &Arc<Way>| way.0.try_lock().ok()?.as_ref().map(|link| link.opened);
        let known = self.by_name.iter().filter_map(|(name, way)| Some((opened(way)?, name)));
        let oldest = known.min().map(|(_, name)| name.clone());
        oldest.and_then(|name| self.by_name.remove(&name)).is_some()
    }
}

impl Way {
    fn is_needed(&self) -> bool {
        match self.0.try_lock() {
            Ok(link) => link.as_ref().is_some_and(Link::is_fresh),
            // Somebody opens it.
            Err(_) => true,
        }
    }
}

impl Ways {
    pub(super) fn new(node: &Node) -> Self {
        Self { node: node.clone(), ways: Mutex::default() }
    }

    /// The link to the client with this name.
    pub(super) async fn to(&self, name: &str) -> Result<Peer, EmitError> {
        let way = lock(&self.ways).way(name);
        let mut link = way.0.lock().await;
        if let Some(link) = link.as_ref().filter(|link| link.is_fresh()) {
            return Ok(link.peer.clone());
        }
        let peer = self.open(name).await?;
        *link = Some(Link { peer: peer.clone(), opened: Instant::now() });
        Ok(peer)
    }

    /// Opens a link of which the client is not told.
    pub(super) async fn open(&self, name: &str) -> Result<Peer, EmitError> {
        loop {
            let to = Who::from(name).addressee().map_err(PeerError::Name)?;
            let purpose = Bytes::from_static(FOR_REQUESTS);
            let options = LinkOptions { purpose, ..LinkOptions::default() };
            match self.node.opener().open(to, None, options).await {
                Err(PeerError::Refused(Reason::NoSuchPeer)) => {
                    return Err(EmitError::NotConnected(name.to_owned()));
                }
                Err(PeerError::Refused(Reason::TooManyLinks)) if lock(&self.ways).make_room() => {}
                opened => return Ok(opened?),
            }
        }
    }
}
