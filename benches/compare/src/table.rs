//! Samples by workload, measure and target; medians and ratios.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::ValueEnum;
use serde::Serialize;

use crate::target::Target;
use crate::work::{Measure, Work, shortened};

/// All samples so far, in the order in which they first came.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

/// The samples of one measure of one target.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    workload: String,
    measure: &'static str,
    target: Target,
    unit: &'static str,
    median: f64,
    samples: Vec<f64>,
    /// Median divided by that of another target.
    to: BTreeMap<Target, f64>,
}

impl Table {
    pub(crate) fn add(&mut self, work: Work, target: Target, measures: &[Measure]) {
        let workload = work.to_string();
        for &Measure { name, unit, value } in measures {
            let same = |row: &&mut Row| {
                row.workload == workload && row.measure == name && row.target == target
            };
            match self.0.iter_mut().find(same) {
                Some(row) => row.samples.push(value),
                None => self.0.push(Row {
                    workload: workload.clone(),
                    measure: name,
                    target,
                    unit,
                    median: value,
                    samples: vec![value],
                    to: BTreeMap::new(),
                }),
            }
        }
    }

    /// Rows with medians and ratios: targets of the same measure next to each other.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = self.0.clone();
        for row in &mut rows {
            row.median = median(&row.samples);
        }
        let medians = rows.clone();
        let yardsticks = self.yardsticks();
        for row in &mut rows {
            let others = medians
                .iter()
                .filter(|other| is_same_measure(row, other) && yardsticks.contains(&other.target));
            let ratios = others.map(|other| (other.target, row.median / other.median));
            row.to = ratios.filter(|(_, ratio)| ratio.is_finite()).collect();
        }
        let first = |row: &Row| medians.iter().position(|other| is_same_measure(row, other));
        rows.sort_by_key(|row| (first(row), row.target));
        rows
    }

    /// What the others are measured by.
    fn yardsticks(&self) -> Vec<Target> {
        let present = |target| self.0.iter().any(|row| row.target == target);
        let all = Target::value_variants().iter().copied();
        all.filter(|target| target.is_yardstick(present)).collect()
    }

    pub(crate) fn markdown(&self) -> String {
        let yardsticks = self.yardsticks();
        let name = |target: Target| format!("{target:?}").to_lowercase();
        let mut text = String::from("| workload | measure | target | median | least to most |");
        let heads = yardsticks.iter().map(|target| format!(" to {} |", name(*target)));
        text.extend(heads);
        text.push_str("\n|---|---|---|---:|---:|");
        text.push_str(&"---:|".repeat(yardsticks.len()));
        text.push('\n');
        for row in self.rows() {
            let unit = row.unit;
            let least = row.samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = row.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let written = write!(
                text,
                "| {} | {} | {} | {} | {} to {} |",
                row.workload,
                row.measure,
                name(row.target),
                shortened(row.median, unit),
                shortened(least, unit),
                shortened(most, unit),
            );
            written.expect("writing to a string cannot fail");
            for target in &yardsticks {
                let ratio = row.to.get(target);
                text.push_str(
                    &ratio.map_or_else(|| " - |".into(), |ratio| format!(" {ratio:.2} |")),
                );
            }
            text.push('\n');
        }
        text
    }
}

fn is_same_measure(row: &Row, other: &Row) -> bool {
    row.workload == other.workload && row.measure == other.measure
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => f64::NAN,
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_compare_the_medians_of_the_same_measure() {
        let work = Work::Fanout { receivers: 1 };
        let measure = |value| [Measure { name: "deliveries", unit: "/s", value }];
        let mut table = Table::default();
        for value in [1.0, 100.0, 3.0] {
            table.add(work, Target::Nats, &measure(value));
        }
        for value in [5.0, 7.0] {
            table.add(work, Target::Joint, &measure(value));
        }
        table.add(Work::Relay { in_flight: 1 }, Target::Bare, &measure(9.0));
        let rows = table.rows();
        assert_eq!(rows[0].target, Target::Joint);
        assert_eq!((rows[0].median, &rows[0].to), (6.0, &BTreeMap::from([(Target::Nats, 2.0)])));
        assert_eq!((rows[1].median, rows[1].to[&Target::Nats]), (3.0, 1.0));
        let text = table.markdown();
        assert!(text.starts_with(
            "| workload | measure | target | median | least to most | to nats | to bare |\n"
        ));
        let row = "| fanout-1 | deliveries | joint | 6.00 /s | 5.00 /s to 7.00 /s | 2.00 | - |\n";
        assert!(text.contains(row), "{text}");
    }
}
