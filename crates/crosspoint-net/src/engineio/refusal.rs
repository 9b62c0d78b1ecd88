//! What is answered to a request that is not served, in the words of the original from npm.

use crate::http;
use axum::http::StatusCode;

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Neither of the two that there are.
    #[error("Transport unknown")]
    UnknownTransport,
    /// There is none, or it is over, or of another revision: nobody is told which.
    #[error("Session ID unknown")]
    UnknownSid,
    /// The request does not fit the session, or what it asks for.
    #[error("Bad request")]
    BadRequest,
    /// It is not allowed: why, and what would allow it.
    #[error("Forbidden: {0}")]
    Forbidden(String),
    /// Neither 3 nor 4.
    #[error("Unsupported protocol version")]
    UnsupportedRevision,
}

impl Refusal {
    fn code(&self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadRequest => 3,
            Self::Forbidden(_) => 4,
            Self::UnsupportedRevision => 5,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Refusal> for http::Refusal {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string().replace(['"', '\\'], "'").replace(char::is_control, " ");
        let json = format!(r#"{{"code":{},"message":"{message}"}}"#, refusal.code());
        Self::json(refusal.status(), json)
    }
}
