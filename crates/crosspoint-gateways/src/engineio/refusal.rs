//! What is answered to a request that is not served, in the words of the original from npm.

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither of the two that there are.
    #[error("Transport unknown")]
    UnknownTransport,
    /// There is none, or it is over, or of another revision: nobody is told which.
    #[error("Session ID unknown")]
    UnknownSid,
    /// A session is asked for with `GET`.
    #[error("Bad handshake method")]
    Method,
    /// The request does not fit the session, or what it asks for.
    #[error("Bad request")]
    BadRequest,
    /// The body of the request is larger than the client was told.
    #[error("Payload too large")]
    TooLarge,
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
            Self::Method => 2,
            Self::BadRequest | Self::TooLarge => 3,
            Self::Forbidden(_) => 4,
            Self::UnsupportedRevision => 5,
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Forbidden(_) => 403,
            Self::TooLarge => 413,
            _ => 400,
        }
    }

    /// The body of the answer, which is JSON.
    pub fn json(&self) -> String {
        let message = self.to_string().replace(['"', '\\'], "'").replace(char::is_control, " ");
        format!(r#"{{"code":{},"message":"{message}"}}"#, self.code())
    }
}
