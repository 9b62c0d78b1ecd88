//! Encryption between two peers (section 8): keys, and packets sealed with them.
//!
//! What it gives is what the protocol gives: the contents are secret from who only listens. It has no
//! MAC, so that who changes packets on the way is not noticed for certain, and nothing proves whose keys
//! they are. Compare [`Sealer::fingerprint`]s over another way to notice somebody in the middle.

mod switch;

pub use switch::{Body, Sealed, Step, Switch, SwitchError, Taken};

use super::hex;
use aws_lc_rs::agreement::{self, ECDH_P521, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptingKey, EncryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::fmt;

/// Bytes of a private key: a number below 2^521.
pub const PRIVATE_BYTES: usize = 66;
/// Bytes of a public key: a point, uncompressed.
pub const PUBLIC_BYTES: usize = 133;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;
/// Bytes of an initialization vector, and of a block.
pub const IV_BYTES: usize = 16;
/// Characters of the shared secret that are used; the last four are left out.
const SECRET_CHARACTERS: usize = 128;

/// Where random bytes come from. Tests give recorded ones.
pub trait Random {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// [`CipherError::NoRandom`]
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError>;
}

/// The random source of the system: the one place here that is not pure.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| CipherError::NoRandom)
    }
}

/// Why something could not be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// The packet was changed, is not encrypted, or was with other keys; which one is not told apart, so
    /// that an attacker learns nothing. The link should end.
    #[error("a packet cannot be decrypted")]
    Undecryptable,
    /// The other side's key is no point of the curve, or it is our own.
    #[error("the other side's key is not usable")]
    BadKey,
    /// The system gave no random bytes.
    #[error("no random bytes from the system")]
    NoRandom,
    /// A fault inside the cryptographic library.
    #[error("the cryptographic library failed")]
    Library,
}

/// What one side brings into the switch. Used for a single one.
pub struct KeyPair {
    private: PrivateKey,
    public: [u8; PUBLIC_BYTES],
    nonce: Nonce,
}

/// A nonce in its digits, which is how it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce([u8; 2 * NONCE_BYTES]);

impl Nonce {
    fn parse(digits: &[u8]) -> Option<Self> {
        let valid = hex::decode(digits, &mut [0; NONCE_BYTES]);
        digits.try_into().ok().filter(|_| valid).map(Self)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("nonce", &self.nonce.text()).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// A fresh pair: draws the private key, then the nonce.
    ///
    /// # Errors
    /// [`CipherError::NoRandom`]
    pub fn generate(random: &mut dyn Random) -> Result<Self, CipherError> {
        let mut key = [0; PRIVATE_BYTES];
        // Only 0 and numbers above the order of the curve are refused, which is all but impossible: the
        // order begins with 258 one bits.
        let mut drawn = 0;
        let private = loop {
            random.fill(&mut key)?;
            key[0] &= 1;
            match PrivateKey::from_private_key(&ECDH_P521, &key) {
                Ok(private) => break private,
                Err(_) if drawn < 3 => drawn += 1,
                Err(_) => return Err(CipherError::NoRandom),
            }
        };
        let public = private.compute_public_key().map_err(|_| CipherError::Library)?;
        let public = public.as_ref().try_into().map_err(|_| CipherError::Library)?;
        let mut bytes = [0; NONCE_BYTES];
        random.fill(&mut bytes)?;
        let mut nonce = Vec::with_capacity(2 * NONCE_BYTES);
        hex::encode(&bytes, &mut nonce);
        let nonce = Nonce(nonce.try_into().map_err(|_| CipherError::Library)?);
        Ok(Self { private, public, nonce })
    }

    /// What the other side is told.
    pub fn offer(&self) -> Offer {
        Offer { public: self.public, nonce: self.nonce }
    }

    /// The session with the other side, of which both sides know which one has called for it.
    /// `initiator_id` is that one's id.
    ///
    /// # Errors
    /// [`CipherError::BadKey`]
    pub fn agree(
        &self,
        theirs: &Offer,
        initiator: Initiator,
        initiator_id: &str,
    ) -> Result<Sealer, CipherError> {
        // Otherwise who reflects packets would be taken for the other side.
        if theirs.public == self.public || theirs.public[0] != 4 {
            return Err(CipherError::BadKey);
        }
        let point = UnparsedPublicKey::new(&ECDH_P521, &theirs.public);
        let secret = agreement::agree(&self.private, point, CipherError::BadKey, |shared| {
            let mut digits = Vec::with_capacity(2 * PRIVATE_BYTES);
            hex::encode(shared, &mut digits);
            let used = digits.get(..SECRET_CHARACTERS).ok_or(CipherError::Library)?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, used))
        })?;
        let ours = self.offer();
        let (first, second) = match initiator {
            Initiator::We => (&ours, theirs),
            Initiator::They => (theirs, &ours),
        };
        let password = [first.nonce.0, second.nonce.0].concat();
        let password = hmac::Key::new(hmac::HMAC_SHA256, &password);
        let mut salt = Vec::with_capacity(2 * NONCE_BYTES + 1);
        hex::encode(&derive(&password, &[initiator_id.as_bytes(), b"_0"]), &mut salt);
        salt.push(b'_');
        let mut keys = digest::Context::new(&digest::SHA256);
        keys.update(ours.public.as_slice().min(&theirs.public));
        keys.update(ours.public.as_slice().max(&theirs.public));
        let fingerprint = keys.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(Sealer { secret, salt, fingerprint })
    }
}

