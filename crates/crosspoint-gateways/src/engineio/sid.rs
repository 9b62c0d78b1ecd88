//! The id of a session, which is also the right to use it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// What tells sessions apart (`sid` in the query): 128 random bits. A client that knows it speaks for the session, so
/// it is neither logged nor shown. Compare it only by way of a table of sessions, whose hashes have a secret key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; 16]);

impl Sid {
    /// Characters of its text.
    pub const CHARACTERS: usize = 22;

    /// A new one.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        Ok(Self(bits))
    }

    /// One with these bits, for tests.
    pub const fn from_bits(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// Reads its text. `None`: it is no id of a session here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bits = [0; 16];
        if text.len() != Self::CHARACTERS {
            return None;
        }
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bits).ok()?;
        (length == bits.len()).then_some(Self(bits))
    }

    /// Its text, in base64 for URLs. Show it to nobody but the client.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sid(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_read_again_in_one_form_only_and_it_is_not_shown() {
        let sid = Sid::random().unwrap();
        let text = sid.text();
        assert_eq!(text.len(), Sid::CHARACTERS);
        assert_eq!(Sid::parse(&text), Some(sid));
        assert_ne!(Sid::random().unwrap(), sid);
        assert_eq!(format!("{sid:?}"), "Sid(***)");

        assert_eq!(Sid::from_bits([0xff; 16]).text(), "_____________________w");
        let wrong =
            ["", "_____________________x", "____________________w", "/////////////////////w"];
        let longer = format!("{text}A");
        for wrong in wrong.into_iter().chain([&*longer, "_____________________w=="]) {
            assert_eq!(Sid::parse(wrong), None, "{wrong}");
        }
    }
}
