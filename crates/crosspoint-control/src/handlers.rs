//! What is answered to each request, and how it is described.

use crate::access::Entrant;
use crate::model::{
    AccessState, ChannelDetail, Channels, Ends, ErrorCode, History, HubFigures, LoginBody,
    Services, SessionDetail, Sessions,
};
use crate::params::{self, Values};
use crate::refused::{Refused, json, no_store};
use crate::shared::Shared;
use crate::snapshot::now;
use crate::stream::Viewer;
use crate::view::{channels, ends, hub, services, sessions};
use crate::watch::Watch;
use crate::{actions, charged, key};
use axum::Extension;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use crosspoint_hub::{ChannelName, Limit};
use crosspoint_net::http::Arrival;
use std::sync::Arc;
use std::time::Duration;

/// An answer, or why there is none.
pub(crate) type Answer = Result<Response, Refused>;

/// The path of one channel, without its key.
const CHANNELS: &str = "/api/v1/channels/";

/// The largest body of a login, in bytes.
const LOGIN_BYTES_MAX: usize = 4096;

/// The head of a request, as handlers need it who ask for no part of it alone.
pub(crate) struct Head(Parts);

impl<S: Sync> FromRequestParts<S> for Head {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.clone()))
    }
}

impl Head {
    /// The parameters, which have to fit a table.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn values(&self, table: &'static [params::Param]) -> Result<Values, Refused> {
        Values::read(table, self.0.uri.query())
    }

    /// The name of the channel in the path. The path of a request is not decoded, as names are bytes.
    fn channel(&self) -> Result<ChannelName, Refused> {
        let key = self.0.uri.path().strip_prefix(CHANNELS).and_then(key::name);
        key.ok_or_else(|| Refused::bad("This is no key of a channel, as answers give it."))
    }
}

/// The figures of the hub.
#[utoipa::path(get, path = "/api/v1/hub", responses((status = 200, body = HubFigures)))]
pub(crate) async fn get_hub(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    head.values(params::NONE)?;
    let stopping = head.0.extensions.get::<Arrival>().is_some_and(Arrival::is_stopping);
    Ok(json(&hub::figures(&shared.fresh(), stopping)))
}

/// Sessions that have said hello, one page of them. At most a second old.
#[utoipa::path(get, path = "/api/v1/sessions", responses((status = 200, body = Sessions)))]
pub(crate) async fn list_sessions(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    let query = sessions::Query::new(&head.values(params::SESSIONS)?);
    Ok(json(&query.list(&shared.snapshot())))
}

/// A session with the channels, links and services that it has.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{session}",
    params(("session" = u64, Path, description = "The number of the session.")),
    responses((status = 200, body = SessionDetail))
)]
pub(crate) async fn get_session(
    State(shared): State<Arc<Shared>>,
    Path(session): Path<String>,
    head: Head,
) -> Answer {
    head.values(params::NONE)?;
    let session = number(&session)?;
    let detail = sessions::detail(&shared.snapshot(), session);
    detail.map(|detail| json(&detail)).ok_or_else(|| actions::no_session(session))
}

/// Ends a session, whose client is told that it was kicked. It is not resumed.
#[utoipa::path(
    delete,
    path = "/api/v1/sessions/{session}",
    params(("session" = u64, Path, description = "The number of the session.")),
    responses((status = 204, description = "It ends."))
)]
pub(crate) async fn delete_session(
    State(shared): State<Arc<Shared>>,
    Extension(entrant): Extension<Entrant>,
    Path(session): Path<String>,
    head: Head,
) -> Answer {
    head.values(params::NONE)?;
    actions::kick(&shared.source.hub, number(&session)?, &entrant)?;
    Ok(done())
}

/// Channels and rooms, one page of them. At most a second old.
#[utoipa::path(get, path = "/api/v1/channels", responses((status = 200, body = Channels)))]
pub(crate) async fn list_channels(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    let query = channels::Query::new(&head.values(params::CHANNELS)?);
    Ok(json(&query.list(&shared.snapshot())))
}

/// A channel or room with one page of its members.
#[utoipa::path(
    get,
    path = "/api/v1/channels/{key}",
    params(("key" = String, Path, description = "The key of the channel, as answers give it.")),
    responses((status = 200, body = ChannelDetail))
)]
pub(crate) async fn get_channel(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    let (page, name) = (head.values(params::MEMBERS)?.page(), head.channel()?);
    let detail = channels::detail(&shared.source, &name, page);
    detail.map(|detail| json(&detail)).ok_or_else(actions::no_channel)
}

/// Ends a channel or room for all who are in it. A room of the settings is emptied, and stays.
#[utoipa::path(
    delete,
    path = "/api/v1/channels/{key}",
    params(("key" = String, Path, description = "The key of the channel, as answers give it.")),
    responses((status = 204, description = "It has ended."))
)]
pub(crate) async fn delete_channel(
    State(shared): State<Arc<Shared>>,
    Extension(entrant): Extension<Entrant>,
    head: Head,
) -> Answer {
    head.values(params::NONE)?;
    actions::close(&shared.source.hub, &head.channel()?, &entrant)?;
    Ok(done())
}

