//! Who an endpoint is: an X25519 key (docs/peers.md, section 7).
//!
//! The peer id of an endpoint with an identity is a hash of its public key. So anyone who knows the
//! peer id can check the key, and nobody else can prove to own that peer id.
//!
//! ```
//! use crosspoint_proto::identity::{Challenge, Identity};
//!
//! let identity = Identity::from_bytes(&[1; 32]);
//! let key = identity.public_key();
//! // In real life the 32 bytes come from the system's random source.
//! let challenge = Challenge::new([2; 32]);
//! let proof = identity.prove(&challenge.bytes(), b"hub.example")?;
//! assert!(challenge.verify(&key, b"hub.example", &proof));
//! # Ok::<(), crosspoint_proto::identity::ProofError>(())
//! ```

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::{constant_time, digest, hmac};
use crosspoint_hub::PeerId;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Bytes of a secret key, a public key, a challenge and a proof.
pub const KEY_BYTES: usize = 32;

/// Bytes that both ends of a TLS connection derive from it.
pub const EXPORTER_BYTES: usize = 32;

/// The label under which they are derived (RFC 8446, section 7.5), with an empty context.
pub const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL crosspoint proof 1";

/// What ties a proof to the TLS connection over which it is given, so that nobody who takes part in another
/// one can use it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// The connection has no TLS.
    #[default]
    None,
    /// It has a TLS to which nothing can be bound safely: a version before 1.3, or the session can be resumed and
    /// is not bound itself (docs/resume.md, section 3).
    Unavailable,
    /// What its two ends derive under [`EXPORTER_LABEL`], and nobody else knows.
    Exporter([u8; EXPORTER_BYTES]),
}

impl fmt::Debug for ChannelBinding {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Unavailable => "Unavailable",
            Self::Exporter(_) => "Exporter(..)",
        })
    }
}

const PEER_ID_LABEL: &[u8] = b"crosspoint peer id 1";
const PROOF_LABEL: &[u8] = b"crosspoint proof 1";

/// The secret key of an endpoint, with its public key. Clones share one secret, which lies in
/// memory that is overwritten when the last of them goes.
#[derive(Clone)]
pub struct Identity {
    secret: Arc<PrivateKey>,
    public: PublicKey,
}

impl Identity {
    /// A fresh identity from the system's random source.
    ///
    /// # Errors
    /// When the system has no random source.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; KEY_BYTES];
        getrandom::fill(&mut secret)?;
        let identity = Self::from_bytes(&secret);
        wipe(&mut secret);
        Ok(identity)
    }

    /// The identity with this secret, as [`Identity::to_bytes`] gave it. Any 32 bytes are a secret.
    pub fn from_bytes(secret: &[u8; KEY_BYTES]) -> Self {
        let (secret, public) = key_pair(secret);
        Self { secret: Arc::new(secret), public }
    }

    /// The secret, for storing it where nobody else can read it. What is returned is overwritten
    /// when it is dropped; copies of it are not.
    pub fn to_bytes(&self) -> Secret {
        Secret(self.secret.as_be_bytes().expect("an X25519 key in memory can be read"))
    }

    /// The key that others may know.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The peer id that belongs to this identity.
    pub fn peer_id(&self) -> PeerId {
        self.public.peer_id()
    }

    /// Proves to a hub that this endpoint has the secret of its public key. The context says for
    /// what; the hub has to know the same. Unless it names the hub, the hub can use the proof to
    /// pass for this endpoint at another one.
    ///
    /// # Errors
    /// [`ProofError`] if the challenge is no [`PublicKey`].
    pub fn prove(
        &self,
        challenge: &[u8; KEY_BYTES],
        context: &[u8],
    ) -> Result<[u8; KEY_BYTES], ProofError> {
        let challenge = PublicKey::new(*challenge).map_err(ProofError)?;
        shared(&self.secret, &challenge, |secret| proof(secret, context, &self.public, &challenge))
            .ok_or(ProofError(NoPublicKey::LowOrder))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer", &self.peer_id()).finish_non_exhaustive()
    }
}

