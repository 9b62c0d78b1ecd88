//! ChaCha20-Poly1305 as Noise uses it, on the fast library.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// Bytes that encryption adds.
pub(super) const TAG_BYTES: usize = 16;

/// The nonce that only rekeying uses (Noise, section 4.2).
pub(super) const REKEY_NONCE: u64 = u64::MAX;

/// A key. A pair of key and nonce must encrypt one text only.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("its keys have 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts in place and gives the tag.
    pub(super) fn seal(&self, number: u64, aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        self.0
            .seal_in_place_separate_tag(nonce(number), Aad::from(aad), text)
            .expect("a Noise message is far shorter than the most the cipher can take")
            .as_ref()
            .try_into()
            .expect("its tags have 16 bytes")
    }

    /// Decrypts what [`Cipher::seal`] made, tag behind, into `out`, which has as many bytes as the
    /// text. `None` if it is anything else; `out` is then to be thrown away.
    pub(super) fn open(
        &self,
        number: u64,
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Option<()> {
        let (text, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
        self.0.open_separate_gather(nonce(number), Aad::from(aad), text, tag, out).ok()
    }
}

/// Noise, section 12.2: four zero bytes and the number, its low byte first.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}
