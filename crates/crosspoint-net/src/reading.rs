//! Reading from a connection through one buffer for each thread, so that a quiet connection has none.

use crate::stream::Reader;
use crate::ws;
use bytes::BytesMut;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// The most bytes that are read at once.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

/// Reads what is there. Empty at the end of the stream.
pub(crate) async fn read(reader: &mut Reader) -> io::Result<BytesMut> {
    poll_fn(|cx| poll_read(reader, cx, READ_BYTES_MAX)).await
}

/// Reads so much of what is there at the most. Empty at the end of the stream.
pub(crate) fn poll_read(
    reader: &mut Reader,
    cx: &mut Context<'_>,
    bytes_max: usize,
) -> Poll<io::Result<BytesMut>> {
    poll_into_scratch(bytes_max, |buffer| reader.poll_read(cx, buffer))
}

/// Reads from anything.
pub(crate) fn poll_into_scratch(
    bytes_max: usize,
    read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
) -> Poll<io::Result<BytesMut>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let most = bytes_max.min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..most]);
        ready!(read(&mut buffer))?;
        Poll::Ready(Ok(BytesMut::from(buffer.filled())))
    })
}

/// The most bytes that are read after the end, in which the other side has to notice it: far more than is on its way
/// then.
const DISCARD_BYTES_MAX: usize = 16 << 20;

/// Reads to the end of the stream, or until the other side should have noticed that nobody listens.
pub(crate) async fn discard(reader: &mut Reader) {
    let mut left = DISCARD_BYTES_MAX;
    while let Some(bytes) = read_of(reader, &mut left).await {
        drop(bytes);
    }
}

/// Reads some of what is left. `None` at the end, or when nothing is left.
async fn read_of(reader: &mut Reader, left: &mut usize) -> Option<BytesMut> {
    let bytes = read(reader).await.ok()?;
    *left = left.checked_sub(bytes.len())?;
    (!bytes.is_empty()).then_some(bytes)
}

/// As [`discard`], or to the close frame of the other side if this side has closed a WebSocket: nothing follows it.
pub(crate) async fn discard_until_closed(
    reader: &mut Reader,
    websocket: Option<&mut ws::Connection>,
) {
    let Some(websocket) = websocket else { return discard(reader).await };
    let mut left = DISCARD_BYTES_MAX;
    while !websocket.drain()
        && let Some(bytes) = read_of(reader, &mut left).await
    {
        websocket.receive(bytes);
    }
}
