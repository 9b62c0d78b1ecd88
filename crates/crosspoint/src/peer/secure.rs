//! Encryption of a link from end to end (docs/peers.md, section 6).

use super::core::{Core, State, now};
use super::later::Later;
use super::{Peer, PeerError};
use crate::Reason;
use bytes::Bytes;
use crosspoint_proto::identity::{Fingerprint, PublicKey};
use crosspoint_proto::peer::secure::{
    HANDSHAKE, Options, Pin, Progress, Role, SEALED, Secure, SecureError,
};
use crosspoint_proto::peer::{Machine, Side};
use std::sync::Arc;
use std::time::Duration;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The encryption of a link, if there is any.
#[derive(Debug, Default)]
pub(crate) struct Security {
    secure: Option<Secure>,
    /// Why it has failed.
    broken: Option<SecureError>,
}

impl Security {
    /// Whether the other side is known and all is sealed from now on.
    pub(super) fn remote(&self) -> Option<&PublicKey> {
        self.secure.as_ref().and_then(Secure::remote)
    }

    /// Begins the handshake, or asks the other side to, unless that has happened. If it is
    /// required, nothing plain is taken.
    fn begin(&mut self, core: &Core, required: bool, pin: Option<Pin>) -> Result<(), PeerError> {
        if self.secure.is_none() {
            let mut secure = create(core, required, pin)?;
            secure.ask();
            self.secure = Some(secure);
        }
        Ok(())
    }

    /// Takes what has arrived. Gives the message for the machine, if it is one.
    pub(super) fn receive(
        &mut self,
        core: &Core,
        kind: u8,
        body: Bytes,
        later: &mut Later,
    ) -> Result<Option<(u8, Bytes)>, Reason> {
        if kind == HANDSHAKE && self.secure.is_none() {
            self.secure = Some(create(core, false, None).map_err(|error| match error {
                PeerError::NoIdentity => Reason::Unsupported,
                PeerError::NoRandomness(_) => Reason::Internal,
                _ => Reason::Malformed,
            })?);
        }
        let Some(secure) = &mut self.secure else {
            return match kind {
                SEALED => Err(Reason::Malformed),
                _ => Ok(Some((kind, body))),
            };
        };
        let opened = match kind {
            HANDSHAKE => secure.receive(&body).map(|progress| {
                if progress == Progress::Ready {
                    later.secured();
                }
                None
            }),
            SEALED => secure.open(&body).map(Some),
            _ => secure.plain(kind).map(|()| Some((kind, body))),
        };
        opened.map_err(|error| {
            if let Some(unsaid) = core.common.log.line(now()) {
                tracing::warn!(link = %core.link, peer = %core.far, %error, unsaid, "a link is not secure");
            }
            self.broken = Some(error);
            Reason::Malformed
        })
    }

    /// The next message to send, sealed if it has to be.
    pub(super) fn transmit(
        &mut self,
        machine: &mut Machine,
        clock_us: u64,
    ) -> Result<Option<(u8, Bytes)>, Reason> {
        let Some(secure) = &mut self.secure else {
            return Ok(machine.transmit(clock_us));
        };
        if let Some(body) = secure.transmit() {
            return Ok(Some((HANDSHAKE, body)));
        }
        if !secure.is_ready() {
            return Ok(None);
        }
        let Some((kind, body)) = machine.transmit(clock_us) else {
            return Ok(None);
        };
        match secure.seal(kind, &body) {
            Ok(sealed) => Ok(Some((SEALED, sealed))),
            Err(error) => {
                self.broken = Some(error);
                Err(Reason::Internal)
            }
        }
    }

    /// Throws the keys away.
    pub(super) fn end(&mut self) {
        self.secure = None;
    }
}

fn create(core: &Core, required: bool, pin: Option<Pin>) -> Result<Secure, PeerError> {
    let identity = core.common.settings.identity.as_ref().ok_or(PeerError::NoIdentity)?;
    let role = match core.side {
        Side::Opener => Role::Initiator,
        Side::Accepter => Role::Responder,
    };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| PeerError::NoRandomness(error.to_string()))?;
    let options = Options { pin, plain_before: !required, ..Options::default() };
    Secure::new(role, identity, core.far, options, random).map_err(PeerError::Insecure)
}

impl State {
    /// The key of the other side, once the handshake is done.
    fn secured(&self) -> Option<Result<PublicKey, PeerError>> {
        if let Some(error) = self.security.broken {
            return Some(Err(PeerError::Insecure(error)));
        }
        if let Err(error) = self.check_open() {
            return Some(Err(error));
        }
        self.security.remote().map(|key| Ok(*key))
    }
}

impl Core {
    /// Takes nothing plain, and begins the handshake.
    pub(crate) fn require_encryption(self: &Arc<Self>) -> Result<(), PeerError> {
        self.with(|state, _| state.security.begin(self, true, None))
    }

    /// Waits for the end of the handshake, but not for ever: then the link ends.
    pub(super) async fn secured(self: &Arc<Self>) -> Result<PublicKey, PeerError> {
        let secured = async {
            loop {
                let mut changed = std::pin::pin!(self.secured.notified());
                changed.as_mut().enable();
                let known = self.state().secured();
                if let Some(known) = known {
                    return known;
                }
                changed.await;
            }
        };
        let secured = tokio::time::timeout(HANDSHAKE_MAX, secured).await;
        secured.unwrap_or_else(|_elapsed| {
            self.break_off(Reason::HandshakeTimeout);
            Err(PeerError::TimedOut)
        })
    }
}

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
