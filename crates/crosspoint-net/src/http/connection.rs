//! A connection that speaks HTTP, from its first request to its end or its upgrade.

use super::arrival::Line;
use super::io::{Busy, Io, IoState, Phase};
use super::pace::Pace;
use super::parking::{self, Awaited, Hang, Parked, Place};
use super::site::{Site, Verdict, counted, remote};
use crate::deadline::FAR;
use crate::held::Held;
use crate::parting::{LINGER, Parting};
use crate::reading::discard;
use crate::refusal;
use crate::remote::Remote;
use crate::stream::{Reader, Writer};
use crate::upgraded::Accepted;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::ledger::Charge;
use crosspoint_hub::{Hub, Limit, Reason};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What became of a connection.
pub(crate) enum Outcome {
    /// It has upgraded, and the answer to that is written.
    Upgraded(Upgraded),
    /// It is over.
    Ended(Reason),
}

/// A connection that has upgraded.
pub(crate) struct Upgraded {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// What followed the request.
    pub(crate) rest: BytesMut,
    /// What was accepted.
    pub(crate) accepted: Accepted,
    /// The request.
    pub(crate) head: Box<Parts>,
}

/// A body on its way: until it has left, its connection is not idle.
struct Answering {
    body: Body,
    _busy: Busy,
    charge: Option<Arc<Charge>>,
}

/// Bytes of an answer, which are charged for as long as hyper has them.
struct Charged(Bytes, #[expect(dead_code, reason = "held")] Arc<Charge>);

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What is charged for each connection besides the connection itself: what hyper keeps for it, and one small head.
const CONNECTION_BYTES: usize = 22 * 1024;

/// What has come of requests and is charged with the connection.
const SMALL_BYTES: usize = 4 * 1024;

/// The most that is charged for one answer. What is larger comes from a file, a little at a time, or from
/// the embedder.
const ANSWER_BYTES_MAX: u64 = 128 * 1024;

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let Some(charge) = &this.charge else {
            return Poll::Ready(frame);
        };
        let charged = |bytes| Bytes::from_owner(Charged(bytes, charge.clone()));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(charged))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How hyper's part in a connection ended.
enum End<'a> {
    /// A request asks for an upgrade, and all before it is answered and written.
    Asked,
    /// A request waits for long, and all before it is answered and written.
    Parked(Awaited<'a>),
    Closed(hyper::Result<()>),
    /// The server stops, and the request that runs took too long.
    Stopped,
    /// Nothing came between two requests, or no whole head.
    Late(Phase),
    /// There is no memory for what has come.
    Exhausted(Reason, Phase),
    /// The other side has ended its part, and takes nothing of an answer.
    Gone,
}

/// A connection, as hyper gets it.
struct Given<'a> {
    reader: Reader,
    writer: Writer,
    /// What was read and is for hyper.
    first: BytesMut,
    /// The answer to the first request, if it was waited for.
    parked: Option<Parked<'a>>,
}

/// What all requests of a connection share.
struct Common<'a> {
    site: &'a Site,
    from: Remote,
    here: Option<SocketAddr>,
    line: Line,
    state: Arc<IoState>,
    pace: Pace,
}

/// Serves a connection whose first request, not an upgrade, begins `first`.
pub(crate) async fn serve(
    site: &Site,
    (reader, writer): (Reader, Writer),
    first: BytesMut,
    (from, admission): (Remote, &mut Admission),
    parting: Arc<Parting>,
) -> Outcome {
    let here = writer.local_address();
    let (state, pace) = (Arc::new(IoState::default()), Pace::new(&site.hub, from));
    let line = Line::new(&writer, from, &site.hub.limits.trusted_proxies, &parting.stop);
    let common = Common { site, from, here, line, state, pace };
    let mut given = Given { reader, writer, first, parked: None };
    loop {
        // What it takes is given back with it.
        let served = Box::pin(serve_by_hyper(&common, given, admission, &parting)).await;
        let (awaited, mut reader, writer, unread) = match served {
            Ok(outcome) => return outcome,
            Err(parked) => parked,
        };
        let waited = tokio::select! {
            waited = parking::wait(awaited, &mut reader, &unread) => waited,
            () = parting.over() => return Outcome::Ended(Reason::HubStopping),
        };
        match waited {
            Ok((parked, first)) => given = Given { reader, writer, first, parked: Some(parked) },
            Err(_lost) => return Outcome::Ended(Reason::ConnectionLost),
        }
    }
}

/// A request that waits, the halves of its connection, and what has come behind it.
type Hanging<'a> = (Awaited<'a>, Reader, Writer, BytesMut);

