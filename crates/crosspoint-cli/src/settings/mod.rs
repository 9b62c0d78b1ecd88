//! The settings of the program: flags, environment, file and defaults from one table.
//!
//! A flag is stronger than the environment, which is stronger than the file, which is stronger
//! than the default. [`table`] holds every setting; nothing else knows their names.
//!
//! * [`table`]: the rows by section, and the [`Settings`] they make
//! * [`row`]: a row and the names that follow from it; [`kind`], [`lists`]: the kinds of values; [`given`]: how
//!   they are given
//! * [`together`]: settings that are right one by one and wrong together
//! * [`tables`]: lists of tables in the file, such as rooms and rules for channels; [`mod@file`]: reading it
//! * [`error`]: what can be wrong; [`mod@render`]: showing the effective settings

mod address;
mod error;
mod file;
mod given;
mod kind;
mod lists;
#[cfg(test)]
mod reference;
mod render;
mod row;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod together;

pub(crate) use address::{ListenAddress, ListenAt};
pub(crate) use error::SettingsError;
pub(crate) use lists::split_root;
pub(crate) use render::render;
pub(crate) use table::Settings;
pub(crate) use table::channels::ChannelRule;
pub(crate) use table::log::LogFormat;
pub(crate) use table::rooms::RoomMode;

use crate::small_file::FileKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use error::{Fault, Origin, Problem, expected, shorten, suggest};
use file::File;
use given::Given;
use kind::{Form, Wrong, quote};
use row::{ENV_CONFIG, ENV_PREFIX, Row, env_name};
use std::collections::BTreeMap;
use std::path::PathBuf;
use table::{SECTIONS, rows};

/// The effective settings.
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) settings: Settings,
    /// Where each comes from, by its key.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
}

/// Adds `--config` and a flag for every setting. Values are not checked by clap but by [`load`],
/// which finds all that are wrong, wherever they come from.
pub(crate) fn add_arguments(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help(format!("File of settings, in TOML [env: {ENV_CONFIG}]"))
        .long_help(format!(
            "File of settings, in TOML. Environment and flags are stronger than the file.\n\n\
             [env: {ENV_CONFIG}; default: none]"
        ));
    SECTIONS.iter().fold(command.arg(config), |command, section| {
        let rows = section.rows.iter().filter_map(|row| argument(row, &section.heading));
        command.args(rows)
    })
}

fn argument(row: &'static Row<Settings>, heading: &'static str) -> Option<Arg> {
    let plain = |text: &str| text.replace('`', "");
    let default = if row.default.is_empty() { "none" } else { row.default };
    let facts = format!("[default: {}; env: {}; file: {}]", default, row.env, row.key);
    let expected = format!("Expected: {}", row.slot.allowed());
    let long = [plain(&row.doc.join("\n\n")), expected, facts].join("\n\n");
    let argument = Arg::new(row.key)
        .long(row.flag.as_deref()?)
        .help_heading(heading)
        .help(format!("{} [default: {default}]", plain(&row.help)))
        .long_help(long)
        .allow_negative_numbers(true);
    Some(match row.slot.form() {
        Form::Switch => argument.value_name("BOOL").num_args(0..=1).default_missing_value("true"),
        Form::One(name) => argument.value_name(name),
        Form::Secret => argument.value_name("TEXT"),
        Form::List(name) => argument.value_name(name).action(ArgAction::Append),
        Form::Tables => return None,
    })
}

