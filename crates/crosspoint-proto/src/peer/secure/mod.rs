//! End-to-end encryption of a link (docs/peers.md, section 6): nobody but the peer with the
//! expected peer id can read or change what goes over it, the hubs between included.
//!
//! ```
//! use crosspoint_proto::identity::Identity;
//! use crosspoint_proto::peer::secure::{Options, Role, Secure};
//!
//! let (anna, bert) = (Identity::from_bytes(&[1; 32]), Identity::from_bytes(&[2; 32]));
//! // In real life the last 32 bytes come from the system's random source.
//! let mut opener =
//!     Secure::new(Role::Initiator, &anna, bert.peer_id(), Options::default(), [3; 32])?;
//! let mut accepter =
//!     Secure::new(Role::Responder, &bert, anna.peer_id(), Options::default(), [4; 32])?;
//! while !(opener.is_ready() && accepter.is_ready()) {
//!     // Each travels as a message of the kind HANDSHAKE.
//!     if let Some(body) = opener.transmit() {
//!         accepter.receive(&body)?;
//!     }
//!     if let Some(body) = accepter.transmit() {
//!         opener.receive(&body)?;
//!     }
//! }
//! // And this one as a message of the kind SEALED.
//! let sealed = opener.seal(0x10, b"hello")?;
//! assert_eq!(accepter.open(&sealed)?, (0x10, "hello".into()));
//! # Ok::<(), crosspoint_proto::peer::secure::SecureError>(())
//! ```

mod cipher;
mod error;
mod noise;
mod records;

pub use error::SecureError;
pub use records::{REKEY_RECORDS, sealed_bytes};

use crate::identity::{Fingerprint, Identity, PublicKey};
use bytes::Bytes;
use crosspoint_hub::PeerId;
use noise::Noise;
use records::Direction;
use std::fmt;

/// The kind of a handshake message.
pub const HANDSHAKE: u8 = 0x20;

/// The kind of a sealed message.
pub const SEALED: u8 = 0x21;

/// Which side of the link this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The opener of the link. It sends the first handshake message.
    Initiator,
    /// The accepter. It may [ask](Secure::ask) the other side to begin.
    Responder,
}

/// What the key of a peer has to be, if more is known than its peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// This key.
    Key(PublicKey),
    /// A key with this fingerprint.
    Fingerprint(Fingerprint),
}

impl Pin {
    fn admits(&self, key: &PublicKey) -> bool {
        match self {
            Self::Key(pinned) => pinned == key,
            Self::Fingerprint(pinned) => *pinned == key.fingerprint(),
        }
    }
}

/// How strict and how large.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The most bytes of a message's body, before it is sealed and after it is opened. 16 MiB
    /// unless set. What a link carries has to be larger: see [`sealed_bytes`].
    pub message_bytes_max: usize,
    /// The key that the peer has to have. Any with the expected peer id unless set.
    pub pin: Option<Pin>,
    /// Whether messages of the other side are taken that came before its first handshake message.
    /// Not unless set: nobody knows from whom they are.
    pub plain_before: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { message_bytes_max: 16 << 20, pin: None, plain_before: false }
    }
}

/// How far the handshake is after one of its messages. [`Secure::transmit`] may have something in
/// either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Another message of the other side is needed.
    Waiting,
    /// The other side is the expected peer. Once all is transmitted, messages can be sealed.
    Ready,
}

/// The encryption of one link, from its first handshake message to its end.
pub struct Secure {
    state: State,
    peer: PeerId,
    options: Options,
    outgoing: Option<Bytes>,
    /// The other side has sent a handshake message: from then on it sends nothing plain.
    other_began: bool,
    /// The empty handshake message was sent or received.
    asked: bool,
}

enum State {
    Handshake(Box<Noise>),
    Ready { remote: PublicKey, sends: Direction, receives: Direction },
    Broken,
}

impl Secure {
    /// The encryption of a link to the peer with this id. `random` are 32 fresh bytes from the
    /// system's random source, used for nothing else: anyone who knows them can read the link.
    ///
    /// # Errors
    /// [`SecureError::SameIdentity`] if the peer has this side's own id.
    pub fn new(
        role: Role,
        identity: &Identity,
        peer: PeerId,
        options: Options,
        random: [u8; 32],
    ) -> Result<Self, SecureError> {
        if identity.peer_id() == peer {
            return Err(SecureError::SameIdentity(peer));
        }
        let mut noise = Noise::new(role, identity, peer, random);
        let outgoing = match role {
            Role::Initiator => Some(noise.write()?),
            Role::Responder => None,
        };
        let state = State::Handshake(Box::new(noise));
        Ok(Self { state, peer, options, outgoing, other_began: false, asked: false })
    }

    /// Asks the other side to begin, if this side cannot and the other has not. To be followed by
    /// [`Secure::transmit`].
    pub fn ask(&mut self) {
        let State::Handshake(noise) = &self.state else { return };
        let may_ask = noise.expects() == Some(noise::MESSAGE_BYTES[0]);
        if may_ask && !self.asked {
            self.asked = true;
            self.outgoing = Some(Bytes::new());
        }
    }