/// Serves a connection until it ends, or a request of it waits for long.
async fn serve_by_hyper<'a>(
    common: &Common<'a>,
    given: Given<'a>,
    admission: &mut Admission,
    parting: &Parting,
) -> Result<Outcome, Hanging<'a>> {
    let Common { site, from, state, .. } = common;
    let Given { reader, writer, first, parked } = given;
    let stop = &parting.stop;
    let _charge = match Held::hyper(&site.hub, *from, CONNECTION_BYTES) {
        Ok(charge) => charge,
        Err(reason) => {
            drop(first);
            say(parting, &writer, &refusal::later(reason)).await;
            return Ok(Outcome::Ended(reason));
        }
    };
    let mut held = Held::new(&site.hub, *from);
    let stall_max = site.hub.limits.outbox_stall_max;
    let io = Io::new(reader, writer, first, stall_max, state.clone());
    let far = io.far();
    let verdict = OnceLock::new();
    // Its answer comes before anything else, even when the server stops.
    let mut is_resumed = parked.is_some();
    let (resumed, hanging) = (Place::new(parked), Place::new(None));
    let service = service_fn(|request| answer(common, request, &verdict, (&resumed, &hanging)));
    let mut connection = site.builder.serve_connection(TokioIo::new(io), service);
    let mut is_stopping = false;
    let end = {
        let mut stopped = pin!(stop.cancelled());
        let mut cut_off = pin!(parting.over());
        let mut patience = pin!(tokio::time::sleep(Duration::MAX));
        let mut phase = None;
        let far = far;
        let (mut gone, mut lost) = (pin!(far.gone()), pin!(far.lost()));
        let mut alone = pin!(tokio::time::sleep(Duration::MAX));
        let (mut is_gone, mut is_told) = (false, false);
        let mut written = 0;
        poll_fn(|cx| {
            if !is_resumed && !is_stopping && stopped.as_mut().poll(cx).is_ready() {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(End::Closed(result));
            }
            if std::mem::take(&mut is_resumed) {
                cx.waker().wake_by_ref();
            }
            if verdict.get().is_some() && state.is_flushed() {
                return Poll::Ready(End::Asked);
            }
            if !is_stopping
                && !is_gone
                && state.is_all_written()
                && let Some(Parked::Waits(awaited)) = hanging.take()
            {
                return Poll::Ready(End::Parked(awaited));
            }
            if cut_off.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Stopped);
            }
            let more = state.held().saturating_sub(SMALL_BYTES);
            if let Err(reason) = held.settle(more) {
                return Poll::Ready(End::Exhausted(reason, state.phase().0));
            }
            let present = state.phase();
            if phase != Some(present) {
                phase = Some(present);
                let limit = match present.0 {
                    Phase::Idle => site.keep_alive,
                    Phase::Head => site.head_max().0,
                    Phase::Busy => FAR,
                };
                patience.as_mut().reset(tokio::time::Instant::now() + limit);
            }
            if patience.as_mut().poll(cx).is_ready() && present.0 != Phase::Busy {
                return Poll::Ready(End::Late(present.0));
            }
            // Who has ended its part may wait for the answer, and may be gone altogether. As long as there is no answer
            // it is told so, which tells who is there.
            if !is_gone && gone.as_mut().poll(cx).is_ready() {
                is_gone = true;
                let until = if state.is_unanswered() { Duration::ZERO } else { stall_max };
                alone.as_mut().reset(tokio::time::Instant::now() + until);
            }
            while is_gone && alone.as_mut().poll(cx).is_ready() {
                let is_lost = match state.is_unanswered() {
                    true => is_told && far.is_behind() || far.tell_to_come().is_err(),
                    false => written == state.written(),
                };
                if is_lost {
                    return Poll::Ready(End::Gone);
                }
                is_told = state.is_unanswered();
                written = state.written();
                alone.as_mut().reset(tokio::time::Instant::now() + stall_max);
            }
            if is_told && lost.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Gone);
            }
            Poll::Pending
        })
        .await
    };
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let (mut reader, writer, unread) = io.into_inner().into_parts();
    // Nobody reads what has come after the end.
    let goes_on = matches!(end, End::Asked | End::Parked(_));
    let first = goes_on.then(move || {
        let mut first = BytesMut::from(read_buf);
        first.unsplit(unread);
        first
    });
    let reason = match end {
        End::Asked => {
            let first = first.unwrap_or_default();
            let (verdict, head): (Verdict, _) =
                verdict.into_inner().expect("it was there a moment ago");
            let (answer, refused) = match counted(verdict, admission) {
                Ok(accepted) => (accepted.answer.clone(), Ok(accepted)),
                Err((reason, answer)) => (answer, Err(reason)),
            };
            let written = tokio::select! {
                biased;
                written = writer.write_all(&answer) => written,
                () = stop.cancelled() => return Ok(Outcome::Ended(Reason::HubStopping)),
                () = tokio::time::sleep(stall_max) => Err(io::ErrorKind::TimedOut.into()),
            };
            match (written, refused) {
                (Ok(()), Ok(accepted)) => {
                    let rest = first;
                    let upgraded = Upgraded { reader, writer, rest, accepted, head };
                    return Ok(Outcome::Upgraded(upgraded));
                }
                (Ok(()), Err(reason)) => reason,
                (Err(_lost), _) => return Ok(Outcome::Ended(Reason::ConnectionLost)),
            }
        }
        End::Parked(awaited) => {
            return Err((awaited, reader, writer, first.unwrap_or_default()));
        }
        End::Stopped => return Ok(Outcome::Ended(Reason::HubStopping)),
        End::Gone => return Ok(Outcome::Ended(Reason::ConnectionLost)),
        End::Late(Phase::Head) => {
            site.hub.metrics.hit(site.head_max().1);
            Reason::HandshakeTimeout
        }
        End::Late(_) => Reason::IdleTimeout,
        // An answer that has begun cannot become another one.
        End::Exhausted(reason, Phase::Busy) => return Ok(Outcome::Ended(reason)),
        End::Exhausted(reason, _) => {
            say(parting, &writer, &refusal::later(reason)).await;
            reason
        }
        End::Closed(Ok(())) if is_stopping => Reason::HubStopping,
        End::Closed(Ok(())) => Reason::Bye,
        End::Closed(Err(error)) if error.is_parse() => Reason::Malformed,
        End::Closed(Err(error)) => {
            tracing::debug!(%error, "HTTP connection broken");
            let reason = if state.has_stalled() {
                site.hub.metrics.hit(Limit::OutboxStall);
                Reason::SlowReceiver
            } else {
                Reason::ConnectionLost
            };
            return Ok(Outcome::Ended(reason));
        }
    };
    // Closing with bytes unread would take the last answer away from the other side again.
    writer.shutdown();
    parting.wait(LINGER, discard(&mut reader)).await;
    Ok(Outcome::Ended(reason))
}

