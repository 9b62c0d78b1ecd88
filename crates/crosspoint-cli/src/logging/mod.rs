//! The log: to standard error, for people or as JSON. It never holds the hub up and never harms it.
//!
//! * [`writer`]: the thread that writes; [`mod@clean`]: what is not written as it is

mod clean;
mod writer;

pub(crate) use clean::{Style, clean};

use crate::settings::{LogFormat, Settings};
use crosspoint_net::log_limit::LogLimit;
use prometheus_client::metrics::counter::Counter;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::time::{Duration, Instant};
use tracing_subscriber::{EnvFilter, fmt};
use writer::Lines;

/// How long the last lines may take to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The log of the program. Dropping it writes what waits, if that takes no longer than a second.
#[derive(Debug)]
pub(crate) struct Log(Lines);

/// Starts the log. Lines that cannot be written are counted. From now on panics are logged as well.
pub(crate) fn start(settings: &Settings, dropped: Counter) -> Result<Log, String> {
    let filter =
        EnvFilter::try_new(&settings.log.level).map_err(|error| format!("log.level: {error}"))?;
    let style = match settings.log.format {
        LogFormat::Json => Style::Json,
        LogFormat::Text if std::io::stderr().is_terminal() => Style::Coloured,
        LogFormat::Text => Style::Plain,
    };
    let wrong = |error: &dyn std::fmt::Display| format!("the log could not be started: {error}");
    let lines = Lines::start(std::io::stderr(), style, settings.log.buffer_bytes_max, dropped)
        .map_err(|error| wrong(&error))?;
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(lines.clone())
        .with_ansi(style == Style::Coloured)
        // What cannot be logged is no reason to write past the log.
        .log_internal_errors(false);
    match style {
        Style::Json => builder.json().flatten_event(true).try_init(),
        Style::Plain | Style::Coloured => builder.with_target(false).try_init(),
    }
    .map_err(|error| wrong(&error))?;
    let limit = LogLimit::new(Instant::now());
    std::panic::set_hook(Box::new(move |panic| log_panic(panic, &limit)));
    Ok(Log(lines))
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(FLUSH_MAX);
    }
}

/// A fault of the hub. It ends what it happened in, and nothing else.
fn log_panic(panic: &PanicHookInfo<'_>, limit: &LogLimit) {
    if let Some(unsaid) = limit.line(Instant::now()) {
        let at = panic.location().map(tracing::field::display);
        let what = panic.payload_as_str().unwrap_or("of no text");
        tracing::error!(
            at,
            what,
            unsaid,
            "a panic, which is a fault of this program; please report it"
        );
    }
}
