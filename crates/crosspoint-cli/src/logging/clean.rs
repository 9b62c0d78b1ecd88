//! Lines of the log without anything that a terminal or a reader of logs would take for an order.

use std::borrow::Cow;
use std::fmt::Write;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// For people.
    Plain,
    /// For people, on a terminal that shows colours.
    Coloured,
    /// A JSON object.
    Json,
}

/// Whether a letter can do harm where it is shown: it controls the terminal, ends the line, or
/// changes the order or the look of what stands beside it.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A text in which such letters are escaped.
pub(crate) fn clean(text: &str, style: Style) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if style == Style::Coloured
            && let Some(length) = colour(rest)
        {
            cleaned.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        match is_harmful(letter) {
            true => escape(letter, style, &mut cleaned),
            false => cleaned.push(letter),
        }
        rest = &rest[letter.len_utf8()..];
    }
    Cow::Owned(cleaned)
}

/// The length of the change of colour with which a text begins, if it does. The formatter makes
/// them; from a stranger they are harmless.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\x1b[")?;
    let end = codes.find(|letter: char| !(letter.is_ascii_digit() || letter == ';'))?;
    codes[end..].starts_with('m').then_some("\x1b[".len() + end + 1)
}

fn escape(letter: char, style: Style, to: &mut String) {
    let written = match (style, letter) {
        (Style::Json, _) => {
            letter.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(to, "\\u{unit:04x}"))
        }
        (_, '\n') => write!(to, "\\n"),
        (_, '\r') => write!(to, "\\r"),
        (_, '\t') => write!(to, "\\t"),
        _ => write!(to, "{}", letter.escape_unicode()),
    };
    debug_assert!(written.is_ok(), "a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_or_turns_text_around_is_left_in_any_style() {
        let all = (0..=0x10_ffff).filter_map(char::from_u32).collect::<String>();
        for style in [Style::Plain, Style::Json] {
            let cleaned = clean(&all, style);
            assert!(!cleaned.chars().any(is_harmful));
        }
        let named = "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{9b}\u{7f}\x1b\x07";
        assert!(named.chars().all(is_harmful));
        assert_eq!(clean("Ä 名 🙂 é", Style::Plain), "Ä 名 🙂 é");
    }

    #[test]
    fn what_is_escaped_can_still_be_told() {
        assert_eq!(clean("a\u{9b}31mb\nc\u{202e}", Style::Plain), "a\\u{9b}31mb\\nc\\u{202e}");
        let json = clean("{\"name\":\"\u{202e}\u{e0041}\u{9b}\"}", Style::Json).into_owned();
        assert_eq!(json, "{\"name\":\"\\u202e\\udb40\\udc41\\u009b\"}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["name"], "\u{202e}\u{e0041}\u{9b}");
    }

    #[test]
    fn a_terminal_gets_changes_of_colour_and_no_other_order() {
        let coloured = "\x1b[32m INFO\x1b[0m \x1b[1;31mx\x1b[2J\x1b[6n\x1b]0;title\x07\x1b[";
        let cleaned = clean(coloured, Style::Coloured);
        let left =
            "\x1b[32m INFO\x1b[0m \x1b[1;31mx\\u{1b}[2J\\u{1b}[6n\\u{1b}]0;title\\u{7}\\u{1b}[";
        assert_eq!(cleaned, left);
    }
}
