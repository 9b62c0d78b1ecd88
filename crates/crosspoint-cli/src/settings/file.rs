//! The file of settings.

use super::error::{Fault, Origin, Problem, expected, shorten, suggest};
use super::given::{Toml, line_at};
use super::row::Section;
use crate::small_file::{self, FileKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// The text of the file, if there is one.
#[derive(Default)]
pub(super) struct File {
    path: PathBuf,
    source: String,
}

impl File {
    /// Reads the file whose path `named_by` gave.
    pub(super) fn open(path: &Path, named_by: Origin, kind: FileKind) -> Result<Self, Problem> {
        match small_file::read(path, kind, small_file::BYTES_MAX) {
            Ok(file) => Ok(Self { path: path.to_owned(), source: file.text }),
            Err(error) => {
                let path = path.to_owned();
                Err(Problem { origin: named_by, line: 0, fault: Fault::Unreadable { path, error } })
            }
        }
    }

    /// Where its settings come from.
    pub(super) fn origin(&self) -> Origin {
        Origin::File(self.path.clone())
    }

    /// The tables of the file, and what keeps it from being TOML.
    pub(super) fn parse(&self, problems: &mut Vec<Problem>) -> DeTable<'_> {
        let (table, errors) = DeTable::parse_recoverable(&self.source);
        if errors.is_empty() {
            return table.into_inner();
        }
        for error in errors {
            let start = error.span().map_or(0, |span| span.start);
            problems.push(self.problem(start, Fault::Syntax(error.message().to_owned())));
        }
        DeTable::new()
    }

    /// The settings of the file by their keys, and those that are in none of the sections.
    pub(super) fn settings<'a, S>(
        &'a self,
        table: &'a DeTable<'a>,
        sections: &[Section<S>],
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<&'static str, Toml<'a>> {
        let mut settings = BTreeMap::new();
        for (section_key, section_value) in table {
            let section_name = section_key.get_ref();
            let section = sections.iter().find(|section| section.name == section_name.as_ref());
            let value = Toml::new(&self.source, section_value);
            match (section, value.value.as_table()) {
                (Some(section), Some(table)) => {
                    for (key, value) in table {
                        let name = key.get_ref().as_ref();
                        match section.rows.iter().find(|row| row.name == name) {
                            Some(row) => {
                                settings.insert(row.key, Toml::new(&self.source, value));
                            }
                            None => {
                                let name = format!("{section_name}.{name}");
                                problems.push(self.unknown(key.span().start, name, sections));
                            }
                        }
                    }
                }
                // `[[channels]]` is the only setting of its section.
                (Some(section), None) if value.value.is_array() && section.is_tables() => {
                    settings.insert(section.rows[0].key, value);
                }
                (Some(section), None) => {
                    let key = section.name.to_owned();
                    let expected = expected(None, &format!("a table [{key}]"));
                    let fault = Fault::Value { key, given: value.text(), expected };
                    problems.push(self.problem(section_key.span().start, fault));
                }
                (None, _) => {
                    let (start, name) = (section_key.span().start, section_name.to_string());
                    problems.push(self.unknown(start, name, sections));
                }
            }
        }
        settings
    }

    fn unknown<S>(&self, offset: usize, name: String, sections: &[Section<S>]) -> Problem {
        let names = sections.iter().map(|section| section.name);
        let names = names.filter(|_| !name.contains('.'));
        let keys = sections.iter().flat_map(|section| &section.rows).map(|row| row.key);
        let suggestion = suggest(&name, names.chain(keys));
        self.problem(offset, Fault::Unknown { name: shorten(&name), suggestion })
    }

    fn problem(&self, offset: usize, fault: Fault) -> Problem {
        Problem { origin: self.origin(), line: line_at(&self.source, offset), fault }
    }
}
