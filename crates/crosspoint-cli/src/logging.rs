//! The log: to standard error, for people or as JSON.

use crate::settings::{LogFormat, Settings};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts the log.
pub(crate) fn start(settings: &Settings) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&settings.log.level).map_err(|error| format!("log.level: {error}"))?;
    let ansi = std::io::stderr().is_terminal();
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let result = match settings.log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|error| format!("the log could not be started: {error}"))
}
