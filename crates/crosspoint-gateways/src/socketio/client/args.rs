//! Arguments of events and acknowledgements, as they came or are to be sent.

use crate::socketio::arguments::{self, ArgumentsError};
use crate::socketio::elements::{Elements, text as text_of};
use crate::socketio::placeholders::Placeholders;
use crate::socketio::translate;
use crate::value::Unreadable;
use bytes::Bytes;
use crosspoint_hub::payload::Payload;
use std::borrow::Cow;

/// Arguments that were checked: the text of a JSON array, and the attachments whose places are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    array: String,
    attachments: Vec<Bytes>,
}

impl Default for Args {
    /// None.
    fn default() -> Self {
        Self { array: "[]".to_owned(), attachments: Vec::new() }
    }
}

impl Args {
    /// One text.
    pub fn text(text: &str) -> Self {
        Self { array: format!("[{}]", quoted(text)), attachments: Vec::new() }
    }

    /// One attachment.
    pub fn bytes(bytes: Bytes) -> Self {
        let array = r#"[{"_placeholder":true,"num":0}]"#.to_owned();
        Self { array, attachments: vec![bytes] }
    }

    /// The text of an array, and the attachments whose places are in it.
    ///
    /// # Errors
    /// [`ArgumentsError`] if a client could not read them.
    pub fn raw(array: String, attachments: Vec<Bytes>) -> Result<Self, ArgumentsError> {
        arguments::check(&array, attachments.len() as u8)?;
        Ok(Self { array, attachments })
    }

    /// One that is null.
    pub fn null() -> Self {
        Self::json("null")
    }

    /// One value, whose JSON text is valid.
    pub(super) fn json(text: &str) -> Self {
        Self { array: format!("[{text}]"), attachments: Vec::new() }
    }

    /// The elements of an array, or the one value that is none; nothing and null are no arguments. Their text has at most
    /// about `bytes_max`.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn of(payload: &Payload, bytes_max: usize) -> Result<Self, Unreadable> {
        let translate::Arguments { inside, attachments } =
            translate::arguments(payload, bytes_max)?;
        Ok(Self { array: format!("[{inside}]"), attachments })
    }

    /// What was checked: a part of `text`, whose places are all that the attachments have. Attachments that belong to
    /// other parts are left out.
    pub(super) fn part(
        places: &Placeholders,
        text: &str,
        inside: &str,
        attachments: &[Bytes],
    ) -> Self {
        let cut = places.cut(text, inside);
        let kept = cut.attachments.iter().filter_map(|at| attachments.get(usize::from(*at)));
        Self { array: format!("[{}]", cut.text), attachments: kept.cloned().collect() }
    }

    /// The same behind these texts.
    #[must_use]
    pub(super) fn behind(&self, texts: &[&str]) -> Self {
        let mut array = String::with_capacity(self.array.len() + 64);
        array.push('[');
        let inside = Some(self.inside()).filter(|inside| !inside.is_empty());
        let elements = texts.iter().map(|text| Cow::Owned(quoted(text)));
        for (at, element) in elements.chain(inside.map(Cow::Borrowed)).enumerate() {
            if at > 0 {
                array.push(',');
            }
            array.push_str(&element);
        }
        array.push(']');
        Self { array, attachments: self.attachments.clone() }
    }

    /// The text of the array.
    pub fn array(&self) -> &str {
        &self.array
    }

    /// The elements with the commas between them.
    pub(super) fn inside(&self) -> &str {
        &self.array[1..self.array.len() - 1]
    }

    /// The attachments, in the order of their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The attachments alone.
    pub(super) fn into_attachments(self) -> Vec<Bytes> {
        self.attachments
    }

    /// Bytes of all of it.
    pub fn size(&self) -> usize {
        self.array.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        Elements::parse(&self.array).map_or(0, |elements| elements.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them, alone.
    pub fn get(&self, index: usize) -> Option<Self> {
        let elements = Elements::parse(&self.array).ok()?;
        let element = elements.get(index)?;
        let places = Placeholders::parse(&self.array, self.attachments.len() as u8).ok()?;
        Some(Self::part(&places, &self.array, element, &self.attachments))
    }

    /// What one of them says that is a text.
    pub(super) fn text_at(&self, index: usize) -> Option<String> {
        let elements = Elements::parse(&self.array).ok()?;
        elements.get(index).and_then(text_of).map(Cow::into_owned)
    }

    /// The JSON text of one of them.
    pub(super) fn element(&self, index: usize) -> Option<&str> {
        Elements::parse(&self.array).ok()?.get(index)
    }

    /// All of them as an array: JSON, or MessagePack in which the attachments are in their places. `None` if something
    /// beside attachments has no form in MessagePack (docs/socketio.md, section 3).
    pub fn payload(&self) -> Option<Payload> {
        translate::from_arguments(self.inside(), &self.attachments)
    }
}

/// A text in JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::payload::Format;

    #[test]
    fn each_argument_has_its_own_attachments() {
        let payload = Payload::new(
            Format::MESSAGE_PACK,
            // ["a", {"b": bytes "x"}, bytes "y"]
            b"\x93\xa1a\x81\xa1b\xc4\x01x\xc4\x01y".to_vec(),
        );
        let args = Args::of(&payload, 200).unwrap();
        assert_eq!((args.len(), args.attachments().len()), (3, 2));
        assert_eq!(Args::of(&args.payload().unwrap(), 200), Ok(args.clone()));
        let one = args.get(2).unwrap();
        assert_eq!(one, Args::bytes(Bytes::from_static(b"y")));
        assert_eq!(args.get(0), Some(Args::text("a")));
        assert_eq!(args.get(1).unwrap().attachments(), [Bytes::from_static(b"x")]);
        assert_eq!(args.get(3), None);
        assert_eq!((args.text_at(0).as_deref(), args.text_at(1)), (Some("a"), None));
        let none = Args::default();
        assert!(none.is_empty() && none.inside().is_empty() && none.get(0).is_none());
        assert_eq!(none.payload(), Some(Payload::new(Format::JSON, "[]")));
        assert_eq!(Args::text("\"\u{2028}€").text_at(0).as_deref(), Some("\"\u{2028}€"));
    }
}
