//! Values as they are given: text from flags and the environment, TOML from the file.

use super::error::shorten;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// A value as somebody gave it.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// From a flag, the environment or the table. Lists are separated by commas.
    Text(&'a str),
    /// From the file.
    Toml(Toml<'a>),
}

/// A value in the file, with the place where it stands.
#[derive(Clone, Copy)]
pub(super) struct Toml<'a> {
    source: &'a str,
    start: usize,
    end: usize,
    /// The value.
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Toml<'a> {
    pub(super) fn new(source: &'a str, value: &'a Spanned<DeValue<'a>>) -> Self {
        let Range { start, end } = value.span();
        Self { source, start, end, value: value.get_ref() }
    }

    /// A value inside this one.
    pub(super) fn inner(self, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self::new(self.source, value)
    }

    /// The value as it is written in the file.
    pub(super) fn text(self) -> String {
        match self.value {
            DeValue::Table(_) => "a table".to_owned(),
            _ => shorten(self.source.get(self.start..self.end).unwrap_or_default()),
        }
    }

    /// The line it begins on, from 1.
    pub(super) fn line(self) -> usize {
        line_at(self.source, self.start)
    }

    /// The line of a place in the same file, from 1.
    pub(super) fn line_at(self, offset: usize) -> usize {
        line_at(self.source, offset)
    }
}

/// The line of a place in the text, from 1.
pub(super) fn line_at(source: &str, offset: usize) -> usize {
    1 + source.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
