//! A connection that speaks HTTP, from its first request to its end or its upgrade.

use super::io::{Io, IoState};
use super::site::{Site, Verdict, remote};
use crate::session::{LINGER, discard};
use crate::stream::{Reader, Writer};
use axum::extract::Request;
use axum::response::Response;
use bytes::BytesMut;
use crosspoint_hub::Reason;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What became of a connection.
pub(crate) enum Outcome {
    /// It has upgraded, and the answer to that is written. These bytes followed the request.
    Upgraded(Reader, Writer, BytesMut),
    /// It is over.
    Ended(Reason),
}

/// How hyper's part in a connection ended.
enum End {
    /// A request asks for an upgrade, and all before it is answered and written.
    Asked,
    Closed(hyper::Result<()>),
    /// The server stops, and the request that runs took too long.
    Stopped,
}

/// Serves a connection whose first request, not an upgrade, begins `first`.
pub(crate) async fn serve(
    site: &Site,
    (reader, writer): (Reader, Writer),
    first: BytesMut,
    from: Option<SocketAddr>,
    stop: &CancellationToken,
    flush_max: Duration,
) -> Outcome {
    let state = Arc::new(IoState::default());
    let stall_max = site.hub.limits.outbox_stall_max;
    let io = Io::new(reader, writer, first, stall_max, state.clone());
    let verdict = OnceLock::new();
    let service = service_fn(|request| answer(site, request, from, &verdict));
    let mut connection = site.builder.serve_connection(TokioIo::new(io), service);
    let linger = LINGER.min(flush_max);
    let mut stopping = false;
    let end = {
        let mut stopped = pin!(stop.cancelled());
        let mut cut_off = pin!(tokio::time::sleep(Duration::MAX));
        poll_fn(|cx| {
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
                cut_off.as_mut().reset(tokio::time::Instant::now() + flush_max);
            }
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(End::Closed(result));
            }
            if verdict.get().is_some() && state.is_flushed() {
                return Poll::Ready(End::Asked);
            }
            if stopping && cut_off.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Stopped);
            }
            Poll::Pending
        })
        .await
    };
    let parts = connection.into_parts();
    let (mut reader, writer, unread) = parts.io.into_inner().into_parts();
    let reason = match end {
        End::Asked => {
            let mut first = BytesMut::from(parts.read_buf);
            first.unsplit(unread);
            let verdict: Verdict = verdict.into_inner().expect("it was there a moment ago");
            let (answer, refused) = match verdict {
                Ok(answer) => (answer, None),
                Err((reason, answer)) => (answer, Some(reason)),
            };
            let written = tokio::select! {
                biased;
                written = writer.write_all(&answer) => written,
                () = stop.cancelled() => return Outcome::Ended(Reason::HubStopping),
                () = tokio::time::sleep(stall_max) => Err(io::ErrorKind::TimedOut.into()),
            };
            match (written, refused) {
                (Ok(()), None) => return Outcome::Upgraded(reader, writer, first),
                (Ok(()), Some(reason)) => reason,
                (Err(_lost), _) => return Outcome::Ended(Reason::ConnectionLost),
            }
        }
        End::Stopped => return Outcome::Ended(Reason::HubStopping),
        End::Closed(Ok(())) if stopping => Reason::HubStopping,
        End::Closed(Ok(())) => Reason::Bye,
        End::Closed(Err(error)) if error.is_parse() => Reason::Malformed,
        End::Closed(Err(error)) => {
            tracing::debug!(%error, "HTTP connection broken");
            let reason = if state.has_stalled() {
                site.hub.metrics.hit("outbox_stall_ms_max");
                Reason::SlowReceiver
            } else if !error.is_timeout() {
                Reason::ConnectionLost
            } else if parts.read_buf.is_empty() {
                Reason::IdleTimeout
            } else {
                site.hub.metrics.hit("handshake_ms_max");
                Reason::HandshakeTimeout
            };
            return Outcome::Ended(reason);
        }
    };
    // Closing with bytes unread would take the last answer away from the other side again.
    writer.shutdown();
    let _ = tokio::time::timeout(linger, discard(&mut reader)).await;
    Outcome::Ended(reason)
}

/// Answers a request. One that asks for an upgrade gets no answer from here: its verdict is left
/// behind, and hyper has no further part in the connection.
async fn answer(
    site: &Site,
    mut request: Request<Incoming>,
    from: Option<SocketAddr>,
    verdict: &OnceLock<Verdict>,
) -> Result<Response, Infallible> {
    request.extensions_mut().extend(remote(from));
    match site.later_upgrade(request) {
        Ok(request) => Ok(site.answer(request).await),
        Err(decided) => {
            // A connection has one such request at most, as it waits here for ever.
            let _ = verdict.set(decided);
            pending().await
        }
    }
}