    /// The body of the next HANDSHAKE to send.
    pub fn transmit(&mut self) -> Option<Bytes> {
        self.outgoing.take()
    }

    /// Whether messages can be sealed: the handshake is done, and nothing of it is left to
    /// transmit.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. }) && self.outgoing.is_none()
    }

    /// The other side's key, when the handshake is done.
    pub fn remote(&self) -> Option<&PublicKey> {
        match &self.state {
            State::Ready { remote, .. } => Some(remote),
            State::Handshake(_) | State::Broken => None,
        }
    }

    /// Takes the body of a HANDSHAKE.
    ///
    /// # Errors
    /// Any about the handshake; all break the encryption.
    pub fn receive(&mut self, body: &[u8]) -> Result<Progress, SecureError> {
        self.other_began = true;
        self.breaking(|secure| secure.handshake(body))
    }

    /// Checks a message of another kind than HANDSHAKE and SEALED that came as it is. On `Ok` it
    /// may be used.
    ///
    /// # Errors
    /// [`SecureError::Plain`] if it had to be sealed; this breaks the encryption.
    pub fn plain(&mut self, kind: u8) -> Result<(), SecureError> {
        let allowed = self.options.plain_before && !self.other_began;
        self.breaking(|secure| match secure.state {
            State::Broken => Err(SecureError::Broken),
            _ if allowed => Ok(()),
            _ => Err(SecureError::Plain(kind)),
        })
    }

    /// The body of the SEALED that carries this message. They must be sent in the order in which
    /// they were sealed.
    ///
    /// # Errors
    /// [`SecureError::NotReady`] before [`Secure::is_ready`], [`SecureError::TooLarge`],
    /// [`SecureError::Nested`], [`SecureError::Exhausted`], [`SecureError::Broken`]. None of these
    /// breaks anything.
    pub fn seal(&mut self, kind: u8, body: &[u8]) -> Result<Bytes, SecureError> {
        match &mut self.state {
            State::Ready { sends, .. } if self.outgoing.is_none() => {
                sends.seal(kind, body, self.options.message_bytes_max)
            }
            State::Ready { .. } | State::Handshake(_) => Err(SecureError::NotReady),
            State::Broken => Err(SecureError::Broken),
        }
    }

    /// Kind and body of the message in the body of a SEALED.
    ///
    /// # Errors
    /// Any about sealed messages; all break the encryption.
    pub fn open(&mut self, sealed: &[u8]) -> Result<(u8, Bytes), SecureError> {
        let most = self.options.message_bytes_max;
        self.breaking(|secure| match &mut secure.state {
            State::Ready { receives, .. } => receives.open(sealed, most),
            State::Handshake(_) => Err(SecureError::NotReady),
            State::Broken => Err(SecureError::Broken),
        })
    }

    /// Does it, and throws the keys away if it fails.
    fn breaking<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, SecureError>,
    ) -> Result<T, SecureError> {
        let done = step(self);
        if done.is_err() {
            self.state = State::Broken;
            self.outgoing = None;
        }
        done
    }

    fn handshake(&mut self, body: &[u8]) -> Result<Progress, SecureError> {
        // Broken, should anything below fail or return early with an error.
        let mut noise = match std::mem::replace(&mut self.state, State::Broken) {
            State::Handshake(noise) => noise,
            State::Ready { .. } => return Err(SecureError::HandshakeNotDue),
            State::Broken => return Err(SecureError::Broken),
        };
        let expected = noise.expects().ok_or(SecureError::HandshakeNotDue)?;
        if body.is_empty() {
            // "Please begin": to the opener only, once, and before the accepter's first answer.
            if self.asked || expected != noise::MESSAGE_BYTES[1] {
                return Err(SecureError::HandshakeNotDue);
            }
            self.asked = true;
            self.state = State::Handshake(noise);
            return Ok(Progress::Waiting);
        }
        if body.len() != expected {
            return Err(SecureError::HandshakeLength { expected, found: body.len() });
        }
        noise.read(body)?;
        let remote = noise.remote();
        if let Some(key) = &remote {
            self.authenticate(key)?;
        }
        if noise.has_to_write() {
            self.outgoing = Some(noise.write()?);
        }
        match remote {
            Some(remote) if noise.is_finished() => {
                let (sends, receives) = noise.finish();
                self.state = State::Ready { remote, sends, receives };
                Ok(Progress::Ready)
            }
            _ => {
                self.state = State::Handshake(noise);
                Ok(Progress::Waiting)
            }
        }
    }

    fn authenticate(&self, key: &PublicKey) -> Result<(), SecureError> {
        let (expected, found) = (self.peer, key.peer_id());
        if found != expected {
            return Err(SecureError::WrongIdentity { expected, found });
        }
        if self.options.pin.is_some_and(|pin| !pin.admits(key)) {
            return Err(SecureError::WrongPin(key.fingerprint()));
        }
        Ok(())
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Handshake(_) => "handshake",
            State::Ready { .. } => "ready",
            State::Broken => "broken",
        };
        f.debug_struct("Secure").field("state", &state).field("peer", &self.peer).finish()
    }
}
