//! Search, order and pages, over anything.

use std::cmp::Ordering;
use std::fmt::{self, Write};

/// The longest text that is searched for, in bytes.
pub(crate) const SEARCH_BYTES_MAX: usize = 256;

/// The most rows of a page.
pub(crate) const LIMIT_MAX: u64 = 500;

/// Which rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// The rows of a page, and how many there are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paged<'a, T> {
    pub(crate) total: usize,
    pub(crate) matched: usize,
    pub(crate) rows: Vec<&'a T>,
}

/// Chooses the rows of a page. `order` says which of two comes first, and never that both are the same, so that no row
/// is on two pages.
pub(crate) fn page<'a, T>(
    all: &'a [T],
    matches: impl Fn(&T) -> bool,
    order: impl Fn(&T, &T) -> Ordering,
    page: Page,
) -> Paged<'a, T> {
    let mut rows: Vec<_> = all.iter().filter(|row| matches(row)).collect();
    let matched = rows.len();
    let end = page.offset.saturating_add(page.limit).min(matched);
    if page.offset >= end {
        rows.clear();
    } else {
        if end < matched {
            // Those behind need no order.
            rows.select_nth_unstable_by(end, |one, other| order(one, other));
            rows.truncate(end);
        }
        rows.sort_unstable_by(|one, other| order(one, other));
        rows.drain(..page.offset);
    }
    Paged { total: all.len(), matched, rows }
}

/// A text that is searched for, whatever the case of its letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    folded: String,
    number: Option<u64>,
}

impl Search {
    /// `None` for an empty text, which fits everything.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let folded = fold(text.trim());
        let number = folded.parse().ok();
        (!folded.is_empty()).then_some(Self { folded, number })
    }

    /// Whether it is in a text, whose letters were [folded](fold).
    pub(crate) fn is_in(&self, folded: &str) -> bool {
        folded.contains(&self.folded)
    }

    /// Whether what is shown in small letters begins with it. No more of that is made than has to be looked at, as many
    /// are.
    pub(crate) fn begins(&self, shown: impl fmt::Display) -> bool {
        let mut begin = Begin { left: &self.folded };
        // Writing ends at the first difference, and where it is decided.
        let _ = write!(begin, "{shown}");
        begin.left.is_empty()
    }

    /// Whether it can begin an id in hexadecimal digits.
    pub(crate) fn can_begin_id(&self) -> bool {
        self.folded.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Whether it can begin an address.
    pub(crate) fn can_begin_address(&self) -> bool {
        self.folded.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
    }

    /// Whether it is this number.
    pub(crate) fn is(&self, number: u64) -> bool {
        self.number == Some(number)
    }
}

/// Takes a text away from the front of another, for as long as they are the same.
struct Begin<'a> {
    left: &'a str,
}

impl fmt::Write for Begin<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let same = self.left.bytes().zip(text.bytes()).take_while(|(one, other)| one == other);
        let same = same.count();
        let ends = same < text.len();
        // A difference may be inside a character, of which nothing is taken then.
        self.left = self.left.get(same..).unwrap_or(self.left);
        if ends { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A text with its letters in one case.
pub(crate) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Which of two texts comes first where one may be missing, which is last.
pub(crate) fn missing_last<T: Ord + ?Sized>(one: Option<&T>, other: Option<&T>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.cmp(other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(all: &[u32], offset: usize, limit: usize) -> (usize, Vec<u32>) {
        let even = |number: &u32| number.is_multiple_of(2);
        let paged = page(all, even, Ord::cmp, Page { offset, limit });
        assert_eq!(paged.total, all.len());
        (paged.matched, paged.rows.into_iter().copied().collect())
    }

    #[test]
    fn pages_follow_each_other_and_are_in_order() {
        let all: Vec<u32> = (0..100).map(|number| number * 37 % 100).collect();
        let mut seen = Vec::new();
        for offset in (0..60).step_by(7) {
            let (matched, rows) = shown(&all, offset, 7);
            assert_eq!(matched, 50);
            seen.extend(rows);
        }
        let evens: Vec<u32> = (0..50).map(|number| number * 2).collect();
        assert_eq!(seen, evens);
        assert_eq!(shown(&all, 0, 500).1, evens);
        assert_eq!(shown(&all, 50, 7), (50, vec![]));
        assert_eq!(shown(&all, usize::MAX, usize::MAX), (50, vec![]));
        assert_eq!(shown(&[], 0, 7), (0, vec![]));
    }

    #[test]
    fn a_search_is_for_names_ids_addresses_and_numbers() {
        assert_eq!(Search::new("  "), None);
        let search = Search::new(" ÄNN ").unwrap();
        assert!(search.is_in(&fold("Hänne")) && search.is_in(&fold("HÄNNE")));
        assert!(!search.is_in(&fold("anne")));
        assert!(!search.can_begin_id() && !search.can_begin_address());
        let search = Search::new("1F").unwrap();
        assert!(search.can_begin_id() && search.begins("1f00") && !search.begins("01f0"));
        assert!(!search.begins("1") && !search.begins(""));
        let pieces = std::net::Ipv4Addr::new(192, 0, 2, 10);
        for (text, begins) in [
            ("192.0.2.10", true),
            ("192.0.2.1", true),
            ("1", true),
            ("192.0.2.10.", false),
            ("192.0.2.100", false),
            ("92", false),
            ("192.1", false),
        ] {
            assert_eq!(Search::new(text).unwrap().begins(pieces), begins, "{text}");
        }
        let search = Search::new("17").unwrap();
        assert!(search.is(17) && !search.is(170));
        let search = Search::new("192.0").unwrap();
        assert!(!search.can_begin_id() && search.can_begin_address());
    }
}