/// Which side has called for encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    /// This one.
    We,
    /// The other one.
    They,
}

/// A side's public key and nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    public: [u8; PUBLIC_BYTES],
    nonce: Nonce,
}

impl Offer {
    /// The key as it is written.
    pub fn key_text(&self) -> String {
        STANDARD.encode(self.public)
    }

    /// The nonce as it is written.
    pub fn nonce_text(&self) -> &str {
        self.nonce.text()
    }

    /// An offer from its texts. Whether the key is a point of the curve is seen in [`KeyPair::agree`].
    ///
    /// # Errors
    /// [`CipherError::BadKey`] for anything but 133 bytes in base64 and 64 digits.
    pub fn parse(key: &str, nonce: &str) -> Result<Self, CipherError> {
        let nonce = Nonce::parse(nonce.as_bytes()).ok_or(CipherError::BadKey)?;
        let mut public = [0; PUBLIC_BYTES];
        match STANDARD.decode_slice(key, &mut public) {
            Ok(PUBLIC_BYTES) => Ok(Self { public, nonce }),
            _ => Err(CipherError::BadKey),
        }
    }
}

/// PBKDF2-HMAC-SHA256 with a single iteration and 32 bytes, which is one HMAC of the salt and a block
/// number. So the key has to be prepared only once.
fn derive(password: &hmac::Key, salt: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(password);
    salt.iter().for_each(|part| context.update(part));
    context.update(&1u32.to_be_bytes());
    context.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

/// Encrypts and decrypts the packets of a session, in both directions.
pub struct Sealer {
    secret: hmac::Key,
    /// The session's nonce in digits and an underscore.
    salt: Vec<u8>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Digits of the initialization vector.
const IV_DIGITS: usize = 2 * IV_BYTES;

impl Sealer {
    /// SHA-256 of both public keys, the smaller one first: the same on both sides, unless somebody sits in
    /// the middle.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    fn key(&self, seq: i32) -> Result<UnboundCipherKey, CipherError> {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = seq.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let key = derive(&self.secret, &[&self.salt, &digits[at..]]);
        UnboundCipherKey::new(&AES_256, &key).map_err(|_| CipherError::Library)
    }

    /// The body of an encrypted packet with this number; draws the initialization vector.
    ///
    /// # Errors
    /// [`CipherError::NoRandom`]
    pub fn seal(
        &self,
        random: &mut dyn Random,
        seq: i32,
        text: &[u8],
    ) -> Result<Bytes, CipherError> {
        let padding = IV_BYTES - text.len() % IV_BYTES;
        let sealed = text.len() + padding;
        let mut iv = [0; IV_BYTES];
        random.fill(&mut iv)?;
        // Encrypted in the back half, from where its digits are spread over the whole.
        let start = IV_DIGITS + sealed;
        let mut out = Vec::with_capacity(start + sealed);
        hex::encode(&iv, &mut out);
        out.resize(start, 0);
        out.extend_from_slice(text);
        out.resize(start + sealed, padding as u8);
        let key = EncryptingKey::cbc(self.key(seq)?).map_err(|_| CipherError::Library)?;
        let context = EncryptionContext::Iv128((&iv).into());
        key.less_safe_encrypt(&mut out[start..], context).map_err(|_| CipherError::Library)?;
        for at in 0..sealed {
            let [high, low] = hex::digits(out[start + at]);
            out[IV_DIGITS + 2 * at] = high;
            out[IV_DIGITS + 2 * at + 1] = low;
        }
        Ok(out.into())
    }

    /// The text of an encrypted packet with this number.
    ///
    /// # Errors
    /// [`CipherError::Undecryptable`], whatever is wrong.
    pub fn open(&self, seq: i32, body: &[u8]) -> Result<Bytes, CipherError> {
        self.decrypt(seq, body).ok_or(CipherError::Undecryptable)
    }

    fn decrypt(&self, seq: i32, body: &[u8]) -> Option<Bytes> {
        let (iv_digits, digits) = body.split_at_checked(IV_DIGITS)?;
        let mut iv = [0; IV_BYTES];
        if !hex::decode(iv_digits, &mut iv) {
            return None;
        }
        let mut text = vec![0; digits.len() / 2];
        if !hex::decode(digits, &mut text) {
            return None;
        }
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.key(seq).ok()?).ok()?;
        let context = DecryptionContext::Iv128((&iv).into());
        let length = key.decrypt(&mut text, context).ok()?.len();
        text.truncate(length);
        // Texts are UTF-8: with a wrong key, chance passes the padding sometimes, but hardly this too.
        std::str::from_utf8(&text).ok()?;
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::pbkdf2;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn sessions() -> (Sealer, Sealer) {
        let ours = KeyPair::generate(&mut SystemRandom).unwrap();
        let theirs = KeyPair::generate(&mut SystemRandom).unwrap();
        let we = ours.agree(&theirs.offer(), Initiator::We, "us").unwrap();
        let they = theirs.agree(&ours.offer(), Initiator::They, "us").unwrap();
        assert_eq!(we.fingerprint(), they.fingerprint());
        (we, they)
    }

    #[test]
    fn one_hmac_is_one_iteration_of_pbkdf2() {
        let mut wanted = [0; 32];
        let once = NonZeroU32::MIN;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, once, b"salt_7", b"password", &mut wanted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"password");
        assert_eq!(derive(&key, &[b"salt_", b"7"]), wanted);
    }

    #[test]
    fn what_one_side_seals_only_the_other_opens_under_the_same_number() {
        let (we, they) = sessions();
        let (other, _) = sessions();
        proptest!(|(text: String, seq: i32)| {
            let body = we.seal(&mut SystemRandom, seq, text.as_bytes()).unwrap();
            let text = Bytes::from(text);
            prop_assert_eq!(they.open(seq, &body), Ok(text.clone()));
            prop_assert_eq!(they.open(seq.wrapping_neg(), &body), Ok(text.clone()));
            prop_assert_ne!(they.open(seq ^ 1, &body), Ok(text.clone()));
            prop_assert_ne!(other.open(seq, &body), Ok(text));
        });
    }

    #[test]
    fn whatever_is_wrong_with_a_body_the_error_is_the_same() {
        let (we, they) = sessions();
        let body = we.seal(&mut SystemRandom, 7, br#"{"a":"some text of three blocks"}"#).unwrap();
        let refused = Err(CipherError::Undecryptable);
        for length in 0..body.len() {
            // A text cut between blocks has a random end, which is a padding once in 256 times.
            if length % 32 != 0 || length <= 32 {
                assert_eq!(they.open(7, &body[..length]), refused, "{length}");
            }
        }
        for other in [&b"{\"plain\":1}"[..], b"1", &b"x".repeat(96), "\u{e9}".repeat(48).as_bytes()]
        {
            assert_eq!(they.open(7, other), refused);
        }
        assert_eq!(they.open(7, &[&body[..], b"0"].concat()), refused);
    }

    #[test]
    fn keys_that_are_no_points_and_our_own_are_refused() {
        let ours = KeyPair::generate(&mut SystemRandom).unwrap();
        let theirs = KeyPair::generate(&mut SystemRandom).unwrap().offer();
        let refused = |offer: &Offer| {
            let result = ours.agree(offer, Initiator::They, "id");
            assert_eq!(result.err(), Some(CipherError::BadKey));
        };
        refused(&ours.offer());
        let change = |change: &dyn Fn(&mut [u8; PUBLIC_BYTES])| {
            let mut offer = theirs;
            change(&mut offer.public);
            refused(&offer);
        };
        change(&|key| key[132] ^= 1);
        change(&|key| key[1] ^= 1);
        change(&|key| key[0] = 2);
        change(&|key| key[1..].fill(0));
        change(&|key| key.fill(0));
        change(&|key| key[1..].fill(0xff));
        let (key, nonce) = (theirs.key_text(), theirs.nonce_text());
        assert_eq!(Offer::parse(&key, nonce), Ok(theirs));
        let long = "A".repeat(4000);
        let wrong = [("AAA", nonce), (&long, nonce), (&key, "00"), (&key, &nonce[1..]), ("", "")];
        for (key, nonce) in wrong {
            assert_eq!(Offer::parse(key, nonce), Err(CipherError::BadKey));
        }
    }

    #[test]
    fn a_random_source_that_gives_no_key_ends_the_attempt() {
        struct Fixed(u8);
        impl Random for Fixed {
            fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
                bytes.fill(self.0);
                Ok(())
            }
        }
        for byte in [0, 0xff] {
            let result = KeyPair::generate(&mut Fixed(byte));
            assert_eq!(result.err(), Some(CipherError::NoRandom));
        }
    }
}
