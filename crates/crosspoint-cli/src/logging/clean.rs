//! Lines of the log without anything that a terminal or a reader of logs would take for an order.

use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

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

/// Letters that control, that turn around what stands beside them, or that nobody sees. The page of the control center
/// has the same class (`page/names.js`).
const UNSEEN: &str =
    r"[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{16fe4}\u{1d159}]";

/// Behind these a variation selector is seen: it makes a picture of a sign.
const SIGNS: &str = r"[\p{Emoji}--[\p{Emoji_Presentation}\p{ASCII}]]";

/// What makes a picture of the sign before it.
const AS_PICTURE: char = '\u{fe0f}';

/// A class of letters, by the properties that Unicode gives them.
fn class(pattern: &str) -> ClassUnicode {
    match regex_syntax::parse(pattern).map(Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        other => unreachable!("{pattern} is a class of letters, not {other:?}"),
    }
}

fn has(class: &ClassUnicode, letter: char) -> bool {
    let ranges = class.ranges();
    let after = ranges.partition_point(|range| range.end() < letter);
    ranges.get(after).is_some_and(|range| range.start() <= letter)
}

/// Whether a letter can do harm where it is shown: it controls the terminal, ends the line,
/// changes the order or the look of what stands beside it, or cannot be seen.
fn is_harmful(letter: char) -> bool {
    static CLASS: LazyLock<ClassUnicode> = LazyLock::new(|| class(UNSEEN));
    if letter.is_ascii() { letter.is_ascii_control() } else { has(&CLASS, letter) }
}

/// Whether a variation selector behind this letter is seen.
fn is_sign(letter: char) -> bool {
    static CLASS: LazyLock<ClassUnicode> = LazyLock::new(|| class(SIGNS));
    has(&CLASS, letter)
}

/// A text in which such letters are escaped.
pub(crate) fn clean(text: &str, style: Style) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    let (mut rest, mut before) = (text, None);
    while let Some(letter) = rest.chars().next() {
        if style == Style::Coloured
            && let Some(length) = colour(rest)
        {
            cleaned.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let is_seen = letter == AS_PICTURE && style != Style::Json && before.is_some_and(is_sign);
        match is_harmful(letter) && !is_seen {
            true => escape(letter, style, &mut cleaned),
            false => cleaned.push(letter),
        }
        before = Some(letter);
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
        let seen = "Ä 名 🙂 é e\u{301} ❤\u{fe0f} 각 ਕਿ";
        assert_eq!(clean(seen, Style::Plain), seen);
    }

    #[test]
    fn what_nobody_sees_is_told_by_its_number() {
        for letter in [
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{2065}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{16fe4}',
            '\u{1d159}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            let told = format!("Ann{}", letter.escape_unicode());
            assert_eq!(clean(&format!("Ann{letter}"), Style::Plain), told);
        }
        assert_eq!(clean("🙂\u{fe0f}1\u{fe0f}", Style::Plain), "🙂\\u{fe0f}1\\u{fe0f}");
    }

    #[test]
    fn the_page_has_the_same_class() {
        let page = include_str!("../../../crosspoint-control/page/names.js");
        assert!(page.contains(UNSEEN), "names.js does not have {UNSEEN}");
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
