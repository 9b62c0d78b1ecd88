//! What shows that a connection belongs to a session (docs/resume.md, section 3).
//!
//! On a connection without TLS the token itself is shown. A session that begins over TLS is bound: its client
//! shows the name of the session, and a proof that it knows the token, which is valid for one TLS connection.
//! The token is told once, over the first connection.

use aws_lc_rs::{constant_time, hmac};
use crosspoint_proto::identity::{ChannelBinding, EXPORTER_BYTES};
use std::fmt;

/// Bytes of a token, a name and a proof.
const BYTES: usize = 16;

const NAME_LABEL: &[u8] = b"crosspoint resume name 1";
const PROOF_LABEL: &[u8] = b"crosspoint resume proof 1";

/// Names a session that can be resumed. Anyone who knows it is the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; BYTES]);

impl Token {
    /// Asks for a new session.
    pub const NEW: Self = Self([0; BYTES]);

    /// The token of 16 random bytes.
    pub fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// What names the session where its token must not be read. It is no secret.
    pub fn name(self) -> Self {
        Self(self.mac(&[NAME_LABEL]))
    }

    /// Proves over the TLS connection with this exporter that its end knows the token.
    pub fn prove(self, exporter: &[u8; EXPORTER_BYTES]) -> Proof {
        Proof(self.mac(&[PROOF_LABEL, exporter]))
    }

    /// Whether a proof is one for this token over this connection. In constant time.
    pub fn is_proven(self, connection: ChannelBinding, proof: Option<Proof>) -> bool {
        let (ChannelBinding::Exporter(exporter), Some(proof)) = (connection, proof) else {
            return false;
        };
        let right = self.prove(&exporter);
        constant_time::verify_slices_are_equal(&right.0, &proof.0).is_ok()
    }

    fn mac(self, parts: &[&[u8]]) -> [u8; BYTES] {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        parts.iter().for_each(|part| mac.update(part));
        *mac.sign().as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes")
    }
}

impl fmt::Debug for Token {
    /// It is a secret, and stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::NEW { "Token::NEW" } else { "Token(..)" })
    }
}

/// Proves that one end of a TLS connection knows a token. It is worth nothing over another connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof([u8; BYTES]);

impl Proof {
    /// What is written where there is none. As a proof it is wrong.
    const NONE: [u8; BYTES] = [0; BYTES];

    pub(super) fn from_bytes(bytes: [u8; BYTES]) -> Option<Self> {
        (bytes != Self::NONE).then_some(Self(bytes))
    }

    pub(super) fn to_bytes(proof: Option<Self>) -> [u8; BYTES] {
        proof.map_or(Self::NONE, |Self(bytes)| bytes)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// What client and hub know of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) token: Token,
    /// Whether the token must not be shown.
    pub(super) bound: bool,
}

/// A session that is bound has been asked for over a connection to which nothing can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session began over TLS 1.3 and does not go on without it")]
pub(super) struct Unbindable;

impl Known {
    /// Nothing yet: a new session is asked for.
    pub(super) const NOTHING: Self = Self { token: Token::NEW, bound: false };

    /// Where the hub finds the session.
    pub(super) fn found_by(self) -> Token {
        match self.bound {
            true => self.token.name(),
            false => self.token,
        }
    }

    /// What is shown over a connection.
    ///
    /// # Errors
    /// [`Unbindable`]
    pub(super) fn shown(
        self,
        connection: ChannelBinding,
    ) -> Result<(Token, Option<Proof>), Unbindable> {
        let Self { token, bound } = self;
        let proof = match connection {
            ChannelBinding::Exporter(exporter) if bound || token == Token::NEW => {
                Some(token.prove(&exporter))
            }
            _ => None,
        };
        match bound && proof.is_none() {
            true => Err(Unbindable),
            false => Ok((self.found_by(), proof)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token([7; BYTES]);
    const HERE: ChannelBinding = ChannelBinding::Exporter([1; EXPORTER_BYTES]);
    const ELSEWHERE: ChannelBinding = ChannelBinding::Exporter([2; EXPORTER_BYTES]);

    #[test]
    fn a_proof_is_valid_for_one_token_over_one_connection() {
        let (_, proof) = Known { token: TOKEN, bound: true }.shown(HERE).expect("it has TLS");
        assert!(TOKEN.is_proven(HERE, proof));
        assert!(!TOKEN.is_proven(ELSEWHERE, proof));
        assert!(!TOKEN.is_proven(HERE, None));
        assert!(!TOKEN.is_proven(ChannelBinding::None, proof));
        assert!(!Token([8; BYTES]).is_proven(HERE, proof));
        assert!(!TOKEN.name().is_proven(HERE, proof), "whoever has seen the name cannot use it");
    }

    #[test]
    fn the_token_of_a_bound_session_is_never_shown() {
        let bound = Known { token: TOKEN, bound: true };
        let (shown, proof) = bound.shown(HERE).expect("it has TLS");
        assert_eq!(shown, TOKEN.name());
        assert!(proof.is_some());
        for unsafe_one in [ChannelBinding::None, ChannelBinding::Unavailable] {
            assert_eq!(bound.shown(unsafe_one), Err(Unbindable));
        }
    }

    #[test]
    fn a_session_that_is_not_bound_shows_its_token_and_a_new_one_what_it_can_do() {
        let unbound = Known { token: TOKEN, bound: false };
        assert_eq!(unbound.shown(HERE), Ok((TOKEN, None)));
        assert_eq!(unbound.shown(ChannelBinding::None), Ok((TOKEN, None)));
        let (token, proof) = Known::NOTHING.shown(HERE).expect("nothing is bound");
        assert!(token == Token::NEW && Token::NEW.is_proven(HERE, proof));
        assert_eq!(Known::NOTHING.shown(ChannelBinding::None), Ok((Token::NEW, None)));
    }
}
