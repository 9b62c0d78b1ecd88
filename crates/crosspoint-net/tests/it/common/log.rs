//! What is logged, for tests, and a log that fails.

use std::fmt;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The log of the thread that made it, for as long as it lives.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    _guard: DefaultGuard,
}

/// A line: its level, its message, and its fields.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: String,
}

/// Keeps what is logged.
pub(crate) fn log() -> Log {
    log_that_panics_at("")
}

/// A log that panics at a message, in whatever task logs it.
pub(crate) fn log_that_panics_at(message: &'static str) -> Log {
    let lines = Arc::<Mutex<Vec<Line>>>::default();
    let guard = set_default(Collector { lines: lines.clone(), panics_at: message });
    Log { lines, _guard: guard }
}

impl Log {
    /// All lines for the operator.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.level <= Level::INFO).cloned().collect()
    }
}

struct Collector {
    lines: Arc<Mutex<Vec<Line>>>,
    panics_at: &'static str,
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("crosspoint")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut line = Line { level, message: String::new(), fields: String::new() };
        event.record(&mut line);
        assert!(line.message != self.panics_at, "the log fails on purpose");
        self.lines.lock().unwrap().push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!("{name}={value:?} "),
        }
    }
}
