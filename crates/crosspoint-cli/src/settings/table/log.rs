//! The section `[log]`.

use super::{GIB, KIB};
use crate::settings::kind::{bytes, log_filter, words};
use crate::settings::row::section;

section! {
    /// The log, on standard error.
    log: Log {
        /// How much is logged: a level, or directives for parts of the program.
        ///
        /// The levels are off, error, warn, info, debug and trace. Each includes those before it. A
        /// list such as `info,crosspoint_net=debug` sets the level of single parts.
        level: String = "info", log_filter(), flag "log";

        /// How log lines look: text for people, json for machines.
        ///
        /// With json each line is one object. In both formats, characters that control a terminal or
        /// change the direction of text are escaped.
        format: LogFormat = "text",
            words(&[("text", LogFormat::Text), ("json", LogFormat::Json)]), flag "log-format";

        /// Bytes of log lines that may wait to be written.
        ///
        /// The log never delays the hub. Lines for which there is no space, because standard error is
        /// read slowly or not at all, are dropped, and so are lines that cannot be written. The
        /// metric `log_lines_dropped` counts them, and the next line that is written says how many
        /// there were.
        buffer_bytes_max: usize = "1MiB", bytes(4 * KIB..=GIB), flag "log-buffer-bytes-max";
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
