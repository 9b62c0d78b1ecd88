//! JSON texts that are checked once and then passed on as they are.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// A JSON text, known to be valid. A clone shares its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

/// Not a JSON text.
#[derive(Debug, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct NotJson(#[from] pub serde_json::Error);

impl Json {
    /// `null`
    pub const NULL: Self = Self(Bytes::from_static(b"null"));
    /// `{}`
    pub const EMPTY: Self = Self(Bytes::from_static(b"{}"));

    /// Takes a text that has come. White space around it is left out.
    ///
    /// Lone surrogates written as `\ud800` are valid. Neither memory nor stack is used by the depth of
    /// the text but a bit for each level.
    ///
    /// # Errors
    /// [`NotJson`]
    pub fn parse(text: Bytes) -> Result<Self, NotJson> {
        let value: &RawValue = serde_json::from_slice(&text)?;
        let value = value.get().as_bytes();
        if value.len() == text.len() {
            return Ok(Self(text));
        }
        let value = text.slice_ref(value);
        Ok(Self(value))
    }

    /// The JSON form of a value.
    ///
    /// # Errors
    /// [`NotJson`] if the value has none, such as a map whose keys are no texts.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, NotJson> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    /// A text that was put together here.
    pub(crate) fn made(text: String) -> Self {
        debug_assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "{text}");
        Self(text.into())
    }

    /// A part of this text that the parser has found to be a value.
    ///
    /// # Panics
    /// If it is a part of another text.
    pub fn part(&self, value: &RawValue) -> Self {
        Self(self.0.slice_ref(value.get().as_bytes()))
    }

    /// The same, without what it is a part of.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The fields of an object. The parser alone would also take an array of their values.
    ///
    /// # Errors
    /// [`NotJson`] if it is no object, or has other fields.
    pub fn fields<'a, T: Deserialize<'a>>(&'a self) -> Result<T, NotJson> {
        match self.as_bytes() {
            [b'{', ..] => Ok(serde_json::from_slice(self.as_bytes())?),
            _ => Err(NotJson(serde::de::Error::custom("not an object"))),
        }
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the constructors take UTF-8 only")
    }

    /// The text as bytes that can be shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Whether it is an object that has a field for JavaScript. An object with a name that cannot be read may have any.
    pub fn may_have(&self, field: &str) -> bool {
        if !self.text().trim_start().starts_with('{') {
            return false;
        }
        let fields: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_slice(&self.0);
        fields.map_or(true, |fields| fields.contains_key(field))
    }

    /// Whether JavaScript takes the value for false: `null`, `false`, zero and the empty text.
    pub fn is_falsy(&self) -> bool {
        match &self.0[..] {
            b"null" | b"false" | b"\"\"" => true,
            // As JavaScript reads it: too small a number is zero.
            [b'-' | b'0'..=b'9', ..] => self.text().parse() == Ok(0.0),
            _ => false,
        }
    }

    /// What AnySocket sends in its place: `{}` for falsy values (docs/anysocket.md, section 3).
    #[must_use]
    pub fn or_empty(self) -> Self {
        if self.is_falsy() { Self::EMPTY } else { self }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.text())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_texts_stay_as_they_are_and_others_are_refused() {
        for text in
            [r#""\ud800 lone""#, "-1.5e+300", "[1,\"a\",null]", "{\"k\u{e9}y\":{\"deep\":[[{}]]}}"]
        {
            assert_eq!(Json::parse(text.into()).unwrap().text(), text);
        }
        assert_eq!(Json::parse(" \n{ } ".into()).unwrap().text(), "{ }");
        for text in ["", " ", "x", "{", "1 2", "\"\u{1}\"", "undefined", "NaN", "[1,]", "\"\\x\""] {
            assert!(Json::parse(text.into()).is_err(), "{text:?}");
        }
        assert!(Json::parse(Bytes::from_static(b"\"\xff\"")).is_err());
    }

    #[test]
    fn the_deepest_text_is_checked_without_recursion() {
        let depth = 1 << 20;
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(text.into()).is_ok());
    }

    #[test]
    fn a_field_is_found_however_it_is_written() {
        let has = |text: &'static str| Json::parse(text.into()).unwrap().may_have("hub");
        for text in [
            r#"{"hub":1}"#,
            r#" {"a":{},"hub":null}"#,
            r#"{"\u0068ub":1}"#,
            r#"{"hub":1,"hub":2}"#,
            r#"{"\ud800":1,"hub":2}"#,
        ] {
            assert!(has(text), "{text}");
        }
        for text in [r#"{"a":{"hub":1}}"#, r#"[{"hub":1}]"#, r#""hub""#, "{}", "null"] {
            assert!(!has(text), "{text}");
        }
    }

    #[test]
    fn falsy_is_what_javascript_takes_for_false() {
        for (text, falsy) in [
            ("0", true),
            ("-0", true),
            ("0.00e7", true),
            ("1e-999", true),
            ("false", true),
            ("null", true),
            ("\"\"", true),
            ("\"0\"", false),
            ("0.1", false),
            ("-1", false),
            ("1e999", false),
            ("[]", false),
            ("{}", false),
            ("true", false),
        ] {
            assert_eq!(Json::parse(text.into()).unwrap().is_falsy(), falsy, "{text}");
        }
        assert_eq!(Json::NULL.or_empty(), Json::EMPTY);
    }
}