/// The bytes of a secret key. Overwritten when dropped, not shown by `Debug`.
pub struct Secret(Curve25519SeedBin<'static>);

impl Secret {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_ref().try_into().expect("an X25519 secret has 32 bytes")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A challenge was no proper key: with it the proof could say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub's challenge is wrong: {0}; do not trust this hub")]
pub struct ProofError(NoPublicKey);

/// Bytes are not the public key of an identity. X25519 reads several bytes as one key, so a secret
/// would have several peer ids if all of them were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPublicKey {
    /// A number of 2^255 - 19 or more, such as a key with its highest bit set.
    #[error("the X25519 key is not in its canonical form; its highest bit has to be 0")]
    NotCanonical,
    /// A point with which every secret gives zero.
    #[error("the X25519 key is a point of low order, which belongs to nobody")]
    LowOrder,
}

/// The canonical points of low order: 0, 1, two of order 8, and 2^255 - 20.
const LOW_ORDER: [[u8; KEY_BYTES]; 5] = {
    let mut one = [0; KEY_BYTES];
    one[0] = 1;
    let mut minus_one = [0xff; KEY_BYTES];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [
        [0; KEY_BYTES],
        one,
        *b"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\
           \xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00",
        *b"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\
           \x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57",
        minus_one,
    ]
};

/// A text is no identity. It does not say the text, which may be a secret with one wrong letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity has 64 hexadecimal digits")]
pub struct NotAnIdentity;

impl FromStr for Identity {
    type Err = NotAnIdentity;

    /// Reads an identity as `crosspoint id new` writes it into a file: 64 hexadecimal digits, with or
    /// without space around them.
    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(NotAnIdentity);
        }
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(NotAnIdentity);
        let mut secret = [0; KEY_BYTES];
        for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self::from_bytes(&secret))
    }
}

/// The public key of an endpoint, in the one form that it has. Shown as 64 lowercase hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// A key from its bytes. Whether anybody has its secret is not known before a proof or a
    /// handshake.
    ///
    /// # Errors
    /// [`NoPublicKey`] for bytes that are no canonical key, or one of low order.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Result<Self, NoPublicKey> {
        let [lowest, middle @ .., highest] = &bytes;
        let is_large = *lowest >= 0xed && *highest == 0x7f && middle.iter().all(|at| *at == 0xff);
        if is_large || *highest > 0x7f {
            return Err(NoPublicKey::NotCanonical);
        }
        if LOW_ORDER.contains(&bytes) {
            return Err(NoPublicKey::LowOrder);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The peer id of the endpoint with this key.
    pub fn peer_id(&self) -> PeerId {
        PeerId::new(first_half(&[PEER_ID_LABEL, &self.0]))
    }

    /// A short form of the key for people to compare. The peer id is as good for this.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(first_half(&[&self.0]))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// 128 bits of a hash of a public key, shown as 8 groups of 4 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pair) in self.0.as_chunks::<2>().0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{:02x}{:02x}", pair[0], pair[1])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text was no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 32 hexadecimal digits; spaces between them do not count")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Reads a fingerprint that a person typed: small or capital digits, spaces anywhere.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let mut digits = text.chars().filter(|letter| !letter.is_whitespace());
        let mut digit = || digits.next().and_then(|letter| letter.to_digit(16));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let (high, low) = digit().zip(digit()).ok_or(NotAFingerprint)?;
            *byte = (high << 4 | low) as u8;
        }
        if digits.next().is_some() { Err(NotAFingerprint) } else { Ok(Self(bytes)) }
    }
}

/// A hub's question whether a client has the secret of its public key: an X25519 key that is used
/// once.
pub struct Challenge {
    secret: PrivateKey,
    public: PublicKey,
}

impl Challenge {
    /// A challenge. `random` are 32 fresh bytes from the system's random source.
    pub fn new(random: [u8; KEY_BYTES]) -> Self {
        let (secret, public) = key_pair(&random);
        Self { secret, public }
    }

    /// What the client is asked.
    pub fn bytes(&self) -> [u8; KEY_BYTES] {
        self.public.0
    }

