//! Requests that wait for long, such as those of clients that poll. Hyper gives their connections back meanwhile, as it
//! holds 22 KiB for each.
//!
//! A handler says by [`Hang`] that it begins to wait. The connection takes the future of the answer out of hyper, lets go
//! of hyper, and waits for the answer itself. Then hyper gets the connection again, with a request of ours in front of
//! what has come, which gets that answer. Anything else that happens meanwhile, such as the end of the client's part, is
//! for hyper too: it gets the connection at once, and the request hangs there.

use crate::reading;
use crate::stream::Reader;
use axum::response::Response;
use bytes::BytesMut;
use hyper::header::CONNECTION;
use hyper::{Method, Request, Version};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// What hyper gets before an answer that was waited for. Nobody looks at it.
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n";

/// The most bytes that are read while a request waits.
const READ_BYTES_MAX: usize = 8 * 1024;

/// By which a handler says, as an extension of its request, that it waits for long: the connection takes far less memory
/// until there is an answer. The handler should hold no part of the request then, as headers share the buffer that they
/// came in. Requests that bring a body, or are the last of their connections, have no such extension.
#[derive(Debug, Clone, Default)]
pub struct Hang(Arc<AtomicBool>);

impl Hang {
    /// The handler waits from now on.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An answer that is being waited for.
pub(super) type Awaited<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// A request that waits, or the answer to it.
pub(super) enum Parked<'a> {
    Waits(Awaited<'a>),
    Answered(Response),
}

impl Parked<'_> {
    /// The answer, wherever it comes from.
    pub(super) async fn answer(self) -> Response {
        match self {
            Self::Waits(awaited) => awaited.await,
            Self::Answered(answer) => answer,
        }
    }
}

/// Waits for an answer. Gives it back if it hangs and the request may wait outside of hyper.
pub(super) async fn answer_or_hang(
    mut awaited: Awaited<'_>,
    hang: Option<Hang>,
) -> Result<Response, Awaited<'_>> {
    let answer = poll_fn(|cx| match awaited.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if hang.as_ref().is_some_and(Hang::has_begun) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match answer.await {
        Some(answer) => Ok(answer),
        None => Err(awaited),
    }
}

/// Whether hyper can let go of a connection while this request waits: its answer says nothing of the connection.
pub(super) fn may_park<B: hyper::body::Body>(request: &Request<B>) -> bool {
    let keeps = request.headers().get_all(CONNECTION).iter();
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && keeps.into_iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"))
}

/// The request of a connection that is to wait outside of hyper.
#[derive(Default)]
pub(super) struct Place<'a>(Mutex<Option<Parked<'a>>>);

impl<'a> Place<'a> {
    pub(super) fn new(parked: Option<Parked<'a>>) -> Self {
        Self(Mutex::new(parked))
    }

    pub(super) fn put(&self, awaited: Awaited<'a>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Parked::Waits(awaited));
    }

    pub(super) fn take(&self) -> Option<Parked<'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Waits until a parked request is answered, or something comes on its connection, to which `unread` is what has come.
/// Gives what hyper gets.
///
/// # Errors
/// The connection is lost.
pub(super) async fn wait<'a>(
    mut awaited: Awaited<'a>,
    reader: &mut Reader,
    unread: &[u8],
) -> io::Result<(Parked<'a>, BytesMut)> {
    let mut first = BytesMut::from(HEAD);
    first.extend_from_slice(unread);
    let answer = poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(answer) = awaited.as_mut().poll(cx) {
            return Poll::Ready(Ok((Some(answer), BytesMut::new())));
        }
        // What comes before the answer to a request waits in hyper.
        let read = reading::poll_read(reader, cx, READ_BYTES_MAX);
        read.map_ok(|bytes| (None, bytes))
    });
    let (answer, came) = answer.await?;
    first.unsplit(came);
    let parked = match answer {
        Some(answer) => Parked::Answered(answer),
        None => Parked::Waits(awaited),
    };
    Ok((parked, first))
}
