//! The protection of a peer from anybody between the two ends.

use super::Peer;
use super::error::PeerError;
use super::link::State;
use crosspoint_hub::Reason;
use crosspoint_proto::identity::{Fingerprint, PublicKey};
use crosspoint_proto::peer::secure::{Pin, SecureError};

impl Peer {
    /// Encrypts the link from end to end, and makes sure that the other side has the key that
    /// belongs to its [id](Self::id). From then on nobody else can read or change what goes over
    /// the link, the hubs and nodes between included. If it is encrypted already, this gives the
    /// other side's fingerprint, and does nothing else.
    ///
    /// What was sent by this side before goes first, in plain. What the other side has sent in plain and was
    /// not read by then is dropped, as it may be from anybody: requests fail, and streams that are open
    /// end with the code 0, no longer wanted. Both sides need an
    /// [identity](crate::NodeBuilder::identity).
    ///
    /// # Errors
    /// [`PeerError::NoIdentity`], or [`PeerError::Closed`] with
    /// [`Unsupported`](Reason::Unsupported) if the other side has none;
    /// [`PeerError::Insecure`] and [`PeerError::TimedOut`], after which the link has ended.
    pub async fn secure(&self) -> Result<Fingerprint, PeerError> {
        self.encrypt(None).await
    }

    /// As [`secure`](Self::secure), for one who knows the other side's key or fingerprint, and not
    /// only its peer id.
    ///
    /// # Errors
    /// As there.
    pub async fn secure_with(&self, expected: Pin) -> Result<Fingerprint, PeerError> {
        self.encrypt(Some(expected)).await
    }

    /// The fingerprint of the other side's key, if the link is encrypted and everything was read that had come
    /// in plain before: all that [`next`](Self::next) gives from then on is from the one who has the key.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let state = self.handle.core.state();
        let remote = state.security.remote().filter(|_| state.plain == 0);
        remote.map(PublicKey::fingerprint)
    }

    async fn encrypt(&self, pin: Option<Pin>) -> Result<Fingerprint, PeerError> {
        let core = &self.handle.core;
        core.with(|state, _| match state.secured() {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Ok(()),
            None => state.security.begin(core, false, pin),
        })?;
        let key = core.secured().await?;
        let fits = match pin {
            None => true,
            Some(Pin::Key(expected)) => key == expected,
            Some(Pin::Fingerprint(expected)) => key.fingerprint() == expected,
        };
        if !fits {
            core.break_off(Reason::Malformed);
            return Err(PeerError::Insecure(SecureError::WrongPin(key.fingerprint())));
        }
        core.with(State::forget_plain);
        Ok(key.fingerprint())
    }
}
