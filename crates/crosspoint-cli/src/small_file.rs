//! Reads the small files that the program is set up with: settings, secrets, keys, identities.
//!
//! A path may lead to a pipe into which nobody writes, to a device without an end, or to a disk that
//! has gone. So each file is read in a thread of its own, to a bound in bytes and in time. A thread
//! that hangs in the system cannot be ended; it is left behind, and there are few of these.

use crosspoint_net::regular::open_regular;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The most bytes of a file of settings, secrets or keys. One secret takes about 200.
pub(crate) const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long the reading of a file may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Reads that may hang in the system. Above, no other is begun.
const HUNG_MAX: usize = 4;

/// Reads that hang now.
static HUNG: AtomicUsize = AtomicUsize::new(0);

/// What a path may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A regular file, which can be read again and does not wait for anybody.
    Regular,
    /// A pipe too, such as the shell's `<(...)` or `/dev/stdin`.
    Any,
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct SmallFile {
    pub(crate) text: String,
    /// Its permissions, as in `st_mode`.
    pub(crate) mode: u32,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("this is no regular file, and nothing else can be read while the hub runs")]
    NotRegular,
    #[error("this is longer than {0} bytes")]
    TooLong(u64),
    #[error("this is not UTF-8")]
    NotUtf8,
    #[error("this could not be read within {} s", .0.as_secs_f32())]
    TooSlow(Duration),
    #[error("it was not tried, as {HUNG_MAX} earlier reads of files hang in the system")]
    TooManyHang,
}

/// Reads a file of at most `bytes_max` bytes. Blocks the thread for ten seconds at most.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn read(path: &Path, kind: FileKind, bytes_max: u64) -> Result<SmallFile, ReadError> {
    read_within(TIME_MAX, &HUNG, path, kind, bytes_max)
}

fn read_within(
    time_max: Duration,
    hung: &'static AtomicUsize,
    path: &Path,
    kind: FileKind,
    bytes_max: u64,
) -> Result<SmallFile, ReadError> {
    if hung.load(Ordering::Relaxed) >= HUNG_MAX {
        return Err(ReadError::TooManyHang);
    }
    // Without a buffer, so that either the result is taken or the thread knows that nobody waits.
    let (tell, told) = mpsc::sync_channel(0);
    let path = path.to_owned();
    thread::Builder::new().name("file".to_owned()).spawn(move || {
        if tell.send(read_here(&path, kind, bytes_max)).is_err() {
            hung.fetch_sub(1, Ordering::Relaxed);
        }
    })?;
    match told.recv_timeout(time_max) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            hung.fetch_add(1, Ordering::Relaxed);
            Err(ReadError::TooSlow(time_max))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the reader panicked").into()),
    }
}

fn read_here(path: &Path, kind: FileKind, bytes_max: u64) -> Result<SmallFile, ReadError> {
    let file = match kind {
        FileKind::Regular => open_regular(path)?.ok_or(ReadError::NotRegular)?,
        FileKind::Any => File::open(path)?,
    };
    let mode = file.metadata()?.mode();
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ReadError::TooLong(bytes_max));
    }
    let text = String::from_utf8(bytes).map_err(|_| ReadError::NotUtf8)?;
    Ok(SmallFile { text, mode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::process::Command;

    const AT_ONCE: Duration = Duration::from_millis(20);

    fn pipe(folder: &tempfile::TempDir) -> std::path::PathBuf {
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_one_without_an_end_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"12345678").unwrap();
        for kind in [FileKind::Regular, FileKind::Any] {
            let read = |bytes_max| read(file.path(), kind, bytes_max);
            assert_eq!(read(8).unwrap().text, "12345678");
            assert!(matches!(read(7), Err(ReadError::TooLong(7))));
        }
        let zeros = Path::new("/dev/zero");
        assert!(matches!(read(zeros, FileKind::Any, 1 << 20), Err(ReadError::TooLong(_))));
        assert!(matches!(read(zeros, FileKind::Regular, 1 << 20), Err(ReadError::NotRegular)));
        file.write_all(b"\xff").unwrap();
        assert!(matches!(read(file.path(), FileKind::Regular, 100), Err(ReadError::NotUtf8)));
    }

    #[test]
    fn a_pipe_is_waited_for_where_pipes_are_allowed_and_only_for_a_while_and_a_few() {
        let folder = tempfile::tempdir().unwrap();
        let path = pipe(&folder);
        assert!(matches!(read(&path, FileKind::Regular, 100), Err(ReadError::NotRegular)));
        let writer = thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "secret").unwrap()
        });
        assert_eq!(read(&path, FileKind::Any, 100).unwrap().text, "secret");
        writer.join().unwrap();

        static HUNG: AtomicUsize = AtomicUsize::new(0);
        let silent = || read_within(AT_ONCE, &HUNG, &path, FileKind::Any, 100);
        for _ in 0..HUNG_MAX {
            assert!(matches!(silent(), Err(ReadError::TooSlow(AT_ONCE))));
        }
        assert!(matches!(silent(), Err(ReadError::TooManyHang)));
        // A writer that comes and goes ends them all.
        drop(OpenOptions::new().write(true).open(&path).unwrap());
        while HUNG.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        assert!(matches!(silent(), Err(ReadError::TooSlow(AT_ONCE))));
        drop(OpenOptions::new().write(true).open(&path).unwrap());
    }
}
