//! Rules from patterns of names.

use crosspoint_hub::ChannelName;
use crosspoint_hub::permissions::{Pattern, Rule};

/// Patterns in one rule. Each attempt to create, enter, reach or provide looks at all of them.
const PATTERNS_MAX: usize = 256;

/// Patterns that make no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// More than 256 of them.
    #[error("a rule has at most {PATTERNS_MAX} patterns; use a common beginning and `*`")]
    TooMany,
    /// A pattern that is longer than any name.
    #[error(
        "a pattern has at most {max} bytes and perhaps a `*`, this one has {0}",
        max = ChannelName::BYTES_MAX
    )]
    TooLong(usize),
}

/// The rule that allows names that match one of the patterns: each a name, or the beginning of names
/// with a `*` behind it. `*` alone allows everything, no pattern nothing.
///
/// # Errors
/// Above 256 patterns, or for a pattern that no name can match.
pub fn rule<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Rule, RuleError> {
    let mut collected = Collected::default();
    patterns.into_iter().try_for_each(|pattern| collected.add(pattern.as_ref()))?;
    Ok(collected.into_rule())
}

/// The patterns of a rule that is being read.
#[derive(Default)]
pub(crate) struct Collected {
    patterns: Vec<Pattern>,
    all: bool,
}

impl Collected {
    pub(crate) fn add(&mut self, text: &str) -> Result<(), RuleError> {
        if self.patterns.len() >= PATTERNS_MAX {
            return Err(RuleError::TooMany);
        }
        let name = text.strip_suffix('*').unwrap_or(text);
        if name.len() > ChannelName::BYTES_MAX {
            return Err(RuleError::TooLong(text.len()));
        }
        self.all |= text == "*";
        self.patterns.push(Pattern::new(text));
        Ok(())
    }

    pub(crate) fn into_rule(self) -> Rule {
        match self {
            Self { all: true, .. } => Rule::All,
            Self { patterns, .. } if patterns.is_empty() => Rule::Nothing,
            Self { patterns, .. } => Rule::Names(patterns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_bounded_in_number_and_length() {
        let many = |count: usize| rule((0..count).map(|number| format!("room-{number}")));
        assert!(matches!(many(PATTERNS_MAX), Ok(Rule::Names(_))));
        assert_eq!(many(PATTERNS_MAX + 1), Err(RuleError::TooMany));
        let long = "x".repeat(ChannelName::BYTES_MAX);
        assert!(rule([long.clone(), long.clone() + "*"]).is_ok());
        assert_eq!(rule([long.clone() + "xx*"]), Err(RuleError::TooLong(258)));
    }
}
