//! Reads JSON text token by token. It takes the texts that serde_json and `JSON.parse` take, and uses no memory for
//! them; only their depth is bounded.

/// The most arrays and objects in each other. Clients read them by recursion.
pub const DEPTH_MAX: usize = 512;

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// The grammar is broken.
    #[error("the text is not JSON at byte {0}")]
    At(usize),
    /// There are more levels than [`DEPTH_MAX`].
    #[error("the JSON text has more than {DEPTH_MAX} levels")]
    TooDeep,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    OpenArray,
    OpenObject,
    /// The end of an array or object.
    Close,
    /// The name of a field. The colon behind it is read as well.
    Key,
    Text,
    Number,
    /// `true`
    True,
    /// `false` or `null`
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    /// A value, or the end of the array.
    FirstElement,
    /// A key, or the end of the object.
    FirstKey,
    /// A comma or the end of the array or object; the end of the text at the top.
    Behind,
}

/// Reads one text.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    expected: Expected,
    depth: usize,
    /// A bit for each level, set for objects.
    objects: [u64; DEPTH_MAX.div_ceil(64)],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let expected = Expected::Value;
        Self { bytes: text.as_bytes(), at: 0, expected, depth: 0, objects: [0; _] }
    }

    /// In how many arrays and objects the next token is, or is the end of.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Behind the last token, and behind its colon if that is a key.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next token and where it begins, or nothing if the text is complete.
    pub(super) fn next(&mut self) -> Result<Option<(Token, usize)>, NotJson> {
        self.skip_space();
        let mut first = self.peek();
        if self.expected == Expected::Behind {
            match first {
                None if self.depth == 0 => return Ok(None),
                Some(b',') if self.depth > 0 => {
                    self.at += 1;
                    self.skip_space();
                    first = self.peek();
                    if self.in_object() {
                        return self.key().map(Some);
                    }
                }
                Some(b']' | b'}') => return self.close().map(Some),
                _ => return Err(self.wrong()),
            }
        }
        match (self.expected, first) {
            (Expected::FirstElement, Some(b']')) | (Expected::FirstKey, Some(b'}')) => self.close(),
            (Expected::FirstKey, _) => self.key(),
            _ => self.value(first),
        }
        .map(Some)
    }

    fn value(&mut self, first: Option<u8>) -> Result<(Token, usize), NotJson> {
        let start = self.at;
        self.expected = Expected::Behind;
        let token = match first {
            Some(b'"') => {
                self.text()?;
                Token::Text
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Token::Number
            }
            Some(b'[') => self.open(Token::OpenArray)?,
            Some(b'{') => self.open(Token::OpenObject)?,
            Some(b't') => self.word(b"true", Token::True)?,
            Some(b'f') => self.word(b"false", Token::Other)?,
            Some(b'n') => self.word(b"null", Token::Other)?,
            _ => return Err(self.wrong()),
        };
        Ok((token, start))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong(&self) -> NotJson {
        NotJson::At(self.at)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn in_object(&self) -> bool {
        let level = self.depth.wrapping_sub(1);
        self.objects.get(level / 64).is_some_and(|bits| bits >> (level % 64) & 1 != 0)
    }

    fn open(&mut self, token: Token) -> Result<Token, NotJson> {
        let bits = self.objects.get_mut(self.depth / 64).ok_or(NotJson::TooDeep)?;
        let bit = 1 << (self.depth % 64);
        self.expected = match token {
            Token::OpenObject => {
                *bits |= bit;
                Expected::FirstKey
            }
            _ => {
                *bits &= !bit;
                Expected::FirstElement
            }
        };
        self.depth += 1;
        self.at += 1;
        Ok(token)
    }

    fn close(&mut self) -> Result<(Token, usize), NotJson> {
        let end = if self.in_object() { b'}' } else { b']' };
        if self.depth == 0 || self.peek() != Some(end) {
            return Err(self.wrong());
        }
        let start = self.at;
        self.at += 1;
        self.depth -= 1;
        self.expected = Expected::Behind;
        Ok((Token::Close, start))
    }

    fn key(&mut self) -> Result<(Token, usize), NotJson> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong());
        }
        self.text()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.wrong());
        }
        self.at += 1;
        self.expected = Expected::Value;
        Ok((Token::Key, start))
    }

    fn word(&mut self, word: &[u8], token: Token) -> Result<Token, NotJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(token)
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }

    /// A text, whose quote is next. Most of them have no escapes and are long.
    fn text(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        loop {
            while let Some(chunk) = self.bytes[self.at..].first_chunk().copied() {
                match special(u64::from_le_bytes(chunk)) {
                    0 => self.at += size_of::<u64>(),
                    special => {
                        self.at += (special.trailing_zeros() / u8::BITS) as usize;
                        break;
                    }
                }
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.wrong()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.wrong());
                }
                6
            }
            _ => return Err(self.wrong()),
        };
        self.at += length;
        Ok(())
    }
}

