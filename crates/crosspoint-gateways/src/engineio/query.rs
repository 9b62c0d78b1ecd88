//! The query of a request: what it asks for.

use std::borrow::Cow;

/// Keys and values, as they are in the target of a request behind `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The query with this text.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The value of a key, decoded. Of a key that is there more than once the first counts. What is not UTF-8 when it is
    /// decoded is shown as U+FFFD.
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .map(|(is, value)| (decoded(is), value))
            .find_map(|(is, value)| (is == key).then(|| decoded(value)))
    }
}

/// Text without the escapes of a form.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        rest = match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                &behind[2..]
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                behind
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_key_counts_and_is_decoded() {
        let query =
            Query::new("EIO=4&transport=polling&clientId=J%c3%b6rg+%2B1&sid=&t&EIO=3&%74%77o=2");
        assert_eq!(query.get("EIO").as_deref(), Some("4"));
        assert_eq!(query.get("clientId").as_deref(), Some("Jörg +1"));
        assert_eq!(query.get("sid").as_deref(), Some(""));
        assert_eq!(query.get("t").as_deref(), Some(""));
        assert_eq!(query.get("two").as_deref(), Some("2"));
        assert_eq!(query.get("b64"), None);
        assert_eq!(Query::default().get("EIO"), None);
        for (wrong, text) in
            [("%", "%"), ("%4", "%4"), ("%zz1", "%zz1"), ("%ff", "\u{fffd}"), ("a=b", "a=b")]
        {
            let query = format!("x={wrong}");
            assert_eq!(Query::new(&query).get("x").as_deref(), Some(text));
        }
    }
}
