//! The elements of an array, as the parts of its text.

use super::scanner::{NotJson, Scanner, Token};
use std::borrow::Cow;

/// The most elements of an array that is the data of a packet.
pub const ELEMENTS_MAX: usize = 1024;

/// So many elements need no memory besides.
const INLINE: usize = 8;

/// The elements of a JSON text that is an array. All of the text is valid.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    text: &'a str,
    count: usize,
    /// Where the first elements begin and end.
    first: [(usize, usize); INLINE],
    /// The same for the others.
    others: Vec<(usize, usize)>,
}

/// A text is no array whose elements can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElementsError {
    /// It is not JSON.
    #[error(transparent)]
    NotJson(#[from] NotJson),
    /// It is another value.
    #[error("the JSON text is no array")]
    NotArray,
    /// There are more elements than [`ELEMENTS_MAX`].
    #[error("the array has more than {ELEMENTS_MAX} elements")]
    TooMany,
}

impl<'a> Elements<'a> {
    /// Finds the elements, and checks the whole text.
    ///
    /// # Errors
    /// [`ElementsError`]
    pub fn parse(text: &'a str) -> Result<Self, ElementsError> {
        let mut scanner = Scanner::new(text);
        if !matches!(scanner.next()?, Some((Token::OpenArray, _))) {
            return Err(ElementsError::NotArray);
        }
        let mut elements = Self { text, count: 0, first: [(0, 0); INLINE], others: Vec::new() };
        let mut start = 0;
        while let Some((token, at)) = scanner.next()? {
            match (token, scanner.depth()) {
                (Token::OpenArray | Token::OpenObject, 2) => start = at,
                (Token::Close, 1) => elements.push(start, scanner.at())?,
                (Token::Close, _) => {}
                (_, 1) => elements.push(at, scanner.at())?,
                _ => {}
            }
        }
        Ok(elements)
    }

    fn push(&mut self, start: usize, end: usize) -> Result<(), ElementsError> {
        match self.count {
            ELEMENTS_MAX.. => return Err(ElementsError::TooMany),
            INLINE.. => self.others.push((start, end)),
            index => self.first[index] = (start, end),
        }
        self.count += 1;
        Ok(())
    }

    fn span(&self, index: usize) -> Option<(usize, usize)> {
        match index {
            INLINE.. => self.others.get(index - INLINE).copied(),
            _ => (index < self.count).then_some(self.first[index]),
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The whole array.
    pub fn array(&self) -> &'a str {
        self.text
    }

    /// The text of one element.
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.span(index).map(|(start, end)| &self.text[start..end])
    }

    /// The elements from one on, with the commas between them, so that they are the inside of an array. It is empty
    /// if there are none.
    pub fn rest(&self, index: usize) -> &'a str {
        let last = self.span(self.count.wrapping_sub(1));
        self.span(index).zip(last).map_or("", |((start, _), (_, end))| &self.text[start..end])
    }

    /// What an element says that is a text, see [`text`].
    pub fn text(&self, index: usize) -> Option<Cow<'a, str>> {
        self.get(index).and_then(text)
    }

    /// The inside of an element that is an array, see [`inside`].
    pub fn inside(&self, index: usize) -> Option<&'a str> {
        self.get(index).and_then(inside)
    }
}

/// What a valid JSON text says that is one text. Nothing if it is another value, or has half of a surrogate pair.
pub fn text(element: &str) -> Option<Cow<'_, str>> {
    let inside = element.strip_prefix('"')?.strip_suffix('"')?;
    match inside.contains('\\') {
        true => serde_json::from_str(element).ok().map(Cow::Owned),
        false => Some(Cow::Borrowed(inside)),
    }
}

/// The elements of a valid JSON text that is an array, with the commas between them. It is empty if there are none.
pub fn inside(element: &str) -> Option<&str> {
    let inside = element.strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.trim_matches(WHITE_SPACE))
}

/// What may be between the tokens of a JSON text.
pub(super) const WHITE_SPACE: [char; 4] = [' ', '\n', '\t', '\r'];

