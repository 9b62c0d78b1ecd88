//! Lists of tables in the file, such as `[[channels]]`.

use super::error::{Fault, expected, suggest};
use super::given::{Given, Toml};
use super::kind::{Form, Kind, Wrong};
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// The name that each table has to have.
const NAME: &str = "name";

/// A table of such a list.
pub(super) trait Table: Clone + Default {
    /// The list in the file.
    const LIST: &'static str;
    /// What is expected of a name, where no two tables may have the same.
    const UNIQUE: Option<&'static str>;
    /// Its keys, `name` among them.
    fn fields() -> Vec<Field<Self>>;
    /// Its name.
    fn name(&self) -> &str;
}

/// A key of a table.
pub(super) struct Field<R> {
    pub(super) key: &'static str,
    read: Read<R>,
    show: Show<R>,
}

/// Reads a value into a row. Otherwise gives what is expected.
type Read<R> = Box<dyn Fn(&mut R, Toml<'_>) -> Result<(), String>>;
/// Writes the value of a row as TOML, if there is one to write.
type Show<R> = Box<dyn Fn(&R) -> Option<String>>;

fn read<K: Kind>(kind: &K, given: Toml<'_>) -> Result<K::Value, String> {
    kind.read(Given::Toml(given)).map_err(|wrong| {
        let item = if let Wrong::Item(item) = &wrong { Some(item.as_str()) } else { None };
        expected(item, &kind.allowed())
    })
}

/// A key with a value in each table.
pub(super) fn field<R, K>(
    key: &'static str,
    kind: fn() -> K,
    value: fn(&mut R) -> &mut K::Value,
) -> Field<R>
where
    R: Clone + 'static,
    K: Kind + 'static,
{
    Field {
        key,
        read: Box::new(move |row, given| {
            *value(row) = read(&kind(), given)?;
            Ok(())
        }),
        show: Box::new(move |row| Some(kind().show(value(&mut row.clone())))),
    }
}

/// A key that need not be there.
pub(super) fn optional<R, K>(
    key: &'static str,
    kind: fn() -> K,
    value: fn(&mut R) -> &mut Option<K::Value>,
) -> Field<R>
where
    R: Clone + 'static,
    K: Kind + 'static,
{
    Field {
        key,
        read: Box::new(move |row, given| {
            *value(row) = Some(read(&kind(), given)?);
            Ok(())
        }),
        show: Box::new(move |row| {
            let mut row = row.clone();
            value(&mut row).as_ref().map(|value| kind().show(value))
        }),
    }
}

/// The list of all tables of one type.
pub(super) struct Tables<R>(PhantomData<fn() -> R>);

pub(super) fn tables<R: Table>() -> Tables<R> {
    Tables(PhantomData)
}

impl<R: Table> Kind for Tables<R> {
    type Value = Vec<R>;

    fn form(&self) -> Form {
        Form::Tables
    }

    fn allowed(&self) -> String {
        format!("tables [[{}]]", R::LIST)
    }

    fn read(&self, given: Given<'_>) -> Result<Vec<R>, Wrong> {
        let list = match given {
            Given::Text("") => return Ok(Vec::new()),
            Given::Text(_) => return Err(Wrong::Value),
            Given::Toml(toml) => toml,
        };
        let items = list.value.as_array().ok_or(Wrong::Value)?;
        let mut reader = Reader { fields: R::fields(), names: BTreeSet::new(), faults: Vec::new() };
        let rows = items.iter().enumerate();
        let rows = rows
            .map(|(index, item)| reader.row(&format!("{}[{index}]", R::LIST), list.inner(item)))
            .collect();
        if reader.faults.is_empty() { Ok(rows) } else { Err(Wrong::Parts(reader.faults)) }
    }

    fn show(&self, rows: &Vec<R>) -> String {
        if rows.is_empty() {
            return "[]".to_owned();
        }
        let fields = R::fields();
        let rows = rows.iter().map(|row| {
            let said = |field: &Field<R>| Some(format!("{} = {}", field.key, (field.show)(row)?));
            let said: Vec<_> = fields.iter().filter_map(said).collect();
            format!("  {{ {} }},\n", said.join(", "))
        });
        format!("[\n{}]", rows.collect::<String>())
    }
}

/// Reads tables, and keeps what is wrong with them.
struct Reader<R> {
    fields: Vec<Field<R>>,
    names: BTreeSet<String>,
    faults: Vec<(usize, Fault)>,
}

impl<R: Table> Reader<R> {
    fn row(&mut self, path: &str, given: Toml<'_>) -> R {
        let mut row = R::default();
        let Some(table) = given.value.as_table() else {
            self.refuse(path, given, expected(None, &format!("a table [[{}]]", R::LIST)));
            return row;
        };
        for (key, value) in table {
            let value = given.inner(value);
            let path = format!("{path}.{}", key.get_ref());
            let field = self.fields.iter().find(|field| field.key == key.get_ref().as_ref());
            let Some(field) = field else {
                let suggestion = suggest(key.get_ref(), self.fields.iter().map(|field| field.key));
                let line = given.line_at(key.span().start);
                self.faults.push((line, Fault::Unknown { name: path, suggestion }));
                continue;
            };
            match (field.read)(&mut row, value) {
                Err(expected) => self.refuse(&path, value, expected),
                Ok(()) => {
                    if key.get_ref() == NAME
                        && let Some(unique) = R::UNIQUE
                        && !self.names.insert(row.name().to_owned())
                    {
                        self.refuse(&path, value, expected(None, unique));
                    }
                }
            }
        }
        if !table.contains_key(NAME) {
            let missing = Fault::Missing { key: format!("{path}.{NAME}") };
            self.faults.push((given.line(), missing));
        }
        row
    }

    fn refuse(&mut self, path: &str, given: Toml<'_>, expected: String) {
        let fault = Fault::Value { key: path.to_owned(), given: given.text(), expected };
        self.faults.push((given.line(), fault));
    }
}

/// Declares the tables of a list: the struct that one of them is read into, and its keys.
///
/// A key is `name: Type = kind;`. Those that need not be there stand in `optional`, and are `Option`s.
macro_rules! array_of_tables {
    (
        $(#[$table_attribute:meta])*
        $Table:ident in $list:literal, unique $unique:expr, {$(
            $(#[$attribute:meta])*
            $name:ident: $type:ty = $kind:expr;
        )*} optional {$(
            $(#[$optional_attribute:meta])*
            $optional:ident: $Optional:ty = $optional_kind:expr;
        )*}
    ) => {
        $(#[$table_attribute])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(crate) struct $Table {
            $(
                $(#[$attribute])*
                pub(crate) $name: $type,
            )*
            $(
                $(#[$optional_attribute])*
                pub(crate) $optional: Option<$Optional>,
            )*
        }

        impl crate::settings::tables::Table for $Table {
            const LIST: &'static str = $list;
            const UNIQUE: Option<&'static str> = $unique;

            fn fields() -> Vec<crate::settings::tables::Field<Self>> {
                use crate::settings::tables::{field, optional};
                vec![
                    $(field(stringify!($name), || $kind, |row: &mut Self| &mut row.$name),)*
                    $(optional(stringify!($optional), || $optional_kind, |row: &mut Self| {
                        &mut row.$optional
                    }),)*
                ]
            }

            fn name(&self) -> &str {
                &self.name
            }
        }
    };
}
pub(super) use array_of_tables;
