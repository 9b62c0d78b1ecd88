//! Keys that tokens are checked with. Each has one algorithm, so a token cannot choose another.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use crosspoint_hub::Permissions;
use crosspoint_hub::permissions::Rule;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// The shortest shared secret, in bytes: as long as the signature (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Sizes of RSA keys that are accepted, in bits (RFC 7518, section 3.3, and what is sensible).
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

/// How far the clocks of the hub and of the one who signs may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: anyone who can check a token can also make one.
    HS256,
    /// Ed25519.
    EdDSA,
    /// RSA with SHA-256, PKCS #1 v1.5.
    RS256,
}

impl Algorithm {
    fn of_jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

/// A key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A shared secret is too short.
    #[error("the secret has {0} bytes; expected at least {SECRET_BYTES_MIN}, made at random")]
    SecretShort(usize),
    /// A key in PEM was given as a shared secret. If it were a public one, anybody could sign.
    #[error("the secret is a key in PEM; choose the algorithm EdDSA or RS256 for it")]
    SecretIsPem,
    /// A text is not Base64.
    #[error("the secret is not Base64")]
    Base64,
    /// The private key was given.
    #[error("this is a private key; give the public one, and keep the private one with the signer")]
    Private,
    /// No public key of the algorithm in PEM.
    #[error("no public key for {0:?}; expected PEM that begins with -----BEGIN PUBLIC KEY-----")]
    Public(Algorithm),
    /// An RSA key is too small or too large.
    #[error(
        "an RSA key that is too small or too large; expected {RSA_BITS_MIN} to {RSA_BITS_MAX} bits"
    )]
    RsaSize,
}

/// A key, and what tokens signed with it must say.
#[derive(Clone)]
pub struct Key {
    pub(super) id: Option<String>,
    pub(super) defaults: Option<Permissions>,
    /// The names that its tokens grant. `None`: any, and none is reserved.
    pub(super) names: Option<Rule>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    pub(super) validation: Validation,
}

impl Key {
    fn new(algorithm: Algorithm, decoding: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm.of_jwt());
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        Self { id: None, defaults: None, names: None, algorithm, decoding, validation }
    }

    /// A secret that the hub shares with the signer: at least 32 bytes, for HS256.
    ///
    /// # Errors
    /// When it is shorter, or looks like a key in PEM.
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        const PEM_MARK: &[u8] = b"-----BEGIN ";
        if secret.windows(PEM_MARK.len()).any(|window| window == PEM_MARK) {
            return Err(KeyError::SecretIsPem);
        }
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::SecretShort(secret.len()));
        }
        Ok(Self::new(Algorithm::HS256, DecodingKey::from_secret(secret)))
    }

    /// As [`Key::hs256`], from Base64 in the standard or the URL alphabet.
    ///
    /// # Errors
    /// Those of [`Key::hs256`], and when it is not Base64.
    pub fn hs256_base64(text: &str) -> Result<Self, KeyError> {
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let secret = [STANDARD, URL_SAFE]
            .into_iter()
            .find_map(|alphabet| GeneralPurpose::new(&alphabet, config).decode(text.trim()).ok())
            .ok_or(KeyError::Base64)?;
        Self::hs256(&secret)
    }

    /// A public Ed25519 key in PEM, for EdDSA.
    ///
    /// # Errors
    /// When it is something else.
    pub fn eddsa(pem: &str) -> Result<Self, KeyError> {
        const WRONG: KeyError = KeyError::Public(Algorithm::EdDSA);
        only_public(pem, &["PUBLIC KEY"], WRONG)?;
        let decoding = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| WRONG)?;
        x509(&ED25519, &decoding).ok_or(WRONG)?;
        Ok(Self::new(Algorithm::EdDSA, decoding))
    }

    /// A public RSA key of 2048 to 8192 bits in PEM, for RS256.
    ///
    /// # Errors
    /// When it is something else.
    pub fn rs256(pem: &str) -> Result<Self, KeyError> {
        const WRONG: KeyError = KeyError::Public(Algorithm::RS256);
        only_public(pem, &["PUBLIC KEY", "RSA PUBLIC KEY"], WRONG)?;
        let decoding = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| WRONG)?;
        let der = x509(&RSA_PKCS1_2048_8192_SHA256, &decoding).ok_or(WRONG)?;
        PublicEncryptingKey::from_der(der.as_ref())
            .ok()
            .filter(|key| (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&key.key_size_bits()))
            .ok_or(KeyError::RsaSize)?;
        Ok(Self::new(Algorithm::RS256, decoding))
    }

    /// Gives the key an id. A token with another id in `kid` is not checked with it.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Demands that the claim `iss` is this.
    #[must_use]
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        self.validation.set_issuer(&[issuer]);
        self.validation.required_spec_claims.insert("iss".into());
        self
    }

    /// Demands that the claim `aud` is or has this. A key without it accepts no token that has `aud`,
    /// as such a token is meant for somebody else (RFC 7519, section 4.1.3).
    #[must_use]
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.validation.set_audience(&[audience]);
        self.validation.required_spec_claims.insert("aud".into());
        self
    }

    /// Says which names its tokens may grant by their claim `name`. These are reserved: no session
    /// without such a token has one of them. Unless it is said, they may grant any name, and
    /// a name is reserved only while a session has been granted it.
    #[must_use]
    pub fn with_names(self, names: Rule) -> Self {
        Self { names: Some(names), ..self }
    }

    /// What a token of this key allows where it says nothing.
    #[must_use]
    pub fn with_defaults(self, defaults: Permissions) -> Self {
        Self { defaults: Some(defaults), ..self }
    }

    /// Whether a token with this header may be checked with this key.
    pub(super) fn is_for(&self, header: &jsonwebtoken::Header) -> bool {
        let id_fits = match (&self.id, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        id_fits && header.alg == self.algorithm.of_jwt()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, algorithm, .. } = self;
        f.debug_struct("Key").field("id", id).field("algorithm", algorithm).finish_non_exhaustive()
    }
}

/// Refuses PEM that holds anything but a public key. A certificate is no key, and the library
/// that reads the rest would take the first string of bits in it for one.
fn only_public(pem: &str, tags: &[&str], wrong: KeyError) -> Result<(), KeyError> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let begins = |tag: &&str| pem.trim_start().starts_with(&format!("-----BEGIN {tag}-----"));
    if tags.iter().any(begins) { Ok(()) } else { Err(wrong) }
}

/// The key in the form that all keys have, if it is one of the algorithm.
fn x509(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &DecodingKey,
) -> Option<PublicKeyX509Der<'static>> {
    let bytes = key.try_get_as_bytes().ok()?;
    UnparsedPublicKey::new(algorithm, bytes).parse().ok()?.as_der().ok()
}
