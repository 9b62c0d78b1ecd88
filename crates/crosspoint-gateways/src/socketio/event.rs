//! What an event is called.

use super::elements;
use std::borrow::Cow;
use std::fmt;

/// The names that mean something to Socket.IO itself. No client takes an event of one of them: its parser throws, or
/// it takes the event for its own.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The events of the plugin that only the hub says to a client. A client takes them at their word, so that nobody else may
/// say them to it.
const OF_HUB: [&str; 12] = [
    "ADD_TARGET",
    "CREATE_STREAM",
    "MULTI_API_ADD_TARGET",
    "MULTI_API_CREATE_STREAM",
    "MULTI_API_TARGET_DISCONNECT",
    "P2P_DISCONNECT",
    "P2P_REGISTER",
    "P2P_REGISTER_STREAM",
    "P2P_UNREGISTER",
    "SERVER_ERROR",
    "SERVER_PING",
    "TARGET_DISCONNECT",
];

/// What stands before the name of a channel in the event that opens a stream in it.
pub(super) const STREAM_IN_CHANNEL: &str = "CREATE_STREAM-CHANNEL-";

/// Whether clients take an event of this name for one of the hub.
pub fn is_of_hub(event: &str) -> bool {
    OF_HUB.contains(&event) || event.starts_with(STREAM_IN_CHANNEL)
}

/// The name of an event, the first element of its array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name<'a> {
    /// A text, as it is meant.
    Text(Cow<'a, str>),
    /// A number, as it is written.
    Number(&'a str),
}

/// What cannot be the name of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is none.
    #[error("an event has no name")]
    Missing,
    /// It is neither a number nor a text that is Unicode.
    #[error("the name of an event is neither a text nor a number")]
    NotName,
    /// It is one of [`RESERVED`].
    #[error("the event name {0:?} is reserved")]
    Reserved(&'static str),
    /// Only the hub says it, see [`is_of_hub`].
    #[error("an event of the hub is not for others to say")]
    OfHub,
}

impl<'a> Name<'a> {
    /// Reads a name from the text of an element, which is valid JSON.
    ///
    /// # Errors
    /// [`NameError`]
    pub fn parse(element: Option<&'a str>) -> Result<Self, NameError> {
        let element = element.ok_or(NameError::Missing)?;
        if let Some(b'-' | b'0'..=b'9') = element.bytes().next() {
            return Ok(Self::Number(element));
        }
        let name = elements::text(element).ok_or(NameError::NotName)?;
        match reserved(&name) {
            Some(reserved) => Err(NameError::Reserved(reserved)),
            None => Ok(Self::Text(name)),
        }
    }

    /// The name as a text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(name) => name,
            Self::Number(name) => name,
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reserved name that a name is, if it is one.
pub fn reserved(name: &str) -> Option<&'static str> {
    RESERVED.into_iter().find(|reserved| *reserved == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_text_or_a_number() {
        for (element, name) in [
            ("\"ev\"", "ev"),
            ("\"\"", ""),
            ("\"a\\u00e9\\n\"", "aé\n"),
            ("5", "5"),
            ("-0.5e1", "-0.5e1"),
        ] {
            assert_eq!(Name::parse(Some(element)).unwrap().as_str(), name);
        }
        assert_eq!(Name::parse(None), Err(NameError::Missing));
        for element in ["null", "true", "{}", "[]", "\"\\ud800\""] {
            assert_eq!(Name::parse(Some(element)), Err(NameError::NotName));
        }
    }

    #[test]
    fn reserved_names_are_refused_however_they_are_written() {
        for name in RESERVED {
            let plain = format!("\"{name}\"");
            let escaped: String =
                name.chars().map(|letter| format!("\\u{:04X}", u32::from(letter))).collect();
            for element in [plain, format!("\"{escaped}\"")] {
                assert_eq!(Name::parse(Some(&element)), Err(NameError::Reserved(name)));
            }
        }
        for element in ["\"Connect\"", "\"connect \"", "\"error\"", "\"connecting\""] {
            assert!(Name::parse(Some(element)).is_ok());
        }
    }
}
