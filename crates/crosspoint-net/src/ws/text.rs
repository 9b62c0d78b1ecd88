//! Text that comes in pieces, cut anywhere, has to be UTF-8 (RFC 6455 section 8.1).

/// Sees that a text is UTF-8, piece by piece.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Utf8 {
    /// The first bytes of a character whose rest has not come.
    begun: [u8; 3],
    have: u8,
}

impl Utf8 {
    /// Takes the next piece, which may be the last one of its text. Gives whether all is well so far; after
    /// the last one, the next text begins.
    pub(super) fn takes(&mut self, mut piece: &[u8], last: bool) -> bool {
        while self.have > 0 {
            let Some((byte, rest)) = piece.split_first() else { break };
            let have = usize::from(self.have);
            let mut character = [0; 4];
            character[..have].copy_from_slice(&self.begun[..have]);
            character[have] = *byte;
            match str::from_utf8(&character[..=have]) {
                Ok(_) => self.have = 0,
                Err(error) if error.error_len().is_none() => {
                    self.begun[have] = *byte;
                    self.have += 1;
                }
                Err(_) => return false,
            }
            piece = rest;
        }
        if let Err(error) = str::from_utf8(piece) {
            if error.error_len().is_some() {
                return false;
            }
            let tail = &piece[error.valid_up_to()..];
            self.begun[..tail.len()].copy_from_slice(tail);
            self.have = tail.len() as u8;
        }
        !last || std::mem::take(self).have == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn however_a_text_is_cut_it_is_judged_as_a_whole(
            text in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..12),
                prop::collection::vec(prop::sample::select(b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed".to_vec()), 0..12),
            ],
            cuts in prop::collection::vec(0usize..12, 0..6),
        ) {
            let mut utf8 = Utf8::default();
            let mut rest = &text[..];
            let mut well = true;
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                well &= utf8.takes(piece, false);
                rest = more;
            }
            well = well && utf8.takes(rest, true);
            prop_assert_eq!(well, str::from_utf8(&text).is_ok());
            if well {
                prop_assert!(utf8.takes(b"next", true));
            }
        }
    }
}
