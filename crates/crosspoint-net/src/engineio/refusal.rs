//! How a refusal of Engine.IO is an answer.

use crate::http;
use axum::http::StatusCode;
use crosspoint_gateways::engineio::Refusal;

impl From<Refusal> for http::Refusal {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self::json(status, refusal.json())
    }
}
