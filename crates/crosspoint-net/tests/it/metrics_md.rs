//! docs/metrics.md names every metric, as `/metrics` shows them. `UPDATE_DOCS=1` writes its table anew.

use crate::common::http::{ask, serve_http};
use crosspoint_net::http::HttpOptions;
use std::collections::BTreeMap;
use std::path::Path;

/// Asks for the text format, in which counters have their whole names.
const TEXT: &str = "GET /metrics HTTP/1.1\r\nHost: hub\r\nAccept: text/plain\r\n\r\n";

const BEGIN: &str = "<!-- the table is written by a test -->\n";
const END: &str = "<!-- end of the table -->\n";

#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: String,
}

/// What a page of metrics says of each.
fn metrics(page: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::<_, Metric>::new();
    let mut last = String::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            last = name.to_owned();
            metrics.entry(last.clone()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            metrics.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((_, labels)) = line.split_once('{')
            && let Some(metric) = metrics.get_mut(&last)
            && metric.labels.is_empty()
        {
            let names = labels.split("\",").filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name).filter(|name| *name != "le");
            metric.labels = names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        }
    }
    metrics
}

#[tokio::test]
async fn the_page_of_metrics_is_up_to_date() {
    let served = serve_http(HttpOptions::default());
    let answer = ask(&mut served.memory(), TEXT).await;
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    let row = |(name, Metric { kind, help, labels }): (String, Metric)| {
        format!("| `{name}` | {kind} | {labels} | {help} |\n")
    };
    let rows: String = metrics(&page).into_iter().map(row).collect();
    assert!(rows.contains("| `crosspoint_limit_hits_total` | counter | `limit` |"), "{rows}");
    let table =
        format!("{BEGIN}\n| metric | kind | labels | what |\n|---|---|---|---|\n{rows}\n{END}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{table}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            document == wanted,
            "docs/metrics.md is out of date: run the test with UPDATE_DOCS=1"
        );
    }
}
