//! Whether what a hub answers can be true.

use super::asked::Asked;
use super::error::PeerError;
use super::link::Terms;
use super::route::Route;
use crate::options::Pins;
use crate::{PeerId, PeerInfo};

impl Asked {
    /// # Errors
    /// [`PeerError::OtherPeer`] if the answer is about another peer.
    pub(crate) fn check(&self, answered: &PeerInfo) -> Result<(), PeerError> {
        if self.fits(answered) { Ok(()) } else { Err(self.contradicts(answered)) }
    }

    /// The error of an answer that cannot be one to the question.
    pub(crate) fn contradicts(&self, answered: &PeerInfo) -> PeerError {
        PeerError::OtherPeer { asked: self.clone(), answered: answered.clone() }
    }
}

impl Pins {
    /// Whether the name of a peer is pinned.
    ///
    /// # Errors
    /// [`PeerError::NotPinned`] if it is pinned to another peer.
    pub(crate) fn check(&self, answered: &PeerInfo) -> Result<bool, PeerError> {
        let name = answered.name.as_deref();
        match name.and_then(|name| Some((name, self.get(name)?))) {
            None => Ok(false),
            Some((_, pinned)) if pinned == answered.id => Ok(true),
            Some((name, pinned)) => {
                Err(PeerError::NotPinned { name: name.into(), pinned, answered: answered.id })
            }
        }
    }
}

impl Terms {
    /// Whether a link to or from the peer `far` has to be encrypted. `info` is what a hub says of the node next
    /// on the way, which is the peer itself if the route is empty.
    ///
    /// # Errors
    /// [`PeerError::NotPinned`], [`PeerError::PassedOnByPinned`]
    pub(super) fn encryption_required(
        &self,
        info: &PeerInfo,
        far: PeerId,
        route: &Route,
    ) -> Result<bool, PeerError> {
        let pins = &self.options.pins;
        let pinned = pins.check(info)?;
        let passed_on = !(route.via.is_empty() && route.from.is_empty());
        if pinned && !route.from.is_empty() {
            // The far end encrypts, so that this one's name would stand for somebody else's key.
            return Err(PeerError::PassedOnByPinned(info.clone()));
        }
        Ok(self.options.require_encryption || pins.has(far) || (pinned && !passed_on))
    }
}
