//! The page of metrics, in the format that is asked for.

use super::{process, text};
use crate::outlet::now;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use crosspoint_hub::Hub;
use crosspoint_hub::rate_limiter::RateLimiter;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use subtle::ConstantTimeEq;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a request for the metrics has to present.
#[derive(Clone)]
pub struct MetricsToken(String);

impl MetricsToken {
    /// A token; it should be long and made at random.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Whether a request presents it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let bearer = given.and_then(|given| given.split_first_chunk::<7>());
        bearer.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.ct_eq(self.0.as_bytes()))
        })
    }
}

impl fmt::Debug for MetricsToken {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken(***)")
    }
}

/// The answer to a request without the right token.
pub(super) fn refusal() -> Response {
    let what = text(StatusCode::UNAUTHORIZED, "The metrics need a token (http.metrics_token).\n");
    ([(WWW_AUTHENTICATE, "Bearer")], what).into_response()
}

/// The page of a hub and of this process. However often it is asked for, it is written a bounded number of times
/// a second.
#[derive(Debug)]
pub(super) struct Pages {
    hub: Arc<Hub>,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    page: Option<Arc<Page>>,
    limiter: RateLimiter,
    /// Until when it is the answer.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Page {
    open: Bytes,
    /// Once it was asked for.
    plain: OnceLock<Bytes>,
}

impl Pages {
    /// How often a page is written in a second. More often it is the last one again.
    const PER_SECOND_MAX: u64 = 25;

    pub(super) fn new(hub: &Arc<Hub>) -> Self {
        let limiter = RateLimiter::new(now(), Self::PER_SECOND_MAX, 0);
        Self { hub: hub.clone(), last: Mutex::new(Last { page: None, limiter, until: None }) }
    }

    /// Answers a request for it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let Ok(page) = self.page() else {
            let what = "The metrics could not be written.\n";
            return text(StatusCode::INTERNAL_SERVER_ERROR, what);
        };
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        // Who says nothing takes everything.
        let open = !headers.contains_key(ACCEPT) || wants_open_metrics(accept);
        let (kind, page) = match open {
            true => (OPEN_METRICS, page.open.clone()),
            false => (TEXT, page.plain()),
        };
        ([(CONTENT_TYPE, kind), (VARY, "Accept")], page).into_response()
    }

    fn page(&self) -> Result<Arc<Page>, fmt::Error> {
        let now = now();
        // What it guards is consistent between any two statements that could panic.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(page), Some(until)) = (&last.page, last.until)
            && now < until
        {
            return Ok(page.clone());
        }
        let mut open = String::new();
        self.hub.metrics.encode(&mut open)?;
        process::encode(&mut open);
        open.push_str("# EOF\n");
        let page = Arc::new(Page { open: open.into(), plain: OnceLock::new() });
        last.page = Some(page.clone());
        last.until = last.limiter.count(now, 1, 0).0;
        Ok(page)
    }
}

impl Page {
    fn plain(&self) -> Bytes {
        let open = || str::from_utf8(&self.open).expect("it was a string");
        self.plain.get_or_init(|| plain(open()).into()).clone()
    }
}

/// Whether `Accept` asks for OpenMetrics, and not rather for plain text.
fn wants_open_metrics<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut open, mut text) = (0.0, 0.0);
    for element in accept.flat_map(|value| value.split(',')) {
        let mut parts = element.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(1.0, |(_, value)| value.trim().parse::<f32>().unwrap_or(0.0));
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            open = quality;
        } else if kind.eq_ignore_ascii_case("text/plain") {
            text = quality;
        }
    }
    open > 0.0 && open >= text
}

/// OpenMetrics in the words of the older text format: a counter is called as its sample is, and there are no
/// units and no end.
fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                text.push_str(&format!("# HELP {name}{ending} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{ending} {kind}\n"));
        } else if !line.starts_with("# ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::HubOptions;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_page_is_written_a_bounded_number_of_times_a_second() {
        let hub = Hub::new(HubOptions::default());
        let pages = Pages::new(&hub);
        let mut written = Vec::new();
        for _ in 0..10_000 {
            written.push(pages.page().unwrap());
            tokio::time::advance(Duration::from_micros(100)).await;
        }
        written.dedup_by(|next, page| Arc::ptr_eq(next, page));
        // Some at once, and as many within the second.
        assert!((45..=51).contains(&written.len()), "{}", written.len());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!Arc::ptr_eq(&pages.page().unwrap(), written.last().unwrap()));
    }

    #[test]
    fn open_metrics_are_for_those_who_prefer_them() {
        for (accept, open) in [
            ("", false),
            ("*/*", false),
            ("text/html,*/*;q=0.8", false),
            ("text/plain;version=0.0.4", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5", true),
            ("application/openmetrics-text;q=0.6, text/plain;q=0.4,*/*;q=0.1", true),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.6", false),
            ("application/openmetrics-text;q=0", false),
        ] {
            assert_eq!(wants_open_metrics([accept].into_iter()), open, "{accept:?}");
        }
    }

    #[test]
    fn the_text_format_names_counters_as_their_samples() {
        let open = "# HELP a_hits Hits.\n# TYPE a_hits counter\na_hits_total{x=\"y\"} 1\n\
                    # HELP a_trip_seconds Trips.\n# TYPE a_trip_seconds histogram\n\
                    # UNIT a_trip_seconds seconds\na_trip_seconds_sum 0.0\n\
                    # HELP a_build Build.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n# EOF\n";
        let text = "# HELP a_hits_total Hits.\n# TYPE a_hits_total counter\na_hits_total{x=\"y\"} 1\n\
                    # HELP a_trip_seconds Trips.\n# TYPE a_trip_seconds histogram\n\
                    a_trip_seconds_sum 0.0\n\
                    # HELP a_build_info Build.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n";
        assert_eq!(plain(open), text);
    }
}
