//! The sessions of a server that come by requests.

use super::polled::Polled;
use crate::stream::handover::Handover;
use crosspoint_gateways::engineio::{Revision, Sid};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Sid, Arc<Polled>>>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Sid, Arc<Polled>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, for as long as what is given lives.
    pub(super) fn add(&self, sid: Sid, polled: Arc<Polled>, handover: Arc<Handover>) -> Place {
        self.lock().insert(sid, polled);
        Place { sessions: self.clone(), sid, handover }
    }

    /// The one with this id, if its client speaks this revision.
    pub(super) fn find(&self, sid: &str, revision: Revision) -> Option<Arc<Polled>> {
        let sid = Sid::parse(sid)?;
        let found = self.lock().get(&sid).cloned();
        found.filter(|polled| polled.revision() == revision)
    }
}

/// The place of a session among the others.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Sessions,
    sid: Sid,
    /// Has the right of the client to be there.
    handover: Arc<Handover>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.sid);
        self.handover.give_back();
    }
}
