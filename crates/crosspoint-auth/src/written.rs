//! How permissions are written in the claims of a token and in files.

use crate::authenticator::quoted;
use crate::rules::Collected;
use crosspoint_hub::Permissions;
use crosspoint_hub::permissions::Rule;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

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
    use crosspoint_hub::ChannelName;
    use crosspoint_hub::permissions::Pattern;

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
            &format!(r#"{{"create":["{}"]}}"#, "x".repeat(ChannelName::BYTES_MAX + 1)),
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
