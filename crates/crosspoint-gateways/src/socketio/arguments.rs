//! Checks the data of a packet before it is written to a client.
//!
//! What comes over links and in rooms may come from anybody, so it is checked where it is written, too.

use super::elements::{Elements, ElementsError};
use super::event::{Name, NameError, is_of_hub};
use super::placeholders::{Placeholders, PlaceholdersError};

/// What would make the parser of a client throw, which then disconnects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// A client would take what stands before the array for an id.
    #[error("the arguments do not begin with a bracket")]
    NoBracket,
    /// It is no array.
    #[error(transparent)]
    Elements(#[from] ElementsError),
    /// The attachments do not fit in.
    #[error(transparent)]
    Placeholders(#[from] PlaceholdersError),
    /// An event has no name that clients take.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Checks arguments with so many attachments.
///
/// # Errors
/// [`ArgumentsError`]
pub fn check(text: &str, attachments: u8) -> Result<Elements<'_>, ArgumentsError> {
    if !text.starts_with('[') {
        return Err(ArgumentsError::NoBracket);
    }
    let elements = Elements::parse(text)?;
    if attachments > 0 {
        Placeholders::parse(text, attachments)?;
    }
    Ok(elements)
}

/// The same for an event that another client or a member of a room says, with its name.
///
/// # Errors
/// [`ArgumentsError`]
pub fn check_event(
    text: &str,
    attachments: u8,
) -> Result<(Elements<'_>, Name<'_>), ArgumentsError> {
    let elements = check(text, attachments)?;
    let name = Name::parse(elements.get(0))?;
    match is_of_hub(name.as_str()) {
        true => Err(NameError::OfHub.into()),
        false => Ok((elements, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_one_array_whose_attachments_fit() {
        assert_eq!(check("[]", 0).unwrap().len(), 0);
        assert_eq!(check(r#"[{"_placeholder":true,"num":0}]"#, 1).unwrap().len(), 1);
        // No client puts attachments into it.
        assert_eq!(check(r#"[{"_placeholder":true,"num":7}]"#, 0).unwrap().len(), 1);
        assert_eq!(check(" []", 0).err(), Some(ArgumentsError::NoBracket));
        assert!(matches!(check("[1", 0), Err(ArgumentsError::Elements(_))));
        assert!(matches!(check("[1]", 1), Err(ArgumentsError::Placeholders(_))));
    }

    #[test]
    fn an_event_has_a_name() {
        assert_eq!(check_event(r#"["a",1]"#, 0).unwrap().1.as_str(), "a");
        for text in ["[]", "[null]", r#"["disconnect"]"#] {
            assert!(matches!(check_event(text, 0), Err(ArgumentsError::Name(_))), "{text}");
        }
    }
}
