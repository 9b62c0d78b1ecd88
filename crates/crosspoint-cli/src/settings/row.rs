//! A row of the table with everything that follows from it.

use super::kind::{Form, Given, Kind, Wrong};
use super::table::{SECTIONS, Settings};

/// What all environment names begin with.
pub(super) const ENV_PREFIX: &str = "CROSSPOINT_";
/// The environment name of the file of settings.
pub(super) const ENV_CONFIG: &str = "CROSSPOINT_CONFIG";

/// A section of the file and its settings.
pub(super) struct Section {
    /// The name, as in `[name]`.
    pub(super) name: &'static str,
    /// `[name]` and what it is about; the heading of its flags in the help.
    pub(super) heading: String,
    /// Its settings.
    pub(super) rows: Vec<Row>,
}

impl Section {
    pub(super) fn new(name: &'static str, doc: &[&str], rows: Vec<Row>) -> Self {
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
pub(super) struct Row {
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
    pub(super) slot: Box<dyn Slot>,
}

impl Row {
    pub(super) fn new(declared: Declared, slot: impl Slot + 'static) -> Self {
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

/// All rows.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    SECTIONS.iter().flat_map(|section| &section.rows)
}

/// The paragraphs of a comment, each on one line.
fn paragraphs(lines: &[&str]) -> Vec<String> {
    lines
        .split(|line| line.trim().is_empty())
        .map(|lines| lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
        .collect()
}

/// A setting's place in [`Settings`], whatever its type.
pub(super) trait Slot: Send + Sync {
    /// How the value is written.
    fn form(&self) -> Form;
    /// The values allowed, to follow "expected".
    fn allowed(&self) -> String;
    /// Reads a value and puts it in place; leaves the present one if it is wrong.
    fn set(&self, settings: &mut Settings, given: Given<'_>) -> Result<(), Wrong>;
    /// The present value in TOML.
    fn show(&self, settings: &Settings) -> String;
}

/// A kind, and the field that holds its value.
pub(super) struct Typed<K: Kind> {
    pub(super) kind: K,
    pub(super) get: fn(&Settings) -> &K::Value,
    pub(super) field: fn(&mut Settings) -> &mut K::Value,
}

impl<K: Kind> Slot for Typed<K> {
    fn form(&self) -> Form {
        self.kind.form()
    }

    fn allowed(&self) -> String {
        self.kind.allowed()
    }

    fn set(&self, settings: &mut Settings, given: Given<'_>) -> Result<(), Wrong> {
        *(self.field)(settings) = self.kind.read(given)?;
        Ok(())
    }

    fn show(&self, settings: &Settings) -> String {
        self.kind.show((self.get)(settings))
    }
}
