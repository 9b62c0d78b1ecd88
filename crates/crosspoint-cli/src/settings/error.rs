//! What can be wrong with settings, and how it is told.

use crate::small_file::ReadError;
use std::fmt;
use std::path::PathBuf;

/// Where a setting's value comes from; later ones are stronger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The table of settings.
    Default,
    /// The file of this path.
    File(PathBuf),
    /// The environment, under this name.
    Env(String),
    /// This flag, without its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", printable(&path.to_string_lossy())),
            Self::Env(name) => write!(f, "env {}", printable(name)),
            Self::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// Settings that are wrong: all that were found, weakest origin first.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(problems))]
pub(crate) struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (&a.origin, a.line).cmp(&(&b.origin, b.line)));
        Self { problems }
    }
}

fn list(problems: &[Problem]) -> String {
    let headline = match problems.len() {
        1 => "1 setting is wrong:".to_owned(),
        count => format!("{count} settings are wrong:"),
    };
    problems.iter().fold(headline, |list, problem| format!("{list}\n  {problem}"))
}

/// One wrong setting and its place.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) origin: Origin,
    /// The line in the file, from 1; 0 elsewhere.
    pub(super) line: usize,
    pub(super) fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(_) => write!(f, "{}, line {}: {}", self.origin, self.line, self.fault),
            origin => write!(f, "{origin}: {}", self.fault),
        }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot read the file {}: {error}", printable(&path.to_string_lossy()))]
    Unreadable { path: PathBuf, error: ReadError },
    #[error("this is not TOML: {}", printable(.0))]
    Syntax(String),
    #[error("unknown setting {}{}", printable(name), did_you_mean(suggestion.as_deref()))]
    Unknown { name: String, suggestion: Option<String> },
    #[error("{} = {}: {expected}", printable(key), printable(given))]
    Value {
        key: String,
        given: String,
        /// What [`expected`] says.
        expected: String,
    },
    #[error("{key} is missing")]
    Missing { key: String },
    #[error("{key} can be set in a file only")]
    FileOnly { key: &'static str },
    #[error("{key} cannot be set together with {other} ({origin}): {advice}")]
    Excluded { key: &'static str, other: &'static str, origin: Origin, advice: &'static str },
}

/// What is expected in the place of a value, or of the one of several values that is wrong.
pub(super) fn expected(item: Option<&str>, allowed: &str) -> String {
    match item {
        Some(item) => format!("{} is wrong, expected {allowed}", printable(item)),
        None => format!("expected {allowed}"),
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// The text without line breaks and other control characters.
pub(super) fn printable(text: &str) -> String {
    let visible = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(visible).collect()
}

/// The text, or its beginning if it is long.
pub(super) fn shorten(text: &str) -> String {
    const LETTERS_MAX: usize = 80;
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The known key that was probably meant. Its section may be missing or another one.
pub(super) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LETTERS_MAX: usize = 100;
    let letters: Vec<char> = name.chars().take(LETTERS_MAX).collect();
    let section = letters.iter().rposition(|letter| *letter == '.').map_or(0, |dot| dot + 1);
    let cost = |known: &str| {
        let (_, known_name) = known.rsplit_once('.').unwrap_or(("", known));
        distance(&letters, known).min(1 + distance(&letters[section..], known_name))
    };
    known
        .into_iter()
        .map(|known| (cost(known), known))
        .filter(|(distance, _)| *distance <= 1 + letters.len() / 6)
        .min()
        .map(|(_, known)| known.to_owned())
}

/// How many letters must be put in, taken out or replaced to get from one name to the other.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, letter) in to.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 1..row.len() {
            let replaced = diagonal + usize::from(from[column - 1] != letter);
            diagonal = row[column];
            row[column] = replaced.min(diagonal + 1).min(row[column - 1] + 1);
        }
    }
    row[from.len()]
}
