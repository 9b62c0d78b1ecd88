//! Tables as text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The widest cell, in columns of the terminal.
pub(crate) const CELL_WIDTH_MAX: usize = 40;

/// A column of a table of such rows. What it shows is harmless on a terminal.
pub(crate) struct Column<T> {
    pub(crate) head: &'static str,
    /// Whether it has numbers, which end below each other.
    pub(crate) is_number: bool,
    /// What it shows of a row at a time, in milliseconds since 1970.
    pub(crate) show: fn(&T, u64) -> String,
}

/// Lines in which the cells of each column stand below each other.
pub(crate) fn text<T>(columns: &[Column<T>], rows: &[T], now_ms: u64) -> String {
    let head = columns.iter().map(|column| column.head.to_owned()).collect();
    let cells = |row| columns.iter().map(|column| cut((column.show)(row, now_ms))).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| lines.iter().map(|line| line[column].width()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut written = String::new();
        for ((cell, column), width) in line.iter().zip(columns).zip(&widths) {
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let (before, behind) = if column.is_number { (&*space, "") } else { ("", &*space) };
            written.extend([before, cell, behind, "  "]);
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
    text
}

/// A cell that is not too wide.
pub(crate) fn cut(cell: String) -> String {
    if cell.width() <= CELL_WIDTH_MAX {
        return cell;
    }
    let mut width = 0;
    let fits = cell.chars().take_while(|letter| {
        width += letter.width().unwrap_or(0);
        width < CELL_WIDTH_MAX
    });
    fits.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other_whatever_the_width_of_their_letters() {
        let columns: [Column<(&str, u64)>; 2] = [
            Column { head: "NAME", is_number: false, show: |row, _| row.0.to_owned() },
            Column { head: "N", is_number: true, show: |row, _| row.1.to_string() },
        ];
        let rows = [("名前", 1), ("a", 100)];
        assert_eq!(text(&columns, &rows, 0), "NAME    N\n名前    1\na     100\n");
        assert_eq!(text(&columns, &[], 0), "NAME  N\n");
        let long = cut("名".repeat(50));
        assert_eq!((long.width(), long.chars().last()), (39, Some('…')));
        assert_eq!(cut("x".repeat(41)).width(), CELL_WIDTH_MAX);
        assert_eq!(cut("x".repeat(40)), "x".repeat(40));
    }
}
