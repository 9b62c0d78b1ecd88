//! How permissions are written in the claims of a token and in files.

use crate::authenticator::quoted;
use crosspoint_hub::permissions::{Pattern, Rule};
use crosspoint_hub::{ChannelName, Permissions};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

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
struct Collected {
    patterns: Vec<Pattern>,
    all: bool,
}

impl Collected {
    fn add(&mut self, text: &str) -> Result<(), RuleError> {
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

    fn into_rule(self) -> Rule {
        match self {
            Self { all: true, .. } => Rule::All,
            Self { patterns, .. } if patterns.is_empty() => Rule::Nothing,
            Self { patterns, .. } => Rule::Names(patterns),
        }
    }
}

/// A [`Rule`] as it is written: `"*"`, or an array of patterns.
pub(crate) struct Written(pub(crate) Rule);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or an array of names, each perhaps with a `*` at its end")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
                match text {
                    "*" => Ok(Written(Rule::All)),
                    _ => Err(E::custom(format_args!(
                        "a rule is \"*\" or an array of names; one name is [{}]",
                        quoted(text)
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Written, A::Error> {
                let mut collected = Collected::default();
                while let Some(text) = items.next_element::<String>()? {
                    collected.add(&text).map_err(A::Error::custom)?;
                }
                Ok(Written(collected.into_rule()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Permissions of which some may be left to the defaults. What is there must be valid: a `null`
/// that a program wrote by mistake is refused, and does not stand for the defaults.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partial {
    /// Both `create` and `enter`, where those are absent.
    #[serde(default, deserialize_with = "present")]
    channels: Option<Written>,
    #[serde(default, deserialize_with = "present")]
    create: Option<Written>,
    #[serde(default, deserialize_with = "present")]
    enter: Option<Written>,
    #[serde(default, deserialize_with = "present")]
    reach: Option<Written>,
    #[serde(default, deserialize_with = "present")]
    provide: Option<Written>,
    #[serde(default, deserialize_with = "present")]
    presence: Option<bool>,
}

/// Reads a field that is there; serde alone takes `null` for an absent one.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl Partial {
    /// The permissions, with the defaults where nothing is written.
    pub(crate) fn over(self, defaults: &Permissions) -> Permissions {
        let pick = |own: Option<Written>, channels: &Option<Written>, default: &Rule| {
            own.map(|Written(rule)| rule)
                .or_else(|| channels.as_ref().map(|Written(rule)| rule.clone()))
                .unwrap_or_else(|| default.clone())
        };
        Permissions {
            create: pick(self.create, &self.channels, &defaults.create),
            enter: pick(self.enter, &self.channels, &defaults.enter),
            reach: pick(self.reach, &None, &defaults.reach),
            provide: pick(self.provide, &None, &defaults.provide),
            presence: self.presence.unwrap_or(defaults.presence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> Rule {
        Rule::Names(names.map(Pattern::new).into())
    }

    fn read(json: &str) -> Result<Permissions, String> {
        let defaults = Permissions { enter: names(["lobby"]), ..Permissions::NOTHING };
        let partial: Partial = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(partial.over(&defaults))
    }

    #[test]
    fn what_is_written_replaces_the_default_and_channels_stands_for_both() {
        let base = Permissions { enter: names(["lobby"]), ..Permissions::NOTHING };
        let both =
            Permissions { create: names(["a", "b*"]), enter: names(["a", "b*"]), ..base.clone() };
        for (json, expected) in [
            ("{}", base.clone()),
            (r#"{"channels":["a","b*"]}"#, both.clone()),
            (
                r#"{"channels":["a","b*"],"create":[]}"#,
                Permissions { create: Rule::Nothing, ..both.clone() },
            ),
            (r#"{"enter":"*","channels":["a","b*"]}"#, Permissions { enter: Rule::All, ..both }),
            (r#"{"enter":[]}"#, Permissions::NOTHING),
            (r#"{"reach":["x","*"]}"#, Permissions { reach: Rule::All, ..base.clone() }),
            (r#"{"provide":["bot-*"]}"#, Permissions { provide: names(["bot-*"]), ..base.clone() }),
            (r#"{"presence":true}"#, Permissions { presence: true, ..base }),
        ] {
            assert_eq!(read(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_never_the_default() {
        for json in [
            r#"{"create":"lobby"}"#,
            r#"{"create":null}"#,
            r#"{"create":[1]}"#,
            r#"{"create":true}"#,
            r#"{"create":{"lobby":true}}"#,
            r#"{"presence":null}"#,
            r#"{"presence":"yes"}"#,
            r#"{"create":[],"create":"*"}"#,
            r#"{"creat":[]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_rule_is_bounded_in_number_and_length() {
        let many = |count: usize| rule((0..count).map(|number| format!("room-{number}")));
        assert!(matches!(many(PATTERNS_MAX), Ok(Rule::Names(_))));
        assert_eq!(many(PATTERNS_MAX + 1), Err(RuleError::TooMany));
        let long = "x".repeat(ChannelName::BYTES_MAX);
        assert!(rule([long.clone(), long.clone() + "*"]).is_ok());
        assert_eq!(rule([long.clone() + "xx*"]), Err(RuleError::TooLong(258)));
        assert!(read(&format!(r#"{{"create":["{long}x"]}}"#)).is_err());
    }
}
