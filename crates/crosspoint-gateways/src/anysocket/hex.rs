//! Hexadecimal digits.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two lowercase digits of a byte.
pub(super) const fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

/// Appends the lowercase digits of `bytes`.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().flat_map(|byte| digits(*byte)));
}

/// The bytes of digits of either case into `out`, whose length says how many. Gives whether all were digits.
pub(super) fn decode(digits: &[u8], out: &mut [u8]) -> bool {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return false;
    }
    // The bits of all values are gathered, so that the loop has no branch.
    let mut seen = 0;
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    seen & NO_DIGIT == 0
}

const NO_DIGIT: u8 = 0x80;

static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = DIGITS[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back_and_what_is_no_digit_is_refused() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        encode(&bytes, &mut text);
        let mut back = [0; 256];
        assert!(decode(&text, &mut back));
        assert_eq!(back[..], bytes);
        assert!(decode(&text.to_ascii_uppercase(), &mut back));
        for (digits, length) in
            [("0", 0), ("000", 1), ("0g", 1), ("g0", 1), ("00", 2), ("\u{e9}", 1)]
        {
            assert!(!decode(digits.as_bytes(), &mut vec![0; length]), "{digits:?}");
        }
    }
}
