//! Which request is for whom.

use crate::charged;
use crate::handlers;
use crate::model::ErrorCode;
use crate::openapi;
use crate::refused::Refused;
use crate::shared::Shared;
use crate::snapshot::now;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use std::sync::Arc;

/// The routes of the API.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/api/v1/hub", get(handlers::get_hub))
        .route("/api/v1/sessions", get(handlers::list_sessions))
        .route(
            "/api/v1/sessions/{session}",
            get(handlers::get_session).delete(handlers::delete_session),
        )
        .route("/api/v1/channels", get(handlers::list_channels))
        .route(
            "/api/v1/channels/{key}",
            get(handlers::get_channel).delete(handlers::delete_channel),
        )
        .route("/api/v1/services", get(handlers::list_services))
        .route("/api/v1/ends", get(handlers::list_ends))
        .route("/api/v1/history", get(handlers::get_history))
        .route("/api/v1/events", get(handlers::get_events))
        .route("/api/v1/openapi.json", get(openapi::get_openapi))
        .route("/api/v1/{*rest}", any(nothing))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(shared.clone(), guard));
    Router::new()
        .route("/api/v1/access", get(handlers::get_access))
        .route("/api/v1/login", post(handlers::log_in))
        .route("/api/v1/logout", post(handlers::log_out))
        .method_not_allowed_fallback(wrong_method)
        .merge(guarded)
        .with_state(shared.clone())
}

/// Lets those through who may come in.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    match shared.gate.enter(now(), &head) {
        Ok(entrant) => {
            let address = entrant.caller.0;
            head.extensions.insert(entrant);
            let response = next.run(Request::from_parts(head, body)).await;
            charged::answer(&shared.source.hub, address, response).await
        }
        Err(refused) => refused.into_response(),
    }
}

async fn nothing() -> Refused {
    Refused::missing("There is nothing here. /api/v1/openapi.json tells what there is.")
}

async fn wrong_method(method: Method) -> Refused {
    let message = format!("This does not take {method}. The header Allow tells what it takes.");
    Refused::new(ErrorCode::MethodNotAllowed, message)
}
