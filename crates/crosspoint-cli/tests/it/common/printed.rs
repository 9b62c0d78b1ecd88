//! What programs print, read by threads of their own, so that nobody waits for it for ever.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes that a test waits for, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Gives what an iterator gives, in a thread of its own.
fn apart<T: Send + 'static>(items: impl Iterator<Item = T> + Send + 'static) -> Receiver<T> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for item in items {
            if tell.send(item).is_err() {
                return;
            }
        }
    });
    told
}

/// What comes from a pipe, as it comes.
pub(crate) fn pieces(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    apart(std::iter::from_fn(move || {
        let mut piece = vec![0; 4096];
        let bytes = pipe.read(&mut piece).ok().filter(|bytes| *bytes > 0)?;
        piece.truncate(bytes);
        Some(piece)
    }))
}

/// The lines of a pipe.
pub(crate) struct Printed(Receiver<String>);

impl Printed {
    pub(crate) fn new(pipe: impl Read + Send + 'static) -> Self {
        Self(apart(BufReader::new(pipe).lines().map_while(Result::ok)))
    }

    /// The lines up to one that is wanted, or all if none is. `what` is waited for.
    fn read(&mut self, what: &str, is_wanted: impl Fn(&str) -> bool) -> (Vec<String>, bool) {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.0.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_it = is_wanted(&line);
                    seen.push(line);
                    if is_it {
                        return (seen, true);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return (seen, false),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("waited {PATIENCE:?} for {what}, and read {seen:#?}")
                }
            }
        }
    }

    /// Reads on until a line holds a text. Gives all lines up to that one.
    pub(crate) fn lines_until(&mut self, text: &str) -> Vec<String> {
        let (seen, is_there) = self.read(&format!("`{text}`"), |line| line.contains(text));
        assert!(is_there, "`{text}` was not printed, but {seen:#?}");
        seen
    }

    /// The same. Gives that line.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.lines_until(text).pop().expect("the line itself")
    }

    /// All that is still printed.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.read("the end of the program", |_| false).0
    }
}
