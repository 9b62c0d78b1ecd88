//! The switch to encryption as a state machine (section 8).
//!
//! When both sides of the original call for it at once, each takes the other's call for an answer, and
//! their keys differ. Between two peers of this kind the call and the answer are marked by a field that
//! the original skips, and both take the same side for the initiator. When the other one is an original,
//! nothing tells a call from an answer; then the first packet that it encrypts does.

use super::{CipherError, Initiator, KeyPair, Offer, Random, Sealer};
use crate::anysocket::id::Id;
use crate::value::{Json, NotJson};
use bytes::Bytes;
use crosspoint_hub::PeerId;
use serde::Deserialize;
use std::borrow::Cow;

/// The largest body of a SWITCH packet that is looked at.
const BODY_BYTES_MAX: usize = 4096;

/// What a SWITCH is meant as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Calls for encryption.
    Start,
    /// Answers such a call.
    Answer,
}

/// The body of a SWITCH packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Key and nonce of its sender.
    pub offer: Offer,
    /// `None` in those of the original.
    pub step: Option<Step>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    step: Option<Cow<'a, str>>,
}

impl Body {
    /// Reads a body.
    ///
    /// # Errors
    /// [`SwitchError::NotJson`], [`CipherError::BadKey`]
    pub fn parse(body: &[u8]) -> Result<Self, SwitchError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(CipherError::BadKey.into());
        }
        let fields: Fields = serde_json::from_slice(body).map_err(NotJson)?;
        let step = match fields.step.as_deref() {
            Some("start") => Some(Step::Start),
            Some("answer") => Some(Step::Answer),
            _ => None,
        };
        Ok(Self { offer: Offer::parse(&fields.key, &fields.nonce)?, step })
    }

    /// The body of a packet.
    pub fn to_json(&self) -> Json {
        let (key, nonce) = (self.offer.key_text(), self.offer.nonce_text());
        let step = match self.step {
            Some(Step::Start) => r#","step":"start""#,
            Some(Step::Answer) => r#","step":"answer""#,
            None => "",
        };
        Json::made(format!(r#"{{"type":2,"key":"{key}","nonce":"{nonce}"{step}}}"#))
    }
}

/// Why there is no switch. If it came from the other side's packet, the link should end.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Called twice, or when the link is encrypted already.
    #[error("the link is encrypted already, or about to be; there is only one switch")]
    Already,
    /// The other side's id is no text, number or boolean, so that no key can be made of it.
    #[error("no encryption with a peer whose id is an array or object")]
    Id,
    /// The body of the packet is no object in JSON, or lacks a field.
    #[error("the SWITCH packet is {0}")]
    NotJson(#[from] NotJson),
    /// The key or nonce.
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

/// Where a link is on its way to encryption.
#[derive(Debug, Default)]
pub enum Switch {
    /// Plain.
    #[default]
    Plain,
    /// This side has called for encryption.
    Started(Box<KeyPair>),
    /// Encrypted.
    Sealed(Box<Sealed>),
}

/// The keys of an encrypted link.
#[derive(Debug)]
pub struct Sealed {
    sealer: Sealer,
    /// The keys if the other side takes itself for the initiator: it may have called at the same time.
    other: Option<Sealer>,
    /// Whether the other side says what its SWITCH is meant as, as the original does not.
    marked: bool,
}

/// What became of the other side's SWITCH.
#[derive(Debug)]
pub enum Taken {
    /// It called; this is to be sent, and everything behind it encrypted.
    Answer(Json),
    /// It has answered, or called at the same time; everything from now on is encrypted.
    Done,
}

impl Switch {
    /// Calls for encryption. Gives the body of the SWITCH packet to send; nothing else may be sent behind it
    /// until the other side has answered. `mark` adds the field that tells a call from an answer.
    ///
    /// # Errors
    /// [`SwitchError::Already`], [`CipherError::NoRandom`]
    pub fn start(&mut self, random: &mut dyn Random, mark: bool) -> Result<Json, SwitchError> {
        let Self::Plain = self else {
            return Err(SwitchError::Already);
        };
        let pair = KeyPair::generate(random)?;
        let body = Body { offer: pair.offer(), step: mark.then_some(Step::Start) };
        *self = Self::Started(Box::new(pair));
        Ok(body.to_json())
    }

    /// Takes the other side's SWITCH. `sent` says whether our own, if there is one, has left already: one
    /// that has not becomes the answer.
    ///
    /// # Errors
    /// [`SwitchError`]; the state is as it was.
    pub fn receive(
        &mut self,
        random: &mut dyn Random,
        body: &[u8],
        ids: (PeerId, &Id),
        mark: bool,
        sent: bool,
    ) -> Result<Taken, SwitchError> {
        if matches!(self, Self::Sealed(_)) {
            return Err(SwitchError::Already);
        }
        let theirs = Body::parse(body)?;
        let ours = ids.0.to_string();
        let their_id = ids.1.text().ok_or(SwitchError::Id)?;
        let fresh;
        let (pair, waits) = match self {
            Self::Started(pair) => (&**pair, sent),
            _ => {
                fresh = KeyPair::generate(random)?;
                (&fresh, false)
            }
        };
        let session = |initiator| {
            let id = match initiator {
                Initiator::We => &ours,
                Initiator::They => &their_id,
            };
            pair.agree(&theirs.offer, initiator, id)
        };
        let offer = pair.offer();
        let (initiator, other) = match theirs.step {
            _ if !waits => (Initiator::They, None),
            Some(Step::Answer) => (Initiator::We, None),
            // The one with the smaller id; both sides know both.
            Some(Step::Start) => {
                let we = (&ours, offer.nonce) < (&their_id, theirs.offer.nonce);
                (if we { Initiator::We } else { Initiator::They }, None)
            }
            None => (Initiator::We, Some(session(Initiator::They)?)),
        };
        let sealer = session(initiator)?;
        let marked = theirs.step.is_some();
        *self = Self::Sealed(Box::new(Sealed { sealer, other, marked }));
        if waits {
            return Ok(Taken::Done);
        }
        Ok(Taken::Answer(Body { offer, step: mark.then_some(Step::Answer) }.to_json()))
    }

    /// The keys, if the link is encrypted.
    pub fn sealed(&mut self) -> Option<&mut Sealed> {
        match self {
            Self::Sealed(sealed) => Some(sealed),
            _ => None,
        }
    }
}

impl Sealed {
    /// As [`Sealer::seal`].
    ///
    /// # Errors
    /// [`CipherError::NoRandom`]
    pub fn seal(
        &self,
        random: &mut dyn Random,
        seq: i32,
        text: &[u8],
    ) -> Result<Bytes, CipherError> {
        self.sealer.seal(random, seq, text)
    }

    /// As [`Sealer::open`]. The first packet decides which side was the initiator.
    ///
    /// # Errors
    /// [`CipherError::Undecryptable`]
    pub fn open(&mut self, seq: i32, body: &[u8]) -> Result<Bytes, CipherError> {
        let opened = self.sealer.open(seq, body);
        let Some(other) = self.other.take() else {
            return opened;
        };
        if opened.is_ok() {
            return opened;
        }
        let opened = other.open(seq, body);
        match opened {
            Ok(_) => self.sealer = other,
            Err(_) => self.other = Some(other),
        }
        opened
    }

    /// Whether nothing tells yet which side was the initiator.
    pub fn is_doubtful(&self) -> bool {
        self.other.is_some()
    }

    /// Whether the other side's SWITCH said what it was meant as.
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// As [`Sealer::fingerprint`].
    pub fn fingerprint(&self) -> &[u8; 32] {
        self.sealer.fingerprint()
    }
}
