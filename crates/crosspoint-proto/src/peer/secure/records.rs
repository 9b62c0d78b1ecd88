//! Sealed messages: one direction of a link after the handshake (docs/peers.md, section 6.3).
//!
//! ```text
//! message = kind u8 | body                         cut into pieces of at most 65518 bytes
//! record  = encrypted(last u8 | piece) | 16 bytes  at most 65535 bytes
//! sealed  = records, each but the last as long as it can be
//! ```
//!
//! This is Noise's CipherState and its rekeying. It stands here and not in the library so that a
//! message is encrypted in the buffer in which it leaves.

use super::cipher::{Cipher, REKEY_NONCE, TAG_BYTES};
use super::error::SecureError;
use super::{HANDSHAKE, SEALED};
use crate::identity::wipe;
use bytes::{Buf, Bytes};

/// A direction changes its key after this many records.
pub const REKEY_RECORDS: u64 = 1 << 16;

/// The most bytes of a Noise message.
const RECORD_BYTES_MAX: usize = 65_535;
/// What a record adds to its piece.
const RECORD_OVERHEAD: usize = 1 + TAG_BYTES;
const PIECE_BYTES_MAX: usize = RECORD_BYTES_MAX - RECORD_OVERHEAD;

/// Bytes of a sealed message whose body has this many.
pub const fn sealed_bytes(body_bytes: usize) -> usize {
    let message = body_bytes + 1;
    message + message.div_ceil(PIECE_BYTES_MAX) * RECORD_OVERHEAD
}

/// One direction: its key and the number of the next record.
pub(super) struct Direction {
    cipher: Cipher,
    next: u64,
}

impl Direction {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: Cipher::new(key), next: 0 }
    }

    /// A message in one buffer.
    pub(super) fn seal(
        &mut self,
        kind: u8,
        body: &[u8],
        message_bytes_max: usize,
    ) -> Result<Bytes, SecureError> {
        check(kind, body.len(), message_bytes_max)?;
        let mut out = Vec::with_capacity(sealed_bytes(body.len()));
        let first = body.len().min(PIECE_BYTES_MAX - 1);
        let (piece, mut rest) = body.split_at(first);
        self.seal_record(&[&[u8::from(rest.is_empty()), kind], piece], &mut out)?;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(PIECE_BYTES_MAX));
            self.seal_record(&[&[u8::from(after.is_empty())], piece], &mut out)?;
            rest = after;
        }
        Ok(out.into())
    }

    fn seal_record(&mut self, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), SecureError> {
        let start = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        let number = self.number()?;
        let tag = self.cipher.seal(number, &[], &mut out[start..]);
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// The message that was sealed. Reserves its memory when it is known not to be too large.
    pub(super) fn open(
        &mut self,
        sealed: &[u8],
        message_bytes_max: usize,
    ) -> Result<(u8, Bytes), SecureError> {
        let records = sealed.len().div_ceil(RECORD_BYTES_MAX);
        let last_bytes = sealed.len() - records.saturating_sub(1) * RECORD_BYTES_MAX;
        if last_bytes <= RECORD_OVERHEAD {
            return Err(SecureError::SealedLength(sealed.len()));
        }
        let message = sealed.len() - records * RECORD_OVERHEAD;
        if message - 1 > message_bytes_max {
            return Err(SecureError::TooLarge { bytes: message - 1, most: message_bytes_max });
        }

        // The byte before each piece takes the record's flag for a moment: pieces are decrypted
        // right where they belong, and nothing is moved.
        let mut out = vec![0; 1 + message];
        let mut flag_at = 0;
        for (index, record) in sealed.chunks(RECORD_BYTES_MAX).enumerate() {
            let end = flag_at + record.len() - TAG_BYTES;
            let before = out[flag_at];
            let number = self.number()?;
            self.cipher
                .open(number, &[], record, &mut out[flag_at..end])
                .ok_or(SecureError::Altered)?;
            if out[flag_at] != u8::from(index + 1 == records) {
                return Err(SecureError::Cut);
            }
            out[flag_at] = before;
            flag_at = end - 1;
        }
        let kind = out[1];
        let mut body = Bytes::from(out);
        body.advance(2);
        check(kind, body.len(), message_bytes_max)?;
        Ok((kind, body))
    }

    /// The number of the next record, with the key for it in place.
    fn number(&mut self) -> Result<u64, SecureError> {
        let number = self.next;
        if number == REKEY_NONCE {
            return Err(SecureError::Exhausted);
        }
        if number != 0 && number.is_multiple_of(REKEY_RECORDS) {
            self.rekey();
        }
        self.next += 1;
        Ok(number)
    }

    /// Noise, section 4.2. The numbers of records go on.
    fn rekey(&mut self) {
        let mut key = [0; 32];
        self.cipher.seal(REKEY_NONCE, &[], &mut key);
        self.cipher = Cipher::new(&key);
        wipe(&mut key);
    }
}