/// Which of eight bytes end a text, begin an escape, or are control characters: their highest bits are set. The first
/// byte is the lowest, and the lowest bit is right; above it plain bytes may have theirs set too.
fn special(bytes: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let below = |bytes: u64, bound: u8| bytes.wrapping_sub(ONES * u64::from(bound)) & !bytes & HIGH;
    let equal = |byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
    below(bytes, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::value::RawValue;

    fn scan(text: &str) -> Result<(), NotJson> {
        let mut scanner = Scanner::new(text);
        while scanner.next()?.is_some() {}
        Ok(())
    }

    #[test]
    fn the_depth_is_bounded() {
        let deep = |levels| scan(&("[".repeat(levels) + &"]".repeat(levels)));
        assert_eq!(deep(DEPTH_MAX), Ok(()));
        assert_eq!(deep(DEPTH_MAX + 1), Err(NotJson::TooDeep));
        assert_eq!(scan(&"{\"a\":[".repeat(DEPTH_MAX)), Err(NotJson::TooDeep));
    }

    #[test]
    fn the_first_byte_that_needs_a_look_is_found_at_each_place() {
        for place in 0..8 {
            for byte in 0..=0xff {
                let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
                for behind in [b'a', b'!', b'#', b'[', b']', 0, 0x1f, 0x80, 0xff] {
                    let mut bytes = *b"pl in \x7f\xc3";
                    bytes[place..].fill(behind);
                    bytes[place] = byte;
                    let found = special(u64::from_le_bytes(bytes)).trailing_zeros() / 8;
                    if is_special {
                        assert_eq!(found as usize, place, "{byte} {behind}");
                    } else if behind >= 0x20 {
                        assert_eq!(found, 8, "{byte} {behind}");
                    }
                }
            }
        }
    }

    /// Pieces from which texts are put together that are nearly JSON.
    const PIECES: [&str; 38] = [
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":",
        "\\",
        "\\\"",
        "\\u00",
        "\\uD83d",
        "\\n",
        "\\x",
        "0",
        "-",
        "1",
        "01",
        ".5",
        "e",
        "E+",
        "true",
        "false",
        "null",
        "tru",
        "nul",
        " ",
        "\n",
        "\t",
        "\r",
        "\u{1}",
        "\u{7f}",
        "\u{e9}",
        "\u{2028}",
        "\u{1f600}",
        "a long text without an escape",
        "\u{feff}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn it_takes_what_serde_json_takes(pieces in vec(select(&PIECES[..]), 0..12)) {
            let text = pieces.concat();
            let expected = serde_json::from_str::<&RawValue>(&text).is_ok();
            prop_assert_eq!(scan(&text).is_ok(), expected, "{}", text);
            let text = format!("[\"{text}\",{{\"a\":{text}}},[{text}]]");
            let expected = serde_json::from_str::<&RawValue>(&text).is_ok();
            prop_assert_eq!(scan(&text).is_ok(), expected, "{}", text);
        }
    }
}
