//! Samples by workload, measure and target; medians and ratios.

use std::fmt::Write;

use serde::Serialize;

use crate::Target;
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
    /// Median divided by that of the NATS server.
    to_nats: Option<f64>,
    /// Median divided by that of bare sockets.
    to_bare: Option<f64>,
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
                    to_nats: None,
                    to_bare: None,
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
        let of = |row: &Row, target| {
            medians
                .iter()
                .find(|other| other.target == target && is_same_measure(row, other))
                .map(|other| row.median / other.median)
                .filter(|ratio| ratio.is_finite())
        };
        for row in &mut rows {
            row.to_nats = of(row, Target::Nats);
            row.to_bare = of(row, Target::Bare);
        }
        let first = |row: &Row| medians.iter().position(|other| is_same_measure(row, other));
        rows.sort_by_key(|row| (first(row), row.target));
        rows
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| workload | measure | target | median | least to most | to nats | to bare |\n\
             |---|---|---|---:|---:|---:|---:|\n",
        );
        for row in self.rows() {
            let unit = row.unit;
            let least = row.samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = row.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let ratio = |ratio: Option<f64>| {
                ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
            };
            let written = writeln!(
                text,
                "| {} | {} | {} | {} | {} to {} | {} | {} |",
                row.workload,
                row.measure,
                format!("{:?}", row.target).to_lowercase(),
                shortened(row.median, unit),
                shortened(least, unit),
                shortened(most, unit),
                ratio(row.to_nats),
                ratio(row.to_bare),
            );
            written.expect("writing to a string cannot fail");
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
        assert_eq!((rows[0].median, rows[0].to_nats, rows[0].to_bare), (6.0, Some(2.0), None));
        assert_eq!((rows[1].median, rows[1].to_nats), (3.0, Some(1.0)));
        assert!(table.markdown().contains("| fanout-1 | deliveries | joint | 6.00 /s |"));
    }
}
