//! Encryption of a link from end to end (docs/peers.md, section 6).

use super::later::Later;
use super::{Core, State, now};
use crate::peer::error::PeerError;
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_proto::identity::PublicKey;
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
    pub(crate) fn remote(&self) -> Option<&PublicKey> {
        self.secure.as_ref().and_then(Secure::remote)
    }

    /// Begins the handshake, or asks the other side to, unless that has happened. If it is
    /// required, nothing plain is taken.
    pub(crate) fn begin(
        &mut self,
        core: &Core,
        required: bool,
        pin: Option<Pin>,
    ) -> Result<(), PeerError> {
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
            if let Some(unsaid) = core.terms.log.line(now()) {
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
    let identity = core.terms.options.identity.as_ref().ok_or(PeerError::NoIdentity)?;
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
    pub(crate) fn secured(&self) -> Option<Result<PublicKey, PeerError>> {
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
    pub(crate) async fn secured(self: &Arc<Self>) -> Result<PublicKey, PeerError> {
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
