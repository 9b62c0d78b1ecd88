//! The parameters of queries: what there are, in tables, from which requests are read and the description of the API
//! is made.

use crate::key;
use crate::listing::{LIMIT_MAX, Page, SEARCH_BYTES_MAX, Search};
use crate::refused::Refused;
use crosspoint_hub::ChannelName;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// A parameter.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What holds where it is not given; empty for nothing.
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
}

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A text of at most [`SEARCH_BYTES_MAX`] bytes.
    Text,
    /// The key of a channel.
    Key,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// Some of some words, separated by commas.
    Choices(&'static [&'static str]),
    /// A whole number.
    Number(RangeInclusive<u64>),
}

const SEARCH_SESSIONS: Param = Param {
    name: "search",
    kind: Kind::Text,
    default: "",
    doc: "A part of the name, whatever the case; the beginning of the id or address; or the number of the session.",
};
const SEARCH_NAMES: Param = Param {
    name: "search",
    kind: Kind::Text,
    default: "",
    doc: "A part of the name, whatever the case.",
};
const ORDER: Param = Param {
    name: "order",
    kind: Kind::Choice(&["asc", "desc"]),
    default: "asc",
    doc: "Whether the smallest comes first, or the largest.",
};
const OFFSET: Param = Param {
    name: "offset",
    kind: Kind::Number(0..=u32::MAX as u64),
    default: "0",
    doc: "How many come before the first of the page.",
};
const LIMIT: Param = Param {
    name: "limit",
    kind: Kind::Number(1..=LIMIT_MAX),
    default: "50",
    doc: "How many the page has at most.",
};

/// Of lists of sessions.
pub(crate) static SESSIONS: &[Param] = &[
    SEARCH_SESSIONS,
    Param {
        name: "who",
        kind: Kind::Text,
        default: "",
        doc: "Those alone that have this id or name, each whole. They are as they are at this moment.",
    },
    Param {
        name: "protocol",
        kind: Kind::Text,
        default: "",
        doc: "Sessions of this protocol alone.",
    },
    Param {
        name: "channel",
        kind: Kind::Key,
        default: "",
        doc: "The owner and the members of the channel with this key alone.",
    },
    Param {
        name: "sort",
        kind: Kind::Choice(&[
            "name",
            "since",
            "protocol",
            "address",
            "round_trip",
            "outbox",
            "rate_in",
            "rate_out",
            "bytes_in",
            "bytes_out",
        ]),
        default: "name",
        doc: "What decides about the order. Rates are of messages a second. What a session has not is last.",
    },
    ORDER,
    OFFSET,
    LIMIT,
];

/// Of lists of channels.
pub(crate) static CHANNELS: &[Param] = &[
    SEARCH_NAMES,
    Param {
        name: "kind",
        kind: Kind::Choice(&["room", "channel"]),
        default: "",
        doc: "Rooms alone, or channels that sessions own.",
    },
    Param {
        name: "sort",
        kind: Kind::Choice(&["name", "members", "since"]),
        default: "name",
        doc: "What decides about the order.",
    },
    ORDER,
    OFFSET,
    LIMIT,
];

/// Of lists of services.
pub(crate) static SERVICES: &[Param] = &[SEARCH_NAMES, OFFSET, LIMIT];

/// Of lists of sessions that have ended.
pub(crate) static ENDS: &[Param] = &[
    SEARCH_SESSIONS,
    Param {
        name: "reason",
        kind: Kind::Text,
        default: "",
        doc: "Ends with this reason alone, such as `slow_receiver`.",
    },
    Param {
        name: "let_in",
        kind: Kind::Choice(&["yes", "no"]),
        default: "",
        doc: "Those that were let in alone, or those that were not.",
    },
    LIMIT,
];

/// Of the members of one channel.
pub(crate) static MEMBERS: &[Param] = &[OFFSET, LIMIT];

/// Where there are none.
pub(crate) static NONE: &[Param] = &[];

/// The views of an event stream, each with the parameters of its list.
pub(crate) static VIEWS: &[(&str, &[Param])] = &[
    ("hub", NONE),
    ("sessions", SESSIONS),
    ("channels", CHANNELS),
    ("services", SERVICES),
    ("ends", ENDS),
];