/// Joins defaults, file, environment and flags into the effective settings.
///
/// `matches` are those of a command made by [`add_arguments`], `env` the whole environment, `kind` what
/// the file of settings may be. All
/// that is wrong is found before the error is returned; wrong values and names end the program
/// with exit code 2.
pub(crate) fn load(
    matches: &ArgMatches,
    env: impl Iterator<Item = (String, String)>,
    kind: FileKind,
) -> Result<Loaded, SettingsError> {
    let env: BTreeMap<String, String> =
        env.filter(|(name, value)| concerns_us(name, value)).collect();
    let mut problems = Vec::new();
    let file = open_file(matches, &env, kind).unwrap_or_else(|problem| {
        problems.push(problem);
        File::default()
    });
    let table = file.parse(&mut problems);
    let file_settings = file.settings(&table, &SECTIONS, &mut problems);

    let mut settings = Settings::default();
    let mut origins = BTreeMap::new();
    for row in rows() {
        let mut apply = |origin: Origin, given: Given<'_>| match row.slot.set(&mut settings, given)
        {
            Ok(()) => {
                origins.insert(row.key, origin);
            }
            Err(wrong) => problems.extend(explain(row, &origin, given, wrong)),
        };
        apply(Origin::Default, Given::Text(row.default));
        if let Some(value) = file_settings.get(row.key) {
            apply(file.origin(), Given::Toml(*value));
        }
        let Some(flag) = &row.flag else { continue };
        if let Some(value) = env.get(&row.env) {
            apply(Origin::Env(row.env.clone()), Given::Text(value));
        }
        if let Some(values) = matches.get_many::<String>(row.key) {
            let value = values.map(String::as_str).collect::<Vec<_>>().join(",");
            apply(Origin::Flag(flag.clone()), Given::Text(&value));
        }
    }
    problems.extend(env.keys().filter_map(|name| unknown_env(name)));
    problems.extend(together::conflicts(&settings, &origins).map(|(key, fault)| {
        let origin = origins.get(key).cloned().unwrap_or(Origin::Default);
        let line = match origin {
            Origin::File(_) => file_settings.get(key).map_or(0, |value| value.line()),
            _ => 0,
        };
        Problem { origin, line, fault }
    }));
    if problems.is_empty() {
        Ok(Loaded { settings, origins })
    } else {
        Err(SettingsError::new(problems))
    }
}

/// The keys of the settings that differ. Values that are not shown are not compared.
pub(crate) fn changed(old: &Settings, new: &Settings) -> Vec<&'static str> {
    rows().filter(|row| row.slot.show(old) != row.slot.show(new)).map(|row| row.key).collect()
}

fn open_file(
    matches: &ArgMatches,
    env: &BTreeMap<String, String>,
    kind: FileKind,
) -> Result<File, Problem> {
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        File::open(path, Origin::Flag("config".to_owned()), kind)
    } else if let Some(path) = env.get(ENV_CONFIG) {
        File::open(path.as_ref(), Origin::Env(ENV_CONFIG.to_owned()), kind)
    } else {
        Ok(File::default())
    }
}

/// Whether a name in the environment is meant for this program. Kubernetes describes a service
/// called `crosspoint` to every container by names that begin like ours; those are not.
fn concerns_us(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
        return false;
    };
    let of_a_service = rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || rest.starts_with("PORT_")
        || rest == "PORT" && value.contains("://");
    !of_a_service
}

fn unknown_env(name: &str) -> Option<Problem> {
    let fault = match rows().find(|row| row.env == name) {
        _ if name == ENV_CONFIG => return None,
        Some(Row { flag: Some(_), .. }) => return None,
        Some(row) => Fault::FileOnly { key: row.key },
        None => {
            let key = name.trim_start_matches(ENV_PREFIX).to_lowercase().replace("__", ".");
            let settable = rows().filter(|row| row.flag.is_some()).map(|row| row.key);
            let suggestion = suggest(&key, settable.chain(["config"])).map(|key| env_name(&key));
            Fault::Unknown { name: shorten(name), suggestion }
        }
    };
    Some(Problem { origin: Origin::Env(shorten(name)), line: 0, fault })
}

/// What is wrong with a value that was refused.
fn explain(row: &Row<Settings>, origin: &Origin, given: Given<'_>, wrong: Wrong) -> Vec<Problem> {
    let value = |item: Option<&str>| {
        let (line, text) = match given {
            Given::Text(text) => (0, quote(&shorten(text))),
            Given::Toml(toml) => (toml.line(), toml.text()),
        };
        let given = if row.slot.form() == Form::Secret { "***".to_owned() } else { text };
        let expected = expected(item, &row.slot.allowed());
        vec![(line, Fault::Value { key: row.key.to_owned(), given, expected })]
    };
    let parts = match wrong {
        Wrong::Parts(parts) => parts,
        Wrong::Value => value(None),
        Wrong::Item(item) => value(Some(&item)),
    };
    let problem = |(line, fault)| Problem { origin: origin.clone(), line, fault };
    parts.into_iter().map(problem).collect()
}
