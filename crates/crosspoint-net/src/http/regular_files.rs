//! The file system as it is served: regular files, whatever their paths lead to.

use crate::regular::open_regular;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::ReusableBoxFuture;
use tower_http::services::fs::{self, Backend};

/// How much is done with files at once. Above, it waits.
///
/// A disk that has gone holds a thread for as long as it likes. The runtime has 512 for what blocks, and
/// who comes in needs one too.
const AT_ONCE_MAX: usize = 64;

/// The most that is read at once, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;

/// What is being done with files.
static CALLS: BlockingCalls = BlockingCalls::new(AT_ONCE_MAX);

/// Lets a bounded number of calls run that may block for ever.
struct BlockingCalls(Semaphore);

impl BlockingCalls {
    const fn new(at_once_max: usize) -> Self {
        Self(Semaphore::const_new(at_once_max))
    }

    /// Calls this in a thread for what blocks. Who gives up waiting does not end the call.
    async fn run<T: Send + 'static>(
        &'static self,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = self.0.acquire().await.map_err(io::Error::other)?;
        let called = spawn_blocking(move || {
            let _place = place;
            call()
        });
        called.await?
    }
}

/// The file system, but for what is neither a file nor a directory: a pipe waits for somebody who writes
/// into it.
#[derive(Debug, Clone)]
pub(super) struct RegularFiles;

type Found<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Backend for RegularFiles {
    type File = RegularFile;
    type Metadata = Status;
    type OpenFuture = Found<RegularFile>;
    type MetadataFuture = Found<Status>;

    fn open(&self, path: PathBuf) -> Found<RegularFile> {
        Box::pin(CALLS.run(move || {
            // To open a device may do something to it, so it is not even tried.
            let is_file = std::fs::metadata(&path).map(|found| found.is_file());
            let opened = match is_file.map_err(hidden)? {
                true => open_regular(&path).map_err(hidden)?,
                false => None,
            };
            RegularFile::new(opened.ok_or(ErrorKind::NotFound)?)
        }))
    }

    fn metadata(&self, path: PathBuf) -> Found<Status> {
        Box::pin(CALLS.run(move || {
            let found = std::fs::metadata(path)?;
            match found.is_file() || found.is_dir() {
                true => Ok(Status(found)),
                false => Err(ErrorKind::NotFound.into()),
            }
        }))
    }
}

/// A file that may not be read is none, so that `a.js` is served if that holds for `a.js.br`.
fn hidden(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::PermissionDenied => ErrorKind::NotFound.into(),
        _ => error,
    }
}

/// What the system says of a file.
#[derive(Debug, Clone)]
pub(super) struct Status(Metadata);

impl fs::Metadata for Status {
    fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// When it was changed, if HTTP has a date for that: one of the years 1970 to 9999.
    fn modified(&self) -> io::Result<SystemTime> {
        const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
        let modified = self.0.modified()?;
        let since = modified.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        match since < YEAR_10000 {
            true => Ok(modified),
            false => Err(io::Error::other("a file was changed after the year 9999")),
        }
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// An open file.
pub(super) struct RegularFile {
    file: Arc<File>,
    status: Status,
    /// Where the next read begins.
    position: u64,
    reading: Option<ReusableBoxFuture<'static, io::Result<Vec<u8>>>>,
}

impl RegularFile {
    fn new(file: File) -> io::Result<Self> {
        let status = Status(file.metadata()?);
        Ok(Self { file: Arc::new(file), status, position: 0, reading: None })
    }
}

impl AsyncRead for RegularFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let reading = this.reading.get_or_insert_with(|| {
            let (file, position) = (this.file.clone(), this.position);
            let bytes_max = buf.remaining().min(READ_BYTES_MAX);
            ReusableBoxFuture::new(CALLS.run(move || {
                let mut bytes = vec![0; bytes_max];
                let read = file.read_at(&mut bytes, position)?;
                bytes.truncate(read);
                Ok(bytes)
            }))
        });
        let read = ready!(reading.poll(cx));
        this.reading = None;
        let bytes = read?;
        // Who asks again may have room for less.
        let taken = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..taken]);
        this.position += taken as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for RegularFile {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.status.0.len().checked_add_signed(by),
        };
        self.position = place.ok_or(ErrorKind::InvalidInput)?;
        self.reading = None;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl fs::File for RegularFile {
    type Metadata = Status;
    type MetadataFuture<'a> = std::future::Ready<io::Result<Status>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        std::future::ready(Ok(self.status.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::Waker;

    #[tokio::test]
    async fn calls_that_block_hold_no_more_threads_than_they_may_even_if_nobody_waits_for_them() {
        static CALLS: BlockingCalls = BlockingCalls::new(2);
        let (begin, begun) = mpsc::channel();
        let call = |number: u32| {
            let (end, ended) = mpsc::channel::<()>();
            let begin = begin.clone();
            let call = CALLS.run(move || {
                begin.send(number).map_err(io::Error::other)?;
                // Nothing is sent, the sender goes.
                Ok(ended.recv().is_err())
            });
            let mut call = Box::pin(call);
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            (call, end)
        };
        let ((given_up, first_end), second, (third, third_end)) = (call(1), call(2), call(3));
        let mut both = [begun.recv().unwrap(), begun.recv().unwrap()];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        drop((given_up, third_end));
        assert!(begun.try_recv().is_err(), "the first runs on");
        drop(first_end);
        assert!(third.await.unwrap());
        assert_eq!(begun.recv(), Ok(3));
        drop(second);
    }
}
