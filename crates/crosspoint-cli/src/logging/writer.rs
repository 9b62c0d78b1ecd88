//! Writes lines of the log in a thread of its own.
//!
//! What takes the lines may be slow, full or gone. Nobody who logs waits for it or hears of it: a
//! bounded number of lines waits, and what finds no room or cannot be written is dropped and counted.

use super::clean::{Style, clean};
use prometheus_client::metrics::counter::Counter;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// The length of a short line, by which the number of those that may wait follows from their bytes.
const LINE_BYTES: usize = 128;

/// Pause when the file takes nothing at present and does not let a writer wait.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes lines. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    queue: SyncSender<Piece>,
    style: Style,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting_bytes: AtomicUsize,
    waiting_bytes_max: usize,
    /// Lines that were dropped since the log last told of it.
    untold: AtomicU64,
    /// Lines that were dropped.
    dropped: Counter,
}

#[derive(Debug)]
enum Piece {
    Line(Vec<u8>),
    /// All before it was written, or could not be.
    Mark(SyncSender<()>),
}

impl Shared {
    fn drop_line(&self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.dropped.inc();
    }
}

impl Lines {
    /// Starts the thread that writes to `file`. So many bytes may wait; what finds no room or cannot be
    /// written is counted in `dropped`.
    ///
    /// # Errors
    /// The system's, if there is no thread.
    pub(crate) fn start(
        file: impl Write + Send + 'static,
        style: Style,
        waiting_bytes_max: usize,
        dropped: Counter,
    ) -> io::Result<Self> {
        let (queue, pieces) = mpsc::sync_channel(waiting_bytes_max / LINE_BYTES);
        let (waiting_bytes, untold) = (AtomicUsize::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { waiting_bytes, waiting_bytes_max, untold, dropped });
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("log".into());
        thread.spawn(move || write_all(&pieces, file, &theirs))?;
        Ok(Self { queue, style, shared })
    }

    /// Waits until what was logged before is written, but no longer than this.
    pub(crate) fn flush(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let (mark, written) = mpsc::sync_channel(1);
        let mut piece = Piece::Mark(mark);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(piece) {
            if Instant::now() >= until {
                return;
            }
            piece = back;
            thread::sleep(PAUSE);
        }
        // Beyond that time nobody reads the log.
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    fn add(&self, line: &str) {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let mut line = clean(line, self.style).into_owned().into_bytes();
        line.push(b'\n');
        let bytes = line.len();
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = waiting + bytes <= self.shared.waiting_bytes_max;
        if !fits || self.queue.try_send(Piece::Line(line)).is_err() {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.drop_line();
        }
    }
}

impl Write for Lines {
    /// Takes one whole line, as the formatter gives them. Never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn write_all(pieces: &Receiver<Piece>, mut file: impl Write, shared: &Shared) {
    while let Ok(piece) = pieces.recv() {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::Mark(mark) => {
                // Who waited may have given up.
                let _ = mark.try_send(());
                continue;
            }
        };
        let result = write_line(&mut file, &line);
        let waiting = shared.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        match result {
            Ok(()) if waiting <= shared.waiting_bytes_max / 2 => {
                let lines = shared.untold.swap(0, Ordering::Relaxed);
                if lines > 0 {
                    tracing::warn!(lines, "the log could not take all lines; these are lost");
                }
            }
            Ok(()) => {}
            Err(_) => shared.drop_line(),
        }
    }
}

fn write_line(file: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match file.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes nothing until it is told how to go on.
    struct Gate(Receiver<io::Result<()>>, Arc<Mutex<String>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().unwrap_or(Ok(()))?;
            self.1.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const MIB: usize = 1024 * 1024;

    fn gate() -> (Gate, mpsc::Sender<io::Result<()>>, Arc<Mutex<String>>) {
        let (open, opened) = mpsc::channel();
        let text = Arc::<Mutex<String>>::default();
        (Gate(opened, text.clone()), open, text)
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted_and_nobody_waits() {
        let (file, open, text) = gate();
        let dropped = Counter::default();
        let lines = Lines::start(file, Style::Plain, MIB, dropped.clone()).unwrap();
        let kilobyte = "x".repeat(1023);
        for _ in 0..3000 {
            lines.add(&kilobyte);
        }
        assert!((3000 - 1025..=3000 - 1024).contains(&dropped.get()));
        let begun = Instant::now();
        lines.flush(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(5), "a log that is stuck holds up no end");
        drop(open);
        lines.flush(Duration::from_secs(60));
        let written = text.lock().unwrap().lines().count() as u64;
        assert_eq!(written + dropped.get(), 3000, "each is written or counted");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_later_ones_are_written() {
        let (file, open, text) = gate();
        let dropped = Counter::default();
        let lines = Lines::start(file, Style::Plain, MIB, dropped.clone()).unwrap();
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe] {
            open.send(Err(kind.into())).unwrap();
            lines.add("lost");
        }
        open.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        drop(open);
        lines.add("kept\n");
        lines.flush(Duration::from_secs(60));
        assert_eq!((&**text.lock().unwrap(), dropped.get()), ("kept\n", 2));
    }
}
