//! What a session may do. Decided when it says hello, and fixed from then on.

use std::time::Duration;

/// What the one who checks credentials gives to a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// The session's name, if the credentials decide it. Otherwise it is what the hello says.
    pub name: Option<String>,
    /// Whom the credentials are of, where they are of one client only. All its sessions share what one
    /// address may have, wherever they come from ([`Holder`](crate::ledger::Holder)). Without it that is the one who has
    /// the name that is granted, or the peer id that is proven.
    pub identity: Option<String>,
    /// What the session may do.
    pub permissions: Permissions,
    /// For how long that holds, from now on; `None` for as long as the session lasts. Then the
    /// session ends with [`Reason::Expired`](crate::Reason::Expired).
    pub lasts: Option<Duration>,
}

/// What a session may do. By default everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Names of the channels that it may create, and of the rooms that it may make by entering them.
    pub create: Rule,
    /// Names of the channels and rooms that it may enter.
    pub enter: Rule,
    /// Names of the peers that it may link to, and of the services that it may use. A peer without
    /// a name is reached under [`Rule::All`] alone.
    pub reach: Rule,
    /// Names of the services that it may provide.
    pub provide: Rule,
    /// Whether it may see who is there, come and gone.
    pub presence: bool,
}

impl Permissions {
    /// Everything.
    pub const ALL: Self = Self {
        create: Rule::All,
        enter: Rule::All,
        reach: Rule::All,
        provide: Rule::All,
        presence: true,
    };
    /// Nothing but being connected.
    pub const NOTHING: Self = Self {
        create: Rule::Nothing,
        enter: Rule::Nothing,
        reach: Rule::Nothing,
        provide: Rule::Nothing,
        presence: false,
    };
}

impl Default for Permissions {
    fn default() -> Self {
        Self::ALL
    }
}

/// Which names something is allowed for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Rule {
    /// All.
    #[default]
    All,
    /// None.
    Nothing,
    /// Those that match one of the patterns.
    Names(Vec<Pattern>),
}

impl Rule {
    /// Whether a name is allowed.
    pub fn allows(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Names(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

/// A name, or the beginning of names when the pattern ends in `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    prefix: bool,
}

impl Pattern {
    /// A pattern from its text. `*` alone matches every name.
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(begin) => Self { text: begin.into(), prefix: true },
            None => Self { text: text.into(), prefix: false },
        }
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self.prefix {
            true => name.starts_with(self.text.as_bytes()),
            false => name == self.text.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_beginning() {
        let rule = Rule::Names(vec![Pattern::new("lobby"), Pattern::new("game-*")]);
        let allowed = ["lobby", "lobby2", "game-", "game-7", "gam", ""]
            .map(|name| rule.allows(name.as_bytes()));
        assert_eq!(allowed, [true, false, true, true, false, false]);
        assert!(Rule::Names(vec![Pattern::new("*")]).allows(b""));
    }
}
