//! Where the attachments of a packet belong: each is an object `{"_placeholder":true,"num":0}` in its data.
//!
//! Clients put the attachments in their places by recursion, and disconnect where a number is out of range. So a text
//! that is written to one has each number once.

use super::elements;
use super::scanner::{NotJson, Scanner, Token};
use std::borrow::Cow;
use std::ops::Range;

const MARK: &str = "_placeholder";
const NUMBER: &str = "num";

/// The places of all attachments of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placeholders(Vec<Placeholder>);

/// The place of one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The attachment.
    pub attachment: u8,
    /// Where the object is in the text, in bytes.
    pub object: Range<usize>,
    /// Where its number is in the text, in bytes.
    number: Range<usize>,
}

/// What is wrong with the placeholders of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholdersError {
    /// The text is not JSON.
    #[error(transparent)]
    NotJson(#[from] NotJson),
    /// Besides the mark there is something else than a whole number, written as digits.
    #[error("the placeholder at byte {0} is not {{\"_placeholder\":true,\"num\":…}}")]
    Malformed(usize),
    /// There is no such attachment.
    #[error("the placeholder at byte {0} names an attachment that the packet does not have")]
    OutOfRange(usize),
    /// Another one has the same number.
    #[error("the placeholder at byte {0} names an attachment for the second time")]
    Twice(usize),
    /// An attachment has no place.
    #[error("{0} attachments have no place in the packet")]
    Missing(usize),
}

/// A part of the data of a packet, with what it has of the attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut<'a> {
    /// The part. Its placeholders count from 0.
    pub text: Cow<'a, str>,
    /// Which attachments it has, in ascending order. The index of each is its new number.
    pub attachments: Vec<u8>,
}

/// What is known of an array or object around the next token.
#[derive(Default)]
struct Level {
    start: usize,
    keys: usize,
    last: Field,
    is_marked: bool,
    number: Option<Range<usize>>,
}

#[derive(Default, Clone, Copy)]
enum Field {
    Mark,
    Number,
    #[default]
    Other,
}

impl Field {
    fn parse(key: &str) -> Self {
        match elements::text(key).as_deref() {
            Some(MARK) => Self::Mark,
            Some(NUMBER) => Self::Number,
            _ => Self::Other,
        }
    }
}

