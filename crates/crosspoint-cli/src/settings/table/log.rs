//! The section `[log]`.

use super::{GIB, KIB};
use crate::settings::kind::{bytes, log_filter, words};
use crate::settings::row::section;

section! {
    /// What the program writes to its log (standard error).
    log: Log {
        /// How much is logged: a level, or directives for parts of the program.
        ///
        /// A level is off, error, warn, info, debug or trace, and includes those before it. A list
        /// such as `info,crosspoint_net=debug` gives single parts a level of their own.
        level: String = "info", log_filter(), flag "log";

        /// How log lines look: text for people, json for machines.
        ///
        /// With json every line is one object. In both, letters that would command a terminal or
        /// turn text around are escaped.
        format: LogFormat = "text",
            words(&[("text", LogFormat::Text), ("json", LogFormat::Json)]), flag "log-format";

        /// Bytes of log lines that may wait to be written.
        ///
        /// The log never holds up the hub: lines that find no room, because standard error is read
        /// slowly or not at all, are dropped, and so are those that cannot be written. The metric
        /// `log_lines_dropped` counts them, and the next line that is written says how many.
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