    /// Whether the proof is that of the client with this key, made for this challenge and context.
    /// Takes as long for a wrong proof as for the right one. A challenge is used up by it.
    #[must_use]
    pub fn verify(self, client: &PublicKey, context: &[u8], given: &[u8; KEY_BYTES]) -> bool {
        let right =
            shared(&self.secret, client, |secret| proof(secret, context, client, &self.public));
        right.is_some_and(|right| constant_time::verify_slices_are_equal(&right, given).is_ok())
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The key pair with this secret.
pub(crate) fn key_pair(secret: &[u8; KEY_BYTES]) -> (PrivateKey, PublicKey) {
    let secret = PrivateKey::from_private_key(&X25519, secret).expect("any 32 bytes are a secret");
    let public = secret.compute_public_key().expect("every secret has a public key");
    let public = public.as_ref().try_into().expect("an X25519 key has 32 bytes");
    (secret, PublicKey(public))
}

/// What two keys have in common, given to `then`. `None` if the result is zero, which the library
/// refuses.
pub(crate) fn shared<T>(
    secret: &PrivateKey,
    public: &PublicKey,
    then: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    let public = UnparsedPublicKey::new(&X25519, &public.0);
    agreement::agree(secret, public, (), |secret| Ok(then(secret))).ok()
}

/// Overwrites a secret that is no longer wanted.
pub(crate) fn wipe(secret: &mut [u8]) {
    secret.fill(0);
    // Keeps the compiler from leaving out the writes to what nobody reads any more.
    std::hint::black_box(secret);
}

fn proof(
    secret: &[u8],
    context: &[u8],
    client: &PublicKey,
    challenge: &PublicKey,
) -> [u8; KEY_BYTES] {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    [PROOF_LABEL, context, &client.0, &challenge.0].into_iter().for_each(|part| mac.update(part));
    mac.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

fn first_half(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| hash.update(part));
    *hash.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_identity_survives_being_stored_and_hides_its_secret() {
        let identity = Identity::generate().unwrap();
        let again = Identity::from_bytes(identity.to_bytes().as_bytes());
        assert_eq!(again.public_key(), identity.public_key());
        let shown = format!("{identity:?} {:?}", identity.to_bytes());
        assert_eq!(shown, format!("Identity {{ peer: {:?}, .. }} Secret(..)", identity.peer_id()));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown_and_as_people_type_it() {
        let fingerprint = Identity::from_bytes(&[1; 32]).public_key().fingerprint();
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 8 * 4 + 7);
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.replace(' ', "").to_uppercase().parse(), Ok(fingerprint));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace(' ', "-")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NotAFingerprint));
        }
    }

    #[test]
    fn a_secret_has_one_public_key_and_points_of_low_order_are_none() {
        let identity = Identity::from_bytes(&[1; 32]);
        let other_form = |bytes: &[u8; 32]| {
            let mut bytes = *bytes;
            bytes[31] |= 0x80;
            bytes
        };
        let key = identity.public_key();
        assert_eq!(PublicKey::new(*key.as_bytes()), Ok(key));
        let mut wrong = vec![other_form(key.as_bytes())];
        // 2^255 - 19 to 2^255 - 1, which are read as 0 to 18.
        wrong.extend((0xed..=0xff).map(|lowest| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (lowest, 0x7f);
            bytes
        }));
        wrong.extend(LOW_ORDER.iter().map(other_form));
        for bytes in wrong {
            assert_eq!(PublicKey::new(bytes), Err(NoPublicKey::NotCanonical), "{bytes:x?}");
            let refused = identity.prove(&bytes, b"");
            assert_eq!(refused, Err(ProofError(NoPublicKey::NotCanonical)));
        }
        for bytes in LOW_ORDER {
            // So says the library, too.
            assert_eq!(shared(&identity.secret, &PublicKey(bytes), |_| ()), None, "{bytes:x?}");
            assert_eq!(PublicKey::new(bytes), Err(NoPublicKey::LowOrder));
            let refused = identity.prove(&bytes, b"");
            assert_eq!(refused, Err(ProofError(NoPublicKey::LowOrder)));
        }
    }

    proptest! {
        #[test]
        fn a_proof_holds_for_its_key_challenge_and_context_only(
            secret: [u8; 32],
            random: [u8; 32],
            context: Vec<u8>,
            at in 0..32usize,
            change in 1..=255u8,
        ) {
            let identity = Identity::from_bytes(&secret);
            let (key, other) = (identity.public_key(), Identity::generate().unwrap().public_key());
            let challenge = || Challenge::new(random);
            let proof = identity.prove(&challenge().bytes(), &context).unwrap();
            prop_assert!(challenge().verify(&key, &context, &proof));
            prop_assert!(!challenge().verify(&other, &context, &proof));
            prop_assert!(!challenge().verify(&key, &[&context[..], b"x"].concat(), &proof));
            prop_assert!(!Challenge::new(*other.as_bytes()).verify(&key, &context, &proof));
            let mut changed = proof;
            changed[at] ^= change;
            prop_assert!(!challenge().verify(&key, &context, &changed));
        }
    }
}