/// Writes a last answer. A client that does not take it in time is cut off.
async fn say(parting: &Parting, writer: &Writer, answer: &[u8]) {
    let say = async {
        // The connection may be lost.
        let _ = writer.write_all(answer).await;
    };
    parting.wait(LINGER, say).await;
}

/// An answer whose memory is charged, or one that says that there is none.
fn charged(hub: &Hub, from: Remote, response: Response, busy: Busy) -> Response<Answering> {
    busy.answer();
    let bytes = response.body().size_hint().lower().min(ANSWER_BYTES_MAX);
    let charge = match usize::try_from(bytes) {
        Ok(bytes @ SMALL_BYTES..) => Held::answer(hub, from, bytes).map(Some),
        // Charged with the connection.
        _ => Ok(None),
    };
    let (response, charge) = match charge {
        Ok(charge) => (response, charge),
        Err(reason) => {
            let body = format!("{reason}\n");
            ((StatusCode::SERVICE_UNAVAILABLE, body).into_response(), None)
        }
    };
    let charge = charge.map(Arc::new);
    response.map(|body| Answering { body, _busy: busy, charge })
}

/// Answers a request. One that asks for an upgrade gets no answer from here: its verdict is left
/// behind, and hyper has no further part in the connection.
async fn answer<'a>(
    common: &Common<'a>,
    mut request: Request<Incoming>,
    verdict: &OnceLock<(Verdict, Box<Parts>)>,
    (resumed, hanging): (&Place<'a>, &Place<'a>),
) -> Result<Response<Answering>, Infallible> {
    let Common { site, here, line, state, pace, .. } = common;
    let busy = Busy::new(state, request.version() == Version::HTTP_11);
    if let Some(parked) = resumed.take() {
        let response = parked.answer().await;
        return Ok(charged(&site.hub, common.from, response, busy));
    }
    // No answer is made before the other side has taken the one before it.
    state.all_written().await;
    pace.request(state).await;
    let from = site.remote(common.from, request.headers());
    request.extensions_mut().extend(remote(from.address));
    let arrival = line.arrival(request.headers());
    request.extensions_mut().insert(arrival);
    request.extensions_mut().insert(from);
    match site.later_upgrade(request, (from, *here)) {
        Ok(mut request) => {
            let hang = parking::may_park(&request).then(Hang::default);
            if let Some(hang) = &hang {
                request.extensions_mut().insert(hang.clone());
            }
            let awaited = site.answer(request, (from, *here));
            match parking::answer_or_hang(awaited, hang).await {
                Ok(response) => Ok(charged(&site.hub, from, response, busy)),
                Err(awaited) => {
                    // Hyper lets go of the connection.
                    hanging.put(awaited);
                    pending().await
                }
            }
        }
        Err(decided) => {
            // A connection has one such request at most, as it waits here for ever.
            let _ = verdict.set(decided);
            pending().await
        }
    }
}