/// Services, one page of them. At most a second old.
#[utoipa::path(get, path = "/api/v1/services", responses((status = 200, body = Services)))]
pub(crate) async fn list_services(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    let query = services::Query::new(&head.values(params::SERVICES)?);
    Ok(json(&query.list(&shared.snapshot())))
}

/// The sessions that have ended last, the latest first. The hub remembers 256.
#[utoipa::path(get, path = "/api/v1/ends", responses((status = 200, body = Ends)))]
pub(crate) async fn list_ends(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    let query = ends::Query::new(&head.values(params::ENDS)?);
    Ok(json(&query.list(&shared.snapshot())))
}

/// The last ten minutes, second by second.
#[utoipa::path(get, path = "/api/v1/history", responses((status = 200, body = History)))]
pub(crate) async fn get_history(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    head.values(params::NONE)?;
    Ok(json(&shared.history()))
}

/// What there is, live, as Server-Sent Events.
///
/// Each second there are `point` and `hub`. For each view there is an event of its name with what its list would answer,
/// whenever that has changed. For a session or channel that is followed there is `session` or `channel`, and `gone` when
/// it has gone. The parameters of a view have its name before theirs, such as `sessions.limit`.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    responses((status = 200, content_type = "text/event-stream", body = String))
)]
pub(crate) async fn get_events(
    State(shared): State<Arc<Shared>>,
    Extension(entrant): Extension<Entrant>,
    head: Head,
) -> Answer {
    let watch = Watch::new(head.0.uri.query())?;
    let arrival = head.0.extensions.get::<Arrival>().cloned();
    if arrival.as_ref().is_some_and(Arrival::is_stopping) {
        return Err(Refused::new(ErrorCode::Unavailable, "The hub is stopping."));
    }
    let place = shared.places.clone().try_acquire_owned().map_err(|_| {
        shared.source.hub.metrics.hit(Limit::ControlViewers);
        let message = format!(
            "As many event streams are open as there may be ({}). Close one, or raise the setting.",
            Limit::ControlViewers
        );
        Refused::new(ErrorCode::Unavailable, message).after(Duration::from_secs(10))
    })?;
    let account = charged::account(&shared.source.hub, entrant.caller.0);
    let snapshots = shared.snapshots.subscribe();
    let viewer = Viewer { watch, snapshots, arrival, hold: entrant.hold, account, place };
    let kind = HeaderValue::from_static("text/event-stream");
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, no_store())];
    Ok((headers, viewer.into_body()).into_response())
}

/// Who asks, and what that one may do.
#[utoipa::path(get, path = "/api/v1/access", responses((status = 200, body = AccessState)))]
pub(crate) async fn get_access(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    head.values(params::NONE)?;
    Ok(json(&shared.gate.look(now(), &head.0)))
}

/// Exchanges the token for a cookie, which holds for twelve hours.
#[utoipa::path(
    post,
    path = "/api/v1/login",
    request_body = LoginBody,
    responses((status = 204, description = "The cookie is in the answer."))
)]
pub(crate) async fn log_in(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let head = Head(head);
    head.values(params::NONE)?;
    let body = to_bytes(body, LOGIN_BYTES_MAX).await.map_err(|_| {
        Refused::bad(format!("The body did not come, or has more than {LOGIN_BYTES_MAX} bytes."))
    })?;
    let body: LoginBody = serde_json::from_slice(&body).map_err(|_| {
        // Without what was wrong, which might be a part of the token.
        Refused::bad("The body has to be {\"token\": \"…\"}, in JSON.")
    })?;
    let cookie = shared.gate.log_in(now(), &head.0, &body.token)?;
    Ok(with_cookie(&cookie))
}

/// Ends the login of the one who asks.
#[utoipa::path(
    post,
    path = "/api/v1/logout",
    responses((status = 204, description = "There is no login any more."))
)]
pub(crate) async fn log_out(State(shared): State<Arc<Shared>>, head: Head) -> Answer {
    head.values(params::NONE)?;
    let cookie = shared.gate.log_out(now(), &head.0)?;
    Ok(with_cookie(&cookie))
}

fn number(text: &str) -> Result<u64, Refused> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .ok_or_else(|| Refused::bad(format!("{} is no number of a session.", params::quote(text))))
}

/// There is nothing more to say.
fn done() -> Response {
    (StatusCode::NO_CONTENT, [(CACHE_CONTROL, no_store())]).into_response()
}

fn with_cookie(cookie: &str) -> Response {
    let mut response = done();
    match HeaderValue::try_from(cookie) {
        Ok(value) => {
            response.headers_mut().insert(SET_COOKIE, value);
            response
        }
        // An id is hexadecimal digits.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
