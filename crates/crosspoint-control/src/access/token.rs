//! The token that lets somebody in from anywhere.

use std::fmt;
use subtle::ConstantTimeEq;

/// A secret that is as good as being at the machine of the hub.
#[derive(Clone)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// It could be guessed.
    #[error("a token has at least {min} characters, this one has {0}", min = Token::LENGTH_MIN)]
    TooShort(usize),
    /// It is longer than a header should be.
    #[error("a token has at most {max} characters, this one has {0}", max = Token::LENGTH_MAX)]
    TooLong(usize),
    /// It cannot stand in a header.
    #[error("a token consists of visible ASCII characters, without spaces")]
    Unprintable,
}

impl Token {
    /// The fewest characters.
    pub const LENGTH_MIN: usize = 16;
    /// The most characters.
    pub const LENGTH_MAX: usize = 255;

    /// A token; it should be made at random.
    ///
    /// # Errors
    /// See [`NoToken`].
    pub fn new(text: impl Into<String>) -> Result<Self, NoToken> {
        let text = text.into();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoToken::Unprintable);
        }
        match text.len() {
            length if length < Self::LENGTH_MIN => Err(NoToken::TooShort(length)),
            length if length > Self::LENGTH_MAX => Err(NoToken::TooLong(length)),
            _ => Ok(Self(text)),
        }
    }

    /// A token of 128 random bits.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// The token itself, for the one who may know it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether somebody has presented it. How long this takes says nothing but whether the length is right.
    pub(crate) fn is(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl fmt::Debug for Token {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_can_stand_in_a_header() {
        for (text, wrong) in [
            ("0123456789abcde", Some(NoToken::TooShort(15))),
            ("0123456789abcdef", None),
            ("0123456789abcde ", Some(NoToken::Unprintable)),
            ("0123456789abcde\n", Some(NoToken::Unprintable)),
            ("0123456789abcdeü", Some(NoToken::Unprintable)),
            (&"x".repeat(255), None),
            (&"x".repeat(256), Some(NoToken::TooLong(256))),
        ] {
            assert_eq!(Token::new(text).err(), wrong, "{text}");
        }
    }

    #[test]
    fn a_random_token_is_a_token_and_only_it_is_it() {
        let token = Token::random().unwrap();
        assert!(Token::new(token.reveal()).is_ok());
        assert!(token.is(token.reveal().as_bytes()));
        assert!(!token.is(Token::random().unwrap().reveal().as_bytes()));
        assert!(!token.is(b""));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