/// Of an event stream, besides those of its views, which have the name of the view before them, such as
/// `sessions.limit`.
pub(crate) static EVENTS: &[Param] = &[
    Param {
        name: "views",
        kind: Kind::Choices(&["hub", "sessions", "channels", "services", "ends"]),
        default: "hub",
        doc: "The lists that are followed.",
    },
    Param {
        name: "session",
        kind: Kind::Number(0..=u64::MAX),
        default: "",
        doc: "The number of a session that is followed.",
    },
    Param {
        name: "channel",
        kind: Kind::Key,
        default: "",
        doc: "The key of a channel that is followed.",
    },
    Param { name: "channel.offset", ..OFFSET },
    Param { name: "channel.limit", ..LIMIT },
];

/// A name and a value of a query.
pub(crate) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The most parameters of a request. More than any request has.
const PARAMETERS_MAX: usize = 64;

/// The pairs of a query.
///
/// # Errors
/// A name that is there twice, or more than [`PARAMETERS_MAX`].
pub(crate) fn pairs(query: Option<&str>) -> Result<Vec<Pair<'_>>, Refused> {
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(Refused::bad(format!("The parameter {} is given twice.", quote(&name))));
        }
        if pairs.len() == PARAMETERS_MAX {
            let wrong = format!("A request has at most {PARAMETERS_MAX} parameters.");
            return Err(Refused::bad(wrong));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Values that fit a table.
#[derive(Debug)]
pub(crate) struct Values {
    table: &'static [Param],
    given: Vec<(&'static str, String)>,
}

impl Values {
    /// Reads a query.
    ///
    /// # Errors
    /// What does not fit the table.
    pub(crate) fn read(table: &'static [Param], query: Option<&str>) -> Result<Self, Refused> {
        Self::of(table, &pairs(query)?, "")
    }

    /// Takes pairs, whose names stand behind `prefix` in the query.
    ///
    /// # Errors
    /// What does not fit the table.
    pub(crate) fn of(
        table: &'static [Param],
        pairs: &[Pair<'_>],
        prefix: &str,
    ) -> Result<Self, Refused> {
        let mut given = Vec::new();
        for (name, value) in pairs {
            let Some(param) = table.iter().find(|param| param.name == name) else {
                let names: Vec<_> =
                    table.iter().map(|param| format!("{prefix}{}", param.name)).collect();
                let there = match names.is_empty() {
                    true => "There are none here".to_owned(),
                    false => format!("There are {}", names.join(", ")),
                };
                let name = quote(&format!("{prefix}{name}"));
                return Err(Refused::bad(format!("There is no parameter {name}. {there}.")));
            };
            param.kind.check(value).map_err(|expected| {
                let value = quote(value);
                Refused::bad(format!("{prefix}{name} is {value}; it has to be {expected}."))
            })?;
            given.push((param.name, value.to_string()));
        }
        Ok(Self { table, given })
    }

    /// A value, or its default if there is one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().find(|(known, _)| *known == name);
        let default =
            || self.table.iter().find(|param| param.name == name).map(|param| param.default);
        let value = given.map(|(_, value)| value.as_str()).or_else(default);
        value.filter(|value| !value.is_empty())
    }

    /// A number that was looked at when it was read.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The name of a channel.
    pub(crate) fn channel(&self, name: &str) -> Option<ChannelName> {
        self.text(name).and_then(key::name)
    }

    /// What is searched for.
    pub(crate) fn search(&self) -> Option<Search> {
        self.text("search").and_then(Search::new)
    }

    /// Whether the largest comes first.
    pub(crate) fn is_descending(&self) -> bool {
        self.text("order") == Some("desc")
    }

    /// The page, whose parameters have this before their names.
    pub(crate) fn page_of(&self, prefix: &str) -> Page {
        let number = |name: &str| self.number(&format!("{prefix}{name}")).unwrap_or(0);
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Page { offset: size(number("offset")), limit: size(number("limit")) }
    }

    /// The page.
    pub(crate) fn page(&self) -> Page {
        self.page_of("")
    }
}

impl Kind {
    /// Whether a value fits; else what would.
    fn check(&self, value: &str) -> Result<(), String> {
        let (fits, expected) = match self {
            Self::Text => (
                value.len() <= SEARCH_BYTES_MAX,
                format!("a text of at most {SEARCH_BYTES_MAX} bytes"),
            ),
            Self::Key => {
                (key::name(value).is_some(), "the key of a channel, as answers give it".to_owned())
            }
            Self::Choice(words) => (words.contains(&value), format!("one of {}", words.join(", "))),
            Self::Choices(words) => (
                value.split(',').all(|word| words.contains(&word)),
                format!("a list of {}, separated by commas", words.join(", ")),
            ),
            Self::Number(range) => (
                // Without the sign that the parser of numbers takes.
                value.bytes().all(|byte| byte.is_ascii_digit())
                    && value.parse().is_ok_and(|number| range.contains(&number)),
                format!("a whole number from {} to {}", range.start(), range.end()),
            ),
        };
        if fits { Ok(()) } else { Err(expected) }
    }
}

/// What somebody has sent, short and without what a terminal would obey.
pub(crate) fn quote(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(table: &'static [Param], query: &str) -> String {
        Values::read(table, Some(query)).unwrap_err().message
    }

    #[test]
    fn defaults_hold_and_are_allowed_themselves() {
        let views = VIEWS.iter().map(|(_, table)| *table);
        for param in views.chain([MEMBERS, EVENTS]).flatten() {
            assert!(param.default.is_empty() || param.kind.check(param.default).is_ok());
            assert!(param.doc.ends_with('.'), "{}", param.name);
        }
        let values = Values::read(SESSIONS, None).unwrap();
        assert_eq!(values.text("sort"), Some("name"));
        assert_eq!(values.page(), Page { offset: 0, limit: 50 });
        assert_eq!(values.search(), None);
        assert_eq!(values.text("protocol"), None);
        assert!(!values.is_descending());
    }

    #[test]
    fn values_are_decoded_once() {
        let query = "search=A%26b+c&channel=a%252Fb&limit=500&order=desc";
        let values = Values::read(SESSIONS, Some(query)).unwrap();
        assert_eq!(values.search(), Search::new("a&B c"));
        assert_eq!(values.channel("channel"), ChannelName::new("a/b").ok());
        assert_eq!(values.page().limit, 500);
        assert!(values.is_descending());
    }

    #[test]
    fn parameters_are_bounded_in_number() {
        let query = |count: usize| {
            (0..count).map(|number| format!("p{number}")).collect::<Vec<_>>().join("&")
        };
        assert_eq!(pairs(Some(&query(PARAMETERS_MAX))).unwrap().len(), PARAMETERS_MAX);
        assert!(pairs(Some(&query(PARAMETERS_MAX + 1))).is_err());
    }

    #[test]
    fn what_is_unknown_wrong_or_there_twice_is_said() {
        for (query, expected) in [
            ("limit=501", "limit is \"501\"; it has to be a whole number from 1 to 500."),
            ("limit=0", "limit is \"0\"; it has to be a whole number from 1 to 500."),
            ("limit=%2B5", "limit is \"+5\"; it has to be a whole number from 1 to 500."),
            ("limit=", "limit is \"\"; it has to be a whole number from 1 to 500."),
            ("order=up", "order is \"up\"; it has to be one of asc, desc."),
            ("limit=1&limit=2", "The parameter \"limit\" is given twice."),
            (
                "sort=a%0Ab%1B",
                "sort is \"a\\nb\\u{1b}\"; it has to be one of name, members, since.",
            ),
        ] {
            assert_eq!(wrong(CHANNELS, query), expected);
        }
        let unknown = wrong(MEMBERS, "page=2");
        assert_eq!(unknown, "There is no parameter \"page\". There are offset, limit.");
        assert_eq!(wrong(NONE, "x"), "There is no parameter \"x\". There are none here.");
        let long = format!("search={}", "x".repeat(257));
        assert!(wrong(SESSIONS, &long).ends_with("it has to be a text of at most 256 bytes."));
        assert!(wrong(SESSIONS, &long).len() < 200);
        assert!(Values::read(SESSIONS, Some(&long[..long.len() - 1])).is_ok());
        assert!(wrong(SESSIONS, &format!("channel={}", "x".repeat(256))).contains("the key of"));
        assert!(wrong(EVENTS, "views=hub,rooms").contains("a list of hub, sessions"));
        assert!(wrong(EVENTS, "session=18446744073709551616").contains("a whole number"));
    }
}