fn check(kind: u8, bytes: usize, most: usize) -> Result<(), SecureError> {
    if matches!(kind, HANDSHAKE | SEALED) {
        return Err(SecureError::Nested(kind));
    }
    if bytes > most {
        return Err(SecureError::TooLarge { bytes, most });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16 << 20;

    fn pair() -> (Direction, Direction) {
        (Direction::new(&[7; 32]), Direction::new(&[7; 32]))
    }

    #[test]
    fn messages_of_every_size_around_the_borders_of_records_arrive_whole() {
        let (mut seal, mut open) = pair();
        let borders = [0, 1, PIECE_BYTES_MAX, 2 * PIECE_BYTES_MAX, 3 * PIECE_BYTES_MAX, MAX - 3];
        for size in borders.into_iter().flat_map(|border| border..border + 4) {
            let body: Vec<u8> = (0..size).map(|index| (index * 7) as u8).collect();
            let sealed = seal.seal(0x10, &body, MAX).unwrap();
            assert_eq!(sealed.len(), sealed_bytes(size));
            let (kind, opened) = open.open(&sealed, MAX).unwrap();
            assert!(kind == 0x10 && opened == body, "{size} bytes");
        }
    }

    #[test]
    fn a_message_above_the_bound_is_neither_sealed_nor_opened() {
        let (mut seal, mut open) = pair();
        let too_large = SecureError::TooLarge { bytes: 101, most: 100 };
        assert_eq!(seal.seal(0x10, &[0; 101], 100), Err(too_large));
        let sealed = seal.seal(0x10, &[0; 101], 101).unwrap();
        assert_eq!(open.open(&sealed, 100), Err(too_large));
    }

    #[test]
    fn a_message_cut_or_joined_at_the_border_of_records_is_refused() {
        let large = vec![1; 2 * PIECE_BYTES_MAX];
        let (mut seal, mut open) = pair();
        let sealed = seal.seal(0x10, &large, MAX).unwrap();
        assert_eq!(open.open(&sealed[..RECORD_BYTES_MAX], MAX), Err(SecureError::Cut));

        let (mut seal, mut open) = pair();
        let full = seal.seal(0x10, &large[..PIECE_BYTES_MAX - 1], MAX).unwrap();
        assert_eq!(full.len(), RECORD_BYTES_MAX);
        let next = seal.seal(0x10, b"next", MAX).unwrap();
        assert_eq!(open.open(&[full, next].concat(), MAX), Err(SecureError::Cut));
    }

    #[test]
    fn a_peer_that_breaks_the_form_inside_is_refused() {
        let inside: [(&[u8], SecureError); 5] = [
            (&[1], SecureError::SealedLength(17)),
            (&[0, 0x10], SecureError::Cut),
            (&[2, 0x10], SecureError::Cut),
            (&[1, HANDSHAKE, 1], SecureError::Nested(HANDSHAKE)),
            (&[1, SEALED, 1], SecureError::Nested(SEALED)),
        ];
        for (text, expected) in inside {
            let (mut seal, mut open) = pair();
            let mut record = Vec::new();
            seal.seal_record(&[text], &mut record).unwrap();
            assert_eq!(open.open(&record, MAX), Err(expected));
        }
    }

    #[test]
    fn both_sides_change_the_key_at_the_same_record() {
        let (mut seal, mut open) = pair();
        let mut before = Cipher::new(&[7; 32]);
        for number in 0..2 * REKEY_RECORDS + 2 {
            let sealed = seal.seal(0x10, b"x", MAX).unwrap();
            assert_eq!(open.open(&sealed, MAX).unwrap().1, "x");
            let by_old_key = before.open(number, &[], &sealed, &mut [0; 3]);
            assert_eq!(by_old_key.is_some(), number % REKEY_RECORDS != 0 || number == 0);
            if by_old_key.is_none() {
                let mut key = [0; 32];
                before.seal(REKEY_NONCE, &[], &mut key);
                before = Cipher::new(&key);
            }
        }
    }

    #[test]
    fn no_record_ever_uses_the_number_of_rekeying() {
        let (mut seal, _) = pair();
        seal.next = REKEY_NONCE;
        assert_eq!(seal.seal(0x10, b"x", MAX), Err(SecureError::Exhausted));
        assert_eq!(seal.next, REKEY_NONCE);
    }
}