/// Checks a JSON text.
///
/// # Errors
/// [`NotJson`]
pub fn check(text: &str) -> Result<(), NotJson> {
    let mut scanner = Scanner::new(text);
    while scanner.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    #[test]
    fn elements_are_parts_of_the_text() {
        let text = " [ \"ev\" , {\"a\":[1,{}]} ,[ 1, [2] ], null,-1.5e3,\t[ ] ] ";
        let elements = Elements::parse(text).unwrap();
        let expected = ["\"ev\"", "{\"a\":[1,{}]}", "[ 1, [2] ]", "null", "-1.5e3", "[ ]"];
        let found: Vec<_> = (0..elements.len()).filter_map(|index| elements.get(index)).collect();
        assert_eq!(found, expected);
        assert_eq!(elements.rest(3), "null,-1.5e3,\t[ ]");
        assert_eq!(elements.rest(6), "");
        assert_eq!(elements.inside(2), Some("1, [2]"));
        assert_eq!(elements.inside(5), Some(""));
        assert_eq!(elements.inside(0), None);
        assert!(!elements.is_empty() && elements.array() == text);
        let none = Elements::parse("[ ]").unwrap();
        assert!(none.is_empty() && none.rest(0).is_empty() && none.get(0).is_none());
    }

    #[test]
    fn a_text_is_told_as_it_is_meant() {
        let elements = Elements::parse(r#"["a€","\u0065\"v","\ud83d\ude00","\ud800",5]"#).unwrap();
        let said: Vec<_> = (0..6).map(|index| elements.text(index)).collect();
        let said: Vec<_> = said.iter().map(|said| said.as_deref()).collect();
        assert_eq!(said, [Some("a€"), Some("e\"v"), Some("\u{1f600}"), None, None, None]);
        assert!(matches!(elements.text(0), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["", "[", "[1,]", "[1] 2", "[1]]", "[\"a]", "[}"] {
            let error = Elements::parse(text).err();
            assert!(matches!(error, Some(ElementsError::NotJson(_))), "{text:?} {error:?}");
        }
        for text in ["{}", "\"[]\"", "1", "null"] {
            assert_eq!(Elements::parse(text).err(), Some(ElementsError::NotArray));
        }
    }

    #[test]
    fn elements_are_bounded() {
        let array = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        let most = array(ELEMENTS_MAX);
        let elements = Elements::parse(&most).unwrap();
        assert_eq!(elements.len(), ELEMENTS_MAX);
        assert_eq!(elements.get(ELEMENTS_MAX - 1), Some("1"));
        let over = array(ELEMENTS_MAX + 1);
        assert_eq!(Elements::parse(&over).err(), Some(ElementsError::TooMany));
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let scalar = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "\\PC{0,20}".prop_map(Into::into),
            "[\"\\\\\n\u{1}a]}]{0,9}".prop_map(Into::into),
        ];
        scalar.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Into::into),
                vec(("\\PC{0,5}", inner), 0..5)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_elements_are_those_that_serde_json_finds(values in vec(value(), 0..12), pretty: bool) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&values),
                false => serde_json::to_string(&values),
            }
            .unwrap();
            let elements = Elements::parse(&text).unwrap();
            let expected: Vec<&RawValue> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(elements.len(), expected.len());
            for (index, expected) in expected.iter().enumerate() {
                prop_assert_eq!(elements.get(index), Some(expected.get()));
                let said = elements.text(index).map(Cow::into_owned);
                prop_assert_eq!(said, values[index].as_str().map(str::to_owned));
                let rest: Vec<serde_json::Value> =
                    serde_json::from_str(&format!("[{}]", elements.rest(index))).unwrap();
                prop_assert_eq!(rest.len(), values.len() - index);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}\",:0-9 \\\\]{0,40}") {
            let expected = serde_json::from_str::<Vec<&RawValue>>(&text);
            prop_assert_eq!(Elements::parse(&text).is_ok(), expected.is_ok());
        }
    }
}
