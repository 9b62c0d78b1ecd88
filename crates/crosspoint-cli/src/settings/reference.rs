//! The reference page `docs/settings.md`, written from the table.

use super::error::SettingsError;
use super::kind::Form;
use super::row::{ENV_CONFIG, Row, Section};
use super::table::SECTIONS;
use super::{Settings, add_arguments, load};
use crate::small_file::FileKind;
use std::path::Path;

const INTRODUCTION: &str = "\
# Settings

This page is generated from the table of settings in `crates/crosspoint-cli/src/settings/table.rs`.
`UPDATE_DOCS=1 cargo test -p crosspoint-cli` generates it again.

The value of a setting comes from the first of these that sets it:

1. a flag of `crosspoint serve`
2. the environment
3. the file that `--config FILE` or the environment variable `CROSSPOINT_CONFIG` names; none by default
4. the default

`crosspoint config` takes the same flags. It prints the effective settings and where each value comes
from, as a file that `--config` reads (only secrets are hidden). The program does not start with invalid
or unknown settings: it lists all of them, and the exit code is 2.

Files of settings, secrets and keys have at most 16 MiB and must be read within ten seconds. At the start a
pipe works too (`--secrets-file <(...)`, `/dev/stdin`); SIGHUP reads regular files only.

Sizes are integers, or text with one of the suffixes `KiB`, `MiB`, `GiB` (or `k`, `m`, `g`), which
are multiples of 1024: `\"64KiB\"`. Times are integers in the unit of the name: `_ms` is milliseconds,
`_s` is seconds. A list is an array in the file, text separated by commas in the environment, and a
repeated flag on the command line. A flag for true or false means true without a value:
`--metrics`, `--metrics=true`, `--metrics false`.

Environment variables that begin with `CROSSPOINT_` and name no setting are errors, except those by
which Kubernetes describes a service called `crosspoint` (`CROSSPOINT_SERVICE_HOST`,
`CROSSPOINT_PORT_7680_TCP` and the like).
";

/// The whole page.
fn reference() -> Result<String, SettingsError> {
    assert!(INTRODUCTION.contains(ENV_CONFIG));
    let defaults = load(
        &add_arguments(clap::Command::new("")).get_matches_from([""]),
        [].into_iter(),
        FileKind::Regular,
    )?;
    let sections = SECTIONS.iter().map(|section| section_page(section, &defaults.settings));
    Ok(format!("{INTRODUCTION}{}", sections.collect::<String>()))
}

fn section_page(section: &Section<Settings>, defaults: &Settings) -> String {
    let rows = section.rows.iter().map(|row| row_page(row, defaults));
    format!("\n## {}\n{}", section.heading, rows.collect::<String>())
}

fn row_page(row: &Row<Settings>, defaults: &Settings) -> String {
    let doc: String = row.doc.iter().map(|paragraph| format!("{}\n\n", wrap(paragraph))).collect();
    let doc = doc.replace("\n\n- ", "\n- ").replacen("\n- ", "\n\n- ", 1);
    let mut facts = vec![
        ("default", format!("`{}`", row.slot.show(defaults))),
        ("expected", row.slot.allowed()),
    ];
    match &row.flag {
        Some(flag) => {
            let flag = match row.slot.form() {
                Form::Switch => format!("`--{flag}[=BOOL]`"),
                Form::One(name) => format!("`--{flag} {name}`"),
                Form::List(name) => format!("`--{flag} {name}`, repeatable"),
                Form::Secret | Form::Tables => format!("`--{flag} TEXT`"),
            };
            facts.extend([("flag", flag), ("environment", format!("`{}`", row.env))]);
        }
        None => facts.push(("flag and environment", "none, file only".to_owned())),
    }
    let facts = facts.iter().map(|(name, fact)| format!("| {name} | {fact} |\n"));
    format!("\n### {}\n\n{doc}| | |\n|---|---|\n{}", row.key, facts.collect::<String>())
}

/// A paragraph in lines of at most 100 letters.
fn wrap(paragraph: &str) -> String {
    let indent = if paragraph.starts_with("- ") { "\n  " } else { "\n" };
    let mut wrapped = String::new();
    let mut width = 0;
    for word in paragraph.split(' ') {
        let letters = word.chars().count();
        if width > 0 && width + 1 + letters > 100 {
            wrapped.push_str(indent);
            width = indent.len() - 1;
        } else if width > 0 {
            wrapped.push(' ');
            width += 1;
        }
        wrapped.push_str(word);
        width += letters;
    }
    wrapped
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = reference().unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == committed,
        "{} is out of date: run the test with UPDATE_DOCS=1",
        path.display()
    );
}