impl Placeholders {
    /// Finds the placeholders in a text, and checks that each of the attachments has one.
    ///
    /// # Errors
    /// [`PlaceholdersError`]
    pub fn parse(text: &str, attachments: u8) -> Result<Self, PlaceholdersError> {
        let mut found = Vec::with_capacity(attachments.into());
        let mut levels: Vec<Level> = Vec::new();
        let mut scanner = Scanner::new(text);
        while let Some((token, start)) = scanner.next()? {
            match (token, levels.last_mut()) {
                (Token::OpenArray | Token::OpenObject, _) => {
                    levels.push(Level { start, ..Level::default() });
                }
                (Token::Close, _) => {
                    let Some(level) = levels.pop() else { continue };
                    if level.is_marked {
                        let placeholder = level.placeholder(text, scanner.at())?;
                        add(placeholder, attachments, &mut found)?;
                    }
                }
                (Token::Key, Some(level)) => {
                    level.keys += 1;
                    level.last =
                        Field::parse(text[start..scanner.at()].trim_end_matches(BEHIND_KEY));
                }
                (token, Some(level)) => match (level.last, token) {
                    (Field::Mark, Token::True) => level.is_marked = true,
                    (Field::Number, Token::Number) => level.number = Some(start..scanner.at()),
                    _ => {}
                },
                (_, None) => {}
            }
        }
        match usize::from(attachments) - found.len() {
            0 => Ok(Self(found)),
            missing => Err(PlaceholdersError::Missing(missing)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter()
    }

    /// Cuts a part out of the text that was parsed. Where attachments stay behind, those of the part get new numbers.
    ///
    /// # Panics
    /// If there are placeholders, and it is neither empty nor a part of the text.
    pub fn cut<'a>(&self, text: &'a str, part: &'a str) -> Cut<'a> {
        if self.is_empty() || part.is_empty() {
            return Cut { text: Cow::Borrowed(part), attachments: Vec::new() };
        }
        let from = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        let to = from.checked_add(part.len()).filter(|to| *to <= text.len());
        let to = to.expect("it is a part of the text");
        let within = |it: &&Placeholder| from <= it.object.start && it.object.end <= to;
        let mut attachments: Vec<u8> =
            self.0.iter().filter(within).map(|it| it.attachment).collect();
        attachments.sort_unstable();
        if attachments.len() == self.0.len() {
            return Cut { text: Cow::Borrowed(part), attachments };
        }
        let mut cut = String::with_capacity(part.len());
        let mut copied = from;
        for placeholder in self.0.iter().filter(within) {
            let new = attachments.partition_point(|it| *it < placeholder.attachment);
            cut.push_str(&text[copied..placeholder.number.start]);
            cut.push_str(&new.to_string());
            copied = placeholder.number.end;
        }
        cut.push_str(&text[copied..to]);
        Cut { text: Cow::Owned(cut), attachments }
    }
}

/// What may be between a key and its value.
const BEHIND_KEY: [char; 5] = [':', ' ', '\n', '\t', '\r'];

impl Level {
    /// The placeholder that the object is, which ends here.
    fn placeholder(self, text: &str, end: usize) -> Result<Placeholder, PlaceholdersError> {
        let malformed = PlaceholdersError::Malformed(self.start);
        let Self { start, keys: 2, number: Some(number), .. } = self else {
            return Err(malformed);
        };
        let digits = &text[number.clone()];
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(malformed);
        }
        let attachment = digits.parse().map_err(|_| PlaceholdersError::OutOfRange(start))?;
        Ok(Placeholder { attachment, object: start..end, number })
    }
}

fn add(
    new: Placeholder,
    attachments: u8,
    found: &mut Vec<Placeholder>,
) -> Result<(), PlaceholdersError> {
    if new.attachment >= attachments {
        return Err(PlaceholdersError::OutOfRange(new.object.start));
    }
    if found.iter().any(|other| other.attachment == new.attachment) {
        return Err(PlaceholdersError::Twice(new.object.start));
    }
    found.push(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::scanner::DEPTH_MAX;
    use super::*;
    use proptest::prelude::*;

    fn numbers(text: &str, attachments: u8) -> Result<Vec<u8>, PlaceholdersError> {
        let placeholders = Placeholders::parse(text, attachments)?;
        Ok(placeholders.iter().map(|it| it.attachment).collect())
    }

    #[test]
    fn each_attachment_has_its_place() {
        let deep = "[".repeat(DEPTH_MAX - 1);
        let deep = format!("{deep}{{\"_placeholder\":true,\"num\":0}}{}", deep.replace('[', "]"));
        for (text, expected) in [
            ("[]", &[][..]),
            (r#"["ev",{"_placeholder":true,"num":0}]"#, &[0]),
            (r#"[{"num":1,"_placeholder":true},{"a":[{"_placeholder":true,"num":0}]}]"#, &[1, 0]),
            (r#"[{ "\u005fplaceholder" : true , "n\u0075m" : 0 }]"#, &[0]),
            (&deep, &[0]),
            // What JavaScript does not take for one either.
            (r#"["_placeholder",{"_placeholder":false,"num":7},{"_placeholder":1}]"#, &[]),
            (r#"[{"a":{"_placeholder":"true"},"num":true,"b":true}]"#, &[]),
        ] {
            assert_eq!(numbers(text, expected.len() as u8).as_deref(), Ok(expected), "{text}");
        }
        let text = r#"["ev",{"_placeholder":true,"num":0}]"#;
        let placeholders = Placeholders::parse(text, 1).unwrap();
        let object = placeholders.iter().next().unwrap().object.clone();
        assert_eq!(&text[object], r#"{"_placeholder":true,"num":0}"#);
    }

    #[test]
    fn what_would_throw_in_a_client_is_refused() {
        use PlaceholdersError::{Malformed, Missing, OutOfRange, Twice};
        let many = format!("[{}0]", r#"{"_placeholder":true,"num":0},"#.repeat(10_000));
        for (text, attachments, error) in [
            (r#"[{"_placeholder":true,"num":1}]"#, 1, OutOfRange(1)),
            (r#"[{"_placeholder":true,"num":256}]"#, 255, OutOfRange(1)),
            (r#"[{"_placeholder":true,"num":99999999999999999999999}]"#, 255, OutOfRange(1)),
            (r#"[{"_placeholder":true,"num":0}]"#, 0, OutOfRange(1)),
            (r#"[{"_placeholder":true,"num":-1}]"#, 1, Malformed(1)),
            (r#"[{"_placeholder":true,"num":0.5}]"#, 1, Malformed(1)),
            (r#"[{"_placeholder":true,"num":"0"}]"#, 1, Malformed(1)),
            (r#"[{"_placeholder":true}]"#, 1, Malformed(1)),
            (r#"[{"_placeholder":true,"_placeholder":true}]"#, 1, Malformed(1)),
            (r#"[{"_placeholder":true,"num":0,"num":9}]"#, 1, Malformed(1)),
            (r#"[{"\u005fplaceholder":true,"num":0,"a":0}]"#, 1, Malformed(1)),
            (r#"[]"#, 1, Missing(1)),
            (r#"[{"_placeholder":true,"num":1}]"#, 3, Missing(2)),
            (&many, 10, Twice(31)),
        ] {
            assert_eq!(numbers(text, attachments), Err(error));
        }
        for text in ["[", "{\"_placeholder\"}", "[{\"_placeholder\":true,\"num\":0}"] {
            assert!(matches!(numbers(text, 1), Err(PlaceholdersError::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn a_part_has_attachments_that_count_from_0() {
        let text = r#"[{"_placeholder":true,"num":1},"a",{"num":2,"_placeholder":true},[{"_placeholder":true,"num":0}]]"#;
        let placeholders = Placeholders::parse(text, 3).unwrap();
        let elements = super::super::Elements::parse(text).unwrap();
        let cut = placeholders.cut(text, elements.rest(1));
        let expected = r#""a",{"num":1,"_placeholder":true},[{"_placeholder":true,"num":0}]"#;
        assert_eq!((cut.text.as_ref(), &cut.attachments[..]), (expected, &[0, 2][..]));
        let cut = placeholders.cut(text, elements.inside(3).unwrap());
        assert_eq!(cut.text, r#"{"_placeholder":true,"num":0}"#);
        assert_eq!(cut.attachments, [0]);
        let cut = placeholders.cut(text, elements.get(1).unwrap());
        assert_eq!((cut.text.as_ref(), cut.attachments.len()), ("\"a\"", 0));
        let cut = placeholders.cut(text, elements.rest(4));
        assert_eq!((cut.text.as_ref(), cut.attachments.len()), ("", 0));
        let cut = placeholders.cut(text, elements.rest(0));
        assert!(matches!(cut.text, Cow::Borrowed(_)) && cut.attachments == [0, 1, 2]);
    }

    /// What the parser of the clients makes of a text: attachments where they belong, or an error.
    fn reconstruct(value: &serde_json::Value, attachments: u8, out: &mut Vec<u8>) -> Option<()> {
        match value {
            serde_json::Value::Array(elements) => {
                elements.iter().try_for_each(|element| reconstruct(element, attachments, out))
            }
            serde_json::Value::Object(fields) => {
                if fields.get(MARK) == Some(&true.into()) {
                    let number = fields.get(NUMBER)?.as_f64()?;
                    return (0.0..attachments.into())
                        .contains(&number)
                        .then(|| out.push(number as u8));
                }
                fields.values().try_for_each(|value| reconstruct(value, attachments, out))
            }
            _ => Some(()),
        }
    }

    fn nearly() -> impl Strategy<Value = String> {
        let placeholder = |num: u8| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
        let leaf = prop_oneof![
            4 => (0..4u8).prop_map(placeholder),
            1 => Just("1".to_owned()),
            1 => Just("true".to_owned()),
        ];
        leaf.prop_recursive(4, 16, 3, |inner| {
            let key = prop_oneof![Just("_placeholder"), Just("num"), Just("\\u006eum"), Just("a")];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|elements| format!("[{}]", elements.join(", "))),
                proptest::collection::vec((key, inner), 0..3).prop_map(|fields| {
                    let fields: Vec<_> =
                        fields.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn no_client_refuses_what_was_found_good(text in nearly(), attachments in 0..4u8) {
            if let Ok(mut found) = numbers(&text, attachments) {
                let mut expected = Vec::new();
                let value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(reconstruct(&value, attachments, &mut expected), Some(()));
                // A later field of the same name hides some from JavaScript.
                prop_assert!(expected.iter().all(|number| found.contains(number)));
                found.sort_unstable();
                prop_assert_eq!(found, (0..attachments).collect::<Vec<_>>());
            }
        }
    }
}
