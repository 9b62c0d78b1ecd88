//! Where a long text is cut into pieces (section 3).

/// UTF-16 units in the largest piece that the original sends.
pub const PIECE_UNITS_MAX: usize = 1_048_576;

/// How many bytes of a text in UTF-8 the next piece takes: all, or as many as have at most `units`
/// UTF-16 units. Never cuts through a character, so that a surrogate pair is not torn; at least one
/// character is taken. Bytes that are no UTF-8 are counted somehow.
pub fn piece_bytes(text: &[u8], units: usize) -> usize {
    // No character has more units than bytes.
    if text.len() <= units {
        return text.len();
    }
    let mut end = 0;
    let mut left = units;
    // Whole blocks at first: the compiler makes a fast loop of the sum.
    for block in text.chunks_exact(BLOCK) {
        let units: usize = block.iter().map(|byte| usize::from(units_of(*byte))).sum();
        if units > left {
            break;
        }
        left -= units;
        end += BLOCK;
    }
    while let Some(&byte) = text.get(end) {
        let units = usize::from(units_of(byte));
        if units > left && end > 0 {
            break;
        }
        left = left.saturating_sub(units);
        end += 1;
    }
    end
}

const BLOCK: usize = 64;

/// Every character's units are counted at its first byte.
fn units_of(byte: u8) -> u8 {
    let continues = byte & 0xc0 == 0x80;
    u8::from(!continues) + u8::from(byte >= 0xf0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_whole_texts_as_long_as_they_may_be(
            text in "([a-z]{0,90}|[\u{e9}\u{20ac}\u{1f600}]{0,30}|\\PC{0,60}){0,4}", units in 2..200usize,
        ) {
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(piece_bytes(rest.as_bytes(), units));
                let has = piece.encode_utf16().count();
                let next = behind.chars().next().map_or(units, char::len_utf16);
                prop_assert!(has <= units && has + next > units || behind.is_empty());
                prop_assert!(!piece.is_empty());
                rest = behind;
            }
        }

        #[test]
        fn bytes_that_are_no_text_are_used_up_all_the_same(text: Vec<u8>, units in 0..9usize) {
            let mut rest = &text[..];
            while !rest.is_empty() {
                let length = piece_bytes(rest, units);
                prop_assert!(length > 0);
                rest = &rest[length..];
            }
        }
    }
}
