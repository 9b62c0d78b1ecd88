//! A section of the table and its rows, with everything that follows from a row.
//!
//! `S` is what holds the values of all sections.

use super::given::Given;
use super::kind::{Form, Kind, Wrong};

/// What all environment names begin with.
pub(super) const ENV_PREFIX: &str = "CROSSPOINT_";
/// The environment name of the file of settings.
pub(super) const ENV_CONFIG: &str = "CROSSPOINT_CONFIG";

/// A section of the file and its settings.
pub(super) struct Section<S> {
    /// The name, as in `[name]`.
    pub(super) name: &'static str,
    /// `[name]` and what it is about; the heading of its flags in the help.
    pub(super) heading: String,
    /// Its settings.
    pub(super) rows: Vec<Row<S>>,
}

impl<S> Section<S> {
    pub(super) fn new(name: &'static str, doc: &[&str], rows: Vec<Row<S>>) -> Self {
        let doc = paragraphs(doc).concat();
        Self { name, heading: format!("[{name}] {}", doc.trim_end_matches('.')), rows }
    }

    /// Whether its only setting is a list of tables, which may bear the name of the section.
    pub(super) fn is_tables(&self) -> bool {
        matches!(&self.rows[..], [only] if only.slot.form() == Form::Tables)
    }
}

/// What a row of the table says in words.
pub(super) struct Declared {
    pub(super) key: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) default: &'static str,
    pub(super) flag: &'static [&'static str],
}

/// One setting.
pub(super) struct Row<S> {
    /// `section.name`.
    pub(super) key: &'static str,
    /// The name without its section.
    pub(super) name: &'static str,
    /// The flag without dashes; `None` if only a file can hold the setting.
    pub(super) flag: Option<String>,
    /// The name in the environment; used by no setting that only a file can hold.
    pub(super) env: String,
    /// The default, written like a flag's value.
    pub(super) default: &'static str,
    /// Short help, without full stop.
    pub(super) help: String,
    /// Everything there is to say, paragraph by paragraph, short help first.
    pub(super) doc: Vec<String>,
    /// Reads and shows the value.
    pub(super) slot: Box<dyn Slot<S>>,
}

impl<S> Row<S> {
    pub(super) fn new(declared: Declared, slot: impl Slot<S> + 'static) -> Self {
        let Declared { key, doc, default, flag } = declared;
        let name = key.split_once('.').map_or(key, |(_, name)| name);
        let flag = flag.first().map_or_else(|| name.replace('_', "-"), |flag| (*flag).to_owned());
        let doc = paragraphs(doc);
        Self {
            key,
            name,
            flag: (slot.form() != Form::Tables).then_some(flag),
            env: env_name(key),
            default,
            help: doc.first().map_or("", |help| help.trim_end_matches('.')).to_owned(),
            doc,
            slot: Box::new(slot),
        }
    }
}

/// The environment name of a key.
pub(super) fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The paragraphs of a comment, each on one line.
fn paragraphs(lines: &[&str]) -> Vec<String> {
    lines
        .split(|line| line.trim().is_empty())
        .map(|lines| lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
        .collect()
}

/// A setting's place in all settings, whatever its type.
pub(super) trait Slot<S>: Send + Sync {
    /// How the value is written.
    fn form(&self) -> Form;
    /// The values allowed, to follow "expected".
    fn allowed(&self) -> String;
    /// Reads a value and puts it in place; leaves the present one if it is wrong.
    fn set(&self, settings: &mut S, given: Given<'_>) -> Result<(), Wrong>;
    /// The present value in TOML.
    fn show(&self, settings: &S) -> String;
}

/// A field and the way to it.
pub(super) struct Place<Of, Field> {
    pub(super) get: fn(&Of) -> &Field,
    pub(super) field: fn(&mut Of) -> &mut Field,
}

impl<Of, Field> Clone for Place<Of, Field> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Of, Field> Copy for Place<Of, Field> {}

/// A kind, and the field of the section `T` that holds its value.
pub(super) struct Typed<S, T, K: Kind> {
    pub(super) kind: K,
    pub(super) section: Place<S, T>,
    pub(super) value: Place<T, K::Value>,
}

impl<S, T, K: Kind> Slot<S> for Typed<S, T, K> {
    fn form(&self) -> Form {
        self.kind.form()
    }

    fn allowed(&self) -> String {
        self.kind.allowed()
    }

    fn set(&self, settings: &mut S, given: Given<'_>) -> Result<(), Wrong> {
        let section = (self.section.field)(settings);
        *(self.value.field)(section) = self.kind.read(given)?;
        Ok(())
    }

    fn show(&self, settings: &S) -> String {
        self.kind.show((self.value.get)((self.section.get)(settings)))
    }
}

/// Declares a section: the struct that holds its values, and `section`, which makes its rows.
///
/// A row is `name: Type = "default", kind;` and from it follow the field, the key in the file, the name in the
/// environment, the flag (the name with dashes unless the row gives one), the help and the reference page. The
/// first paragraph of a row's comment is its short help; the rest says what the setting bounds and what happens
/// at the bound.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        $section:ident: $Section:ident {$(
            $(#[doc = $doc:literal])*
            $name:ident: $type:ty = $default:literal, $kind:expr $(, flag $flag:literal)?;
        )*}
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Clone, Default, PartialEq)]
        pub(crate) struct $Section {$(
            $(#[doc = $doc])*
            pub(crate) $name: $type,
        )*}

        /// The section and its rows, in the order of help, file and reference.
        pub(in crate::settings) fn section<S: 'static>(
            section: crate::settings::row::Place<S, $Section>,
        ) -> crate::settings::row::Section<S> {
            use crate::settings::row::{Declared, Place, Row, Section, Typed};
            Section::new(stringify!($section), &[$($section_doc),*], vec![$(
                Row::new(
                    Declared {
                        key: concat!(stringify!($section), ".", stringify!($name)),
                        doc: &[$($doc),*],
                        default: $default,
                        flag: &[$($flag)?],
                    },
                    Typed {
                        kind: $kind,
                        section,
                        value: Place { get: |at| &at.$name, field: |at| &mut at.$name },
                    },
                ),
            )*])
        }
    };
}
pub(super) use section;
