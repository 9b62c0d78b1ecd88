//! Typed calls of a peer.

use super::Peer;
use crate::lock::lock;
use crate::remote::{Calls, IdInUse, MESSAGE, Object};

impl Peer {
    /// The way to call objects of the other side by `#[remote]` traits:
    /// `GameCaller::new(peer.calls(), 0)`. See [`remote`](mod@crate::remote).
    pub fn calls(&self) -> &Calls {
        self.handle.core.calls()
    }

    /// Lets the other side call an object, which hears of it as [`PeerEvent::Announced`](super::PeerEvent::Announced). Calls of
    /// it are carried out in [`next`](Self::next), where a panic of theirs comes out.
    ///
    /// # Errors
    /// [`IdInUse`] if there is an object with that id.
    pub fn register(&self, id: u8, object: impl Object + 'static) -> Result<(), IdInUse> {
        let core = &self.handle.core;
        let announcement = lock(&core.objects).register(id, object)?;
        core.submit_later(MESSAGE, announcement);
        Ok(())
    }

    /// Takes an object back. Later calls of it are refused, and are
    /// [`Malicious`](super::PeerEvent::Malicious).
    pub fn unregister(&self, id: u8) -> Option<Box<dyn Object>> {
        lock(&self.handle.core.objects).remove(id)
    }
}
