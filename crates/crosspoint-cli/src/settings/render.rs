//! The effective settings as `crosspoint config` prints them.

use super::table::SECTIONS;
use super::{Loaded, Origin};

/// Lines longer than this do not move the comments of the others.
const ALIGNED_LETTERS_MAX: usize = 48;

/// The effective settings as TOML, each line with a comment that says where it comes from.
/// Secrets are shown as `***`.
pub(crate) fn render(loaded: &Loaded) -> String {
    let sections = SECTIONS.iter().map(|section| {
        let key_width = section.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut lines: Vec<(String, &Origin)> = Vec::new();
        for row in &section.rows {
            let value = row.slot.show(&loaded.settings);
            let origin = loaded.origins.get(row.key).unwrap_or(&Origin::Default);
            let text = format!("{:key_width$} = {value}", row.name);
            lines.extend(text.lines().map(|line| (line.to_owned(), origin)));
        }
        let widths = lines.iter().map(|(line, _)| line.chars().count());
        let width = widths.filter(|width| *width <= ALIGNED_LETTERS_MAX).max().unwrap_or(0);
        let lines = lines.iter().map(|(line, origin)| format!("{line:width$}  # {origin}\n"));
        format!("[{}]\n{}", section.name, lines.collect::<String>())
    });
    sections.collect::<Vec<_>>().join("\n")
}
